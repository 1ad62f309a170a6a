//! What goes wrong under the log goes wrong for changes alone, says so, and is over by itself.
//!
//! The real program on a small file system of its own that fills up, and on a disk that fails as it is told to: changes are
//! refused with a clear error, reads and streams go on, nothing that was acknowledged is lost, and service resumes without
//! anybody's doing when the fault ends.

#[path = "../disk/mod.rs"]
mod disk;
#[path = "../server/mod.rs"]
mod server;

mod mount;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use disk::Disk;
use mount::Mount;
use serde_json::{Value, json};
use server::{Answer, Connection, Failure, Server, left_out, program, verify, wait_for};
use sqlx::{Connection as _, SqliteConnection};

/// How long service may take to resume; only to turn a hang into a failure.
const RESUMES: Duration = Duration::from_secs(60);

/// A server that is worked with while its disk fails.
struct Witness {
    server: Server,
    calls: Connection,
    session: String,
    network: String,
    /// The name last acknowledged.
    name: String,
    /// Names that may or may not have been given since.
    perhaps: Vec<String>,
    stream: BufReader<TcpStream>,
}

impl Witness {
    fn of(server: Server) -> Witness {
        let (mut calls, session) = server.login();
        let network = calls.call("network.create", json!([session, {"name_label": "before"}])).expect("created");
        let network = network.as_str().expect("a reference").to_string();
        let mut stream = TcpStream::connect(server.http).expect("the server accepts");
        stream.set_read_timeout(Some(RESUMES)).expect("a timeout");
        let path = "/events?classes=network";
        write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nCookie: session_id={session}\r\n\r\n").expect("sent");
        let mut stream = BufReader::new(stream);
        let mut first = String::new();
        stream.read_line(&mut first).expect("an answer");
        assert!(first.contains(" 200 "), "{first}");
        Witness { server, calls, session, network, name: "before".into(), perhaps: vec![], stream }
    }

    fn rename(&mut self, name: &str) -> Result<(), String> {
        match self.calls.call("network.set_name_label", json!([self.session, self.network, name])) {
            Ok(_) => {
                (self.name, self.perhaps) = (name.to_string(), vec![]);
                Ok(())
            }
            Err(Failure::Refused(code, params)) => {
                assert_eq!(code, "INTERNAL_ERROR", "{params:?}");
                let why = params[0].as_str().expect("a text").to_string();
                if !why.starts_with("the change was not made") {
                    assert!(why.starts_with("it is not known whether the change was made"), "{why}");
                    self.perhaps.push(name.to_string());
                }
                Err(why)
            }
            Err(Failure::Broken(why)) => panic!("the connection broke: {why}\n{}", self.server.said()),
        }
    }

    fn read(&mut self) -> String {
        let name = self.calls.call("network.get_name_label", json!([self.session, self.network]));
        name.expect("reads go on").as_str().expect("a name").to_string()
    }

    fn get(&self, path: &str) -> Answer {
        let mut stream = TcpStream::connect(self.server.http).expect("the server accepts");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").expect("sent");
        Answer::read(&mut BufReader::new(stream)).expect("an answer")
    }

    fn health(&self) -> (u16, String) {
        let answer = self.get("/healthz");
        (answer.status, String::from_utf8(answer.body).expect("UTF-8"))
    }

    fn messages(&mut self) -> Vec<Value> {
        let records = self.calls.call("message.get_all_records", json!([self.session])).expect("reads go on");
        records.as_object().expect("records").values().cloned().collect()
    }

    /// The stream tells of a name, sooner or later.
    fn hears(&mut self, name: &str) {
        let mut line = String::new();
        while !line.contains(name) {
            line.clear();
            assert!(self.stream.read_line(&mut line).expect("streams go on") > 0, "the stream ended");
        }
    }

    /// What everybody sees while the log cannot be written; `why` is what they are told.
    fn is_refused(&mut self, why: &str) {
        let before = self.read();
        let mut said = String::new();
        wait_for("changes are refused", RESUMES, || {
            // What is written first may still fit.
            said = self.rename(&format!("refused for {why} {}", "x".repeat(5000))).err()?;
            Some(())
        });
        assert!(said.contains(why), "{said}");
        let now = self.read();
        assert!(now == before || now == self.name, "what was refused is not seen: {now}");
        let (status, health) = self.health();
        assert!(status == 503 && health.contains(why), "{status} {health}");
        let metrics = String::from_utf8(self.get("/metrics").body).expect("UTF-8");
        assert!(metrics.contains("xenledger_log_writable 0"), "{metrics}");
        let polled = self.calls.call("event.from", json!([self.session, ["network"], "", 0.1])).expect("polls go on");
        assert!(polled["events"].as_array().is_some_and(|events| !events.is_empty()), "{polled}");
    }

    /// Service resumes though nobody does anything, and people are told.
    fn resumes(&mut self, why: &str) {
        wait_for("service resumes by itself", RESUMES, || (self.health().0 == 200).then_some(()));
        wait_for("people are told", RESUMES, || {
            let body = |message: &Value| message["body"].as_str().unwrap_or_default().to_string();
            let failed = self.messages().into_iter().filter(|message| message["name"] == "LOG_WRITE_FAILED");
            let about = failed.map(|message| body(&message)).find(|body| body.contains(why))?;
            assert!(!about.contains(" 0 changes were refused"), "{about}");
            Some(())
        });
        let now = self.read();
        assert!(now == self.name || self.perhaps.contains(&now), "{now} was refused");
        let after = format!("after {why}");
        self.rename(&after).expect("changes are made again");
        self.hears(&after);
    }
}

