//! The file of one range: its rows are read, packed and read back, before the
//! file has its name.
//!
//! The state's hash in a seal is that of the published view, so a range ends
//! where the view is. Who is far behind, as with a long log that was never
//! sealed, makes ranges of ordinary size and hashes a view of his own.
//!
//! ```text
//!   rows, a page at a time ─▶ FILE.new ─▶ durable ─▶ read back whole ─▶ FILE
//! ```

use super::super::rows::{PAGE, Rows};
use super::super::{Hash, Row, StorageError, hash};
use super::file::{Packed, Packer, Unpacker, digest};
use super::{Archive, file_name, storage};
use crate::views::{View, replay};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A range that is to be written.
pub struct Range {
    pub rows: Arc<dyn Rows>,
    pub folder: PathBuf,
    /// Rows that it has ordinarily.
    pub size: u64,
    /// The range before it.
    pub sealed: Option<Archive>,
    /// The published view, where it ends unless that is too far.
    pub present: View,
}

impl Range {
    /// Writes the file and makes it durable. `view` is what the range before ended with, if that was not the published
    /// one; gives the same for the next.
    pub async fn write(self, view: Option<View>) -> Result<(Archive, Option<View>), StorageError> {
        let (after, previous) = self.sealed.as_ref().map_or((0, hash::GENESIS), |sealed| (sealed.last, sealed.hash));
        let present = self.present.position;
        let far = present.saturating_sub(after) > self.size.saturating_mul(2);
        let most = if far { self.size } else { u64::MAX };
        let mut view = if far { Some(self.view_at(after, view).await?) } else { None };
        let new = self.folder.join(file_name(self.present.lineage, after + 1, 0) + ".new");
        let mut packer = Packer::create(&new, previous)?;
        let (mut first, mut last, mut rows) = (None, after, 0);
        while last < present && rows < most {
            let page = self.rows.behind(last, PAGE.min((most - rows) as usize)).await?;
            let wanted = page.iter().take_while(|row| row.position <= present);
            let mut packed = 0;
            for row in wanted {
                packer.push(row)?;
                if let Some(view) = &mut view {
                    follow(view, row)?;
                }
                first.get_or_insert(row.position);
                (last, packed) = (row.position, packed + 1);
            }
            if packed == 0 {
                break;
            }
            rows += packed;
        }
        let first = first.ok_or_else(|| StorageError("there is nothing to archive".into()))?;
        let state = view.as_ref().unwrap_or(&self.present).state_hash();
        let file = file_name(self.present.lineage, first, last);
        let Packed { rows, hash, digest } = put(packer, &new, &self.folder, &file, previous)?;
        Ok((Archive { first, last, rows, hash, file, digest, state }, view))
    }

    /// The view at a position, from an earlier one if there is such.
    async fn view_at(&self, position: u64, earlier: Option<View>) -> Result<View, StorageError> {
        let mut view = earlier.filter(|view| view.position <= position).unwrap_or_default();
        while view.position < position {
            let page = self.rows.behind(view.position, PAGE).await?;
            let before = view.position;
            for row in page.iter().take_while(|row| row.position <= position) {
                follow(&mut view, row)?;
            }
            if view.position == before {
                break;
            }
        }
        Ok(view)
    }
}

fn follow(view: &mut View, row: &Row) -> Result<(), StorageError> {
    replay(view, &row.event().map_err(|error| StorageError(format!("row {}: {error}", row.position)))?);
    view.hash = row.hash;
    Ok(())
}

/// Finishes a file, reads it back, and only then gives it its name.
fn put(packer: Packer, new: &Path, folder: &Path, name: &str, previous: Hash) -> Result<Packed, StorageError> {
    let packed = packer.finish()?;
    read_back(new, previous, &packed)?;
    fs::rename(new, folder.join(name)).map_err(|error| storage("cannot rename", new, error))?;
    let synced = fs::File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| storage("cannot sync", folder, error))?;
    Ok(packed)
}

/// A file that cannot be read back whole is no archive.
fn read_back(path: &Path, previous: Hash, packed: &Packed) -> Result<(), StorageError> {
    let (mut rows, mut last) = (0, previous);
    for row in Unpacker::open(path)?.rows() {
        let row = row.map_err(|bad| StorageError(format!("the new archive is damaged: {bad}")))?;
        (rows, last) = (rows + 1, row.hash);
    }
    if (rows, last) != (packed.rows, packed.hash) || digest(path)? != packed.digest {
        return Err(storage("what was written differs in", path, "the disk is damaged"));
    }
    Ok(())
}
