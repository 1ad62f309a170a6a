//! Backups: one file with the log as it was at one moment, its archives, and
//! the keys of the server; and back from it.
//!
//! A backup is an SQLite file: the tables of the log, copied in one read
//! transaction beside the writer, a table `file` with what else is needed, and
//! a table `backup` that says what it is. Secrets that are left out are never
//! written to it.
//!
//! ```text
//!   log.sqlite ─▶ FILE.new ─▶ FILE          FILE ─▶ DATA.restoring ─ a new lineage begins ─▶ DATA
//!   archives   ─┘  (synced)                         (all of it, or nothing)
//! ```

use super::archive::FOLDER;
use super::archive::file::digest;
use super::signed::{KEY_FILE, VERIFIER_FILE};
use super::sqlite::{FILE, LogReader, head_of, migrate};
use super::{Head, StorageError};
use crate::value::Micros;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The form of backups that this version writes, and the newest that it reads.
const FORM: i64 = 1;

/// Files of the data folder that go along, unless secrets are left out: what clients know the server by.
const KEYS: [&str; 5] = [KEY_FILE, VERIFIER_FILE, "token-key", "tls-certificate.pem", "tls-key.pem"];

/// How the backup's own tables are made.
const TABLES: &str = "CREATE TABLE backup (form INTEGER NOT NULL, made INTEGER NOT NULL, secrets INTEGER NOT NULL) STRICT; \
     CREATE TABLE file (name TEXT PRIMARY KEY, content BLOB NOT NULL) STRICT;";

/// What a backup holds.
#[derive(Clone, Copy, Debug)]
pub struct Contents {
    /// Where its log ends.
    pub head: Head,
    /// When it was made.
    pub made: Micros,
    /// Passwords, keys and other secrets are in it.
    pub secrets: bool,
    pub archives: u64,
}

/// Writes a backup of a data folder, whether a server is using it or not. A file that is there is not written over.
pub async fn write(data: &Path, file: &Path, secrets: bool, now: Micros) -> Result<Contents, StorageError> {
    if file.exists() {
        return Err(StorageError(format!("{} is there already", file.display())));
    }
    let reader = LogReader::open(data).await?; // says whether there is a log
    let new = suffixed(file, ".new");
    let _ = fs::remove_file(&new);
    let written = fill(data, &new, secrets, now, &reader).await;
    let contents = match written {
        Ok(contents) => contents,
        Err(error) => {
            let _ = fs::remove_file(&new);
            return Err(error);
        }
    };
    let synced = fs::File::open(&new).and_then(|new| new.sync_all()).and_then(|()| fs::rename(&new, file));
    synced.map_err(|error| failed("cannot finish", file, error))?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let synced = fs::File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| failed("cannot sync", folder, error))?;
    Ok(contents)
}

/// About how many bytes a backup takes: what the log and its archives take.
pub async fn size(data: &Path) -> Result<u64, StorageError> {
    let length = |file: &Path| file.metadata().map_or(0, |about| about.len());
    let archives = LogReader::open(data).await?.archives().await?;
    let archived: u64 = archives.iter().map(|(_, file)| length(file)).sum();
    Ok(archived + [FILE.to_string(), format!("{FILE}-wal")].iter().map(|file| length(&data.join(file))).sum::<u64>())
}

async fn fill(
    data: &Path,
    new: &Path,
    secrets: bool,
    now: Micros,
    reader: &LogReader,
) -> Result<Contents, StorageError> {
    private(new).map_err(|error| failed("cannot make", new, error))?;
    let mut backup = open(new).await?;
    let source = data.join(FILE);
    sqlx::query("ATTACH DATABASE ? AS source")
        .bind(format!("file:{}?mode=ro", escaped(&source)))
        .execute(&mut backup)
        .await
        .map_err(|error| failed("cannot read", &source, error))?;
    let wrong = |error: sqlx::Error| failed("cannot write", new, error);
    // One transaction: everything is read as it was at its first row, and no writer waits for it.
    run(&mut backup, "BEGIN").await.map_err(wrong)?;
    copy(&mut backup, secrets).await.map_err(wrong)?;
    run(&mut backup, TABLES).await.map_err(wrong)?;
    sqlx::query("INSERT INTO backup VALUES (?, ?, ?)")
        .bind(FORM)
        .bind(now)
        .bind(secrets)
        .execute(&mut backup)
        .await
        .map_err(wrong)?;
    run(&mut backup, "COMMIT").await.map_err(wrong)?;
    run(&mut backup, "DETACH DATABASE source").await.map_err(wrong)?;
    let archives = put_archives(&mut backup, reader).await?;
    if secrets {
        for name in KEYS {
            put_file(&mut backup, name, &data.join(name)).await?;
        }
    }
    let head = head_of(&mut backup).await?;
    backup.close().await.map_err(wrong)?;
    Ok(Contents { head, made: now, secrets, archives })
}

