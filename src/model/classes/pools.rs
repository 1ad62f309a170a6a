//! The pool, its updates, observers and clusters.

use super::*;
use crate::model::types::*;
use crate::model::{class, default};

class! {
    pool, by(pool_operator);
    enums {
        pool_allowed_operations: "ha_enable" "ha_disable" "cluster_create" "designate_new_master" "configure_repositories" "sync_updates" "sync_bundle" "get_updates" "apply_updates" "tls_verification_enable" "cert_refresh" "exchange_certificates_on_join" "exchange_ca_certificates_on_join" "copy_primary_host_certs" "eject" "exchange_crls_on_join";
        telemetry_frequency: "daily" "weekly" "monthly";
        update_sync_frequency: "daily" "weekly";
        pool_guest_secureboot_readiness: "ready" "ready_no_dbx" "not_ready";
    }
    fields {
        RO uuid: String;
        RW name_label: String;
        RW name_description: String;
        RO master: Ref<host>;
        RW default_SR: Ref<SR>;
        RW suspend_image_SR: Ref<SR>;
        RW crash_dump_SR: Ref<SR>;
        RW other_config: Map<String, String>;
        RO ha_enabled: Bool = false;
        RO ha_configuration: Map<String, String> = {};
        RO ha_statefiles: Set<String> = {};
        RO ha_host_failures_to_tolerate: Int = 0;
        RO ha_plan_exists_for: Int = 0;
        RW ha_allow_overcommit: Bool = false;
        RO ha_overcommitted: Bool = false;
        RO blobs: Map<String, Ref<blob>> = {};
        RW tags: Set<String> = {}, by(vm_operator);
        RW gui_config: Map<String, String> = {}, by(vm_operator);
        RW health_check_config: Map<String, String> = {};
        RO wlb_url: String = "";
        RO wlb_username: String = "";
        RW wlb_enabled: Bool = false, by(pool_operator_or_cert);
        RW wlb_verify_cert: Bool = false, deprecated;
        RO redo_log_enabled: Bool = false;
        RO redo_log_vdi: Ref<VDI> = null;
        RO vswitch_controller: String = "", deprecated;
        RO restrictions: Map<String, String> = {};
        RO metadata_VDIs: Set<Ref<VDI>> => VDI.metadata_of_pool;
        RO ha_cluster_stack: String = "";
        RO allowed_operations: Set<pool_allowed_operations> = {};
        RO current_operations: Map<String, pool_allowed_operations> = {};
        RO guest_agent_config: Map<String, String> = {};
        RO cpu_info: Map<String, String> = {};
        RW policy_no_vendor_device: Bool = false, deprecated;
        RW live_patching_disabled: Bool = false;
        RO igmp_snooping_enabled: Bool = false;
        CO uefi_certificates: String = "";
        CO custom_uefi_certificates: String = "", prototyped;
        RW is_psr_pending: Bool = false;
        RO tls_verification_enabled: Bool = false;
        RO repositories: Set<Ref<Repository>> = {};
        RO client_certificate_auth_enabled: Bool = false;
        RO client_certificate_auth_name: String = "";
        RO repository_proxy_url: String = "";
        RO repository_proxy_username: String = "";
        RO repository_proxy_password: Ref<secret> = null;
        RW migration_compression: Bool = false, prototyped;
        RW coordinator_bias: Bool = true;
        CO local_auth_max_threads: Int = 8, prototyped;
        CO ext_auth_max_threads: Int = 1, prototyped;
        RO ext_auth_cache_enabled: Bool = true, prototyped;
        RO ext_auth_cache_size: Int = 50, prototyped;
        RO ext_auth_cache_expiry: Int = 300, prototyped;
        RO telemetry_uuid: Ref<secret> = null, prototyped;
        RO telemetry_frequency: telemetry_frequency = weekly, prototyped;
        RO telemetry_next_collection: DateTime = epoch, prototyped;
        RO last_update_sync: DateTime = epoch, prototyped;
        RO update_sync_frequency: update_sync_frequency = weekly, prototyped;
        RO update_sync_day: Int = 0, prototyped;
        RO update_sync_enabled: Bool = false, prototyped;
        RO recommendations: Map<String, String> = {}, prototyped;
        RW license_server: Map<String, String> = {}, prototyped;
        RW ha_reboot_vm_on_internal_shutdown: Bool = true, prototyped;
        RW limit_console_sessions: Bool = false, prototyped;
        RW vm_console_idle_timeout: Int = 0, prototyped;
        RW auto_update_vm_secureboot_certificates: Bool = false, prototyped;
    }
    messages {
        fn sync_trusted_certificates_from(self: Ref<pool>, remote_pool: String, remote_session: Ref<session>, remote_certificate: String, ca: Bool) -> Set<Ref<Certificate>> as pool_operator_or_cert, task, prototyped;
        fn uninstall_trusted_certificate(self: Ref<pool>, certificate: Ref<Certificate>) -> Void as pool_operator_or_cert, task, prototyped;
        fn install_trusted_certificate(self: Ref<pool>, ca: Bool, cert: String, purpose: Set<certificate_purpose>) -> Void as pool_operator_or_cert, task, prototyped;
        fn set_ssh_auto_mode(self: Ref<pool>, value: Bool) -> Void as pool_admin, task, prototyped;
        fn set_console_idle_timeout(self: Ref<pool>, value: Int) -> Void as pool_admin, task, prototyped;
        fn set_ssh_enabled_timeout(self: Ref<pool>, value: Int) -> Void as pool_admin, task, prototyped;
        fn disable_ssh(self: Ref<pool>) -> Void as pool_admin, task, prototyped;
        fn enable_ssh(self: Ref<pool>) -> Void as pool_admin, task, prototyped;
        fn get_guest_secureboot_readiness(self: Ref<pool>) -> pool_guest_secureboot_readiness as pool_operator, task, prototyped;
        fn set_ext_auth_cache_expiry(self: Ref<pool>, value: Int) -> Void as pool_operator, task, prototyped;
        fn set_ext_auth_cache_size(self: Ref<pool>, value: Int) -> Void as pool_operator, task, prototyped;
        fn set_ext_auth_cache_enabled(self: Ref<pool>, value: Bool) -> Void as pool_operator, task, prototyped;
        fn set_ext_auth_max_threads(self: Ref<pool>, value: Int) -> Void as pool_operator, task, prototyped;
        fn set_local_auth_max_threads(self: Ref<pool>, value: Int) -> Void as pool_operator, task, prototyped;
        fn set_update_sync_enabled(self: Ref<pool>, value: Bool) -> Void as pool_operator, task, prototyped;
        fn configure_update_sync(self: Ref<pool>, update_sync_frequency: update_sync_frequency, update_sync_day: Int) -> Void as pool_operator, task, prototyped;
        fn reset_telemetry_uuid(self: Ref<pool>) -> Void as pool_admin, task, prototyped;
        fn set_telemetry_next_collection(self: Ref<pool>, value: DateTime) -> Void as pool_admin, task, prototyped;
        fn set_https_only(self: Ref<pool>, value: Bool) -> Void as pool_operator, task, prototyped;
        fn set_custom_uefi_certificates(self: Ref<pool>, value: String) -> Void as pool_admin, task, prototyped;
        fn set_uefi_certificates(self: Ref<pool>, value: String) -> Void as pool_admin, task, deprecated;
        fn disable_repository_proxy(self: Ref<pool>) -> Void as pool_operator_or_cert, task;
        fn configure_repository_proxy(self: Ref<pool>, url: String, username: String, password: String) -> Void as pool_operator_or_cert, task;
        fn disable_client_certificate_auth(self: Ref<pool>) -> Void as pool_operator_or_cert, task;
        fn enable_client_certificate_auth(self: Ref<pool>, name: String) -> Void as pool_operator_or_cert, task;
        fn check_update_readiness(self: Ref<pool>, requires_reboot: Bool) -> Set<Set<String>> as pool_operator_or_cert, task;
        fn sync_updates(self: Ref<pool>, force: Bool, token: String, token_id: String, username: String, password: String) -> String as pool_operator_or_cert, task;
        fn remove_repository(self: Ref<pool>, value: Ref<Repository>) -> Void as pool_operator_or_cert, task;
        fn add_repository(self: Ref<pool>, value: Ref<Repository>) -> Void as pool_operator_or_cert, task;
        fn set_repositories(self: Ref<pool>, value: Set<Ref<Repository>>) -> Void as pool_operator_or_cert, task;
        fn rotate_secret() -> Void as pool_admin ![INTERNAL_ERROR, HOST_IS_SLAVE, CANNOT_CONTACT_HOST, HA_IS_ENABLED, NOT_SUPPORTED_DURING_UPGRADE], task;
        fn remove_from_guest_agent_config(self: Ref<pool>, key: String) -> Void as pool_admin, task;
        fn add_to_guest_agent_config(self: Ref<pool>, key: String, value: String) -> Void as pool_admin, task;
        fn has_extension(self: Ref<pool>, name: String) -> Bool as pool_admin, task;
        fn set_igmp_snooping_enabled(self: Ref<pool>, value: Bool) -> Void as pool_operator, task;
        fn disable_ssl_legacy(self: Ref<pool>) -> Void as pool_operator, task, deprecated;
        fn enable_ssl_legacy(self: Ref<pool>) -> Void as pool_operator, task, removed;
        fn apply_edition(self: Ref<pool>, edition: String) -> Void as pool_operator, task;
        fn get_license_state(self: Ref<pool>) -> Map<String, String> as read_only, task;
        fn disable_local_storage_caching(self: Ref<pool>) -> Void as pool_operator, task;
        fn enable_local_storage_caching(self: Ref<pool>) -> Void as pool_operator, task;
        fn test_archive_target(self: Ref<pool>, config: Map<String, String>) -> String as pool_operator, task;
        fn set_vswitch_controller(address: String) -> Void as pool_operator, task, deprecated;
        fn disable_redo_log() -> Void as pool_operator, task;
        fn enable_redo_log(sr: Ref<SR>) -> Void as pool_operator, task;
        fn enable_tls_verification() -> Void as pool_admin, task;
        fn certificate_sync() -> Void as pool_operator, task;
        fn crl_list() -> Set<String> as pool_operator, task;
        fn crl_uninstall(name: String) -> Void as pool_operator, task;
        fn crl_install(name: String, cert: String) -> Void as pool_operator, task;
        fn uninstall_ca_certificate(name: String, force: Bool) -> Void as pool_operator_or_cert, task, deprecated;
        fn install_ca_certificate(name: String, cert: String) -> Void as pool_operator_or_cert, task, deprecated;
        fn certificate_list() -> Set<String> as pool_operator, task, deprecated;
        fn certificate_uninstall(name: String) -> Void as pool_operator, task, deprecated;
        fn certificate_install(name: String, cert: String) -> Void as pool_operator, task, deprecated;
        fn send_test_post(host: String, port: Int, body: String) -> String as pool_admin, task;
        fn retrieve_wlb_recommendations() -> Map<Ref<VM>, Set<String>> as read_only, task;
        fn retrieve_wlb_configuration() -> Map<String, String> as read_only, task;
        fn send_wlb_configuration(config: Map<String, String>) -> Void as pool_operator, task;
        fn deconfigure_wlb() -> Void as pool_operator, task;
        fn initialize_wlb(wlb_url: String, wlb_username: String, wlb_password: String, xenserver_username: String, xenserver_password: String) -> Void as pool_operator, task;
        fn detect_nonhomogeneous_external_auth(pool: Ref<pool>) -> Void as pool_operator, task;
        fn external_auth_set_ldaps(pool: Ref<pool>, ldaps: Bool, force: Bool) -> Void as pool_admin, task;
        fn disable_external_auth(pool: Ref<pool>, config: Map<String, String>) -> Void as pool_admin, task;
        fn enable_external_auth(pool: Ref<pool>, config: Map<String, String>, service_name: String, auth_type: String) -> Void as pool_admin, task;
        fn create_new_blob(pool: Ref<pool>, name: String, mime_type: String, public: Bool) -> Ref<blob> as pool_operator, task;
        fn set_ha_host_failures_to_tolerate(self: Ref<pool>, value: Int) -> Void as pool_operator, task;
        fn ha_compute_vm_failover_plan(failed_hosts: Set<Ref<host>>, failed_vms: Set<Ref<VM>>) -> Map<Ref<VM>, Map<String, String>> as pool_operator, task;
        fn ha_compute_hypothetical_max_host_failures_to_tolerate(configuration: Map<Ref<VM>, String>) -> Int as read_only, task;
        fn ha_compute_max_host_failures_to_tolerate() -> Int as pool_operator, task;
        fn ha_failover_plan_exists(n: Int) -> Bool as pool_operator, task;
        fn ha_prevent_restarts_for(seconds: Int) -> Void as pool_operator, task;
        fn designate_new_master(host: Ref<host>) -> Void as pool_operator, task;
        fn sync_database() -> Void as pool_operator, task;
        fn disable_ha() -> Void as pool_operator_or_cert, task;
        fn enable_ha(heartbeat_srs: Set<Ref<SR>>, configuration: Map<String, String>) -> Void as pool_operator_or_cert, task;
        fn create_VLAN_from_PIF(pif: Ref<PIF>, network: Ref<network>, VLAN: Int) -> Set<Ref<PIF>> as pool_operator ![VLAN_TAG_INVALID], task;
        fn management_reconfigure(network: Ref<network>) -> Void as pool_operator ![HA_IS_ENABLED, PIF_NOT_PRESENT, CANNOT_PLUG_BOND_SLAVE, PIF_INCOMPATIBLE_PRIMARY_ADDRESS_TYPE, PIF_HAS_NO_NETWORK_CONFIGURATION, PIF_HAS_NO_V6_NETWORK_CONFIGURATION], task;
        fn create_VLAN(device: String, network: Ref<network>, VLAN: Int) -> Set<Ref<PIF>> as pool_operator ![VLAN_TAG_INVALID], task;
        fn recover_slaves() -> Set<Ref<host>> as pool_operator, task;
        fn emergency_reset_master(master_address: String) -> Void as pool_operator, task;
        fn emergency_transition_to_master() -> Void as pool_operator, task;
        fn eject(host: Ref<host>) -> Void as pool_operator, task;
        fn join_force(master_address: String, master_username: String, master_password: String) -> Void as pool_operator, task;
        fn join(master_address: String, master_username: String, master_password: String) -> Void as pool_operator ![JOINING_HOST_CANNOT_CONTAIN_SHARED_SRS], task;
    }
}

