//! Reading the log beside its writer, in short, paged transactions.

use super::super::archive::{
    Archive, shelf,
    shelf::{Shelf, Wanted},
};
use super::super::vault::{Reading, Secrets};
use super::super::{Hash, Head, Row, Sealed, StorageError, hash};
use super::readers::Readers;
use super::{file_of, sealed};
use crate::event::Kind;
use crate::value::Ref;
use rusqlite::OptionalExtension;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Rows that one page holds at most.
pub const PAGE_ROWS_MAX: usize = 10_000;
/// Bytes of payloads at which a page ends: a row may have as many as a call.
const PAGE_BYTES: usize = 4 << 20;

const BEHIND: &str = "SELECT position, kind, lineage, term, time, schema, principal, message, request, cause, payload, hash \
    FROM event WHERE position > ? ORDER BY position LIMIT ?";

const BEFORE: &str = "SELECT position, kind, lineage, term, time, schema, principal, message, request, cause, payload, hash \
    FROM event WHERE position < ? ORDER BY position DESC LIMIT ?";

/// Reads the log; cheap to clone, usable while the writer works.
#[derive(Clone)]
pub struct LogReader {
    readers: Readers,
    data: PathBuf,
    shelf: Shelf,
}

impl LogReader {
    /// The log of a data folder, whether a server is using it or not. Locks nothing, creates nothing.
    pub async fn open(data: &Path) -> Result<LogReader, StorageError> {
        let reader = LogReader::of(&file_of(data));
        let connected = reader.readers.read(|_| Ok(())).await;
        connected.map_err(|error| StorageError(format!("cannot open the log in {}: {error}", data.display())))?;
        Ok(reader)
    }

    pub(super) fn of(file: &Path) -> LogReader {
        let data = file.parent().unwrap_or(Path::new("")).to_path_buf();
        LogReader { readers: Readers::of(file), data, shelf: Shelf::default() }
    }

    /// Rows behind `after`, in order: at most `limit`, at most [`PAGE_ROWS_MAX`], and fewer where they are long. Only an
    /// empty page is the end.
    pub async fn read(&self, after: u64, limit: usize) -> Result<Vec<Row>, StorageError> {
        let rows = self.rows(after, limit).await?.into_iter();
        rows.map(|row| row.map_err(|bad| StorageError(bad.to_string()))).collect()
    }

    /// The same, saying for each row whether it can be read at all. Rows that are archived come from there; a page
    /// ends where their file does.
    pub async fn rows(&self, after: u64, limit: usize) -> Result<Vec<Result<Row, BadRow>>, StorageError> {
        let rows = self.page(BEHIND, after, limit).await?;
        match rows.first().map(shelf::position) {
            // Looked for after the rows: what went from here meanwhile is there.
            Some(first) if first > after + 1 => {
                let archived = self.archived_behind(after, first, limit).await?;
                Ok(archived.unwrap_or(rows))
            }
            _ => Ok(rows),
        }
    }

    /// The rows that a query finds in the database from a position on.
    async fn page(
        &self,
        query: &'static str,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Result<Row, BadRow>>, StorageError> {
        let (from, limit) = (i64::try_from(from).unwrap_or(i64::MAX), limit.min(PAGE_ROWS_MAX) as i64);
        let page = self.readers.read(move |log| {
            let mut query = log.prepare_cached(query)?;
            let mut found = query.query([from, limit])?;
            let (mut rows, mut names, mut bytes) = (Vec::new(), Names::default(), 0);
            while bytes < PAGE_BYTES
                && let Some(row) = found.next()?
            {
                let row = decode(row, &mut names);
                bytes += row.as_ref().map_or(0, |row| row.payload.len());
                rows.push(row);
            }
            Ok(rows)
        });
        page.await
    }

    /// The archives that a query finds from a position on.
    async fn sealed(&self, query: &'static str, from: u64) -> Result<Vec<sealed::Placed>, StorageError> {
        let found = self.readers.read(move |log| sealed::select(log, query, from)).await?;
        found.into_iter().map(|columns| sealed::placed(columns, &self.data)).collect()
    }

