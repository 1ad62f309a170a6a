//! Where a machine can run: what a host must have for it, and which host is
//! chosen. Reads one view; decides nothing but the place.

use super::{boot, memory};
use crate::command::attach;
use crate::command::device::usb;
use crate::command::network::{sriov, vif as interface};
use crate::command::storage::vbd;
use crate::error::{ApiError, codes};
use crate::model::{ClassId, PBD, PIF, SR, VBD, VDI, VIF, VM, host, host_metrics, network};
use crate::value::Ref;
use crate::views::{Object, View};
use std::cmp::Reverse;
use std::sync::Arc;

/// The host on which the machine is to start: the one asked for, or the one it likes, or the one with most room.
pub fn choose(view: &View, machine: &Object, asked: Option<Ref>) -> Result<Ref, ApiError> {
    if let Some(asked) = asked {
        assert_can_run(view, machine, asked)?;
        return Ok(asked);
    }
    let hosts: Vec<Ref> = view.all::<host>().map(|host| host.reference).collect();
    let mut refusals = Vec::new();
    let mut fitting = Vec::new();
    for host in hosts {
        match assert_can_run(view, machine, host) {
            Ok(()) => fitting.push(host),
            Err(error) => refusals.push(error),
        }
    }
    let liked = machine.get(VM::affinity);
    let best = |host: &Ref| (*host == liked, memory::free(view, *host), Reverse(*host));
    if let Some(host) = fitting.into_iter().max_by_key(best) {
        return Ok(host);
    }
    match refusals.as_slice() {
        [only] if !matches!(only.code, "HOST_DISABLED" | "HOST_NOT_LIVE") => Err(only.clone()),
        _ => Err(codes::NO_HOSTS_AVAILABLE()),
    }
}

/// The hosts on which the machine could start now.
pub fn possible(view: &View, machine: &Object) -> Vec<Ref> {
    let hosts = view.all::<host>().map(|host| host.reference);
    hosts.filter(|host| assert_can_run(view, machine, *host).is_ok()).collect()
}

/// Why the machine cannot run on that host now, if it cannot.
pub fn assert_can_run(view: &View, machine: &Object, on: Ref) -> Result<(), ApiError> {
    let found = view.find::<host>(on).ok_or_else(|| codes::HANDLE_INVALID("host", on))?;
    host_is_up(view, found)?;
    processor_fits(view, machine, found)?;
    disks_are_reachable(view, machine, on)?;
    networks_are_reachable(view, machine, on)?;
    usb::assert_reachable(view, machine, on)?;
    memory::assert_room(view, machine, on)
}

fn host_is_up(view: &View, on: &Object) -> Result<(), ApiError> {
    if !on.get(host::enabled) {
        return Err(codes::HOST_DISABLED(on.reference));
    }
    match view.find::<host_metrics>(on.get(host::metrics)) {
        Some(metrics) if !metrics.get(host_metrics::live) => Err(codes::HOST_NOT_LIVE()),
        _ => Ok(()),
    }
}

fn processor_fits(view: &View, machine: &Object, on: &Object) -> Result<(), ApiError> {
    let capabilities = on.get(host::capabilities);
    let hvm_capable = capabilities.iter().any(|capability| capability.as_str().starts_with("hvm"));
    if boot::is_hvm(machine) && !capabilities.is_empty() && !hvm_capable {
        return Err(codes::VM_HVM_REQUIRED(machine.reference));
    }
    let processors = view.far(host::host_CPUs, on.reference).len() as i64;
    let wanted = machine.get(VM::VCPUs_max);
    if processors > 0 && wanted > processors {
        return Err(codes::HOST_NOT_ENOUGH_PCPUS(wanted, processors));
    }
    Ok(())
}

fn disks_are_reachable(view: &View, machine: &Object, on: Ref) -> Result<(), ApiError> {
    let vm = machine.reference;
    for vbd in view.far(VM::VBDs, vm) {
        let disk = view.find::<VBD>(vbd).and_then(|vbd| view.find::<VDI>(vbd.get(VBD::VDI)));
        let Some(disk) = disk else { continue };
        let sr = disk.get(VDI::SR);
        if !attached(view, sr, on) {
            return Err(codes::VM_REQUIRES_SR(vm, sr));
        }
    }
    Ok(())
}

/// Whether the host has the storage repository plugged in.
pub fn attached(view: &View, sr: Ref, on: Ref) -> bool {
    let mut paths = view.far(SR::PBDs, sr).into_iter().filter_map(|pbd| view.find::<PBD>(pbd));
    paths.any(|path: &Arc<Object>| path.get(PBD::host) == on && path.get(PBD::currently_attached))
}

/// A network with no physical interface anywhere is made on each host by itself; any other needs one on this host.
fn networks_are_reachable(view: &View, machine: &Object, on: Ref) -> Result<(), ApiError> {
    let vm = machine.reference;
    for vif in view.far(VM::VIFs, vm) {
        let Some(wire) = view.find::<VIF>(vif).map(|vif| vif.get(VIF::network)) else { continue };
        let interfaces = view.far(network::PIFs, wire);
        let here = interfaces.iter().any(|pif| view.find::<PIF>(*pif).is_some_and(|pif| pif.get(PIF::host) == on));
        if !interfaces.is_empty() && !here {
            return Err(codes::VM_REQUIRES_NETWORK(vm, wire));
        }
        let beside = view.far(VM::VIFs, vm).into_iter().filter_map(|vif| view.find::<VIF>(vif));
        let needed = beside.filter(|vif| vif.get(VIF::network) == wire && !interface::holds(vif));
        sriov::assert_room(view, wire, on, needed.count() as i64)?;
    }
    Ok(())
}

/// What keeps a machine from having its disks, on whatever host: somebody else writes them, they cannot be written, or
/// they are about to be others: moved, written over, or gone.
pub fn assert_disks_free(view: &View, vm: Ref) -> Result<(), ApiError> {
    for vbd in view.far(VM::VBDs, vm) {
        let Some(device) = view.find::<VBD>(vbd) else { continue };
        let Some(disk) = view.find::<VDI>(device.get(VBD::VDI)) else { continue };
        if let Some((task, operation)) = attach::holder(ClassId::VDI, disk, &["copy"]) {
            return Err(attach::busy(ClassId::VDI, disk, operation, task));
        }
        vbd::check_sharing(view, vbd, disk, device.get(VBD::mode), "attach")?;
    }
    Ok(())
}
