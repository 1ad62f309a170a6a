//! What several machines share: schedules, appliances, groups, recoveries.

use super::*;
use crate::model::types::*;
use crate::model::{class, default};

class! {
    /// A protection policy; no longer used.
    VMPP, by(pool_operator), create, destroy, removed;
    enums {
        vmpp_backup_type: "snapshot" "checkpoint";
        vmpp_backup_frequency: "hourly" "daily" "weekly";
        vmpp_archive_frequency: "never" "always_after_backup" "daily" "weekly";
        vmpp_archive_target_type: "none" "cifs" "nfs";
    }
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String, removed;
        /// Name for people; need not be unique.
        RW name_label: String = "", removed;
        /// Longer text for people.
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
    /// A schedule that takes snapshots of machines.
    VMSS, by(pool_operator), create, destroy;
    enums {
        vmss_frequency: "hourly" "daily" "weekly";
        vmss_type: "snapshot" "checkpoint" "snapshot_with_quiesce";
    }
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// Name for people; need not be unique.
        RW name_label: String = "";
        /// Longer text for people.
        RW name_description: String = "";
        /// True if snapshots are taken.
        RW enabled: Bool = true;
        /// What is taken: the disks, or memory as well.
        CO r#type: vmss_type;
        /// How many are kept of each machine; the oldest goes first.
        CO retained_snapshots: Int = 7;
        /// How often.
        CO frequency: vmss_frequency;
        /// When: `min`, `hour`, `days`.
        CO schedule: Map<String, String> = {};
        /// When it last ran; the epoch if never.
        RO last_run_time: DateTime = epoch;
        /// What was due up to here is past: it was made, changed or enabled then, or has run.
        RO armed: DateTime = epoch, internal;
        /// The machines that it takes snapshots of.
        RO VMs: Set<Ref<VM>> => VM.snapshot_schedule;
    }
    messages {
        /// Choose what is taken.
        fn set_type(self: Ref<VMSS>, value: vmss_type) -> Void as pool_operator ![VALUE_NOT_SUPPORTED], task;
        /// Correct when it last ran.
        fn set_last_run_time(self: Ref<VMSS>, value: DateTime) -> Void as local_root ![VALUE_NOT_SUPPORTED], task;
        /// Remove one part of the time.
        fn remove_from_schedule(self: Ref<VMSS>, key: String) -> Void as pool_operator, task;
        /// Add one part of the time.
        fn add_to_schedule(self: Ref<VMSS>, key: String, value: String) -> Void as pool_operator ![INVALID_VALUE, MAP_DUPLICATE_KEY, VALUE_NOT_SUPPORTED], task;
        /// Set the time; it must fit the frequency.
        fn set_schedule(self: Ref<VMSS>, value: Map<String, String>) -> Void as pool_operator ![INVALID_VALUE, VALUE_NOT_SUPPORTED], task;
        /// Choose how often.
        fn set_frequency(self: Ref<VMSS>, value: vmss_frequency) -> Void as pool_operator, task;
        /// Choose how many are kept of each machine.
        fn set_retained_snapshots(self: Ref<VMSS>, value: Int) -> Void as pool_operator ![INVALID_VALUE, VALUE_NOT_SUPPORTED], task;
        /// Take the snapshots now.
        fn snapshot_now(vmss: Ref<VMSS>) -> String as pool_operator ![OPERATION_PARTIALLY_FAILED, OTHER_OPERATION_IN_PROGRESS], task;
    }
}

class! {
    /// Machines that start and stop together, in order.
    VM_appliance, by(pool_operator), create, destroy;
    enums {
        vm_appliance_operation: "start" "clean_shutdown" "hard_shutdown" "shutdown";
    }
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// Name for people; need not be unique.
        RW name_label: String = "";
        /// Longer text for people.
        RW name_description: String = "";
        /// What a client may do with it now; empty while nothing may be done.
        RO allowed_operations: Set<vm_appliance_operation> = {}, derived;
        /// Operations that have been accepted and not ended: task reference to operation.
        RO current_operations: Map<String, vm_appliance_operation> = {};
        /// Its machines.
        RO VMs: Set<Ref<VM>> => VM.appliance;
    }
    messages {
        /// Bring it with its machines into the live pool, as `VM.recover` does: all of them or none.
        fn recover(self: Ref<VM_appliance>, session_to: Ref<session>, force: Bool) -> Void as read_only ![DUPLICATE_VM, OPERATION_NOT_ALLOWED, VM_REQUIRES_NETWORK, VM_REQUIRES_SR, VM_REQUIRES_VDI], task;
        /// List the repositories that must be there to recover it.
        fn get_SRs_required_for_recovery(self: Ref<VM_appliance>, session_to: Ref<session>) -> Set<Ref<SR>> as read_only, task;
        /// Fail with the reason if it cannot be recovered.
        fn assert_can_be_recovered(self: Ref<VM_appliance>, session_to: Ref<session>) -> Void as read_only ![DUPLICATE_VM, VM_REQUIRES_NETWORK, VM_REQUIRES_SR, VM_REQUIRES_VDI], task;
        /// Ask each machine to shut down, and stop at once those that do not.
        fn shutdown(self: Ref<VM_appliance>) -> Void as pool_operator ![OPERATION_PARTIALLY_FAILED, OPERATION_NOT_ALLOWED, OTHER_OPERATION_IN_PROGRESS], task;
        /// Stop its machines at once.
        fn hard_shutdown(self: Ref<VM_appliance>) -> Void as pool_operator ![OPERATION_PARTIALLY_FAILED, OPERATION_NOT_ALLOWED, OTHER_OPERATION_IN_PROGRESS], task;
        /// Ask its machines to shut down, in reverse order.
        fn clean_shutdown(self: Ref<VM_appliance>) -> Void as pool_operator ![OPERATION_PARTIALLY_FAILED, OPERATION_NOT_ALLOWED, OTHER_OPERATION_IN_PROGRESS], task;
        /// Start its machines in order. OPERATION_PARTIALLY_FAILED if some did not.
        fn start(self: Ref<VM_appliance>, paused: Bool) -> Void as pool_operator ![OPERATION_PARTIALLY_FAILED, OPERATION_NOT_ALLOWED, OTHER_OPERATION_IN_PROGRESS], task;
    }
}

class! {
    /// Machines that are placed with regard to each other.
    VM_group, by(vm_admin), create, destroy, prototyped;
    enums {
        placement_policy: "anti_affinity" "normal";
    }
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// Name for people; need not be unique.
        RW name_label: String = "";
        /// Longer text for people.
        RW name_description: String = "";
        /// How its machines are placed: anti_affinity spreads them over hosts.
        CO placement: placement_policy = normal, prototyped;
        /// Its machines.
        RO VMs: Set<Ref<VM>> => VM.groups, prototyped;
    }
}

class! {
    /// Repositories that were brought in to recover machines from another pool.
    DR_task;
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// The repositories that it brought in.
        RO introduced_SRs: Set<Ref<SR>> => SR.introduced_by;
    }
    messages {
        /// End the recovery and let its repositories go.
        fn destroy(self: Ref<DR_task>) -> Void as pool_operator, task;
        /// Bring in the repositories found at an address.
        fn create(type: String, device_config: Map<String, String>, whitelist: Set<String>) -> Ref<DR_task> as pool_operator, task;
    }
}
