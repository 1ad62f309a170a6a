//! PCI devices of hosts, and whether the host itself uses them.
//!
//! ```text
//!   enabled ──disable──▶ disable_on_reboot ──the host boots──▶ disabled
//!   disabled ──enable──▶ enable_on_reboot ──the host boots──▶ enabled
//! ```
//! Asked for the opposite before the boot, a device stays as it is.

use super::hardware::{DEVICES_MAX, Pci};
use crate::command::draft::Fields;
use crate::command::network::sriov;
use crate::command::{Call, Draft, Reading};
use crate::error::{ApiError, codes};
use crate::model::{PCI, PIF, host};
use crate::value::{Ref, Value};

/// From what is so to what is so after a call.
pub type Steps = [(&'static str, &'static str); 2];

pub const ENABLE: Steps = [("disabled", "enable_on_reboot"), ("disable_on_reboot", "enabled")];
pub const DISABLE: Steps = [("enabled", "disable_on_reboot"), ("enable_on_reboot", "disabled")];
const BOOT: Steps = [("disable_on_reboot", "disabled"), ("enable_on_reboot", "enabled")];

/// Where a step leads; what has no step stays.
pub fn step(steps: &Steps, now: &'static str) -> &'static str {
    steps.iter().find(|(from, _)| *from == now).map_or(now, |(_, to)| *to)
}

/// What a boot of the host makes of what was chosen for it.
pub fn after_boot(now: &'static str) -> &'static str {
    step(&BOOT, now)
}

pub fn status(reading: &Reading<'_>, call: &Call) -> Result<Value, ApiError> {
    let found = reading.view.find::<PCI>(call.reference(0));
    let found = found.ok_or_else(|| codes::HANDLE_INVALID("PCI", call.reference(0)))?;
    Ok(Value::Enum(found.get(PCI::dom0_access)))
}

pub fn enable(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    change(draft, call, &ENABLE)
}

pub fn disable(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    change(draft, call, &DISABLE)
}

fn change(draft: &mut Draft, call: &Call, steps: &Steps) -> Result<Value, ApiError> {
    let next = step(steps, draft.get(call.reference(0), PCI::dom0_access, |now| now)?);
    draft.set(call.reference(0), PCI::dom0_access, next);
    Ok(Value::Enum(next))
}

/// The host has booted: what was chosen is so now.
pub fn booted(draft: &mut Draft, on: Ref) {
    for pci in draft.far(host::PCIs, on) {
        let next = draft.get(pci, PCI::dom0_access, after_boot).expect("BUG: a far side is there");
        draft.set(pci, PCI::dom0_access, next);
    }
}

pub(super) fn found(draft: &mut Draft, on: Ref, seen: &[Pci]) {
    let is_seen = |address: &str| seen.iter().any(|device| device.address == address);
    for known in draft.far(host::PCIs, on) {
        let address = draft.get(known, PCI::pci_id, |address| address.to_string()).expect("BUG: a far side is there");
        if !is_seen(&address) {
            draft.delete::<PCI>(known);
        }
    }
    for device in seen.iter().take(DEVICES_MAX) {
        let own = of_address(draft, on, &device.address).unwrap_or_else(|| draft.create(described(on, device)));
        draft.set(own, PCI::interface, &*device.interface);
        draft.set(own, PCI::virtual_functions, device.virtual_functions);
    }
    for pif in draft.far(host::PIFs, on) {
        let known = draft.find::<PIF>(pif).ok().filter(|pif| pif.get(PIF::physical));
        if let Some(card) = known.and_then(|pif| card_of(draft, on, pif.get(PIF::device))) {
            draft.set(pif, PIF::PCI, card);
            draft.set(pif, PIF::capabilities, capabilities(draft, card));
        }
    }
}

/// What the network interface can do that is this card.
pub fn capabilities(draft: &Draft, card: Ref) -> Value {
    match draft.get(card, PCI::virtual_functions, |functions| functions) {
        Ok(1..) => Value::set([sriov::CAPABILITY.into()]),
        _ => Value::empty_set(),
    }
}

/// The card that is the host's network interface of that name.
pub fn card_of(draft: &Draft, on: Ref, device: &str) -> Option<Ref> {
    let mut known = draft.far(host::PCIs, on).into_iter();
    known
        .find(|pci| draft.find::<PCI>(*pci).is_ok_and(|pci| !device.is_empty() && **pci.get(PCI::interface) == *device))
}

fn of_address(draft: &Draft, on: Ref, address: &str) -> Option<Ref> {
    let mut known = draft.far(host::PCIs, on).into_iter();
    known.find(|pci| draft.find::<PCI>(*pci).is_ok_and(|pci| **pci.get(PCI::pci_id) == *address))
}

fn described(on: Ref, device: &Pci) -> Fields<PCI> {
    Fields::<PCI>::new()
        .with(PCI::host, on)
        .with(PCI::pci_id, &*device.address)
        .with(PCI::class_id, &*device.class.0)
        .with(PCI::class_name, &*device.class.1)
        .with(PCI::vendor_id, &*device.vendor.0)
        .with(PCI::vendor_name, &*device.vendor.1)
        .with(PCI::device_id, &*device.device.0)
        .with(PCI::device_name, &*device.device.1)
        .with(PCI::subsystem_vendor_id, &*device.vendor.0)
        .with(PCI::subsystem_vendor_name, &*device.vendor.1)
        .with(PCI::driver_name, &*device.driver)
        .with(PCI::interface, &*device.interface)
        .with(PCI::virtual_functions, device.virtual_functions)
}
