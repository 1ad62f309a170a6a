//! Marks: what each action was about to do, in a file named after its task,
//! written before anything else happens. A file lives as long as what disks
//! there are; what it says of machines holds for one run of the host, which it
//! names too.
//!
//! ```text
//!   TASK.mark   what is being done, and what it reached once it is done: a line each, of which the last counts
//!   TASK.said   what the last command of it said (see `xl`)
//!   TASK.cfg    the machine's configuration, while it is built
//! ```
//!
//! A line that is not whole counts as not written: nobody has gone on from it.
//! What outlives the host is on the disk before anybody does; what goes with
//! it, a machine that is built, does not wait for the disk.
//!
//! Must never look at the hypervisor.

use crate::driver::Facts;
use crate::error::{ApiError, codes};
use crate::value::Ref;
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

/// How long a mark is kept after it was written last.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// Marks that are written between two looks for old ones.
const SWEEP_EVERY: usize = 256;

/// What an action does, and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    pub task: Ref,
    /// The run of the host.
    pub boot: String,
    /// The machine it works on.
    pub machine: Option<Ref>,
    /// The domain that the machine had then.
    pub before: Option<i64>,
    /// A domain that was not there is being built.
    pub builds: bool,
    /// Files that were not there are being made.
    pub makes: Vec<PathBuf>,
    /// The machine stands still meanwhile, and goes on afterwards.
    #[serde(default)]
    pub holds: bool,
    pub reached: Option<Reached>,
}

/// What was reached: the part of [`Facts`] that cannot be looked up again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reached {
    pub domid: Option<i64>,
    pub device: Option<String>,
    pub physical_bytes: Option<i64>,
    pub virtual_bytes: Option<i64>,
    pub capacity_bytes: Option<i64>,
    pub found: Vec<(String, i64)>,
}

impl From<&Facts> for Reached {
    fn from(facts: &Facts) -> Reached {
        Reached {
            domid: facts.domid,
            device: facts.device.clone(),
            physical_bytes: facts.physical_bytes,
            virtual_bytes: facts.virtual_bytes,
            capacity_bytes: facts.capacity_bytes,
            found: facts.found.clone(),
        }
    }
}

impl From<Reached> for Facts {
    fn from(reached: Reached) -> Facts {
        Facts {
            domid: reached.domid,
            device: reached.device,
            physical_bytes: reached.physical_bytes,
            virtual_bytes: reached.virtual_bytes,
            capacity_bytes: reached.capacity_bytes,
            found: reached.found,
            ..Facts::default()
        }
    }
}

/// The folder of the marks.
pub struct Marks {
    folder: PathBuf,
    written: AtomicUsize,
}

impl Marks {
    pub fn open(folder: PathBuf) -> io::Result<Marks> {
        std::fs::create_dir_all(&folder)?;
        let marks = Marks { folder, written: AtomicUsize::new(0) };
        marks.sweep();
        Ok(marks)
    }

    fn path(&self, task: Ref, kind: &str) -> PathBuf {
        self.folder.join(format!("{}.{kind}", task.uuid_text()))
    }

    /// Where the commands of an action say what they say.
    pub fn said(&self, task: Ref) -> PathBuf {
        self.path(task, "said")
    }

