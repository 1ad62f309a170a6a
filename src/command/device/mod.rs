//! Devices of hosts that machines can have: PCI, USB, and the trusted platform
//! modules that only machines have. What a host has in its slots is observed,
//! so what is here never asks for it.
//!
//! ```text
//!   host ◀── PUSB ──▶ USB_group ◀── VUSB ──▶ VM        host ◀── PCI        VM ◀── VTPM ──▶ secret
//! ```

pub mod hardware;
pub mod pci;
#[cfg(test)]
mod tests;
pub mod tpm;
pub mod usb;

use super::operation::Derived;
use super::{Completion, Handler, Reader};

pub const HANDLERS: &[(&str, Handler)] = &[
    ("PCI.enable_dom0_access", pci::enable),
    ("PCI.disable_dom0_access", pci::disable),
    ("PUSB.scan", usb::begin_scan),
    ("PUSB.set_passthrough_enabled", usb::set_passthrough),
    ("USB_group.create", usb::create_group),
    ("USB_group.destroy", usb::destroy_group),
    ("VUSB.create", usb::create),
    ("VUSB.destroy", usb::destroy),
    ("VUSB.unplug", usb::begin_unplug),
    ("VTPM.create", tpm::create),
    ("VTPM.destroy", tpm::destroy),
];

pub const READERS: &[(&str, Reader)] = &[("PCI.get_dom0_access_status", pci::status)];

pub const COMPLETIONS: &[(&str, Completion)] = &[("PUSB.scan", usb::scanned), ("VUSB.unplug", usb::unplugged)];

pub const DERIVED: &[&Derived] = &[&usb::ALLOWED, &tpm::ALLOWED];
