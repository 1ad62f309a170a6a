//! Hosts and what is on them.

use super::*;
use crate::model::types::*;
use crate::model::{class, default};

class! {
    /// A physical machine that runs the hypervisor.
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
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// Name for people; need not be unique.
        RW name_label: String = "";
        /// Longer text for people.
        RW name_description: String = "";
        /// Bytes that the hypervisor keeps for itself.
        RO memory_overhead: Int = 0;
        /// What a client may do with it now; empty while nothing may be done.
        RO allowed_operations: Set<host_allowed_operations> = {}, derived;
        /// Operations that have been accepted and not ended: task reference to operation.
        RO current_operations: Map<String, host_allowed_operations> = {};
        /// First part of the API's version.
        RO API_version_major: Int;
        /// Second part of the API's version.
        RO API_version_minor: Int;
        /// Who made this implementation of the API.
        RO API_version_vendor: String;
        /// Details of the implementation, by key.
        RO API_version_vendor_implementation: Map<String, String>;
        /// True if machines may start here; false while the host is being emptied or serviced.
        RO enabled: Bool;
        /// Versions of what runs here, by component.
        CO software_version: Map<String, String>;
        /// Keys and values for clients to use; every key is kept.
        RW other_config: Map<String, String>;
        /// The kinds of machines that the hypervisor can run, in its own words.
        CO capabilities: Set<String>;
        /// How the processors are arranged, in the hypervisor's words.
        RO cpu_configuration: Map<String, String>;
        /// The scheduler that the hypervisor uses.
        RO sched_policy: String;
        /// Boot loaders that paravirtual machines may name.
        RO supported_bootloaders: Set<String>;
        /// Machines that are in this host's memory, the control domain included.
        RO resident_VMs: Set<Ref<VM>> => VM.resident_on;
        /// Where logs go; `syslog_destination` names another machine.
        RW logging: Map<String, String>;
        /// Its physical interfaces, and what is stacked on them.
        RO PIFs: Set<Ref<PIF>> => PIF.host;
        /// Where the memory of machines suspended here goes; null leaves it to the pool.
        RW suspend_image_sr: Ref<SR>;
        /// Where dumps of machines that crash here go; null leaves it to the pool.
        RW crash_dump_sr: Ref<SR>;
        /// Dumps of the host's own crashes.
        RO crashdumps: Set<Ref<host_crashdump>> => host_crashdump.host;
        /// Updates in the old form that are on this host.
        RO patches: Set<Ref<host_patch>> => host_patch.host, deprecated;
        /// Updates that are on this host.
        RO updates: Set<Ref<pool_update>>;
        /// Its connections to storage repositories.
        RO PBDs: Set<Ref<PBD>> => PBD.host;
        /// Its processors, one by one.
        RO host_CPUs: Set<Ref<host_cpu>> => host_cpu.host;
        /// Vendor, model, number and features of its processors.
        RO cpu_info: Map<String, String> = {};
        /// Its name on the network.
        RW hostname: String;
        /// The address at which clients and other hosts reach it.
        RW address: String;
        /// What is measured on it.
        RO metrics: Ref<host_metrics>;
        /// State of the licence; `expiry` says until when.
        RO license_params: Map<String, String>;
        /// Disks that hold the state of high availability, while it is on.
        RO ha_statefiles: Set<String> = {};
        /// Hosts that it hears, while high availability is on.
        RO ha_network_peers: Set<String> = {};
        /// Binary objects attached to it, by name.
        RO blobs: Map<String, Ref<blob>> = {};
        /// Labels that clients put on it, to group and to search.
        RW tags: Set<String> = {}, by(vm_operator);
        /// Kind of directory that logins are checked with; empty for none.
        RO external_auth_type: String = "";
        /// Name of that directory; empty for none.
        RO external_auth_service_name: String = "";
        /// Settings for that directory, without its secrets.
        RO external_auth_configuration: Map<String, String> = {};
        /// The edition that is licensed.
        RO edition: String = "";
        /// Where licences come from: address and port.
        RW license_server: Map<String, String> = {"address": "localhost", "port": "27000"};
        /// What the firmware says about the maker and the model.
        RO bios_strings: Map<String, String> = {};
        /// How it can be switched on from afar; empty if it cannot.
        RO power_on_mode: String = "";
        /// Settings for switching it on.
        RO power_on_config: Map<String, String> = {};
        /// Repository where disks are cached; null if they are not.
        CO local_cache_sr: Ref<SR> = null;
        /// What the board can do; `iommu` says whether devices can be passed through.
        RO chipset_info: Map<String, String> = {};
        /// PCI devices in it.
        RO PCIs: Set<Ref<PCI>> => PCI.host;
        /// Graphics processors in it.
        RO PGPUs: Set<Ref<PGPU>> => PGPU.host;
        /// USB devices plugged into it.
        RO PUSBs: Set<Ref<PUSB>> => PUSB.host;
        /// True if old TLS versions are allowed.
        CO ssl_legacy: Bool = true, deprecated;
        /// Scheduling parameters for every machine here; a `mask` limits the processors.
        RW guest_VCPUs_params: Map<String, String> = {};
        /// Whether its screen is its own or given to a machine.
        RW display: host_display = enabled;
        /// Versions of the virtual hardware that it can present.
        RO virtual_hardware_platform_versions: Set<Int> = {0};
        /// The machine that runs this server and the drivers.
        RO control_domain: Ref<VM> = null;
        /// Updates that take effect only when it restarts.
        RO updates_requiring_reboot: Set<Ref<pool_update>>;
        /// Features that can be switched on here.
        RO features: Set<Ref<Feature>> => Feature.host;
        /// Its name as an iSCSI initiator.
        CO iscsi_iqn: String = "";
        /// True if storage is reached on several paths.
        CO multipathing: Bool = false;
        /// Certificates for secure boot; see the pool's.
        CO uefi_certificates: String = "", deprecated;
        /// Certificates installed on it.
        RO certificates: Set<Ref<Certificate>> => Certificate.host;
        /// Editions that it could be licensed for.
        RO editions: Set<String> = {};
        /// What must be done before updates take effect.
        RO pending_guidances: Set<update_guidances> = {};
        /// True if it checks the certificates of the others.
        RO tls_verification_enabled: Bool = false;
        /// When its software last changed; the epoch if unknown.
        RO last_software_update: DateTime = epoch, prototyped;
        /// True if it refuses plain HTTP.
        RO https_only: Bool = false, prototyped;
        /// Whether it has everything that the repositories offer.
        RO latest_synced_updates_applied: latest_synced_updates_applied_state = unknown, prototyped;
        /// How machines are laid out over memory nodes.
        RO numa_affinity_policy: host_numa_affinity_policy = default_policy, prototyped;
        /// What should be done before updates take effect.
        RO pending_guidances_recommended: Set<update_guidances> = {}, prototyped;
        /// All that could be done for updates to take effect.
        RO pending_guidances_full: Set<update_guidances> = {}, prototyped;
        /// Hash of the repositories' contents that it was last updated to; empty if never.
        RO last_update_hash: String = "", prototyped;
        /// True if SSH is open.
        RO ssh_enabled: Bool = true, prototyped;
        /// Seconds after which SSH is closed again; 0 for never.
        RO ssh_enabled_timeout: Int = 0, prototyped;
        /// When SSH is closed; the epoch for never.
        RO ssh_expiry: DateTime = epoch, prototyped;
        /// Seconds after which an idle console is logged out; 0 for never.
        RO console_idle_timeout: Int = 0, prototyped;
        /// True if SSH opens by itself while the API does not work.
        RO ssh_auto_mode: Bool = false, prototyped;
        /// The deepest sleep state of the processors; empty for no limit.
        RO max_cstate: String = "", prototyped;
        /// True if it started with secure boot.
        RO secure_boot: Bool = false, prototyped;
        /// Where its clock servers come from.
        RO ntp_mode: host_ntp_mode = Factory, prototyped;
        /// Its clock servers, in the mode Custom.
        RO ntp_custom_servers: Set<String> = {}, prototyped;
        /// Its time zone, as in `Europe/Berlin`.
        RO timezone: String = "UTC", prototyped;
        /// Which run of the host the reconciler saw last.
        RO boot: String = "", internal;
        /// Microseconds that its clock is ahead of the server's.
        RO clock_offset: Int = 0, internal;
        /// What the scheduler treats as a unit, since its last start.
        RO sched_gran: host_sched_gran = cpu, internal;
        /// What the scheduler is to treat as a unit from the next start on.
        RO sched_gran_chosen: host_sched_gran = cpu, internal;
        /// True if the next start takes it back into service.
        RO auto_enable: Bool = true, internal;
        /// Figures that are kept because somebody asked for them.
        RO recorded_data_sources: Set<String> = {}, internal;
        /// True if clients do not reach it over the network.
        RO management_disabled: Bool = false, internal;
    }
    messages {
        /// Set the clock.
        fn set_servertime(self: Ref<host>, value: DateTime) -> Void as pool_operator ![NOT_ALLOWED_WHEN_NTP_IS_ENABLED], task, prototyped;
        /// Say whether the clock follows its servers.
        fn get_ntp_synchronized(self: Ref<host>) -> Bool as read_only, task, prototyped;
        /// List the names of time zones.
        fn list_timezones(self: Ref<host>) -> Set<String> as read_only, task, prototyped;
        /// Set the time zone.
        fn set_timezone(self: Ref<host>, value: String) -> Void as pool_operator ![VALUE_NOT_SUPPORTED], task, prototyped;
        /// Say how each clock server does.
        fn get_ntp_servers_status(self: Ref<host>) -> Map<String, String> as read_only, task, prototyped;
        /// Set the clock servers for the mode Custom.
        fn set_ntp_custom_servers(self: Ref<host>, value: Set<String>) -> Void as pool_operator ![VALUE_NOT_SUPPORTED, INVALID_NTP_CONFIG], task, prototyped;
        /// Choose where clock servers come from.
        fn set_ntp_mode(self: Ref<host>, value: host_ntp_mode) -> Void as pool_operator ![VALUE_NOT_SUPPORTED, INVALID_NTP_CONFIG], task, prototyped;
        /// Limit the sleep states of the processors.
        fn set_max_cstate(self: Ref<host>, value: String) -> Void as pool_operator ![VALUE_NOT_SUPPORTED], task, prototyped;
        /// List the clients that called lately: name to address.
        fn get_tracked_user_agents(self: Ref<host>) -> Map<String, String> as read_only, task, prototyped;
        /// Open SSH only while the API does not work.
        fn set_ssh_auto_mode(self: Ref<host>, value: Bool) -> Void as pool_admin ![VALUE_NOT_SUPPORTED], task, prototyped;
        /// Log an idle console out after so many seconds; 0 for never.
        fn set_console_idle_timeout(self: Ref<host>, value: Int) -> Void as pool_admin ![VALUE_NOT_SUPPORTED], task, prototyped;
        /// Close SSH so many seconds after it was opened; 0 for never.
        fn set_ssh_enabled_timeout(self: Ref<host>, value: Int) -> Void as pool_admin ![VALUE_NOT_SUPPORTED], task, prototyped;
        /// Close SSH.
        fn disable_ssh(self: Ref<host>) -> Void as pool_admin, task, prototyped;
        /// Open SSH.
        fn enable_ssh(self: Ref<host>) -> Void as pool_admin, task, prototyped;
        /// Forget what must be done before updates take effect.
        fn emergency_clear_mandatory_guidance() -> Void as local_root, task, prototyped;
        /// Do what is recommended after updates; no longer possible.
        fn apply_recommended_guidances(self: Ref<host>) -> Void as pool_operator, task, removed;
        /// Choose whether plain HTTP is refused.
        fn set_https_only(self: Ref<host>, value: Bool) -> Void as pool_operator ![VALUE_NOT_SUPPORTED], task, prototyped;
        /// Look for drivers again.
        fn rescan_drivers(self: Ref<host>) -> Void as pool_admin, task, prototyped;
        /// Install the updates that the hash stands for; answers what is left to do.
        fn apply_updates(self: Ref<host>, hash: String) -> Set<Set<String>> as pool_operator_or_cert, task;
        /// Check certificates again, on this host only.
        fn emergency_reenable_tls_verification() -> Void as local_root ![TLS_VERIFICATION_NOT_ENABLED_IN_POOL], task;
        /// Stop checking certificates, on this host only.
        fn emergency_disable_tls_verification() -> Void as local_root, task;
        /// Choose how machines are laid out over memory nodes.
        fn set_numa_affinity_policy(self: Ref<host>, value: host_numa_affinity_policy) -> Void as pool_admin ![VALUE_NOT_SUPPORTED], task, prototyped;
        /// What the scheduler treats as a unit: thread, core or socket.
        fn get_sched_gran(self: Ref<host>) -> host_sched_gran as local_root, task;
        /// Choose what the scheduler treats as a unit; takes effect at the next start.
        fn set_sched_gran(self: Ref<host>, value: host_sched_gran) -> Void as local_root, task;
        /// Set the certificates for secure boot; see the pool's.
        fn set_uefi_certificates(host: Ref<host>, value: String) -> Void as local_root ![VALUE_NOT_SUPPORTED], task, deprecated;
        /// Choose whether storage is reached on several paths.
        fn set_multipathing(host: Ref<host>, value: Bool) -> Void as pool_operator ![VALUE_NOT_SUPPORTED], task;
        /// Set its name as an iSCSI initiator.
        fn set_iscsi_iqn(host: Ref<host>, value: String) -> Void as pool_operator ![VALUE_NOT_SUPPORTED, INVALID_VALUE], task;
        /// Choose whether old TLS versions are allowed.
        fn set_ssl_legacy(self: Ref<host>, value: Bool) -> Void as pool_operator ![VALUE_NOT_SUPPORTED], task;
        /// Free the screen at the next start, so that a machine can have it.
        fn disable_display(host: Ref<host>) -> host_display as pool_operator, task;
        /// Take the screen back at the next start.
        fn enable_display(host: Ref<host>) -> host_display as pool_operator, task;
        /// State that the host is off: its machines become halted. Wrong use can run a machine twice.
        fn declare_dead(host: Ref<host>) -> Void as pool_operator ![HOST_CANNOT_DESTROY_SELF, HOST_IS_LIVE], task;
        /// Get ready to receive a machine; answers what `VM.migrate_send` takes as its `dest`.
        fn migrate_receive(host: Ref<host>, network: Ref<network>, options: Map<String, String>) -> Map<String, String> as vm_power_admin ![HOST_CANNOT_ATTACH_NETWORK], task;
        /// Stop caching disks on this host.
        fn disable_local_storage_caching(host: Ref<host>) -> Void as pool_operator, task;
        /// Cache disks in this repository of the host.
        fn enable_local_storage_caching(host: Ref<host>, sr: Ref<SR>) -> Void as pool_operator ![OPERATION_NOT_ALLOWED], task;
        /// No longer possible.
        fn reset_cpu_features(host: Ref<host>) -> Void as pool_operator, task, removed;
        /// No longer possible.
        fn set_cpu_features(host: Ref<host>, features: String) -> Void as pool_operator, task, removed;
        /// Set how it can be switched on from afar; an empty mode for not at all.
        fn set_power_on_mode(self: Ref<host>, power_on_mode: String, power_on_config: Map<String, String>) -> Void as pool_operator ![VALUE_NOT_SUPPORTED], task;
        /// Read again what is installed.
        fn refresh_pack_info(host: Ref<host>) -> Void as pool_operator, task, deprecated;
        /// Change the edition.
        fn apply_edition(host: Ref<host>, edition: String, force: Bool) -> Void as pool_operator ![INVALID_EDITION], task;
        /// Make a new certificate that it signs itself.
        fn reset_server_certificate(host: Ref<host>) -> Void as pool_admin, task;
        /// The same, for a host that the pool does not reach.
        fn emergency_reset_server_certificate() -> Void as local_root, task;
        /// Install a certificate and its key.
        fn install_server_certificate(host: Ref<host>, certificate: String, private_key: String, certificate_chain: String) -> Void as pool_admin ![SERVER_CERTIFICATE_INVALID, SERVER_CERTIFICATE_NOT_VALID_YET, SERVER_CERTIFICATE_EXPIRED, SERVER_CERTIFICATE_CHAIN_INVALID, SERVER_CERTIFICATE_KEY_INVALID, SERVER_CERTIFICATE_KEY_MISMATCH], task;
        /// Make a new certificate for calls between hosts.
        fn refresh_server_certificate(host: Ref<host>) -> Void as pool_admin ![OPERATION_NOT_ALLOWED], task;
        /// Answer the certificate, as PEM.
        fn get_server_certificate(host: Ref<host>) -> String as read_only, task;
        /// Ask the workload balancer where this host's machines should go.
        fn retrieve_wlb_evacuate_recommendations(self: Ref<host>) -> Map<Ref<VM>, Set<String>> as read_only ![WLB_NOT_INITIALIZED], task;
        /// Choose whether the directory is asked over TLS.
        fn external_auth_set_ldaps(host: Ref<host>, ldaps: Bool, force: Bool) -> Void as pool_admin, task;
        /// Stop asking the directory.
        fn disable_external_auth(host: Ref<host>, config: Map<String, String>, force: Bool) -> Void as pool_admin, task;
        /// Let users of a directory log in.
        fn enable_external_auth(host: Ref<host>, config: Map<String, String>, service_name: String, auth_type: String) -> Void as pool_admin, task;
        /// The clock, in the host's time zone.
        fn get_server_localtime(host: Ref<host>) -> DateTime as read_only, task;
        /// The clock, in UTC.
        fn get_servertime(host: Ref<host>) -> DateTime as read_only, task;
        /// Call an extension of the API that is installed on the host.
        fn call_extension(host: Ref<host>, call: String) -> String as pool_admin ![MESSAGE_METHOD_UNKNOWN], task;
        /// Say whether an extension of that name is installed.
        fn has_extension(host: Ref<host>, name: String) -> Bool as pool_admin, task;
        /// Run a function of a plugin that is installed on the host; XENAPI_MISSING_PLUGIN if it is not.
        fn call_plugin(host: Ref<host>, plugin: String, fn: String, args: Map<String, String>) -> String as pool_admin ![XENAPI_MISSING_PLUGIN], task;
        /// Attach a new, empty binary object under a name.
        fn create_new_blob(host: Ref<host>, name: String, mime_type: String, public: Bool) -> Ref<blob> as pool_operator ![MAP_DUPLICATE_KEY, VALUE_NOT_SUPPORTED], task;
        /// Write measured figures to disk, after so many seconds.
        fn backup_rrds(host: Ref<host>, delay: Float) -> Void as pool_admin, task;
        /// Write everything that is only in memory to disk.
        fn sync_data(host: Ref<host>) -> Void as pool_admin, task;
        /// Bytes that the hypervisor keeps for itself, counted now.
        fn compute_memory_overhead(host: Ref<host>) -> Int as read_only, task;
        /// Bytes that new machines could use.
        fn compute_free_memory(host: Ref<host>) -> Int as read_only, task;
        /// Change the name on the network; HOST_NAME_INVALID if it is not a valid one.
        fn set_hostname_live(host: Ref<host>, hostname: String) -> Void as pool_operator ![HOST_NAME_INVALID], task;
        /// Stop this server; machines go on running.
        fn shutdown_agent() -> Void as pool_operator, task;
        /// Restart this server; machines go on running.
        fn restart_agent(host: Ref<host>) -> Void as pool_operator, task;
        /// What a status report can contain, as XML. `from` in each entry says which resource or message gives it.
        fn get_system_status_capabilities(host: Ref<host>) -> String as read_only, task;
        /// The interface that management goes over; null if there is none.
        fn get_management_interface(host: Ref<host>) -> Ref<PIF> as pool_operator, task;
        /// Stop listening on the network, until management is reconfigured over the Unix socket; without one it is refused.
        fn management_disable() -> Void as pool_operator ![OPERATION_NOT_ALLOWED], task;
        /// Move management to another interface, for a host that the pool does not reach.
        fn local_management_reconfigure(interface: String) -> Void as pool_operator ![CANNOT_PLUG_BOND_SLAVE, PIF_INCOMPATIBLE_PRIMARY_ADDRESS_TYPE, PIF_HAS_NO_NETWORK_CONFIGURATION, PIF_HAS_NO_V6_NETWORK_CONFIGURATION, INTERFACE_HAS_NO_IP, PIF_DEVICE_NOT_FOUND], task;
        /// Move management to another interface.
        fn management_reconfigure(pif: Ref<PIF>) -> Void as pool_operator ![CANNOT_PLUG_BOND_SLAVE, PIF_INCOMPATIBLE_PRIMARY_ADDRESS_TYPE, PIF_HAS_NO_NETWORK_CONFIGURATION, PIF_HAS_NO_V6_NETWORK_CONFIGURATION, INTERFACE_HAS_NO_IP], task;
        /// Apply a changed `logging`.
        fn syslog_reconfigure(host: Ref<host>) -> Void as pool_operator, task;
        /// Move every running machine elsewhere; the host should be disabled first.
        fn evacuate(host: Ref<host>, network: Ref<network> = null, evacuate_batch_size: Int = 0) -> Void as pool_operator_or_cert ![NO_HOSTS_AVAILABLE], task;
        /// Machines here that do not give memory back when asked.
        fn get_uncooperative_resident_VMs(self: Ref<host>) -> Set<Ref<VM>> as read_only, task, deprecated;
        /// Machines that cannot be moved, each with the error that says why.
        fn get_vms_which_prevent_evacuation(self: Ref<host>) -> Map<Ref<VM>, Set<String>> as read_only, task;
        /// Fail with the reason if some machine cannot be moved.
        fn assert_can_evacuate(host: Ref<host>) -> Void as pool_operator ![CANNOT_EVACUATE_HOST, HOST_NOT_ENOUGH_FREE_MEMORY, NO_HOSTS_AVAILABLE], task;
        /// Drop what was kept of a measured figure.
        fn forget_data_source_archives(host: Ref<host>, data_source: String) -> Void as pool_operator ![INVALID_VALUE], task;
        /// Read the latest value of one measured figure.
        fn query_data_source(host: Ref<host>, data_source: String) -> Float as read_only ![INVALID_VALUE, HOST_OFFLINE], task;
        /// Start to keep a measured figure.
        fn record_data_source(host: Ref<host>, data_source: String) -> Void as pool_operator ![INVALID_VALUE, VALUE_NOT_SUPPORTED], task;
        /// List the measured figures that can be asked for.
        fn get_data_sources(host: Ref<host>) -> Set<Record<data_source>> as read_only, task;
        /// Stop high availability on this host only.
        fn emergency_ha_disable(soft: Bool) -> Void as pool_operator ![HA_NOT_ENABLED], task;
        /// Switch the host on from afar.
        fn power_on(host: Ref<host>) -> Void as pool_operator ![HOST_POWER_ON_MODE_DISABLED, OTHER_OPERATION_IN_PROGRESS], task;
        /// Forget a host that is gone; a live one is refused.
        fn destroy(self: Ref<host>) -> Void as pool_operator ![HOST_CANNOT_DESTROY_SELF, HOST_HAS_RESIDENT_VMS, HOST_IS_LIVE], task;
        /// Remove the licence.
        fn license_remove(host: Ref<host>) -> Void as pool_operator, task;
        /// Add a licence.
        fn license_add(host: Ref<host>, contents: String) -> Void as pool_operator ![LICENSE_PROCESSING_ERROR], task;
        /// Add a licence; no longer possible.
        fn license_apply(host: Ref<host>, contents: String) -> Void as pool_operator ![LICENSE_PROCESSING_ERROR], task, removed;
        /// List the names of all messages.
        fn list_methods() -> Set<String> as read_only, task;
        /// Send a status report to a server.
        fn bugreport_upload(host: Ref<host>, url: String, options: Map<String, String>) -> Void as pool_operator, task;
        /// Press debug keys of the hypervisor.
        fn send_debug_keys(host: Ref<host>, keys: String) -> Void as pool_admin ![VALUE_NOT_SUPPORTED], task;
        /// Answer the log of the host.
        fn get_log(host: Ref<host>) -> String as read_only, task;
        /// Answer the hypervisor's messages and clear them.
        fn dmesg_clear(host: Ref<host>) -> String as pool_operator, task;
        /// Answer the hypervisor's messages.
        fn dmesg(host: Ref<host>) -> String as pool_operator, task;
        /// Restart the host; it must be disabled and without running machines.
        fn reboot(host: Ref<host>) -> Void as pool_operator ![HOST_NOT_DISABLED, HOST_OFFLINE, HOST_IN_USE, OTHER_OPERATION_IN_PROGRESS], task;
        /// Switch the host off; it must be disabled and without running machines.
        fn shutdown(host: Ref<host>) -> Void as pool_operator ![HOST_NOT_DISABLED, HOST_OFFLINE, HOST_IN_USE, OTHER_OPERATION_IN_PROGRESS], task;
        /// Let machines start here.
        fn enable(host: Ref<host>) -> Void as pool_operator_or_cert ![HOST_NOT_LIVE], task;
        /// Let no machine start or arrive here; those that run go on. With `auto_enable` only until the next start.
        fn disable(host: Ref<host>, auto_enable: Bool = true) -> Void as pool_operator_or_cert, task;
    }
}

