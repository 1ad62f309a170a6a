//! What disks and interfaces of machines have in common: who holds them now,
//! and whether their machine is in a state to take them or to let them go.
//!
//! Must never know media, images, or networks.

use super::vm::boot;
use crate::error::{ApiError, codes};
use crate::model::{ClassId, Declared, Key, MODEL, VM, VM_guest_metrics, tristate_type};
use crate::value::Ref;
use crate::views::{Object, View};
use std::sync::Arc;

/// Operations of a machine during which nothing may come to it or leave it.
const LEAVING: [&str; 4] = ["clean_shutdown", "hard_shutdown", "suspend", "pause"];

/// An object in a view, or `HANDLE_INVALID`.
pub fn object<C: Declared>(view: &View, reference: Ref) -> Result<&Arc<Object>, ApiError> {
    view.find::<C>(reference).ok_or_else(|| codes::HANDLE_INVALID(C::ID.name(), reference))
}

/// Refuses when an operation holds the object.
pub fn assert_free(class: ClassId, object: &Object) -> Result<(), ApiError> {
    match holder(class, object, &[]) {
        Some((task, name)) => Err(busy(class, object, name, task)),
        None => Ok(()),
    }
}

/// The first operation on the object that is none of `harmless`, with its task.
pub fn holder<'a>(class: ClassId, object: &'a Object, harmless: &[&str]) -> Option<(&'a str, &'a str)> {
    let field = MODEL.field(class, "current_operations").expect("BUG: only what can be held is asked for");
    let operations = object.record[field].as_map().iter();
    let mut harmful = operations.filter(|(_, name)| !harmless.contains(&name.as_str()));
    harmful.next().map(|(task, name)| (&**task, name.as_str()))
}

/// What work on a machine's devices and disks holds: the machine, and its snapshots, which cannot be reverted to.
pub fn held(view: &View, vm: Ref) -> Vec<(ClassId, Ref)> {
    let snapshots = view.far(VM::snapshots, vm);
    std::iter::once(vm).chain(snapshots).map(|held| (ClassId::VM, held)).collect()
}

/// The refusal of what an operation on the object stands against.
pub fn busy(class: ClassId, object: &Object, operation: &str, task: &str) -> ApiError {
    codes::OTHER_OPERATION_IN_PROGRESS(class.name(), object.reference, operation, task)
}

/// The refusal of what the machine's state stands against; clients expect the states in lower case.
pub fn bad_power_state(machine: &Object, expected: &str) -> ApiError {
    codes::VM_BAD_POWER_STATE(machine.reference, expected, machine.get(VM::power_state).to_lowercase())
}

/// A device of a machine, as far as plugging goes.
pub struct Pluggable {
    pub device: Ref,
    pub attached: bool,
    /// What the guest says about plugging devices of this kind.
    pub claim: Key<VM_guest_metrics, tristate_type>,
    /// For the refusal: `VBD`.
    pub kind: &'static str,
}

/// Whether the device can be plugged into, or unplugged from, the machine while it runs.
pub fn check_plug(view: &View, machine: &Object, device: &Pluggable, plug: bool) -> Result<(), ApiError> {
    if machine.get(VM::power_state) != "Running" {
        return Err(bad_power_state(machine, "running"));
    }
    match (plug, device.attached) {
        (true, true) => return Err(codes::DEVICE_ALREADY_ATTACHED(device.device)),
        (false, false) => return Err(codes::DEVICE_ALREADY_DETACHED(device.device)),
        _ => {}
    }
    let mut operations = machine.get(VM::current_operations).values();
    if let Some(operation) = operations.find(|name| LEAVING.contains(&name.as_str())) {
        let reason = format!("{} is in {}", machine.reference, operation.as_str());
        return Err(codes::OPERATION_NOT_ALLOWED(reason));
    }
    let metrics = view.find::<VM_guest_metrics>(machine.get(VM::guest_metrics));
    if boot::is_hvm(machine) && metrics.is_some_and(|metrics| metrics.get(device.claim) == "no") {
        return Err(codes::OPERATION_NOT_ALLOWED(format!("VM states it does not support {} hotplug.", device.kind)));
    }
    Ok(())
}
