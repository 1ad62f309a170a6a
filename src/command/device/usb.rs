//! USB devices: those in hosts, the groups of the same kind that machines
//! choose from, and what a machine has of them.
//!
//! ```text
//!   VUSB: detached ──the machine starts──▶ attached ──unplug, or the machine ends──▶ detached
//! ```

use super::hardware::{DEVICES_MAX, Usb};
use crate::command::attach::{self, bad_power_state, object};
use crate::command::draft::Fields;
use crate::command::operation::{self, Begin, Derived, Ended};
use crate::command::{Call, Draft};
use crate::error::{ApiError, codes};
use crate::model::{ClassId, PUSB, USB_group, VM, VUSB, host};
use crate::value::{Ref, Value};
use crate::views::{Object, View};
use std::sync::Arc;

/// USB devices that a machine has at most.
const MACHINE_MAX: usize = 6;

pub static ALLOWED: Derived = Derived {
    class: ClassId::VUSB,
    inputs: &[VUSB::currently_attached.index, VUSB::current_operations.index],
    allowed: |view, vusb| {
        let offered = ["attach", "unplug"].into_iter();
        offered.filter(|operation| check(view, vusb, operation).is_ok()).collect()
    },
    neighbours: |_, vusb| vec![(ClassId::VM, vusb.get(VUSB::VM))],
};

/// Whether the operation is allowed now. A running machine lets a device go, and gets one only when it starts.
fn check(view: &View, vusb: &Object, operation: &str) -> Result<(), ApiError> {
    attach::assert_free(ClassId::VUSB, vusb)?;
    if operation != "unplug" {
        return Ok(());
    }
    let machine = object::<VM>(view, vusb.get(VUSB::VM))?;
    if machine.get(VM::power_state) != "Running" {
        return Err(bad_power_state(machine, "running"));
    }
    match vusb.get(VUSB::currently_attached) {
        true => Ok(()),
        false => Err(codes::DEVICE_ALREADY_DETACHED(vusb.reference)),
    }
}

/// The device that the host has for machines that ask the group for one.
pub fn device_of(view: &View, group: Ref, on: Ref) -> Option<Arc<Object>> {
    let devices = view.far(USB_group::PUSBs, group).into_iter().filter_map(|pusb| view.find::<PUSB>(pusb));
    let mut here = devices.filter(|pusb| pusb.get(PUSB::host) == on && pusb.get(PUSB::passthrough_enabled));
    here.next().cloned()
}

/// Whether the host has all that the machine must find.
pub fn assert_reachable(view: &View, machine: &Object, on: Ref) -> Result<(), ApiError> {
    for vusb in view.far(VM::VUSBs, machine.reference) {
        let Some(group) = view.find::<VUSB>(vusb).map(|vusb| vusb.get(VUSB::USB_group)) else { continue };
        if device_of(view, group, on).is_none() {
            return Err(codes::VM_REQUIRES_VUSB(machine.reference, group));
        }
    }
    Ok(())
}

/// A machine's devices come with its domain, and go with it.
pub fn attach_all(draft: &mut Draft, vm: Ref, attached: bool) {
    for vusb in draft.far(VM::VUSBs, vm) {
        draft.set(vusb, VUSB::currently_attached, attached);
    }
}

pub fn begin_scan(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let on = draft.find::<host>(call.reference(0))?.reference;
    operation::begin(draft, call, Begin::about(ClassId::host, on))
}

pub fn scanned(draft: &mut Draft, ended: &Ended) -> Result<Value, ApiError> {
    draft.find::<host>(ended.object)?;
    found(draft, ended.object, &ended.facts.of_host.usb)?;
    Ok(Value::Void)
}

/// Devices that came get a record and a group; those that went lose theirs.
pub(super) fn found(draft: &mut Draft, on: Ref, seen: &[Usb]) -> Result<(), ApiError> {
    for known in draft.far(host::PUSBs, on) {
        let known = draft.find::<PUSB>(known)?;
        if !seen.iter().any(|device| is_it(&known, device)) {
            gone(draft, &known);
        }
    }
    for device in seen.iter().take(DEVICES_MAX) {
        let mut known = draft.far(host::PUSBs, on).into_iter().filter_map(|pusb| draft.find::<PUSB>(pusb).ok());
        if known.any(|known| is_it(&known, device)) {
            continue;
        }
        let group = group_of(draft, device);
        draft.create(described(on, group, device));
    }
    Ok(())
}

fn is_it(known: &Object, device: &Usb) -> bool {
    let same = |field: &str, told: &String| field == told.as_str();
    same(known.get(PUSB::path), &device.path)
        && same(known.get(PUSB::vendor_id), &device.vendor.0)
        && same(known.get(PUSB::product_id), &device.product.0)
        && same(known.get(PUSB::serial), &device.serial)
}

/// A machine that has the device finds it pulled out; a group that nothing is left of goes.
fn gone(draft: &mut Draft, known: &Object) {
    let group = known.get(PUSB::USB_group);
    draft.delete::<PUSB>(known.reference);
    let vusbs = draft.far(USB_group::VUSBs, group);
    for vusb in &vusbs {
        draft.set(*vusb, VUSB::currently_attached, false);
    }
    if vusbs.is_empty() && draft.far(USB_group::PUSBs, group).is_empty() && draft.find::<USB_group>(group).is_ok() {
        draft.delete::<USB_group>(group);
    }
}

