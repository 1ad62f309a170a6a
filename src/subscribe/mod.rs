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

pub mod events;

use crate::log::writer::Published;
use crate::model::ClassId;
use crate::value::Ref;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::{Notify, watch};

/// What a waiter waits for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Key {
    Any,
    Class(ClassId),
    Object(ClassId, Ref),
}

/// Batches that may wait for the publisher; beyond, everybody is woken instead.
const BACKLOG_MAX: usize = 4096;
/// Events kept for clients of `event.next`, over all sessions.
const RECENT_MAX: usize = 10_000;

/// The meeting place of the writer and of everyone who waits. Cheap to clone.
#[derive(Clone, Default)]
pub struct Subscribers(Arc<Shared>);

#[derive(Default)]
struct Shared {
    waiters: Mutex<Waiters>,
    backlog: Mutex<Backlog>,
    arrived: Notify,
    recent: Mutex<Recent>,
    position: Position,
}

/// For followers inside the server: the newest published position.
struct Position(watch::Sender<u64>);

impl Default for Position {
    fn default() -> Position {
        Position(watch::channel(0).0)
    }
}

#[derive(Default)]
struct Waiters {
    by_key: HashMap<Key, HashMap<u64, Arc<Notify>>>,
    next: u64,
}

#[derive(Default)]
struct Backlog {
    batches: VecDeque<Arc<Published>>,
    overflowed: bool,
}

/// The newest batches, kept only while somebody follows them.
#[derive(Default)]
struct Recent {
    batches: VecDeque<Arc<Published>>,
    events: usize,
    /// Events at or below this position are not here.
    floor: u64,
    followers: usize,
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
            backlog.overflowed = true;
        }
        drop(backlog);
        self.0.arrived.notify_one();
    }

    /// Wakes waiters for each batch, for ever. One task runs this.
    pub async fn run(self) {
        loop {
            self.0.arrived.notified().await;
            loop {
                let (batch, overflowed) = {
                    let mut backlog = locked(&self.0.backlog);
                    (backlog.batches.pop_front(), std::mem::take(&mut backlog.overflowed))
                };
                let Some(batch) = batch else { break };
                self.remember(&batch, overflowed);
                self.0.position.0.send_replace(batch.view.position);
                if overflowed {
                    self.wake_all();
                } else {
                    self.wake(&batch);
                }
            }
        }
    }

    /// Follows the published position.
    pub fn position(&self) -> watch::Receiver<u64> {
        self.0.position.0.subscribe()
    }

    /// Registers for some keys; register first, then read, then wait.
    pub fn register(&self, keys: Vec<Key>) -> Waiter {
        let notify = Arc::new(Notify::new());
        let mut waiters = locked(&self.0.waiters);
        waiters.next += 1;
        let id = waiters.next;
        for key in &keys {
            waiters.by_key.entry(*key).or_default().insert(id, notify.clone());
        }
        drop(waiters);
        Waiter { shared: self.0.clone(), keys, id, notify }
    }

    fn wake(&self, batch: &Published) {
        let waiters = locked(&self.0.waiters);
        if waiters.by_key.is_empty() {
            return;
        }
        let wake = |key: Key| {
            for notify in waiters.by_key.get(&key).into_iter().flat_map(HashMap::values) {
                notify.notify_one();
            }
        };
        let mut classes = [false; crate::model::CLASS_IDS.len()];
        for effect in batch.events.iter().flat_map(|(_, effects)| effects) {
            if !std::mem::replace(&mut classes[effect.class as usize], true) {
                wake(Key::Class(effect.class));
            }
            wake(Key::Object(effect.class, effect.reference));
        }
        if classes.contains(&true) {
            wake(Key::Any);
        }
    }

    fn wake_all(&self) {
        for notify in locked(&self.0.waiters).by_key.values().flat_map(HashMap::values) {
            notify.notify_one();
        }
    }

    fn remember(&self, batch: &Arc<Published>, overflowed: bool) {
        let mut recent = locked(&self.0.recent);
        if overflowed || recent.followers == 0 {
            recent.batches.clear();
            recent.events = 0;
            recent.floor = batch.view.position;
        }
        if recent.followers == 0 {
            return;
        }
        recent.events += batch.events.len();
        recent.batches.push_back(batch.clone());
        while recent.events > RECENT_MAX
            && let Some(oldest) = recent.batches.pop_front()
        {
            recent.events -= oldest.events.len();
            recent.floor = oldest.view.position;
        }
    }

    /// From now on recent batches are kept, until the answer is dropped.
    pub fn follow(&self) -> Following {
        locked(&self.0.recent).followers += 1;
        Following(self.0.clone())
    }

    /// The batches behind a position, or `None` when they are no longer, or were never, kept.
    pub fn recent(&self, after: u64) -> Option<Vec<Arc<Published>>> {
        let recent = locked(&self.0.recent);
        if after < recent.floor {
            return None;
        }
        Some(recent.batches.iter().filter(|batch| batch.view.position > after).cloned().collect())
    }
}

/// A place in the queue of those to be woken; given up when dropped.
pub struct Waiter {
    shared: Arc<Shared>,
    keys: Vec<Key>,
    id: u64,
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
        for key in &self.keys {
            if let Some(waiting) = waiters.by_key.get_mut(key) {
                waiting.remove(&self.id);
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
