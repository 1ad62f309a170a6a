//! What becomes of an object when one that it refers to is deleted: one line
//! for each field of the model that holds references. Deleting follows this
//! table; messages only look first whether it may happen.

use super::ClassId;
use std::collections::HashMap;
use std::sync::LazyLock;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The object that refers goes too.
    Goes,
    /// It stays, and the reference is taken out of the field.
    Stays,
}

/// One field that holds references.
pub struct Rule {
    /// `VBD.VDI`
    pub field: &'static str,
    pub fate: Fate,
    /// The error that a message answers as long as there is such a reference, if one looks at that: then nothing goes.
    pub refused: Option<&'static str>,
    /// What a client should know beside.
    pub note: &'static str,
}

const fn goes(field: &'static str) -> Rule {
    Rule { field, fate: Fate::Goes, refused: None, note: "" }
}

const fn stays(field: &'static str) -> Rule {
    Rule { field, fate: Fate::Stays, refused: None, note: "" }
}

impl Rule {
    const fn refused(self, code: &'static str, note: &'static str) -> Rule {
        Rule { refused: Some(code), note, ..self }
    }

    const fn note(self, note: &'static str) -> Rule {
        Rule { note, ..self }
    }
}

/// Every field that holds references, by the class that it refers to.
pub const RULES: &[Rule] = &[
    stays("PIF.bond_slave_of"),
    goes("Cluster_host.cluster"),
    stays("SR.introduced_by"),
    stays("Host_driver.active_variant"),
    stays("Host_driver.selected_variant"),
    stays("PGPU.GPU_group"),
    goes("VGPU.GPU_group"),
    stays("VGPU_type.supported_on_GPU_groups"),
    goes("Driver_variant.driver"),
    stays("PCI.dependencies"),
    stays("PCI.attached_VMs"),
    goes("PGPU.PCI"),
    stays("PIF.PCI"),
    stays("VGPU.PCI"),
    stays("VGPU.resident_on"),
    stays("VGPU.scheduled_to_be_resident_on"),
    goes("Bond.master"),
    stays("Bond.primary_slave"),
    stays("Cluster_host.PIF"),
    goes("VLAN.tagged_PIF").refused("PIF_VLAN_STILL_EXISTS", "`PIF.forget` refuses"),
    goes("VLAN.untagged_PIF").note("`PIF.destroy` is `VLAN.destroy`"),
    goes("network_sriov.physical_PIF").refused("PIF_SRIOV_STILL_EXISTS", "`PIF.forget` refuses"),
    goes("network_sriov.logical_PIF"),
    goes("tunnel.access_PIF"),
    goes("tunnel.transport_PIF").refused("PIF_TUNNEL_STILL_EXISTS", "`PIF.forget` refuses"),
    stays("PIF.metrics"),
    goes("PVS_cache_storage.site"),
    goes("PVS_proxy.site"),
    goes("PVS_server.site"),
    stays("Caller.rate_limit"),
    stays("pool.repositories"),
    goes("PBD.SR").note("refused with `SR_HAS_PBD` while one is plugged in"),
    goes("PVS_cache_storage.SR"),
    goes("VDI.SR").refused("SR_NOT_EMPTY", "`SR.destroy` refuses; `SR.forget` forgets them"),
    stays("VM.suspend_SR"),
    stays("host.suspend_image_sr"),
    stays("host.crash_dump_sr"),
    stays("host.local_cache_sr"),
    stays("pool.default_SR"),
    stays("pool.suspend_image_SR"),
    stays("pool.crash_dump_SR"),
    stays("PUSB.USB_group").refused("USB_GROUP_CONTAINS_PUSB", ""),
    goes("VUSB.USB_group").refused("USB_GROUP_CONTAINS_VUSB", ""),
    stays("VBD.metrics"),
    stays("PVS_cache_storage.VDI"),
    goes("VBD.VDI").note("a drive stays, empty; refused with `VDI_IN_USE` while one is attached"),
    stays("VDI.parent"),
    stays("VDI.snapshot_of"),
    stays("VM.suspend_VDI").note("refused with `VDI_IN_USE` while the machine is suspended"),
    goes("crashdump.VDI"),
    stays("pool.redo_log_vdi"),
    stays("pool_update.vdi"),
    stays("GPU_group.supported_VGPU_types"),
    stays("GPU_group.enabled_VGPU_types"),
    stays("PGPU.supported_VGPU_types"),
    stays("PGPU.enabled_VGPU_types"),
    stays("PGPU.supported_VGPU_max_capacities"),
    goes("VGPU.type"),
    stays("VGPU_type.compatible_types_in_vm"),
    goes("PVS_proxy.VIF"),
    stays("network.assigned_ips"),
    stays("VIF.metrics"),
    stays("PIF.VLAN_master_of"),
    goes("VBD.VM"),
    goes("VGPU.VM"),
    goes("VIF.VM"),
    stays("VM.snapshot_of"),
    stays("VM.parent").note("its children hang where it hung"),
    goes("VTPM.VM"),
    stays("VTPM.backend"),
    goes("VUSB.VM"),
    goes("console.VM"),
    goes("crashdump.VM"),
    stays("host.control_domain"),
    stays("VM.protection_policy"),
    stays("VM.snapshot_schedule").refused("VMSS_HAS_VM", ""),
    stays("VM.appliance"),
    stays("VM.groups"),
    stays("VM.guest_metrics"),
    stays("VM.metrics"),
    stays("SR.blobs"),
    stays("VM.blobs"),
    stays("host.blobs"),
    stays("network.blobs"),
    stays("pool.blobs"),
    goes("Certificate.host"),
    goes("Cluster_host.host"),
    goes("Feature.host"),
    goes("Host_driver.host"),
    stays("Observer.hosts"),
    goes("PBD.host"),
    goes("PCI.host"),
    goes("PGPU.host"),
    goes("PIF.host"),
    goes("PUSB.host"),
    goes("PVS_cache_storage.host"),
    stays("VM.resident_on").refused("HOST_HAS_RESIDENT_VMS", "its control domain goes along"),
    stays("VM.scheduled_to_be_resident_on"),
    stays("VM.affinity"),
    goes("host_cpu.host"),
    goes("host_crashdump.host"),
    goes("host_patch.host"),
    stays("pool.master").refused("HOST_CANNOT_DESTROY_SELF", ""),
    stays("session.this_host"),
    stays("task.resident_on"),
    stays("host.metrics"),
    stays("PIF.network").refused("NETWORK_CONTAINS_PIF", ""),
    goes("VIF.network").note("refused with `NETWORK_CONTAINS_VIF` while one is attached"),
    stays("VDI.metadata_of_pool"),
    goes("host_patch.pool_patch"),
    stays("host.updates"),
    stays("host.updates_requiring_reboot"),
    stays("pool_patch.pool_update"),
    stays("role.subroles"),
    stays("subject.roles"),
    stays("user.roles"),
    stays("pool.repository_proxy_password"),
    stays("pool.telemetry_uuid"),
    stays("VTPM.contents"),
    stays("session.parent"),
    stays("task.session"),
    stays("session.subject"),
    stays("task.notify"),
    stays("task.subtask_of"),
    goes("session.this_user"),
    goes("subscription.user"),
];

/// The rule for a field of a class, by its index.
pub fn rule(class: ClassId, field: usize) -> &'static Rule {
    static BY_FIELD: LazyLock<HashMap<&str, &'static Rule>> =
        LazyLock::new(|| RULES.iter().map(|rule| (rule.field, rule)).collect());
    static BY_INDEX: LazyLock<HashMap<(ClassId, usize), &'static Rule>> = LazyLock::new(|| {
        let named = super::CLASSES.iter().flat_map(|class| {
            let fields = class.fields.iter().enumerate();
            fields.filter_map(|(index, field)| {
                let name = format!("{}.{}", class.name, field.name);
                Some(((class.id, index), *BY_FIELD.get(&*name)?))
            })
        });
        named.collect()
    });
    let found = BY_INDEX.get(&(class, field)).copied();
    found.unwrap_or_else(|| panic!("BUG: no rule for {}.{}", class.name(), class.def().fields[field].name))
}
