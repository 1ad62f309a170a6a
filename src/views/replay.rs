//! A long replay: a view made of many events that nobody asks meanwhile.
//!
//! Two indexes of a class follow from its objects and change with nearly every
//! event: its names and its order of changes. To keep them takes a third of a
//! replay's time, to make them anew takes milliseconds; so a long replay leaves
//! them as they are, and makes those that became stale when it ends.
//!
//! ```text
//!   view ──begin──▶ left alone ──a change──▶ stale ──end──▶ made anew
//! ```

use super::names::Names;
use super::order::Order;
use super::{ClassView, Object, View, replay};
use crate::event::Event;
use crate::log::Hash;
use crate::model::{CLASSES, ClassId};
use std::sync::Arc;

/// How a class keeps what follows from its objects.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) enum Indexes {
    #[default]
    Kept,
    /// By a long replay: they say what was when it began.
    LeftAlone,
    Stale,
}

/// See the module.
pub struct Replay(View);

impl Replay {
    /// Goes on where a view ends.
    pub fn behind(mut view: View) -> Replay {
        CLASSES.iter().for_each(|class| view.class_mut(class.id).indexes = Indexes::LeftAlone);
        Replay(view)
    }

    /// Applies the next event; its row's hash goes along.
    pub fn event(&mut self, event: &Event, hash: &Hash) {
        replay(&mut self.0, event);
        self.0.hash = *hash;
    }

    /// The view so far. Nothing in it is to be looked for by its name or by when it changed.
    pub fn view(&self) -> &View {
        &self.0
    }

    /// The view, whole.
    pub fn end(mut self) -> View {
        for class in CLASSES {
            let state = self.0.class_mut(class.id);
            if std::mem::take(&mut state.indexes) == Indexes::Stale {
                let objects: Vec<Arc<Object>> = state.objects.values().cloned().collect();
                state.names = Names::of(class.id, &objects);
                state.order = Order::of(&objects);
            }
        }
        self.0
    }
}

impl ClassView {
    /// Whether the indexes are to follow a change.
    pub(super) fn keeps_indexes(&mut self) -> bool {
        if self.indexes == Indexes::LeftAlone {
            self.indexes = Indexes::Stale;
        }
        self.indexes == Indexes::Kept
    }

    /// One object stands in another's place, or came, or went: it may have another name.
    pub(super) fn renamed(&mut self, class: ClassId, before: Option<&Object>, after: Option<&Object>) {
        if self.keeps_indexes() {
            self.names.replaced(class, before, after);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Row;
    use crate::views::check;
    use crate::views::store::tests::{sample, world};

    /// Begun anywhere, it ends with what one event after the other makes.
    #[test]
    fn a_long_replay_ends_with_the_same_view() {
        let mut whole = View::default();
        let rows = sample(&mut whole, &world());
        for begin in [0, 1, rows.len() / 2, rows.len() - 1, rows.len()] {
            let mut view = View::default();
            let event = |row: &Row| row.event().expect("readable");
            rows[..begin].iter().for_each(|row| replay(&mut view, &event(row)));
            let mut long = Replay::behind(view);
            rows[begin..].iter().for_each(|row| long.event(&event(row), &row.hash));
            let view = long.end();
            assert_eq!(check::difference(&view, &whole), None);
            check::invariants(&view).expect("its indexes are whole");
            assert!(CLASSES.iter().all(|class| view.class(class.id).indexes == Indexes::Kept));
        }
    }
}
