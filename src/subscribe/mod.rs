//! Who waits for what, and how they are woken: by key, after the answers of a
//! batch have left. Nobody carries data this way: a woken waiter looks again.
//!
//! ```text
//!   register key ──▶ read view ── something there ──▶ answer
//!        ▲               └─ nothing ──▶ wait for the key ──┐
//!        └──────────────────────────────────────────────────┘
//! ```
//!
//! Must never know how an answer is rendered, or what a principal may read.

pub mod alike;
pub mod delivered;
pub mod events;
pub mod feed;
pub mod past;
pub mod push;
pub mod recent;

use crate::log::writer::Published;
use crate::model::ClassId;
use crate::value::Ref;
use crate::views::filter::Filter;
use crate::views::{Effect, View};
use alike::Alike;
use recent::{Kept, Recent};
use slab::Slab;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::Notify;

/// What a waiter waits for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Key {
    Any,
    Class(ClassId),
    Object(ClassId, Ref),
    /// One field of any object of a class.
    Field(ClassId, u16),
    /// One field of one object.
    ObjectField(ClassId, Ref, u16),
    /// Objects of a class that come or go.
    Lives(ClassId),
}

impl Key {
    fn is_about_fields(self) -> bool {
        matches!(self, Key::Field(..) | Key::ObjectField(..) | Key::Lives(_))
    }

    /// The keys under which everything happens that a filter wants.
    pub fn of(filter: &Filter) -> Vec<Key> {
        if filter.every() {
            return vec![Key::Any];
        }
        let mut keys = Vec::with_capacity(filter.wants().len());
        for want in filter.wants() {
            match (want.object, want.field) {
                (None, None) => keys.push(Key::Class(want.class)),
                (Some(object), None) => keys.push(Key::Object(want.class, object)),
                (None, Some(field)) => keys.extend([Key::Field(want.class, field as u16), Key::Lives(want.class)]),
                (Some(object), Some(field)) => {
                    keys.extend([Key::ObjectField(want.class, object, field as u16), Key::Lives(want.class)]);
                }
            }
        }
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}

/// Calls with the keys of the fields that an effect changed.
fn fields_touched(effect: &Effect, wake: &impl Fn(Key)) {
    if effect.before.is_none() || effect.after.is_none() {
        wake(Key::Lives(effect.class));
    }
    for field in &effect.fields {
        wake(Key::Field(effect.class, *field as u16));
        wake(Key::ObjectField(effect.class, effect.reference, *field as u16));
    }
}

/// Who is woken before others have their turn: half of what a thread of the runtime keeps for itself.
const WOKEN_AT_ONCE: usize = 128;
/// Who may still be to be woken when the next batch is taken.
const WAKING_MAX: usize = 100_000;
/// Batches that may wait for the publisher; beyond, everybody is woken instead.
const BACKLOG_MAX: usize = 4096;

/// The meeting place of the writer and of everyone who waits. Cheap to clone.
#[derive(Clone, Default)]
pub struct Subscribers(Arc<Shared>);

#[derive(Default)]
struct Shared {
    waiters: Mutex<Waiters>,
    backlog: Mutex<Backlog>,
    arrived: Notify,
    recent: Mutex<Recent>,
    alike: Alike,
}

#[derive(Default)]
struct Waiters {
    by_key: HashMap<Key, Slab<Arc<Notify>>, foldhash::fast::RandomState>,
    /// How many keys are about fields.
    by_field: usize,
}

#[derive(Default)]
struct Backlog {
    batches: VecDeque<Arc<Published>>,
    /// The newest position that did not fit.
    lost: Option<u64>,
}

/// Every panic of ours happens before or after these short critical sections.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("BUG: nobody panics while holding this lock")
}

impl Subscribers {
    /// Takes a batch from the writer: cheap, never blocks.
    pub fn publish(&self, batch: Arc<Published>) {
        let mut backlog = locked(&self.0.backlog);
        if backlog.batches.len() < BACKLOG_MAX {
            backlog.batches.push_back(batch);
        } else {
            backlog.lost = Some(batch.view.position);
        }
        drop(backlog);
        self.0.arrived.notify_one();
    }