class! {
    /// A dump of a host's own crash.
    host_crashdump, by(pool_operator);
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// The host that crashed.
        CO host: Ref<host>;
        /// When it crashed.
        RO timestamp: DateTime;
        /// Length of the dump, in bytes.
        RO size: Int;
        /// Keys and values for clients to use; every key is kept.
        RW other_config: Map<String, String> = {};
    }
    messages {
        /// Send the dump to a server.
        fn upload(self: Ref<host_crashdump>, url: String, options: Map<String, String>) -> Void as pool_operator, task;
        /// Remove the dump.
        fn destroy(self: Ref<host_crashdump>) -> Void as pool_operator, task;
    }
}

class! {
    /// An update in the old form, on one host.
    host_patch, by(pool_operator), deprecated;
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// Name for people; need not be unique.
        CO name_label: String = "";
        /// Longer text for people.
        CO name_description: String = "";
        /// Version of the update.
        CO version: String;
        /// The host that has it.
        CO host: Ref<host>;
        /// True if it is in effect.
        RO applied: Bool;
        /// When it was applied.
        RO timestamp_applied: DateTime;
        /// Length of the update's file, in bytes.
        RO size: Int;
        /// The update itself; null if unknown.
        CO pool_patch: Ref<pool_patch> = null;
        /// Keys and values for clients to use; every key is kept.
        RW other_config: Map<String, String> = {};
    }
    messages {
        /// Apply the update; answers what it printed.
        fn apply(self: Ref<host_patch>) -> String as pool_operator, task, deprecated;
        /// Forget that the host has the update's file.
        fn destroy(self: Ref<host_patch>) -> Void as pool_operator, task, deprecated;
    }
}

