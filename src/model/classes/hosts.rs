//! Hosts and what is on them.

use super::*;
use crate::model::types::*;
use crate::model::{class, default};

class! {
    host, by(pool_operator);
    enums {
        host_allowed_operations: "provision" "evacuate" "shutdown" "reboot" "power_on" "vm_start" "vm_resume" "vm_migrate" "apply_updates" "enable";
        latest_synced_updates_applied_state: "yes" "no" "unknown";
        update_guidances: "reboot_host" "reboot_host_on_livepatch_failure" "reboot_host_on_kernel_livepatch_failure" "reboot_host_on_xen_livepatch_failure" "restart_toolstack" "restart_device_model" "restart_vm";
        host_display: "enabled" "disable_on_reboot" "disabled" "enable_on_reboot";
        host_sched_gran: "core" "cpu" "socket";
        host_numa_affinity_policy: "any" "best_effort" "default_policy";
        host_ntp_mode: "DHCP" "Custom" "Factory" "Disabled";
    }
    fields {
        RO uuid: String;
        RW name_label: String = "";
        RW name_description: String = "";
        RO memory_overhead: Int = 0;
        RO allowed_operations: Set<host_allowed_operations> = {};
        RO current_operations: Map<String, host_allowed_operations> = {};
        RO API_version_major: Int;
        RO API_version_minor: Int;
        RO API_version_vendor: String;
        RO API_version_vendor_implementation: Map<String, String>;
        RO enabled: Bool;
        CO software_version: Map<String, String>;
        RW other_config: Map<String, String>;
        CO capabilities: Set<String>;
        RO cpu_configuration: Map<String, String>;
        RO sched_policy: String;
        RO supported_bootloaders: Set<String>;
        RO resident_VMs: Set<Ref<VM>> => VM.resident_on;
        RW logging: Map<String, String>;
        RO PIFs: Set<Ref<PIF>> => PIF.host;
        RW suspend_image_sr: Ref<SR>;
        RW crash_dump_sr: Ref<SR>;
        RO crashdumps: Set<Ref<host_crashdump>> => host_crashdump.host;
        RO patches: Set<Ref<host_patch>> => host_patch.host, deprecated;
        RO updates: Set<Ref<pool_update>>;
        RO PBDs: Set<Ref<PBD>> => PBD.host;
        RO host_CPUs: Set<Ref<host_cpu>> => host_cpu.host;
        RO cpu_info: Map<String, String> = {};
        RW hostname: String;
        RW address: String;
        RO metrics: Ref<host_metrics>;
        RO license_params: Map<String, String>;
        RO ha_statefiles: Set<String> = {};
        RO ha_network_peers: Set<String> = {};
        RO blobs: Map<String, Ref<blob>> = {};
        RW tags: Set<String> = {}, by(vm_operator);
        RO external_auth_type: String = "";
        RO external_auth_service_name: String = "";
        RO external_auth_configuration: Map<String, String> = {};
        RO edition: String = "";
        RW license_server: Map<String, String> = {"address": "localhost", "port": "27000"};
        RO bios_strings: Map<String, String> = {};
        RO power_on_mode: String = "";
        RO power_on_config: Map<String, String> = {};
        CO local_cache_sr: Ref<SR> = null;
        RO chipset_info: Map<String, String> = {};
        RO PCIs: Set<Ref<PCI>> => PCI.host;
        RO PGPUs: Set<Ref<PGPU>> => PGPU.host;
        RO PUSBs: Set<Ref<PUSB>> => PUSB.host;
        CO ssl_legacy: Bool = true, deprecated;
        RW guest_VCPUs_params: Map<String, String> = {};
        RW display: host_display = enabled;
        RO virtual_hardware_platform_versions: Set<Int> = {0};
        RO control_domain: Ref<VM> = null;
        RO updates_requiring_reboot: Set<Ref<pool_update>>;
        RO features: Set<Ref<Feature>> => Feature.host;
        CO iscsi_iqn: String = "";
        CO multipathing: Bool = false;
        CO uefi_certificates: String = "", deprecated;
        RO certificates: Set<Ref<Certificate>> => Certificate.host;
        RO editions: Set<String> = {};
        RO pending_guidances: Set<update_guidances> = {};
        RO tls_verification_enabled: Bool = false;
        RO last_software_update: DateTime = epoch, prototyped;
        RO https_only: Bool = false, prototyped;
        RO latest_synced_updates_applied: latest_synced_updates_applied_state = unknown, prototyped;
        RO numa_affinity_policy: host_numa_affinity_policy = default_policy, prototyped;
        RO pending_guidances_recommended: Set<update_guidances> = {}, prototyped;
        RO pending_guidances_full: Set<update_guidances> = {}, prototyped;
        RO last_update_hash: String = "", prototyped;
        RO ssh_enabled: Bool = true, prototyped;
        RO ssh_enabled_timeout: Int = 0, prototyped;
        RO ssh_expiry: DateTime = epoch, prototyped;
        RO console_idle_timeout: Int = 0, prototyped;
        RO ssh_auto_mode: Bool = false, prototyped;
        RO max_cstate: String = "", prototyped;
        RO secure_boot: Bool = false, prototyped;
        RO ntp_mode: host_ntp_mode = Factory, prototyped;
        RO ntp_custom_servers: Set<String> = {}, prototyped;
        RO timezone: String = "UTC", prototyped;
    }
    messages {
        fn set_servertime(self: Ref<host>, value: DateTime) -> Void as pool_operator, task, prototyped;
        fn get_ntp_synchronized(self: Ref<host>) -> Bool as read_only, task, prototyped;
        fn list_timezones(self: Ref<host>) -> Set<String> as read_only, task, prototyped;
        fn set_timezone(self: Ref<host>, value: String) -> Void as pool_operator, task, prototyped;
        fn get_ntp_servers_status(self: Ref<host>) -> Map<String, String> as read_only, task, prototyped;
        fn set_ntp_custom_servers(self: Ref<host>, value: Set<String>) -> Void as pool_operator, task, prototyped;
        fn set_ntp_mode(self: Ref<host>, value: host_ntp_mode) -> Void as pool_operator, task, prototyped;
        fn set_max_cstate(self: Ref<host>, value: String) -> Void as pool_operator, task, prototyped;
        fn get_tracked_user_agents(self: Ref<host>) -> Map<String, String> as read_only, task, prototyped;
        fn set_ssh_auto_mode(self: Ref<host>, value: Bool) -> Void as pool_admin, task, prototyped;
        fn set_console_idle_timeout(self: Ref<host>, value: Int) -> Void as pool_admin, task, prototyped;
        fn set_ssh_enabled_timeout(self: Ref<host>, value: Int) -> Void as pool_admin, task, prototyped;
        fn disable_ssh(self: Ref<host>) -> Void as pool_admin, task, prototyped;
        fn enable_ssh(self: Ref<host>) -> Void as pool_admin, task, prototyped;
        fn emergency_clear_mandatory_guidance() -> Void as local_root, task, prototyped;
        fn apply_recommended_guidances(self: Ref<host>) -> Void as pool_operator, task, removed;
        fn set_https_only(self: Ref<host>, value: Bool) -> Void as pool_operator, task, prototyped;
        fn rescan_drivers(self: Ref<host>) -> Void as pool_admin, task, prototyped;
        fn apply_updates(self: Ref<host>, hash: String) -> Set<Set<String>> as pool_operator_or_cert, task;
        fn emergency_reenable_tls_verification() -> Void as local_root, task;
        fn emergency_disable_tls_verification() -> Void as local_root, task;
        fn set_numa_affinity_policy(self: Ref<host>, value: host_numa_affinity_policy) -> Void as pool_admin, task, prototyped;
        fn get_sched_gran(self: Ref<host>) -> host_sched_gran as local_root, task;
        fn set_sched_gran(self: Ref<host>, value: host_sched_gran) -> Void as local_root, task;
        fn set_uefi_certificates(host: Ref<host>, value: String) -> Void as local_root, task, deprecated;
        fn set_multipathing(host: Ref<host>, value: Bool) -> Void as pool_operator, task;
        fn set_iscsi_iqn(host: Ref<host>, value: String) -> Void as pool_operator, task;
        fn set_ssl_legacy(self: Ref<host>, value: Bool) -> Void as pool_operator, task;
        fn disable_display(host: Ref<host>) -> host_display as pool_operator, task;
        fn enable_display(host: Ref<host>) -> host_display as pool_operator, task;
        fn declare_dead(host: Ref<host>) -> Void as pool_operator, task;
        fn migrate_receive(host: Ref<host>, network: Ref<network>, options: Map<String, String>) -> Map<String, String> as vm_power_admin, task;
        fn disable_local_storage_caching(host: Ref<host>) -> Void as pool_operator, task;
        fn enable_local_storage_caching(host: Ref<host>, sr: Ref<SR>) -> Void as pool_operator, task;
        fn reset_cpu_features(host: Ref<host>) -> Void as pool_operator, task, removed;
        fn set_cpu_features(host: Ref<host>, features: String) -> Void as pool_operator, task, removed;
        fn set_power_on_mode(self: Ref<host>, power_on_mode: String, power_on_config: Map<String, String>) -> Void as pool_operator, task;
        fn refresh_pack_info(host: Ref<host>) -> Void as pool_operator, task, deprecated;
        fn apply_edition(host: Ref<host>, edition: String, force: Bool) -> Void as pool_operator, task;
        fn reset_server_certificate(host: Ref<host>) -> Void as pool_admin, task;
        fn emergency_reset_server_certificate() -> Void as local_root, task;
        fn install_server_certificate(host: Ref<host>, certificate: String, private_key: String, certificate_chain: String) -> Void as pool_admin, task;
        fn refresh_server_certificate(host: Ref<host>) -> Void as pool_admin, task;
        fn get_server_certificate(host: Ref<host>) -> String as read_only, task;
        fn retrieve_wlb_evacuate_recommendations(self: Ref<host>) -> Map<Ref<VM>, Set<String>> as read_only, task;
        fn external_auth_set_ldaps(host: Ref<host>, ldaps: Bool, force: Bool) -> Void as pool_admin, task;
        fn disable_external_auth(host: Ref<host>, config: Map<String, String>, force: Bool) -> Void as pool_admin, task;
        fn enable_external_auth(host: Ref<host>, config: Map<String, String>, service_name: String, auth_type: String) -> Void as pool_admin, task;
        fn get_server_localtime(host: Ref<host>) -> DateTime as read_only, task;
        fn get_servertime(host: Ref<host>) -> DateTime as read_only, task;
        fn call_extension(host: Ref<host>, call: String) -> String as pool_admin, task;
        fn has_extension(host: Ref<host>, name: String) -> Bool as pool_admin, task;
        fn call_plugin(host: Ref<host>, plugin: String, fn: String, args: Map<String, String>) -> String as pool_admin, task;
        fn create_new_blob(host: Ref<host>, name: String, mime_type: String, public: Bool) -> Ref<blob> as pool_operator, task;
        fn backup_rrds(host: Ref<host>, delay: Float) -> Void as pool_admin, task;
        fn sync_data(host: Ref<host>) -> Void as pool_admin, task;
        fn compute_memory_overhead(host: Ref<host>) -> Int as read_only, task;
        fn compute_free_memory(host: Ref<host>) -> Int as read_only, task;
        fn set_hostname_live(host: Ref<host>, hostname: String) -> Void as pool_operator ![HOST_NAME_INVALID], task;
        fn shutdown_agent() -> Void as pool_operator, task;
        fn restart_agent(host: Ref<host>) -> Void as pool_operator, task;
        fn get_system_status_capabilities(host: Ref<host>) -> String as read_only, task;
        fn get_management_interface(host: Ref<host>) -> Ref<PIF> as pool_operator, task;
        fn management_disable() -> Void as pool_operator, task;
        fn local_management_reconfigure(interface: String) -> Void as pool_operator, task;
        fn management_reconfigure(pif: Ref<PIF>) -> Void as pool_operator, task;
        fn syslog_reconfigure(host: Ref<host>) -> Void as pool_operator, task;
        fn evacuate(host: Ref<host>, network: Ref<network>, evacuate_batch_size: Int) -> Void as pool_operator_or_cert, task;
        fn get_uncooperative_resident_VMs(self: Ref<host>) -> Set<Ref<VM>> as read_only, task, deprecated;
        fn get_vms_which_prevent_evacuation(self: Ref<host>) -> Map<Ref<VM>, Set<String>> as read_only, task;
        fn assert_can_evacuate(host: Ref<host>) -> Void as pool_operator, task;
        fn forget_data_source_archives(host: Ref<host>, data_source: String) -> Void as pool_operator, task;
        fn query_data_source(host: Ref<host>, data_source: String) -> Float as read_only, task;
        fn record_data_source(host: Ref<host>, data_source: String) -> Void as pool_operator, task;
        fn get_data_sources(host: Ref<host>) -> Set<Record<data_source>> as read_only, task;
        fn emergency_ha_disable(soft: Bool) -> Void as pool_operator, task;
        fn power_on(host: Ref<host>) -> Void as pool_operator, task;
        fn destroy(self: Ref<host>) -> Void as pool_operator, task;
        fn license_remove(host: Ref<host>) -> Void as pool_operator, task;
        fn license_add(host: Ref<host>, contents: String) -> Void as pool_operator ![LICENSE_PROCESSING_ERROR], task;
        fn license_apply(host: Ref<host>, contents: String) -> Void as pool_operator ![LICENSE_PROCESSING_ERROR], task, removed;
        fn list_methods() -> Set<String> as read_only, task;
        fn bugreport_upload(host: Ref<host>, url: String, options: Map<String, String>) -> Void as pool_operator, task;
        fn send_debug_keys(host: Ref<host>, keys: String) -> Void as pool_admin, task;
        fn get_log(host: Ref<host>) -> String as read_only, task;
        fn dmesg_clear(host: Ref<host>) -> String as pool_operator, task;
        fn dmesg(host: Ref<host>) -> String as pool_operator, task;
        fn reboot(host: Ref<host>) -> Void as pool_operator, task;
        fn shutdown(host: Ref<host>) -> Void as pool_operator, task;
        fn enable(host: Ref<host>) -> Void as pool_operator_or_cert, task;
        fn disable(host: Ref<host>, auto_enable: Bool) -> Void as pool_operator_or_cert, task;
    }
}

