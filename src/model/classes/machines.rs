//! Machines and what belongs to one.

use super::*;
use crate::model::types::*;
use crate::model::{class, default};

class! {
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
        RO uuid: String;
        RO allowed_operations: Set<vm_operations> = {};
        RO current_operations: Map<String, vm_operations> = {};
        RW name_label: String = "";
        RW name_description: String = "";
        CO power_state: vm_power_state = Halted;
        RW user_version: Int;
        RW is_a_template: Bool;
        RO is_default_template: Bool = false;
        CO suspend_VDI: Ref<VDI> = null;
        RO resident_on: Ref<host>;
        RO scheduled_to_be_resident_on: Ref<host> = null;
        RW affinity: Ref<host>, by(vm_power_admin);
        RO memory_overhead: Int = 0;
        CO memory_target: Int = 0, deprecated;
        CO memory_static_max: Int;
        CO memory_dynamic_max: Int;
        CO memory_dynamic_min: Int;
        CO memory_static_min: Int;
        RW VCPUs_params: Map<String, String>;
        CO VCPUs_max: Int;
        CO VCPUs_at_startup: Int;
        RW actions_after_softreboot: on_softreboot_behavior = soft_reboot, prototyped;
        RW actions_after_shutdown: on_normal_exit;
        RW actions_after_reboot: on_normal_exit;
        CO actions_after_crash: on_crash_behaviour;
        RO consoles: Set<Ref<console>> => console.VM;
        RO VIFs: Set<Ref<VIF>> => VIF.VM;
        RO VBDs: Set<Ref<VBD>> => VBD.VM;
        RO VUSBs: Set<Ref<VUSB>> => VUSB.VM;
        RO crash_dumps: Set<Ref<crashdump>> => crashdump.VM;
        RO VTPMs: Set<Ref<VTPM>> => VTPM.VM;
        RW PV_bootloader: String;
        RW PV_kernel: String;
        RW PV_ramdisk: String;
        RW PV_args: String;
        RW PV_bootloader_args: String;
        RW PV_legacy_args: String;
        CO HVM_boot_policy: String, deprecated;
        RW HVM_boot_params: Map<String, String>;
        CO HVM_shadow_multiplier: Float = 1.0;
        CO platform: Map<String, String>;
        RW PCI_bus: String, deprecated;
        CO other_config: Map<String, String>;
        RO domid: Int;
        RO domarch: String;
        CO last_boot_CPU_flags: Map<String, String> = {};
        RO is_control_domain: Bool;
        RO metrics: Ref<VM_metrics>;
        RO guest_metrics: Ref<VM_guest_metrics>;
        CO last_booted_record: String = "";
        RW recommendations: String;
        RW xenstore_data: Map<String, String> = {};
        CO ha_always_run: Bool = false, deprecated;
        CO ha_restart_priority: String = "";
        RO is_a_snapshot: Bool = false;
        RO snapshot_of: Ref<VM> = null;
        RO snapshots: Set<Ref<VM>> => VM.snapshot_of;
        RO snapshot_time: DateTime = epoch;
        RO transportable_snapshot_id: String = "";
        RO blobs: Map<String, Ref<blob>> = {};
        RW tags: Set<String> = {}, by(vm_operator);
        CO blocked_operations: Map<vm_operations, String> = {};
        RO snapshot_info: Map<String, String> = {};
        RO snapshot_metadata: String = "";
        RO parent: Ref<VM> = null;
        RO children: Set<Ref<VM>> => VM.parent;
        RO bios_strings: Map<String, String> = {};
        CO protection_policy: Ref<VMPP> = null, deprecated;
        CO is_snapshot_from_vmpp: Bool = false, removed;
        CO snapshot_schedule: Ref<VMSS> = null;
        CO is_vmss_snapshot: Bool = false;
        CO appliance: Ref<VM_appliance> = null;
        CO start_delay: Int = 0;
        CO shutdown_delay: Int = 0;
        CO order: Int = 0;
        RO VGPUs: Set<Ref<VGPU>> => VGPU.VM;
        RO attached_PCIs: Set<Ref<PCI>> => PCI.attached_VMs;
        RW suspend_SR: Ref<SR> = null;
        CO version: Int = 0;
        CO generation_id: String = "0:0";
        RW hardware_platform_version: Int = 0;
        CO has_vendor_device: Bool = true;
        RO requires_reboot: Bool = false;
        CO reference_label: String = "";
        CO domain_type: domain_type = unspecified;
        CO NVRAM: Map<String, String> = {};
        RO pending_guidances: Set<update_guidances> = {};
        RO pending_guidances_recommended: Set<update_guidances> = {}, prototyped;
        RO pending_guidances_full: Set<update_guidances> = {}, prototyped;
        RO groups: Set<Ref<VM_group>>, prototyped;
        RO secureboot_certificates_state: vm_secureboot_certificates_state = ok, prototyped;
    }
    messages {
        fn set_platform(self: Ref<VM>, value: Map<String, String>) -> Void as vm_admin, task;
        fn remove_from_platform(self: Ref<VM>, key: String) -> Void as vm_admin, task;
        fn add_to_platform(self: Ref<VM>, key: String, value: String) -> Void as vm_admin, task;
        fn set_other_config(self: Ref<VM>, value: Map<String, String>) -> Void as vm_admin, task;
        fn remove_from_other_config(self: Ref<VM>, key: String) -> Void as vm_admin, task;
        fn add_to_other_config(self: Ref<VM>, key: String, value: String) -> Void as vm_admin, task;
        fn sysprep(self: Ref<VM>, unattend: String, timeout: Float) -> Void as vm_admin, task, prototyped;
        fn remove_from_blocked_operations(self: Ref<VM>, key: vm_operations) -> Void as vm_admin, task;
        fn add_to_blocked_operations(self: Ref<VM>, key: vm_operations, value: String) -> Void as vm_admin, task;
        fn set_blocked_operations(self: Ref<VM>, value: Map<vm_operations, String>) -> Void as vm_admin, task;
        fn update_secureboot_certificates_on_boot(self: Ref<VM>, mark: Bool) -> Void as vm_admin, task, prototyped;
        fn get_secureboot_readiness(self: Ref<VM>) -> vm_secureboot_readiness as pool_admin, task, prototyped;
        fn set_uefi_mode(self: Ref<VM>, mode: vm_uefi_mode) -> String as pool_admin, task, prototyped;
        fn restart_device_models(self: Ref<VM>) -> Void as vm_power_admin_or_cert ![VM_BAD_POWER_STATE, OTHER_OPERATION_IN_PROGRESS, VM_IS_TEMPLATE, OPERATION_NOT_ALLOWED, VM_BAD_POWER_STATE], task, prototyped;
        fn set_HVM_boot_policy(self: Ref<VM>, value: String) -> Void as vm_admin, task, deprecated;
        fn set_domain_type(self: Ref<VM>, value: domain_type) -> Void as vm_admin, task;
        fn set_actions_after_crash(self: Ref<VM>, value: on_crash_behaviour) -> Void as vm_admin, task;
        fn import(url: String, sr: Ref<SR>, full_restore: Bool, force: Bool) -> Set<Ref<VM>> as pool_operator, task;
        fn set_has_vendor_device(self: Ref<VM>, value: Bool) -> Void as vm_admin, task;
        fn call_host_plugin(vm: Ref<VM>, plugin: String, fn: String, args: Map<String, String>) -> String as vm_operator, task, prototyped;
        fn call_plugin(vm: Ref<VM>, plugin: String, fn: String, args: Map<String, String>) -> String as vm_operator, task;
        fn query_services(self: Ref<VM>) -> Map<String, String> as pool_admin, task;
        fn set_groups(self: Ref<VM>, value: Set<Ref<VM_group>>) -> Void as vm_admin ![OPERATION_NOT_ALLOWED], task, prototyped;
        fn set_appliance(self: Ref<VM>, value: Ref<VM_appliance>) -> Void as pool_operator, task;
        fn import_convert(type: String, username: String, password: String, sr: Ref<SR>, remote_config: Map<String, String>) -> Void as vm_admin, task;
        fn recover(self: Ref<VM>, session_to: Ref<session>, force: Bool) -> Void as read_only, task;
        fn get_SRs_required_for_recovery(self: Ref<VM>, session_to: Ref<session>) -> Set<Ref<SR>> as read_only, task;
        fn assert_can_be_recovered(self: Ref<VM>, session_to: Ref<session>) -> Void as read_only ![VM_IS_PART_OF_AN_APPLIANCE, VM_REQUIRES_SR], task;
        fn set_suspend_VDI(self: Ref<VM>, value: Ref<VDI>) -> Void as pool_operator, task;
        fn set_order(self: Ref<VM>, value: Int) -> Void as pool_operator, task;
        fn set_shutdown_delay(self: Ref<VM>, value: Int) -> Void as pool_operator, task;
        fn set_start_delay(self: Ref<VM>, value: Int) -> Void as pool_operator, task;
        fn set_snapshot_schedule(self: Ref<VM>, value: Ref<VMSS>) -> Void as pool_operator, task;
        fn set_protection_policy(self: Ref<VM>, value: Ref<VMPP>) -> Void as pool_operator, task, removed;
        fn copy_bios_strings(vm: Ref<VM>, host: Ref<host>) -> Void as vm_admin, task;
        fn set_bios_strings(self: Ref<VM>, value: Map<String, String>) -> Void as vm_admin ![VM_BIOS_STRINGS_ALREADY_SET, INVALID_VALUE], task;
        fn retrieve_wlb_recommendations(vm: Ref<VM>) -> Map<Ref<host>, Set<String>> as read_only, task;
        fn assert_agile(self: Ref<VM>) -> Void as read_only, task;
        fn create_new_blob(vm: Ref<VM>, name: String, mime_type: String, public: Bool) -> Ref<blob> as vm_power_admin, task;
        fn assert_can_boot_here(self: Ref<VM>, host: Ref<host>) -> Void as read_only ![HOST_NOT_ENOUGH_FREE_MEMORY, HOST_NOT_ENOUGH_PCPUS, NETWORK_SRIOV_INSUFFICIENT_CAPACITY, HOST_NOT_LIVE, HOST_DISABLED, HOST_CANNOT_ATTACH_NETWORK, VM_HVM_REQUIRED, VM_REQUIRES_GPU, VM_REQUIRES_IOMMU, VM_REQUIRES_NETWORK, VM_REQUIRES_SR, VM_REQUIRES_VGPU, VM_HOST_INCOMPATIBLE_VERSION, VM_HOST_INCOMPATIBLE_VIRTUAL_HARDWARE_PLATFORM_VERSION, INVALID_VALUE, MEMORY_CONSTRAINT_VIOLATION, OPERATION_NOT_ALLOWED, VALUE_NOT_SUPPORTED, VM_INCOMPATIBLE_WITH_THIS_HOST], task;
        fn get_possible_hosts(vm: Ref<VM>) -> Set<Ref<host>> as read_only, task;
        fn get_allowed_VIF_devices(vm: Ref<VM>) -> Set<String> as read_only, task;
        fn get_allowed_VBD_devices(vm: Ref<VM>) -> Set<String> as read_only, task;
        fn update_allowed_operations(self: Ref<VM>) -> Void as pool_admin, task;
        fn assert_operation_valid(self: Ref<VM>, op: vm_operations) -> Void as read_only, task;
        fn forget_data_source_archives(self: Ref<VM>, data_source: String) -> Void as vm_admin, task;
        fn query_data_source(self: Ref<VM>, data_source: String) -> Float as read_only, task;
        fn record_data_source(self: Ref<VM>, data_source: String) -> Void as vm_admin, task;
        fn get_data_sources(self: Ref<VM>) -> Set<Record<data_source>> as read_only, task;
        fn get_boot_record(self: Ref<VM>) -> Record<VM> as read_only, task, deprecated;
        fn assert_can_migrate(vm: Ref<VM>, dest: Map<String, String>, live: Bool, vdi_map: Map<Ref<VDI>, Ref<SR>>, vif_map: Map<Ref<VIF>, Ref<network>>, options: Map<String, String>, vgpu_map: Map<Ref<VGPU>, Ref<GPU_group>>) -> Void as vm_power_admin ![LICENCE_RESTRICTION], task;
        fn migrate_send(vm: Ref<VM>, dest: Map<String, String>, live: Bool, vdi_map: Map<Ref<VDI>, Ref<SR>>, vif_map: Map<Ref<VIF>, Ref<network>>, options: Map<String, String>, vgpu_map: Map<Ref<VGPU>, Ref<GPU_group>>, vdi_format_map: Map<Ref<VDI>, String>) -> Ref<VM> as vm_power_admin ![VM_BAD_POWER_STATE, LICENCE_RESTRICTION], task;
        fn maximise_memory(self: Ref<VM>, total: Int, approximate: Bool) -> Int as read_only, task;
        fn send_trigger(vm: Ref<VM>, trigger: String) -> Void as pool_admin ![VM_BAD_POWER_STATE], task;
        fn send_sysrq(vm: Ref<VM>, key: String) -> Void as pool_admin ![VM_BAD_POWER_STATE], task;
        fn set_VCPUs_at_startup(self: Ref<VM>, value: Int) -> Void as vm_admin, task;
        fn set_VCPUs_max(self: Ref<VM>, value: Int) -> Void as vm_admin, task;
        fn set_shadow_multiplier_live(self: Ref<VM>, multiplier: Float) -> Void as vm_power_admin, task;
        fn set_HVM_shadow_multiplier(self: Ref<VM>, value: Float) -> Void as vm_power_admin, task;
        fn get_cooperative(self: Ref<VM>) -> Bool as read_only, task, deprecated;
        fn wait_memory_target_live(self: Ref<VM>) -> Void as read_only, task, deprecated;
        fn set_memory_target_live(self: Ref<VM>, target: Int) -> Void as vm_power_admin, task, deprecated;
        fn set_memory(self: Ref<VM>, value: Int) -> Void as vm_power_admin, task;
        fn set_memory_limits(self: Ref<VM>, static_min: Int, static_max: Int, dynamic_min: Int, dynamic_max: Int) -> Void as vm_power_admin, task;
        fn set_memory_static_range(self: Ref<VM>, min: Int, max: Int) -> Void as vm_power_admin, task;
        fn set_memory_static_min(self: Ref<VM>, value: Int) -> Void as vm_power_admin, task;
        fn set_memory_static_max(self: Ref<VM>, value: Int) -> Void as vm_power_admin ![HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN], task;
        fn set_memory_dynamic_range(self: Ref<VM>, min: Int, max: Int) -> Void as vm_power_admin, task;
        fn set_memory_dynamic_min(self: Ref<VM>, value: Int) -> Void as vm_power_admin, task;
        fn set_memory_dynamic_max(self: Ref<VM>, value: Int) -> Void as vm_power_admin, task;
        fn compute_memory_overhead(vm: Ref<VM>) -> Int as read_only, task;
        fn set_ha_always_run(self: Ref<VM>, value: Bool) -> Void as pool_operator, task, deprecated;
        fn set_ha_restart_priority(self: Ref<VM>, value: String) -> Void as pool_operator, task;
        fn remove_from_NVRAM(self: Ref<VM>, key: String) -> Void as vm_admin, task;
        fn add_to_NVRAM(self: Ref<VM>, key: String, value: String) -> Void as vm_admin, task;
        fn set_NVRAM(self: Ref<VM>, value: Map<String, String>) -> Void as vm_admin, task;
        fn add_to_VCPUs_params_live(self: Ref<VM>, key: String, value: String) -> Void as vm_admin, task;
        fn set_VCPUs_number_live(self: Ref<VM>, nvcpu: Int) -> Void as vm_admin ![OPERATION_NOT_ALLOWED, LICENCE_RESTRICTION], task;
        fn pool_migrate(vm: Ref<VM>, host: Ref<host>, options: Map<String, String>) -> Void as vm_power_admin_or_cert ![VM_BAD_POWER_STATE, OTHER_OPERATION_IN_PROGRESS, VM_IS_TEMPLATE, OPERATION_NOT_ALLOWED, VM_BAD_POWER_STATE], task;
        fn resume_on(vm: Ref<VM>, host: Ref<host>, start_paused: Bool, force: Bool = false) -> Void as vm_power_admin_or_cert ![VM_BAD_POWER_STATE, OPERATION_NOT_ALLOWED, VM_IS_TEMPLATE], task;
        fn resume(vm: Ref<VM>, start_paused: Bool = false, force: Bool = false) -> Void as vm_operator ![VM_BAD_POWER_STATE, OPERATION_NOT_ALLOWED, VM_IS_TEMPLATE], task;
        fn suspend(vm: Ref<VM>) -> Void as vm_operator_or_cert ![VM_BAD_POWER_STATE, OTHER_OPERATION_IN_PROGRESS, OPERATION_NOT_ALLOWED, VM_IS_TEMPLATE], task;
        fn hard_reboot(vm: Ref<VM>) -> Void as vm_operator ![VM_BAD_POWER_STATE, OTHER_OPERATION_IN_PROGRESS, OPERATION_NOT_ALLOWED, VM_IS_TEMPLATE], task;
        fn power_state_reset(vm: Ref<VM>) -> Void as pool_operator, task;
        fn hard_shutdown(vm: Ref<VM>) -> Void as vm_operator ![VM_BAD_POWER_STATE, OTHER_OPERATION_IN_PROGRESS, OPERATION_NOT_ALLOWED, VM_IS_TEMPLATE], task;
        fn clean_reboot(vm: Ref<VM>) -> Void as vm_operator ![VM_BAD_POWER_STATE, OTHER_OPERATION_IN_PROGRESS, OPERATION_NOT_ALLOWED, VM_IS_TEMPLATE], task;
        fn shutdown(vm: Ref<VM>) -> Void as vm_operator_or_cert ![VM_BAD_POWER_STATE, OTHER_OPERATION_IN_PROGRESS, OPERATION_NOT_ALLOWED, VM_IS_TEMPLATE], task;
        fn clean_shutdown(vm: Ref<VM>) -> Void as vm_operator ![VM_BAD_POWER_STATE, OTHER_OPERATION_IN_PROGRESS, OPERATION_NOT_ALLOWED, VM_IS_TEMPLATE], task;
        fn unpause(vm: Ref<VM>) -> Void as vm_operator ![VM_BAD_POWER_STATE, OPERATION_NOT_ALLOWED, VM_IS_TEMPLATE], task;
        fn pause(vm: Ref<VM>) -> Void as vm_operator ![VM_BAD_POWER_STATE, OTHER_OPERATION_IN_PROGRESS, OPERATION_NOT_ALLOWED, VM_IS_TEMPLATE], task;
        fn start_on(vm: Ref<VM>, host: Ref<host>, start_paused: Bool, force: Bool = false) -> Void as vm_power_admin_or_cert ![VM_BAD_POWER_STATE, VM_IS_TEMPLATE, OTHER_OPERATION_IN_PROGRESS, OPERATION_NOT_ALLOWED, BOOTLOADER_FAILED, UNKNOWN_BOOTLOADER], task;
        fn start(vm: Ref<VM>, start_paused: Bool = false, force: Bool = false) -> Void as vm_operator ![VM_BAD_POWER_STATE, VM_HVM_REQUIRED, VM_IS_TEMPLATE, OTHER_OPERATION_IN_PROGRESS, OPERATION_NOT_ALLOWED, BOOTLOADER_FAILED, UNKNOWN_BOOTLOADER, NO_HOSTS_AVAILABLE, LICENCE_RESTRICTION], task;
        fn provision(vm: Ref<VM>) -> Void as vm_admin ![VM_BAD_POWER_STATE, SR_FULL, OPERATION_NOT_ALLOWED, LICENCE_RESTRICTION], task;
        fn checkpoint(vm: Ref<VM>, new_name: String) -> Ref<VM> as vm_power_admin ![VM_BAD_POWER_STATE, SR_FULL, OPERATION_NOT_ALLOWED, VM_CHECKPOINT_SUSPEND_FAILED, VM_CHECKPOINT_RESUME_FAILED], task;
        fn revert(snapshot: Ref<VM>) -> Void as vm_power_admin ![VM_BAD_POWER_STATE, OPERATION_NOT_ALLOWED, SR_FULL, VM_REVERT_FAILED], task;
        fn copy(vm: Ref<VM>, new_name: String, sr: Ref<SR>) -> Ref<VM> as vm_admin ![VM_BAD_POWER_STATE, SR_FULL, OPERATION_NOT_ALLOWED, LICENCE_RESTRICTION], task;
        fn clone(vm: Ref<VM>, new_name: String) -> Ref<VM> as vm_admin ![VM_BAD_POWER_STATE, SR_FULL, OPERATION_NOT_ALLOWED, LICENCE_RESTRICTION], task;
        fn snapshot_with_quiesce(vm: Ref<VM>, new_name: String) -> Ref<VM> as vm_power_admin ![VM_BAD_POWER_STATE, SR_FULL, OPERATION_NOT_ALLOWED, VM_SNAPSHOT_WITH_QUIESCE_FAILED, VM_SNAPSHOT_WITH_QUIESCE_TIMEOUT, VM_SNAPSHOT_WITH_QUIESCE_PLUGIN_DEOS_NOT_RESPOND, VM_SNAPSHOT_WITH_QUIESCE_NOT_SUPPORTED], task, removed;
        fn snapshot(vm: Ref<VM>, new_name: String, ignore_vdis: Set<Ref<VDI>>) -> Ref<VM> as vm_power_admin ![VM_BAD_POWER_STATE, SR_FULL, OPERATION_NOT_ALLOWED], task;
    }
}

