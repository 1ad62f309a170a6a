//! The log in SQLite: `DATA/log.sqlite`.
//!
//! One connection writes, synchronously; one checkpoints behind it
//! ([`checkpoint`]); a small pool reads ([`LogReader`]). A batch of rows is one
//! statement, so one hop to the connection's thread and one sync of the
//! write-ahead log. Must never know what an event means.
//!
//! ```text
//!   open ──▶ writing ──▶ Done | Conflict | NotWritten ──▶ writing
//!               └─────▶ Unknown: connection dropped ── head(): reopen, settle ──▶ writing
//! ```

mod checkpoint;
mod insert;
mod migrations;
mod reader;
mod sealed;

pub use reader::{BadRow, LogReader, PAGE_ROWS_MAX};

use super::archive::Archive;
use super::folder::Folder;
use super::{Appended, Head, Port, Row, Sealed, StorageError, VaultChanges};
use crate::value::Ref;
use checkpoint::Checkpoints;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The log's file in the data folder.
pub const FILE: &str = "log.sqlite";

/// How long a statement waits for a lock: a checkpoint holds one for a moment, somebody with a tool of theirs for longer,
/// and then changes are refused.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// The writer's port to a log in SQLite.
pub struct SqliteLog {
    folder: Arc<Folder>,
    /// `None` only while it could not be opened again.
    connection: Option<SqliteConnection>,
    /// From the begin of an append until its outcome is known, be it by reading the head.
    unsettled: bool,
    reader: LogReader,
    checkpoints: Checkpoints,
}

impl SqliteLog {
    /// Opens the log of a data folder, creating both if they are missing. The folder is locked for as long as
    /// the port lives.
    pub async fn open(data: &Path) -> Result<SqliteLog, StorageError> {
        SqliteLog::of(Arc::new(Folder::lock(data)?)).await
    }

    /// A second port to the same log. Opening it fences off the first one.
    pub async fn another(&self) -> Result<SqliteLog, StorageError> {
        SqliteLog::of(self.folder.clone()).await
    }

    async fn of(folder: Arc<Folder>) -> Result<SqliteLog, StorageError> {
        let file = file_of(folder.path());
        let mut connection = connect(&file).await?;
        migrations::run(&mut connection, folder.path()).await?;
        let checkpoints = Checkpoints::start(connect(&file).await?);
        let reader = LogReader::of(&file);
        Ok(SqliteLog { folder, connection: Some(connection), unsettled: false, reader, checkpoints })
    }

    /// Keeps archive files in that folder from now on, or where they were; says which one it is.
    pub async fn archive_in(&mut self, folder: Option<&Path>) -> Result<PathBuf, StorageError> {
        let data = self.folder.path().to_path_buf();
        sealed::keep_in(self.connected().await?, &data, folder).await
    }

    /// A handle for everybody but the writer.
    pub fn reader(&self) -> LogReader {
        self.reader.clone()
    }

    /// The connection, opened again if an outcome is unknown. The old one is closed first, which waits for whatever
    /// it was still doing: nothing may be written behind the head that is read next.
    async fn connected(&mut self) -> Result<&mut SqliteConnection, StorageError> {
        if self.unsettled
            && let Some(old) = self.connection.take()
        {
            let _ = old.close().await;
        }
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let mut connection = connect(&file_of(self.folder.path())).await?;
                settle(&mut connection).await?;
                self.unsettled = false;
                connection
            }
        };
        Ok(self.connection.insert(connection))
    }
}

impl Port for SqliteLog {
    async fn open(&mut self) -> Result<(u64, Head), StorageError> {
        let connection = self.connected().await?;
        let raise = sqlx::query_scalar("UPDATE writer SET term = term + 1 RETURNING term");
        let term: i64 = raise.fetch_one(&mut *connection).await.map_err(storage)?;
        Ok((term as u64, reader::head(connection).await?))
    }

    async fn append(&mut self, term: u64, expected: u64, rows: Vec<Row>, vault: VaultChanges) -> Appended {
        let connection = match &mut self.connection {
            Some(connection) if !self.unsettled => connection,
            _ => {
                return Appended::NotWritten(StorageError("the head must be read first: an outcome is unknown".into()));
            }
        };
        // Cleared when the outcome is known: a caller that goes away in between leaves an unknown one.
        self.unsettled = true;
        let size = rows.iter().map(|row| row.payload.len() + ROW_OVERHEAD).sum();
        let appended = match rows.first() {
            Some(first) if insert::fits_one_statement(&rows) && is_plain(first, expected, &vault) => {
                insert::rows(connection, rows).await.map_or_else(classify, |()| Appended::Done)
            }
            _ => append_slowly(connection, term, expected, rows, vault).await,
        };
        if !matches!(appended, Appended::Unknown(_)) {
            self.unsettled = false;
            self.checkpoints.written(size);
        }
        appended
    }

