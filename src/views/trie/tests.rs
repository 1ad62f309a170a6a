//! The trie beside the standard library's map.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fmt::Debug;

/// Four half bytes; in the tests few of them, so that leaves fill, split and merge.
type Short = [u8; 2];

impl Key for Short {
    fn half_byte(&self, depth: usize) -> usize {
        half_byte(self, depth)
    }
}

/// The same with leaves as long as the longest that are used.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct InLongLeaves(Short);

impl Key for InLongLeaves {
    const LEAF_MAX: usize = 32;

    fn half_byte(&self, depth: usize) -> usize {
        half_byte(&self.0, depth)
    }
}

impl From<Short> for InLongLeaves {
    fn from(key: Short) -> InLongLeaves {
        InLongLeaves(key)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Insert(Short, u8),
    Remove(Short),
    Change(Short, u8),
}

fn key() -> impl Strategy<Value = Short> {
    let half = || prop_oneof![4 => Just(0u8), 1 => 1..16u8];
    (half(), half(), half(), 0..16u8).prop_map(|(a, b, c, d)| [a << 4 | b, c << 4 | d])
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (key(), any::<u8>()).prop_map(|(key, value)| Step::Insert(key, value)),
        2 => key().prop_map(Step::Remove),
        1 => (key(), any::<u8>()).prop_map(|(key, value)| Step::Change(key, value)),
    ]
}

fn assert_same<K: Key + Debug>(trie: &Trie<K, u8>, map: &BTreeMap<K, u8>) {
    assert!(trie.iter().eq(map.iter()), "{trie:?} {map:?}");
    assert_eq!((trie.len(), trie.is_empty()), (map.len(), map.is_empty()));
}

fn does_what_a_map_does<K: Key + Debug + From<Short>>(steps: &[Step], asked: &[Short]) -> Result<(), TestCaseError> {
    let (mut trie, mut map) = (Trie::<K, u8>::default(), BTreeMap::new());
    let mut kept = Vec::new();
    for step in steps {
        kept.push((trie.clone(), map.clone()));
        match *step {
            Step::Insert(key, value) => {
                prop_assert_eq!(trie.insert(key.into(), value), map.insert(key.into(), value))
            }
            Step::Remove(key) => prop_assert_eq!(trie.remove(&key.into()), map.remove(&key.into())),
            Step::Change(key, value) => {
                let (mine, theirs) = (trie.get_mut(&key.into()), map.get_mut(&key.into()));
                prop_assert_eq!(&mine, &theirs);
                mine.into_iter().chain(theirs).for_each(|held| *held = value);
            }
        }
        assert_same(&trie, &map);
    }
    for key in asked.iter().map(|key| K::from(*key)) {
        prop_assert_eq!(trie.get(&key), map.get(&key));
        prop_assert_eq!(trie.contains_key(&key), map.contains_key(&key));
        prop_assert!(trie.from(&key).eq(map.range(key..)));
    }
    // Nothing of this was seen by whoever kept an older version.
    kept.iter().for_each(|(trie, map)| assert_same(trie, map));
    let again: Trie<K, u8> = map.clone().into_iter().rev().collect();
    prop_assert_eq!(&again, &trie);
    prop_assert!(trie.is_same(&trie.clone()));
    Ok(())
}

proptest! {
    #[test]
    fn it_does_what_a_map_does(steps in prop::collection::vec(step(), 0..200), asked in prop::collection::vec(key(), 20)) {
        does_what_a_map_does::<Short>(&steps, &asked)?;
        does_what_a_map_does::<InLongLeaves>(&steps, &asked)?;
    }
}

#[test]
fn of_equal_keys_the_last_one_counts() {
    let trie: Trie<Short, u8> = [([1, 1], 1), ([0, 0], 2), ([1, 1], 3)].into_iter().collect();
    assert_same(&trie, &BTreeMap::from([([0, 0], 2), ([1, 1], 3)]));
}

#[test]
fn a_change_leaves_alone_what_is_beside_it() {
    let before: Trie<Short, Arc<u16>> = (0..=u16::MAX).step_by(7).map(|n| (n.to_be_bytes(), Arc::new(n))).collect();
    let mut after = before.clone();
    after.insert(0u16.to_be_bytes(), Arc::new(1));
    let shared = before.values().filter(|value| Arc::strong_count(value) == 1).count();
    assert!(before.len() - shared <= Short::LEAF_MAX, "only the leaf was copied");
    assert!(!after.is_same(&before));
}
