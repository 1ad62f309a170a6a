//! The life cycle: every operation in every power state, and what each leaves.

use super::*;
use crate::model::console;

/// Brings a fresh machine into a power state.
fn in_state(site: &mut Site, state: &str) -> Ref {
    let vm = site.machine();
    let way: &[&str] = match state {
        "Halted" => &[],
        "Running" => &["VM.start"],
        "Paused" => &["VM.start", "VM.pause"],
        "Suspended" => &["VM.start", "VM.suspend"],
        other => panic!("no way to {other}"),
    };
    for message in way {
        site.done(message, args(message, vm)).unwrap_or_else(|error| panic!("{message}: {error}"));
    }
    assert_eq!(site.power_state(vm), state);
    vm
}

fn args(message: &str, vm: Ref) -> Vec<Value> {
    match message {
        "VM.start" | "VM.resume" => vec![vm.into(), false.into(), false.into()],
        "VM.send_sysrq" | "VM.send_trigger" => vec![vm.into(), "s".into()],
        _ => vec![vm.into()],
    }
}

/// Message, the states it is allowed in as errors spell them, and the state after it.
const TABLE: &[(&str, &str, &str)] = &[
    ("VM.start", "halted", "Running"),
    ("VM.pause", "running", "Paused"),
    ("VM.unpause", "paused", "Running"),
    ("VM.suspend", "running", "Suspended"),
    ("VM.resume", "suspended", "Running"),
    ("VM.shutdown", "paused, suspended, running", "Halted"),
    ("VM.clean_shutdown", "running", "Halted"),
    ("VM.hard_shutdown", "paused, suspended, running", "Halted"),
    ("VM.clean_reboot", "running", "Running"),
    ("VM.hard_reboot", "paused, running", "Running"),
    ("VM.power_state_reset", "halted, paused, suspended, running", "Halted"),
    ("VM.send_sysrq", "running", "Running"),
    ("VM.send_trigger", "running", "Running"),
];

#[test]
fn every_operation_in_every_state() {
    for (message, allowed_in, after) in TABLE {
        for state in ["Halted", "Paused", "Suspended", "Running"] {
            let mut site = Site::new();
            let vm = in_state(&mut site, state);
            let actual = state.to_lowercase();
            let allowed = allowed_in.split(", ").any(|name| name == actual);
            let operation = message.strip_prefix("VM.").expect("of VM").to_string();
            assert_eq!(site.allowed(vm).contains(&operation), allowed, "{message} listed while {state}");
            let result = site.done(message, args(message, vm));
            if allowed {
                result.unwrap_or_else(|error| panic!("{message} while {state}: {error}"));
                assert_eq!(site.power_state(vm), *after, "{message} while {state}");
                assert!(site.get::<VM>(vm).get(VM::current_operations).is_empty());
            } else {
                let error = result.expect_err("refused");
                let expected = vec![vm.to_string(), allowed_in.to_string(), actual.clone()];
                assert_eq!((error.code, &*error.params), ("VM_BAD_POWER_STATE", &*expected), "{message} while {state}");
            }
        }
    }
}

#[test]
fn a_started_machine_has_its_devices_console_and_metrics() {
    let mut site = Site::new();
    let vm = in_state(&mut site, "Running");
    let machine = site.get::<VM>(vm);
    assert_eq!(machine.get(VM::resident_on), site.host);
    assert!(machine.get(VM::domid) > 0);
    assert!(machine.get(VM::scheduled_to_be_resident_on).is_null());
    let vbd = site.get::<VBD>(site.view.far(VM::VBDs, vm)[0]);
    assert!(vbd.get(VBD::currently_attached));
    assert_eq!(&**vbd.get(VBD::device), "hda");
    assert!(site.get::<VIF>(site.view.far(VM::VIFs, vm)[0]).get(VIF::currently_attached));
    let open = site.get::<console>(site.view.far(VM::consoles, vm)[0]);
    let location = format!("https://h/console?uuid={}", open.get(console::uuid));
    assert_eq!(**open.get(console::location), *location);
    let metrics = site.get::<VM_metrics>(machine.get(VM::metrics));
    assert_eq!((metrics.get(VM_metrics::memory_actual), metrics.get(VM_metrics::VCPUs_number)), (GIB, 2));
    assert!(metrics.get(VM_metrics::start_time) > 0);

    site.done("VM.hard_shutdown", vec![vm.into()]).expect("stopped");
    let machine = site.get::<VM>(vm);
    assert!(machine.get(VM::resident_on).is_null());
    assert_eq!(machine.get(VM::domid), -1);
    assert!(site.view.far(VM::consoles, vm).is_empty());
    assert!(!site.get::<VBD>(site.view.far(VM::VBDs, vm)[0]).get(VBD::currently_attached));
}

