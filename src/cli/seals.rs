//! Whether the archives are what the log says of them: each file has the digest
//! in its `seal` row, ends with the row that is named there, and the state
//! there was the one that is named. Digests and states are computed beside the
//! walk.

use crate::event::{Event, Kind};
use crate::log::Hash;
use crate::log::archive::Archive;
use crate::log::archive::file::{Unpacker, digest};
use crate::log::verify::{Broken, Fault};
use crate::views::View;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use tokio::task::JoinHandle;

/// See the module.
pub struct Seals {
    /// What is noted beside the log, by its last position; taken out when its `seal` row was met.
    noted: HashMap<u64, (Archive, PathBuf)>,
    /// The end of each range that was passed: the row's hash, and the state's.
    ends: HashMap<u64, (Hash, JoinHandle<Hash>)>,
    /// What is still being looked at.
    looking: Vec<JoinHandle<Result<(), Broken>>>,
    files: usize,
    rows: u64,
}

impl Seals {
    pub fn of(noted: Vec<(Archive, PathBuf)>) -> Seals {
        let noted = noted.into_iter().map(|placed| (placed.0.last, placed)).collect();
        Seals { noted, ends: HashMap::new(), looking: Vec::new(), files: 0, rows: 0 }
    }

    /// Looks at the event that `view` ends with.
    pub fn step(&mut self, view: &View, event: &Event) -> Result<(), String> {
        if self.noted.contains_key(&view.position) {
            let then = view.clone();
            let state = tokio::task::spawn_blocking(move || then.state_hash());
            self.ends.insert(view.position, (view.hash, state));
        }
        if event.kind != Kind::Seal {
            return Ok(());
        }
        let archive = Archive::of_event(event).ok_or("what it seals cannot be read")?;
        // Noted by nobody: the server ended between the row and the note, and its next start sees to it.
        let Some((noted, path)) = self.noted.remove(&archive.last) else { return Ok(()) };
        if noted != archive {
            return Err(format!("what is noted of the archive {} is not what was sealed", noted.file));
        }
        let (hash, state) = self.ends.remove(&archive.last).ok_or("it seals rows that are not there")?;
        if hash != archive.hash {
            return Err(format!("it seals another row at position {}", archive.last));
        }
        (self.files, self.rows) = (self.files + 1, self.rows + archive.rows);
        let seal = event.position;
        self.looking.push(tokio::spawn(async move {
            if state.await.expect("BUG: hashing a view panicked") != archive.state {
                let why = format!("it seals another state at position {}", archive.last);
                return Err(Broken::Row { position: seal, fault: Fault::Event(why) });
            }
            let looked = tokio::task::spawn_blocking(move || look(&archive, &path, seal));
            looked.await.expect("BUG: reading an archive panicked")
        }));
        Ok(())
    }

    /// Waits for what is being looked at; says how many files and rows there are.
    pub async fn end(&mut self) -> Result<(usize, u64), Broken> {
        for looking in self.looking.drain(..) {
            looking.await.expect("BUG: looking at an archive panicked")?;
        }
        match self.noted.values().min_by_key(|(archive, _)| archive.first) {
            None => Ok((self.files, self.rows)),
            Some((archive, _)) => {
                let why = format!("the archive {} is noted, but no row of the log seals it", archive.file);
                Err(Broken::Row { position: archive.last, fault: Fault::Event(why) })
            }
        }
    }
}

/// Whether the file is the one that was sealed; otherwise the first row in it that is wrong.
fn look(archive: &Archive, path: &Path, seal: u64) -> Result<(), Broken> {
    let wrong = |position, why: String| Err(Broken::Row { position, fault: Fault::Event(why) });
    match digest(path) {
        Ok(found) if found == archive.digest => return Ok(()),
        Ok(_) => {}
        Err(error) => return wrong(archive.first, error.to_string()),
    }
    let mut file = match Unpacker::open(path) {
        Ok(file) => file,
        Err(error) => return wrong(archive.first, error.to_string()),
    };
    if let Some(bad) = file.rows().find_map(Result::err) {
        return wrong(bad.position, bad.why);
    }
    let (first, last) = (archive.first, archive.last);
    wrong(seal, format!("the archive {} of rows {first} to {last} is not the one that was sealed", archive.file))
}
