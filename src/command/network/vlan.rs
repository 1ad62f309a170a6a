//! VLANs: a device's traffic under one tag, as an interface of its own.

use super::pif;
use crate::command::draft::Fields;
use crate::command::{Call, Draft};
use crate::error::{ApiError, codes};
use crate::model::{PIF, PIF_metrics, VLAN, host, network};
use crate::value::{Ref, Value};
use crate::views::Object;

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

/// `pool.create_VLAN`: on the device of that name of every host; all or none.
pub fn create_in_pool(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let device = call.text(0).to_string();
    let carries = |pif: &Object| **pif.get(PIF::device) == *device && pif.get(PIF::VLAN) < 0;
    add_to_hosts(draft, call, carries)
}

/// `pool.create_VLAN_from_PIF`: on every host, on the interface that is on the same network as this one.
pub fn create_beside(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let pattern = draft.find::<PIF>(call.reference(0))?;
    let (tag, on) = (pattern.get(PIF::VLAN), pattern.get(PIF::network));
    if tag >= 0 {
        return Err(codes::PIF_IS_VLAN(pattern.reference));
    }
    add_to_hosts(draft, call, |pif| pif.get(PIF::network) == on)
}

fn add_to_hosts(draft: &mut Draft, call: &Call, carries: impl Fn(&Object) -> bool) -> Result<Value, ApiError> {
    let hosts: Vec<Ref> = draft.view().all::<host>().map(|held| held.reference).collect();
    let mut made = Vec::new();
    for here in hosts {
        let own = draft.far(host::PIFs, here).into_iter().filter_map(|pif| draft.find::<PIF>(pif).ok());
        let carrier = own.into_iter().find(|pif| carries(pif)).ok_or_else(codes::PIF_DEVICE_NOT_FOUND)?;
        made.push(add(draft, carrier.reference, call.int(2), call.reference(1))?.1);
    }
    Ok(Value::set(made.into_iter().map(Value::Ref)))
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
    if !draft.far(PIF::tunnel_access_PIF_of, carrier).is_empty() {
        return Err(codes::IS_TUNNEL_ACCESS_PIF(carrier));
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
