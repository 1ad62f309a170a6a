//! The API from a decoded call to a rendered answer, in one process: the log
//! is in memory, the clock and the ids are simulated.

mod access;
mod arguments;
mod blob;
mod console;
mod deleting;
mod every;
mod furnish;
mod http;
mod local;
mod management;
mod objects;
mod parked;
mod past;
mod paths;
mod push;
mod push_tls;
mod reference;
mod roles;
mod scope;
mod server;
mod sessions;
mod slow;
mod streams;
mod subscriptions;
mod tasks;
mod tokens;

use serde_json::{Value as Json, json};
use server::Server;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use xenledger::command::refused::works;
use xenledger::gateway::gone::Served;
use xenledger::gateway::{Gateway, Parts};
use xenledger::model::{Lifecycle, MODEL};

#[tokio::test]
async fn what_is_refused_is_refused_with_its_code_and_changes_nothing() {
    let server = Server::start().await;
    let (names, cases) = (server.names().await, include_str!("refusals.txt"));
    let before = server.state_hash();
    let mut wrong = Vec::new();
    for line in cases.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (call, expected) = line.split_once(" => ").expect("a case has an outcome");
        let (method, params) = call.split_once(' ').expect("a case has arguments");
        let (code, error) = expected.split_once(' ').expect("an outcome has parameters");
        let answer = server.call(method, names.fill(params)).await;
        let expected = (code.to_string(), names.fill(error));
        let refused = answer.as_ref().expect_err(line).clone();
        if refused != expected {
            wrong.push(format!("{line}\n    answered {refused:?}"));
        }
        assert_eq!(server.state_hash(), before, "{line} changed something");
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_password_that_is_wrong_gives_no_session() {
    let server = Server::start().await;
    let refused = server.call("session.login_with_password", json!(["root", "wrong"])).await.expect_err("a refusal");
    assert_eq!(refused.0, "SESSION_AUTHENTICATION_FAILED");
    assert_eq!(refused.1.as_array().expect("parameters").len(), 2);
}

#[tokio::test]
async fn both_spellings_of_a_message_answer() {
    let server = Server::start().await;
    let session = &server.session;
    let dotted = server.call("VM.get_all", json!([session])).await.expect("answers");
    assert_eq!(server.call("VM_get_all", json!([session])).await.expect("answers"), dotted);
}

#[tokio::test]
async fn integers_are_read_as_text_and_as_numbers() {
    let server = Server::start().await;
    let session = &server.session;
    for (given, expected) in [(json!("7"), 7), (json!(8), 8), (json!("9007199254740993"), 9_007_199_254_740_993_i64)] {
        let network = server.call("network.create", json!([session, {"MTU": given}])).await.expect("created");
        let mtu = server.call("network.get_MTU", json!([session, network])).await.expect("answers");
        assert_eq!(mtu, json!(expected));
    }
}

#[tokio::test]
async fn every_listed_class_answers_with_its_records() {
    let server = Server::start().await;
    let methods = server.call("system.listMethods", json!([])).await.expect("answers without a session");
    let methods: Vec<&str> = methods.as_array().expect("a list").iter().filter_map(Json::as_str).collect();
    assert!(methods.iter().all(|name| !name.starts_with("Async.")));
    let mut classes = 0;
    for method in methods.iter().filter(|name| name.ends_with(".get_all_records")) {
        let records = server.call(method, json!([server.session])).await;
        assert!(records.expect("it is listed, so it answers").is_object(), "{method}");
        classes += 1;
    }
    assert!(classes > 55, "only {classes} classes can be listed");
}

#[tokio::test]
async fn every_class_answers_with_the_records_that_an_expression_asks_for() {
    let server = Server::start().await;
    let session = &server.session;
    let methods = server.call("system.listMethods", json!([])).await.expect("answers without a session");
    let methods = methods.as_array().expect("a list").iter().filter_map(Json::as_str);
    for method in methods.filter(|name| name.ends_with(".get_all_records")) {
        let all = server.call(method, json!([session])).await.expect("listed, so it answers");
        let where_all = server.call(&format!("{method}_where"), json!([session, "true"])).await;
        assert_eq!(where_all.expect("answers"), all, "{method}");
    }
    let expression = "field \"is_control_domain\" = \"true\"";
    let found = server.call("VM.get_all_records_where", json!([session, expression])).await.expect("answers");
    let found: Vec<&Json> = found.as_object().expect("a map").values().collect();
    assert!(!found.is_empty() && found.iter().all(|record| record["is_control_domain"] == json!(true)));
    let references = server.call("VM.get_all_where", json!([session, expression])).await.expect("answers");
    assert_eq!(references.as_array().expect("a list").len(), found.len());
}

#[tokio::test]
async fn an_async_call_of_what_is_done_at_once_gives_a_finished_task() {
    let server = Server::start().await;
    let session = &server.session;
    let names = server.names().await;
    let task = server.call("Async.VM.update_allowed_operations", json!([session, names.vm])).await.expect("a task");
    let record = server.call("task.get_record", json!([session, task])).await.expect("it is there");
    assert_eq!((&record["status"], &record["progress"]), (&json!("success"), &json!(1.0)));
}

#[tokio::test]
async fn logging_out_wakes_the_calls_that_wait() {
    let server = Server::start().await;
    let session = server.call("session.login_with_password", json!(["root", server::PASSWORD])).await.expect("logs in");
    let now = server.call("event.from", json!([session, ["VM"], "", 0.0])).await.expect("answers");
    let blocked = server.call("event.from", json!([session, ["VM"], now["token"], 3600.0]));
    let logout = async {
        tokio::task::yield_now().await;
        server.call("session.logout", json!([session])).await
    };
    let (blocked, logout) = tokio::join!(blocked, logout);
    assert!(logout.is_ok());
    assert_eq!(blocked.expect_err("the session is gone").0, "SESSION_INVALID");
}

#[tokio::test]
async fn event_next_tells_every_change_and_event_from_the_newest_state() {
    let server = Server::start().await;
    let session = &server.session;
    server.call("event.register", json!([session, ["network"]])).await.expect("registers");
    let now = server.call("event.from", json!([session, ["network"], "", 0.0])).await.expect("answers");
    let lan = server.call("network.create", json!([session, {"name_label": "a"}])).await.expect("created");
    server.call("network.set_name_label", json!([session, lan, "b"])).await.expect("renamed");
    server.call("network.destroy", json!([session, lan])).await.expect("destroyed");
    let mut told = Vec::new();
    while told.len() < 3 {
        let events = server.call("event.next", json!([session])).await.expect("answers");
        told.extend(
            events
                .as_array()
                .expect("events")
                .iter()
                .map(|event| (event["operation"].clone(), event["snapshot"]["name_label"].clone())),
        );
    }
    assert_eq!(told, [(json!("add"), json!("a")), (json!("mod"), json!("b")), (json!("del"), json!("b"))]);
    let newest = server.call("event.from", json!([session, ["network"], now["token"], 0.0])).await.expect("answers");
    assert_eq!(newest["events"], json!([]), "what came and went since is not told");
}

#[tokio::test]
async fn a_call_that_is_left_takes_no_events() {
    let server = Server::start().await;
    let session = server.session.clone();
    server.call("event.register", json!([session, ["network"]])).await.expect("registers");
    let create = |name: &'static str| server.call("network.create", json!([session, {"name_label": name}]));
    let (tasks, caller, own) = (TaskTracker::new(), http::another(&server), session.clone());
    let mut left = Served::new(async move { caller.call("event.next", json!([own])).await }, tasks.clone());
    assert!(tokio::time::timeout(Duration::ZERO, &mut left).await.is_err(), "it waits");
    create("behind the client's end").await.expect("created");
    drop(left);
    tasks.close();
    tasks.wait().await;
    let stop = CancellationToken::new();
    let stopping = server.with(Gateway::new(Parts { stop: stop.clone(), ..Parts::clone(&server.gateway) }));
    create("behind the server's stop").await.expect("created");
    stop.cancel();
    assert_eq!(stopping.call("event.next", json!([session])).await, Ok(json!([])), "the server stops");
    create("heard").await.expect("created");
    let told = server.call("event.next", json!([session])).await.expect("answers");
    let names: Vec<&Json> = told.as_array().expect("events").iter().map(|e| &e["snapshot"]["name_label"]).collect();
    assert_eq!(names, ["behind the client's end", "behind the server's stop", "heard"]);
}

#[tokio::test]
async fn the_logs_of_a_host_are_answered_and_as_async_by_a_task() {
    let server = Server::start().await;
    let session = &server.session;
    let hosts = server.call("host.get_all", json!([session])).await.expect("answers");
    let said = server.call("host.dmesg", json!([session, hosts[0]])).await.expect("answers");
    assert!(said.as_str().is_some_and(|text| text.to_lowercase().contains("boot")), "the hypervisor began: {said}");
    server.call("host.dmesg_clear", json!([session, hosts[0]])).await.expect("answers");
    assert_eq!(server.call("host.dmesg", json!([session, hosts[0]])).await.expect("answers"), json!(""));
    let task = server.call("Async.host.get_log", json!([session, hosts[0]])).await.expect("a task");
    assert_eq!(server.call("task.get_status", json!([session, task])).await.expect("there"), json!("success"));
    let nowhere = server.call("host.get_log", json!([session, "OpaqueRef:NULL"])).await.expect_err("no host");
    assert_eq!(nowhere.0, "HANDLE_INVALID");
}

#[tokio::test]
async fn what_was_removed_says_so() {
    let server = Server::start().await;
    let removed = MODEL.messages.iter().filter(|message| message.lifecycle == Lifecycle::Removed);
    let mut count = 0;
    for message in removed {
        let refused = server.call(message.full_name, json!([server.session])).await.expect_err(message.full_name);
        assert_eq!(refused, ("MESSAGE_REMOVED".to_string(), json!([])), "{}", message.full_name);
        count += 1;
    }
    assert!(count > 80, "only {count} messages are removed");
}

#[tokio::test]
async fn the_server_lists_the_messages_that_work() {
    let server = Server::start().await;
    let working = MODEL.messages.iter().filter(|message| works(message)).map(|message| message.full_name);
    let working: BTreeSet<&str> = working.collect();
    for (method, params) in [("system.listMethods", json!([])), ("host.list_methods", json!([server.session]))] {
        let listed = server.call(method, params).await.expect("answers");
        let listed: BTreeSet<&str> = listed.as_array().expect("a list").iter().filter_map(Json::as_str).collect();
        assert_eq!(listed, working, "{method}");
    }
    let refused = MODEL.messages.iter().filter(|message| !works(message) && message.lifecycle != Lifecycle::Removed);
    for message in refused.filter(|message| message.params.is_empty()) {
        let answer = server.call(message.full_name, json!([server.session])).await.expect_err(message.full_name);
        assert_eq!(answer, ("NOT_IMPLEMENTED".to_string(), json!([message.full_name])));
    }
}
