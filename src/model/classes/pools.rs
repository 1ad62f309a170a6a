//! The pool, its updates, observers and clusters.

use super::*;
use crate::model::types::*;
use crate::model::{class, default};

class! {
    /// The whole of what this server manages. There is exactly one.
    pool, by(pool_operator);
    enums {
        pool_allowed_operations: "ha_enable" "ha_disable" "cluster_create" "designate_new_master" "configure_repositories" "sync_updates" "sync_bundle" "get_updates" "apply_updates" "tls_verification_enable" "cert_refresh" "exchange_certificates_on_join" "exchange_ca_certificates_on_join" "copy_primary_host_certs" "eject" "exchange_crls_on_join";
        telemetry_frequency: "daily" "weekly" "monthly";
        update_sync_frequency: "daily" "weekly";
        pool_guest_secureboot_readiness: "ready" "ready_no_dbx" "not_ready";
    }
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// Name for people; empty until somebody names the pool.
        RW name_label: String;
        /// Longer text for people.
        RW name_description: String;
        /// The host that decides for the pool.
        RO master: Ref<host>;
        /// Where new disks go when the caller names no repository; null if not chosen.
        RW default_SR: Ref<SR>;
        /// Where the memory of suspended machines goes by default; null means `default_SR`.
        RW suspend_image_SR: Ref<SR>;
        /// Where dumps of crashed machines go by default; null means nowhere.
        RW crash_dump_SR: Ref<SR>;
        /// Keys and values for clients to use; every key is kept.
        RW other_config: Map<String, String>;
        /// True while machines are restarted elsewhere when their host fails.
        RO ha_enabled: Bool = false;
        /// Settings of high availability, while it is on.
        RO ha_configuration: Map<String, String> = {};
        /// Disks that hold the state of high availability, while it is on.
        RO ha_statefiles: Set<String> = {};
        /// How many hosts may fail before machines stay down.
        RO ha_host_failures_to_tolerate: Int = 0;
        /// For how many failed hosts there is room now.
        RO ha_plan_exists_for: Int = 0;
        /// True if a start may leave less room than `ha_host_failures_to_tolerate` asks for.
        RW ha_allow_overcommit: Bool = false;
        /// True if there is less room than asked for.
        RO ha_overcommitted: Bool = false;
        /// Binary objects attached to it, by name.
        RO blobs: Map<String, Ref<blob>> = {};
        /// Labels that clients put on it, to group and to search.
        RW tags: Set<String> = {}, by(vm_operator);
        /// Settings that graphical clients share.
        RW gui_config: Map<String, String> = {}, by(vm_operator);
        /// Settings of automatic health reports.
        RW health_check_config: Map<String, String> = {};
        /// Address of the workload balancer; empty if there is none.
        RO wlb_url: String = "";
        /// Name to log in to the workload balancer with.
        RO wlb_username: String = "";
        /// True if placement asks the workload balancer.
        RW wlb_enabled: Bool = false, by(pool_operator_or_cert);
        /// True if its certificate is checked.
        RW wlb_verify_cert: Bool = false, deprecated;
        /// True if changes are also written to a shared disk.
        RO redo_log_enabled: Bool = false;
        /// That disk; null if there is none.
        RO redo_log_vdi: Ref<VDI> = null;
        /// Address of the switch controller; empty if there is none.
        RO vswitch_controller: String = "", deprecated;
        /// What the licence takes away: feature to "true" or "false".
        RO restrictions: Map<String, String> = {};
        /// Disks that hold copies of a pool's database.
        RO metadata_VDIs: Set<Ref<VDI>> => VDI.metadata_of_pool;
        /// Name of the cluster software that high availability uses; empty if none.
        RO ha_cluster_stack: String = "";
        /// What a client may do with it now; empty while nothing may be done.
        RO allowed_operations: Set<pool_allowed_operations> = {}, derived;
        /// Operations that have been accepted and not ended: task reference to operation.
        RO current_operations: Map<String, pool_allowed_operations> = {};
        /// Settings that are passed to the agents inside the machines.
        RO guest_agent_config: Map<String, String> = {};
        /// What the processors of all hosts have in common.
        RO cpu_info: Map<String, String> = {};
        /// True if new machines get no device that offers drivers through the system's updater.
        RW policy_no_vendor_device: Bool = false, deprecated;
        /// True if updates are never applied to a running hypervisor.
        RW live_patching_disabled: Bool = false;
        /// True if bridges forward multicast only where it is asked for.
        RO igmp_snooping_enabled: Bool = false;
        /// Certificates for the secure boot of machines, as base64 of a tar file; empty for none.
        CO uefi_certificates: String = "";
        /// Certificates that replace the ones provided; empty for none.
        CO custom_uefi_certificates: String = "", prototyped;
        /// True while a change of the pool's secret is not finished on all hosts.
        RW is_psr_pending: Bool = false;
        /// True if hosts check each other's certificates.
        RO tls_verification_enabled: Bool = false;
        /// Package repositories that updates come from.
        RO repositories: Set<Ref<Repository>> = {};
        /// True if clients can log in by certificate.
        RO client_certificate_auth_enabled: Bool = false;
        /// The name that such a certificate must carry; empty accepts any.
        RO client_certificate_auth_name: String = "";
        /// Proxy for fetching updates; empty for none.
        RO repository_proxy_url: String = "";
        /// Name to log in to the proxy with.
        RO repository_proxy_username: String = "";
        /// Password for the proxy; null if none.
        RO repository_proxy_password: Ref<secret> = null;
        /// True if memory is compressed on its way when the caller does not say.
        RW migration_compression: Bool = false, prototyped;
        /// True if the coordinator is the last choice for new machines.
        RW coordinator_bias: Bool = true;
        /// How many local logins may be checked at once.
        CO local_auth_max_threads: Int = 8, prototyped;
        /// How many directory logins may be checked at once.
        CO ext_auth_max_threads: Int = 1, prototyped;
        /// True if answers of the directory are remembered.
        RO ext_auth_cache_enabled: Bool = true, prototyped;
        /// How many answers are remembered.
        RO ext_auth_cache_size: Int = 50, prototyped;
        /// For how many seconds an answer is remembered.
        RO ext_auth_cache_expiry: Int = 300, prototyped;
        /// Secret that marks this pool in usage reports; null if none.
        RO telemetry_uuid: Ref<secret> = null, prototyped;
        /// How often usage is reported.
        RO telemetry_frequency: telemetry_frequency = weekly, prototyped;
        /// When usage is reported next; the epoch for never.
        RO telemetry_next_collection: DateTime = epoch, prototyped;
        /// When the repositories were last read; the epoch for never.
        RO last_update_sync: DateTime = epoch, prototyped;
        /// How often they are read.
        RO update_sync_frequency: update_sync_frequency = weekly, prototyped;
        /// The day for it: 0 Sunday to 6 Saturday, if weekly.
        RO update_sync_day: Int = 0, prototyped;
        /// True if they are read by themselves.
        RO update_sync_enabled: Bool = false, prototyped;
        /// Advice for clients about this pool, by key.
        RO recommendations: Map<String, String> = {}, prototyped;
        /// Where licences come from: address and port.
        RW license_server: Map<String, String> = {}, prototyped;
        /// True if a protected machine that shuts itself down is started again.
        RW ha_reboot_vm_on_internal_shutdown: Bool = true, prototyped;
        /// True if a console serves one viewer at a time.
        RW limit_console_sessions: Bool = false, prototyped;
        /// Seconds after which an idle console is closed; 0 for never.
        RW vm_console_idle_timeout: Int = 0, prototyped;
        /// True if machines get new secure boot certificates by themselves.
        RW auto_update_vm_secureboot_certificates: Bool = false, prototyped;
        /// Lists of revoked certificates, as PEM, by name.
        RO revocations: Map<String, String> = {}, internal;
        /// Seconds without a call after which a session ends.
        RW session_idle_timeout: Int = 86400, by(pool_admin), extension;
        /// Seconds after which a session ends, however much it is used.
        RW session_max_lifetime: Int = 2592000, by(pool_admin), extension;
        /// Sessions that one user may have; the one used longest ago makes room for a new one.
        RW session_limit: Int = 500, by(pool_admin), extension;
        /// Calls of one principal that may wait for something to happen at the same time.
        RW waiting_call_limit: Int = 20000, extension;
        /// Event streams that one principal may have open.
        RW stream_limit: Int = 20000, extension;
        /// Subscriptions that one principal may have.
        RW subscription_limit: Int = 100, extension;
        /// Operations of one principal that may be under way or wait for their turn.
        RW pending_task_limit: Int = 10000, extension;
        /// Seconds for which a task is kept after its end.
        RW completed_task_timeout: Int = 3900, extension;
        /// Tasks that are kept after their end at most; the oldest go first.
        RW completed_task_limit: Int = 1000, extension;
    }
    messages {
        /// Take over what another pool trusts.
        fn sync_trusted_certificates_from(self: Ref<pool>, remote_pool: String, remote_session: Ref<session>, remote_certificate: String, ca: Bool) -> Set<Ref<Certificate>> as pool_operator_or_cert, task, prototyped;
        /// Trust it no longer.
        fn uninstall_trusted_certificate(self: Ref<pool>, certificate: Ref<Certificate>) -> Void as pool_operator_or_cert ![NOT_TRUSTED_CERTIFICATE], task, prototyped;
        /// Trust a certificate, or an authority, for some purposes or for all.
        fn install_trusted_certificate(self: Ref<pool>, ca: Bool, cert: String, purpose: Set<certificate_purpose>) -> Void as pool_operator_or_cert ![CERTIFICATE_LACKS_PURPOSE, TRUSTED_CERTIFICATE_INVALID, TRUSTED_CERTIFICATE_EXPIRED, TRUSTED_CERTIFICATE_NOT_VALID_YET, TRUSTED_CERTIFICATE_ALREADY_EXISTS, OPERATION_NOT_ALLOWED], task, prototyped;
        /// Open SSH on every host only while the API does not work.
        fn set_ssh_auto_mode(self: Ref<pool>, value: Bool) -> Void as pool_admin ![VALUE_NOT_SUPPORTED], task, prototyped;
        /// Log idle consoles of every host out after so many seconds; 0 for never.
        fn set_console_idle_timeout(self: Ref<pool>, value: Int) -> Void as pool_admin ![VALUE_NOT_SUPPORTED], task, prototyped;
        /// Close SSH on every host so many seconds after it was opened; 0 for never.
        fn set_ssh_enabled_timeout(self: Ref<pool>, value: Int) -> Void as pool_admin ![VALUE_NOT_SUPPORTED], task, prototyped;
        /// Close SSH on every host.
        fn disable_ssh(self: Ref<pool>) -> Void as pool_admin ![VALUE_NOT_SUPPORTED], task, prototyped;
        /// Open SSH on every host.
        fn enable_ssh(self: Ref<pool>) -> Void as pool_admin ![VALUE_NOT_SUPPORTED], task, prototyped;
        /// Say whether machines can boot securely.
        fn get_guest_secureboot_readiness(self: Ref<pool>) -> pool_guest_secureboot_readiness as pool_operator, task, prototyped;
        /// Set for how many seconds an answer is remembered.
        fn set_ext_auth_cache_expiry(self: Ref<pool>, value: Int) -> Void as pool_operator ![VALUE_NOT_SUPPORTED], task, prototyped;
        /// Set how many answers are remembered.
        fn set_ext_auth_cache_size(self: Ref<pool>, value: Int) -> Void as pool_operator ![VALUE_NOT_SUPPORTED], task, prototyped;
        /// Choose whether answers of the directory are remembered.
        fn set_ext_auth_cache_enabled(self: Ref<pool>, value: Bool) -> Void as pool_operator ![VALUE_NOT_SUPPORTED], task, prototyped;
        /// Set how many directory logins may be checked at once.
        fn set_ext_auth_max_threads(self: Ref<pool>, value: Int) -> Void as pool_operator ![VALUE_NOT_SUPPORTED], task, prototyped;
        /// Set how many local logins may be checked at once.
        fn set_local_auth_max_threads(self: Ref<pool>, value: Int) -> Void as pool_operator ![VALUE_NOT_SUPPORTED], task, prototyped;
        /// Choose whether repositories are read by themselves.
        fn set_update_sync_enabled(self: Ref<pool>, value: Bool) -> Void as pool_operator ![VALUE_NOT_SUPPORTED], task, prototyped;
        /// Set how often, and on which day, repositories are read.
        fn configure_update_sync(self: Ref<pool>, update_sync_frequency: update_sync_frequency, update_sync_day: Int) -> Void as pool_operator ![INVALID_UPDATE_SYNC_DAY], task, prototyped;
        /// Give the pool a new mark in usage reports.
        fn reset_telemetry_uuid(self: Ref<pool>) -> Void as pool_admin, task, prototyped;
        /// Set when usage is reported next.
        fn set_telemetry_next_collection(self: Ref<pool>, value: DateTime) -> Void as pool_admin ![VALUE_NOT_SUPPORTED], task, prototyped;
        /// Choose whether hosts refuse plain HTTP.
        fn set_https_only(self: Ref<pool>, value: Bool) -> Void as pool_operator ![VALUE_NOT_SUPPORTED], task, prototyped;
        /// Set certificates that replace the ones provided.
        fn set_custom_uefi_certificates(self: Ref<pool>, value: String) -> Void as pool_admin ![VALUE_NOT_SUPPORTED], task, prototyped;
        /// Set the certificates for secure boot.
        fn set_uefi_certificates(self: Ref<pool>, value: String) -> Void as pool_admin ![VALUE_NOT_SUPPORTED], task, deprecated;
        /// Fetch updates directly.
        fn disable_repository_proxy(self: Ref<pool>) -> Void as pool_operator_or_cert, task;
        /// Fetch updates through a proxy.
        fn configure_repository_proxy(self: Ref<pool>, url: String, username: String, password: String) -> Void as pool_operator_or_cert, task;
        /// Stop that.
        fn disable_client_certificate_auth(self: Ref<pool>) -> Void as pool_operator_or_cert, task;
        /// Let clients with a certificate of that name log in.
        fn enable_client_certificate_auth(self: Ref<pool>, name: String) -> Void as pool_operator_or_cert, task;
        /// Say what stands in the way of updates, host by host.
        fn check_update_readiness(self: Ref<pool>, requires_reboot: Bool) -> Set<Set<String>> as pool_operator_or_cert, task;
        /// Read the repositories; answers a hash of what they offer.
        fn sync_updates(self: Ref<pool>, force: Bool, token: String, token_id: String, username: String, password: String) -> String as pool_operator_or_cert, task;
        /// Use one package repository less.
        fn remove_repository(self: Ref<pool>, value: Ref<Repository>) -> Void as pool_operator_or_cert, task;
        /// Use one more package repository.
        fn add_repository(self: Ref<pool>, value: Ref<Repository>) -> Void as pool_operator_or_cert ![VALUE_NOT_SUPPORTED], task;
        /// Choose the package repositories; an empty set for none.
        fn set_repositories(self: Ref<pool>, value: Set<Ref<Repository>>) -> Void as pool_operator_or_cert ![VALUE_NOT_SUPPORTED], task;
        /// Replace the key that bearer tokens are signed with: those from before are refused, and streams that they opened end.
        fn rotate_secret() -> Void as pool_admin ![INTERNAL_ERROR, HOST_IS_SLAVE, CANNOT_CONTACT_HOST, HA_IS_ENABLED, NOT_SUPPORTED_DURING_UPGRADE], task;
        /// Remove one setting for the agents inside machines.
        fn remove_from_guest_agent_config(self: Ref<pool>, key: String) -> Void as pool_admin, task;
        /// Add one setting for the agents inside machines.
        fn add_to_guest_agent_config(self: Ref<pool>, key: String, value: String) -> Void as pool_admin ![MAP_DUPLICATE_KEY, VALUE_NOT_SUPPORTED], task;
        /// Say whether every host has the extension of that name.
        fn has_extension(self: Ref<pool>, name: String) -> Bool as pool_admin, task;
        /// Choose whether bridges forward multicast only where it is asked for.
        fn set_igmp_snooping_enabled(self: Ref<pool>, value: Bool) -> Void as pool_operator ![VALUE_NOT_SUPPORTED], task;
        /// Forbid old TLS versions.
        fn disable_ssl_legacy(self: Ref<pool>) -> Void as pool_operator ![VALUE_NOT_SUPPORTED], task, deprecated;
        /// Allow old TLS versions; no longer possible.
        fn enable_ssl_legacy(self: Ref<pool>) -> Void as pool_operator, task, removed;
        /// Change the edition on every host.
        fn apply_edition(self: Ref<pool>, edition: String) -> Void as pool_operator ![INVALID_EDITION], task;
        /// What the licence is and when it ends.
        fn get_license_state(self: Ref<pool>) -> Map<String, String> as read_only, task;
        /// Stop that.
        fn disable_local_storage_caching(self: Ref<pool>) -> Void as pool_operator, task;
        /// Let every host cache disks on its own storage.
        fn enable_local_storage_caching(self: Ref<pool>) -> Void as pool_operator ![OPERATION_NOT_ALLOWED], task;
        /// Try a place for archived snapshots; answers what went wrong.
        fn test_archive_target(self: Ref<pool>, config: Map<String, String>) -> String as pool_operator, task;
        /// Set the address of the switch controller; empty for none.
        fn set_vswitch_controller(address: String) -> Void as pool_operator, task, deprecated;
        /// Stop that.
        fn disable_redo_log() -> Void as pool_operator, task;
        /// Write changes to a disk of this repository as well.
        fn enable_redo_log(sr: Ref<SR>) -> Void as pool_operator, task;
        /// Check certificates between hosts, from now on.
        fn enable_tls_verification() -> Void as pool_admin, task;
        /// Bring every host to the same certificates and revocation lists.
        fn certificate_sync() -> Void as pool_operator, task;
        /// List the names of the revocation lists installed.
        fn crl_list() -> Set<String> as pool_operator, task;
        /// Remove a list of revoked certificates.
        fn crl_uninstall(name: String) -> Void as pool_operator ![CRL_DOES_NOT_EXIST], task;
        /// Install a list of revoked certificates.
        fn crl_install(name: String, cert: String) -> Void as pool_operator ![CRL_NAME_INVALID, CRL_ALREADY_EXISTS, CRL_CORRUPT, OPERATION_NOT_ALLOWED], task;
        /// Trust it no longer.
        fn uninstall_ca_certificate(name: String, force: Bool) -> Void as pool_operator_or_cert ![CERTIFICATE_DOES_NOT_EXIST], task, deprecated;
        /// Trust a certificate authority.
        fn install_ca_certificate(name: String, cert: String) -> Void as pool_operator_or_cert ![CERTIFICATE_NAME_INVALID, CERTIFICATE_ALREADY_EXISTS, CERTIFICATE_CORRUPT, OPERATION_NOT_ALLOWED], task, deprecated;
        /// List the names of the certificate authorities installed.
        fn certificate_list() -> Set<String> as pool_operator, task, deprecated;
        /// Remove a certificate authority from every host.
        fn certificate_uninstall(name: String) -> Void as pool_operator ![CERTIFICATE_DOES_NOT_EXIST], task, deprecated;
        /// Install a certificate authority on every host.
        fn certificate_install(name: String, cert: String) -> Void as pool_operator ![CERTIFICATE_NAME_INVALID, CERTIFICATE_ALREADY_EXISTS, CERTIFICATE_CORRUPT, OPERATION_NOT_ALLOWED], task, deprecated;
        /// Send text to a web server from this host and answer what came back.
        fn send_test_post(host: String, port: Int, body: String) -> String as pool_admin, task;
        /// Ask the workload balancer where machines should move.
        fn retrieve_wlb_recommendations() -> Map<Ref<VM>, Set<String>> as read_only ![WLB_NOT_INITIALIZED], task;
        /// Read the workload balancer's settings.
        fn retrieve_wlb_configuration() -> Map<String, String> as read_only ![WLB_NOT_INITIALIZED], task;
        /// Send settings to the workload balancer.
        fn send_wlb_configuration(config: Map<String, String>) -> Void as pool_operator, task;
        /// Disconnect it.
        fn deconfigure_wlb() -> Void as pool_operator, task;
        /// Connect the pool to a workload balancer.
        fn initialize_wlb(wlb_url: String, wlb_username: String, wlb_password: String, xenserver_username: String, xenserver_password: String) -> Void as pool_operator, task;
        /// Fail if the hosts are not set up for the same directory.
        fn detect_nonhomogeneous_external_auth(pool: Ref<pool>) -> Void as pool_operator, task;
        /// Choose whether the directory is asked over TLS.
        fn external_auth_set_ldaps(pool: Ref<pool>, ldaps: Bool, force: Bool) -> Void as pool_admin, task;
        /// Stop asking the directory on every host.
        fn disable_external_auth(pool: Ref<pool>, config: Map<String, String>) -> Void as pool_admin, task;
        /// Let users of a directory log in on every host.
        fn enable_external_auth(pool: Ref<pool>, config: Map<String, String>, service_name: String, auth_type: String) -> Void as pool_admin, task;
        /// Attach a new, empty binary object under a name.
        fn create_new_blob(pool: Ref<pool>, name: String, mime_type: String, public: Bool) -> Ref<blob> as pool_operator ![MAP_DUPLICATE_KEY, VALUE_NOT_SUPPORTED], task;
        /// Say how many hosts may fail; refused if there is no room.
        fn set_ha_host_failures_to_tolerate(self: Ref<pool>, value: Int) -> Void as pool_operator ![HA_NOT_ENABLED], task;
        /// Say where each machine would go if these hosts failed.
        fn ha_compute_vm_failover_plan(failed_hosts: Set<Ref<host>>, failed_vms: Set<Ref<VM>>) -> Map<Ref<VM>, Map<String, String>> as pool_operator, task;
        /// Say how many hosts may fail if machines were protected like this.
        fn ha_compute_hypothetical_max_host_failures_to_tolerate(configuration: Map<Ref<VM>, String>) -> Int as read_only, task;
        /// Say how many hosts may fail, as things are.
        fn ha_compute_max_host_failures_to_tolerate() -> Int as pool_operator, task;
        /// Say whether so many hosts may fail.
        fn ha_failover_plan_exists(n: Int) -> Bool as pool_operator, task;
        /// Restart nothing for so many seconds.
        fn ha_prevent_restarts_for(seconds: Int) -> Void as pool_operator, task;
        /// Hand the coordinator's work over to another host.
        fn designate_new_master(host: Ref<host>) -> Void as pool_operator ![OPERATION_NOT_ALLOWED], task;
        /// Return when every change up to now is on disk; here that is always so.
        fn sync_database() -> Void as pool_operator, task;
        /// Stop doing that.
        fn disable_ha() -> Void as pool_operator_or_cert ![HA_NOT_ENABLED], task;
        /// Restart machines elsewhere when their host fails; needs shared storage for the heartbeat.
        fn enable_ha(heartbeat_srs: Set<Ref<SR>>, configuration: Map<String, String>) -> Void as pool_operator_or_cert, task;
        /// Make a VLAN on the same interface of every host and join it to a network.
        fn create_VLAN_from_PIF(pif: Ref<PIF>, network: Ref<network>, VLAN: Int) -> Set<Ref<PIF>> as pool_operator ![VLAN_TAG_INVALID, PIF_DEVICE_NOT_FOUND, PIF_IS_VLAN, CANNOT_ADD_VLAN_TO_BOND_SLAVE, IS_TUNNEL_ACCESS_PIF, PIF_VLAN_EXISTS, NETWORK_ALREADY_CONNECTED], task;
        /// Move the management interface of every host to another network.
        fn management_reconfigure(network: Ref<network>) -> Void as pool_operator ![HA_IS_ENABLED, PIF_NOT_PRESENT, CANNOT_PLUG_BOND_SLAVE, PIF_INCOMPATIBLE_PRIMARY_ADDRESS_TYPE, PIF_HAS_NO_NETWORK_CONFIGURATION, PIF_HAS_NO_V6_NETWORK_CONFIGURATION, INTERFACE_HAS_NO_IP], task;
        /// Make a VLAN on the interface of that name of every host and join it to a network.
        fn create_VLAN(device: String, network: Ref<network>, VLAN: Int) -> Set<Ref<PIF>> as pool_operator ![VLAN_TAG_INVALID, PIF_DEVICE_NOT_FOUND, PIF_IS_VLAN, CANNOT_ADD_VLAN_TO_BOND_SLAVE, IS_TUNNEL_ACCESS_PIF, PIF_VLAN_EXISTS, NETWORK_ALREADY_CONNECTED], task;
        /// Tell members that lost the coordinator where it is; answers those that came back.
        fn recover_slaves() -> Set<Ref<host>> as pool_operator, task;
        /// Tell this host who the coordinator is, when it cannot find it.
        fn emergency_reset_master(master_address: String) -> Void as pool_operator ![OPERATION_NOT_ALLOWED], task;
        /// Make this host the coordinator, when the old one is gone.
        fn emergency_transition_to_master() -> Void as pool_operator, task;
        /// Take a host out of the pool; it keeps nothing.
        fn eject(host: Ref<host>) -> Void as pool_operator ![HOST_OFFLINE, OPERATION_NOT_ALLOWED], task;
        /// Make this host a member of another pool, even where checks advise against it.
        fn join_force(master_address: String, master_username: String, master_password: String) -> Void as pool_operator ![JOINING_HOST_CANNOT_BE_MASTER_OF_OTHER_HOSTS, JOINING_HOST_CANNOT_HAVE_RUNNING_OR_SUSPENDED_VMS, OPERATION_NOT_ALLOWED], task;
        /// Make this host a member of another pool.
        fn join(master_address: String, master_username: String, master_password: String) -> Void as pool_operator ![JOINING_HOST_CANNOT_CONTAIN_SHARED_SRS, JOINING_HOST_CANNOT_BE_MASTER_OF_OTHER_HOSTS, JOINING_HOST_CANNOT_HAVE_RUNNING_OR_SUSPENDED_VMS, OPERATION_NOT_ALLOWED], task;
    }
}

