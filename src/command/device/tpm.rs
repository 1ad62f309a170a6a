//! Trusted platform modules of machines. What one keeps is a secret: in the
//! vault, and erased with it.

use crate::command::attach::{self, bad_power_state, object};
use crate::command::draft::Fields;
use crate::command::operation::Derived;
use crate::command::{Call, Draft, secret};
use crate::error::{ApiError, codes};
use crate::model::{ClassId, VM, VTPM};
use crate::value::{Ref, Value};
use crate::views::{Object, View};

/// Modules that a machine has at most.
const MACHINE_MAX: usize = 1;

pub static ALLOWED: Derived = Derived {
    class: ClassId::VTPM,
    inputs: &[VTPM::current_operations.index],
    allowed: |view, tpm| if check(view, tpm).is_ok() { vec!["destroy"] } else { Vec::new() },
    neighbours: |_, _| Vec::new(),
};

/// A module goes only while its machine stands still.
fn check(view: &View, tpm: &Object) -> Result<(), ApiError> {
    attach::assert_free(ClassId::VTPM, tpm)?;
    assert_halted(object::<VM>(view, tpm.get(VTPM::VM))?)
}

fn assert_halted(machine: &Object) -> Result<(), ApiError> {
    if machine.get(VM::power_state) == "Halted" { Ok(()) } else { Err(bad_power_state(machine, "halted")) }
}

pub fn create(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let machine = draft.find::<VM>(call.reference(0))?;
    if draft.far(VM::VTPMs, machine.reference).len() >= MACHINE_MAX {
        return Err(codes::VTPM_MAX_AMOUNT_REACHED(MACHINE_MAX));
    }
    assert_halted(&machine)?;
    Ok(Value::Ref(make(draft, machine.reference, call.bool(1))))
}

/// A new module, with nothing in it yet.
fn make(draft: &mut Draft, vm: Ref, unique: bool) -> Ref {
    let contents = secret::keep(draft, "");
    let fields = Fields::<VTPM>::new().with(VTPM::VM, vm).with(VTPM::is_unique, unique).with(VTPM::contents, contents);
    draft.create(fields)
}

/// A copy of a machine has a module if the machine has one; what is in it belongs to the machine and stays there.
pub fn copy(draft: &mut Draft, from: Ref, to: Ref) -> Result<(), ApiError> {
    for tpm in draft.far(VM::VTPMs, from) {
        let unique = draft.get(tpm, VTPM::is_unique, |unique| unique)?;
        make(draft, to, unique);
    }
    Ok(())
}

pub fn destroy(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let tpm = draft.find::<VTPM>(call.reference(0))?;
    check(draft.view(), &tpm)?;
    remove(draft, tpm.reference);
    Ok(Value::Void)
}

/// Takes the module away, and what it kept.
pub fn remove(draft: &mut Draft, tpm: Ref) {
    if let Ok(contents) = draft.get(tpm, VTPM::contents, |contents| contents) {
        draft.delete::<VTPM>(tpm);
        secret::remove(draft, contents);
    }
}
