//! The simulated hypervisor's memory: machines, disks and repositories, in a
//! journal of its own. Every change is a line, written before it counts and
//! not synced: it survives the end of this process. Of a power cut survives
//! what was there when it was last rewritten, and maybe more.
//!
//! Opening reads the journal up to the first torn line, and rewrites it compact.
//! Must never know the log of the server beside it.

use super::contents::Contents;
use crate::driver::action::{Config, Image, Repository};
use crate::value::{Micros, Ref};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

/// Bytes that the journal may grow by before it is rewritten.
const JOURNAL_GROWTH_MAX: u64 = 32 << 20;
/// Lines of the hypervisor's own log that are kept.
const SAID_MAX: usize = 1000;

/// The mark of the last action on a thing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    pub task: Ref,
    pub done: bool,
    /// The thing was not there before.
    pub made: bool,
    /// The device that was attached, as the guest sees it.
    pub device: Option<String>,
}

/// What a domain does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Doing {
    /// Half-built.
    Building,
    Running,
    Paused,
    PoweredOff,
    AskedForReboot,
    Crashed,
}

/// A machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Domain {
    pub domid: i64,
    pub doing: Doing,
    pub config: Config,
    pub memory: i64,
    pub vcpus: i64,
    pub started: Micros,
    /// When fate makes it crash.
    pub crash_at: Option<Micros>,
    pub mark: Option<Mark>,
}

/// A disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stored {
    pub image: Image,
    pub bytes: i64,
    /// Bytes it takes in its repository.
    pub physical: i64,
    /// What is on it.
    #[serde(default)]
    pub contents: Contents,
    pub mark: Option<Mark>,
}

/// A repository.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shelf {
    pub repository: Repository,
    pub attached: bool,
    /// All that is in it is known here.
    pub made_here: bool,
    pub mark: Option<Mark>,
}

/// The host itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Power {
    pub off: bool,
    pub mark: Option<Mark>,
}

/// One thing put in another's place, or taken away.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    Machine(Ref, Option<Box<Domain>>),
    Disk(Ref, Option<Box<Stored>>),
    Repository(Ref, Option<Box<Shelf>>),
    /// The number that the next domain gets.
    NextDomid(i64),
    Boot(Ref),
    /// The boot of the machine that the simulation runs on.
    Under(String),
    Host(Power),
    /// Debug keys that were pressed.
    Keys(String),
}

/// Where a mark is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Place {
    Machine(Ref),
    Disk(Ref),
    Repository(Ref),
    Host,
}

/// All there is.
#[derive(Default, Debug)]
pub struct State {
    pub machines: BTreeMap<Ref, Domain>,
    pub disks: BTreeMap<Ref, Stored>,
    pub repositories: BTreeMap<Ref, Shelf>,
    pub next_domid: i64,
    pub boot: Ref,
    /// The boot of the machine that the simulation runs on; "" as long as nobody said.
    pub under: String,
    pub host: Power,
    marks: HashMap<Ref, BTreeSet<Place>>,
}

impl State {
    /// The things that bear a mark.
    pub fn marked(&self, task: Ref) -> Vec<Place> {
        self.marks.get(&task).map(|places| places.iter().copied().collect()).unwrap_or_default()
    }

    pub fn mark(&self, place: Place) -> Option<&Mark> {
        match place {
            Place::Machine(uuid) => self.machines.get(&uuid)?.mark.as_ref(),
            Place::Disk(uuid) => self.disks.get(&uuid)?.mark.as_ref(),
            Place::Repository(uuid) => self.repositories.get(&uuid)?.mark.as_ref(),
            Place::Host => self.host.mark.as_ref(),
        }
    }

    fn apply(&mut self, entry: Entry) {
        let place = match &entry {
            Entry::Machine(uuid, _) => Place::Machine(*uuid),
            Entry::Disk(uuid, _) => Place::Disk(*uuid),
            Entry::Repository(uuid, _) => Place::Repository(*uuid),
            Entry::Host(_) => Place::Host,
            Entry::Keys(_) => return,
            Entry::NextDomid(next) => return self.next_domid = *next,
            Entry::Boot(boot) => return self.boot = *boot,
            Entry::Under(under) => return self.under.clone_from(under),
        };
        if let Some(task) = self.mark(place).map(|mark| mark.task)
            && let Some(places) = self.marks.get_mut(&task)
        {
            places.remove(&place);
            if places.is_empty() {
                self.marks.remove(&task);
            }
        }
        match entry {
            Entry::Machine(uuid, thing) => put(&mut self.machines, uuid, thing),
            Entry::Disk(uuid, thing) => put(&mut self.disks, uuid, thing),
            Entry::Repository(uuid, thing) => put(&mut self.repositories, uuid, thing),
            Entry::Host(power) => self.host = power,
            Entry::NextDomid(_) | Entry::Boot(_) | Entry::Under(_) | Entry::Keys(_) => {}
        }
        if let Some(task) = self.mark(place).map(|mark| mark.task) {
            self.marks.entry(task).or_default().insert(place);
        }
    }

