//! Storage repositories, disks and their attachments.

use super::*;
use crate::model::types::*;
use crate::model::{class, default};

class! {
    /// A kind of storage and the driver for it.
    SM, by(pool_operator);
    enums {
        image_format_type: "raw" "vhd" "qcow2";
    }
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// Name of the driver.
        RO name_label: String = "";
        /// Longer text for people.
        RO name_description: String = "";
        /// The word that `SR.create` takes, as in `nfs`.
        RO r#type: String;
        /// Who made the driver.
        RO vendor: String;
        /// Whose it is.
        RO copyright: String;
        /// Version of the driver.
        RO version: String;
        /// Version of the interface to drivers that it was written for.
        RO required_api_version: String;
        /// Keys of `PBD.device_config` that it knows, each with an explanation.
        RO configuration: Map<String, String>;
        /// What it can do; use `features`.
        RO capabilities: Set<String> = {}, deprecated;
        /// What it can do, each with a version.
        RO features: Map<String, Int> = {};
        /// Keys and values for clients to use; every key is kept.
        RW other_config: Map<String, String> = {};
        /// File of the driver.
        RO driver_filename: String = "";
        /// Cluster software that must run for it; empty for none.
        RO required_cluster_stack: Set<String> = {};
        /// Disk formats that it knows; the first is its own choice.
        RO supported_image_formats: Set<image_format_type> = {}, prototyped;
    }
}