    async fn read(&mut self, after: u64, limit: usize) -> Result<Vec<Row>, StorageError> {
        self.reader.read(after, limit).await
    }

    async fn head(&mut self) -> Result<Head, StorageError> {
        reader::head(self.connected().await?).await
    }

    async fn secret(&mut self, id: Ref) -> Result<Option<Sealed>, StorageError> {
        self.reader.secret(id).await
    }

    async fn seal(&mut self, term: u64, archive: Archive) -> Result<(), StorageError> {
        sealed::note(self.connected().await?, term, &archive).await
    }

    async fn trim(&mut self, term: u64, to: u64, limit: usize) -> Result<usize, StorageError> {
        let gone = sealed::trim(self.connected().await?, term, to, limit).await?;
        self.checkpoints.written(gone * ROW_OVERHEAD);
        Ok(gone)
    }
}

/// Where the log in any database of this form ends.
pub(super) async fn head_of(connection: &mut SqliteConnection) -> Result<Head, StorageError> {
    reader::head(connection).await
}

/// Brings a database to the newest form.
pub(super) async fn migrate(connection: &mut SqliteConnection, data: &Path) -> Result<(), StorageError> {
    migrations::run(connection, data).await
}

/// What a row takes beside its payload, in bytes: an estimate for the checkpoints.
const ROW_OVERHEAD: usize = 150;

/// Whether the triggers alone hold the batch to `expected`: then one statement is a whole append.
fn is_plain(first: &Row, expected: u64, vault: &VaultChanges) -> bool {
    first.position == expected + 1 && vault.put.is_empty() && vault.erase.is_empty()
}

/// An append in a transaction of several statements: the vault changes too, the batch is long, or its first row jumps.
async fn append_slowly(
    connection: &mut SqliteConnection,
    term: u64,
    expected: u64,
    rows: Vec<Row>,
    vault: VaultChanges,
) -> Appended {
    let mut transaction = match connection.begin_with("BEGIN IMMEDIATE").await {
        Ok(transaction) => transaction,
        Err(error) => return not_written(error),
    };
    match write(&mut transaction, term, expected, rows, vault).await {
        Ok(true) => transaction.commit().await.map_or_else(classify, |()| Appended::Done),
        Ok(false) => rolled_back(transaction, Appended::Conflict).await,
        Err(error) => {
            let outcome = if is_conflict(&error) { Appended::Conflict } else { not_written(error) };
            rolled_back(transaction, outcome).await
        }
    }
}

/// Writes everything but the commit; `false` if the log is not where the caller thinks.
async fn write(
    connection: &mut SqliteConnection,
    term: u64,
    expected: u64,
    mut rows: Vec<Row>,
    vault: VaultChanges,
) -> Result<bool, sqlx::Error> {
    let (current, head): (i64, i64) =
        sqlx::query_as("SELECT term, ifnull((SELECT max(position) FROM event), 0) FROM writer")
            .fetch_one(&mut *connection)
            .await?;
    if (current as u64, head as u64) != (term, expected) {
        return Ok(false);
    }
    while !rows.is_empty() {
        let rest = rows.split_off(rows.len().min(insert::ROWS_MAX));
        insert::rows(connection, std::mem::replace(&mut rows, rest)).await?;
    }
    insert::vault(connection, vault).await?;
    Ok(true)
}

/// Without its commit nothing of a transaction is ever found again, even if rolling back fails.
async fn rolled_back(transaction: sqlx::Transaction<'_, sqlx::Sqlite>, outcome: Appended) -> Appended {
    match transaction.rollback().await {
        Ok(()) => outcome,
        Err(error) => Appended::Unknown(storage(error)),
    }
}

/// How a statement that commits, failed.
fn classify(error: sqlx::Error) -> Appended {
    match primary_code(&error) {
        _ if is_conflict(&error) => Appended::Conflict,
        Some(code) if ROLLED_BACK.contains(&code) => not_written(error),
        _ => Appended::Unknown(storage(error)),
    }
}

/// SQLite's primary codes that come before a commit is in the write-ahead log: ERROR, BUSY, LOCKED, READONLY, FULL,
/// TOOBIG, CONSTRAINT and MISMATCH. A full disk is among them, since the frame that commits is the last one written.
const ROLLED_BACK: [i32; 8] = [1, 5, 6, 8, 13, 18, 19, 20];

/// SQLite's extended code CONSTRAINT_TRIGGER. The triggers look at a row before its key is looked at.
const TRIGGER: &str = "1811";

fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let extended: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(extended & 0xff)
}

fn is_conflict(error: &sqlx::Error) -> bool {
    let error = error.as_database_error();
    error.is_some_and(|error| error.code().as_deref() == Some(TRIGGER) && error.message().starts_with("conflict:"))
}

fn not_written(error: sqlx::Error) -> Appended {
    Appended::NotWritten(storage(error))
}

fn storage(error: sqlx::Error) -> StorageError {
    StorageError(match primary_code(&error) {
        Some(5 | 6) => format!("another program keeps it locked: {error}"),
        Some(8) => format!("its disk is read-only: {error}"),
        Some(10) => format!("its disk fails: {error}"),
        Some(13) => format!("its disk is full: {error}"),
        _ => format!("the log's storage: {error}"),
    })
}

/// Writes behind a commit of unknown outcome: whatever of it is still there becomes durable, and what is not can
/// never come back from the write-ahead log. Without it, a restart could find rows that the head does not show now.
async fn settle(connection: &mut SqliteConnection) -> Result<(), StorageError> {
    sqlx::query("UPDATE writer SET settled = settled + 1").execute(connection).await.map_err(storage)?;
    Ok(())
}

fn file_of(data: &Path) -> PathBuf {
    data.join(FILE)
}

async fn connect(file: &Path) -> Result<SqliteConnection, StorageError> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("wal_autocheckpoint", "0")
        .pragma("temp_store", "MEMORY")
        .pragma("secure_delete", "ON")
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging();
    let connected = SqliteConnection::connect_with(&options).await;
    connected.map_err(|error| StorageError(format!("cannot open {}: {error}", file.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Body, Event, Kind};

    fn batch(term: u64, head: &Head, payload: usize) -> Vec<Row> {
        let event = Event {
            kind: Kind::Change,
            lineage: 1,
            term,
            position: head.position + 1,
            time: 1,
            principal: "timer".into(),
            message: "VM.start".into(),
            request: "".into(),
            cause: 0,
            body: Body { address: "x".repeat(payload).into(), ..Body::default() },
        };
        vec![Row::of(&event, &head.hash)]
    }

    /// What surely rolled back is told apart from what may be there, and the log goes on behind it.
    #[tokio::test]
    async fn a_full_disk_a_locked_and_a_read_only_file_are_surely_not_written() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut log = SqliteLog::open(folder.path()).await.expect("a new log");
        let (term, head) = log.open().await.expect("open");
        let mut other = connect(&file_of(folder.path())).await.expect("a second connection");
        for (refuse, allow) in [
            ("PRAGMA max_page_count = 1", "PRAGMA max_page_count = 1000000"),
            ("PRAGMA query_only = ON", "PRAGMA query_only = OFF"),
            ("PRAGMA busy_timeout = 0", "PRAGMA busy_timeout = 5000"),
        ] {
            let lock = refuse.contains("busy_timeout");
            let held = if lock { Some(other.begin_with("BEGIN IMMEDIATE").await.expect("the lock")) } else { None };
            sqlx::query(refuse).execute(log.connection.as_mut().expect("connected")).await.expect(refuse);
            for vault in [VaultChanges::default(), VaultChanges { put: vec![], erase: vec![Ref([1; 16])] }] {
                let appended = log.append(term, 0, batch(term, &head, 100_000), vault).await;
                assert!(matches!(appended, Appended::NotWritten(_)), "{refuse}: {appended:?}");
            }
            sqlx::query(allow).execute(log.connection.as_mut().expect("connected")).await.expect(allow);
            drop(held);
            assert_eq!(log.head().await.expect("head"), head);
        }
        let appended = log.append(term, 0, batch(term, &head, 100_000), VaultChanges::default()).await;
        assert!(matches!(appended, Appended::Done), "{appended:?}");
    }

    /// Any other failure may have come after the commit: nothing is written until the head was read again.
    #[tokio::test]
    async fn a_lost_connection_leaves_an_unknown_outcome() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut log = SqliteLog::open(folder.path()).await.expect("a new log");
        let (term, head) = log.open().await.expect("open");
        assert!(matches!(classify(sqlx::Error::WorkerCrashed), Appended::Unknown(_)));
        log.unsettled = true;
        let refused = log.append(term, 0, batch(term, &head, 1), VaultChanges::default()).await;
        assert!(matches!(refused, Appended::NotWritten(_)), "{refused:?}");
        assert_eq!(log.head().await.expect("head"), head);
        let appended = log.append(term, 0, batch(term, &head, 1), VaultChanges::default()).await;
        assert!(matches!(appended, Appended::Done), "{appended:?}");
    }
}
