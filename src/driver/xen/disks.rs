//! Repositories as folders, and disks as files in them: raw, sparse, one file
//! a disk.
//!
//! ```text
//!   LOCATION/UUID.img       a disk, or a machine's saved memory
//!   LOCATION/UUID.part      one that is being made: it is renamed when it is whole
//!   LOCATION/debian.iso     what somebody else put there, under its own name
//! ```
//!
//! A copy shares its blocks with what it was made of where the file system can
//! do that, and skips holes where it cannot.

use super::marks::Mark;
use super::{QUICK, Xen, about};
use crate::driver::action::{Action, Disk, DiskWork, Image, Repository, Texts};
use crate::driver::{Facts, Progress};
use crate::error::{ApiError, codes};
use crate::value::Ref;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The kinds of repositories that are folders.
const KINDS: [&str; 2] = ["file", "iso"];
/// Bytes that are copied between two looks at whether anybody still wants the copy.
const CHUNK: usize = 1 << 20;
/// Files that one look at a repository tells of.
const FOUND_MAX: usize = 100_000;
/// What is left free in a repository's file system, in bytes: it may be the control domain's own.
const SPARE: i64 = 64 << 20;

/// The folder of a repository that is reached in that way.
fn folder(way: &Texts) -> Result<PathBuf, ApiError> {
    let location = way.get("location").map(String::as_str).unwrap_or_default();
    let path = PathBuf::from(location);
    let plain = path.components().all(|part| !matches!(part, std::path::Component::ParentDir));
    if path.is_absolute() && plain && !location.chars().any(char::is_control) {
        return Ok(path);
    }
    Err(codes::SR_BACKEND_FAILURE("location", "", format!("{location:?} is not the absolute path of a folder")))
}

/// Where a disk's contents are.
pub fn path(image: &Image) -> Result<PathBuf, ApiError> {
    let folder = folder(&image.way)?;
    let name = match &*image.location {
        "" => return Ok(folder.join(format!("{}.img", image.disk.uuid_text()))),
        name if Ref::parse_uuid(name).is_some() => format!("{name}.img"),
        name => name.to_string(),
    };
    let plain = !name.contains('/') && !name.starts_with('.') && !name.chars().any(char::is_control);
    if plain { Ok(folder.join(name)) } else { Err(codes::INVALID_VALUE("location", name)) }
}

/// While it is being made it has another name.
fn partial(path: &Path) -> PathBuf {
    path.with_extension("part")
}

/// The files that an action makes, under all names that they have on the way.
pub fn made(action: &Action) -> Result<Vec<PathBuf>, ApiError> {
    let images: Vec<&Image> = match action {
        Action::Suspend { image, .. } => vec![image],
        // A disk that is there already is written over; it is not taken away again.
        Action::Disks { work, .. } => work
            .iter()
            .filter(|disk| !matches!(disk.work, DiskWork::Remove | DiskWork::Empty))
            .map(|disk| &disk.image)
            .collect(),
        _ => Vec::new(),
    };
    let mut paths = Vec::new();
    for image in images {
        let path = path(image)?;
        paths.push(partial(&path));
        paths.extend((!path.exists()).then_some(path));
    }
    Ok(paths)
}

/// Takes away files; those that are not there are away already.
pub fn unmake(paths: &[PathBuf]) {
    for path in paths {
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                tracing::warn!(path = %path.display(), %error, "a file could not be removed");
            }
            _ => {}
        }
    }
}

/// The bytes that a file has, and those that it takes on the disk.
fn sizes(path: &Path) -> io::Result<(i64, i64)> {
    let about = fs::metadata(path)?;
    Ok((about.len() as i64, (about.blocks() * 512) as i64))
}

/// Makes sure that a file is on the disk; the bytes that it takes.
pub fn settle(path: &Path) -> Result<i64, ApiError> {
    let synced = File::open(path).and_then(|file| file.sync_all()).and_then(|()| sizes(path));
    synced.map(|(_, taken)| taken).map_err(|error| failed("the disk could not be written", &error))
}

