//! A small file system that only its processes see: in memory, in a mount namespace of its own.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// How large it is.
const SIZE: &str = "size=48m";

/// See the module; gone with its last process.
pub struct Mount {
    /// Keeps the namespace.
    holder: Child,
    filler: PathBuf,
}

impl Mount {
    /// Mounts one at `folder/small`; says why not where that is not allowed.
    pub fn small(folder: &Path) -> Result<Mount, String> {
        let at = folder.join("small");
        std::fs::create_dir(&at).map_err(|error| error.to_string())?;
        let script = format!("mount -t tmpfs -o {SIZE} xenledger '{}' && echo mounted && exec cat", at.display());
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = command.spawn().map_err(|error| format!("unshare: {error}"))?;
        let mut said = String::new();
        let stdout = holder.stdout.take().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut said).map_err(|error| error.to_string())?;
        if said.trim() != "mounted" {
            let _ = holder.wait();
            return Err("only root mounts one".into());
        }
        // What only its processes see is also below /proc.
        let inside = PathBuf::from(format!("/proc/{}/root", holder.id()));
        let filler = inside.join(at.strip_prefix("/").map_err(|error| error.to_string())?).join("filler");
        Ok(Mount { holder, filler })
    }

    /// The same command, run where it sees the file system.
    pub fn within(&self, command: Command) -> Command {
        let mut within = Command::new("nsenter");
        within.arg(format!("--mount=/proc/{}/ns/mnt", self.holder.id())).arg(command.get_program());
        within
    }

    /// Fills it to the last byte.
    pub fn fill(&self) {
        let mut filler = std::fs::File::create(&self.filler).expect("a file");
        for size in [1 << 16, 1] {
            let error = loop {
                if let Err(error) = filler.write_all(&vec![1; size]) {
                    break error;
                }
            };
            assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
        }
    }

    pub fn make_room(&self) {
        std::fs::remove_file(&self.filler).expect("removed");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
