//! Memory and processors: what a machine may have, what it has, and what a
//! host has left.

use crate::error::{ApiError, codes};
use crate::model::{ClassId, VM, host, host_metrics};
use crate::value::Ref;
use crate::views::relations::FieldId;
use crate::views::{Object, View};

const MIB: i64 = 1 << 20;

/// Bytes that the host can still give to machines.
pub fn free(view: &View, on: Ref) -> i64 {
    let Some(found) = view.find::<host>(on) else { return 0 };
    let total = view.find::<host_metrics>(found.get(host::metrics)).map(|m| m.get(host_metrics::memory_total));
    let mut left = total.unwrap_or(0) - found.get(host::memory_overhead);
    for field in [VM::resident_on.index, VM::scheduled_to_be_resident_on.index] {
        for vm in view.referrers(FieldId(ClassId::VM, field as u16), on) {
            left -= view.find::<VM>(vm).map(|machine| taken(machine)).unwrap_or(0);
        }
    }
    left.max(0)
}

/// Bytes that a machine takes while it has a domain.
pub fn taken(machine: &Object) -> i64 {
    machine.get(VM::memory_dynamic_max).saturating_add(overhead(machine))
}

/// Bytes that the hypervisor needs for the machine beside its own memory.
pub fn overhead(machine: &Object) -> i64 {
    let _ = MIB;
    machine.get(VM::memory_overhead)
}

/// `HOST_NOT_ENOUGH_FREE_MEMORY` if the machine does not fit.
pub fn assert_room(view: &View, machine: &Object, on: Ref) -> Result<(), ApiError> {
    let (needed, available) = (taken(machine), free(view, on));
    if needed > available {
        return Err(codes::HOST_NOT_ENOUGH_FREE_MEMORY(needed, available));
    }
    Ok(())
}
