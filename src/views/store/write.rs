//! Writing what changed: few statements, each with many rows. The view's own
//! orders of changes and deletions say what is new; the view that was written
//! before tells whether an index is concerned, which most changes do not.
//!
//! Objects are bound value by value: taken out of one JSON array, each record
//! would be parsed again for each of its columns.

use super::Mark;
use super::schema::indexed;
use crate::event::Stored as Persisted;
use crate::model::{Class, MODEL};
use crate::value::{Ref, default_record};
use crate::views::{Object, View};
use sqlx::sqlite::SqliteConnection;
use sqlx::{QueryBuilder, Sqlite};
use std::io::Write;
use std::sync::Arc;

/// Objects that one statement takes.
const OBJECTS_PER_STATEMENT: usize = 200;
/// Bytes that most records fit in.
const RECORD_USUAL: usize = 2048;
/// Rows that one statement takes: what is bound to it stays small.
const ROWS_PER_STATEMENT: usize = 2000;

pub async fn mark(connection: &mut SqliteConnection, mark: &Mark) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE meta SET lineage = ?, position = ?, time = ?, hash = ?")
        .bind(mark.lineage as i64)
        .bind(mark.position as i64)
        .bind(mark.time)
        .bind(&mark.hash[..])
        .execute(connection)
        .await
        .map(drop)
}

/// What the store has already.
pub struct Written<'a> {
    /// Everything up to that position.
    pub after: u64,
    /// False where the store was made anew: then there is nothing to be deleted.
    pub filled: bool,
    /// How it was then, if that is known.
    pub view: Option<&'a View>,
}

