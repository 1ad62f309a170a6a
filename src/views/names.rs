//! A class's objects by `name_label`, which many may share. Names are in their
//! objects; here are their hashes alone, so that no name is kept twice. Names
//! that are alike by hash cost a comparison.

use super::trie::{self, Trie};
use super::{ClassView, Object};
use crate::model::{CLASSES, ClassId, MODEL};
use crate::value::Ref;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, LazyLock};

/// Where each class has its name, if it has one.
static FIELDS: LazyLock<Vec<Option<usize>>> =
    LazyLock::new(|| CLASSES.iter().map(|class| MODEL.field(class.id, "name_label")).collect());

/// See the module.
#[derive(Clone, Default)]
pub(super) struct Names(Trie<Entry, ()>);

/// The hash of a name, and one of the objects that have it.
type Entry = (u64, Ref);

impl trie::Key for Entry {
    const LEAF_MAX: usize = 32;

    fn half_byte(&self, depth: usize) -> usize {
        const HASH: usize = 2 * size_of::<u64>();
        match depth.checked_sub(HASH) {
            None => trie::half_byte(&self.0.to_be_bytes(), depth),
            Some(depth) => self.1.half_byte(depth),
        }
    }
}

/// The field of a class by which its objects are found.
pub(super) fn field(class: ClassId) -> Option<usize> {
    FIELDS[class as usize]
}

fn name(class: ClassId, object: &Object) -> Option<&str> {
    field(class).map(|field| object.record[field].as_str())
}

/// The same for the same text, whatever the process.
fn hash(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

impl Names {
    /// Those of a whole class.
    pub(super) fn of(class: ClassId, objects: &[Arc<Object>]) -> Names {
        let named = objects.iter().filter_map(|object| Some((hash(name(class, object)?), object.reference)));
        Names(named.map(|entry| (entry, ())).collect())
    }

    /// One object has another name than before, if it had one, or has one no more.
    pub(super) fn moved(&mut self, object: Ref, before: Option<&str>, after: Option<&str>) {
        if before == after {
            return;
        }
        if let Some(before) = before {
            self.0.remove(&(hash(before), object));
        }
        if let Some(after) = after {
            self.0.insert((hash(after), object), ());
        }
    }

    /// The same for one object in another's place.
    pub(super) fn replaced(&mut self, class: ClassId, before: Option<&Object>, after: Option<&Object>) {
        let Some(object) = after.or(before) else { return };
        let (before, after) = (before.and_then(|one| name(class, one)), after.and_then(|one| name(class, one)));
        self.moved(object.reference, before, after);
    }

    /// Whether the object is found by its name: by its own entry, however many others have the same.
    pub(super) fn has(&self, class: ClassId, object: &Object) -> bool {
        name(class, object).is_some_and(|name| self.0.contains_key(&(hash(name), object.reference)))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl ClassView {
    /// The objects of that name, in the order of their references.
    pub fn named<'a>(&'a self, class: ClassId, wanted: &'a str) -> impl Iterator<Item = &'a Arc<Object>> {
        let hash = hash(wanted);
        let alike = self.names.0.from(&(hash, Ref::NULL)).take_while(move |((other, _), ())| *other == hash);
        let objects = alike.filter_map(|((_, object), ())| self.objects.get(object));
        objects.filter(move |object| name(class, object) == Some(wanted))
    }
}
