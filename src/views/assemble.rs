//! Building a whole view at once, from parts that were read in order: much
//! faster than putting one object after the other.

use super::names::Names;
use super::order::Order;
use super::relations::{FieldId, HOLDING, Relations};
use super::replay::Indexes;
use super::{ClassView, Object, View, uuid_of};
use crate::model::{CLASSES, ClassId};
use crate::value::Ref;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread;

/// What a view is made of.
pub struct Parts(Vec<ClassParts>);

#[derive(Clone, Default)]
struct ClassParts {
    objects: Vec<Arc<Object>>,
    deleted: Vec<((u64, Ref), u64)>,
    floor: u64,
}

impl Default for Parts {
    fn default() -> Parts {
        Parts(vec![ClassParts::default(); CLASSES.len()])
    }
}

impl Parts {
    pub fn object(&mut self, class: ClassId, object: Arc<Object>) {
        self.0[class as usize].objects.push(object);
    }

    /// An object that is gone, with the positions at which it was deleted and had been added.
    pub fn deleted(&mut self, class: ClassId, position: u64, reference: Ref, created: u64) {
        self.0[class as usize].deleted.push(((position, reference), created));
    }

    pub fn floor(&mut self, class: ClassId, floor: u64) {
        self.0[class as usize].floor = floor;
    }
}

impl View {
    /// The view that holds exactly these parts; its position is for the caller to set.
    pub fn assemble(parts: Parts) -> View {
        let (classes, relations) = thread::scope(|scope| {
            let relations = scope.spawn(|| Relations::of(references(&parts)));
            let classes = CLASSES.iter().zip(&parts.0).map(|(class, parts)| class_view(class.id, parts)).collect();
            (classes, relations.join().unwrap_or_else(|panic| resume_unwind(panic)))
        });
        View { classes, relations, ..View::default() }
    }
}

fn class_view(class: ClassId, parts: &ClassParts) -> ClassView {
    let ClassParts { objects, deleted, floor } = parts;
    let uuids = objects.iter().filter_map(|object| Some((uuid_of(class, object)?, object.reference)));
    ClassView {
        uuids: uuids.collect(),
        names: Names::of(class, objects),
        order: Order::of(objects),
        indexes: Indexes::Kept,
        deleted: deleted.iter().copied().collect(),
        floor: *floor,
        objects: objects.iter().map(|object| (object.reference, object.clone())).collect(),
    }
}

/// All references from one object to another.
fn references(parts: &Parts) -> Vec<(FieldId, Ref, Ref)> {
    let mut found = Vec::new();
    for (class, ClassParts { objects, .. }) in CLASSES.iter().zip(&parts.0) {
        for &field in &HOLDING[class.id as usize] {
            let id = FieldId(class.id, field as u16);
            for object in objects {
                let targets = object.record[field].references(class.fields[field].ty);
                found.extend(targets.into_iter().map(|target| (id, target, object.reference)));
            }
        }
    }
    found
}
