//! Networks themselves: their bridges, their purposes, their end.

use crate::command::operation::Derived;
use crate::command::{Call, Draft, generic};
use crate::error::{ApiError, codes};
use crate::model::{ClassId, VIF, network};
use crate::value::{Ref, Value};
use crate::views::Object;
use std::collections::BTreeSet;

/// How long a bridge's name may be: the kernel's limit for interfaces.
pub const NAME_MAX: usize = 15;
/// Names that begin so are given by the server alone.
const RESERVED: [&str; 5] = ["xen", "xapi", "vif", "tap", "eth"];
/// The key that marks the network between the host and its guests.
const INTERNAL_MANAGEMENT: &str = "is_host_internal_management_network";

pub static ALLOWED: Derived = Derived {
    class: ClassId::network,
    inputs: &[network::current_operations.index],
    allowed: |_, _| vec!["attaching"],
    neighbours: |_, _| Vec::new(),
};

fn bridges(draft: &Draft) -> BTreeSet<String> {
    draft.view().all::<network>().map(|network| network.get(network::bridge).to_string()).collect()
}

/// A name that no network's bridge has: `xapi0`, `xapi1`.
fn free_bridge(draft: &Draft) -> String {
    let taken = bridges(draft);
    let mut names = (0..).map(|number: u64| format!("xapi{number}"));
    names.find(|name| !taken.contains(name)).expect("BUG: there are more numbers than networks")
}

pub fn create(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let mut record = generic::constructed(draft, ClassId::network, &call.args[0])?;
    if matches!(record[network::MTU.index], Value::Int(mtu) if mtu <= 0) {
        record[network::MTU.index] = Value::Int(1500);
    }
    let bridge = record[network::bridge.index].as_str().to_string();
    if bridge.is_empty() {
        record[network::bridge.index] = Value::from(free_bridge(draft));
    } else if bridge.len() > NAME_MAX || RESERVED.iter().any(|reserved| bridge.starts_with(reserved)) {
        return Err(codes::INVALID_VALUE("bridge", bridge));
    } else if bridges(draft).contains(&bridge) {
        return Err(codes::BRIDGE_NAME_EXISTS(bridge));
    }
    let reference = draft.ids.draw();
    Ok(Value::Ref(draft.add(ClassId::network, reference, record)))
}

/// The network is the server's to change.
pub fn assert_managed(own: &Object) -> Result<(), ApiError> {
    if own.get(network::managed) { Ok(()) } else { Err(codes::NETWORK_UNMANAGED(own.reference)) }
}

/// Several references as one parameter of an error.
fn listed(references: &[Ref]) -> String {
    references.iter().map(Ref::to_string).collect::<Vec<_>>().join(", ")
}

/// An interface that is attached, or about to be.
pub fn is_connected(draft: &Draft, vif: Ref) -> bool {
    draft.find::<VIF>(vif).is_ok_and(|vif| super::vif::holds(&vif))
}

/// A network goes with the interfaces that nobody uses; those in use keep it.
pub fn destroy(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let own = draft.find::<network>(call.reference(0))?;
    let vifs = draft.far(network::VIFs, own.reference);
    let connected: Vec<Ref> = vifs.iter().copied().filter(|vif| is_connected(draft, *vif)).collect();
    if !connected.is_empty() {
        return Err(codes::NETWORK_CONTAINS_VIF(listed(&connected)));
    }
    let pifs = draft.far(network::PIFs, own.reference);
    if !pifs.is_empty() {
        return Err(codes::NETWORK_CONTAINS_PIF(listed(&pifs)));
    }
    if own.get(network::other_config).get(INTERNAL_MANAGEMENT).is_some_and(|internal| internal.as_str() == "true") {
        return Err(codes::CANNOT_DESTROY_SYSTEM_NETWORK(own.reference));
    }
    for vif in vifs {
        draft.delete::<VIF>(vif);
    }
    draft.delete::<network>(own.reference);
    Ok(Value::Void)
}

/// The mode of interfaces that have none of their own: it changes under none that is attached.
pub fn set_default_locking_mode(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let own = draft.find::<network>(call.reference(0))?;
    let vifs = draft.far(network::VIFs, own.reference);
    if let Some(vif) = vifs.into_iter().find(|vif| is_connected(draft, *vif)) {
        return Err(codes::VIF_IN_USE(own.reference, vif));
    }
    draft.set(own.reference, network::default_locking_mode, call.args[1].clone());
    Ok(Value::Void)
}

/// Disks are served either with or without encryption, in the whole pool.
pub fn add_purpose(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let (own, purpose) = (call.reference(0), call.args[1].as_str());
    draft.find::<network>(own)?;
    let opposite = if purpose == "nbd" { "insecure_nbd" } else { "nbd" };
    let conflict = |purposes: &[Value]| purposes.iter().any(|one| one.as_str() == opposite);
    if draft.view().all::<network>().any(|other| conflict(other.get(network::purpose))) {
        return Err(codes::NETWORK_INCOMPATIBLE_PURPOSES(purpose, opposite));
    }
    generic::add(draft, ClassId::network, own, network::purpose.index, call.args[1].clone())
}

pub fn remove_purpose(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    generic::remove(draft, ClassId::network, call.reference(0), network::purpose.index, &call.args[1])
}
