//! Which interface clients reach a host by, if any. The listeners are where the
//! server was told to listen; they are open while there is one.

use crate::command::{Call, Draft};
use crate::error::{ApiError, codes};
use crate::model::{PIF, host, network};
use crate::value::{Ref, Value};
use crate::views::Object;
use std::sync::Arc;

pub fn reconfigure(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let chosen = draft.find::<PIF>(call.reference(0))?;
    assert_reachable(draft, &chosen)?;
    choose(draft, &chosen);
    Ok(Value::Void)
}

/// `host.local_management_reconfigure`: the interface by its device or its bridge.
pub fn reconfigure_local(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let name = call.text(0);
    let bridge =
        |pif: &Object| draft.find::<network>(pif.get(PIF::network)).ok().map(|lan| lan.get(network::bridge).clone());
    let named = |pif: &&Arc<Object>| {
        let untagged = pif.get(PIF::VLAN) < 0 && **pif.get(PIF::device) == *name;
        untagged || bridge(pif).is_some_and(|bridge| *bridge == *name)
    };
    let chosen = draft.view().all::<PIF>().find(named).cloned().ok_or_else(codes::PIF_DEVICE_NOT_FOUND)?;
    assert_reachable(draft, &chosen)?;
    choose(draft, &chosen);
    Ok(Value::Void)
}

/// `pool.management_reconfigure`: on every host the interface that is on the network; all or none.
pub fn reconfigure_pool(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let on = draft.find::<network>(call.reference(0))?.reference;
    let hosts: Vec<Ref> = draft.view().all::<host>().map(|held| held.reference).collect();
    let mut chosen = Vec::new();
    for here in hosts {
        let own = draft.far(host::PIFs, here).into_iter().filter_map(|pif| draft.find::<PIF>(pif).ok());
        let there = own.into_iter().find(|pif| pif.get(PIF::network) == on);
        let there = there.ok_or_else(|| codes::PIF_NOT_PRESENT(here, on))?;
        assert_reachable(draft, &there)?;
        chosen.push(there);
    }
    chosen.iter().for_each(|pif| choose(draft, pif));
    Ok(Value::Void)
}

/// `host.management_disable`: clients do not reach the host any more.
pub fn disable(draft: &mut Draft, here: Ref) -> Result<Value, ApiError> {
    for pif in draft.far(host::PIFs, here) {
        draft.set(pif, PIF::management, false);
    }
    draft.set(here, host::management_disabled, true);
    Ok(Value::Void)
}

fn managing(draft: &Draft, here: Ref) -> Option<Arc<Object>> {
    let own = draft.far(host::PIFs, here).into_iter().filter_map(|pif| draft.find::<PIF>(pif).ok());
    own.into_iter().find(|pif| pif.get(PIF::management))
}

/// Clients can reach the interface: it has an address, of the kind that clients know the host by.
fn assert_reachable(draft: &Draft, chosen: &Object) -> Result<(), ApiError> {
    let own = chosen.reference;
    if !chosen.get(PIF::bond_slave_of).is_null() {
        return Err(codes::CANNOT_PLUG_BOND_SLAVE(own));
    }
    let kind = chosen.get(PIF::primary_address_type);
    if managing(draft, chosen.get(PIF::host)).is_some_and(|now| now.get(PIF::primary_address_type) != kind) {
        return Err(codes::PIF_INCOMPATIBLE_PRIMARY_ADDRESS_TYPE(own));
    }
    match kind {
        "IPv4" if chosen.get(PIF::ip_configuration_mode) == "None" => Err(codes::PIF_HAS_NO_NETWORK_CONFIGURATION(own)),
        "IPv6" if chosen.get(PIF::ipv6_configuration_mode) == "None" => {
            Err(codes::PIF_HAS_NO_V6_NETWORK_CONFIGURATION(own))
        }
        _ if address_of(chosen).is_empty() => Err(codes::INTERFACE_HAS_NO_IP(chosen.get(PIF::device))),
        _ => Ok(()),
    }
}

fn address_of(pif: &Object) -> String {
    match pif.get(PIF::primary_address_type) {
        "IPv4" => pif.get(PIF::IP).to_string(),
        _ => {
            let first = pif.get(PIF::IPv6).first().map(Value::as_str).unwrap_or_default();
            first.split('/').next().unwrap_or_default().to_string()
        }
    }
}

fn choose(draft: &mut Draft, chosen: &Object) {
    let here = chosen.get(PIF::host);
    for pif in draft.far(host::PIFs, here) {
        draft.set(pif, PIF::management, pif == chosen.reference);
    }
    draft.set(chosen.reference, PIF::currently_attached, true);
    draft.set(here, host::address, address_of(chosen));
    draft.set(here, host::management_disabled, false);
}
