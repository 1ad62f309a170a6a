//! Storage repositories, disks and their attachments.

use super::*;
use crate::model::types::*;
use crate::model::{class, default};

class! {
    SM, by(pool_operator);
    enums {
        image_format_type: "raw" "vhd" "qcow2";
    }
    fields {
        RO uuid: String;
        RO name_label: String = "";
        RO name_description: String = "";
        RO r#type: String;
        RO vendor: String;
        RO copyright: String;
        RO version: String;
        RO required_api_version: String;
        RO configuration: Map<String, String>;
        RO capabilities: Set<String> = {}, deprecated;
        RO features: Map<String, Int> = {};
        RW other_config: Map<String, String> = {};
        RO driver_filename: String = "";
        RO required_cluster_stack: Set<String> = {};
        RO supported_image_formats: Set<image_format_type> = {}, prototyped;
    }
}

class! {
    SR, by(pool_operator);
    enums {
        storage_operations: "scan" "destroy" "forget" "plug" "unplug" "update" "vdi_create" "vdi_introduce" "vdi_destroy" "vdi_resize" "vdi_clone" "vdi_snapshot" "vdi_mirror" "vdi_enable_cbt" "vdi_disable_cbt" "vdi_data_destroy" "vdi_list_changed_blocks" "vdi_set_on_boot" "vdi_blocked" "vdi_copy" "vdi_force_unlock" "vdi_forget" "vdi_generate_config" "vdi_resize_online" "vdi_update" "vdi_revert" "pbd_create" "pbd_destroy";
    }
    fields {
        RO uuid: String;
        CO name_label: String = "";
        CO name_description: String = "";
        RO allowed_operations: Set<storage_operations> = {};
        RO current_operations: Map<String, storage_operations> = {};
        RO VDIs: Set<Ref<VDI>> => VDI.SR;
        RO PBDs: Set<Ref<PBD>> => PBD.SR;
        RO virtual_allocation: Int;
        RO physical_utilisation: Int;
        CO physical_size: Int;
        CO r#type: String;
        CO content_type: String;
        RO shared: Bool;
        RW other_config: Map<String, String>;
        RW tags: Set<String> = {}, by(vm_operator);
        RW sm_config: Map<String, String> = {};
        RO blobs: Map<String, Ref<blob>> = {};
        RO local_cache_enabled: Bool = false;
        RO introduced_by: Ref<DR_task> = null;
        RO clustered: Bool = false;
        RO is_tools_sr: Bool = false;
    }
    messages {
        fn forget_data_source_archives(sr: Ref<SR>, data_source: String) -> Void as pool_operator, task;
        fn query_data_source(sr: Ref<SR>, data_source: String) -> Float as read_only, task;
        fn record_data_source(sr: Ref<SR>, data_source: String) -> Void as pool_operator, task;
        fn get_data_sources(sr: Ref<SR>) -> Set<Record<data_source>> as read_only, task;
        fn disable_database_replication(sr: Ref<SR>) -> Void as pool_operator, task;
        fn enable_database_replication(sr: Ref<SR>) -> Void as pool_operator, task;
        fn assert_supports_database_replication(sr: Ref<SR>) -> Void as pool_operator, task;
        fn assert_can_host_ha_statefile(sr: Ref<SR>) -> Void as pool_operator, task;
        fn set_physical_size(self: Ref<SR>, value: Int) -> Void as pool_operator, task;
        fn create_new_blob(sr: Ref<SR>, name: String, mime_type: String, public: Bool) -> Ref<blob> as pool_operator, task;
        fn set_name_description(sr: Ref<SR>, value: String) -> Void as pool_operator, task;
        fn set_name_label(sr: Ref<SR>, value: String) -> Void as pool_operator, task;
        fn set_shared(sr: Ref<SR>, value: Bool) -> Void as pool_operator, task;
        fn probe_ext(host: Ref<host>, device_config: Map<String, String>, type: String, sm_config: Map<String, String>) -> Set<Record<probe_result>> as pool_operator, task;
        fn probe(host: Ref<host>, device_config: Map<String, String>, type: String, sm_config: Map<String, String>) -> String as pool_operator, task;
        fn scan(sr: Ref<SR>) -> Void as vm_power_admin, task;
        fn get_supported_types() -> Set<String> as read_only, task;
        fn update(sr: Ref<SR>) -> Void as pool_operator, task;
        fn forget(sr: Ref<SR>) -> Void as pool_operator ![SR_HAS_PBD], task;
        fn destroy(sr: Ref<SR>) -> Void as pool_operator ![SR_HAS_PBD], task;
        fn make(host: Ref<host>, device_config: Map<String, String>, physical_size: Int, name_label: String, name_description: String, type: String, content_type: String, sm_config: Map<String, String>) -> String as pool_operator, task, deprecated;
        fn introduce(uuid: String, name_label: String, name_description: String, type: String, content_type: String, shared: Bool, sm_config: Map<String, String>) -> Ref<SR> as pool_operator, task;
        fn create(host: Ref<host>, device_config: Map<String, String>, physical_size: Int, name_label: String, name_description: String, type: String, content_type: String, shared: Bool, sm_config: Map<String, String>) -> Ref<SR> as pool_operator ![SR_UNKNOWN_DRIVER], task;
    }
}

