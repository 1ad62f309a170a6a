//! Connections that read, each used by one at a time, on a thread that may wait
//! for the disk: a page of rows costs one such hop, however many rows it has.

use super::super::StorageError;
use super::{BUSY_TIMEOUT, failed};
use rusqlite::{Connection, OpenFlags};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tokio::sync::Semaphore;

/// Connections that read at the same time.
const READERS_MAX: usize = 4;

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Readers(Arc<Shared>);

struct Shared {
    file: PathBuf,
    free: Arc<Semaphore>,
    /// Opened and not in use.
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    /// Of a log that need not be there yet.
    pub fn of(file: &Path) -> Readers {
        let free = Arc::new(Semaphore::new(READERS_MAX));
        Readers(Arc::new(Shared { file: file.to_path_buf(), free, idle: Mutex::default() }))
    }

    /// Asks the log. A connection that could not answer is not asked again.
    pub async fn read<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StorageError> {
        let turn = self.0.free.clone().acquire_owned().await.expect("BUG: it is never closed");
        let shared = self.0.clone();
        let answered = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            shared.answer(ask)
        });
        answered.await.unwrap_or_else(|error| Err(StorageError(format!("reading was cut short: {error}"))))
    }
}

impl Shared {
    fn answer<T>(&self, ask: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StorageError> {
        let kept = self.idle().pop();
        let connection = kept.map_or_else(|| connect(&self.file), Ok)?;
        let answer = ask(&connection).map_err(failed)?;
        self.idle().push(connection);
        Ok(answer)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().expect("BUG: nobody panics while holding this lock")
    }
}

/// Locks nothing, creates nothing.
fn connect(file: &Path) -> Result<Connection, StorageError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connected = Connection::open_with_flags(file, flags).and_then(|connection| {
        connection.busy_timeout(BUSY_TIMEOUT)?;
        Ok(connection)
    });
    connected.map_err(failed)
}
