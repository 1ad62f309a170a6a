//! A persistent map with its keys in order, for keys whose bytes are evenly
//! spread, as those of references and hashes are.
//!
//! A change touches one object in thousands, and whoever reads keeps the state
//! from before it. So what counts is how little one change copies: a leaf and a
//! branch or two of sixteen, each a pointer whose count goes up and down again.
//!
//! Each branch stands for half a byte of the key, from the left. Entries that
//! are alike so far lie in one leaf, in order, until they are too many.
//!
//! ```text
//!            0  1  2  …  f            the first half byte
//!            │     │
//!   04… 0b… ─┘     ├─ 0  1  2  …  f   the second
//!                  │     │        │
//!                  │   21… 21…   2f…
//! ```
//!
//! Must never know what it holds.

use std::sync::Arc;

/// Branches of a node.
const WIDTH: usize = 16;

/// A key, by its half bytes: two keys are in the order of the first that differs.
pub trait Key: Copy + Ord {
    /// Entries that lie together in a leaf. More where a leaf is copied as bytes: above it are fewer branches to copy then,
    /// whose pointers are counted one by one.
    const LEAF_MAX: usize = 8;
    /// A branch with no more entries than these becomes a leaf again: less than splits it, so that it does not flutter.
    const MERGED_AT: usize = Self::LEAF_MAX / 2;

    /// The half byte at this depth, 0 to 15. Asked only where keys may still differ.
    fn half_byte(&self, depth: usize) -> usize;
}

/// The half byte of some bytes at a depth.
pub fn half_byte(bytes: &[u8], depth: usize) -> usize {
    usize::from(bytes[depth / 2] >> (4 * (1 - depth % 2)) & 0xf)
}

/// See the module.
#[derive(Clone)]
pub struct Trie<K, V> {
    root: Node<K, V>,
    len: usize,
}

enum Node<K, V> {
    Empty,
    Leaf(Arc<[(K, V)]>),
    Branch(Arc<[Node<K, V>; WIDTH]>),
}

impl<K, V> Clone for Node<K, V> {
    fn clone(&self) -> Node<K, V> {
        match self {
            Node::Empty => Node::Empty,
            Node::Leaf(entries) => Node::Leaf(entries.clone()),
            Node::Branch(nodes) => Node::Branch(nodes.clone()),
        }
    }
}

impl<K, V> Default for Trie<K, V> {
    fn default() -> Trie<K, V> {
        Trie { root: Node::Empty, len: 0 }
    }
}

impl<K: Key, V: Clone> Trie<K, V> {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn get(&self, key: &K) -> Option<&V> {
        let (mut node, mut depth) = (&self.root, 0);
        while let Node::Branch(nodes) = node {
            node = &nodes[key.half_byte(depth)];
            depth += 1;
        }
        let Node::Leaf(entries) = node else { return None };
        Some(&entries[place(entries, key).ok()?].1)
    }

    pub fn contains_key(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// A value to be changed; what other versions share on the way to it is copied.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let (mut node, mut depth) = (&mut self.root, 0);
        while let Node::Branch(nodes) = node {
            node = &mut Arc::make_mut(nodes)[key.half_byte(depth)];
            depth += 1;
        }
        let Node::Leaf(entries) = node else { return None };
        let at = place(entries, key).ok()?;
        Some(&mut Arc::make_mut(entries)[at].1)
    }

