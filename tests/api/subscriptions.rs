//! Subscriptions, streams and what they tell.

use super::http::{another, fetch, forgetful, get, post};
use super::server::{PASSWORD, Server};
use super::sessions::settle;
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;
use xenledger::model::subscription;
use xenledger::subscribe::delivered::Want;
use xenledger::value::Ref;
use xenledger::views::read::Scope;

/// Calls with the session, which must succeed.
pub async fn ask(server: &Server, method: &str, params: &[Json]) -> Json {
    let mut all = vec![json!(server.session)];
    all.extend_from_slice(params);
    server.call(method, Json::Array(all)).await.unwrap_or_else(|error| panic!("{method}: {error:?}"))
}

/// The code with which a call is refused.
pub async fn refused(server: &Server, method: &str, params: &[Json]) -> String {
    let mut all = vec![json!(server.session)];
    all.extend_from_slice(params);
    server.call(method, Json::Array(all)).await.expect_err(method).0
}

pub async fn subscribe(server: &Server, record: Json) -> Json {
    ask(server, "subscription.create", &[record]).await
}

pub async fn poll(server: &Server, subscription: &Json) -> Json {
    ask(server, "subscription.poll", &[subscription.clone(), json!(1000), json!(0.0)]).await
}

/// All that a subscription has to tell, acknowledged on the way.
pub async fn drain(server: &Server, subscription: &Json) -> Vec<Json> {
    let mut all = Vec::new();
    loop {
        let told = ask(server, "subscription.poll", &[subscription.clone(), json!(3), json!(0.0)]).await;
        let events = told["events"].as_array().expect("events").clone();
        if events.is_empty() {
            return all;
        }
        all.extend(events);
        ask(server, "subscription.ack", &[subscription.clone(), told["cursor"].clone()]).await;
    }
}

pub fn machine(name: &str) -> Json {
    json!({"name_label": name, "memory_static_max": 16 << 20, "memory_dynamic_max": 16 << 20, "memory_dynamic_min": 16 << 20,
        "memory_static_min": 16 << 20, "VCPUs_max": 1, "VCPUs_at_startup": 1, "HVM_boot_policy": "BIOS order"})
}

/// A history with everything in it: objects that come, change, refer to each other and go.
pub async fn live(server: &Server, rounds: u64) {
    let network = ask(server, "network.create", &[json!({"name_label": "lan"})]).await;
    for round in 0..rounds {
        let vm = ask(server, "VM.create", &[machine(&format!("m{round}"))]).await;
        let vif = json!({"VM": vm, "network": network, "device": "0", "MAC": "", "MTU": 1500, "other_config": {}});
        let vif = ask(server, "VIF.create", &[vif]).await;
        ask(server, "VM.add_tags", &[vm.clone(), json!(format!("t{round}"))]).await;
        ask(server, "VM.add_to_other_config", &[vm.clone(), json!("k"), json!(round.to_string())]).await;
        ask(server, "VM.set_tags", &[vm.clone(), json!(["a", "b"])]).await;
        ask(server, "VM.remove_tags", &[vm.clone(), json!("a")]).await;
        ask(server, "network.set_name_label", &[network.clone(), json!(format!("lan{round}"))]).await;
        if round % 3 == 1 {
            ask(server, "VIF.destroy", &[vif]).await;
        }
        if round % 2 == 1 {
            ask(server, "VM.remove_from_other_config", &[vm.clone(), json!("k")]).await;
            ask(server, "VM.destroy", &[vm]).await;
        }
    }
}