class! {
    host_crashdump, by(pool_operator);
    fields {
        RO uuid: String;
        CO host: Ref<host>;
        RO timestamp: DateTime;
        RO size: Int;
        RW other_config: Map<String, String> = {};
    }
    messages {
        fn upload(self: Ref<host_crashdump>, url: String, options: Map<String, String>) -> Void as pool_operator, task;
        fn destroy(self: Ref<host_crashdump>) -> Void as pool_operator, task;
    }
}

class! {
    host_patch, by(pool_operator), deprecated;
    fields {
        RO uuid: String;
        CO name_label: String = "";
        CO name_description: String = "";
        CO version: String;
        CO host: Ref<host>;
        RO applied: Bool;
        RO timestamp_applied: DateTime;
        RO size: Int;
        CO pool_patch: Ref<pool_patch> = null;
        RW other_config: Map<String, String> = {};
    }
    messages {
        fn apply(self: Ref<host_patch>) -> String as pool_operator, task, deprecated;
        fn destroy(self: Ref<host_patch>) -> Void as pool_operator, task, deprecated;
    }
}

class! {
    host_metrics, by(pool_operator);
    fields {
        RO uuid: String;
        RO memory_total: Int;
        RO memory_free: Int = 0, removed;
        RO live: Bool;
        RO last_updated: DateTime;
        RW other_config: Map<String, String> = {};
    }
}

