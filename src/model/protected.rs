//! Keys of maps with roles of their own: who may set one of them is not who
//! may set the map.

use super::{ClassId, Roles};

/// One key, in the map of that name of some classes.
pub struct Protected {
    pub classes: &'static [ClassId],
    pub field: &'static str,
    /// The key; with a `*` at its end, all that begin like it.
    pub key: &'static str,
    pub roles: Roles,
}

use ClassId::{SR, VDI, VM, host, network, pool, task};

/// What clients sort objects into folders with, and note about them.
const LABELLED: &[ClassId] = &[VM, VDI, SR, network, host, pool];

pub const PROTECTED: &[Protected] = &[
    Protected { classes: LABELLED, field: "other_config", key: "folder", roles: Roles::vm_operator },
    Protected { classes: LABELLED, field: "other_config", key: "XenCenter.CustomFields.*", roles: Roles::vm_operator },
    Protected { classes: &[pool], field: "other_config", key: "EMPTY_FOLDERS", roles: Roles::vm_operator },
    Protected {
        classes: &[network],
        field: "other_config",
        key: "XenCenterCreateInProgress",
        roles: Roles::vm_operator,
    },
    Protected { classes: &[task], field: "other_config", key: "applies_to", roles: Roles::vm_operator },
    Protected { classes: &[task], field: "other_config", key: "XenCenterUUID", roles: Roles::vm_operator },
    Protected {
        classes: &[task],
        field: "other_config",
        key: "XenCenterMeddlingActionTitle",
        roles: Roles::vm_operator,
    },
    // What reaches the host's own devices and files.
    Protected { classes: &[VM], field: "other_config", key: "pci", roles: Roles::pool_admin },
    Protected { classes: &[VM], field: "other_config", key: "hvm_serial", roles: Roles::pool_admin },
    Protected { classes: &[VM], field: "platform", key: "hvm_serial", roles: Roles::pool_admin },
];

impl Protected {
    pub fn is(&self, key: &str) -> bool {
        match self.key.strip_suffix('*') {
            Some(beginning) => key.starts_with(beginning),
            None => key == self.key,
        }
    }
}

/// The protected keys of a map.
pub fn of(class: ClassId, field: &str) -> impl Iterator<Item = &'static Protected> {
    PROTECTED.iter().filter(move |one| one.field == field && one.classes.contains(&class))
}
