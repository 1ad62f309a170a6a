//! Appliances and schedules: what they refuse, what they begin, and when.

use super::*;
use crate::command::sequence;
use crate::command::vm::schedule;
use crate::error::codes;
use crate::model::{VM_appliance, VMSS, message};

const HOUR: Micros = 3_600_000_000;
const DAY: Micros = 24 * HOUR;

fn appliance(site: &mut Site, machines: &[(Ref, i64, i64)]) -> Ref {
    let record = Value::map([("name_label", Value::from("shop"))]);
    let made = site.done("VM_appliance.create", vec![record]).expect("made");
    let made =
        Ref::parse(made.as_str().trim_start_matches("<value>").trim_end_matches("</value>")).expect("a reference");
    for (vm, order, delay) in machines {
        site.done("VM.set_appliance", vec![(*vm).into(), made.into()]).expect("set");
        site.done("VM.set_order", vec![(*vm).into(), Value::Int(*order)]).expect("set");
        site.done("VM.set_start_delay", vec![(*vm).into(), Value::Int(*delay)]).expect("set");
        site.done("VM.set_shutdown_delay", vec![(*vm).into(), Value::Int(*delay)]).expect("set");
    }
    made
}

fn operations(site: &Site, appliance: Ref) -> Vec<String> {
    let allowed = site.get::<VM_appliance>(appliance);
    allowed.get(VM_appliance::allowed_operations).iter().map(|name| name.as_str().to_string()).collect()
}

fn advance(site: &mut Site, task: Ref) {
    site.own(move |draft| sequence::advance(draft, task)).expect("a step");
}

/// The pending tasks that are part of another.
fn parts(site: &Site, whole: Ref) -> Vec<(String, Ref)> {
    let tasks = site.view.all::<task>().filter(|task| task.get(task::subtask_of) == whole);
    let pending = tasks.filter(|task| task.get(task::status) == "pending");
    pending.map(|task| (task.get(task::operation).to_string(), task.reference)).collect()
}

fn held(site: &Site, vm: Ref) -> bool {
    !site.get::<VM>(vm).get(VM::current_operations).is_empty()
}

#[test]
fn an_appliance_goes_by_order_and_waits_between() {
    let mut site = Site::new();
    let (first, second) = (site.machine(), site.machine());
    let shop = appliance(&mut site, &[(second, 2, 0), (first, 1, 30)]);
    assert_eq!(operations(&site, shop), ["start"]);
    let task = site.call("VM_appliance.start", vec![shop.into(), false.into()]).expect("begun").as_ref();
    assert!(operations(&site, shop).is_empty());
    let twice = site.call("VM_appliance.start", vec![shop.into(), false.into()]).expect_err("one at a time");
    assert_eq!(twice.code, "OTHER_OPERATION_IN_PROGRESS");
    advance(&mut site, task);
    assert_eq!((held(&site, first), held(&site, second)), (true, false));
    let running = parts(&site, task);
    assert_eq!(running.len(), 1);
    site.complete(running[0].1).expect("started");
    for _ in 0..10 {
        advance(&mut site, task);
        assert!(!held(&site, second), "thirty seconds have not passed");
    }
    site.now += 30_000_000;
    advance(&mut site, task);
    assert!(held(&site, second));
    site.complete(parts(&site, task)[0].1).expect("started");
    advance(&mut site, task);
    assert_eq!(site.get::<task>(task).get(task::status), "success");
    assert_eq!(operations(&site, shop), ["clean_shutdown", "hard_shutdown", "shutdown"]);
    let task = site.call("VM_appliance.hard_shutdown", vec![shop.into()]).expect("begun").as_ref();
    advance(&mut site, task);
    assert_eq!((held(&site, first), held(&site, second)), (false, true), "backwards");
}

#[test]
fn what_cannot_be_done_is_named_and_the_rest_is_done() {
    let mut site = Site::new();
    let (one, other) = (site.machine(), site.machine());
    let shop = appliance(&mut site, &[(one, 0, 0), (other, 0, 0)]);
    site.done("VM.start", vec![one.into(), true.into(), false.into()]).expect("paused");
    let task = site.call("VM_appliance.start", vec![shop.into(), false.into()]).expect("begun").as_ref();
    advance(&mut site, task);
    let running = parts(&site, task);
    assert_eq!(running.len(), 1, "the paused one cannot be started");
    site.complete(running[0].1).expect("started");
    advance(&mut site, task);
    let ended = site.get::<task>(task);
    let error: Vec<&str> = ended.get(task::error_info).iter().map(Value::as_str).collect();
    assert_eq!(error, ["OPERATION_PARTIALLY_FAILED", "VM_appliance.start", &one.to_string()]);
    assert_eq!(site.power_state(other), "Running");
}

