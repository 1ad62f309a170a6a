//! Backups of a running server, with archives and without secrets; what a restore begins, and what it refuses.

use crate::program::{complained, said};
use crate::server::{Connection, Failure, PASSWORD, Server, program, wait_for};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};
use std::path::Path;
use std::time::Duration;

fn refused(result: Result<Value, Failure>) -> String {
    match result {
        Err(Failure::Refused(code, _)) => code,
        other => panic!("{other:?}"),
    }
}

pub fn sql(file: &Path, sql: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut connection =
            SqliteConnection::connect(&format!("sqlite://{}", file.display())).await.expect("it opens");
        sqlx::raw_sql(AssertSqlSafe(sql.to_string())).execute(&mut connection).await.expect(sql);
        connection.close().await.expect("closed");
    });
}

fn login(server: &Server, password: &str) -> Result<Value, Failure> {
    let mut connection = Connection::open(server.http).expect("the server accepts");
    connection.call("session.login_with_password", json!(["root", password]))
}

/// Makes networks until told to stop, or the server is gone; says which ones were acknowledged.
fn work(server: &Server, session: &str, stop: std::sync::mpsc::Receiver<()>) -> std::thread::JoinHandle<Vec<String>> {
    let (address, session) = (server.http, session.to_string());
    std::thread::spawn(move || {
        let mut connection = Connection::open(address).expect("the server accepts");
        let mut made = Vec::new();
        while stop.try_recv().is_err() {
            let name = format!("lan {}", made.len());
            connection.call("network.create", json!([session, {"name_label": name}])).expect("created");
            made.push(name);
            std::thread::sleep(Duration::from_millis(10));
        }
        made
    })
}

#[test]
fn a_backup_of_a_running_server_is_whole_and_a_restore_begins_a_new_history() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, again) = (folder.path().join("data"), folder.path().join("again"));
    let file = folder.path().join("backup");
    let path = file.to_str().expect("UTF-8");
    let mut server = Server::start_with(&data, &["--archive-rows", "20", "--keep-rows", "5"]);
    let (mut connection, session) = server.login();
    let kept = json!([session, {"name_label": "all", "classes": ["network"]}]);
    let subscription = connection.call("subscription.create", kept).expect("created");
    let token = |connection: &mut Connection, session: &str| -> Value {
        connection.call("event.from", json!([session, ["network"], "", 1.0])).expect("events")["token"].clone()
    };
    let (stop, stopped) = std::sync::mpsc::channel();
    let working = work(&server, &session, stopped);
    wait_for("something is archived", Duration::from_secs(60), || {
        (!said(&data, &["log", "archive", "--json"]).is_empty()).then_some(())
    });
    let before = token(&mut connection, &session);
    let first = connection.call("network.create", json!([session, {"name_label": "before"}])).expect("created");
    assert!(said(&data, &["log", "backup", path]).contains("up to position"));
    let after = connection.call("network.create", json!([session, {"name_label": "after"}])).expect("created");
    let lost = token(&mut connection, &session);
    stop.send(()).expect("it works");
    working.join().expect("every call was answered while the backup was made");
    assert!(complained(&data, &["log", "backup", path]).contains("is there already"));
    assert!(complained(&data, &["log", "restore", path]).contains("is not empty"));
    server.stop();

    let told = said(&again, &["log", "restore", path]);
    assert!(told.contains("the log goes on at position ") && !told.contains("password"), "{told}");
    let verified = said(&again, &["log", "verify"]);
    assert!(verified.contains("files, each as it was sealed"), "{verified}");
    let server = Server::start(&again);
    let mut connection = Connection::open(server.http).expect("the server accepts");
    let name = |connection: &mut Connection, session: &str, network: &Value| {
        connection.call("network.get_name_label", json!([session, network]))
    };
    assert_eq!(refused(name(&mut connection, &session, &first)), "SESSION_INVALID", "sessions ended");
    let session = login(&server, PASSWORD).expect("the password is in the backup");
    let session = session.as_str().expect("a session");
    assert_eq!(name(&mut connection, session, &first).expect("it is there"), "before");
    assert_eq!(refused(name(&mut connection, session, &after)), "HANDLE_INVALID");
    for old in [before, lost] {
        let answer = connection.call("event.from", json!([session, ["network"], old, 0.0]));
        assert_eq!(refused(answer), "EVENTS_LOST", "{old}");
    }
    assert!(token(&mut connection, session).as_str() > Some("0000000000000001"), "tokens rise");
    the_subscription_is_told_of_the_gap(&mut connection, session, &subscription);
}

