//! Which ranges are archived, and in which files: table `sealed`.

use super::super::archive::{Archive, FOLDER};
use super::super::{Hash, StorageError};
use super::{TERM, failed};
use rusqlite::{Connection, TransactionBehavior, params};
use std::path::{Path, PathBuf};

/// What the queries below give of a range.
pub type Columns = (i64, i64, i64, Vec<u8>, String, Vec<u8>, Vec<u8>, String);

/// An archive and where its file is.
pub type Placed = (Archive, PathBuf);

/// The oldest range that ends behind a position.
pub const BEHIND: &str = "SELECT first, last, rows, hash, file, digest, state, folder FROM sealed, archive \
    WHERE last > ? ORDER BY last LIMIT 1";

/// The newest range that begins before a position.
pub const BEFORE: &str = "SELECT first, last, rows, hash, file, digest, state, folder FROM sealed, archive \
    WHERE first < ? ORDER BY first DESC LIMIT 1";

/// All ranges that begin behind a position, in order.
pub const ALL: &str = "SELECT first, last, rows, hash, file, digest, state, folder FROM sealed, archive \
    WHERE first > ? ORDER BY first";

/// What one of these queries finds. A log that an older version wrote and no newer one has opened for writing has no such
/// table: nothing of it is archived.
pub fn select(connection: &Connection, query: &str, position: u64) -> rusqlite::Result<Vec<Columns>> {
    let mut statement = match connection.prepare_cached(query) {
        Err(error) if error.to_string().contains("no such table") => return Ok(Vec::new()),
        prepared => prepared?,
    };
    let found = statement.query_map([i64::try_from(position).unwrap_or(i64::MAX)], |row| row.try_into())?;
    found.collect()
}

/// The range that some columns are.
pub fn placed(columns: Columns, data: &Path) -> Result<Placed, StorageError> {
    let (first, last, rows, hash, file, digest, state, folder) = columns;
    let of = |bytes: Vec<u8>| -> Result<Hash, StorageError> {
        bytes.try_into().map_err(|_| StorageError(format!("what is noted of the archive {file} is damaged")))
    };
    let path = data.join(folder).join(&file);
    let (hash, digest, state) = (of(hash)?, of(digest)?, of(state)?);
    Ok((Archive { first: first as u64, last: last as u64, rows: rows as u64, hash, file, digest, state }, path))
}

/// Notes a range and lets its rows go, in one transaction.
pub fn note(connection: &mut Connection, term: u64, archive: &Archive) -> Result<(), StorageError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let current: i64 = transaction.query_row(TERM, [], |row| row.get(0)).map_err(failed)?;
    if current as u64 != term {
        return Err(StorageError("another writer has the log".into()));
    }
    write(&transaction, archive).and_then(|()| transaction.commit()).map_err(failed)
}

fn write(connection: &Connection, archive: &Archive) -> rusqlite::Result<()> {
    let (first, last, rows) = (archive.first as i64, archive.last as i64, archive.rows as i64);
    connection.execute(
        "INSERT INTO sealed (first, last, rows, hash, file, digest, state) VALUES (?, ?, ?, ?, ?, ?, ?) \
         ON CONFLICT DO NOTHING",
        params![first, last, rows, &archive.hash[..], &archive.file, &archive.digest[..], &archive.state[..]],
    )?;
    connection.execute("UPDATE archive SET archived_to = max(archived_to, ?)", [last]).map(drop)
}

/// Deletes archived rows, the oldest first; says how many went.
pub fn trim(connection: &Connection, term: u64, to: u64, limit: usize) -> Result<usize, StorageError> {
    let gone = connection.execute(
        "DELETE FROM event WHERE position IN (SELECT position FROM event \
         WHERE position <= min(?, (SELECT archived_to FROM archive)) ORDER BY position LIMIT ?) \
         AND (SELECT term FROM writer) = ?",
        params![i64::try_from(to).unwrap_or(i64::MAX), limit as i64, term as i64],
    );
    gone.map_err(failed)
}

/// Chooses the folder of archive files, if one is given. One that lacks files which are needed is refused.
pub fn keep_in(connection: &Connection, data: &Path, folder: Option<&Path>) -> Result<PathBuf, StorageError> {
    let Some(folder) = folder else {
        let kept = connection.query_row("SELECT folder FROM archive", [], |row| row.get::<_, String>(0));
        return Ok(data.join(kept.map_err(failed)?));
    };
    let absolute = std::path::absolute(folder)
        .map_err(|error| StorageError(format!("the archive folder {}: {error}", folder.display())))?;
    let inside = std::path::absolute(data.join(FOLDER)).is_ok_and(|usual| usual == absolute);
    let text = if inside { Some(FOLDER) } else { absolute.to_str() };
    let text = text.ok_or_else(|| StorageError("the archive folder's name is not UTF-8".into()))?;
    let files = files(connection).map_err(failed)?;
    if let Some(missing) = files.iter().find(|file| !absolute.join(file).exists()) {
        let folder = absolute.display();
        return Err(StorageError(format!("the archive {missing} is not in {folder}: move the files there first")));
    }
    connection.execute("UPDATE archive SET folder = ?", [text]).map_err(failed)?;
    Ok(absolute)
}

fn files(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut files = connection.prepare("SELECT file FROM sealed")?;
    files.query_map([], |row| row.get(0))?.collect()
}
