//! What implied messages raise when their class has rules of its own: beside
//! what their kind declares, and what is common to all.

/// Message and codes. A message that no rule concerns is not listed.
pub const RAISED: &[(&str, &[&str])] = &[
    ("PBD.create", &["INVALID_VALUE", "OTHER_OPERATION_IN_PROGRESS", "PBD_EXISTS"]),
    ("PBD.destroy", &["OPERATION_NOT_ALLOWED", "OTHER_OPERATION_IN_PROGRESS"]),
    (
        "VBD.create",
        &[
            "DEVICE_ALREADY_EXISTS",
            "INVALID_DEVICE",
            "VDI_READONLY",
            "VBD_CDS_MUST_BE_READONLY",
            "VBD_NOT_REMOVABLE_MEDIA",
            "VDI_IS_NOT_ISO",
        ],
    ),
    ("VBD.destroy", &["DEVICE_ALREADY_ATTACHED", "OTHER_OPERATION_IN_PROGRESS"]),
    ("VBD.set_type", &["DEVICE_ALREADY_ATTACHED", "OTHER_OPERATION_IN_PROGRESS", "VBD_CDS_MUST_BE_READONLY"]),
    (
        "VBD.set_userdevice",
        &["DEVICE_ALREADY_ATTACHED", "DEVICE_ALREADY_EXISTS", "INVALID_DEVICE", "OTHER_OPERATION_IN_PROGRESS"],
    ),
    (
        "VDI.create",
        &[
            "OTHER_OPERATION_IN_PROGRESS",
            "INVALID_VALUE",
            "SR_FULL",
            "SR_HAS_NO_PBDS",
            "SR_NOT_ATTACHED",
            "SR_OPERATION_NOT_SUPPORTED",
        ],
    ),
    (
        "VDI.destroy",
        &[
            "OPERATION_NOT_ALLOWED",
            "OTHER_OPERATION_IN_PROGRESS",
            "SR_HAS_NO_PBDS",
            "SR_NOT_ATTACHED",
            "SR_OPERATION_NOT_SUPPORTED",
            "VDI_IN_USE",
        ],
    ),
    ("VIF.create", &["DEVICE_ALREADY_EXISTS", "INVALID_VALUE", "INVALID_DEVICE", "MAC_INVALID"]),
    ("VIF.destroy", &["DEVICE_ALREADY_ATTACHED", "OTHER_OPERATION_IN_PROGRESS"]),
    ("VMSS.create", &["INVALID_VALUE"]),
    ("VMSS.destroy", &["VMSS_HAS_VM"]),
    ("VM.create", &["INVALID_VALUE", "MEMORY_CONSTRAINT_VIOLATION"]),
    (
        "VM.destroy",
        &[
            "OPERATION_BLOCKED",
            "OPERATION_NOT_ALLOWED",
            "OTHER_OPERATION_IN_PROGRESS",
            "VM_BAD_POWER_STATE",
            "VM_CANNOT_DELETE_DEFAULT_TEMPLATE",
        ],
    ),
    (
        "VM.set_is_a_template",
        &[
            "OPERATION_BLOCKED",
            "OPERATION_NOT_ALLOWED",
            "OTHER_OPERATION_IN_PROGRESS",
            "VM_ASSIGNED_TO_SNAPSHOT_SCHEDULE",
            "VM_BAD_POWER_STATE",
            "VM_IS_PART_OF_AN_APPLIANCE",
            "VM_IS_SNAPSHOT",
        ],
    ),
    ("console.create", &["OPERATION_NOT_ALLOWED"]),
    ("console.destroy", &["OPERATION_NOT_ALLOWED"]),
    ("network.create", &["BRIDGE_NAME_EXISTS", "INVALID_VALUE"]),
    (
        "network.destroy",
        &["CANNOT_DESTROY_SYSTEM_NETWORK", "NETWORK_CONTAINS_PIF", "NETWORK_CONTAINS_VIF", "OPERATION_NOT_ALLOWED"],
    ),
    ("pool.set_completed_task_limit", &["VALUE_NOT_SUPPORTED"]),
    ("pool.set_completed_task_timeout", &["VALUE_NOT_SUPPORTED"]),
    ("pool.set_pending_task_limit", &["VALUE_NOT_SUPPORTED"]),
    ("pool.set_session_idle_timeout", &["VALUE_NOT_SUPPORTED"]),
    ("pool.set_session_limit", &["VALUE_NOT_SUPPORTED"]),
    ("pool.set_session_max_lifetime", &["VALUE_NOT_SUPPORTED"]),
    ("pool.set_stream_limit", &["VALUE_NOT_SUPPORTED"]),
    ("pool.set_subscription_limit", &["VALUE_NOT_SUPPORTED"]),
    ("pool.set_waiting_call_limit", &["VALUE_NOT_SUPPORTED"]),
    ("subject.create", &["SUBJECT_ALREADY_EXISTS"]),
    ("subscription.create", &["EVENT_FROM_TOKEN_PARSE_FAILURE", "EVENTS_LOST"]),
    ("user.create", &["DB_UNIQUENESS_CONSTRAINT_VIOLATION"]),
    ("user.destroy", &["OPERATION_NOT_ALLOWED"]),
];

/// All that an implied message raises.
pub fn with(full_name: &str, errors: &'static [&'static str]) -> &'static [&'static str] {
    match RAISED.iter().find(|(name, _)| *name == full_name) {
        // Made once, and kept as long as the program.
        Some((_, more)) => Vec::leak([errors, more].concat()),
        None => errors,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MODEL;

    #[test]
    fn what_is_listed_is_an_implied_message() {
        for (name, _) in RAISED {
            let message = MODEL.message(name).unwrap_or_else(|| panic!("{name} is no message"));
            assert!(message.implied.is_some(), "{name} declares its errors itself");
        }
    }
}
