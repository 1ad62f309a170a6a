//! Going back: a machine becomes what it was when a snapshot of it was made.
//! Its disks are replaced by copies of the snapshot's, so that the snapshot
//! stays what it is.

use super::allowed::permit;
use super::copies::{add_devices, add_disks, add_interfaces, disks_of, removed};
use super::state;
use crate::command::operation::{self, Begin, Disk, DiskWork, Ended};
use crate::command::storage::disk;
use crate::command::{Call, Draft};
use crate::error::{ApiError, codes};
use crate::model::{ClassId, SR, VBD, VDI, VIF, VM};
use crate::value::{Ref, Value};

/// What a machine takes over from its snapshot; its name and its place in the world stay its own.
const RESTORED: &[usize] = &[
    VM::memory_static_max.index,
    VM::memory_dynamic_max.index,
    VM::memory_dynamic_min.index,
    VM::memory_static_min.index,
    VM::memory_overhead.index,
    VM::VCPUs_params.index,
    VM::VCPUs_max.index,
    VM::VCPUs_at_startup.index,
    VM::actions_after_shutdown.index,
    VM::actions_after_reboot.index,
    VM::actions_after_crash.index,
    VM::PV_bootloader.index,
    VM::PV_kernel.index,
    VM::PV_ramdisk.index,
    VM::PV_args.index,
    VM::PV_bootloader_args.index,
    VM::PV_legacy_args.index,
    VM::HVM_boot_policy.index,
    VM::HVM_boot_params.index,
    VM::HVM_shadow_multiplier.index,
    VM::platform.index,
    VM::PCI_bus.index,
    VM::other_config.index,
    VM::recommendations.index,
    VM::xenstore_data.index,
    VM::bios_strings.index,
    VM::has_vendor_device.index,
    VM::hardware_platform_version.index,
    VM::domain_type.index,
    VM::NVRAM.index,
    VM::user_version.index,
    VM::last_booted_record.index,
];

type Answer = Result<Value, ApiError>;

/// `VM.revert(snapshot)`: the operation is on the snapshot and holds the machine, which the driver ends first if it runs.
pub fn revert(draft: &mut Draft, call: &Call) -> Answer {
    let snapshot = call.reference(0);
    let kept = permit(draft, snapshot, "revert")?;
    let vm = kept.get(VM::snapshot_of);
    let machine = draft.find::<VM>(vm)?;
    let mut disks = Vec::new();
    let mut also = vec![(ClassId::VM, vm, "reverting")];
    let mut sources = disks_of(draft, snapshot)?;
    sources.extend(Some(kept.get(VM::suspend_VDI)).filter(|image| !image.is_null()));
    for source in sources {
        also.push((ClassId::VDI, source, "clone"));
        disks.push(restored(draft, source)?);
    }
    let mut stale: Vec<Ref> = disks_of(draft, vm)?.into_iter().filter(|disk| only_of(draft, *disk, vm)).collect();
    stale.extend(Some(machine.get(VM::suspend_VDI)).filter(|image| !image.is_null()));
    for disk in stale {
        also.push((ClassId::VDI, disk, "destroy"));
        disks.push(removed(draft, disk)?);
    }
    operation::begin(draft, call, Begin { also: &also, disks, ..Begin::on(ClassId::VM, snapshot, "revert") })
}

fn restored(draft: &mut Draft, source: Ref) -> Result<Disk, ApiError> {
    let source = draft.find::<VDI>(source)?;
    let sr = draft.get(source.get(VDI::SR), SR::uuid, |uuid| uuid.to_string())?;
    let uuid = draft.ids.draw().uuid_text();
    Ok(Disk {
        uuid,
        sr,
        bytes: source.get(VDI::virtual_size),
        work: DiskWork::Clone(source.get(VDI::uuid).to_string()),
    })
}

/// Whether nobody but the machine has the disk.
fn only_of(draft: &Draft, disk: Ref, vm: Ref) -> bool {
    let owners = draft.far(VDI::VBDs, disk).into_iter();
    owners.filter_map(|vbd| draft.find::<VBD>(vbd).ok()).all(|vbd| vbd.get(VBD::VM) == vm)
}

pub fn reverted(draft: &mut Draft, ended: &Ended) -> Answer {
    let snapshot = draft.find::<VM>(ended.object)?;
    let vm = snapshot.get(VM::snapshot_of);
    draft.find::<VM>(vm).map_err(|_| codes::VM_REVERT_FAILED(vm, ended.object))?;
    state::halt(draft, vm)?;
    let made = add_disks(draft, &ended.disks, false)?;
    replace_disks(draft, vm, &ended.disks, &made)?;
    for vif in draft.far(VM::VIFs, vm) {
        draft.delete::<VIF>(vif);
    }
    for &field in RESTORED {
        draft.set_field(ClassId::VM, vm, field, snapshot.record[field].clone());
    }
    add_devices(draft, ended.object, vm, &made)?;
    add_interfaces(draft, ended.object, vm, true)?;
    draft.set(vm, VM::parent, ended.object);
    if let Some((_, image)) = made.iter().find(|(source, _)| *source == snapshot.get(VM::suspend_VDI)) {
        state::suspend(draft, vm, *image)?;
    }
    Ok(Value::Void)
}

/// Takes the old disks away; what was a snapshot of an old one is a snapshot of the one in its place.
fn replace_disks(draft: &mut Draft, vm: Ref, planned: &[Disk], made: &[(Ref, Ref)]) -> Result<(), ApiError> {
    for (source, copy) in made {
        let old = draft.get(*source, VDI::snapshot_of, |old| old)?;
        for snapshot in if old.is_null() { Vec::new() } else { draft.far(VDI::snapshots, old) } {
            draft.set(snapshot, VDI::snapshot_of, *copy);
        }
    }
    for plan in planned.iter().filter(|plan| plan.work == DiskWork::Remove) {
        if let Some(old) = draft.view().by_uuid(ClassId::VDI, &plan.uuid) {
            disk::remove(draft, old)?;
        }
    }
    for vbd in draft.far(VM::VBDs, vm) {
        draft.delete::<VBD>(vbd);
    }
    Ok(())
}
