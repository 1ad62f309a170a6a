//! Writing what changed: few statements, each with many rows as one JSON
//! array. The view's own orders of changes and deletions say what is new.

use super::Mark;
use crate::event::Stored as Persisted;
use crate::model::{Class, MODEL};
use crate::value::{Ref, default_record};
use crate::views::{Object, View};
use sqlx::sqlite::SqliteConnection;
use std::io::Write;

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

/// Writes what changed in one class behind `after`; the view's own orders say what that is.
pub async fn class(
    connection: &mut SqliteConnection,
    view: &View,
    class: &Class,
    after: u64,
    filled: bool,
) -> Result<(), sqlx::Error> {
    let state = view.class(class.id);
    let forgotten = filled && state.floor > after; // some deletions since are not remembered any more
    if forgotten {
        sqlx::query("DELETE FROM object WHERE class = ?").bind(class.name).execute(&mut *connection).await?;
    }
    // Deletions first: a reference may have come back since.
    if filled {
        put(connection, DROP_OBJECTS, deleted_objects(view, class, after)).await?;
    }
    put(connection, PUT_OBJECTS, changed_objects(view, class, if forgotten { 0 } else { after })).await?;
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

const PUT_OBJECTS: &str = "INSERT OR REPLACE INTO object (class, ref, uuid, created, modified, record) \
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value -> 5 FROM json_each(?)";
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

fn changed_objects(view: &View, class: &Class, after: u64) -> Vec<String> {
    let state = view.class(class.id);
    let changed = state.modified.range((after + 1, Ref::NULL)..);
    let objects = changed.filter_map(|(_, reference)| state.objects.get(reference));
    arrays(objects, |out, object| write_object(out, class, object))
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

fn write_object(out: &mut Vec<u8>, class: &Class, object: &Object) -> std::io::Result<()> {
    let Object { reference, created, modified, .. } = object;
    write!(out, "[\"{}\",\"{reference}\",", class.name)?;
    let uuid = MODEL.field(class.id, "uuid").map_or("", |index| object.record[index].as_str());
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