/// What an action sees that only looks.
pub async fn looked(action: &Action) -> Result<Option<Facts>, ApiError> {
    Ok(Some(match action {
        Action::Measure(image) => match sizes(&path(image)?) {
            Ok((bytes, taken)) => Facts { virtual_bytes: Some(bytes), physical_bytes: Some(taken), ..Facts::default() },
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(codes::VDI_NOT_AVAILABLE(image.disk.uuid_text()));
            }
            Err(error) => return Err(failed("the disk could not be looked at", &error)),
        },
        Action::Scan(repository) => scanned(repository)?,
        Action::Probe(repository) => probed(repository)?,
        Action::Track { .. } | Action::Compare { .. } => {
            return Err(codes::NOT_IMPLEMENTED("changed blocks of raw disks"));
        }
        _ => return Ok(None),
    }))
}

fn scanned(repository: &Repository) -> Result<Facts, ApiError> {
    assert_kind(repository)?;
    let folder = folder(&repository.device)?;
    let files = fs::read_dir(&folder).map_err(|error| failed("the folder cannot be read", &error))?;
    let mut found = Vec::new();
    for file in files.flatten().take(FOUND_MAX) {
        let (Ok(about), Some(name)) = (file.metadata(), file.file_name().to_str().map(str::to_string)) else {
            continue;
        };
        if !about.is_file() || name.starts_with('.') || name.ends_with(".part") {
            continue;
        }
        let stem = name.strip_suffix(".img").filter(|stem| Ref::parse_uuid(stem).is_some());
        found.push((stem.unwrap_or(&name).to_string(), about.len() as i64));
    }
    found.sort();
    Ok(Facts { found, capacity_bytes: Some(room(&folder)?.0), ..Facts::default() })
}

/// A folder is a repository of nobody else's.
fn probed(repository: &Repository) -> Result<Facts, ApiError> {
    assert_kind(repository)?;
    folder(&repository.device)?;
    Ok(Facts::default())
}

fn assert_kind(repository: &Repository) -> Result<(), ApiError> {
    if KINDS.contains(&&*repository.kind) { Ok(()) } else { Err(codes::SR_UNKNOWN_DRIVER(&repository.kind)) }
}

/// The size of the file system that a folder is in, and what is free of it, in bytes.
pub fn room(folder: &Path) -> Result<(i64, i64), ApiError> {
    let about = rustix::fs::statvfs(folder).map_err(|error| failed("the folder cannot be used", &error.into()))?;
    let bytes = |blocks: u64| i64::try_from(blocks.saturating_mul(about.f_frsize)).unwrap_or(i64::MAX);
    Ok((bytes(about.f_blocks), bytes(about.f_bavail)))
}

/// Looks whether a repository can be used; a new one's folder is made.
pub fn open(repository: &Repository, new: bool) -> Result<Facts, ApiError> {
    assert_kind(repository)?;
    let folder = folder(&repository.device)?;
    if new {
        fs::create_dir_all(&folder).map_err(|error| failed("the folder cannot be made", &error))?;
    }
    if !folder.is_dir() {
        return Err(codes::SR_BACKEND_FAILURE("location", "", format!("{} is no folder", folder.display())));
    }
    Ok(Facts { capacity_bytes: Some(room(&folder)?.0), ..Facts::default() })
}

/// Removes a repository's folder; the server has made sure that it knows no disk in it.
pub fn destroy(repository: &Repository) -> Result<Facts, ApiError> {
    let folder = folder(&repository.device)?;
    match fs::remove_dir(&folder) {
        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {
            tracing::info!(folder = %folder.display(), "a repository's folder stays, since others have files in it");
            Ok(Facts::default())
        }
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("the folder cannot be removed", &error)),
        _ => Ok(Facts::default()),
    }
}

/// Makes a disk larger, where it is not so large already.
pub fn resize(disk: &Image, bytes: i64) -> Result<Facts, ApiError> {
    let path = path(disk)?;
    let resized = OpenOptions::new().write(true).open(&path).and_then(|file| {
        if file.metadata()?.len() < bytes as u64 {
            file.set_len(bytes as u64)?;
        }
        file.sync_all()
    });
    resized.map_err(|error| failed("the disk could not be resized", &error))?;
    let (bytes, taken) = sizes(&path).map_err(|error| failed("the disk could not be looked at", &error))?;
    Ok(Facts { virtual_bytes: Some(bytes), physical_bytes: Some(taken), ..Facts::default() })
}

fn failed(what: &str, error: &io::Error) -> ApiError {
    tracing::warn!(%error, what);
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => codes::SR_FULL(0, 0),
        _ => codes::SR_BACKEND_FAILURE(what, "", error),
    }
}

