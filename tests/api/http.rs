//! Requests beside the calls, through the real paths, and other ways to look at the same server.

use super::server::Server;
use axum::body::Body;
use axum::http::{Request, Response};
use serde_json::Value as Json;
use xenledger::auth::Peer;
use xenledger::gateway::http::{Connected, Paths};
use xenledger::gateway::{Gateway, Parts};
use xenledger::subscribe::Subscribers;
use xenledger::subscribe::feed::Feed;

/// One request: status and body.
pub async fn get(server: &Server, path: &str) -> (u16, Json) {
    let (status, body) = fetch(server, path, &[]).await;
    let body = http_body_util::BodyExt::collect(body).await.expect("a body").to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or(Json::Null))
}

/// The same with headers, and with a body that may never end.
pub async fn fetch(server: &Server, path: &str, headers: &[(&str, &str)]) -> (u16, Body) {
    send(server, axum::http::Request::get(path), headers, String::new()).await
}

/// A call over JSON-RPC with headers: its answer, whole.
pub async fn post(server: &Server, call: &Json, headers: &[(&str, &str)]) -> Json {
    let (_, body) = send(server, axum::http::Request::post("/jsonrpc"), headers, call.to_string()).await;
    let body = http_body_util::BodyExt::collect(body).await.expect("a body").to_bytes();
    serde_json::from_slice(&body).expect("JSON")
}

/// Any request, made ready as far as its method and its path.
pub async fn send(
    server: &Server,
    mut request: axum::http::request::Builder,
    headers: &[(&str, &str)],
    body: String,
) -> (u16, Body) {
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::from(body)).expect("a request");
    let response = answer(server, "test", request).await;
    (response.status().as_u16(), response.into_body())
}

/// The answer to somebody's request.
pub async fn answer(server: &Server, from: &str, request: Request<Body>) -> Response<Body> {
    let peer = Peer { address: from.into(), ..Peer::default() };
    Paths::new(server.gateway.clone()).answer(request, Connected { peer, parks: false }).await
}

/// The same server for somebody else.
pub fn another(server: &Server) -> Server {
    server.with(server.gateway.clone())
}

/// The same server with a feed that remembers nothing: everything comes from the log.
pub fn forgetful(server: &Server) -> Server {
    let subscribers = Subscribers::default();
    subscribers.begin_at(u64::MAX);
    let feed = Feed::new(server.gateway.ledger.clone(), subscribers, server.log.another());
    server.with(Gateway::new(Parts { feed, ..Parts::clone(&server.gateway) }))
}