class! {
    /// What is measured on a host.
    host_metrics, by(pool_operator);
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// Bytes of memory in the host.
        RO memory_total: Int;
        /// Bytes that are not in use; `host.compute_free_memory` says it better.
        RO memory_free: Int = 0, removed, volatile;
        /// True if the host was heard from lately.
        RO live: Bool;
        /// When the figures were measured.
        RO last_updated: DateTime, volatile;
        /// Keys and values for clients to use; every key is kept.
        RW other_config: Map<String, String> = {};
    }
}

class! {
    /// One processor of a host. Numbers and words as the processor gives them.
    host_cpu, by(pool_operator), deprecated;
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// The host that it is in.
        RO host: Ref<host>;
        /// Its number in the host, from 0.
        RO number: Int;
        /// Who made it.
        RO vendor: String;
        /// Clock rate in MHz.
        RO speed: Int;
        /// Its name.
        RO modelname: String;
        /// Family number.
        RO family: Int;
        /// Model number.
        RO model: Int;
        /// Stepping.
        RO stepping: String;
        /// What it can do, as words.
        RO flags: String;
        /// What it can do, as bits in hexadecimal.
        RO features: String;
        /// Share of its time in use, 0 to 1; measured.
        RO utilisation: Float, volatile;
        /// Keys and values for clients to use; every key is kept.
        RW other_config: Map<String, String> = {};
    }
}