/// Writes what changed in one class; the view's own orders say what that is.
pub async fn class(
    connection: &mut SqliteConnection,
    view: &View,
    class: &Class,
    written: &Written<'_>,
) -> Result<(), sqlx::Error> {
    let Written { after, filled, view: before } = *written;
    let state = view.class(class.id);
    let forgotten = filled && state.floor > after; // some deletions since are not remembered any more
    if forgotten {
        sqlx::query("DELETE FROM object WHERE class = ?").bind(class.name).execute(&mut *connection).await?;
    }
    // Deletions first: a reference may have come back since.
    if filled {
        put(connection, DROP_OBJECTS, deleted_objects(view, class, after)).await?;
    }
    if forgotten {
        put_objects(connection, view, class, 0, None).await?;
    } else {
        put_objects(connection, view, class, after, before).await?;
    }
    put(connection, PUT_DELETED, tombstones(view, class, after)).await?;
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

/// A row that cannot be written leaves the statement half done, and the transaction is given up: so nothing is noted for
/// undoing the half.
const PUT_OBJECTS: &str = "INSERT OR FAIL INTO object (class, ref, uuid, created, modified, record, refers) ";
/// What a reference stands for never changes, so its uuid and its beginning need no writing again.
const OVER_OBJECTS: &str =
    " ON CONFLICT (class, ref) DO UPDATE SET modified = excluded.modified, record = excluded.record";
/// With what the indexes read, each of which SQLite then writes again.
const OVER_INDEXES: &str = ", refers = excluded.refers";
const DROP_OBJECTS: &str =
    "DELETE FROM object WHERE (class, ref) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?))";
const PUT_DELETED: &str = "INSERT OR REPLACE INTO deleted (class, position, ref, created) \
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?)";

/// Runs a statement once per JSON array of rows.
async fn put(connection: &mut SqliteConnection, sql: &'static str, arrays: Vec<String>) -> Result<(), sqlx::Error> {
    for array in arrays {
        sqlx::query(sql).bind(array).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Writes what changed behind `after`; `before` is how it was then, if that is known.
async fn put_objects(
    connection: &mut SqliteConnection,
    view: &View,
    class: &Class,
    after: u64,
    before: Option<&View>,
) -> Result<(), sqlx::Error> {
    let found_alike = |object: &&Arc<Object>| before.is_some_and(|view| refers_alike(view, class, object));
    let (alike, other): (Vec<_>, Vec<_>) = view.class(class.id).changed(after).partition(found_alike);
    put_some(connection, class, &alike, false).await?;
    put_some(connection, class, &other, true).await
}

/// Whether indexes find an object as they did before.
fn refers_alike(before: &View, class: &Class, object: &Object) -> bool {
    let same = |known: &Arc<Object>| indexed(class.id).iter().all(|&field| known.record[field] == object.record[field]);
    before.object(class.id, object.reference).is_some_and(same)
}

/// Puts objects in, or over what is there; where they are found by what they were found by, with `indexes` false.
async fn put_some(
    connection: &mut SqliteConnection,
    class: &Class,
    objects: &[&Arc<Object>],
    indexes: bool,
) -> Result<(), sqlx::Error> {
    for part in objects.chunks(OBJECTS_PER_STATEMENT) {
        let mut statement = QueryBuilder::<Sqlite>::new(PUT_OBJECTS);
        statement.push_values(part, |mut row, object| {
            let uuid = MODEL.field(class.id, "uuid").map_or("", |index| object.record[index].as_str());
            row.push_bind(class.name)
                .push_bind(object.reference.to_string())
                .push_bind(uuid)
                .push_bind(object.created as i64)
                .push_bind(object.modified as i64)
                .push_bind(record_of(class, object))
                .push_bind(refers_of(class, object));
        });
        statement.push(OVER_OBJECTS);
        if indexes {
            statement.push(OVER_INDEXES);
        }
        statement.build().persistent(part.len() == OBJECTS_PER_STATEMENT).execute(&mut *connection).await?;
    }
    Ok(())
}

fn deleted_objects(view: &View, class: &Class, after: u64) -> Vec<String> {
    let deleted = view.class(class.id).deleted.range((after + 1, Ref::NULL)..);
    arrays(deleted, |out, ((_, reference), _)| write!(out, "[\"{}\",\"{reference}\"]", class.name))
}

fn tombstones(view: &View, class: &Class, after: u64) -> Vec<String> {
    let deleted = view.class(class.id).deleted.range((after + 1, Ref::NULL)..);
    arrays(deleted, |out, ((position, reference), created)| {
        write!(out, "[\"{}\",{position},\"{reference}\",{created}]", class.name)
    })
}

/// JSON arrays of at most [`ROWS_PER_STATEMENT`] rows.
fn arrays<T>(
    rows: impl Iterator<Item = T>,
    mut write_row: impl FnMut(&mut Vec<u8>, T) -> std::io::Result<()>,
) -> Vec<String> {
    let mut arrays = Vec::new();
    let mut rows = rows.peekable();
    while rows.peek().is_some() {
        let mut json = Vec::from(*b"[");
        for (count, row) in rows.by_ref().take(ROWS_PER_STATEMENT).enumerate() {
            if count > 0 {
                json.push(b',');
            }
            write_row(&mut json, row).expect("BUG: memory takes every write");
        }
        json.push(b']');
        arrays.push(String::from_utf8(json).expect("BUG: JSON is UTF-8"));
    }
    arrays
}

/// The stored fields that differ from their default, as JSON.
fn record_of(class: &Class, object: &Object) -> String {
    let differing = object.record.differences(default_record(class.id));
    let is_stored = |index: &usize| class.fields[*index].far.is_none() && !class.fields[*index].flags.volatile;
    json_of(class, object, differing.filter(is_stored))
}

/// The fields that indexes read; most classes have none.
fn refers_of(class: &Class, object: &Object) -> Option<String> {
    let fields = indexed(class.id);
    let set = fields.iter().copied().filter(|&field| !object.record[field].as_ref().is_null());
    (!fields.is_empty()).then(|| json_of(class, object, set))
}

fn json_of(class: &Class, object: &Object, fields: impl Iterator<Item = usize>) -> String {
    let mut json = Vec::with_capacity(RECORD_USUAL);
    json.push(b'{');
    for field in fields {
        json.extend_from_slice(if json.len() > 1 { b",\"" } else { b"\"" });
        json.extend_from_slice(class.fields[field].name.as_bytes());
        json.extend_from_slice(b"\":");
        serde_json::to_writer(&mut json, &Persisted(&object.record[field])).expect("BUG: a value is always JSON");
    }
    json.push(b'}');
    String::from_utf8(json).expect("BUG: JSON is UTF-8")
}
