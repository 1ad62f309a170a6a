//! A log in a folder with its writer, in this process, that can end and begin again.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use xenledger::command::{Call, Command, Intent, Principal};
use xenledger::log::archive::keeper::{Keeper, Rules};
use xenledger::log::archive::{Archive, FOLDER};
use xenledger::log::rows::{Reading, Rows};
use xenledger::log::sqlite::{LogReader, SqliteLog};
use xenledger::log::verify::{Chain, verify};
use xenledger::log::writer::{Ledger, Writer};
use xenledger::log::{Hash, Head, Port, Row};
use xenledger::model::MODEL;
use xenledger::value::Value;
use xenledger::views::{View, past::forward, restore};
use xenledger::world::World;

pub const RULES: Rules = Rules { rows: 40, keep: 5, age: None };

pub struct House {
    data: tempfile::TempDir,
    pub folder: PathBuf,
    pub reader: LogReader,
    pub ledger: Ledger,
    writing: tokio::task::JoinHandle<()>,
}

impl House {
    pub async fn new() -> House {
        House::open(tempfile::tempdir().expect("a temporary folder")).await
    }

    async fn open(data: tempfile::TempDir) -> House {
        let mut log = SqliteLog::open(data.path()).await.expect("the log");
        let (term, _) = log.open().await.expect("open");
        let folder = log.archive_in(None).await.expect("a folder");
        assert_eq!(folder, data.path().join(FOLDER));
        let reader = log.reader();
        let (mut view, _) = restore(&reader, data.path(), |_, _| ()).await.expect("a whole log");
        view.lineage = 9;
        let (writer, ledger) = Writer::new(log, term, view, World::simulated(1, 1), Box::new(|_| ()));
        std::fs::create_dir_all(&folder).expect("a folder");
        House { data, folder, reader, ledger, writing: tokio::spawn(writer.run()) }
    }

    pub fn data(&self) -> &std::path::Path {
        self.data.path()
    }

    /// Ends and begins again, from what is on disk.
    pub async fn again(self) -> House {
        let House { data, ledger, writing, .. } = self;
        ledger.close();
        writing.await.expect("the writer");
        House::open(data).await
    }

    pub fn keeper(&self) -> Keeper {
        self.keeper_with(RULES)
    }

    pub fn keeper_with(&self, rules: Rules) -> Keeper {
        Keeper::new(self.ledger.clone(), self.reader.clone(), self.folder.clone(), rules)
    }

    pub async fn work(&self, count: u64) {
        work(&self.ledger, count).await;
    }

    pub async fn trim(&self) {
        self.keeper().trim(&Default::default()).await.expect("trimmed");
    }

    /// All rows behind a position, wherever they are, in small pages.
    pub async fn rows_behind(&self, mut after: u64) -> Vec<Row> {
        let mut rows = Vec::new();
        loop {
            let page = Rows::behind(&self.reader, after, 17).await.expect("readable");
            let Some(last) = page.last() else { return rows };
            after = last.position;
            rows.extend(page);
        }
    }

    /// The log begins with these rows, read forth and back, and its chain is whole.
    pub async fn whole(&self, expected: &[Row]) {
        let rows = self.rows_behind(0).await;
        assert_eq!(rows[..expected.len()], *expected);
        let mut back = Vec::new();
        let mut before = u64::MAX;
        while let Some(last) = {
            let page = Rows::before(&self.reader, before, 13).await.expect("readable");
            back.extend(page);
            back.last().filter(|row: &&Row| row.position < before)
        } {
            before = last.position;
        }
        back.reverse();
        assert_eq!(back, rows);
        let verified = verify(&self.reader, Chain::default(), |_, _| Ok(()), |_, _| ()).await.expect("a whole chain");
        assert_eq!(verified.rows, rows.len() as u64);
    }

    /// The first row that is in the database.
    pub async fn first_here(&self) -> u64 {
        use sqlx::{Connection, SqliteConnection};
        let file = format!("sqlite://{}", self.data.path().join("log.sqlite").display());
        let mut log = SqliteConnection::connect(&file).await.expect("it opens");
        let first: i64 =
            sqlx::query_scalar("SELECT min(position) FROM event").fetch_one(&mut log).await.expect("a row");
        first as u64
    }

    pub fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.folder).expect("the folder");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("readable").file_name().into_string().expect("UTF-8")).collect();
        names.sort();
        names
    }

    pub async fn state_at(&self, position: u64) -> Hash {
        forward(&self.reader, View::default(), position, |_| ()).await.expect("folded").state_hash()
    }
}

/// A log that remembers behind which position somebody read.
#[derive(Clone)]
pub struct Watched {
    rows: LogReader,
    lowest: Arc<AtomicU64>,
}

impl Watched {
    pub fn of(rows: LogReader) -> Watched {
        Watched { rows, lowest: Arc::new(AtomicU64::new(u64::MAX)) }
    }

    pub fn forget(&self) {
        self.lowest.store(u64::MAX, Relaxed);
    }

    pub fn lowest(&self) -> u64 {
        self.lowest.load(Relaxed)
    }
}

impl Rows for Watched {
    fn behind(&self, after: u64, limit: usize) -> Reading<'_, Vec<Row>> {
        self.lowest.fetch_min(after, Relaxed);
        self.rows.behind(after, limit)
    }

    fn before(&self, before: u64, limit: usize) -> Reading<'_, Vec<Row>> {
        self.rows.before(before, limit)
    }

    fn end(&self) -> Reading<'_, Head> {
        self.rows.end()
    }

    fn archived(&self) -> Reading<'_, Option<Archive>> {
        Rows::archived(&self.rows)
    }
}

/// Makes so many changes.
pub async fn work(ledger: &Ledger, count: u64) {
    for nth in 0..count {
        let record = Value::map([("name_label", Value::text(&format!("lan {nth}")))]);
        let message = MODEL.message("network.create").expect("a message of the model");
        let command = Command {
            principal: Principal::server("user/test"),
            address: "test".into(),
            auth: "".into(),
            request: "".into(),
            cause: 0,
            now: ledger.world().now(),
            seed: ledger.world().seed(),
            body: Intent::Call(Call { message, args: vec![record], background: false }),
        };
        ledger.submit(command).await.expect("accepted");
    }
}
