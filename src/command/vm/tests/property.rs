//! Random sequences of messages: what is listed as allowed can be done, what
//! is not listed cannot, nothing dangles, and nothing is held by what has ended.

use super::*;
use crate::command::vm::allowed;
use crate::model::{CLASSES, ClassId};
use crate::views::relations::{HOLDING, holds};
use proptest::prelude::*;

/// Every operation of the table with a call that begins it.
fn calls(site: &Site, vm: Ref) -> Vec<(&'static str, &'static str, Vec<Value>)> {
    let machine = site.get::<VM>(vm);
    let bytes = |field| Value::Int(machine.get(field));
    let (no, here) = (Value::Bool(false), Value::Ref(site.host));
    let this = || Value::Ref(vm);
    let text = |text: &str| Value::text(text);
    let (least, most) = (bytes(VM::memory_static_min), bytes(VM::memory_static_max));
    let dynamic = [bytes(VM::memory_dynamic_min), bytes(VM::memory_dynamic_max)];
    vec![
        ("start", "VM.start", vec![this(), no.clone(), no.clone()]),
        ("start_on", "VM.start_on", vec![this(), here.clone(), no.clone(), no.clone()]),
        ("pause", "VM.pause", vec![this()]),
        ("unpause", "VM.unpause", vec![this()]),
        ("suspend", "VM.suspend", vec![this()]),
        ("resume", "VM.resume", vec![this(), no.clone(), no.clone()]),
        ("resume_on", "VM.resume_on", vec![this(), here, no.clone(), no.clone()]),
        ("clean_shutdown", "VM.clean_shutdown", vec![this()]),
        ("clean_reboot", "VM.clean_reboot", vec![this()]),
        ("shutdown", "VM.shutdown", vec![this()]),
        ("hard_shutdown", "VM.hard_shutdown", vec![this()]),
        ("hard_reboot", "VM.hard_reboot", vec![this()]),
        ("power_state_reset", "VM.power_state_reset", vec![this()]),
        ("clone", "VM.clone", vec![this(), text("copy")]),
        ("copy", "VM.copy", vec![this(), text("copy"), Value::Ref(Ref::NULL)]),
        ("snapshot", "VM.snapshot", vec![this(), text("copy"), Value::empty_set()]),
        ("checkpoint", "VM.checkpoint", vec![this(), text("copy")]),
        ("revert", "VM.revert", vec![this()]),
        ("provision", "VM.provision", vec![this()]),
        ("destroy", "VM.destroy", vec![this()]),
        ("make_into_template", "VM.set_is_a_template", vec![this(), Value::Bool(true)]),
        ("changing_static_range", "VM.set_memory_static_range", vec![this(), least.clone(), most.clone()]),
        ("changing_dynamic_range", "VM.set_memory_dynamic_range", vec![this(), dynamic[0].clone(), dynamic[1].clone()]),
        (
            "changing_memory_limits",
            "VM.set_memory_limits",
            vec![this(), least, most, dynamic[0].clone(), dynamic[1].clone()],
        ),
        ("changing_memory_live", "VM.set_memory_target_live", vec![this(), dynamic[1].clone()]),
        ("changing_shadow_memory", "VM.set_HVM_shadow_multiplier", vec![this(), Value::Float(1.0)]),
        ("changing_shadow_memory_live", "VM.set_shadow_multiplier_live", vec![this(), Value::Float(1.0)]),
        ("changing_VCPUs", "VM.set_VCPUs_max", vec![this(), bytes(VM::VCPUs_max)]),
        ("changing_VCPUs_live", "VM.set_VCPUs_number_live", vec![this(), Value::Int(1)]),
        ("changing_NVRAM", "VM.set_NVRAM", vec![this(), Value::empty_map()]),
        ("pool_migrate", "VM.pool_migrate", vec![this(), Value::Ref(site.host), Value::empty_map()]),
        (
            "migrate_send",
            "VM.migrate_send",
            vec![
                this(),
                Value::map([("host", text(&site.host.to_string()))]),
                Value::Bool(true),
                Value::empty_map(),
                Value::empty_map(),
                Value::empty_map(),
                Value::empty_map(),
                Value::empty_map(),
            ],
        ),
        ("call_plugin", "VM.call_plugin", vec![this(), text("none"), text("f"), Value::empty_map()]),
        ("send_sysrq", "VM.send_sysrq", vec![this(), text("h")]),
        ("send_trigger", "VM.send_trigger", vec![this(), text("nmi")]),
    ]
}