    /// The mark of that task, if it was ever written.
    pub fn get(&self, task: Ref) -> Result<Option<Mark>, ApiError> {
        let bytes = match std::fs::read(self.path(task, "mark")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|error| unwritten(&error))?,
        };
        let last = bytes.split_inclusive(|byte| *byte == b'\n').rfind(|line| line.ends_with(b"\n"));
        last.map(serde_json::from_slice).transpose().map_err(|error| unwritten(&error))
    }

    pub fn put(&self, mark: &Mark) -> Result<(), ApiError> {
        self.append(mark).map_err(|error| unwritten(&error))?;
        if self.written.fetch_add(1, Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            self.sweep();
        }
        Ok(())
    }

    fn append(&self, mark: &Mark) -> io::Result<()> {
        let mut line = serde_json::to_vec(mark)?;
        line.push(b'\n');
        let path = self.path(mark.task, "mark");
        let mut file = std::fs::File::options().create(true).read(true).append(true).open(path)?;
        let mut before = Vec::new();
        file.read_to_end(&mut before)?;
        let whole = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        if whole < before.len() {
            file.set_len(whole as u64)?;
        }
        file.write_all(&line)?;
        if mark.builds { Ok(()) } else { file.sync_data() }
    }

    /// Writes the configuration that the action builds a machine from: whole, for `xl` that an earlier server began may be
    /// about to read it.
    pub fn put_config(&self, task: Ref, text: &str) -> Result<PathBuf, ApiError> {
        let (path, beside) = (self.path(task, "cfg"), self.path(task, "new"));
        let written = std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, &path));
        written.map_err(|error| unwritten(&error))?;
        Ok(path)
    }

    /// Nothing of the action is left.
    pub fn remove(&self, task: Ref) {
        for kind in ["mark", "said", "cfg"] {
            drop(std::fs::remove_file(self.path(task, kind))); // it may not be there
        }
    }

    /// Takes away what nobody will ask for any more.
    fn sweep(&self) {
        let Ok(files) = std::fs::read_dir(&self.folder) else { return };
        let old = SystemTime::now() - KEPT;
        for file in files.flatten() {
            if file.metadata().and_then(|about| about.modified()).is_ok_and(|at| at < old) {
                drop(std::fs::remove_file(file.path())); // whoever was quicker did the same
            }
        }
    }
}

fn unwritten(error: &dyn std::fmt::Display) -> ApiError {
    tracing::error!(%error, "the marks of the hypervisor cannot be read or written");
    codes::INTERNAL_ERROR("the server cannot note what it does to the hypervisor")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_there_until_it_is_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let marks = Marks::open(folder.path().join("xen")).expect("opened");
        let task = Ref([7; 16]);
        assert_eq!(marks.get(task).expect("read"), None);
        let mut mark = Mark {
            task,
            boot: "one".into(),
            machine: Some(Ref([1; 16])),
            before: Some(3),
            builds: true,
            makes: vec!["/tmp/x".into()],
            holds: false,
            reached: None,
        };
        marks.put(&mark).expect("written");
        assert_eq!(marks.get(task).expect("read").as_ref(), Some(&mark));
        let facts = Facts { domid: Some(4), found: vec![("a".into(), 1)], ..Facts::default() };
        mark.reached = Some(Reached::from(&facts));
        marks.put(&mark).expect("written again");
        let read = marks.get(task).expect("read").expect("there");
        assert_eq!(Facts::from(read.reached.expect("reached")), facts);
        marks.remove(task);
        assert_eq!(marks.get(task).expect("read"), None);
        marks.remove(task);
    }

    #[test]
    fn a_mark_that_is_none_is_an_error_not_a_new_beginning() {
        let folder = tempfile::tempdir().expect("a folder");
        let marks = Marks::open(folder.path().to_path_buf()).expect("opened");
        std::fs::write(marks.path(Ref([7; 16]), "mark"), b"{\n").expect("written");
        assert_eq!(marks.get(Ref([7; 16])).expect_err("refused").code, "INTERNAL_ERROR");
    }

    #[test]
    fn a_line_that_is_not_whole_says_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let marks = Marks::open(folder.path().to_path_buf()).expect("opened");
        let mark = Mark {
            task: Ref([7; 16]),
            boot: "one".into(),
            machine: None,
            before: None,
            builds: false,
            makes: Vec::new(),
            holds: true,
            reached: None,
        };
        marks.put(&mark).expect("written");
        let path = marks.path(mark.task, "mark");
        let line = std::fs::read(&path).expect("there");
        for left in [&[0; 300][..], b"{", &line[..line.len() - 1]] {
            std::fs::write(&path, [&line, left].concat()).expect("written");
            assert_eq!(marks.get(mark.task).expect("read").as_ref(), Some(&mark));
            std::fs::write(&path, left).expect("written");
            assert_eq!(marks.get(mark.task).expect("read"), None);
            marks.put(&mark).expect("written over it");
            assert_eq!(std::fs::read(&path).expect("there"), line);
        }
    }
}
