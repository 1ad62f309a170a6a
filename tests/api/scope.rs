//! What a principal may not read it is told by no way, and cannot infer: not from what it is told of what it may read,
//! nor from counts, from the positions of matches, or from errors.

use super::http::{another, fetch, get};
use super::server::Server;
use super::subscriptions::{ask, machine, messages, poll, refused, subscribe};
use serde_json::{Value as Json, json};
use tokio::sync::mpsc;

const NOWHERE: &str = "OpaqueRef:11111111-1111-4111-8111-111111111111";

/// A pool of which somebody may read one machine and one network.
struct House {
    root: Server,
    eve: Server,
    user: Json,
    shown: Json,
    hidden: Json,
    /// The network that may be read, and one that may not.
    lan: Json,
    dark: Json,
    host: Json,
}

impl House {
    async fn new() -> House {
        let root = Server::start().await;
        let shown = ask(&root, "VM.create", &[machine("shown")]).await;
        let hidden = ask(&root, "VM.create", &[machine("hidden")]).await;
        let lan = ask(&root, "network.create", &[json!({"name_label": "lan"})]).await;
        let dark = ask(&root, "network.create", &[json!({"name_label": "dark"})]).await;
        let host = ask(&root, "host.get_all", &[]).await[0].clone();
        let roles = ask(&root, "role.get_by_name_label", &[json!("vm-admin")]).await;
        let reads = reads(&[("VM", &shown), ("network", &lan)]);
        let record = json!({"short_name": "eve", "fullname": "Eve", "roles": roles, "reads": reads});
        let user = ask(&root, "user.create", &[record]).await;
        ask(&root, "user.set_password", &[user.clone(), json!("a long password")]).await;
        let login = root.call("session.login_with_password", json!(["eve", "a long password"])).await;
        let mut eve = another(&root);
        eve.session = login.expect("logs in").as_str().expect("a session").to_string();
        House { root, eve, user, shown, hidden, lan, dark, host }
    }

    /// Changes that nobody sees who sees only the one machine and the one network, though some touch both.
    async fn change_in_the_dark(&self) {
        let root = &self.root;
        for (vm, network) in [(&self.shown, &self.dark), (&self.hidden, &self.lan), (&self.shown, &self.lan)] {
            let vif = json!({"VM": vm, "network": network, "device": "0", "MAC": "", "MTU": 1500, "other_config": {}});
            let vif = ask(root, "VIF.create", &[vif]).await;
            ask(root, "VIF.destroy", &[vif]).await;
        }
        ask(root, "VM.set_affinity", &[self.shown.clone(), self.host.clone()]).await;
        ask(root, "VM.set_name_label", &[self.hidden.clone(), json!("hidden still")]).await;
        ask(root, "network.set_name_label", &[self.dark.clone(), json!("darker")]).await;
        ask(root, "network.create", &[json!({"name_label": "one more"})]).await;
        ask(root, "event.inject", &[json!("VM"), self.hidden.clone()]).await;
    }

    fn path(&self, more: &str) -> String {
        format!("/events?session_id={}{more}", self.eve.session)
    }
}

fn reads(objects: &[(&str, &Json)]) -> Json {
    objects.iter().map(|(class, object)| json!(format!("{class}/{}", object.as_str().expect("a reference")))).collect()
}

/// A message, what is hidden, and the arguments of a call about something.
type Asking<'a> = (&'a str, &'a Json, &'a dyn Fn(&Json) -> Vec<Json>);

/// A receiver of deliveries, and what it got.
async fn receiver() -> (String, mpsc::UnboundedReceiver<Json>) {
    let (sender, got) = mpsc::unbounded_channel();
    let answer = move |bytes: bytes::Bytes| {
        sender.send(serde_json::from_slice(&bytes).expect("JSON")).expect("the test listens");
        async {}
    };
    let router = axum::Router::new().route("/", axum::routing::post(answer));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, got)
}

/// The one change that may be seen, as each way tells it.
fn assert_only_the_rename(way: &str, events: &Json, shown: &Json) {
    let events = events.as_array().unwrap_or_else(|| panic!("{way}: {events}"));
    assert_eq!(events.len(), 1, "{way}: {events:?}");
    let changes = events[0]["changes"].as_array().expect("changes");
    assert_eq!(changes.len(), 1, "{way}: {changes:?}");
    let expected = json!({"name_label": {"old": "shown", "new": "renamed"}});
    assert_eq!((&changes[0]["ref"], &changes[0]["changed"]), (shown, &expected), "{way}");
}

