//! Bonds: devices of one host that work as one interface, which takes over
//! what the devices carried.
//!
//! ```text
//!   eth0 ─┐  create                      VLANs, tunnels, addresses, management,
//!         ├─────────▶ bond0 (master)     and the interfaces of machines move to
//!   eth1 ─┘ ◀─────────  destroy          bond0, and back to the primary device
//! ```

use super::{address, bridge, pif};
use crate::command::draft::Fields;
use crate::command::operation::{self, Begin, Ended};
use crate::command::{Call, Draft, Principal};
use crate::error::{ApiError, codes};
use crate::model::{Bond, ClassId, PIF, PIF_metrics, VIF, VLAN, VM, host, network, tunnel};
use crate::value::{Map, Ref, Value};
use crate::views::{Object, View};
use std::sync::Arc;

/// One setting of a bond: which modes know it, what it is unless told, and what it may be.
struct Setting {
    key: &'static str,
    modes: &'static [&'static str],
    /// "" where a bond has none unless told.
    usual: &'static str,
    /// Empty: any number.
    values: &'static [&'static str],
}

const ALL: &[&str] = &["balance-slb", "active-backup", "lacp"];
const SETTINGS: &[Setting] = &[
    Setting { key: "miimon", modes: ALL, usual: "100", values: &[] },
    Setting { key: "downdelay", modes: ALL, usual: "200", values: &[] },
    Setting { key: "updelay", modes: ALL, usual: "31000", values: &[] },
    Setting { key: "use_carrier", modes: ALL, usual: "1", values: &["0", "1"] },
    Setting { key: "hashing_algorithm", modes: &["lacp"], usual: "tcpudp_ports", values: &["src_mac", "tcpudp_ports"] },
    Setting { key: "lacp-time", modes: &["lacp"], usual: "slow", values: &["slow", "fast"] },
    Setting { key: "lacp-aggregation-key", modes: &["lacp"], usual: "", values: &[] },
    Setting { key: "lacp-fallback-ab", modes: &["lacp"], usual: "true", values: &["true", "false"] },
    Setting { key: "rebalance-interval", modes: &["balance-slb"], usual: "10000", values: &[] },
];

fn setting(mode: &str, key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key && setting.modes.contains(&mode))
}

fn assert_setting(mode: &str, key: &str, value: &str) -> Result<(), ApiError> {
    let fits = |setting: &Setting| match setting.values {
        [] => value.parse::<u32>().is_ok(),
        values => values.contains(&value),
    };
    if setting(mode, key).is_some_and(fits) {
        return Ok(());
    }
    Err(codes::INVALID_VALUE("properties", format!("{key} = {value}")))
}

/// What a bond of that mode is set to: what was asked for, and for the rest what is usual.
fn settings(mode: &str, asked: &Map) -> Value {
    let known = SETTINGS.iter().filter(|setting| setting.modes.contains(&mode));
    let chosen = known.filter_map(|setting| {
        let value = asked.get(setting.key).cloned().unwrap_or_else(|| Value::text(setting.usual));
        (!value.as_str().is_empty()).then_some((setting.key, value))
    });
    Value::map(chosen)
}

/// Machines that run are moved by the hypervisor first; without any, the bond is made at once.
pub fn begin_create(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    begin(draft, call, make, Begin::on(ClassId::network, call.reference(0), "attaching"))
}

pub fn begin_destroy(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    begin(draft, call, unmake, Begin::about(ClassId::Bond, call.reference(0)))
}

fn begin(draft: &mut Draft, call: &Call, work: Work, begin: Begin<'_>) -> Result<Value, ApiError> {
    let moved = moved(draft.view(), Ref::NULL, &call.args, work)?;
    if moved.is_empty() {
        return work(draft, &call.args);
    }
    let also: Vec<_> = moved.into_iter().map(|(vif, _)| (ClassId::VIF, vif, "attach")).collect();
    operation::begin(draft, call, Begin { also: &also, ..begin })
}

pub fn created(draft: &mut Draft, ended: &Ended) -> Result<Value, ApiError> {
    make(draft, &ended.args)
}

pub fn destroyed(draft: &mut Draft, ended: &Ended) -> Result<Value, ApiError> {
    unmake(draft, &ended.args)
}

/// What making or unmaking a bond does to the records.
pub type Work = fn(&mut Draft, &[Value]) -> Result<Value, ApiError>;

/// The interfaces of running machines that the work takes to another network, each with that network: found by doing
/// the work where nobody sees it. `task` is the one that the work belongs to.
pub fn moved(view: &View, task: Ref, args: &[Value], work: Work) -> Result<Vec<(Ref, Ref)>, ApiError> {
    let principal = Principal::server("nobody");
    let mut draft = Draft::new(view, &principal, 0, [0; 32]);
    draft.task = Some(task);
    work(&mut draft, args)?;
    let vifs = draft.touched().into_iter().filter(|(class, _)| *class == ClassId::VIF);
    let found = vifs.filter_map(|(_, vif)| draft.find::<VIF>(vif).ok());
    let live = found.filter(|vif| {
        let machine = draft.find::<VM>(vif.get(VIF::VM));
        let up = machine.is_ok_and(|machine| matches!(machine.get(VM::power_state), "Running" | "Paused"));
        up && vif.get(VIF::currently_attached)
    });
    Ok(live.map(|vif| (vif.reference, vif.get(VIF::network))).collect())
}

