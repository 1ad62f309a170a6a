//! Random sequences of calls and reports: what holds after every event,
//! whatever was refused on the way.

use super::tests::{Lab, lab};
use crate::command::operation::{Derived, Facts};
use crate::error::codes;
use crate::model::{ClassId, PBD, SR, VBD, VDI, VIF, VM, task};
use crate::value::{Ref, Value};
use crate::views::{Object, View};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;

/// One thing that somebody does; numbers pick among what there is.
#[derive(Clone, Debug)]
enum Step {
    CreateDisk { bytes: i64 },
    CreateDevice { vm: usize, vdi: usize, kind: &'static str, mode: &'static str, device: &'static str },
    OnDevice { message: &'static str, vbd: usize, vdi: usize },
    OnDisk { message: &'static str, vdi: usize },
    SetFlag { message: &'static str, vdi: usize, value: bool },
    Way { message: &'static str, pbd: usize },
    Power { vm: usize, to: &'static str },
    Complete { task: usize, bytes: i64 },
    Fail { task: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let n = || 0..8usize;
    let kind = prop_oneof![Just("Disk"), Just("Disk"), Just("CD")];
    let mode = prop_oneof![Just("RW"), Just("RO")];
    let device = prop_oneof![Just("0"), Just("1"), Just("hda"), Just("xvdb"), Just("autodetect")];
    let on_device = prop::sample::select(vec![
        "VBD.plug",
        "VBD.unplug",
        "VBD.unplug_force",
        "VBD.insert",
        "VBD.eject",
        "VBD.destroy",
    ]);
    let on_disk = prop::sample::select(vec![
        "VDI.destroy",
        "VDI.forget",
        "VDI.snapshot",
        "VDI.clone",
        "VDI.copy",
        "VDI.resize",
        "VDI.update",
        "VDI.revert",
        "VDI.pool_migrate",
        "VDI.enable_cbt",
        "VDI.disable_cbt",
        "VDI.data_destroy",
    ]);
    prop_oneof![
        2 => (1..400i64).prop_map(|bytes| Step::CreateDisk { bytes }),
        4 => (n(), n(), kind, mode, device)
            .prop_map(|(vm, vdi, kind, mode, device)| Step::CreateDevice { vm, vdi, kind, mode, device }),
        6 => (on_device, n(), n()).prop_map(|(message, vbd, vdi)| Step::OnDevice { message, vbd, vdi }),
        3 => (on_disk, n()).prop_map(|(message, vdi)| Step::OnDisk { message, vdi }),
        1 => (prop_oneof![Just("VDI.set_sharable"), Just("VDI.set_read_only")], n(), any::<bool>())
            .prop_map(|(message, vdi, value)| Step::SetFlag { message, vdi, value }),
        1 => (prop_oneof![Just("PBD.plug"), Just("PBD.unplug")], n()).prop_map(|(message, pbd)| Step::Way { message, pbd }),
        2 => (n(), prop_oneof![Just("Running"), Just("Halted")]).prop_map(|(vm, to)| Step::Power { vm, to }),
        8 => (n(), 0..200i64).prop_map(|(task, bytes)| Step::Complete { task, bytes }),
        1 => n().prop_map(|task| Step::Fail { task }),
    ]
}

/// The object that a number picks; a reference to nothing if there is none.
fn pick<C: crate::model::Declared>(view: &View, number: usize) -> Ref {
    let all: Vec<Ref> = view.all::<C>().map(|object| object.reference).collect();
    if all.is_empty() { Ref([7; 16]) } else { all[number % all.len()] }
}

fn pending(view: &View, number: usize) -> Option<Ref> {
    let all: Vec<Ref> = view.all::<task>().filter(|t| t.get(task::status) == "pending").map(|t| t.reference).collect();
    (!all.is_empty()).then(|| all[number % all.len()])
}

/// Does it; a refusal is as good as anything.
fn perform(lab: &mut Lab, step: &Step) {
    let view = lab.bench.view.clone();
    let call = |lab: &mut Lab, message: &str, args: Vec<Value>| drop(lab.bench.call(message, args));
    match step.clone() {
        Step::CreateDisk { bytes } => {
            let record = Value::map([("SR", Value::Ref(lab.disks)), ("virtual_size", Value::Int(bytes))]);
            call(lab, "VDI.create", vec![record]);
        }
        Step::CreateDevice { vm, vdi, kind, mode, device } => {
            drop(lab.device(pick::<VM>(&view, vm), pick::<VDI>(&view, vdi), kind, mode, device));
        }
        Step::OnDevice { message, vbd, vdi } => {
            let args = [pick::<VBD>(&view, vbd).into(), pick::<VDI>(&view, vdi).into()];
            call(lab, message, args.into());
        }
        Step::OnDisk { message, vdi } => {
            let vdi = pick::<VDI>(&view, vdi);
            let elsewhere = view.all::<SR>().map(|sr| sr.reference).find(|sr| *sr != lab.disks && *sr != lab.media);
            let elsewhere = elsewhere.expect("the laboratory has a second repository of disks");
            let args = match message {
                "VDI.resize" => vec![vdi.into(), Value::Int(500)],
                "VDI.copy" => vec![vdi.into(), Value::Ref(lab.disks)],
                "VDI.pool_migrate" => vec![vdi.into(), elsewhere.into(), Value::empty_map()],
                _ => vec![vdi.into()],
            };
            call(lab, message, args);
        }
        Step::SetFlag { message, vdi, value } => call(lab, message, vec![pick::<VDI>(&view, vdi).into(), value.into()]),
        Step::Way { message, pbd } => call(lab, message, vec![pick::<PBD>(&view, pbd).into()]),
        Step::Power { vm, to } => power(lab, pick::<VM>(&view, vm), to),
        Step::Complete { task, bytes } => {
            if let Some(task) = pending(&view, task) {
                drop(lab.bench.complete(task, Facts { physical_bytes: Some(bytes), ..Facts::default() }));
            }
        }
        Step::Fail { task } => {
            let Some(task) = pending(&view, task) else { return };
            lab.bench
                .own(move |draft| crate::command::operation::fail(draft, task, codes::INTERNAL_ERROR("no")))
                .expect("ended");
        }
    }
}

/// A machine starts with the devices it may have, or ends; what is on its way meanwhile is not asked.
fn power(lab: &mut Lab, vm: Ref, to: &'static str) {
    let view = lab.bench.view.clone();
    if to == "Running" && view.find::<VM>(vm).is_some_and(|vm| vm.get(VM::power_state) == "Running") {
        return;
    }
    let devices = view.far(VM::VBDs, vm);
    lab.bench.given(move |draft| {
        draft.set(vm, VM::power_state, to);
        for vbd in devices {
            let device = draft.find::<VBD>(vbd).expect("there");
            let may = to == "Running" && super::vbd::check(draft.view(), &device, "attach").is_ok();
            draft.set(vbd, VBD::currently_attached, may);
        }
    });
}

/// Everything that must hold between two events.
fn assert_whole(view: &View) {
    for machine in view.all::<VM>() {
        let mut places = BTreeSet::new();
        for vbd in view.far(VM::VBDs, machine.reference) {
            let device = view.find::<VBD>(vbd).expect("a far side is there");
            assert_eq!(device.get(VBD::VM), machine.reference, "both sides agree");
            let name = device.get(VBD::userdevice).trim_start_matches("xvd").trim_start_matches("hd");
            let place = name.replace('a', "0").replace('b', "1");
            assert!(places.insert(place.clone()), "two devices at {place}");
            let halted = machine.get(VM::power_state) == "Halted";
            assert!(!(halted && device.get(VBD::currently_attached)), "attached to a halted machine");
            assert_eq!(device.get(VBD::empty), device.get(VBD::VDI).is_null(), "empty says that there is no disk");
            assert!(!device.get(VBD::empty) || device.get(VBD::r#type) == "CD", "only drives are empty");
        }
    }
    for disk in view.all::<VDI>() {
        let devices: Vec<_> =
            view.far(VDI::VBDs, disk.reference).iter().filter_map(|vbd| view.find::<VBD>(*vbd)).collect();
        assert!(devices.iter().all(|vbd| vbd.get(VBD::VDI) == disk.reference), "both sides agree");
        let attached: Vec<_> = devices.iter().filter(|vbd| vbd.get(VBD::currently_attached)).collect();
        let writers = attached.iter().filter(|vbd| vbd.get(VBD::mode) == "RW").count();
        assert!(disk.get(VDI::sharable) || writers == 0 || attached.len() == 1, "a writer shares the disk");
        assert!(writers == 0 || !disk.get(VDI::read_only), "a disk that is read only is written");
        for vbd in &devices {
            let asked = super::vbd::check_sharing(view, vbd.reference, disk, vbd.get(VBD::mode), "plug");
            assert_eq!(asked.is_ok(), may_join(view, vbd, disk, &devices), "who may have a disk together");
        }
    }
    for sr in view.all::<SR>() {
        let disks = view.far(SR::VDIs, sr.reference);
        let disks: Vec<_> = disks.iter().map(|vdi| view.find::<VDI>(*vdi).expect("a far side is there")).collect();
        let sum = |field| disks.iter().map(|disk| disk.get(field)).sum::<i64>();
        assert_eq!(sr.get(SR::virtual_allocation), sum(VDI::virtual_size), "the sum of the sizes");
        assert_eq!(sr.get(SR::physical_utilisation), sum(VDI::physical_utilisation), "the sum of what they take");
    }
    assert_derived(view, &super::sr::ALLOWED);
    assert_derived(view, &super::vdi::ALLOWED);
    assert_derived(view, &super::vbd::ALLOWED);
    assert_eq!(view.all::<VIF>().count(), 0);
}

/// Who may have a disk together, written down a second time: any number of readers, or one writer alone; all of them
/// where the disk is sharable; and no writer of a disk that is read only.
fn may_join(view: &View, vbd: &Object, disk: &Object, devices: &[&Arc<Object>]) -> bool {
    let online = |other: &Object| {
        let machine = view.find::<VM>(other.get(VBD::VM)).expect("a device has a machine");
        super::vbd::holds(other) && machine.get(VM::power_state) != "Suspended"
    };
    let others = devices.iter().filter(|other| other.reference != vbd.reference && online(other));
    let modes: Vec<&str> = others.map(|other| other.get(VBD::mode)).collect();
    match vbd.get(VBD::mode) {
        "RW" if disk.get(VDI::read_only) => false,
        _ if disk.get(VDI::sharable) => true,
        "RW" => modes.is_empty(),
        _ => !modes.contains(&"RW"),
    }
}

/// What is stored as allowed is what is allowed: no change left a neighbour behind.
fn assert_derived(view: &View, derived: &Derived) {
    let class: ClassId = derived.class;
    let field = crate::model::MODEL.field(class, "allowed_operations").expect("the class has operations");
    for object in view.class(class).objects.values() {
        let stored: Vec<&str> = object.record[field].as_set().iter().map(Value::as_str).collect();
        assert_eq!(stored, (derived.allowed)(view, object), "{class:?} {}", object.reference);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn storage_stays_whole(steps in prop::collection::vec(step(), 1..60)) {
        let mut lab = lab();
        let disk = lab.disk(10);
        lab.repository("lvm", "device");
        // A writer and two readers of one disk: whoever starts first keeps the others out, or lets readers in.
        for mode in ["RW", "RO", "RO"] {
            let vm = lab.machine("Halted");
            lab.device(vm, disk, "Disk", mode, "0").expect("a device");
        }
        for step in &steps {
            perform(&mut lab, step);
            assert_whole(&lab.bench.view);
        }
    }
}