/// Copies every table of the log, then what watches over them: so the triggers do not look at every row again.
async fn copy(backup: &mut SqliteConnection, secrets: bool) -> Result<(), sqlx::Error> {
    let made: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT type, name, sql FROM source.sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' \
         ORDER BY type = 'table' DESC, rowid",
    )
    .fetch_all(&mut *backup)
    .await?;
    for (kind, name, sql) in made {
        run(backup, &sql).await?;
        if kind == "table" && (secrets || name != "vault") {
            run(backup, &format!("INSERT INTO main.\"{name}\" SELECT * FROM source.\"{name}\"")).await?;
        }
    }
    Ok(())
}

/// Puts in the files of the ranges that the copied log says are archived. They never change.
async fn put_archives(backup: &mut SqliteConnection, reader: &LogReader) -> Result<u64, StorageError> {
    let count = "SELECT count(*) FROM sqlite_master WHERE name = 'sealed'";
    let known: i64 = sqlx::query_scalar(count).fetch_one(&mut *backup).await.map_err(unreadable)?;
    if known == 0 {
        return Ok(0);
    }
    let names: Vec<String> =
        sqlx::query_scalar("SELECT file FROM sealed").fetch_all(&mut *backup).await.map_err(unreadable)?;
    let mut put = 0;
    for (archive, path) in reader.archives().await?.iter().filter(|(archive, _)| names.contains(&archive.file)) {
        if digest(path)? != archive.digest {
            return Err(StorageError(format!("the archive {} is not the one that was sealed", path.display())));
        }
        put_file(backup, &format!("{FOLDER}/{}", archive.file), path).await?;
        put += 1;
    }
    run(backup, &format!("UPDATE archive SET folder = '{FOLDER}'")).await.map_err(unreadable)?;
    Ok(put)
}

/// Puts a file in; one that is not there is none that is needed.
async fn put_file(backup: &mut SqliteConnection, name: &str, path: &Path) -> Result<(), StorageError> {
    let content = match fs::read(path) {
        Ok(content) => zeroize::Zeroizing::new(content),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !name.starts_with(FOLDER) => return Ok(()),
        Err(error) => return Err(failed("cannot read", path, error)),
    };
    sqlx::query("INSERT INTO file VALUES (?, ?)")
        .bind(name)
        .bind(&content[..])
        .execute(backup)
        .await
        .map(drop)
        .map_err(unreadable)
}

/// Unpacks a backup into a folder that is empty or not there. The folder is a log as it was, not yet one to go on with.
pub async fn unpack(file: &Path, folder: &Path) -> Result<Contents, StorageError> {
    fs::create_dir_all(folder.join(FOLDER)).map_err(|error| failed("cannot make", folder, error))?;
    let log = folder.join(FILE);
    private(&log).map_err(|error| failed("cannot make", &log, error))?;
    fs::copy(file, &log).map_err(|error| failed("cannot copy", file, error))?;
    let none = || StorageError(format!("{} is no backup of this program", file.display()));
    let mut copied = open(&log).await.map_err(|_| none())?;
    let (made, secrets) = check_form(&mut copied, file).await?;
    let names: Vec<String> =
        sqlx::query_scalar("SELECT name FROM file").fetch_all(&mut copied).await.map_err(unreadable)?;
    for name in &names {
        take_file(&mut copied, name, folder).await?;
    }
    run(&mut copied, "DROP TABLE file; DROP TABLE backup; VACUUM").await.map_err(unreadable)?;
    migrate(&mut copied, folder).await?;
    let head = head_of(&mut copied).await?;
    copied.close().await.map_err(unreadable)?;
    let archives = LogReader::open(folder).await?.archives().await?;
    for (archive, path) in &archives {
        if digest(path)? != archive.digest {
            return Err(StorageError(format!("the archive {} in the backup is damaged", archive.file)));
        }
    }
    Ok(Contents { head, made, secrets, archives: archives.len() as u64 })
}

/// Makes a folder whose log can be read of a backup that may come from anywhere. Nothing goes on there: no secret, no
/// key is taken out.
pub async fn lay_out(file: &Path, folder: &Path) -> Result<(), StorageError> {
    fs::create_dir_all(folder.join(FOLDER)).map_err(|error| failed("cannot make", folder, error))?;
    let log = folder.join(FILE);
    private(&log).map_err(|error| failed("cannot make", &log, error))?;
    fs::copy(file, &log).map_err(|error| failed("cannot copy", file, error))?;
    cut(&log).map_err(|error| failed("cannot read", file, error))?;
    let none = || StorageError("it is no backup of this program".into());
    let mut copied = open(&log).await.map_err(|_| none())?;
    run(&mut copied, "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON").await.map_err(|_| none())?;
    if !made_by(&mut copied).await.map_err(|_| none())?.is_subset(&made_here(folder).await?) {
        return Err(none());
    }
    check_form(&mut copied, file).await?;
    let sealed = "SELECT count(*) FROM sqlite_master WHERE name = 'sealed'";
    let names = match sqlx::query_scalar(sealed).fetch_one(&mut copied).await.map_err(unreadable)? {
        0i64 => Vec::new(),
        _ => sqlx::query_scalar("SELECT file FROM sealed").fetch_all(&mut copied).await.map_err(unreadable)?,
    };
    for name in names {
        let name: String = name;
        take_file(&mut copied, &format!("{FOLDER}/{name}"), folder).await?;
    }
    let tidied =
        format!("UPDATE archive SET folder = '{FOLDER}'; DELETE FROM vault; DROP TABLE file; DROP TABLE backup");
    run(&mut copied, &tidied).await.map_err(unreadable)?;
    migrate(&mut copied, folder).await?;
    copied.close().await.map_err(unreadable)
}

