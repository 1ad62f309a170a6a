//! How a machine boots: what kind of domain it needs, and the record of what
//! it was given when it booted. Reads one machine's record and nothing else.

use crate::model::{MODEL, VM};
use crate::value::{self, Value};
use crate::views::Object;
use serde_json::{Map as JsonMap, Value as Json};

/// The fields whose value at boot matters while the machine runs.
const AT_BOOT: [&str; 18] = [
    "HVM_boot_params",
    "HVM_boot_policy",
    "HVM_shadow_multiplier",
    "PCI_bus",
    "PV_args",
    "PV_bootloader",
    "PV_bootloader_args",
    "PV_kernel",
    "PV_legacy_args",
    "PV_ramdisk",
    "VCPUs_at_startup",
    "VCPUs_max",
    "VCPUs_params",
    "domain_type",
    "has_vendor_device",
    "memory_static_max",
    "memory_static_min",
    "platform",
];

/// The machine's domain type; a machine that does not say has one implied by its boot policy.
pub fn domain_type(machine: &Object) -> &'static str {
    match machine.get(VM::domain_type) {
        "unspecified" if machine.get(VM::HVM_boot_policy).is_empty() => "pv",
        "unspecified" => "hvm",
        said => said,
    }
}

/// Fully virtualised, with emulated devices.
pub fn is_hvm(machine: &Object) -> bool {
    domain_type(machine) == "hvm"
}

/// What `last_booted_record` keeps: JSON of the fields that matter.
pub fn record(machine: &Object) -> String {
    let fields = AT_BOOT.iter().filter_map(|name| {
        let index = MODEL.field(crate::model::ClassId::VM, name)?;
        Some((name.to_string(), value::to_json(&machine.record[index])))
    });
    Json::Object(fields.collect::<JsonMap<_, _>>()).to_string()
}

/// The values at boot, by field; none for a machine that never booted.
pub fn recorded(machine: &Object) -> Vec<(usize, Value)> {
    let class = crate::model::ClassId::VM;
    let Ok(Json::Object(stored)) = serde_json::from_str(machine.get(VM::last_booted_record)) else {
        return Vec::new();
    };
    let fields = stored.iter().filter_map(|(name, json)| {
        let index = MODEL.field(class, name)?;
        Some((index, value::from_json(class.def().fields[index].ty, json)?))
    });
    fields.collect()
}