class! {
    VM_metrics, by(vm_admin);
    fields {
        RO uuid: String;
        RO memory_actual: Int;
        RO VCPUs_number: Int;
        RO VCPUs_utilisation: Map<Int, Float> = {}, removed;
        RO VCPUs_CPU: Map<Int, Int>;
        RO VCPUs_params: Map<String, String>;
        RO VCPUs_flags: Map<Int, Set<String>>;
        RO state: Set<String>;
        RO start_time: DateTime;
        RO install_time: DateTime;
        RO last_updated: DateTime;
        RW other_config: Map<String, String> = {};
        RO hvm: Bool = false;
        RO nested_virt: Bool = false;
        RO nomigrate: Bool = false;
        RO current_domain_type: domain_type = unspecified;
        CO numa_optimised: Bool = false, prototyped;
        CO numa_nodes: Int = 0, prototyped;
        RO numa_node_memory: Map<Int, Int> = {}, prototyped;
    }
}

class! {
    VM_guest_metrics, by(vm_admin);
    enums {
        tristate_type: "yes" "no" "unspecified";
    }
    fields {
        RO uuid: String;
        RO os_version: Map<String, String>;
        RO netbios_name: Map<String, String> = {}, prototyped;
        RO PV_drivers_version: Map<String, String>;
        RO PV_drivers_up_to_date: Bool, deprecated;
        RO memory: Map<String, String> = {}, removed;
        RO disks: Map<String, String> = {}, removed;
        RO networks: Map<String, String>;
        RO other: Map<String, String>;
        RO last_updated: DateTime;
        RW other_config: Map<String, String> = {};
        RO live: Bool = false;
        RO can_use_hotplug_vbd: tristate_type = unspecified;
        RO can_use_hotplug_vif: tristate_type = unspecified;
        RO PV_drivers_detected: Bool = false;
        RO services: Map<String, String> = {}, prototyped;
    }
}

