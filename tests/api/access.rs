//! Every HTTP resource as every role, and what comes unencrypted where that is
//! not wanted.

use crate::http::answer;
use crate::roles::as_role;
use crate::server::{PASSWORD, Server};
use axum::body::Body;
use axum::http::Request;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use xenledger::auth::Peer;
use xenledger::gateway::access::{Open, RESOURCES, Resource};
use xenledger::gateway::listen::Connections;
use xenledger::model::Roles;
use xenledger::model::roles::ROLE_NAMES;

/// The status of the answer to a request for the resource; what waits is asked for no longer than it takes.
async fn status(server: &Server, to: &Resource, session: Option<&str>, from: &str) -> u16 {
    let session = session.map(|session| format!("&session_id={session}")).unwrap_or_default();
    let uri = format!("{}?timeout=0{session}", to.path);
    let request = Request::builder().method(to.method).uri(uri).body(Body::empty());
    answer(server, from, request.expect("a request")).await.status().as_u16()
}

const ELSEWHERE: &str = "192.0.2.7:50000";
const HERE: &str = "127.0.0.1:50000";

fn is_let_in(status: u16) -> bool {
    !matches!(status, 401 | 403 | 405)
}

#[tokio::test]
async fn every_resource_is_for_exactly_those_that_the_table_names() {
    let mut server = Server::start().await;
    for to in RESOURCES {
        let nobody = status(&server, to, None, ELSEWHERE).await;
        assert_eq!(is_let_in(nobody), to.open == Open::Everybody, "{} answers {nobody} to strangers", to.permission);
        assert!(nobody == 401 || is_let_in(nobody));
        let here = status(&server, to, None, HERE).await;
        assert_eq!(is_let_in(here), to.open != Open::Nobody, "{} answers {here} on its own machine", to.permission);
        let root = status(&server, to, Some(&server.session), ELSEWHERE).await;
        assert!(is_let_in(root), "{} answers {root} to root", to.permission);
    }
    for name in ROLE_NAMES {
        let root = as_role(&mut server, name).await;
        let role = Roles::one(name).expect("a published role");
        for to in RESOURCES {
            let status = status(&server, to, Some(&server.session), ELSEWHERE).await;
            let may = to.open == Open::Everybody || to.roles.intersects(role);
            assert_eq!(is_let_in(status), may, "{} answers {status} to {name}", to.permission);
            assert!(may || status == 403);
        }
        server.session = root;
    }
}

#[tokio::test]
async fn what_shows_everything_is_not_for_those_who_may_not_read_everything() {
    let server = Server::start().await;
    let session = server.session.clone();
    let roles = server.call("role.get_by_name_label", json!([session, "pool-admin"])).await.expect("answers");
    let user =
        server.call("user.create", json!([session, {"short_name": "ann", "fullname": "Ann"}])).await.expect("made");
    server.call("user.set_password", json!([session, user, PASSWORD])).await.expect("set");
    server.call("user.set_roles", json!([session, user, roles])).await.expect("set");
    server.call("user.set_reads", json!([session, user, ["VM"]])).await.expect("set");
    let hers = server.call("session.login_with_password", json!(["ann", PASSWORD])).await.expect("logs in");
    for to in RESOURCES {
        let status = status(&server, to, hers.as_str(), ELSEWHERE).await;
        assert_eq!(is_let_in(status), !to.whole || to.open == Open::Everybody, "{}: {status}", to.permission);
    }
}

/// The first line of the answer to a request by that peer, over a real connection.
async fn asked(server: &Server, peer: Peer) -> String {
    let (mut client, theirs) = tokio::io::duplex(64 * 1024);
    let connections = Connections::new(server.gateway.clone(), server.gateway.stop.clone());
    let serving = tokio::spawn(connections.connection(theirs, peer));
    client.write_all(b"GET /api/errors HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").await.expect("sent");
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.expect("answered");
    serving.await.expect("served");
    answer.lines().next().unwrap_or_default().to_string()
}

#[tokio::test]
async fn a_host_that_wants_https_turns_away_what_comes_in_the_clear_from_elsewhere() {
    let server = Server::start().await;
    let in_the_clear = || Peer { address: ELSEWHERE.into(), unencrypted: true, ..Peer::default() };
    let encrypted = || Peer { address: ELSEWHERE.into(), ..Peer::default() };
    assert_eq!(asked(&server, in_the_clear()).await, "HTTP/1.1 200 OK");
    let pool = server.call("pool.get_all", json!([server.session])).await.expect("answers")[0].clone();
    server.call("pool.set_https_only", json!([server.session, pool, true])).await.expect("set");
    assert_eq!(asked(&server, in_the_clear()).await, "HTTP/1.1 403 Forbidden");
    assert_eq!(asked(&server, encrypted()).await, "HTTP/1.1 200 OK");
    server.call("pool.set_https_only", json!([server.session, pool, false])).await.expect("set");
    assert_eq!(asked(&server, in_the_clear()).await, "HTTP/1.1 200 OK");
}
