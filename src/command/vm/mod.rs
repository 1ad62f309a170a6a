//! Machines: their life cycle, their memory and processors, snapshots and clones.
//!
//! | file          | subject                                                          |
//! |---------------|------------------------------------------------------------------|
//! | allowed       | the table of operations: what may be done when                   |
//! | lifecycle     | start, pause, suspend, resume, shut down, reboot                 |
//! | state         | what the record says in each power state                         |
//! | observed      | what the hypervisor shows while no operation is pending          |
//! | placement     | on which host a machine can run                                  |
//! | memory        | memory and processors                                            |
//! | copies        | clone, copy, snapshot, checkpoint                                |
//! | migrate       | moving to a host, and disks between repositories                 |
//! | revert        | going back to a snapshot                                         |
//! | provision     | templates, and the machines made of them                         |
//! | configuration | making one, taking it away, and setters with rules               |
//! | appliance     | machines that start and stop together                            |
//! | schedule      | snapshots by the clock                                           |
//! | questions     | what only reads                                                  |
//! | firmware      | secure boot                                                      |
//! | guest         | what asks the system inside                                      |
//! | measured      | data sources                                                     |
//! | boot          | how a machine boots                                              |

pub mod allowed;
pub mod appliance;
pub mod boot;
pub mod configuration;
pub mod copies;
pub mod firmware;
pub mod foreign;
pub mod guest;
pub mod lifecycle;
pub mod measured;
pub mod memory;
pub mod migrate;
pub mod observed;
pub mod placement;
pub mod provision;
pub mod questions;
pub mod recovery;
pub mod revert;
pub mod schedule;
pub mod state;
#[cfg(test)]
mod tests;

use super::operation::Derived;
use super::{Completion, Handler, Reader, generic, sequence};

