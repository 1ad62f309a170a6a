//! What may be done to a machine: one table, operation by operation. Handlers
//! ask [`permit`] and `allowed_operations` is what [`permit`] lets through, so
//! that the two cannot disagree.
//!
//! Must never know how an operation is carried out.

use crate::command::Draft;
use crate::command::network::sriov;
use crate::command::operation::{self, Derived};
use crate::error::{ApiError, codes};
use crate::model::{ClassId, VBD, VDI, VIF, VM};
use crate::value::{Map, Ref};
use crate::views::{Object, View};
use std::sync::Arc;

/// What kinds of machine an operation is for; one bit a kind.
type Kinds = u8;
const MACHINE: Kinds = 1;
const TEMPLATE: Kinds = 2;
const SNAPSHOT: Kinds = 4;
const CONTROL_DOMAIN: Kinds = 8;
/// A domain that others made: nothing is for it.
const FOREIGN: Kinds = 16;

/// One row of the table.
struct Rule {
    operation: &'static str,
    /// The power states in which it is allowed, in the order in which errors name them.
    states: &'static [&'static str],
    kinds: Kinds,
    /// The operations beside which it may run, or which it ends.
    beside: &'static [&'static str],
    /// Whether it works on the disks, so that nothing else may.
    disks: bool,
}

const HALTED: &[&str] = &["Halted"];
const RUNNING: &[&str] = &["Running"];
const PAUSED: &[&str] = &["Paused"];
const SUSPENDED: &[&str] = &["Suspended"];
const UP: &[&str] = &["Paused", "Running"];
const NOT_HALTED: &[&str] = &["Paused", "Suspended", "Running"];
const DOWN: &[&str] = &["Halted", "Suspended"];
const ANY: &[&str] = &["Halted", "Paused", "Suspended", "Running"];

/// Reading the disks disturbs nobody who only reads them.
const COPIES: &[&str] = &["clone", "copy", "snapshot"];
/// What a forced end may put an end to.
const ENDABLE: &[&str] = &["clean_shutdown", "clean_reboot", "hard_reboot", "shutdown", "suspend"];

const fn rule(operation: &'static str, states: &'static [&'static str], kinds: Kinds) -> Rule {
    Rule { operation, states, kinds, beside: &[], disks: false }
}

impl Rule {
    const fn beside(self, beside: &'static [&'static str]) -> Rule {
        Rule { beside, ..self }
    }

    const fn with_disks(self) -> Rule {
        Rule { disks: true, ..self }
    }
}

const RULES: &[Rule] = &[
    rule("start", HALTED, MACHINE).with_disks(),
    rule("start_on", HALTED, MACHINE).with_disks(),
    rule("pause", RUNNING, MACHINE),
    rule("unpause", PAUSED, MACHINE),
    rule("suspend", RUNNING, MACHINE),
    rule("resume", SUSPENDED, MACHINE),
    rule("resume_on", SUSPENDED, MACHINE),
    rule("clean_shutdown", RUNNING, MACHINE),
    rule("clean_reboot", RUNNING, MACHINE),
    rule("shutdown", NOT_HALTED, MACHINE),
    rule("hard_shutdown", NOT_HALTED, MACHINE | SNAPSHOT).beside(ENDABLE),
    rule("hard_reboot", UP, MACHINE).beside(&["clean_shutdown", "clean_reboot", "shutdown"]),
    rule("power_state_reset", ANY, MACHINE).beside(&["*"]),
    rule("clone", HALTED, MACHINE | TEMPLATE | SNAPSHOT).beside(COPIES).with_disks(),
    rule("copy", HALTED, MACHINE | TEMPLATE | SNAPSHOT).beside(COPIES).with_disks(),
    rule("snapshot", ANY, MACHINE).beside(COPIES).with_disks(),
    rule("checkpoint", NOT_HALTED, MACHINE).with_disks(),
    rule("revert", ANY, SNAPSHOT).with_disks(),
    rule("provision", HALTED, TEMPLATE),
    rule("destroy", DOWN, MACHINE | TEMPLATE | SNAPSHOT),
    rule("make_into_template", HALTED, MACHINE),
    rule("changing_static_range", HALTED, MACHINE | TEMPLATE),
    rule("changing_dynamic_range", &["Halted", "Running"], MACHINE | TEMPLATE | CONTROL_DOMAIN),
    rule("changing_memory_limits", HALTED, MACHINE | TEMPLATE),
    rule("changing_memory_live", RUNNING, MACHINE | CONTROL_DOMAIN),
    rule("awaiting_memory_live", RUNNING, MACHINE | CONTROL_DOMAIN),
    rule("changing_shadow_memory", DOWN, MACHINE | TEMPLATE),
    rule("changing_shadow_memory_live", RUNNING, MACHINE),
    rule("changing_VCPUs", HALTED, MACHINE | TEMPLATE),
    rule("changing_VCPUs_live", RUNNING, MACHINE),
    rule("changing_NVRAM", HALTED, MACHINE | TEMPLATE),
    rule("pool_migrate", UP, MACHINE),
    rule("migrate_send", &["Halted", "Paused", "Running"], MACHINE).with_disks(),
    rule("call_plugin", RUNNING, MACHINE),
    rule("send_sysrq", RUNNING, MACHINE),
    rule("send_trigger", RUNNING, MACHINE),
];

