//! Damage of every kind, done behind the program's back to rows in the database, to archives, and to what is noted of
//! them, at random rows: it is found each time, and the row is named. The Python verifier finds the same.

use crate::house::{House, RULES};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::Command;
use xenledger::cli::verify::examine;
use xenledger::log::Head;
use xenledger::log::archive::Archive;
use xenledger::log::verify::Broken;

const SEED: u64 = 20_261_124;

/// A log with rows in archives and rows that are only in the database.
struct Whole {
    house: House,
    connection: SqliteConnection,
    archives: Vec<(Archive, PathBuf, Vec<u8>)>,
    /// The first row that is only in the database, and the head.
    here: u64,
    head: Head,
    /// A head that was signed, some rows before the end.
    signed: Head,
}

impl Whole {
    async fn new() -> Whole {
        let house = House::new().await;
        for _ in 0..3 {
            house.work(RULES.rows).await;
            assert!(house.keeper().seal(1).await.expect("sealed"));
        }
        house.work(30).await;
        while house.ledger.trim(u64::MAX, 100).await.expect("trimmed") > 0 {}
        let archives = house.reader.archives().await.expect("readable").into_iter();
        let archives: Vec<_> = archives
            .map(|(archive, path)| {
                let bytes = std::fs::read(&path).expect("the file");
                (archive, path, bytes)
            })
            .collect();
        let here = archives.last().map_or(0, |(archive, ..)| archive.last) + 1;
        let rows = house.rows_behind(0).await;
        let head_at = |at: usize| {
            let row = &rows[at];
            Head { lineage: row.lineage, position: row.position, time: row.time, hash: row.hash }
        };
        let (head, signed) = (head_at(rows.len() - 1), head_at(rows.len() - 10));
        let mut connection = connect(house.data()).await;
        for trigger in ["event_insert", "event_update", "event_delete", "sealed_update", "sealed_delete"] {
            execute(&mut connection, &format!("DROP TRIGGER {trigger}")).await;
        }
        execute(
            &mut connection,
            "CREATE TABLE whole AS SELECT * FROM event; CREATE TABLE noted AS SELECT * FROM sealed",
        )
        .await;
        Whole { house, connection, archives, here, head, signed }
    }

    async fn restore(&mut self) {
        let sql = "DELETE FROM event; INSERT INTO event SELECT * FROM whole; \
                   DELETE FROM sealed; INSERT INTO sealed SELECT * FROM noted";
        execute(&mut self.connection, sql).await;
        for (_, path, bytes) in &self.archives {
            std::fs::write(path, bytes).expect("written");
        }
    }

    /// Damages something; says what it was, and which rows may be named.
    async fn damage(&mut self, random: &mut ChaCha8Rng) -> (String, RangeInclusive<u64>) {
        let mut below = |limit: u64| random.next_u64() % limit;
        match below(8) {
            kind @ 0..=3 => {
                let at = self.here + below(self.head.position - self.here);
                let sql = in_database(kind, at, below(COLUMNS.len() as u64) as usize);
                execute(&mut self.connection, &sql).await;
                (sql, at..=at)
            }
            4 => {
                let cut = self.here + below(self.signed.position - self.here) + 1;
                execute(&mut self.connection, &format!("DELETE FROM event WHERE position >= {cut}")).await;
                // Nothing is wrong with what is left: the checkpoint alone tells.
                (format!("cut at {cut}"), self.signed.position..=self.signed.position)
            }
            5 => {
                let (archive, ..) = &self.archives[below(3) as usize];
                let column = ["hash", "digest", "state"][below(3) as usize];
                let sql = format!("UPDATE sealed SET {column} = zeroblob(32) WHERE last = {}", archive.last);
                let seal = archive.last + 1;
                execute(&mut self.connection, &sql).await;
                (sql, seal..=seal)
            }
            6 => {
                let (archive, path, bytes) = &self.archives[below(3) as usize];
                let (at, bit) = (below(bytes.len() as u64) as usize, below(8));
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                std::fs::write(path, damaged).expect("written");
                (format!("bit {bit} of byte {at} of {}", archive.file), archive.first..=archive.last + 1)
            }
            _ => {
                let (archive, path, bytes) = &self.archives[below(3) as usize];
                let nth = below(archive.rows - 2) as usize;
                let kind = below(4);
                std::fs::write(path, repacked(bytes, |rows| in_archive(rows, kind, nth))).expect("written");
                let row = archive.first + nth as u64;
                (format!("kind {kind} at row {row} of {}", archive.file), row..=row)
            }
        }
    }
}

const COLUMNS: [&str; 14] = [
    "kind = 'login'",
    "lineage = lineage + 1",
    "term = term + 1",
    "time = time + 1",
    "schema = schema + 1",
    "principal = principal || 'x'",
    "message = 'VM.destroy'",
    "request = 'r'",
    "cause = cause + 1",
    "payload = replace(payload, 'e', 'a')",
    "payload = payload || ' '",
    "hash = zeroblob(32)",
    "hash = x'00'",
    "kind = 'other'",
];

