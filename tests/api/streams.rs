//! A snapshot, then a stream: whoever applies what it is told has what the server had, at every position.

use super::http::{fetch, get};
use super::server::Server;
use super::subscriptions::{apply, ask, live, messages, sorted};
use http_body_util::BodyExt;
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use xenledger::log::rows::Rows;
use xenledger::model::MODEL;
use xenledger::views::read::{ReadView, Scope};
use xenledger::views::{View, replay};
use xenledger::wire::Format;

/// Who changes things at the same time, and how long.
const CHANGING: usize = 4;
const ROUNDS: u64 = 5;
/// Who follows, in each of two ways; they begin one after the other.
const FOLLOWING: usize = 3;
/// Every so many positions are compared, and the last; it costs more than all the rest.
const COMPARED: usize = 4;
const CLASSES: [&str; 3] = ["VM", "network", "VIF"];

/// A client's copy at one position.
type At = (u64, Json);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_is_the_servers_view_at_every_position_compared() {
    let server = Arc::new(Server::start().await);
    let ended = Arc::new(AtomicUsize::new(0));
    let begun = Arc::new(Semaphore::new(0));
    live(&server, 3).await;
    let mut changing = Vec::new();
    for _ in 0..CHANGING {
        let (server, ended, begun) = (server.clone(), ended.clone(), begun.clone());
        changing.push(tokio::spawn(async move {
            live(&server, ROUNDS).await;
            // Whoever follows has something to hear, however late it began.
            drop(begun.acquire_many(2 * FOLLOWING as u32).await.expect("all begin"));
            live(&server, 1).await;
            ended.fetch_add(1, Ordering::SeqCst);
        }));
    }
    let mut following = Vec::new();
    for nth in 0..2 * FOLLOWING {
        let (server, ended, begun) = (server.clone(), ended.clone(), begun.clone());
        following.push(tokio::spawn(async move {
            // The snapshots are taken at different moments of the same commotion.
            for _ in 0..nth {
                ask(&server, "network.get_all", &[]).await;
            }
            if nth % 2 == 0 { stream(&server, &begun).await } else { long_polls(&server, &ended, &begun).await }
        }));
    }
    for one in changing {
        one.await.expect("everything is allowed");
    }
    // The last word, behind which a stream need not be read.
    ask(&server, "network.create", &[json!({"name_label": "the end"})]).await;
    let mut compared = 0;
    for one in following {
        let copies = one.await.expect("the story makes sense");
        assert!(copies.len() > 3, "only {} positions", copies.len());
        compared += copies.len();
        compare(&server, copies).await;
    }
    assert!(compared > 50 * FOLLOWING, "only {compared} positions were heard of");
}

/// A client that hears nothing for a while knows that the server is there, and how far it has been told.
#[tokio::test]
async fn a_silent_stream_beats_and_says_where_it_is() {
    let server = Server::start().await;
    let (_, mut body) = fetch(&server, &path(&server, "&token=now"), &[]).await;
    ask(&server, "secret.create", &[json!({"value": "x", "other_config": {}})]).await;
    let unwanted = server.view().position;
    let beat = async {
        loop {
            let frame = body.frame().await.expect("it goes on").expect("a frame").into_data().expect("data");
            let text = std::str::from_utf8(&frame).expect("text").to_string();
            if text.starts_with(": heartbeat\n") {
                return text;
            }
        }
    };
    let beat = tokio::time::timeout(Duration::from_secs(60), beat).await.expect("it beats");
    let id = beat.lines().find_map(|line| line.strip_prefix("id: ")).expect("a token").to_string();
    assert!(beat.ends_with("\n\n"), "{beat:?}");
    assert!(position(&id) >= unwanted, "what is not wanted is behind it too");
    ask(&server, "network.create", &[json!({"name_label": "after"})]).await;
    let (_, mut again) = fetch(&server, &path(&server, ""), &[("Last-Event-ID", &id)]).await;
    let told = messages(&mut again, 1).await;
    assert!(told[0].contains("\"name_label\":\"after\""), "{told:?}");
}

