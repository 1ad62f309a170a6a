//! From what `xl` says when it fails to the error that a client understands.
//! What it said goes to the server's own log, whole; a client gets the code,
//! and where the code has room for a message, the line that says most.

use super::xl::Failure;
use crate::error::{ApiError, codes};
use crate::value::Ref;

/// Bytes of what was said that a client gets.
const MESSAGE_MAX: usize = 300;

/// What an error is about.
pub struct About<'a> {
    /// The command: `create`.
    pub command: &'a str,
    pub machine: Ref,
    /// Bytes of memory that it needs.
    pub memory: i64,
    /// The device: `xvda`.
    pub device: &'a str,
}

/// From what an action is about and what was said to the error that a client gets.
type Told = fn(&About<'_>, &str) -> ApiError;

/// What was said on a failure, and the error for it.
const SAID: &[(&str, Told)] = &[
    ("failed to free memory", not_enough_memory),
    ("not enough free memory", not_enough_memory),
    ("Cannot allocate memory", not_enough_memory),
    ("populate_physmap", not_enough_memory),
    ("bootloader failed", bootloader),
    ("pygrub", bootloader),
    ("didn't acknowledge control request", |about, _| {
        codes::VM_FAILED_SHUTDOWN_ACKNOWLEDGMENT(about.machine.uuid_text())
    }),
    ("didn't acknowledge suspend", |about, _| codes::VM_FAILED_SUSPEND_ACKNOWLEDGMENT(about.machine.uuid_text())),
    ("already exists", |about, _| codes::DEVICE_ALREADY_EXISTS(about.device)),
    ("is loopback-mounted", in_use),
    ("is mounted", in_use),
];

/// The error for a client.
pub fn of(failure: Failure, about: &About<'_>) -> ApiError {
    let machine = about.machine.uuid_text();
    tracing::warn!(command = about.command, machine, %failure, "xl failed");
    let text = match &failure {
        Failure::Said { text, .. } => text,
        Failure::Stuck(_) | Failure::Io(_) => {
            return codes::INTERNAL_ERROR(format!("xl {} was ended: {failure}", about.command));
        }
    };
    let known = SAID.iter().find(|(said, _)| text.contains(said));
    let message = telling(text);
    match known {
        Some((_, error)) => error(about, &message),
        None if matches!(about.command, "create" | "restore") => {
            codes::DOMAIN_BUILDER_ERROR(about.command, status(&failure), message)
        }
        None if about.command.ends_with("-detach") => codes::DEVICE_DETACH_REJECTED("device", about.device, message),
        None => codes::INTERNAL_ERROR(format!("xl {}: {message}", about.command)),
    }
}

fn status(failure: &Failure) -> i32 {
    if let Failure::Said { status, .. } = failure { *status } else { -1 }
}

/// The host's free memory is filled in by whoever can ask for it.
fn not_enough_memory(about: &About<'_>, _: &str) -> ApiError {
    codes::HOST_NOT_ENOUGH_FREE_MEMORY(about.memory, 0)
}

fn bootloader(about: &About<'_>, message: &str) -> ApiError {
    codes::BOOTLOADER_FAILED(about.machine.uuid_text(), message)
}

fn in_use(_: &About<'_>, message: &str) -> ApiError {
    codes::SR_BACKEND_FAILURE("the disk is in use", "", message)
}

/// The line that says most: the first that names an error; what comes after it follows from it.
fn telling(text: &str) -> String {
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = lines().find(|line| line.contains("rror")).or_else(|| lines().next()).unwrap_or("it said nothing");
    // `libxl: error: libxl_create.c:1234:domcreate_x: Domain 3:Reason`
    let reason = line.rsplit_once("Domain ").and_then(|(_, rest)| rest.split_once(':')).map_or(line, |(_, rest)| rest);
    reason.chars().filter(|c| !c.is_control()).take(MESSAGE_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xl_says_becomes_what_clients_know() {
        let about = About { command: "create", machine: Ref([1; 16]), memory: 512, device: "xvda" };
        let failed = |text: &str| of(Failure::Said { status: 3, text: text.into() }, &about);
        let memory = failed(include_str!("recorded/no-memory.txt"));
        assert_eq!((memory.code, &*memory.params[0]), ("HOST_NOT_ENOUGH_FREE_MEMORY", "512"));
        let kernel = failed(include_str!("recorded/no-kernel.txt"));
        assert_eq!(kernel.code, "DOMAIN_BUILDER_ERROR");
        assert!(kernel.params[2].contains("/guest/none"), "{kernel:?}");
        assert_eq!(failed("libxl: error: pygrub died").code, "BOOTLOADER_FAILED");
        let silent =
            failed("libxl: error: libxl_domain.c:854:pvcontrol_cb: guest didn't acknowledge control request: -9");
        assert_eq!(silent.code, "VM_FAILED_SHUTDOWN_ACKNOWLEDGMENT");
        let stuck = of(Failure::Stuck("it did not end in time"), &about);
        assert_eq!(stuck.code, "INTERNAL_ERROR");
        let detached = of(
            Failure::Said { status: 1, text: "libxl: error: x".into() },
            &About { command: "block-detach", ..about },
        );
        assert_eq!(detached.code, "DEVICE_DETACH_REJECTED");
    }
}
