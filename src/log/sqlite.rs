//! The log in SQLite: `DATA/log.sqlite`.
//!
//! One connection writes, on the thread that asks: a hop to another one would
//! cost more than the statement. One checkpoints behind it ([`checkpoint`]); a
//! small pool reads ([`LogReader`]). A batch of rows is one transaction and one
//! sync of the write-ahead log. Triggers hold everybody to the log's rules but
//! an append, which looks once a batch at what they would look at for each
//! row. Must never know what an event means.
//!
//! ```text
//!   open ──▶ writing ──▶ Done | Conflict | NotWritten ──▶ writing
//!               └─────▶ Unknown: connection dropped ── head(): reopen, settle ──▶ writing
//! ```

mod checkpoint;
mod insert;
mod migrations;
mod reader;
mod readers;
mod sealed;

pub use reader::{BadRow, LogReader, PAGE_ROWS_MAX};

use super::archive::Archive;
use super::folder::Folder;
use super::{Appended, Head, Port, Row, Sealed, StorageError, VaultChanges, continues};
use crate::value::Ref;
use checkpoint::Checkpoints;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};
use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
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
    /// `None` only while it could not be opened again.
    connection: Option<Connection>,
    /// From the begin of an append until its outcome is known, be it by reading the head.
    unsettled: bool,
    reader: LogReader,
    checkpoints: Checkpoints,
    /// Let go last.
    folder: Arc<Folder>,
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
        let mut behind = connect_behind(&file).await?;
        migrations::run(&mut behind, folder.path()).await?;
        let (connection, reader) = (Some(connect(&file)?), LogReader::of(&file));
        Ok(SqliteLog { folder, connection, unsettled: false, reader, checkpoints: Checkpoints::start(behind) })
    }

    /// Keeps archive files in that folder from now on, or where they were; says which one it is.
    pub async fn archive_in(&mut self, folder: Option<&Path>) -> Result<PathBuf, StorageError> {
        let data = self.folder.path().to_path_buf();
        sealed::keep_in(self.connected()?, &data, folder)
    }

    /// A handle for everybody but the writer.
    pub fn reader(&self) -> LogReader {
        self.reader.clone()
    }

    /// The connection, with the triggers watching; opened again if an outcome is unknown. The old one is closed first:
    /// nothing may be written behind the head that is read next.
    fn connected(&mut self) -> Result<&mut Connection, StorageError> {
        if self.unsettled {
            drop(self.connection.take());
        }
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let connection = connect(&file_of(self.folder.path()))?;
                settle(&connection)?;
                self.unsettled = false;
                connection
            }
        };
        triggers(&connection, true).map_err(failed)?;
        Ok(self.connection.insert(connection))
    }
}

impl Port for SqliteLog {
    async fn open(&mut self) -> Result<(u64, Head), StorageError> {
        let connection = self.connected()?;
        let term = raise(connection).map_err(failed)?;
        Ok((term, head(connection)?))
    }

    async fn append(&mut self, term: u64, expected: u64, rows: Vec<Row>, vault: VaultChanges) -> Appended {
        let connection = match &mut self.connection {
            Some(connection) if !self.unsettled => connection,
            _ => {
                return Appended::NotWritten(StorageError("the head must be read first: an outcome is unknown".into()));
            }
        };
        let appended = commit(connection, term, expected, &rows, &vault);
        self.unsettled = matches!(appended, Appended::Unknown(_));
        if !self.unsettled {
            self.checkpoints.written(rows.iter().map(|row| row.payload.len() + ROW_OVERHEAD).sum());
        }
        appended
    }

    async fn read(&mut self, after: u64, limit: usize) -> Result<Vec<Row>, StorageError> {
        self.reader.read(after, limit).await
    }

    async fn head(&mut self) -> Result<Head, StorageError> {
        head(self.connected()?)
    }

    async fn secret(&mut self, id: Ref) -> Result<Option<Sealed>, StorageError> {
        self.reader.secret(id).await
    }

    async fn seal(&mut self, term: u64, archive: Archive) -> Result<(), StorageError> {
        sealed::note(self.connected()?, term, &archive)
    }

    async fn trim(&mut self, term: u64, to: u64, limit: usize) -> Result<usize, StorageError> {
        let gone = sealed::trim(self.connected()?, term, to, limit)?;
        self.checkpoints.written(gone * ROW_OVERHEAD);
        Ok(gone)
    }
}

/// Where the log in any database of this form ends.
pub(super) async fn head_of(connection: &mut SqliteConnection) -> Result<Head, StorageError> {
    let newest = sqlx::query_as(reader::HEAD).fetch_optional(connection).await;
    reader::head_of(newest.map_err(storage)?)
}

/// Brings a database to the newest form.
pub(super) async fn migrate(connection: &mut SqliteConnection, data: &Path) -> Result<(), StorageError> {
    migrations::run(connection, data).await
}