class! {
    /// An update in an old form, no longer made.
    pool_patch, by(pool_operator), deprecated;
    enums {
        after_apply_guidance: "restartHVM" "restartPV" "restartHost" "restartXAPI";
    }
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// Name for people; need not be unique.
        CO name_label: String = "";
        /// Longer text for people.
        CO name_description: String = "";
        /// Version of the update.
        CO version: String = "";
        /// Length of the update's file, in bytes.
        RO size: Int = 0;
        /// True if every host has it.
        RO pool_applied: Bool = false;
        /// The hosts that have it, one object each.
        RO host_patches: Set<Ref<host_patch>> => host_patch.pool_patch;
        /// What to do on a host once it is there.
        RO after_apply_guidance: Set<after_apply_guidance> = {};
        /// The same update in the newer form; null if none.
        CO pool_update: Ref<pool_update> = null;
        /// Keys and values for clients to use; every key is kept.
        RW other_config: Map<String, String> = {};
    }
    messages {
        /// Remove the update's file from one host.
        fn clean_on_host(self: Ref<pool_patch>, host: Ref<host>) -> Void as pool_operator, task, deprecated;
        /// Forget the update and remove its file.
        fn destroy(self: Ref<pool_patch>) -> Void as pool_operator, task, deprecated;
        /// Remove the update's file from every host.
        fn pool_clean(self: Ref<pool_patch>) -> Void as pool_operator, task, deprecated;
        /// Remove the update's file.
        fn clean(self: Ref<pool_patch>) -> Void as pool_operator, task, deprecated;
        /// Say whether it could be applied to a host.
        fn precheck(self: Ref<pool_patch>, host: Ref<host>) -> String as pool_operator, task, deprecated;
        /// Apply it to every host.
        fn pool_apply(self: Ref<pool_patch>) -> Void as pool_operator, task, deprecated;
        /// Apply it to one host; answers what the update printed.
        fn apply(self: Ref<pool_patch>, host: Ref<host>) -> String as pool_operator, task, deprecated;
    }
}