class! {
    /// A storage repository: where disks are.
    SR, by(pool_operator);
    enums {
        storage_operations: "scan" "destroy" "forget" "plug" "unplug" "update" "vdi_create" "vdi_introduce" "vdi_destroy" "vdi_resize" "vdi_clone" "vdi_snapshot" "vdi_mirror" "vdi_enable_cbt" "vdi_disable_cbt" "vdi_data_destroy" "vdi_list_changed_blocks" "vdi_set_on_boot" "vdi_blocked" "vdi_copy" "vdi_force_unlock" "vdi_forget" "vdi_generate_config" "vdi_resize_online" "vdi_update" "vdi_revert" "pbd_create" "pbd_destroy";
    }
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// Name for people; need not be unique.
        CO name_label: String = "";
        /// Longer text for people.
        CO name_description: String = "";
        /// What a client may do with it now; empty while nothing may be done.
        RO allowed_operations: Set<storage_operations> = {}, derived;
        /// Operations that have been accepted and not ended: task reference to operation.
        RO current_operations: Map<String, storage_operations> = {};
        /// Disks in it.
        RO VDIs: Set<Ref<VDI>> => VDI.SR;
        /// Connections of hosts to it.
        RO PBDs: Set<Ref<PBD>> => PBD.SR;
        /// Sum of the sizes of its disks, in bytes.
        RO virtual_allocation: Int;
        /// Bytes in use.
        RO physical_utilisation: Int;
        /// Bytes that there are.
        CO physical_size: Int;
        /// Kind of storage; names a driver.
        CO r#type: String;
        /// What it is for: `user` for disks, `iso` for images of CDs.
        CO content_type: String;
        /// True if several hosts can use it at once.
        RO shared: Bool;
        /// Keys and values for clients to use; every key is kept.
        RW other_config: Map<String, String>;
        /// Labels that clients put on it, to group and to search.
        RW tags: Set<String> = {}, by(vm_operator);
        /// What the driver remembers, by key.
        RW sm_config: Map<String, String> = {};
        /// Binary objects attached to it, by name.
        RO blobs: Map<String, Ref<blob>> = {};
        /// True if it caches disks of other repositories.
        RO local_cache_enabled: Bool = false;
        /// The recovery that brought it in; null if none.
        RO introduced_by: Ref<DR_task> = null;
        /// True if hosts coordinate their access through a cluster.
        RO clustered: Bool = false;
        /// True for the repository that holds the drivers for machines.
        RO is_tools_sr: Bool = false;
        /// Measured figures that nobody wants to be kept.
        RO forgotten_figures: Set<String> = {}, internal;
    }
    messages {
        /// Drop what was kept of a measured figure.
        fn forget_data_source_archives(sr: Ref<SR>, data_source: String) -> Void as pool_operator ![INVALID_VALUE], task;
        /// Read the latest value of one measured figure.
        fn query_data_source(sr: Ref<SR>, data_source: String) -> Float as read_only ![INVALID_VALUE], task;
        /// Start to keep a measured figure.
        fn record_data_source(sr: Ref<SR>, data_source: String) -> Void as pool_operator ![INVALID_VALUE], task;
        /// List the measured figures that can be asked for.
        fn get_data_sources(sr: Ref<SR>) -> Set<Record<data_source>> as read_only, task;
        /// Stop copying the database into it; the disk stays as it is.
        fn disable_database_replication(sr: Ref<SR>) -> Void as pool_operator, task;
        /// Copy the database into it as it changes: to a disk of type `metadata` with `metadata_of_pool`, whole and without
        /// secrets, at most once a minute and more rarely where that takes long. Such a disk can be read with
        /// `VDI.open_database` by whoever else has it, and here once this is disabled.
        fn enable_database_replication(sr: Ref<SR>) -> Void as pool_operator ![NO_MORE_REDO_LOGS_ALLOWED, OTHER_OPERATION_IN_PROGRESS, SR_FULL, SR_HAS_NO_PBDS, SR_NOT_ATTACHED, SR_OPERATION_NOT_SUPPORTED], task;
        /// Fail with the reason if it cannot hold copies of the database.
        fn assert_supports_database_replication(sr: Ref<SR>) -> Void as pool_operator ![SR_HAS_NO_PBDS, SR_NOT_ATTACHED, SR_OPERATION_NOT_SUPPORTED], task;
        /// Fail with the reason if it cannot hold the state of high availability.
        fn assert_can_host_ha_statefile(sr: Ref<SR>) -> Void as pool_operator ![SR_OPERATION_NOT_SUPPORTED], task;
        /// Correct the bytes that there are; for drivers.
        fn set_physical_size(self: Ref<SR>, value: Int) -> Void as pool_operator ![VALUE_NOT_SUPPORTED], task;
        /// Attach a new, empty binary object under a name.
        fn create_new_blob(sr: Ref<SR>, name: String, mime_type: String, public: Bool) -> Ref<blob> as pool_operator ![MAP_DUPLICATE_KEY, VALUE_NOT_SUPPORTED], task;
        /// Change the longer text.
        fn set_name_description(sr: Ref<SR>, value: String) -> Void as pool_operator ![VALUE_NOT_SUPPORTED], task;
        /// Change the name.
        fn set_name_label(sr: Ref<SR>, value: String) -> Void as pool_operator ![VALUE_NOT_SUPPORTED], task;
        /// Say whether several hosts can use it; refused while it is connected to several.
        fn set_shared(sr: Ref<SR>, value: Bool) -> Void as pool_operator ![SR_NOT_SHARABLE, SR_UNKNOWN_DRIVER], task;
        /// Look for repositories at an address; answers what was found.
        fn probe_ext(host: Ref<host>, device_config: Map<String, String>, type: String, sm_config: Map<String, String> = {}) -> Set<Record<probe_result>> as pool_operator ![SR_UNKNOWN_DRIVER, SR_BACKEND_FAILURE], task;
        /// Look for repositories at an address; answers text in the driver's own form.
        fn probe(host: Ref<host>, device_config: Map<String, String>, type: String, sm_config: Map<String, String> = {}) -> String as pool_operator ![SR_UNKNOWN_DRIVER, SR_BACKEND_FAILURE], task;
        /// Compare with what is really there, and record disks that came or went.
        fn scan(sr: Ref<SR>) -> Void as vm_power_admin ![OTHER_OPERATION_IN_PROGRESS, SR_HAS_NO_PBDS, SR_NOT_ATTACHED, SR_OPERATION_NOT_SUPPORTED], task;
        /// List the kinds of storage that there are drivers for.
        fn get_supported_types() -> Set<String> as read_only, task;
        /// Tell the storage the names of its disks.
        fn update(sr: Ref<SR>) -> Void as pool_operator ![OTHER_OPERATION_IN_PROGRESS, SR_HAS_NO_PBDS, SR_NOT_ATTACHED, SR_OPERATION_NOT_SUPPORTED], task;
        /// Forget the repository and its disks; all stays where it is. Refused with SR_HAS_PBD while a host is
        /// connected.
        fn forget(sr: Ref<SR>) -> Void as pool_operator ![SR_HAS_PBD, OTHER_OPERATION_IN_PROGRESS], task;
        /// Forget the repository and destroy what is in it. Refused with SR_HAS_PBD while a host is connected.
        fn destroy(sr: Ref<SR>) -> Void as pool_operator ![SR_HAS_PBD, OTHER_OPERATION_IN_PROGRESS, SR_INDESTRUCTIBLE, SR_NOT_ATTACHED, SR_NOT_EMPTY], task;
        /// Make the repository without recording it; use `create`.
        fn make(host: Ref<host>, device_config: Map<String, String>, physical_size: Int, name_label: String, name_description: String, type: String, content_type: String, sm_config: Map<String, String> = {}) -> String as pool_operator ![MESSAGE_DEPRECATED], task, deprecated;
        /// Record a repository that exists; hosts are connected by `PBD.create`.
        fn introduce(uuid: String, name_label: String, name_description: String, type: String, content_type: String, shared: Bool, sm_config: Map<String, String> = {}) -> Ref<SR> as pool_operator ![SR_UNKNOWN_DRIVER, SR_UUID_EXISTS, UUID_INVALID], task;
        /// Make a repository, record it and connect the host (every host, if shared). SR_UNKNOWN_DRIVER for a type
        /// without driver.
        fn create(host: Ref<host>, device_config: Map<String, String>, physical_size: Int, name_label: String, name_description: String, type: String, content_type: String, shared: Bool, sm_config: Map<String, String> = {}) -> Ref<SR> as pool_operator ![SR_UNKNOWN_DRIVER, SR_BACKEND_FAILURE, INVALID_VALUE, SR_NOT_SHARABLE], task;
    }
}

