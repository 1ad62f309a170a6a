//! The interfaces of hosts.

use super::address::{self, Family};
use super::bridge;
use crate::command::device::pci;
use crate::command::draft::Fields;
use crate::command::operation::{self, Begin, Ended};
use crate::command::{Call, Draft, generic};
use crate::error::{ApiError, codes};
use crate::model::{Bond, ClassId, MODEL, PIF, PIF_metrics, VIF, VM, host, network, task, tunnel};
use crate::value::{Ref, Value};
use crate::views::Object;
use std::collections::BTreeSet;
use std::sync::Arc;

/// How many interfaces of a host one scan may bring.
pub const FOUND_MAX: usize = 64;
/// The `VLAN` of an interface without a tag.
const UNTAGGED: i64 = -1;

/// A PIF has no `current_operations`; a pending task about it, or one that was given it, holds it all the same.
pub fn idle(draft: &Draft, pif: Ref) -> Result<Arc<Object>, ApiError> {
    let found = draft.find::<PIF>(pif)?;
    let (about, given) = (pif.to_string(), pif.uuid_text());
    let is_about = |task: &Object| **task.get(task::object) == *about || task.get(task::arguments).contains(&given);
    let others = draft.view().all::<task>().filter(|task| Some(task.reference) != draft.task);
    let mut pending = others.filter(|task| task.get(task::status) == "pending");
    match pending.find(|task| is_about(task)) {
        Some(task) => {
            let operation = task.get(task::operation);
            Err(codes::OTHER_OPERATION_IN_PROGRESS("PIF", pif, operation, task.reference))
        }
        None => Ok(found),
    }
}

/// The PIF, if this server is to care for it.
fn managed(draft: &Draft, call: &Call) -> Result<Arc<Object>, ApiError> {
    let pif = idle(draft, call.reference(0))?;
    if pif.get(PIF::managed) { Ok(pif) } else { Err(codes::PIF_UNMANAGED(pif.reference)) }
}

/// The network of a device that is new: `eth3` is on `xenbr3`, with the devices of that name on other hosts.
fn network_of(draft: &mut Draft, device: &str) -> Ref {
    let digits = device.trim_start_matches(|c: char| !c.is_ascii_digit());
    let plain = digits.parse::<u32>().is_ok() && device.starts_with("eth");
    let bridge = if plain { format!("xenbr{digits}") } else { format!("br{device}") };
    let bridge: String = bridge.chars().take(bridge::NAME_MAX).collect();
    let known = draft.view().all::<network>().find(|network| **network.get(network::bridge) == *bridge);
    if let Some(network) = known {
        return network.reference;
    }
    let fields = Fields::<network>::new()
        .with(network::name_label, format!("Pool-wide network associated with {device}"))
        .with(network::bridge, bridge);
    draft.create(fields)
}

/// Adds a physical interface of a host.
fn add(draft: &mut Draft, on: Ref, device: &str, mac: &str, managed: bool) -> Ref {
    let own = network_of(draft, device);
    let metrics = draft.create(Fields::<PIF_metrics>::new());
    let card = pci::card_of(draft, on, device).unwrap_or(Ref::NULL);
    let fields = Fields::<PIF>::new()
        .with(PIF::PCI, card)
        .with(PIF::capabilities, pci::capabilities(draft, card))
        .with(PIF::device, device)
        .with(PIF::network, own)
        .with(PIF::host, on)
        .with(PIF::MAC, mac.to_ascii_lowercase())
        .with(PIF::MTU, 1500)
        .with(PIF::VLAN, -1)
        .with(PIF::metrics, metrics)
        .with(PIF::physical, true)
        .with(PIF::currently_attached, false)
        .with(PIF::managed, managed);
    draft.create(fields)
}

/// The host's physical interface that fits.
fn physical(draft: &Draft, on: Ref, fits: impl Fn(&Object) -> bool) -> Option<Ref> {
    let own = draft.far(host::PIFs, on).into_iter().filter_map(|pif| draft.find::<PIF>(pif).ok());
    let mut physical = own.filter(|pif| pif.get(PIF::physical));
    physical.find(|pif| fits(pif)).map(|pif| pif.reference)
}

pub fn introduce(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let (on, mac, device) = (call.reference(0), call.text(1).to_ascii_lowercase(), call.text(2));
    draft.find::<host>(on)?;
    address::assert_mac(&mac)?;
    if physical(draft, on, |pif| **pif.get(PIF::MAC) == *mac).is_some() {
        return Err(codes::MAC_STILL_EXISTS(mac));
    }
    let device = if device.is_empty() { free_device(draft, on, "eth") } else { device.to_string() };
    if taken(draft, on, &device, UNTAGGED).is_some() {
        return Err(codes::DUPLICATE_PIF_DEVICE_NAME(device));
    }
    Ok(Value::Ref(add(draft, on, &device, &mac, call.bool(3))))
}