#[tokio::test]
async fn what_happens_in_the_dark_is_noticed_by_no_way() {
    let house = House::new().await;
    let eve = &house.eve;
    let polled = subscribe(eve, json!({"classes": ["*"], "snapshots": true})).await;
    let guessing = json!({"classes": ["VM"], "predicate": {"VM.affinity": house.host}});
    let guessing = subscribe(eve, guessing).await;
    let (url, mut posts) = receiver().await;
    let pushed = subscribe(eve, json!({"classes": ["*"]})).await;
    ask(&house.root, "subscription.set_destination", &[pushed, json!(url)]).await;
    ask(eve, "event.register", &[json!(["*"])]).await;
    let (_, mut stream) = fetch(eve, &house.path("&token=now"), &[]).await;
    let (_, begin) = get(eve, &house.path("&token=now&timeout=0")).await;
    let token = begin["token"].as_str().expect("a token");
    let before = ask(eve, "event.from", &[json!(["*"]), json!(""), json!(0.0)]).await;
    house.change_in_the_dark().await;
    let from = ask(eve, "event.from", &[json!(["*"]), before["token"].clone(), json!(0.0)]).await;
    assert_eq!(from["events"], json!([]), "what is seen of the machine is what it was");
    assert_eq!(from["valid_ref_counts"], before["valid_ref_counts"]);
    assert_eq!(poll(eve, &polled).await["events"], json!([]));
    assert_eq!(get(eve, &house.path(&format!("&token={token}&timeout=0"))).await.1["events"], json!([]));
    ask(&house.root, "VM.set_name_label", &[house.shown.clone(), json!("renamed")]).await;
    assert_only_the_rename("poll", &poll(eve, &polled).await["events"], &house.shown);
    let (_, long) = get(eve, &house.path(&format!("&token={token}&timeout=0"))).await;
    assert_only_the_rename("long poll", &long["events"], &house.shown);
    let first = messages(&mut stream, 1).await;
    let data = first[0].lines().find_map(|line| line.strip_prefix("data: ")).expect("data");
    let data: Json = serde_json::from_str(data).expect("JSON");
    assert_only_the_rename("stream", &json!([data]), &house.shown);
    assert_only_the_rename("delivery", &posts.recv().await.expect("a post")["events"], &house.shown);
    let next = ask(eve, "event.next", &[]).await;
    assert_eq!((next.as_array().map(Vec::len), &next[0]["ref"]), (Some(1), &house.shown), "{next}");
    let from = ask(eve, "event.from", &[json!(["*"]), before["token"].clone(), json!(0.0)]).await;
    assert_eq!((from["events"].as_array().map(Vec::len), &from["events"][0]["ref"]), (Some(1), &house.shown), "{from}");
    assert_eq!(poll(eve, &guessing).await["events"], json!([]), "a value that is not seen is not found by guessing");
    for told in [&next, &from, &long, &data] {
        for hidden in [&house.hidden, &house.dark, &house.host] {
            assert!(!told.to_string().contains(hidden.as_str().expect("a reference")), "{told}");
        }
    }
}

#[tokio::test]
async fn what_may_not_be_read_is_as_if_it_were_not_there() {
    let house = House::new().await;
    let (root, eve) = (&house.root, &house.eve);
    ask(root, "VM.set_affinity", &[house.shown.clone(), house.host.clone()]).await;
    let vif = |network: &Json| json!({"VM": house.shown, "network": network, "device": "0", "MAC": "", "MTU": 1500, "other_config": {}});
    let nowhere = json!(NOWHERE);
    // The same call about what is hidden and about what never was: the same answer, but for the reference itself.
    let calls: [Asking<'_>; 8] = [
        ("VM.get_record", &house.hidden, &|of| vec![of.clone()]),
        ("VM.set_name_label", &house.hidden, &|of| vec![of.clone(), json!("x")]),
        ("VM.set_affinity", &house.host, &|of| vec![house.shown.clone(), of.clone()]),
        ("VIF.create", &house.dark, &|of| vec![vif(of)]),
        ("VM.start", &house.hidden, &|of| vec![of.clone(), json!(false), json!(false)]),
        ("VM.get_power_state_history", &house.hidden, &|of| vec![of.clone()]),
        ("event.inject", &house.hidden, &|of| vec![json!("VM"), of.clone()]),
        ("event.wait", &house.hidden, &|of| {
            vec![json!(format!("VM/{}", of.as_str().expect("text"))), json!({}), json!(""), json!(0.0)]
        }),
    ];
    for (method, hidden, params) in calls {
        let error = async |of: &Json| {
            let all: Vec<Json> = std::iter::once(json!(eve.session)).chain(params(of)).collect();
            let (code, params) = eve.call(method, Json::Array(all)).await.expect_err(method);
            (code, params.to_string().replace(of.as_str().expect("text"), "IT"))
        };
        assert_eq!(error(hidden).await, error(&nowhere).await, "{method}");
    }
    let uuid = ask(root, "VM.get_uuid", std::slice::from_ref(&house.hidden)).await;
    assert_eq!(refused(eve, "VM.get_by_uuid", &[uuid]).await, "UUID_INVALID");
    for (method, params) in [
        ("VM.get_by_name_label", vec![json!("hidden")]),
        ("network.get_by_name_label", vec![json!("dark")]),
        ("host.get_all", vec![]),
        ("VIF.get_all", vec![]),
        ("VM.get_all_where", vec![json!(format!("field \"affinity\" = \"{}\"", house.host.as_str().expect("text")))]),
    ] {
        assert_eq!(ask(eve, method, &params).await, json!([]), "{method}");
    }
    assert_eq!(ask(eve, "VM.get_all", &[]).await, json!([house.shown]));
    let wait = [reads(&[("VM", &house.shown)])[0].clone(), json!({"affinity": house.host}), json!(""), json!(0.0)];
    assert_eq!(ask(eve, "event.wait", &wait).await["met"], json!(false), "guessing finds nothing");
    for method in ["log.get_head", "log.get_state_hash", "log.get_events"] {
        let params: &[Json] = match method {
            "log.get_head" => &[],
            "log.get_state_hash" => &[json!("1")],
            _ => &[json!({}), json!("0"), json!("10")],
        };
        assert_eq!(refused(eve, method, params).await, "RBAC_PERMISSION_DENIED", "{method}");
    }
    for path in ["/log", "/audit_log", "/metrics"] {
        let (status, body) = get(eve, &format!("{path}?session_id={}", eve.session)).await;
        assert!(status == 403 || status == 401, "{path}: {status} {body}");
    }
}

