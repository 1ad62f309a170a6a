//! Storage: repositories, disks, and their attachment to hosts and machines.
//!
//! ```text
//!   plugin ──▶ SR ──▶ PBD ──▶ host          a repository, and how each host reaches it
//!              └────▶ VDI ──▶ VBD ──▶ VM    a disk, and the device in a machine that it is
//! ```

pub mod blocks;
pub mod disk;
pub mod figures;
pub mod moves;
pub mod pbd;
pub mod plugins;
pub mod replication;
pub mod sr;
pub mod vbd;
pub mod vdi;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use super::operation::Derived;
use super::{Completion, Handler, Reader};

pub const HANDLERS: &[(&str, Handler)] = &[
    ("SR.create", sr::create),
    ("SR.introduce", sr::introduce),
    ("SR.scan", sr::begin_scan),
    ("SR.update", sr::begin_update),
    ("SR.forget", sr::forget),
    ("SR.destroy", sr::begin_destroy),
    ("SR.probe", sr::begin_probe),
    ("SR.probe_ext", sr::begin_probe),
    ("SR.make", sr::make),
    ("SR.enable_database_replication", replication::begin_enable),
    ("SR.disable_database_replication", replication::disable),
    ("SR.record_data_source", figures::record),
    ("SR.forget_data_source_archives", figures::forget),
    ("SR.set_name_label", super::generic::declared_setter),
    ("SR.set_name_description", super::generic::declared_setter),
    ("SR.set_physical_size", super::generic::declared_setter),
    ("SR.set_shared", sr::set_shared),
    ("PBD.create", pbd::create),
    ("PBD.destroy", pbd::destroy),
    ("PBD.plug", pbd::begin_plug),
    ("PBD.unplug", pbd::begin_unplug),
    ("PBD.set_device_config", pbd::set_device_config),
    ("VDI.create", vdi::begin_create),
    ("VDI.destroy", vdi::begin_destroy),
    ("crashdump.destroy", vdi::begin_destroy_dump),
    ("VDI.resize", vdi::begin_resize),
    ("VDI.resize_online", vdi::begin_resize),
    ("VDI.snapshot", vdi::begin_copy_inside),
    ("VDI.clone", vdi::begin_copy_inside),
    ("VDI.copy", vdi::begin_copy),
    ("VDI.introduce", vdi::begin_introduce),
    ("VDI.forget", vdi::forget),
    ("VDI.update", vdi::begin_update),
    ("VDI.pool_migrate", moves::begin_migrate),
    ("VDI.revert", moves::begin_revert),
    ("VDI.enable_cbt", blocks::begin_tracking),
    ("VDI.disable_cbt", blocks::begin_tracking),
    ("VDI.data_destroy", blocks::begin_data_destroy),
    ("VDI.list_changed_blocks", blocks::begin_list),
    ("VDI.set_name_label", super::generic::declared_setter),
    ("VDI.set_name_description", super::generic::declared_setter),
    ("VDI.set_allow_caching", super::generic::declared_setter),
    ("VDI.set_sharable", vdi::set_sharable),
    ("VDI.set_read_only", vdi::set_read_only),
    ("VDI.set_on_boot", vdi::set_on_boot),
    ("VBD.create", vbd::create),
    ("VBD.destroy", vbd::destroy),
    ("VBD.plug", vbd::begin_plug),
    ("VBD.unplug", vbd::begin_unplug),
    ("VBD.unplug_force", vbd::begin_unplug),
    ("VBD.insert", vbd::insert),
    ("VBD.eject", vbd::eject),
    ("VBD.set_mode", vbd::set_mode),
    ("VBD.set_type", vbd::set_type),
    ("VBD.set_userdevice", vbd::set_userdevice),
];

pub const READERS: &[(&str, Reader)] = &[
    ("SR.get_supported_types", sr::supported_types),
    ("SR.assert_can_host_ha_statefile", sr::assert_can_host_ha_statefile),
    ("SR.assert_supports_database_replication", replication::assert_supports),
    ("SR.get_data_sources", figures::list),
    ("SR.query_data_source", figures::query),
    ("VDI.get_nbd_info", vdi::nbd_info),
    ("VDI.read_database_pool_uuid", vdi::database_pool_uuid),
    ("VBD.assert_attachable", vbd::assert_attachable),
];

pub const COMPLETIONS: &[(&str, Completion)] = &[
    ("SR.create", sr::created),
    ("SR.scan", sr::scanned),
    ("SR.update", sr::updated),
    ("SR.destroy", sr::destroyed),
    ("SR.enable_database_replication", replication::enabled),
    ("SR.probe", sr::probed),
    ("SR.probe_ext", sr::probed_ext),
    ("PBD.plug", pbd::plugged),
    ("PBD.unplug", pbd::unplugged),
    ("VDI.create", vdi::created),
    ("VDI.destroy", vdi::destroyed),
    ("crashdump.destroy", vdi::destroyed),
    ("VDI.resize", vdi::resized),
    ("VDI.resize_online", vdi::resized),
    ("VDI.snapshot", vdi::snapshotted),
    ("VDI.clone", vdi::cloned),
    ("VDI.copy", vdi::copied),
    ("VDI.introduce", vdi::introduced),
    ("VDI.update", vdi::updated),
    ("VDI.pool_migrate", moves::migrated),
    ("VDI.revert", moves::reverted),
    ("VDI.enable_cbt", blocks::tracked),
    ("VDI.disable_cbt", blocks::untracked),
    ("VDI.data_destroy", blocks::data_destroyed),
    ("VDI.list_changed_blocks", blocks::listed),
    ("VBD.plug", vbd::plugged),
    ("VBD.unplug", vbd::unplugged),
    ("VBD.unplug_force", vbd::unplugged),
    ("VBD.insert", vbd::inserted),
    ("VBD.eject", vbd::ejected),
];

pub const DERIVED: &[&Derived] = &[&sr::ALLOWED, &pbd::STALE, &vdi::ALLOWED, &vbd::ALLOWED];
