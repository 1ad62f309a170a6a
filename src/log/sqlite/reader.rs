//! Reading the log beside its writer, in short, paged transactions.

use super::super::archive::{
    Archive, shelf,
    shelf::{Shelf, Wanted},
};
use super::super::vault::{Reading, Secrets};
use super::super::{Hash, Head, Row, Sealed, StorageError, hash};
use super::{BUSY_TIMEOUT, file_of, sealed, storage};
use crate::event::Kind;
use crate::value::Ref;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions, SqliteRow};
use sqlx::{ConnectOptions, Row as _, Sqlite};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Connections that read at the same time.
const READERS_MAX: u32 = 4;

/// Rows that one page holds at most.
pub const PAGE_ROWS_MAX: usize = 10_000;

/// Rows that a reading connection may be ahead of whoever takes them.
const ROWS_AHEAD: usize = 256;

/// Reads the log; cheap to clone, usable while the writer works.
#[derive(Clone)]
pub struct LogReader {
    pool: SqlitePool,
    data: PathBuf,
    shelf: Shelf,
}

impl LogReader {
    /// The log of a data folder, whether a server is using it or not. Locks nothing, creates nothing.
    pub async fn open(data: &Path) -> Result<LogReader, StorageError> {
        let reader = LogReader::of(&file_of(data));
        let connected = reader.pool.acquire().await;
        connected.map_err(|error| StorageError(format!("cannot open the log in {}: {error}", data.display())))?;
        Ok(reader)
    }

    pub(super) fn of(file: &Path) -> LogReader {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .read_only(true)
            .busy_timeout(BUSY_TIMEOUT)
            .row_buffer_size(ROWS_AHEAD)
            .disable_statement_logging();
        let pool = SqlitePoolOptions::new().max_connections(READERS_MAX).connect_lazy_with(options);
        let data = file.parent().unwrap_or(Path::new("")).to_path_buf();
        LogReader { pool, data, shelf: Shelf::default() }
    }

    /// Rows behind `after`, in order: at most `limit`, and at most [`PAGE_ROWS_MAX`].
    pub async fn read(&self, after: u64, limit: usize) -> Result<Vec<Row>, StorageError> {
        let rows = self.rows(after, limit).await?.into_iter();
        rows.map(|row| row.map_err(|bad| StorageError(bad.to_string()))).collect()
    }

    /// The same, saying for each row whether it can be read at all. Rows that are archived come from there; a page
    /// ends where their file does.
    pub async fn rows(&self, after: u64, limit: usize) -> Result<Vec<Result<Row, BadRow>>, StorageError> {
        let limit = limit.min(PAGE_ROWS_MAX);
        let found = sqlx::query(
            "SELECT position, kind, lineage, term, time, schema, principal, message, request, cause, payload, hash \
             FROM event WHERE position > ? ORDER BY position LIMIT ?",
        )
        .bind(i64::try_from(after).unwrap_or(i64::MAX))
        .bind(limit as i64)
        .fetch_all(&self.pool)
        .await
        .map_err(storage)?;
        let mut names = Names::default();
        let rows: Vec<_> = found.iter().map(|row| decode(row, &mut names)).collect();
        match rows.first().map(shelf::position) {
            // Looked for after the rows: what went from here meanwhile is there.
            Some(first) if first > after + 1 => {
                let archived = self.archived_behind(after, first, limit).await?;
                Ok(archived.unwrap_or(rows))
            }
            _ => Ok(rows),
        }
    }

    /// Rows behind `after` that are archived, up to `end`, where rows are here.
    async fn archived_behind(
        &self,
        after: u64,
        end: u64,
        limit: usize,
    ) -> Result<Option<Vec<Result<Row, BadRow>>>, StorageError> {
        let Some((archive, path)) = sealed::behind(&self.pool, &self.data, after).await? else { return Ok(None) };
        if archive.first >= end {
            return Ok(None);
        }
        let frame = match self.shelf.frame(&path, &archive, Wanted::Behind(after)).await {
            Ok(frame) => frame,
            Err(error) => return Ok(Some(vec![Err(BadRow { position: after + 1, why: error.to_string() })])),
        };
        let begin = frame.partition_point(|row| shelf::position(row) <= after);
        let page: Vec<_> = frame[begin..].iter().take(limit).cloned().collect();
        Ok((!page.is_empty()).then_some(page))
    }

    /// Rows before `before`, newest first: at most `limit`, and at most [`PAGE_ROWS_MAX`]. Rows that are archived come
    /// from there; a page ends where those here do.
    pub async fn read_back(&self, before: u64, limit: usize) -> Result<Vec<Row>, StorageError> {
        let limit = limit.min(PAGE_ROWS_MAX);
        let found = sqlx::query(
            "SELECT position, kind, lineage, term, time, schema, principal, message, request, cause, payload, hash \
             FROM event WHERE position < ? ORDER BY position DESC LIMIT ?",
        )
        .bind(i64::try_from(before).unwrap_or(i64::MAX))
        .bind(limit as i64)
        .fetch_all(&self.pool)
        .await
        .map_err(storage)?;
        let mut names = Names::default();
        let mut rows: Vec<_> = found.iter().map(|row| decode(row, &mut names)).collect();
        if rows.is_empty()
            && let Some((archive, path)) = sealed::before(&self.pool, &self.data, before).await?
        {
            let frame = self.shelf.frame(&path, &archive, Wanted::Before(before)).await?;
            let end = frame.partition_point(|row| shelf::position(row) < before);
            rows = frame[..end].iter().rev().take(limit).cloned().collect();
        }
        rows.into_iter().map(|row| row.map_err(|bad| StorageError(bad.to_string()))).collect()
    }

