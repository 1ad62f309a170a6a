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
pub mod page;
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
use std::collections::{HashMap, HashSet, VecDeque};
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};
use tokio::sync::Notify;
use tokio::task::JoinSet;

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
fn fields_touched(effect: &Effect, call: &mut impl FnMut(Key)) {
    if effect.before.is_none() || effect.after.is_none() {
        call(Key::Lives(effect.class));
    }
    for field in &effect.fields {
        call(Key::Field(effect.class, *field as u16));
        call(Key::ObjectField(effect.class, effect.reference, *field as u16));
    }
}

/// How many the writer wakes by itself.
const FEW: usize = 16;
/// Who is woken before others have their turn: about a third of a millisecond, where each is answered at once.
const WOKEN_AT_ONCE: usize = 32;
/// Parts of crowds that are woken at a time, on however many processors.
const PARTS_MAX: usize = 4;
/// Events of a batch that is let go of at once: to wake somebody who does it would take longer.
const LET_GO_HERE: usize = 8;
/// Batches that may wait for their crowds to be woken; beyond, everybody is.
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
    by_key: HashMap<Key, Slab<Arc<Waiting>>, foldhash::fast::RandomState>,
    /// How many keys are about fields.
    by_field: usize,
}

impl Waiters {
    /// Calls with each key of something in the batch, a class's own once.
    fn each_key(&self, batch: &Published, mut call: impl FnMut(Key)) {
        let mut classes = [false; crate::model::CLASS_IDS.len()];
        for effect in batch.events.iter().flat_map(|(_, effects)| effects) {
            let (class, reference) = (effect.class, effect.reference);
            if !std::mem::replace(&mut classes[class as usize], true) {
                call(Key::Class(class));
            }
            call(Key::Object(class, reference));
            if self.by_field > 0 {
                fields_touched(effect, &mut call);
            }
            if let Some(told) = delivered::notified(effect) {
                call(Key::Object(ClassId::subscription, told));
            }
        }
        if crate::model::CLASS_IDS.iter().any(|class| classes[*class as usize] && !class.def().flags.no_events) {
            call(Key::Any);
        }
    }

    fn under(&self, key: Key) -> impl Iterator<Item = &Arc<Waiting>> {
        self.by_key.get(&key).into_iter().flatten().map(|(_, waiting)| waiting)
    }

    /// Who waits under a key of something in the batch; `None` if it is a crowd.
    fn few(&self, batch: &Published) -> Option<Vec<Arc<Waiting>>> {
        let mut few = Some(Vec::new());
        self.each_key(batch, |key| {
            let more = self.by_key.get(&key).map_or(0, Slab::len);
            few.take_if(|few| few.len() + more > FEW);
            if let Some(few) = &mut few {
                few.extend(self.under(key).cloned());
            }
        });
        few
    }

    /// Adds who waits under a key of something in the batch, and is not there yet.
    fn concerned(&self, batch: &Published, waking: &mut VecDeque<Arc<Waiting>>) {
        self.each_key(batch, |key| waking.extend(self.under(key).filter(|waiting| waiting.queue()).cloned()));
    }

    /// Adds everybody who is not there yet.
    fn all(&self, waking: &mut VecDeque<Arc<Waiting>>) {
        let everybody = self.by_key.values().flatten().map(|(_, waiting)| waiting);
        waking.extend(everybody.filter(|waiting| waiting.queue()).cloned());
    }
}

/// Who can deal with what has happened without a turn of its own.
pub trait AtOnce: Send + Sync {
    /// Looks; false to be woken as everybody is.
    fn woken(&self) -> bool;
}

/// One who waits.
#[derive(Default)]
struct Waiting {
    notify: Notify,
    /// Asked before it is woken.
    at_once: OnceLock<Weak<dyn AtOnce>>,
    /// To be woken already: what has arrived since is found by the same look. Only the publisher knows it.
    queued: AtomicBool,
}

impl Waiting {
    /// Whether it was not queued yet.
    fn queue(&self) -> bool {
        !self.queued.swap(true, Ordering::Relaxed)
    }

    fn wake(&self) {
        self.queued.store(false, Ordering::Relaxed);
        let dealt = self.at_once.get().and_then(Weak::upgrade).is_some_and(|who| who.woken());
        if !dealt {
            self.notify.notify_one();
        }
    }
}

