//! Walking the chain: is the log what was once written, whole and in order?
//!
//! [`Chain`] checks row after row and knows no storage; [`verify`] feeds it
//! from a log, page by page. A log that was cut at its end is a shorter log,
//! and only a signed checkpoint could tell. Must never know what an event means.
//!
//! ```text
//!   storage ──read──▶ pages ──hashed──▶ pages ──parsed──▶ each event, as the caller wants
//!    a task            a few   a thread  a few   by either  the caller's own thread
//! ```

use super::archive::shelf::position;
use super::sqlite::{BadRow, LogReader};
use super::{Hash, Head, Row, StorageError, hash};
use crate::event::{Event, Kind, SCHEMA};
use tokio::sync::mpsc::{Receiver, channel};

/// Rows that are read at once, or fewer that are long.
const PAGE_ROWS: usize = 250;
/// Pages that may wait between two who work on them: with fewer processors than workers each waits for its slice of time,
/// in which the others do several.
const PAGES_AHEAD: usize = 16;

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
        self.link(row)?;
        event(row)
    }

    /// Checks that a row is the next one, whatever it says.
    fn link(&mut self, row: &Row) -> Result<(), Broken> {
        self.check(row)?;
        self.head = Head { lineage: row.lineage, position: row.position, time: row.time, hash: row.hash };
        self.term = row.term;
        self.rows += 1;
        Ok(())
    }

    fn check(&self, row: &Row) -> Result<(), Broken> {
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
        Ok(())
    }
}

/// What a row says.
fn event(row: &Row) -> Result<Event, Broken> {
    let unreadable = |error: &dyn std::fmt::Display| Fault::Unreadable(error.to_string());
    row.event().map_err(|error| Broken::Row { position: row.position, fault: unreadable(&error) })
}

/// Checks a log from behind `chain` to its present end. Every event passes `each` with its row's hash, which may object; after each page
/// `progress` hears how many rows were checked and at which position.
pub async fn verify(
    reader: &LogReader,
    chain: Chain,
    mut each: impl FnMut(&Event, &Hash) -> Result<(), String>,
    mut progress: impl FnMut(u64, u64),
) -> Result<Verified, Broken> {
    let (done, letting_go) = std::sync::mpsc::channel();
    let mut pages = check(chain.clone(), read(reader, chain.head.position), letting_go);
    loop {
        let mut page = pages.recv().await.expect("BUG: reading or checking a page panicked");
        page.read();
        for (row, event) in page.rows.iter().zip(&page.events) {
            each(event, &row.hash)
                .map_err(|objection| Broken::Row { position: row.position, fault: Fault::Event(objection) })?;
        }
        if let Some(wrong) = page.wrong {
            return Err(wrong);
        }
        let Chain { head, rows, .. } = page.chain;
        if page.rows.is_empty() {
            return Ok(Verified { rows, head });
        }
        progress(rows, head.position);
        drop(done.send(page.rows)); // who checks has time to let go of them
    }
}

/// Rows as they come out of storage.
type Rows = Result<Vec<Result<Row, BadRow>>, StorageError>;

/// Reads the rows behind a position, pages ahead of who takes them, to the end and with an empty page for it.
fn read(reader: &LogReader, mut after: u64) -> Receiver<Rows> {
    let (reader, (pages, coming)) = (reader.clone(), channel(PAGES_AHEAD));
    tokio::spawn(async move {
        loop {
            let rows = reader.rows(after, PAGE_ROWS).await;
            let last = rows.as_ref().ok().and_then(|rows| rows.last()).map(position);
            if pages.send(rows).await.is_err() {
                return; // nobody wants more
            }
            let Some(last) = last else { return };
            after = last;
        }
    });
    coming
}

/// Some rows that follow one another.
struct Page {
    rows: Vec<Row>,
    /// What they say, if it was read already.
    events: Vec<Event>,
    /// Behind the last of them.
    chain: Chain,
    /// What is wrong with the row behind them.
    wrong: Option<Broken>,
}

/// Checks rows as they come, on a thread of its own, pages ahead of who folds their events; and lets go of those that are
/// done. What they say is read by who folds, or here while that one is behind.
fn check(mut chain: Chain, mut coming: Receiver<Rows>, done: std::sync::mpsc::Receiver<Vec<Row>>) -> Receiver<Page> {
    let (pages, checked) = channel(PAGES_AHEAD);
    tokio::task::spawn_blocking(move || {
        while let Some(rows) = coming.blocking_recv() {
            done.try_iter().for_each(drop);
            let mut page = Page { rows: Vec::with_capacity(PAGE_ROWS), events: Vec::new(), chain, wrong: None };
            page.wrong = rows.map_err(Broken::from).and_then(|rows| page.check(rows)).err();
            chain = page.chain.clone();
            if pages.capacity() < PAGES_AHEAD / 2 {
                page.read();
            }
            if pages.blocking_send(page).is_err() {
                return;
            }
        }
    });
    checked
}

impl Page {
    fn check(&mut self, rows: Vec<Result<Row, BadRow>>) -> Result<(), Broken> {
        for row in rows {
            let row = row.map_err(|bad| Broken::Row { position: bad.position, fault: Fault::Unreadable(bad.why) })?;
            self.chain.link(&row)?;
            self.rows.push(row);
        }
        Ok(())
    }

    /// Reads what its rows say, unless it was read; those behind one that cannot be read are not told of.
    fn read(&mut self) {
        if !self.events.is_empty() {
            return;
        }
        self.events.reserve(self.rows.len());
        let read = self.rows.iter().try_for_each(|row| event(row).map(|event| self.events.push(event)));
        if let Err(wrong) = read {
            self.wrong = Some(wrong);
            self.rows.truncate(self.events.len());
        }
    }
}