/// Takes off what is behind the database: a disk is larger than what was put on it. Its header tells how many pages
/// it has, and how large one is.
fn cut(file: &Path) -> std::io::Result<()> {
    let mut header = [0; 32];
    let opened = fs::File::options().read(true).write(true).open(file)?;
    std::io::Read::read_exact(&mut &opened, &mut header)?;
    let page = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 1 << 16,
        bytes => u64::from(bytes),
    };
    let bytes = page * u64::from(u32::from_be_bytes([header[28], header[29], header[30], header[31]]));
    if bytes > 0 && bytes < opened.metadata()?.len() { opened.set_len(bytes) } else { Ok(()) }
}

/// What is in a database: tables, indexes, triggers, and how each was made.
async fn made_by(database: &mut SqliteConnection) -> Result<BTreeSet<(String, String)>, sqlx::Error> {
    let made = "SELECT type || ' ' || name, sql FROM sqlite_master WHERE sql IS NOT NULL";
    Ok(sqlx::query_as(made).fetch_all(database).await?.into_iter().collect())
}

/// What may be in a backup. A file that has anything else was made by somebody who wants something else.
async fn made_here(folder: &Path) -> Result<BTreeSet<(String, String)>, StorageError> {
    let mut new = open(Path::new(":memory:")).await?;
    migrate(&mut new, folder).await?;
    run(&mut new, TABLES).await.map_err(unreadable)?;
    made_by(&mut new).await.map_err(unreadable)
}

/// What a backup says of itself, if this version knows its form.
async fn check_form(copied: &mut SqliteConnection, file: &Path) -> Result<(i64, bool), StorageError> {
    let none = || StorageError(format!("{} is no backup of this program", file.display()));
    let what: Result<(i64, i64, bool), _> =
        sqlx::query_as("SELECT form, made, secrets FROM backup").fetch_one(copied).await;
    let (form, made, secrets) = what.map_err(|_| none())?;
    if form > FORM {
        return Err(StorageError(format!(
            "{} was written by a newer version of this program (form {form}; this one knows {FORM}): restore with that one",
            file.display()
        )));
    }
    Ok((made, secrets))
}

/// Writes one file of a backup into the folder; its name is one that a backup writes, or it is refused.
async fn take_file(copied: &mut SqliteConnection, name: &str, folder: &Path) -> Result<(), StorageError> {
    let archive = name.strip_prefix(FOLDER).and_then(|name| name.strip_prefix('/'));
    let plain = archive.is_some_and(|name| !name.contains(['/', '\\']) && !name.starts_with('.') && !name.is_empty());
    if !KEYS.contains(&name) && !plain {
        return Err(StorageError(format!("the backup has a file of a strange name: {name:?}")));
    }
    let content: Vec<u8> = sqlx::query_scalar("SELECT content FROM file WHERE name = ?")
        .bind(name)
        .fetch_one(copied)
        .await
        .map_err(unreadable)?;
    let content = zeroize::Zeroizing::new(content);
    let path = folder.join(name);
    private(&path)
        .and_then(|mut out| std::io::Write::write_all(&mut out, &content).and_then(|()| out.sync_all()))
        .map_err(|error| failed("cannot write", &path, error))
}

/// A file that its owner alone may read.
fn private(path: &Path) -> std::io::Result<fs::File> {
    let mut options = fs::File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

async fn open(file: &Path) -> Result<SqliteConnection, StorageError> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .journal_mode(SqliteJournalMode::Delete)
        .synchronous(SqliteSynchronous::Normal)
        .pragma("secure_delete", "ON")
        .disable_statement_logging();
    options.connect().await.map_err(|error| failed("cannot open", file, error))
}

async fn run(connection: &mut SqliteConnection, sql: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_string())).execute(connection).await.map(drop)
}

/// A path as a URI has it.
fn escaped(path: &Path) -> String {
    path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23")
}

fn suffixed(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn failed(what: &str, path: &Path, error: impl std::fmt::Display) -> StorageError {
    StorageError(format!("{what} {}: {error}", path.display()))
}

fn unreadable(error: sqlx::Error) -> StorageError {
    StorageError(format!("the backup: {error}"))
}
