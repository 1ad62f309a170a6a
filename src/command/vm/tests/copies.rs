//! Copies, snapshots and going back; provisioning; destroying.

use super::*;
use crate::command::operation::{DiskWork, disks};
use crate::model::VM_guest_metrics;

fn disk_of(site: &Site, vm: Ref) -> Arc<Object> {
    let vbd = site.get::<VBD>(site.view.far(VM::VBDs, vm)[0]);
    site.get::<VDI>(vbd.get(VBD::VDI))
}

fn result(site: &mut Site, name: &str, args: Vec<Value>) -> Ref {
    let text = site.done(name, args).unwrap_or_else(|error| panic!("{name}: {error}"));
    let reference = text.as_str().trim_start_matches("<value>").trim_end_matches("</value>").to_string();
    Ref::parse(&reference).unwrap_or_else(|| panic!("{name} answered {reference}"))
}

#[test]
fn a_clone_is_a_machine_of_its_own() {
    let mut site = Site::new();
    let vm = site.machine();
    let clone = result(&mut site, "VM.clone", vec![vm.into(), "two".into()]);
    let (original, copy) = (site.get::<VM>(vm), site.get::<VM>(clone));
    assert_eq!(&**copy.get(VM::name_label), "two");
    assert_eq!(copy.get(VM::power_state), "Halted");
    assert_ne!(copy.get(VM::uuid), original.get(VM::uuid));
    assert_ne!(copy.get(VM::generation_id), original.get(VM::generation_id));
    assert_ne!(copy.get(VM::metrics), original.get(VM::metrics));
    let (theirs, ours) = (disk_of(&site, vm), disk_of(&site, clone));
    assert_ne!(theirs.reference, ours.reference);
    assert_eq!(theirs.get(VDI::virtual_size), ours.get(VDI::virtual_size));
    assert!(!ours.get(VDI::is_a_snapshot));
    let mac = |vm| site.get::<VIF>(site.view.far(VM::VIFs, vm)[0]).get(VIF::MAC).clone();
    assert_ne!(mac(vm), mac(clone));
    assert!(site.get::<VM>(vm).get(VM::current_operations).is_empty());
    assert!(theirs.get(VDI::current_operations).is_empty());
}

#[test]
fn while_it_is_cloned_its_disks_are_held() {
    let mut site = Site::new();
    let vm = site.machine();
    let disk = disk_of(&site, vm).reference;
    let task = site.call("VM.clone", vec![vm.into(), "two".into()]).expect("begun").as_ref();
    assert_eq!(site.call("VDI.destroy", vec![disk.into()]).expect_err("held").code, "OTHER_OPERATION_IN_PROGRESS");
    let start = site.call("VM.start", vec![vm.into(), false.into(), false.into()]);
    assert_eq!(start.expect_err("held").code, "OTHER_OPERATION_IN_PROGRESS");
    let planned = disks(&site.get::<task>(task));
    assert!(matches!(planned[0].work, DiskWork::Clone(_)));
    site.complete(task).expect("cloned");
}

#[test]
fn a_snapshot_is_reverted_to() {
    let mut site = Site::new();
    let vm = site.machine();
    let before = disk_of(&site, vm).reference;
    let snapshot = result(&mut site, "VM.snapshot", vec![vm.into(), "then".into(), Value::empty_set()]);
    let kept = site.get::<VM>(snapshot);
    assert!(kept.get(VM::is_a_snapshot) && kept.get(VM::is_a_template));
    assert_eq!(kept.get(VM::snapshot_of), vm);
    assert!(kept.get(VM::snapshot_time) > 0);
    assert_eq!(site.get::<VM>(vm).get(VM::parent), snapshot);
    assert_eq!(disk_of(&site, snapshot).get(VDI::snapshot_of), before);
    assert!(site.allowed(snapshot).contains(&"revert".to_string()));
    assert!(!site.allowed(snapshot).contains(&"start".to_string()));

    site.done("VM.set_VCPUs_at_startup", vec![vm.into(), 1.into()]).expect("set");
    site.done("VM.start", vec![vm.into(), false.into(), false.into()]).expect("started");
    site.done("VM.revert", vec![snapshot.into()]).expect("reverted");
    let machine = site.get::<VM>(vm);
    assert_eq!(machine.get(VM::power_state), "Halted");
    assert_eq!(machine.get(VM::VCPUs_at_startup), 2);
    assert_eq!(&**machine.get(VM::name_label), "one");
    let after = disk_of(&site, vm);
    assert_ne!(after.reference, before);
    assert!(site.view.find::<VDI>(before).is_none(), "the disk that was replaced is gone");
    assert_eq!(disk_of(&site, snapshot).get(VDI::snapshot_of), after.reference);
    assert_eq!(site.view.far(VM::VBDs, vm).len(), 1);
    assert_eq!(site.view.far(VM::VIFs, vm).len(), 1);
}

