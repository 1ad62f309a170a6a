//! The data folder: one server at a time.
//!
//! A lock file, held for as long as a [`Folder`] lives, refuses a second
//! process. The kernel lets it go when the process ends, however it ends.
//! Must never know what is in the other files.

use super::StorageError;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

const LOCK: &str = "lock";

/// A data folder that is ours alone.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    lock: File,
}

impl Folder {
    /// Creates the folder if it is missing, readable by its owner only, and locks it.
    pub fn lock(path: &Path) -> Result<Folder, StorageError> {
        create(path).map_err(|error| failure("cannot create the data folder", path, error))?;
        let file = path.join(LOCK);
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&file);
        let mut lock = options.map_err(|error| failure("cannot open the lock file", &file, error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(path, &mut lock)),
            Err(TryLockError::Error(error)) => return Err(failure("cannot lock", &file, error)),
        }
        note_process(&mut lock).map_err(|error| failure("cannot write the lock file", &file, error))?;
        Ok(Folder { path: path.to_path_buf(), lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    /// To close the file is not enough: a program that is being started has this process's files until it begins.
    fn drop(&mut self) {
        drop(self.lock.unlock());
    }
}

/// What stays free on the disk of the live log, whoever else writes there, in bytes.
const SPARE: u64 = 1 << 30;

/// Whether so many bytes can be written into a folder and the log still has room: what can be done another time must not
/// stop the mutations.
pub fn assert_room(folder: &Path, bytes: u64) -> Result<(), StorageError> {
    let room = rustix::fs::statvfs(folder).map_err(|error| failure("cannot look at", folder, error.into()))?;
    let (free, needed) = (room.f_bavail.saturating_mul(room.f_frsize), bytes.saturating_add(SPARE));
    match free >= needed {
        true => Ok(()),
        false => Err(StorageError(format!("{free} bytes are free in {}, {needed} are needed", folder.display()))),
    }
}

fn create(path: &Path) -> std::io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// For the operator who meets the lock; the lock itself is the kernel's.
fn note_process(lock: &mut File) -> std::io::Result<()> {
    lock.set_len(0)?;
    writeln!(lock, "{}", std::process::id())
}

fn in_use(path: &Path, lock: &mut File) -> StorageError {
    let mut process = String::new();
    let owner = match lock.take(20).read_to_string(&mut process) {
        Ok(_) if !process.trim().is_empty() => format!("process {}", process.trim()),
        _ => "another process".into(),
    };
    StorageError(format!("the data folder {} is in use by {owner}: stop it, or choose another folder", path.display()))
}

fn failure(what: &str, path: &Path, error: std::io::Error) -> StorageError {
    StorageError(format!("{what} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_owner_is_refused_until_the_first_is_gone() {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        let path = temporary.path().join("a/b");
        let first = Folder::lock(&path).expect("a free folder");
        let refused = Folder::lock(&path).expect_err("a locked folder");
        assert!(refused.0.contains(&format!("in use by process {}", std::process::id())), "{refused}");
        drop(first);
        Folder::lock(&path).expect("free again");
    }

    /// As a program has it between its fork and its start.
    #[test]
    fn a_copy_of_the_lock_does_not_outlast_its_owner() {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        let first = Folder::lock(temporary.path()).expect("a free folder");
        let copy = first.lock.try_clone().expect("a copy");
        drop(first);
        Folder::lock(temporary.path()).expect("free again");
        drop(copy);
    }

    #[test]
    fn what_would_fill_the_disk_is_refused() {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        let refused = assert_room(temporary.path(), u64::MAX).expect_err("more than any disk has");
        assert!(refused.0.contains("are needed"), "{refused}");
        assert!(assert_room(&temporary.path().join("missing"), 0).is_err());
    }
}