/// What a row takes beside its payload, in bytes: an estimate for the checkpoints.
const ROW_OVERHEAD: usize = 150;

/// Under which term the log is written now.
const TERM: &str = "SELECT term FROM writer";

/// The same, and behind which position it goes on.
const AT: &str = "SELECT term, ifnull((SELECT max(position) FROM event), 0) FROM writer";

/// Has the triggers watch over a connection, or not. To run one for each row takes longer than to write the row, and an
/// append holds to their rules by itself.
fn triggers(connection: &Connection, watch: bool) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, watch).map(drop)
}

/// Raises the term, by a commit whose failure is heard: `RETURNING` commits when its rows are dropped.
fn raise(connection: &mut Connection) -> rusqlite::Result<u64> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute("UPDATE writer SET term = term + 1", [])?;
    let term: i64 = transaction.query_row(TERM, [], |row| row.get(0))?;
    transaction.commit()?;
    Ok(term as u64)
}

/// Where the log ends, by the connection that writes: the writer waits for no reader.
fn head(connection: &Connection) -> Result<Head, StorageError> {
    let newest = connection.query_row(reader::HEAD, [], |row| row.try_into());
    reader::head_of(newest.optional().map_err(failed)?)
}

/// Appends in one transaction, which looks for the head and the term itself.
fn commit(connection: &Connection, term: u64, expected: u64, rows: &[Row], vault: &VaultChanges) -> Appended {
    let begun = triggers(connection, false).and_then(|()| run(connection, "BEGIN IMMEDIATE"));
    if let Err(error) = begun {
        return Appended::NotWritten(failed(error));
    }
    let outcome = match write(connection, term, expected, rows, vault) {
        Ok(true) => run(connection, "COMMIT").map_or_else(classify, |()| Appended::Done),
        Ok(false) => Appended::Conflict,
        Err(error) => Appended::NotWritten(failed(error)),
    };
    // What fails badly enough has been rolled back by itself.
    match connection.is_autocommit() {
        true => outcome,
        // Without its commit nothing of a transaction is ever found again, even if rolling back fails.
        false => run(connection, "ROLLBACK").map_or_else(|error| Appended::Unknown(failed(error)), |()| outcome),
    }
}

/// A statement that is used again and again, and gives nothing.
fn run(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.raw_execute().map(drop)
}

/// Writes everything but the commit; `false` if the log is not where the caller thinks.
fn write(
    connection: &Connection,
    term: u64,
    expected: u64,
    rows: &[Row],
    vault: &VaultChanges,
) -> rusqlite::Result<bool> {
    let (current, head): (i64, i64) = connection.prepare_cached(AT)?.query_row([], |row| row.try_into())?;
    if (current as u64, head as u64) != (term, expected) || !continues(rows, term, expected) {
        return Ok(false);
    }
    for some in rows.chunks(insert::ROWS_MAX) {
        insert::rows(connection, some)?;
    }
    insert::vault(connection, vault)?;
    Ok(true)
}

/// How a statement that commits, failed.
fn classify(error: rusqlite::Error) -> Appended {
    match error.sqlite_error() {
        Some(code) if ROLLED_BACK.contains(&(code.extended_code & 0xff)) => Appended::NotWritten(failed(error)),
        _ => Appended::Unknown(failed(error)),
    }
}

/// SQLite's primary codes that come before a commit is in the write-ahead log: ERROR, BUSY, LOCKED, READONLY, FULL,
/// TOOBIG, CONSTRAINT and MISMATCH. A full disk is among them, since the frame that commits is the last one written.
const ROLLED_BACK: [i32; 8] = [1, 5, 6, 8, 13, 18, 19, 20];

/// Why the connection that writes did not do it.
fn failed(error: rusqlite::Error) -> StorageError {
    explained(error.sqlite_error().map(|code| code.extended_code), &error)
}

/// Why one that reads did not.
fn storage(error: sqlx::Error) -> StorageError {
    let code = error.as_database_error().and_then(|error| error.code()).and_then(|code| code.parse().ok());
    explained(code, &error)
}

fn explained(extended: Option<i32>, error: &dyn std::fmt::Display) -> StorageError {
    StorageError(match extended.map(|extended| extended & 0xff) {
        Some(5 | 6) => format!("another program keeps it locked: {error}"),
        Some(8) => format!("its disk is read-only: {error}"),
        Some(10) => format!("its disk fails: {error}"),
        Some(13) => format!("its disk is full: {error}"),
        _ => format!("the log's storage: {error}"),
    })
}

/// Writes behind a commit of unknown outcome: whatever of it is still there becomes durable, and what is not can
/// never come back from the write-ahead log. Without it, a restart could find rows that the head does not show now.
fn settle(connection: &Connection) -> Result<(), StorageError> {
    connection.execute("UPDATE writer SET settled = settled + 1", []).map(drop).map_err(failed)
}

