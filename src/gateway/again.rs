//! A task that wakes itself while it has its turn goes on with it. HTTP does so
//! with each body it reads; to queue for another turn takes longer than what is
//! left to do, and another thread is woken to see whether it has the time.
//!
//! ```text
//!   waits ── woken ─▶ has its turn ─┬─ waits for others ─▶ waits
//!                       ▲           ├─ woke itself, again and again ─▶ queues, as everybody does
//!                       └───────────┴─ woke itself
//! ```
//!
//! Must never know what the task does.

use futures_util::task::AtomicWaker;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// Turns in a row, after which others are to have theirs.
const IN_A_ROW: usize = 4;

const WAITS: u8 = 0;
const HAS_ITS_TURN: u8 = 1;
const WOKEN: u8 = 2;

/// See the module.
pub struct Again<F> {
    task: F,
    own: Arc<Own>,
    waker: Waker,
}

/// Who wakes the task comes by here.
struct Own {
    state: AtomicU8,
    outer: AtomicWaker,
}

impl Wake for Own {
    fn wake(self: Arc<Own>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Own>) {
        if self.state.swap(WOKEN, Ordering::AcqRel) == WAITS {
            self.outer.wake();
        }
    }
}

impl<F> Again<F> {
    pub fn new(task: F) -> Again<F> {
        let own = Arc::new(Own { state: AtomicU8::new(WAITS), outer: AtomicWaker::new() });
        Again { task, waker: Waker::from(own.clone()), own }
    }
}

impl<F: Future + Unpin> Future for Again<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Again { task, own, waker } = self.get_mut();
        own.outer.register(context.waker());
        for _ in 0..IN_A_ROW {
            own.state.store(HAS_ITS_TURN, Ordering::Release);
            let polled = Pin::new(&mut *task).poll(&mut Context::from_waker(waker));
            let waits = own.state.compare_exchange(HAS_ITS_TURN, WAITS, Ordering::AcqRel, Ordering::Acquire).is_ok();
            if polled.is_ready() || waits {
                return polled;
            }
        }
        context.waker().wake_by_ref(); // it stays woken, so whoever wakes it meanwhile need not
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::sync::Mutex;
    use std::sync::atomic::AtomicUsize;

    #[derive(Default)]
    struct Counted(AtomicUsize);

    impl Wake for Counted {
        fn wake(self: Arc<Counted>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn who_wakes_itself_is_polled_again_and_queues_in_the_end() {
        for (wakes, polls, woken) in [(0, 1, 0), (1, 2, 0), (100, IN_A_ROW, 1)] {
            let (outer, polled) = (Arc::new(Counted::default()), AtomicUsize::new(0));
            let mut task = Again::new(poll_fn(|context| {
                if polled.fetch_add(1, Ordering::Relaxed) < wakes {
                    context.waker().wake_by_ref();
                }
                Poll::<()>::Pending
            }));
            assert!(Pin::new(&mut task).poll(&mut Context::from_waker(&outer.clone().into())).is_pending());
            assert_eq!((polled.into_inner(), outer.0.load(Ordering::Relaxed)), (polls, woken), "{wakes}");
        }
    }

    #[test]
    fn who_waits_is_woken_once() {
        let (outer, own) = (Arc::new(Counted::default()), Mutex::new(None));
        let mut task = Again::new(poll_fn(|context| {
            *own.lock().expect("no panics") = Some(context.waker().clone());
            Poll::<()>::Pending
        }));
        for turns in 1..=3 {
            assert!(Pin::new(&mut task).poll(&mut Context::from_waker(&outer.clone().into())).is_pending());
            let waker = own.lock().expect("no panics").clone().expect("polled");
            waker.wake_by_ref();
            waker.wake();
            assert_eq!(outer.0.load(Ordering::Relaxed), turns);
        }
    }
}
