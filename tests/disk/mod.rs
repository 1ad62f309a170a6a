//! A disk that does what a test wants, under the real program: it fills up, fails, becomes read-only, loses its power.
//!
//! `disk.c` is loaded into the program and sees every write and sync. Errors are ordered through a file. For power cuts it
//! notes every write until it is synced; when the power fails, what was not synced is there, or is not, or is torn.

#![allow(dead_code)] // each test binary uses its own part

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;

/// What a disk writes whole or not at all, in bytes.
const SECTOR: usize = 512;

/// A disk of a test's own. Its orders, its journal and the program to be loaded are in one folder, the data in another.
pub struct Disk {
    data: PathBuf,
    own: tempfile::TempDir,
    boots: u64,
    /// Writes that no sync has made safe, by file, in order.
    pending: HashMap<PathBuf, Vec<Write>>,
    written: u64,
}

/// A write or truncation of one file.
#[derive(Debug)]
struct Write {
    number: u64,
    truncates: bool,
    offset: u64,
    old_length: u64,
    old: Vec<u8>,
    new: Vec<u8>,
}

impl Disk {
    /// A disk for a data folder; says why not where there can be none.
    pub fn new(data: &Path) -> Result<Disk, String> {
        if cfg!(not(target_os = "linux")) {
            return Err("only Linux loads programs into others this way".into());
        }
        let own = tempfile::tempdir().map_err(|error| error.to_string())?;
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/disk/disk.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(own.path().join("disk.so")).arg(source).arg("-lpthread");
        let compiled = compiler.output().map_err(|error| format!("there is no C compiler: {error}"))?;
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        let data = std::path::absolute(data).expect("a path");
        let disk = Disk { data, own, boots: 0, pending: HashMap::new(), written: 0 };
        disk.boot();
        disk.order("");
        Ok(disk)
    }

    /// What the program's environment needs for it to be on this disk.
    pub fn environment(&self, power_cuts: bool) -> Vec<(&'static str, OsString)> {
        let file = |name: &str| self.own.path().join(name).into_os_string();
        let mut environment = vec![
            ("LD_PRELOAD", file("disk.so")),
            ("DISK_FOLDER", self.data.clone().into_os_string()),
            ("DISK_BOOT_ID", file("boot_id")),
        ];
        environment.push(if power_cuts { ("DISK_JOURNAL", file("journal")) } else { ("DISK_ORDERS", file("orders")) });
        environment
    }

    /// Makes the disk, or the clock, so from now on: lines such as `write=ENOSPC`, `sync=EIO`, `clock=-3600`.
    pub fn order(&self, orders: &str) {
        let new = self.own.path().join("orders.new");
        std::fs::write(&new, orders).expect("orders");
        std::fs::rename(&new, self.own.path().join("orders")).expect("orders");
    }

    fn boot(&self) {
        std::fs::write(self.own.path().join("boot_id"), format!("boot {}\n", self.boots)).expect("a boot id");
    }

    /// Takes note of what a program did that has ended, its power still on.
    pub fn remember(&mut self) {
        let journal = self.own.path().join("journal");
        let notes = std::fs::read(&journal).unwrap_or_default();
        let mut syncs: HashMap<u64, u64> = HashMap::new();
        let mut rest = &notes[..];
        while let Some(note) = Note::read(&mut rest) {
            let pending = || self.pending.get(&note.path).map_or(0, Vec::len);
            match note.kind {
                1 | 2 => {
                    self.written += 1;
                    let (number, truncates) = (self.written, note.kind == 2);
                    let Note { path, offset, old_length, old, new, .. } = note;
                    self.pending.entry(path).or_default().push(Write {
                        number,
                        truncates,
                        offset,
                        old_length,
                        old,
                        new,
                    });
                }
                3 => drop(syncs.insert(note.offset, self.written)),
                4 => {
                    let until = syncs[&note.offset];
                    if pending() > 0 {
                        self.pending.entry(note.path).or_default().retain(|write| write.number > until);
                    }
                }
                5 => {
                    let writes = self.pending.remove(&note.path).unwrap_or_default();
                    self.pending.insert(PathBuf::from(OsString::from_vec(note.new)), writes);
                }
                6 => drop(self.pending.remove(&note.path)),
                kind => panic!("a note of kind {kind}"),
            }
        }
        drop(std::fs::remove_file(journal));
    }

