//! Answers that many who wait are given: a thousand clients in `event.from`
//! with the same token are told the same, so it is written once. Only bytes are
//! kept, and only of the newest position: whatever is behind is never asked for
//! again by so many.
//!
//! Must never know how anything is written.

use super::events::{Subscription, Token};
use crate::value::rendering::Shared;
use crate::views::read::{Scope, Sight};
use std::sync::{Arc, Mutex};

/// Different answers at one position that are kept.
const ANSWERS_MAX: usize = 16;
/// The most objects in an answer that is kept.
pub const OBJECTS_MAX: usize = 64;

/// See the module.
#[derive(Default)]
pub struct Alike(Mutex<Newest>);

#[derive(Default)]
struct Newest {
    position: u64,
    answers: Vec<(Asked, Arc<Shared>)>,
}

/// What the answer follows from, besides the view.
struct Asked {
    subscription: Subscription,
    since: Token,
    scope: Scope,
}

impl Alike {
    /// Where the answer to this is kept, or will be; for an answer of so many objects.
    pub fn shared(&self, sight: &Sight, subscription: &Subscription, since: Token, objects: usize) -> Arc<Shared> {
        if objects > OBJECTS_MAX {
            return Arc::default();
        }
        let mut newest = self.0.lock().expect("BUG: nobody panics while holding this lock");
        if newest.position < sight.view.position {
            *newest = Newest { position: sight.view.position, answers: Vec::new() };
        }
        if newest.position > sight.view.position {
            return Arc::default();
        }
        let same =
            |asked: &Asked| asked.since == since && asked.scope == sight.scope && asked.subscription == *subscription;
        if let Some((_, known)) = newest.answers.iter().find(|(asked, _)| same(asked)) {
            return known.clone();
        }
        let shared = Arc::<Shared>::default();
        if newest.answers.len() < ANSWERS_MAX {
            let asked = Asked { subscription: subscription.clone(), since, scope: sight.scope.clone() };
            newest.answers.push((asked, shared.clone()));
        }
        shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::View;

    fn at(position: u64) -> Sight {
        let mut view = View::default();
        view.position = position;
        Sight { view: Arc::new(view), scope: Scope::All }
    }

    #[test]
    fn the_same_is_shared_and_nothing_else() {
        let alike = Alike::default();
        let (machines, networks) = (Subscription::parse(["VM"]), Subscription::parse(["network"]));
        let since = |position| Token { position, lineage: 1 };
        let first = alike.shared(&at(5), &machines, since(4), 1);
        assert!(Arc::ptr_eq(&first, &alike.shared(&at(5), &machines, since(4), 1)));
        assert!(!Arc::ptr_eq(&first, &alike.shared(&at(5), &machines, since(3), 1)), "behind another token");
        assert!(!Arc::ptr_eq(&first, &alike.shared(&at(5), &networks, since(4), 1)), "of another class");
        let hidden = Sight { scope: Scope::nothing(), ..at(5) };
        assert!(!Arc::ptr_eq(&first, &alike.shared(&hidden, &machines, since(4), 1)), "for somebody who sees less");
        assert!(!Arc::ptr_eq(&first, &alike.shared(&at(6), &machines, since(4), 1)), "at another position");
        assert!(!Arc::ptr_eq(&first, &alike.shared(&at(5), &machines, since(4), 1)), "the newest position is kept");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let alike = Alike::default();
        let machines = Subscription::parse(["VM"]);
        let ask = |position, objects| alike.shared(&at(50), &machines, Token { position, lineage: 1 }, objects);
        assert!(!Arc::ptr_eq(&ask(1, OBJECTS_MAX + 1), &ask(1, OBJECTS_MAX + 1)), "a large answer is not kept");
        for position in 0..2 * ANSWERS_MAX as u64 {
            ask(position, 1);
        }
        assert!(Arc::ptr_eq(&ask(0, 1), &ask(0, 1)));
        assert!(!Arc::ptr_eq(&ask(40, 1), &ask(40, 1)), "more than the most are not kept");
    }
}