class! {
    pool_patch, by(pool_operator), deprecated;
    enums {
        after_apply_guidance: "restartHVM" "restartPV" "restartHost" "restartXAPI";
    }
    fields {
        RO uuid: String;
        CO name_label: String = "";
        CO name_description: String = "";
        CO version: String = "";
        RO size: Int = 0;
        RO pool_applied: Bool = false;
        RO host_patches: Set<Ref<host_patch>> => host_patch.pool_patch;
        RO after_apply_guidance: Set<after_apply_guidance> = {};
        CO pool_update: Ref<pool_update> = null;
        RW other_config: Map<String, String> = {};
    }
    messages {
        fn clean_on_host(self: Ref<pool_patch>, host: Ref<host>) -> Void as pool_operator, task, deprecated;
        fn destroy(self: Ref<pool_patch>) -> Void as pool_operator, task, deprecated;
        fn pool_clean(self: Ref<pool_patch>) -> Void as pool_operator, task, deprecated;
        fn clean(self: Ref<pool_patch>) -> Void as pool_operator, task, deprecated;
        fn precheck(self: Ref<pool_patch>, host: Ref<host>) -> String as pool_operator, task, deprecated;
        fn pool_apply(self: Ref<pool_patch>) -> Void as pool_operator, task, deprecated;
        fn apply(self: Ref<pool_patch>, host: Ref<host>) -> String as pool_operator, task, deprecated;
    }
}