/// What a machine with a device of its host cannot do.
const BOUND_TO_HOST: &[&str] = &["suspend", "snapshot", "checkpoint", "pool_migrate", "migrate_send"];

/// What may always be asked, so nobody is told of it in `allowed_operations`.
const ALWAYS: &[&str] = &["get_boot_record", "data_source_op", "assert_operation_valid", "update_allowed_operations"];

/// The operations that a checkpoint, which is a suspended snapshot, lets through like a halted one.
const FROM_CHECKPOINT: &[&str] = &["clone", "copy"];

pub const VM_OPERATIONS: Derived = Derived {
    class: ClassId::VM,
    inputs: &[
        VM::power_state.index,
        VM::current_operations.index,
        VM::blocked_operations.index,
        VM::is_a_template.index,
        VM::is_a_snapshot.index,
        VM::is_default_template.index,
        VM::is_control_domain.index,
        VM::snapshot_of.index,
        VM::appliance.index,
        VM::other_config.index,
    ],
    allowed,
    neighbours,
};

fn allowed(view: &View, machine: &Object) -> Vec<&'static str> {
    let let_through = RULES.iter().filter(|rule| may(view, machine, rule).is_ok());
    let_through.map(|rule| rule.operation).collect()
}

/// What depends on a machine: its devices, whose plugs need it running, and what its snapshots may be reverted to.
fn neighbours(view: &View, machine: &Object) -> Vec<(ClassId, Ref)> {
    let vm = machine.reference;
    let mut near = Vec::new();
    for vbd in view.far(VM::VBDs, vm) {
        near.push((ClassId::VBD, vbd));
        if let Some(disk) = view.find::<VBD>(vbd).map(|vbd| vbd.get(VBD::VDI)).filter(|disk| !disk.is_null()) {
            near.push((ClassId::VDI, disk));
        }
    }
    near.extend(view.far(VM::VIFs, vm).into_iter().map(|vif| (ClassId::VIF, vif)));
    near.extend(view.far(VM::VUSBs, vm).into_iter().map(|vusb| (ClassId::VUSB, vusb)));
    near.extend(view.far(VM::VTPMs, vm).into_iter().map(|tpm| (ClassId::VTPM, tpm)));
    near.extend(view.far(VM::snapshots, vm).into_iter().map(|snapshot| (ClassId::VM, snapshot)));
    let appliance = machine.get(VM::appliance);
    if !appliance.is_null() {
        near.push((ClassId::VM_appliance, appliance));
    }
    near
}

/// The machine, if the operation is allowed now.
pub fn permit(draft: &Draft, vm: Ref, operation: &str) -> Result<Arc<Object>, ApiError> {
    let machine = draft.find::<VM>(vm)?;
    check(draft.view(), &machine, operation)?;
    Ok(machine)
}

