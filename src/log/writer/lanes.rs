//! The way into the writer: a lane for each principal, taken from in turn, so
//! that nobody waits behind what another has sent.
//!
//! ```text
//!   user/ann   ▢▢▢▢▢▢▢▢ ─┐
//!   user/bob   ▢         ─┼─ one of each, round and round ─▶ a batch
//!   host/UUID  ▢▢        ─┘
//! ```
//!
//! What one principal sends stays in order. Whoever has not been served since
//! the turn came round is served before anybody is served twice, in this batch
//! or in the next.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::Notify;

/// Commands of one principal that may wait for the writer; more are refused.
pub const LANE_MAX: usize = 16_384;

/// Both ends of the lanes: [`Entrance`] lets in, [`Exit`] takes out.
pub fn lanes<T>() -> (Entrance<T>, Exit<T>) {
    let shared = Arc::new(Shared { lanes: Mutex::new(Lanes::default()), arrived: Notify::new() });
    (Entrance(Arc::new(Door(shared.clone()))), Exit(shared))
}

struct Shared<T> {
    lanes: Mutex<Lanes<T>>,
    arrived: Notify,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, Lanes<T>> {
        self.lanes.lock().expect("BUG: nobody panics while holding this lock")
    }
}

struct Lanes<T> {
    by_principal: HashMap<Arc<str>, VecDeque<T>>,
    /// Who has something waiting, in the order of their turns.
    turns: VecDeque<Arc<str>>,
    waiting: usize,
    closed: bool,
}

impl<T> Default for Lanes<T> {
    fn default() -> Lanes<T> {
        Lanes { by_principal: HashMap::new(), turns: VecDeque::new(), waiting: 0, closed: false }
    }
}

/// Why something was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The principal has as much waiting as it may.
    Full,
    /// The writer has ended.
    Closed,
}

/// Where commands come in. Cheap to clone; the lanes close with the last.
pub struct Entrance<T>(Arc<Door<T>>);

impl<T> Clone for Entrance<T> {
    fn clone(&self) -> Entrance<T> {
        Entrance(self.0.clone())
    }
}

struct Door<T>(Arc<Shared<T>>);

impl<T> Drop for Door<T> {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.arrived.notify_one();
    }
}

impl<T> Entrance<T> {
    /// Lets something in, behind what its principal sent before, and tells the one who takes out.
    pub fn send(&self, principal: &Arc<str>, what: T) -> Result<(), Refused> {
        self.put(principal, what).inspect(|()| self.tell())
    }

    /// Tells the one who takes out.
    pub fn tell(&self) {
        self.0.0.arrived.notify_one();
    }

    /// Lets something in, for who will tell, or see to it that it is taken out.
    pub fn put(&self, principal: &Arc<str>, what: T) -> Result<(), Refused> {
        let mut lanes = self.0.0.lock();
        if lanes.closed {
            return Err(Refused::Closed);
        }
        let lane = lanes.by_principal.entry(principal.clone()).or_default();
        if lane.len() >= LANE_MAX {
            return Err(Refused::Full);
        }
        let first = lane.is_empty();
        lane.push_back(what);
        lanes.waiting += 1;
        if first {
            lanes.turns.push_back(principal.clone());
        }
        Ok(())
    }

    /// Nothing is let in any more; what was let in before is still taken out.
    pub fn close(&self) {
        self.0.0.lock().closed = true;
        self.0.0.arrived.notify_one();
    }
}

/// Where the writer takes commands from.
pub struct Exit<T>(Arc<Shared<T>>);

impl<T> Exit<T> {
    /// Waits until somebody tells that something came, or that nothing will any more.
    pub async fn told(&self) {
        self.0.arrived.notified().await;
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.0.lock().waiting
    }

    pub fn is_closed(&self) -> bool {
        self.0.lock().closed
    }