class! {
    pool_update, by(pool_operator);
    enums {
        update_after_apply_guidance: "restartHVM" "restartPV" "restartHost" "restartXAPI";
        livepatch_status: "ok_livepatch_complete" "ok_livepatch_incomplete" "ok";
    }
    fields {
        RO uuid: String;
        CO name_label: String = "";
        CO name_description: String = "";
        CO version: String = "";
        CO installation_size: Int = 0;
        CO key: String = "";
        CO after_apply_guidance: Set<update_after_apply_guidance> = {};
        CO vdi: Ref<VDI>;
        RO hosts: Set<Ref<host>> => host.updates;
        RW other_config: Map<String, String> = {};
        CO enforce_homogeneity: Bool = false;
    }
    messages {
        fn destroy(self: Ref<pool_update>) -> Void as pool_operator, task;
        fn pool_clean(self: Ref<pool_update>) -> Void as pool_operator, task;
        fn pool_apply(self: Ref<pool_update>) -> Void as pool_operator, task;
        fn apply(self: Ref<pool_update>, host: Ref<host>) -> Void as pool_operator, task;
        fn precheck(self: Ref<pool_update>, host: Ref<host>) -> livepatch_status as pool_operator, task;
        fn introduce(vdi: Ref<VDI>) -> Ref<pool_update> as pool_operator, task;
    }
}

