//! Tasks from their beginning to their end, and how long they stay.

use super::server::Server;
use super::subscriptions::ask;
use serde_json::{Value as Json, json};
use std::collections::HashSet;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use xenledger::model::{ClassId, task};
use xenledger::reconcile::timers;
use xenledger::value::{Ref, Value};

/// What looks at the clock, without anything that carries operations out.
fn with_timers(server: &Server) {
    let subscribers = server.gateway.subscribers.clone();
    let waited = move || -> HashSet<Ref> { subscribers.awaited(ClassId::task) };
    tokio::spawn(timers::run(server.gateway.ledger.clone(), waited, CancellationToken::new()));
}

/// Lets so many seconds go by.
async fn pass(server: &Server, seconds: u64) {
    for _ in 0..seconds.min(5) {
        server.gateway.ledger.world().advance(Duration::from_secs(seconds / seconds.min(5)));
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
}

async fn created(server: &Server) -> Json {
    ask(server, "task.create", &[json!("mine"), json!("")]).await
}

async fn is_there(server: &Server, task: &Json) -> bool {
    server.call("task.get_uuid", json!([server.session, task])).await.is_ok()
}

#[tokio::test]
async fn finished_tasks_stay_as_long_as_the_pool_says_and_pending_ones_for_ever() {
    let server = Server::start().await;
    with_timers(&server);
    let pools = ask(&server, "pool.get_all", &[]).await;
    ask(&server, "pool.set_completed_task_timeout", &[pools[0].clone(), json!(100)]).await;
    let (ended, pending) = (created(&server).await, created(&server).await);
    ask(&server, "task.set_status", &[ended.clone(), json!("success")]).await;
    pass(&server, 95).await;
    assert!(is_there(&server, &ended).await);
    pass(&server, 10).await;
    assert!(!is_there(&server, &ended).await);
    pass(&server, 50_000).await;
    assert!(is_there(&server, &pending).await, "what is pending is never purged");
    ask(&server, "pool.set_completed_task_limit", &[pools[0].clone(), json!(3)]).await;
    let mut many = Vec::new();
    for _ in 0..5 {
        many.push(created(&server).await);
        ask(&server, "task.set_status", &[many.last().expect("one").clone(), json!("failure")]).await;
        server.gateway.ledger.world().advance(Duration::from_millis(1));
    }
    pass(&server, 5).await;
    let mut left = Vec::new();
    for task in &many {
        left.push(is_there(&server, task).await);
    }
    assert_eq!(left, [false, false, true, true, true], "the oldest go first");
}

#[tokio::test]
async fn a_finished_task_stays_while_somebody_waits_for_it() {
    let server = Server::start().await;
    with_timers(&server);
    let pools = ask(&server, "pool.get_all", &[]).await;
    ask(&server, "pool.set_completed_task_timeout", &[pools[0].clone(), json!(10)]).await;
    let (waited, other) = (created(&server).await, created(&server).await);
    for task in [&waited, &other] {
        ask(&server, "task.set_status", &[task.clone(), json!("success")]).await;
    }
    let class = json!([format!("task/{}", waited.as_str().expect("a reference"))]);
    let token = ask(&server, "event.from", &[class.clone(), json!(""), json!(0.0)]).await["token"].clone();
    let blocked = server.call("event.from", json!([server.session, class, token, 3600.0]));
    let time = async {
        pass(&server, 100).await;
        assert!(is_there(&server, &waited).await, "somebody waits for it");
        assert!(!is_there(&server, &other).await);
        ask(&server, "task.add_to_other_config", &[waited.clone(), json!("a"), json!("b")]).await;
    };
    let (told, ()) = tokio::join!(blocked, time);
    assert_eq!(told.expect("it changed")["events"].as_array().expect("events").len(), 1);
    pass(&server, 100).await;
    assert!(!is_there(&server, &waited).await, "nobody waits any more");
}

#[tokio::test]
async fn a_cancelled_task_that_nobody_ends_is_ended_by_the_server() {
    let server = Server::start().await;
    with_timers(&server);
    let (silent, prompt) = (created(&server).await, created(&server).await);
    ask(&server, "task.set_progress", &[silent.clone(), json!(0.4)]).await;
    for task in [&silent, &prompt] {
        ask(&server, "task.cancel", std::slice::from_ref(task)).await;
    }
    pass(&server, 50).await;
    assert_eq!(ask(&server, "task.get_status", std::slice::from_ref(&silent)).await, "pending", "its client has time");
    ask(&server, "task.set_status", &[prompt.clone(), json!("success")]).await;
    pass(&server, 15).await;
    let ended = ask(&server, "task.get_record", std::slice::from_ref(&silent)).await;
    assert_eq!((&ended["status"], &ended["progress"]), (&json!("cancelled"), &json!(1.0)));
    assert_eq!((&ended["progress_at_end"], &ended["error_info"]), (&json!(0.4), &json!(["TASK_CANCELLED", silent])));
    assert_eq!(ask(&server, "task.get_status", &[prompt]).await, "success", "what came first counts");
}

#[tokio::test]
async fn an_operation_that_nobody_is_heard_of_is_ended_and_its_locks_are_released() {
    let server = Server::start().await;
    with_timers(&server);
    let vms = ask(&server, "VM.get_all", &[]).await;
    let templates = vms.as_array().expect("machines");
    let mut machine = Json::Null;
    for vm in templates {
        if ask(&server, "VM.get_is_a_template", std::slice::from_ref(vm)).await == json!(true) {
            machine = vm.clone();
        }
    }
    let clone = ask(&server, "Async.VM.clone", &[machine.clone(), json!("copy")]).await;
    assert_eq!(ask(&server, "task.get_status", std::slice::from_ref(&clone)).await, "pending", "nobody carries it out");
    let held = ask(&server, "VM.get_current_operations", &[machine.clone()]).await;
    assert_eq!(held.as_object().expect("a map").len(), 1);
    pass(&server, 1_000).await;
    let reference = Ref::parse(clone.as_str().expect("a reference")).expect("one");
    server.own(Box::new(move |draft| xenledger::command::operation::progress(draft, reference, 0.5))).await;
    pass(&server, 1_000).await;
    assert_eq!(ask(&server, "task.get_status", std::slice::from_ref(&clone)).await, "pending", "it came further");
    pass(&server, 300).await;
    let ended = ask(&server, "task.get_record", &[clone]).await;
    assert_eq!((&ended["status"], &ended["progress_at_end"]), (&json!("failure"), &json!(0.5)));
    assert_eq!(ended["error_info"][0], "INTERNAL_ERROR");
    assert_eq!(ask(&server, "VM.get_current_operations", &[machine.clone()]).await, json!({}));
    ask(&server, "Async.VM.clone", &[machine, json!("again")]).await;
}

#[tokio::test]
async fn an_end_is_told_in_one_event() {
    let server = Server::start().await;
    let own = ask(&server, "subscription.create", &[json!({"classes": ["task"]})]).await;
    let mine = created(&server).await;
    ask(&server, "task.set_progress", &[mine.clone(), json!(1.0)]).await;
    assert_eq!(ask(&server, "task.get_progress", std::slice::from_ref(&mine)).await, json!(0.99), "it has not ended");
    ask(&server, "task.set_progress", &[mine.clone(), json!(0.5)]).await;
    ask(&server, "task.set_error_info", &[mine.clone(), json!(["SR_FULL", "1", "0"])]).await;
    ask(&server, "task.set_status", &[mine.clone(), json!("failure")]).await;
    for (what, value) in
        [("result", json!("late")), ("error_info", json!([])), ("progress", json!(0.1)), ("status", json!("success"))]
    {
        let late = server.call(&format!("task.set_{what}"), json!([server.session, mine, value])).await;
        assert_eq!(late.expect_err(what).0, "OPERATION_NOT_ALLOWED");
    }
    let told = ask(&server, "subscription.poll", &[own, json!(100), json!(0.0)]).await;
    let events = told["events"].as_array().expect("events");
    let end = &events.last().expect("the end")["changes"][0]["changed"];
    assert_eq!(end["status"], json!({"old": "pending", "new": "failure"}));
    assert_eq!(end["progress"], json!({"old": 0.99, "new": 1.0}));
    assert_eq!(end["progress_at_end"]["new"], json!(0.99));
    assert!(!end["finished"].is_null());
    let before = events.iter().rev().skip(1);
    assert!(before.map(|event| &event["changes"][0]["changed"]["status"]).all(Json::is_null));
}

#[tokio::test]
async fn a_principal_may_have_so_many_operations_under_way() {
    let server = Server::start().await;
    let pools = ask(&server, "pool.get_all", &[]).await;
    ask(&server, "pool.set_pending_task_limit", &[pools[0].clone(), json!(1)]).await;
    let srs = ask(&server, "SR.get_all", &[]).await;
    ask(&server, "Async.SR.scan", &[srs[0].clone()]).await;
    let refused = server.call("Async.SR.scan", json!([server.session, srs[1]])).await.expect_err("one is enough");
    assert_eq!(refused, ("TOO_MANY_PENDING_TASKS".to_string(), json!([])));
    let view = server.view();
    assert_eq!(view.all::<task>().filter(|task| task.get(task::status) == "pending").count(), 1);
    server.own(Box::new(|draft| Ok(Value::from(draft.view().all::<task>().count() as i64)))).await;
}