fn file_of(data: &Path) -> PathBuf {
    data.join(FILE)
}

/// The connection that writes.
fn connect(file: &Path) -> Result<Connection, StorageError> {
    let connected = Connection::open(file).and_then(|connection| {
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
        connection.execute_batch(PRAGMAS)?;
        Ok(connection)
    });
    connected.map_err(|error| StorageError(format!("cannot open {}: {error}", file.display())))
}

/// Of the connection that writes. `journal_mode` comes first: the others depend on it.
const PRAGMAS: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
    PRAGMA wal_autocheckpoint = 0; PRAGMA temp_store = MEMORY; PRAGMA secure_delete = ON;";

/// Prepared statements that it keeps: the nine that insert, and room for the others.
const STATEMENTS_KEPT: usize = 16;

/// The one behind it, which prepares the file and checkpoints.
async fn connect_behind(file: &Path) -> Result<SqliteConnection, StorageError> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging();
    let connected = options.connect().await;
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
        let mut other = connect(&file_of(folder.path())).expect("a second connection");
        for (refuse, allow) in [
            ("PRAGMA max_page_count = 1", "PRAGMA max_page_count = 1000000"),
            ("PRAGMA query_only = ON", "PRAGMA query_only = OFF"),
            ("PRAGMA busy_timeout = 0", "PRAGMA busy_timeout = 5000"),
        ] {
            let lock = refuse.contains("busy_timeout");
            let held = if lock {
                Some(other.transaction_with_behavior(TransactionBehavior::Immediate).expect("the lock"))
            } else {
                None
            };
            log.connection.as_ref().expect("connected").execute_batch(refuse).expect(refuse);
            for vault in [VaultChanges::default(), VaultChanges { put: vec![], erase: vec![Ref([1; 16])] }] {
                let appended = log.append(term, 0, batch(term, &head, 100_000), vault).await;
                assert!(matches!(appended, Appended::NotWritten(_)), "{refuse}: {appended:?}");
            }
            log.connection.as_ref().expect("connected").execute_batch(allow).expect(allow);
            drop(held);
            assert_eq!(log.head().await.expect("head"), head);
        }
        let appended = log.append(term, 0, batch(term, &head, 100_000), VaultChanges::default()).await;
        assert!(matches!(appended, Appended::Done), "{appended:?}");
    }

    /// What an append does without, everything else that the port writes is held to.
    #[tokio::test]
    async fn but_for_appends_the_triggers_watch() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut log = SqliteLog::open(folder.path()).await.expect("a new log");
        let (term, head) = log.open().await.expect("open");
        let appended = log.append(term, 0, batch(term, &head, 1), VaultChanges::default()).await;
        assert!(matches!(appended, Appended::Done), "{appended:?}");
        let refused = log.connected().expect("connected").execute("DELETE FROM event", []).expect_err("a trigger");
        assert!(refused.to_string().contains("only archived rows"), "{refused}");
    }

    /// Whoever reads pages of rows holds no more than some of them at once, however long each is.
    #[tokio::test]
    async fn a_page_ends_where_its_rows_are_long() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut log = SqliteLog::open(folder.path()).await.expect("a new log");
        let (term, mut head) = log.open().await.expect("open");
        for _ in 0..4 {
            let rows = batch(term, &head, 1_500_000);
            let appended = log.append(term, head.position, rows, VaultChanges::default()).await;
            assert!(matches!(appended, Appended::Done), "{appended:?}");
            head = log.head().await.expect("head");
        }
        let positions = |rows: Vec<Row>| rows.iter().map(|row| row.position).collect::<Vec<_>>();
        let reader = log.reader();
        assert_eq!(positions(reader.read(0, 10).await.expect("read")), [1, 2, 3]);
        assert_eq!(positions(reader.read(3, 10).await.expect("read")), [4]);
        assert_eq!(positions(reader.read_back(5, 10).await.expect("read")), [4, 3, 2]);
        assert_eq!(positions(reader.read_back(2, 10).await.expect("read")), [1]);
    }

    /// Any other failure may have come after the commit: nothing is written until the head was read again.
    #[tokio::test]
    async fn a_failing_disk_leaves_an_unknown_outcome() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut log = SqliteLog::open(folder.path()).await.expect("a new log");
        let (term, head) = log.open().await.expect("open");
        let failing =
            rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_FSYNC), None);
        assert!(matches!(classify(failing), Appended::Unknown(_)));
        log.unsettled = true;
        let refused = log.append(term, 0, batch(term, &head, 1), VaultChanges::default()).await;
        assert!(matches!(refused, Appended::NotWritten(_)), "{refused:?}");
        assert_eq!(log.head().await.expect("head"), head);
        let appended = log.append(term, 0, batch(term, &head, 1), VaultChanges::default()).await;
        assert!(matches!(appended, Appended::Done), "{appended:?}");
    }
}