class! {
    Repository, by(pool_operator_or_cert);
    enums {
        origin: "remote" "bundle" "remote_pool";
    }
    fields {
        RO uuid: String;
        RW name_label: String = "";
        RW name_description: String = "";
        CO binary_url: String = "";
        CO source_url: String = "";
        CO update: Bool = false;
        RO hash: String = "";
        RO up_to_date: Bool = false, removed;
        CO gpgkey_path: String = "", prototyped;
        CO origin: origin = remote, prototyped;
        CO certificate: String = "", prototyped;
    }
    messages {
        fn set_gpgkey_path(self: Ref<Repository>, value: String) -> Void as pool_operator_or_cert, task, prototyped;
        fn forget(self: Ref<Repository>) -> Void as pool_operator_or_cert, task;
        fn introduce_remote_pool(name_label: String, name_description: String, binary_url: String, certificate: String) -> Ref<Repository> as pool_operator_or_cert, task, prototyped;
        fn introduce_bundle(name_label: String, name_description: String) -> Ref<Repository> as pool_operator_or_cert, task, prototyped;
        fn introduce(name_label: String, name_description: String, binary_url: String, source_url: String, update: Bool, gpgkey_path: String) -> Ref<Repository> as pool_operator_or_cert, task;
    }
}

class! {
    Observer, by(pool_admin), create, destroy, prototyped;
    fields {
        RO uuid: String, prototyped;
        RW name_label: String = "";
        RW name_description: String = "";
        CO hosts: Set<Ref<host>> = {}, prototyped;
        CO attributes: Map<String, String> = {}, prototyped;
        CO endpoints: Set<String> = {}, prototyped;
        CO components: Set<String> = {}, prototyped;
        CO enabled: Bool = false, prototyped;
    }
    messages {
        fn set_components(self: Ref<Observer>, value: Set<String>) -> Void as pool_admin, task, prototyped;
        fn set_endpoints(self: Ref<Observer>, value: Set<String>) -> Void as pool_admin, task, prototyped;
        fn set_attributes(self: Ref<Observer>, value: Map<String, String>) -> Void as pool_admin, task, prototyped;
        fn set_enabled(self: Ref<Observer>, value: Bool) -> Void as pool_admin, task, prototyped;
        fn set_hosts(self: Ref<Observer>, value: Set<Ref<host>>) -> Void as pool_admin, task, prototyped;
    }
}