/// What the writer leaves of a batch.
struct Left {
    batch: Arc<Published>,
    /// A crowd is to be woken because of it.
    crowd: bool,
    /// What it took the room of: to be let go of.
    _gone: Vec<Arc<Kept>>,
}

/// What the publisher has still to do.
#[derive(Default)]
struct Backlog {
    batches: VecDeque<Left>,
    /// Some did not fit: everybody is to look.
    lost: bool,
}

/// Every panic of ours happens before or after these short critical sections.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("BUG: nobody panics while holding this lock")
}

impl Subscribers {
    /// Takes a batch from the writer, who waits at most for a look over those who wait. It is remembered before anybody is
    /// woken. A few are woken at once; a crowd, and letting go of all that a large batch replaced, is left to
    /// [`Subscribers::run`].
    pub fn publish(&self, batch: Arc<Published>) {
        let gone = locked(&self.0.recent).remember(&batch);
        let few = locked(&self.0.waiters).few(&batch);
        let crowd = few.is_none();
        few.into_iter().flatten().for_each(|waiting| waiting.notify.notify_one());
        if !crowd && gone.is_empty() && batch.events.len() <= LET_GO_HERE {
            return;
        }
        let mut backlog = locked(&self.0.backlog);
        if backlog.batches.len() < BACKLOG_MAX {
            backlog.batches.push_back(Left { batch, crowd, _gone: gone });
        } else {
            backlog.lost = true;
        }
        drop(backlog);
        self.0.arrived.notify_one();
    }

    /// Wakes the crowds, for ever. One task runs this; each part of a crowd is woken by one of its own, as many at a time as
    /// there are processors, for waking may be all the work there is. Others have their turn after each part, and one who
    /// cannot keep up with the batches is told several at once.
    pub async fn run(self) {
        let at_a_time = std::thread::available_parallelism().map_or(1, NonZero::get).min(PARTS_MAX);
        let (mut waking, mut parts) = (VecDeque::<Arc<Waiting>>::new(), JoinSet::new());
        loop {
            while self.take(&mut waking) {}
            match waking.len() {
                0 => self.0.arrived.notified().await,
                some => {
                    if parts.len() >= at_a_time {
                        parts.join_next().await.transpose().expect("BUG: nobody panics when woken");
                    }
                    let part: Vec<_> = waking.drain(..some.min(WOKEN_AT_ONCE)).collect();
                    parts.spawn(async move { part.iter().for_each(|waiting| waiting.wake()) });
                }
            }
        }
    }

    /// Adds who is to be woken because of the next batch; false if there is none.
    fn take(&self, waking: &mut VecDeque<Arc<Waiting>>) -> bool {
        let (batch, lost) = {
            let mut backlog = locked(&self.0.backlog);
            (backlog.batches.pop_front(), std::mem::take(&mut backlog.lost))
        };
        let waiters = locked(&self.0.waiters);
        if let Some(Left { batch, crowd: true, .. }) = &batch {
            waiters.concerned(batch, waking);
        }
        if lost {
            waiters.all(waking);
        }
        batch.is_some()
    }

    /// Registers for some keys; register first, then read, then wait.
    pub fn register(&self, keys: Vec<Key>) -> Waiter {
        let waiting = Arc::<Waiting>::default();
        let mut waiters = locked(&self.0.waiters);
        let places = keys.into_iter().map(|key| {
            waiters.by_field += usize::from(key.is_about_fields());
            (key, waiters.by_key.entry(key).or_default().insert(waiting.clone()))
        });
        let places = places.collect();
        drop(waiters);
        Waiter { shared: self.0.clone(), places, waiting }
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
    waiting: Arc<Waiting>,
}

impl Waiter {
    /// Waits until something happened under one of the keys since the last time, or since registering.
    pub async fn woken(&self) {
        self.waiting.notify.notified().await;
    }

    /// What is heard of it; silent when the place is given up.
    pub fn bell(&self) -> Bell {
        Bell(self.waiting.clone())
    }
}

/// How one who waits is woken.
#[derive(Clone)]
pub struct Bell(Arc<Waiting>);

impl Bell {
    /// As [`Waiter::woken`].
    pub async fn woken(&self) {
        self.0.notify.notified().await;
    }

    /// From now on this one is asked first where a crowd is woken; only the first one is.
    pub fn ask_first(&self, who: Weak<dyn AtOnce>) {
        drop(self.0.at_once.set(who));
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
