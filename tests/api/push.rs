//! Deliveries to receivers that answer, refuse, hang, redirect and come back.

use super::server::Server;
use super::subscriptions::{ask, subscribe};
use axum::http::{HeaderMap, StatusCode};
use base64::Engine;
use serde_json::{Value as Json, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;

/// How long nothing arrives before the simulated clock goes on.
const QUIET: Duration = Duration::from_millis(50);
/// Moves of the simulated clock.
pub const SECOND: usize = 10;
/// When the simulated clock begins, in Unix time.
const BEGINS_S: i64 = 1_700_000_000;

/// How a receiver answers one post.
#[derive(Clone, Copy, Debug)]
enum How {
    Status(u16),
    RetryAfter(u64),
    /// The same as a date, so many seconds from the simulated server's beginning.
    RetryAt(u64),
    /// An answer that begins, and goes on for ever.
    Drip,
    Redirect,
    Hang,
    HalfWay,
}

/// What a receiver got: headers, body, and whether it accepted it.
struct Got {
    headers: HeaderMap,
    body: Json,
    bytes: Vec<u8>,
    accepted: bool,
}

struct Receiver {
    url: String,
    got: mpsc::UnboundedReceiver<Got>,
}

/// A receiver that answers as told, then accepts everything.
async fn receiver(how: impl IntoIterator<Item = How>) -> Receiver {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    receive_on(listener, how)
}

fn receive_on(listener: tokio::net::TcpListener, how: impl IntoIterator<Item = How>) -> Receiver {
    let how: Arc<Mutex<VecDeque<How>>> = Arc::new(Mutex::new(how.into_iter().collect()));
    let (sender, got) = mpsc::unbounded_channel();
    let answer = move |headers: HeaderMap, bytes: bytes::Bytes| {
        let how = how.lock().expect("nobody panics").pop_front().unwrap_or(How::Status(204));
        let accepted = matches!(how, How::Status(200..300));
        let body = serde_json::from_slice(&bytes).expect("JSON");
        sender.send(Got { headers, body, bytes: bytes.to_vec(), accepted }).expect("the test listens");
        async move {
            let mut response = axum::response::Response::new(axum::body::Body::empty());
            match how {
                How::Status(status) => *response.status_mut() = StatusCode::from_u16(status).expect("a status"),
                How::RetryAfter(seconds) => {
                    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                    response.headers_mut().insert("retry-after", seconds.into());
                }
                How::RetryAt(seconds) => {
                    *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
                    let date = jiff::Timestamp::from_second(BEGINS_S + seconds as i64).expect("a time");
                    let date = date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
                    response.headers_mut().insert("retry-after", date.parse().expect("a value"));
                }
                How::Drip => {
                    let begun = futures_util::stream::iter([Ok::<_, std::io::Error>("begun")]);
                    let never = futures_util::stream::pending();
                    *response.body_mut() = axum::body::Body::from_stream(futures_util::StreamExt::chain(begun, never));
                }
                How::Redirect => {
                    *response.status_mut() = StatusCode::FOUND;
                    response.headers_mut().insert("location", "/elsewhere".parse().expect("a value"));
                }
                How::Hang => std::future::pending::<()>().await,
                How::HalfWay => {
                    let cut = futures_util::stream::iter([Ok("half"), Err(std::io::Error::other("cut"))]);
                    *response.body_mut() = axum::body::Body::from_stream(cut);
                }
            }
            response
        }
    };
    let router = axum::Router::new().route("/hook", axum::routing::post(answer));
    let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Receiver { url, got }
}

impl Receiver {
    /// The next post; the simulated clock goes on until it comes.
    async fn next(&mut self, server: &Server) -> Got {
        loop {
            // Bytes travel in real time, pauses are simulated: the clock goes on when nothing arrives for a while.
            match tokio::time::timeout(QUIET, self.got.recv()).await {
                Ok(got) => return got.expect("the receiver lives"),
                Err(_) => server.pass(SECOND).await,
            }
        }
    }

    /// Positions accepted, until there are as many; refused posts count in `refused`.
    async fn accepted(&mut self, server: &Server, count: usize, refused: &mut Vec<Json>) -> Vec<Json> {
        let mut all: Vec<Json> = Vec::new();
        while all.len() < count {
            let got = self.next(server).await;
            let events = got.body["events"].as_array().expect("events").iter().map(|event| event["position"].clone());
            // At least once: what came before may come again, never what is to come later.
            let new = events.clone().filter(|position| !all.contains(position)).collect::<Vec<_>>();
            if got.accepted { all.extend(new) } else { refused.extend(events) }
        }
        all
    }
}

/// What the log says a subscriber to networks must be told.
async fn positions(server: &Server) -> Vec<Json> {
    let own = subscribe(server, json!({"classes": ["network"], "cursor": BEGIN})).await;
    let told = ask(server, "subscription.poll", &[own, json!(1000), json!(0.0)]).await;
    told["events"].as_array().expect("events").iter().map(|event| event["position"].clone()).collect()
}

const BEGIN: &str = "00000000000000000000,00000000000000000000";

async fn mutate(server: &Server, count: usize) {
    for nth in 0..count {
        ask(server, "network.create", &[json!({"name_label": format!("n{nth}")})]).await;
    }
}

async fn pushed(server: &Server, url: &str, more: Json) -> Json {
    let mut record = json!({"classes": ["network"], "destination": url, "cursor": BEGIN});
    record.as_object_mut().expect("a record").extend(more.as_object().expect("a record").clone());
    subscribe(server, record).await
}

#[tokio::test]
async fn receivers_that_fail_lose_nothing_and_delay_nobody() {
    let server = Server::start().await;
    let mut good = receiver([]).await;
    let trouble = [
        How::Status(500),
        How::Hang,
        How::Drip,
        How::HalfWay,
        How::Redirect,
        How::RetryAfter(120),
        How::Status(429),
        How::Status(404),
    ];
    let mut bad = receiver(trouble).await;
    for url in [&good.url, &bad.url] {
        pushed(&server, url, json!({})).await;
    }
    mutate(&server, 20).await;
    let expected = positions(&server).await;
    let mut refused = Vec::new();
    assert_eq!(good.accepted(&server, expected.len(), &mut refused).await, expected);
    assert!(refused.is_empty());
    assert_eq!(bad.accepted(&server, expected.len(), &mut refused).await, expected, "in order, none missing");
    assert!(refused.len() >= trouble.len(), "each of its failures was a failure");
}

#[tokio::test]
async fn a_post_again_has_the_same_id_and_a_signature_that_is_right() {
    let server = Server::start().await;
    let mut receiver = receiver([How::Status(500)]).await;
    let key = b"0123456789abcdef0123456789abcdef";
    let secret = format!("whsec_{}", base64::engine::general_purpose::STANDARD.encode(key));
    let own = pushed(&server, &receiver.url, json!({"secret": secret})).await;
    let (first, second) = (receiver.next(&server).await, receiver.next(&server).await);
    assert_eq!(first.headers["webhook-id"], second.headers["webhook-id"]);
    assert_eq!(first.bytes, second.bytes);
    for got in [&first, &second] {
        let text = |name: &str| got.headers[name].to_str().expect("text").to_string();
        let signed = [format!("{}.{}.", text("webhook-id"), text("webhook-timestamp")).as_bytes(), &got.bytes].concat();
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key);
        let expected = base64::engine::general_purpose::STANDARD.encode(ring::hmac::sign(&key, &signed));
        assert_eq!(text("webhook-signature"), format!("v1,{expected}"));
    }
    let record = ask(&server, "subscription.get_record", &[own]).await.to_string();
    assert!(!record.contains("whsec_") && !record.contains("secret"), "{record}");
}