/// Makes the bond that these arguments of `Bond.create` ask for.
pub fn make(draft: &mut Draft, args: &[Value]) -> Result<Value, ApiError> {
    let (on, mac, mode) = (args[0].as_ref(), args[2].as_str(), args[3].as_str());
    let lan = draft.find::<network>(on)?;
    bridge::assert_managed(&lan)?;
    let members = members(draft, args[1].as_set())?;
    let here = members[0].get(PIF::host);
    assert_members(&members)?;
    pif::assert_not_connected(draft, here, on)?;
    if !mac.is_empty() {
        address::assert_mac(mac)?;
    }
    let asked = args[4].as_map();
    asked.iter().try_for_each(|(key, value)| assert_setting(mode, key, value.as_str()))?;
    let primary = primary(&members)?;
    let master = make_master(draft, &lan, &primary, mac);
    let fields = Fields::<Bond>::new()
        .with(Bond::master, master)
        .with(Bond::primary_slave, primary.reference)
        .with(Bond::mode, args[3].clone())
        .with(Bond::properties, settings(mode, asked))
        .with(Bond::links_up, links_up(draft, &members))
        .with(Bond::auto_update_mac, mac.is_empty());
    let bond = draft.create(fields);
    pif::move_addresses(draft, primary.reference, master)?;
    for member in &members {
        draft.set(member.reference, PIF::bond_slave_of, bond);
        carry_over(draft, member.reference, master)?;
        move_machines(draft, here, member.get(PIF::network), on)?;
    }
    Ok(Value::Ref(bond))
}

fn members(draft: &Draft, given: &[Value]) -> Result<Vec<Arc<Object>>, ApiError> {
    let mut once: Vec<Ref> = Vec::new();
    for member in given.iter().map(Value::as_ref) {
        if !once.contains(&member) {
            once.push(member);
        }
    }
    let found: Vec<Arc<Object>> = once.into_iter().map(|member| pif::idle(draft, member)).collect::<Result<_, _>>()?;
    if found.len() < 2 { Err(codes::PIF_BOND_NEEDS_MORE_MEMBERS()) } else { Ok(found) }
}

/// Devices of one host that nothing else is made of and that are set up alike.
fn assert_members(members: &[Arc<Object>]) -> Result<(), ApiError> {
    let first = &members[0];
    for member in members {
        let own = member.reference;
        if !member.get(PIF::bond_slave_of).is_null() {
            return Err(codes::PIF_ALREADY_BONDED(own));
        }
        if member.get(PIF::VLAN) >= 0 {
            return Err(codes::PIF_VLAN_EXISTS(own));
        }
        if !member.get(PIF::physical) {
            return Err(codes::PIF_IS_NOT_PHYSICAL(own));
        }
        if !member.get(PIF::managed) {
            return Err(codes::PIF_UNMANAGED(own));
        }
        if member.get(PIF::host) != first.get(PIF::host) {
            return Err(codes::PIF_CANNOT_BOND_CROSS_HOST());
        }
        if member.get(PIF::properties) != first.get(PIF::properties) {
            return Err(codes::INCOMPATIBLE_PIF_PROPERTIES());
        }
    }
    Ok(())
}

fn has_address(pif: &Object) -> bool {
    pif.get(PIF::ip_configuration_mode) != "None" || pif.get(PIF::ipv6_configuration_mode) != "None"
}

/// The device whose addresses the bond has: the one that clients reach us by, or the only one with an address.
fn primary(members: &[Arc<Object>]) -> Result<Arc<Object>, ApiError> {
    let management = members.iter().find(|member| member.get(PIF::management));
    let chosen = management.or_else(|| members.iter().find(|member| has_address(member))).unwrap_or(&members[0]);
    let other = members.iter().any(|member| member.reference != chosen.reference && has_address(member));
    if other { Err(codes::PIF_BOND_MORE_THAN_ONE_IP()) } else { Ok(chosen.clone()) }
}

fn make_master(draft: &mut Draft, lan: &Object, primary: &Object, mac: &str) -> Ref {
    let metrics = Fields::<PIF_metrics>::new().with(PIF_metrics::carrier, true).with(PIF_metrics::pci_bus_path, "N/A");
    let metrics = draft.create(metrics);
    let mac = if mac.is_empty() { primary.get(PIF::MAC).to_string() } else { mac.to_ascii_lowercase() };
    let fields = Fields::<PIF>::new()
        .with(PIF::device, pif::free_device(draft, primary.get(PIF::host), "bond"))
        .with(PIF::network, lan.reference)
        .with(PIF::host, primary.get(PIF::host))
        .with(PIF::MAC, mac)
        .with(PIF::MTU, lan.get(network::MTU))
        .with(PIF::VLAN, -1)
        .with(PIF::metrics, metrics)
        .with(PIF::properties, Value::Map(Arc::new(primary.get(PIF::properties).clone())))
        .with(PIF::currently_attached, primary.get(PIF::currently_attached));
    draft.create(fields)
}