class! {
    sr_stat, nothing_implied, no_events;
    enums {
        sr_health: "healthy" "recovering" "unreachable" "unavailable";
    }
    fields {
        RO uuid: Option<String>;
        RO name_label: String;
        RO name_description: String;
        RO free_space: Int;
        RO total_space: Int;
        RO clustered: Bool;
        RO health: sr_health;
    }
}

class! {
    probe_result, nothing_implied, no_events;
    fields {
        RO configuration: Map<String, String>;
        RO complete: Bool;
        RO sr: Option<Record<sr_stat>>;
        RO extra_info: Map<String, String>;
    }
}

class! {
    LVHD, no_get_all;
    fields {
        RO uuid: String;
    }
    messages {
        fn enable_thin_provisioning(host: Ref<host>, SR: Ref<SR>, initial_allocation: Int, allocation_quantum: Int) -> String as pool_admin, task;
    }
}

class! {
    VDI, by(vm_admin), create, destroy;
    enums {
        vdi_operations: "clone" "copy" "resize" "resize_online" "snapshot" "mirror" "destroy" "forget" "update" "force_unlock" "generate_config" "enable_cbt" "disable_cbt" "data_destroy" "list_changed_blocks" "set_on_boot" "blocked" "revert_to" "revert_from";
        vdi_type: "system" "user" "ephemeral" "suspend" "crashdump" "ha_statefile" "metadata" "redo_log" "rrd" "pvs_cache" "cbt_metadata";
        on_boot: "reset" "persist";
    }
    fields {
        RO uuid: String;
        CO name_label: String = "";
        CO name_description: String = "";
        RO allowed_operations: Set<vdi_operations> = {};
        RO current_operations: Map<String, vdi_operations> = {};
        CO SR: Ref<SR>;
        RO VBDs: Set<Ref<VBD>> => VBD.VDI;
        RO crash_dumps: Set<Ref<crashdump>> => crashdump.VDI;
        CO virtual_size: Int;
        RO physical_utilisation: Int;
        CO r#type: vdi_type;
        CO sharable: Bool;
        CO read_only: Bool;
        RW other_config: Map<String, String>;
        RO storage_lock: Bool;
        RO location: String = "";
        RO managed: Bool;
        RO missing: Bool;
        RO parent: Ref<VDI>, deprecated;
        RW xenstore_data: Map<String, String> = {};
        RW sm_config: Map<String, String> = {};
        RO is_a_snapshot: Bool = false;
        RO snapshot_of: Ref<VDI> = null;
        RO snapshots: Set<Ref<VDI>> => VDI.snapshot_of;
        RO snapshot_time: DateTime = epoch;
        RW tags: Set<String> = {}, by(vm_operator);
        RO allow_caching: Bool = false;
        RO on_boot: on_boot = persist;
        RO metadata_of_pool: Ref<pool> = null;
        RO metadata_latest: Bool = false;
        RO is_tools_iso: Bool = false;
        RO cbt_enabled: Bool = false;
    }
    messages {
        fn revert(snapshot: Ref<VDI>) -> Void as vm_power_admin ![UNIMPLEMENTED_IN_SM_BACKEND], task, prototyped;
        fn get_nbd_info(self: Ref<VDI>) -> Set<Record<vdi_nbd_server_info>> as vm_admin ![VDI_INCOMPATIBLE_TYPE], task;
        fn list_changed_blocks(vdi_from: Ref<VDI>, vdi_to: Ref<VDI>) -> String as vm_operator ![SR_OPERATION_NOT_SUPPORTED, VDI_MISSING, SR_NOT_ATTACHED, SR_HAS_NO_PBDS, VDI_IN_USE], task;
        fn data_destroy(self: Ref<VDI>) -> Void as vm_admin ![SR_OPERATION_NOT_SUPPORTED, VDI_MISSING, SR_NOT_ATTACHED, SR_HAS_NO_PBDS, OPERATION_NOT_ALLOWED, VDI_INCOMPATIBLE_TYPE, VDI_NO_CBT_METADATA, VDI_IN_USE, VDI_IS_A_PHYSICAL_DEVICE], task;
        fn disable_cbt(self: Ref<VDI>) -> Void as vm_admin ![SR_OPERATION_NOT_SUPPORTED, VDI_MISSING, SR_NOT_ATTACHED, SR_HAS_NO_PBDS, OPERATION_NOT_ALLOWED, VDI_INCOMPATIBLE_TYPE, VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION], task;
        fn enable_cbt(self: Ref<VDI>) -> Void as vm_admin ![SR_OPERATION_NOT_SUPPORTED, VDI_MISSING, SR_NOT_ATTACHED, SR_HAS_NO_PBDS, OPERATION_NOT_ALLOWED, VDI_INCOMPATIBLE_TYPE, VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION], task;
        fn pool_migrate(vdi: Ref<VDI>, sr: Ref<SR>, options: Map<String, String>) -> Ref<VDI> as vm_power_admin, task;
        fn read_database_pool_uuid(self: Ref<VDI>) -> String as read_only, task;
        fn open_database(self: Ref<VDI>) -> Ref<session> as pool_operator, task;
        fn set_allow_caching(self: Ref<VDI>, value: Bool) -> Void as vm_admin, task;
        fn set_on_boot(self: Ref<VDI>, value: on_boot) -> Void as vm_admin, task;
        fn set_name_description(self: Ref<VDI>, value: String) -> Void as vm_admin, task;
        fn set_name_label(self: Ref<VDI>, value: String) -> Void as vm_admin, task;
        fn set_read_only(self: Ref<VDI>, value: Bool) -> Void as vm_admin, task;
        fn set_sharable(self: Ref<VDI>, value: Bool) -> Void as vm_admin, task;
        fn forget(vdi: Ref<VDI>) -> Void as vm_admin, task;
        fn copy(vdi: Ref<VDI>, sr: Ref<SR>, base_vdi: Ref<VDI>, into_vdi: Ref<VDI>) -> Ref<VDI> as vm_admin ![VDI_READONLY, VDI_TOO_SMALL, VDI_NOT_SPARSE], task;
        fn update(vdi: Ref<VDI>) -> Void as vm_admin ![SR_OPERATION_NOT_SUPPORTED], task;
        fn introduce(uuid: String, name_label: String, name_description: String, SR: Ref<SR>, type: vdi_type, sharable: Bool, read_only: Bool, other_config: Map<String, String>, location: String, xenstore_data: Map<String, String>, sm_config: Map<String, String>, managed: Bool, virtual_size: Int, physical_utilisation: Int, metadata_of_pool: Ref<pool>, is_a_snapshot: Bool, snapshot_time: DateTime, snapshot_of: Ref<VDI>) -> Ref<VDI> as vm_admin ![SR_OPERATION_NOT_SUPPORTED], task;
        fn resize_online(vdi: Ref<VDI>, size: Int) -> Void as vm_admin, task;
        fn resize(vdi: Ref<VDI>, size: Int) -> Void as vm_admin, task;
        fn clone(vdi: Ref<VDI>, driver_params: Map<String, String>) -> Ref<VDI> as vm_admin, task;
        fn snapshot(vdi: Ref<VDI>, driver_params: Map<String, String>) -> Ref<VDI> as vm_admin, task;
    }
}