#[tokio::test]
async fn a_receiver_that_is_down_for_an_hour_gets_everything_and_one_for_too_long_is_given_up() {
    let server = Server::start().await;
    let mut receiver = receiver(std::iter::repeat_n(How::Status(503), 12)).await;
    let own = pushed(&server, &receiver.url, json!({"give_up_after": 600})).await;
    let field = async |name: &str| ask(&server, &format!("subscription.get_{name}"), std::slice::from_ref(&own)).await;
    while field("state").await == "active" {
        receiver.next(&server).await;
        server.pass(100 * SECOND).await;
    }
    assert_eq!(field("state").await, "failed");
    assert!(field("last_error").await.as_str().expect("text").contains("503"));
    let messages = ask(&server, "message.get_all_records", &[]).await.to_string();
    assert!(messages.contains("SUBSCRIPTION_FAILED"), "{messages}");
    server.pass(3600 * SECOND).await;
    mutate(&server, 5).await;
    let expected = positions(&server).await;
    ask(&server, "subscription.resume", std::slice::from_ref(&own)).await;
    let mut refused = Vec::new();
    assert_eq!(receiver.accepted(&server, expected.len(), &mut refused).await, expected);
    while field("failures").await != 0 {
        server.pass(SECOND).await;
    }
}

#[tokio::test]
async fn what_a_receiver_asks_to_wait_is_waited_and_the_batch_comes_again_as_it_was() {
    let server = Server::start().await;
    let now = || (server.gateway.ledger.world().now() / 1_000_000) as u64 - BEGINS_S as u64;
    let mut receiver = receiver([How::RetryAfter(120), How::RetryAt(1_000), How::RetryAfter(1_000_000)]).await;
    let own = pushed(&server, &receiver.url, json!({})).await;
    let first = receiver.next(&server).await;
    let mut asked = now();
    mutate(&server, 3).await;
    let mut others = Vec::new();
    // An hour is the longest that anybody waits.
    for due in [asked + 120, 1_000, 1_000 + 3_600] {
        server.pass((due - asked - 5) as usize * SECOND).await;
        tokio::time::sleep(QUIET).await;
        assert!(receiver.got.try_recv().is_err(), "before {due}");
        others.push(receiver.next(&server).await);
        asked = now();
        assert!((due..due + 20).contains(&asked), "{asked}, not {due}");
    }
    let [again, third, last] = others.try_into().unwrap_or_else(|_| panic!("three"));
    for got in [&again, &third, &last] {
        assert_eq!((&got.headers["webhook-id"], &got.bytes), (&first.headers["webhook-id"], &first.bytes));
    }
    assert!(last.accepted);
    let rest = receiver.next(&server).await;
    assert_eq!(rest.body["events"].as_array().expect("events").len(), 3, "what came meanwhile is a batch of its own");
    assert_eq!(ask(&server, "subscription.get_failures", &[own]).await, 0);
}