/// How many of the devices have a link.
pub fn links_up(draft: &Draft, members: &[Arc<Object>]) -> i64 {
    let metrics = members.iter().filter_map(|member| draft.find::<PIF_metrics>(member.get(PIF::metrics)).ok());
    metrics.filter(|metrics| metrics.get(PIF_metrics::carrier)).count() as i64
}

/// VLANs and tunnels over one interface go over another; of two VLANs with one tag, the first stays.
fn carry_over(draft: &mut Draft, from: Ref, to: Ref) -> Result<(), ApiError> {
    let target = draft.find::<PIF>(to)?;
    for vlan in draft.far(PIF::VLAN_slave_of, from) {
        let moved = draft.find::<VLAN>(vlan)?;
        let interface = draft.find::<PIF>(moved.get(VLAN::untagged_PIF))?;
        let theirs = draft.far(PIF::VLAN_slave_of, to).into_iter().filter_map(|vlan| draft.find::<VLAN>(vlan).ok());
        let same = theirs.into_iter().find(|other| other.get(VLAN::tag) == moved.get(VLAN::tag));
        let Some(kept) = same else {
            draft.set(vlan, VLAN::tagged_PIF, to);
            draft.set(interface.reference, PIF::device, target.get(PIF::device).clone());
            draft.set(interface.reference, PIF::MAC, target.get(PIF::MAC).clone());
            continue;
        };
        let kept = kept.get(VLAN::untagged_PIF);
        let lan = draft.get(kept, PIF::network, |lan| lan)?;
        if interface.get(PIF::management) {
            pif::move_addresses(draft, interface.reference, kept)?;
        }
        move_machines(draft, interface.get(PIF::host), interface.get(PIF::network), lan)?;
        draft.delete::<VLAN>(vlan);
        pif::remove(draft, &interface);
    }
    for over in draft.far(PIF::tunnel_transport_PIF_of, from) {
        draft.set(over, tunnel::transport_PIF, to);
    }
    Ok(())
}

/// The interfaces of the host's machines on one network go to another.
fn move_machines(draft: &mut Draft, here: Ref, from: Ref, to: Ref) -> Result<(), ApiError> {
    let only_host = draft.view().all::<host>().count() == 1;
    for vif in draft.far(network::VIFs, from) {
        let vm = draft.get(vif, VIF::VM, |vm| vm)?;
        let machine = draft.find::<VM>(vm)?;
        let (at, likes) = (machine.get(VM::resident_on), machine.get(VM::affinity));
        if at == here || at.is_null() && (only_host || likes == here) {
            draft.set(vif, VIF::network, to);
        }
    }
    Ok(())
}

/// Takes the bond apart that is the argument of `Bond.destroy`.
pub fn unmake(draft: &mut Draft, args: &[Value]) -> Result<Value, ApiError> {
    let bond = draft.find::<Bond>(args[0].as_ref())?;
    let master = pif::idle(draft, bond.get(Bond::master))?;
    let members = draft.far(Bond::slaves, bond.reference);
    let primary = Some(bond.get(Bond::primary_slave)).filter(|primary| members.contains(primary));
    let primary = primary.or_else(|| members.first().copied()).unwrap_or(Ref::NULL);
    for member in members {
        draft.set(member, PIF::bond_slave_of, Ref::NULL);
    }
    let heir = draft.find::<PIF>(primary)?;
    pif::move_addresses(draft, master.reference, primary)?;
    carry_over(draft, master.reference, primary)?;
    move_machines(draft, master.get(PIF::host), master.get(PIF::network), heir.get(PIF::network))?;
    draft.delete::<Bond>(bond.reference);
    pif::remove(draft, &master);
    Ok(Value::Void)
}

/// Another mode starts from its own usual settings, with those kept that it shares with the one before.
pub fn set_mode(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let bond = draft.find::<Bond>(call.reference(0))?;
    let mode = call.args[1].as_str();
    draft.set(bond.reference, Bond::properties, settings(mode, bond.get(Bond::properties)));
    draft.set(bond.reference, Bond::mode, call.args[1].clone());
    Ok(Value::Void)
}

pub fn set_property(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let bond = draft.find::<Bond>(call.reference(0))?;
    let (key, value) = (call.text(1), call.text(2));
    assert_setting(bond.get(Bond::mode), key, value)?;
    let mut properties = bond.get(Bond::properties).clone();
    properties.insert(Arc::from(key), Value::text(value));
    draft.set(bond.reference, Bond::properties, Value::Map(Arc::new(properties)));
    Ok(Value::Void)
}
