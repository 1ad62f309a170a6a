//! The log as others see it: over HTTP, in signed checkpoints, and in what the tools say about it.

#[path = "server/mod.rs"]
mod server;

use serde_json::{Value, json};
use server::{Answer, PASSWORD, Server, program};
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};
use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Output;

fn get(server: &Server, path: &str, session: &str) -> Answer {
    let mut stream = TcpStream::connect(server.http).expect("the server accepts");
    let cookie = if session.is_empty() { String::new() } else { format!("Cookie: session_id={session}\r\n") };
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\n{cookie}Connection: close\r\n\r\n").expect("sent");
    Answer::read(&mut BufReader::new(stream)).expect("an answer")
}

fn text(answer: Answer) -> String {
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    String::from_utf8(answer.body).expect("UTF-8")
}

fn log(data: &Path, args: &[&str]) -> Output {
    program().arg("log").args(args).arg("--data").arg(data).output().expect("the program starts")
}

#[track_caller]
fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[track_caller]
fn complained(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn run_sql(data: &Path, sql: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let file = format!("sqlite://{}", data.join("log.sqlite").display());
        let mut log = SqliteConnection::connect(&file).await.expect("the log opens");
        sqlx::raw_sql(AssertSqlSafe(sql.to_string())).execute(&mut log).await.expect(sql);
        log.close().await.expect("closed");
    });
}

#[test]
fn everything_that_was_tried_is_told_to_those_who_may_know() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(&folder.path().join("data"));
    let (mut connection, session) = server.login();
    let network = connection.call("network.create", json!([session, {"name_label": "lab \"1\""}])).expect("created");
    let gone = "OpaqueRef:11111111-1111-4111-8111-111111111111";
    connection.call("VM.start", json!([session, gone, false, false])).expect_err("refused");
    connection.call("session.login_with_password", json!(["root", "wrong"])).expect_err("refused");
    let secret = json!([session, {"value": "hunter2", "value_x": 1}]);
    drop(connection.call("secret.create", secret));
    connection.call("secret.create", json!([session, {"value": "hunter3", "other_config": {}}])).expect("created");
    connection.call("pool.join", json!([session, "192.0.2.1", "root", "hunter4"])).expect_err("refused");
    let extras = json!({"password": "hunter5"});
    connection.call("host.call_plugin", json!([session, gone, "plugin", "run", extras])).expect_err("refused");
    connection.call("network.set_name_label", json!([session, network, "bench"])).expect("set");

    let lines = text(get(&server, "/log?class=network&outcome=done&principal=user/root", &session));
    let events: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let messages: Vec<&Value> = events.iter().map(|event| &event["message"]).collect();
    assert_eq!(messages, ["network.create", "network.set_name_label"]);
    assert_eq!(events[1]["objects"][0]["name"], "bench");
    let lines = text(get(&server, "/log?outcome=refused&message=VM.start", &session));
    let refused: Value = serde_json::from_str(lines.trim()).expect("one line");
    assert_eq!((&refused["error"][0], &refused["args"]["vm"]), (&json!("HANDLE_INVALID"), &json!(gone)));
    assert_eq!(refused["auth"], "session");
    let all = text(get(&server, "/log", &session));
    assert!(!all.contains("hunter") && !all.contains(PASSWORD), "no secret is told");
    assert_eq!(text(get(&server, "/log?limit=3", &session)).lines().count(), 3);
    assert_eq!(get(&server, "/log?nonsense=1", &session).status, 400);
    assert_eq!(get(&server, "/log", "").status, 401);

    let audit = text(get(&server, "/audit_log?since=20200101T00:00:00.000Z", &session));
    let line = |what: &str| audit.lines().find(|line| line.contains(what)).unwrap_or_else(|| panic!("{what}: {audit}"));
    assert!(line("\"network.set_name_label\"").contains("\"LOCAL_SUPERUSER\" \"root\" \"ALLOWED\" \"OK\" \"API\""));
    assert!(line("\"network.set_name_label\"").contains("(\"network\" \"bench\" "), "{audit}");
    assert!(line("\"VM.start\"").contains("\"ALLOWED\" \"ERROR:HANDLE_INVALID\""), "{audit}");
    assert!(line("\"DENIED\"").contains("session.login_with_password"), "{audit}");
    assert!(audit.lines().all(|line| line.starts_with('[') && line.ends_with("))")), "{audit}");
    assert_eq!(text(get(&server, "/audit_log?since=20990101T00:00:00Z", &session)), "");
    assert_eq!(get(&server, "/audit_log", "").status, 401);
}

#[test]
fn a_checkpoint_proves_that_nothing_was_rewritten_or_cut() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let mut server = Server::start(&data);
    let (mut connection, session) = server.login();
    for name in ["a", "b", "c"] {
        connection.call("network.create", json!([session, {"name_label": name}])).expect("created");
    }
    let note = text(get(&server, "/log/checkpoint", ""));
    let position: u64 = note.lines().nth(1).and_then(|line| line.parse().ok()).expect("a position");
    let (file, key) = (folder.path().join("note"), said(&log(&data, &["checkpoint", "--key"])));
    std::fs::write(&file, &note).expect("written");
    let file = file.to_str().expect("UTF-8");
    connection.call("network.create", json!([session, {"name_label": "d"}])).expect("created");
    let proved = said(&log(&data, &["verify", "--checkpoint", file, "--key", key.trim()]));
    assert!(proved.contains(&format!("the row at position {position} is the one of the checkpoint")), "{proved}");
    let scheduled = std::fs::read_to_string(data.join("checkpoint")).expect("signed when it started");
    assert!(scheduled.starts_with("xenledger/"), "{scheduled}");
    let forged = folder.path().join("forged");
    std::fs::write(&forged, note.replacen(&position.to_string(), "1", 1)).expect("written");
    let wrong = complained(&log(&data, &["verify", "--checkpoint", forged.to_str().expect("UTF-8")]));
    assert!(wrong.contains("no signature in it is by xenledger/"), "{wrong}");
    server.stop();
    let cut = format!("DROP TRIGGER event_delete; DELETE FROM event WHERE position >= {position}");
    run_sql(&data, &cut);
    std::fs::remove_file(data.join("xenledger.db")).expect("the store is there");
    said(&log(&data, &["verify"]));
    let wrong = complained(&log(&data, &["verify", "--checkpoint", file, "--key", key.trim()]));
    assert!(wrong.contains(&format!("row {position}: it is signed in the checkpoint")), "{wrong}");
}
