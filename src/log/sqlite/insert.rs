//! Writing rows and secrets.
//!
//! A batch is one `INSERT` with as many `VALUES` as the next power of two, so
//! that nine prepared statements serve every batch; what is left over is NULL
//! and filtered out. Handing the batch over as one JSON array takes several
//! times as long, for SQLite then parses what was just written.

use super::super::{Row, VaultChanges};
use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{Arguments, AssertSqlSafe};
use std::sync::LazyLock;

/// The most rows that one statement takes: 256 × 12 columns, below SQLite's 32,766 parameters.
pub const ROWS_MAX: usize = 1 << (STATEMENTS - 1);
const STATEMENTS: usize = 9;
const COLUMNS: usize = 12;

static SQL: LazyLock<[String; STATEMENTS]> = LazyLock::new(|| std::array::from_fn(|power| statement(1 << power)));

fn statement(rows: usize) -> String {
    let values = vec!["(?,?,?,?,?,?,?,?,?,?,?,?)"; rows].join(",");
    format!(
        "INSERT INTO event (position, kind, lineage, term, time, schema, principal, message, request, cause, payload, hash) \
         SELECT * FROM (VALUES {values}) WHERE column1 IS NOT NULL"
    )
}

pub fn fits_one_statement(rows: &[Row]) -> bool {
    rows.len() <= ROWS_MAX
}

/// Inserts at least one and at most [`ROWS_MAX`] rows, by one statement.
pub async fn rows(connection: &mut SqliteConnection, rows: Vec<Row>) -> Result<(), sqlx::Error> {
    let power = rows.len().next_power_of_two().trailing_zeros() as usize;
    let sql: &'static String = &SQL[power];
    let mut arguments = SqliteArguments::default();
    arguments.reserve(rows.len() * COLUMNS, 0);
    for row in rows {
        bind(&mut arguments, row).map_err(sqlx::Error::Encode)?;
    }
    sqlx::query_with(AssertSqlSafe(sql.as_str()), arguments).execute(connection).await?;
    Ok(())
}

fn bind(arguments: &mut SqliteArguments, row: Row) -> Result<(), sqlx::error::BoxDynError> {
    arguments.add(row.position as i64)?;
    arguments.add(row.kind.name())?;
    arguments.add(row.lineage as i64)?;
    arguments.add(row.term as i64)?;
    arguments.add(row.time)?;
    arguments.add(row.schema)?;
    arguments.add(row.principal)?;
    arguments.add(row.message)?;
    arguments.add(row.request)?;
    arguments.add(row.cause as i64)?;
    arguments.add(row.payload)?;
    arguments.add(row.hash.to_vec())
}

/// Puts and erases secrets.
pub async fn vault(connection: &mut SqliteConnection, changes: VaultChanges) -> Result<(), sqlx::Error> {
    for sealed in &changes.put {
        sqlx::query("INSERT INTO vault (id, nonce, value) VALUES (?, ?, ?)")
            .bind(&sealed.id.0[..])
            .bind(&sealed.nonce[..])
            .bind(&sealed.value[..])
            .execute(&mut *connection)
            .await?;
    }
    for id in &changes.erase {
        sqlx::query("DELETE FROM vault WHERE id = ?").bind(&id.0[..]).execute(&mut *connection).await?;
    }
    Ok(())
}
