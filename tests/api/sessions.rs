//! Sessions, and what one principal may hold at once, as clients meet them.

use super::http::{answer, fetch, get};
use super::server::{PASSWORD, Server, reconcile};
use super::subscriptions::{ask, limited, messages};
use axum::body::Body;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use xenledger::gateway::open::End;
use xenledger::gateway::{Gateway, Parts};
use xenledger::model::{VM, task, user};

/// Turns in which everybody who can wait has begun to.
const TURNS: usize = 200;

pub async fn settle() {
    for _ in 0..TURNS {
        tokio::task::yield_now().await;
    }
}

async fn login(server: &Server) -> String {
    let session = server.call("session.login_with_password", json!(["root", PASSWORD])).await.expect("logs in");
    session.as_str().expect("a reference").to_string()
}

async fn pool_set(server: &Server, what: &str, value: i64) {
    let pools = ask(server, "pool.get_all", &[]).await;
    ask(server, &format!("pool.set_{what}"), &[pools[0].clone(), json!(value)]).await;
}

/// Every way to wait, as a call in that session.
async fn waits(server: &Server, session: &str) -> Vec<(&'static str, Json)> {
    let task = ask(server, "task.create", &[json!("mine"), json!("")]).await;
    let subscription = server.call("subscription.create", json!([session, {"classes": ["SR"]}])).await.expect("made");
    server.call("event.register", json!([session, ["SR"]])).await.expect("registered");
    let now = server.call("event.from", json!([session, ["SR"], "", 0.0])).await.expect("answers")["token"].clone();
    vec![
        ("event.from", json!([session, ["SR"], now, 3600.0])),
        ("event.next", json!([session])),
        (
            "event.wait",
            json!([session, format!("task/{}", task.as_str().expect("a reference")), {"status": "success"}, "", 3600.0]),
        ),
        ("task.wait", json!([session, task, 3600.0])),
        ("subscription.poll", json!([session, subscription, 10, 3600.0])),
    ]
}

#[tokio::test]
async fn a_logout_wakes_every_call_and_stream_that_waits_in_the_session() {
    let server = Server::start().await;
    let session = login(&server).await;
    let waits = waits(&server, &session).await;
    let path = format!("/events?classes=SR&token=now&session_id={session}");
    let (_, mut stream) = fetch(&server, &path, &[]).await;
    let (_, poll) = fetch(&server, &format!("{path}&timeout=0"), &[]).await;
    drop(poll);
    let blocked =
        futures_util::future::join_all(waits.iter().map(|(method, params)| server.call(method, params.clone())));
    let path = format!("{path}&timeout=3600");
    let long_poll = get(&server, &path);
    let logout = async {
        settle().await;
        assert_eq!(server.gateway.counts.waiting.taken(), waits.len() + 1, "all of them wait");
        server.call("session.logout", json!([session])).await.expect("logged out");
    };
    let (answers, polled, ()) = tokio::join!(blocked, long_poll, logout);
    for ((method, _), answer) in waits.iter().zip(answers) {
        assert_eq!(answer.expect_err(method), ("SESSION_INVALID".to_string(), json!([session])), "{method}");
    }
    assert_eq!(polled, (401, json!({"error": "SESSION_INVALID", "params": [session]})));
    let end = messages(&mut stream, 1).await;
    assert!(end[0].starts_with("event: end") && end[0].contains("SESSION_INVALID"), "{end:?}");
    assert_eq!(server.gateway.counts.waiting.taken(), 0);
}

#[tokio::test]
async fn who_waits_keeps_no_view_that_was_superseded() {
    let server = Server::start().await;
    reconcile(&server.gateway);
    let session = &server.session;
    let mut waits = waits(&server, session).await;
    // Nothing moves the clock, so that the copy is under way for as long as the test takes.
    let template = server.view().all::<VM>().find(|vm| vm.get(VM::is_a_template)).expect("a template").reference;
    waits.push(("VM.clone", json!([session, template.to_string(), "copy"])));
    ask(&server, "subscription.create", &[json!({"classes": ["SR"], "destination": "http://127.0.0.1:1/"})]).await;
    settle().await;
    let begun = Arc::downgrade(&server.view());
    let path = format!("/events?classes=SR&token=now&session_id={session}");
    let (_, mut stream) = fetch(&server, &path, &[]).await;
    let poll = format!("{path}&timeout=3600");
    let calls =
        futures_util::future::join_all(waits.iter().map(|(method, params)| server.call(method, params.clone())));
    let changes = async {
        settle().await;
        assert_eq!(server.gateway.counts.waiting.taken(), waits.len(), "the copy is no wait, the poll is");
        assert!(server.view().all::<task>().any(|task| task.get(task::operation).contains("clone")), "it is copied");
        let waited = Arc::downgrade(&server.view());
        for name in ["a", "b"] {
            let pools = ask(&server, "pool.get_all", &[]).await;
            ask(&server, "pool.set_name_label", &[pools[0].clone(), json!(name)]).await;
        }
        settle().await;
        // What is kept for all who follow is another matter.
        server.gateway.subscribers.begin_at(server.view().position);
        assert_eq!([begun, waited].map(|view| view.strong_count()), [0, 0]);
    };
    tokio::select! {
        answers = calls => panic!("somebody was answered: {answers:?}"),
        _ = get(&server, &poll) => panic!("the poll was answered"),
        told = messages(&mut stream, 1) => panic!("the stream told {told:?}"),
        () = changes => {}
    }
}

