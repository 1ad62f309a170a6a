//! What is asked of a machine's firmware, guest and measurements, and its move to where it is.

use super::*;
use crate::command::{Reading, reader};
use crate::error::codes;
use crate::model::{ClassId, console, pool};

fn read(site: &Site, name: &str, args: Vec<Value>) -> Result<Value, ApiError> {
    let message = MODEL.message(name).expect("a message");
    let principal = Principal::server("user/test");
    let reading = Reading { view: &site.view, principal: &principal, now: site.now };
    reader(message).expect("it reads")(&reading, &Call { message, args, background: false })
}

fn map(pairs: &[(&'static str, &'static str)]) -> Value {
    Value::map(pairs.iter().map(|(key, value)| (*key, Value::from(*value))))
}

#[test]
fn a_machine_says_whether_it_boots_securely() {
    use base64::Engine;
    let mut site = Site::new();
    let vm = site.machine();
    let readiness = |site: &Site| read(site, "VM.get_secureboot_readiness", vec![vm.into()]).expect("answered");
    let stored = |names: &[&str]| {
        let bytes: Vec<u8> =
            names.iter().flat_map(|name| name.encode_utf16().chain([0xffff])).flat_map(u16::to_le_bytes).collect();
        base64::engine::general_purpose::STANDARD.encode(bytes)
    };
    assert_eq!(readiness(&site), "not_supported".into());
    let refused = site.call("VM.set_uefi_mode", vec![vm.into(), "setup".into()]).expect_err("no UEFI");
    assert_eq!(refused.code, "OPERATION_NOT_ALLOWED");
    site.own(move |draft| {
        draft.create(Fields::<pool>::new());
        draft.set(vm, VM::HVM_boot_params, map(&[("firmware", "uefi")]));
        Ok(Value::Void)
    })
    .expect("set");
    assert_eq!(readiness(&site), "disabled".into());
    site.done("VM.add_to_platform", vec![vm.into(), "secureboot".into(), "true".into()]).expect("set");
    assert_eq!(readiness(&site), "first_boot".into());
    site.done("VM.set_uefi_mode", vec![vm.into(), "setup".into()]).expect("set");
    assert_eq!(readiness(&site), "setup_mode".into());
    for (names, expected) in [
        (&["PK"][..], "certs_incomplete"),
        (&["PK", "KEK", "db"], "ready_no_dbx"),
        (&["PK", "KEK", "db", "dbx"], "ready"),
        (&["KEK", "db", "dbx"], "setup_mode"),
    ] {
        let variables = Value::map([("EFI-variables", Value::from(stored(names)))]);
        site.done("VM.set_NVRAM", vec![vm.into(), variables]).expect("set");
        assert_eq!(readiness(&site), expected.into());
    }
    let refused = site.call("VM.set_uefi_mode", vec![vm.into(), "user".into()]).expect_err("no certificates");
    assert_eq!(refused.code, "OPERATION_NOT_ALLOWED");
    site.own(|draft| {
        let pool = draft.view().all::<pool>().next().expect("there").reference;
        draft.set(pool, pool::uefi_certificates, "certificates");
        Ok(Value::Void)
    })
    .expect("set");
    site.done("VM.set_uefi_mode", vec![vm.into(), "user".into()]).expect("set");
    assert_eq!(readiness(&site), "first_boot".into());
    site.done("VM.start", vec![vm.into(), false.into(), false.into()]).expect("started");
    let refused = site.call("VM.set_uefi_mode", vec![vm.into(), "setup".into()]).expect_err("it runs");
    assert_eq!(refused.code, "VM_BAD_POWER_STATE");
}

#[test]
fn certificates_are_renewed_at_the_next_start() {
    let mut site = Site::new();
    let vm = site.machine();
    let mark = |site: &mut Site, on: bool| {
        site.done("VM.update_secureboot_certificates_on_boot", vec![vm.into(), on.into()]).map(|_| ())
    };
    let state = |site: &Site| site.get::<VM>(vm).get(VM::secureboot_certificates_state);
    assert_eq!(mark(&mut site, true).expect_err("no UEFI").code, "OPERATION_NOT_ALLOWED");
    site.own(move |draft| {
        draft.set(vm, VM::HVM_boot_params, map(&[("firmware", "uefi")]));
        Ok(Value::Void)
    })
    .expect("set");
    assert_eq!(mark(&mut site, true).expect_err("nothing newer").code, "OPERATION_NOT_ALLOWED");
    site.own(move |draft| {
        draft.set(vm, VM::secureboot_certificates_state, "update_available");
        Ok(Value::Void)
    })
    .expect("set");
    mark(&mut site, true).expect("marked");
    assert_eq!(state(&site), "update_on_boot");
    mark(&mut site, false).expect("taken back");
    assert_eq!(state(&site), "update_available");
    mark(&mut site, true).expect("marked");
    site.done("VM.start", vec![vm.into(), false.into(), false.into()]).expect("started");
    assert_eq!(state(&site), "ok");
}

