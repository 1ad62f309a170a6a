//! One suite for every storage under the log: order, fencing, all or none.

use futures_util::FutureExt;
use std::sync::Arc;
use xenledger::event::Kind;
use xenledger::log::archive::Archive;
use xenledger::log::memory::{Injected, MemoryLog};
use xenledger::log::sqlite::{LogReader, SqliteLog};
use xenledger::log::{Appended, Head, Port, Row, Sealed, VaultChanges, hash};
use xenledger::value::Ref;

/// Storage that the suite runs on.
trait Storage {
    type Log: Port;
    /// Another port to the same log.
    fn port(&self) -> impl Future<Output = Self::Log>;
}

struct Sqlite {
    first: SqliteLog,
    _folder: tempfile::TempDir,
}

impl Sqlite {
    async fn new() -> Sqlite {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Sqlite { first: SqliteLog::open(folder.path()).await.expect("a new log"), _folder: folder }
    }
}

impl Storage for Sqlite {
    type Log = SqliteLog;
    async fn port(&self) -> SqliteLog {
        self.first.another().await.expect("a second port")
    }
}

impl Storage for MemoryLog {
    type Log = MemoryLog;
    async fn port(&self) -> MemoryLog {
        self.another()
    }
}

/// `count` rows behind a head, chained to it.
fn rows(term: u64, head: &Head, count: u64) -> Vec<Row> {
    let mut previous = head.hash;
    let lineage = if head.position == 0 { u64::MAX - 5 } else { head.lineage };
    let row = |position| {
        let mut row = Row {
            kind: Kind::Change,
            lineage,
            term,
            position,
            time: 1_700_000_000_000_000 + position as i64,
            schema: 1,
            principal: Arc::from("user/rööt"),
            message: Arc::from("VM.start"),
            request: Arc::from(if position.is_multiple_of(2) { "" } else { "retry\u{0}\"'" }),
            cause: position - 1,
            payload: format!("{{\"address\":\"10.0.0.{position}\",\"n\":\"\u{0} ☃\"}}"),
            hash: [0; 32],
        };
        row.hash = hash::of_row(&previous, &row);
        previous = row.hash;
        row
    };
    (head.position + 1..=head.position + count).map(row).collect()
}

fn end(rows: &[Row]) -> Head {
    let last = rows.last().expect("rows");
    Head { lineage: last.lineage, position: last.position, time: last.time, hash: last.hash }
}

#[track_caller]
fn done(appended: Appended) {
    assert!(matches!(appended, Appended::Done), "{appended:?}");
}

#[track_caller]
fn conflict(appended: Appended) {
    assert!(matches!(appended, Appended::Conflict), "{appended:?}");
}

fn sealed(id: u8) -> Sealed {
    Sealed { id: Ref([id; 16]), nonce: [id ^ 0xff; 16], value: vec![id, 0, 255].into() }
}

/// What is appended is read back, to the bit, in order, whatever the batch.
async fn rows_come_back(storage: impl Storage) {
    let mut log = storage.port().await;
    let (term, mut head) = log.open().await.expect("open");
    assert_eq!(head, Head { lineage: 0, position: 0, time: 0, hash: hash::GENESIS });
    let mut all = Vec::new();
    for count in [1, 2, 3, 64, 100, 255, 256, 257, 700] {
        let batch = rows(term, &head, count);
        done(log.append(term, head.position, batch.clone(), VaultChanges::default()).await);
        head = end(&batch);
        all.extend(batch);
        assert_eq!(log.head().await.expect("head"), head);
    }
    assert_eq!(log.read(0, 5000).await.expect("read"), all);
    assert_eq!(log.read(70, 10).await.expect("read"), all[70..80]);
    assert_eq!(log.read(head.position, 10).await.expect("read"), []);
    assert_eq!(log.read(u64::MAX, 10).await.expect("read"), [], "behind every position there is nothing");
    let (again, found) = storage.port().await.open().await.expect("open again");
    assert_eq!((again > term, found), (true, head));
}

/// Whoever opens the log later has it; the one before is refused and changes nothing.
async fn the_later_writer_wins(storage: impl Storage) {
    let mut old = storage.port().await;
    let (old_term, head) = old.open().await.expect("open");
    let first = rows(old_term, &head, 3);
    done(old.append(old_term, 0, first.clone(), VaultChanges::default()).await);
    let head = end(&first);

    let mut new = storage.port().await;
    let (new_term, found) = new.open().await.expect("open");
    assert_eq!((new_term, found), (old_term + 1, head));
    conflict(old.append(old_term, 3, rows(old_term, &head, 2), VaultChanges::default()).await);
    let secret = VaultChanges { put: vec![sealed(1)], erase: vec![] };
    conflict(old.append(old_term, 3, rows(old_term, &head, 2), secret).await);
    assert!(old.secret(Ref([1; 16])).await.expect("vault").is_none());
    assert_eq!(new.head().await.expect("head"), head);
    done(new.append(new_term, 3, rows(new_term, &head, 2), VaultChanges::default()).await);
}

