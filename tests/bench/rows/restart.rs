//! Logs of a million events, and with `--long` of ten: how long a restart
//! takes, and how fast such a log is read, replayed and proven.

use crate::Bench;
use crate::load::{self, Connection, call, median, result_of};
use crate::pool::{Devices, MACHINES, Pool};
use crate::server::Process;
use crate::table::Ratio;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use xenledger::log::{Row, hash, sqlite::LogReader};
use xenledger::views::restore::folded;

/// Rows read at a time.
const PAGE: usize = 1_000;

/// What was measured on one log.
struct Measured {
    restart: Duration,
    scan: f64,
    parse: f64,
    hash: f64,
    fold: f64,
    verify: f64,
    history: Duration,
    /// What differs from how it was so many events ago: [`RECENT`], and half of the log.
    diff: [Duration; 2],
}

/// Events that people ask about soon after.
const RECENT: usize = 10_000;

pub async fn rows(bench: &mut Bench) {
    let data = bench.data("restart");
    let mut server = Process::serve(&data);
    let pool = Pool::fill(&server, Devices::None).await;
    let short = if bench.quick { 20_000 } else { 1_000_000 };
    fill(&server, &pool, short).await;
    server.kill();
    let first = measure(&data, &pool).await;
    show(bench, &first, short, None);
    if bench.long {
        let long = short * 10;
        server = Process::serve(&data);
        fill(&server, &pool, long).await;
        server.kill();
        let second = measure(&data, &pool).await;
        show(bench, &second, long, Some(&first));
    }
}

fn show(bench: &mut Bench, measured: &Measured, events: usize, shorter: Option<&Measured>) {
    let table = &mut bench.table;
    let events = thousands(events);
    let restart = measured.restart.as_secs_f64();
    let what = format!("kill -9, restart to first answer, {events} events, 10,000 objects");
    table.row(&what, format!("{restart:.3} s"), "in seconds", Some(Ratio::at_most(restart, 0.5, 0.2)));
    if let Some(shorter) = shorter {
        let before = shorter.restart.as_secs_f64();
        let ratio = Ratio::at_most(restart / before, 1.2, 1.05);
        table.row(&what, format!("{restart:.3} s"), &format!("{before:.3} s with a tenth of them"), Some(ratio));
    }
    let Measured { scan, parse, hash, fold, verify, history, diff, .. } = measured;
    let what = format!("replay, events/s, {events} events");
    let figure = format!("{fold:.0}/s");
    let beside = format!("a plain scan of the rows, {scan:.0}/s");
    table.row(&what, figure.clone(), &beside, Some(Ratio::at_least(fold / scan, 0.2, 0.5)));
    let beside = format!("a scan that parses their JSON, {parse:.0}/s");
    table.row(&what, figure, &beside, Some(Ratio::at_least(fold / parse, 0.6, 0.9)));
    let what = format!("log verify, events/s, {events} events");
    let beside = format!("a scan that only hashes, {hash:.0}/s");
    table.row(&what, format!("{verify:.0}/s"), &beside, Some(Ratio::at_least(verify / hash, 0.4, 0.8)));
    let seconds = |time: &Duration| format!("{:.2} s", time.as_secs_f64());
    let what = format!("log history of one machine, {events} events");
    table.row(&what, seconds(history), "a plain scan of the rows, as above", None);
    for (took, back) in diff.iter().zip(["10,000 events ago and now", "half of the log ago and now"]) {
        table.row(&format!("log diff, {back}, {events} events"), seconds(took), "in seconds", None);
    }
}

fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<&[u8]> = digits.as_bytes().rchunks(3).rev().collect();
    groups.iter().map(|group| String::from_utf8_lossy(group)).collect::<Vec<_>>().join(",")
}

