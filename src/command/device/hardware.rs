//! What a driver tells of the devices in a host, and how the records follow:
//! new devices get one, devices that are gone lose theirs.

use super::{pci, usb};
use crate::command::Draft;
use crate::error::ApiError;
use crate::model::host;
use crate::value::{Ref, Value};

/// Devices of one kind that a host may show.
pub const DEVICES_MAX: usize = 256;

/// The devices in a host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hardware {
    pub pci: Vec<Pci>,
    pub usb: Vec<Usb>,
}

/// One function of a PCI device; numbers in hexadecimal, as buses tell them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pci {
    /// `0000:00:1f.2`.
    pub address: String,
    pub class: (String, String),
    pub vendor: (String, String),
    pub device: (String, String),
    pub driver: String,
    /// The network interface that it is, if it is one.
    pub interface: String,
    /// How many machines can have a piece of it each.
    pub virtual_functions: i64,
}

/// One USB device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usb {
    /// Where it is plugged in: `1-2`.
    pub path: String,
    pub vendor: (String, String),
    pub product: (String, String),
    pub serial: String,
    pub version: String,
    /// Mbit/s.
    pub speed: f64,
}

/// Brings the records of a host's devices up to date with what was seen.
pub fn observed(draft: &mut Draft, on: Ref, seen: &Hardware) -> Result<Value, ApiError> {
    draft.find::<host>(on)?;
    pci::found(draft, on, &seen.pci);
    usb::found(draft, on, &seen.usb)?;
    Ok(Value::Void)
}
