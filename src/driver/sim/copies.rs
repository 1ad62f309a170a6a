//! Files on simulated disks. Where a real disk has bytes, a simulated one has at
//! most the name of a file in a folder beside the journal: copies share it, and
//! what no disk names any more goes.

use super::store::{Entry, Stored};
use super::{Sim, unwritten};
use crate::driver::Image;
use crate::error::{ApiError, codes};
use crate::world::Ids;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// The folder's name in the data folder.
pub const FOLDER: &str = "sim.disks";

impl Sim {
    /// Puts a file in the place of what was on a disk.
    pub(super) async fn put_on(&self, disk: &Image, from: &Path) -> Result<(), ApiError> {
        let folder = self.folder.clone().ok_or_else(|| codes::NOT_IMPLEMENTED("bytes on disks that are in memory"))?;
        let name = Ids::new(self.world.seed()).draw().uuid_text();
        let (to, from) = (folder.join(&name), from.to_path_buf());
        let copied = tokio::task::spawn_blocking(move || put(&from, &to)).await.map_err(io::Error::other);
        let bytes = copied.flatten().map_err(unwritten)?;
        let mut inner = self.lock();
        let known = inner.store.state.disks.get(&disk.disk).cloned();
        let known = known.ok_or_else(|| codes::VDI_NOT_AVAILABLE(disk.disk.uuid_text()));
        let written = known.and_then(|known| {
            let contents = known.contents.clone().with_file(Some(name));
            let filled = Stored { contents, physical: bytes, ..known };
            inner.store.commit(vec![Entry::Disk(disk.disk, Some(Box::new(filled)))]).map_err(unwritten)
        });
        let named: BTreeSet<&String> =
            inner.store.state.disks.values().filter_map(|disk| disk.contents.file.as_ref()).collect();
        clean(&folder, &named);
        written
    }

    /// The file that was put on a disk, if nobody wrote over it since.
    pub(super) fn file_on(&self, disk: &Image) -> Result<PathBuf, ApiError> {
        let inner = self.lock();
        let name = inner.store.state.disks.get(&disk.disk).and_then(|disk| disk.contents.file.as_ref());
        let file = self.folder.as_ref().zip(name).map(|(folder, name)| folder.join(name));
        file.ok_or_else(|| codes::VDI_NOT_AVAILABLE(disk.disk.uuid_text()))
    }
}

/// Copies a file, and makes sure that it is on the disk; how many bytes it has.
fn put(from: &Path, to: &Path) -> io::Result<i64> {
    to.parent().map_or(Ok(()), fs::create_dir_all)?;
    let bytes = fs::copy(from, to)?;
    File::open(to)?.sync_all()?;
    Ok(bytes as i64)
}

/// Removes the files that no disk names.
fn clean(folder: &Path, named: &BTreeSet<&String>) {
    for file in fs::read_dir(folder).into_iter().flatten().flatten() {
        if file.file_name().to_str().is_none_or(|name| !named.contains(&name.to_string())) {
            let _ = fs::remove_file(file.path());
        }
    }
}
