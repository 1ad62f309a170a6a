//! Consoles over a real connection: what a machine shows, and what is typed.

use crate::server::{PASSWORD, Server};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use xenledger::auth::Peer;
use xenledger::gateway::listen::Connections;

/// A machine that runs, and where its console is.
async fn running(server: &Server) -> (Json, String) {
    let session = &server.session;
    let templates = server.call("VM.get_by_name_label", json!([session, "Linux PVH"])).await.expect("there");
    let vm = server.call("VM.clone", json!([session, templates[0], "web"])).await.expect("cloned");
    server.call("VM.provision", json!([session, vm])).await.expect("provisioned");
    server.call("VM.set_PV_kernel", json!([session, vm, "/boot/guest/vmlinuz"])).await.expect("set");
    server.call("VM.start", json!([session, vm, false, false])).await.expect("started");
    let consoles = server.call("VM.get_consoles", json!([session, vm])).await.expect("there");
    let location = server.call("console.get_location", json!([session, consoles[0]])).await.expect("there");
    let location = location.as_str().expect("a text");
    let (_, path) = location.split_once("/console").expect("a location");
    (vm, format!("/console{path}"))
}

/// Sends a request's head, and reads that of its answer.
async fn connect(server: &Server, path: &str, session: &str) -> (String, DuplexStream) {
    let (mut client, theirs) = tokio::io::duplex(64 * 1024);
    let connections = Connections::new(server.gateway.clone(), server.gateway.stop.clone());
    let peer = Peer { address: "192.0.2.7:50000".into(), ..Peer::default() };
    tokio::spawn(connections.connection(theirs, peer));
    let head = format!("CONNECT {path} HTTP/1.0\r\nhost: test\r\ncookie: session_id={session}\r\n\r\n");
    client.write_all(head.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(client.read_u8().await.expect("answered"));
    }
    (String::from_utf8(answer).expect("a head"), client)
}

#[tokio::test]
async fn a_console_is_what_its_location_says() {
    let server = Server::reconciled().await;
    let (vm, path) = running(&server).await;
    let (head, mut client) = connect(&server, &path, &server.session).await;
    assert!(head.starts_with("HTTP/1.0 200") || head.starts_with("HTTP/1.1 200"), "{head}");
    client.write_all(b"root\n").await.expect("typed");
    let mut shown = [0; 16];
    client.read_exact(&mut shown).await.expect("shown");
    assert_eq!(&shown, b"web login: root\n");
    let (head, _) = connect(&server, "/console?uuid=no-such-console", &server.session).await;
    assert!(head.contains(" 404 "), "{head}");
    let (head, _) = connect(&server, &path, "OpaqueRef:nobody").await;
    assert!(head.contains(" 401 "), "{head}");
    server.call("VM.hard_shutdown", json!([server.session, vm])).await.expect("ended");
    let (head, _) = connect(&server, &path, &server.session).await;
    assert!(head.contains(" 404 "), "a console goes with its domain: {head}");
}

#[tokio::test]
async fn whoever_may_not_see_a_machine_does_not_see_its_console() {
    let server = Server::reconciled().await;
    let (_, path) = running(&server).await;
    let session = &server.session;
    let roles = server.call("role.get_by_name_label", json!([session, "vm-operator"])).await.expect("there");
    let user =
        server.call("user.create", json!([session, {"short_name": "ann", "fullname": "Ann"}])).await.expect("made");
    server.call("user.set_password", json!([session, user, PASSWORD])).await.expect("set");
    server.call("user.set_roles", json!([session, user, roles])).await.expect("set");
    server.call("user.set_reads", json!([session, user, ["network"]])).await.expect("set");
    let hers = server.call("session.login_with_password", json!(["ann", PASSWORD])).await.expect("logs in");
    let (head, _) = connect(&server, &path, hers.as_str().expect("a session")).await;
    assert!(head.contains(" 404 "), "{head}");
}
