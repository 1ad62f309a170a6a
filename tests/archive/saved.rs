//! Sessions on saved databases: they read the pool as a backup has it, change nothing, are limited in number and in
//! where they look, and end with themselves or the server.

use crate::program::said;
use crate::server::{Answer, Connection, Failure, Server, wait_for};
use serde_json::{Value, json};
use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// As many as the server opens at the same time.
const OPEN_MAX: usize = 4;

struct House {
    _folder: tempfile::TempDir,
    data: PathBuf,
    server: Server,
    connection: Connection,
    session: String,
    network: Value,
}

impl House {
    /// A server with a backup `one` of the time when its network was called `before`.
    fn start() -> House {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data = folder.path().join("data");
        let server = Server::start_with(&data, &["--archive-rows", "20", "--keep-rows", "5"]);
        let (mut connection, session) = server.login();
        let made = connection.call("network.create", json!([session, {"name_label": "before"}]));
        let network = made.expect("created");
        for nth in 0..50 {
            let named = json!([session, network, format!("{nth}")]);
            connection.call("network.set_name_description", named).expect("set");
        }
        wait_for("something is archived", Duration::from_secs(60), || {
            (!said(&data, &["log", "archive", "--json"]).is_empty()).then_some(())
        });
        std::fs::create_dir(data.join("backups")).expect("a folder");
        back_up(&data, "one");
        connection.call("network.set_name_label", json!([session, network, "after"])).expect("set");
        House { _folder: folder, data, server, connection, session, network }
    }

    fn open(&mut self, name: &str) -> Result<String, Failure> {
        let opened = self.connection.call("session.create_from_db_file", json!([self.session, name]));
        opened.map(|session| session.as_str().expect("a reference").to_owned())
    }

    fn name(&mut self, session: &str) -> Result<Value, Failure> {
        self.connection.call("network.get_name_label", json!([session, self.network]))
    }

    /// The saved databases that are laid out.
    fn laid_out(&self) -> usize {
        std::fs::read_dir(self.data.join("open")).map_or(0, Iterator::count)
    }
}

fn back_up(data: &Path, name: &str) {
    let file = data.join("backups").join(name);
    said(data, &["log", "backup", file.to_str().expect("UTF-8")]);
}

fn code<T: std::fmt::Debug>(result: Result<T, Failure>) -> String {
    match result {
        Err(Failure::Refused(code, _)) => code,
        other => panic!("{other:?}"),
    }
}

fn status(server: &Server, path: &str) -> u16 {
    let mut stream = TcpStream::connect(server.http).expect("the server accepts");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").expect("sent");
    Answer::read(&mut BufReader::new(stream)).expect("an answer").status
}

#[test]
fn a_session_on_a_backup_reads_the_pool_as_it_was_and_changes_nothing() {
    let mut house = House::start();
    let (live, saved) = (house.session.clone(), house.open("one").expect("opened"));
    assert_eq!(house.name(&saved).expect("it is there"), "before");
    assert_eq!(house.name(&live).expect("it is there"), "after");
    let (network, call) = (house.network.clone(), &mut house.connection);
    let set = json!([saved, network, "changed"]);
    assert_eq!(code(call.call("network.set_name_label", set)), "OPERATION_NOT_ALLOWED");
    for ended in ["session.logout_subject_identifier", "session.create_from_db_file"] {
        assert_eq!(code(call.call(ended, json!([saved, "one"]))), "OPERATION_NOT_ALLOWED", "{ended}");
    }
    // Its log is there too, archives included, and its events.
    let head = |call: &mut Connection, session: &str| -> u64 {
        let head = call.call("log.get_head", json!([session])).expect("a head");
        head["position"].as_str().and_then(|text| text.parse().ok()).expect("a position")
    };
    assert!(head(call, &saved) < head(call, &live));
    let history = json!([saved, "network", network, "name_description", 0, 1000]);
    assert_eq!(call.call("log.get_history", history).expect("told").as_array().map(Vec::len), Some(51));
    let events = call.call("event.from", json!([saved, ["network"], "", 1.0])).expect("events");
    let known = events["events"].as_array().expect("a list").iter().any(|event| event["ref"] == network);
    assert!(known, "{events}");
    // Beside the calls, everything is of the live pool: such a session is nobody there.
    assert_eq!(status(&house.server, &format!("/log?session_id={saved}")), 401);
    assert_eq!(status(&house.server, &format!("/log?session_id={live}")), 200);
    let listed = call.call("session.list", json!([live])).expect("listed");
    let databases: Vec<&Value> = listed.as_object().expect("a map").values().map(|held| &held["database"]).collect();
    assert!(databases.contains(&&json!("one")) && databases.contains(&&json!("")), "{databases:?}");
    call.call("session.logout", json!([saved])).expect("it ends");
    assert_eq!(code(house.name(&saved)), "SESSION_INVALID");
    wait_for("what was laid out goes", Duration::from_secs(60), || (house.laid_out() == 0).then_some(()));
    assert_eq!(house.name(&live).expect("it is there"), "after", "the live session goes on");
}