class! {
    Cluster, by(pool_operator);
    enums {
        cluster_operation: "add" "remove" "enable" "disable" "destroy";
    }
    fields {
        RO uuid: String;
        RO cluster_hosts: Set<Ref<Cluster_host>> => Cluster_host.cluster;
        RO pending_forget: Set<String> = {};
        CO cluster_token: String = "";
        CO cluster_stack: String = "corosync";
        CO cluster_stack_version: Int = 2, prototyped;
        RO is_quorate: Bool = false, prototyped;
        RO quorum: Int = 0, prototyped;
        RO live_hosts: Int = 0, prototyped;
        RO expected_hosts: Int = 0, prototyped;
        RO allowed_operations: Set<cluster_operation> = {};
        RO current_operations: Map<String, cluster_operation> = {};
        CO pool_auto_join: Bool = true;
        CO token_timeout: Float = 20.0;
        CO token_timeout_coefficient: Float = 1.0;
        CO cluster_config: Map<String, String> = {};
        RW other_config: Map<String, String> = {};
    }
    messages {
        fn pool_resync(self: Ref<Cluster>) -> Void as pool_operator, task;
        fn pool_destroy(self: Ref<Cluster>) -> Void as pool_operator ![CLUSTER_STACK_IN_USE, CLUSTERING_DISABLED, CLUSTER_HOST_IS_LAST], task;
        fn pool_force_destroy(self: Ref<Cluster>) -> Void as pool_operator ![CLUSTER_FORCE_DESTROY_FAILED], task;
        fn pool_create(network: Ref<network>, cluster_stack: String, token_timeout: Float, token_timeout_coefficient: Float) -> Ref<Cluster> as pool_operator, task;
        fn get_network(self: Ref<Cluster>) -> Ref<network> as read_only, task;
        fn destroy(self: Ref<Cluster>) -> Void as pool_operator ![CLUSTER_DOES_NOT_HAVE_ONE_NODE, CLUSTER_STACK_IN_USE], task;
        fn create(PIF: Ref<PIF>, cluster_stack: String, pool_auto_join: Bool, token_timeout: Float, token_timeout_coefficient: Float) -> Ref<Cluster> as pool_operator ![INVALID_CLUSTER_STACK, INVALID_VALUE, PIF_ALLOWS_UNPLUG, REQUIRED_PIF_IS_UNPLUGGED], task;
    }
}