/// The log is whole, and what was acknowledged last is what a new server finds.
fn nothing_was_lost(mut witness: Witness, again: impl FnOnce() -> Server, verified: impl Fn() -> Output) {
    witness.server.stop();
    let output = verified();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    let server = again();
    let (mut calls, session) = server.login();
    let name = calls.call("network.get_name_label", json!([session, witness.network])).expect("it is there");
    assert_eq!(name, json!(witness.name));
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A folder on a disk that does as it is told; `None`, said aloud, where there can be none.
fn obedient(data: &Path) -> Option<Disk> {
    Disk::new(data).map_err(|why| left_out(&format!("a disk that fails: {why}"))).ok()
}

/// Each way in which a disk refuses, with what people are told of it.
#[test]
fn a_disk_that_refuses_or_fails() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let Some(disk) = obedient(&data) else { return };
    let start = || Server::start_by(on(&disk), &data, &[]);
    for (orders, why) in [
        ("write=ENOSPC", "disk is full"),
        ("write=EROFS", "disk"),
        ("write=EIO", "disk fails"),
        ("sync=EIO", "disk fails"),
        ("write=ENOSPC\nsync=EIO", "disk is full"),
    ] {
        println!("{orders:?}");
        let mut witness = Witness::of(start());
        disk.order(orders);
        witness.is_refused(why);
        disk.order("");
        witness.resumes(why);
        nothing_was_lost(witness, start, || verify(&data));
    }
}

/// A server whose disk fails is killed: what it had acknowledged is there when the disk is well again.
#[test]
fn killed_while_its_disk_fails() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let Some(disk) = obedient(&data) else { return };
    for orders in ["write=ENOSPC", "sync=EIO"] {
        let mut witness = Witness::of(Server::start_by(on(&disk), &data, &[]));
        witness.rename(&format!("acknowledged before {orders}")).expect("accepted");
        disk.order(orders);
        witness.is_refused("disk");
        witness.server.kill();
        disk.order("");
        let output = verify(&data);
        assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
        let server = Server::start_by(on(&disk), &data, &[]);
        let (mut calls, session) = server.login();
        let name = calls.call("network.get_name_label", json!([session, witness.network])).expect("it is there");
        let name = name.as_str().expect("a name").to_string();
        assert!(name == witness.name || witness.perhaps.contains(&name), "{name}");
    }
}

fn on(disk: &Disk) -> std::process::Command {
    let mut program = program();
    program.envs(disk.environment(false));
    program
}

#[test]
fn a_database_that_somebody_else_keeps_locked() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let mut witness = Witness::of(Server::start(&data));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let file = format!("sqlite://{}", data.join("log.sqlite").display());
    let mut other = runtime.block_on(SqliteConnection::connect(&file)).expect("the log opens");
    let held = runtime.block_on(other.begin_with("BEGIN IMMEDIATE")).expect("the lock");
    witness.is_refused("locked");
    runtime.block_on(held.rollback()).expect("let go");
    runtime.block_on(other.close()).expect("closed");
    witness.resumes("locked");
    nothing_was_lost(witness, || Server::start(&data), || verify(&data));
}

#[test]
fn a_clock_that_goes_back() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let Some(disk) = obedient(&data) else { return };
    let start = || Server::start_by(on(&disk), &data, &[]);
    let mut witness = Witness::of(start());
    disk.order("clock=-86400");
    witness.rename("yesterday").expect("changes are made");
    witness.hears("yesterday");
    let (status, health) = witness.health();
    assert!(status == 200 && health.starts_with("ok\n") && health.contains("behind the log"), "{health}");
    witness.rename("still yesterday").expect("changes are made");
    let told = witness.messages();
    let told: Vec<&Value> = told.iter().filter(|one| one["name"] == "HOST_CLOCK_WENT_BACKWARDS").collect();
    assert_eq!(told.len(), 1, "{told:?}");
    disk.order("");
    wait_for("the clock is right again", RESUMES, || (witness.health().1 == "ok\n").then_some(()));
    witness.rename("today").expect("changes are made");
    nothing_was_lost(witness, start, || verify(&data));
}

/// A file system that is really full, and then has room again.
#[test]
fn a_disk_that_fills_up() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let small = match Mount::small(folder.path()) {
        Ok(small) => small,
        Err(why) => return left_out(&format!("a file system of its own: {why}")),
    };
    let data = folder.path().join("small").join("data");
    let start = || Server::start_by(small.within(program()), &data, &[]);
    let mut witness = Witness::of(start());
    small.fill();
    witness.is_refused("disk is full");
    small.make_room();
    witness.resumes("disk is full");
    nothing_was_lost(witness, start, || {
        let mut verify = small.within(program());
        verify.args(["log", "verify", "--data"]).arg(&data).output().expect("the program starts")
    });
}