#[test]
fn only_backups_in_the_folder_for_them_are_opened() {
    let mut house = House::start();
    let (backups, outside) = (house.data.join("backups"), house.data.join("secret"));
    std::fs::copy(backups.join("one"), &outside).expect("copied");
    std::os::unix::fs::symlink(&outside, backups.join("link")).expect("a link");
    std::fs::write(backups.join("text"), "no database").expect("written");
    std::fs::create_dir(backups.join("folder")).expect("a folder");
    let outside = outside.to_str().expect("UTF-8").to_owned();
    for name in ["", ".", "nothing", "folder", "text", "link", "../secret", "../log.sqlite", &outside] {
        assert_eq!(code(house.open(name)), "COULD_NOT_IMPORT_DATABASE", "{name:?}");
    }
    let inside = backups.join("one").to_str().expect("UTF-8").to_owned();
    for name in ["one", "./one", &inside] {
        let opened = house.open(name).expect("it is a backup");
        house.connection.call("session.logout", json!([opened])).expect("it ends");
    }
}

#[test]
fn a_file_that_has_more_in_it_than_a_backup_is_refused() {
    let mut house = House::start();
    let file = house.data.join("backups/strange");
    std::fs::copy(house.data.join("backups/one"), &file).expect("copied");
    crate::backup::sql(
        &file,
        "CREATE VIEW strange AS WITH RECURSIVE n(x) AS (SELECT 1 UNION SELECT x FROM n) SELECT * FROM n",
    );
    assert_eq!(code(house.open("strange")), "COULD_NOT_IMPORT_DATABASE");
    crate::backup::sql(&file, "DROP VIEW strange");
    house.open("strange").expect("without, it is a backup");
    crate::backup::sql(
        &file,
        "DROP TRIGGER event_update; UPDATE event SET time = time + 1 WHERE position = (SELECT max(position) FROM event)",
    );
    assert_eq!(code(house.open("strange")), "COULD_NOT_IMPORT_DATABASE", "its chain is broken");
    assert_eq!(house.laid_out(), 1, "what is refused leaves nothing");
}

#[test]
fn few_are_open_at_the_same_time_and_none_outlives_the_server() {
    let mut house = House::start();
    let mut opened: Vec<String> = (0..OPEN_MAX).map(|_| house.open("one").expect("opened")).collect();
    assert_eq!(code(house.open("one")), "COULD_NOT_IMPORT_DATABASE");
    let first = opened.remove(0);
    house.connection.call("session.logout", json!([first])).expect("it ends");
    let again = wait_for("its place is free", Duration::from_secs(60), || house.open("one").ok());
    opened.push(again);
    house.server.stop();
    house.server = Server::start(&house.data);
    house.connection = Connection::open(house.server.http).expect("the server accepts");
    for session in &opened {
        assert_eq!(code(house.name(session)), "SESSION_INVALID", "it never becomes a session on the live pool");
    }
    assert_eq!(house.laid_out(), 0);
    let live = house.session.clone();
    assert_eq!(house.name(&live).expect("it is there"), "after");
}

