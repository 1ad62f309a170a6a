//! What was acknowledged survives `kill -9` and power cuts.
//!
//! Round after round, fifty on one data folder: 32 clients change things and remember what the server confirmed, the server is
//! killed at a random moment, the log is verified, the server is started again, and what it tells is compared with what
//! the clients remember. In every second round the power fails too: what the program had not synced is lost, or torn.
//! `XENLEDGER_CRASH_ROUNDS` says how many rounds, `XENLEDGER_SEED` repeats a run's decisions.

#[path = "../disk/mod.rs"]
mod disk;
#[path = "../server/mod.rs"]
mod server;

mod check;
mod client;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use disk::Disk;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use server::{Server, left_out, program};

use crate::client::{Client, Memory};

/// How many clients work at the same time.
const CLIENTS: u64 = 32;
/// Rounds of a plain `cargo test`; `tests/run` asks for more.
const ROUNDS: u64 = 3;
/// Rounds on one data folder: each verifies the whole log.
const SPAN: u64 = 50;
/// The kill falls between these many milliseconds after the clients began.
const KILL_AFTER_MS: std::ops::Range<u64> = 50..2500;

#[test]
fn acknowledged_changes_survive_kill_9_and_power_cuts() {
    let rounds = number("XENLEDGER_CRASH_ROUNDS").unwrap_or(ROUNDS);
    let seed = number("XENLEDGER_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("{rounds} rounds, XENLEDGER_SEED={seed}");
    for first in (0..rounds).step_by(SPAN as usize) {
        on_one_folder(first..rounds.min(first + SPAN), seed);
    }
}

fn on_one_folder(rounds: std::ops::Range<u64>, seed: u64) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let mut disk = Disk::new(&data).map_err(|why| left_out(&format!("power cuts: {why}"))).ok();
    let mut memory = Memory::default();
    let mut server = start(&data, &disk);
    for round in rounds {
        let mut random = ChaCha8Rng::seed_from_u64(seed.wrapping_add(round));
        let done = until_killed(&mut server, &mut random, round, &mut memory);
        let lost = power_fails(&mut disk, round, &mut random, &mut memory);
        log_is_sound(&data, &disk);
        server = start(&data, &disk);
        check::everything_is_there(&server, &mut memory);
        println!("round {round}: {done} changes acknowledged, {lost}");
    }
    server.kill();
    log_is_sound(&data, &disk);
}

/// The program, on a disk that may lose its power if there is one.
fn on(disk: &Option<Disk>) -> Command {
    let mut program = program();
    program.envs(disk.iter().flat_map(|disk| disk.environment(true)));
    program
}

fn start(data: &Path, disk: &Option<Disk>) -> Server {
    Server::start_by(on(disk), data, &[])
}

/// In every second round the power fails under the server that was killed. A real machine's domains end with it, and so
/// may the simulated ones.
fn power_fails(disk: &mut Option<Disk>, round: u64, random: &mut ChaCha8Rng, memory: &mut Memory) -> String {
    match disk {
        Some(disk) if round % 2 == 1 => {
            let writes = disk.cut_power(random);
            memory.machines.iter_mut().for_each(|machine| machine.power_unknown = true);
            format!("the power failed under {writes} writes")
        }
        Some(disk) => {
            disk.remember();
            "killed".into()
        }
        None => "killed".into(),
    }
}

/// Lets the clients work until the server is killed; returns how many changes it acknowledged.
fn until_killed(server: &mut Server, random: &mut ChaCha8Rng, round: u64, memory: &mut Memory) -> usize {
    let (_, session) = server.login();
    let kill_after = KILL_AFTER_MS.start + random.next_u64() % (KILL_AFTER_MS.end - KILL_AFTER_MS.start);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let mut client =
                Client::new(server.http, &session, random.next_u64(), format!("{round}-{number}"), memory.take());
            std::thread::spawn(move || {
                client.work();
                client
            })
        })
        .collect();
    std::thread::sleep(Duration::from_millis(kill_after));
    assert!(server.runs(), "the server ended by itself:\n{}", server.said());
    server.kill();
    let mut done = 0;
    for client in clients {
        let client = client.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        done += client.acknowledged;
        memory.put(client);
    }
    done
}

/// `log verify` recomputes the chain of hashes, and compares the fold of the log with the stored view.
fn log_is_sound(data: &Path, disk: &Option<Disk>) {
    let output = on(disk).args(["log", "verify", "--data"]).arg(data).output().expect("the program starts");
    assert!(
        output.status.success(),
        "log verify: {}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is not a number")))
}