class! {
    /// State of a repository, as a driver reports it. Not stored as an object.
    sr_stat, nothing_implied, no_events;
    enums {
        sr_health: "healthy" "recovering" "unreachable" "unavailable";
    }
    fields {
        /// Identifier of the repository; left out if it has none.
        RO uuid: Option<String>;
        /// Name of the repository.
        RO name_label: String;
        /// Longer text about the repository.
        RO name_description: String;
        /// Bytes that are free.
        RO free_space: Int;
        /// Bytes that there are.
        RO total_space: Int;
        /// True if hosts coordinate their access through a cluster.
        RO clustered: Bool;
        /// Whether it works.
        RO health: sr_health;
    }
}

class! {
    /// One thing that a look for repositories found. Not stored as an object.
    probe_result, nothing_implied, no_events;
    fields {
        /// Keys to connect with, for `PBD.device_config`.
        RO configuration: Map<String, String>;
        /// True if these keys are enough.
        RO complete: Bool;
        /// The repository that was found; left out if there is none yet.
        RO sr: Option<Record<sr_stat>>;
        /// What else the driver says, by key.
        RO extra_info: Map<String, String>;
    }
}

class! {
    /// Calls for one kind of storage; it has no objects.
    LVHD, no_get_all;
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
    }
    messages {
        /// Let disks of a repository take space only as they are written.
        fn enable_thin_provisioning(host: Ref<host>, SR: Ref<SR>, initial_allocation: Int, allocation_quantum: Int) -> String as pool_admin, task;
    }
}