class! {
    VMPP, by(pool_operator), create, destroy, removed;
    enums {
        vmpp_backup_type: "snapshot" "checkpoint";
        vmpp_backup_frequency: "hourly" "daily" "weekly";
        vmpp_archive_frequency: "never" "always_after_backup" "daily" "weekly";
        vmpp_archive_target_type: "none" "cifs" "nfs";
    }
    fields {
        RO uuid: String, removed;
        RW name_label: String = "", removed;
        RW name_description: String = "", removed;
        RW is_policy_enabled: Bool = true, removed;
        RW backup_type: vmpp_backup_type = snapshot, removed;
        CO backup_retention_value: Int = 7, removed;
        CO backup_frequency: vmpp_backup_frequency = daily, removed;
        CO backup_schedule: Map<String, String> = {}, removed;
        RO is_backup_running: Bool, removed;
        RO backup_last_run_time: DateTime = epoch, removed;
        CO archive_target_type: vmpp_archive_target_type = none, removed;
        CO archive_target_config: Map<String, String> = {}, removed;
        CO archive_frequency: vmpp_archive_frequency = never, removed;
        CO archive_schedule: Map<String, String> = {}, removed;
        RO is_archive_running: Bool, removed;
        RO archive_last_run_time: DateTime = epoch, removed;
        RO VMs: Set<Ref<VM>> => VM.protection_policy, removed;
        CO is_alarm_enabled: Bool = false, removed;
        CO alarm_config: Map<String, String> = {}, removed;
        RO recent_alerts: Set<String> = {}, removed;
    }
    messages {
        fn set_archive_last_run_time(self: Ref<VMPP>, value: DateTime) -> Void as local_root, task, removed;
        fn set_backup_last_run_time(self: Ref<VMPP>, value: DateTime) -> Void as local_root, task, removed;
        fn remove_from_alarm_config(self: Ref<VMPP>, key: String) -> Void as pool_operator, task, removed;
        fn remove_from_archive_schedule(self: Ref<VMPP>, key: String) -> Void as pool_operator, task, removed;
        fn remove_from_archive_target_config(self: Ref<VMPP>, key: String) -> Void as pool_operator, task, removed;
        fn remove_from_backup_schedule(self: Ref<VMPP>, key: String) -> Void as pool_operator, task, removed;
        fn add_to_alarm_config(self: Ref<VMPP>, key: String, value: String) -> Void as pool_operator, task, removed;
        fn add_to_archive_schedule(self: Ref<VMPP>, key: String, value: String) -> Void as pool_operator, task, removed;
        fn add_to_archive_target_config(self: Ref<VMPP>, key: String, value: String) -> Void as pool_operator, task, removed;
        fn add_to_backup_schedule(self: Ref<VMPP>, key: String, value: String) -> Void as pool_operator, task, removed;
        fn set_alarm_config(self: Ref<VMPP>, value: Map<String, String>) -> Void as pool_operator, task, removed;
        fn set_is_alarm_enabled(self: Ref<VMPP>, value: Bool) -> Void as pool_operator, task, removed;
        fn set_archive_target_config(self: Ref<VMPP>, value: Map<String, String>) -> Void as pool_operator, task, removed;
        fn set_archive_target_type(self: Ref<VMPP>, value: vmpp_archive_target_type) -> Void as pool_operator, task, removed;
        fn set_archive_schedule(self: Ref<VMPP>, value: Map<String, String>) -> Void as pool_operator, task, removed;
        fn set_archive_frequency(self: Ref<VMPP>, value: vmpp_archive_frequency) -> Void as pool_operator, task, removed;
        fn set_backup_schedule(self: Ref<VMPP>, value: Map<String, String>) -> Void as pool_operator, task, removed;
        fn set_backup_frequency(self: Ref<VMPP>, value: vmpp_backup_frequency) -> Void as pool_operator, task, removed;
        fn set_backup_retention_value(self: Ref<VMPP>, value: Int) -> Void as pool_operator, task, removed;
        fn get_alerts(vmpp: Ref<VMPP>, hours_from_now: Int) -> Set<String> as pool_operator, task, removed;
        fn archive_now(snapshot: Ref<VM>) -> String as vm_power_admin, task, removed;
        fn protect_now(vmpp: Ref<VMPP>) -> String as pool_operator, task, removed;
    }
}

