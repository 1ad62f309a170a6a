//! Reading the store back: at start, and by the tools while a server runs.

use super::{FILE, StoreError, schema};
use crate::log::{Hash, Head, hash};
use crate::model::{ClassId, MODEL};
use crate::value::decode::Series;
use crate::value::{Micros, Ref};
use crate::views::{Object, Parts, View};
use futures_util::stream::TryChunksError;
use futures_util::{StreamExt, TryStreamExt};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{ConnectOptions, Connection, Row};
use std::panic::resume_unwind;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// How long a reader waits for the moment in which a write becomes visible.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Which event is the last one in a store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    pub lineage: u64,
    pub position: u64,
    pub time: Micros,
    pub hash: Hash,
}

impl Default for Mark {
    fn default() -> Mark {
        Mark { lineage: 0, position: 0, time: 0, hash: hash::GENESIS }
    }
}

impl Mark {
    pub fn of(view: &View) -> Mark {
        Mark { lineage: view.lineage, position: view.position, time: view.time, hash: view.hash }
    }

    /// Where a log ends that has that event last.
    pub fn head(self) -> Head {
        Head { lineage: self.lineage, position: self.position, time: self.time, hash: self.hash }
    }
}

/// A store as it was read, from one moment.
pub struct Stored {
    pub view: View,
    pub mark: Mark,
    /// Nothing can have been torn since it was written.
    pub trusted: bool,
}

/// The view in the store; `None` when there is none, or none that can be believed. Whether it belongs to the log
/// is for the caller to check.
pub async fn load(data: &Path) -> Option<View> {
    if !data.join(FILE).exists() {
        return None;
    }
    match read(data).await {
        Ok(stored) if stored.trusted => Some(stored.view),
        Ok(_) => {
            tracing::warn!("{FILE} was being written when the machine stopped; it is made anew from the log");
            None
        }
        Err(error) => {
            tracing::warn!(%error, "the store cannot be read; it is made anew from the log");
            None
        }
    }
}

/// Reads the whole store in one transaction, whether a server writes to it or not.
pub async fn read(data: &Path) -> Result<Stored, StoreError> {
    let options = SqliteConnectOptions::new()
        .filename(data.join(FILE))
        .read_only(true)
        .busy_timeout(BUSY_TIMEOUT)
        .row_buffer_size(ROWS_AHEAD)
        .disable_statement_logging();
    let mut connection = options.connect().await?;
    let mut transaction = connection.begin().await?;
    let (mark, trusted) = read_meta(&mut transaction).await?;
    let mut parts = Parts::default();
    read_objects(&mut transaction, &mut parts).await?;
    read_deleted(&mut transaction, &mut parts).await?;
    transaction.commit().await?;
    connection.close().await?;
    let mut view = View::assemble(parts);
    (view.lineage, view.position, view.time, view.hash) = (mark.lineage, mark.position, mark.time, mark.hash);
    Ok(Stored { view, mark, trusted })
}

/// Rows that SQLite's thread may be ahead.
const ROWS_AHEAD: usize = 1024;
/// Rows that are decoded by one thread, and how many threads do so at once: SQLite gives rows as fast as two read what they
/// say.
const ROWS_AT_ONCE: usize = 256;
const DECODED_AT_ONCE: usize = 2;

async fn read_meta(connection: &mut SqliteConnection) -> Result<(Mark, bool), sqlx::Error> {
    type Meta = (i64, i64, i64, i64, Vec<u8>, bool, String);
    let (version, lineage, position, time, hash, clean, boot): Meta =
        sqlx::query_as("SELECT version, lineage, position, time, hash, clean, boot FROM meta")
            .fetch_one(connection)
            .await?;
    if version != schema::TABLES_VERSION {
        return Err(damaged(format!("its tables have version {version}, not {}", schema::TABLES_VERSION)));
    }
    let hash = hash.try_into().map_err(|_| damaged("its hash has not 32 bytes"))?;
    let trusted = clean || (!boot.is_empty() && boot == crate::world::boot_id());
    Ok((Mark { lineage: lineage as u64, position: position as u64, time, hash }, trusted))
}