/// The interface of the host that has that device and that tag; no two may.
fn taken(draft: &Draft, on: Ref, device: &str, tag: i64) -> Option<Ref> {
    let own = draft.far(host::PIFs, on).into_iter().filter_map(|pif| draft.find::<PIF>(pif).ok());
    let mut same = own.filter(|pif| **pif.get(PIF::device) == *device && pif.get(PIF::VLAN) == tag);
    same.next().map(|pif| pif.reference)
}

/// A name that no interface of the host has: `eth2`, `bond0`.
pub fn free_device(draft: &Draft, on: Ref, kind: &str) -> String {
    let own = draft.far(host::PIFs, on).into_iter().filter_map(|pif| draft.find::<PIF>(pif).ok());
    let taken: BTreeSet<String> = own.map(|pif| pif.get(PIF::device).to_string()).collect();
    let mut names = (0..).map(|number: u32| format!("{kind}{number}"));
    names.find(|name| !taken.contains(name)).expect("BUG: there are more numbers than interfaces")
}

/// No interface of the host is on the network yet: each network meets a host once.
pub fn assert_not_connected(draft: &Draft, on: Ref, lan: Ref) -> Result<(), ApiError> {
    for pif in draft.far(host::PIFs, on) {
        if draft.get(pif, PIF::network, |network| network)? == lan {
            return Err(codes::NETWORK_ALREADY_CONNECTED(lan, pif));
        }
    }
    Ok(())
}

/// One interface takes over another's addresses, and the clients that come by it.
pub fn move_addresses(draft: &mut Draft, from: Ref, to: Ref) -> Result<(), ApiError> {
    let source = draft.find::<PIF>(from)?;
    let plain = crate::value::default_record(ClassId::PIF);
    const MOVED: [usize; 10] = [
        PIF::ip_configuration_mode.index,
        PIF::IP.index,
        PIF::netmask.index,
        PIF::gateway.index,
        PIF::DNS.index,
        PIF::ipv6_configuration_mode.index,
        PIF::IPv6.index,
        PIF::ipv6_gateway.index,
        PIF::primary_address_type.index,
        PIF::management.index,
    ];
    for field in MOVED {
        draft.set_field(ClassId::PIF, to, field, source.record[field].clone());
        draft.set_field(ClassId::PIF, from, field, plain[field].clone());
    }
    Ok(())
}

/// `PIF.db_introduce`: the record as it is told, without a look at the host.
pub fn db_introduce(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let metrics = draft.create(Fields::<PIF_metrics>::new());
    let mut fields = Fields::<PIF>::new().with(PIF::metrics, metrics).with(PIF::currently_attached, false);
    for (param, value) in call.message.params.iter().zip(&call.args) {
        let field = MODEL.field(ClassId::PIF, param.name).expect("BUG: every argument is a field");
        generic::check_references(draft, ClassId::PIF, field, value)?;
        fields.record[field] = value.clone();
    }
    let (mac, tag) = (fields.record[PIF::MAC.index].as_str(), &fields.record[PIF::VLAN.index]);
    address::assert_mac(mac)?;
    if !matches!(tag, Value::Int(-1..=4094)) {
        return Err(codes::VLAN_TAG_INVALID(call.int(5)));
    }
    let (device, tag) = (call.text(0), call.int(5));
    match taken(draft, call.reference(2), device, tag) {
        Some(_) if tag == UNTAGGED => return Err(codes::DUPLICATE_PIF_DEVICE_NAME(device)),
        Some(other) => return Err(codes::PIF_VLAN_EXISTS(other)),
        None => {}
    }
    Ok(Value::Ref(draft.create(fields)))
}

/// `PIF.db_forget`: whatever the host has.
pub fn db_forget(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let pif = idle(draft, call.reference(0))?;
    remove(draft, &pif);
    Ok(Value::Void)
}