#[test]
fn a_disk_holds_the_database_and_a_session_reads_it() {
    let mut house = House::start();
    let (live, network) = (house.session.clone(), house.network.clone());
    let call = &mut house.connection;
    let repositories = call.call("SR.get_all_records", json!([live])).expect("records");
    let mut repositories = repositories.as_object().expect("a map").iter();
    let (repository, _) = repositories.find(|(_, sr)| sr["content_type"] == "user").expect("one of disks");
    call.call("SR.enable_database_replication", json!([live, repository])).expect("enabled");
    let disks = call.call("pool.get_all_records", json!([live])).expect("the pool");
    let disk = disks.as_object().expect("a map").values().next().expect("one")["metadata_VDIs"][0].clone();
    wait_for("the copy is written", Duration::from_secs(60), || {
        let latest = call.call("VDI.get_metadata_latest", json!([live, disk])).expect("answers");
        (latest == json!(true)).then_some(())
    });
    let open = |call: &mut Connection| call.call("VDI.open_database", json!([live, disk]));
    assert_eq!(code(open(call)), "VDI_CONTAINS_METADATA_OF_THIS_POOL");
    assert_eq!(code(call.call("VDI.destroy", json!([live, disk]))), "VDI_IN_USE");
    call.call("SR.disable_database_replication", json!([live, repository])).expect("disabled");
    call.call("network.set_name_label", json!([live, network, "later"])).expect("set");
    assert_eq!(code(call.call("Async.VDI.open_database", json!([live, disk]))), "OPERATION_NOT_ALLOWED");
    let copy = call.call("VDI.copy", json!([live, disk, repository])).expect("a copy of the copy");
    for held in [&disk, &copy] {
        let saved = call.call("VDI.open_database", json!([live, held])).expect("opened");
        let name = call.call("network.get_name_label", json!([saved, network])).expect("it is there");
        assert_eq!(name, "after");
        let secrets = call.call("network.set_name_label", json!([saved, network, "x"]));
        assert_eq!(code(secrets), "OPERATION_NOT_ALLOWED");
        call.call("session.logout", json!([saved])).expect("it ends");
    }
    call.call("VDI.destroy", json!([live, disk])).expect("it is a disk like any other now");
    let saved = call.call("VDI.open_database", json!([live, copy])).expect("what is shared stays");
    call.call("session.logout", json!([saved])).expect("it ends");
}

#[test]
fn a_second_server_that_replays_the_log_has_the_same_state() {
    let mut house = House::start();
    let head = |call: &mut Connection, session: &str| -> Value {
        call.call("log.get_head", json!([session])).expect("a head")["position"].clone()
    };
    let hash = |call: &mut Connection, session: &str, at: &Value| -> Value {
        call.call("log.get_state_hash", json!([session, at])).expect("a hash")
    };
    let (live, network) = (house.session.clone(), house.network.clone());
    // What is added and removed in turn leaves sets in an order that only a replay in order brings back.
    for nth in 0..6 {
        for (message, tag) in [("add_tags", nth), ("remove_tags", nth / 2), ("add_tags", nth / 2)] {
            let args = json!([live, network, format!("tag {tag}")]);
            house.connection.call(&format!("network.{message}"), args).expect("changed");
        }
    }
    let end = head(&mut house.connection, &live);
    let restored = house.data.with_file_name("second");
    let file = house.data.with_file_name("whole");
    let file = file.to_str().expect("UTF-8");
    said(&house.data, &["log", "backup", file]);
    said(&restored, &["log", "restore", file]);
    let second = Server::start(&restored);
    let mut there = Connection::open(second.http).expect("the server accepts");
    let session = there.call("session.login_with_password", json!(["root", crate::server::PASSWORD])).expect("in");
    let session = session.as_str().expect("a reference");
    let last: u64 = end.as_str().and_then(|end| end.parse().ok()).expect("a position");
    for at in [1, 2, last / 3, last / 2, last - 5, last] {
        let at = json!(at.to_string());
        assert_eq!(hash(&mut there, session, &at), hash(&mut house.connection, &live, &at), "at {at}");
    }
    let replayed = said(&restored, &["log", "replay", "--state-hash", "--until", &last.to_string()]);
    let told = hash(&mut house.connection, &live, &end);
    assert!(replayed.trim().ends_with(told.as_str().expect("text")), "{replayed} and {told}");
    // A log that is whole in the database is folded in another language too.
    let demo = house.data.with_file_name("demo");
    Server::start_with(&demo, &["--demo"]).stop();
    crate::versions::folded_elsewhere(&demo, said(&demo, &["log", "replay", "--state-hash"]).trim());
}

