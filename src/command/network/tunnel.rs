//! Tunnels: a network between hosts, whose packets go inside another
//! interface's. Machines meet it through an interface of its own.

use super::{bridge, pif};
use crate::command::draft::Fields;
use crate::command::{Call, Draft};
use crate::error::{ApiError, codes};
use crate::model::{PIF, PIF_metrics, host, network, tunnel};
use crate::value::{Ref, Value};
use crate::views::Object;

/// Bytes that wrapping a packet takes.
const WRAPPING: i64 = 50;

pub fn create(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let (carrier, on) = (draft.find::<PIF>(call.reference(0))?, call.reference(1));
    let lan = draft.find::<network>(on)?;
    bridge::assert_managed(&lan)?;
    assert_carries(draft, &carrier)?;
    pif::assert_not_connected(draft, carrier.get(PIF::host), on)?;
    let (access, made) = (draft.ids.draw(), draft.ids.draw());
    let metrics = draft.create(Fields::<PIF_metrics>::new().with(PIF_metrics::pci_bus_path, "N/A"));
    let fields = Fields::<PIF>::new()
        .with(PIF::device, pif::free_device(draft, carrier.get(PIF::host), "tunnel"))
        .with(PIF::network, on)
        .with(PIF::host, carrier.get(PIF::host))
        .with(PIF::MAC, carrier.get(PIF::MAC).clone())
        .with(PIF::MTU, (carrier.get(PIF::MTU) - WRAPPING).max(0))
        .with(PIF::VLAN, -1)
        .with(PIF::metrics, metrics)
        .with(PIF::currently_attached, carrier.get(PIF::currently_attached));
    draft.create_as(access, fields);
    let fields = Fields::<tunnel>::new()
        .with(tunnel::access_PIF, access)
        .with(tunnel::transport_PIF, carrier.reference)
        .with(tunnel::protocol, call.args[2].clone());
    draft.create_as(made, fields);
    tell(draft, made, carrier.get(PIF::currently_attached));
    Ok(Value::Ref(made))
}

/// Only a virtual switch wraps packets, and only over an interface that has an address.
fn assert_carries(draft: &Draft, carrier: &Object) -> Result<(), ApiError> {
    let own = carrier.reference;
    let switched = |version: Option<&Value>| version.is_some_and(|backend| backend.as_str() == "openvswitch");
    for held in draft.view().all::<host>() {
        if !switched(held.get(host::software_version).get("network_backend")) {
            return Err(codes::OPENVSWITCH_NOT_ACTIVE());
        }
    }
    if !carrier.get(PIF::managed) {
        return Err(codes::PIF_UNMANAGED(own));
    }
    if !carrier.get(PIF::bond_slave_of).is_null() {
        return Err(codes::CANNOT_ADD_TUNNEL_TO_BOND_SLAVE(own));
    }
    if !draft.far(PIF::sriov_logical_PIF_of, own).is_empty() {
        return Err(codes::CANNOT_ADD_TUNNEL_TO_SRIOV_LOGICAL(own));
    }
    if !draft.far(PIF::tunnel_access_PIF_of, own).is_empty() {
        return Err(codes::IS_TUNNEL_ACCESS_PIF(own));
    }
    assert_configured(carrier)
}

/// An interface without an address has nowhere to send a tunnel's packets from.
pub fn assert_configured(carrier: &Object) -> Result<(), ApiError> {
    let silent =
        carrier.get(PIF::ip_configuration_mode) == "None" && carrier.get(PIF::ipv6_configuration_mode) == "None";
    if silent { Err(codes::TRANSPORT_PIF_NOT_CONFIGURED(carrier.reference)) } else { Ok(()) }
}

/// Says whether the tunnel works; the key tells its packets from those of others.
pub fn tell(draft: &mut Draft, own: Ref, active: bool) {
    let key = own.uuid_text();
    let status = match active {
        true => Value::map([("active", Value::text("true")), ("key", Value::text(&key))]),
        false => Value::map([("active", Value::text("false"))]),
    };
    draft.set(own, tunnel::status, status);
}

pub fn destroy(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let own = draft.find::<tunnel>(call.reference(0))?;
    let access = pif::idle(draft, own.get(tunnel::access_PIF))?;
    if access.get(PIF::management) {
        return Err(codes::PIF_IS_MANAGEMENT_INTERFACE(access.reference));
    }
    pif::assert_unused(draft, &access)?;
    draft.delete::<tunnel>(own.reference);
    pif::remove(draft, &access);
    Ok(Value::Void)
}