pub fn forget(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let pif = idle(draft, call.reference(0))?;
    if !pif.get(PIF::physical) {
        return Err(codes::PIF_IS_NOT_PHYSICAL(pif.reference));
    }
    if pif.get(PIF::management) {
        return Err(codes::PIF_IS_MANAGEMENT_INTERFACE(pif.reference));
    }
    if !pif.get(PIF::bond_slave_of).is_null() {
        return Err(codes::PIF_ALREADY_BONDED(pif.reference));
    }
    if !draft.far(PIF::VLAN_slave_of, pif.reference).is_empty() {
        return Err(codes::PIF_VLAN_STILL_EXISTS(pif.reference));
    }
    if !draft.far(PIF::tunnel_transport_PIF_of, pif.reference).is_empty() {
        return Err(codes::PIF_TUNNEL_STILL_EXISTS(pif.reference));
    }
    if !draft.far(PIF::sriov_physical_PIF_of, pif.reference).is_empty() {
        return Err(codes::PIF_SRIOV_STILL_EXISTS(pif.reference));
    }
    assert_unused(draft, &pif)?;
    remove(draft, &pif);
    Ok(Value::Void)
}

/// Takes the interface away, with its metrics.
pub fn remove(draft: &mut Draft, pif: &Object) {
    draft.delete::<PIF>(pif.reference);
    draft.delete::<PIF_metrics>(pif.get(PIF::metrics));
}

/// No machine on the interface's host is on its network.
pub fn assert_unused(draft: &Draft, pif: &Object) -> Result<(), ApiError> {
    for vif in draft.far(network::VIFs, pif.get(PIF::network)) {
        let device = draft.find::<VIF>(vif)?;
        let machine = draft.find::<VM>(device.get(VIF::VM))?;
        if super::vif::holds(&device) && machine.get(VM::resident_on) == pif.get(PIF::host) {
            return Err(codes::VIF_IN_USE(pif.get(PIF::network), vif));
        }
    }
    Ok(())
}

pub fn begin_scan(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let on = draft.find::<host>(call.reference(0))?.reference;
    operation::begin(draft, call, Begin::about(ClassId::host, on))
}

/// Devices that are new to us appear; what is known stays, since it may only be unplugged.
pub fn scanned(draft: &mut Draft, ended: &Ended) -> Result<Value, ApiError> {
    let on = ended.object;
    draft.find::<host>(on)?;
    for (device, mac) in ended.facts.interfaces.iter().take(FOUND_MAX) {
        if taken(draft, on, device, UNTAGGED).is_none() {
            add(draft, on, device, mac, true);
        }
    }
    for (device, _) in ended.facts.interfaces.iter().take(FOUND_MAX) {
        if let Some(pif) = physical(draft, on, |pif| **pif.get(PIF::device) == **device) {
            linked(draft, pif, ended.facts.of_host.links.contains(device))?;
        }
    }
    Ok(Value::Void)
}

/// A device has a link, or has none; a bond that it is part of counts.
fn linked(draft: &mut Draft, pif: Ref, link: bool) -> Result<(), ApiError> {
    let device = draft.find::<PIF>(pif)?;
    if draft.find::<PIF_metrics>(device.get(PIF::metrics)).is_ok() {
        draft.set(device.get(PIF::metrics), PIF_metrics::carrier, link);
    }
    let bond = device.get(PIF::bond_slave_of);
    if draft.find::<Bond>(bond).is_ok() {
        let members = draft.far(Bond::slaves, bond).into_iter().filter_map(|member| draft.find::<PIF>(member).ok());
        let up = super::bond::links_up(draft, &members.collect::<Vec<_>>());
        draft.set(bond, Bond::links_up, up);
    }
    Ok(())
}

pub fn begin_plug(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let pif = managed(draft, call)?;
    if draft.find::<Bond>(pif.get(PIF::bond_slave_of)).is_ok() {
        return Err(codes::CANNOT_PLUG_BOND_SLAVE(pif.reference));
    }
    for inside in draft.far(PIF::tunnel_access_PIF_of, pif.reference) {
        let carrier = draft.get(inside, tunnel::transport_PIF, |carrier| carrier)?;
        super::tunnel::assert_configured(&*draft.find::<PIF>(carrier)?)?;
    }
    if pif.get(PIF::currently_attached) {
        return Ok(Value::Void);
    }
    operation::begin(draft, call, Begin::about(ClassId::PIF, pif.reference))
}

pub fn plugged(draft: &mut Draft, ended: &Ended) -> Result<Value, ApiError> {
    attach(draft, ended.object, true)
}

pub fn begin_unplug(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let pif = managed(draft, call)?;
    if pif.get(PIF::management) {
        return Err(codes::PIF_IS_MANAGEMENT_INTERFACE(pif.reference));
    }
    if pif.get(PIF::disallow_unplug) {
        return Err(codes::PIF_DOES_NOT_ALLOW_UNPLUG(pif.reference));
    }
    assert_unused(draft, &pif)?;
    if !pif.get(PIF::currently_attached) {
        return Ok(Value::Void);
    }
    operation::begin(draft, call, Begin::about(ClassId::PIF, pif.reference))
}

