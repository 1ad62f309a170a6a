//! The thread that writes the store behind the log. It is none of the runtime's:
//! while one of those writes down hundreds of records, nobody reads sockets.

use super::{Mark, Store, StoreError};
use crate::views::View;
use crate::world::World;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

/// How far the store is behind the log while a write of what changed is quick.
const EVERY: Duration = Duration::from_secs(1);
/// How far it may be at the most: a start after a crash folds that much of the log before it answers.
const AT_MOST: Duration = Duration::from_secs(2);
/// It rests so many times as long as it wrote: in a storm of changes the clients have the processors, and what changes
/// again and again is written once.
const REST: u32 = 20;
/// Events that a start may have to fold for that: with more behind the store the rest is over.
const TAIL: u64 = 20_000;
/// How often it looks how many there are.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Writes what changed once a second, less often where that is much. Only the newest view waits for it, so nothing
/// grows while the disk is slow: the view's own orders say what changed since the last write.
pub struct Follower {
    newest: watch::Sender<Arc<View>>,
    stop: DropGuard,
    thread: JoinHandle<()>,
}

impl Follower {
    /// Begins behind a restored view; `stored` is what [`crate::views::restore`] found good in the store.
    pub async fn start(
        data: &Path,
        view: Arc<View>,
        stored: Option<Mark>,
        world: World,
    ) -> Result<Follower, StoreError> {
        let store = Store::open(data, stored).await?;
        let (newest, seen) = watch::channel(view);
        let stop = CancellationToken::new();
        let (here, following) = (Handle::current(), follow(store, seen, world, stop.clone()));
        let thread = tokio::task::spawn_blocking(move || here.block_on(following));
        Ok(Follower { newest, stop: stop.drop_guard(), thread })
    }

    /// Where the publisher puts each new view: `feed.send_replace(published.view.clone())`.
    pub fn feed(&self) -> watch::Sender<Arc<View>> {
        self.newest.clone()
    }

    /// Writes the last view and makes all of it durable.
    pub async fn close(self) {
        drop(self.stop);
        if let Err(error) = self.thread.await {
            tracing::error!(%error, "the store's thread ended badly; the next start reads the log instead");
        }
    }
}

async fn follow(mut store: Store, newest: watch::Receiver<Arc<View>>, world: World, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let view = newest.borrow().clone();
        let began = Instant::now();
        if let Err(error) = store.write(&view).await {
            tracing::error!(%error, "the store could not be written; the log has everything, it is tried again");
        }
        let rest = (began.elapsed() * REST).clamp(EVERY, AT_MOST);
        tokio::select! {
            biased; // a runtime that ends has no time to tell
            () = stop.cancelled() => {}
            () = rested(&world, rest, &newest, view.position + TAIL) => {}
        }
    }
    let last = newest.borrow().clone();
    match store.close(&last).await {
        Ok(()) => tracing::debug!(position = last.position, "the store is complete"),
        Err(error) => tracing::error!(%error, "the store could not be closed; the next start reads the log instead"),
    }
}

/// Waits for so long, or until the log is that far once [`EVERY`] is over.
async fn rested(world: &World, rest: Duration, newest: &watch::Receiver<Arc<View>>, far: u64) {
    world.sleep(EVERY).await;
    let mut left = rest - EVERY;
    while !left.is_zero() && newest.borrow().position < far {
        let slice = left.min(LOOK_EVERY);
        world.sleep(slice).await;
        left -= slice;
    }
}
