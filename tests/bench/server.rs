//! A process under measurement: the server, or what it is compared with.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A process that printed `listening on http://ADDR`; killed when dropped.
pub struct Process {
    child: Child,
    pub address: String,
}

impl Process {
    pub fn start(mut command: Command) -> Process {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the program starts");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let address = loop {
            let line = lines.next().expect("the program listens before it ends").expect("it prints text");
            if let Some((_, address)) = line.split_once("listening on http://") {
                break address.trim().to_string();
            }
        };
        // Keep reading, so that the program never blocks on a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Process { child, address }
    }

    /// The server on a data folder.
    pub fn serve(data: &Path) -> Process {
        Process::serve_with(data, &[])
    }

    pub fn serve_with(data: &Path, options: &[&str]) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xenledger"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data).args(options);
        command.env("XENLEDGER_ROOT_PASSWORD", "bench").env("RUST_LOG", "error");
        Process::start(command)
    }

    /// This program again, as something that the server stands beside.
    pub fn own(arguments: &[&str]) -> Process {
        let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
        command.args(arguments);
        Process::start(command)
    }

    /// Resident memory in MiB.
    pub fn resident(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
        line.trim().trim_end_matches(" kB").trim().parse::<f64>().unwrap_or(0.0) / 1024.0
    }

    /// Ends it as a crash would.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
