//! A machine's firmware: whether it boots securely, and which keys it trusts.
//!
//! The firmware keeps its variables in `NVRAM:EFI-variables`, in a form of its
//! own, as base64. Without that key it starts for the first time and takes the
//! pool's certificates; with an empty one it has no keys and waits for some.
//!
//! ```text
//!   no variables ── first boot ─▶ user mode ◀── set_uefi_mode(user) takes the variables away
//!        empty variables: setup mode        ◀── set_uefi_mode(setup)
//! ```

use super::allowed::permit;
use super::boot;
use super::memory::machine_of;
use crate::command::{Call, Draft, Reading};
use crate::error::{ApiError, codes};
use crate::model::{VM, pool};
use crate::value::{Map, Value};
use crate::views::Object;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::sync::Arc;

const VARIABLES: &str = "EFI-variables";

type Answer = Result<Value, ApiError>;

/// Whether its firmware is one that has variables.
fn is_uefi(machine: &Object) -> bool {
    let firmware = machine.get(VM::HVM_boot_params).get("firmware").map(Value::as_str).unwrap_or_default();
    boot::is_hvm(machine) && firmware == "uefi"
}

fn assert_uefi(machine: &Object) -> Result<(), ApiError> {
    if is_uefi(machine) { Ok(()) } else { Err(codes::OPERATION_NOT_ALLOWED("the machine's firmware is not UEFI")) }
}

/// Whether a variable of that name is among the firmware's: its name stands there in UTF-16.
fn has(variables: &[u8], name: &str) -> bool {
    let wanted: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
    // A name ends where the data begins, so a longer one with the same end is another.
    variables.windows(wanted.len()).enumerate().any(|(at, window)| {
        let before = at.checked_sub(2).and_then(|at| variables.get(at..at + 2));
        let letter = before.is_some_and(|unit| unit[0].is_ascii_alphanumeric() && unit[1] == 0);
        let after = variables.get(at + wanted.len()..at + wanted.len() + 2);
        let longer = after.is_some_and(|unit| unit[0].is_ascii_alphanumeric() && unit[1] == 0);
        window == wanted && !letter && !longer
    })
}

/// `VM.get_secureboot_readiness(self)`
pub fn secureboot_readiness(reading: &Reading<'_>, call: &Call) -> Answer {
    Ok(Value::from(readiness(&*machine_of(reading, call)?)))
}

fn readiness(machine: &Object) -> &'static str {
    let wanted = machine.get(VM::platform).get("secureboot").map(Value::as_str).unwrap_or_default();
    if !is_uefi(machine) {
        return "not_supported";
    }
    if !matches!(wanted, "true" | "1" | "auto") {
        return "disabled";
    }
    let Some(stored) = machine.get(VM::NVRAM).get(VARIABLES) else { return "first_boot" };
    let variables = BASE64.decode(stored.as_str()).unwrap_or_default();
    let [platform, exchange, trusted, revoked] = ["PK", "KEK", "db", "dbx"].map(|name| has(&variables, name));
    match (platform, exchange && trusted, revoked) {
        (false, ..) => "setup_mode",
        (true, true, true) => "ready",
        (true, true, false) => "ready_no_dbx",
        (true, false, _) => "certs_incomplete",
    }
}

/// `VM.set_uefi_mode(self, mode)`: what the firmware finds at the next start.
pub fn set_uefi_mode(draft: &mut Draft, call: &Call) -> Answer {
    let (vm, mode) = (call.reference(0), call.args[1].as_str());
    let machine = permit(draft, vm, "changing_NVRAM")?;
    assert_uefi(&machine)?;
    let mut variables: Map = machine.get(VM::NVRAM).clone();
    if mode == "setup" {
        variables.insert(Arc::from(VARIABLES), Value::text(""));
    } else {
        let certified = draft.view().all::<pool>().any(|pool| {
            !pool.get(pool::custom_uefi_certificates).is_empty() || !pool.get(pool::uefi_certificates).is_empty()
        });
        if !certified {
            return Err(codes::OPERATION_NOT_ALLOWED("the pool has no certificates for firmware"));
        }
        variables.remove(VARIABLES);
    }
    draft.set(vm, VM::NVRAM, if variables.is_empty() { Value::empty_map() } else { Value::Map(Arc::new(variables)) });
    Ok(Value::from(format!("{mode} mode from the next start on")))
}

/// `VM.update_secureboot_certificates_on_boot(self, mark)`: only where there is an update.
pub fn update_certificates_on_boot(draft: &mut Draft, call: &Call) -> Answer {
    let vm = call.reference(0);
    let machine = draft.find::<VM>(vm)?;
    assert_uefi(&machine)?;
    match (machine.get(VM::secureboot_certificates_state), call.bool(1)) {
        ("ok", true) => return Err(codes::OPERATION_NOT_ALLOWED("the certificates are the newest")),
        ("update_available", true) => draft.set(vm, VM::secureboot_certificates_state, "update_on_boot"),
        ("update_on_boot", false) => draft.set(vm, VM::secureboot_certificates_state, "update_available"),
        _ => {}
    }
    Ok(Value::Void)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(names: &[&str]) -> Vec<u8> {
        let data =
            |name: &&str| name.encode_utf16().flat_map(u16::to_le_bytes).chain([0xfe, 0xff]).collect::<Vec<u8>>();
        names.iter().flat_map(data).collect()
    }

    #[test]
    fn variables_are_found_by_their_whole_name() {
        assert!(has(&utf16(&["PK"]), "PK"));
        assert!(!has(&utf16(&["PKDefault"]), "PK"));
        assert!(!has(&utf16(&["dbx"]), "db"));
        assert!(has(&utf16(&["dbx", "db"]), "db"));
        assert!(!has(b"", "db"));
    }
}