class! {
    /// A virtual disk.
    VDI, by(vm_admin), create, destroy;
    enums {
        vdi_operations: "clone" "copy" "resize" "resize_online" "snapshot" "mirror" "destroy" "forget" "update" "force_unlock" "generate_config" "enable_cbt" "disable_cbt" "data_destroy" "list_changed_blocks" "set_on_boot" "blocked" "revert_to" "revert_from";
        vdi_type: "system" "user" "ephemeral" "suspend" "crashdump" "ha_statefile" "metadata" "redo_log" "rrd" "pvs_cache" "cbt_metadata";
        on_boot: "reset" "persist";
    }
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// Name for people; need not be unique.
        CO name_label: String = "";
        /// Longer text for people.
        CO name_description: String = "";
        /// What a client may do with it now; empty while nothing may be done.
        RO allowed_operations: Set<vdi_operations> = {}, derived;
        /// Operations that have been accepted and not ended: task reference to operation.
        RO current_operations: Map<String, vdi_operations> = {};
        /// The repository that it is in.
        CO SR: Ref<SR>;
        /// Its attachments to machines.
        RO VBDs: Set<Ref<VBD>> => VBD.VDI;
        /// Crashes that it holds the dump of.
        RO crash_dumps: Set<Ref<crashdump>> => crashdump.VDI;
        /// Its size as a machine sees it, in bytes.
        CO virtual_size: Int;
        /// Bytes that it occupies.
        RO physical_utilisation: Int;
        /// What it is for; `user` if nothing particular.
        CO r#type: vdi_type;
        /// True if several machines may write to it at once.
        CO sharable: Bool;
        /// True if nobody may write to it.
        CO read_only: Bool;
        /// Keys and values for clients to use; every key is kept.
        RW other_config: Map<String, String>;
        /// True while the storage layer holds it.
        RO storage_lock: Bool;
        /// Where it is in the repository, in the driver's words; unique there.
        RO location: String = "";
        /// True for a disk that can be used; false for what only other disks build on.
        RO managed: Bool;
        /// True if it was not found at the last scan.
        RO missing: Bool;
        /// No longer used.
        RO parent: Ref<VDI>, deprecated;
        /// Keys that a machine that has it can read.
        RW xenstore_data: Map<String, String> = {};
        /// What the driver remembers, by key.
        RW sm_config: Map<String, String> = {};
        /// True if it is a snapshot of a disk.
        RO is_a_snapshot: Bool = false;
        /// The disk that it is a snapshot of; null for others, and when that disk is gone.
        RO snapshot_of: Ref<VDI> = null;
        /// Its snapshots.
        RO snapshots: Set<Ref<VDI>> => VDI.snapshot_of;
        /// When the snapshot was taken; the epoch for others.
        RO snapshot_time: DateTime = epoch;
        /// Labels that clients put on it, to group and to search.
        RW tags: Set<String> = {}, by(vm_operator);
        /// True if hosts may cache it.
        RO allow_caching: Bool = false;
        /// Whether its contents go back to the beginning when the machine starts.
        RO on_boot: on_boot = persist;
        /// The pool whose database it holds a copy of; null for others.
        RO metadata_of_pool: Ref<pool> = null;
        /// True if that copy is the newest: the server keeps it current, and could write it the last time.
        RO metadata_latest: Bool = false;
        /// True while the server writes its database to it.
        RO replicated: Bool = false, internal;
        /// True for the image with drivers for machines.
        RO is_tools_iso: Bool = false;
        /// True if the blocks that change are noted.
        RO cbt_enabled: Bool = false;
    }
    messages {
        /// Bring the disk back to the state of a snapshot.
        fn revert(snapshot: Ref<VDI>) -> Void as vm_power_admin ![UNIMPLEMENTED_IN_SM_BACKEND, OPERATION_NOT_ALLOWED, OTHER_OPERATION_IN_PROGRESS, SR_HAS_NO_PBDS, SR_NOT_ATTACHED, VDI_INCOMPATIBLE_TYPE, VDI_IN_USE, VDI_MISSING, VDI_NOT_MANAGED], task, prototyped;
        /// How to read it over the network block device protocol; empty if no network allows it.
        fn get_nbd_info(self: Ref<VDI>) -> Set<Record<vdi_nbd_server_info>> as vm_admin ![VDI_INCOMPATIBLE_TYPE], task;
        /// Blocks that differ between two snapshots, as a bitmap in base64.
        fn list_changed_blocks(vdi_from: Ref<VDI>, vdi_to: Ref<VDI>) -> String as vm_operator ![SR_OPERATION_NOT_SUPPORTED, VDI_MISSING, SR_NOT_ATTACHED, SR_HAS_NO_PBDS, VDI_IN_USE, OPERATION_NOT_ALLOWED, OTHER_OPERATION_IN_PROGRESS, SR_BACKEND_FAILURE, VDI_NO_CBT_METADATA, VDI_NOT_MANAGED], task;
        /// Drop a snapshot's data and keep the note of which blocks changed.
        fn data_destroy(self: Ref<VDI>) -> Void as vm_admin ![SR_OPERATION_NOT_SUPPORTED, VDI_MISSING, SR_NOT_ATTACHED, SR_HAS_NO_PBDS, OPERATION_NOT_ALLOWED, VDI_INCOMPATIBLE_TYPE, VDI_NO_CBT_METADATA, VDI_IN_USE, VDI_IS_A_PHYSICAL_DEVICE, OTHER_OPERATION_IN_PROGRESS, VDI_NOT_MANAGED, SR_BACKEND_FAILURE], task;
        /// Stop noting which blocks change.
        fn disable_cbt(self: Ref<VDI>) -> Void as vm_admin ![OTHER_OPERATION_IN_PROGRESS, VDI_NOT_MANAGED, SR_OPERATION_NOT_SUPPORTED, VDI_MISSING, SR_NOT_ATTACHED, SR_HAS_NO_PBDS, OPERATION_NOT_ALLOWED, VDI_INCOMPATIBLE_TYPE, VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION, SR_BACKEND_FAILURE], task;
        /// Note which blocks change, from now on.
        fn enable_cbt(self: Ref<VDI>) -> Void as vm_admin ![OTHER_OPERATION_IN_PROGRESS, VDI_NOT_MANAGED, SR_OPERATION_NOT_SUPPORTED, VDI_MISSING, SR_NOT_ATTACHED, SR_HAS_NO_PBDS, OPERATION_NOT_ALLOWED, VDI_INCOMPATIBLE_TYPE, VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION, SR_BACKEND_FAILURE], task;
        /// Move it to another repository while a machine uses it.
        fn pool_migrate(vdi: Ref<VDI>, sr: Ref<SR>, options: Map<String, String>) -> Ref<VDI> as vm_power_admin ![OPERATION_NOT_ALLOWED, OTHER_OPERATION_IN_PROGRESS, SR_DOES_NOT_SUPPORT_MIGRATION, SR_FULL, SR_HAS_NO_PBDS, SR_NOT_ATTACHED, SR_OPERATION_NOT_SUPPORTED, VDI_CBT_ENABLED, VDI_INCOMPATIBLE_TYPE, VDI_IN_USE, VDI_MISSING, VDI_NOT_MANAGED, VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION, VM_BAD_POWER_STATE], task;
        /// Identifier of the pool whose database it holds a copy of.
        fn read_database_pool_uuid(self: Ref<VDI>) -> String as read_only, task;
        /// Open a session on the copy of a database that it holds: of a disk of type `metadata` that this server does not
        /// write to. What the session reads is the pool as it was then, with its log and without its secrets; nothing can
        /// be changed in it. Not as `Async.`: the result is a way in, which no task keeps.
        fn open_database(self: Ref<VDI>) -> Ref<session> as pool_operator ![COULD_NOT_IMPORT_DATABASE, OPERATION_NOT_ALLOWED, OTHER_OPERATION_IN_PROGRESS, SR_HAS_NO_PBDS, SR_NOT_ATTACHED, SR_OPERATION_NOT_SUPPORTED, VDI_CONTAINS_METADATA_OF_THIS_POOL, VDI_INCOMPATIBLE_TYPE, VDI_IN_USE, VDI_MISSING, VDI_NOT_AVAILABLE, VDI_NOT_MANAGED, INVALID_VALUE, SR_BACKEND_FAILURE], task;
        /// Choose whether hosts may cache it.
        fn set_allow_caching(self: Ref<VDI>, value: Bool) -> Void as vm_admin ![VALUE_NOT_SUPPORTED], task;
        /// Choose whether its contents go back to the beginning when the machine starts.
        fn set_on_boot(self: Ref<VDI>, value: on_boot) -> Void as vm_admin ![VDI_CBT_ENABLED, VDI_INCOMPATIBLE_TYPE, OTHER_OPERATION_IN_PROGRESS, SR_HAS_NO_PBDS, SR_NOT_ATTACHED, SR_OPERATION_NOT_SUPPORTED, VDI_IN_USE, VDI_MISSING, VDI_NOT_MANAGED], task;
        /// Change the longer text.
        fn set_name_description(self: Ref<VDI>, value: String) -> Void as vm_admin ![VALUE_NOT_SUPPORTED], task;
        /// Change the name.
        fn set_name_label(self: Ref<VDI>, value: String) -> Void as vm_admin ![VALUE_NOT_SUPPORTED], task;
        /// Choose whether it may be written to.
        fn set_read_only(self: Ref<VDI>, value: Bool) -> Void as vm_admin ![VDI_IN_USE], task;
        /// Choose whether several machines may write to it at once.
        fn set_sharable(self: Ref<VDI>, value: Bool) -> Void as vm_admin ![VDI_IN_USE], task;
        /// Forget it; its data stays in the repository.
        fn forget(vdi: Ref<VDI>) -> Void as vm_admin ![OTHER_OPERATION_IN_PROGRESS, SR_HAS_NO_PBDS, SR_NOT_ATTACHED, SR_OPERATION_NOT_SUPPORTED, VDI_IN_USE, VDI_MISSING, VDI_NOT_MANAGED], task;
        /// Make a full copy, as a new disk in a repository or into an existing one.
        fn copy(vdi: Ref<VDI>, sr: Ref<SR>, base_vdi: Ref<VDI> = null, into_vdi: Ref<VDI> = null) -> Ref<VDI> as vm_admin ![VDI_READONLY, VDI_TOO_SMALL, VDI_NOT_SPARSE, OTHER_OPERATION_IN_PROGRESS, SR_FULL, SR_HAS_NO_PBDS, SR_NOT_ATTACHED, SR_OPERATION_NOT_SUPPORTED, VDI_IN_USE, VDI_MISSING, VDI_NOT_MANAGED], task;
        /// Compare it with what is really there.
        fn update(vdi: Ref<VDI>) -> Void as vm_admin ![SR_OPERATION_NOT_SUPPORTED, OTHER_OPERATION_IN_PROGRESS, SR_HAS_NO_PBDS, SR_NOT_ATTACHED, VDI_IN_USE, VDI_MISSING, VDI_NOT_MANAGED], task;
        /// Record a disk that is in the repository already.
        fn introduce(uuid: String, name_label: String, name_description: String, SR: Ref<SR>, type: vdi_type, sharable: Bool, read_only: Bool, other_config: Map<String, String>, location: String, xenstore_data: Map<String, String>, sm_config: Map<String, String>, managed: Bool, virtual_size: Int, physical_utilisation: Int, metadata_of_pool: Ref<pool>, is_a_snapshot: Bool, snapshot_time: DateTime, snapshot_of: Ref<VDI>) -> Ref<VDI> as vm_admin ![SR_OPERATION_NOT_SUPPORTED, DB_UNIQUENESS_CONSTRAINT_VIOLATION, OTHER_OPERATION_IN_PROGRESS, SR_HAS_NO_PBDS, SR_NOT_ATTACHED, UUID_INVALID], task;
        /// Change its size while a machine uses it, in bytes.
        fn resize_online(vdi: Ref<VDI>, size: Int) -> Void as vm_admin ![INVALID_VALUE, OTHER_OPERATION_IN_PROGRESS, SR_FULL, SR_HAS_NO_PBDS, SR_NOT_ATTACHED, SR_OPERATION_NOT_SUPPORTED, VDI_IN_USE, VDI_MISSING, VDI_NOT_MANAGED, VDI_TOO_SMALL], task;
        /// Change its size, in bytes; it can only grow.
        fn resize(vdi: Ref<VDI>, size: Int) -> Void as vm_admin ![INVALID_VALUE, OTHER_OPERATION_IN_PROGRESS, SR_FULL, SR_HAS_NO_PBDS, SR_NOT_ATTACHED, SR_OPERATION_NOT_SUPPORTED, VDI_IN_USE, VDI_MISSING, VDI_NOT_MANAGED, VDI_TOO_SMALL], task;
        /// Make a disk with the same contents, sharing blocks where storage can.
        fn clone(vdi: Ref<VDI>, driver_params: Map<String, String> = {}) -> Ref<VDI> as vm_admin ![OTHER_OPERATION_IN_PROGRESS, SR_HAS_NO_PBDS, SR_NOT_ATTACHED, SR_OPERATION_NOT_SUPPORTED, VDI_IN_USE, VDI_MISSING, VDI_NOT_MANAGED], task;
        /// Take a snapshot, sharing blocks where storage can.
        fn snapshot(vdi: Ref<VDI>, driver_params: Map<String, String> = {}) -> Ref<VDI> as vm_admin ![OTHER_OPERATION_IN_PROGRESS, SR_HAS_NO_PBDS, SR_NOT_ATTACHED, SR_OPERATION_NOT_SUPPORTED, VDI_IN_USE, VDI_MISSING, VDI_NOT_MANAGED], task;
    }
}