    /// Rows behind `after` that are archived, up to `end`, where rows are here.
    async fn archived_behind(
        &self,
        after: u64,
        end: u64,
        limit: usize,
    ) -> Result<Option<Vec<Result<Row, BadRow>>>, StorageError> {
        let Some((archive, path)) = self.sealed(sealed::BEHIND, after).await?.pop() else { return Ok(None) };
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

    /// Rows before `before`, newest first: at most `limit`, at most [`PAGE_ROWS_MAX`], and fewer where they are long.
    /// Rows that are archived come from there; a page ends where those here do.
    pub async fn read_back(&self, before: u64, limit: usize) -> Result<Vec<Row>, StorageError> {
        let mut rows = self.page(BEFORE, before, limit).await?;
        if rows.is_empty()
            && let Some((archive, path)) = self.sealed(sealed::BEFORE, before).await?.pop()
        {
            let frame = self.shelf.frame(&path, &archive, Wanted::Before(before)).await?;
            let end = frame.partition_point(|row| shelf::position(row) < before);
            rows = frame[..end].iter().rev().take(limit).cloned().collect();
        }
        rows.into_iter().map(|row| row.map_err(|bad| StorageError(bad.to_string()))).collect()
    }

    /// The newest range that is archived.
    pub async fn archived(&self) -> Result<Option<Archive>, StorageError> {
        let newest = self.sealed(sealed::BEFORE, u64::MAX).await?.pop();
        Ok(newest.map(|(archive, _)| archive))
    }

    /// All ranges that are archived, in order, and where their files are.
    pub async fn archives(&self) -> Result<Vec<(Archive, PathBuf)>, StorageError> {
        self.sealed(sealed::ALL, 0).await
    }

    /// Where the log ends.
    pub async fn head(&self) -> Result<Head, StorageError> {
        let newest = self.readers.read(|log| log.query_row(HEAD, [], |row| row.try_into()).optional()).await?;
        head_of(newest)
    }

    /// A secret by its id; `None` once it was erased.
    pub async fn secret(&self, id: Ref) -> Result<Option<Sealed>, StorageError> {
        let found = self.readers.read(move |log| {
            let mut sealed = log.prepare_cached("SELECT nonce, value FROM vault WHERE id = ?")?;
            let found = sealed.query_row([&id.0[..]], |row| Ok((row.get(0)?, Zeroizing::new(row.get(1)?))));
            found.optional()
        });
        let found: Option<(Vec<u8>, Zeroizing<Vec<u8>>)> = found.await?;
        let Some((nonce, value)) = found else { return Ok(None) };
        let nonce = nonce.try_into().map_err(|_| StorageError(format!("the secret {id} has no nonce of 16 bytes")))?;
        Ok(Some(Sealed { id, nonce, value }))
    }
}

/// The newest row's lineage, position, time and hash.
pub(super) const HEAD: &str = "SELECT lineage, position, time, hash FROM event ORDER BY position DESC LIMIT 1";

/// The head that these columns are; without a row, that of an empty log: position 0, lineage 0 and the genesis hash.
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

fn decode(row: &rusqlite::Row<'_>, names: &mut Names) -> Result<Row, BadRow> {
    let position: i64 = row.get(0).map_err(|error| bad(0, error))?;
    let column = |at| row.get_ref(at).map_err(|error| bad(position, error));
    let number = |at| column(at)?.as_i64().map_err(|error| bad(position, error));
    let text = |at| column(at)?.as_str().map_err(|error| bad(position, error));
    Ok(Row {
        kind: Kind::parse(text(1)?).ok_or_else(|| bad(position, "its kind is not known"))?,
        lineage: number(2)? as u64,
        term: number(3)? as u64,
        position: position as u64,
        time: number(4)?,
        schema: u32::try_from(number(5)?).map_err(|error| bad(position, error))?,
        principal: shared(&mut names.principal, text(6)?),
        message: shared(&mut names.message, text(7)?),
        request: shared(&mut names.request, text(8)?),
        cause: number(9)? as u64,
        payload: text(10)?.into(),
        hash: hash_of(column(11)?.as_blob().map_err(|error| bad(position, error))?, position)?,
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
