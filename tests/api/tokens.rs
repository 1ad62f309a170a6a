//! Bearer tokens, and the key that they are signed with.

use super::http::{fetch, send};
use super::server::Server;
use super::subscriptions::messages;
use axum::http::Request;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http_body_util::BodyExt;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use xenledger::auth::token_key::{FILE, TokenKey};
use xenledger::gateway::{Gateway, Parts};

/// A new token, for who has the session.
async fn issued(server: &Server) -> String {
    let path = format!("/api/token?session_id={}", server.session);
    let (status, body) = send(server, Request::post(path), &[], String::new()).await;
    assert_eq!(status, 200);
    let answer: Json = serde_json::from_slice(&body.collect().await.expect("a body").to_bytes()).expect("JSON");
    answer["token"].as_str().expect("a token").to_string()
}

async fn get(server: &Server, path: &str, token: &str) -> (u16, axum::body::Body) {
    fetch(server, path, &[("Authorization", &format!("Bearer {token}"))]).await
}

async fn rotate(server: &Server) {
    server.call("pool.rotate_secret", json!([server.session])).await.expect("rotated");
}

/// The same server with the key that it would find when it starts.
fn restarted(server: &Server) -> Server {
    let key = TokenKey::open(server.folder.path(), server.gateway.ledger.world()).expect("a key");
    server.with(Gateway::new(Parts { token_key: Arc::new(key), ..Parts::clone(&server.gateway) }))
}

#[tokio::test]
async fn a_new_key_ends_every_token_from_before_and_is_kept() {
    let server = Server::start().await;
    let old = issued(&server).await;
    assert_eq!(get(&server, "/log", &old).await.0, 200);
    rotate(&server).await;
    assert_eq!(get(&server, "/log", &old).await.0, 401);
    let new = issued(&server).await;
    for server in [&server, &restarted(&server)] {
        assert_eq!(get(server, "/log", &new).await.0, 200);
        assert_eq!(get(server, "/log", &old).await.0, 401);
        server.call("pool.get_all", json!([server.session])).await.expect("sessions are not signed with it");
    }
}

#[tokio::test]
async fn a_new_key_ends_the_streams_that_tokens_opened() {
    let server = Server::start().await;
    let token = issued(&server).await;
    let (_, mut by_token) = get(&server, "/events?classes=network&token=now", &token).await;
    let path = format!("/events?classes=network&token=now&session_id={}", server.session);
    let (_, mut by_session) = fetch(&server, &path, &[]).await;
    rotate(&server).await;
    server.call("network.create", json!([server.session, {"name_label": "lan"}])).await.expect("created");
    let end = messages(&mut by_token, 1).await;
    assert!(end[0].starts_with("event: end") && end[0].contains("SESSION_INVALID"), "{end:?}");
    let told = messages(&mut by_session, 1).await;
    assert!(told[0].contains("lan"), "{told:?}");
}

#[tokio::test]
async fn the_log_tells_who_replaced_the_key_and_nothing_of_it() {
    let server = Server::start().await;
    let file = server.folder.path().join(FILE);
    let mut keys = vec![std::fs::read(&file).expect("a key")];
    rotate(&server).await;
    keys.push(std::fs::read(&file).expect("a key"));
    let task = server.call("Async.pool.rotate_secret", json!([server.session])).await.expect("a task");
    keys.push(std::fs::read(&file).expect("a key"));
    assert_eq!(server.call("task.get_status", json!([server.session, task])).await, Ok(json!("success")));
    assert!(keys[0] != keys[1] && keys[1] != keys[2], "each is another");
    let (_, body) = get(&server, "/log", &issued(&server).await).await;
    let log = String::from_utf8(body.collect().await.expect("a body").to_bytes().to_vec()).expect("text");
    let told = log.lines().filter(|line| line.contains("pool.rotate_secret") && line.contains("user/root"));
    assert_eq!(told.count(), 2);
    for key in keys {
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(!log.contains(&hex) && !log.contains(&BASE64_STANDARD.encode(&key)));
    }
}
