//! How much each principal holds at once of what is limited: calls that wait,
//! streams that are open. Who has as much as the pool allows is told to come
//! back later.

use super::Gateway;
use super::dispatch::Caller;
use crate::auth::InUse;
use crate::command::limits;
use crate::error::{ApiError, codes};
use crate::model::pool;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// When to come back, in seconds.
pub const RETRY_AFTER: u64 = 5;

/// Whether an error says that too much is going on, and that the same call may succeed later.
pub fn is_busy(error: &ApiError) -> bool {
    matches!(error.code, "TOO_BUSY" | "TOO_MANY_PENDING_TASKS")
}

/// Places of one kind, by who holds them. Cheap to clone: all clones are one.
#[derive(Clone, Default)]
pub struct Places(Arc<Mutex<HashMap<Arc<str>, usize>>>);

impl Places {
    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, usize>> {
        self.0.lock().expect("BUG: nobody panics while holding this lock")
    }

    /// A place for as long as the answer lives, if the principal holds fewer than `most`.
    pub fn take(&self, principal: &Arc<str>, most: usize) -> Result<Place, ApiError> {
        let mut held = self.lock();
        let count = held.entry(principal.clone()).or_default();
        if *count >= most {
            tracing::debug!(principal = %principal, most, "no place is left for one principal");
            return Err(codes::TOO_BUSY());
        }
        *count += 1;
        Ok(Place { places: self.clone(), principal: principal.clone() })
    }

    /// How many are held in all.
    pub fn taken(&self) -> usize {
        self.lock().values().sum()
    }
}

/// One place that is held.
pub struct Place {
    places: Places,
    principal: Arc<str>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.places.lock();
        if let Some(count) = held.get_mut(&self.principal) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.principal);
            }
        }
    }
}

/// What one who waits holds: a place, and the session, which is in use meanwhile.
pub struct Held {
    _place: Place,
    _in_use: InUse,
}

impl Gateway {
    /// What a call that waits holds.
    pub(super) fn held_by_call(&self, caller: &Caller) -> Result<Held, ApiError> {
        let most = limits::count(&self.ledger.view(), pool::waiting_call_limit);
        self.hold(caller, &self.counts.waiting, most)
    }

    /// What a stream holds.
    pub(super) fn held_by_stream(&self, caller: &Caller) -> Result<Held, ApiError> {
        let most = limits::count(&self.ledger.view(), pool::stream_limit);
        self.hold(caller, &self.counts.streams, most)
    }

    fn hold(&self, caller: &Caller, places: &Places, most: usize) -> Result<Held, ApiError> {
        let place = places.take(&caller.principal.name, most)?;
        Ok(Held { _place: place, _in_use: self.accounts.in_use(caller.principal.session) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_principal_holds_so_many_and_takes_nothing_from_others() {
        let places = Places::default();
        let [ann, bob]: [Arc<str>; 2] = ["user/ann", "user/bob"].map(Arc::from);
        let first = places.take(&ann, 2).expect("a place");
        let second = places.take(&ann, 2).expect("a place");
        let refused = places.take(&ann, 2).err().expect("no more");
        assert!(is_busy(&refused), "{refused}");
        let other = places.take(&bob, 2).expect("his own");
        assert_eq!(places.taken(), 3);
        drop(first);
        let third = places.take(&ann, 2).expect("one was given back");
        drop((second, third, other));
        assert!(places.lock().is_empty(), "nothing is kept of who holds nothing");
    }
}
