//! Watches over the turns that callers have on the runtime's threads. Such a
//! thread reads no sockets meanwhile, and the others sleep until they are
//! woken. As long as the disk is quick that is best for everybody; when it
//! stalls, one of the others is woken, and the server goes on without the first.
//!
//! ```text
//!   asleep ─── a turn begins ───▶ looks, again and again ─┬─ the same turn is still on ─▶ wakes a thread
//!     ▲                                                   └─ another one ─▶ looks on
//!     └────────────── no turn began since the last look ──────────┘
//! ```
//!
//! Must never know what a turn does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Between two looks: a stalled turn is noticed after twice that at the latest.
const LOOK: Duration = Duration::from_millis(5);

/// See the module.
pub(super) struct Watch {
    watched: Arc<Watched>,
    looking: JoinHandle<()>,
}

#[derive(Default)]
struct Watched {
    /// Beginnings and ends of turns: odd while one is on.
    turns: AtomicU64,
    asleep: AtomicBool,
    over: AtomicBool,
}

impl Watch {
    /// `wake` wakes another thread; it is called on the watch's own.
    pub fn start(wake: impl Fn() + Send + 'static) -> std::io::Result<Watch> {
        let watched = Arc::new(Watched::default());
        let seen = watched.clone();
        let looking = thread::Builder::new().name("turn-watch".into()).spawn(move || seen.look(wake))?;
        Ok(Watch { watched, looking })
    }

    /// Has a turn, one at a time.
    pub fn over<T>(&self, turn: impl FnOnce() -> T) -> T {
        self.watched.turns.fetch_add(1, Ordering::SeqCst);
        if self.watched.asleep.load(Ordering::SeqCst) {
            self.looking.thread().unpark();
        }
        let done = turn();
        self.watched.turns.fetch_add(1, Ordering::SeqCst);
        done
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.watched.over.store(true, Ordering::SeqCst);
        self.looking.thread().unpark();
    }
}

impl Watched {
    fn look(&self, wake: impl Fn()) {
        let mut before = self.turns.load(Ordering::SeqCst);
        while !self.over.load(Ordering::SeqCst) {
            thread::park_timeout(LOOK);
            let turns = self.turns.load(Ordering::SeqCst);
            match turns == before {
                true if turns % 2 == 1 => wake(),
                true => self.sleep(turns),
                false => before = turns,
            }
        }
    }

    /// Until the next turn begins, or the last one was.
    fn sleep(&self, turns: u64) {
        self.asleep.store(true, Ordering::SeqCst);
        // Whoever begins a turn now sees that this sleeps, or this sees the turn.
        while self.turns.load(Ordering::SeqCst) == turns && !self.over.load(Ordering::SeqCst) {
            thread::park();
        }
        self.asleep.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_turn_that_does_not_end_is_noticed_also_after_a_rest() {
        let (noticed, notices) = mpsc::channel();
        let watch = Watch::start(move || noticed.send(()).unwrap_or_default()).expect("a thread");
        for _ in 0..3 {
            watch.over(|| notices.recv().expect("it looks"));
            while !watch.watched.asleep.load(Ordering::SeqCst) {
                thread::yield_now();
            }
            while notices.try_recv().is_ok() {}
        }
        for _ in 0..1000 {
            watch.over(|| ());
        }
        assert_eq!(watch.watched.turns.load(Ordering::SeqCst) % 2, 0);
    }
}