class! {
    VMSS, by(pool_operator), create, destroy;
    enums {
        vmss_frequency: "hourly" "daily" "weekly";
        vmss_type: "snapshot" "checkpoint" "snapshot_with_quiesce";
    }
    fields {
        RO uuid: String;
        RW name_label: String = "";
        RW name_description: String = "";
        RW enabled: Bool = true;
        CO r#type: vmss_type;
        CO retained_snapshots: Int = 7;
        CO frequency: vmss_frequency;
        CO schedule: Map<String, String> = {};
        RO last_run_time: DateTime = epoch;
        RO VMs: Set<Ref<VM>> => VM.snapshot_schedule;
    }
    messages {
        fn set_type(self: Ref<VMSS>, value: vmss_type) -> Void as pool_operator, task;
        fn set_last_run_time(self: Ref<VMSS>, value: DateTime) -> Void as local_root, task;
        fn remove_from_schedule(self: Ref<VMSS>, key: String) -> Void as pool_operator, task;
        fn add_to_schedule(self: Ref<VMSS>, key: String, value: String) -> Void as pool_operator, task;
        fn set_schedule(self: Ref<VMSS>, value: Map<String, String>) -> Void as pool_operator, task;
        fn set_frequency(self: Ref<VMSS>, value: vmss_frequency) -> Void as pool_operator, task;
        fn set_retained_snapshots(self: Ref<VMSS>, value: Int) -> Void as pool_operator, task;
        fn snapshot_now(vmss: Ref<VMSS>) -> String as pool_operator, task;
    }
}

