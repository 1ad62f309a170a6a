//! Copies of machines: clones, full copies, snapshots, checkpoints, and going
//! back to one; and templates, which are copies that wait to be made.

use crate::command::Draft;
use crate::command::operation::{Disk, DiskWork};
use crate::error::ApiError;
use crate::model::{SR, VDI};
use crate::value::Ref;

/// The removal of a VDI's disk; the VDI itself goes in the terminal event.
pub fn removed(draft: &Draft, vdi: Ref) -> Result<Disk, ApiError> {
    let disk = draft.find::<VDI>(vdi)?;
    let sr = draft.get(disk.get(VDI::SR), SR::uuid, |uuid| uuid.to_string())?;
    let uuid = disk.get(VDI::uuid).to_string();
    Ok(Disk { uuid, sr, bytes: disk.get(VDI::virtual_size), work: DiskWork::Remove })
}
