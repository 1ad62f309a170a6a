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
        /// Number of the kind of device.
        CO class_id: String = "";
        /// Name of the kind of device.
        CO class_name: String = "";
        /// Number of the maker.
        CO vendor_id: String = "";
        /// Name of the maker.
        CO vendor_name: String = "";
        /// Number of the model.
        CO device_id: String = "";
        /// Name of the model.
        CO device_name: String = "";
        /// The host that it is in.
        CO host: Ref<host> = null;
        /// Its address on the bus, as in `0000:00:1f.2`.
        CO pci_id: String = "";
        /// Devices that can only be passed through together with it.
        RO dependencies: Set<Ref<PCI>>;
        /// Keys and values for clients to use; every key is kept.
        RW other_config: Map<String, String> = {};
        /// Number of the board's maker.
        CO subsystem_vendor_id: String = "";
        /// Name of the board's maker.
        CO subsystem_vendor_name: String = "";
        /// Number of the board.
        CO subsystem_device_id: String = "";
        /// Name of the board.
        CO subsystem_device_name: String = "";
        /// The host's driver for it; empty if none.
        CO driver_name: String = "";
        /// Machines that it is passed to.
        RO attached_VMs: Set<Ref<VM>> = {}, internal;
        /// The network interface that it is; empty if it is none.
        RO interface: String = "", internal;
        /// How many machines can have a piece of it each.
        RO virtual_functions: Int = 0, internal;
        /// Whether the host uses it.
        RO dom0_access: pci_dom0_access = enabled, internal;
    }
    messages {
        /// Whether the host uses it.
        fn get_dom0_access_status(self: Ref<PCI>) -> pci_dom0_access as pool_operator, task, prototyped;
        /// Let the host use it, from its next start.
        fn enable_dom0_access(self: Ref<PCI>) -> pci_dom0_access as pool_operator, task, prototyped;
        /// Keep it from the host, from its next start, so that a machine can have it.
        fn disable_dom0_access(self: Ref<PCI>) -> pci_dom0_access as pool_operator, task, prototyped;
    }
}

class! {
    /// A graphics processor of a host.
    PGPU, by(pool_operator);
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// It as a PCI device.
        CO PCI: Ref<PCI> = null;
        /// The group that it is in.
        CO GPU_group: Ref<GPU_group> = null;
        /// The host that it is in.
        RO host: Ref<host> = null;
        /// Keys and values for clients to use; every key is kept.
        RW other_config: Map<String, String> = {};
        /// Kinds that it could offer.
        RO supported_VGPU_types: Set<Ref<VGPU_type>>;
        /// Kinds that it may offer.
        RO enabled_VGPU_types: Set<Ref<VGPU_type>>;
        /// Those that run on it now.
        RO resident_VGPUs: Set<Ref<VGPU>> => VGPU.resident_on;
        /// How many of each kind fit on it.
        RO supported_VGPU_max_capacities: Map<Ref<VGPU_type>, Int> = {};
        /// Whether the host uses it.
        RO dom0_access: pci_dom0_access = enabled, deprecated;
        /// True if it drives the host's own screen.
        RO is_system_display_device: Bool = false;
        /// What must match for a machine to move here, by key.
        RO compatibility_metadata: Map<String, String> = {};
    }
    messages {
        /// Keep it from the host, from its next start.
        fn disable_dom0_access(self: Ref<PGPU>) -> pci_dom0_access as pool_operator, task, deprecated;
        /// Let the host use it, from its next start.
        fn enable_dom0_access(self: Ref<PGPU>) -> pci_dom0_access as pool_operator, task, deprecated;
        /// How many more of a kind fit on it.
        fn get_remaining_capacity(self: Ref<PGPU>, vgpu_type: Ref<VGPU_type>) -> Int as read_only, task;
        /// Put it into another group.
        fn set_GPU_group(self: Ref<PGPU>, value: Ref<GPU_group>) -> Void as pool_operator, task;
        /// Replace the kinds that it may offer.
        fn set_enabled_VGPU_types(self: Ref<PGPU>, value: Set<Ref<VGPU_type>>) -> Void as pool_operator, task;
        /// Take away a kind that it may offer.
        fn remove_enabled_VGPU_types(self: Ref<PGPU>, value: Ref<VGPU_type>) -> Void as pool_operator, task;
        /// Add a kind that it may offer.
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
        /// The processors in it.
        RO PGPUs: Set<Ref<PGPU>> => PGPU.GPU_group;
        /// Those that are served from it.
        RO VGPUs: Set<Ref<VGPU>> => VGPU.GPU_group;
        /// Makers and models in it.
        RO GPU_types: Set<String> = {};
        /// Keys and values for clients to use; every key is kept.
        RW other_config: Map<String, String> = {};
        /// Whether processors are filled one after the other or evenly.
        RW allocation_algorithm: allocation_algorithm = depth_first;
        /// Kinds that it could offer.
        RO supported_VGPU_types: Set<Ref<VGPU_type>>;
        /// Kinds that it may offer.
        RO enabled_VGPU_types: Set<Ref<VGPU_type>>;
    }
    messages {
        /// How many more of a kind fit in it.
        fn get_remaining_capacity(self: Ref<GPU_group>, vgpu_type: Ref<VGPU_type>) -> Int as read_only, task;
        /// Remove it; it must be empty.
        fn destroy(self: Ref<GPU_group>) -> Void as pool_operator, task;
        /// Make an empty one.
        fn create(name_label: String, name_description: String, other_config: Map<String, String>) -> Ref<GPU_group> as pool_operator, task;
    }
}