class! {
    VM_appliance, by(pool_operator), create, destroy;
    enums {
        vm_appliance_operation: "start" "clean_shutdown" "hard_shutdown" "shutdown";
    }
    fields {
        RO uuid: String;
        RW name_label: String = "";
        RW name_description: String = "";
        RO allowed_operations: Set<vm_appliance_operation> = {};
        RO current_operations: Map<String, vm_appliance_operation> = {};
        RO VMs: Set<Ref<VM>> => VM.appliance;
    }
    messages {
        fn recover(self: Ref<VM_appliance>, session_to: Ref<session>, force: Bool) -> Void as read_only ![VM_REQUIRES_SR], task;
        fn get_SRs_required_for_recovery(self: Ref<VM_appliance>, session_to: Ref<session>) -> Set<Ref<SR>> as read_only, task;
        fn assert_can_be_recovered(self: Ref<VM_appliance>, session_to: Ref<session>) -> Void as read_only ![VM_REQUIRES_SR], task;
        fn shutdown(self: Ref<VM_appliance>) -> Void as pool_operator ![OPERATION_PARTIALLY_FAILED], task;
        fn hard_shutdown(self: Ref<VM_appliance>) -> Void as pool_operator ![OPERATION_PARTIALLY_FAILED], task;
        fn clean_shutdown(self: Ref<VM_appliance>) -> Void as pool_operator ![OPERATION_PARTIALLY_FAILED], task;
        fn start(self: Ref<VM_appliance>, paused: Bool) -> Void as pool_operator ![OPERATION_PARTIALLY_FAILED], task;
    }
}

