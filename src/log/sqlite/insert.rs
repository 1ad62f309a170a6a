//! Writing rows and secrets.
//!
//! A batch is one `INSERT` with as many `VALUES` as the next power of two, so
//! that nine prepared statements serve every batch; what is left over is NULL
//! and filtered out. Handing the batch over as one JSON array takes several
//! times as long, for SQLite then parses what was just written.

use super::super::{Row, VaultChanges};
use rusqlite::{CachedStatement, Connection, Result, params};
use std::sync::LazyLock;

/// The most rows that one statement takes: 256 × 12 columns, below SQLite's 32,766 parameters.
pub const ROWS_MAX: usize = 1 << (STATEMENTS - 1);
const STATEMENTS: usize = 9;
const COLUMNS: usize = 12;

static SQL: LazyLock<[String; STATEMENTS]> = LazyLock::new(|| std::array::from_fn(|power| statement(1 << power)));

fn statement(rows: usize) -> String {
    const INTO: &str = "INSERT INTO event (position, kind, lineage, term, time, schema, principal, message, request, cause, payload, hash)";
    let values = vec!["(?,?,?,?,?,?,?,?,?,?,?,?)"; rows].join(",");
    format!("{INTO} SELECT * FROM (VALUES {values}) WHERE column1 IS NOT NULL")
}

/// Inserts at least one and at most [`ROWS_MAX`] rows, by one statement.
pub fn rows(connection: &Connection, rows: &[Row]) -> Result<()> {
    let power = rows.len().next_power_of_two().trailing_zeros() as usize;
    let mut insert = connection.prepare_cached(&SQL[power])?;
    for (nth, row) in rows.iter().enumerate() {
        bind(&mut insert, nth * COLUMNS, row)?;
    }
    insert.raw_execute().map(drop)
}

/// Binds a row's columns behind the first `before` parameters; what nobody binds is NULL.
fn bind(insert: &mut CachedStatement<'_>, before: usize, row: &Row) -> Result<()> {
    insert.raw_bind_parameter(before + 1, row.position as i64)?;
    insert.raw_bind_parameter(before + 2, row.kind.name())?;
    insert.raw_bind_parameter(before + 3, row.lineage as i64)?;
    insert.raw_bind_parameter(before + 4, row.term as i64)?;
    insert.raw_bind_parameter(before + 5, row.time)?;
    insert.raw_bind_parameter(before + 6, row.schema)?;
    insert.raw_bind_parameter(before + 7, &*row.principal)?;
    insert.raw_bind_parameter(before + 8, &*row.message)?;
    insert.raw_bind_parameter(before + 9, &*row.request)?;
    insert.raw_bind_parameter(before + 10, row.cause as i64)?;
    insert.raw_bind_parameter(before + 11, &row.payload)?;
    insert.raw_bind_parameter(before + 12, &row.hash[..])
}

/// Puts and erases secrets.
pub fn vault(connection: &Connection, changes: &VaultChanges) -> Result<()> {
    for sealed in &changes.put {
        let mut put = connection.prepare_cached("INSERT INTO vault (id, nonce, value) VALUES (?, ?, ?)")?;
        put.execute(params![&sealed.id.0[..], &sealed.nonce[..], &sealed.value[..]])?;
    }
    for id in &changes.erase {
        connection.prepare_cached("DELETE FROM vault WHERE id = ?")?.execute([&id.0[..]])?;
    }
    Ok(())
}