class! {
    /// An update in the form of a disk.
    pool_update, by(pool_operator);
    enums {
        update_after_apply_guidance: "restartHVM" "restartPV" "restartHost" "restartXAPI";
        livepatch_status: "ok_livepatch_complete" "ok_livepatch_incomplete" "ok";
    }
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// Name for people; need not be unique.
        CO name_label: String = "";
        /// Longer text for people.
        CO name_description: String = "";
        /// Version of the update.
        CO version: String = "";
        /// Bytes that it needs on a host.
        CO installation_size: Int = 0;
        /// Name of the key that signed it.
        CO key: String = "";
        /// What to do on a host once it is there.
        CO after_apply_guidance: Set<update_after_apply_guidance> = {};
        /// The disk that holds it.
        CO vdi: Ref<VDI>;
        /// The hosts that have it.
        RO hosts: Set<Ref<host>> => host.updates;
        /// Keys and values for clients to use; every key is kept.
        RW other_config: Map<String, String> = {};
        /// True if every host of a pool must have it.
        CO enforce_homogeneity: Bool = false;
    }
    messages {
        /// Forget the update; refused while a host has it.
        fn destroy(self: Ref<pool_update>) -> Void as pool_operator, task;
        /// Remove its files from every host.
        fn pool_clean(self: Ref<pool_update>) -> Void as pool_operator, task;
        /// Apply it to every host.
        fn pool_apply(self: Ref<pool_update>) -> Void as pool_operator, task;
        /// Apply it to one host.
        fn apply(self: Ref<pool_update>, host: Ref<host>) -> Void as pool_operator, task;
        /// Say whether it could be applied to a host, and whether without a restart.
        fn precheck(self: Ref<pool_update>, host: Ref<host>) -> livepatch_status as pool_operator, task;
        /// Record the update that is on a disk.
        fn introduce(vdi: Ref<VDI>) -> Ref<pool_update> as pool_operator, task;
    }
}

