//! Devices passed through to machines: PCI, GPU, USB, PVS.

use super::*;
use crate::model::types::*;
use crate::model::{class, default};

class! {
    /// A PCI device of a host.
    PCI, by(pool_operator);
    enums {
        pci_dom0_access: "enabled" "disable_on_reboot" "disabled" "enable_on_reboot";
    }
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        CO class_id: String = "";
        CO class_name: String = "";
        CO vendor_id: String = "";
        CO vendor_name: String = "";
        CO device_id: String = "";
        CO device_name: String = "";
        CO host: Ref<host> = null;
        CO pci_id: String = "";
        RO dependencies: Set<Ref<PCI>>;
        /// Keys and values for clients to use; every key is kept.
        RW other_config: Map<String, String> = {};
        CO subsystem_vendor_id: String = "";
        CO subsystem_vendor_name: String = "";
        CO subsystem_device_id: String = "";
        CO subsystem_device_name: String = "";
        CO driver_name: String = "";
        RO attached_VMs: Set<Ref<VM>> = {}, internal;
    }
    messages {
        fn get_dom0_access_status(self: Ref<PCI>) -> pci_dom0_access as pool_operator, task, prototyped;
        fn enable_dom0_access(self: Ref<PCI>) -> pci_dom0_access as pool_operator, task, prototyped;
        fn disable_dom0_access(self: Ref<PCI>) -> pci_dom0_access as pool_operator, task, prototyped;
    }
}

class! {
    /// A graphics processor of a host.
    PGPU, by(pool_operator);
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        CO PCI: Ref<PCI> = null;
        CO GPU_group: Ref<GPU_group> = null;
        RO host: Ref<host> = null;
        /// Keys and values for clients to use; every key is kept.
        RW other_config: Map<String, String> = {};
        RO supported_VGPU_types: Set<Ref<VGPU_type>>;
        RO enabled_VGPU_types: Set<Ref<VGPU_type>>;
        RO resident_VGPUs: Set<Ref<VGPU>> => VGPU.resident_on;
        RO supported_VGPU_max_capacities: Map<Ref<VGPU_type>, Int> = {};
        RO dom0_access: pci_dom0_access = enabled, deprecated;
        RO is_system_display_device: Bool = false;
        RO compatibility_metadata: Map<String, String> = {};
    }
    messages {
        fn disable_dom0_access(self: Ref<PGPU>) -> pci_dom0_access as pool_operator, task, deprecated;
        fn enable_dom0_access(self: Ref<PGPU>) -> pci_dom0_access as pool_operator, task, deprecated;
        fn get_remaining_capacity(self: Ref<PGPU>, vgpu_type: Ref<VGPU_type>) -> Int as read_only, task;
        fn set_GPU_group(self: Ref<PGPU>, value: Ref<GPU_group>) -> Void as pool_operator, task;
        fn set_enabled_VGPU_types(self: Ref<PGPU>, value: Set<Ref<VGPU_type>>) -> Void as pool_operator, task;
        fn remove_enabled_VGPU_types(self: Ref<PGPU>, value: Ref<VGPU_type>) -> Void as pool_operator, task;
        fn add_enabled_VGPU_types(self: Ref<PGPU>, value: Ref<VGPU_type>) -> Void as pool_operator, task;
    }
}

class! {
    /// Graphics processors of one kind, over all hosts.
    GPU_group, by(pool_operator);
    enums {
        allocation_algorithm: "breadth_first" "depth_first";
    }
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// Name for people; need not be unique.
        RW name_label: String = "";
        /// Longer text for people.
        RW name_description: String = "";
        RO PGPUs: Set<Ref<PGPU>> => PGPU.GPU_group;
        RO VGPUs: Set<Ref<VGPU>> => VGPU.GPU_group;
        RO GPU_types: Set<String> = {};
        /// Keys and values for clients to use; every key is kept.
        RW other_config: Map<String, String> = {};
        RW allocation_algorithm: allocation_algorithm = depth_first;
        RO supported_VGPU_types: Set<Ref<VGPU_type>>;
        RO enabled_VGPU_types: Set<Ref<VGPU_type>>;
    }
    messages {
        fn get_remaining_capacity(self: Ref<GPU_group>, vgpu_type: Ref<VGPU_type>) -> Int as read_only, task;
        fn destroy(self: Ref<GPU_group>) -> Void as pool_operator, task;
        fn create(name_label: String, name_description: String, other_config: Map<String, String>) -> Ref<GPU_group> as pool_operator, task;
    }
}