pub const HANDLERS: &[(&str, Handler)] = &[
    ("VM.start", lifecycle::start),
    ("VM.start_on", lifecycle::start_on),
    ("VM.pause", lifecycle::pause),
    ("VM.unpause", lifecycle::unpause),
    ("VM.suspend", lifecycle::suspend),
    ("VM.resume", lifecycle::resume),
    ("VM.resume_on", lifecycle::resume_on),
    ("VM.shutdown", lifecycle::shutdown),
    ("VM.clean_shutdown", lifecycle::clean_shutdown),
    ("VM.hard_shutdown", lifecycle::hard_shutdown),
    ("VM.clean_reboot", lifecycle::clean_reboot),
    ("VM.hard_reboot", lifecycle::hard_reboot),
    ("VM.power_state_reset", lifecycle::power_state_reset),
    ("VM.send_sysrq", lifecycle::send_sysrq),
    ("VM.send_trigger", lifecycle::send_trigger),
    ("VM.clone", copies::clone),
    ("VM.copy", copies::copy),
    ("VM.snapshot", copies::snapshot),
    ("VM.checkpoint", copies::checkpoint),
    ("VM.revert", revert::revert),
    ("VM.provision", provision::provision),
    ("VM.set_is_a_template", provision::set_is_a_template),
    ("VM.set_memory", memory::set_memory),
    ("VM.set_memory_limits", memory::set_memory_limits),
    ("VM.set_memory_static_range", memory::set_memory_static_range),
    ("VM.set_memory_static_min", memory::set_memory_static_min),
    ("VM.set_memory_static_max", memory::set_memory_static_max),
    ("VM.set_memory_dynamic_range", memory::set_memory_dynamic_range),
    ("VM.set_memory_dynamic_min", memory::set_memory_dynamic_range),
    ("VM.set_memory_dynamic_max", memory::set_memory_dynamic_range),
    ("VM.set_memory_target_live", memory::set_memory_target_live),
    ("VM.set_VCPUs_max", memory::set_vcpus_max),
    ("VM.set_VCPUs_at_startup", memory::set_vcpus_at_startup),
    ("VM.set_VCPUs_number_live", memory::set_vcpus_number_live),
    ("VM.add_to_VCPUs_params_live", memory::add_to_vcpus_params_live),
    ("VM.set_VCPUs_params", memory::set_vcpus_params),
    ("VM.add_to_VCPUs_params", memory::add_to_vcpus_params),
    ("VM.set_HVM_shadow_multiplier", memory::set_hvm_shadow_multiplier),
    ("VM.set_shadow_multiplier_live", memory::set_shadow_multiplier_live),
    ("VM.create", configuration::create),
    ("VM.destroy", configuration::destroy),
    ("VM.set_other_config", configuration::assign),
    ("VM.add_to_other_config", configuration::assign),
    ("VM.remove_from_other_config", configuration::assign),
    ("VM.set_platform", configuration::assign),
    ("VM.add_to_platform", configuration::assign),
    ("VM.remove_from_platform", configuration::assign),
    ("VM.set_blocked_operations", configuration::assign),
    ("VM.add_to_blocked_operations", configuration::assign),
    ("VM.remove_from_blocked_operations", configuration::assign),
    ("VM.set_NVRAM", configuration::assign_nvram),
    ("VM.add_to_NVRAM", configuration::assign_nvram),
    ("VM.remove_from_NVRAM", configuration::assign_nvram),
    ("VM.set_actions_after_crash", configuration::assign),
    ("VM.set_ha_always_run", configuration::assign),
    ("VM.set_order", configuration::assign_count),
    ("VM.set_start_delay", configuration::assign_count),
    ("VM.set_shutdown_delay", configuration::assign_count),
    ("VM.set_HVM_boot_policy", configuration::set_hvm_boot_policy),
    ("VM.set_domain_type", configuration::set_domain_type),
    ("VM.set_suspend_VDI", configuration::set_suspend_vdi),
    ("VM.set_has_vendor_device", configuration::set_has_vendor_device),
    ("VM.set_appliance", configuration::set_appliance),
    ("VM.set_snapshot_schedule", configuration::set_snapshot_schedule),
    ("VM.set_groups", configuration::set_groups),
    ("VM.set_ha_restart_priority", configuration::set_ha_restart_priority),
    ("VM.set_bios_strings", configuration::set_bios_strings),
    ("VM.copy_bios_strings", configuration::copy_bios_strings),
    ("console.create", configuration::consoles_come_with_domains),
    ("console.destroy", configuration::consoles_come_with_domains),
    ("VM.pool_migrate", migrate::pool_migrate),
    ("VM.migrate_send", migrate::migrate_send),
    ("VM.restart_device_models", migrate::restart_device_models),
    ("VM.call_plugin", guest::call_plugin),
    ("VM.call_host_plugin", guest::call_host_plugin),
    ("VM.sysprep", guest::sysprep),
    ("VM.set_uefi_mode", firmware::set_uefi_mode),
    ("VM.update_secureboot_certificates_on_boot", firmware::update_certificates_on_boot),
    ("VM.record_data_source", measured::record_data_source),
    ("VM.forget_data_source_archives", measured::forget_data_source_archives),
    ("VM_appliance.start", appliance::start),
    ("VM_appliance.clean_shutdown", appliance::clean_shutdown),
    ("VM_appliance.hard_shutdown", appliance::hard_shutdown),
    ("VM_appliance.shutdown", appliance::shutdown),
    ("VMSS.create", schedule::create),
    ("VMSS.destroy", schedule::destroy),
    ("VMSS.set_enabled", schedule::set_enabled),
    ("VMSS.set_type", generic::declared_setter),
    ("VMSS.set_last_run_time", generic::declared_setter),
    ("VMSS.set_frequency", schedule::set_frequency),
    ("VMSS.set_schedule", schedule::set_schedule),
    ("VMSS.add_to_schedule", schedule::add_to_schedule),
    ("VMSS.remove_from_schedule", schedule::remove_from_schedule),
    ("VMSS.set_retained_snapshots", schedule::set_retained_snapshots),
    ("VMSS.snapshot_now", schedule::snapshot_now),
    ("VM.update_allowed_operations", configuration::update_allowed_operations),
];

