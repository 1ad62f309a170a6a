//! A peer under load: a process of its own, ended when dropped.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take to listen.
const START_MAX: Duration = Duration::from_secs(30);

pub struct Server {
    child: Child,
    pub address: String,
    /// Its data, removed with it.
    _folder: tempfile::TempDir,
}

impl Server {
    /// Starts a program that is to listen on a port; in error, that it is not installed or does not start.
    pub fn start(program: &str, below: &Path, configure: impl FnOnce(&mut Command, &Path, u16)) -> Result<Server, String> {
        let path = installed(program)?;
        let folder = tempfile::tempdir_in(below).map_err(|error| error.to_string())?;
        let port = free_port();
        let mut command = Command::new(path);
        configure(&mut command, folder.path(), port);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.map_err(|error| format!("{program}: {error}"))?;
        let server = Server { child, address: format!("127.0.0.1:{port}"), _folder: folder };
        server.listens(program)
    }

    fn listens(mut self, program: &str) -> Result<Server, String> {
        let begun = Instant::now();
        while TcpStream::connect(&self.address).is_err() {
            let ended = self.child.try_wait().ok().flatten();
            if begun.elapsed() > START_MAX || ended.is_some() {
                return Err(format!("{program} did not start"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(self)
    }

    /// Resident memory, in KiB.
    pub fn resident(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
        line.trim().trim_end_matches(" kB").trim().parse().unwrap_or(0.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Where a program is: distributions keep some out of the usual path.
pub fn installed(program: &str) -> Result<PathBuf, String> {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path.split(':').chain(["/usr/sbin", "/usr/lib/postgresql/15/bin"]);
    let mut found = folders.map(|folder| Path::new(folder).join(program)).filter(|path| path.is_file());
    found.next().ok_or_else(|| format!("{program} is not installed (tests/bench/install)"))
}

pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

/// Ten thousand connections need as many descriptors, here and in the servers that inherit the limit.
pub fn raise_open_files() {
    rlimit::increase_nofile_limit(u64::MAX).expect("the limit of open files can be read");
}