#[tokio::test]
async fn every_change_is_told_once_in_order_with_who_did_it() {
    let server = Server::start().await;
    let network = ask(&server, "network.create", &[json!({"name_label": "a"})]).await;
    let own = subscribe(&server, json!({"classes": ["Network.name_label"]})).await;
    for name in ["b", "c", "b"] {
        ask(&server, "network.set_name_label", &[network.clone(), json!(name)]).await;
        ask(&server, "network.set_name_description", &[network.clone(), json!(name)]).await;
    }
    let told = poll(&server, &own).await;
    let changes: Vec<Json> = told["events"].as_array().expect("events").iter().map(|e| e["changes"].clone()).collect();
    let change = |old: &str, new: &str| json!({"name_label": {"old": old, "new": new}});
    let expected = [change("a", "b"), change("b", "c"), change("c", "b")];
    assert_eq!(changes.iter().map(|c| c[0]["changed"].clone()).collect::<Vec<_>>(), expected);
    let first = &told["events"][0];
    assert_eq!((&first["principal"], &first["message"]), (&json!("user/root"), &json!("network.set_name_label")));
    assert_eq!((&changes[0][0]["class"], &changes[0][0]["ref"]), (&json!("network"), &network));
    assert_eq!(changes[0][0]["operation"], "mod");
    assert_eq!(poll(&server, &own).await["events"], told["events"], "what was not acknowledged is told again");
    ask(&server, "subscription.ack", &[own.clone(), told["cursor"].clone()]).await;
    assert_eq!(poll(&server, &own).await["events"], json!([]));
    assert_eq!(refused(&server, "subscription.ack", &[own.clone(), json!("99999999,1")]).await, "EVENTS_LOST");
    let back = ask(&server, "subscription.resume_from", &[own.clone(), json!("")]).await;
    assert_eq!(back, json!(""));
    let all = poll(&server, &own).await;
    assert!(
        all["events"].as_array().expect("events").len() > 3,
        "from the beginning, the pool's own networks come first"
    );
}

#[tokio::test]
async fn what_comes_from_the_log_is_what_came_from_memory() {
    let server = Server::start().await;
    let wants = [
        json!({"classes": ["*"], "snapshots": true}),
        json!({"classes": ["VM"]}),
        json!({"classes": ["VM.VIFs", "network.VIFs", "VIF.network"]}),
        json!({"classes": ["VM", "network"], "predicate": {"VM.tags": "b,t1"}}),
    ];
    // Somebody follows, so that batches are kept from here on.
    server.call("event.register", json!([server.session, ["VM"]])).await.expect("registers");
    let mut subscriptions = Vec::new();
    for want in &wants {
        subscriptions.push((subscribe(&server, want.clone()).await, want));
    }
    let blocked = subscriptions[0].0.clone();
    live(&server, 8).await;
    let forgetful = forgetful(&server);
    for (subscription, want) in &subscriptions {
        let ring = poll(&server, subscription).await;
        let log = drain(&forgetful, subscription).await;
        assert!(ring["events"].as_array().expect("events").len() >= 8, "{want}");
        assert_eq!(json!(log), ring["events"], "{want}");
    }
    assert_eq!(drain(&forgetful, &blocked).await.len(), 0, "all is acknowledged");
}

/// Applies one told event to a client's copy of the objects.
pub fn apply(copy: &mut Map<String, Json>, event: &Json) {
    for change in event["changes"].as_array().expect("changes") {
        let key = format!("{} {}", change["class"].as_str().expect("text"), change["ref"].as_str().expect("text"));
        match change["operation"].as_str() {
            Some("add") => drop(copy.insert(key, change["snapshot"].clone())),
            Some("del") => assert!(copy.remove(&key).is_some(), "{key} is deleted and was never there"),
            _ => {
                let object = copy.get_mut(&key).unwrap_or_else(|| panic!("{key} changed and was never there"));
                for (field, how) in change["changed"].as_object().expect("fields") {
                    change_field(&mut object[field], how);
                }
            }
        }
    }
}

fn change_field(value: &mut Json, how: &Json) {
    if let (Some(added), Some(removed)) = (how["added"].as_array(), how["removed"].as_array()) {
        let members = value.as_array_mut().expect("a set");
        members.retain(|member| !removed.contains(member));
        members.extend(added.iter().cloned());
    } else if let Some(set) = how["set"].as_object() {
        let map = value.as_object_mut().expect("a map");
        how["removed"].as_object().expect("keys").keys().for_each(|key| drop(map.remove(key)));
        set.iter().for_each(|(key, pair)| {
            let new = pair.as_array().and_then(|pair| pair.last()).expect("a new value");
            map.insert(key.clone(), new.clone());
        });
    } else {
        *value = how["new"].clone();
    }
}

/// Sets have no order.
pub fn sorted(value: &Json) -> Json {
    match value {
        Json::Array(members) => {
            let mut members: Vec<Json> = members.iter().map(sorted).collect();
            members.sort_by_key(Json::to_string);
            Json::Array(members)
        }
        Json::Object(map) => map.iter().map(|(key, value)| (key.clone(), sorted(value))).collect(),
        other => other.clone(),
    }
}

