//! Which ranges are archived, and in which files: table `sealed`.

use super::super::archive::{Archive, FOLDER};
use super::super::{Hash, StorageError};
use super::storage;
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use sqlx::{AssertSqlSafe, Connection};
use std::path::{Path, PathBuf};

type Columns = (i64, i64, i64, Vec<u8>, String, Vec<u8>, Vec<u8>, String);

/// An archive and where its file is.
pub type Placed = (Archive, PathBuf);

/// The oldest range that ends behind a position.
pub async fn behind(pool: &SqlitePool, data: &Path, after: u64) -> Result<Option<Placed>, StorageError> {
    let found = select(pool, data, "last > ? ORDER BY last LIMIT 1", after).await?;
    Ok(found.into_iter().next())
}

/// The newest range that begins before a position.
pub async fn before(pool: &SqlitePool, data: &Path, before: u64) -> Result<Option<Placed>, StorageError> {
    let found = select(pool, data, "first < ? ORDER BY first DESC LIMIT 1", before).await?;
    Ok(found.into_iter().next())
}

/// All ranges, in order.
pub async fn list(pool: &SqlitePool, data: &Path) -> Result<Vec<Placed>, StorageError> {
    select(pool, data, "first > ? ORDER BY first", 0).await
}

async fn select(pool: &SqlitePool, data: &Path, which: &str, position: u64) -> Result<Vec<Placed>, StorageError> {
    let sql = format!("SELECT first, last, rows, hash, file, digest, state, folder FROM sealed, archive WHERE {which}");
    let query = sqlx::query_as(AssertSqlSafe(sql)).bind(i64::try_from(position).unwrap_or(i64::MAX));
    let found: Vec<Columns> = match query.fetch_all(pool).await {
        Ok(found) => found,
        // A log that an older version wrote and no newer one has opened for writing: nothing is archived.
        Err(error) if error.to_string().contains("no such table") => Vec::new(),
        Err(error) => return Err(storage(error)),
    };
    found.into_iter().map(|columns| placed(columns, data)).collect()
}

fn placed(columns: Columns, data: &Path) -> Result<Placed, StorageError> {
    let (first, last, rows, hash, file, digest, state, folder) = columns;
    let of = |bytes: Vec<u8>| -> Result<Hash, StorageError> {
        bytes.try_into().map_err(|_| StorageError(format!("what is noted of the archive {file} is damaged")))
    };
    let path = data.join(folder).join(&file);
    let (hash, digest, state) = (of(hash)?, of(digest)?, of(state)?);
    Ok((Archive { first: first as u64, last: last as u64, rows: rows as u64, hash, file, digest, state }, path))
}

/// Notes a range and lets its rows go, in one transaction.
pub async fn note(connection: &mut SqliteConnection, term: u64, archive: &Archive) -> Result<(), StorageError> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(storage)?;
    let noted = write(&mut transaction, term, archive).await;
    match noted {
        Ok(()) => transaction.commit().await.map_err(storage),
        Err(error) => {
            transaction.rollback().await.map_err(storage)?;
            Err(error)
        }
    }
}

async fn write(connection: &mut SqliteConnection, term: u64, archive: &Archive) -> Result<(), StorageError> {
    let current: i64 =
        sqlx::query_scalar("SELECT term FROM writer").fetch_one(&mut *connection).await.map_err(storage)?;
    if current as u64 != term {
        return Err(StorageError("another writer has the log".into()));
    }
    sqlx::query(
        "INSERT INTO sealed (first, last, rows, hash, file, digest, state) VALUES (?, ?, ?, ?, ?, ?, ?) \
         ON CONFLICT DO NOTHING",
    )
    .bind(archive.first as i64)
    .bind(archive.last as i64)
    .bind(archive.rows as i64)
    .bind(&archive.hash[..])
    .bind(&archive.file)
    .bind(&archive.digest[..])
    .bind(&archive.state[..])
    .execute(&mut *connection)
    .await
    .map_err(storage)?;
    sqlx::query("UPDATE archive SET archived_to = max(archived_to, ?)")
        .bind(archive.last as i64)
        .execute(connection)
        .await
        .map(drop)
        .map_err(storage)
}

/// Deletes archived rows, the oldest first.
pub async fn trim(connection: &mut SqliteConnection, term: u64, to: u64, limit: usize) -> Result<usize, StorageError> {
    let gone = sqlx::query(
        "DELETE FROM event WHERE position IN (SELECT position FROM event \
         WHERE position <= min(?, (SELECT archived_to FROM archive)) ORDER BY position LIMIT ?) \
         AND (SELECT term FROM writer) = ?",
    )
    .bind(i64::try_from(to).unwrap_or(i64::MAX))
    .bind(limit as i64)
    .bind(term as i64)
    .execute(connection)
    .await
    .map_err(storage)?;
    Ok(gone.rows_affected() as usize)
}

/// Chooses the folder of archive files, if one is given. One that lacks files which are needed is refused.
pub async fn keep_in(
    connection: &mut SqliteConnection,
    data: &Path,
    folder: Option<&Path>,
) -> Result<PathBuf, StorageError> {
    let Some(folder) = folder else {
        let kept: String =
            sqlx::query_scalar("SELECT folder FROM archive").fetch_one(connection).await.map_err(storage)?;
        return Ok(data.join(kept));
    };
    let absolute = std::path::absolute(folder)
        .map_err(|error| StorageError(format!("the archive folder {}: {error}", folder.display())))?;
    let inside = std::path::absolute(data.join(FOLDER)).is_ok_and(|usual| usual == absolute);
    let text = if inside { Some(FOLDER) } else { absolute.to_str() };
    let text = text.ok_or_else(|| StorageError("the archive folder's name is not UTF-8".into()))?;
    let files: Vec<String> =
        sqlx::query_scalar("SELECT file FROM sealed").fetch_all(&mut *connection).await.map_err(storage)?;
    if let Some(missing) = files.iter().find(|file| !absolute.join(file).exists()) {
        let folder = absolute.display();
        return Err(StorageError(format!("the archive {missing} is not in {folder}: move the files there first")));
    }
    sqlx::query("UPDATE archive SET folder = ?").bind(text).execute(connection).await.map_err(storage)?;
    Ok(absolute)
}
