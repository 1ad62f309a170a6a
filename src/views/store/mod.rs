//! `DATA/xenledger.db`: the view as tables, for people with SQL and for fast
//! restarts. Written behind the log and rebuilt from it whenever in doubt, so
//! it never waits for the disk. Must never be the only place of anything.
//!
//! ```text
//!   restore ──▶ Store::open ──▶ write ⟲ ──▶ close            next start: loaded
//!                                 └── killed ───────────────▶ next start: loaded, then the log's tail
//!                                 └── power cut ────────────▶ next start: rebuilt from the log
//! ```
//!
//! After a kill every write is there or not, whole. After a power cut the file
//! may be torn, for nothing was synced: the kernel's boot id tells that there
//! was one, unless the store had been closed, which syncs it.

mod follow;
mod load;
pub mod schema;
mod write;

pub use follow::Follower;
pub use load::{Mark, Stored, load, read};

use super::View;
use crate::model::CLASSES;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The store's file in the data folder.
pub const FILE: &str = "xenledger.db";
/// Pages kept in memory, in KiB below zero: those of what one write changes in a pool of ten thousand machines. With
/// fewer, pages are written to the file and read from it again within a write.
const CACHE: &str = "-8192";
/// How long a write waits for somebody who writes with a tool of theirs.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The store, open for writing.
pub struct Store {
    connection: SqliteConnection,
    /// What is in it.
    mark: Mark,
    /// The view that was written last.
    last: Option<View>,
    /// False when it was made anew: then everything has to be written.
    filled: bool,
}

/// Why the store could not be used; it can be made anew at any time.
#[derive(Debug, thiserror::Error)]
#[error("{FILE}: {0}")]
pub struct StoreError(#[from] sqlx::Error);

impl Store {
    /// Opens the store for writing. `loaded` is what [`load`] found good in it; without, it is made anew.
    pub async fn open(data: &Path, loaded: Option<Mark>) -> Result<Store, StoreError> {
        let file = data.join(FILE);
        if let Some(mark) = loaded {
            match Store::again(&file, mark).await {
                Ok(store) => return Ok(store),
                Err(error) => tracing::warn!(%error, "the store cannot be continued; it is made anew"),
            }
        }
        remove(&file);
        Store::create(&file).await
    }

    /// Makes a store in a file that is not there.
    pub async fn create(file: &Path) -> Result<Store, StoreError> {
        let mut connection = connect(file).await?;
        make(&mut connection).await?;
        unclean(&mut connection).await?;
        Ok(Store { connection, mark: Mark::default(), last: None, filled: false })
    }

    /// Goes on with a store that holds `mark`.
    async fn again(file: &Path, mark: Mark) -> Result<Store, StoreError> {
        let mut connection = connect(file).await?;
        adapt(&mut connection).await?;
        unclean(&mut connection).await?;
        Ok(Store { connection, mark, last: None, filled: true })
    }

    /// Brings the store to `view`: what changed since, in one transaction.
    pub async fn write(&mut self, view: &View) -> Result<(), StoreError> {
        let mark = Mark::of(view);
        if self.filled && mark == self.mark {
            return Ok(());
        }
        let after = if self.filled { self.mark.position } else { 0 };
        let written = write::Written { after, filled: self.filled, view: self.last.as_ref() };
        let mut transaction = self.connection.begin_with("BEGIN IMMEDIATE").await?;
        for class in CLASSES {
            write::class(&mut transaction, view, class, &written).await?;
        }
        write::mark(&mut transaction, &mark).await?;
        transaction.commit().await?;
        self.mark = mark;
        self.last = Some(view.clone());
        self.filled = true;
        Ok(())
    }

    /// Writes the last view and makes all of it durable.
    pub async fn close(mut self, view: &View) -> Result<(), StoreError> {
        self.write(view).await?;
        // The order is what counts: all pages are on disk before the file says so.
        run(&mut self.connection, "PRAGMA synchronous = FULL").await?;
        for clean in [false, true] {
            sqlx::query("UPDATE meta SET clean = ?").bind(clean).execute(&mut self.connection).await?;
            sync(&mut self.connection).await?;
        }
        self.connection.close().await?;
        Ok(())
    }
}

async fn connect(file: &Path) -> Result<SqliteConnection, sqlx::Error> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Off)
        .pragma("temp_store", "MEMORY") // what a statement might have to undo is kept here, not in a file
        .pragma("cache_size", CACHE)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging();
    options.connect().await
}

/// Removes a store with everything that SQLite keeps beside it.
fn remove(file: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = file.as_os_str().to_owned();
        name.push(suffix);
        drop(std::fs::remove_file(PathBuf::from(name)));
    }
}

async fn run(connection: &mut SqliteConnection, sql: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_string())).execute(connection).await.map(drop)
}

async fn make(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let generated = schema::generated();
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    run(&mut transaction, schema::TABLES).await?;
    run(&mut transaction, &generated.join(";\n")).await?;
    sqlx::query("INSERT INTO meta VALUES (1, ?, ?, 0, 0, 0, zeroblob(32), 0, '')")
        .bind(schema::TABLES_VERSION)
        .bind(schema::digest(&generated))
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}

/// Makes the generated views again when the model changed.
async fn adapt(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let generated = schema::generated();
    let digest = schema::digest(&generated);
    let present: String = sqlx::query_scalar("SELECT views FROM meta").fetch_one(&mut *connection).await?;
    if present == digest {
        return Ok(());
    }
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    run(&mut transaction, &generated.join(";\n")).await?;
    sqlx::query("UPDATE meta SET views = ?").bind(digest).execute(&mut *transaction).await?;
    transaction.commit().await
}

/// Notes, durably, that the store can only be believed until the next power cut.
async fn unclean(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let boot = crate::world::boot_id();
    let (clean, before): (bool, String) =
        sqlx::query_as("SELECT clean, boot FROM meta").fetch_one(&mut *connection).await?;
    if !clean && before == boot {
        return Ok(());
    }
    run(connection, "PRAGMA synchronous = FULL").await?;
    sqlx::query("UPDATE meta SET clean = 0, boot = ?").bind(boot).execute(&mut *connection).await?;
    sync(connection).await?;
    run(connection, "PRAGMA synchronous = OFF").await
}

/// Moves what was written just now into the file and syncs all of it. What was written must not be nothing, or
/// SQLite sees no reason to.
async fn sync(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let (busy, _, _): (i64, i64, i64) = sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(connection).await?;
    if busy != 0 {
        return Err(sqlx::Error::Protocol("somebody reads it and keeps it from being synced".into()));
    }
    Ok(())
}

#[cfg(test)]
pub mod tests;
