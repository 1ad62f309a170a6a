//! Machines: their life cycle, their memory and processors, snapshots and clones.
//!
//! | file          | subject                                                          |
//! |---------------|------------------------------------------------------------------|
//! | allowed       | the table of operations: what may be done when                   |
//! | lifecycle     | start, pause, suspend, resume, shut down, reboot                 |
//! | state         | what the record says in each power state                         |
//! | observed      | what the hypervisor shows while no operation is pending          |
//! | placement     | on which host a machine can run                                  |
//! | memory        | memory and processors                                            |
//! | copies        | clone, copy, snapshot, checkpoint, revert, provision             |
//! | boot          | how a machine boots                                              |

pub mod allowed;
pub mod boot;
pub mod copies;
pub mod lifecycle;
pub mod memory;
pub mod observed;
pub mod placement;
pub mod state;
#[cfg(test)]
mod tests;

use super::operation::Derived;
use super::{Completion, Handler, Reader};

pub const HANDLERS: &[(&str, Handler)] = &[
    ("VM.start", lifecycle::start),
    ("VM.start_on", lifecycle::start_on),
    ("VM.pause", lifecycle::pause),
    ("VM.unpause", lifecycle::unpause),
    ("VM.suspend", lifecycle::suspend),
    ("VM.resume", lifecycle::resume),
    ("VM.resume_on", lifecycle::resume_on),
    ("VM.shutdown", lifecycle::shutdown),
    ("VM.clean_shutdown", lifecycle::clean_shutdown),
    ("VM.hard_shutdown", lifecycle::hard_shutdown),
    ("VM.clean_reboot", lifecycle::clean_reboot),
    ("VM.hard_reboot", lifecycle::hard_reboot),
    ("VM.power_state_reset", lifecycle::power_state_reset),
    ("VM.send_sysrq", lifecycle::send_sysrq),
    ("VM.send_trigger", lifecycle::send_trigger),
];

pub const READERS: &[(&str, Reader)] = &[];

pub const COMPLETIONS: &[(&str, Completion)] = &[
    ("VM.start", lifecycle::started),
    ("VM.start_on", lifecycle::started),
    ("VM.pause", lifecycle::paused),
    ("VM.unpause", lifecycle::unpaused),
    ("VM.suspend", lifecycle::suspended),
    ("VM.resume", lifecycle::resumed),
    ("VM.resume_on", lifecycle::resumed),
    ("VM.shutdown", lifecycle::halted),
    ("VM.clean_shutdown", lifecycle::halted),
    ("VM.hard_shutdown", lifecycle::halted),
    ("VM.clean_reboot", lifecycle::rebooted),
    ("VM.hard_reboot", lifecycle::rebooted),
    ("VM.send_sysrq", lifecycle::signalled),
    ("VM.send_trigger", lifecycle::signalled),
];

pub const DERIVED: &[&Derived] = &[&allowed::VM_OPERATIONS];
