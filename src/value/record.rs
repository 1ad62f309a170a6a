//! A record: one value for each field of a class, in the model's order.
//!
//! Values lie in blocks that records share until one of them changes: most
//! fields of most objects have their default for ever, and changing one field
//! must not cost a copy of a hundred.
//!
//! ```text
//!   defaults of VM  ▢▢▢▢ ▢▢▢▢ ▢▢▢▢ ▢▢▢▢
//!                    │          │    │      shared
//!   one machine      └─▢ ▣▢▢▣ ──▢ ──▢      its own: the second block
//! ```

use super::Value;
use std::ops::{Index, IndexMut};
use std::sync::Arc;

/// Values in a block: few enough to copy one block at a change, enough that a record is few blocks.
const BLOCK: usize = 8;

/// See the module.
#[derive(Clone, Debug)]
pub struct Record {
    blocks: Box<[Arc<[Value; BLOCK]>]>,
    len: usize,
}

impl Record {
    /// How many fields it has.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The values, in the model's order.
    pub fn iter(&self) -> impl Iterator<Item = &Value> {
        self.blocks.iter().flat_map(|block| block.iter()).take(self.len)
    }

    /// Has a value from now on; where it has it already, nothing is copied.
    pub fn put(&mut self, field: usize, value: Value) {
        if self[field] != value {
            self[field] = value;
        }
    }

    /// Takes from another record of the same class what is equal, and so keeps it in memory once.
    pub fn share(&mut self, other: &Record) {
        for (mine, theirs) in self.blocks.iter_mut().zip(&other.blocks) {
            if Arc::ptr_eq(mine, theirs) {
                continue;
            }
            if mine == theirs {
                *mine = theirs.clone();
            } else if let Some(own) = Arc::get_mut(mine) {
                let equal = own.iter_mut().zip(theirs.iter()).filter(|(value, same)| *value == *same);
                equal.for_each(|(value, same)| *value = same.clone());
            }
        }
    }

    /// The indexes of the fields that differ from another record's of the same class; blocks that both share are
    /// not looked at.
    pub fn differences<'a>(&'a self, other: &'a Record) -> impl Iterator<Item = usize> + 'a {
        let pairs = self.blocks.iter().zip(&other.blocks).enumerate();
        let own = pairs.filter(|(_, (mine, theirs))| !Arc::ptr_eq(mine, theirs));
        own.flat_map(|(at, (mine, theirs))| {
            let differ = move |within: &usize| mine[*within] != theirs[*within];
            (0..BLOCK).filter(differ).map(move |within| at * BLOCK + within)
        })
    }
}

impl FromIterator<Value> for Record {
    fn from_iter<I: IntoIterator<Item = Value>>(values: I) -> Record {
        let mut values = values.into_iter().peekable();
        let (mut blocks, mut len) = (Vec::new(), 0);
        while values.peek().is_some() {
            blocks.push(Arc::new(std::array::from_fn(|_| {
                let value = values.next();
                len += usize::from(value.is_some());
                value.unwrap_or(Value::Absent)
            })));
        }
        Record { blocks: blocks.into(), len }
    }
}

impl Index<usize> for Record {
    type Output = Value;

    fn index(&self, field: usize) -> &Value {
        &self.blocks[field / BLOCK][field % BLOCK]
    }
}

impl IndexMut<usize> for Record {
    /// A value to be changed: its block becomes the record's own.
    fn index_mut(&mut self, field: usize) -> &mut Value {
        &mut Arc::make_mut(&mut self.blocks[field / BLOCK])[field % BLOCK]
    }
}

impl PartialEq for Record {
    fn eq(&self, other: &Record) -> bool {
        self.len == other.len && self.differences(other).next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(len: i64) -> Record {
        (0..len).map(Value::Int).collect()
    }

    #[test]
    fn has_the_values_it_was_made_of() {
        for len in [0, 1, 7, 8, 9, 100] {
            let record = record(len);
            assert_eq!(record.len(), len as usize);
            assert_eq!(record.iter().cloned().collect::<Vec<_>>(), (0..len).map(Value::Int).collect::<Vec<_>>());
            assert!((0..len).all(|at| record[at as usize] == Value::Int(at)));
        }
    }

    #[test]
    fn a_change_is_seen_in_one_record_only() {
        let before = record(20);
        let mut after = before.clone();
        assert_eq!(after, before);
        after[9] = Value::Int(-9);
        after[19] = Value::Int(-19);
        assert_eq!(before, record(20));
        assert_ne!(after, before);
        assert_eq!(after.differences(&before).collect::<Vec<_>>(), [9, 19]);
        assert!(Arc::ptr_eq(&after.blocks[0], &before.blocks[0]), "what did not change is shared");
        after[9] = Value::Int(9);
        after[19] = Value::Int(19);
        assert_eq!(after, before, "equal values, whether shared or not");
    }

    #[test]
    fn equal_parts_are_kept_once() {
        let text = |last: &str| (0..20).map(|_| Value::text("same")).chain([Value::text(last)]).collect::<Record>();
        let (first, mut second) = (text("a"), text("b"));
        second.share(&first);
        assert_eq!(second, text("b"));
        assert!(Arc::ptr_eq(&first.blocks[0], &second.blocks[0]) && Arc::ptr_eq(&first.blocks[1], &second.blocks[1]));
        let kept_once = |field: usize| match (&first[field], &second[field]) {
            (Value::String(first), Value::String(second)) => Arc::ptr_eq(first, second),
            _ => false,
        };
        assert!(kept_once(19) && !kept_once(20), "also in a block that is not equal as a whole");
    }

    #[test]
    fn records_of_different_lengths_differ() {
        assert_ne!(record(8), record(9));
        assert_ne!(record(16), record(17));
    }
}
