//! Walking the chain: is the log what was once written, whole and in order?
//!
//! [`Chain`] checks row after row and knows no storage; [`verify`] feeds it
//! from a log, page by page. A log that was cut at its end is a shorter log,
//! and only a signed checkpoint could tell. Must never know what an event means.

use super::archive::shelf::position;
use super::sqlite::{BadRow, LogReader};
use super::{Head, Row, StorageError, hash};
use crate::event::{Event, Kind, SCHEMA};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// Rows that are read at once.
const PAGE_ROWS: usize = 1_000;

/// Why a log is not whole.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    #[error("row {position}: {fault}")]
    Row { position: u64, fault: Fault },
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// What is wrong with a row.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum Fault {
    #[error("it is missing: after it comes row {found}")]
    Missing { found: u64 },
    #[error("its hash does not fit: it was changed, or the row before it")]
    Hash,
    #[error("it belongs to lineage {found}, the row before it to {expected}")]
    Lineage { expected: u64, found: u64 },
    #[error("it begins a lineage that is not new")]
    SameLineage,
    #[error("its term {found} is below {before}, that of the row before it")]
    Term { before: u64, found: u64 },
    #[error("its time {found} is before {before}, that of the row before it")]
    Time { before: i64, found: i64 },
    #[error("its schema {0} is not known to this version")]
    Schema(u32),
    #[error("{0}")]
    Unreadable(String),
    #[error("it is signed in the checkpoint, but the log does not have it: its end was cut off")]
    Unsigned,
    /// Said by whoever looked at the events along the way.
    #[error("{0}")]
    Event(String),
}

/// A log that is whole.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Verified {
    pub rows: u64,
    pub head: Head,
}

/// The part of the chain that was checked.
#[derive(Clone, Debug)]
pub struct Chain {
    head: Head,
    term: u64,
    rows: u64,
}

impl Default for Chain {
    /// Nothing yet: the next row is the first of all.
    fn default() -> Chain {
        Chain::behind(Head { lineage: 0, position: 0, time: i64::MIN, hash: hash::GENESIS }, 0)
    }
}

impl Chain {
    /// A chain that goes on behind rows that are not here, such as archived ones.
    pub fn behind(head: Head, term: u64) -> Chain {
        Chain { head, term, rows: 0 }
    }

    /// Checks that a row is the next one, and gives its event.
    pub fn next(&mut self, row: &Row) -> Result<Event, Broken> {
        let event = self.check(row)?;
        self.head = Head { lineage: row.lineage, position: row.position, time: row.time, hash: row.hash };
        self.term = row.term;
        self.rows += 1;
        Ok(event)
    }

    fn check(&self, row: &Row) -> Result<Event, Broken> {
        let wrong = |fault| Err(Broken::Row { position: row.position, fault });
        let Head { lineage, position, time, hash } = self.head;
        if row.position != position + 1 && row.kind != Kind::Lineage {
            return Err(Broken::Row { position: position + 1, fault: Fault::Missing { found: row.position } });
        }
        if hash::of_row(&hash, row) != row.hash {
            return wrong(Fault::Hash);
        }
        if row.term < self.term {
            return wrong(Fault::Term { before: self.term, found: row.term });
        }
        if row.time < time {
            return wrong(Fault::Time { before: time, found: row.time });
        }
        match row.kind {
            _ if position == 0 => {}
            Kind::Lineage if row.lineage == lineage => return wrong(Fault::SameLineage),
            Kind::Lineage => {}
            _ if row.lineage == lineage => {}
            _ => return wrong(Fault::Lineage { expected: lineage, found: row.lineage }),
        }
        if row.schema == 0 || row.schema > SCHEMA {
            return wrong(Fault::Schema(row.schema));
        }
        row.event().or_else(|error| wrong(Fault::Unreadable(error.to_string())))
    }
}

/// Checks a log from behind `chain` to its present end. Every event passes `each`, which may object; after each page
/// `progress` hears how many rows were checked and at which position.
pub async fn verify(
    reader: &LogReader,
    chain: Chain,
    mut each: impl FnMut(&Row, &Event) -> Result<(), String>,
    mut progress: impl FnMut(u64, u64),
) -> Result<Verified, Broken> {
    let coming = read(reader, chain.head.position);
    let mut ahead = Page::ahead(reader, chain, coming, Vec::new());
    let mut done = Vec::new();
    loop {
        let page = ahead.await.expect("BUG: checking a page panicked");
        if let (None, []) = (&page.wrong, &page.rows[..]) {
            return Ok(Verified { rows: page.chain.rows, head: page.chain.head });
        }
        let (rows, position) = (page.chain.rows, page.chain.head.position);
        ahead = Page::ahead(reader, page.chain, page.next, done);
        for (row, event) in &page.rows {
            each(row, event)
                .map_err(|objection| Broken::Row { position: row.position, fault: Fault::Event(objection) })?;
        }
        if let Some(wrong) = page.wrong {
            return Err(wrong);
        }
        done = page.rows;
        progress(rows, position);
    }
}

/// Rows on their way from storage.
type Coming = JoinHandle<Result<Vec<Result<Row, BadRow>>, StorageError>>;

/// Begins to read the rows behind a position.
fn read(reader: &LogReader, after: u64) -> Coming {
    let reader = reader.clone();
    tokio::spawn(async move { reader.rows(after, PAGE_ROWS).await })
}

/// Some rows that follow one another, with their events. While one page is folded, the next one is checked, and the one
/// behind that is read.
struct Page {
    rows: Vec<(Row, Event)>,
    /// The rows behind them.
    next: Coming,
    /// Behind the last of them.
    chain: Chain,
    /// What is wrong with the row behind them.
    wrong: Option<Broken>,
}

impl Page {
    /// Checks the rows that come behind a chain, on another thread, which also has time to let go of rows that are done.
    fn ahead(reader: &LogReader, chain: Chain, coming: Coming, done: Vec<(Row, Event)>) -> JoinHandle<Page> {
        let (reader, here) = (reader.clone(), Handle::current());
        tokio::task::spawn_blocking(move || {
            drop(done);
            let rows = here.block_on(coming).expect("BUG: reading the log panicked");
            let last = rows.as_ref().ok().and_then(|rows| rows.last()).map_or(chain.head.position, position);
            let mut page = Page { rows: Vec::with_capacity(PAGE_ROWS), next: read(&reader, last), chain, wrong: None };
            page.wrong = rows.map_err(Broken::from).and_then(|rows| page.check(rows)).err();
            page
        })
    }

    fn check(&mut self, rows: Vec<Result<Row, BadRow>>) -> Result<(), Broken> {
        for row in rows {
            let row = row.map_err(|bad| Broken::Row { position: bad.position, fault: Fault::Unreadable(bad.why) })?;
            let event = self.chain.next(&row)?;
            self.rows.push((row, event));
        }
        Ok(())
    }
}