#[tokio::test]
async fn an_expired_session_ends_what_waits_in_it_and_a_wait_keeps_one_alive() {
    let server = Server::start().await;
    pool_set(&server, "session_idle_timeout", 60).await;
    let session = login(&server).await;
    let now = server.call("event.from", json!([session, ["SR"], "", 0.0])).await.expect("answers")["token"].clone();
    let blocked = server.call("event.from", json!([session, ["SR"], now, 3600.0]));
    let world = server.gateway.ledger.world();
    let time = async {
        settle().await;
        world.advance(std::time::Duration::from_secs(61));
        server.gateway.accounts.sweep().await.expect("swept");
        server.call("session.touch", json!([session])).await.expect("it is in use");
        let mut other = super::http::another(&server);
        other.login().await;
        pool_set(&other, "session_max_lifetime", 10).await;
        world.advance(std::time::Duration::from_secs(11));
        server.gateway.accounts.sweep().await.expect("swept");
    };
    let (answer, ()) = tokio::join!(blocked, time);
    assert_eq!(answer.expect_err("its life is over").0, "SESSION_INVALID");
}

#[tokio::test]
async fn a_session_says_when_it_ends_and_operators_see_them_all() {
    let server = Server::start().await;
    let session = login(&server).await;
    let record = server.call("session.get_record", json!([session, session])).await.expect("its own");
    assert_eq!(record["idle_timeout"], json!(86_400));
    assert_eq!(record["max_lifetime"], json!(2_592_000));
    assert_eq!(record["created"], record["last_active"]);
    server.gateway.ledger.world().advance(std::time::Duration::from_secs(3600));
    let until = server.call("session.touch", json!([session])).await.expect("touched");
    let later = server.call("session.get_record", json!([session, session])).await.expect("its own");
    assert_eq!((&later["expires_at"], &later["created"]), (&until, &record["created"]));
    assert_ne!(later["expires_at"], record["expires_at"]);
    let all = ask(&server, "session.list", &[]).await;
    assert_eq!(all.as_object().expect("a map").len(), 2);
    for (key, record) in all.as_object().expect("a map") {
        assert_eq!(record["auth_user_name"], "root");
        let refused = server.call("session.get_record", json!([key, key])).await.expect_err("a key is no way in");
        assert_eq!(refused.0, "SESSION_INVALID");
    }
}

#[tokio::test]
async fn who_holds_too_much_is_told_to_come_back_and_nobody_else() {
    let server = Server::start().await;
    pool_set(&server, "waiting_call_limit", 2).await;
    pool_set(&server, "stream_limit", 1).await;
    pool_set(&server, "subscription_limit", 1).await;
    let session = &server.session;
    let now = ask(&server, "event.from", &[json!(["SR"]), json!(""), json!(0.0)]).await["token"].clone();
    let wait = || server.call("event.from", json!([session, ["SR"], now, 3600.0]));
    let other = async {
        settle().await;
        let refused = wait().await.expect_err("a third may not wait");
        assert_eq!(refused, ("TOO_BUSY".to_string(), json!([])));
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": "event.from", "params": [session, ["SR"], now, 3600.0]});
        let (status, retry, body) = exchange(&server, "POST", "/jsonrpc", &call.to_string()).await;
        assert_eq!((status, retry.as_deref()), (200, Some("5")), "over RPC an error is an answer like others");
        assert!(body.contains("TOO_BUSY"), "{body}");
        let path = format!("/events?classes=SR&token=now&session_id={session}");
        let (status, retry, _) = exchange(&server, "GET", &format!("{path}&timeout=60"), "").await;
        assert_eq!((status, retry.as_deref()), (429, Some("5")));
        let (status, stream) = fetch(&server, &path, &[]).await;
        assert_eq!(status, 200, "streams are counted by themselves");
        let (status, _) = fetch(&server, &path, &[]).await;
        assert_eq!(status, 429);
        drop(stream);
        let (status, _) = fetch(&server, &path, &[]).await;
        assert_eq!(status, 200, "its place was given back");
        ask(&server, "subscription.create", &[json!({"classes": ["SR"]})]).await;
        let refused = server.call("subscription.create", json!([session, {"classes": ["SR"]}])).await;
        assert_eq!(refused.expect_err("one is enough").0, "OPERATION_NOT_ALLOWED");
        ask(&server, "VM.get_all", &[]).await;
        server.gateway.stop.cancel();
    };
    let (one, two, ()) = tokio::join!(wait(), wait(), other);
    assert!(one.is_ok() && two.is_ok());
}

