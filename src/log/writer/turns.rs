//! Whose turn it is at the writer: a caller's, or that of its own thread.
//!
//! To be handed to another thread and back takes a lone call two wakings, more
//! than deciding and half as much as the disk. So who comes alone, as those
//! before did, does the writer's work himself, where he is: on the runtime's
//! thread, which waits for the disk with him. In a crowd the first who finds the
//! writer free does it, for all who have sent by then: the crowd keeps every
//! processor busy, there are as many of the runtime's threads as processors,
//! and a thread more would have them wait for each other. What comes in small
//! company is the writer's thread's, which makes one batch of it; so is what
//! time brings, and everything while the disk is slow.
//!
//! ```text
//!   submit ─▶ lanes ─┬─ alone, or a crowd ▶ the caller's turn, at once ─┬─▶ rest
//!                    │                         ▲ a task's               │
//!                    │                         └─ others came meanwhile ┘
//!                    └─ else ─────────────▶ the thread's turn, until nothing waits
//!                                              ▲ what became due, a panic
//! ```
//!
//! As long as anything waits somebody sees to it: whoever finds the turn taken
//! leaves it to the one who has it, who looks again when it is over.
//!
//! Must never know what a turn does.

use super::lanes::Exit;
use super::ledger::Job;
use super::watch::Watch;
use super::{BATCH_MAX, Done, Port, Writer};
use crate::value::Micros;
use futures_util::FutureExt;
use std::any::Any;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::{Arc, OnceLock, Weak};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{Mutex, MutexGuard, Notify};
use tokio::time::Instant;

/// How long the disk may take for the next turn to be the runtime's, in microseconds: more than any takes that has no moving
/// parts.
pub(super) const QUICK: Micros = 2_000;
/// Commands in one turn that are a crowd; less than half as many are none.
const CROWD: usize = 16;
/// Turns of one kind, after which the next is thought to be one too.
const AFTER: u32 = 8;

/// A turn at the writer.
pub(super) trait Turn: Send + Sync {
    /// Sees to what was sent, or has somebody do so.
    fn begin(self: Arc<Self>);
}

/// Where callers find the turn. Empty until the writer works, and dead after it has ended.
pub(super) type Offer = Arc<OnceLock<Weak<dyn Turn>>>;

/// A writer that works.
pub(super) struct Turns<P> {
    seat: Mutex<Seat<P>>,
    jobs: Arc<Exit<Job>>,
    runtime: Handle,
    /// The thread is to look again.
    again: Notify,
    /// What a turn of the runtime panicked with: the thread goes on with that.
    panic: std::sync::Mutex<Option<Box<dyn Any + Send>>>,
    /// Over the runtime's turns. None where it has no other thread that could read sockets meanwhile.
    watch: Option<Watch>,
}

struct Seat<P> {
    writer: Writer<P>,
    pace: Pace,
}

/// Who has the next turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Whose {
    Callers,
    Thread,
}

/// What the turns before tell of the next, while the disk was quick.
#[derive(Default)]
struct Pace {
    /// Those in a row that had one command, and nobody who came meanwhile.
    alone: u32,
    /// Those for a crowd, less those for none: a crowd now and then comes by halves.
    crowd: u32,
}

impl Pace {
    /// Notes a turn, behind which so many wait.
    fn note(&mut self, done: &Done, waiting: usize) {
        if done.waited > QUICK {
            *self = Pace::default();
            return;
        }
        self.alone = match done.commands {
            _ if waiting > 0 => 0,
            0 => self.alone,
            1 => self.alone.saturating_add(1),
            _ => 0,
        };
        self.crowd = match done.commands {
            CROWD.. => (self.crowd + 1).min(2 * AFTER),
            few if few > 0 && few < CROWD / 2 => self.crowd.saturating_sub(1),
            _ => self.crowd,
        };
    }

