//! The storage that a new pool has: a local SR for disks, one for ISO images,
//! and the plugins that clients may create SRs of. On a real host the SRs are
//! two folders; in the simulated world there are a few images to look at.

use super::super::Draft;
use super::super::draft::Fields;
use super::{GIB, MIB, Storage};
use crate::command::storage::disk;
use crate::command::storage::sr::sm_plugins;
use crate::model::{PBD, SR, VDI};
use crate::value::{Ref, Value};

/// The size of the local SR, in bytes: a fact of the driver once it has been looked at.
const LOCAL_BYTES: i64 = 16 * 1024 * GIB;
const ISO_BYTES: i64 = 64 * GIB;

/// Makes both SRs, attached to the host; gives the one for disks.
pub(super) fn make(draft: &mut Draft, here: Ref, real: Option<&Storage>) -> Ref {
    for plugin in sm_plugins() {
        draft.create(plugin);
    }
    if let Some(folders) = real {
        attach(draft, here, iso_sr().with(SR::physical_size, folders.bytes), &folders.media);
        let disks = local_sr().with(SR::r#type, "file").with(SR::physical_size, folders.bytes);
        return attach(draft, here, disks, &folders.disks);
    }
    let images = attach(draft, here, iso_sr(), "/var/lib/xenledger/iso");
    for (label, description, bytes) in
        [("alpine-standard.iso", "A small Linux", 240 * MIB), ("guest-tools.iso", "Tools for guests", 8 * MIB)]
    {
        disk::add(draft, image(images, label, description, bytes));
    }
    attach(draft, here, local_sr(), "/var/lib/xenledger/disks")
}

fn local_sr() -> Fields<SR> {
    Fields::<SR>::new()
        .with(SR::name_label, "Local storage")
        .with(SR::r#type, "ext")
        .with(SR::content_type, "user")
        .with(SR::physical_size, LOCAL_BYTES)
        .with(SR::other_config, Value::map([("i18n-key", "local-storage".into())]))
}

fn iso_sr() -> Fields<SR> {
    Fields::<SR>::new()
        .with(SR::name_label, "ISO images")
        .with(SR::r#type, "iso")
        .with(SR::content_type, "iso")
        .with(SR::physical_size, ISO_BYTES)
}

fn attach(draft: &mut Draft, here: Ref, fields: Fields<SR>, location: &str) -> Ref {
    let sr = draft.create(fields);
    let plugged = Fields::<PBD>::new()
        .with(PBD::host, here)
        .with(PBD::SR, sr)
        .with(PBD::device_config, Value::map([("location", Value::text(location))]))
        .with(PBD::currently_attached, true);
    draft.create(plugged);
    sr
}

fn image(sr: Ref, label: &str, description: &str, bytes: i64) -> Fields<VDI> {
    Fields::<VDI>::new()
        .with(VDI::name_label, label)
        .with(VDI::name_description, description)
        .with(VDI::SR, sr)
        .with(VDI::r#type, "user")
        .with(VDI::virtual_size, bytes)
        .with(VDI::physical_utilisation, bytes)
        .with(VDI::location, label)
        .with(VDI::read_only, true)
        .with(VDI::managed, true)
        .with(VDI::is_tools_iso, label == "guest-tools.iso")
}