#[test]
fn a_sequence_that_is_cancelled_begins_nothing_more() {
    let mut site = Site::new();
    let (first, second) = (site.machine(), site.machine());
    let shop = appliance(&mut site, &[(first, 1, 0), (second, 2, 0)]);
    let task = site.call("VM_appliance.start", vec![shop.into(), false.into()]).expect("begun").as_ref();
    advance(&mut site, task);
    site.call("task.cancel", vec![task.into()]).expect("marked");
    advance(&mut site, task);
    let part = parts(&site, task)[0].1;
    assert!(!site.get::<task>(part).get(task::current_operations).is_empty(), "its part is asked to end");
    site.complete(part).expect("it was quicker");
    advance(&mut site, task);
    assert_eq!(site.get::<task>(task).get(task::status), "cancelled");
    assert!(!held(&site, second));
    assert_eq!(operations(&site, shop), ["start", "clean_shutdown", "hard_shutdown", "shutdown"]);
}

#[test]
fn an_appliance_without_machines_does_nothing() {
    let mut site = Site::new();
    let shop = appliance(&mut site, &[]);
    assert!(operations(&site, shop).is_empty());
    let refused = site.call("VM_appliance.shutdown", vec![shop.into()]).expect_err("nothing to do");
    assert_eq!(refused.code, "OPERATION_NOT_ALLOWED");
}

fn policy(site: &mut Site, frequency: &'static str, said: &[(&'static str, &'static str)]) -> Result<Ref, ApiError> {
    let said = Value::map(said.iter().map(|(key, value)| (*key, Value::from(*value))));
    let record = [("name_label", Value::from("nightly")), ("type", "snapshot".into()), ("frequency", frequency.into())];
    let record = Value::map(record.into_iter().chain([("schedule", said), ("retained_snapshots", Value::Int(2))]));
    let message = MODEL.message("VMSS.create").expect("a message");
    let made = decide(&site.view, site.command(Intent::Call(Call { message, args: vec![record], background: false })))?;
    Ok(site.apply(made).as_ref())
}

#[test]
fn a_schedule_says_what_its_frequency_needs() {
    let mut site = Site::new();
    let weekly = policy(&mut site, "weekly", &[("hour", "3"), ("days", "monday, Friday")]).expect("made");
    let said = |site: &Site| -> Vec<(String, String)> {
        let schedule = site.get::<VMSS>(weekly);
        schedule.get(VMSS::schedule).iter().map(|(key, value)| (key.to_string(), value.as_str().to_string())).collect()
    };
    let pair = |key: &str, value: &str| (key.to_string(), value.to_string());
    assert_eq!(said(&site), [pair("days", "monday, Friday"), pair("hour", "3"), pair("min", "0")]);
    for (key, value) in [("min", "7"), ("hour", "24"), ("hour", "03"), ("days", "Someday"), ("year", "1")] {
        let refused = policy(&mut site, "weekly", &[(key, value)]).expect_err("wrong");
        assert_eq!(refused, codes::INVALID_VALUE(format!("schedule:{key}"), value));
    }
    site.done("VMSS.set_frequency", vec![weekly.into(), "hourly".into()]).expect("set");
    assert_eq!(said(&site), [pair("min", "0")]);
    let again = site.call("VMSS.add_to_schedule", vec![weekly.into(), "min".into(), "15".into()]).expect_err("there");
    assert_eq!(again.code, "MAP_DUPLICATE_KEY");
    let many = site.call("VMSS.set_retained_snapshots", vec![weekly.into(), Value::Int(11)]).expect_err("too many");
    assert_eq!(many.code, "INVALID_VALUE");
}

