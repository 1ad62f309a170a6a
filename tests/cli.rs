//! The command line against a running server, as people use it.

#[path = "server/mod.rs"]
mod server;

use server::{PASSWORD, Server, program};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// A server, and how to run commands against it.
struct Session {
    folder: tempfile::TempDir,
    server: Server,
}

impl Session {
    fn start() -> Session {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let server = Server::start(&folder.path().join("data"));
        Session { folder, server }
    }

    fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = program();
        command.args(args).env("XENLEDGER_URL", format!("http://{}", self.server.http));
        command.env("XENLEDGER_PASSWORD", PASSWORD).env("XENLEDGER_DATA", self.data());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("the program starts")
    }

    /// What the command prints; it must succeed.
    fn text(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {errors}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// What the command complains about; it must fail.
    fn error(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stderr).expect("UTF-8")
    }

    fn json(&self, args: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.text(args)).expect("JSON")
    }
}

/// The words of a line, however wide its columns are.
fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[test]
fn call_finds_objects_by_name_and_prints_tables() {
    let session = Session::start();
    let created = session.text(&["call", "network.create", "{\"name_label\":\"lab\",\"MTU\":1400}"]);
    assert!(created.starts_with("OpaqueRef:"), "{created}");
    assert_eq!(session.text(&["call", "network.get_MTU", "lab"]), "1400\n");
    assert_eq!(session.text(&["call", "network.add_tags", "lab", "blue"]), "");
    assert_eq!(session.text(&["call", "network.get_tags", created.trim()]), "blue\n");
    let uuid = session.text(&["call", "network.get_uuid", "lab"]);
    assert_eq!(session.text(&["call", "network.get_by_uuid", uuid.trim()]), created);
    let table = session.text(&["call", "network.get_all_records", "--fields", "name_label,MTU,tags"]);
    assert_eq!(words(table.lines().next().unwrap_or_default()), ["NAME_LABEL", "MTU", "TAGS"]);
    assert!(table.lines().any(|line| words(line) == ["lab", "1400", "blue"]), "{table}");
    let record = session.text(&["call", "network.get_record", "lab", "--fields", "MTU"]);
    assert_eq!(words(&record), ["MTU", "1400"]);
    let json = session.json(&["call", "network.get_record", "lab", "--json"]);
    assert_eq!((&json["name_label"], &json["tags"]), (&"lab".into(), &serde_json::json!(["blue"])));
    session.text(&["call", "network.create", "name_label=lab"]);
    assert!(session.error(&["call", "network.get_MTU", "lab"]).contains("several network are named \"lab\""));
    assert!(session.error(&["call", "network.get_MTU", "nowhere"]).contains("there is no network named \"nowhere\""));
}

#[test]
fn call_explains_what_is_wrong() {
    let session = Session::start();
    assert!(session.error(&["call", "VM.strat"]).contains("there is no message VM.strat"));
    assert!(session.error(&["call", "VM.start"]).contains("VM.start takes these arguments:\n  vm (VM ref)"));
    let null = "OpaqueRef:11111111-1111-4111-8111-111111111111";
    assert!(session.error(&["call", "VM.get_uuid", null]).contains(&format!("HANDLE_INVALID(VM, {null})")));
    assert!(session.error(&["call", "VM.get_all", "--password", "wrong"]).contains("\"root\" cannot log in"));
    let nobody = session.error(&["call", "VM.get_all", "--url", "http://127.0.0.1:1"]);
    assert!(nobody.contains("no server at http://127.0.0.1:1"), "{nobody}");
}

#[test]
fn call_waits_for_a_task() {
    let session = Session::start();
    session.text(&["call", "network.create", "name_label=here"]);
    let made = session.text(&["call", "--async", "VM.clone", "Other install media", "copy"]);
    assert!(made.starts_with("OpaqueRef:"), "{made}");
    assert_eq!(session.text(&["call", "VM.get_name_label", made.trim()]), "copy\n");
    let refused = session.error(&["call", "Async.VM.start", "copy", "false", "false"]);
    assert!(refused.contains("VM_IS_TEMPLATE("), "{refused}");
    assert_eq!(session.text(&["call", "task.get_all"]), "", "a task that was waited for is removed");
}

