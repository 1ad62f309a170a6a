//! Memory and processors: limits, live changes, what fits.

use super::*;
use crate::command::{Reading, reader};

fn ask(site: &Site, name: &str, args: Vec<Value>) -> Result<Value, ApiError> {
    let message = MODEL.message(name).expect("a message");
    let principal = Principal::server("user/test");
    let reading = Reading { view: &site.view, principal: &principal, now: 0 };
    reader(message).expect("it reads")(&reading, &Call { message, args, background: false })
}

#[test]
fn limits_keep_their_order() {
    let mut site = Site::new();
    let vm = site.machine();
    let set = |site: &mut Site, name: &str, values: &[i64]| {
        let mut args = vec![Value::Ref(vm)];
        args.extend(values.iter().map(|value| Value::Int(*value)));
        site.done(name, args).map_err(|error| error.code)
    };
    assert_eq!(set(&mut site, "VM.set_memory_static_max", &[GIB / 2]), Err("MEMORY_CONSTRAINT_VIOLATION"));
    assert_eq!(set(&mut site, "VM.set_memory_dynamic_max", &[2 * GIB]), Err("MEMORY_CONSTRAINT_VIOLATION"));
    set(&mut site, "VM.set_memory_limits", &[GIB, 4 * GIB, GIB, 2 * GIB]).expect("in order");
    set(&mut site, "VM.set_memory_dynamic_range", &[2 * GIB, 3 * GIB]).expect("in order");
    let machine = site.get::<VM>(vm);
    assert_eq!((machine.get(VM::memory_dynamic_min), machine.get(VM::memory_dynamic_max)), (2 * GIB, 3 * GIB));
    set(&mut site, "VM.set_memory", &[GIB]).expect("one size");
    assert_eq!(site.get::<VM>(vm).get(VM::memory_static_max), GIB);
    assert_eq!(set(&mut site, "VM.set_VCPUs_at_startup", &[3]), Err("INVALID_VALUE"));
    assert_eq!(set(&mut site, "VM.set_VCPUs_max", &[1]), Err("INVALID_VALUE"));
    set(&mut site, "VM.set_VCPUs_max", &[3]).expect("more");
    set(&mut site, "VM.set_VCPUs_at_startup", &[3]).expect("as many");
}

#[test]
fn a_running_machine_is_changed_by_the_hypervisor() {
    let mut site = Site::new();
    let vm = site.machine();
    site.done("VM.set_memory_limits", vec![vm.into(), GIB.into(), (4 * GIB).into(), GIB.into(), GIB.into()])
        .expect("set");
    site.done("VM.start", vec![vm.into(), false.into(), false.into()]).expect("started");
    let args = vec![vm.into(), GIB.into(), (2 * GIB).into()];
    let task = site.call("VM.set_memory_dynamic_range", args).expect("begun").as_ref();
    assert_eq!(site.get::<VM>(vm).get(VM::memory_dynamic_max), GIB, "not before it is so");
    site.complete(task).expect("done");
    let machine = site.get::<VM>(vm);
    assert_eq!(machine.get(VM::memory_dynamic_max), 2 * GIB);
    assert_eq!(site.get::<VM_metrics>(machine.get(VM::metrics)).get(VM_metrics::memory_actual), 2 * GIB);
    let offline = site.done("VM.set_memory_static_max", vec![vm.into(), (4 * GIB).into()]).expect_err("it runs");
    assert_eq!(
        (offline.code, &*offline.params),
        ("VM_BAD_POWER_STATE", &[vm.to_string(), "halted".into(), "running".into()][..])
    );
    site.done("VM.set_VCPUs_number_live", vec![vm.into(), 1.into()]).expect("fewer");
    assert_eq!(site.get::<VM_metrics>(machine.get(VM::metrics)).get(VM_metrics::VCPUs_number), 1);
    let key = |value: &str| vec![vm.into(), Value::text("weight"), Value::text(value)];
    assert_eq!(site.done("VM.add_to_VCPUs_params_live", key("heavy")).expect_err("no number").code, "INVALID_VALUE");
    site.done("VM.add_to_VCPUs_params_live", key("512")).expect("set");
    assert!(site.get::<VM>(vm).get(VM::VCPUs_params).contains_key("weight"));
}

#[test]
fn the_greatest_size_that_fits_starts_and_one_more_does_not() {
    let mut site = Site::new();
    let vm = site.machine();
    let total = 16 * GIB;
    let most = ask(&site, "VM.maximise_memory", vec![vm.into(), total.into(), false.into()]).expect("answered");
    let Value::Int(most) = most else { panic!("{most:?} is no integer") };
    site.done("VM.set_memory", vec![vm.into(), most.into()]).expect("set");
    ask(&site, "VM.assert_can_boot_here", vec![vm.into(), site.host.into()]).expect("it fits");
    site.done("VM.set_memory", vec![vm.into(), (most + (1 << 20)).into()]).expect("set");
    let error = ask(&site, "VM.assert_can_boot_here", vec![vm.into(), site.host.into()]).expect_err("too much");
    assert_eq!(error.code, "HOST_NOT_ENOUGH_FREE_MEMORY");
}

#[test]
fn questions_are_answered() {
    let site = &mut Site::new();
    let vm = site.machine();
    let hosts = ask(site, "VM.get_possible_hosts", vec![vm.into()]).expect("answered");
    assert_eq!(hosts, Value::set([site.host.into()]));
    let free = ask(site, "VM.get_allowed_VBD_devices", vec![vm.into()]).expect("answered");
    assert!(!free.as_set().contains(&"0".into()) && free.as_set().contains(&"1".into()));
    let free = ask(site, "VM.get_allowed_VIF_devices", vec![vm.into()]).expect("answered");
    assert_eq!(free.as_set().len(), 6);
    site.done("VM.start", vec![vm.into(), false.into(), false.into()]).expect("started");
    site.done("VM.set_PV_args", vec![vm.into(), "later".into()]).expect("set");
    let then = ask(site, "VM.get_boot_record", vec![vm.into()]).expect("answered");
    assert_eq!(then.as_map().get("PV_args"), Some(&Value::text("")));
    let now = ask(site, "VM.assert_operation_valid", vec![vm.into(), Value::Enum("start")]).expect_err("it runs");
    assert_eq!(now.code, "VM_BAD_POWER_STATE");
}
