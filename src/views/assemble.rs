//! Building a whole view at once, from parts that were read in order: much
//! faster than putting one object after the other.

use super::names::Names;
use super::order::Order;
use super::relations::{FieldId, HOLDING, Relations};
use super::replay::Indexes;
use super::{ClassView, Object, View, uuid_of};
use crate::model::{CLASSES, ClassId};
use crate::value::Ref;
use std::sync::Arc;

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
        let mut references = Vec::new();
        let classes = CLASSES.iter().zip(parts.0).map(|(class, parts)| {
            collect_references(class.id, &parts.objects, &mut references);
            class_view(class.id, parts)
        });
        let classes = classes.collect();
        View { classes, relations: Relations::of(references), ..View::default() }
    }
}

fn class_view(class: ClassId, parts: ClassParts) -> ClassView {
    let uuids = parts.objects.iter().filter_map(|object| Some((uuid_of(class, object)?, object.reference)));
    ClassView {
        uuids: uuids.collect(),
        names: Names::of(class, &parts.objects),
        order: Order::of(&parts.objects),
        indexes: Indexes::Kept,
        deleted: parts.deleted.into_iter().collect(),
        floor: parts.floor,
        objects: parts.objects.into_iter().map(|object| (object.reference, object)).collect(),
    }
}

fn collect_references(class: ClassId, objects: &[Arc<Object>], out: &mut Vec<(FieldId, Ref, Ref)>) {
    for &field in &HOLDING[class as usize] {
        let ty = class.def().fields[field].ty;
        let id = FieldId(class, field as u16);
        for object in objects {
            let targets = object.record[field].references(ty);
            out.extend(targets.into_iter().map(|target| (id, target, object.reference)));
        }
    }
}
