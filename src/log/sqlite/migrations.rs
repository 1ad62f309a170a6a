//! The forms that the log's database has had, oldest first, each from the one
//! before it. What was released is never changed.

use super::{StorageError, file_of};
use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::SqliteConnection;
use std::path::Path;

/// The files of `migrations/`: number, name, text. The library's macro would read the folder by itself, and have SQLite
/// compiled a second time for it.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "log", include_str!("../../../migrations/0001_log.sql")),
    (2, "archives", include_str!("../../../migrations/0002_archives.sql")),
];

/// Brings the database to the newest form.
pub async fn run(connection: &mut SqliteConnection, data: &Path) -> Result<(), StorageError> {
    let migrations = MIGRATIONS.iter().map(|(version, name, sql)| {
        Migration::new(*version, (*name).into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    refuse_newer(connection, data).await?;
    let migrated = Migrator::with_migrations(migrations.collect()).run(connection).await;
    migrated.map_err(|error| StorageError(format!("cannot prepare {}: {error}", file_of(data).display())))
}

/// A database that a newer version has changed may not mean to it what it means to this one.
async fn refuse_newer(connection: &mut SqliteConnection, data: &Path) -> Result<(), StorageError> {
    // Without the table it is a new database.
    let newest = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations").fetch_one(connection).await;
    let newest: i64 = newest.unwrap_or(0);
    let known = MIGRATIONS.last().map_or(0, |(version, ..)| *version);
    if newest <= known {
        return Ok(());
    }
    Err(StorageError(format!(
        "{} was written by a newer version of this program (form {newest}; this one knows {known}): use that one",
        file_of(data).display()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_listed() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
        let files = std::fs::read_dir(folder).expect("the folder is there");
        let mut names: Vec<String> =
            files.map(|file| file.expect("readable").file_name().into_string().expect("UTF-8")).collect();
        names.sort();
        let listed = MIGRATIONS.iter().map(|(version, name, _)| format!("{version:04}_{}.sql", name.replace(' ', "_")));
        assert_eq!(names, listed.collect::<Vec<_>>());
    }
}
