//! The keeper: seals a range of the log when enough rows have come, and lets
//! old rows go from the database. A caller of the one append path like any
//! other.
//!
//! ```text
//!   start ─▶ recover ─▶ enough rows? ─no─▶ too many kept? ─no─▶ wait
//!                            │yes                │yes, a few at a time
//!                            ▼                   ▼
//!             write ─▶ tell (row of kind `seal`) ─▶ note ─▶ trim
//! ```
//!
//! What takes time, to write the file, is done in the [`background`]: what it
//! costs is the time that clients leave. It falls behind while they leave none,
//! and catches up in ranges of ordinary size.

use super::super::StorageError;
use super::super::rows::{Moment, PAGE, Rows};
use super::super::writer::Ledger;
use super::file::digest;
use super::range::Range;
use super::{Archive, MESSAGE, background, first_in, storage};
use crate::command::{Command, Draft, Principal};
use crate::event::Kind;
use crate::value::{Micros, Value};
use crate::views::View;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often it looks whether there is something to do: in a storm a range is full within seconds, and who comes late has
/// to hash a view of his own.
const EVERY: Duration = Duration::from_secs(1);
/// Rows that go from the database in one transaction: few, since mutations wait for it.
const TRIM_ROWS: usize = 500;
/// How often it looks up to where rows are too old, in microseconds.
const LOOK_EVERY: Micros = 10 * 60 * 1_000_000;
/// How long it rests between two of them.
const TRIM_PAUSE: Duration = Duration::from_millis(50);

/// What is archived when.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Rows of an archive file; a file has up to twice as many. 0: none is made.
    pub rows: u64,
    /// The newest rows, which stay in the database though they are archived.
    pub keep: u64,
    /// What is older goes from the database even so, and is archived for that if it is not yet. `None`: nothing is.
    pub age: Option<Micros>,
}

/// See the module.
pub struct Keeper {
    ledger: Ledger,
    rows: Arc<dyn Rows>,
    folder: PathBuf,
    rules: Rules,
    /// The view at the end of the newest archive, while it catches up or may soon have to.
    view: Option<View>,
    /// When it was last looked up to where rows are too old.
    looked: Option<Micros>,
}

impl Keeper {
    pub fn new(ledger: Ledger, rows: impl Rows, folder: PathBuf, rules: Rules) -> Keeper {
        Keeper { ledger, rows: Arc::new(rows), folder, rules, view: None, looked: None }
    }

