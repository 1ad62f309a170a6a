//! What is in a blob, over HTTP.

use super::http::answer;
use super::server::Server;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request};
use serde_json::{Value as Json, json};

const LARGEST: usize = xenledger::command::blob::BYTES_MAX;

/// What a request was answered with.
struct Got {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Got {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

async fn http(server: &Server, method: &str, path: &str, body: &[u8]) -> Got {
    let request = Request::builder().method(method).uri(path).body(Body::from(body.to_vec()));
    let response = answer(server, "test", request.expect("a request")).await;
    let (head, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.expect("a body");
    Got { status: head.status.as_u16(), headers: head.headers, body: body.to_vec() }
}

async fn made(server: &Server, name: &str, public: bool) -> String {
    let session = &server.session;
    let vms = server.call("VM.get_all", json!([session])).await.expect("answers");
    let args = json!([session, vms[0], name, "text/plain", public]);
    let blob = server.call("VM.create_new_blob", args).await.expect("created");
    blob.as_str().expect("a reference").to_string()
}

#[tokio::test]
async fn what_is_written_is_read_again() {
    let server = Server::start().await;
    let session = server.session.clone();
    let blob = made(&server, "notes", false).await;
    let path = format!("/blob?session_id={session}&ref={blob}");
    let empty = http(&server, "GET", &path, b"").await;
    assert_eq!((empty.status, &*empty.body), (200, &b""[..]));
    assert_eq!(http(&server, "PUT", &path, b"\x00\xffbytes").await.status, 200);
    let read = http(&server, "GET", &path, b"").await;
    assert_eq!((read.status, &*read.body), (200, &b"\x00\xffbytes"[..]));
    assert_eq!(read.header("content-type"), "text/plain");
    assert_eq!((read.header("content-security-policy"), read.header("x-content-type-options")), ("sandbox", "nosniff"));
    let record = server.call("blob.get_record", json!([session, blob])).await.expect("there");
    assert_eq!(record["size"], 7);
    assert_eq!(record.get("sealed"), None);
    let uuid = record["uuid"].as_str().expect("a uuid");
    let by_uuid = http(&server, "GET", &format!("/blob?session_id={session}&uuid={uuid}"), b"").await;
    assert_eq!(&*by_uuid.body, b"\x00\xffbytes");
    let destroyed: Json = server.call("blob.destroy", json!([session, blob])).await.expect("destroyed");
    assert_eq!(destroyed, json!(""));
    assert_eq!(http(&server, "GET", &path, b"").await.status, 404);
}

#[tokio::test]
async fn only_public_blobs_are_open_and_nobody_writes_without_a_role() {
    let server = Server::start().await;
    let session = server.session.clone();
    let (open, closed) = (made(&server, "open", true).await, made(&server, "closed", false).await);
    let alone = |blob: &str| format!("/blob?ref={blob}");
    let before = server.state_hash();
    assert_eq!(http(&server, "GET", &alone(&open), b"").await.status, 200);
    assert_eq!(http(&server, "GET", &alone(&closed), b"").await.status, 401);
    assert_eq!(http(&server, "PUT", &alone(&open), b"mine").await.status, 401);
    assert_eq!(
        http(&server, "GET", "/blob?ref=OpaqueRef:nonsense", b"").await.status,
        401,
        "what is there is not told"
    );
    let large = format!("/blob?session_id={session}&ref={closed}");
    assert_eq!(http(&server, "PUT", &large, &vec![0; LARGEST + 1]).await.status, 413);
    assert_eq!(server.state_hash(), before);
    assert_eq!(http(&server, "PUT", &large, &vec![7; LARGEST]).await.status, 200);
    assert_eq!(http(&server, "GET", &large, b"").await.body.len(), LARGEST);
}
