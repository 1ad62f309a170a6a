//! The views: the state at a position, folded from the log and from nothing
//! else. Persistent maps share structure, so that a snapshot is free and every
//! read sees one position.
//!
//! Must never know who asks, what is allowed, or how anything is stored. Only
//! [`fold`] changes the published view.

mod assemble;
pub mod check;
mod classes;
pub mod filter;
pub mod fold;
mod hash;
pub mod measured;
mod names;
mod order;
pub mod past;
pub mod query;
pub mod read;
pub mod relations;
pub mod replay;
pub mod restore;
pub mod store;
mod token;
pub mod trie;
pub mod undo;
pub mod unique;

pub use assemble::Parts;
pub use fold::{Effect, fold, replay};
pub use restore::restore;
pub use token::Token;
pub use undo::undo;

use crate::log::Hash;
use crate::model::{CLASSES, ClassId, Declared, Key, MODEL};
use crate::value::{Micros, Read, Record, Ref, Value};
use classes::Classes;
use measured::Measured;
use relations::{FieldId, HOLDING, Relations};
use std::sync::Arc;
use trie::Trie;

/// How many deletions of a class are remembered, so that `event.from` can tell of them.
pub const DELETIONS_KEPT: usize = 100_000;

/// One object at one position.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    pub reference: Ref,
    /// The position of the event that added it.
    pub created: u64,
    /// The position of the last event that changed it, or a far side of it.
    pub modified: u64,
    pub record: Record,
}

impl Object {
    /// A field's value: `object.get(VM::name_label)`.
    pub fn get<C: Declared, T: Read>(&self, key: Key<C, T>) -> T::Out<'_> {
        T::read(&self.record[key.index])
    }
}

/// References are drawn at random.
impl trie::Key for Ref {
    fn half_byte(&self, depth: usize) -> usize {
        trie::half_byte(&self.0, depth)
    }
}

/// All objects of one class.
#[derive(Clone, Default)]
pub struct ClassView {
    pub objects: Trie<Ref, Arc<Object>>,
    uuids: imbl::HashMap<Ref, Ref>,
    names: names::Names,
    order: order::Order,
    /// Whether names and order follow every change.
    indexes: replay::Indexes,
    /// What was deleted, by position, with the position at which it had been added.
    pub deleted: imbl::OrdMap<(u64, Ref), u64>,
    /// Deletions at or below this position are forgotten.
    pub floor: u64,
}

/// The whole state at one position.
#[derive(Clone)]
pub struct View {
    pub lineage: u64,
    pub position: u64,
    /// The time of the last event.
    pub time: Micros,
    /// The hash of the last row.
    pub hash: Hash,
    classes: Classes,
    relations: Relations,
    /// What is only measured: no part of the state, shared by all that came from one view.
    pub measured: Measured,
}

impl Default for View {
    fn default() -> View {
        View {
            lineage: 0,
            position: 0,
            time: 0,
            hash: crate::log::hash::GENESIS,
            classes: CLASSES.iter().map(|_| ClassView::default()).collect(),
            relations: Relations::default(),
            measured: Measured::default(),
        }
    }
}

impl View {
    pub fn class(&self, class: ClassId) -> &ClassView {
        self.classes.get(class)
    }

    pub fn object(&self, class: ClassId, reference: Ref) -> Option<&Arc<Object>> {
        self.class(class).objects.get(&reference)
    }

    /// An object by the class's marker: `view.find::<VM>(vm)`.
    pub fn find<C: Declared>(&self, reference: Ref) -> Option<&Arc<Object>> {
        self.object(C::ID, reference)
    }

    pub fn all<C: Declared>(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.class(C::ID).objects.values()
    }

    pub fn by_uuid(&self, class: ClassId, uuid: &str) -> Option<Ref> {
        self.class(class).uuids.get(&Ref::parse_uuid(uuid)?).copied()
    }

    /// The far side of a relation: `view.far(VM::VBDs, vm)`.
    pub fn far<C: Declared, T>(&self, key: Key<C, T>, target: Ref) -> Vec<Ref> {
        let (class, field) = MODEL.far(C::ID, key.index).expect("BUG: asked for the far side of what has none");
        self.relations.list(FieldId(class, field as u16), target)
    }

    /// Calls `each` with the members of a far side, by index.
    pub fn each_far(&self, class: ClassId, field: usize, target: Ref, each: impl FnMut(Ref)) {
        let (class, field) = MODEL.far(class, field).expect("BUG: asked for the far side of what has none");
        self.relations.each(FieldId(class, field as u16), target, each);
    }

    /// The objects whose `field` refers to `target`.
    pub fn referrers(&self, field: FieldId, target: Ref) -> Vec<Ref> {
        self.relations.list(field, target)
    }

    /// Puts an object in, in place of the one it replaces; keeps uuids, names and relations, not the order of changes.
    pub(crate) fn put(&mut self, class: ClassId, object: Arc<Object>) {
        let reference = object.reference;
        let view = self.classes.get_mut(class);
        let before = view.objects.insert(reference, object.clone());
        if before.is_none()
            && let Some(uuid) = uuid_of(class, &object)
        {
            view.uuids.insert(uuid, reference);
        }
        view.renamed(class, before.as_deref(), Some(&object));
        for &field in &HOLDING[class as usize] {
            let old = before.as_ref().map(|before| &before.record[field]);
            self.relate(class, field, reference, old, Some(&object.record[field]));
        }
    }

    /// Takes an object out.
    pub(crate) fn take(&mut self, class: ClassId, reference: Ref) -> Option<Arc<Object>> {
        let view = self.classes.get_mut(class);
        let object = view.objects.remove(&reference)?;
        if let Some(uuid) = uuid_of(class, &object) {
            view.uuids.remove(&uuid);
        }
        view.renamed(class, Some(&object), None);
        for &field in &HOLDING[class as usize] {
            self.relate(class, field, reference, Some(&object.record[field]), None);
        }
        Some(object)
    }

    fn relate(&mut self, class: ClassId, field: usize, holder: Ref, old: Option<&Value>, new: Option<&Value>) {
        if old == new {
            return;
        }
        let ty = class.def().fields[field].ty;
        let id = FieldId(class, field as u16);
        for target in old.map(|value| value.references(ty)).unwrap_or_default() {
            self.relations.remove(id, target, holder);
        }
        for target in new.map(|value| value.references(ty)).unwrap_or_default() {
            self.relations.add(id, target, holder);
        }
    }

    pub(crate) fn class_mut(&mut self, class: ClassId) -> &mut ClassView {
        self.classes.get_mut(class)
    }

    /// How many objects there are of each class, as `event.from` tells its clients.
    pub fn counts(&self) -> impl Iterator<Item = (ClassId, usize)> {
        CLASSES.iter().map(|class| (class.id, self.class(class.id).objects.len()))
    }
}

/// The bytes of the object's uuid, for the index.
fn uuid_of(class: ClassId, object: &Object) -> Option<Ref> {
    let index = MODEL.field(class, "uuid")?;
    Ref::parse_uuid(object.record[index].as_str())
}
