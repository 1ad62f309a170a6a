//! Archives: sealed ranges of the log in files of their own, which are read as
//! if their rows were still in the database.
//!
//! A range is sealed in steps, each durable before the next one begins, so that
//! a crash between any two of them costs nothing but the work:
//!
//! ```text
//!   rows ─▶ FILE.new ─▶ FILE ─▶ row of kind `seal` ─▶ `archived_to` rises ─▶ rows may be deleted
//!           (removed at the next start)  (noted at the next start)  (deleted later)
//! ```
//!
//! [`file`] is the form of the files, [`shelf`] reads them for the log's reader,
//! [`keeper`] is the task that has them filled, range by [`range`], in the
//! [`background`]. Must never know what an event means.

mod background;
pub mod file;
pub mod keeper;
mod range;
mod row;
pub mod shelf;

use super::{Hash, StorageError};
use crate::event::{Event, Kind};
use serde_json::Value as Json;
use std::fmt::Write;
use std::sync::Arc;

/// The folder of archive files below the data folder, unless another was chosen.
pub const FOLDER: &str = "archive";

/// The message of a `seal` row.
pub const MESSAGE: &str = "log.seal";

/// A range of the log that is in an archive file: what its `seal` row says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Archive {
    pub first: u64,
    pub last: u64,
    pub rows: u64,
    /// The hash of the last row.
    pub hash: Hash,
    /// Its name in the archive folder.
    pub file: String,
    /// SHA-256 of the file.
    pub digest: Hash,
    /// The hash of the state at the last row.
    pub state: Hash,
}

impl Archive {
    /// What the `seal` row says, as the arguments of its message.
    pub fn to_args(&self) -> Vec<(Arc<str>, Json)> {
        let args: [(&str, Json); 7] = [
            ("digest", hex(&self.digest).into()),
            ("file", self.file.clone().into()),
            ("first", self.first.into()),
            ("hash", hex(&self.hash).into()),
            ("last", self.last.into()),
            ("rows", self.rows.into()),
            ("state_hash", hex(&self.state).into()),
        ];
        args.map(|(name, value)| (Arc::from(name), value)).into()
    }

    /// What a `seal` row says.
    pub fn of_event(event: &Event) -> Option<Archive> {
        let arg = |name: &str| event.body.args.iter().find(|(known, _)| &**known == name).map(|(_, value)| value);
        let number = |name| arg(name)?.as_u64();
        let hash = |name| unhex(arg(name)?.as_str()?);
        if event.kind != Kind::Seal {
            return None;
        }
        Some(Archive {
            first: number("first")?,
            last: number("last")?,
            rows: number("rows")?,
            hash: hash("hash")?,
            file: arg("file")?.as_str()?.to_string(),
            digest: hash("digest")?,
            state: hash("state_hash")?,
        })
    }
}

/// The name of an archive file: the lineage keeps apart what several histories leave in one folder.
fn file_name(lineage: u64, first: u64, last: u64) -> String {
    format!("{lineage:016x}-{first:020}-{last:020}.log.zst")
}

/// The first position in a file of that name, if it is an archive of that lineage.
fn first_in(name: &str, lineage: u64) -> Option<u64> {
    let rest = name.strip_prefix(&format!("{lineage:016x}-"))?.strip_suffix(".log.zst")?;
    let (first, last) = rest.split_once('-')?;
    last.parse::<u64>().ok().and(first.parse().ok())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("BUG: writing to a string cannot fail");
        text
    })
}

pub(super) fn unhex(text: &str) -> Option<Hash> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (nth, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * nth..2 * nth + 2], 16).ok()?;
    }
    Some(bytes)
}

fn storage(what: &str, path: &std::path::Path, error: impl std::fmt::Display) -> StorageError {
    StorageError(format!("{what} {}: {error}", path.display()))
}
