//! Moving machines and their disks. A pool has one host, so a machine moves to
//! where it is: its domain is built anew around its memory, with new device
//! models, and its guest notices nothing. Its disks may go to other
//! repositories, while it runs.
//!
//! Must never know how a hypervisor does it.

use super::allowed::{self, bad_power_state, permit};
use super::{placement, state};
use crate::command::attach::object;
use crate::command::operation::{self, Begin, Ended};
use crate::command::storage::moves::{self, Move};
use crate::command::{Call, Draft, Reading};
use crate::error::{ApiError, codes};
use crate::model::{ClassId, PIF, VBD, VDI, VM, host, network, pool};
use crate::value::{Map, Ref, Value};
use crate::views::{Object, View};
use std::sync::Arc;

type Answer = Result<Value, ApiError>;

/// `VM.pool_migrate(vm, host, options)`
pub fn pool_migrate(draft: &mut Draft, call: &Call) -> Answer {
    let (vm, to) = (call.reference(0), call.reference(1));
    let machine = permit(draft, vm, "pool_migrate")?;
    draft.find::<host>(to)?;
    if machine.get(VM::resident_on) != to {
        return Err(stays(&machine, to, "no machine goes from one host to another here"));
    }
    renew(draft, call, to)
}

fn stays(machine: &Object, to: impl ToString, why: &str) -> ApiError {
    codes::VM_MIGRATE_FAILED(machine.reference, machine.get(VM::resident_on), to.to_string(), why)
}

/// `VM.restart_device_models(self)`
pub fn restart_device_models(draft: &mut Draft, call: &Call) -> Answer {
    let machine = permit(draft, call.reference(0), "pool_migrate")?;
    if machine.get(VM::power_state) != "Running" {
        return Err(super::allowed::bad_power_state(&machine, &["Running"]));
    }
    renew(draft, call, machine.get(VM::resident_on))
}

/// While both domains are there, both need their memory.
fn renew(draft: &mut Draft, call: &Call, on: Ref) -> Answer {
    let vm = call.reference(0);
    placement::assert_can_run(draft.view(), &*draft.find::<VM>(vm)?, on)?;
    operation::begin(draft, call, Begin::on(ClassId::VM, vm, "pool_migrate"))
}

pub fn renewed(draft: &mut Draft, ended: &Ended) -> Answer {
    state::renew(draft, ended.object, ended.facts.domid)?;
    Ok(Value::Void)
}

/// `host.migrate_receive(host, network, options)`: what `migrate_send` takes as its destination. A machine that comes
/// from this pool needs no way in, so there is no address of a service and no session in it.
pub fn migrate_receive(reading: &Reading<'_>, call: &Call) -> Answer {
    let view = reading.view;
    let (on, over) = (object::<host>(view, call.reference(0))?, object::<network>(view, call.reference(1))?);
    let pifs = view.far(network::PIFs, over.reference).into_iter().filter_map(|pif| view.find::<PIF>(pif));
    if !pifs.into_iter().any(|pif| pif.get(PIF::host) == on.reference && pif.get(PIF::currently_attached)) {
        return Err(codes::HOST_CANNOT_ATTACH_NETWORK(on.reference, over.reference));
    }
    let master = view.all::<pool>().next().map(|pool| pool.get(pool::master)).and_then(|host| view.find::<host>(host));
    let master = master.map(|master| master.get(host::address).to_string()).unwrap_or_default();
    Ok(Value::map([("host", Value::text(&on.reference.to_string())), ("master", Value::text(&master))]))
}

/// `VM.assert_can_migrate(vm, dest, live, vdi_map, vif_map, options, vgpu_map)`
pub fn assert_can_migrate(reading: &Reading<'_>, call: &Call) -> Answer {
    let machine = object::<VM>(reading.view, call.reference(0))?;
    disks_to_move(reading.view, machine, call).map(|_| Value::Void)
}