    /// Works until the server stops.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut recovered = false;
        while !stop.is_cancelled() {
            let worked = async {
                if !recovered {
                    self.recover().await?;
                    recovered = true;
                }
                self.step(&stop).await
            };
            let pause = match worked.await {
                Ok(true) => continue,
                Ok(false) => EVERY,
                Err(error) => {
                    tracing::error!(%error, "the log could not be archived; nothing is lost, it is tried again");
                    EVERY * 60
                }
            };
            tokio::select! {
                () = self.ledger.world().sleep(pause) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Seals one range and trims, if it is time to; says whether there is more to do.
    pub async fn step(&mut self, stop: &CancellationToken) -> Result<bool, StorageError> {
        if self.rules.rows == 0 {
            return Ok(false);
        }
        let sealed = self.seal(self.rules.rows).await? || (self.is_old().await? && self.seal(1).await?);
        self.trim(stop).await?;
        Ok(sealed && !stop.is_cancelled())
    }

    /// Seals one range if at least so many rows are not sealed; says whether it did.
    pub async fn seal(&mut self, least: u64) -> Result<bool, StorageError> {
        let sealed = self.rows.archived().await?;
        let view = self.ledger.view();
        if view.position - sealed.as_ref().map_or(0, |sealed| sealed.last).min(view.position) < least.max(1) {
            return Ok(false);
        }
        let archive = self.write(sealed, &view).await?;
        self.tell(&archive).await?;
        let (first, last, file) = (archive.first, archive.last, archive.file.clone());
        self.ledger.seal(archive).await?;
        tracing::info!(first, last, file, "rows of the log are archived");
        Ok(true)
    }

    /// Before when rows are too old for the database.
    fn oldest(&self) -> Option<Micros> {
        self.rules.age.map(|age| self.ledger.world().now().saturating_sub(age))
    }

    /// Whether there is a row that is not archived and too old.
    async fn is_old(&self) -> Result<bool, StorageError> {
        let Some(oldest) = self.oldest() else { return Ok(false) };
        let next = self.rows.behind(self.archived().await?, 1).await?;
        Ok(next.first().is_some_and(|row| row.time < oldest))
    }

    /// The position up to which everything is archived.
    pub async fn archived(&self) -> Result<u64, StorageError> {
        Ok(self.rows.archived().await?.map_or(0, |sealed| sealed.last))
    }

    /// Finishes what was begun before a crash, and removes what was not finished.
    pub async fn recover(&self) -> Result<(), StorageError> {
        fs::create_dir_all(&self.folder)
            .map_err(|error| storage("cannot make the archive folder", &self.folder, error))?;
        let mut last = self.archived().await?;
        // A seal is behind the rows that it seals: the newest noted one is among them.
        for archive in self.told_behind(last).await? {
            if archive.last <= last {
                continue;
            }
            if archive.first <= last || digest(&self.folder.join(&archive.file)).ok() != Some(archive.digest) {
                tracing::error!(file = archive.file, "the archive is not what was sealed; its rows stay here");
                return Ok(());
            }
            last = archive.last;
            self.ledger.seal(archive).await?;
        }
        self.clean(last)
    }

    /// The seals in the log behind a position.
    async fn told_behind(&self, mut after: u64) -> Result<Vec<Archive>, StorageError> {
        let mut told = Vec::new();
        loop {
            let page = self.rows.behind(after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(told) };
            after = last.position;
            let seals = page.iter().filter(|row| row.kind == Kind::Seal);
            told.extend(seals.filter_map(|row| Archive::of_event(&row.event().ok()?)));
        }
    }

    /// Removes files of this history that no seal names: their rows are in the database.
    fn clean(&self, last: u64) -> Result<(), StorageError> {
        let unreadable = |error| storage("cannot read the archive folder", &self.folder, error);
        let lineage = self.ledger.view().lineage;
        for entry in fs::read_dir(&self.folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let whole = name.strip_suffix(".new").unwrap_or(name);
            if first_in(whole, lineage).is_some_and(|first| first > last || whole != name) {
                tracing::info!(file = name, "an archive that was not finished is removed");
                fs::remove_file(&path).map_err(|error| storage("cannot remove", &path, error))?;
            }
        }
        Ok(())
    }

    /// Writes the file of the next range, which ends at `present` or before it, and makes it durable.
    pub async fn write(&mut self, sealed: Option<Archive>, present: &View) -> Result<Archive, StorageError> {
        let range = Range {
            rows: self.rows.clone(),
            folder: self.folder.clone(),
            size: self.rules.rows,
            sealed,
            present: present.clone(),
        };
        let written = background::work(range.write(self.view.take())).await;
        let (archive, view) = written.map_err(|error| storage("no thread writes for", &self.folder, error))??;
        // Kept only where it may be needed: what has changed since stays in memory for it.
        let ahead = self.ledger.view().position.saturating_sub(archive.last);
        self.view = view.or_else(|| (ahead >= self.rules.rows / 4).then(|| present.clone()));
        Ok(archive)
    }

    /// Writes the row of kind `seal`.
    pub async fn tell(&self, archive: &Archive) -> Result<(), StorageError> {
        let args = archive.to_args();
        let decide = Box::new(move |draft: &mut Draft<'_>| {
            draft.args = args;
            Ok(Value::Void)
        });
        let keeper = Principal::server("archive");
        let command = Command::own(&keeper, self.ledger.world(), Kind::Seal, MESSAGE, decide);
        let told = self.ledger.submit(command).await;
        told.map(drop).map_err(|error| StorageError(format!("the seal was not written: {error}")))
    }

    /// The position of the last row that is too old; looked for now and then, since it is a search. 0: none.
    async fn aged(&mut self) -> Result<u64, StorageError> {
        let (Some(oldest), now) = (self.oldest(), self.ledger.world().now()) else { return Ok(0) };
        if self.looked.is_some_and(|looked| now - looked < LOOK_EVERY) {
            return Ok(0);
        }
        self.looked = Some(now);
        Moment::Time(oldest - 1).position(&*self.rows).await
    }

    /// Lets archived rows go that are more, or older, than are to be kept.
    pub async fn trim(&mut self, stop: &CancellationToken) -> Result<(), StorageError> {
        let surplus = self.ledger.view().position.saturating_sub(self.rules.keep);
        let to = surplus.max(self.aged().await?);
        if to == 0 {
            return Ok(());
        }
        while !stop.is_cancelled() && self.ledger.trim(to, TRIM_ROWS).await? == TRIM_ROWS {
            tokio::time::sleep(TRIM_PAUSE).await;
        }
        Ok(())
    }
}
