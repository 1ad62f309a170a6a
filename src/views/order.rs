//! A class's changes in the order of their positions, so that asking for what
//! changed since one costs what changed, not what there is.
//!
//! A change is noted at the end and nothing else is touched. What was noted of
//! an object before stays as a leftover: the object itself says which change was
//! its last. Leftovers go when they are more than what counts.
//!
//! ```text
//!   1:a  2:b  3:a  4:c  5:a        a was last changed at 5
//!    ·    ✓    ·    ✓    ✓
//! ```

use super::{ClassView, Object};
use crate::value::Ref;
use std::sync::Arc;

/// Leftovers that may stay besides as many as there are objects: a class with few does not tidy up all the time.
const LEFTOVERS: usize = 64;

/// See the module.
#[derive(Clone, Default)]
pub(super) struct Order(imbl::Vector<(u64, Ref)>);

impl Order {
    /// Of a whole class.
    pub(super) fn of(objects: &[Arc<Object>]) -> Order {
        let mut order: Vec<(u64, Ref)> = objects.iter().map(|object| (object.modified, object.reference)).collect();
        order.sort_unstable();
        Order(order.into_iter().collect())
    }
}

impl ClassView {
    /// The objects that changed behind a position, in the order of their last changes.
    pub fn changed(&self, after: u64) -> impl Iterator<Item = &Arc<Object>> {
        let order = &self.order.0;
        let mut begin = order.len();
        // What is asked for is at the end; an iterator would hold on to the whole, and thousands ask at once.
        while begin > 0 && order.get(begin - 1).is_some_and(|(noted, _)| *noted > after) {
            begin -= 1;
        }
        (begin..order.len()).filter_map(|at| self.still(order.get(at)?))
    }

    /// Notes that an object has changed, once for each position.
    pub(super) fn note(&mut self, position: u64, object: Ref) {
        if !self.keeps_indexes() {
            return;
        }
        let order = &mut self.order.0;
        // Events that were taken back are folded again.
        while order.back().is_some_and(|(noted, _)| *noted > position) {
            order.pop_back();
        }
        order.push_back((position, object));
        if order.len() > 2 * self.objects.len() + LEFTOVERS {
            let kept = self.order.0.iter().filter(|noted| self.still(noted).is_some()).copied().collect();
            self.order = Order(kept);
        }
    }

    /// Lets leftovers at the beginning go, so that the oldest change is found at once; an object was deleted.
    pub(super) fn forget_oldest(&mut self) {
        while self.order.0.front().is_some_and(|noted| self.still(noted).is_none()) {
            self.order.0.pop_front();
        }
    }

    /// The object, if what is noted was its last change.
    fn still(&self, noted: &(u64, Ref)) -> Option<&Arc<Object>> {
        self.objects.get(&noted.1).filter(|object| object.modified == noted.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ClassId;
    use crate::value::default_record;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn object(reference: Ref, modified: u64) -> Arc<Object> {
        let record = default_record(ClassId::message).clone();
        Arc::new(Object { reference, created: 1, modified, record })
    }

    /// The last change of each object, in order.
    fn told(class: &ClassView, after: u64) -> Vec<(u64, Ref)> {
        class.changed(after).map(|object| (object.modified, object.reference)).collect()
    }

    proptest! {
        #[test]
        fn says_what_changed_last_and_keeps_few_leftovers(
            steps in prop::collection::vec((0..12u8, prop::bool::weighted(0.1)), 0..600),
        ) {
            let (mut class, mut last) = (ClassView::default(), BTreeMap::new());
            for (position, (name, deleted)) in (1..).zip(steps) {
                let name = Ref([name; 16]);
                if deleted {
                    class.objects.remove(&name);
                    last.remove(&name);
                    class.forget_oldest();
                } else {
                    class.objects.insert(name, object(name, position));
                    last.insert(name, position);
                    class.note(position, name);
                }
                prop_assert!(class.order.0.len() <= 2 * 12 + LEFTOVERS);
            }
            let mut expected: Vec<(u64, Ref)> = last.into_iter().map(|(name, position)| (position, name)).collect();
            expected.sort_unstable();
            prop_assert_eq!(told(&class, 0), expected.clone());
            for after in expected.iter().map(|(position, _)| *position) {
                let behind: Vec<_> = expected.iter().filter(|(position, _)| *position > after).copied().collect();
                prop_assert_eq!(told(&class, after), behind);
            }
        }
    }

    #[test]
    fn what_was_taken_back_is_noted_again() {
        let mut class = ClassView::default();
        let (one, other) = (Ref([1; 16]), Ref([2; 16]));
        for (position, name) in [(1, one), (2, other), (3, one)] {
            class.objects.insert(name, object(name, position));
            class.note(position, name);
        }
        class.objects.insert(other, object(other, 2));
        class.objects.insert(one, object(one, 2));
        class.note(2, one);
        assert_eq!(told(&class, 1), [(2, other), (2, one)]);
    }
}