class! {
    /// A disk or drive of a machine: what attaches a VDI to it.
    VBD, by(vm_admin), create, destroy;
    enums {
        vbd_operations: "attach" "eject" "insert" "plug" "unplug" "unplug_force" "pause" "unpause";
        vbd_type: "CD" "Disk" "Floppy";
        vbd_mode: "RO" "RW";
    }
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// What a client may do with it now; empty while nothing may be done.
        RO allowed_operations: Set<vbd_operations> = {}, derived;
        /// Operations that have been accepted and not ended: task reference to operation.
        RO current_operations: Map<String, vbd_operations> = {};
        /// The machine.
        CO VM: Ref<VM>;
        /// The disk in it; null for an empty drive.
        CO VDI: Ref<VDI>;
        /// Its name in the machine, as in `xvda`; empty until it is attached.
        CO device: String = "";
        /// Its number in the machine, as text: `0` is the first. `autodetect` at creation takes the next free one.
        RW userdevice: String;
        /// True if a paravirtual machine boots from it.
        RW bootable: Bool;
        /// RO if the machine can only read it.
        CO mode: vbd_mode;
        /// Disk, CD or Floppy; the latter two can be empty.
        RW r#type: vbd_type;
        /// True if it can be taken out while the machine runs.
        RW unpluggable: Bool = true;
        /// True while the storage layer holds it.
        RO storage_lock: Bool;
        /// True if there is nothing in the drive.
        CO empty: Bool;
        /// Keys and values for clients to use; every key is kept.
        RW other_config: Map<String, String>;
        /// True if it is plugged in; while the machine is off, whether it was when it last ran.
        CO currently_attached: Bool = false;
        /// Error code of the last plug or unplug; 0 for none.
        RO status_code: Int;
        /// What that error was about.
        RO status_detail: String;
        /// What the driver says, by key.
        RO runtime_properties: Map<String, String>;
        /// How its traffic is limited; `ionice` or empty.
        RW qos_algorithm_type: String;
        /// The limit, by key.
        RW qos_algorithm_params: Map<String, String>;
        /// Ways to limit that this host knows.
        RO qos_supported_algorithms: Set<String>;
        /// No longer used.
        RO metrics: Ref<VBD_metrics> = null, removed;
    }
    messages {
        /// Choose whether it can be written to; only while it is not attached.
        fn set_mode(self: Ref<VBD>, value: vbd_mode) -> Void as vm_admin ![OTHER_OPERATION_IN_PROGRESS, VBD_CDS_MUST_BE_READONLY, VDI_READONLY, VM_BAD_POWER_STATE], task;
        /// Fail with the reason if it cannot be plugged in.
        fn assert_attachable(self: Ref<VBD>) -> Void as vm_admin ![DEVICE_ALREADY_ATTACHED, OPERATION_NOT_ALLOWED, OTHER_OPERATION_IN_PROGRESS, VBD_IS_EMPTY, VDI_IN_USE, VDI_NOT_MANAGED, VDI_READONLY, VM_BAD_POWER_STATE], task;
        /// Take it out without asking the machine.
        fn unplug_force(self: Ref<VBD>) -> Void as vm_admin ![DEVICE_ALREADY_DETACHED, OPERATION_NOT_ALLOWED, OTHER_OPERATION_IN_PROGRESS, VBD_NOT_UNPLUGGABLE, VM_BAD_POWER_STATE], task;
        /// Take it out of the running machine; DEVICE_DETACH_REJECTED if the machine refuses.
        fn unplug(self: Ref<VBD>) -> Void as vm_admin ![DEVICE_DETACH_REJECTED, DEVICE_ALREADY_DETACHED, OPERATION_NOT_ALLOWED, OTHER_OPERATION_IN_PROGRESS, VBD_NOT_UNPLUGGABLE, VM_BAD_POWER_STATE], task;
        /// Put it into the running machine.
        fn plug(self: Ref<VBD>) -> Void as vm_admin ![DEVICE_ALREADY_ATTACHED, OPERATION_NOT_ALLOWED, OTHER_OPERATION_IN_PROGRESS, SR_HAS_NO_PBDS, SR_NOT_ATTACHED, VBD_IS_EMPTY, VBD_NOT_UNPLUGGABLE, VDI_IN_USE, VDI_NOT_MANAGED, VDI_READONLY, VM_BAD_POWER_STATE], task;
        /// Put a disc into an empty drive; VBD_NOT_EMPTY if one is in.
        fn insert(vbd: Ref<VBD>, vdi: Ref<VDI>) -> Void as vm_operator ![VBD_NOT_REMOVABLE_MEDIA, VBD_NOT_EMPTY, OPERATION_NOT_ALLOWED, OTHER_OPERATION_IN_PROGRESS, VDI_IN_USE, VDI_IS_NOT_ISO, VDI_NOT_MANAGED, VDI_READONLY, VM_BAD_POWER_STATE], task;
        /// Take the disc out of the drive; VBD_IS_EMPTY if none is in.
        fn eject(vbd: Ref<VBD>) -> Void as vm_operator ![VBD_NOT_REMOVABLE_MEDIA, VBD_IS_EMPTY, OPERATION_NOT_ALLOWED, OTHER_OPERATION_IN_PROGRESS, VM_BAD_POWER_STATE], task;
    }
}

