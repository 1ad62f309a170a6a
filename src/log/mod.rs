//! The log: rows in order, each chained to the one before by its hash.
//!
//! [`Port`] is all that the writer sees of storage. SQLite is one
//! implementation ([`sqlite`]), the one in memory injects every outcome
//! ([`memory`]); one conformance suite runs on both. Nothing outside this
//! folder names SQLite. This module must never know what an event means.
//!
//! ```text
//!            append                       Done        rows are durable
//!   writer ─────────▶ [ one transaction ] Conflict    another writer: step down
//!                                         NotWritten  surely not there: refuse, go on
//!                                         Unknown     may be there: reopen, read the head
//! ```

pub mod archive;
pub mod backup;
pub mod folder;
pub mod hash;
pub mod lineage;
pub mod memory;
pub mod notary;
pub mod rows;
pub mod signed;
pub mod sqlite;
pub mod vault;
pub mod verify;
pub mod writer;

use crate::event::{Body, Event, Kind, Unreadable};
use crate::value::Micros;
use archive::Archive;
use std::sync::Arc;

/// The hash of a row: SHA-256 over the one before it and all its columns.
pub type Hash = [u8; 32];

/// One row of table `event`: what is hashed is what is stored.
#[derive(Clone, PartialEq, Debug)]
pub struct Row {
    pub kind: Kind,
    pub lineage: u64,
    pub term: u64,
    pub position: u64,
    pub time: Micros,
    pub schema: u32,
    pub principal: Arc<str>,
    pub message: Arc<str>,
    pub request: Arc<str>,
    pub cause: u64,
    pub payload: String,
    pub hash: Hash,
}

impl Row {
    /// The row of an event, chained to the hash of the row before it.
    pub fn of(event: &Event, previous: &Hash) -> Row {
        let mut row = Row {
            kind: event.kind,
            lineage: event.lineage,
            term: event.term,
            position: event.position,
            time: event.time,
            schema: crate::event::SCHEMA,
            principal: event.principal.clone(),
            message: event.message.clone(),
            request: event.request.clone(),
            cause: event.cause,
            payload: event.body.to_payload(),
            hash: [0; 32],
        };
        row.hash = hash::of_row(previous, &row);
        row
    }

    /// The event in the row, whatever its schema.
    pub fn event(&self) -> Result<Event, Unreadable> {
        Ok(Event {
            kind: self.kind,
            lineage: self.lineage,
            term: self.term,
            position: self.position,
            time: self.time,
            principal: self.principal.clone(),
            message: self.message.clone(),
            request: self.request.clone(),
            cause: self.cause,
            body: Body::from_payload(self.schema, &self.payload)?,
        })
    }
}

/// Where a log ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    pub lineage: u64,
    /// 0 when the log is empty.
    pub position: u64,
    pub time: Micros,
    pub hash: Hash,
}

/// A secret on its way into, or out of, the vault. The log's row holds `id` and the hash of nonce and value.
#[derive(Clone)]
pub struct Sealed {
    pub id: crate::value::Ref,
    pub nonce: [u8; 16],
    pub value: zeroize::Zeroizing<Vec<u8>>,
}

/// What changes in the vault together with a batch of rows.
#[derive(Clone, Default)]
pub struct VaultChanges {
    pub put: Vec<Sealed>,
    pub erase: Vec<crate::value::Ref>,
}

/// How an append ended.
#[derive(Debug)]
pub enum Appended {
    Done,
    /// Another writer has the log: its term is higher, or its rows are where ours should go.
    Conflict,
    /// Surely not there.
    NotWritten(StorageError),
    /// It may be there: reopen and read the head to know.
    Unknown(StorageError),
}

/// Whether rows go on behind a position, all under one term: the rule of every port. Only a lineage may begin further on.
fn continues(rows: &[Row], term: u64, behind: u64) -> bool {
    let before = std::iter::once(behind).chain(rows.iter().map(|row| row.position));
    before.zip(rows).all(|(before, row)| {
        let next = row.position == before + 1 || (row.kind == Kind::Lineage && row.position > before);
        next && row.term == term
    })
}

/// Why storage did not do it; for operators, never for clients.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StorageError(pub String);

/// All that the writer sees of storage.
pub trait Port: Send + 'static {
    /// Takes the log for writing: raises the term, so that whoever held it before is fenced off.
    fn open(&mut self) -> impl Future<Output = Result<(u64, Head), StorageError>> + Send;

    /// Appends rows, durably and all or none, behind `expected` and under `term`.
    fn append(
        &mut self,
        term: u64,
        expected: u64,
        rows: Vec<Row>,
        vault: VaultChanges,
    ) -> impl Future<Output = Appended> + Send;

    /// Rows behind `after`, in order, at most `limit`.
    fn read(&mut self, after: u64, limit: usize) -> impl Future<Output = Result<Vec<Row>, StorageError>> + Send;

    fn head(&mut self) -> impl Future<Output = Result<Head, StorageError>> + Send;

    /// A secret by its id; `None` once it was erased.
    fn secret(&mut self, id: crate::value::Ref) -> impl Future<Output = Result<Option<Sealed>, StorageError>> + Send;

    /// Notes that a range is in an archive file, whose `seal` row is durable: its rows may go from here. Twice is once.
    fn seal(&mut self, term: u64, archive: Archive) -> impl Future<Output = Result<(), StorageError>> + Send;

    /// Deletes archived rows up to and with `to`, the oldest first, at most `limit`; says how many went.
    fn trim(&mut self, term: u64, to: u64, limit: usize) -> impl Future<Output = Result<usize, StorageError>> + Send;
}
