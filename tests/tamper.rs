//! Damage done to a log behind our back, directly in SQLite, is found, and the row is named.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection};
use std::path::Path;
use xenledger::event::{Body, Event, Kind};
use xenledger::log::sqlite::{LogReader, SqliteLog};
use xenledger::log::verify::{Broken, Chain, Fault, Verified, verify};
use xenledger::log::{Hash, Port, Row, VaultChanges, hash};

const ROWS: u64 = 60;
const ROUNDS: u64 = 200;
const SEED: u64 = 20_261_122;

fn row(position: u64, previous: &Hash) -> Row {
    let event = Event {
        kind: if position.is_multiple_of(7) { Kind::Refused } else { Kind::Change },
        lineage: u64::MAX - 9,
        term: 1,
        position,
        time: 1_000_000 * position as i64,
        principal: "user/root".into(),
        message: "VM.start".into(),
        request: "".into(),
        cause: position / 2,
        body: Body { address: format!("10.0.0.{position}").into(), ..Body::default() },
    };
    Row::of(&event, previous)
}

fn chain(count: u64) -> Vec<Row> {
    let mut previous = hash::GENESIS;
    let next = |position| {
        let row = row(position, &previous);
        previous = row.hash;
        row
    };
    (1..=count).map(next).collect()
}

async fn written(folder: &Path) {
    let mut log = SqliteLog::open(folder).await.expect("a new log");
    let (term, _) = log.open().await.expect("open");
    let appended = log.append(term, 0, chain(ROWS), VaultChanges::default()).await;
    assert!(matches!(appended, xenledger::log::Appended::Done), "{appended:?}");
}

async fn connect(folder: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(folder.join("log.sqlite"));
    SqliteConnection::connect_with(&options).await.expect("the log's file")
}

async fn execute(connection: &mut SqliteConnection, sql: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_string())).execute(connection).await.map(drop)
}

async fn verified(folder: &Path) -> Result<Verified, Broken> {
    let reader = LogReader::open(folder).await.expect("a reader");
    verify(&reader, Chain::default(), |_, _| Ok(()), |_, _| ()).await
}

/// Damages one row and says which one must be named.
fn damage(random: &mut ChaCha8Rng) -> (String, u64) {
    let mut below = |limit: u64| random.next_u64() % limit;
    let at = 1 + below(ROWS - 1);
    let columns = [
        "kind = 'login'",
        "lineage = lineage + 1",
        "term = term + 1",
        "time = time + 1",
        "schema = schema + 1",
        "principal = principal || 'x'",
        "message = 'VM.destroy'",
        "request = 'r'",
        "cause = cause + 1",
        "payload = replace(payload, '10.0', '10.1')",
        "payload = payload || ' '",
        "hash = zeroblob(32)",
        "hash = x'00'",
        "kind = 'other'",
    ];
    let shift = |from: u64| {
        format!(
            "UPDATE event SET position = -position - 1 WHERE position >= {from}; \
             UPDATE event SET position = -position WHERE position < 0;"
        )
    };
    let copy = "kind, lineage, term, time, schema, principal, message, request, cause, payload, hash FROM event";
    match below(5) {
        0 => (format!("DELETE FROM event WHERE position = {at}"), at),
        1 => {
            let closed = format!(
                "DELETE FROM event WHERE position = {at}; \
                 UPDATE event SET position = -position + 1 WHERE position > {at}; \
                 UPDATE event SET position = -position WHERE position < 0;"
            );
            (closed, at)
        }
        2 => (format!("{} INSERT INTO event SELECT {at}, {copy} WHERE position = {}", shift(at), at + 2), at),
        3 => {
            let swapped = format!(
                "UPDATE event SET position = -1 WHERE position = {at}; \
                 UPDATE event SET position = {at} WHERE position = {}; \
                 UPDATE event SET position = {} WHERE position = -1;",
                at + 1,
                at + 1
            );
            (swapped, at)
        }
        _ => {
            let column = columns[below(columns.len() as u64) as usize];
            (format!("UPDATE event SET {column} WHERE position = {at}"), at)
        }
    }
}