#[test]
fn while_an_operation_is_pending_others_are_refused() {
    let mut site = Site::new();
    let vm = site.machine();
    let task = site.call("VM.start", args("VM.start", vm)).expect("begun").as_ref();
    let current = site.get::<VM>(vm).get(VM::current_operations).clone();
    assert_eq!(current.get(&*task.to_string()).map(|name| name.as_str()), Some("start"));
    assert_eq!(site.allowed(vm), ["power_state_reset"]);
    let error = site.call("VM.start", args("VM.start", vm)).expect_err("busy");
    let expected = ["VM".to_string(), vm.to_string(), "start".into(), task.to_string()];
    assert_eq!((error.code, &*error.params), ("OTHER_OPERATION_IN_PROGRESS", &expected[..]));
    site.complete(task).expect("started");
    assert_eq!(site.power_state(vm), "Running");
}

#[test]
fn a_hard_shutdown_ends_a_clean_one() {
    let mut site = Site::new();
    let vm = in_state(&mut site, "Running");
    let clean = site.call("VM.clean_shutdown", vec![vm.into()]).expect("begun").as_ref();
    assert!(site.allowed(vm).contains(&"hard_shutdown".to_string()));
    let hard = site.call("VM.hard_shutdown", vec![vm.into()]).expect("begun").as_ref();
    assert_eq!(site.get::<task>(clean).get(task::status), "cancelled");
    assert!(site.complete(clean).is_err(), "its report comes too late");
    site.complete(hard).expect("stopped");
    assert_eq!(site.power_state(vm), "Halted");
}

#[test]
fn a_failed_start_leaves_the_machine_as_it_was() {
    let mut site = Site::new();
    let vm = site.machine();
    let before = site.get::<VM>(vm).record.clone();
    let task = site.call("VM.start", args("VM.start", vm)).expect("begun").as_ref();
    let error = crate::error::codes::BOOTLOADER_FAILED(vm, "no kernel");
    site.own(move |draft| operation::fail(draft, task, error)).expect("noted");
    assert_eq!(site.get::<VM>(vm).record, before);
    assert_eq!(site.get::<task>(task).get(task::status), "failure");
}

#[test]
fn memory_is_given_once() {
    let mut site = Site::new();
    let fitting: Vec<Ref> = (0..16).map(|_| site.machine()).collect();
    let one_too_many = site.machine();
    for vm in fitting {
        site.call("VM.start", args("VM.start", vm)).expect("room, though none has come up yet");
    }
    let error = site.call("VM.start", args("VM.start", one_too_many)).expect_err("no room");
    assert_eq!((error.code, &*error.params), ("HOST_NOT_ENOUGH_FREE_MEMORY", &[GIB.to_string(), "0".into()][..]));
}

#[test]
fn a_disabled_host_is_no_place() {
    let mut site = Site::new();
    let (vm, here) = (site.machine(), site.host);
    site.own(move |draft| {
        draft.set(here, host::enabled, false);
        Ok(Value::Void)
    })
    .expect("disabled");
    assert_eq!(site.call("VM.start", args("VM.start", vm)).expect_err("no host").code, "NO_HOSTS_AVAILABLE");
    let there = vec![vm.into(), here.into(), false.into(), false.into()];
    assert_eq!(site.call("VM.start_on", there).expect_err("disabled").code, "HOST_DISABLED");
}

#[test]
fn blocked_templates_snapshots_and_the_control_domain() {
    let mut site = Site::new();
    let vm = site.machine();
    let with = |site: &mut Site, change: fn(&mut Draft, Ref)| {
        site.own(move |draft| {
            change(draft, vm);
            Ok(Value::Void)
        })
        .expect("set");
        site.call("VM.start", args("VM.start", vm)).expect_err("refused")
    };
    let blocked = with(&mut site, |draft, vm| {
        draft.set(vm, VM::blocked_operations, Value::map([("start", Value::text("MY_REASON"))]));
    });
    assert_eq!((blocked.code, &*blocked.params), ("OPERATION_BLOCKED", &[vm.to_string(), "MY_REASON".into()][..]));
    assert!(!site.allowed(vm).contains(&"start".to_string()));
    let template = with(&mut site, |draft, vm| {
        draft.set(vm, VM::blocked_operations, Value::empty_map());
        draft.set(vm, VM::is_a_template, true);
    });
    assert_eq!(template.code, "VM_IS_TEMPLATE");
    assert_eq!(with(&mut site, |draft, vm| draft.set(vm, VM::is_a_snapshot, true)).code, "VM_IS_SNAPSHOT");
    let control = with(&mut site, |draft, vm| draft.set(vm, VM::is_control_domain, true));
    assert_eq!(control.code, "OPERATION_NOT_ALLOWED");
}

#[test]
fn a_machine_resumes_from_its_image() {
    let mut site = Site::new();
    let vm = in_state(&mut site, "Suspended");
    let image = site.get::<VM>(vm).get(VM::suspend_VDI);
    assert_eq!(site.get::<VDI>(image).get(VDI::r#type), "suspend");
    let task = site.call("VM.resume", args("VM.resume", vm)).expect("begun").as_ref();
    let disks = operation::disks(&site.get::<task>(task));
    assert_eq!(disks.len(), 1, "the image is removed");
    site.complete(task).expect("resumed");
    assert!(site.view.find::<VDI>(image).is_none());
    assert!(site.get::<VM>(vm).get(VM::suspend_VDI).is_null());
}