#[test]
fn what_is_measured_is_listed_asked_for_and_read() {
    let mut site = Site::new();
    let vm = site.machine();
    let sources = |site: &Site| read(site, "VM.get_data_sources", vec![vm.into()]).expect("answered");
    assert_eq!(sources(&site).as_set().len(), 0, "nothing is measured on a machine that is down");
    let query = |site: &Site, name: &str| read(site, "VM.query_data_source", vec![vm.into(), name.into()]);
    assert_eq!(query(&site, "memory").expect_err("down").code, "VM_BAD_POWER_STATE");
    site.done("VM.start", vec![vm.into(), false.into(), false.into()]).expect("started");
    assert_eq!(query(&site, "memory"), Ok(Value::Float(GIB as f64)));
    assert_eq!(query(&site, "colour"), Err(codes::INVALID_VALUE("data_source", "colour")));
    let Ok(Value::Float(before)) = query(&site, "uptime") else { panic!("a number") };
    site.now += 5_000_000;
    assert_eq!(query(&site, "uptime"), Ok(Value::Float(before + 5.0)));
    let enabled = |site: &Site| -> Vec<String> {
        let on = sources(site).as_set().to_vec();
        let on = on.into_iter().filter(|source| source.as_map().get("enabled") == Some(&Value::Bool(true)));
        on.map(|source| source.as_map().get("name_label").expect("a name").as_str().to_string()).collect()
    };
    assert_eq!(enabled(&site), ["memory", "memory_target"]);
    site.done("VM.record_data_source", vec![vm.into(), "uptime".into()]).expect("on");
    assert_eq!(enabled(&site), ["memory", "memory_target", "uptime"]);
    site.done("VM.forget_data_source_archives", vec![vm.into(), "uptime".into()]).expect("off");
    assert_eq!(enabled(&site), ["memory", "memory_target"]);
}

#[test]
fn what_no_guest_offers_is_refused_after_everything_else_was_checked() {
    let mut site = Site::new();
    let vm = site.machine();
    let plugin = |site: &mut Site, name: &'static str| {
        let args = vec![vm.into(), name.into(), "request-rdp-on".into(), Value::empty_map()];
        site.call("VM.call_plugin", args).expect_err("refused")
    };
    let sysprep = |site: &mut Site, unattend: &'static str, seconds: f64| {
        let refused = site.call("VM.sysprep", vec![vm.into(), unattend.into(), Value::Float(seconds)]);
        refused.expect_err("refused")
    };
    assert_eq!(plugin(&mut site, "guest-agent-operation").code, "VM_BAD_POWER_STATE");
    assert_eq!(sysprep(&mut site, "<unattend/>", 60.0).code, "VM_BAD_POWER_STATE");
    site.done("VM.start", vec![vm.into(), false.into(), false.into()]).expect("started");
    assert_eq!(plugin(&mut site, "guest-agent-operation"), codes::VM_LACKS_FEATURE(vm));
    assert_eq!(plugin(&mut site, "other"), codes::XENAPI_MISSING_PLUGIN("other"));
    let host_plugin = vec![vm.into(), "backup".into(), "run".into(), Value::empty_map()];
    let refused = site.call("VM.call_host_plugin", host_plugin).expect_err("the host has none");
    assert_eq!(refused, codes::XENAPI_MISSING_PLUGIN("backup"));
    for (unattend, seconds) in [("", 1.0), ("<unattend/>", -1.0), ("<unattend/>", 1.0)] {
        assert_eq!(sysprep(&mut site, unattend, seconds).code, "SYSPREP");
    }
}

#[test]
fn a_machine_moves_to_where_it_is_and_goes_on() {
    let mut site = Site::new();
    let vm = site.machine();
    let to =
        |site: &Site, host: Ref| site.try_call("VM.pool_migrate", vec![vm.into(), host.into(), Value::empty_map()]);
    let here = site.host;
    assert_eq!(to(&site, here).map(|_| ()).expect_err("it is down").code, "VM_BAD_POWER_STATE");
    site.done("VM.start", vec![vm.into(), false.into(), false.into()]).expect("started");
    assert_eq!(to(&site, vm).map(|_| ()), Err(codes::HANDLE_INVALID("host", vm)));
    let vbd = site.view.far(VM::VBDs, vm)[0];
    site.done("VBD.unplug", vec![vbd.into()]).expect("unplugged");
    let (before, shown) = (site.get::<VM>(vm), site.view.far(VM::consoles, vm));
    site.done("VM.pool_migrate", vec![vm.into(), here.into(), Value::empty_map()]).expect("moved");
    let after = site.get::<VM>(vm);
    assert_ne!(after.get(VM::domid), before.get(VM::domid));
    assert_eq!((after.get(VM::resident_on), site.power_state(vm)), (here, "Running"));
    assert!(!site.get::<VBD>(vbd).get(VBD::currently_attached), "what was not attached is not");
    let now_shown = site.view.far(VM::consoles, vm);
    assert!(site.view.find::<console>(shown[0]).is_none() && now_shown.len() == 1);
    let other = site.own(|draft| Ok(Value::Ref(draft.create(Fields::<host>::new())))).expect("made").as_ref();
    assert_eq!(to(&site, other).map(|_| ()).expect_err("no way there").code, "VM_MIGRATE_FAILED");
    site.done("VM.pause", vec![vm.into()]).expect("paused");
    let refused = site.call("VM.restart_device_models", vec![vm.into()]).expect_err("it must run");
    assert_eq!(refused.code, "VM_BAD_POWER_STATE");
    site.done("VM.unpause", vec![vm.into()]).expect("unpaused");
    site.own(move |draft| {
        let owed = Value::set(["restart_device_model".into(), "restart_vm".into()]);
        draft.set(vm, VM::pending_guidances, owed);
        Ok(Value::Void)
    })
    .expect("set");
    site.done("VM.restart_device_models", vec![vm.into()]).expect("renewed");
    let left: Vec<&str> = after_guidances(&site, vm);
    assert_eq!(left, ["restart_vm"]);
    assert!(site.view.class(ClassId::task).objects.values().all(|task| task.get(task::status) != "pending"));
}

fn after_guidances(site: &Site, vm: Ref) -> Vec<&'static str> {
    let owed = site.view.find::<VM>(vm).expect("there").get(VM::pending_guidances);
    let known = ["restart_device_model", "restart_vm"];
    known.into_iter().filter(|name| owed.iter().any(|one| one.as_str() == *name)).collect()
}