/// Changes, removes, inserts or reorders.
fn in_database(kind: u64, at: u64, column: usize) -> String {
    let columns = "kind, lineage, term, time, schema, principal, message, request, cause, payload, hash FROM event";
    match kind {
        0 => format!("UPDATE event SET {} WHERE position = {at}", COLUMNS[column]),
        1 => format!("DELETE FROM event WHERE position = {at}"),
        2 => format!(
            "UPDATE event SET position = -position - 1 WHERE position >= {at}; \
             UPDATE event SET position = -position WHERE position < 0; \
             INSERT INTO event SELECT {at}, {columns} WHERE position = {}",
            at + 2
        ),
        _ => format!(
            "UPDATE event SET position = -1 WHERE position = {at}; \
             UPDATE event SET position = {at} WHERE position = {next}; \
             UPDATE event SET position = {next} WHERE position = -1;",
            next = at + 1
        ),
    }
}

fn in_archive(rows: &mut Vec<Vec<u8>>, kind: u64, nth: usize) {
    match kind {
        0 => {
            let at = rows[nth].len() - 10;
            rows[nth][at] ^= 1; // in its payload
        }
        1 => drop(rows.remove(nth)),
        2 => rows.insert(nth, rows[nth + 1].clone()),
        _ => rows.swap(nth, nth + 1),
    }
}

/// An archive of one frame, packed again with other rows: as somebody would who knows the form of the file.
fn repacked(bytes: &[u8], change: impl FnOnce(&mut Vec<Vec<u8>>)) -> Vec<u8> {
    let length = u32::from_le_bytes(*bytes.last_chunk().expect("a length")) as usize;
    let text = &bytes[bytes.len() - 4 - length..bytes.len() - 4];
    let mut index: serde_json::Value = serde_json::from_slice(text).expect("an index");
    assert_eq!(index["frames"].as_array().map(Vec::len), Some(1));
    let mut plain = &zstd::decode_all(&bytes[..bytes.len() - 12 - length]).expect("a frame")[..];
    let mut rows = Vec::new();
    while !plain.is_empty() {
        let mut end = 0;
        for _ in 0..11 {
            end += 4 + u32::from_be_bytes(*plain[end..].first_chunk().expect("a length")) as usize;
        }
        rows.push(plain[..end + 4].to_vec());
        plain = &plain[end + 4..];
    }
    change(&mut rows);
    let plain = rows.concat();
    let mut packed = zstd::encode_all(&plain[..], 3).expect("packed");
    index["frames"][0]["length"] = packed.len().into();
    index["frames"][0]["unpacked"] = plain.len().into();
    let mut index = index.to_string().into_bytes();
    index.extend_from_slice(&(index.len() as u32).to_le_bytes());
    packed.extend_from_slice(&0x184D_2A58_u32.to_le_bytes());
    packed.extend_from_slice(&(index.len() as u32).to_le_bytes());
    [packed, index].concat()
}

async fn connect(data: &Path) -> SqliteConnection {
    let file = format!("sqlite://{}", data.join("log.sqlite").display());
    SqliteConnection::connect(&file).await.expect("the log's file")
}

async fn execute(connection: &mut SqliteConnection, sql: &str) {
    let done = sqlx::raw_sql(AssertSqlSafe(sql.to_string())).execute(connection).await;
    done.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

fn long() -> bool {
    std::env::var_os("XENLEDGER_LONG").is_some()
}

#[tokio::test]
async fn damage_of_every_kind_is_found_and_the_row_is_named() {
    let rounds = if long() { 1000 } else { 60 };
    let mut whole = Whole::new().await;
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    for round in 0..rounds {
        let (what, named) = whole.damage(&mut random).await;
        match examine(whole.house.data(), Some(whole.signed), |_| ()).await {
            Err(Broken::Row { position, .. }) if named.contains(&position) => {}
            Err(other) => panic!("round {round} of seed {SEED}: {what}: {other}, not one of {named:?}"),
            Ok(_) => panic!("round {round} of seed {SEED}: {what}: nothing was found"),
        }
        whole.restore().await;
    }
    examine(whole.house.data(), Some(whole.signed), |_| ()).await.expect("whole again");
}

/// The row that a verifier's complaint names.
fn row_in(text: &str) -> Option<u64> {
    let (_, rest) = text.split_once("row ")?;
    rest.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

#[tokio::test]
async fn the_python_verifier_agrees() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/archive/verify.py");
    let there = |program: &str| Command::new(program).arg("--version").output().is_ok_and(|out| out.status.success());
    if !there("python3") || !there("zstd") {
        return println!("LEFT OUT: the Python verifier: there is no python3, or no zstd");
    }
    let mut whole = Whole::new().await;
    let python = |data: &Path| Command::new("python3").arg(script).arg(data).output().expect("it starts");
    let good = python(whole.house.data());
    let hash: String = whole.head.hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let errors = String::from_utf8_lossy(&good.stderr).into_owned();
    assert!(String::from_utf8_lossy(&good.stdout).trim_end().ends_with(&hash), "{errors}");
    let mut random = ChaCha8Rng::seed_from_u64(SEED + 1);
    for round in 0..if long() { 200 } else { 12 } {
        let (what, named) = whole.damage(&mut random).await;
        // A cut is found with a checkpoint only, and what is noted of an archive is not what the log says.
        let ours = examine(whole.house.data(), None, |_| ()).await;
        let theirs = python(whole.house.data());
        let said = String::from_utf8_lossy(&theirs.stderr).into_owned();
        if !what.starts_with("UPDATE sealed") {
            assert_eq!(ours.is_ok(), theirs.status.success(), "round {round}: {what}: {said}");
        }
        if !theirs.status.success() {
            let row = row_in(said.lines().last().unwrap_or_default());
            assert!(row.is_some_and(|row| named.contains(&row)), "round {round}: {what}: {said}, not {named:?}");
        }
        whole.restore().await;
    }
}
