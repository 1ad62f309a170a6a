//! How much room a host has, and what would become of its machines without it.

use super::super::vm::memory;
use super::super::{Call, Reading};
use super::{found, is_live};
use crate::error::{ApiError, codes};
use crate::model::{VM, host};
use crate::value::{Map, Ref, Value};
use crate::views::{Object, View};
use std::sync::Arc;

/// The machines that would have to leave: all that run there but its control domain.
pub(super) fn guests(view: &View, here: Ref) -> Vec<Arc<Object>> {
    let resident = view.far(host::resident_VMs, here).into_iter().filter_map(|vm| view.find::<VM>(vm).cloned());
    resident.filter(|vm| !vm.get(VM::is_control_domain)).collect()
}

/// Other hosts that take machines.
pub(super) fn elsewhere(view: &View, here: Ref) -> Vec<Ref> {
    let others = view.all::<host>().filter(|other| other.reference != here);
    others.filter(|other| other.get(host::enabled) && is_live(view, other)).map(|other| other.reference).collect()
}

pub(super) fn compute_free_memory(reading: &Reading<'_>, call: &Call) -> Result<Value, ApiError> {
    Ok(Value::Int(memory::free(reading.view, found(reading, call)?.reference)))
}

pub(super) fn compute_memory_overhead(reading: &Reading<'_>, call: &Call) -> Result<Value, ApiError> {
    Ok(Value::Int(found(reading, call)?.get(host::memory_overhead)))
}

/// Why a machine cannot leave, as an error's code and parameters; `None` when it can.
fn obstacle(view: &View, here: Ref, vm: &Object) -> Option<ApiError> {
    let needed = memory::taken(vm);
    match elsewhere(view, here).into_iter().map(|other| memory::free(view, other)).max() {
        None => Some(codes::NO_HOSTS_AVAILABLE()),
        Some(most) if most < needed => Some(codes::HOST_NOT_ENOUGH_FREE_MEMORY(needed, most)),
        Some(_) => None,
    }
}

pub(super) fn assert_can_evacuate(reading: &Reading<'_>, call: &Call) -> Result<Value, ApiError> {
    let here = found(reading, call)?.reference;
    let all = guests(reading.view, here);
    let errors: Vec<String> = all
        .iter()
        .filter_map(|vm| Some((vm.reference, obstacle(reading.view, here, vm)?)))
        .map(|(vm, error)| format!("{}:{vm}", error.code))
        .collect();
    match errors.is_empty() {
        true => Ok(Value::Void),
        false => Err(codes::CANNOT_EVACUATE_HOST(errors.join("|"))),
    }
}

pub(super) fn vms_which_prevent_evacuation(reading: &Reading<'_>, call: &Call) -> Result<Value, ApiError> {
    let here = found(reading, call)?.reference;
    let mut map = Map::new();
    for vm in guests(reading.view, here) {
        if let Some(error) = obstacle(reading.view, here, &vm) {
            let info =
                std::iter::once(Value::from(error.code)).chain(error.params.iter().map(|text| Value::text(text)));
            map.insert(vm.reference.to_string().into(), Value::set(info));
        }
    }
    Ok(Value::Map(Arc::new(map)))
}

/// Kept for old clients: every machine can be moved or shut down.
pub(super) fn uncooperative_machines(reading: &Reading<'_>, call: &Call) -> Result<Value, ApiError> {
    found(reading, call)?;
    Ok(Value::empty_set())
}
