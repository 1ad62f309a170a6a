//! The newest batches, decoded, for whoever keeps up: kept only while somebody
//! follows, and bounded. What is told of a batch is made once for all who
//! want the same.

use super::delivered::{Delivered, Want};
use super::page::Told;
use crate::event::Event;
use crate::log::writer::Published;
use crate::value::rendering;
use crate::views::{Effect, View, replay};
use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};

/// Events kept, over all batches.
const RECENT_MAX: usize = 10_000;
/// Bytes of payload kept, over all batches: who is behind more than that is served from the log.
const BYTES_MAX: usize = 16 << 20;
/// Bytes of what is told of them, as it was rendered for those who want different things of them in different ways.
pub(super) const RENDERED_MAX: usize = 64 << 20;
/// Different wants for which one batch remembers what is told; more are worked out each time.
const WANTS_MAX: usize = 64;

/// See the module.
#[derive(Default)]
pub(super) struct Recent {
    batches: VecDeque<Arc<Kept>>,
    events: usize,
    bytes: usize,
    pub(super) rendered: rendering::Weight,
    /// Events at or below this position are not here.
    floor: u64,
    /// The position after the last batch.
    reached: u64,
    pub followers: usize,
}

/// A batch that is kept.
pub struct Kept {
    batch: Arc<Published>,
    rendered: rendering::Weight,
    told: Mutex<Vec<(Arc<Want>, Arc<Told>)>>,
}

/// Gives the view after an event; it costs something.
pub type Look<'a> = &'a mut dyn FnMut() -> Arc<View>;

impl std::ops::Deref for Kept {
    type Target = Published;

    fn deref(&self) -> &Published {
        &self.batch
    }
}

impl Recent {
    /// Keeps a batch; gives those that had to make room, for whoever has time to let go of them.
    pub fn remember(&mut self, batch: &Arc<Published>) -> Vec<Arc<Kept>> {
        let missed = batch.before.position != self.reached;
        self.reached = batch.view.position;
        if self.followers == 0 {
            self.skip_to(batch.view.position);
        } else if missed {
            self.skip_to(batch.before.position);
            self.reached = batch.view.position;
        }
        let mut gone = Vec::new();
        if self.followers == 0 {
            return gone;
        }
        self.events += batch.events.len();
        self.bytes += batch.bytes;
        let (batch, rendered) = (batch.clone(), self.rendered.clone());
        self.batches.push_back(Arc::new(Kept { batch, rendered, told: Mutex::default() }));
        while self.events > RECENT_MAX || self.bytes > BYTES_MAX {
            gone.extend(self.pop());
        }
        // Weighs less only when it is let go of.
        while self.rendered.load(Ordering::Relaxed) > RENDERED_MAX
            && let Some(oldest) = self.pop()
        {
            drop(oldest);
        }
        gone
    }

    /// Takes the oldest batch out.
    fn pop(&mut self) -> Option<Arc<Kept>> {
        let oldest = self.batches.pop_front()?;
        self.events -= oldest.events.len();
        self.bytes -= oldest.bytes;
        self.floor = oldest.view.position;
        Some(oldest)
    }

    /// What was published up to there is not kept.
    pub fn skip_to(&mut self, position: u64) {
        self.batches.clear();
        (self.events, self.bytes) = (0, 0);
        self.floor = position;
        self.reached = position;
    }

    pub fn after(&self, position: u64) -> Option<Vec<Arc<Kept>>> {
        if position < self.floor {
            return None;
        }
        let first = self.batches.partition_point(|batch| batch.view.position <= position);
        Some(self.batches.range(first..).cloned().collect())
    }

    pub fn near(&self, position: u64) -> Option<Arc<View>> {
        let at = self.batches.partition_point(|batch| batch.view.position < position);
        self.batches.get(at).or(self.batches.back()).map(|batch| batch.view.clone())
    }
}

impl Kept {
    /// What is told of the batch's events, in order. Subscriptions to the same share it, unless something is told to
    /// one of them alone.
    pub fn told(&self, want: &Arc<Want>) -> Arc<Told> {
        let alone = want.notified.is_some() && self.events.iter().any(|(_, effects)| want.is_notified(effects));
        let notified = want.notified.filter(|_| alone);
        let same = |known: &Want| known.notified == notified && known.is_like(want);
        let known = self.all_told().iter().find(|(known, _)| same(known)).map(|(_, told)| told.clone());
        if let Some(known) = known {
            return known;
        }
        let want = if notified == want.notified { want.clone() } else { Arc::new(want.without_notified()) };
        let told = Arc::new(Told::counted(self.tell(&want), &self.rendered));
        let mut all = self.all_told();
        if all.len() < WANTS_MAX {
            all.push((want, told.clone()));
        }
        told
    }

    fn all_told(&self) -> MutexGuard<'_, Vec<(Arc<Want>, Arc<Told>)>> {
        self.told.lock().expect("BUG: nobody panics while holding this lock")
    }

    fn tell(&self, want: &Want) -> Vec<Delivered> {
        let mut told = Vec::new();
        self.each(|event, effects, after| {
            told.extend(want.tell(event, effects, after));
            true
        });
        told
    }

    /// Shows the batch's events with what each did, and the view after it for who asks, until it is enough.
    pub fn each(&self, mut show: impl FnMut(&Event, &[Effect], Look<'_>) -> bool) -> bool {
        let (mut view, mut folded) = (None, 0);
        self.events.iter().enumerate().all(|(nth, (event, effects))| {
            let mut after = || {
                if nth + 1 == self.events.len() {
                    return self.view.clone();
                }
                let view = view.get_or_insert_with(|| View::clone(&self.before));
                for (event, _) in &self.events[folded..=nth] {
                    replay(view, event);
                }
                folded = nth + 1;
                Arc::new(view.clone())
            };
            show(event, effects, &mut after)
        })
    }
}
