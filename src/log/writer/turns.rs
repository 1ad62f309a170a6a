//! Whose turn it is at the writer: its own thread's, or that of a caller who
//! comes alone.
//!
//! To be handed to another thread and back takes a lone call two wakings, more
//! than deciding and half as much as the disk. So who comes alone, as those
//! before did, does the writer's work himself, where he is: on the runtime's
//! thread, which waits for the disk with him. What comes in company is the
//! thread's, which makes one batch of it; so is what time brings, and
//! everything while the disk is slow.
//!
//! ```text
//!   submit ─▶ lanes ─┬─ alone, quick, nobody works ─▶ the caller's turn, watched ─┬─▶ rest
//!                    └─ else ─▶ the thread's turn ────────────────────────────────┘
//!                                  ▲ what arrived meanwhile, what became due, a panic
//!                                  └── after a caller's turn
//! ```
//!
//! Must never know what a turn does.

use super::watch::Watch;
use super::{BATCH_MAX, Port, Writer};
use futures_util::FutureExt;
use std::any::Any;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::{Arc, OnceLock, Weak};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{Mutex, Notify};
use tokio::time::Instant;

/// Commands without company, after which the next is thought to come alone too.
const ALONE_AFTER: u32 = 8;

/// A turn at the writer, if it is free.
pub(super) trait Turn: Send + Sync {
    /// Does what has been sent, on this thread; false if the writer's own shall do it.
    fn take(&self) -> bool;
}

/// Where callers find the turn. Empty until the writer works, and dead after it has ended.
pub(super) type Offer = Arc<OnceLock<Weak<dyn Turn>>>;

/// A writer that works.
pub(super) struct Turns<P> {
    writer: Mutex<Writer<P>>,
    /// The thread is to look again.
    again: Notify,
    /// What a caller's turn panicked with: the thread goes on with that.
    panic: std::sync::Mutex<Option<Box<dyn Any + Send>>>,
    /// Over callers' turns. None where a runtime has no other thread that could read sockets meanwhile.
    watch: Option<Watch>,
}

impl<P: Port> Turns<P> {
    pub fn new(writer: Writer<P>) -> Arc<Turns<P>> {
        let offer = writer.offer.clone();
        let (again, panic, watch) = (Notify::new(), Default::default(), watch());
        let turns = Arc::new(Turns { writer: Mutex::new(writer), again, panic, watch });
        let offered: Weak<Turns<P>> = Arc::downgrade(&turns);
        offer.set(offered).unwrap_or_else(|_| unreachable!("BUG: a writer works once"));
        turns
    }

    /// The thread's turns, until nothing can come any more.
    pub async fn run(&self) {
        let jobs = self.writer.lock().await.jobs.clone();
        loop {
            let until = self.writer.lock().await.due_at();
            let came = tokio::select! {
                () = jobs.ready() => true,
                () = self.again.notified() => true,
                () = tokio::time::sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => false,
            };
            if let Some(panic) = self.panic.lock().expect("BUG: nobody panics while holding this lock").take() {
                resume_unwind(panic);
            }
            if came {
                company(|| jobs.waiting() >= BATCH_MAX).await;
            }
            let mut writer = self.writer.lock().await;
            match AssertUnwindSafe(writer.turn(came)).catch_unwind().await {
                Ok(false) => {}
                Ok(true) => return writer.end(),
                Err(panic) => {
                    std::mem::forget(writer); // a caller could have the next turn before this thread is gone
                    resume_unwind(panic);
                }
            }
        }
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
fn watch() -> Option<Watch> {
    let here = Handle::current();
    if here.runtime_flavor() != RuntimeFlavor::MultiThread || here.metrics().num_workers() < 2 {
        return None;
    }
    let started = Watch::start(move || drop(here.spawn(async {})));
    started.inspect_err(|error| tracing::warn!(%error, "without a watch over them, callers have no turns")).ok()
}

impl<P: Port> Turn for Turns<P> {
    fn take(&self) -> bool {
        let Some(watch) = &self.watch else { return false };
        let Ok(mut writer) = self.writer.try_lock() else { return false };
        if writer.alone < ALONE_AFTER {
            return false;
        }
        let due = writer.due_at();
        let mut turn = Box::pin(AssertUnwindSafe(writer.turn(true)).catch_unwind());
        let at_once = watch.over(|| turn.as_mut().now_or_never());
        // A port that does not wait on this thread is waited for without the thread.
        let done = at_once.unwrap_or_else(|| tokio::task::block_in_place(|| Handle::current().block_on(turn.as_mut())));
        drop(turn);
        match done {
            Ok(ended) if ended || writer.due_at() != due => self.again.notify_one(),
            Ok(_) => {}
            Err(panic) => {
                std::mem::forget(writer); // nobody works with it any more
                *self.panic.lock().expect("BUG: nobody panics while holding this lock") = Some(panic);
                self.again.notify_one();
            }
        }
        true
    }
}