impl Xen {
    /// Makes and removes disks in their order; a machine that has them stands still meanwhile.
    pub(super) async fn work_on_disks(
        &self,
        mark: &mut Mark,
        machine: Option<Ref>,
        ends: bool,
        work: &[Disk],
        progress: &Progress,
    ) -> Result<Facts, ApiError> {
        for disk in work {
            assert_room(disk)?;
        }
        let held = self.hold(mark, machine, ends).await?;
        let all: i64 = work.iter().map(|disk| disk.bytes).sum();
        let (mut facts, mut past) = (Facts::default(), 0);
        for disk in work {
            if let DiskWork::Memory = disk.work {
                let machine = machine.unwrap_or_default();
                let number = self.living(machine).await?.domid.to_string();
                // It stays paused until its disks are copied, so that they fit together.
                self.save(mark, machine, &["save", "-p", &number], &path(&disk.image)?, disk.bytes, progress).await?;
                settle(&path(&disk.image)?)?;
            } else {
                let moved = |part: f64| {
                    progress.send_replace((past as f64 + part * disk.bytes as f64) / all.max(1) as f64);
                };
                carry_out(disk, moved).await?;
            }
            past += disk.bytes;
            note(disk, &mut facts)?;
        }
        if let Some(number) = held {
            let machine = machine.unwrap_or_default();
            self.work(mark.task, &about("unpause", machine), &["unpause", &number], QUICK).await?;
        }
        Ok(facts)
    }

    /// Lets the machine stand still, or ends it; the number of the domain that is to go on afterwards.
    async fn hold(&self, mark: &mut Mark, machine: Option<Ref>, ends: bool) -> Result<Option<String>, ApiError> {
        let Some(machine) = machine else { return Ok(None) };
        let Some(domain) = self.domain(machine).await? else { return Ok(None) };
        let number = domain.domid.to_string();
        if ends {
            self.destroy(mark.task, machine, domain.domid).await?;
            return Ok(None);
        }
        if domain.paused || !domain.lives() {
            // Paused by us before a crash, or by others: who paused it says whether it goes on.
            return Ok(mark.holds.then_some(number));
        }
        mark.holds = true;
        self.marks.put(mark)?;
        self.work(mark.task, &about("pause", machine), &["pause", &number], QUICK).await?;
        Ok(Some(number))
    }
}

/// Every byte that a copy may take counts.
fn assert_room(disk: &Disk) -> Result<(), ApiError> {
    let source = match &disk.work {
        DiskWork::Copy(from) | DiskWork::Move(from) | DiskWork::Clone(from) => sizes(&path(from)?).map(|size| size.1),
        DiskWork::Memory => Ok(disk.bytes),
        DiskWork::Make | DiskWork::Empty | DiskWork::Remove => return Ok(()),
    };
    let needed = source.map_err(|error| failed("the disk to copy cannot be read", &error))?;
    let (_, free) = room(&folder(&disk.image.way)?)?;
    // What shares blocks takes none, but whether it will is not known yet.
    let cheap = matches!(disk.work, DiskWork::Clone(_));
    if !cheap && needed > free - SPARE { Err(codes::SR_FULL(needed, (free - SPARE).max(0))) } else { Ok(()) }
}

/// Whether nobody wants the copy any more.
struct Unwanted(Arc<AtomicBool>);

impl Drop for Unwanted {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One disk's work, apart from the threads that answer others; dropping it stops it.
async fn carry_out(disk: &Disk, moved: impl Fn(f64)) -> Result<(), ApiError> {
    let (to, bytes) = (path(&disk.image)?, disk.bytes);
    let from = match &disk.work {
        DiskWork::Clone(from) | DiskWork::Copy(from) | DiskWork::Move(from) => Some(path(from)?),
        _ => None,
    };
    let work = disk.work.clone();
    let stop = Arc::new(AtomicBool::new(false));
    let _unwanted = Unwanted(stop.clone());
    let (copied, mut done) = tokio::sync::watch::channel(0.0);
    let mut working = tokio::task::spawn_blocking(move || match (&work, from) {
        (DiskWork::Remove, _) => match fs::remove_file(&to) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        },
        (DiskWork::Empty, _) => File::create(&to).and_then(|file| sized(&file, bytes)),
        (_, None) => make(&to, |file| sized(file, bytes)),
        // It may have been moved before a crash.
        (DiskWork::Move(_), Some(from)) if !from.exists() && to.exists() => Ok(()),
        (work, Some(from)) => {
            make(&to, |file| copy(&from, file, bytes, &stop, &copied))?;
            if matches!(work, DiskWork::Move(_)) { fs::remove_file(&from) } else { Ok(()) }
        }
    });
    let ended = loop {
        tokio::select! {
            ended = &mut working => break ended,
            Ok(()) = done.changed() => moved(*done.borrow_and_update()),
        }
    };
    ended.expect("BUG: copying does not panic").map_err(|error| failed("the disk could not be made", &error))
}

