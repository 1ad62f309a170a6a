//! Checkpoints: moving what is in the write-ahead log into the database file,
//! behind the writer's back, so that no commit waits for it.
//!
//! ```text
//!   a second with writing, or 16 MiB  ──▶ passive: waits for nobody, nobody waits
//!   still longer than 16 MiB          ──▶ restart: the writer waits for the few frames left
//!   idle                              ──▶ truncate
//! ```

use sqlx::sqlite::SqliteConnection;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// How much is written between two checkpoints at most, in bytes.
const EVERY: usize = 16 << 20;

/// How often a checkpoint looks whether anything was written.
const PAUSE: Duration = Duration::from_secs(1);

/// Looks without any writing, after which the log's file is cut to nothing.
const IDLE_PAUSES: u32 = 30;

/// How long the write-ahead log may get, in pages of 4 KiB, before the writer has to wait for a checkpoint: 16 MiB.
/// All of it is read again when the log is opened after a crash.
/// A passive checkpoint never catches up with a writer that never rests.
const PAGES_MAX: i64 = 4 << 10;

/// How long a checkpoint that stops the writer waits for readers, in milliseconds.
const PATIENCE: &str = "PRAGMA busy_timeout = 50";

/// Checkpoints on a connection of their own, until it is dropped.
pub struct Checkpoints {
    behind: Arc<Behind>,
    task: JoinHandle<()>,
}

/// What was written since the last checkpoint.
struct Behind {
    bytes: AtomicUsize,
    due: Notify,
}

impl Checkpoints {
    pub fn start(connection: SqliteConnection) -> Checkpoints {
        let behind = Arc::new(Behind { bytes: AtomicUsize::new(0), due: Notify::new() });
        let task = tokio::spawn(run(behind.clone(), connection));
        Checkpoints { behind, task }
    }

    /// Says that so many bytes were written.
    pub fn written(&self, bytes: usize) {
        let before = self.behind.bytes.fetch_add(bytes, Ordering::Relaxed);
        if before < EVERY && before + bytes >= EVERY {
            self.behind.due.notify_one();
        }
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(behind: Arc<Behind>, mut connection: SqliteConnection) {
    let _ = sqlx::query(PATIENCE).execute(&mut connection).await;
    let mut idle = 0;
    loop {
        let _ = tokio::time::timeout(PAUSE, behind.due.notified()).await;
        let worked = behind.bytes.swap(0, Ordering::Relaxed) > 0;
        idle = if worked { 0 } else { idle + 1 };
        let done = match (worked, idle) {
            (true, _) => follow(&mut connection, PAGES_MAX).await,
            (false, IDLE_PAUSES) => checkpoint(&mut connection, "PRAGMA wal_checkpoint(TRUNCATE)").await.map(drop),
            (false, _) => Ok(()),
        };
        if let Err(error) = done {
            tracing::warn!(%error, "a checkpoint of the log failed; it will be tried again");
            behind.bytes.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Catches up with the writer, and stops it for a moment only when the write-ahead log got too long.
async fn follow(connection: &mut SqliteConnection, pages_max: i64) -> Result<(), sqlx::Error> {
    let pages = checkpoint(connection, "PRAGMA wal_checkpoint(PASSIVE)").await?;
    if pages > pages_max {
        checkpoint(connection, "PRAGMA wal_checkpoint(RESTART)").await?;
    }
    Ok(())
}

/// Runs a checkpoint and says how many pages the write-ahead log holds.
async fn checkpoint(connection: &mut SqliteConnection, pragma: &'static str) -> Result<i64, sqlx::Error> {
    let (_busy, pages, _moved): (i64, i64, i64) = sqlx::query_as(pragma).fetch_one(connection).await?;
    Ok(pages)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::sqlite::connect_behind;

    /// Pages in the write-ahead log after one more commit: few, if it began again from its start.
    async fn pages_after_a_commit(writer: &mut SqliteConnection) -> i64 {
        sqlx::query("UPDATE t SET a = randomblob(10)").execute(&mut *writer).await.expect("a commit");
        checkpoint(writer, "PRAGMA wal_checkpoint(NOOP)").await.expect("a look")
    }

    #[tokio::test]
    async fn the_write_ahead_log_is_moved_and_begins_again() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("test.sqlite");
        let mut writer = connect_behind(&file).await.expect("a writer");
        let mut other = connect_behind(&file).await.expect("a second connection");
        sqlx::query("CREATE TABLE t (a)").execute(&mut writer).await.expect("a table");
        sqlx::query("INSERT INTO t VALUES (zeroblob(1000000))").execute(&mut writer).await.expect("a row");
        let before = pages_after_a_commit(&mut writer).await;
        assert!(before > 200, "{before} pages: nothing checkpoints by itself");
        follow(&mut other, 0).await.expect("a checkpoint");
        let after = pages_after_a_commit(&mut writer).await;
        assert!(after < 10, "{after} pages");
        checkpoint(&mut other, "PRAGMA wal_checkpoint(TRUNCATE)").await.expect("a checkpoint");
        let left = std::fs::metadata(folder.path().join("test.sqlite-wal")).expect("the write-ahead log").len();
        assert_eq!(left, 0);
    }
}
