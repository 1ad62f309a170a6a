//! A pool with something of everything in it, made by calls wherever calls
//! make it.

use crate::server::Server;
use serde_json::{Value as Json, json};
use xenledger::command::bootstrap::demo;
use xenledger::model::{CLASSES, ClassId};
use xenledger::value::{Value, default_record};

/// Furnishes a new pool.
pub async fn furnish(server: &Server) {
    server.own(demo::add()).await;
    let made = |method: &'static str, params: Json| async move {
        let mut all = vec![json!(server.session)];
        all.extend(params.as_array().cloned().unwrap_or_default());
        server.call(method, Json::Array(all)).await.unwrap_or_else(|error| panic!("{method}: {error:?}"))
    };
    let vm = |label: &'static str| async move {
        server.call("VM.get_by_name_label", json!([server.session, label])).await.expect("answers")[0].clone()
    };
    for network in ["lan", "storage", "guests"] {
        made("network.create", json!([{"name_label": network, "other_config": {}, "tags": ["a"]}])).await;
    }
    made("subject.create", json!([{"subject_identifier": "S-1-5-21-7", "other_config": {"subject-name": "ann"}}]))
        .await;
    made("secret.create", json!([{"value": "hidden", "other_config": {}}])).await;
    made("task.create", json!(["mine", "a task of a client"])).await;
    made("VM_appliance.create", json!([{"name_label": "shop", "name_description": ""}])).await;
    let (web, build) = (vm("web-1").await, vm("build").await);
    let pool = made("pool.get_all", json!([])).await[0].clone();
    let sr = made("pool.get_default_SR", json!([pool])).await;
    let disk = json!({"name_label": "data", "SR": sr, "virtual_size": 1 << 30, "type": "user", "sharable": false,
        "read_only": false, "other_config": {}});
    made("VDI.create", json!([disk])).await;
    if server.is_reconciled() {
        for machine in ["web-1", "web-2", "database"] {
            let machine = vm(machine).await;
            if made("VM.get_power_state", json!([machine])).await == "Halted" {
                made("VM.start", json!([machine, false, false])).await;
            }
        }
        made("VM.suspend", json!([vm("database").await])).await;
        made("VM.snapshot", json!([build, "before"])).await;
        made("VM.snapshot", json!([web, "running"])).await;
    }
    server.own(Box::new(|draft| Ok(fill(draft)))).await;
}

/// An empty object of each class that has none.
fn fill(draft: &mut xenledger::command::Draft<'_>) -> Value {
    let gone = [ClassId::event, ClassId::data_source, ClassId::session];
    for class in CLASSES.iter().filter(|class| !class.flags.nothing_implied && !gone.contains(&class.id)) {
        if draft.view().class(class.id).objects.is_empty() {
            let reference = draft.ids.draw();
            draft.add(class.id, reference, default_record(class.id).clone());
        }
    }
    Value::Void
}