/// The first machine that is none of the host's own and no template, with its record.
fn machine(call: &mut Connection, session: &str) -> (Value, Value) {
    let all = call.call("VM.get_all_records", json!([session])).expect("records");
    let all = all.as_object().expect("a map").iter();
    let real = |vm: &Value| vm["is_a_template"] == false && vm["is_control_domain"] == false && vm["VBDs"] != json!([]);
    let mut real = all.filter(|(_, vm)| real(vm) && vm["power_state"] == "Running");
    real.next().map(|(reference, vm)| (json!(reference), vm.clone())).expect("a machine of the demonstration")
}

#[test]
fn a_machine_that_was_destroyed_is_brought_back_from_a_backup() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let server = Server::start_with(&data, &["--demo"]);
    let (mut call, live) = server.login();
    wait_for("the machines run", Duration::from_secs(60), || {
        let pending = call.call("task.get_all_records", json!([live])).expect("records");
        (pending.as_object().expect("a map").values().all(|task| task["status"] != "pending")).then_some(())
    });
    let (vm, before) = machine(&mut call, &live);
    std::fs::create_dir(data.join("backups")).expect("a folder");
    back_up(&data, "one");
    call.call("VM.hard_shutdown", json!([live, vm])).expect("down");
    call.call("VM.destroy", json!([live, vm])).expect("gone");
    let saved = call.call("session.create_from_db_file", json!([live, "one"])).expect("opened");
    for message in ["VM.assert_can_be_recovered", "VM.get_SRs_required_for_recovery"] {
        call.call(message, json!([saved, vm, live])).expect(message);
    }
    assert_eq!(code(call.call("VM.recover", json!([saved, vm, saved, false]))), "SESSION_INVALID", "not into itself");
    assert_eq!(code(call.call("VM.recover", json!([live, vm, live, false]))), "HANDLE_INVALID", "not from here");
    call.call("VM.recover", json!([saved, vm, live, false])).expect("recovered");
    assert_eq!(code(call.call("VM.recover", json!([saved, vm, live, true]))), "DUPLICATE_VM");
    assert_eq!(code(call.call("VM.assert_can_be_recovered", json!([saved, vm, live]))), "DUPLICATE_VM");
    let again = call.call("VM.get_by_uuid", json!([live, before["uuid"]])).expect("it is back");
    assert_ne!(again, vm, "as another object");
    let after = call.call("VM.get_record", json!([live, again])).expect("there");
    for field in ["name_label", "memory_static_max", "VCPUs_max", "HVM_boot_policy", "platform", "other_config"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    let count = |vm: &Value, field: &str| vm[field].as_array().map(Vec::len);
    assert_eq!(["VBDs", "VIFs"].map(|field| count(&after, field)), ["VBDs", "VIFs"].map(|field| count(&before, field)));
    let mac = |call: &mut Connection, session: &Value, vm: &Value| {
        call.call("VIF.get_MAC", json!([session, vm["VIFs"][0]])).expect("an address")
    };
    assert_eq!(mac(&mut call, &json!(live), &after), mac(&mut call, &saved, &before));
    call.call("VM.start", json!([live, again, false, false])).expect("it starts");
    let verified = said(&data, &["log", "verify"]);
    assert!(verified.ends_with("all is well\n"), "{verified}");
}