class! {
    /// Something that a host can do and that can be switched on.
    Feature;
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// Name for people; need not be unique.
        CO name_label: String = "";
        /// Longer text for people.
        CO name_description: String = "";
        /// True if it is on.
        RO enabled: Bool = false;
        /// True if it is not meant for production.
        CO experimental: Bool = false;
        /// Its version.
        CO version: String = "1.0";
        /// The host that has it.
        RO host: Ref<host>;
    }
}

class! {
    /// A certificate, of a host or of an authority.
    Certificate;
    enums {
        certificate_type: "ca" "host" "host_internal" "pinned";
        certificate_purpose: "licensing" "ldaps";
    }
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// Name of an authority; empty for a host's own.
        RO name: String = "";
        /// Whose it is: an authority's, a host's, a host's between hosts, or one that is pinned.
        RO r#type: certificate_type = host;
        /// The host that it belongs to; null for one of the pool.
        CO host: Ref<host> = null;
        /// From when it is valid.
        CO not_before: DateTime = epoch;
        /// Until when it is valid.
        CO not_after: DateTime = epoch;
        /// Same as `fingerprint_sha256`.
        CO fingerprint: String = "", deprecated;
        /// Its SHA-256, in pairs of hexadecimal digits.
        CO fingerprint_sha256: String = "", prototyped;
        /// Its SHA-1, in pairs of hexadecimal digits.
        CO fingerprint_sha1: String = "", prototyped;
        /// What it is trusted for; empty for everything.
        CO purpose: Set<certificate_purpose> = {}, prototyped;
        /// The certificate itself, as PEM.
        RO content: String = "", internal;
    }
}