/// Makes a file whole, or not at all.
fn make(to: &Path, fill: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
    let part = partial(to);
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&part)?;
    fill(&file)?;
    file.sync_all()?;
    fs::rename(&part, to)
}

fn sized(file: &File, bytes: i64) -> io::Result<()> {
    file.set_len(bytes.max(0) as u64)
}

/// Copies what is not a hole. The copy is at least as long as its disk is to be.
fn copy(
    from: &Path,
    to: &File,
    bytes: i64,
    stop: &AtomicBool,
    copied: &tokio::sync::watch::Sender<f64>,
) -> io::Result<()> {
    let mut source = File::open(from)?;
    let length = source.metadata()?.len();
    if rustix::fs::ioctl_ficlone(to, &source).is_ok() {
        return sized(to, bytes.max(length as i64));
    }
    sized(to, bytes.max(length as i64))?;
    let (mut at, mut writer, mut chunk) = (0, to, vec![0; CHUNK]);
    while at < length {
        let Some(data) = seek(&source, rustix::fs::SeekFrom::Data(at))? else { break };
        let hole = seek(&source, rustix::fs::SeekFrom::Hole(data))?.unwrap_or(length);
        source.seek(SeekFrom::Start(data))?;
        writer.seek(SeekFrom::Start(data))?;
        at = data;
        while at < hole {
            if stop.load(Ordering::Relaxed) {
                return Err(io::Error::new(ErrorKind::Interrupted, "nobody wants the copy any more"));
            }
            let most = CHUNK.min((hole - at) as usize);
            let read = source.read(&mut chunk[..most])?;
            if read == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            writer.write_all(&chunk[..read])?;
            at += read as u64;
            copied.send_replace(at as f64 / length as f64);
        }
    }
    Ok(())
}

/// `None`: behind the last.
fn seek(file: &File, to: rustix::fs::SeekFrom) -> io::Result<Option<u64>> {
    match rustix::fs::seek(file, to) {
        Ok(at) => Ok(Some(at)),
        Err(rustix::io::Errno::NXIO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Puts a file in the place of what was on a disk, which keeps its size.
pub async fn fill(disk: &Image, from: &Path) -> Result<(), ApiError> {
    let (to, from) = (path(disk)?, from.to_path_buf());
    let wrong = |error: io::Error| failed("the disk could not be written", &error);
    let (length, needed) = (fs::metadata(&to).map_err(wrong)?.len(), sizes(&from).map_err(wrong)?.0);
    let (_, free) = room(&folder(&disk.way)?)?;
    if needed > free - SPARE {
        return Err(codes::SR_FULL(needed, (free - SPARE).max(0)));
    }
    let filled = tokio::task::spawn_blocking(move || {
        make(&to, |mut file| {
            io::copy(&mut File::open(&from)?, &mut file)?;
            sized(file, length as i64)
        })
    });
    filled.await.expect("BUG: copying does not panic").map_err(wrong)
}

/// What is known of a disk that was made.
fn note(disk: &Disk, facts: &mut Facts) -> Result<(), ApiError> {
    if disk.work == DiskWork::Remove {
        return Ok(());
    }
    let sizes = sizes(&path(&disk.image)?);
    let (bytes, taken) = sizes.map_err(|error| failed("the disk could not be looked at", &error))?;
    if disk.work != DiskWork::Memory {
        (facts.virtual_bytes, facts.physical_bytes) = (Some(bytes), Some(taken));
    }
    facts.found.push((disk.image.disk.uuid_text(), taken));
    Ok(())
}
