//! One suite for every storage under the log: order, fencing, all or none.

use std::sync::Arc;
use xenledger::event::Kind;
use xenledger::log::sqlite::SqliteLog;
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
            request: Arc::from(if position % 2 == 0 { "" } else { "retry\u{0}\"'" }),
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
    assert_eq!(old.secret(Ref([1; 16])).await.expect("vault").is_some(), false);
    assert_eq!(new.head().await.expect("head"), head);
    done(new.append(new_term, 3, rows(new_term, &head, 2), VaultChanges::default()).await);
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

suite!(sqlite: rows_come_back the_later_writer_wins);
