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
    ("unable to add disk devices", disk_refused),
    ("unable to add vif devices", nic_refused),
];

/// What is said of a device that does not come or go: by its script, which has 40 s, or by its back end.
const LATE: &[&str] = &["killing execution of /etc/xen/scripts/", "wanted state"];

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
    if LATE.iter().any(|said| text.contains(said)) {
        return device_late(about, text);
    }
    let known = SAID.iter().find(|(said, _)| text.contains(said));
    let message = telling(text);
    match known {
        Some((_, error)) => error(about, &message),
        None if matches!(about.command, "create" | "restore") => {
            codes::DOMAIN_BUILDER_ERROR(about.command, status(&failure), message)
        }
        None => refused(about, &message),
    }
}

/// The error for what nobody foresaw.
fn refused(about: &About<'_>, message: &str) -> ApiError {
    match about.command {
        "block-attach" => disk_refused(about, message),
        "network-attach" => nic_refused(about, message),
        command if command.ends_with("-detach") => codes::DEVICE_DETACH_REJECTED("device", about.device, message),
        command => codes::INTERNAL_ERROR(format!("xl {command}: {message}")),
    }
}

/// A device did not come, or go, in time. A machine that is built has several: the text says of which kind.
fn device_late(about: &About<'_>, text: &str) -> ApiError {
    let nic = ["/scripts/vif", "/backend/vif/", "unable to add vif"].iter().any(|said| text.contains(said));
    let class = if nic { "VIF" } else { "VBD" };
    let machine = about.machine.uuid_text();
    let device = if about.device.is_empty() { &machine } else { about.device };
    match about.command.ends_with("-detach") {
        true => codes::DEVICE_DETACH_TIMEOUT(class, device),
        false => codes::DEVICE_ATTACH_TIMEOUT(class, device),
    }
}

fn disk_refused(_: &About<'_>, message: &str) -> ApiError {
    codes::SR_BACKEND_FAILURE("the disk cannot be attached", "", message)
}

fn nic_refused(about: &About<'_>, _: &str) -> ApiError {
    codes::CANNOT_PLUG_VIF(about.device)
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

    #[test]
    fn a_device_that_cannot_be_attached_is_told_as_such() {
        let failed = |command: &str, text: &str| {
            let about = About { command, machine: Ref([1; 16]), memory: 512, device: "xvdb" };
            let error = of(Failure::Said { status: 1, text: text.into() }, &about);
            (error.code, error.params.to_vec())
        };
        let late = "libxl: error: libxl_aoutils.c:539:async_exec_timeout: killing execution of \
                    /etc/xen/scripts/vif-bridge online because of timeout\n\
                    libxl: error: libxl_create.c:1921:domcreate_attach_devices: Domain 1:unable to add vif devices\n";
        let told = |code, class: &str| (code, vec![class.to_string(), "xvdb".to_string()]);
        assert_eq!(failed("create", late), told("DEVICE_ATTACH_TIMEOUT", "VIF"));
        assert_eq!(failed("block-attach", "backend vbd/3/5 wanted state 4 timed out").0, "DEVICE_ATTACH_TIMEOUT");
        let back = "libxl: error: x: backend /local/domain/0/backend/vif/3/0/state wanted state 6 timed out";
        assert_eq!(failed("network-detach", back), told("DEVICE_DETACH_TIMEOUT", "VIF"));
        assert_eq!(failed("block-attach", "libxl: error: nothing known").0, "SR_BACKEND_FAILURE");
        assert_eq!(failed("network-attach", "libxl: error: nothing known").0, "CANNOT_PLUG_VIF");
        assert_eq!(failed("restore", "libxl: error: x: Domain 3:unable to add disk devices").0, "SR_BACKEND_FAILURE");
    }
}