    /// Wakes waiters for each batch, for ever. One task runs this. What arrives is remembered before anybody else is
    /// woken, and others have their turn after each few: what a crowd does is not what the next call waits for.
    pub async fn run(self) {
        let mut waking = VecDeque::new();
        loop {
            while waking.len() < WAKING_MAX && self.take(&mut waking) {}
            match waking.len() {
                0 => self.0.arrived.notified().await,
                some => {
                    waking.drain(..some.min(WOKEN_AT_ONCE)).for_each(|notify: Arc<Notify>| notify.notify_one());
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    /// Remembers the next batch, and adds who is to be woken because of it; false if there is none.
    fn take(&self, waking: &mut VecDeque<Arc<Notify>>) -> bool {
        let (batch, lost) = {
            let mut backlog = locked(&self.0.backlog);
            let batch = backlog.batches.pop_front();
            let lost = if batch.is_none() { backlog.lost.take() } else { None };
            (batch, lost)
        };
        if let Some(batch) = &batch {
            locked(&self.0.recent).remember(batch);
            waking.extend(self.concerned(batch));
        } else if let Some(position) = lost {
            locked(&self.0.recent).skip_to(position);
            waking.extend(self.all());
        }
        batch.is_some() || lost.is_some()
    }

    /// Registers for some keys; register first, then read, then wait.
    pub fn register(&self, keys: Vec<Key>) -> Waiter {
        let notify = Arc::new(Notify::new());
        let mut waiters = locked(&self.0.waiters);
        let places = keys.into_iter().map(|key| {
            waiters.by_field += usize::from(key.is_about_fields());
            (key, waiters.by_key.entry(key).or_default().insert(notify.clone()))
        });
        let places = places.collect();
        drop(waiters);
        Waiter { shared: self.0.clone(), places, notify }
    }

    /// Who waits under a key of something in the batch.
    fn concerned(&self, batch: &Published) -> Vec<Arc<Notify>> {
        let waiters = locked(&self.0.waiters);
        let concerned = RefCell::new(Vec::new());
        if waiters.by_key.is_empty() {
            return Vec::new();
        }
        let wake = |key: Key| {
            let under = waiters.by_key.get(&key).into_iter().flatten();
            concerned.borrow_mut().extend(under.map(|(_, notify)| notify.clone()));
        };
        let mut classes = [false; crate::model::CLASS_IDS.len()];
        for effect in batch.events.iter().flat_map(|(_, effects)| effects) {
            let (class, reference) = (effect.class, effect.reference);
            if !std::mem::replace(&mut classes[class as usize], true) {
                wake(Key::Class(class));
            }
            wake(Key::Object(class, reference));
            if waiters.by_field > 0 {
                fields_touched(effect, &wake);
            }
            if let Some(told) = delivered::notified(effect) {
                wake(Key::Object(ClassId::subscription, told));
            }
        }
        if crate::model::CLASS_IDS.iter().any(|class| classes[*class as usize] && !class.def().flags.no_events) {
            wake(Key::Any);
        }
        concerned.into_inner()
    }

    fn all(&self) -> Vec<Arc<Notify>> {
        locked(&self.0.waiters).by_key.values().flatten().map(|(_, notify)| notify.clone()).collect()
    }

    /// The objects of a class that somebody waits for by name.
    pub fn awaited(&self, of: ClassId) -> HashSet<Ref> {
        let waiters = locked(&self.0.waiters);
        let named = waiters.by_key.keys().filter_map(|key| match *key {
            Key::Object(class, reference) | Key::ObjectField(class, reference, _) if class == of => Some(reference),
            _ => None,
        });
        named.collect()
    }

    /// From now on recent batches are kept, until the answer is dropped.
    pub fn follow(&self) -> Following {
        locked(&self.0.recent).followers += 1;
        Following(self.0.clone())
    }

    /// The log begins behind this position as far as these subscribers know.
    pub fn begin_at(&self, position: u64) {
        locked(&self.0.recent).skip_to(position);
    }

    /// The batches behind a position, or `None` when they are no longer, or were never, kept.
    pub fn recent(&self, after: u64) -> Option<Vec<Arc<Kept>>> {
        locked(&self.0.recent).after(after)
    }

    /// The answers that many are given.
    pub fn alike(&self) -> &Alike {
        &self.0.alike
    }

    /// A view near a position, if one is kept.
    pub(crate) fn near(&self, position: u64) -> Option<Arc<View>> {
        locked(&self.0.recent).near(position)
    }
}

/// A place in the queue of those to be woken; given up when dropped.
pub struct Waiter {
    shared: Arc<Shared>,
    places: Vec<(Key, usize)>,
    notify: Arc<Notify>,
}

impl Waiter {
    /// Waits until something happened under one of the keys since the last time, or since registering.
    pub async fn woken(&self) {
        self.notify.notified().await;
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut waiters = locked(&self.shared.waiters);
        for (key, place) in &self.places {
            waiters.by_field -= usize::from(key.is_about_fields());
            if let Some(waiting) = waiters.by_key.get_mut(key) {
                waiting.remove(*place);
                if waiting.is_empty() {
                    waiters.by_key.remove(key);
                }
            }
        }
    }
}

/// Keeps recent batches alive.
pub struct Following(Arc<Shared>);

impl Drop for Following {
    fn drop(&mut self) {
        let mut recent = locked(&self.0.recent);
        recent.followers = recent.followers.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests;