    /// The newest range that is archived.
    pub async fn archived(&self) -> Result<Option<Archive>, StorageError> {
        let newest = sealed::before(&self.pool, &self.data, u64::MAX).await?;
        Ok(newest.map(|(archive, _)| archive))
    }

    /// All ranges that are archived, in order, and where their files are.
    pub async fn archives(&self) -> Result<Vec<(Archive, PathBuf)>, StorageError> {
        sealed::list(&self.pool, &self.data).await
    }

    /// Where the log ends.
    pub async fn head(&self) -> Result<Head, StorageError> {
        head(&self.pool).await
    }

    /// A secret by its id; `None` once it was erased.
    pub async fn secret(&self, id: Ref) -> Result<Option<Sealed>, StorageError> {
        let found: Option<(Vec<u8>, Vec<u8>)> = sqlx::query_as("SELECT nonce, value FROM vault WHERE id = ?")
            .bind(&id.0[..])
            .fetch_optional(&self.pool)
            .await
            .map_err(storage)?;
        let Some((nonce, value)) = found else { return Ok(None) };
        let value = Zeroizing::new(value);
        let nonce = nonce.try_into().map_err(|_| StorageError(format!("the secret {id} has no nonce of 16 bytes")))?;
        Ok(Some(Sealed { id, nonce, value }))
    }
}

/// The end of the log; position 0, lineage 0 and the genesis hash when it is empty.
pub(super) async fn head(executor: impl sqlx::Executor<'_, Database = Sqlite>) -> Result<Head, StorageError> {
    head_of(sqlx::query_as(HEAD).fetch_optional(executor).await.map_err(storage)?)
}

/// The newest row's lineage, position, time and hash.
pub(super) const HEAD: &str = "SELECT lineage, position, time, hash FROM event ORDER BY position DESC LIMIT 1";

/// The head that these columns are; without a row, that of an empty log.
pub(super) fn head_of(newest: Option<(i64, i64, i64, Vec<u8>)>) -> Result<Head, StorageError> {
    let Some((lineage, position, time, hash)) = newest else {
        return Ok(Head { lineage: 0, position: 0, time: 0, hash: hash::GENESIS });
    };
    let hash = hash_of(&hash, position).map_err(|bad| StorageError(bad.to_string()))?;
    Ok(Head { lineage: lineage as u64, position: position as u64, time, hash })
}

/// The texts of the row before, shared when they repeat.
#[derive(Default)]
struct Names {
    principal: Arc<str>,
    message: Arc<str>,
    request: Arc<str>,
}

/// A row that somebody damaged.
#[derive(Clone, Debug, thiserror::Error)]
#[error("row {position} of the log cannot be read: {why}")]
pub struct BadRow {
    pub position: u64,
    pub why: String,
}

fn decode(row: &SqliteRow, names: &mut Names) -> Result<Row, BadRow> {
    let position: i64 = row.try_get(0).map_err(|error| bad(0, error))?;
    let kind: &str = row.try_get(1).map_err(|error| bad(position, error))?;
    let kind = Kind::parse(kind).ok_or_else(|| bad(position, "its kind is not known"))?;
    let hash = hash_of(row.try_get(11).map_err(|error| bad(position, error))?, position)?;
    columns(row, kind, position, hash, names).map_err(|error| bad(position, error))
}

fn columns(row: &SqliteRow, kind: Kind, position: i64, hash: Hash, names: &mut Names) -> Result<Row, sqlx::Error> {
    Ok(Row {
        kind,
        lineage: row.try_get::<i64, _>(2)? as u64,
        term: row.try_get::<i64, _>(3)? as u64,
        position: position as u64,
        time: row.try_get(4)?,
        schema: row.try_get(5)?,
        principal: shared(&mut names.principal, row.try_get(6)?),
        message: shared(&mut names.message, row.try_get(7)?),
        request: shared(&mut names.request, row.try_get(8)?),
        cause: row.try_get::<i64, _>(9)? as u64,
        payload: row.try_get(10)?,
        hash,
    })
}

fn shared(last: &mut Arc<str>, text: &str) -> Arc<str> {
    if **last != *text {
        *last = Arc::from(text);
    }
    last.clone()
}

fn hash_of(bytes: &[u8], position: i64) -> Result<Hash, BadRow> {
    bytes.try_into().map_err(|_| bad(position, "its hash has not 32 bytes"))
}

fn bad(position: i64, why: impl ToString) -> BadRow {
    BadRow { position: position as u64, why: why.to_string() }
}

impl Secrets for LogReader {
    fn secret(&self, id: Ref) -> Reading<'_> {
        Box::pin(LogReader::secret(self, id))
    }
}
