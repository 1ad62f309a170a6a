//! The shelf: archived rows for the log's reader, frame by frame. Keeps the
//! frames that were read last, for whoever reads on.

use super::super::sqlite::BadRow;
use super::super::{Row, StorageError};
use super::Archive;
use super::file::Unpacker;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Frames that are kept, unpacked: each takes some megabytes.
const KEPT_MAX: usize = 2;

/// Rows of one frame, in order.
pub type Frame = Arc<Vec<Result<Row, BadRow>>>;

/// Which frame of which file.
type Key = (PathBuf, usize);

/// Which rows of an archive are wanted.
#[derive(Clone, Copy, Debug)]
pub enum Wanted {
    /// The first ones behind a position.
    Behind(u64),
    /// The last ones before a position.
    Before(u64),
}

impl Wanted {
    /// Whether a frame surely has the first row that is wanted.
    fn is_in(self, frame: &Frame) -> bool {
        let (Some(first), Some(last)) = (frame.first().map(position), frame.last().map(position)) else { return false };
        match self {
            Wanted::Behind(after) => first <= after.saturating_add(1) && last > after,
            Wanted::Before(before) => first < before && last.saturating_add(1) >= before,
        }
    }
}

/// See the module. Cheap to clone.
#[derive(Clone, Default)]
pub struct Shelf(Arc<Mutex<VecDeque<(Key, Frame)>>>);

impl Shelf {
    /// The frame of an archive that has the rows that are wanted.
    pub async fn frame(&self, path: &Path, archive: &Archive, wanted: Wanted) -> Result<Frame, StorageError> {
        if let Some(frame) = self.kept(path, wanted) {
            return Ok(frame);
        }
        let (shelf, path, archive) = (self.clone(), path.to_path_buf(), archive.clone());
        let read = tokio::task::spawn_blocking(move || shelf.read(path, &archive, wanted));
        read.await.expect("BUG: reading an archive panicked")
    }

    fn read(&self, path: PathBuf, archive: &Archive, wanted: Wanted) -> Result<Frame, StorageError> {
        let mut file = Unpacker::open(&path).map_err(|error| {
            StorageError(format!("rows {} to {} are archived: {error}", archive.first, archive.last))
        })?;
        let nth = match wanted {
            Wanted::Behind(after) => file.frame_behind(after),
            Wanted::Before(before) => file.frame_before(before),
        };
        let frame: Frame = Arc::new(file.frame(nth));
        // A lineage's jump between two frames: what is behind the position begins the next one.
        let ended = |after| frame.last().is_some_and(|last| position(last) <= after);
        let (nth, frame) = match wanted {
            Wanted::Behind(after) if ended(after) => (nth + 1, Arc::new(file.frame(nth + 1))),
            _ => (nth, frame),
        };
        self.keep((path, nth), frame.clone());
        Ok(frame)
    }

    fn kept(&self, path: &Path, wanted: Wanted) -> Option<Frame> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.iter().find(|((of, _), frame)| of == path && wanted.is_in(frame));
        found.map(|(_, frame)| frame.clone())
    }

    fn keep(&self, key: Key, frame: Frame) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(other, _)| *other != key);
        kept.push_back((key, frame));
        if kept.len() > KEPT_MAX {
            kept.pop_front();
        }
    }
}

/// Where a row is, even if it cannot be read.
pub fn position(row: &Result<Row, BadRow>) -> u64 {
    row.as_ref().map_or_else(|bad| bad.position, |row| row.position)
}