class! {
    /// Where packages for updates come from.
    Repository, by(pool_operator_or_cert);
    enums {
        origin: "remote" "bundle" "remote_pool";
    }
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// Name for people; need not be unique.
        RW name_label: String = "";
        /// Longer text for people.
        RW name_description: String = "";
        /// Where the packages are.
        CO binary_url: String = "";
        /// Where their sources are; empty if nowhere.
        CO source_url: String = "";
        /// True if it has updates; false for the packages of a release.
        CO update: Bool = false;
        /// Hash of what it offered when last read; empty if never.
        RO hash: String = "";
        /// No longer used.
        RO up_to_date: Bool = false, removed;
        /// File of the key that its packages are signed with.
        CO gpgkey_path: String = "", prototyped;
        /// What it is: on the network, a bundle, or another pool.
        CO origin: origin = remote, prototyped;
        /// Certificate of the other pool, as PEM; empty otherwise.
        CO certificate: String = "", prototyped;
    }
    messages {
        /// Set the file of the key that its packages are signed with.
        fn set_gpgkey_path(self: Ref<Repository>, value: String) -> Void as pool_operator_or_cert, task, prototyped;
        /// Forget it.
        fn forget(self: Ref<Repository>) -> Void as pool_operator_or_cert, task;
        /// Record another pool as one.
        fn introduce_remote_pool(name_label: String, name_description: String, binary_url: String, certificate: String) -> Ref<Repository> as pool_operator_or_cert, task, prototyped;
        /// Record a bundle as one.
        fn introduce_bundle(name_label: String, name_description: String) -> Ref<Repository> as pool_operator_or_cert, task, prototyped;
        /// Record one on the network.
        fn introduce(name_label: String, name_description: String, binary_url: String, source_url: String, update: Bool, gpgkey_path: String) -> Ref<Repository> as pool_operator_or_cert, task;
    }
}