#[tokio::test]
async fn a_snapshot_and_the_stream_behind_it_are_the_servers_view() {
    let server = Server::start().await;
    live(&server, 3).await;
    let path = |token: &str| {
        format!("/events?classes=VM,network,VIF&session_id={}&timeout=0&max=7&token={token}", server.session)
    };
    let (status, begin) = get(&server, &path("")).await;
    assert_eq!(status, 200);
    let mut copy = Map::new();
    for object in begin["snapshot"].as_array().expect("objects") {
        let key = format!("{} {}", object["class"].as_str().expect("text"), object["ref"].as_str().expect("text"));
        copy.insert(key, object["snapshot"].clone());
    }
    let mut token = begin["token"].as_str().expect("a token").to_string();
    for round in 0..5 {
        live(&server, 4).await;
        loop {
            let (_, told) = get(&server, &path(&token)).await;
            token = told["token"].as_str().expect("a token").to_string();
            let events = told["events"].as_array().expect("events");
            if events.is_empty() {
                break;
            }
            events.iter().for_each(|event| apply(&mut copy, event));
        }
        let mut theirs = Map::new();
        for class in ["VM", "network", "VIF"] {
            let records = ask(&server, &format!("{class}.get_all_records"), &[]).await;
            for (reference, record) in records.as_object().expect("records") {
                theirs.insert(format!("{class} {reference}"), record.clone());
            }
        }
        assert_eq!(sorted(&json!(copy)), sorted(&json!(theirs)), "round {round}");
    }
}

#[tokio::test]
async fn a_filter_that_names_nothing_is_refused() {
    let server = Server::start().await;
    for record in [json!({"classes": ["VMs"]}), json!({"classes": ["VM.power"]}), json!({"predicate": {"nope": "x"}})] {
        assert_eq!(refused(&server, "subscription.create", &[record]).await, "EVENT_SUBSCRIPTION_PARSE_FAILURE");
    }
    let own = subscribe(&server, json!({})).await;
    assert_eq!(
        refused(&server, "subscription.set_classes", &[own, json!(["x"])]).await,
        "EVENT_SUBSCRIPTION_PARSE_FAILURE"
    );
    let (status, body) = get(&server, &format!("/events?classes=x&timeout=0&session_id={}", server.session)).await;
    assert_eq!((status, &body["error"]), (400, &json!("EVENT_SUBSCRIPTION_PARSE_FAILURE")));
    assert_eq!(get(&server, "/events?timeout=0").await.0, 401);
    let (status, body) = get(&server, &format!("/events?timeout=0&token=9,9&session_id={}", server.session)).await;
    assert_eq!((status, &body["error"]), (410, &json!("EVENTS_LOST")));
}

/// A user with a role and a list of what it may read, logged in.
pub async fn limited(server: &Server, name: &str, role: &str, reads: Json) -> Server {
    let roles = ask(server, "role.get_by_name_label", &[json!(role)]).await;
    let user =
        ask(server, "user.create", &[json!({"short_name": name, "fullname": name, "roles": roles, "reads": reads})])
            .await;
    ask(server, "user.set_password", &[user, json!("a long password")]).await;
    let session = server.call("session.login_with_password", json!([name, "a long password"])).await.expect("logs in");
    let mut theirs = another(server);
    theirs.session = session.as_str().expect("a session").to_string();
    theirs
}

