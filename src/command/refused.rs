//! The messages that answer `NOT_IMPLEMENTED`, and why; and what becomes of
//! every message. One that is neither implied, nor bound, nor listed here
//! fails a test: nothing is left out by accident.

use crate::model::export::Status;
use crate::model::{Implied, Lifecycle, MODEL, Message};
use std::sync::LazyLock;

/// A reason, and the messages that it keeps from being served: one by name, or all that a class declares.
pub struct Refused {
    pub why: &'static str,
    pub messages: &'static [&'static str],
}

/// Every refusal by design.
pub const REFUSED: &[Refused] = &[
    Refused {
        why: "one server has one pool, and the pool one coordinator",
        messages: &["pool.sync_trusted_certificates_from"],
    },
    Refused {
        why: "high availability and its redo log need shared storage; every event is durable without",
        messages: &["pool.enable_ha", "pool.enable_redo_log"],
    },
    Refused {
        why: "machines are not read from files or other hypervisors",
        messages: &["VM.import", "VM.import_convert"],
    },
    Refused {
        why: "there is no workload balancing server",
        messages: &["pool.initialize_wlb", "pool.deconfigure_wlb", "pool.send_wlb_configuration"],
    },
    Refused {
        why: "users are the server's own; there is no directory",
        messages: &[
            "pool.enable_external_auth",
            "pool.external_auth_set_ldaps",
            "host.enable_external_auth",
            "host.disable_external_auth",
            "host.external_auth_set_ldaps",
        ],
    },
    Refused {
        why: "the host's packages are the distribution's to update",
        messages: &[
            "pool.sync_updates",
            "pool.configure_repository_proxy",
            "pool.disable_repository_proxy",
            "host.apply_updates",
            "host.rescan_drivers",
            "Host_driver.*",
            "Driver_variant.*",
            "Repository.*",
            "pool_patch.*",
            "pool_update.*",
            "host_patch.*",
        ],
    },
    Refused { why: "there are no licences", messages: &["host.license_add", "host.license_remove"] },
    Refused {
        why: "the vendor's server for reports and dumps would have to take them",
        messages: &["host.bugreport_upload", "host_crashdump.upload"],
    },
    Refused {
        why: "nothing is sent to anybody unasked",
        messages: &["pool.reset_telemetry_uuid", "pool.send_test_post", "pool.test_archive_target"],
    },
    Refused { why: "graphics processors are their makers' to share", messages: &["PGPU.*", "GPU_group.*", "VGPU.*"] },
    Refused {
        why: "the product behind it is not part of this server",
        messages: &[
            "Cluster.*",
            "Cluster_host.*",
            "PVS_site.*",
            "PVS_server.*",
            "PVS_proxy.*",
            "SDN_controller.*",
            "LVHD.*",
            "DR_task.*",
            "Observer.*",
            "Caller.*",
            "Rate_limit.*",
        ],
    },
];

/// What has code that looks at the arguments, and then always says no: with the error that tells clients most.
pub const CHECKED: &[Refused] = &[
    Refused { why: "one server has one pool", messages: &["pool.join", "pool.join_force"] },
    Refused {
        why: "no guest or host of ours has plug-ins, and none runs another system's set-up",
        messages: &["VM.call_plugin", "VM.call_host_plugin", "VM.sysprep", "host.call_plugin", "host.call_extension"],
    },
];

/// Whether an entry of a list means the message: by its name, or by its class as `VM.*`.
fn means(listed: &str, full_name: &str) -> bool {
    let class = full_name.split_once('.').map(|(class, _)| class);
    listed == full_name || listed.strip_suffix(".*").is_some_and(|all| Some(all) == class)
}

/// Why a message is refused, if it is.
pub fn why(full_name: &str) -> Option<&'static str> {
    let refused =
        REFUSED.iter().chain(CHECKED).find(|refused| refused.messages.iter().any(|listed| means(listed, full_name)));
    refused.map(|refused| refused.why)
}

/// Served by the gateway, which asks others than the writer.
pub const GATEWAY: &[&str] = &[
    "session.login_with_password",
    "session.slave_local_login_with_password",
    "session.change_password",
    "session.create_from_db_file",
    "user.set_password",
    "host.dmesg",
    "host.dmesg_clear",
    "host.get_log",
    "host.get_system_status_capabilities",
    "host.get_server_certificate",
    "host.install_server_certificate",
    "host.refresh_server_certificate",
    "host.reset_server_certificate",
    "host.emergency_reset_server_certificate",
    "host.restart_agent",
    "host.shutdown_agent",
    "host.management_disable",
    "pool.rotate_secret",
    "subscription.get_streams",
    "subscription.poll",
    "subscription.test",
    "task.wait",
    "VDI.open_database",
    "VM.recover",
    "VM_appliance.recover",
    "VM.get_power_state_history",
    "event.*",
    "log.*",
];

/// Whether some code answers the message.
fn is_bound(message: &Message) -> bool {
    (message.implied.is_some() && !makes_nothing(message))
        || super::handler(message).is_some()
        || super::reader(message).is_some()
        || GATEWAY.iter().any(|listed| means(listed, message.full_name))
}

/// What becomes of a message: the one place that knows.
pub fn status(message: &Message) -> Status {
    match why(message.full_name) {
        _ if message.lifecycle == Lifecycle::Removed => Status::Refused("it was taken out of the XenAPI"),
        _ if message.implied.is_some() && !makes_nothing(message) => Status::Works,
        Some(why) => Status::Refused(why),
        None if is_bound(message) => Status::Works,
        None => Status::Refused("not served yet"),
    }
}

/// Whether a call of the message can succeed. Asked at every call, so it is found out once.
pub fn works(message: &Message) -> bool {
    static WORKING: LazyLock<Vec<bool>> =
        LazyLock::new(|| MODEL.messages.iter().map(|message| status(message) == Status::Works).collect());
    WORKING[message.index]
}

/// Whether a message would make an object of a class that is refused whole: it would do nothing.
pub fn makes_nothing(message: &Message) -> bool {
    message.implied == Some(Implied::Create) && why(message.full_name).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_is_served_or_refused_for_a_reason() {
        let forgotten: Vec<&str> = MODEL
            .messages
            .iter()
            .filter(|message| message.lifecycle != Lifecycle::Removed && !is_bound(message))
            .filter(|message| why(message.full_name).is_none())
            .map(|message| message.full_name)
            .collect();
        assert!(forgotten.is_empty(), "neither served nor refused: {forgotten:?}");
    }

    #[test]
    fn what_is_listed_exists_and_is_not_served() {
        for listed in REFUSED.iter().flat_map(|refused| refused.messages) {
            match listed.strip_suffix(".*") {
                Some(class) => assert!(MODEL.class(class).is_some(), "{listed}"),
                None => {
                    let message = MODEL.message(listed).unwrap_or_else(|| panic!("{listed} is no message"));
                    assert!(!is_bound(message), "{listed} is served");
                }
            }
        }
    }

    #[test]
    fn what_is_refused_after_checks_has_code() {
        for listed in CHECKED.iter().flat_map(|refused| refused.messages) {
            let message = MODEL.message(listed).unwrap_or_else(|| panic!("{listed} is no message"));
            assert!(is_bound(message), "{listed}");
        }
    }

    #[test]
    fn what_was_removed_has_no_code() {
        let removed = MODEL.messages.iter().filter(|message| message.lifecycle == Lifecycle::Removed);
        for message in removed {
            assert!(crate::command::handler(message).is_none(), "{}", message.full_name);
            assert!(crate::command::reader(message).is_none(), "{}", message.full_name);
        }
    }
}