/// Devices of one maker and model are in one group.
fn group_of(draft: &mut Draft, device: &Usb) -> Ref {
    let alike = |pusb: &&Arc<Object>| {
        **pusb.get(PUSB::vendor_id) == *device.vendor.0 && **pusb.get(PUSB::product_id) == *device.product.0
    };
    let known = draft.view().all::<PUSB>().find(alike).map(|pusb| pusb.get(PUSB::USB_group));
    if let Some(group) = known.filter(|group| draft.find::<USB_group>(*group).is_ok()) {
        return group;
    }
    let label = format!("Group of {} {} USBs", device.vendor.0, device.product.0);
    draft.create(Fields::<USB_group>::new().with(USB_group::name_label, label))
}

fn described(on: Ref, group: Ref, device: &Usb) -> Fields<PUSB> {
    let description = format!("{} {}", device.vendor.1, device.product.1);
    Fields::<PUSB>::new()
        .with(PUSB::host, on)
        .with(PUSB::USB_group, group)
        .with(PUSB::path, &*device.path)
        .with(PUSB::vendor_id, &*device.vendor.0)
        .with(PUSB::vendor_desc, &*device.vendor.1)
        .with(PUSB::product_id, &*device.product.0)
        .with(PUSB::product_desc, &*device.product.1)
        .with(PUSB::serial, &*device.serial)
        .with(PUSB::version, &*device.version)
        .with(PUSB::description, description)
        .with(PUSB::speed, device.speed)
}

/// A device that a machine is to have cannot be taken back by the host.
pub fn set_passthrough(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let pusb = draft.find::<PUSB>(call.reference(0))?;
    let enabled = call.bool(1);
    let wanted = draft.far(USB_group::VUSBs, pusb.get(PUSB::USB_group));
    if let Some(vusb) = wanted.first().filter(|_| !enabled && pusb.get(PUSB::passthrough_enabled)) {
        let vm = draft.get(*vusb, VUSB::VM, |vm| vm)?;
        return Err(codes::USB_ALREADY_ATTACHED(pusb.reference, vm));
    }
    draft.set(pusb.reference, PUSB::passthrough_enabled, enabled);
    Ok(Value::Void)
}

pub fn create_group(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let fields = Fields::<USB_group>::new()
        .with(USB_group::name_label, call.text(0))
        .with(USB_group::name_description, call.text(1))
        .with(USB_group::other_config, call.args[2].clone());
    Ok(Value::Ref(draft.create(fields)))
}

fn listed(references: &[Ref]) -> String {
    references.iter().map(Ref::to_string).collect::<Vec<_>>().join(", ")
}

pub fn destroy_group(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let group = draft.find::<USB_group>(call.reference(0))?.reference;
    let vusbs = draft.far(USB_group::VUSBs, group);
    if !vusbs.is_empty() {
        return Err(codes::USB_GROUP_CONTAINS_VUSB(listed(&vusbs)));
    }
    let pusbs = draft.far(USB_group::PUSBs, group);
    if !pusbs.is_empty() {
        return Err(codes::USB_GROUP_CONTAINS_PUSB(listed(&pusbs)));
    }
    draft.delete::<USB_group>(group);
    Ok(Value::Void)
}

/// The machine gets the device when it starts the next time.
pub fn create(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let (vm, group) = (draft.find::<VM>(call.reference(0))?.reference, call.reference(1));
    draft.find::<USB_group>(group)?;
    if draft.far(VM::VUSBs, vm).len() >= MACHINE_MAX {
        return Err(codes::TOO_MANY_VUSBS(MACHINE_MAX));
    }
    let devices = draft.far(USB_group::PUSBs, group);
    let offered = devices.iter().filter(|pusb| draft.get(**pusb, PUSB::passthrough_enabled, |on| on) == Ok(true));
    if offered.count() == 0 {
        return Err(codes::USB_GROUP_CONTAINS_NO_PUSBS(group));
    }
    if !draft.far(USB_group::VUSBs, group).is_empty() {
        return Err(codes::USB_GROUP_CONFLICT(group));
    }
    let fields = Fields::<VUSB>::new()
        .with(VUSB::VM, vm)
        .with(VUSB::USB_group, group)
        .with(VUSB::other_config, call.args[2].clone());
    Ok(Value::Ref(draft.create(fields)))
}

pub fn destroy(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let vusb = draft.find::<VUSB>(call.reference(0))?;
    attach::assert_free(ClassId::VUSB, &vusb)?;
    if vusb.get(VUSB::currently_attached) {
        let reason = format!("{} is attached to {}", vusb.reference, vusb.get(VUSB::VM));
        return Err(codes::OPERATION_NOT_ALLOWED(reason));
    }
    draft.delete::<VUSB>(vusb.reference);
    Ok(Value::Void)
}

pub fn begin_unplug(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let vusb = draft.find::<VUSB>(call.reference(0))?;
    check(draft.view(), &vusb, "unplug")?;
    operation::begin(draft, call, Begin::on(ClassId::VUSB, vusb.reference, "unplug"))
}

pub fn unplugged(draft: &mut Draft, ended: &Ended) -> Result<Value, ApiError> {
    draft.find::<VUSB>(ended.object)?;
    draft.set(ended.object, VUSB::currently_attached, false);
    Ok(Value::Void)
}
