//! A client that is gone: its request was read, and its connection has ended
//! before the answer. What it asked for is done all the same; what would only
//! wait for something ends.
//!
//! ```text
//!   read in full ──▶ decided, answered
//!       └─ the connection ends ─▶ goes on by itself ─┬─ a change: carried out, nobody hears of it
//!                                                    └─ a wait: over at once
//! ```

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio_util::task::TaskTracker;

tokio::task_local! {
    /// Set while a call goes on without its client.
    static GONE: ();
}

/// Whether the client of the call that is being served is gone.
pub fn is_gone() -> bool {
    GONE.try_with(|()| ()).is_ok()
}

/// Waits until the client is gone.
pub async fn gone() {
    poll_fn(|_| if is_gone() { Poll::Ready(()) } else { Poll::Pending }).await;
}

/// Serves one request; if the connection lets go of it, the rest goes on by itself.
pub struct Served<F: Future<Output: Send> + Send + 'static> {
    rest: Option<Pin<Box<F>>>,
    tasks: TaskTracker,
}

impl<F: Future<Output: Send> + Send + 'static> Served<F> {
    pub fn new(serving: F, tasks: TaskTracker) -> Served<F> {
        Served { rest: Some(Box::pin(serving)), tasks }
    }
}

impl<F: Future<Output: Send> + Send + 'static> Future for Served<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let serving = self.rest.as_mut().expect("BUG: asked again after its end");
        let polled = serving.as_mut().poll(context);
        if polled.is_ready() {
            self.rest = None;
        }
        polled
    }
}

impl<F: Future<Output: Send> + Send + 'static> Drop for Served<F> {
    fn drop(&mut self) {
        // Without a runtime the whole server is ending.
        if let Some(rest) = self.rest.take()
            && tokio::runtime::Handle::try_current().is_ok()
        {
            self.tasks.spawn(GONE.scope((), async move { drop(rest.await) }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    #[tokio::test]
    async fn what_was_let_go_of_goes_on_and_waits_for_nothing() {
        let (tasks, done) = (TaskTracker::new(), Arc::new(AtomicBool::new(false)));
        let told = done.clone();
        let serving = async move {
            tokio::select! {
                () = std::future::pending::<()>() => {}
                () = gone() => {}
            }
            told.store(is_gone(), Ordering::SeqCst);
        };
        let mut served = Served::new(serving, tasks.clone());
        let waited = tokio::time::timeout(Duration::ZERO, &mut served).await;
        assert!(waited.is_err() && !done.load(Ordering::SeqCst), "it waits");
        drop(served);
        tasks.close();
        tasks.wait().await;
        assert!(done.load(Ordering::SeqCst) && !is_gone());
    }

    #[tokio::test]
    async fn what_has_ended_is_over() {
        let tasks = TaskTracker::new();
        assert_eq!(Served::new(async { 7 }, tasks.clone()).await, 7);
        assert_eq!(tasks.len(), 0);
    }
}