/// A batch with one bad row leaves nothing behind: not its good rows, not its secrets.
async fn all_or_none(storage: impl Storage) {
    let mut log = storage.port().await;
    let (term, head) = log.open().await.expect("open");
    let good = rows(term, &head, 4);
    let secret = || VaultChanges { put: vec![sealed(1)], erase: vec![] };
    let with = |index: usize, change: fn(&mut Row)| {
        let mut bad = good.clone();
        change(&mut bad[index]);
        bad
    };
    for vault in [VaultChanges::default, secret as fn() -> _] {
        conflict(log.append(term, 0, with(3, |row| row.position = 6), vault()).await);
        conflict(log.append(term, 0, with(3, |row| row.position = 3), vault()).await);
        conflict(log.append(term, 0, with(2, |row| row.term += 1), vault()).await);
        conflict(log.append(term, 0, with(2, |row| row.term -= 1), vault()).await);
        conflict(log.append(term, 1, good.clone(), vault()).await);
    }
    assert_eq!(log.head().await.expect("head").position, 0);
    assert!(log.secret(Ref([1; 16])).await.expect("vault").is_none());
    done(log.append(term, 0, good, secret()).await);
}

/// Secrets come and go with the batch that speaks of them.
async fn the_vault_follows_the_rows(storage: impl Storage) {
    let mut log = storage.port().await;
    let (term, mut head) = log.open().await.expect("open");
    let changes = [(vec![1, 2], vec![]), (vec![3], vec![1]), (vec![], vec![2, 9])];
    for (put, erase) in changes {
        let batch = rows(term, &head, 2);
        let vault = VaultChanges {
            put: put.into_iter().map(sealed).collect(),
            erase: erase.into_iter().map(|id| Ref([id; 16])).collect(),
        };
        done(log.append(term, head.position, batch.clone(), vault).await);
        head = end(&batch);
    }
    for (id, present) in [(1, false), (2, false), (3, true), (9, false)] {
        let found = log.secret(Ref([id; 16])).await.expect("vault");
        assert_eq!(found.is_some(), present, "secret {id}");
        if let Some(found) = found {
            assert_eq!((found.digest(), &found.value[..]), (sealed(id).digest(), &[id, 0, 255][..]));
        }
    }
    // A change of the vault alone.
    let erase = VaultChanges { put: vec![], erase: vec![Ref([3; 16])] };
    done(log.append(term, head.position, vec![], erase).await);
    assert!(log.secret(Ref([3; 16])).await.expect("vault").is_none());
}

/// Only a row of kind `lineage` may leave a gap, and only upwards.
async fn a_lineage_row_may_jump(storage: impl Storage) {
    let mut log = storage.port().await;
    let (term, head) = log.open().await.expect("open");
    let batch = rows(term, &head, 3);
    done(log.append(term, 0, batch.clone(), VaultChanges::default()).await);
    let jump = |position: u64, kind| {
        let mut row = rows(term, &Head { position: position - 1, ..end(&batch) }, 1).remove(0);
        row.kind = kind;
        row.lineage = 7;
        row.hash = hash::of_row(&batch[2].hash, &row);
        vec![row]
    };
    conflict(log.append(term, 3, jump(1000, Kind::Change), VaultChanges::default()).await);
    conflict(log.append(term, 3, jump(2, Kind::Lineage), VaultChanges::default()).await);
    conflict(log.append(term, 2, jump(1000, Kind::Lineage), VaultChanges::default()).await);
    let first = jump(1000, Kind::Lineage);
    done(log.append(term, 3, first.clone(), VaultChanges::default()).await);
    assert_eq!(log.head().await.expect("head"), end(&first));
    done(log.append(term, 1000, rows(term, &end(&first), 1), VaultChanges::default()).await);
    let positions: Vec<u64> = log.read(0, 10).await.expect("read").iter().map(|row| row.position).collect();
    assert_eq!(positions, [1, 2, 3, 1000, 1001]);
}

/// Rows go once they are sealed, the oldest first, and never the newest; a writer that lost the log removes nothing.
async fn archived_rows_may_go(storage: impl Storage) {
    let mut log = storage.port().await;
    let (term, head) = log.open().await.expect("open");
    let batch = rows(term, &head, 10);
    done(log.append(term, 0, batch.clone(), VaultChanges::default()).await);
    assert_eq!(log.trim(term, 99, 99).await.expect("nothing is sealed"), 0);
    let archive = |last: u64| Archive {
        first: 1,
        last,
        rows: last,
        hash: batch[last as usize - 1].hash,
        file: format!("{last}"),
        digest: [1; 32],
        state: [2; 32],
    };
    log.seal(term, archive(6)).await.expect("sealed");
    log.seal(term, archive(6)).await.expect("twice is once");
    assert_eq!(log.trim(term, 5, 2).await.expect("trimmed"), 2);
    assert_eq!(log.trim(term, 5, 99).await.expect("trimmed"), 3);
    assert_eq!(log.trim(term, 99, 99).await.expect("trimmed"), 1, "as far as it is sealed");
    assert_eq!(log.read(6, 99).await.expect("read"), batch[6..]);
    let (newer, _) = storage.port().await.open().await.expect("the other takes the log");
    log.seal(term, Archive { first: 7, ..archive(9) }).await.expect_err("fenced off");
    assert_eq!(log.trim(term, 99, 99).await.expect("fenced off"), 0);
    let more = rows(newer, &end(&batch), 1);
    done(storage.port().await.append(newer, 10, more, VaultChanges::default()).await);
}

