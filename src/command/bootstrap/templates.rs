//! The templates that a new pool has: one for each way in which a machine can
//! boot.

use super::super::Draft;
use super::super::draft::Fields;
use super::{GIB, MIB};
use crate::model::VM;
use crate::value::Value;

/// What one template says.
struct Template {
    label: &'static str,
    description: &'static str,
    domain: &'static str,
    memory: i64,
    vcpus: i64,
    /// Bytes of the disk it is provisioned with; 0 for none.
    disk: i64,
    methods: &'static str,
}

const TEMPLATES: [Template; 4] = [
    Template {
        label: "Other install media",
        description: "Boots any system from a disc or the network, fully virtualised",
        domain: "hvm",
        memory: 256 * MIB,
        vcpus: 1,
        disk: 0,
        methods: "cdrom",
    },
    Template {
        label: "Generic Linux UEFI",
        description: "A current Linux from a disc or the network, with UEFI",
        domain: "hvm",
        memory: GIB,
        vcpus: 2,
        disk: 10 * GIB,
        methods: "cdrom,http,nfs",
    },
    Template {
        label: "Linux PVH",
        description: "A current Linux kernel without an emulated machine around it",
        domain: "pvh",
        memory: 512 * MIB,
        vcpus: 1,
        disk: 10 * GIB,
        methods: "cdrom,http",
    },
    Template {
        label: "Linux PV",
        description: "A paravirtualised Linux, as on processors without virtualisation",
        domain: "pv",
        memory: 512 * MIB,
        vcpus: 1,
        disk: 10 * GIB,
        methods: "cdrom,http",
    },
];

pub(super) fn make(draft: &mut Draft) {
    for template in &TEMPLATES {
        draft.create(fields(template));
    }
}

fn fields(template: &Template) -> Fields<VM> {
    let fields = Fields::<VM>::new()
        .with(VM::name_label, template.label)
        .with(VM::name_description, template.description)
        .with(VM::reference_label, template.label.to_lowercase().replace(' ', "-"))
        .with(VM::is_a_template, true)
        .with(VM::is_default_template, true)
        .with(VM::domid, -1)
        .with(VM::domain_type, template.domain)
        .with(VM::user_version, 1)
        .with(VM::memory_static_min, template.memory / 2)
        .with(VM::memory_dynamic_min, template.memory)
        .with(VM::memory_dynamic_max, template.memory)
        .with(VM::memory_static_max, template.memory)
        .with(VM::VCPUs_max, template.vcpus)
        .with(VM::VCPUs_at_startup, template.vcpus)
        .with(VM::actions_after_shutdown, "destroy")
        .with(VM::actions_after_reboot, "restart")
        .with(VM::actions_after_crash, "restart")
        .with(VM::has_vendor_device, false)
        .with(VM::recommendations, recommendations(template))
        .with(VM::other_config, other_config(template));
    match template.domain {
        "hvm" => fields
            .with(VM::HVM_boot_policy, "BIOS order")
            .with(VM::HVM_boot_params, boot_params(template))
            .with(VM::platform, platform(template)),
        "pvh" => fields.with(VM::PV_args, "console=hvc0"),
        _ => fields.with(VM::PV_bootloader, "pygrub").with(VM::PV_args, "console=hvc0"),
    }
}

fn boot_params(template: &Template) -> Value {
    let firmware = if template.label.ends_with("UEFI") { "uefi" } else { "bios" };
    Value::map([("order", "cdn".into()), ("firmware", firmware.into())])
}

fn platform(template: &Template) -> Value {
    let uefi = template.label.ends_with("UEFI");
    Value::map([
        ("acpi", "1".into()),
        ("apic", "true".into()),
        ("pae", "true".into()),
        ("nx", "true".into()),
        ("viridian", "false".into()),
        ("vga", "std".into()),
        ("videoram", "8".into()),
        ("device-model", Value::text(if uefi { "qemu-upstream-uefi" } else { "qemu-upstream-compat" })),
    ])
}

/// Limits that clients show beside their controls.
fn recommendations(template: &Template) -> String {
    let memory = template.memory / 2;
    format!(
        "<restrictions><restriction field=\"memory-static-max\" max=\"1649267441664\" min=\"{memory}\"/>\
         <restriction field=\"vcpus-max\" max=\"64\"/>\
         <restriction property=\"number-of-vbds\" max=\"255\"/>\
         <restriction property=\"number-of-vifs\" max=\"7\"/></restrictions>"
    )
}

fn other_config(template: &Template) -> Value {
    let mut entries = vec![
        ("default_template", Value::from("true")),
        ("install-methods", template.methods.into()),
        ("linux_template", (if template.domain == "hvm" && template.disk == 0 { "false" } else { "true" }).into()),
    ];
    if template.disk > 0 {
        let disks = format!(
            "<provision><disk device=\"0\" size=\"{}\" sr=\"\" bootable=\"true\" type=\"system\"/></provision>",
            template.disk
        );
        entries.push(("disks", disks.into()));
    }
    Value::map(entries)
}
