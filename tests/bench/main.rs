//! `cargo bench`: starts the real server and prints one table, each figure
//! beside its limit or a peer measured in the same run.
//!
//! ```text
//! cargo bench                      every group below, a quarter of an hour
//! cargo bench -- waking streams    these groups
//! cargo bench -- restart --long    with the part that makes a log of 10 million events
//! cargo bench -- --quick           fewer rounds and events: tries the benchmark itself
//! ```
//!
//! What happens goes to standard error, the table to standard output, as the
//! README has it. A ratio that misses its floor makes the benchmark fail. The
//! peers come from Debian's packages (`tests/bench/install`); one that is not
//! there is said to be missing in its row.

mod fanout;
mod limits;
mod load;
mod peers;
mod pool;
mod rows;
mod server;
mod table;
mod waiters;

use std::path::PathBuf;
use std::time::{Duration, Instant};
use table::Table;

/// The program's own: what is measured in this process costs what it costs there, as do the limits beside it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What one run has.
pub struct Bench {
    table: Table,
    folder: tempfile::TempDir,
    /// Fewer rounds: the figures mean little.
    quick: bool,
    /// The logs of 10 million events too.
    long: bool,
}

impl Bench {
    /// A new folder for the data of one server.
    fn data(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// How long a rate is measured.
    fn time(&self) -> Duration {
        Duration::from_secs(if self.quick { 1 } else { 5 })
    }

    /// As many rounds, or a few.
    fn rounds(&self, full: usize) -> usize {
        if self.quick { (full / 10).clamp(2, 20) } else { full }
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    rlimit::increase_nofile_limit(u64::MAX).expect("the limit of open files can be read");
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--hello"] => return limits::hello(),
        ["--raw-writer", sockets, bytes] => {
            let number = |text: &str| text.parse().expect("a number");
            return limits::raw_writer(number(sockets), number(bytes));
        }
        _ => {}
    }
    let wanted: Vec<&String> = args.iter().filter(|arg| !arg.starts_with("--")).collect();
    if let Some(unknown) = wanted.iter().find(|name| !rows::GROUPS.contains(&name.as_str())) {
        eprintln!("there is no group {unknown}; there are {}", rows::GROUPS.join(", "));
        std::process::exit(2);
    }
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder for the data");
    let mut bench = Bench { table: Table::default(), folder, quick: has("--quick"), long: has("--long") };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    for group in rows::GROUPS.iter().filter(|group| wanted.is_empty() || wanted.iter().any(|name| name == *group)) {
        let started = Instant::now();
        runtime.block_on(rows::measure(&mut bench, group));
        eprintln!("[{group}: {:.0} s]", started.elapsed().as_secs_f64());
    }
    print!("{}", bench.table);
    let missed = bench.table.missed_a_floor();
    drop(bench); // the folder with it
    std::process::exit(i32::from(missed));
}