/// Why the operation is not allowed now, if it is not.
pub fn check(view: &View, machine: &Object, operation: &str) -> Result<(), ApiError> {
    match RULES.iter().find(|rule| rule.operation == operation) {
        Some(rule) => may(view, machine, rule),
        None if ALWAYS.contains(&operation) => Ok(()),
        None => Err(codes::OPERATION_NOT_ALLOWED(format!("{operation} is not offered by this server"))),
    }
}

fn may(view: &View, machine: &Object, rule: &Rule) -> Result<(), ApiError> {
    blocked(machine, rule)?;
    power_state(machine, rule)?;
    busy(machine.reference, "VM", machine.get(VM::current_operations), rule.beside)?;
    kind(machine, rule)?;
    membership(view, machine, rule)?;
    host_devices(view, machine, rule)?;
    if !rule.beside.contains(&"*") {
        devices(view, machine, rule)?;
    }
    if rule.operation == "revert" { reverted(view, machine) } else { Ok(()) }
}

fn blocked(machine: &Object, rule: &Rule) -> Result<(), ApiError> {
    let names: &[&str] = match rule.operation {
        "shutdown" => &["shutdown", "clean_shutdown", "hard_shutdown"],
        "start_on" => &["start_on", "start"],
        "resume_on" => &["resume_on", "resume"],
        other => &[other],
    };
    let blocked = machine.get(VM::blocked_operations);
    match names.iter().find_map(|name| blocked.get(*name)) {
        Some(code) => Err(codes::OPERATION_BLOCKED(machine.reference, code.as_str())),
        None => Ok(()),
    }
}

fn power_state(machine: &Object, rule: &Rule) -> Result<(), ApiError> {
    let actual = machine.get(VM::power_state);
    let checkpoint = machine.get(VM::is_a_snapshot) && FROM_CHECKPOINT.contains(&rule.operation);
    if rule.states.contains(&actual) || checkpoint && actual == "Suspended" {
        return Ok(());
    }
    Err(bad_power_state(machine, rule.states))
}

/// `VM_BAD_POWER_STATE` as clients know it: the states in lower case.
pub fn bad_power_state(machine: &Object, expected: &[&str]) -> ApiError {
    let actual = machine.get(VM::power_state).to_lowercase();
    codes::VM_BAD_POWER_STATE(machine.reference, expected.join(", ").to_lowercase(), actual)
}

fn busy(object: Ref, class: &str, operations: &Map, beside: &[&str]) -> Result<(), ApiError> {
    if beside.contains(&"*") {
        return Ok(());
    }
    match operations.iter().find(|(_, name)| !beside.contains(&name.as_str())) {
        Some((task, name)) => Err(codes::OTHER_OPERATION_IN_PROGRESS(class, object, name.as_str(), task)),
        None => Ok(()),
    }
}

fn kind(machine: &Object, rule: &Rule) -> Result<(), ApiError> {
    let kind = match () {
        () if machine.get(VM::foreign) => FOREIGN,
        () if machine.get(VM::is_control_domain) => CONTROL_DOMAIN,
        () if machine.get(VM::is_a_snapshot) => SNAPSHOT,
        () if machine.get(VM::is_a_template) => TEMPLATE,
        () => MACHINE,
    };
    let vm = machine.reference;
    if rule.operation == "destroy" && kind == TEMPLATE && machine.get(VM::is_default_template) {
        return Err(codes::VM_CANNOT_DELETE_DEFAULT_TEMPLATE(vm));
    }
    if rule.kinds & kind != 0 {
        return Ok(());
    }
    Err(match (rule.operation, kind) {
        (_, CONTROL_DOMAIN) => codes::OPERATION_NOT_ALLOWED("This operation is not supported on the control domain"),
        (_, FOREIGN) => codes::OPERATION_NOT_ALLOWED("The domain was made by others"),
        ("provision", _) => codes::PROVISION_ONLY_ALLOWED_ON_TEMPLATE(),
        ("revert", _) => codes::ONLY_REVERT_SNAPSHOT(),
        (operation, SNAPSHOT) => codes::VM_IS_SNAPSHOT(vm, operation),
        _ => codes::VM_IS_TEMPLATE(vm),
    })
}

