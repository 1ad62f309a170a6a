//! What is served by the very server: its certificate and its process.

use super::http::fetch;
use super::server::Server;
use serde_json::{Value as Json, json};

fn pair() -> (String, String) {
    let params = rcgen::CertificateParams::new(vec!["pool.example".to_string()]).expect("a name");
    let key = rcgen::KeyPair::generate().expect("a key");
    (params.self_signed(&key).expect("signed").pem(), key.serialize_pem())
}

/// A server, and the host that it is on.
async fn start() -> (Server, Json) {
    let server = Server::start().await;
    let hosts = server.call("host.get_all", json!([server.session])).await.expect("answers");
    (server, hosts[0].clone())
}

#[tokio::test]
async fn the_certificate_is_replaced_and_told_of_without_its_key() {
    let (server, here) = start().await;
    let session = &server.session;
    let first = server.call("host.get_server_certificate", json!([session, here])).await.expect("made");
    assert!(first.as_str().is_some_and(|pem| pem.starts_with("-----BEGIN CERTIFICATE-----")));
    let (certificate, key) = pair();
    let (_, other) = pair();
    let wrong = json!([session, here, certificate, other, ""]);
    let refused = server.call("host.install_server_certificate", wrong).await.expect_err("refused");
    assert_eq!(refused.0, "SERVER_CERTIFICATE_KEY_MISMATCH");
    let right = json!([session, here, certificate, key, ""]);
    server.call("host.install_server_certificate", right).await.expect("installed");
    let now = server.call("host.get_server_certificate", json!([session, here])).await.expect("there");
    assert_eq!(now, json!(certificate));
    let records = server.call("Certificate.get_all_records", json!([session])).await.expect("answers");
    let own = records.as_object().expect("records").values().next().expect("one").clone();
    assert_eq!((own["type"].clone(), own["host"].clone()), (json!("host"), here.clone()));
    assert_ne!(own["not_after"], json!("19700101T00:00:00Z"));
    server.call("host.refresh_server_certificate", json!([session, here])).await.expect("it signs itself");
    let task = server.call("Async.host.reset_server_certificate", json!([session, here])).await.expect("a task");
    assert_eq!(server.call("task.get_status", json!([session, task])).await, Ok(json!("success")));
    let after = server.call("Certificate.get_all_records", json!([session])).await.expect("answers");
    assert_eq!(after.as_object().map(|all| all.len()), Some(1), "a new certificate takes the old one's place");
    let nobody = json!([session, session]);
    let refused = server.call("host.reset_server_certificate", nobody).await.expect_err("no host");
    assert_eq!(refused.0, "HANDLE_INVALID");
}

#[tokio::test]
async fn a_wish_for_the_process_is_answered_first() {
    let (server, here) = start().await;
    let session = &server.session;
    assert_eq!(server.wish(), None);
    server.call("host.restart_agent", json!([session, here])).await.expect("answered");
    assert_eq!(server.wish(), Some(xenledger::gateway::local::Wish::Restart));
    server.call("host.shutdown_agent", json!([session])).await.expect("answered");
    assert_eq!(server.wish(), Some(xenledger::gateway::local::Wish::Stop));
}

#[tokio::test]
async fn what_a_status_report_can_hold_is_what_the_server_gives() {
    let (server, here) = start().await;
    let session = &server.session;
    let told = server.call("host.get_system_status_capabilities", json!([session, here])).await.expect("told");
    let told = told.as_str().expect("XML");
    let from: Vec<&str> = told.split(" from=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(from.len(), told.matches("<capability ").count(), "each says where it is to be had: {told}");
    for place in from {
        let cookie = format!("session_id={session}");
        match place.strip_prefix("GET ") {
            Some(path) => assert_eq!(fetch(&server, path, &[("Cookie", &cookie)]).await.0, 200, "{place}"),
            None => drop(server.call(place, json!([session, here])).await.expect(place)),
        }
    }
    let task = server.call("Async.host.get_system_status_capabilities", json!([session, here])).await.expect("a task");
    assert_eq!(server.call("task.get_status", json!([session, task])).await, Ok(json!("success")));
    let nowhere = json!([session, "OpaqueRef:NULL"]);
    let refused = server.call("host.get_system_status_capabilities", nowhere).await.expect_err("no host");
    assert_eq!(refused.0, "HANDLE_INVALID");
}