    fn whose(&self) -> Whose {
        match self {
            Pace { alone: AFTER.., .. } | Pace { crowd: AFTER.., .. } => Whose::Callers,
            _ => Whose::Thread,
        }
    }
}

impl<P: Port> Turns<P> {
    pub fn new(writer: Writer<P>) -> Arc<Turns<P>> {
        let (offer, jobs) = (writer.offer.clone(), writer.jobs.clone());
        let (runtime, again, panic) = (Handle::current(), Notify::new(), Default::default());
        let (seat, watch) = (Mutex::new(Seat { writer, pace: Pace::default() }), watch(&runtime));
        let turns = Arc::new(Turns { seat, jobs, runtime, again, panic, watch });
        let offered: Weak<Turns<P>> = Arc::downgrade(&turns);
        offer.set(offered).unwrap_or_else(|_| unreachable!("BUG: a writer works once"));
        turns
    }

    /// The thread's turns, until nothing can come any more.
    pub async fn run(self: Arc<Self>) {
        let mut until = Some(Instant::now());
        loop {
            let came = tokio::select! {
                () = self.jobs.told() => true,
                () = self.again.notified() => true,
                () = tokio::time::sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => false,
            };
            if let Some(panic) = self.panic.lock().expect("BUG: nobody panics while holding this lock").take() {
                resume_unwind(panic);
            }
            if came {
                company(|| self.jobs.waiting() >= BATCH_MAX).await;
            }
            let mut seat = self.seat.lock().await;
            match AssertUnwindSafe(seat.turn(came)).catch_unwind().await {
                Ok(false) => {}
                Ok(true) => return seat.writer.end(),
                Err(panic) => {
                    std::mem::forget(seat); // somebody could have the next turn before this thread is gone
                    resume_unwind(panic);
                }
            }
            until = seat.writer.due_at();
            self.leave(seat);
        }
    }

    /// Ends a turn, and has somebody see to what waits.
    fn leave(self: &Arc<Self>, seat: MutexGuard<'_, Seat<P>>) {
        let whose = self.whose(&seat);
        drop(seat); // whoever found it taken has sent before this
        match whose {
            _ if self.jobs.waiting() == 0 => {}
            Whose::Callers => drop(self.runtime.spawn(self.clone().serve())),
            Whose::Thread => self.again.notify_one(),
        }
    }

    fn whose(&self, seat: &Seat<P>) -> Whose {
        if self.watch.is_some() { seat.pace.whose() } else { Whose::Thread }
    }

    /// A turn for those who found it taken, behind all that is ready to be sent.
    async fn serve(self: Arc<Self>) {
        tokio::task::yield_now().await;
        if let Ok(seat) = self.seat.try_lock()
            && let Some(seat) = self.turn_here(seat)
        {
            self.leave(seat);
        }
    }

    /// One of the runtime's turns, on this thread; gives the seat back, unless nobody is to have it any more.
    fn turn_here<'a>(&self, mut seat: MutexGuard<'a, Seat<P>>) -> Option<MutexGuard<'a, Seat<P>>> {
        let due = seat.writer.due_at();
        let mut turn = Box::pin(AssertUnwindSafe(seat.turn(true)).catch_unwind());
        let at_once = match &self.watch {
            Some(watch) => watch.over(|| turn.as_mut().now_or_never()),
            None => unreachable!("BUG: such a runtime has no turns"),
        };
        // A port that does not wait on this thread is waited for without the thread.
        let done = at_once.unwrap_or_else(|| tokio::task::block_in_place(|| Handle::current().block_on(turn.as_mut())));
        drop(turn);
        match done {
            Ok(ended) => {
                if ended || seat.writer.due_at() != due {
                    self.again.notify_one();
                }
                Some(seat)
            }
            Err(panic) => {
                std::mem::forget(seat);
                *self.panic.lock().expect("BUG: nobody panics while holding this lock") = Some(panic);
                self.again.notify_one();
                None
            }
        }
    }
}