/// Renames machines until the log is so long.
async fn fill(server: &Process, pool: &Pool, events: usize) {
    let (session, machines) = (pool.session.clone(), pool.machines.clone());
    let mut connection = Connection::open(&server.address).await;
    loop {
        let position = call("event.get_current_id", &format!(r#""{session}""#));
        let position = result_of(connection.exchange(&position).await).as_u64().expect("a position") as usize;
        if position >= events {
            return;
        }
        let (session, machines) = (session.clone(), machines.clone());
        load::rate(&server.address, 256, Duration::from_secs(5), move |client, nth| {
            let machine = &machines[(client * 7919 + nth * 31) % MACHINES];
            call("VM.set_name_label", &format!(r#""{session}","{machine}","again-{client}-{nth}-{position}""#))
        })
        .await;
    }
}

async fn measure(data: &Path, pool: &Pool) -> Measured {
    let mut samples: Vec<Duration> = Vec::new();
    for _ in 0..5 {
        let started = Instant::now();
        let again = Process::serve(data);
        let mut connection = Connection::open(&again.address).await;
        let read = call("VM.get_name_label", &format!(r#""{}","{}""#, pool.session, pool.machines[0]));
        result_of(connection.exchange(&read).await);
        samples.push(started.elapsed());
        again.kill();
    }
    let restart = median(samples);
    let scan = scanned(data, |_| {}).await;
    let parse = scanned(data, |row| {
        let json: serde_json::Value = serde_json::from_str(&row.payload).expect("a payload is JSON");
        std::hint::black_box(json);
    });
    let parse = parse.await;
    let (hash, verify) = hashed_and_verified(data).await;
    let fold = replayed(data).await;
    let history = timed(data, "history", &[&format!("VM/{}", pool.machines[0])]);
    let head = LogReader::open(data).await.expect("the log opens").head().await.expect("it has a head").position;
    let from = [head.saturating_sub(RECENT as u64).max(1), head / 2];
    let diff = from.map(|from| timed(data, "diff", &[&from.to_string()]));
    Measured { restart, scan, parse, hash, fold, verify, history, diff }
}

/// Rows per second when something is done with each.
async fn scanned(data: &Path, mut each: impl FnMut(&Row)) -> f64 {
    let log = LogReader::open(data).await.expect("the server is gone");
    let started = Instant::now();
    let (mut after, mut rows) = (0, 0);
    loop {
        let page = log.read(after, PAGE).await.expect("the log is readable");
        let Some(last) = page.last() else { break };
        after = last.position;
        rows += page.len();
        page.iter().for_each(&mut each);
    }
    rows as f64 / started.elapsed().as_secs_f64()
}

/// Rows per second of a view made of the whole log, as the program makes one: every row is checked on the way.
async fn replayed(data: &Path) -> f64 {
    let log = LogReader::open(data).await.expect("the server is gone");
    let started = Instant::now();
    let view = folded(&log, usize::MAX).await.expect("the log is whole");
    view.position as f64 / started.elapsed().as_secs_f64()
}

/// How long a command of `log` takes as an operator runs it.
fn timed(data: &Path, command: &str, args: &[&str]) -> Duration {
    let started = Instant::now();
    let mut program = Command::new(env!("CARGO_BIN_EXE_xenledger"));
    let output = program.args(["log", command, "--json", "--data"]).arg(data).args(args).output().expect("it starts");
    let took = started.elapsed();
    assert!(output.status.success(), "log {command}: {}", String::from_utf8_lossy(&output.stderr));
    assert!(!output.stdout.is_empty(), "log {command} tells of something");
    took
}

/// Rows per second of a scan that only hashes, and of the command that verifies, by turns: the machine is not as quick in one
/// second as in the next.
async fn hashed_and_verified(data: &Path) -> (f64, f64) {
    const TURNS: u32 = 3;
    let (mut hash, mut verify) = (0.0, 0.0);
    for _ in 0..TURNS {
        let mut previous = hash::GENESIS;
        let scan = scanned(data, |row| {
            previous = hash::of_row(&previous, row);
            assert!(previous == row.hash, "the log is broken at {}", row.position);
        });
        hash += scan.await;
        verify += verified(data);
    }
    (hash / f64::from(TURNS), verify / f64::from(TURNS))
}

/// Rows per second of the command as an operator runs it.
fn verified(data: &Path) -> f64 {
    let started = Instant::now();
    let mut command = Command::new(env!("CARGO_BIN_EXE_xenledger"));
    let output = command.args(["log", "verify", "--json", "--data"]).arg(data).output().expect("the program starts");
    let took = started.elapsed().as_secs_f64();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a report");
    assert!(report["ok"] == true, "the log is not whole: {report}");
    report["rows"].as_f64().expect("a number of rows") / took
}
