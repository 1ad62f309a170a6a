//! The messages that look back: class `log`, and a machine's power states.

use crate::server::Server;
use serde_json::{Value as Json, json};

async fn head(server: &Server) -> i64 {
    let head = server.call("log.get_head", json!([server.session])).await.expect("answers");
    head["position"].as_str().expect("text").parse().expect("a position")
}

#[tokio::test]
async fn the_past_is_told_as_it_was() {
    let server = Server::start().await;
    let s = &server.session;
    let network = server.call("network.create", json!([s, {"name_label": "one"}])).await.expect("created");
    let first = head(&server).await;
    server.call("network.set_name_label", json!([s, network, "two"])).await.expect("set");
    let second = head(&server).await;
    server.call("network.destroy", json!([s, network])).await.expect("destroyed");
    let third = head(&server).await;
    let name_at = async |at: i64| {
        let record = server.call("log.get_record_at", json!([s, "network", network, at.to_string()])).await;
        record.map(|record| record["name_label"].clone()).map_err(|(code, _)| code)
    };
    assert_eq!(name_at(first).await, Ok(json!("one")));
    assert_eq!(name_at(second).await, Ok(json!("two")));
    assert_eq!(name_at(third).await, Err("HANDLE_INVALID".into()));
    assert_eq!(name_at(third + 1).await, Err("INVALID_VALUE".into()));
    let all = server.call("log.get_all_records_at", json!([s, "network", first.to_string()])).await.expect("answers");
    assert_eq!(all[network.as_str().expect("a reference")]["name_label"], "one");
    let hash = async |at: i64| server.call("log.get_state_hash", json!([s, at.to_string()])).await.expect("a hash");
    assert_ne!(hash(first).await, hash(second).await);
    let found = server.call("log.diff", json!([s, first.to_string(), second.to_string()])).await.expect("answers");
    assert_eq!(found[0]["fields"]["name_label"], json!({"old": "one", "new": "two"}), "{found}");
    assert_eq!(found.as_array().map(Vec::len), Some(1));
    let history = server.call("log.get_history", json!([s, "network", network, "name_label"])).await.expect("answers");
    let messages: Vec<&Json> = history.as_array().expect("events").iter().map(|event| &event["message"]).collect();
    assert_eq!(messages, ["network.create", "network.set_name_label", "network.destroy"]);
    assert_eq!(history[1]["principal"], "user/root");
}

#[tokio::test]
async fn events_are_filtered_and_refusals_are_among_them() {
    let server = Server::start().await;
    let s = &server.session;
    let network = server.call("network.create", json!([s, {"name_label": "one"}])).await.expect("created");
    let gone = json!("OpaqueRef:11111111-1111-4111-8111-111111111111");
    server.call("VM.start", json!([s, gone, false, false])).await.expect_err("there is no such machine");
    server.call("network.set_name_label", json!([s, network, "two"])).await.expect("set");
    let events = async |filter: Json| {
        let found = server.call("log.get_events", json!([s, filter, 0])).await.expect("answers");
        found.as_array().expect("a list").clone()
    };
    let refused = events(json!({"outcome": "refused"})).await;
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!((&refused[0]["message"], &refused[0]["error"][0]), (&json!("VM.start"), &json!("HANDLE_INVALID")));
    assert_eq!(refused[0]["address"], "test");
    let of_network = events(json!({"object": network, "outcome": "done"})).await;
    assert_eq!(of_network.len(), 2, "{of_network:?}");
    assert_eq!(of_network[0]["objects"][0]["name"], "two");
    let wrong = server.call("log.get_events", json!([s, {"nonsense": "x"}, 0])).await.expect_err("no such filter");
    assert_eq!(wrong.0, "INVALID_VALUE");
    assert!(!json!(events(json!({})).await).to_string().contains("password\":{"), "nothing secret is told");
}

#[tokio::test]
async fn a_machine_tells_its_power_states() {
    let server = Server::start().await;
    let s = &server.session;
    let names = server.names().await;
    let told = server.call("VM.get_power_state_history", json!([s, names.vm])).await.expect("answers");
    assert_eq!(told.as_array().map(Vec::len), Some(1), "{told}");
    assert_eq!(told[0]["principal"], "server");
    let gone = json!("OpaqueRef:11111111-1111-4111-8111-111111111111");
    let refused = server.call("VM.get_power_state_history", json!([s, gone])).await.expect_err("refused");
    assert_eq!(refused.0, "HANDLE_INVALID");
}