/// One request: status, `Retry-After`, body.
async fn exchange(server: &Server, method: &str, path: &str, body: &str) -> (u16, Option<String>, String) {
    let request = axum::http::Request::builder().method(method).uri(path);
    let response = answer(server, "test", request.body(Body::from(body.to_string())).expect("a request")).await;
    let retry = response.headers().get("retry-after").map(|value| value.to_str().expect("text").to_string());
    let status = response.status().as_u16();
    let body = http_body_util::BodyExt::collect(response.into_body()).await.expect("a body").to_bytes();
    (status, retry, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn operators_see_who_listens_and_how_far_each_is_behind() {
    let server = Server::start().await;
    let own = ask(&server, "subscription.create", &[json!({"name_label": "mine", "classes": ["network"]})]).await;
    let path = format!("/events?classes=network&token=now&session_id={}", server.session);
    let (_, mut stream) = fetch(&server, &path, &[]).await;
    ask(&server, "network.create", &[json!({"name_label": "a"})]).await;
    let behind = ask(&server, "subscription.get_streams", &[]).await;
    assert_eq!((&behind[0]["principal"], &behind[0]["lag"]), (&json!("user/root"), &json!(1)));
    assert_eq!(behind[0]["classes"], json!(["network"]));
    messages(&mut stream, 1).await;
    let told = ask(&server, "subscription.get_streams", &[]).await;
    assert_eq!((&told[0]["events"], &told[0]["lag"]), (&json!(1), &json!(0)));
    assert_ne!(told[0]["last_delivery"], behind[0]["last_delivery"]);
    let (_, _, page) = {
        let path = format!("/metrics?session_id={}", server.session);
        exchange(&server, "GET", &path, "").await
    };
    let uuid = ask(&server, "subscription.get_uuid", &[own]).await;
    let line = |wanted: &str| page.lines().any(|line| line.starts_with(wanted));
    assert!(line(&format!("xenledger_subscription_last_delivery_seconds{{subscription={uuid},")), "{page}");
    assert!(line("xenledger_stream_lag{principal=\"user/root\"} 0"), "{page}");
    assert!(line("xenledger_streams 1") && line("xenledger_subscriptions{state=\"active\"} 1"), "{page}");
    let mine = format!("xenledger_subscription_lag{{subscription={uuid},owner=\"user/root\",state=\"active\"}} 1");
    assert!(line(&mine), "{mine} in {page}");
    drop(stream);
    assert_eq!(ask(&server, "subscription.get_streams", &[]).await, json!([]));
}

#[tokio::test]
async fn streams_that_ended_are_counted_by_the_reason() {
    let server = Server::start().await;
    let bob = limited(&server, "bob", "pool-operator", json!(["*"])).await;
    let open = async |server: &Server, session: &str| {
        let (status, mut body) = fetch(server, &format!("/events?token=now&session_id={session}"), &[]).await;
        assert_eq!(status, 200);
        let begun = http_body_util::BodyExt::frame(&mut body).await.expect("a frame").expect("read");
        assert!(begun.into_data().expect("data").starts_with(b"retry: "));
        body
    };
    let counted = || End::ALL.map(|end| server.gateway.counts.open.ended(end));
    drop(open(&server, &server.session).await);
    assert_eq!(counted(), [1, 0, 0, 0, 0, 0], "its client went");
    let ends = async |mut body: Body| while messages(&mut body, 1).await.iter().all(|m| !m.contains("event: end")) {};
    let session = login(&server).await;
    let body = open(&server, &session).await;
    server.call("session.logout", json!([session])).await.expect("logged out");
    ends(body).await;
    let body = open(&bob, &bob.session).await;
    let whose = server.view().all::<user>().find(|user| &**user.get(user::short_name) == "bob").expect("bob").reference;
    ask(&server, "user.set_reads", &[json!(whose.to_string()), json!(["VM"])]).await;
    ends(body).await;
    let stop = CancellationToken::new();
    let stopping = server.with(Gateway::new(Parts { stop: stop.clone(), ..Parts::clone(&server.gateway) }));
    let body = open(&stopping, &stopping.session).await;
    stop.cancel();
    ends(body).await;
    assert_eq!(counted(), [1, 1, 1, 1, 0, 0], "client, session, rights, stop");
    let (_, _, page) = exchange(&server, "GET", &format!("/metrics?session_id={}", server.session), "").await;
    assert!(page.contains("\nxenledger_streams_ended_total{reason=\"rights\"} 1\n"), "{page}");
}

#[tokio::test]
async fn the_page_of_metrics_has_a_bounded_number_of_series() {
    let server = Server::start().await;
    pool_set(&server, "subscription_limit", 1_000).await;
    for _ in 0..300 {
        ask(&server, "subscription.create", &[json!({"classes": ["SR"]})]).await;
    }
    let (_, _, page) = exchange(&server, "GET", &format!("/metrics?session_id={}", server.session), "").await;
    let series = page.lines().filter(|line| line.starts_with("xenledger_subscription_lag{")).count();
    assert_eq!(series, 100);
    assert!(page.lines().any(|line| line == "xenledger_subscriptions{state=\"active\"} 300"), "{page}");
    assert!(page.lines().any(|line| line == "xenledger_subscription_lag_max 299"), "the first is furthest behind");
}
