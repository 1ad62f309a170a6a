//! The three ways in which disks come, change their size, and go. Nothing else
//! may, so that a repository's sums are always those of its disks.

use crate::command::Draft;
use crate::command::draft::Fields;
use crate::error::ApiError;
use crate::model::{SR, VBD, VDI};
use crate::value::Ref;

/// Adds a disk to its repository; its location is its uuid unless the fields say otherwise.
pub fn add(draft: &mut Draft, mut disk: Fields<VDI>) -> Ref {
    let text = |key: usize| disk.record[key].as_str().to_string();
    let (mut uuid, location) = (text(VDI::uuid.index), text(VDI::location.index));
    if uuid.is_empty() {
        uuid = draft.ids.draw().uuid_text();
        disk = disk.with(VDI::uuid, uuid.clone());
    }
    if location.is_empty() {
        disk = disk.with(VDI::location, uuid);
    }
    let vdi = draft.create(disk);
    let (size, used) = sizes(draft, vdi);
    account(draft, vdi, size, used);
    vdi
}

/// Sets a disk's size and the space it takes.
pub fn resize(draft: &mut Draft, vdi: Ref, virtual_size: i64, physical_utilisation: i64) {
    let (size, used) = sizes(draft, vdi);
    draft.set(vdi, VDI::virtual_size, virtual_size);
    draft.set(vdi, VDI::physical_utilisation, physical_utilisation);
    account(draft, vdi, virtual_size.saturating_sub(size), physical_utilisation.saturating_sub(used));
}

/// Takes a disk away: drives that held it are empty, other devices that were it are gone.
pub fn remove(draft: &mut Draft, vdi: Ref) -> Result<(), ApiError> {
    let (size, used) = sizes(draft, vdi);
    account(draft, vdi, size.saturating_neg(), used.saturating_neg());
    for vbd in draft.far(VDI::VBDs, vdi) {
        if draft.get(vbd, VBD::r#type, |kind| kind == "CD")? {
            draft.set(vbd, VBD::VDI, Ref::NULL);
            draft.set(vbd, VBD::empty, true);
        } else {
            draft.delete::<VBD>(vbd);
        }
    }
    draft.delete::<VDI>(vdi);
    Ok(())
}

fn sizes(draft: &Draft, vdi: Ref) -> (i64, i64) {
    let disk = draft.find::<VDI>(vdi).expect("BUG: whoever changes a disk has found it");
    (disk.get(VDI::virtual_size), disk.get(VDI::physical_utilisation))
}

/// Adds to the sums of the disk's repository.
fn account(draft: &mut Draft, vdi: Ref, size: i64, used: i64) {
    let disk = draft.find::<VDI>(vdi).expect("BUG: whoever changes a disk has found it");
    let sr = disk.get(VDI::SR);
    let Ok(repository) = draft.find::<SR>(sr) else { return };
    let (allocated, taken) = (repository.get(SR::virtual_allocation), repository.get(SR::physical_utilisation));
    draft.set(sr, SR::virtual_allocation, allocated.saturating_add(size));
    draft.set(sr, SR::physical_utilisation, taken.saturating_add(used));
}
