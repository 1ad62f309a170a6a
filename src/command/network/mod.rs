//! Networks: bridges that the interfaces of machines and of hosts meet on.
//!
//! ```text
//!   VM ◀── VIF ──▶ network ◀── PIF ──▶ host
//! ```

pub mod address;
pub mod bond;
pub mod bridge;
pub mod management;
pub mod pif;
pub mod sriov;
#[cfg(test)]
mod tests;
pub mod tunnel;
pub mod vif;
pub mod vlan;

use super::operation::Derived;
use super::{Completion, Handler, Reader};

pub const HANDLERS: &[(&str, Handler)] = &[
    ("network.create", bridge::create),
    ("network.destroy", bridge::destroy),
    ("network.set_default_locking_mode", bridge::set_default_locking_mode),
    ("network.add_purpose", bridge::add_purpose),
    ("network.remove_purpose", bridge::remove_purpose),
    ("VIF.create", vif::create),
    ("VIF.destroy", vif::destroy),
    ("VIF.plug", vif::begin_plug),
    ("VIF.unplug", vif::begin_unplug),
    ("VIF.unplug_force", vif::begin_unplug),
    ("VIF.move", vif::relocate),
    ("VIF.set_locking_mode", super::generic::declared_setter),
    ("VIF.set_ipv4_allowed", vif::set_allowed),
    ("VIF.add_ipv4_allowed", vif::add_allowed),
    ("VIF.remove_ipv4_allowed", vif::remove_allowed),
    ("VIF.set_ipv6_allowed", vif::set_allowed),
    ("VIF.add_ipv6_allowed", vif::add_allowed),
    ("VIF.remove_ipv6_allowed", vif::remove_allowed),
    ("VIF.configure_ipv4", vif::configure_ipv4),
    ("VIF.configure_ipv6", vif::configure_ipv6),
    ("VIF.set_trunks", vif::set_trunks),
    ("VIF.add_trunks", vif::add_trunks),
    ("VIF.remove_trunks", vif::remove_trunks),
    ("PIF.introduce", pif::introduce),
    ("PIF.forget", pif::forget),
    ("PIF.db_introduce", pif::db_introduce),
    ("PIF.db_forget", pif::db_forget),
    ("PIF.scan", pif::begin_scan),
    ("PIF.plug", pif::begin_plug),
    ("PIF.unplug", pif::begin_unplug),
    ("PIF.reconfigure_ip", pif::begin_reconfigure_ip),
    ("PIF.reconfigure_ipv6", pif::begin_reconfigure_ipv6),
    ("PIF.set_primary_address_type", super::generic::declared_setter),
    ("PIF.set_disallow_unplug", super::generic::declared_setter),
    ("PIF.set_property", pif::set_property),
    ("PIF.create_VLAN", vlan::create_on_device),
    ("PIF.destroy", vlan::destroy_interface),
    ("VLAN.create", vlan::create),
    ("VLAN.destroy", vlan::destroy),
    ("pool.create_VLAN", vlan::create_in_pool),
    ("pool.create_VLAN_from_PIF", vlan::create_beside),
    ("Bond.create", bond::begin_create),
    ("Bond.destroy", bond::begin_destroy),
    ("Bond.set_mode", bond::set_mode),
    ("Bond.set_property", bond::set_property),
    ("network_sriov.create", sriov::create),
    ("network_sriov.destroy", sriov::destroy),
    ("tunnel.create", tunnel::create),
    ("tunnel.destroy", tunnel::destroy),
    ("host.management_reconfigure", management::reconfigure),
    ("host.local_management_reconfigure", management::reconfigure_local),
    ("pool.management_reconfigure", management::reconfigure_pool),
];

pub const READERS: &[(&str, Reader)] = &[("network_sriov.get_remaining_capacity", sriov::remaining)];

pub const COMPLETIONS: &[(&str, Completion)] = &[
    ("VIF.plug", vif::plugged),
    ("VIF.unplug", vif::unplugged),
    ("VIF.unplug_force", vif::unplugged),
    ("VIF.move", vif::relocated),
    ("Bond.create", bond::created),
    ("Bond.destroy", bond::destroyed),
    ("PIF.scan", pif::scanned),
    ("PIF.plug", pif::plugged),
    ("PIF.unplug", pif::unplugged),
    ("PIF.reconfigure_ip", pif::reconfigured_ip),
    ("PIF.reconfigure_ipv6", pif::reconfigured_ipv6),
];

pub const DERIVED: &[&Derived] = &[&bridge::ALLOWED, &vif::ALLOWED];