const NEVER_FROM_A_LISTED_ONE: [&str; 3] =
    ["VM_BAD_POWER_STATE", "OTHER_OPERATION_IN_PROGRESS", "OPERATION_NOT_ALLOWED"];

fn check_allowed(site: &Site, vm: Ref) {
    let listed = site.allowed(vm);
    for (operation, message, args) in calls(site, vm) {
        let decided = site.try_call(message, args).map(|_| ()).map_err(|error| error.code);
        // Setting what is so already is no change, so it is let through.
        let already = operation == "make_into_template" && site.get::<VM>(vm).get(VM::is_a_template);
        match decided {
            Ok(()) => assert!(already || listed.iter().any(|name| name == operation), "{operation} is not listed"),
            Err(code) if listed.iter().any(|name| name == operation) => {
                assert!(!NEVER_FROM_A_LISTED_ONE.contains(&code), "{operation} is listed but answers {code}");
            }
            Err(_) => {}
        }
    }
    let machine = site.get::<VM>(vm);
    for operation in &listed {
        allowed::check(&site.view, &machine, operation).expect("the list is up to date");
    }
    for holder in machine.get(VM::current_operations).keys() {
        let holder = Ref::parse(holder).expect("a reference");
        assert_eq!(site.get::<task>(holder).get(task::status), "pending");
    }
}

fn check_references(view: &View) {
    for class in CLASSES {
        for object in view.class(class.id).objects.values() {
            for &field in &HOLDING[class.id as usize] {
                let ty = class.fields[field].ty;
                let target: ClassId = holds(ty).expect("it holds references");
                for reference in object.record[field].references(ty) {
                    assert!(
                        view.object(target, reference).is_some(),
                        "{}.{} dangles",
                        class.name,
                        class.fields[field].name
                    );
                }
            }
        }
    }
}

/// Work on a machine's devices and disks, which holds it too.
fn device_calls(site: &Site, vm: Ref) -> Vec<(&'static str, Vec<Value>)> {
    let mut calls = Vec::new();
    for vbd in site.view.far(VM::VBDs, vm) {
        calls.push(("VBD.unplug", vec![vbd.into()]));
        calls.push(("VBD.plug", vec![vbd.into()]));
        let disk = site.get::<VBD>(vbd).get(VBD::VDI);
        calls.push(("VDI.snapshot", vec![disk.into(), Value::empty_map()]));
        calls.push(("VDI.resize", vec![disk.into(), Value::Int(9 * GIB)]));
    }
    for vif in site.view.far(VM::VIFs, vm) {
        calls.push(("VIF.unplug", vec![vif.into()]));
        calls.push(("VIF.plug", vec![vif.into()]));
    }
    calls
}

fn pending(site: &Site) -> Vec<Ref> {
    site.view.all::<task>().filter(|task| task.get(task::status) == "pending").map(|task| task.reference).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn listed_is_allowed_and_nothing_dangles(
        steps in proptest::collection::vec((any::<u8>(), any::<u8>(), 0..10_u8), 1..14)
    ) {
        let mut site = Site::new();
        site.machine();
        site.machine();
        for (which, what, how) in steps {
            let waiting = pending(&site);
            match how {
                0..=3 if !waiting.is_empty() => {
                    site.complete(waiting[what as usize % waiting.len()]).expect("a pending task can end");
                }
                4 if !waiting.is_empty() => {
                    let task = waiting[what as usize % waiting.len()];
                    let error = crate::error::codes::INTERNAL_ERROR("chance");
                    site.own(move |draft| operation::fail(draft, task, error)).expect("a pending task can fail");
                }
                _ => {
                    let machines: Vec<Ref> = site.view.all::<VM>().map(|vm| vm.reference).collect();
                    let Some(vm) = machines.get(which as usize % machines.len().max(1)).copied() else { break };
                    let mut calls: Vec<_> = calls(&site, vm).into_iter().map(|(_, name, args)| (name, args)).collect();
                    calls.extend(device_calls(&site, vm));
                    let (message, args) = calls[what as usize % calls.len()].clone();
                    let _ = site.call(message, args);
                }
            }
            let machines: Vec<Ref> = site.view.all::<VM>().map(|vm| vm.reference).collect();
            for vm in machines {
                check_allowed(&site, vm);
            }
            check_references(&site.view);
        }
    }
}
