//! Networks of virtual functions: a card that machines have a piece of each,
//! without a bridge between. There are only so many pieces.
//!
//! ```text
//!   VIF ──▶ network ◀── logical PIF ◀── network_sriov ──▶ physical PIF ──▶ PCI (virtual functions)
//! ```

use super::{bridge, pif};
use crate::command::attach::object;
use crate::command::draft::Fields;
use crate::command::{Call, Draft, Reading, operation};
use crate::error::{ApiError, codes};
use crate::model::{ClassId, PCI, PIF, PIF_metrics, VIF, VM, network, network_sriov};
use crate::value::{Ref, Value};
use crate::views::{Object, View};

/// What a card can do that offers virtual functions.
pub const CAPABILITY: &str = "sriov";

pub fn create(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let (card, on) = (pif::idle(draft, call.reference(0))?, call.reference(1));
    bridge::assert_managed(&*draft.find::<network>(on)?)?;
    let own = card.reference;
    if !card.get(PIF::physical) {
        return Err(codes::PIF_IS_NOT_PHYSICAL(own));
    }
    if !card.get(PIF::managed) {
        return Err(codes::PIF_UNMANAGED(own));
    }
    if !card.get(PIF::capabilities).iter().any(|capability| capability.as_str() == CAPABILITY) {
        return Err(codes::PIF_IS_NOT_SRIOV_CAPABLE(own));
    }
    if !draft.far(PIF::sriov_physical_PIF_of, own).is_empty() {
        return Err(codes::NETWORK_SRIOV_ALREADY_ENABLED(own));
    }
    pif::assert_not_connected(draft, card.get(PIF::host), on)?;
    let metrics = draft.create(Fields::<PIF_metrics>::new().with(PIF_metrics::pci_bus_path, "N/A"));
    let logical = Fields::<PIF>::new()
        .with(PIF::device, pif::free_device(draft, card.get(PIF::host), "sriov"))
        .with(PIF::network, on)
        .with(PIF::host, card.get(PIF::host))
        .with(PIF::MAC, card.get(PIF::MAC).clone())
        .with(PIF::MTU, card.get(PIF::MTU))
        .with(PIF::VLAN, -1)
        .with(PIF::metrics, metrics)
        .with(PIF::currently_attached, card.get(PIF::currently_attached));
    let logical = draft.create(logical);
    let fields = Fields::<network_sriov>::new()
        .with(network_sriov::physical_PIF, own)
        .with(network_sriov::logical_PIF, logical)
        .with(network_sriov::configuration_mode, "sysfs");
    let made = draft.create(fields);
    look_again(draft, on)?;
    Ok(Value::Ref(made))
}

/// What may be done to the interfaces on the network, and to their machines, follows from what is behind it.
fn look_again(draft: &mut Draft, lan: Ref) -> Result<(), ApiError> {
    for vif in draft.far(network::VIFs, lan) {
        let vm = draft.get(vif, VIF::VM, |vm| vm)?;
        operation::refresh(draft, ClassId::VIF, vif);
        operation::refresh(draft, ClassId::VM, vm);
    }
    Ok(())
}

/// The interfaces that share what is behind the network, so that what one takes the others lack.
pub fn sharing(view: &View, lan: Ref) -> Vec<(ClassId, Ref)> {
    let pifs = view.far(network::PIFs, lan);
    match pifs.iter().any(|pif| !view.far(PIF::sriov_logical_PIF_of, *pif).is_empty()) {
        true => view.far(network::VIFs, lan).into_iter().map(|vif| (ClassId::VIF, vif)).collect(),
        false => Vec::new(),
    }
}

pub fn destroy(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let own = draft.find::<network_sriov>(call.reference(0))?;
    let logical = pif::idle(draft, own.get(network_sriov::logical_PIF))?;
    if !draft.far(PIF::VLAN_slave_of, logical.reference).is_empty() {
        return Err(codes::PIF_VLAN_STILL_EXISTS(logical.reference));
    }
    pif::assert_unused(draft, &logical)?;
    draft.delete::<network_sriov>(own.reference);
    pif::remove(draft, &logical);
    look_again(draft, logical.get(PIF::network))?;
    Ok(Value::Void)
}

pub fn remaining(reading: &Reading<'_>, call: &Call) -> Result<Value, ApiError> {
    let own = object::<network_sriov>(reading.view, call.reference(0))?;
    Ok(Value::Int(left(reading.view, own)))
}

/// Pieces of the card that no machine has.
fn left(view: &View, own: &Object) -> i64 {
    let card = view.find::<PIF>(own.get(network_sriov::physical_PIF));
    let card = card.and_then(|pif| view.find::<PCI>(pif.get(PIF::PCI)));
    let Some(logical) = view.find::<PIF>(own.get(network_sriov::logical_PIF)) else { return 0 };
    let on = logical.get(PIF::host);
    let vifs = view.far(network::VIFs, logical.get(PIF::network)).into_iter().filter_map(|vif| view.find::<VIF>(vif));
    let here = |vif: &&std::sync::Arc<Object>| {
        let machine = view.find::<VM>(vif.get(VIF::VM));
        machine.is_some_and(|vm| [vm.get(VM::resident_on), vm.get(VM::scheduled_to_be_resident_on)].contains(&on))
    };
    let used = vifs.filter(|vif| super::vif::holds(vif)).filter(here).count() as i64;
    (card.map_or(0, |card| card.get(PCI::virtual_functions)) - used).max(0)
}

/// The virtual functions behind a network on one host, if that is what is behind it.
fn behind(view: &View, lan: Ref, on: Ref) -> Option<&std::sync::Arc<Object>> {
    let pifs = view.far(network::PIFs, lan).into_iter();
    let mut here = pifs.filter(|pif| view.find::<PIF>(*pif).is_some_and(|pif| pif.get(PIF::host) == on));
    here.find_map(|pif| view.find::<network_sriov>(*view.far(PIF::sriov_logical_PIF_of, pif).first()?))
}

/// Whether so many interfaces more find room on the network; any other kind of network always has room.
pub fn assert_room(view: &View, lan: Ref, on: Ref, needed: i64) -> Result<(), ApiError> {
    match behind(view, lan, on) {
        Some(own) if left(view, own) < needed => Err(codes::NETWORK_SRIOV_INSUFFICIENT_CAPACITY(lan)),
        _ => Ok(()),
    }
}

/// Whether a machine that runs has a piece of a card, which it cannot take along.
pub fn is_bound(view: &View, machine: &Object) -> bool {
    let on = machine.get(VM::resident_on);
    let vifs = view.far(VM::VIFs, machine.reference).into_iter().filter_map(|vif| view.find::<VIF>(vif));
    !on.is_null() && vifs.into_iter().any(|vif| behind(view, vif.get(VIF::network), on).is_some())
}