/// Reads the objects, in the table's order: each piece of it is decoded on another thread while SQLite's goes on.
async fn read_objects(connection: &mut SqliteConnection, parts: &mut Parts) -> Result<(), sqlx::Error> {
    let sql = "SELECT class, ref, created, modified, record FROM object ORDER BY class, ref";
    let rows = sqlx::query(sql).fetch(connection).try_chunks(ROWS_AT_ONCE);
    let decoded = rows.map(|rows| async {
        let rows = rows.map_err(|TryChunksError(_, error)| error)?;
        let decoded = tokio::task::spawn_blocking(move || objects(&rows)).await;
        decoded.unwrap_or_else(|ended| resume_unwind(ended.into_panic()))
    });
    let mut decoded = pin!(decoded.buffered(DECODED_AT_ONCE));
    while let Some(objects) = decoded.try_next().await? {
        objects.into_iter().for_each(|(class, object)| parts.object(class, object));
    }
    Ok(())
}

/// What rows say that follow one another: classes come in runs, and in each a record is much like the one before.
fn objects(rows: &[SqliteRow]) -> Result<Vec<(ClassId, Arc<Object>)>, sqlx::Error> {
    let (mut classes, mut series) = (Classes::default(), None);
    let object = |row: &SqliteRow| {
        let class = classes.find(row.try_get(0)?)?;
        let reference = reference(row.try_get(1)?)?;
        let series = match &mut series {
            Some(series) if Series::class(series) == class => series,
            other => other.insert(Series::of(class)),
        };
        let record = series.next(row.try_get(4)?);
        let record = record.map_err(|error| damaged(format!("the record of {class:?} {reference}: {error}")))?;
        let (created, modified) = (row.try_get::<i64, _>(2)? as u64, row.try_get::<i64, _>(3)? as u64);
        Ok((class, Arc::new(Object { reference, created, modified, record })))
    };
    rows.iter().map(object).collect()
}

async fn read_deleted(connection: &mut SqliteConnection, parts: &mut Parts) -> Result<(), sqlx::Error> {
    let mut classes = Classes::default();
    let floors: Vec<(String, i64)> =
        sqlx::query_as("SELECT class, position FROM floor").fetch_all(&mut *connection).await?;
    for (class, floor) in floors {
        parts.floor(classes.find(&class)?, floor as u64);
    }
    // One text a class: a hundred thousand rows would cost more than all objects.
    let sql = "SELECT class, group_concat(position || ' ' || substr(ref, 11) || ' ' || created, ';') \
               FROM deleted GROUP BY class";
    let listed: Vec<(String, String)> = sqlx::query_as(sql).fetch_all(connection).await?;
    for (class, list) in listed {
        let class = classes.find(&class)?;
        for entry in list.split(';') {
            let (position, reference, created) =
                tombstone(entry).ok_or_else(|| damaged(format!("{entry:?} is no deletion")))?;
            parts.deleted(class, position, reference, created);
        }
    }
    Ok(())
}

fn tombstone(entry: &str) -> Option<(u64, Ref, u64)> {
    let mut words = entry.split(' ');
    Some((words.next()?.parse().ok()?, Ref::parse_uuid(words.next()?)?, words.next()?.parse().ok()?))
}

/// Classes come in runs: the last one is usually the next one.
#[derive(Default)]
struct Classes(Option<ClassId>);

impl Classes {
    fn find(&mut self, name: &str) -> Result<ClassId, sqlx::Error> {
        match self.0 {
            Some(class) if class.name() == name => Ok(class),
            _ => {
                let found = MODEL.class(name).ok_or_else(|| damaged(format!("there is no class {name}")))?;
                self.0 = Some(found);
                Ok(found)
            }
        }
    }
}

fn reference(text: &str) -> Result<Ref, sqlx::Error> {
    Ref::parse(text).filter(|found| !found.is_null()).ok_or_else(|| damaged(format!("{text:?} is no reference")))
}

fn damaged(why: impl Into<String>) -> sqlx::Error {
    sqlx::Error::Decode(why.into().into())
}