#[test]
fn a_checkpoint_keeps_the_running_state() {
    let mut site = Site::new();
    let vm = site.machine();
    site.done("VM.start", vec![vm.into(), false.into(), false.into()]).expect("started");
    let checkpoint = result(&mut site, "VM.checkpoint", vec![vm.into(), "then".into()]);
    assert_eq!(site.power_state(vm), "Running");
    assert_eq!(site.power_state(checkpoint), "Suspended");
    assert!(!site.get::<VM>(checkpoint).get(VM::suspend_VDI).is_null());
    site.done("VM.revert", vec![checkpoint.into()]).expect("reverted");
    assert_eq!(site.power_state(vm), "Suspended");
    assert_ne!(site.get::<VM>(vm).get(VM::suspend_VDI), site.get::<VM>(checkpoint).get(VM::suspend_VDI));
    site.done("VM.resume", vec![vm.into(), false.into(), false.into()]).expect("resumed");
    assert_eq!(site.power_state(vm), "Running");
}

#[test]
fn a_template_is_provisioned() {
    let mut site = Site::new();
    let vm = site.machine();
    let sr = site.get::<SR>(site.sr).get(SR::uuid).clone();
    let xml =
        format!("<provision><disk device='1' size='1048576' sr='{sr}' bootable='false' type='user'/></provision>");
    let refused = site.call("VM.provision", vec![vm.into()]).expect_err("no template");
    assert_eq!(refused.code, "PROVISION_ONLY_ALLOWED_ON_TEMPLATE");
    site.done("VM.set_is_a_template", vec![vm.into(), true.into()]).expect("made");
    assert!(!site.allowed(vm).contains(&"start".to_string()));
    site.done("VM.add_to_other_config", vec![vm.into(), "disks".into(), Value::text(&xml)]).expect("set");
    site.done("VM.provision", vec![vm.into()]).expect("provisioned");
    let machine = site.get::<VM>(vm);
    assert!(!machine.get(VM::is_a_template));
    assert!(!machine.get(VM::other_config).contains_key("disks"));
    assert_eq!(site.view.far(VM::VBDs, vm).len(), 2);
    assert!(site.allowed(vm).contains(&"start".to_string()));
}

#[test]
fn a_destroyed_machine_leaves_only_its_disks() {
    let mut site = Site::new();
    let vm = site.machine();
    let (disk, metrics) = (disk_of(&site, vm).reference, site.get::<VM>(vm).get(VM::metrics));
    let vbd = site.view.far(VM::VBDs, vm)[0];
    site.done("VM.destroy", vec![vm.into()]).expect("destroyed");
    assert!(site.view.find::<VM>(vm).is_none());
    assert!(site.view.find::<VBD>(vbd).is_none());
    assert!(site.view.find::<VM_metrics>(metrics).is_none());
    assert!(site.view.find::<VDI>(disk).is_some());
    let gone = site.done("VM.destroy", vec![vm.into()]).expect_err("gone");
    assert_eq!((gone.code, &*gone.params), ("HANDLE_INVALID", &["VM".to_string(), vm.to_string()][..]));
}

#[test]
fn a_created_machine_is_complete() {
    let mut site = Site::new();
    let record = Value::map([
        ("name_label", Value::text("new")),
        ("memory_static_max", Value::text("2147483648")),
        ("VCPUs_max", Value::text("4")),
        ("HVM_boot_policy", Value::text("BIOS order")),
    ]);
    let vm = result(&mut site, "VM.create", vec![record]);
    let machine = site.get::<VM>(vm);
    assert_eq!(machine.get(VM::memory_dynamic_max), 2 * GIB);
    assert_eq!(machine.get(VM::VCPUs_at_startup), 4);
    assert_eq!(machine.get(VM::domain_type), "hvm");
    assert_eq!(machine.get(VM::domid), -1);
    assert!(machine.get(VM::memory_overhead) > 0);
    assert!(machine.get(VM::other_config).contains_key("mac_seed"));
    assert!(site.view.find::<VM_metrics>(machine.get(VM::metrics)).is_some());
    assert!(site.view.find::<VM_guest_metrics>(machine.get(VM::guest_metrics)).is_none());
    let wrong = Value::map([("memory_static_max", Value::text("1")), ("memory_dynamic_max", Value::text("2"))]);
    assert_eq!(site.call("VM.create", vec![wrong]).expect_err("order").code, "MEMORY_CONSTRAINT_VIOLATION");
}