class! {
    /// A graphics processor that a machine has.
    VGPU, by(pool_operator);
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        RO VM: Ref<VM>;
        RO GPU_group: Ref<GPU_group>;
        RO device: String = "0";
        RO currently_attached: Bool = false;
        /// Keys and values for clients to use; every key is kept.
        RW other_config: Map<String, String> = {};
        RO r#type: Ref<VGPU_type> = null;
        RO resident_on: Ref<PGPU> = null;
        RO scheduled_to_be_resident_on: Ref<PGPU> = null;
        RO compatibility_metadata: Map<String, String> = {};
        RW extra_args: String = "";
        RO PCI: Ref<PCI> = null;
    }
    messages {
        fn destroy(self: Ref<VGPU>) -> Void as pool_operator, task;
        fn create(VM: Ref<VM>, GPU_group: Ref<GPU_group>, device: String, other_config: Map<String, String>, type: Ref<VGPU_type>) -> Ref<VGPU> as pool_operator, task;
    }
}

class! {
    /// A kind of graphics processor that machines can have.
    VGPU_type;
    enums {
        vgpu_type_implementation: "passthrough" "nvidia" "nvidia_sriov" "gvt_g" "mxgpu";
    }
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        CO vendor_name: String = "";
        CO model_name: String = "";
        CO framebuffer_size: Int = 0;
        CO max_heads: Int = 0;
        CO max_resolution_x: Int = 0;
        CO max_resolution_y: Int = 0;
        RO supported_on_PGPUs: Set<Ref<PGPU>> => PGPU.supported_VGPU_types;
        RO enabled_on_PGPUs: Set<Ref<PGPU>> => PGPU.enabled_VGPU_types;
        RO VGPUs: Set<Ref<VGPU>> => VGPU.type;
        RO supported_on_GPU_groups: Set<Ref<GPU_group>>;
        RO enabled_on_GPU_groups: Set<Ref<GPU_group>> => GPU_group.enabled_VGPU_types;
        CO implementation: vgpu_type_implementation = passthrough;
        CO identifier: String = "";
        CO experimental: Bool = false;
        RO compatible_types_in_vm: Set<Ref<VGPU_type>> = {};
    }
}

class! {
    /// A USB device that is plugged into a host.
    PUSB, by(pool_admin);
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        CO USB_group: Ref<USB_group> = null;
        CO host: Ref<host> = null;
        CO path: String = "";
        CO vendor_id: String = "";
        CO vendor_desc: String = "";
        CO product_id: String = "";
        CO product_desc: String = "";
        CO serial: String = "";
        CO version: String = "";
        CO description: String = "";
        RO passthrough_enabled: Bool = false;
        /// Keys and values for clients to use; every key is kept.
        RW other_config: Map<String, String> = {};
        CO speed: Float = (-1.0);
    }
    messages {
        fn set_passthrough_enabled(self: Ref<PUSB>, value: Bool) -> Void as pool_admin, task;
        fn scan(host: Ref<host>) -> Void as pool_admin, task;
    }
}

