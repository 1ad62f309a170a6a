//! Every message as every role: a caller is denied exactly what the model does
//! not give their role, by name, and a denied call changes nothing. The
//! model's roles are the published ones: `tests/model.rs` compares them.

use crate::arguments::{Dice, fitting};
use crate::furnish::furnish;
use crate::server::{PASSWORD, Server};
use serde_json::json;
use xenledger::gateway::dispatch::list_methods;
use xenledger::model::roles::ROLE_NAMES;
use xenledger::model::{CLASSES, ClassId, MODEL, Message, Roles, Ty};
use xenledger::value::Value;

/// A server that a user of that role called, with root's session.
pub async fn as_role(server: &mut Server, role: &str) -> String {
    let root = server.session.clone();
    let roles = server.call("role.get_by_name_label", json!([root, role])).await.expect("answers");
    let name = format!("a {role}");
    let user = server.call("user.create", json!([root, {"short_name": name, "fullname": name}])).await.expect("made");
    server.call("user.set_password", json!([root, user, PASSWORD])).await.expect("set");
    server.call("user.set_roles", json!([root, user, roles])).await.expect("set");
    let session = server.call("session.login_with_password", json!([name, PASSWORD])).await.expect("logs in");
    server.session = session.as_str().expect("a reference").to_string();
    root
}

/// Arguments that fit and lead nowhere, so that what is allowed does no work.
fn leading_nowhere(dice: &mut Dice, server: &Server, message: &Message) -> Vec<Value> {
    let mut args = fitting(dice, &server.view(), message);
    for (arg, param) in args.iter_mut().zip(message.params) {
        match param.ty {
            Ty::Ref(_) => *arg = Value::text(&dice.reference().to_string()),
            Ty::Map(..) | Ty::Record(_) => *arg = Value::empty_map(),
            Ty::String if param.name == "key" => *arg = Value::text("of no role"),
            _ => {}
        }
    }
    args
}

#[tokio::test]
async fn every_message_is_denied_to_exactly_the_roles_that_the_model_does_not_give_it() {
    let mut server = Server::reconciled().await;
    furnish(&server).await;
    // What waits for what does not happen, and what ends the session that asks.
    let tried = |message: &&'static Message| {
        !message.no_session && message.full_name != "event.next" && !message.name.contains("logout")
    };
    let served: Vec<&Message> = list_methods().filter_map(|name| MODEL.message(name)).filter(tried).collect();
    let (mut denied, mut allowed) = (0, 0);
    for name in ROLE_NAMES {
        let root = as_role(&mut server, name).await;
        let role = Roles::one(name).expect("a published role");
        for message in &served {
            let args = leading_nowhere(&mut Dice::of(1, message.full_name), &server, message);
            let before = server.view();
            let answer = server.message(message, false, args).await;
            let error = answer.and_then(Result::err);
            let refused = error.filter(|error| error.code == "RBAC_PERMISSION_DENIED");
            let permission = message.full_name.to_lowercase();
            if message.roles.intersects(role) {
                // One's own tasks only: that is said of the task, not of the message.
                let own = refused.as_ref().is_none_or(|error| error.params[0] == format!("{permission}/any"));
                assert!(own, "{} is denied to {name}: {refused:?}", message.full_name);
                allowed += 1;
            } else {
                let refused = refused.unwrap_or_else(|| panic!("{} is allowed to {name}", message.full_name));
                assert_eq!((refused.params.len(), &refused.params[0]), (2, &permission));
                let after = server.view();
                let same = CLASSES.iter().all(|class| after.class(class.id).changed(before.position).next().is_none());
                assert!(
                    same && before.counts().eq(after.counts()),
                    "{} was denied to {name} and changed something",
                    message.full_name
                );
                denied += 1;
            }
        }
        server.session = root;
    }
    println!("{allowed} allowed, {denied} denied");
    assert!(denied > 1_000 && allowed > 1_000);
}

#[tokio::test]
async fn a_protected_key_has_its_own_roles_whichever_way_it_is_set() {
    let mut server = Server::start().await;
    let vm = server.view().class(ClassId::VM).objects.keys().next().expect("a template").to_string();
    let pool = server.view().class(ClassId::pool).objects.keys().next().expect("the pool").to_string();
    let root = as_role(&mut server, "vm-operator").await;
    let session = server.session.clone();
    for (object, class) in [(&vm, "VM"), (&pool, "pool")] {
        let method = format!("{class}.add_to_other_config");
        server.call(&method, json!([session, object, "folder", "/a"])).await.expect("a key for operators");
        let denied = server.call(&method, json!([session, object, "else", "b"])).await.expect_err("denied");
        assert_eq!(denied, ("RBAC_PERMISSION_DENIED".into(), json!([method.to_lowercase(), denied.1[1]])));
    }
    server.session = root;
    as_role(&mut server, "vm-admin").await;
    let session = server.session.clone();
    let denied = server.call("VM.add_to_other_config", json!([session, vm, "pci", "0/0000:00:02.0"])).await;
    assert_eq!(denied.expect_err("denied").1[0], "vm.add_to_other_config/key:pci");
    let config = server.call("VM.get_other_config", json!([session, vm])).await.expect("answers");
    let mut changed = config.clone();
    changed["note"] = json!("mine");
    server.call("VM.set_other_config", json!([session, vm, changed])).await.expect("no protected key changes");
    changed["pci"] = json!("0/0000:00:02.0");
    let denied = server.call("VM.set_other_config", json!([session, vm, changed])).await.expect_err("denied");
    assert_eq!(denied.1[0], "vm.set_other_config/key:pci");
}

/// Events have no roles of their own: what somebody may not read must be in none.
#[test]
fn what_not_everybody_may_read_raises_no_events() {
    let reader = Roles::one("read-only").expect("a published role");
    for class in CLASSES {
        let record = MODEL.message(&format!("{}.get_record", class.name));
        let hidden = record.is_some_and(|message| !message.roles.intersects(reader));
        assert!(!hidden || class.flags.no_events, "{} raises events that not everybody may read", class.name);
    }
}