fn the_subscription_is_told_of_the_gap(connection: &mut Connection, session: &str, subscription: &Value) {
    let mut messages = Vec::new();
    loop {
        let batch = connection.call("subscription.poll", json!([session, subscription, 1000, 0.0])).expect("a batch");
        let events = batch["events"].as_array().expect("events").clone();
        connection.call("subscription.ack", json!([session, subscription, batch["cursor"]])).expect("taken");
        if events.is_empty() {
            break;
        }
        messages.extend(events);
    }
    let gap = messages.last().expect("it goes on where the backup knows it");
    assert_eq!(gap["message"], "log.restore");
    assert_eq!((&gap["changes"][0]["class"], &gap["changes"][0]["ref"]), (&json!("subscription"), subscription));
    assert!(gap["changes"][0]["changed"]["cursor"]["new"].is_string(), "{gap}");
    assert!(messages.iter().any(|event| event["message"] == "network.create"), "{messages:?}");
    connection.call("network.create", json!([session, {"name_label": "new"}])).expect("created");
    let batch = connection.call("subscription.poll", json!([session, subscription, 1000, 5.0])).expect("a batch");
    assert_eq!(batch["events"][0]["message"], "network.create");
}

#[test]
fn a_backup_without_secrets_has_none_and_root_gets_a_new_password() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, file) = (folder.path().join("data"), folder.path().join("backup"));
    let path = file.to_str().expect("UTF-8");
    let mut server = Server::start(&data);
    let (mut connection, session) = server.login();
    let secret = json!([session, {"value": "do-not-tell-anybody", "other_config": {}}]);
    connection.call("secret.create", secret).expect("created");
    said(&data, &["log", "backup", path, "--no-secrets"]);
    server.stop();
    let bytes = std::fs::read(&file).expect("the backup");
    let has = |what: &[u8]| bytes.windows(what.len()).any(|part| part == what);
    assert!(!has(b"do-not-tell-anybody") && !has(b"$argon2"));
    let key = std::fs::read(data.join("checkpoint-key")).expect("the key");
    assert!(!has(&key) && !has(b"token-key"));
    for (name, chosen) in [("one", None), ("two", Some("a new password for root"))] {
        let again = folder.path().join(name);
        let mut command = program();
        command.args(["log", "restore", path]).env("XENLEDGER_DATA", &again).env_remove("XENLEDGER_ROOT_PASSWORD");
        command.envs(chosen.map(|password| ("XENLEDGER_ROOT_PASSWORD", password)));
        let output = command.output().expect("the program starts");
        let told = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let shown =
            told.lines().find_map(|line| line.strip_prefix("the backup has no secrets; the password of root is "));
        assert_eq!(shown.is_some(), chosen.is_none(), "{told}");
        let server = Server::start(&again);
        let password = chosen.or(shown).expect("one of the two");
        login(&server, password).expect("root has a new password");
        assert_eq!(refused(login(&server, PASSWORD)), "SESSION_AUTHENTICATION_FAILED");
        said(&again, &["log", "verify"]);
    }
}

#[test]
fn what_is_no_backup_or_a_newer_one_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, file) = (folder.path().join("data"), folder.path().join("backup"));
    let path = file.to_str().expect("UTF-8");
    let mut server = Server::start(&data);
    server.login(); // it answers, so it can be told to stop
    server.stop();
    said(&data, &["log", "backup", path]);
    let again = folder.path().join("again");
    let at = |path: &Path| complained(&again, &["log", "restore", path.to_str().expect("UTF-8")]);
    let garbage = folder.path().join("garbage");
    std::fs::write(&garbage, "this is no backup").expect("written");
    assert!(at(&garbage).contains("garbage"), "{}", at(&garbage));
    assert!(at(&data.join("xenledger.db")).contains("is no backup of this program"));
    assert!(at(&folder.path().join("nowhere")).contains("nowhere"));
    sql(&file, "UPDATE backup SET form = 2");
    assert!(at(&file).contains("was written by a newer version of this program"), "{}", at(&file));
    sql(
        &file,
        "UPDATE backup SET form = 1; DROP TRIGGER event_update; UPDATE event SET time = time + 1 WHERE position = 3",
    );
    assert!(at(&file).contains("row 3: its hash does not fit"), "{}", at(&file));
    assert!(!again.exists(), "nothing is left of what was refused");
}

#[test]
fn a_folder_of_a_newer_version_or_in_use_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let mut server = Server::start(&data);
    let serve = ["serve", "--listen", "127.0.0.1:0"];
    assert!(complained(&data, &serve).contains("is in use by process"));
    assert!(complained(&data, &["log", "archive", "--seal"]).contains("is in use by process"));
    server.stop();
    sql(
        &data.join("log.sqlite"),
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (99, 'from the future', 1, x'00', 0)",
    );
    let newer = complained(&data, &serve);
    assert!(newer.contains("was written by a newer version of this program"), "{newer}");
}