#[tokio::test]
async fn what_may_not_be_read_is_told_by_no_way() {
    let server = Server::start().await;
    let shown = ask(&server, "VM.create", &[machine("shown")]).await;
    let hidden = ask(&server, "VM.create", &[machine("hidden")]).await;
    let reads = json!(["network", format!("VM/{}", shown.as_str().expect("a reference"))]);
    let theirs = limited(&server, "eve", "vm-admin", reads).await;
    let own = subscribe(&theirs, json!({"classes": ["*"], "snapshots": true})).await;
    let (_, begin) = get(&theirs, &format!("/events?timeout=0&session_id={}", theirs.session)).await;
    let token = begin["token"].as_str().expect("a token").to_string();
    let network = ask(&server, "network.create", &[json!({"name_label": "lan"})]).await;
    for vm in [&shown, &hidden] {
        let vif = json!({"VM": vm, "network": network, "device": "0", "MAC": "", "MTU": 1500, "other_config": {}});
        ask(&server, "VIF.create", &[vif]).await;
        ask(&server, "VM.set_name_label", &[vm.clone(), json!("renamed")]).await;
    }
    let polled = poll(&theirs, &own).await;
    let (_, streamed) = get(&theirs, &format!("/events?timeout=0&token={token}&session_id={}", theirs.session)).await;
    let from = ask(&theirs, "event.from", &[json!(["*"]), json!(""), json!(0.0)]).await;
    let records = ask(&theirs, "VM.get_all_records", &[]).await;
    let selected = ask(&theirs, "VM.get_all_records_where", &[json!("true")]).await;
    let networks = ask(&theirs, "network.get_all_records", &[]).await;
    for (way, told) in [
        ("poll", &polled),
        ("stream", &streamed),
        ("snapshot", &begin),
        ("from", &from),
        ("records", &records),
        ("where", &selected),
        ("networks", &networks),
    ] {
        let text = told.to_string();
        assert!(!text.contains(hidden.as_str().expect("a reference")), "{way}: {text}");
        assert!(!text.contains("hidden"), "{way}: {text}");
        for class in ["\"VIF\"", "\"host\"", "\"SR\"", "\"vif\""] {
            let named = text.contains(&format!("\"class\":{class}"));
            assert!(!named, "{way} tells of {class}: {text}");
        }
    }
    assert_eq!(records.as_object().expect("records").len(), 1);
    assert_eq!(from["valid_ref_counts"]["vm"], json!(1));
    assert_eq!(from["valid_ref_counts"]["host"], json!(0));
    assert!(polled["events"].as_array().expect("events").len() >= 2, "what may be read is told: {polled}");
    let positions = |told: &Json| {
        told["events"].as_array().expect("events").iter().map(|event| event["position"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(positions(&polled), positions(&streamed));
    let messages = [("VM.get_record", &hidden), ("VM.get_name_label", &hidden), ("VM.set_name_label", &hidden)];
    for (method, about) in messages {
        let mut params = vec![about.clone()];
        params.extend(method.contains("set_").then(|| json!("mine")));
        assert_eq!(refused(&theirs, method, &params).await, "HANDLE_INVALID", "{method}");
    }
    assert_eq!(refused(&theirs, "event.inject", &[json!("VM"), hidden.clone()]).await, "HANDLE_INVALID");
    let others = subscribe(&server, json!({})).await;
    assert_eq!(refused(&theirs, "subscription.poll", &[others, json!(1), json!(0.0)]).await, "HANDLE_INVALID");
}

#[tokio::test]
async fn only_its_owner_and_operators_may_use_a_subscription_and_only_they_call_out() {
    let server = Server::start().await;
    let theirs = limited(&server, "bob", "read-only", json!(["*"])).await;
    let others = subscribe(&server, json!({})).await;
    let own = subscribe(&theirs, json!({"name_label": "mine"})).await;
    for method in ["subscription.poll", "subscription.pause", "subscription.destroy"] {
        assert_eq!(refused(&theirs, method, std::slice::from_ref(&others)).await, "RBAC_PERMISSION_DENIED", "{method}");
    }
    let aimed = json!({"destination": "https://example.org/hook"});
    assert_eq!(refused(&theirs, "subscription.create", &[aimed]).await, "RBAC_PERMISSION_DENIED");
    let aim = [own.clone(), json!("https://example.org/hook")];
    assert_eq!(refused(&theirs, "subscription.set_destination", &aim).await, "RBAC_PERMISSION_DENIED");
    ask(&server, "subscription.pause", std::slice::from_ref(&own)).await;
    ask(&server, "network.create", &[json!({})]).await;
    assert_eq!(poll(&theirs, &own).await["events"], json!([]), "paused");
    ask(&theirs, "subscription.resume", std::slice::from_ref(&own)).await;
    assert_eq!(poll(&theirs, &own).await["events"].as_array().expect("events").len(), 1, "nothing is lost meanwhile");
    let login = server.call("session.login_with_password", json!(["root", PASSWORD])).await;
    assert!(login.is_ok());
}

#[tokio::test]
async fn a_poll_that_waits_is_woken_by_what_it_waits_for() {
    let server = Server::start().await;
    let network = ask(&server, "network.create", &[json!({"name_label": "a"})]).await;
    let text = format!("network/{}.name_label", network.as_str().expect("a reference"));
    let own = subscribe(&server, json!({"classes": [text], "predicate": {"name_label": "c"}})).await;
    let waits = ask_later(&server, &own);
    let changes = async {
        tokio::task::yield_now().await;
        ask(&server, "network.set_name_label", &[network.clone(), json!("b")]).await;
        ask(&server, "network.set_name_label", &[network.clone(), json!("c")]).await;
    };
    let (told, ()) = tokio::join!(waits, changes);
    assert_eq!(told["events"][0]["changes"][0]["changed"]["name_label"], json!({"old": "b", "new": "c"}));
    assert_eq!(told["events"].as_array().expect("events").len(), 1);
}

async fn ask_later(server: &Server, own: &Json) -> Json {
    ask(server, "subscription.poll", &[own.clone(), json!(10), json!(3600.0)]).await
}

/// Reads a stream's messages, without heartbeats, until it has as many.
pub async fn messages(body: &mut axum::body::Body, count: usize) -> Vec<String> {
    use http_body_util::BodyExt;
    let mut text = String::new();
    loop {
        let found: Vec<String> = text.split("\n\n").map(str::to_string).filter(|m| m.contains("data: ")).collect();
        if found.len() >= count && text.ends_with("\n\n") {
            return found;
        }
        let Some(frame) = body.frame().await else { return found };
        text.push_str(std::str::from_utf8(&frame.expect("a frame").into_data().expect("data")).expect("text"));
    }
}

#[tokio::test]
async fn a_stream_goes_on_where_it_was_cut_and_ends_with_a_reason() {
    let server = Server::start().await;
    let session = server.call("session.login_with_password", json!(["root", PASSWORD])).await.expect("logs in");
    let path = format!("/events?classes=network&token=now&session_id={}", session.as_str().expect("a session"));
    let (status, mut body) = fetch(&server, &path, &[]).await;
    assert_eq!(status, 200);
    for name in ["a", "b"] {
        ask(&server, "network.create", &[json!({"name_label": name})]).await;
    }
    let told = messages(&mut body, 2).await;
    let id = told[0].lines().find_map(|line| line.strip_prefix("id: ")).expect("an id").to_string();
    assert!(told[0].contains("\"name_label\":\"a\"") && told[1].contains("\"name_label\":\"b\""), "{told:?}");
    drop(body);
    let (_, mut body) = fetch(&server, &path, &[("Last-Event-ID", &id)]).await;
    let again = messages(&mut body, 1).await;
    assert_eq!(again[0], told[1], "equal, its id included");
    server.call("session.logout", json!([session])).await.expect("logs out");
    let end = messages(&mut body, 2).await;
    assert!(end.last().expect("an end").starts_with("event: end\n"), "{end:?}");
}

#[tokio::test]
async fn a_tasks_end_is_waited_for_and_told_to_whom_it_names() {
    let server = Server::start().await;
    let own = subscribe(&server, json!({"classes": ["network"]})).await;
    let task = ask(&server, "task.create", &[json!("mine"), json!("")]).await;
    let pending = ask(&server, "task.wait", &[task.clone(), json!(0.0)]).await;
    assert_eq!(pending["status"], "pending");
    ask(&server, "task.set_notify", &[task.clone(), own.clone()]).await;
    let later = async { ask(&server, "task.wait", &[task.clone(), json!(3600.0)]).await };
    let told = ask_later(&server, &own);
    let ends = async {
        tokio::task::yield_now().await;
        ask(&server, "task.set_progress", &[task.clone(), json!(0.5)]).await;
        ask(&server, "task.set_status", &[task.clone(), json!("success")]).await;
    };
    let (ended, told, ()) = tokio::join!(later, told, ends);
    assert_eq!((&ended["status"], &ended["progress"]), (&json!("success"), &json!(1.0)));
    let change = &told["events"][0]["changes"][0];
    assert_eq!((&change["ref"], &change["snapshot"]["status"]), (&task, &json!("success")));
    let gone = ask(&server, "task.create", &[json!("over"), json!("")]).await;
    ask(&server, "subscription.ack", &[own.clone(), told["cursor"].clone()]).await;
    ask(&server, "task.set_status", &[gone.clone(), json!("failure")]).await;
    assert_eq!(poll(&server, &own).await["events"], json!([]), "other tasks are not told");
    ask(&server, "task.set_notify", &[gone.clone(), own.clone()]).await;
    assert_eq!(poll(&server, &own).await["events"][0]["changes"][0]["ref"], gone, "an end that was before");
}

#[tokio::test]
async fn a_state_is_waited_for_and_one_that_was_is_not_missed() {
    let server = Server::start().await;
    let network = ask(&server, "network.create", &[json!({"name_label": "a"})]).await;
    let object = json!(format!("network/{}", network.as_str().expect("a reference")));
    let wait = async |name: &str, token: &Json, timeout: f64| {
        ask(&server, "event.wait", &[object.clone(), json!({"name_label": name}), token.clone(), json!(timeout)]).await
    };
    let now = wait("a", &json!(""), 3600.0).await;
    assert_eq!((&now["met"], &now["snapshot"]["name_label"]), (&json!(true), &json!("a")));
    assert_eq!(wait("b", &json!(""), 0.0).await["met"], json!(false));
    let token = now["token"].clone();
    for name in ["b", "c"] {
        ask(&server, "network.set_name_label", &[network.clone(), json!(name)]).await;
    }
    assert_eq!(wait("b", &token, 3600.0).await["met"], json!(true), "it was, since the token");
    let comes = async {
        tokio::task::yield_now().await;
        ask(&server, "network.set_name_label", &[network.clone(), json!("d")]).await;
        ask(&server, "network.set_name_label", &[network.clone(), json!("e")]).await;
    };
    let nothing = json!("");
    let (waited, _) = tokio::join!(wait("d", &nothing, 3600.0), comes);
    assert_eq!(waited["met"], json!(true));
    ask(&server, "network.destroy", std::slice::from_ref(&network)).await;
    let gone = [object.clone(), json!({"name_label": "x"}), json!(""), json!(0.0)];
    assert_eq!(refused(&server, "event.wait", &gone).await, "HANDLE_INVALID");
    let whole = [json!("network"), json!({}), json!(""), json!(0.0)];
    assert_eq!(refused(&server, "event.wait", &whole).await, "EVENT_SUBSCRIPTION_PARSE_FAILURE");
}

#[tokio::test]
async fn subscriptions_to_the_same_share_what_is_told_but_not_what_one_of_them_is_told_alone() {
    let server = Server::start().await;
    let own = subscribe(&server, json!({"classes": ["network"]})).await;
    let other = subscribe(&server, json!({"classes": ["network"]})).await;
    let task = ask(&server, "task.create", &[json!("mine"), json!("")]).await;
    ask(&server, "task.set_notify", &[task.clone(), own.clone()]).await;
    settle().await;
    let view = server.view();
    ask(&server, "network.create", &[json!({"name_label": "lan"})]).await;
    ask(&server, "task.set_status", &[task, json!("success")]).await;
    settle().await;
    let told = async |which: &Json| {
        let reference = Ref::parse(which.as_str().expect("a reference")).expect("one");
        let held = view.find::<subscription>(reference).expect("there");
        let want = Arc::new(Want::of(held, Scope::All).expect("a filter"));
        let page = server.gateway.feed.page(view.position, &want, 10).await.expect("a page");
        page.events().cloned().collect::<Vec<_>>()
    };
    let (own, other) = (told(&own).await, told(&other).await);
    assert!(Arc::ptr_eq(&own[0], &other[0]), "made once for both");
    assert_eq!((own.len(), other.len()), (2, 1), "the end of the task is told to one");
}

#[tokio::test]
async fn a_task_is_told_to_the_subscription_that_its_call_names() {
    let server = Server::start().await;
    let own = subscribe(&server, json!({"classes": ["blob"]})).await;
    let theirs = limited(&server, "eve", "vm-admin", json!(["*"])).await;
    let call = |server: &Server| {
        let params = json!([server.session, {"name_label": "lan"}]);
        json!({"jsonrpc": "2.0", "id": 1, "method": "Async.network.create", "params": params})
    };
    let networks = async || ask(&server, "network.get_all", &[]).await.as_array().expect("a list").len();
    let before = networks().await;
    let named = own.as_str().expect("a reference");
    for (server, named, code) in [(&theirs, named, "RBAC_PERMISSION_DENIED"), (&server, "nonsense", "HANDLE_INVALID")] {
        let answer = post(server, &call(server), &[("x-xenapi-notify", named)]).await;
        assert_eq!(answer["error"]["message"], code, "{answer}");
    }
    assert_eq!(networks().await, before, "nothing was begun that could not be told of");
    let task = post(&server, &call(&server), &[("x-xenapi-notify", named)]).await["result"].clone();
    let change = &poll(&server, &own).await["events"][0]["changes"][0];
    assert_eq!((&change["class"], &change["ref"]), (&json!("task"), &task));
}
