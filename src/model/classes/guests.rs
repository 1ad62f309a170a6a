//! What belongs to one machine: what is measured on it, what it tells, its consoles, its trusted module.

use super::*;
use crate::model::types::*;
use crate::model::{class, default};

class! {
    /// What is measured on a machine from the outside.
    VM_metrics, by(vm_admin);
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// Bytes of memory that it has now.
        RO memory_actual: Int;
        /// How many processors it has now.
        RO VCPUs_number: Int;
        /// Share of time that each processor is in use, 0 to 1; no longer measured.
        RO VCPUs_utilisation: Map<Int, Float> = {}, removed, volatile;
        /// The host's processor that each of its processors runs on.
        RO VCPUs_CPU: Map<Int, Int>;
        /// How its processors are scheduled now.
        RO VCPUs_params: Map<String, String>;
        /// State of each processor, as words.
        RO VCPUs_flags: Map<Int, Set<String>>;
        /// State of the domain, as words.
        RO state: Set<String>;
        /// When it last started; the epoch if never.
        RO start_time: DateTime;
        /// When it was made.
        RO install_time: DateTime;
        /// When this was measured.
        RO last_updated: DateTime, volatile;
        /// Keys and values for clients to use; every key is kept.
        RW other_config: Map<String, String> = {};
        /// True if its hardware is fully virtual.
        RO hvm: Bool = false;
        /// True if it can run virtual machines itself.
        RO nested_virt: Bool = false;
        /// True if it was started in a way that keeps it on its host.
        RO nomigrate: Bool = false;
        /// Kind of domain that it runs as; unspecified while it does not.
        RO current_domain_type: domain_type = unspecified;
        /// True if its memory is on as few nodes as possible.
        CO numa_optimised: Bool = false, prototyped;
        /// Over how many memory nodes it is spread.
        CO numa_nodes: Int = 0, prototyped;
        /// Bytes on each memory node.
        RO numa_node_memory: Map<Int, Int> = {}, prototyped;
    }
}

class! {
    /// What the agent inside a machine says about it.
    VM_guest_metrics, by(vm_admin);
    enums {
        tristate_type: "yes" "no" "unspecified";
    }
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// Name and version of the system inside, by key.
        RO os_version: Map<String, String>;
        /// Names in a Windows network, by key.
        RO netbios_name: Map<String, String> = {}, prototyped;
        /// Version of the drivers inside, by part.
        RO PV_drivers_version: Map<String, String>;
        /// Same as `PV_drivers_detected`.
        RO PV_drivers_up_to_date: Bool, deprecated;
        /// No longer used.
        RO memory: Map<String, String> = {}, removed;
        /// No longer used.
        RO disks: Map<String, String> = {}, removed;
        /// Addresses of its interfaces: `0/ip`, `0/ipv6/0`, the first number being the device.
        RO networks: Map<String, String>;
        /// What else the agent says, by key.
        RO other: Map<String, String>;
        /// When the agent last changed something.
        RO last_updated: DateTime, volatile;
        /// Keys and values for clients to use; every key is kept.
        RW other_config: Map<String, String> = {};
        /// True if the agent was heard from since the machine started.
        RO live: Bool = false;
        /// Whether disks can be added while it runs.
        RO can_use_hotplug_vbd: tristate_type = unspecified;
        /// Whether network interfaces can be added while it runs.
        RO can_use_hotplug_vif: tristate_type = unspecified;
        /// True if drivers for the hypervisor's devices were seen inside.
        RO PV_drivers_detected: Bool = false;
        /// Services that run inside, by key.
        RO services: Map<String, String> = {}, prototyped;
    }
}

class! {
    /// A dump of a crashed machine.
    crashdump, by(pool_operator), deprecated;
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// The machine that crashed.
        CO VM: Ref<VM>;
        /// The disk that holds the dump.
        CO VDI: Ref<VDI>;
        /// Keys and values for clients to use; every key is kept.
        RW other_config: Map<String, String> = {};
    }
    messages {
        /// Destroy the dump and the disk that holds it.
        fn destroy(self: Ref<crashdump>) -> Void as pool_operator ![OPERATION_NOT_ALLOWED, OTHER_OPERATION_IN_PROGRESS, SR_HAS_NO_PBDS, SR_NOT_ATTACHED, SR_OPERATION_NOT_SUPPORTED, VDI_IN_USE], task;
    }
}

class! {
    /// A way to see and to type into a machine.
    console, by(vm_admin), create, destroy;
    enums {
        console_protocol: "vt100" "rfb" "rdp";
    }
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// What is spoken there: vt100 text, rfb (VNC) or rdp.
        RO protocol: console_protocol;
        /// URL to connect to, with a session's reference.
        RO location: String;
        /// The machine that it shows.
        RO VM: Ref<VM>;
        /// Keys and values for clients to use; every key is kept.
        RW other_config: Map<String, String>;
    }
}

class! {
    /// A virtual trusted platform module.
    VTPM, prototyped;
    enums {
        vtpm_operations: "destroy";
        persistence_backend: "xapi";
    }
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// What a client may do with it now; empty while nothing may be done.
        RO allowed_operations: Set<vtpm_operations> = {}, derived;
        /// Operations that have been accepted and not ended: task reference to operation.
        RO current_operations: Map<String, vtpm_operations> = {};
        /// The machine that has it.
        CO VM: Ref<VM>;
        /// The machine that provides it; null for the host.
        RO backend: Ref<VM> = null;
        /// Who keeps its contents.
        RO persistence_backend: persistence_backend = xapi, prototyped;
        /// True if a copy of the machine must not have the same contents.
        CO is_unique: Bool = false, prototyped;
        /// True if its contents are encrypted where they are kept.
        RO is_protected: Bool = false, prototyped;
        /// The secret that is what it keeps.
        RO contents: Ref<secret> = null, internal;
    }
    messages {
        /// Remove it; what it protected cannot be opened any more.
        fn destroy(self: Ref<VTPM>) -> Void as vm_admin ![VM_BAD_POWER_STATE, OTHER_OPERATION_IN_PROGRESS], task, prototyped;
        /// Give a machine one; only while Halted.
        fn create(vM: Ref<VM>, is_unique: Bool) -> Ref<VTPM> as vm_admin ![VTPM_MAX_AMOUNT_REACHED, VM_BAD_POWER_STATE], task, prototyped;
    }
}
