//! Which paths take calls, and what is answered to whoever comes there with something else.

use super::http::answer;
use super::server::Server;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request};
use serde_json::json;

async fn asked(server: &Server, method: &str, path: &str, body: String) -> (u16, HeaderMap, String) {
    let request = Request::builder().method(method).uri(path).body(Body::from(body)).expect("a request");
    let (head, body) = answer(server, "test", request).await.into_parts();
    let body = to_bytes(body, usize::MAX).await.expect("a body");
    (head.status.as_u16(), head.headers, String::from_utf8(body.to_vec()).expect("UTF-8"))
}

#[tokio::test]
async fn calls_are_answered_where_they_are_posted() {
    let server = Server::start().await;
    let json = json!({ "jsonrpc": "2.0", "method": "system.listMethods", "params": [], "id": 7 }).to_string();
    let xml = "<methodCall><methodName>system.listMethods</methodName><params/></methodCall>".to_string();
    for (path, call, kind) in [
        ("/", &xml, "text/xml"),
        ("/RPC2", &xml, "text/xml"),
        ("/xmlrpc", &xml, "text/xml"),
        ("/?session_id=any", &xml, "text/xml"),
        ("/jsonrpc", &json, "application/json"),
        ("/json", &json, "application/json"),
    ] {
        let (status, headers, body) = asked(&server, "POST", path, call.clone()).await;
        assert_eq!((status, &headers["content-type"]), (200, &kind.parse().expect("a type")), "{path}");
        assert!(body.contains("VM.start"), "{path}: {body}");
    }
}

#[tokio::test]
async fn other_methods_and_paths_are_told_so() {
    let server = Server::start().await;
    for (method, path, expected, header, value) in [
        ("GET", "/", 405, "allow", "POST"),
        ("OPTIONS", "/RPC2", 405, "allow", "POST"),
        ("GET", "/jsonrpc", 405, "allow", "OPTIONS, POST"),
        ("OPTIONS", "/jsonrpc", 204, "access-control-allow-methods", "POST"),
        ("OPTIONS", "/json", 204, "access-control-allow-origin", "*"),
        ("POST", "/rpc2", 404, "allow", ""),
        ("POST", "/jsonrpc/", 404, "allow", ""),
        ("GET", "/no/such/path", 404, "allow", ""),
    ] {
        let (status, headers, _) = asked(&server, method, path, String::new()).await;
        let found = headers.get(header).map_or("", |value| value.to_str().expect("text"));
        assert_eq!((status, found), (expected, value), "{method} {path}");
    }
}