fn membership(view: &View, machine: &Object, rule: &Rule) -> Result<(), ApiError> {
    if rule.operation != "make_into_template" {
        return Ok(());
    }
    let (vm, appliance) = (machine.reference, machine.get(VM::appliance));
    if view.object(ClassId::VM_appliance, appliance).is_some() {
        return Err(codes::VM_IS_PART_OF_AN_APPLIANCE(vm, appliance));
    }
    let schedule = machine.get(VM::snapshot_schedule);
    if view.object(ClassId::VMSS, schedule).is_some() {
        return Err(codes::VM_ASSIGNED_TO_SNAPSHOT_SCHEDULE(vm, schedule));
    }
    Ok(())
}

/// A device of the host cannot be copied, kept in an image, or taken to another host.
fn host_devices(view: &View, machine: &Object, rule: &Rule) -> Result<(), ApiError> {
    let bound = BOUND_TO_HOST.contains(&rule.operation) && !view.far(VM::VUSBs, machine.reference).is_empty();
    if bound {
        return Err(codes::VM_HAS_VUSBS(machine.reference));
    }
    let moves = BOUND_TO_HOST.contains(&rule.operation) && rule.operation != "snapshot";
    if moves && sriov::is_bound(view, machine) { Err(codes::VM_HAS_SRIOV_VIF(machine.reference)) } else { Ok(()) }
}

/// A device that is being plugged, or a disk that is being worked on, holds the machine too.
fn devices(view: &View, machine: &Object, rule: &Rule) -> Result<(), ApiError> {
    let vm = machine.reference;
    let own = machine.get(VM::current_operations);
    let others = |operations: &Map| -> Map {
        operations.iter().filter(|(task, _)| !own.contains_key(*task)).map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    for vbd in view.far(VM::VBDs, vm) {
        let Some(device) = view.find::<VBD>(vbd) else { continue };
        busy(vbd, "VBD", &others(device.get(VBD::current_operations)), &[])?;
        let Some(disk) = view.find::<VDI>(device.get(VBD::VDI)).filter(|_| rule.disks) else { continue };
        busy(disk.reference, "VDI", &others(disk.get(VDI::current_operations)), rule.beside)?;
    }
    for vif in view.far(VM::VIFs, vm) {
        let Some(device) = view.find::<VIF>(vif) else { continue };
        busy(vif, "VIF", &others(device.get(VIF::current_operations)), &[])?;
    }
    Ok(())
}

/// Reverting replaces the machine that the snapshot was made of, which must be there and free.
fn reverted(view: &View, snapshot: &Object) -> Result<(), ApiError> {
    let vm = snapshot.get(VM::snapshot_of);
    let Some(machine) = view.find::<VM>(vm) else {
        return Err(codes::VM_REVERT_FAILED(vm, snapshot.reference));
    };
    let blocked = machine.get(VM::blocked_operations);
    if let Some(code) = blocked.get("revert").or(blocked.get("reverting")) {
        return Err(codes::OPERATION_BLOCKED(vm, code.as_str()));
    }
    busy(vm, "VM", machine.get(VM::current_operations), &[])?;
    devices(view, machine, &rule("reverting", ANY, MACHINE).with_disks())
}

/// Ends the operations that a forced one does not wait for; their callers are told that they were cancelled.
pub fn supersede(draft: &mut Draft, vm: Ref) -> Result<(), ApiError> {
    let running = draft.get(vm, VM::current_operations, Map::clone)?;
    for task in running.keys().filter_map(|task| Ref::parse(task)) {
        operation::fail(draft, task, codes::TASK_CANCELLED(task))?;
    }
    // The event is a success: what ended on the way is in its tasks.
    draft.error.clear();
    Ok(())
}

/// `VM.update_allowed_operations`: they are always up to date, so this only looks again.
pub fn refresh(draft: &mut Draft, vm: Ref) -> Result<(), ApiError> {
    draft.find::<VM>(vm)?;
    operation::refresh(draft, ClassId::VM, vm);
    Ok(())
}
