//! What would become of machines whose hosts fail. Nobody restarts them by
//! itself: these are answers for people who plan.

use super::super::vm::memory;
use super::super::{Call, Reading};
use super::is_live;
use crate::command::attach::object;
use crate::error::{ApiError, codes};
use crate::model::{VM, host};
use crate::value::{Ref, Value};
use crate::views::Object;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) fn plan_exists(_reading: &Reading<'_>, call: &Call) -> Result<Value, ApiError> {
    Ok(Value::Bool(call.int(0) <= 0))
}

/// A pool of one host survives the failure of none.
pub(super) fn tolerable_failures(_reading: &Reading<'_>, _call: &Call) -> Result<Value, ApiError> {
    Ok(Value::Int(0))
}

/// Where each machine would go: the largest first, each to the host that then has most room.
pub(super) fn plan(reading: &Reading<'_>, call: &Call) -> Result<Value, ApiError> {
    let (failed_hosts, failed_vms) = (call.args[0].as_set(), call.args[1].as_set());
    for failed in failed_hosts {
        object::<host>(reading.view, failed.as_ref())?;
    }
    let machines = failed_vms.iter().map(|vm| object::<VM>(reading.view, vm.as_ref()));
    let mut machines: Vec<&Arc<Object>> = machines.collect::<Result<_, _>>()?;
    machines.sort_by_key(|vm| (-memory::taken(vm), vm.reference));
    let up = reading.view.all::<host>().filter(|one| one.get(host::enabled) && is_live(reading.view, one));
    let left = up.filter(|one| !failed_hosts.contains(&Value::Ref(one.reference)));
    let mut rooms: BTreeMap<Ref, i64> =
        left.map(|one| (one.reference, memory::free(reading.view, one.reference))).collect();
    // What a failed machine takes on a host that goes on is free again.
    for machine in &machines {
        if let Some(room) = rooms.get_mut(&machine.get(VM::resident_on)) {
            *room = room.saturating_add(memory::taken(machine));
        }
    }
    let planned = machines.into_iter().map(|machine| (machine.reference.to_string(), place(&mut rooms, machine)));
    Ok(Value::map(planned.collect::<Vec<_>>()))
}

fn place(rooms: &mut BTreeMap<Ref, i64>, machine: &Object) -> Value {
    let needed = memory::taken(machine);
    let most = rooms.iter_mut().max_by_key(|(_, room)| **room);
    match most {
        Some((on, room)) if *room >= needed => {
            *room -= needed;
            Value::map([("host", Value::from(on.to_string()))])
        }
        Some((_, room)) => refused(&codes::HOST_NOT_ENOUGH_FREE_MEMORY(needed, *room)),
        None => refused(&codes::NO_HOSTS_AVAILABLE()),
    }
}

fn refused(error: &ApiError) -> Value {
    Value::map([("error_code", Value::from(error.code))])
}