class! {
    /// What to trace and where the traces go.
    Observer, by(pool_admin), create, destroy, prototyped;
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String, prototyped;
        /// Name for people; need not be unique.
        RW name_label: String = "";
        /// Longer text for people.
        RW name_description: String = "";
        /// Hosts to trace; empty for all.
        CO hosts: Set<Ref<host>> = {}, prototyped;
        /// What is added to every trace, by key.
        CO attributes: Map<String, String> = {}, prototyped;
        /// Where traces go: URLs, or `bugtool` for a file.
        CO endpoints: Set<String> = {}, prototyped;
        /// Programs to trace; empty for all.
        CO components: Set<String> = {}, prototyped;
        /// True if traces are made.
        CO enabled: Bool = false, prototyped;
    }
    messages {
        /// Choose the programs to trace; empty for all.
        fn set_components(self: Ref<Observer>, value: Set<String>) -> Void as pool_admin, task, prototyped;
        /// Choose where traces go.
        fn set_endpoints(self: Ref<Observer>, value: Set<String>) -> Void as pool_admin, task, prototyped;
        /// Choose what is added to every trace.
        fn set_attributes(self: Ref<Observer>, value: Map<String, String>) -> Void as pool_admin, task, prototyped;
        /// Start or stop.
        fn set_enabled(self: Ref<Observer>, value: Bool) -> Void as pool_admin, task, prototyped;
        /// Choose the hosts to trace; empty for all.
        fn set_hosts(self: Ref<Observer>, value: Set<Ref<host>>) -> Void as pool_admin, task, prototyped;
    }
}

