//! Machines: the class on which everything else here hangs.

use super::*;
use crate::model::types::*;
use crate::model::{class, default};

class! {
    /// A virtual machine, a template, a snapshot, or the domain that controls a host.
    VM, by(vm_admin), create, destroy;
    enums {
        vm_power_state: "Halted" "Paused" "Running" "Suspended";
        vm_secureboot_certificates_state: "ok" "update_available" "update_on_boot";
        on_softreboot_behavior: "soft_reboot" "destroy" "restart" "preserve";
        on_normal_exit: "destroy" "restart";
        on_crash_behaviour: "destroy" "coredump_and_destroy" "restart" "coredump_and_restart" "preserve" "rename_restart";
        domain_type: "hvm" "pv" "pv_in_pvh" "pvh" "unspecified";
        vm_uefi_mode: "setup" "user";
        vm_secureboot_readiness: "not_supported" "disabled" "first_boot" "ready" "ready_no_dbx" "setup_mode" "certs_incomplete";
        vm_operations: "snapshot" "clone" "copy" "create_template" "revert" "checkpoint" "snapshot_with_quiesce" "provision" "start" "start_on" "pause" "unpause" "clean_shutdown" "clean_reboot" "hard_shutdown" "power_state_reset" "hard_reboot" "suspend" "csvm" "resume" "resume_on" "pool_migrate" "migrate_send" "get_boot_record" "send_sysrq" "send_trigger" "query_services" "shutdown" "call_plugin" "changing_memory_live" "awaiting_memory_live" "changing_dynamic_range" "changing_static_range" "changing_memory_limits" "changing_shadow_memory" "changing_shadow_memory_live" "changing_VCPUs" "changing_VCPUs_live" "changing_NVRAM" "assert_operation_valid" "data_source_op" "update_allowed_operations" "make_into_template" "import" "export" "metadata_export" "reverting" "destroy" "create_vtpm" "sysprep";
    }
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// What a client may do with it now; empty while nothing may be done.
        RO allowed_operations: Set<vm_operations> = {}, derived;
        /// Operations that have been accepted and not ended: task reference to operation.
        RO current_operations: Map<String, vm_operations> = {};
        /// Name for people; need not be unique.
        RW name_label: String = "";
        /// Longer text for people.
        RW name_description: String = "";
        /// What it is doing: Halted, Paused, Running or Suspended.
        CO power_state: vm_power_state = Halted;
        /// For clients: a version number of what is inside.
        RW user_version: Int;
        /// True if it only serves to make machines from; it cannot be started.
        RW is_a_template: Bool;
        /// True for templates that came with the server.
        RO is_default_template: Bool = false;
        /// Disk with the memory of a suspended machine; null otherwise.
        CO suspend_VDI: Ref<VDI> = null;
        /// The host whose memory it is in; null if Halted or Suspended.
        RO resident_on: Ref<host>;
        /// The host where its memory is reserved while it starts or arrives; null otherwise.
        RO scheduled_to_be_resident_on: Ref<host> = null;
        /// The host to prefer; null for any.
        RW affinity: Ref<host>, by(vm_power_admin);
        /// Bytes that the hypervisor needs beside the machine's own memory.
        RO memory_overhead: Int = 0;
        /// Bytes that it was last asked to use.
        CO memory_target: Int = 0, deprecated;
        /// Bytes of memory that it sees at most; changed only while Halted.
        CO memory_static_max: Int;
        /// Upper bound of what it may be asked to use while it runs, in bytes.
        CO memory_dynamic_max: Int;
        /// Lower bound of what it may be asked to use while it runs, in bytes.
        CO memory_dynamic_min: Int;
        /// Bytes that it cannot run without.
        CO memory_static_min: Int;
        /// How its processors are scheduled: `weight`, `cap`, `mask`.
        RW VCPUs_params: Map<String, String>;
        /// How many processors it can have.
        CO VCPUs_max: Int;
        /// How many processors it has when it starts.
        CO VCPUs_at_startup: Int;
        /// What to do when it restarts only its kernel.
        RW actions_after_softreboot: on_softreboot_behavior = soft_reboot, prototyped;
        /// What to do when it shuts itself down.
        RW actions_after_shutdown: on_normal_exit;
        /// What to do when it restarts itself.
        RW actions_after_reboot: on_normal_exit;
        /// What to do when it crashes.
        CO actions_after_crash: on_crash_behaviour;
        /// Its consoles; there are some only while it runs.
        RO consoles: Set<Ref<console>> => console.VM;
        /// Its network interfaces.
        RO VIFs: Set<Ref<VIF>> => VIF.VM;
        /// Its disks and drives.
        RO VBDs: Set<Ref<VBD>> => VBD.VM;
        /// USB devices passed to it.
        RO VUSBs: Set<Ref<VUSB>> => VUSB.VM;
        /// Dumps of its crashes.
        RO crash_dumps: Set<Ref<crashdump>> => crashdump.VM;
        /// Its trusted platform modules.
        RO VTPMs: Set<Ref<VTPM>> => VTPM.VM;
        /// Boot loader of a paravirtual machine; empty if a kernel is named.
        RW PV_bootloader: String;
        /// Path of the kernel on the host; empty to take it from the disk.
        RW PV_kernel: String;
        /// Path of the initial RAM disk on the host.
        RW PV_ramdisk: String;
        /// Arguments of the kernel.
        RW PV_args: String;
        /// Arguments of the boot loader.
        RW PV_bootloader_args: String;
        /// Arguments for very old kernels.
        RW PV_legacy_args: String;
        /// How firmware boots it, `BIOS order`; empty for a paravirtual machine.
        CO HVM_boot_policy: String, deprecated;
        /// Firmware settings: `order` as letters (c disk, d drive, n network), `firmware`.
        RW HVM_boot_params: Map<String, String>;
        /// Factor for the memory that page tables get.
        CO HVM_shadow_multiplier: Float = 1.0;
        /// Settings of the virtual hardware, by key.
        CO platform: Map<String, String>;
        /// Addresses of PCI devices passed to it.
        RW PCI_bus: String, deprecated;
        /// Keys and values for clients to use; every key is kept. Some have a meaning, such as `auto_poweron`.
        CO other_config: Map<String, String>;
        /// Number of the domain on its host; -1 while there is none.
        RO domid: Int;
        /// Architecture of the domain; empty while there is none.
        RO domarch: String;
        /// Features of the processor that it started on; it can only move to hosts that have them.
        CO last_boot_CPU_flags: Map<String, String> = {};
        /// True for the domain that controls a host.
        RO is_control_domain: Bool;
        /// What is measured on it from the outside.
        RO metrics: Ref<VM_metrics>;
        /// What the agent inside it says; null if none ever spoke.
        RO guest_metrics: Ref<VM_guest_metrics>;
        /// Its record at its last start, as text.
        CO last_booted_record: String = "";
        /// XML of what a template advises and limits.
        RW recommendations: String;
        /// Keys that the machine itself can read, each under `vm-data/`.
        RW xenstore_data: Map<String, String> = {};
        /// True if it is restarted when its host fails; use `ha_restart_priority`.
        CO ha_always_run: Bool = false, deprecated;
        /// `restart`, `best-effort`, or empty for no protection.
        CO ha_restart_priority: String = "";
        /// True if it is a snapshot of a machine; it cannot be started.
        RO is_a_snapshot: Bool = false;
        /// The machine that it is a snapshot of; null for others, and when that machine is gone.
        RO snapshot_of: Ref<VM> = null;
        /// Its snapshots.
        RO snapshots: Set<Ref<VM>> => VM.snapshot_of;
        /// When the snapshot was taken; the epoch for others.
        RO snapshot_time: DateTime = epoch;
        /// Identifier of a snapshot that can be moved; empty for others.
        RO transportable_snapshot_id: String = "";
        /// Binary objects attached to it, by name.
        RO blobs: Map<String, Ref<blob>> = {};
        /// Labels that clients put on it, to group and to search.
        RW tags: Set<String> = {}, by(vm_operator);
        /// Operations that somebody forbade, each with the error code to answer.
        CO blocked_operations: Map<vm_operations, String> = {};
        /// What there is to know about a snapshot, such as the power state when it was taken.
        RO snapshot_info: Map<String, String> = {};
        /// The machine's record when the snapshot was taken, as text.
        RO snapshot_metadata: String = "";
        /// The snapshot that its disks now build on; null if none.
        RO parent: Ref<VM> = null;
        /// Machines and snapshots that build on this snapshot.
        RO children: Set<Ref<VM>> => VM.parent;
        /// What its firmware says about maker and model.
        RO bios_strings: Map<String, String> = {};
        /// No longer used.
        CO protection_policy: Ref<VMPP> = null, deprecated;
        /// No longer used.
        CO is_snapshot_from_vmpp: Bool = false, removed;
        /// The schedule that takes snapshots of it; null for none.
        CO snapshot_schedule: Ref<VMSS> = null;
        /// True if a schedule took this snapshot.
        CO is_vmss_snapshot: Bool = false;
        /// The group that it starts and stops with; null for none.
        CO appliance: Ref<VM_appliance> = null;
        /// Seconds to wait after its start before the next in its appliance.
        CO start_delay: Int = 0;
        /// Seconds to wait after its shutdown before the next in its appliance.
        CO shutdown_delay: Int = 0;
        /// Its turn when an appliance starts or hosts recover; lower first, reversed at shutdown.
        CO order: Int = 0;
        /// Its virtual graphics processors.
        RO VGPUs: Set<Ref<VGPU>> => VGPU.VM;
        /// PCI devices passed to it now.
        RO attached_PCIs: Set<Ref<PCI>> => PCI.attached_VMs;
        /// Where its memory goes when suspended; null leaves it to the host and the pool.
        RW suspend_SR: Ref<SR> = null;
        /// How often it has been recovered.
        CO version: Int = 0;
        /// Identifier that the machine can see and that changes when it is copied or reverted; `0:0` if not given.
        CO generation_id: String = "0:0";
        /// Version of the virtual hardware that it needs.
        RW hardware_platform_version: Int = 0;
        /// True if it has the device that offers drivers through the system's updater.
        CO has_vendor_device: Bool = true;
        /// True if it must restart for updates of the host to protect it.
        RO requires_reboot: Bool = false;
        /// Names the template that it was made from, for programs.
        CO reference_label: String = "";
        /// Kind of domain that it starts as.
        CO domain_type: domain_type = unspecified;
        /// Variables of its firmware, such as `EFI-variables`.
        CO NVRAM: Map<String, String> = {};
        /// What must be done with it before updates take effect.
        RO pending_guidances: Set<update_guidances> = {};
        /// What should be done with it before updates take effect.
        RO pending_guidances_recommended: Set<update_guidances> = {}, prototyped;
        /// All that could be done with it for updates to take effect.
        RO pending_guidances_full: Set<update_guidances> = {}, prototyped;
        /// Groups that decide about its placement; at most one.
        RO groups: Set<Ref<VM_group>>, prototyped;
        /// Whether its secure boot certificates are the newest.
        RO secureboot_certificates_state: vm_secureboot_certificates_state = ok, prototyped;
        /// The data sources that somebody asked for beside the standard ones.
        RO recorded_data_sources: Set<String> = {}, internal;
        /// The domain was made by others: it is shown and left alone.
        RO foreign: Bool = false, internal;
    }
    messages {
        /// Replace all settings of the virtual hardware.
        fn set_platform(self: Ref<VM>, value: Map<String, String>) -> Void as vm_admin ![VALUE_NOT_SUPPORTED], task;
        /// Remove one setting of the virtual hardware.
        fn remove_from_platform(self: Ref<VM>, key: String) -> Void as vm_admin, task;
        /// Add one setting of the virtual hardware.
        fn add_to_platform(self: Ref<VM>, key: String, value: String) -> Void as vm_admin ![MAP_DUPLICATE_KEY, VALUE_NOT_SUPPORTED], task;
        /// Replace all keys and values.
        fn set_other_config(self: Ref<VM>, value: Map<String, String>) -> Void as vm_admin ![VALUE_NOT_SUPPORTED], task;
        /// Remove a key; not an error if it is not there.
        fn remove_from_other_config(self: Ref<VM>, key: String) -> Void as vm_admin, task;
        /// Add a key; MAP_DUPLICATE_KEY if it is there.
        fn add_to_other_config(self: Ref<VM>, key: String, value: String) -> Void as vm_admin ![MAP_DUPLICATE_KEY, VALUE_NOT_SUPPORTED], task;
        /// Let Windows prepare itself for being copied, with the answers given.
        fn sysprep(self: Ref<VM>, unattend: String, timeout: Float) -> Void as vm_admin ![SYSPREP, VM_BAD_POWER_STATE], task, prototyped;
        /// Allow an operation again.
        fn remove_from_blocked_operations(self: Ref<VM>, key: vm_operations) -> Void as vm_admin, task;
        /// Forbid an operation, with the error code to answer.
        fn add_to_blocked_operations(self: Ref<VM>, key: vm_operations, value: String) -> Void as vm_admin ![MAP_DUPLICATE_KEY, VALUE_NOT_SUPPORTED], task;
        /// Replace the list of forbidden operations.
        fn set_blocked_operations(self: Ref<VM>, value: Map<vm_operations, String>) -> Void as vm_admin ![VALUE_NOT_SUPPORTED], task;
        /// Mark it for new secure boot certificates at its next start, or take the mark away.
        fn update_secureboot_certificates_on_boot(self: Ref<VM>, mark: Bool) -> Void as vm_admin ![OPERATION_NOT_ALLOWED], task, prototyped;
        /// Say whether it can boot securely.
        fn get_secureboot_readiness(self: Ref<VM>) -> vm_secureboot_readiness as pool_admin, task, prototyped;
        /// Put its firmware into setup or user mode.
        fn set_uefi_mode(self: Ref<VM>, mode: vm_uefi_mode) -> String as pool_admin ![OPERATION_BLOCKED, OPERATION_NOT_ALLOWED, OTHER_OPERATION_IN_PROGRESS, VM_BAD_POWER_STATE, VM_IS_SNAPSHOT, VM_IS_TEMPLATE], task, prototyped;
        /// Replace the program that emulates its devices while it runs.
        fn restart_device_models(self: Ref<VM>) -> Void as vm_power_admin_or_cert ![VM_BAD_POWER_STATE, OTHER_OPERATION_IN_PROGRESS, VM_IS_TEMPLATE, OPERATION_NOT_ALLOWED, VM_BAD_POWER_STATE, OPERATION_BLOCKED, VM_IS_SNAPSHOT, HOST_DISABLED, HOST_NOT_ENOUGH_FREE_MEMORY, HOST_NOT_ENOUGH_PCPUS, HOST_NOT_LIVE, VM_HVM_REQUIRED, VM_REQUIRES_NETWORK, VM_REQUIRES_SR], task, prototyped;
        /// Choose how firmware boots it.
        fn set_HVM_boot_policy(self: Ref<VM>, value: String) -> Void as vm_admin, task, deprecated;
        /// Choose the kind of domain that it starts as; only while Halted.
        fn set_domain_type(self: Ref<VM>, value: domain_type) -> Void as vm_admin, task;
        /// Choose what to do when it crashes.
        fn set_actions_after_crash(self: Ref<VM>, value: on_crash_behaviour) -> Void as vm_admin ![VALUE_NOT_SUPPORTED], task;
        /// Fetch a machine from a URL and add it.
        fn import(url: String, sr: Ref<SR>, full_restore: Bool, force: Bool) -> Set<Ref<VM>> as pool_operator, task;
        /// Choose whether it has the device that offers drivers; only while Halted.
        fn set_has_vendor_device(self: Ref<VM>, value: Bool) -> Void as vm_admin ![VALUE_NOT_SUPPORTED, VM_BAD_POWER_STATE, OPERATION_NOT_ALLOWED], task;
        /// Run a function of a plugin on the host where it is, about it.
        fn call_host_plugin(vm: Ref<VM>, plugin: String, fn: String, args: Map<String, String>) -> String as vm_operator ![XENAPI_MISSING_PLUGIN], task, prototyped;
        /// Run a function of a plugin inside it, through its agent.
        fn call_plugin(vm: Ref<VM>, plugin: String, fn: String, args: Map<String, String>) -> String as vm_operator ![OPERATION_BLOCKED, OPERATION_NOT_ALLOWED, OTHER_OPERATION_IN_PROGRESS, VM_BAD_POWER_STATE, VM_IS_SNAPSHOT, VM_IS_TEMPLATE, VM_LACKS_FEATURE, XENAPI_MISSING_PLUGIN], task;
        /// Say which services it offers to the pool.
        fn query_services(self: Ref<VM>) -> Map<String, String> as pool_admin ![NOT_SYSTEM_DOMAIN], task;
        /// Choose the groups that decide about its placement; one at most.
        fn set_groups(self: Ref<VM>, value: Set<Ref<VM_group>>) -> Void as vm_admin ![OPERATION_NOT_ALLOWED, TOO_MANY_GROUPS, VALUE_NOT_SUPPORTED], task, prototyped;
        /// Put it into an appliance; null takes it out.
        fn set_appliance(self: Ref<VM>, value: Ref<VM_appliance>) -> Void as pool_operator ![OPERATION_NOT_ALLOWED, VALUE_NOT_SUPPORTED, VM_IS_SNAPSHOT, VM_IS_TEMPLATE], task;
        /// Fetch a machine from another kind of hypervisor.
        fn import_convert(type: String, username: String, password: String, sr: Ref<SR>, remote_config: Map<String, String>) -> Void as vm_admin, task;
        /// Bring it into the live pool. Called with a session on a saved database, whose machine `self` is; `session_to` is a
        /// session of the same user on the live pool, who needs a role that may import. It keeps its uuid and comes without
        /// snapshots; its disks have to be there under their uuids, and its networks under uuids or names. One that is there
        /// is never replaced, whatever `force` says. As `Async.` the task is the live pool's.
        fn recover(self: Ref<VM>, session_to: Ref<session>, force: Bool) -> Void as read_only ![DUPLICATE_VM, OPERATION_NOT_ALLOWED, VM_IS_PART_OF_AN_APPLIANCE, VM_REQUIRES_NETWORK, VM_REQUIRES_SR, VM_REQUIRES_VDI], task;
        /// List the repositories that must be there to recover it.
        fn get_SRs_required_for_recovery(self: Ref<VM>, session_to: Ref<session>) -> Set<Ref<SR>> as read_only, task;
        /// Fail with the reason if it cannot be recovered.
        fn assert_can_be_recovered(self: Ref<VM>, session_to: Ref<session>) -> Void as read_only ![DUPLICATE_VM, VM_IS_PART_OF_AN_APPLIANCE, VM_REQUIRES_NETWORK, VM_REQUIRES_SR, VM_REQUIRES_VDI], task;
        /// Name the disk that holds its memory; only for a suspended machine.
        fn set_suspend_VDI(self: Ref<VM>, value: Ref<VDI>) -> Void as pool_operator ![VALUE_NOT_SUPPORTED, VM_BAD_POWER_STATE], task;
        /// Set its turn in an appliance; lower first.
        fn set_order(self: Ref<VM>, value: Int) -> Void as pool_operator ![INVALID_VALUE, VALUE_NOT_SUPPORTED], task;
        /// Set the seconds to wait after its shutdown.
        fn set_shutdown_delay(self: Ref<VM>, value: Int) -> Void as pool_operator ![INVALID_VALUE, VALUE_NOT_SUPPORTED], task;
        /// Set the seconds to wait after its start.
        fn set_start_delay(self: Ref<VM>, value: Int) -> Void as pool_operator ![INVALID_VALUE, VALUE_NOT_SUPPORTED], task;
        /// Choose the schedule that takes its snapshots; null for none.
        fn set_snapshot_schedule(self: Ref<VM>, value: Ref<VMSS>) -> Void as pool_operator ![OPERATION_NOT_ALLOWED, VALUE_NOT_SUPPORTED, VM_IS_SNAPSHOT, VM_IS_TEMPLATE], task;
        /// No longer possible.
        fn set_protection_policy(self: Ref<VM>, value: Ref<VMPP>) -> Void as pool_operator ![MESSAGE_REMOVED], task, removed;
        /// Let its firmware say what the host's says.
        fn copy_bios_strings(vm: Ref<VM>, host: Ref<host>) -> Void as vm_admin ![VM_BIOS_STRINGS_ALREADY_SET], task;
        /// Set what its firmware says; only once, VM_BIOS_STRINGS_ALREADY_SET afterwards.
        fn set_bios_strings(self: Ref<VM>, value: Map<String, String>) -> Void as vm_admin ![VM_BIOS_STRINGS_ALREADY_SET, INVALID_VALUE], task;
        /// Ask the workload balancer where it should run.
        fn retrieve_wlb_recommendations(vm: Ref<VM>) -> Map<Ref<host>, Set<String>> as read_only ![WLB_NOT_INITIALIZED], task;
        /// Fail if something ties it to one host.
        fn assert_agile(self: Ref<VM>) -> Void as read_only ![HA_CONSTRAINT_VIOLATION_NETWORK_NOT_SHARED, HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED], task;
        /// Attach a new, empty binary object under a name.
        fn create_new_blob(vm: Ref<VM>, name: String, mime_type: String, public: Bool) -> Ref<blob> as vm_power_admin ![MAP_DUPLICATE_KEY, VALUE_NOT_SUPPORTED], task;
        /// Fail with the reason if it cannot start on that host.
        fn assert_can_boot_here(self: Ref<VM>, host: Ref<host>) -> Void as read_only ![HOST_NOT_ENOUGH_FREE_MEMORY, HOST_NOT_ENOUGH_PCPUS, NETWORK_SRIOV_INSUFFICIENT_CAPACITY, HOST_NOT_LIVE, HOST_DISABLED, HOST_CANNOT_ATTACH_NETWORK, VM_HVM_REQUIRED, VM_REQUIRES_GPU, VM_REQUIRES_IOMMU, VM_REQUIRES_NETWORK, VM_REQUIRES_SR, VM_REQUIRES_VGPU, VM_HOST_INCOMPATIBLE_VERSION, VM_HOST_INCOMPATIBLE_VIRTUAL_HARDWARE_PLATFORM_VERSION, INVALID_VALUE, MEMORY_CONSTRAINT_VIOLATION, OPERATION_NOT_ALLOWED, VALUE_NOT_SUPPORTED, VM_INCOMPATIBLE_WITH_THIS_HOST, VM_REQUIRES_VUSB], task;
        /// List the hosts where it could start or move to.
        fn get_possible_hosts(vm: Ref<VM>) -> Set<Ref<host>> as read_only, task;
        /// List the device numbers that a new network interface could have.
        fn get_allowed_VIF_devices(vm: Ref<VM>) -> Set<String> as read_only, task;
        /// List the device numbers that a new disk could have.
        fn get_allowed_VBD_devices(vm: Ref<VM>) -> Set<String> as read_only, task;
        /// Compute `allowed_operations` again; here they are always up to date.
        fn update_allowed_operations(self: Ref<VM>) -> Void as pool_admin, task;
        /// Fail with the reason if the operation is not allowed now.
        fn assert_operation_valid(self: Ref<VM>, op: vm_operations) -> Void as read_only ![OPERATION_BLOCKED, OPERATION_NOT_ALLOWED, OTHER_OPERATION_IN_PROGRESS, VM_BAD_POWER_STATE, VM_IS_SNAPSHOT, VM_IS_TEMPLATE, ONLY_REVERT_SNAPSHOT, PROVISION_ONLY_ALLOWED_ON_TEMPLATE, VM_ASSIGNED_TO_SNAPSHOT_SCHEDULE, VM_CANNOT_DELETE_DEFAULT_TEMPLATE], task;
        /// Drop what was kept of a measured figure.
        fn forget_data_source_archives(self: Ref<VM>, data_source: String) -> Void as vm_admin ![INVALID_VALUE], task;
        /// Read the latest value of one measured figure.
        fn query_data_source(self: Ref<VM>, data_source: String) -> Float as read_only ![INVALID_VALUE, VM_BAD_POWER_STATE], task;
        /// Start to keep a measured figure.
        fn record_data_source(self: Ref<VM>, data_source: String) -> Void as vm_admin ![INVALID_VALUE, VALUE_NOT_SUPPORTED], task;
        /// List the measured figures that can be asked for.
        fn get_data_sources(self: Ref<VM>) -> Set<Record<data_source>> as read_only, task;
        /// Its record as it was at its last start.
        fn get_boot_record(self: Ref<VM>) -> Record<VM> as read_only, task, deprecated;
        /// Fail with the error that `VM.migrate_send` would answer to the same.
        fn assert_can_migrate(vm: Ref<VM>, dest: Map<String, String>, live: Bool, vdi_map: Map<Ref<VDI>, Ref<SR>>, vif_map: Map<Ref<VIF>, Ref<network>>, options: Map<String, String>, vgpu_map: Map<Ref<VGPU>, Ref<GPU_group>> = {}) -> Void as vm_power_admin ![HOST_DISABLED, HOST_NOT_ENOUGH_FREE_MEMORY, HOST_NOT_ENOUGH_PCPUS, HOST_NOT_LIVE, INVALID_VALUE, LICENCE_RESTRICTION, NETWORK_SRIOV_INSUFFICIENT_CAPACITY, OPERATION_BLOCKED, OPERATION_NOT_ALLOWED, OTHER_OPERATION_IN_PROGRESS, SR_DOES_NOT_SUPPORT_MIGRATION, SR_FULL, SR_HAS_NO_PBDS, SR_NOT_ATTACHED, SR_OPERATION_NOT_SUPPORTED, VDI_CBT_ENABLED, VDI_INCOMPATIBLE_TYPE, VDI_IN_USE, VDI_MISSING, VDI_NOT_MANAGED, VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION, VM_BAD_POWER_STATE, VM_HAS_SRIOV_VIF, VM_HAS_VUSBS, VM_HVM_REQUIRED, VM_IS_SNAPSHOT, VM_IS_TEMPLATE, VM_MIGRATE_FAILED, VM_REQUIRES_NETWORK, VM_REQUIRES_SR], task;
        /// Move it inside the pool, with the disks that `vdi_map` sends to other repositories, while it runs or while it
        /// is halted. `dest` is what `host.migrate_receive` answered; `live` must be true for a machine that runs. Other
        /// disks stay, and so do snapshots. Interfaces keep their networks: `vif_map` and `vgpu_map` must be empty.
        fn migrate_send(vm: Ref<VM>, dest: Map<String, String>, live: Bool, vdi_map: Map<Ref<VDI>, Ref<SR>>, vif_map: Map<Ref<VIF>, Ref<network>>, options: Map<String, String>, vgpu_map: Map<Ref<VGPU>, Ref<GPU_group>> = {}, vdi_format_map: Map<Ref<VDI>, String> = {}) -> Ref<VM> as vm_power_admin ![HOST_DISABLED, HOST_NOT_ENOUGH_FREE_MEMORY, HOST_NOT_ENOUGH_PCPUS, HOST_NOT_LIVE, INVALID_VALUE, LICENCE_RESTRICTION, NETWORK_SRIOV_INSUFFICIENT_CAPACITY, OPERATION_BLOCKED, OPERATION_NOT_ALLOWED, OTHER_OPERATION_IN_PROGRESS, SR_DOES_NOT_SUPPORT_MIGRATION, SR_FULL, SR_HAS_NO_PBDS, SR_NOT_ATTACHED, SR_OPERATION_NOT_SUPPORTED, VDI_CBT_ENABLED, VDI_INCOMPATIBLE_TYPE, VDI_IN_USE, VDI_MISSING, VDI_NOT_MANAGED, VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION, VM_BAD_POWER_STATE, VM_HAS_SRIOV_VIF, VM_HAS_VUSBS, VM_HVM_REQUIRED, VM_IS_SNAPSHOT, VM_IS_TEMPLATE, VM_MIGRATE_FAILED, VM_REQUIRES_NETWORK, VM_REQUIRES_SR], task;
        /// Largest `memory_static_max` that fits into so many bytes, overhead included.
        fn maximise_memory(self: Ref<VM>, total: Int, approximate: Bool) -> Int as read_only, task;
        /// Send it a trigger of the virtual hardware, such as `power`.
        fn send_trigger(vm: Ref<VM>, trigger: String) -> Void as pool_admin ![VM_BAD_POWER_STATE, OPERATION_BLOCKED, OPERATION_NOT_ALLOWED, OTHER_OPERATION_IN_PROGRESS, VM_IS_SNAPSHOT, VM_IS_TEMPLATE], task;
        /// Press a magic key of its kernel.
        fn send_sysrq(vm: Ref<VM>, key: String) -> Void as pool_admin ![VM_BAD_POWER_STATE, OPERATION_BLOCKED, OPERATION_NOT_ALLOWED, OTHER_OPERATION_IN_PROGRESS, VM_IS_SNAPSHOT, VM_IS_TEMPLATE], task;
        /// Set how many processors it starts with; at most `VCPUs_max`.
        fn set_VCPUs_at_startup(self: Ref<VM>, value: Int) -> Void as vm_admin ![INVALID_VALUE, OPERATION_BLOCKED, OPERATION_NOT_ALLOWED, OTHER_OPERATION_IN_PROGRESS, VM_BAD_POWER_STATE, VM_IS_SNAPSHOT, VM_IS_TEMPLATE], task;
        /// Set how many processors it can have; only while Halted.
        fn set_VCPUs_max(self: Ref<VM>, value: Int) -> Void as vm_admin ![INVALID_VALUE, OPERATION_BLOCKED, OPERATION_NOT_ALLOWED, OTHER_OPERATION_IN_PROGRESS, VM_BAD_POWER_STATE, VM_IS_SNAPSHOT, VM_IS_TEMPLATE], task;
        /// Change the factor for page tables while it runs.
        fn set_shadow_multiplier_live(self: Ref<VM>, multiplier: Float) -> Void as vm_power_admin ![HOST_NOT_ENOUGH_FREE_MEMORY, INVALID_VALUE, OPERATION_BLOCKED, OPERATION_NOT_ALLOWED, OTHER_OPERATION_IN_PROGRESS, VM_BAD_POWER_STATE, VM_IS_SNAPSHOT, VM_IS_TEMPLATE], task;
        /// Set the factor for page tables; only while Halted.
        fn set_HVM_shadow_multiplier(self: Ref<VM>, value: Float) -> Void as vm_power_admin ![INVALID_VALUE, OPERATION_BLOCKED, OPERATION_NOT_ALLOWED, OTHER_OPERATION_IN_PROGRESS, VM_BAD_POWER_STATE, VM_IS_SNAPSHOT, VM_IS_TEMPLATE], task;
        /// Give each power state that the machine was in: since when, by whom, by which message.
        fn get_power_state_history(self: Ref<VM>) -> Set<AnyRecord> as read_only ![HANDLE_INVALID], extension;
        /// Say whether it gives memory back when asked; always true.
        fn get_cooperative(self: Ref<VM>) -> Bool as read_only, task, deprecated;
        /// Return when it uses as much memory as it was asked to.
        fn wait_memory_target_live(self: Ref<VM>) -> Void as read_only ![OPERATION_BLOCKED, OPERATION_NOT_ALLOWED, OTHER_OPERATION_IN_PROGRESS, VM_BAD_POWER_STATE, VM_IS_SNAPSHOT, VM_IS_TEMPLATE], task, deprecated;
        /// Ask it to use so many bytes.
        fn set_memory_target_live(self: Ref<VM>, target: Int) -> Void as vm_power_admin ![MEMORY_CONSTRAINT_VIOLATION, OPERATION_BLOCKED, OPERATION_NOT_ALLOWED, OTHER_OPERATION_IN_PROGRESS, VM_BAD_POWER_STATE, VM_IS_SNAPSHOT, VM_IS_TEMPLATE], task, deprecated;
        /// Set all memory limits to one number of bytes; only while Halted.
        fn set_memory(self: Ref<VM>, value: Int) -> Void as vm_power_admin ![OPERATION_BLOCKED, OPERATION_NOT_ALLOWED, OTHER_OPERATION_IN_PROGRESS, VM_BAD_POWER_STATE, VM_IS_SNAPSHOT, VM_IS_TEMPLATE, MEMORY_CONSTRAINT_VIOLATION], task;
        /// Set all four memory limits at once, in bytes. They must rise: static min, dynamic min, dynamic max, static
        /// max; otherwise MEMORY_CONSTRAINT_VIOLATION_ORDER.
        fn set_memory_limits(self: Ref<VM>, static_min: Int, static_max: Int, dynamic_min: Int, dynamic_max: Int) -> Void as vm_power_admin ![OPERATION_BLOCKED, OPERATION_NOT_ALLOWED, OTHER_OPERATION_IN_PROGRESS, VM_BAD_POWER_STATE, VM_IS_SNAPSHOT, VM_IS_TEMPLATE, MEMORY_CONSTRAINT_VIOLATION], task;
        /// Set both static limits, in bytes; only while Halted.
        fn set_memory_static_range(self: Ref<VM>, min: Int, max: Int) -> Void as vm_power_admin ![OPERATION_BLOCKED, OPERATION_NOT_ALLOWED, OTHER_OPERATION_IN_PROGRESS, VM_BAD_POWER_STATE, VM_IS_SNAPSHOT, VM_IS_TEMPLATE, MEMORY_CONSTRAINT_VIOLATION], task;
        /// Set the bytes that it cannot run without.
        fn set_memory_static_min(self: Ref<VM>, value: Int) -> Void as vm_power_admin ![OPERATION_BLOCKED, OPERATION_NOT_ALLOWED, OTHER_OPERATION_IN_PROGRESS, VM_BAD_POWER_STATE, VM_IS_SNAPSHOT, VM_IS_TEMPLATE, MEMORY_CONSTRAINT_VIOLATION], task;
        /// Set the bytes that it sees at most; only while Halted.
        fn set_memory_static_max(self: Ref<VM>, value: Int) -> Void as vm_power_admin ![HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN, OPERATION_BLOCKED, OPERATION_NOT_ALLOWED, OTHER_OPERATION_IN_PROGRESS, VM_BAD_POWER_STATE, VM_IS_SNAPSHOT, VM_IS_TEMPLATE, MEMORY_CONSTRAINT_VIOLATION], task;
        /// Set the bounds of what it may be asked to use, in bytes.
        fn set_memory_dynamic_range(self: Ref<VM>, min: Int, max: Int) -> Void as vm_power_admin ![HOST_NOT_ENOUGH_FREE_MEMORY, OPERATION_BLOCKED, OPERATION_NOT_ALLOWED, OTHER_OPERATION_IN_PROGRESS, VM_BAD_POWER_STATE, VM_IS_SNAPSHOT, VM_IS_TEMPLATE, MEMORY_CONSTRAINT_VIOLATION], task;
        /// Set the lower bound of what it may be asked to use, in bytes.
        fn set_memory_dynamic_min(self: Ref<VM>, value: Int) -> Void as vm_power_admin ![HOST_NOT_ENOUGH_FREE_MEMORY, OPERATION_BLOCKED, OPERATION_NOT_ALLOWED, OTHER_OPERATION_IN_PROGRESS, VM_BAD_POWER_STATE, VM_IS_SNAPSHOT, VM_IS_TEMPLATE, MEMORY_CONSTRAINT_VIOLATION], task;
        /// Set the upper bound of what it may be asked to use, in bytes.
        fn set_memory_dynamic_max(self: Ref<VM>, value: Int) -> Void as vm_power_admin ![HOST_NOT_ENOUGH_FREE_MEMORY, OPERATION_BLOCKED, OPERATION_NOT_ALLOWED, OTHER_OPERATION_IN_PROGRESS, VM_BAD_POWER_STATE, VM_IS_SNAPSHOT, VM_IS_TEMPLATE, MEMORY_CONSTRAINT_VIOLATION], task;
        /// Bytes that the hypervisor would need beside its own memory.
        fn compute_memory_overhead(vm: Ref<VM>) -> Int as read_only, task;
        /// Protect it, or not; use `set_ha_restart_priority`.
        fn set_ha_always_run(self: Ref<VM>, value: Bool) -> Void as pool_operator ![VALUE_NOT_SUPPORTED], task, deprecated;
        /// Choose its protection: `restart`, `best-effort`, or empty for none.
        fn set_ha_restart_priority(self: Ref<VM>, value: String) -> Void as pool_operator ![INVALID_VALUE, VALUE_NOT_SUPPORTED], task;
        /// Remove a firmware variable.
        fn remove_from_NVRAM(self: Ref<VM>, key: String) -> Void as vm_admin ![OPERATION_BLOCKED, OPERATION_NOT_ALLOWED, OTHER_OPERATION_IN_PROGRESS, VM_BAD_POWER_STATE, VM_IS_SNAPSHOT, VM_IS_TEMPLATE], task;
        /// Add a firmware variable.
        fn add_to_NVRAM(self: Ref<VM>, key: String, value: String) -> Void as vm_admin ![MAP_DUPLICATE_KEY, OPERATION_BLOCKED, OPERATION_NOT_ALLOWED, OTHER_OPERATION_IN_PROGRESS, VALUE_NOT_SUPPORTED, VM_BAD_POWER_STATE, VM_IS_SNAPSHOT, VM_IS_TEMPLATE], task;
        /// Replace its firmware variables.
        fn set_NVRAM(self: Ref<VM>, value: Map<String, String>) -> Void as vm_admin ![OPERATION_BLOCKED, OPERATION_NOT_ALLOWED, OTHER_OPERATION_IN_PROGRESS, VALUE_NOT_SUPPORTED, VM_BAD_POWER_STATE, VM_IS_SNAPSHOT, VM_IS_TEMPLATE], task;
        /// Change one scheduling parameter while it runs.
        fn add_to_VCPUs_params_live(self: Ref<VM>, key: String, value: String) -> Void as vm_admin ![INVALID_VALUE, OPERATION_BLOCKED, OPERATION_NOT_ALLOWED, OTHER_OPERATION_IN_PROGRESS, VM_BAD_POWER_STATE, VM_IS_SNAPSHOT, VM_IS_TEMPLATE], task;
        /// Change the number of processors while it runs.
        fn set_VCPUs_number_live(self: Ref<VM>, nvcpu: Int) -> Void as vm_admin ![OPERATION_NOT_ALLOWED, LICENCE_RESTRICTION, INVALID_VALUE, OPERATION_BLOCKED, OTHER_OPERATION_IN_PROGRESS, VM_BAD_POWER_STATE, VM_IS_SNAPSHOT, VM_IS_TEMPLATE], task;
        /// Move it to a host of the pool while it runs: to the one that it is on, where it is built anew around its
        /// memory. Nothing carries a machine to another host yet.
        fn pool_migrate(vm: Ref<VM>, host: Ref<host>, options: Map<String, String>) -> Void as vm_power_admin_or_cert ![VM_BAD_POWER_STATE, OTHER_OPERATION_IN_PROGRESS, VM_IS_TEMPLATE, OPERATION_NOT_ALLOWED, VM_BAD_POWER_STATE, OPERATION_BLOCKED, VM_IS_SNAPSHOT, HOST_DISABLED, HOST_NOT_ENOUGH_FREE_MEMORY, HOST_NOT_ENOUGH_PCPUS, HOST_NOT_LIVE, VM_HVM_REQUIRED, VM_REQUIRES_NETWORK, VM_REQUIRES_SR, VM_MIGRATE_FAILED], task;
        /// Bring a suspended machine back on that host.
        fn resume_on(vm: Ref<VM>, host: Ref<host>, start_paused: Bool, force: Bool = false) -> Void as vm_power_admin_or_cert ![VM_BAD_POWER_STATE, OPERATION_NOT_ALLOWED, VM_IS_TEMPLATE, HOST_DISABLED, HOST_NOT_ENOUGH_FREE_MEMORY, HOST_NOT_ENOUGH_PCPUS, HOST_NOT_LIVE, NO_HOSTS_AVAILABLE, OPERATION_BLOCKED, OTHER_OPERATION_IN_PROGRESS, VDI_IN_USE, VDI_READONLY, VM_HAS_NO_SUSPEND_VDI, VM_HVM_REQUIRED, VM_IS_SNAPSHOT, VM_NO_VCPUS, VM_REQUIRES_NETWORK, VM_REQUIRES_SR, SUSPEND_IMAGE_NOT_ACCESSIBLE, VM_REQUIRES_VUSB, NETWORK_SRIOV_INSUFFICIENT_CAPACITY], task;
        /// Bring a suspended machine back on a host that fits.
        fn resume(vm: Ref<VM>, start_paused: Bool = false, force: Bool = false) -> Void as vm_operator ![VM_BAD_POWER_STATE, OPERATION_NOT_ALLOWED, VM_IS_TEMPLATE, HOST_DISABLED, HOST_NOT_ENOUGH_FREE_MEMORY, HOST_NOT_ENOUGH_PCPUS, HOST_NOT_LIVE, NO_HOSTS_AVAILABLE, OPERATION_BLOCKED, OTHER_OPERATION_IN_PROGRESS, VDI_IN_USE, VDI_READONLY, VM_HAS_NO_SUSPEND_VDI, VM_HVM_REQUIRED, VM_IS_SNAPSHOT, VM_NO_VCPUS, VM_REQUIRES_NETWORK, VM_REQUIRES_SR, SUSPEND_IMAGE_NOT_ACCESSIBLE, VM_REQUIRES_VUSB, NETWORK_SRIOV_INSUFFICIENT_CAPACITY], task;
        /// Save its memory to a disk and stop it.
        fn suspend(vm: Ref<VM>) -> Void as vm_operator_or_cert ![VM_BAD_POWER_STATE, OTHER_OPERATION_IN_PROGRESS, OPERATION_NOT_ALLOWED, VM_IS_TEMPLATE, OPERATION_BLOCKED, VM_IS_SNAPSHOT, VM_NO_SUSPEND_SR, VM_HAS_VUSBS, VM_HAS_SRIOV_VIF], task;
        /// Stop it at once and start it again; what it has not written is lost.
        fn hard_reboot(vm: Ref<VM>) -> Void as vm_operator ![VM_BAD_POWER_STATE, OTHER_OPERATION_IN_PROGRESS, OPERATION_NOT_ALLOWED, VM_IS_TEMPLATE, OPERATION_BLOCKED, VM_IS_SNAPSHOT], task;
        /// Declare it Halted without touching it. Wrong use can run a machine twice.
        fn power_state_reset(vm: Ref<VM>) -> Void as pool_operator ![OPERATION_BLOCKED, OPERATION_NOT_ALLOWED, OTHER_OPERATION_IN_PROGRESS, VM_BAD_POWER_STATE, VM_IS_SNAPSHOT, VM_IS_TEMPLATE], task;
        /// Stop it at once; what it has not written is lost. A suspended one loses its saved memory.
        fn hard_shutdown(vm: Ref<VM>) -> Void as vm_operator ![VM_BAD_POWER_STATE, OTHER_OPERATION_IN_PROGRESS, OPERATION_NOT_ALLOWED, VM_IS_TEMPLATE, OPERATION_BLOCKED, VM_IS_SNAPSHOT], task;
        /// Ask it to restart; needs drivers or an agent inside.
        fn clean_reboot(vm: Ref<VM>) -> Void as vm_operator ![VM_BAD_POWER_STATE, OTHER_OPERATION_IN_PROGRESS, OPERATION_NOT_ALLOWED, VM_IS_TEMPLATE, OPERATION_BLOCKED, VM_IS_SNAPSHOT], task;
        /// Ask it to shut down, and stop it at once if it does not.
        fn shutdown(vm: Ref<VM>) -> Void as vm_operator_or_cert ![VM_BAD_POWER_STATE, OTHER_OPERATION_IN_PROGRESS, OPERATION_NOT_ALLOWED, VM_IS_TEMPLATE, OPERATION_BLOCKED, VM_IS_SNAPSHOT], task;
        /// Ask it to shut down; needs drivers or an agent inside.
        fn clean_shutdown(vm: Ref<VM>) -> Void as vm_operator ![VM_BAD_POWER_STATE, OTHER_OPERATION_IN_PROGRESS, OPERATION_NOT_ALLOWED, VM_IS_TEMPLATE, OPERATION_BLOCKED, VM_IS_SNAPSHOT], task;
        /// Let a paused machine run on.
        fn unpause(vm: Ref<VM>) -> Void as vm_operator ![VM_BAD_POWER_STATE, OPERATION_NOT_ALLOWED, VM_IS_TEMPLATE, OPERATION_BLOCKED, OTHER_OPERATION_IN_PROGRESS, VM_IS_SNAPSHOT], task;
        /// Hold its processors; it stays in memory.
        fn pause(vm: Ref<VM>) -> Void as vm_operator ![VM_BAD_POWER_STATE, OTHER_OPERATION_IN_PROGRESS, OPERATION_NOT_ALLOWED, VM_IS_TEMPLATE, OPERATION_BLOCKED, VM_IS_SNAPSHOT], task;
        /// Start it on that host.
        fn start_on(vm: Ref<VM>, host: Ref<host>, start_paused: Bool, force: Bool = false) -> Void as vm_power_admin_or_cert ![VM_BAD_POWER_STATE, VM_IS_TEMPLATE, OTHER_OPERATION_IN_PROGRESS, OPERATION_NOT_ALLOWED, BOOTLOADER_FAILED, UNKNOWN_BOOTLOADER, HOST_DISABLED, HOST_NOT_ENOUGH_FREE_MEMORY, HOST_NOT_ENOUGH_PCPUS, HOST_NOT_LIVE, NO_HOSTS_AVAILABLE, OPERATION_BLOCKED, VDI_IN_USE, VDI_READONLY, VM_HVM_REQUIRED, VM_IS_SNAPSHOT, VM_NO_VCPUS, VM_REQUIRES_NETWORK, VM_REQUIRES_SR, VM_REQUIRES_VUSB, NETWORK_SRIOV_INSUFFICIENT_CAPACITY], task;
        /// Start it on a host that fits; NO_HOSTS_AVAILABLE if none does.
        fn start(vm: Ref<VM>, start_paused: Bool = false, force: Bool = false) -> Void as vm_operator ![VM_BAD_POWER_STATE, VM_HVM_REQUIRED, VM_IS_TEMPLATE, OTHER_OPERATION_IN_PROGRESS, OPERATION_NOT_ALLOWED, BOOTLOADER_FAILED, UNKNOWN_BOOTLOADER, NO_HOSTS_AVAILABLE, LICENCE_RESTRICTION, HOST_DISABLED, HOST_NOT_ENOUGH_FREE_MEMORY, HOST_NOT_ENOUGH_PCPUS, HOST_NOT_LIVE, OPERATION_BLOCKED, VDI_IN_USE, VDI_READONLY, VM_IS_SNAPSHOT, VM_NO_VCPUS, VM_REQUIRES_NETWORK, VM_REQUIRES_SR, VM_REQUIRES_VUSB, NETWORK_SRIOV_INSUFFICIENT_CAPACITY], task;
        /// Make the disks that its template asks for.
        fn provision(vm: Ref<VM>) -> Void as vm_admin ![VM_BAD_POWER_STATE, SR_FULL, OPERATION_NOT_ALLOWED, LICENCE_RESTRICTION, DEFAULT_SR_NOT_FOUND, INVALID_VALUE, OPERATION_BLOCKED, OTHER_OPERATION_IN_PROGRESS, PROVISION_ONLY_ALLOWED_ON_TEMPLATE, SR_HAS_NO_PBDS, SR_NOT_ATTACHED, UUID_INVALID], task;
        /// Take a snapshot of its disks and its memory.
        fn checkpoint(vm: Ref<VM>, new_name: String) -> Ref<VM> as vm_power_admin ![VM_BAD_POWER_STATE, SR_FULL, OPERATION_NOT_ALLOWED, VM_CHECKPOINT_SUSPEND_FAILED, VM_CHECKPOINT_RESUME_FAILED, OPERATION_BLOCKED, OTHER_OPERATION_IN_PROGRESS, SR_HAS_NO_PBDS, SR_NOT_ATTACHED, VM_NO_SUSPEND_SR, VM_IS_SNAPSHOT, VM_IS_TEMPLATE, VM_HAS_VUSBS, VM_HAS_SRIOV_VIF], task;
        /// Bring the machine back to the state of a snapshot; what happened since is lost.
        fn revert(snapshot: Ref<VM>) -> Void as vm_power_admin ![VM_BAD_POWER_STATE, OPERATION_NOT_ALLOWED, SR_FULL, VM_REVERT_FAILED, ONLY_REVERT_SNAPSHOT, OPERATION_BLOCKED, OTHER_OPERATION_IN_PROGRESS], task;
        /// Make a machine like it with full copies of its disks, in the repository given or each where it was.
        fn copy(vm: Ref<VM>, new_name: String, sr: Ref<SR>) -> Ref<VM> as vm_admin ![VM_BAD_POWER_STATE, SR_FULL, OPERATION_NOT_ALLOWED, LICENCE_RESTRICTION, OPERATION_BLOCKED, OTHER_OPERATION_IN_PROGRESS, SR_HAS_NO_PBDS, SR_NOT_ATTACHED], task;
        /// Make a machine like it, sharing disk blocks with it where storage can.
        fn clone(vm: Ref<VM>, new_name: String) -> Ref<VM> as vm_admin ![VM_BAD_POWER_STATE, SR_FULL, OPERATION_NOT_ALLOWED, LICENCE_RESTRICTION, OPERATION_BLOCKED, OTHER_OPERATION_IN_PROGRESS, SR_HAS_NO_PBDS, SR_NOT_ATTACHED], task;
        /// No longer possible.
        fn snapshot_with_quiesce(vm: Ref<VM>, new_name: String) -> Ref<VM> as vm_power_admin ![VM_BAD_POWER_STATE, SR_FULL, OPERATION_NOT_ALLOWED, VM_SNAPSHOT_WITH_QUIESCE_FAILED, VM_SNAPSHOT_WITH_QUIESCE_TIMEOUT, VM_SNAPSHOT_WITH_QUIESCE_PLUGIN_DEOS_NOT_RESPOND, VM_SNAPSHOT_WITH_QUIESCE_NOT_SUPPORTED, VM_IS_SNAPSHOT, VM_IS_TEMPLATE, VM_HAS_VUSBS], task, removed;
        /// Take a snapshot of its disks, the ones listed left out; it may be running.
        fn snapshot(vm: Ref<VM>, new_name: String, ignore_vdis: Set<Ref<VDI>> = {}) -> Ref<VM> as vm_power_admin ![VM_BAD_POWER_STATE, SR_FULL, OPERATION_NOT_ALLOWED, OPERATION_BLOCKED, OTHER_OPERATION_IN_PROGRESS, SR_HAS_NO_PBDS, SR_NOT_ATTACHED, VM_IS_SNAPSHOT, VM_IS_TEMPLATE, VM_HAS_VUSBS], task;
    }
}
