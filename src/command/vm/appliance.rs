//! Appliances: machines that start and stop together, group by group in their
//! order, each group after the longest delay that the one before it asks for.
//!
//! ```text
//!   start ─▶ order 0 ─▶ start_delay ─▶ order 1 ─▶ … ─▶ success
//!   shutdown: the same backwards, with shutdown_delay      └▶ OPERATION_PARTIALLY_FAILED, with the machines
//! ```
//!
//! Must never know how a machine starts or stops: each does so by a message of
//! its own, which may be refused.

use super::placement::attached;
use super::questions;
use crate::command::operation::{Begin, Derived};
use crate::command::sequence::{self, Group};
use crate::command::{Call, Draft, Reading};
use crate::error::{ApiError, codes};
use crate::model::types::Int;
use crate::model::{ClassId, Key, VM, VM_appliance, host};
use crate::value::{Ref, Value};
use crate::views::{Object, View};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

type Answer = Result<Value, ApiError>;

const OPERATIONS: [&str; 4] = ["start", "clean_shutdown", "hard_shutdown", "shutdown"];

pub const APPLIANCE_OPERATIONS: Derived = Derived {
    class: ClassId::VM_appliance,
    inputs: &[VM_appliance::current_operations.index],
    allowed: |view, appliance| {
        OPERATIONS.into_iter().filter(|operation| check(view, appliance, operation).is_ok()).collect()
    },
    neighbours: |_, _| Vec::new(),
};

/// Why the operation is not allowed now, if it is not.
fn check(view: &View, appliance: &Object, operation: &str) -> Result<(), ApiError> {
    let reference = appliance.reference;
    if let Some((task, name)) = appliance.get(VM_appliance::current_operations).iter().next() {
        return Err(codes::OTHER_OPERATION_IN_PROGRESS("VM_appliance", reference, name.as_str(), task));
    }
    let machines = machines(view, reference);
    let any = |so: fn(&str) -> bool| machines.iter().any(|machine| so(machine.get(VM::power_state)));
    let (possible, why) = match operation {
        "start" => (any(|state| state == "Halted"), "no machine of the appliance is halted"),
        "clean_shutdown" => (any(|state| state == "Running"), "no machine of the appliance is running"),
        _ => (any(|state| state != "Halted"), "all machines of the appliance are halted"),
    };
    match (machines.is_empty(), possible) {
        (true, _) => Err(codes::OPERATION_NOT_ALLOWED("the appliance has no machines")),
        (false, false) => Err(codes::OPERATION_NOT_ALLOWED(why)),
        (false, true) => Ok(()),
    }
}

fn machines(view: &View, appliance: Ref) -> Vec<Arc<Object>> {
    let members = view.far(VM_appliance::VMs, appliance).into_iter();
    members.filter_map(|vm| view.find::<VM>(vm).cloned()).collect()
}

/// `VM_appliance.start(self, paused)`
pub fn start(draft: &mut Draft, call: &Call) -> Answer {
    let paused = call.bool(1);
    let reached = if paused { "Paused" } else { "Running" };
    let orders = orders(draft, call, "start", reached, VM::start_delay)?;
    let rest = [paused.into(), false.into()];
    begin(draft, call, "start", orders.into_values().map(|order| order.calls("VM.start", &rest)).collect())
}

/// `VM_appliance.clean_shutdown(self)`
pub fn clean_shutdown(draft: &mut Draft, call: &Call) -> Answer {
    stop(draft, call, "clean_shutdown", "VM.clean_shutdown")
}

/// `VM_appliance.hard_shutdown(self)`
pub fn hard_shutdown(draft: &mut Draft, call: &Call) -> Answer {
    stop(draft, call, "hard_shutdown", "VM.hard_shutdown")
}

/// `VM_appliance.shutdown(self)`: each machine cleanly if it answers, hard if not.
pub fn shutdown(draft: &mut Draft, call: &Call) -> Answer {
    stop(draft, call, "shutdown", "VM.shutdown")
}

fn stop(draft: &mut Draft, call: &Call, name: &'static str, message: &str) -> Answer {
    let orders = orders(draft, call, name, "Halted", VM::shutdown_delay)?;
    begin(draft, call, name, orders.into_values().rev().map(|order| order.calls(message, &[])).collect())
}

fn begin(draft: &mut Draft, call: &Call, name: &'static str, groups: Vec<Group>) -> Answer {
    sequence::begin(draft, call, Begin::on(ClassId::VM_appliance, call.reference(0), name), groups)
}

/// The machines that go together, and the seconds to wait after them.
#[derive(Default)]
struct Order {
    delay: i64,
    machines: Vec<Ref>,
}

impl Order {
    fn calls(self, message: &str, rest: &[Value]) -> Group {
        let mut group = Group::waiting(self.delay);
        self.machines.into_iter().for_each(|vm| group.call(message, vm, rest));
        group
    }
}

/// The machines that are not yet where they should be, by their order.
fn orders(
    draft: &Draft,
    call: &Call,
    name: &str,
    reached: &str,
    delay: Key<VM, Int>,
) -> Result<BTreeMap<i64, Order>, ApiError> {
    let appliance = draft.find::<VM_appliance>(call.reference(0))?;
    check(draft.view(), &appliance, name)?;
    let mut orders: BTreeMap<i64, Order> = BTreeMap::new();
    for machine in machines(draft.view(), appliance.reference) {
        if machine.get(VM::power_state) != reached {
            let order = orders.entry(machine.get(VM::order)).or_default();
            order.delay = order.delay.max(machine.get(delay));
            order.machines.push(machine.reference);
        }
    }
    Ok(orders)
}

fn found<'a>(reading: &'a Reading<'_>, call: &Call) -> Result<&'a Arc<Object>, ApiError> {
    let appliance = call.reference(0);
    reading.view.find::<VM_appliance>(appliance).ok_or_else(|| codes::HANDLE_INVALID("VM_appliance", appliance))
}

/// `VM_appliance.get_SRs_required_for_recovery(self, session_to)`
pub fn srs_required(reading: &Reading<'_>, call: &Call) -> Answer {
    let mut all = BTreeSet::new();
    for machine in machines(reading.view, found(reading, call)?.reference) {
        all.extend(questions::repositories(reading, &machine));
    }
    Ok(Value::set(all.into_iter().map(Value::Ref)))
}

/// `VM_appliance.assert_can_be_recovered(self, session_to)`: into this pool, since a session of ours names it.
pub fn assert_can_be_recovered(reading: &Reading<'_>, call: &Call) -> Answer {
    for machine in machines(reading.view, found(reading, call)?.reference) {
        for sr in questions::repositories(reading, &machine) {
            if !reading.view.all::<host>().any(|host| attached(reading.view, sr, host.reference)) {
                return Err(codes::VM_REQUIRES_SR(machine.reference, sr));
            }
        }
    }
    Ok(Value::Void)
}
