//! What asks the system inside a machine for something that only an agent of
//! the vendor's does. None of the agents that a driver shows offers any of it,
//! so after everything else was checked the answer says that.

use super::allowed::{bad_power_state, permit};
use crate::command::{Call, Draft};
use crate::error::{ApiError, codes};
use crate::model::VM;
use crate::value::Value;

/// The one plugin that agents have.
const AGENT: &str = "guest-agent-operation";
/// The longest answer file that `VM.sysprep` takes, in bytes.
const UNATTEND_MAX_BYTES: usize = 32 << 10;

type Answer = Result<Value, ApiError>;

/// `VM.call_plugin(vm, plugin, fn, args)`
pub fn call_plugin(draft: &mut Draft, call: &Call) -> Answer {
    let (vm, plugin) = (call.reference(0), call.text(1));
    permit(draft, vm, "call_plugin")?;
    if plugin != AGENT {
        return Err(codes::XENAPI_MISSING_PLUGIN(plugin));
    }
    Err(codes::VM_LACKS_FEATURE(vm))
}

/// `VM.call_host_plugin(vm, plugin, fn, args)`: the host has none.
pub fn call_host_plugin(draft: &mut Draft, call: &Call) -> Answer {
    draft.find::<VM>(call.reference(0))?;
    Err(codes::XENAPI_MISSING_PLUGIN(call.text(1)))
}

/// `VM.sysprep(self, unattend, timeout)`: for a Windows whose agent says that it does that.
pub fn sysprep(draft: &mut Draft, call: &Call) -> Answer {
    let (vm, unattend) = (call.reference(0), call.text(1));
    let machine = draft.find::<VM>(vm)?;
    if machine.get(VM::power_state) != "Running" {
        return Err(bad_power_state(&machine, &["Running"]));
    }
    let seconds = call.float(2);
    let why = if unattend.is_empty() || unattend.len() > UNATTEND_MAX_BYTES {
        "the answer file is empty or too long"
    } else if !seconds.is_finite() || seconds < 0.0 {
        "the timeout is no time"
    } else {
        "the guest has no agent that prepares it"
    };
    Err(codes::SYSPREP(vm, why))
}