    fn entries(&self) -> Vec<Entry> {
        let mut entries = vec![
            Entry::NextDomid(self.next_domid),
            Entry::Boot(self.boot),
            Entry::Under(self.under.clone()),
            Entry::Host(self.host.clone()),
        ];
        let repositories = self.repositories.iter();
        entries.extend(repositories.map(|(uuid, shelf)| Entry::Repository(*uuid, Some(Box::new(shelf.clone())))));
        entries.extend(self.disks.iter().map(|(uuid, disk)| Entry::Disk(*uuid, Some(Box::new(disk.clone())))));
        let machines = self.machines.iter();
        entries.extend(machines.map(|(uuid, domain)| Entry::Machine(*uuid, Some(Box::new(domain.clone())))));
        entries
    }
}

fn put<T>(things: &mut BTreeMap<Ref, T>, uuid: Ref, thing: Option<Box<T>>) {
    match thing {
        Some(thing) => things.insert(uuid, *thing),
        None => things.remove(&uuid),
    };
}

/// The state and its journal.
pub struct Store {
    pub state: State,
    journal: Option<Journal>,
    /// What happened since the process began, newest last.
    pub said: Vec<String>,
}

struct Journal {
    path: PathBuf,
    file: File,
    grown: u64,
}

impl Store {
    /// A state that ends with the process.
    pub fn in_memory() -> Store {
        Store { state: State { next_domid: 1, ..State::default() }, journal: None, said: Vec::new() }
    }

    /// The state that the journal at `path` tells of; an empty one if there is none.
    pub fn open(path: &Path) -> io::Result<Store> {
        let mut state = State { next_domid: 1, ..State::default() };
        match File::open(path) {
            Ok(file) => read(file, &mut state)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let file = rewrite(path, &state)?;
        Ok(Store { state, journal: Some(Journal { path: path.to_path_buf(), file, grown: 0 }), said: Vec::new() })
    }

    /// Makes changes that belong together, and has them survive a power cut.
    pub fn commit_synced(&mut self, entries: Vec<Entry>) -> io::Result<()> {
        self.commit(entries)?;
        self.journal.as_ref().map_or(Ok(()), |journal| journal.file.sync_data())
    }

    /// Makes changes that belong together: in the journal first, then here.
    pub fn commit(&mut self, entries: Vec<Entry>) -> io::Result<()> {
        let said = entries.iter().filter_map(|entry| serde_json::to_string(entry).ok());
        self.said.extend(said);
        let surplus = self.said.len().saturating_sub(SAID_MAX);
        self.said.drain(..surplus);
        if let Some(journal) = &mut self.journal {
            let mut line = serde_json::to_vec(&entries)?;
            line.push(b'\n');
            journal.file.write_all(&line)?;
            journal.grown += line.len() as u64;
        }
        entries.into_iter().for_each(|entry| self.state.apply(entry));
        if let Some(journal) = &mut self.journal
            && journal.grown > JOURNAL_GROWTH_MAX
        {
            journal.file = rewrite(&journal.path, &self.state)?;
            journal.grown = 0;
        }
        Ok(())
    }
}

fn read(file: File, state: &mut State) -> io::Result<()> {
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    loop {
        line.clear();
        reader.read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            return Ok(()); // the end, or a line that was being written when the process ended
        }
        let Ok(entries) = serde_json::from_slice::<Vec<Entry>>(&line) else {
            tracing::warn!(
                "the simulated hypervisor's journal is torn, as after a power cut; what follows is forgotten"
            );
            return Ok(());
        };
        entries.into_iter().for_each(|entry| state.apply(entry));
    }
}

/// Writes the state alone, then takes the journal's place with it.
fn rewrite(path: &Path, state: &State) -> io::Result<File> {
    let beside = path.with_extension("new");
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).open(&beside)?;
    let mut compact = Vec::new();
    for entry in state.entries() {
        serde_json::to_writer(&mut compact, &[entry])?;
        compact.push(b'\n');
    }
    file.write_all(&compact)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(bytes: i64, task: u8) -> Entry {
        let mark = Some(Mark { task: Ref([task; 16]), done: false, made: true, device: None });
        let stored = Stored { image: Image::default(), bytes, physical: bytes, contents: Contents::default(), mark };
        Entry::Disk(Ref([9; 16]), Some(Box::new(stored)))
    }

    #[test]
    fn what_was_committed_is_there_again_and_a_torn_line_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("sim.journal");
        let mut store = Store::open(&path).expect("opened");
        store.commit(vec![disk(1, 1), Entry::NextDomid(7)]).expect("written");
        store.commit(vec![disk(2, 2)]).expect("written");
        drop(store);
        let mut file = OpenOptions::new().append(true).open(&path).expect("there");
        file.write_all(b"[{\"next_domid\":\0\0}]\n[{\"next_domid\":8}]\n[{\"next_domid\":9}").expect("written");
        let store = Store::open(&path).expect("opened");
        assert_eq!(store.state.next_domid, 7);
        assert_eq!(store.state.disks[&Ref([9; 16])].bytes, 2);
        assert_eq!(store.state.marked(Ref([1; 16])), vec![], "a new mark takes the old one's place");
        assert_eq!(store.state.marked(Ref([2; 16])), vec![Place::Disk(Ref([9; 16]))]);
    }
}