pub fn unplugged(draft: &mut Draft, ended: &Ended) -> Result<Value, ApiError> {
    attach(draft, ended.object, false)
}

/// The interface is up or down, and with it the devices that it stands for and the tunnel whose end it is.
fn attach(draft: &mut Draft, pif: Ref, up: bool) -> Result<Value, ApiError> {
    draft.find::<PIF>(pif)?;
    draft.set(pif, PIF::currently_attached, up);
    for bond in draft.far(PIF::bond_master_of, pif) {
        for member in draft.far(Bond::slaves, bond) {
            draft.set(member, PIF::currently_attached, up);
        }
    }
    for inside in draft.far(PIF::tunnel_access_PIF_of, pif) {
        super::tunnel::tell(draft, inside, up);
    }
    Ok(Value::Void)
}

/// An interface that clients reach us by keeps an address.
fn assert_keeps_address(pif: &Object, mode: &str, primary: &str) -> Result<(), ApiError> {
    let needed = pif.get(PIF::management) && pif.get(PIF::primary_address_type) == primary;
    if needed && mode == "None" { Err(codes::PIF_IS_MANAGEMENT_INTERFACE(pif.reference)) } else { Ok(()) }
}

fn assert_addresses(family: Family, parameter: &str, list: &str) -> Result<(), ApiError> {
    let addresses = list.split(',').map(str::trim).filter(|address| !address.is_empty());
    addresses.into_iter().try_for_each(|address| address::assert_address(family, parameter, address))
}

pub fn begin_reconfigure_ip(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let pif = managed(draft, call)?;
    let mode = call.args[1].as_str();
    assert_keeps_address(&pif, mode, "IPv4")?;
    if mode == "Static" {
        address::assert_address(Family::V4, "IP", call.text(2))?;
        address::assert_netmask("netmask", call.text(3))?;
        assert_addresses(Family::V4, "gateway", call.text(4))?;
        assert_addresses(Family::V4, "DNS", call.text(5))?;
    }
    operation::begin(draft, call, Begin::about(ClassId::PIF, pif.reference))
}

/// An address that a server leases stays unknown until it is observed.
pub fn reconfigured_ip(draft: &mut Draft, ended: &Ended) -> Result<Value, ApiError> {
    draft.find::<PIF>(ended.object)?;
    let mode = ended.args[1].as_str();
    draft.set(ended.object, PIF::ip_configuration_mode, mode);
    for (at, field) in [(2, PIF::IP), (3, PIF::netmask), (4, PIF::gateway), (5, PIF::DNS)] {
        match mode {
            "Static" => draft.set(ended.object, field, ended.args[at].clone()),
            "None" => draft.set(ended.object, field, ""),
            _ => {}
        }
    }
    Ok(Value::Void)
}

pub fn begin_reconfigure_ipv6(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let pif = managed(draft, call)?;
    let mode = call.args[1].as_str();
    assert_keeps_address(&pif, mode, "IPv6")?;
    if mode == "Static" {
        address::assert_cidr(Family::V6, "IPv6", call.text(2))?;
        assert_addresses(Family::V6, "gateway", call.text(3))?;
    }
    operation::begin(draft, call, Begin::about(ClassId::PIF, pif.reference))
}

pub fn reconfigured_ipv6(draft: &mut Draft, ended: &Ended) -> Result<Value, ApiError> {
    draft.find::<PIF>(ended.object)?;
    let mode = ended.args[1].as_str();
    draft.set(ended.object, PIF::ipv6_configuration_mode, mode);
    if matches!(mode, "Static" | "None") {
        let fixed = mode == "Static";
        let addresses = if fixed { Value::set([ended.args[2].clone()]) } else { Value::empty_set() };
        draft.set(ended.object, PIF::IPv6, addresses);
        draft.set(ended.object, PIF::ipv6_gateway, if fixed { ended.args[3].as_str() } else { "" });
    }
    Ok(Value::Void)
}

/// The one property that there is: whether the device merges packets on receipt.
pub fn set_property(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let pif = managed(draft, call)?;
    let (name, value) = (call.text(1), call.text(2));
    if name != "gro" || !matches!(value, "on" | "off") {
        return Err(codes::INVALID_VALUE("properties", format!("{name} = {value}")));
    }
    if !pif.get(PIF::physical) {
        return Err(codes::CANNOT_CHANGE_PIF_PROPERTIES(pif.reference));
    }
    let mut properties = pif.get(PIF::properties).clone();
    properties.insert(Arc::from(name), Value::text(value));
    draft.set(pif.reference, PIF::properties, Value::Map(Arc::new(properties)));
    Ok(Value::Void)
}
