//! What the hypervisor shows while nothing is pending.

use super::*;
use crate::command::vm::observed::{self, End, Guest, Observed, State};
use crate::model::VM_guest_metrics;

fn seen(state: State, domid: i64) -> Observed {
    Observed { state, domid, memory: None, vcpus: None, guest: None }
}

fn observe(site: &mut Site, vm: Ref, seen: Observed) {
    let host = site.host;
    site.own(move |draft| observed::observe(draft, vm, host, &seen)).expect("noted");
}

#[test]
fn observation_wins_while_nothing_is_pending() {
    let mut site = Site::new();
    let vm = site.machine();
    observe(&mut site, vm, seen(State::Running, 7));
    assert_eq!((site.power_state(vm), site.get::<VM>(vm).get(VM::domid)), ("Running", 7));
    observe(&mut site, vm, seen(State::Paused, 7));
    assert_eq!(site.power_state(vm), "Paused");
    observe(&mut site, vm, seen(State::Running, 8));
    assert_eq!((site.power_state(vm), site.get::<VM>(vm).get(VM::domid)), ("Running", 8));
    let task = site.call("VM.clean_shutdown", vec![vm.into()]).expect("begun").as_ref();
    observe(&mut site, vm, seen(State::Halted, -1));
    assert_eq!(site.power_state(vm), "Running", "the operation's end says so");
    site.complete(task).expect("stopped");
    assert_eq!(site.power_state(vm), "Halted");
}

#[test]
fn what_the_guest_tells_is_kept_and_said_once() {
    let mut site = Site::new();
    let vm = site.machine();
    site.done("VM.start", vec![vm.into(), false.into(), false.into()]).expect("started");
    let domid = site.get::<VM>(vm).get(VM::domid);
    let networks = [("0/ip".to_string(), "192.0.2.7".to_string())].into();
    let drivers = [("major".to_string(), "9".to_string())].into();
    let guest = Guest { networks, drivers, ..Guest::default() };
    let told = Observed { guest: Some(guest), ..seen(State::Running, domid) };
    observe(&mut site, vm, told.clone());
    let metrics = site.get::<VM_guest_metrics>(site.get::<VM>(vm).get(VM::guest_metrics));
    assert_eq!(metrics.get(VM_guest_metrics::networks).get("0/ip"), Some(&Value::text("192.0.2.7")));
    assert!(metrics.get(VM_guest_metrics::PV_drivers_detected));
    let (view, host) = (site.view.clone(), site.host);
    let principal = Principal::server("host/test");
    let mut draft = Draft::new(&view, &principal, 1, [9; 32]);
    observed::observe(&mut draft, vm, host, &told).expect("noted");
    assert!(draft.finish().is_empty(), "what is known already is no event");
    site.done("VM.hard_shutdown", vec![vm.into()]).expect("stopped");
    assert!(site.view.all::<VM_guest_metrics>().next().is_none());
}

#[test]
fn an_end_is_followed_by_what_the_machine_wishes() {
    let mut site = Site::new();
    let vm = site.machine();
    site.own(move |draft| {
        draft.set(vm, VM::actions_after_crash, "restart");
        draft.set(vm, VM::actions_after_reboot, "restart");
        Ok(Value::Void)
    })
    .expect("set");
    assert_eq!(observed::after_end(&site.view, vm, End::Shutdown), None);
    assert_eq!(observed::after_end(&site.view, vm, End::Gone), None);
    assert_eq!(observed::after_end(&site.view, vm, End::Reboot), Some("VM.start"));
    assert_eq!(observed::after_end(&site.view, vm, End::Crash), Some("VM.start"));
    site.own(move |draft| observed::begin(draft, "VM.start", vm)).expect("begun");
    let current = site.get::<VM>(vm).get(VM::current_operations).clone();
    let task = current.keys().next().and_then(|task| Ref::parse(task)).expect("one task");
    assert_eq!(&**site.get::<task>(task).get(task::name_label), "VM.start");
    site.complete(task).expect("started");
    assert_eq!(site.power_state(vm), "Running");
}