    /// Gives the value that was there before.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let before = insert(&mut self.root, 0, key, value);
        self.len += usize::from(before.is_none());
        before
    }

    /// Gives the value that was there.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let before = self.get(key)?.clone();
        remove(&mut self.root, 0, key);
        self.len -= 1;
        Some(before)
    }

    /// Every entry, in the order of the keys.
    pub fn iter(&self) -> Iter<'_, K, V> {
        Iter { open: vec![std::slice::from_ref(&self.root).iter()], leaf: [].iter() }
    }

    /// The entries from this key on, in order.
    pub fn from(&self, key: &K) -> Iter<'_, K, V> {
        let (mut node, mut open) = (&self.root, Vec::new());
        while let Node::Branch(nodes) = node {
            let at = key.half_byte(open.len());
            open.push(nodes[at + 1..].iter());
            node = &nodes[at];
        }
        let entries = match node {
            Node::Leaf(entries) => &entries[place(entries, key).unwrap_or_else(|behind| behind)..],
            _ => &[],
        };
        Iter { open, leaf: entries.iter() }
    }

    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// Whether both are one and the same version, so that nobody needs to compare them; `false` tells nothing.
    pub fn is_same(&self, other: &Trie<K, V>) -> bool {
        match (&self.root, &other.root) {
            (Node::Empty, Node::Empty) => true,
            (Node::Leaf(one), Node::Leaf(other)) => Arc::ptr_eq(one, other),
            (Node::Branch(one), Node::Branch(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

/// Where a key is in a leaf, or where it would be.
fn place<K: Key, V>(entries: &[(K, V)], key: &K) -> Result<usize, usize> {
    entries.binary_search_by(|(other, _)| other.cmp(key))
}

/// The node that holds these entries, which are in order.
fn node<K: Key, V: Clone>(entries: &[(K, V)], depth: usize) -> Node<K, V> {
    if entries.is_empty() {
        return Node::Empty;
    }
    if entries.len() <= K::LEAF_MAX {
        return Node::Leaf(entries.into());
    }
    let mut nodes = [const { Node::Empty }; WIDTH];
    for alike in entries.chunk_by(|(one, _), (other, _)| one.half_byte(depth) == other.half_byte(depth)) {
        nodes[alike[0].0.half_byte(depth)] = node(alike, depth + 1);
    }
    Node::Branch(Arc::new(nodes))
}

fn insert<K: Key, V: Clone>(at: &mut Node<K, V>, depth: usize, key: K, value: V) -> Option<V> {
    match at {
        Node::Empty => *at = Node::Leaf(Arc::new([(key, value)])),
        Node::Branch(nodes) => {
            return insert(&mut Arc::make_mut(nodes)[key.half_byte(depth)], depth + 1, key, value);
        }
        Node::Leaf(entries) => match place(entries, &key) {
            Ok(here) => return Some(std::mem::replace(&mut Arc::make_mut(entries)[here].1, value)),
            Err(here) => {
                let (left, right) = entries.split_at(here);
                let more: Vec<(K, V)> =
                    left.iter().cloned().chain([(key, value)]).chain(right.iter().cloned()).collect();
                *at = node(&more, depth);
            }
        },
    }
    None
}

/// Takes out a key that is there.
fn remove<K: Key, V: Clone>(at: &mut Node<K, V>, depth: usize, key: &K) {
    match at {
        Node::Empty => {}
        Node::Branch(nodes) => {
            let nodes = Arc::make_mut(nodes);
            remove(&mut nodes[key.half_byte(depth)], depth + 1, key);
            if let Some(left) = few(nodes) {
                *at = node(&left, depth);
            }
        }
        Node::Leaf(entries) => {
            let left: Vec<(K, V)> = entries.iter().filter(|(other, _)| other != key).cloned().collect();
            *at = node(&left, depth);
        }
    }
}

/// What a branch holds, if it is so little that a leaf does.
fn few<K: Key, V: Clone>(nodes: &[Node<K, V>; WIDTH]) -> Option<Vec<(K, V)>> {
    let mut held = 0;
    for node in nodes {
        held += match node {
            Node::Empty => 0,
            Node::Leaf(entries) => entries.len(),
            Node::Branch(_) => return None,
        };
    }
    let leaves = nodes.iter().filter_map(|node| match node {
        Node::Leaf(entries) => Some(&entries[..]),
        _ => None,
    });
    (held <= K::MERGED_AT).then(|| leaves.flatten().cloned().collect())
}

/// See [`Trie::iter`].
pub struct Iter<'a, K, V> {
    /// The nodes that are still to come, from the root down.
    open: Vec<std::slice::Iter<'a, Node<K, V>>>,
    leaf: std::slice::Iter<'a, (K, V)>,
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<(&'a K, &'a V)> {
        loop {
            if let Some((key, value)) = self.leaf.next() {
                return Some((key, value));
            }
            match self.open.last_mut()?.next() {
                None => drop(self.open.pop()),
                Some(Node::Empty) => {}
                Some(Node::Leaf(entries)) => self.leaf = entries.iter(),
                Some(Node::Branch(nodes)) => self.open.push(nodes.iter()),
            }
        }
    }
}

impl<'a, K: Key, V: Clone> IntoIterator for &'a Trie<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Iter<'a, K, V>;

    fn into_iter(self) -> Iter<'a, K, V> {
        self.iter()
    }
}

impl<K: Key, V: Clone> FromIterator<(K, V)> for Trie<K, V> {
    /// In any order; of equal keys the last one counts.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Trie<K, V> {
        let mut entries: Vec<(K, V)> = entries.into_iter().collect();
        entries.reverse();
        entries.sort_by_key(|(key, _)| *key);
        entries.dedup_by_key(|(key, _)| *key);
        Trie { root: node(&entries, 0), len: entries.len() }
    }
}

impl<K: Key, V: Clone + PartialEq> PartialEq for Trie<K, V> {
    fn eq(&self, other: &Trie<K, V>) -> bool {
        self.is_same(other) || (self.len == other.len && self.iter().eq(other.iter()))
    }
}

impl<K: Key + std::fmt::Debug, V: Clone + std::fmt::Debug> std::fmt::Debug for Trie<K, V> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_map().entries(self).finish()
    }
}

#[cfg(test)]
mod tests;