class! {
    VM_group, by(vm_admin), create, destroy, prototyped;
    enums {
        placement_policy: "anti_affinity" "normal";
    }
    fields {
        RO uuid: String;
        RW name_label: String = "";
        RW name_description: String = "";
        CO placement: placement_policy = normal, prototyped;
        RO VMs: Set<Ref<VM>> => VM.groups, prototyped;
    }
}

class! {
    DR_task;
    fields {
        RO uuid: String;
        RO introduced_SRs: Set<Ref<SR>> => SR.introduced_by;
    }
    messages {
        fn destroy(self: Ref<DR_task>) -> Void as pool_operator, task;
        fn create(type: String, device_config: Map<String, String>, whitelist: Set<String>) -> Ref<DR_task> as pool_operator, task;
    }
}

class! {
    crashdump, by(pool_operator), deprecated;
    fields {
        RO uuid: String;
        CO VM: Ref<VM>;
        CO VDI: Ref<VDI>;
        RW other_config: Map<String, String> = {};
    }
    messages {
        fn destroy(self: Ref<crashdump>) -> Void as pool_operator, task;
    }
}

class! {
    console, by(vm_admin), create, destroy;
    enums {
        console_protocol: "vt100" "rfb" "rdp";
    }
    fields {
        RO uuid: String;
        RO protocol: console_protocol;
        RO location: String;
        RO VM: Ref<VM>;
        RW other_config: Map<String, String>;
    }
}

class! {
    VTPM, prototyped;
    enums {
        vtpm_operations: "destroy";
        persistence_backend: "xapi";
    }
    fields {
        RO uuid: String;
        RO allowed_operations: Set<vtpm_operations> = {};
        RO current_operations: Map<String, vtpm_operations> = {};
        CO VM: Ref<VM>;
        RO backend: Ref<VM> = null;
        RO persistence_backend: persistence_backend = xapi, prototyped;
        CO is_unique: Bool = false, prototyped;
        RO is_protected: Bool = false, prototyped;
    }
    messages {
        fn destroy(self: Ref<VTPM>) -> Void as vm_admin, task, prototyped;
        fn create(vM: Ref<VM>, is_unique: Bool) -> Ref<VTPM> as vm_admin, task, prototyped;
    }
}