class! {
    /// USB devices that one machine can choose from.
    USB_group, by(pool_admin);
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// Name for people; need not be unique.
        RW name_label: String = "";
        /// Longer text for people.
        RW name_description: String = "";
        RO PUSBs: Set<Ref<PUSB>> => PUSB.USB_group;
        RO VUSBs: Set<Ref<VUSB>> => VUSB.USB_group;
        /// Keys and values for clients to use; every key is kept.
        RW other_config: Map<String, String> = {};
    }
    messages {
        fn destroy(self: Ref<USB_group>) -> Void as pool_admin, task;
        fn create(name_label: String, name_description: String, other_config: Map<String, String>) -> Ref<USB_group> as pool_admin, task;
    }
}

class! {
    /// A USB device passed to a machine.
    VUSB, by(pool_admin);
    enums {
        vusb_operations: "attach" "plug" "unplug";
    }
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// What a client may do with it now; empty while nothing may be done.
        RO allowed_operations: Set<vusb_operations> = {};
        /// Operations that have been accepted and not ended: task reference to operation.
        RO current_operations: Map<String, vusb_operations> = {};
        RO VM: Ref<VM>;
        RO USB_group: Ref<USB_group>;
        /// Keys and values for clients to use; every key is kept.
        RW other_config: Map<String, String> = {};
        RO currently_attached: Bool = false;
    }
    messages {
        fn destroy(self: Ref<VUSB>) -> Void as pool_admin, task;
        fn unplug(self: Ref<VUSB>) -> Void as pool_admin, task;
        fn create(VM: Ref<VM>, USB_group: Ref<USB_group>, other_config: Map<String, String>) -> Ref<VUSB> as pool_admin, task;
    }
}

class! {
    /// A site that streams disks to machines.
    PVS_site, by(pool_operator);
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// Name for people; need not be unique.
        RW name_label: String = "";
        /// Longer text for people.
        RW name_description: String = "";
        CO PVS_uuid: String = "";
        RO cache_storage: Set<Ref<PVS_cache_storage>> => PVS_cache_storage.site;
        RO servers: Set<Ref<PVS_server>> => PVS_server.site;
        RO proxies: Set<Ref<PVS_proxy>> => PVS_proxy.site;
    }
    messages {
        fn set_PVS_uuid(self: Ref<PVS_site>, value: String) -> Void as pool_operator, task;
        fn forget(self: Ref<PVS_site>) -> Void as pool_operator ![PVS_SITE_CONTAINS_RUNNING_PROXIES, PVS_SITE_CONTAINS_SERVERS], task;
        fn introduce(name_label: String, name_description: String, PVS_uuid: String) -> Ref<PVS_site> as pool_operator, task;
    }
}

class! {
    /// A server of such a site.
    PVS_server;
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        CO addresses: Set<String> = {};
        CO first_port: Int = 0;
        CO last_port: Int = 0;
        CO site: Ref<PVS_site> = null;
    }
    messages {
        fn forget(self: Ref<PVS_server>) -> Void as pool_operator, task;
        fn introduce(addresses: Set<String>, first_port: Int, last_port: Int, site: Ref<PVS_site>) -> Ref<PVS_server> as pool_operator, task;
    }
}

class! {
    /// A cache between a machine and such a site.
    PVS_proxy;
    enums {
        pvs_proxy_status: "stopped" "initialised" "caching" "incompatible_write_cache_mode" "incompatible_protocol_version";
    }
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        CO site: Ref<PVS_site> = null;
        CO VIF: Ref<VIF> = null;
        RO currently_attached: Bool = false;
        RO status: pvs_proxy_status = stopped;
    }
    messages {
        fn destroy(self: Ref<PVS_proxy>) -> Void as pool_operator, task;
        fn create(site: Ref<PVS_site>, VIF: Ref<VIF>) -> Ref<PVS_proxy> as pool_operator, task;
    }
}

class! {
    /// Where such caches are kept on a host.
    PVS_cache_storage, by(pool_operator), create, destroy;
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        CO host: Ref<host> = null;
        CO SR: Ref<SR> = null;
        CO site: Ref<PVS_site> = null;
        CO size: Int = 21474836480;
        RO VDI: Ref<VDI> = null;
    }
}