macro_rules! suite {
    ($storage:ident: $($test:ident)*) => {
        mod $storage {
            $(
                #[tokio::test]
                async fn $test() {
                    super::$test(super::$storage().await).await;
                }
            )*
        }
    };
}

async fn sqlite() -> Sqlite {
    Sqlite::new().await
}

async fn memory() -> MemoryLog {
    MemoryLog::new()
}

suite!(sqlite: rows_come_back the_later_writer_wins all_or_none the_vault_follows_the_rows a_lineage_row_may_jump archived_rows_may_go);
suite!(memory: rows_come_back the_later_writer_wins all_or_none the_vault_follows_the_rows a_lineage_row_may_jump archived_rows_may_go);

#[tokio::test]
async fn every_outcome_can_be_injected() {
    let mut log = MemoryLog::new();
    let (term, head) = log.open().await.expect("open");
    let batch = || rows(term, &head, 2);
    for (injected, found) in [
        (Injected::Conflict, 0),
        (Injected::NotWritten, 0),
        (Injected::UnknownNotWritten, 0),
        (Injected::UnknownWritten, 2),
    ] {
        log.inject(injected);
        let appended = log.append(term, 0, batch(), VaultChanges::default()).await;
        let unknown = matches!(injected, Injected::UnknownWritten | Injected::UnknownNotWritten);
        assert_eq!(matches!(appended, Appended::Unknown(_)), unknown, "{injected:?}: {appended:?}");
        assert_eq!(matches!(appended, Appended::Conflict), injected == Injected::Conflict, "{appended:?}");
        if unknown {
            let refused = log.append(term, 0, batch(), VaultChanges::default()).await;
            assert!(matches!(refused, Appended::NotWritten(_)), "the head was not read: {refused:?}");
        }
        assert_eq!(log.head().await.expect("head").position, found, "{injected:?}");
    }
}

/// An append is over before its caller could go away: there is no half of one.
#[tokio::test]
async fn an_append_is_never_left_half_way() {
    let storage = Sqlite::new().await;
    let mut log = storage.port().await;
    let (term, head) = log.open().await.expect("open");
    let batch = rows(term, &head, 3);
    let vault = VaultChanges { put: vec![sealed(1)], erase: vec![] };
    let appended = Box::pin(log.append(term, 0, batch.clone(), vault)).now_or_never();
    assert!(matches!(appended, Some(Appended::Done)), "{appended:?}");
    assert_eq!(log.head().await.expect("head"), end(&batch));
    assert_eq!(log.read(0, 9).await.expect("read"), batch);
}

#[tokio::test]
async fn a_data_folder_has_one_owner() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let first = SqliteLog::open(folder.path()).await.expect("a new log");
    let refused = SqliteLog::open(folder.path()).await.err().expect("a locked folder");
    assert!(refused.to_string().contains("is in use by process"), "{refused}");
    drop(first);
    SqliteLog::open(folder.path()).await.expect("a free folder");
}

#[tokio::test]
async fn what_was_written_is_there_after_reopening() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut all = Vec::new();
    for round in 1..=4 {
        let mut log = SqliteLog::open(folder.path()).await.expect("the log");
        let (term, head) = log.open().await.expect("open");
        assert_eq!((term, head.position), (round, all.len() as u64));
        let batch = rows(term, &head, 5);
        done(log.append(term, head.position, batch.clone(), VaultChanges::default()).await);
        all.extend(batch);
    }
    let reader = LogReader::open(folder.path()).await.expect("a reader");
    assert_eq!(reader.read(0, 100).await.expect("read"), all);
    assert_eq!(reader.read(u64::MAX, 100).await.expect("read"), []);
}

/// Readers see whole batches only, while the writer works.
#[tokio::test]
async fn readers_see_whole_batches() {
    let storage = Sqlite::new().await;
    let mut log = storage.port().await;
    let reader = log.reader();
    let reading = tokio::spawn(async move {
        let mut seen = 0;
        while seen < 200 {
            let page = reader.read(seen, 1000).await.expect("read");
            assert_eq!(page.len() % 10, 0);
            seen += page.len() as u64;
        }
    });
    let (term, mut head) = log.open().await.expect("open");
    for _ in 0..20 {
        let batch = rows(term, &head, 10);
        done(log.append(term, head.position, batch.clone(), VaultChanges::default()).await);
        head = end(&batch);
    }
    reading.await.expect("the reader");
}

#[tokio::test]
async fn a_reader_creates_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let refused = LogReader::open(folder.path()).await.err().expect("no log");
    assert!(refused.to_string().contains("cannot open the log in"), "{refused}");
    assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 0);
}
