//! VLANs: a device's traffic under one tag, as an interface of its own.

use super::pif;
use crate::command::draft::Fields;
use crate::command::{Call, Draft};
use crate::error::{ApiError, codes};
use crate::model::{PIF, PIF_metrics, VLAN, host, network};
use crate::value::{Ref, Value};

/// The tags that the standard leaves for use.
const TAGS: std::ops::RangeInclusive<i64> = 1..=4094;

pub fn create(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    add(draft, call.reference(0), call.int(1), call.reference(2)).map(|(vlan, _)| Value::Ref(vlan))
}

/// `PIF.create_VLAN`, which names the device instead of its interface.
pub fn create_on_device(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let (device, on) = (call.text(0), call.reference(2));
    draft.find::<host>(on)?;
    let own = draft.far(host::PIFs, on).into_iter().filter_map(|pif| draft.find::<PIF>(pif).ok());
    let mut untagged = own.filter(|pif| **pif.get(PIF::device) == *device && pif.get(PIF::VLAN) < 0);
    let carrier = untagged.next().map(|pif| pif.reference).ok_or_else(codes::PIF_DEVICE_NOT_FOUND)?;
    add(draft, carrier, call.int(3), call.reference(1)).map(|(_, pif)| Value::Ref(pif))
}

/// Adds a VLAN and its interface, which is up whenever the device that carries it is.
fn add(draft: &mut Draft, carrier: Ref, tag: i64, on: Ref) -> Result<(Ref, Ref), ApiError> {
    let device = draft.find::<PIF>(carrier)?;
    draft.find::<network>(on)?;
    if !TAGS.contains(&tag) {
        return Err(codes::VLAN_TAG_INVALID(tag));
    }
    if device.get(PIF::VLAN) >= 0 {
        return Err(codes::PIF_IS_VLAN(carrier));
    }
    if !device.get(PIF::bond_slave_of).is_null() {
        return Err(codes::CANNOT_ADD_VLAN_TO_BOND_SLAVE(carrier));
    }
    for other in draft.far(host::PIFs, device.get(PIF::host)) {
        let other = draft.find::<PIF>(other)?;
        if other.get(PIF::device) == device.get(PIF::device) && other.get(PIF::VLAN) == tag {
            return Err(codes::PIF_VLAN_EXISTS(other.reference));
        }
        if other.get(PIF::network) == on {
            return Err(codes::NETWORK_ALREADY_CONNECTED(on, other.reference));
        }
    }
    let metrics = draft.create(Fields::<PIF_metrics>::new());
    let (pif, vlan) = (draft.ids.draw(), draft.ids.draw());
    let interface = Fields::<PIF>::new()
        .with(PIF::device, device.get(PIF::device).clone())
        .with(PIF::network, on)
        .with(PIF::host, device.get(PIF::host))
        .with(PIF::MAC, device.get(PIF::MAC).clone())
        .with(PIF::MTU, device.get(PIF::MTU))
        .with(PIF::VLAN, tag)
        .with(PIF::metrics, metrics)
        .with(PIF::currently_attached, device.get(PIF::currently_attached))
        .with(PIF::VLAN_master_of, vlan);
    draft.create_as(pif, interface);
    let fields =
        Fields::<VLAN>::new().with(VLAN::tagged_PIF, carrier).with(VLAN::untagged_PIF, pif).with(VLAN::tag, tag);
    draft.create_as(vlan, fields);
    Ok((vlan, pif))
}

pub fn destroy(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let vlan = draft.find::<VLAN>(call.reference(0))?;
    let interface = draft.find::<PIF>(vlan.get(VLAN::untagged_PIF))?;
    if interface.get(PIF::management) {
        return Err(codes::PIF_IS_MANAGEMENT_INTERFACE(interface.reference));
    }
    pif::assert_unused(draft, &interface)?;
    draft.delete::<VLAN>(vlan.reference);
    pif::remove(draft, &interface);
    Ok(Value::Void)
}

/// `PIF.destroy`: only an interface that is a VLAN's can go this way.
pub fn destroy_interface(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let interface = draft.find::<PIF>(call.reference(0))?;
    let vlan = interface.get(PIF::VLAN_master_of);
    if vlan.is_null() {
        return Err(codes::PIF_IS_PHYSICAL(interface.reference));
    }
    destroy(draft, &Call { args: vec![Value::Ref(vlan)], ..call.clone() })
}