/// More than is looked up ahead of a client comes in several looks, and nothing between them is left out or told twice.
#[tokio::test]
async fn a_client_that_reads_late_is_told_everything_once() {
    const CHANGES: usize = 200;
    let server = Server::start().await;
    let (_, mut body) = fetch(&server, &path(&server, "&token=now"), &[]).await;
    let long = "x".repeat(8_000);
    for nth in 0..CHANGES {
        let lan = json!({"name_label": format!("lan-{nth}"), "name_description": long});
        ask(&server, "network.create", &[lan]).await;
    }
    let told = messages(&mut body, CHANGES).await;
    assert_eq!(told.len(), CHANGES);
    for (nth, message) in told.iter().enumerate() {
        assert!(message.contains(&format!("\"name_label\":\"lan-{nth}\"")), "{nth}: {message}");
    }
}

fn path(server: &Server, more: &str) -> String {
    format!("/events?classes={}&session_id={}{more}", CLASSES.join(","), server.session)
}

fn key(object: &Json) -> String {
    format!("{} {}", object["class"].as_str().expect("text"), object["ref"].as_str().expect("text"))
}

fn position(token: &str) -> u64 {
    token.split(',').next().and_then(|digits| digits.parse().ok()).expect("a token")
}

/// By Server-Sent Events.
async fn stream(server: &Server, begun: &Semaphore) -> Vec<At> {
    let (_, mut body) = fetch(server, &path(server, ""), &[]).await;
    let (mut copy, mut copies, mut text) = (Map::new(), Vec::new(), String::new());
    while !copies.last().is_some_and(|(_, copy): &At| copy.to_string().contains("the end")) {
        let frame = body.frame().await.expect("it goes on").expect("a frame").into_data().expect("data");
        text.push_str(std::str::from_utf8(&frame).expect("text"));
        while let Some((message, rest)) = text.split_once("\n\n") {
            let field = |name: &str| message.lines().find_map(|line| line.strip_prefix(name));
            let data = || serde_json::from_str::<Json>(field("data: ").unwrap_or("{}")).expect("JSON");
            match (field("event: "), field("id: ")) {
                (Some("snapshot"), _) => drop(copy.insert(key(&data()), data()["snapshot"].clone())),
                (Some("live"), Some(id)) => {
                    begun.add_permits(1);
                    copies.push((position(id), json!(copy)));
                }
                (None, Some(id)) => {
                    if field("data: ").is_some() {
                        apply(&mut copy, &data());
                    }
                    copies.push((position(id), json!(copy)));
                }
                (Some(other), _) => panic!("{other}: {message}"),
                (None, None) => {}
            }
            text = rest.to_string();
        }
    }
    copies
}

/// By long polls, a few events at a time.
async fn long_polls(server: &Server, ended: &AtomicUsize, begun: &Semaphore) -> Vec<At> {
    let (_, begin) = get(server, &path(server, "&timeout=0")).await;
    let mut copy = Map::new();
    for object in begin["snapshot"].as_array().expect("objects") {
        copy.insert(key(object), object["snapshot"].clone());
    }
    let mut token = begin["token"].as_str().expect("a token").to_string();
    let mut copies = vec![(position(&token), json!(copy))];
    begun.add_permits(1);
    loop {
        let over = ended.load(Ordering::SeqCst) == CHANGING;
        let (_, told) = get(server, &path(server, &format!("&timeout=0.05&max=3&token={token}"))).await;
        token = told["token"].as_str().expect("a token").to_string();
        let events = told["events"].as_array().expect("events");
        if events.is_empty() && over {
            return copies;
        }
        events.iter().for_each(|event| apply(&mut copy, event));
        copies.push((position(&token), json!(copy)));
    }
}

/// Each copy beside the fold of the log up to its position.
async fn compare(server: &Server, copies: Vec<At>) {
    let rows = server.log.behind(0, usize::MAX).await.expect("a log in memory");
    let (mut view, mut rows) = (View::default(), rows.iter().peekable());
    let last = copies.len() - 1;
    for (nth, (position, copy)) in copies.into_iter().enumerate() {
        if nth % COMPARED != 0 && nth != last {
            continue;
        }
        while let Some(row) = rows.next_if(|row| row.position <= position) {
            replay(&mut view, &row.event().expect("an event"));
        }
        let mut theirs = Map::new();
        for class in CLASSES.map(|name| MODEL.class(name).expect("a class")) {
            let read = ReadView::new(&view, &Scope::All);
            for object in read.objects(class) {
                let mut out = Vec::new();
                Format::Json.render(&mut out, &read.record(class, object));
                let record: Json = serde_json::from_slice(&out).expect("JSON");
                theirs.insert(format!("{} {}", class.name(), object.reference), record);
            }
        }
        assert_eq!(sorted(&copy), sorted(&json!(theirs)), "at position {position}");
    }
}
