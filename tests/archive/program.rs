//! The program itself: what its tools and its server say is the same before and after rows went into archives, and
//! `kill -9` in the middle of sealing costs nothing.

use crate::server::{Connection, Server, program, verify};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// What the program prints; it must succeed.
pub fn said(data: &Path, args: &[&str]) -> String {
    let output = program().args(args).env("XENLEDGER_DATA", data).output().expect("the program starts");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// What it complains about; it must fail.
pub fn complained(data: &Path, args: &[&str]) -> String {
    let output = program().args(args).env("XENLEDGER_DATA", data).output().expect("the program starts");
    assert_eq!(output.status.code(), Some(1), "{args:?}: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).expect("UTF-8")
}

/// What is asked of the log: positions that are archived later, ways that go forth and back.
fn asked(data: &Path) -> Vec<String> {
    let head = said(data, &["log", "replay", "--state-hash", "--until", "30"]);
    let ask = |args: &[&str]| said(data, &[&["log"], args].concat());
    vec![
        head,
        ask(&["show", "--since", "1", "--until", "35", "--json", "--limit", "1000"]),
        ask(&["show", "--object", "lab", "--json", "--until", "35"]),
        ask(&["history", "network/lab", "--json", "--limit", "15"]),
        ask(&["history", "network/lab", "name_description", "--limit", "15"]),
        ask(&["diff", "12", "33", "--json"]),
        ask(&["replay", "--until", "25"]),
    ]
}

fn told(connection: &mut Connection, session: &str, subscription: &Value) -> Vec<Value> {
    connection.call("subscription.resume_from", json!([session, subscription, ""])).expect("from the beginning");
    let mut events = Vec::new();
    loop {
        let batch = connection.call("subscription.poll", json!([session, subscription, 7, 0.0])).expect("a batch");
        let page = batch["events"].as_array().expect("events").clone();
        if page.is_empty() {
            return events;
        }
        events.extend(page);
        connection.call("subscription.ack", json!([session, subscription, batch["cursor"]])).expect("taken");
    }
}

#[test]
fn what_is_archived_reads_as_if_it_were_in_the_database() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let mut server = Server::start_with(&data, &["--archive-rows", "0"]);
    let (mut connection, session) = server.login();
    let lab = connection.call("network.create", json!([session, {"name_label": "lab"}])).expect("created");
    for nth in 0..40 {
        let text = format!("round {nth}");
        connection.call("network.set_name_description", json!([session, lab, text])).expect("set");
    }
    let kept = json!([session, {"name_label": "all", "classes": ["network"]}]);
    let subscription = connection.call("subscription.create", kept).expect("created");
    let before_events = told(&mut connection, &session, &subscription);
    assert!(before_events.len() > 40);
    server.stop();
    let before = asked(&data);
    let table = said(&data, &["log", "archive", "--seal", "--archive-rows", "15", "--keep-rows", "0"]);
    assert!(table.lines().count() > 3, "{table}");
    assert_eq!(asked(&data), before);
    let verified = said(&data, &["log", "verify"]);
    assert!(verified.contains("files, each as it was sealed"), "{verified}");
    std::fs::remove_file(data.join("xenledger.db")).expect("the store is there");
    let server = Server::start_with(&data, &["--archive-rows", "0"]);
    let (mut connection, session) = server.login();
    let after_events = told(&mut connection, &session, &subscription);
    assert_eq!(after_events[..before_events.len()], before_events[..]);
    let history = connection.call("log.get_record_at", json!([session, "network", lab, "25"]));
    let past = Server::start_with(&data, &["--read-only", "--at", "25"]);
    let (mut then, reader) = past.login();
    let record = then.call("network.get_record", json!([reader, lab])).expect("as it was");
    assert_eq!(history.expect("as it was")["name_description"], record["name_description"]);
    drop((server, past));
    the_folder_may_be_moved(&data, &folder.path().join("elsewhere"));
}

fn the_folder_may_be_moved(data: &Path, elsewhere: &Path) {
    let at = elsewhere.to_str().expect("UTF-8");
    let refused = complained(data, &["log", "archive", "--seal", "--archive", at]);
    assert!(refused.contains("move the files there first"), "{refused}");
    std::fs::rename(data.join("archive"), elsewhere).expect("moved");
    let missing = complained(data, &["log", "verify"]);
    assert!(missing.contains("row 1: ") && missing.contains("are archived: cannot open the archive"), "{missing}");
    said(data, &["log", "archive", "--seal", "--archive", at, "--keep-rows", "0"]);
    said(data, &["log", "verify"]);
    assert!(said(data, &["log", "archive", "--json"]).lines().count() > 3);
}

#[test]
fn kill_9_while_rows_are_archived_costs_nothing() {
    let rounds = if std::env::var_os("XENLEDGER_LONG").is_some() { 100 } else { 4 };
    let seed =
        std::env::var("XENLEDGER_SEED").map_or(u64::from(std::process::id()), |seed| seed.parse().expect("a number"));
    println!("{rounds} rounds, XENLEDGER_SEED={seed}");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let options = ["--archive-rows", "25", "--keep-rows", "10"];
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut made: Vec<String> = Vec::new();
    for round in 0..rounds {
        let mut server = Server::start_with(&data, &options);
        let (_, session) = server.login();
        let work = std::thread::spawn({
            let address = server.http;
            move || work(address, &session, round)
        });
        std::thread::sleep(Duration::from_millis(5000 + random.next_u64() % 1500));
        server.kill();
        made.extend(work.join().expect("the client"));
        let output = verify(&data);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "round {round} of seed {seed}: {errors}");
    }
    let names = said(&data, &["log", "replay"]);
    for name in &made {
        assert!(names.contains(&format!("\"{name}\"")), "{name} was acknowledged, and is gone; seed {seed}");
    }
    assert!(said(&data, &["log", "archive", "--json"]).lines().count() >= 2, "nothing was archived");
}

/// Makes networks until the server is gone; says which ones were acknowledged.
fn work(address: std::net::SocketAddr, session: &str, round: u32) -> Vec<String> {
    let mut connection = Connection::open(address).expect("the server accepts");
    let mut made = Vec::new();
    for nth in 0.. {
        let name = format!("lan {round}.{nth}");
        match connection.call("network.create", json!([session, {"name_label": name}])) {
            Ok(_) => made.push(name),
            Err(_) => break,
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    made
}