#[test]
fn a_schedule_is_due_at_its_time_and_only_then() {
    // 2023-11-14 was a Tuesday; 22:13:20 is where the simulated world begins.
    const NOON: Micros = 1_699_963_200_000_000;
    let times = [
        ("hourly", [("min", "15"), ("hour", "0")], NOON + HOUR / 4, NOON + HOUR + HOUR / 4),
        ("daily", [("min", "30"), ("hour", "12")], NOON + HOUR / 2, NOON + HOUR / 2 + DAY),
        ("weekly", [("days", "Wednesday"), ("hour", "1")], NOON + 13 * HOUR, NOON + 13 * HOUR + 7 * DAY),
    ];
    for (frequency, said, first, then) in times {
        let mut site = Site::new();
        site.now = NOON;
        let made = policy(&mut site, frequency, &said).expect("made");
        let due = |site: &Site, at: Micros| schedule::due(&site.view, at).first().map(|(_, slot)| *slot);
        assert_eq!(due(&site, first - 1), None, "{frequency}");
        assert_eq!(due(&site, first), Some(first), "{frequency}");
        site.now = first;
        site.own(schedule::run).expect("run");
        assert_eq!(due(&site, then - 1), None, "{frequency}");
        assert_eq!(due(&site, then), Some(then), "{frequency}");
        site.done("VMSS.set_enabled", vec![made.into(), false.into()]).expect("set");
        assert_eq!(due(&site, then), None, "{frequency}");
    }
}

/// Takes a run to its end.
fn finish(site: &mut Site, run: Ref) {
    for _ in 0..4 {
        advance(site, run);
        for (_, part) in parts(site, run) {
            site.complete(part).expect("taken");
        }
        if site.get::<task>(run).get(task::status) != "pending" {
            return;
        }
    }
    panic!("the run never ended");
}

#[test]
fn a_run_keeps_as_many_snapshots_as_it_should_and_tells_of_it() {
    let mut site = Site::new();
    let vm = site.machine();
    let policy = policy(&mut site, "hourly", &[]).expect("made");
    site.done("VM.set_snapshot_schedule", vec![vm.into(), policy.into()]).expect("set");
    site.done("VM.snapshot", vec![vm.into(), "by hand".into(), Value::empty_set()]).expect("taken");
    let mut runs = 0;
    for _ in 0..3 {
        let run = site.call("VMSS.snapshot_now", vec![policy.into()]).expect("begun").as_ref();
        let twice = site.call("VMSS.snapshot_now", vec![policy.into()]).expect_err("one at a time");
        assert_eq!(twice.code, "OTHER_OPERATION_IN_PROGRESS");
        finish(&mut site, run);
        runs += 1;
        let told = site.view.all::<message>().filter(|one| &**one.get(message::name) == "VMSS_SNAPSHOT_SUCCEEDED");
        assert_eq!(told.count(), runs);
    }
    let scheduled = |site: &Site| {
        let snapshots = site.view.far(VM::snapshots, vm).into_iter().map(|snapshot| site.get::<VM>(snapshot));
        snapshots.filter(|snapshot| snapshot.get(VM::is_vmss_snapshot)).count()
    };
    assert_eq!(scheduled(&site), 3);
    let disks = site.view.all::<VDI>().count();
    let goes = site.view.all::<task>().find(|task| &**task.get(task::operation) == "VM.destroy").map(|t| t.reference);
    site.complete(goes.expect("the oldest is on its way out")).expect("gone");
    assert_eq!((scheduled(&site), site.view.far(VM::snapshots, vm).len()), (2, 3), "what a person took stays");
    assert_eq!(site.view.all::<VDI>().count(), disks - 1);
    let refused = site.call("VMSS.destroy", vec![policy.into()]).expect_err("it has a machine");
    assert_eq!(refused.code, "VMSS_HAS_VM");
    site.done("VM.set_snapshot_schedule", vec![vm.into(), Ref::NULL.into()]).expect("set");
    site.done("VMSS.destroy", vec![policy.into()]).expect("destroyed");
    assert_eq!(site.view.all::<message>().count(), 0);
}

#[test]
fn what_is_too_late_is_told_of_and_not_made_up_for() {
    let mut site = Site::new();
    let vm = site.machine();
    site.now = DAY;
    let policy = policy(&mut site, "daily", &[("hour", "1")]).expect("made");
    site.done("VM.set_snapshot_schedule", vec![vm.into(), policy.into()]).expect("set");
    site.now = DAY + 3 * HOUR;
    site.own(schedule::run).expect("run");
    let told: Vec<String> = site.view.all::<message>().map(|one| one.get(message::name).to_string()).collect();
    assert_eq!(told, ["VMSS_SNAPSHOT_MISSED_EVENT"]);
    assert!(schedule::due(&site.view, site.now).is_empty());
    assert!(sequence::pending_about(&site.view, policy).is_none());
}
