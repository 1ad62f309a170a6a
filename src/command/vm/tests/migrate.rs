//! Moving machines and their disks.

use super::*;
use crate::command::operation::DiskWork;
use crate::model::PIF;

/// The destination that a pool's own host gives, and what else goes into the call.
fn sending(site: &Site, vm: Ref, live: bool, moves: &[(Ref, Ref)]) -> Vec<Value> {
    let dest = Value::map([("host", Value::text(&site.host.to_string()))]);
    let moves = Value::map(moves.iter().map(|(vdi, sr)| (vdi.to_string(), Value::Ref(*sr))));
    let none = Value::empty_map;
    vec![vm.into(), dest, live.into(), moves, none(), none(), none(), none()]
}

fn asserting(args: &[Value]) -> Vec<Value> {
    args[..7].to_vec()
}

fn disks(site: &Site, vm: Ref) -> Vec<Ref> {
    site.view.far(VM::VBDs, vm).into_iter().map(|vbd| site.get::<VBD>(vbd).get(VBD::VDI)).collect()
}

/// A second repository with room for so much.
fn repository(site: &mut Site, bytes: i64) -> Ref {
    let here = site.host;
    let made = site.own(move |draft| {
        let sr = draft.create(Fields::<SR>::new().with(SR::r#type, "lvm").with(SR::physical_size, bytes));
        draft.create(Fields::<PBD>::new().with(PBD::host, here).with(PBD::SR, sr).with(PBD::currently_attached, true));
        Ok(sr.into())
    });
    made.expect("made").as_ref()
}

fn more_disks(site: &mut Site, vm: Ref) {
    let sr = site.sr;
    let made = site.own(move |draft| {
        let disk = Fields::<VDI>::new().with(VDI::SR, sr).with(VDI::virtual_size, 2 * GIB).with(VDI::r#type, "user");
        let disk = draft.create(disk.with(VDI::managed, true).with(VDI::physical_utilisation, GIB));
        let vbd = Fields::<VBD>::new().with(VBD::VM, vm).with(VBD::VDI, disk).with(VBD::userdevice, "1");
        draft.create(vbd.with(VBD::mode, "RW").with(VBD::r#type, "Disk"));
        Ok(Value::Void)
    });
    made.expect("made");
}

#[test]
fn a_running_machine_takes_its_disks_along() {
    let mut site = Site::new();
    let (vm, to) = (site.machine(), repository(&mut site, 100 * GIB));
    more_disks(&mut site, vm);
    site.done("VM.start", vec![vm.into(), false.into(), false.into()]).expect("started");
    let before = disks(&site, vm);
    let moves: Vec<(Ref, Ref)> = before.iter().map(|disk| (*disk, to)).collect();
    let args = sending(&site, vm, true, &moves);
    site.call("VM.assert_can_migrate", asserting(&args)).expect("it can");
    let task = site.call("VM.migrate_send", args.clone()).expect("begun").as_ref();
    let planned = operation::disks(&site.get::<task>(task));
    assert!(planned.len() == 2 && planned.iter().all(|disk| matches!(disk.work, DiskWork::Move(_))));
    let busy = site.try_call("VM.assert_can_migrate", asserting(&args)).map(|_| ()).expect_err("it is on its way");
    assert_eq!(busy.code, "OTHER_OPERATION_IN_PROGRESS");
    site.complete(task).expect("sent");
    let after = disks(&site, vm);
    assert!(after.iter().all(|disk| !before.contains(disk) && site.get::<VDI>(*disk).get(VDI::SR) == to));
    assert!(before.iter().all(|disk| site.view.find::<VDI>(*disk).is_none()));
    assert_eq!(site.get::<SR>(to).get(SR::virtual_allocation), 10 * GIB);
    assert!(site.get::<VM>(vm).get(VM::current_operations).is_empty());
    assert_eq!(site.power_state(vm), "Running");
    crate::views::check::invariants(&site.view).expect("whole");
}

#[test]
fn a_machine_that_keeps_its_disks_is_built_anew_where_it_is() {
    let mut site = Site::new();
    let vm = site.machine();
    site.done("VM.start", vec![vm.into(), false.into(), false.into()]).expect("started");
    let (before, args) = (site.get::<VM>(vm).get(VM::domid), sending(&site, vm, true, &[]));
    site.done("VM.migrate_send", args).expect("sent");
    assert_ne!(site.get::<VM>(vm).get(VM::domid), before);
}

#[test]
fn what_keeps_a_machine_and_its_disks_where_they_are() {
    let mut site = Site::new();
    let (vm, other) = (site.machine(), site.machine());
    let (to, small) = (repository(&mut site, 100 * GIB), repository(&mut site, GIB));
    let (own, theirs) = (disks(&site, vm)[0], disks(&site, other)[0]);
    let code = |site: &Site, args: Vec<Value>| {
        let sent = site.try_call("VM.migrate_send", args.clone()).map(|_| ()).expect_err("refused").code;
        let asked = site.try_call("VM.assert_can_migrate", asserting(&args)).map(|_| ()).expect_err("refused").code;
        assert_eq!(sent, asked);
        sent
    };
    let with = |site: &Site, at: usize, value: Value| {
        let mut args = sending(site, vm, true, &[(own, to)]);
        args[at] = value;
        code(site, args)
    };
    assert_eq!(with(&site, 1, Value::empty_map()), "INVALID_VALUE");
    assert_eq!(with(&site, 1, Value::map([("host", Value::text("OpaqueRef:elsewhere"))])), "VM_MIGRATE_FAILED");
    assert_eq!(with(&site, 5, Value::map([("copy", Value::text("true"))])), "OPERATION_NOT_ALLOWED");
    let vif = site.view.far(VM::VIFs, vm)[0];
    assert_eq!(with(&site, 4, Value::map([(vif.to_string(), site.lan.into())])), "OPERATION_NOT_ALLOWED");
    assert_eq!(code(&site, sending(&site, vm, true, &[(theirs, to)])), "INVALID_VALUE");
    assert_eq!(code(&site, sending(&site, vm, true, &[(own, small)])), "SR_FULL");
    assert_eq!(code(&site, sending(&site, vm, true, &[(own, Ref([9; 16]))])), "HANDLE_INVALID");
    site.done("VM.start", vec![vm.into(), false.into(), false.into()]).expect("started");
    assert_eq!(code(&site, sending(&site, vm, false, &[])), "VM_BAD_POWER_STATE");
    site.done("VM.suspend", vec![vm.into()]).expect("suspended");
    assert_eq!(code(&site, sending(&site, vm, true, &[])), "VM_BAD_POWER_STATE");
}

#[test]
fn a_host_receives_over_a_network_that_it_is_on() {
    let mut site = Site::new();
    let (here, lan) = (site.host, site.lan);
    let asking = || vec![here.into(), lan.into(), Value::empty_map()];
    let refused = site.try_call("host.migrate_receive", asking()).map(|_| ()).expect_err("it is not on it");
    assert_eq!(refused.code, "HOST_CANNOT_ATTACH_NETWORK");
    let on = site.own(move |draft| {
        let pif = Fields::<PIF>::new().with(PIF::host, here).with(PIF::network, lan).with(PIF::device, "eth0");
        Ok(draft.create(pif.with(PIF::currently_attached, true)).into())
    });
    on.expect("made");
    let dest = site.done("host.migrate_receive", asking()).expect("it is");
    assert!(dest.as_str().contains(&here.to_string()), "{dest:?}");
}

#[test]
fn only_a_host_that_is_lost_can_be_declared_dead() {
    let mut site = Site::new();
    let (here, vm) = (site.host, site.machine());
    assert_eq!(
        site.try_call("host.declare_dead", vec![here.into()]).map(|_| ()).expect_err("alive").code,
        "HOST_IS_LIVE"
    );
    site.done("VM.start", vec![vm.into(), false.into(), false.into()]).expect("started");
    let metrics = site.get::<host>(here).get(host::metrics);
    site.own(move |draft| {
        draft.set(metrics, host_metrics::live, false);
        Ok(Value::Void)
    })
    .expect("set");
    site.done("host.declare_dead", vec![here.into()]).expect("lost");
    assert_eq!(site.power_state(vm), "Halted");
    assert!(site.get::<VM>(vm).get(VM::resident_on).is_null());
    site.done("host.destroy", vec![here.into()]).expect("destroyed");
    crate::views::check::invariants(&site.view).expect("whole");
}