class! {
    /// A driver that comes in several variants.
    Host_driver, prototyped;
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String, prototyped;
        /// The host that has it.
        CO host: Ref<host> = null, prototyped;
        /// Name of the driver.
        RO name: String, prototyped;
        /// Name of the device, for people.
        RO friendly_name: String, prototyped;
        /// Its variants.
        RO variants: Set<Ref<Driver_variant>> => Driver_variant.driver, prototyped;
        /// The variant in use; null if none.
        RO active_variant: Ref<Driver_variant>, prototyped;
        /// The variant to use from the next start; null if none.
        RO selected_variant: Ref<Driver_variant>, prototyped;
        /// Kind of device.
        RO r#type: String, prototyped;
        /// Longer text about it.
        RO description: String, prototyped;
        /// What else there is to know.
        RO info: String, prototyped;
    }
    messages {
        /// Look for drivers again.
        fn rescan(host: Ref<host>) -> Void as pool_admin, task, prototyped;
        /// Use no variant, from the next start.
        fn deselect(self: Ref<Host_driver>) -> Void as pool_admin, task, prototyped;
        /// Use a variant, from the next start.
        fn select(self: Ref<Host_driver>, variant: Ref<Driver_variant>) -> Void as pool_admin, task, prototyped;
    }
}

class! {
    /// One variant of a driver.
    Driver_variant, prototyped;
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String, prototyped;
        /// Name of the variant.
        RO name: String, prototyped;
        /// The driver that it is a variant of.
        RO driver: Ref<Host_driver>, prototyped;
        /// Its version.
        RO version: String, prototyped;
        /// True if the host has a device for it.
        RO hardware_present: Bool, prototyped;
        /// The highest is the best choice.
        RO priority: Float, prototyped;
        /// How far it is tested.
        RO status: String, prototyped;
    }
    messages {
        /// Use it, from the next start.
        fn select(self: Ref<Driver_variant>) -> Void as pool_admin, task, prototyped;
    }
}

class! {
    /// A measured figure and how to read it. Not stored as an object.
    data_source, nothing_implied, no_events;
    fields {
        /// Name to ask for it with.
        RO name_label: String = "";
        /// Longer text for people.
        RO name_description: String = "";
        /// True if it is being kept.
        RO enabled: Bool;
        /// True if it is kept unless somebody says otherwise.
        RO standard: Bool;
        /// Unit of the figure.
        RO units: String;
        /// Lowest value that it can have.
        RO min: Float;
        /// Highest value that it can have.
        RO max: Float;
        /// Latest value.
        RO value: Float;
    }
}