class! {
    host_cpu, by(pool_operator), deprecated;
    fields {
        RO uuid: String;
        RO host: Ref<host>;
        RO number: Int;
        RO vendor: String;
        RO speed: Int;
        RO modelname: String;
        RO family: Int;
        RO model: Int;
        RO stepping: String;
        RO flags: String;
        RO features: String;
        RO utilisation: Float;
        RW other_config: Map<String, String> = {};
    }
}

class! {
    Feature;
    fields {
        RO uuid: String;
        CO name_label: String = "";
        CO name_description: String = "";
        RO enabled: Bool = false;
        CO experimental: Bool = false;
        CO version: String = "1.0";
        RO host: Ref<host>;
    }
}

class! {
    Certificate;
    enums {
        certificate_type: "ca" "host" "host_internal" "pinned";
        certificate_purpose: "licensing" "ldaps";
    }
    fields {
        RO uuid: String;
        RO name: String = "";
        RO r#type: certificate_type = host;
        CO host: Ref<host> = null;
        CO not_before: DateTime = epoch;
        CO not_after: DateTime = epoch;
        CO fingerprint: String = "", deprecated;
        CO fingerprint_sha256: String = "", prototyped;
        CO fingerprint_sha1: String = "", prototyped;
        CO purpose: Set<certificate_purpose> = {}, prototyped;
    }
}