#[tokio::test]
async fn a_receiver_that_nobody_reaches_for_an_hour_gets_everything_and_delays_nobody() {
    let server = Server::start().await;
    let mut good = receiver([]).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let own = pushed(&server, &format!("http://{address}/hook"), json!({})).await;
    pushed(&server, &good.url, json!({})).await;
    let mut refused = Vec::new();
    let mut seen = Vec::new();
    for _ in 0..6 {
        mutate(&server, 3).await;
        let expected = positions(&server).await;
        let fresh = expected.len() - seen.len();
        seen.extend(good.accepted(&server, fresh, &mut refused).await);
        assert_eq!(seen, expected, "the other is told as if nothing were wrong");
        server.pass(600 * SECOND).await;
    }
    assert_eq!(ask(&server, "subscription.get_state", std::slice::from_ref(&own)).await, "active");
    assert!(ask(&server, "subscription.get_failures", std::slice::from_ref(&own)).await.as_u64() > Some(10));
    let listener = tokio::net::TcpListener::bind(address).await.expect("the port is free again");
    let mut back = receive_on(listener, []);
    assert_eq!(back.accepted(&server, seen.len(), &mut refused).await, seen, "in order, none missing");
    assert!(refused.is_empty());
}

#[tokio::test]
async fn where_the_configuration_does_not_let_it_call_it_does_not_call() {
    use xenledger::subscribe::push::{address::Allowed, post::Post};
    for (allowed, why) in [
        (Allowed { private: false, plain: true }, "private address"),
        (Allowed { private: true, plain: false }, "only https"),
        (Allowed { private: false, plain: false }, "only https"),
    ] {
        let server = Server::posting(Post::new(allowed)).await;
        let mut receiver = receiver([]).await;
        // By a name, so that it is the address it leads to that counts.
        let own = pushed(&server, &receiver.url.replace("127.0.0.1", "localhost"), json!({})).await;
        let test = ask(&server, "subscription.test", std::slice::from_ref(&own)).await;
        assert!(test.as_str().expect("text").contains(why), "{allowed:?}: {test}");
        server.pass(60 * SECOND).await;
        let error = ask(&server, "subscription.get_last_error", &[own]).await;
        assert!(error.as_str().expect("text").contains(why), "{allowed:?}: {error}");
        assert!(receiver.got.try_recv().is_err(), "nothing was sent");
    }
}

#[tokio::test]
async fn cloud_events_come_in_batches_of_their_own_form() {
    let server = Server::start().await;
    let mut receiver = receiver([]).await;
    pushed(&server, &receiver.url, json!({"format": "cloudevents"})).await;
    let got = receiver.next(&server).await;
    assert_eq!(got.headers["content-type"], "application/cloudevents-batch+json");
    let first = &got.body[0];
    assert_eq!((&first["specversion"], &first["datacontenttype"]), (&json!("1.0"), &json!("application/json")));
    assert_eq!(
        first["id"],
        json!(format!("{}/{}", first["data"]["lineage"].as_str().expect("text"), first["data"]["position"]))
    );
}