impl<P: Port> Seat<P> {
    /// See [`Writer::turn`]; true when nothing can come any more.
    async fn turn(&mut self, came: bool) -> bool {
        let done = self.writer.turn(came).await;
        self.pace.note(&done, self.writer.jobs.waiting());
        done.closed
    }
}

impl<P: Port> Turn for Turns<P> {
    fn begin(self: Arc<Self>) {
        let Ok(mut seat) = self.seat.try_lock() else { return };
        if self.whose(&seat) == Whose::Callers {
            match self.turn_here(seat) {
                Some(left) => seat = left,
                None => return,
            }
        }
        self.leave(seat);
    }
}

/// Lets callers that are ready to send do so, until there are enough: each one that joins saves a sync. Nobody waits for
/// time to pass.
async fn company(enough: impl Fn() -> bool) {
    const TURNS: usize = 3;
    for _ in 0..TURNS {
        std::thread::yield_now();
        tokio::task::yield_now().await; // for a runtime that has one thread for all
        if enough() {
            return;
        }
    }
}

/// A watch that wakes another thread of this runtime, if it has one: it runs what is spawned, and sleeps where the sockets
/// are.
fn watch(runtime: &Handle) -> Option<Watch> {
    if runtime.runtime_flavor() != RuntimeFlavor::MultiThread || runtime.metrics().num_workers() < 2 {
        return None;
    }
    let here = runtime.clone();
    let started = Watch::start(move || drop(here.spawn(async {})));
    started.inspect_err(|error| tracing::warn!(%error, "without a watch over them, callers have no turns")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(turns: impl IntoIterator<Item = (usize, usize, Micros)>) -> Pace {
        let mut pace = Pace::default();
        for (commands, waiting, waited) in turns {
            pace.note(&Done { closed: false, commands, waited }, waiting);
        }
        pace
    }

    #[test]
    fn whose_turn_it_is_follows_from_those_before() {
        let row = |count: u32, turn| std::iter::repeat_n(turn, count as usize);
        let (alone, crowd) = ((1, 0, 80), (CROWD, 30, 80));
        for (expected, turns) in [
            (Whose::Thread, vec![]),
            (Whose::Thread, row(AFTER - 1, alone).collect()),
            (Whose::Callers, row(AFTER, alone).collect()),
            (Whose::Callers, row(AFTER, alone).chain([(0, 0, 0)]).collect()), // what time brings says nothing
            (Whose::Thread, row(AFTER, alone).chain([(2, 0, 80)]).collect()),
            (Whose::Thread, row(AFTER, alone).chain([(1, 1, 80)]).collect()),
            (Whose::Thread, row(AFTER, alone).chain([(1, 0, QUICK + 1)]).collect()),
            (Whose::Thread, row(AFTER - 1, crowd).collect()),
            (Whose::Callers, row(AFTER, crowd).collect()),
            (Whose::Callers, row(AFTER, crowd).chain([(0, 0, 0)]).collect()),
            (Whose::Callers, row(AFTER, crowd).chain([(CROWD / 2, 0, 80)]).collect()),
            (Whose::Thread, row(AFTER, crowd).chain([(CROWD / 2 - 1, 0, 80)]).collect()),
            (Whose::Callers, row(99 * AFTER, crowd).chain(row(AFTER, (CROWD / 2 - 1, 30, 80))).collect()),
            (Whose::Thread, row(99 * AFTER, crowd).chain(row(AFTER + 1, (CROWD / 2 - 1, 30, 80))).collect()),
            (Whose::Thread, row(99 * AFTER, crowd).chain([(CROWD, 30, QUICK + 1)]).collect()),
            (Whose::Callers, row(99 * AFTER, crowd).chain(row(AFTER, alone)).collect()),
        ] {
            assert_eq!(pace(turns.clone()).whose(), expected, "{turns:?}");
        }
    }
}
