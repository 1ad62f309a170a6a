//! The log in memory: for tests, every outcome of an append on command; and
//! for a server that shows the past, what happens since it was started.
//!
//! It keeps the same rules as storage on disk, since one suite runs on both.
//! It is gone with its last port.

use super::archive::Archive;
use super::vault::{Reading, Secrets};
use super::{Appended, Head, Port, Row, Sealed, StorageError, VaultChanges, continues, hash};
use crate::value::Ref;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Rows that a log keeps which goes on behind another: nobody reads them back.
const BEHIND_MAX: usize = 1000;

/// How an append is made to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Injected {
    Conflict,
    NotWritten,
    /// The rows are there, but the caller is not told.
    UnknownWritten,
    /// The rows are not there, and the caller is not told.
    UnknownNotWritten,
}

/// A port to a log in memory; [`MemoryLog::another`] gives more to the same log.
#[derive(Default)]
pub struct MemoryLog {
    shared: Arc<Mutex<State>>,
    /// From an unknown outcome until the head was read.
    unsettled: bool,
}

#[derive(Default)]
struct State {
    term: u64,
    /// What the first row is behind, when it is not the first of all.
    before: Option<Head>,
    rows: Vec<Row>,
    vault: BTreeMap<Ref, Sealed>,
    archives: Vec<Archive>,
    injected: VecDeque<Injected>,
    broken: Option<Injected>,
    failing_heads: u32,
    before_append: Option<Box<dyn FnMut() + Send>>,
}

impl MemoryLog {
    pub fn new() -> MemoryLog {
        MemoryLog::default()
    }

    /// A second port to the same log. Opening it fences off the first one.
    pub fn another(&self) -> MemoryLog {
        MemoryLog { shared: self.shared.clone(), unsettled: false }
    }

    /// A log that goes on behind a head whose rows are elsewhere.
    pub fn behind(head: Head) -> MemoryLog {
        let log = MemoryLog::default();
        log.state().before = Some(head);
        log
    }

    /// Rows before `before`, newest first.
    pub(super) fn newest(&self, before: u64, limit: usize) -> Vec<Row> {
        let state = self.state();
        let end = state.rows.partition_point(|row| row.position < before);
        state.rows[..end].iter().rev().take(limit).cloned().collect()
    }

    /// The newest range that was sealed.
    pub(super) fn archived(&self) -> Option<Archive> {
        self.state().archives.last().cloned()
    }

    /// Makes the next append that no earlier call spoke for end so.
    pub fn inject(&self, outcome: Injected) {
        self.state().injected.push_back(outcome);
    }

    /// Makes every append end so from now on, or as it should again.
    pub fn keep_injecting(&self, outcome: Option<Injected>) {
        self.state().broken = outcome;
    }

    /// Has that done before every append, while it is waited for.
    pub fn before_append(&self, done: impl FnMut() + Send + 'static) {
        self.state().before_append = Some(Box::new(done));
    }

    /// Makes the next `count` reads of the head fail.
    pub fn fail_heads(&self, count: u32) {
        self.state().failing_heads = count;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn head(&self) -> Head {
        match self.rows.last() {
            None => self.before.unwrap_or(Head { lineage: 0, position: 0, time: 0, hash: hash::GENESIS }),
            Some(row) => Head { lineage: row.lineage, position: row.position, time: row.time, hash: row.hash },
        }
    }

    fn accepts(&self, term: u64, expected: u64, rows: &[Row]) -> bool {
        term == self.term && expected == self.head().position && continues(rows, term, expected)
    }

    fn write(&mut self, rows: Vec<Row>, vault: VaultChanges) {
        self.rows.extend(rows);
        if self.before.is_some() {
            let surplus = self.rows.len().saturating_sub(BEHIND_MAX);
            self.rows.drain(..surplus);
        }
        self.vault.extend(vault.put.into_iter().map(|sealed| (sealed.id, sealed)));
        for id in &vault.erase {
            self.vault.remove(id);
        }
    }
}

fn injected_failure() -> StorageError {
    StorageError("injected".into())
}

impl Secrets for MemoryLog {
    fn secret(&self, id: Ref) -> Reading<'_> {
        Box::pin(async move { Ok(self.state().vault.get(&id).cloned()) })
    }
}

impl Port for MemoryLog {
    async fn open(&mut self) -> Result<(u64, Head), StorageError> {
        self.unsettled = false;
        let mut state = self.state();
        state.term += 1;
        Ok((state.term, state.head()))
    }

    async fn append(&mut self, term: u64, expected: u64, rows: Vec<Row>, vault: VaultChanges) -> Appended {
        if self.unsettled {
            return Appended::NotWritten(StorageError("the head is unknown: it must be read before writing".into()));
        }
        let injected = {
            let mut state = self.state();
            if let Some(done) = &mut state.before_append {
                done();
            }
            let injected = state.injected.pop_front().or(state.broken);
            if injected == Some(Injected::Conflict) || !state.accepts(term, expected, &rows) {
                return Appended::Conflict;
            }
            if matches!(injected, None | Some(Injected::UnknownWritten)) {
                state.write(rows, vault);
            }
            injected
        };
        match injected {
            None => Appended::Done,
            Some(Injected::NotWritten | Injected::Conflict) => Appended::NotWritten(injected_failure()),
            Some(Injected::UnknownWritten | Injected::UnknownNotWritten) => {
                self.unsettled = true;
                Appended::Unknown(injected_failure())
            }
        }
    }

    async fn read(&mut self, after: u64, limit: usize) -> Result<Vec<Row>, StorageError> {
        let state = self.state();
        let first = state.rows.partition_point(|row| row.position <= after);
        Ok(state.rows.iter().skip(first).take(limit).cloned().collect())
    }

    async fn head(&mut self) -> Result<Head, StorageError> {
        let head = {
            let mut state = self.state();
            if state.failing_heads > 0 {
                state.failing_heads -= 1;
                return Err(injected_failure());
            }
            state.head()
        };
        self.unsettled = false;
        Ok(head)
    }

    async fn secret(&mut self, id: Ref) -> Result<Option<Sealed>, StorageError> {
        Ok(self.state().vault.get(&id).cloned())
    }

    async fn seal(&mut self, term: u64, archive: Archive) -> Result<(), StorageError> {
        let mut state = self.state();
        if term != state.term {
            return Err(StorageError("another writer has the log".into()));
        }
        if state.archives.last().is_none_or(|newest| newest.last < archive.last) {
            state.archives.push(archive);
        }
        Ok(())
    }

    async fn trim(&mut self, term: u64, to: u64, limit: usize) -> Result<usize, StorageError> {
        let mut state = self.state();
        if term != state.term {
            return Ok(0);
        }
        let to = state.archives.last().map_or(0, |newest| newest.last.min(to));
        let newest = state.rows.len().saturating_sub(1);
        let gone = state.rows.partition_point(|row| row.position <= to).min(limit).min(newest);
        state.rows.drain(..gone);
        Ok(gone)
    }
}