    /// Cuts the power under a program that was killed: whatever was not synced meets a fate. Returns how many writes did.
    pub fn cut_power(&mut self, random: &mut ChaCha8Rng) -> usize {
        self.remember();
        let mut lost = 0;
        let mut files: Vec<_> = std::mem::take(&mut self.pending).into_iter().collect();
        files.sort_by(|(a, _), (b, _)| a.cmp(b)); // the seed decides, not the order of a map
        for (path, writes) in files {
            let Ok(content) = std::fs::read(&path) else { continue };
            lost += writes.len();
            std::fs::write(&path, after_power_cut(content, &writes, random)).expect("the file is there");
        }
        for entry in std::fs::read_dir(&self.data).expect("the data folder") {
            let path = entry.expect("an entry").path();
            if path.to_string_lossy().ends_with("-shm") {
                std::fs::remove_file(path).expect("what was in memory is gone");
            }
        }
        self.boots += 1;
        self.boot();
        lost
    }
}

/// What a file holds after a power cut: all that was synced, and of the rest nothing, some writes, or some sectors.
fn after_power_cut(mut content: Vec<u8>, writes: &[Write], random: &mut ChaCha8Rng) -> Vec<u8> {
    for write in writes.iter().rev() {
        content.resize(write.old_length as usize, 0);
        put(&mut content, write.offset as usize, &write.old);
    }
    let fate = random.next_u32() % 4;
    let kept = random.next_u32() as usize % (writes.len() + 1);
    for (at, write) in writes.iter().enumerate() {
        let survives = match fate {
            0 => false,
            1 => at < kept,
            _ => random.next_u32().is_multiple_of(2),
        };
        let tears = fate == 3 || (fate == 1 && at == kept);
        match (write.truncates, tears) {
            (true, _) if survives => content.resize(write.offset as usize, 0),
            (false, true) => put_sectors(&mut content, write, random),
            (false, false) if survives => put(&mut content, write.offset as usize, &write.new),
            _ => {}
        }
    }
    content
}

fn put(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if content.len() < offset + bytes.len() {
        content.resize(offset + bytes.len(), 0);
    }
    content[offset..offset + bytes.len()].copy_from_slice(bytes);
}

/// Writes some of a write's sectors.
fn put_sectors(content: &mut Vec<u8>, write: &Write, random: &mut ChaCha8Rng) {
    let mut at = 0;
    while at < write.new.len() {
        let offset = write.offset as usize + at;
        let length = (SECTOR - offset % SECTOR).min(write.new.len() - at);
        if random.next_u32().is_multiple_of(2) {
            put(content, offset, &write.new[at..at + length]);
        }
        at += length;
    }
}

/// One note of the journal, as `disk.c` writes it.
struct Note {
    kind: u32,
    path: PathBuf,
    offset: u64,
    old_length: u64,
    old: Vec<u8>,
    new: Vec<u8>,
}

impl Note {
    /// The next note; none at the end, and none where the program was killed while it wrote one.
    fn read(rest: &mut &[u8]) -> Option<Note> {
        let number = |at: usize| Some(u64::from_ne_bytes(rest.get(at..at + 8)?.try_into().ok()?));
        let short = |at: usize| Some(u32::from_ne_bytes(rest.get(at..at + 4)?.try_into().ok()?));
        let (kind, path) = (short(0)?, short(4)? as usize);
        let (offset, old_length, old, new) = (number(8)?, number(16)?, number(24)? as usize, number(32)? as usize);
        let body = rest.get(40..40 + path + old + new)?;
        let note = Note {
            kind,
            path: PathBuf::from(OsString::from_vec(body[..path].to_vec())),
            offset,
            old_length,
            old: body[path..path + old].to_vec(),
            new: body[path + old..].to_vec(),
        };
        *rest = &rest[40 + path + old + new..];
        Some(note)
    }
}
