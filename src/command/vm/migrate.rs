//! Moving machines. A pool has one host, so a machine moves to where it is: its
//! domain is built anew around its memory, with new device models, and its
//! guest notices nothing.
//!
//! Must never know how a hypervisor does it.

use super::allowed::permit;
use super::{placement, state};
use crate::command::operation::{self, Begin, Ended};
use crate::command::{Call, Draft};
use crate::error::{ApiError, codes};
use crate::model::{ClassId, VM, host};
use crate::value::{Ref, Value};

type Answer = Result<Value, ApiError>;

/// `VM.pool_migrate(vm, host, options)`
pub fn pool_migrate(draft: &mut Draft, call: &Call) -> Answer {
    let (vm, to) = (call.reference(0), call.reference(1));
    let machine = permit(draft, vm, "pool_migrate")?;
    draft.find::<host>(to)?;
    let from = machine.get(VM::resident_on);
    if from != to {
        return Err(codes::VM_MIGRATE_FAILED(vm, from, to, "no machine goes from one host to another here"));
    }
    renew(draft, call, to)
}

/// `VM.restart_device_models(self)`
pub fn restart_device_models(draft: &mut Draft, call: &Call) -> Answer {
    let machine = permit(draft, call.reference(0), "pool_migrate")?;
    if machine.get(VM::power_state) != "Running" {
        return Err(super::allowed::bad_power_state(&machine, &["Running"]));
    }
    renew(draft, call, machine.get(VM::resident_on))
}

/// While both domains are there, both need their memory.
fn renew(draft: &mut Draft, call: &Call, on: Ref) -> Answer {
    let vm = call.reference(0);
    placement::assert_can_run(draft.view(), &*draft.find::<VM>(vm)?, on)?;
    operation::begin(draft, call, Begin::on(ClassId::VM, vm, "pool_migrate"))
}

pub fn renewed(draft: &mut Draft, ended: &Ended) -> Answer {
    state::renew(draft, ended.object, ended.facts.domid)?;
    Ok(Value::Void)
}
