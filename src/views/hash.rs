//! The hash of a state: SHA-256 over every object's class, reference and
//! fields that differ from their default, all in order. Equal states, equal
//! hashes. Defaults are frozen, so that a field that a newer version adds
//! changes no hash of an older state. `proto-docs/log.md` has it for others.

use super::{Object, View};
use crate::event::Stored;
use crate::log::Hash;
use crate::model::{CLASSES, Class};
use crate::value::default_record;
use serde::Serializer;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

/// A class, with its stored fields in the order of their names.
struct Ordered {
    class: &'static Class,
    fields: Vec<usize>,
    /// Where a field stands in `fields`; `None` when it is not stored.
    places: Vec<Option<usize>>,
}

/// The classes, in the order of their names.
static ORDERED: LazyLock<Vec<Ordered>> = LazyLock::new(|| {
    let mut classes: Vec<Ordered> = CLASSES.iter().copied().map(Ordered::of).collect();
    classes.sort_unstable_by_key(|ordered| ordered.class.name);
    classes
});

impl Ordered {
    fn of(class: &'static Class) -> Ordered {
        let is_stored = |index: &usize| !class.fields[*index].flags.volatile && class.fields[*index].far.is_none();
        let mut fields: Vec<usize> = (0..class.fields.len()).filter(is_stored).collect();
        fields.sort_unstable_by_key(|index| class.fields[*index].name);
        let mut places = vec![None; class.fields.len()];
        fields.iter().enumerate().for_each(|(place, index)| places[*index] = Some(place));
        Ordered { class, fields, places }
    }

    /// What an object is beyond its defaults, as JSON. `differing` and `text` are only lent, so that nothing is
    /// allocated for each object.
    fn text_of<'a>(&self, object: &Object, differing: &mut Vec<usize>, text: &'a mut Vec<u8>) -> &'a [u8] {
        differing.clear();
        let fields = object.record.differences(default_record(self.class.id));
        differing.extend(fields.filter_map(|index| self.places[index]));
        differing.sort_unstable();
        text.clear();
        let members = differing.iter().map(|place| self.fields[*place]);
        let members = members.map(|index| (self.class.fields[index].name, Stored(&object.record[index])));
        serde_json::Serializer::new(&mut *text).collect_map(members).expect("BUG: a record is always JSON");
        text
    }
}

impl View {
    /// The hash of the state.
    pub fn state_hash(&self) -> Hash {
        let (mut sha, mut differing, mut text) = (Sha256::new(), Vec::new(), Vec::new());
        for ordered in &*ORDERED {
            for (reference, object) in &self.class(ordered.class.id).objects {
                sha.update(ordered.class.name.as_bytes());
                sha.update(reference.0);
                sha.update(ordered.text_of(object, &mut differing, &mut text));
            }
        }
        sha.finalize().into()
    }
}