    /// Takes up to `most`, one of each principal in turn.
    pub fn take(&self, most: usize) -> Vec<T> {
        let mut lanes = self.0.lock();
        let mut taken = Vec::with_capacity(most.min(lanes.waiting));
        while taken.len() < most
            && let Some(principal) = lanes.turns.pop_front()
        {
            let lane = lanes.by_principal.get_mut(&principal).expect("BUG: who has a turn has a lane");
            taken.push(lane.pop_front().expect("BUG: who has a turn has something waiting"));
            if lane.is_empty() {
                lanes.by_principal.remove(&principal);
            } else {
                lanes.turns.push_back(principal);
            }
        }
        lanes.waiting -= taken.len();
        taken
    }
}

impl<T> Drop for Exit<T> {
    /// Who waits for an answer is told by its absence.
    fn drop(&mut self) {
        let mut lanes = self.0.lock();
        let left = std::mem::take(&mut *lanes);
        lanes.closed = true;
        drop(lanes);
        drop(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(entrance: &Entrance<String>, principal: &str, count: usize) {
        for nth in 0..count {
            let what = format!("{principal}{nth}");
            entrance.send(&Arc::from(principal), what).expect("there is room");
        }
    }

    #[test]
    fn one_of_each_is_taken_in_turn() {
        let (entrance, exit) = lanes();
        sent(&entrance, "a", 5);
        sent(&entrance, "b", 2);
        sent(&entrance, "c", 1);
        assert_eq!(exit.take(6), ["a0", "b0", "c0", "a1", "b1", "a2"]);
        assert_eq!(exit.take(9), ["a3", "a4"]);
        assert!(exit.take(9).is_empty() && exit.waiting() == 0);
    }

    #[test]
    fn turns_go_on_from_one_batch_to_the_next() {
        let (entrance, exit) = lanes();
        sent(&entrance, "a", 4);
        sent(&entrance, "b", 4);
        assert_eq!(exit.take(3), ["a0", "b0", "a1"]);
        assert_eq!(exit.take(2), ["b1", "a2"], "b's turn had come");
        sent(&entrance, "c", 1);
        assert_eq!(exit.take(9), ["b2", "a3", "c0", "b3"]);
    }

    #[test]
    fn who_comes_new_waits_for_one_round_whatever_the_others_have_waiting() {
        for crowd in [1, 3, 7] {
            let (entrance, exit) = lanes();
            for nth in 0..crowd {
                sent(&entrance, &format!("busy{nth}/"), 1_000);
            }
            exit.take(256);
            sent(&entrance, "new/", 1);
            let at = exit.take(256).iter().position(|what| what == "new/0");
            assert!(at.is_some_and(|at| at <= crowd), "{at:?} among {crowd}");
        }
    }

    #[test]
    fn a_full_lane_is_that_principals_alone() {
        let (entrance, exit) = lanes();
        sent(&entrance, "a", LANE_MAX);
        assert_eq!(entrance.send(&Arc::from("a"), "more".into()), Err(Refused::Full));
        sent(&entrance, "b", 1);
        exit.take(1);
        sent(&entrance, "a", 1);
    }

    #[tokio::test]
    async fn what_came_before_the_end_is_still_taken() {
        let (entrance, exit) = lanes();
        sent(&entrance, "a", 1);
        entrance.close();
        assert_eq!(entrance.send(&Arc::from("a"), "late".into()), Err(Refused::Closed));
        exit.told().await;
        assert_eq!(exit.take(9), ["a0"]);
        assert!(exit.is_closed() && exit.waiting() == 0);
        let (entrance, exit) = lanes::<String>();
        drop(entrance);
        exit.told().await;
        assert!(exit.is_closed());
    }

    #[tokio::test]
    async fn what_nobody_takes_any_more_is_dropped() {
        let (entrance, exit) = lanes();
        let (answer, answered) = tokio::sync::oneshot::channel::<()>();
        entrance.send(&Arc::from("a"), answer).expect("let in");
        drop(exit);
        assert!(answered.await.is_err());
        let (late, _) = tokio::sync::oneshot::channel::<()>();
        assert_eq!(entrance.send(&Arc::from("a"), late).expect_err("closed"), Refused::Closed);
    }
}