pub const READERS: &[(&str, Reader)] = &[
    ("VM.get_possible_hosts", questions::possible_hosts),
    ("VM.assert_can_migrate", migrate::assert_can_migrate),
    ("host.migrate_receive", migrate::migrate_receive),
    ("VM.assert_can_boot_here", questions::assert_can_boot_here),
    ("VM.assert_operation_valid", questions::assert_operation_valid),
    ("VM.get_allowed_VBD_devices", questions::allowed_vbd_devices),
    ("VM.get_allowed_VIF_devices", questions::allowed_vif_devices),
    ("VM.get_boot_record", questions::boot_record),
    ("VM.get_cooperative", questions::cooperative),
    ("VM.get_secureboot_readiness", firmware::secureboot_readiness),
    ("VM.get_data_sources", measured::data_sources),
    ("VM.query_data_source", measured::query_data_source),
    ("VM.query_services", questions::query_services),
    ("VM.retrieve_wlb_recommendations", questions::wlb_recommendations),
    ("VM.assert_agile", questions::assert_agile),
    ("VM.get_SRs_required_for_recovery", questions::srs_required),
    ("VM.assert_can_be_recovered", questions::assert_can_be_recovered),
    ("VM_appliance.get_SRs_required_for_recovery", appliance::srs_required),
    ("VM_appliance.assert_can_be_recovered", appliance::assert_can_be_recovered),
    ("VM.wait_memory_target_live", memory::wait_memory_target_live),
    ("VM.compute_memory_overhead", memory::compute_memory_overhead),
    ("VM.maximise_memory", memory::maximise_memory),
];

pub const COMPLETIONS: &[(&str, Completion)] = &[
    ("VM.start", lifecycle::started),
    ("VM.start_on", lifecycle::started),
    ("VM.pause", lifecycle::paused),
    ("VM.unpause", lifecycle::unpaused),
    ("VM.suspend", lifecycle::suspended),
    ("VM.resume", lifecycle::resumed),
    ("VM.resume_on", lifecycle::resumed),
    ("VM.shutdown", lifecycle::halted),
    ("VM.clean_shutdown", lifecycle::halted),
    ("VM.hard_shutdown", lifecycle::halted),
    ("VM.clean_reboot", lifecycle::rebooted),
    ("VM.hard_reboot", lifecycle::rebooted),
    ("VM.send_sysrq", lifecycle::signalled),
    ("VM.send_trigger", lifecycle::signalled),
    ("VM.clone", copies::cloned),
    ("VM.copy", copies::cloned),
    ("VM.snapshot", copies::snapshotted),
    ("VM.checkpoint", copies::checkpointed),
    ("VM.revert", revert::reverted),
    ("VM.provision", provision::provisioned),
    ("VM.set_memory_dynamic_range", memory::dynamic_range_changed),
    ("VM.set_memory_dynamic_min", memory::dynamic_min_changed),
    ("VM.set_memory_dynamic_max", memory::dynamic_max_changed),
    ("VM.set_memory_target_live", memory::target_reached),
    ("VM.set_VCPUs_number_live", memory::vcpus_changed),
    ("VM.add_to_VCPUs_params_live", memory::params_changed),
    ("VM.destroy", schedule::retired),
    ("VM.pool_migrate", migrate::renewed),
    ("VM.migrate_send", migrate::sent),
    ("VM.restart_device_models", migrate::renewed),
    ("VM_appliance.start", sequence::ended),
    ("VM_appliance.clean_shutdown", sequence::ended),
    ("VM_appliance.hard_shutdown", sequence::ended),
    ("VM_appliance.shutdown", sequence::ended),
    ("VMSS.snapshot_now", sequence::ended),
];

pub const DERIVED: &[&Derived] = &[&allowed::VM_OPERATIONS, &appliance::APPLIANCE_OPERATIONS];