class! {
    Cluster_host;
    enums {
        cluster_host_operation: "enable" "disable" "destroy";
    }
    fields {
        RO uuid: String;
        CO cluster: Ref<Cluster> = null;
        CO host: Ref<host> = null;
        RO enabled: Bool = false;
        CO PIF: Ref<PIF> = null;
        RO joined: Bool = true;
        RO live: Bool = false, prototyped;
        RO last_update_live: DateTime = epoch, prototyped;
        RO allowed_operations: Set<cluster_host_operation> = {};
        RO current_operations: Map<String, cluster_host_operation> = {};
        CO other_config: Map<String, String> = {};
    }
    messages {
        fn disable(self: Ref<Cluster_host>) -> Void as pool_operator ![CLUSTER_STACK_IN_USE], task;
        fn force_destroy(self: Ref<Cluster_host>) -> Void as pool_operator ![CLUSTER_STACK_IN_USE], task;
        fn enable(self: Ref<Cluster_host>) -> Void as pool_operator ![PIF_ALLOWS_UNPLUG, REQUIRED_PIF_IS_UNPLUGGED], task;
        fn destroy(self: Ref<Cluster_host>) -> Void as pool_operator ![CLUSTER_STACK_IN_USE, CLUSTERING_DISABLED, CLUSTER_HOST_IS_LAST], task;
        fn create(cluster: Ref<Cluster>, host: Ref<host>, pif: Ref<PIF>) -> Ref<Cluster_host> as pool_operator ![PIF_NOT_ATTACHED_TO_HOST, NO_CLUSTER_HOSTS_REACHABLE], task;
    }
}