class! {
    /// Hosts that watch each other, for clustered storage.
    Cluster, by(pool_operator);
    enums {
        cluster_operation: "add" "remove" "enable" "disable" "destroy";
    }
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// Its hosts.
        RO cluster_hosts: Set<Ref<Cluster_host>> => Cluster_host.cluster;
        /// Addresses of hosts that are gone and that the others have not forgotten yet.
        RO pending_forget: Set<String> = {};
        /// The secret that its hosts share.
        CO cluster_token: String = "";
        /// Name of the cluster software.
        CO cluster_stack: String = "corosync";
        /// Version of the cluster software.
        CO cluster_stack_version: Int = 2, prototyped;
        /// True if enough hosts see each other.
        RO is_quorate: Bool = false, prototyped;
        /// How many hosts are enough.
        RO quorum: Int = 0, prototyped;
        /// How many hosts see each other.
        RO live_hosts: Int = 0, prototyped;
        /// How many hosts there should be.
        RO expected_hosts: Int = 0, prototyped;
        /// What a client may do with it now; empty while nothing may be done.
        RO allowed_operations: Set<cluster_operation> = {}, derived;
        /// Operations that have been accepted and not ended: task reference to operation.
        RO current_operations: Map<String, cluster_operation> = {};
        /// True if hosts that join the pool join it too.
        CO pool_auto_join: Bool = true;
        /// Seconds after which a silent host counts as lost.
        CO token_timeout: Float = 20.0;
        /// Seconds more for each host beyond two.
        CO token_timeout_coefficient: Float = 1.0;
        /// Settings, by key.
        CO cluster_config: Map<String, String> = {};
        /// Keys and values for clients to use; every key is kept.
        RW other_config: Map<String, String> = {};
    }
    messages {
        /// Bring every host of the pool to the state it should be in.
        fn pool_resync(self: Ref<Cluster>) -> Void as pool_operator, task;
        /// Take every host out, then remove it.
        fn pool_destroy(self: Ref<Cluster>) -> Void as pool_operator ![CLUSTER_STACK_IN_USE, CLUSTERING_DISABLED, CLUSTER_HOST_IS_LAST], task;
        /// The same, even if hosts do not answer.
        fn pool_force_destroy(self: Ref<Cluster>) -> Void as pool_operator ![CLUSTER_FORCE_DESTROY_FAILED], task;
        /// Make one of all hosts of the pool, over a network.
        fn pool_create(network: Ref<network>, cluster_stack: String, token_timeout: Float, token_timeout_coefficient: Float) -> Ref<Cluster> as pool_operator, task;
        /// The network that it works over.
        fn get_network(self: Ref<Cluster>) -> Ref<network> as read_only, task;
        /// Remove it; only one host may be left in it.
        fn destroy(self: Ref<Cluster>) -> Void as pool_operator ![CLUSTER_DOES_NOT_HAVE_ONE_NODE, CLUSTER_STACK_IN_USE], task;
        /// Make one of a single host, over an interface.
        fn create(PIF: Ref<PIF>, cluster_stack: String, pool_auto_join: Bool, token_timeout: Float, token_timeout_coefficient: Float) -> Ref<Cluster> as pool_operator ![INVALID_CLUSTER_STACK, INVALID_VALUE, PIF_ALLOWS_UNPLUG, REQUIRED_PIF_IS_UNPLUGGED], task;
    }
}