#[tokio::test]
async fn what_comes_into_sight_and_leaves_it_is_told() {
    let house = House::new().await;
    let (root, eve) = (&house.root, &house.eve);
    let own = subscribe(eve, json!({"classes": ["VM.name_label"]})).await;
    let (_, mut stream) = fetch(eve, &house.path("&token=now"), &[]).await;
    let (_, begin) = get(eve, &house.path("&token=now&timeout=0")).await;
    let before = ask(eve, "event.from", &[json!(["vm"]), json!(""), json!(0.0)]).await;
    let both = reads(&[("VM", &house.shown), ("VM", &house.hidden)]);
    ask(root, "user.set_reads", &[house.user.clone(), both]).await;
    let end = messages(&mut stream, 1).await;
    assert!(end[0].starts_with("event: end\n") && end[0].contains("rights changed"), "{end:?}");
    let told = poll(eve, &own).await["events"].clone();
    let change = &told[0]["changes"][0];
    assert_eq!((&change["operation"], &change["ref"]), (&json!("add"), &house.hidden), "{told}");
    assert_eq!(change["snapshot"], json!({"name_label": "hidden"}), "{told}");
    let from = [json!(["vm"]), before["token"].clone(), json!(0.0)];
    assert_eq!(refused(eve, "event.from", &from).await, "EVENTS_LOST", "whose rights changed begins anew");
    let again = ask(eve, "event.from", &[json!(["vm"]), json!(""), json!(0.0)]).await;
    assert_eq!(again["events"].as_array().map(Vec::len), Some(2));
    // A stream that comes back with its token hears of the difference too.
    let token = begin["token"].as_str().expect("a token");
    let (_, resumed) = get(eve, &house.path(&format!("&timeout=0&token={token}"))).await;
    let changes: Vec<_> = resumed["events"][0]["changes"].as_array().expect("changes").iter().collect();
    let told = |operation: &str, of: &Json| changes.iter().any(|c| c["operation"] == operation && c["ref"] == *of);
    assert!(told("add", &house.hidden) && told("del", &house.lan) && changes.len() == 2, "{resumed}");
    ask(root, "user.set_reads", &[house.user.clone(), reads(&[("VM", &house.shown)])]).await;
    ask(root, "VM.set_name_label", &[house.hidden.clone(), json!("secret")]).await;
    let told = poll(eve, &own).await["events"].clone();
    assert_eq!(told.as_array().map(Vec::len), Some(1), "what was added and may not be read any more: {told}");
    assert_eq!((&told[0]["changes"][0]["operation"], &told[0]["changes"][0]["ref"]), (&json!("del"), &house.hidden));
    assert!(!told.to_string().contains("secret"), "{told}");
}

#[tokio::test]
async fn a_poll_that_waits_tells_nothing_that_came_after_the_rights_were_taken() {
    let house = House::new().await;
    let (root, eve) = (&house.root, &house.eve);
    let (_, begin) = get(eve, &house.path("&token=now&timeout=0")).await;
    let path = house.path(&format!("&timeout=3600&token={}", begin["token"].as_str().expect("a token")));
    let taking = async {
        tokio::task::yield_now().await;
        ask(root, "user.set_reads", &[house.user.clone(), json!([])]).await;
        ask(root, "VM.set_name_label", &[house.shown.clone(), json!("secret")]).await;
    };
    let ((status, told), ()) = tokio::join!(get(eve, &path), taking);
    assert_eq!((status, &told["events"]), (200, &json!([])), "the client asks anew");
    let (_, told) = get(eve, &path.replace("timeout=3600", "timeout=0")).await;
    assert!(!told.to_string().contains("secret"), "{told}");
}
