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

mod decode;
mod follow;
mod load;
pub mod schema;

pub use follow::follow;
pub use load::{Mark, Stored, load, read};

use super::{Object, View};
use crate::event::Stored as Persisted;
use crate::model::{CLASSES, Class};
use crate::value::{Ref, default_record};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The store's file in the data folder.
pub const FILE: &str = "xenledger.db";
/// How long a write waits for somebody who writes with a tool of theirs.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Rows that one statement takes: what is bound to it stays small.
const ROWS_PER_STATEMENT: usize = 2000;

/// The store, open for writing.
pub struct Store {
    connection: SqliteConnection,
    /// What is in it.
    mark: Mark,
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
        let mut connection = connect(&file).await?;
        make(&mut connection).await?;
        unclean(&mut connection).await?;
        Ok(Store { connection, mark: Mark::default(), filled: false })
    }

    /// Goes on with a store that holds `mark`.
    async fn again(file: &Path, mark: Mark) -> Result<Store, StoreError> {
        let mut connection = connect(file).await?;
        adapt(&mut connection).await?;
        unclean(&mut connection).await?;
        Ok(Store { connection, mark, filled: true })
    }

    /// Brings the store to `view`: what changed since, in one transaction.
    pub async fn write(&mut self, view: &View) -> Result<(), StoreError> {
        let mark = Mark::of(view);
        if self.filled && mark == self.mark {
            return Ok(());
        }
        let after = if self.filled { self.mark.position } else { 0 };
        let mut transaction = self.connection.begin_with("BEGIN IMMEDIATE").await?;
        for class in CLASSES {
            write_class(&mut transaction, view, class, after, self.filled).await?;
        }
        write_mark(&mut transaction, &mark).await?;
        transaction.commit().await?;
        self.mark = mark;
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
    let boot = load::boot_id();
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
    let (busy, _, _): (i64, i64, i64) =
        sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(connection).await?;
    if busy != 0 {
        return Err(sqlx::Error::Protocol("somebody reads it and keeps it from being synced".into()));
    }
    Ok(())
}

async fn write_mark(connection: &mut SqliteConnection, mark: &Mark) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE meta SET lineage = ?, position = ?, time = ?, hash = ?")
        .bind(mark.lineage as i64)
        .bind(mark.position as i64)
        .bind(mark.time)
        .bind(&mark.hash[..])
        .execute(connection)
        .await
        .map(drop)
}

/// Writes what changed in one class behind `after`; the view's own orders say what that is.
async fn write_class(
    connection: &mut SqliteConnection,
    view: &View,
    class: &Class,
    after: u64,
    filled: bool,
) -> Result<(), sqlx::Error> {
    let state = view.class(class.id);
    let from = (after + 1, Ref::NULL);
    let forgotten = filled && state.floor > after; // some deletions since are not remembered any more
    if forgotten {
        sqlx::query("DELETE FROM object WHERE class = ?").bind(class.name).execute(&mut *connection).await?;
    }
    let from_object = if forgotten { (0, Ref::NULL) } else { from };
    let changed = state.modified.range(from_object..).map(|(_, reference)| reference);
    let changed = changed.filter_map(|reference| state.objects.get(reference));
    write_rows(connection, PUT_OBJECTS, changed.map(|object| move |out: &mut Vec<u8>| write_object(out, class, object))).await?;
    let deleted = || state.deleted.range(from..);
    let gone = deleted().map(|((_, reference), _)| move |out: &mut Vec<u8>| write!(out, "[\"{}\",\"{reference}\"]", class.name));
    if filled {
        write_rows(connection, DROP_OBJECTS, gone).await?;
    }
    let tombstones = deleted().map(|((position, reference), created)| {
        move |out: &mut Vec<u8>| write!(out, "[\"{}\",{position},\"{reference}\",{created}]", class.name)
    });
    write_rows(connection, PUT_DELETED, tombstones).await?;
    if state.floor > after || (!filled && state.floor > 0) {
        write_floor(connection, class, state.floor).await?;
    }
    Ok(())
}

async fn write_floor(connection: &mut SqliteConnection, class: &Class, floor: u64) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT INTO floor VALUES (?1, ?2) ON CONFLICT (class) DO UPDATE SET position = ?2")
        .bind(class.name)
        .bind(floor as i64)
        .execute(&mut *connection)
        .await?;
    sqlx::query("DELETE FROM deleted WHERE class = ? AND position <= ?")
        .bind(class.name)
        .bind(floor as i64)
        .execute(connection)
        .await
        .map(drop)
}

const PUT_OBJECTS: &str = "INSERT OR REPLACE INTO object (class, ref, uuid, created, modified, record) \
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value -> 5 FROM json_each(?)";
const DROP_OBJECTS: &str =
    "DELETE FROM object WHERE (class, ref) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?))";
const PUT_DELETED: &str = "INSERT OR REPLACE INTO deleted (class, position, ref, created) \
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?)";

/// Gives a statement its rows as a JSON array, [`ROWS_PER_STATEMENT`] at a time.
async fn write_rows<W>(
    connection: &mut SqliteConnection,
    sql: &'static str,
    rows: impl Iterator<Item = W>,
) -> Result<(), sqlx::Error>
where
    W: FnOnce(&mut Vec<u8>) -> std::io::Result<()>,
{
    let mut rows = rows.peekable();
    while rows.peek().is_some() {
        let mut json = Vec::from(*b"[");
        for (count, write_row) in rows.by_ref().take(ROWS_PER_STATEMENT).enumerate() {
            if count > 0 {
                json.push(b',');
            }
            write_row(&mut json).map_err(sqlx::Error::Io)?;
        }
        json.push(b']');
        let json = String::from_utf8(json).expect("BUG: JSON is UTF-8");
        sqlx::query(sql).bind(json).execute(&mut *connection).await?;
    }
    Ok(())
}

fn write_object(out: &mut Vec<u8>, class: &Class, object: &Object) -> std::io::Result<()> {
    let Object { reference, created, modified, .. } = object;
    write!(out, "[\"{}\",\"{reference}\",", class.name)?;
    let uuid = crate::model::MODEL.field(class.id, "uuid").map_or("", |index| object.record[index].as_str());
    serde_json::to_writer(&mut *out, uuid)?;
    write!(out, ",{created},{modified},{{")?;
    let defaults = default_record(class.id);
    let mut first = true;
    for (index, field) in class.fields.iter().enumerate() {
        if field.far.is_some() || field.flags.volatile || object.record[index] == defaults[index] {
            continue;
        }
        write!(out, "{}\"{}\":", if first { "" } else { "," }, field.name)?;
        serde_json::to_writer(&mut *out, &Persisted(&object.record[index]))?;
        first = false;
    }
    out.write_all(b"}]")
}

#[cfg(test)]
mod tests;