class! {
    /// No longer used.
    VBD_metrics, by(vm_admin), removed;
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// Kilobytes read per second; no longer measured.
        RO io_read_kbs: Float = 0.0, removed, volatile;
        /// Kilobytes written per second; no longer measured.
        RO io_write_kbs: Float = 0.0, removed, volatile;
        /// When this was measured.
        RO last_updated: DateTime = epoch, removed, volatile;
        /// Keys and values for clients to use; every key is kept.
        RW other_config: Map<String, String> = {}, removed;
    }
}

class! {
    /// A host's connection to a storage repository.
    PBD, by(pool_operator), create, destroy;
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// The host.
        CO host: Ref<host>;
        /// The repository.
        CO SR: Ref<SR>;
        /// How the host reaches it, in the driver's keys; passwords appear as references to secrets.
        CO device_config: Map<String, String>;
        /// True if it is connected.
        RO currently_attached: Bool;
        /// Keys and values for clients to use; every key is kept.
        RW other_config: Map<String, String> = {};
    }
    messages {
        /// Change how the host reaches it; takes effect at the next plug.
        fn set_device_config(self: Ref<PBD>, value: Map<String, String>) -> Void as pool_operator ![OPERATION_NOT_ALLOWED, OTHER_OPERATION_IN_PROGRESS], task;
        /// Disconnect; refused while a machine uses a disk there.
        fn unplug(self: Ref<PBD>) -> Void as pool_operator ![OTHER_OPERATION_IN_PROGRESS, VDI_IN_USE], task;
        /// Connect; SR_UNKNOWN_DRIVER for a type without driver.
        fn plug(self: Ref<PBD>) -> Void as pool_operator ![SR_UNKNOWN_DRIVER, OTHER_OPERATION_IN_PROGRESS], task;
    }
}

class! {
    /// An address where a disk can be read over the network. Not stored as an object.
    vdi_nbd_server_info, nothing_implied, no_events;
    fields {
        /// Name to ask for, with the right to read in it; a secret.
        RO exportname: String;
        /// Address of the host.
        RO address: String;
        /// TCP port.
        RO port: Int;
        /// Certificate of the host, as PEM.
        RO cert: String;
        /// Name to expect in the certificate.
        RO subject: String;
    }
}