#[test]
fn the_log_is_shown_and_verified_while_a_server_runs_and_afterwards() {
    let mut session = Session::start();
    session.text(&["call", "network.create", "name_label=lab"]);
    session.text(&["call", "network.set_name_description", "lab", "for tests"]);
    let shown = session.text(&["log", "show", "--class", "network", "--limit", "2"]);
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(words(lines[0]), ["POSITION", "TIME", "PRINCIPAL", "MESSAGE", "WHAT", "CHANGED"]);
    assert!(lines[1].contains("user/root") && lines[1].contains("network.create"), "{shown}");
    assert!(shown.contains("name_description"), "{shown}");
    let json = session.text(&["log", "show", "--object", "lab", "--json", "--message", "network.create"]);
    let event: serde_json::Value = serde_json::from_str(json.trim()).expect("one JSON line");
    assert_eq!(event["changes"][0]["fields"]["name_label"], "lab");
    assert_eq!(session.text(&["log", "show", "--principal", "nobody", "--json"]), "");
    assert!(session.error(&["log", "show", "--kind", "nonsense"]).contains("nonsense"));
    let verified = session.json(&["log", "verify", "--json"]);
    assert_eq!(verified["ok"], true, "{verified}");
    session.server.stop();
    let verified = session.text(&["log", "verify"]);
    assert!(verified.ends_with("all is well\n") && verified.contains("equal to the log at position"), "{verified}");
    tampered_store_is_found(&session);
}