class! {
    /// A graphics processor that a machine has.
    VGPU, by(pool_operator);
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// The machine that has it.
        RO VM: Ref<VM>;
        /// The group that serves it.
        RO GPU_group: Ref<GPU_group>;
        /// Its number in the machine, as text.
        RO device: String = "0";
        /// True if the machine runs with it.
        RO currently_attached: Bool = false;
        /// Keys and values for clients to use; every key is kept.
        RW other_config: Map<String, String> = {};
        /// Its kind.
        RO r#type: Ref<VGPU_type> = null;
        /// The processor that it runs on; null while it does not.
        RO resident_on: Ref<PGPU> = null;
        /// The processor reserved for it while the machine starts; null otherwise.
        RO scheduled_to_be_resident_on: Ref<PGPU> = null;
        /// What must match for the machine to move, by key.
        RO compatibility_metadata: Map<String, String> = {};
        /// Arguments for the program that emulates it.
        RW extra_args: String = "";
        /// The device passed through for it; null if none.
        RO PCI: Ref<PCI> = null;
    }
    messages {
        /// Take it away from the machine; only while Halted.
        fn destroy(self: Ref<VGPU>) -> Void as pool_operator, task;
        /// Give a machine one; only while Halted.
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
        /// Name of the maker.
        CO vendor_name: String = "";
        /// Name of the kind.
        CO model_name: String = "";
        /// Bytes of video memory.
        CO framebuffer_size: Int = 0;
        /// How many screens.
        CO max_heads: Int = 0;
        /// Widest screen, in pixels.
        CO max_resolution_x: Int = 0;
        /// Highest screen, in pixels.
        CO max_resolution_y: Int = 0;
        /// Processors that could offer it.
        RO supported_on_PGPUs: Set<Ref<PGPU>> => PGPU.supported_VGPU_types;
        /// Processors that may offer it.
        RO enabled_on_PGPUs: Set<Ref<PGPU>> => PGPU.enabled_VGPU_types;
        /// Those of this kind.
        RO VGPUs: Set<Ref<VGPU>> => VGPU.type;
        /// Groups that could offer it.
        RO supported_on_GPU_groups: Set<Ref<GPU_group>>;
        /// Groups that may offer it.
        RO enabled_on_GPU_groups: Set<Ref<GPU_group>> => GPU_group.enabled_VGPU_types;
        /// How it is made.
        CO implementation: vgpu_type_implementation = passthrough;
        /// Tells this kind from all others, for programs.
        CO identifier: String = "";
        /// True if it is not meant for production.
        CO experimental: Bool = false;
        /// Kinds that a machine may have beside it.
        RO compatible_types_in_vm: Set<Ref<VGPU_type>> = {};
    }
}