#[tokio::test]
async fn damage_is_found_and_the_row_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    written(folder.path()).await;
    let mut connection = connect(folder.path()).await;
    for trigger in ["event_insert", "event_update", "event_delete"] {
        execute(&mut connection, &format!("DROP TRIGGER {trigger}")).await.expect("a trigger");
    }
    execute(&mut connection, "CREATE TABLE whole AS SELECT * FROM event").await.expect("a copy");
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    for round in 0..ROUNDS {
        assert_eq!(verified(folder.path()).await.expect("a whole log").rows, ROWS);
        let (sql, named) = damage(&mut random);
        execute(&mut connection, &sql).await.unwrap_or_else(|error| panic!("round {round}: {sql}: {error}"));
        match verified(folder.path()).await {
            Err(Broken::Row { position, .. }) => assert_eq!(position, named, "round {round} of seed {SEED}: {sql}"),
            other => panic!("round {round} of seed {SEED}: {sql}: {other:?}"),
        }
        execute(&mut connection, "DELETE FROM event; INSERT INTO event SELECT * FROM whole").await.expect("restored");
    }
}

#[tokio::test]
async fn the_triggers_refuse_what_the_program_never_does() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    written(folder.path()).await;
    let mut connection = connect(folder.path()).await;
    let copy = "kind, lineage, term, time, schema, principal, message, request, cause, payload, hash FROM event";
    for (sql, why) in [
        ("UPDATE event SET payload = '{}' WHERE position = 3".into(), "never changed"),
        ("DELETE FROM event WHERE position = 3".into(), "only archived rows"),
        (format!("INSERT INTO event SELECT 62, {copy} WHERE position = 3"), "conflict: the row does not follow"),
        (format!("REPLACE INTO event SELECT 3, {copy} WHERE position = 4"), "conflict: the row does not follow"),
        ("UPDATE writer SET term = 0".into(), "the term never falls"),
        ("DELETE FROM writer".into(), "the term is never deleted"),
        ("UPDATE archive SET archived_to = -1".into(), "archived_to never falls"),
        ("DELETE FROM archive".into(), "archived_to is never deleted"),
    ] {
        let refused = execute(&mut connection, &sql).await.expect_err(&sql).to_string();
        assert!(refused.contains(why), "{sql}: {refused}");
    }
    assert_eq!(verified(folder.path()).await.expect("a whole log").rows, ROWS);
    execute(&mut connection, "UPDATE archive SET archived_to = 60").await.expect("archived");
    execute(&mut connection, "DELETE FROM event WHERE position <= 59").await.expect("archived rows may go");
    execute(&mut connection, "DELETE FROM event").await.expect_err("the newest row stays");
}

fn fault(rows: Vec<Row>) -> (u64, Fault) {
    let mut chain = Chain::default();
    for row in &rows {
        match chain.next(row) {
            Ok(_) => {}
            Err(Broken::Row { position, fault }) => return (position, fault),
            Err(Broken::Storage(error)) => panic!("{error}"),
        }
    }
    panic!("nothing was found");
}

/// Damage with hashes made to fit: the rules behind the hashes find it.
#[test]
fn rules_hold_beyond_the_hashes() {
    let with = |change: fn(&mut Row)| {
        let mut rows = chain(3);
        change(&mut rows[2]);
        rows[2].hash = hash::of_row(&rows[1].hash, &rows[2]);
        fault(rows)
    };
    assert_eq!(with(|row| row.position = 5), (3, Fault::Missing { found: 5 }));
    assert_eq!(with(|row| row.term = 0), (3, Fault::Term { before: 1, found: 0 }));
    assert_eq!(with(|row| row.time = 5), (3, Fault::Time { before: 2_000_000, found: 5 }));
    assert_eq!(with(|row| row.schema = 99), (3, Fault::Schema(99)));
    assert_eq!(with(|row| row.kind = Kind::Lineage), (3, Fault::SameLineage));
    assert_eq!(with(|row| row.lineage = 1), (3, Fault::Lineage { expected: u64::MAX - 9, found: 1 }));
    assert!(matches!(with(|row| row.payload = "{".into()), (3, Fault::Unreadable(_))));
}

#[tokio::test]
async fn whoever_looks_along_may_object() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    written(folder.path()).await;
    let reader = LogReader::open(folder.path()).await.expect("a reader");
    let mut heard = Vec::new();
    let whole = verify(&reader, Chain::default(), |_, _| Ok(()), |rows, position| heard.push((rows, position))).await;
    assert_eq!(whole.expect("a whole log").head.hash, chain(ROWS)[ROWS as usize - 1].hash);
    assert_eq!(heard, [(ROWS, ROWS)]);
    let object = |event: &Event, _: &Hash| if event.position == 9 { Err("no".to_string()) } else { Ok(()) };
    let broken = verify(&reader, Chain::default(), object, |_, _| ()).await.expect_err("an objection");
    assert_eq!(broken.to_string(), "row 9: no");
}