fn tampered_store_is_found(session: &Session) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        use sqlx::{Connection, SqliteConnection};
        let file = format!("sqlite://{}", session.data().join("xenledger.db").display());
        let mut store = SqliteConnection::connect(&file).await.expect("the store opens");
        let sql = "UPDATE object SET record = json_set(record, '$.name_label', 'other') WHERE class = 'pool'";
        sqlx::query(sql).execute(&mut store).await.expect("updated");
        store.close().await.expect("closed");
    });
    let wrong = session.error(&["log", "verify"]);
    assert!(wrong.contains("xenledger.db at that position is not what the log says: pool OpaqueRef:"), "{wrong}");
    let output = session.run(&["log", "verify", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(json["ok"], false);
    assert!(json["row"].is_u64(), "{json}");
}

#[test]
fn watch_tells_changes_and_goes_on_where_it_stopped() {
    let session = Session::start();
    let (first, token) = watched(&session, None, "one");
    assert_eq!((&first["operation"], &first["record"]["name_label"]), (&"add".into(), &"one".into()));
    session.text(&["call", "network.create", "name_label=meanwhile"]);
    let (next, _) = watched(&session, Some(&token), "two");
    assert_eq!(next["record"]["name_label"], "meanwhile", "nothing between the two watches is lost");
}

/// Watches networks until the first change, while one of that name is made.
fn watched(session: &Session, token: Option<&str>, name: &str) -> (serde_json::Value, String) {
    let mut command = session.command(&["watch", "network", "--json"]);
    command.args(token.map(|token| format!("--token={token}")));
    let mut child = command.stdout(Stdio::piped()).spawn().expect("the program starts");
    let lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
    let named = format!("name_label={name}");
    let (seen, waiting) = std::sync::mpsc::channel();
    let line = std::thread::scope(|scope| {
        // Of those made for the first watch, some may come after what it has seen.
        let late = |line: &String| token.is_some() && line.contains("\"name_label\":\"one\"");
        scope.spawn(move || {
            let line = lines.map(|line| line.expect("UTF-8")).find(|line| !late(line));
            drop(seen.send(line.expect("a line")));
        });
        // The watch says nothing when it is ready: networks are made until it has seen one.
        server::wait_for("a change is told", server::ANSWER_MAX, || {
            if token.is_none() {
                session.text(&["call", "network.create", &named]);
            }
            waiting.try_recv().ok()
        })
    });
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    let token = line["token"].as_str().expect("a token").to_string();
    (line, token)
}

#[test]
fn the_model_is_printed() {
    let output = program().args(["model", "VM", "VBD"]).output().expect("the program starts");
    let model: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let classes: Vec<_> = model["classes"].as_array().expect("a list").iter().map(|class| &class["class"]).collect();
    assert_eq!(classes, ["VM", "VBD"]);
    assert!(!program().args(["model", "submarine"]).status().expect("it starts").success());
    assert!(!Path::new("xenledger-data").exists(), "printing the model makes nothing");
}

#[test]
fn the_log_is_travelled_in() {
    let session = Session::start();
    session.text(&["call", "network.create", "name_label=lab"]);
    let before = session.text(&["log", "replay", "--state-hash"]);
    let position = words(&before)[0].to_string();
    session.text(&["call", "network.set_name_label", "lab", "bench"]);
    assert_eq!(session.text(&["log", "replay", "--state-hash", "--until", &position]), before);
    let hash = session.text(&["call", "log.get_state_hash", &position]);
    assert_eq!(words(&before)[1], hash.trim(), "the server and the tool agree");
    let then = session.json(&["log", "replay", "--until", &position]);
    let named = |name: &str| {
        then["classes"]["network"].as_object().is_some_and(|all| all.values().any(|one| one["name_label"] == name))
    };
    assert!(named("lab") && !named("bench"));
    let history = session.text(&["log", "history", "network/bench", "name_label"]);
    assert!(history.contains("network.create") && history.contains("name_label: \"lab\" → \"bench\""), "{history}");
    let diff = session.text(&["log", "diff", &position, "--json"]);
    assert!(diff.lines().any(|line| line.contains("\"name_label\":{\"new\":\"bench\",\"old\":\"lab\"}")), "{diff}");
    let diff = session.text(&["log", "diff", &position]);
    assert!(
        diff.lines().any(|line| words(line) == ["network", "\"bench\"", "name_label", "\"lab\"", "\"bench\""]),
        "{diff}"
    );
    let file = session.folder.path().join("then.db");
    session.text(&["log", "replay", "--until", &position, "--sqlite", file.to_str().expect("UTF-8")]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let found: i64 = runtime.block_on(async {
        use sqlx::{Connection, SqliteConnection};
        let mut store = SqliteConnection::connect(&format!("sqlite://{}", file.display())).await.expect("it opens");
        let count = sqlx::query_scalar("SELECT count(*) FROM network WHERE name_label = 'lab'");
        count.fetch_one(&mut store).await.expect("a view")
    });
    assert_eq!(found, 1);
    assert!(session.error(&["log", "replay", "--until", "999999999"]).contains("is not there yet"));
    assert!(session.error(&["log", "history", "network/nothing"]).contains("no object has the reference"));
}

#[test]
fn the_pool_is_served_as_it_was() {
    let session = Session::start();
    session.text(&["call", "network.create", "name_label=lab"]);
    let before = session.text(&["log", "replay", "--state-hash"]);
    session.text(&["call", "network.set_name_label", "lab", "bench"]);
    let past = Server::start_with(&session.data(), &["--read-only", "--at", words(&before)[0]]);
    let url = format!("http://{}", past.http);
    let then = |args: &[&str]| session.text(&[args, &["--url", &url]].concat());
    assert!(then(&["call", "network.get_uuid", "lab"]).len() > 30, "it had that name");
    let refused = session.error(&["call", "network.set_name_label", "lab", "x", "--url", &url]);
    assert!(refused.contains("OPERATION_NOT_ALLOWED"), "{refused}");
    let machines = then(&["call", "VM.get_all_records", "--json"]);
    assert_eq!(machines, session.text(&["call", "VM.get_all_records", "--json"]), "no machine changed since");
    assert!(session.text(&["call", "network.get_uuid", "bench"]).len() > 30, "the present goes on");
}

#[test]
fn the_server_begins_anew_in_the_same_process_and_ends_when_told() {
    let mut session = Session::start();
    session.text(&["call", "network.create", "{\"name_label\":\"lab\",\"MTU\":1400}"]);
    let hosts = session.json(&["call", "host.get_all", "--json"]);
    let here = hosts[0].as_str().expect("a host").to_string();
    session.text(&["call", "host.restart_agent", &here]);
    session.server.listens();
    assert_eq!(session.text(&["call", "network.get_MTU", "lab"]), "1400\n");
    session.text(&["call", "host.shutdown_agent"]);
    let server = &mut session.server;
    server::wait_for("the process ends", server::ANSWER_MAX, || (!server.runs()).then_some(()));
}

#[test]
fn coverage_is_counted_for_people_and_for_programs() {
    let output = program().args(["model", "--coverage"]).output().expect("the program starts");
    let text = String::from_utf8(output.stdout).expect("text");
    let vm = text.lines().find(|line| words(line).first() == Some(&"VM")).expect("a line a class");
    let output = program().args(["model", "--coverage", "--json"]).output().expect("the program starts");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let class = json["classes"].as_array().and_then(|all| all.iter().find(|class| class["class"] == "VM"));
    let class = class.expect("the class");
    let counts = ["fields", "messages", "working", "refused"].map(|name| class[name].to_string());
    assert_eq!(words(vm)[1..5], counts.each_ref().map(String::as_str));
    assert_eq!(json["published"]["classes"], 72);
    assert_eq!(json["published"]["fields"], 922);
}

#[test]
fn operators_see_subscriptions_sessions_and_tasks() {
    let session = Session::start();
    let made = session.text(&["call", "subscription.create", r#"{"name_label": "mine", "classes": ["VM"]}"#]);
    assert!(made.starts_with("OpaqueRef:"), "{made}");
    session.text(&["call", "task.create", "work", ""]);
    let table = session.text(&["subscription", "list"]);
    let lines: Vec<Vec<&str>> = table.lines().map(words).collect();
    assert_eq!(lines[0][..4], ["NAME_LABEL", "OWNER", "STATE", "LAG"]);
    assert_eq!(lines[1][..3], ["mine", "user/root", "active"]);
    let json = session.json(&["subscription", "list", "--json"]);
    assert_eq!(json["streams"], serde_json::json!([]));
    let record = json["subscriptions"].as_object().expect("records").values().next().expect("one");
    assert_eq!((&record["owner"], &record["failures"]), (&"user/root".into(), &0.into()));
    let sessions = session.text(&["session", "list", "--fields", "auth_user_name,originator"]);
    assert!(
        sessions.lines().any(|line| words(line)[0] == "root" && words(line)[1].starts_with("xenledger/")),
        "{sessions}"
    );
    let tasks = session.text(&["task", "list"]);
    assert!(tasks.lines().any(|line| words(line)[..2] == ["work", "pending"]), "{tasks}");
    let before = session.json(&["session", "list", "--json"]);
    session.text(&["call", "pool.set_session_idle_timeout", &pool(&session), "3600"]);
    let after = session.json(&["session", "list", "--json"]);
    let idle = |json: &serde_json::Value| {
        json.as_object().expect("records").values().next().expect("one")["idle_timeout"].clone()
    };
    assert_eq!((idle(&before), idle(&after)), (86_400.into(), 3_600.into()));
    let refused = session.error(&["call", "pool.set_session_idle_timeout", &pool(&session), "0"]);
    assert!(refused.contains("VALUE_NOT_SUPPORTED") && refused.contains("between 10 and"), "{refused}");
}

/// The pool's reference.
fn pool(session: &Session) -> String {
    session.text(&["call", "pool.get_all"]).trim().to_string()
}