class! {
    Host_driver, prototyped;
    fields {
        RO uuid: String, prototyped;
        CO host: Ref<host> = null, prototyped;
        RO name: String, prototyped;
        RO friendly_name: String, prototyped;
        RO variants: Set<Ref<Driver_variant>> => Driver_variant.driver, prototyped;
        RO active_variant: Ref<Driver_variant>, prototyped;
        RO selected_variant: Ref<Driver_variant>, prototyped;
        RO r#type: String, prototyped;
        RO description: String, prototyped;
        RO info: String, prototyped;
    }
    messages {
        fn rescan(host: Ref<host>) -> Void as pool_admin, task, prototyped;
        fn deselect(self: Ref<Host_driver>) -> Void as pool_admin, task, prototyped;
        fn select(self: Ref<Host_driver>, variant: Ref<Driver_variant>) -> Void as pool_admin, task, prototyped;
    }
}

class! {
    Driver_variant, prototyped;
    fields {
        RO uuid: String, prototyped;
        RO name: String, prototyped;
        RO driver: Ref<Host_driver>, prototyped;
        RO version: String, prototyped;
        RO hardware_present: Bool, prototyped;
        RO priority: Float, prototyped;
        RO status: String, prototyped;
    }
    messages {
        fn select(self: Ref<Driver_variant>) -> Void as pool_admin, task, prototyped;
    }
}

class! {
    data_source, nothing_implied, no_events;
    fields {
        RO name_label: String = "";
        RO name_description: String = "";
        RO enabled: Bool;
        RO standard: Bool;
        RO units: String;
        RO min: Float;
        RO max: Float;
        RO value: Float;
    }
}
