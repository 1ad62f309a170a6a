//! Clients that do not read what they asked for.

use super::http::fetch;
use super::server::Server;
use super::sessions::settle;
use super::subscriptions::ask;
use http_body_util::BodyExt;
use serde_json::{Value as Json, json};
use std::sync::Arc;

/// Changes that are made while nobody reads: together they are larger than what is kept in memory.
const CHANGES: usize = 2_000;
/// What each writes; its event has the old text too.
const TEXT: usize = 8 << 10;
/// What may be kept in memory of recent events.
const KEPT_MAX: usize = 16 << 20;

#[tokio::test]
async fn a_stream_that_is_not_read_fills_no_memory_and_misses_nothing() {
    let server = Server::start().await;
    let network = ask(&server, "network.create", &[json!({"name_label": "lan"})]).await;
    let path = format!("/events?classes=network&token=now&session_id={}", server.session);
    let (_, body) = fetch(&server, &path, &[]).await;
    let (from, begun) = (server.view().position, Arc::downgrade(&server.view()));
    for nth in 0..CHANGES {
        let text = format!("{nth} {}", "x".repeat(TEXT));
        ask(&server, "network.set_name_description", &[network.clone(), json!(text)]).await;
    }
    settle().await;
    assert_eq!(begun.strong_count(), 0, "no view is kept for it");
    let recent = &server.gateway.subscribers;
    assert!(recent.recent(from).is_none(), "it is served from the log");
    let batches = (from..=server.view().position).find_map(|after| recent.recent(after)).expect("the newest are kept");
    let bytes: usize = batches.iter().map(|batch| batch.bytes).sum();
    assert!((KEPT_MAX / 2..=KEPT_MAX).contains(&bytes), "{bytes} bytes are kept");
    assert_eq!(numbers(body, CHANGES).await, (0..CHANGES).collect::<Vec<usize>>());
}

/// The numbers of the changes as a stream tells them, so many.
async fn numbers(mut body: axum::body::Body, count: usize) -> Vec<usize> {
    let (mut numbers, mut text) = (Vec::new(), String::new());
    while numbers.len() < count {
        let frame = body.frame().await.expect("it goes on").expect("a frame").into_data().expect("data");
        text.push_str(std::str::from_utf8(&frame).expect("text"));
        let Some((whole, rest)) = text.rsplit_once("\n\n") else { continue };
        for data in whole.lines().filter_map(|line| line.strip_prefix("data: ")) {
            let event: Json = serde_json::from_str(data).expect("JSON");
            let new = event["changes"][0]["changed"]["name_description"]["new"].as_str().expect("a text");
            numbers.extend(new.split(' ').next().map(|number| number.parse::<usize>().expect("a number")));
        }
        text = rest.to_string();
    }
    numbers
}