class! {
    /// One host's part in a cluster.
    Cluster_host;
    enums {
        cluster_host_operation: "enable" "disable" "destroy";
    }
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// The cluster.
        CO cluster: Ref<Cluster> = null;
        /// The host.
        CO host: Ref<host> = null;
        /// True if the host takes part.
        RO enabled: Bool = false;
        /// The interface that it takes part over.
        CO PIF: Ref<PIF> = null;
        /// True if the others know it.
        RO joined: Bool = true;
        /// True if the others see it.
        RO live: Bool = false, prototyped;
        /// When `live` was last looked at.
        RO last_update_live: DateTime = epoch, prototyped, volatile;
        /// What a client may do with it now; empty while nothing may be done.
        RO allowed_operations: Set<cluster_host_operation> = {}, derived;
        /// Operations that have been accepted and not ended: task reference to operation.
        RO current_operations: Map<String, cluster_host_operation> = {};
        /// Keys and values for clients to use; every key is kept.
        CO other_config: Map<String, String> = {};
    }
    messages {
        /// Stop taking part, for a time.
        fn disable(self: Ref<Cluster_host>) -> Void as pool_operator ![CLUSTER_STACK_IN_USE], task;
        /// Leave the cluster, even if the others do not answer.
        fn force_destroy(self: Ref<Cluster_host>) -> Void as pool_operator ![CLUSTER_STACK_IN_USE], task;
        /// Take part again.
        fn enable(self: Ref<Cluster_host>) -> Void as pool_operator ![PIF_ALLOWS_UNPLUG, REQUIRED_PIF_IS_UNPLUGGED], task;
        /// Leave the cluster.
        fn destroy(self: Ref<Cluster_host>) -> Void as pool_operator ![CLUSTER_STACK_IN_USE, CLUSTERING_DISABLED, CLUSTER_HOST_IS_LAST], task;
        /// Let a host join a cluster.
        fn create(cluster: Ref<Cluster>, host: Ref<host>, pif: Ref<PIF>) -> Ref<Cluster_host> as pool_operator ![PIF_NOT_ATTACHED_TO_HOST, NO_CLUSTER_HOSTS_REACHABLE], task;
    }
}