/// `VM.migrate_send(vm, dest, live, vdi_map, vif_map, options, vgpu_map, vdi_format_map)`
pub fn migrate_send(draft: &mut Draft, call: &Call) -> Answer {
    let machine = draft.find::<VM>(call.reference(0))?;
    let moves = disks_to_move(draft.view(), &machine, call)?;
    let vm = machine.reference;
    let locks = moves.iter().flat_map(Move::locks);
    let also: Vec<_> = locks.filter(|(_, held, _)| *held != vm).collect();
    let disks = moves.iter().map(|one| one.work(draft)).collect();
    operation::begin(draft, call, Begin { also: &also, disks, ..Begin::on(ClassId::VM, vm, "migrate_send") })
}

/// Whether the machine can go as the call says, and which of its disks do.
fn disks_to_move(view: &View, machine: &Object, call: &Call) -> Result<Vec<Move>, ApiError> {
    let given = |at: usize| call.args[at].as_map();
    let to = destination(view, machine, given(1))?;
    allowed::check(view, machine, "migrate_send")?;
    let runs = machine.get(VM::power_state) != "Halted";
    if runs && !call.bool(2) {
        return Err(bad_power_state(machine, &["Halted"]));
    }
    nothing_else_changes(given(4), given(5), given(6))?;
    let own = disks(view, machine);
    let mut wanted = Vec::new();
    for (vdi, sr) in given(3).iter() {
        let vdi = Ref::parse(vdi).filter(|vdi| own.contains(vdi));
        let vdi = vdi.ok_or_else(|| codes::INVALID_VALUE("vdi_map", "a disk that the machine does not have"))?;
        if object::<VDI>(view, vdi)?.get(VDI::SR) != sr.as_ref() {
            wanted.push((vdi, sr.as_ref()));
        }
    }
    let moves: Vec<Move> = wanted.into_iter().map(|(vdi, sr)| moves::check(view, vdi, sr)).collect::<Result<_, _>>()?;
    moves::assert_room(&moves)?;
    if moves.is_empty() && runs {
        placement::assert_can_run(view, machine, to)?;
    }
    Ok(moves)
}

/// The host that `migrate_receive` told of: one that has the machine, or may have it.
fn destination(view: &View, machine: &Object, dest: &Map) -> Result<Ref, ApiError> {
    let named = dest.get("host").map(Value::as_str).ok_or_else(|| codes::INVALID_VALUE("dest", "it names no host"))?;
    let Some(to) = Ref::parse(named).filter(|to| view.find::<host>(*to).is_some()) else {
        return Err(stays(machine, named, "that host is not of this pool"));
    };
    let on = machine.get(VM::resident_on);
    match on.is_null() || on == to {
        true => Ok(to),
        false => Err(stays(machine, to, "no machine goes from one host to another here")),
    }
}

/// Inside a pool a machine keeps its networks and its processors, and goes rather than being copied.
fn nothing_else_changes(vif_map: &Map, options: &Map, vgpu_map: &Map) -> Result<(), ApiError> {
    let refused = |what: &str| Err(codes::OPERATION_NOT_ALLOWED(format!("inside a pool {what}")));
    if !vif_map.is_empty() {
        return refused("interfaces keep their networks: VIF.move moves one");
    }
    if !vgpu_map.is_empty() {
        return refused("no graphics processor changes");
    }
    match options.get("copy").is_some_and(|copy| copy.as_str() == "true") {
        true => refused("a machine moves: VM.copy makes another"),
        false => Ok(()),
    }
}

fn disks(view: &View, machine: &Object) -> Vec<Ref> {
    let devices = view.far(VM::VBDs, machine.reference).into_iter().filter_map(|vbd| view.find::<VBD>(vbd));
    let disks = devices.filter(|device: &&Arc<Object>| device.get(VBD::r#type) == "Disk");
    disks.map(|device| device.get(VBD::VDI)).filter(|disk| !disk.is_null()).collect()
}

pub fn sent(draft: &mut Draft, ended: &Ended) -> Answer {
    if ended.disks.is_empty() && ended.facts.domid.is_some() {
        state::renew(draft, ended.object, ended.facts.domid)?;
    }
    let told = ended.facts.physical_bytes.filter(|_| ended.disks.len() == 1);
    for made in &ended.disks {
        moves::moved(draft, made, told)?;
    }
    Ok(Value::Ref(ended.object))
}