class! {
    /// A USB device that is plugged into a host.
    PUSB, by(pool_admin);
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// The group that it is in.
        CO USB_group: Ref<USB_group> = null;
        /// The host that it is plugged into.
        CO host: Ref<host> = null;
        /// Where it is plugged in.
        CO path: String = "";
        /// Number of the maker.
        CO vendor_id: String = "";
        /// Name of the maker.
        CO vendor_desc: String = "";
        /// Number of the model.
        CO product_id: String = "";
        /// Name of the model.
        CO product_desc: String = "";
        /// Serial number; empty if none.
        CO serial: String = "";
        /// USB version.
        CO version: String = "";
        /// All of it in one line.
        CO description: String = "";
        /// True if a machine may have it.
        RO passthrough_enabled: Bool = false;
        /// Keys and values for clients to use; every key is kept.
        RW other_config: Map<String, String> = {};
        /// Speed in Mbit/s; -1 if unknown.
        CO speed: Float = (-1.0);
    }
    messages {
        /// Choose whether a machine may have it.
        fn set_passthrough_enabled(self: Ref<PUSB>, value: Bool) -> Void as pool_admin ![USB_ALREADY_ATTACHED], task;
        /// Look for devices that came or went.
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
        /// The devices in it.
        RO PUSBs: Set<Ref<PUSB>> => PUSB.USB_group;
        /// Those that are served from it.
        RO VUSBs: Set<Ref<VUSB>> => VUSB.USB_group;
        /// Keys and values for clients to use; every key is kept.
        RW other_config: Map<String, String> = {};
    }
    messages {
        /// Remove it; it must be empty.
        fn destroy(self: Ref<USB_group>) -> Void as pool_admin ![USB_GROUP_CONTAINS_VUSB, USB_GROUP_CONTAINS_PUSB], task;
        /// Make an empty one.
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
        RO allowed_operations: Set<vusb_operations> = {}, derived;
        /// Operations that have been accepted and not ended: task reference to operation.
        RO current_operations: Map<String, vusb_operations> = {};
        /// The machine that has it.
        RO VM: Ref<VM>;
        /// The group that serves it.
        RO USB_group: Ref<USB_group>;
        /// Keys and values for clients to use; every key is kept.
        RW other_config: Map<String, String> = {};
        /// True if it is plugged in.
        RO currently_attached: Bool = false;
    }
    messages {
        /// Take it away from the machine.
        fn destroy(self: Ref<VUSB>) -> Void as pool_admin ![OPERATION_NOT_ALLOWED, OTHER_OPERATION_IN_PROGRESS], task;
        /// Take it out of the running machine.
        fn unplug(self: Ref<VUSB>) -> Void as pool_admin ![VM_BAD_POWER_STATE, DEVICE_ALREADY_DETACHED, OTHER_OPERATION_IN_PROGRESS], task;
        /// Give a machine one.
        fn create(VM: Ref<VM>, USB_group: Ref<USB_group>, other_config: Map<String, String>) -> Ref<VUSB> as pool_admin ![TOO_MANY_VUSBS, USB_GROUP_CONTAINS_NO_PUSBS, USB_GROUP_CONFLICT], task;
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
        /// Identifier of the site among its servers; empty if unknown.
        CO PVS_uuid: String = "";
        /// Where each host keeps caches for it.
        RO cache_storage: Set<Ref<PVS_cache_storage>> = {} => PVS_cache_storage.site;
        /// Its servers.
        RO servers: Set<Ref<PVS_server>> => PVS_server.site;
        /// The caches in use.
        RO proxies: Set<Ref<PVS_proxy>> => PVS_proxy.site;
    }
    messages {
        /// Set the identifier of the site among its servers.
        fn set_PVS_uuid(self: Ref<PVS_site>, value: String) -> Void as pool_operator, task;
        /// Forget the site; refused while it has servers or proxies that run.
        fn forget(self: Ref<PVS_site>) -> Void as pool_operator ![PVS_SITE_CONTAINS_RUNNING_PROXIES, PVS_SITE_CONTAINS_SERVERS], task;
        /// Record a site.
        fn introduce(name_label: String, name_description: String, PVS_uuid: String) -> Ref<PVS_site> as pool_operator, task;
    }
}

class! {
    /// A server of such a site.
    PVS_server;
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// Its IPv4 addresses.
        CO addresses: Set<String> = {};
        /// First UDP port.
        CO first_port: Int = 0;
        /// Last UDP port.
        CO last_port: Int = 0;
        /// Its site.
        CO site: Ref<PVS_site> = null;
    }
    messages {
        /// Forget the server.
        fn forget(self: Ref<PVS_server>) -> Void as pool_operator, task;
        /// Record a server of a site.
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
        /// The site that it caches.
        CO site: Ref<PVS_site> = null;
        /// The interface whose traffic it serves.
        CO VIF: Ref<VIF> = null;
        /// True if it is in use.
        RO currently_attached: Bool = false;
        /// How it does.
        RO status: pvs_proxy_status = stopped;
    }
    messages {
        /// Remove it; only while the machine is Halted.
        fn destroy(self: Ref<PVS_proxy>) -> Void as pool_operator, task;
        /// Put a cache in front of a machine's interface.
        fn create(site: Ref<PVS_site>, VIF: Ref<VIF>) -> Ref<PVS_proxy> as pool_operator, task;
    }
}

class! {
    /// Where such caches are kept on a host.
    PVS_cache_storage, by(pool_operator), create, destroy;
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// The host.
        CO host: Ref<host> = null;
        /// The repository that caches are in.
        CO SR: Ref<SR> = null;
        /// The site that they are for.
        CO site: Ref<PVS_site> = null;
        /// Bytes that they may take.
        CO size: Int = 21474836480;
        /// The disk that they are on; null until it is needed.
        RO VDI: Ref<VDI> = null;
    }
}