class! {
    VBD, by(vm_admin), create, destroy;
    enums {
        vbd_operations: "attach" "eject" "insert" "plug" "unplug" "unplug_force" "pause" "unpause";
        vbd_type: "CD" "Disk" "Floppy";
        vbd_mode: "RO" "RW";
    }
    fields {
        RO uuid: String;
        RO allowed_operations: Set<vbd_operations> = {};
        RO current_operations: Map<String, vbd_operations> = {};
        CO VM: Ref<VM>;
        CO VDI: Ref<VDI>;
        CO device: String = "";
        RW userdevice: String;
        RW bootable: Bool;
        CO mode: vbd_mode;
        RW r#type: vbd_type;
        RW unpluggable: Bool = true;
        RO storage_lock: Bool;
        CO empty: Bool;
        RW other_config: Map<String, String>;
        CO currently_attached: Bool = false;
        RO status_code: Int;
        RO status_detail: String;
        RO runtime_properties: Map<String, String>;
        RW qos_algorithm_type: String;
        RW qos_algorithm_params: Map<String, String>;
        RO qos_supported_algorithms: Set<String>;
        RO metrics: Ref<VBD_metrics> = null, removed;
    }
    messages {
        fn set_mode(self: Ref<VBD>, value: vbd_mode) -> Void as vm_admin, task;
        fn assert_attachable(self: Ref<VBD>) -> Void as vm_admin, task;
        fn unplug_force(self: Ref<VBD>) -> Void as vm_admin, task;
        fn unplug(self: Ref<VBD>) -> Void as vm_admin ![DEVICE_DETACH_REJECTED, DEVICE_ALREADY_DETACHED], task;
        fn plug(self: Ref<VBD>) -> Void as vm_admin, task;
        fn insert(vbd: Ref<VBD>, vdi: Ref<VDI>) -> Void as vm_operator ![VBD_NOT_REMOVABLE_MEDIA, VBD_NOT_EMPTY], task;
        fn eject(vbd: Ref<VBD>) -> Void as vm_operator ![VBD_NOT_REMOVABLE_MEDIA, VBD_IS_EMPTY], task;
    }
}

class! {
    VBD_metrics, by(vm_admin), removed;
    fields {
        RO uuid: String;
        RO io_read_kbs: Float = 0.0, removed;
        RO io_write_kbs: Float = 0.0, removed;
        RO last_updated: DateTime = epoch, removed;
        RW other_config: Map<String, String> = {}, removed;
    }
}

class! {
    PBD, by(pool_operator), create, destroy;
    fields {
        RO uuid: String;
        CO host: Ref<host>;
        CO SR: Ref<SR>;
        CO device_config: Map<String, String>;
        RO currently_attached: Bool;
        RW other_config: Map<String, String> = {};
    }
    messages {
        fn set_device_config(self: Ref<PBD>, value: Map<String, String>) -> Void as pool_operator, task;
        fn unplug(self: Ref<PBD>) -> Void as pool_operator, task;
        fn plug(self: Ref<PBD>) -> Void as pool_operator ![SR_UNKNOWN_DRIVER], task;
    }
}

class! {
    vdi_nbd_server_info, nothing_implied, no_events;
    fields {
        RO exportname: String;
        RO address: String;
        RO port: Int;
        RO cert: String;
        RO subject: String;
    }
}
