//! The task that writes the store behind the log.

use super::Store;
use crate::views::View;
use crate::world::World;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How far the store may be behind the log.
const EVERY: Duration = Duration::from_secs(1);

/// Writes what changed once a second, until the sender of the newest view is gone; then closes the store.
/// Only the newest view is kept, so nothing grows while the store is slow.
pub async fn follow(mut store: Store, mut newest: watch::Receiver<Arc<View>>, world: World) {
    loop {
        let view = newest.borrow_and_update().clone();
        if let Err(error) = store.write(&view).await {
            tracing::error!(%error, "the store could not be written; the log has everything, it is tried again");
        }
        tokio::select! {
            () = world.sleep(EVERY) => {}
            () = closed(&mut newest) => break,
        }
    }
    let last = newest.borrow().clone();
    match store.close(&last).await {
        Ok(()) => tracing::debug!(position = last.position, "the store is complete"),
        Err(error) => tracing::error!(%error, "the store could not be closed; the next start reads the log instead"),
    }
}

async fn closed(newest: &mut watch::Receiver<Arc<View>>) {
    while newest.changed().await.is_ok() {}
}
