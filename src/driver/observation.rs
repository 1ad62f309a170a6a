//! What a driver sees: facts, without a word on what they mean for anybody.

pub use crate::command::vm::observed::Guest;

use crate::command::device::hardware::Hardware;
use crate::value::Ref;
use std::collections::BTreeMap;
use std::sync::Arc;

/// All machines of one host at one moment, by uuid. Machines that nobody manages may be among them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observation {
    /// Which run of the host this is; another one after each of its reboots.
    pub boot: String,
    pub machines: BTreeMap<Ref, Machine>,
    /// The devices in the host.
    pub hardware: Arc<Hardware>,
}

/// One machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    /// What the host calls it.
    pub name: String,
    /// Its number on the host, another one after each start.
    pub domid: i64,
    pub power: Power,
    /// Bytes it has now.
    pub memory: i64,
    pub vcpus: i64,
    /// What the agent in the guest told; `None` while there is none.
    pub guest: Option<Guest>,
}

/// What a machine does. What is suspended is no machine but an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    Running,
    Paused,
    /// It ended by itself and nobody has cleared it away yet.
    Ended(Ended),
}

/// How a machine ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    PowerOff,
    Reboot,
    Crash,
}
