//! A disk's contents put elsewhere or put back: into another repository while
//! machines use it, and from a snapshot into the disk it was taken of.

use super::vdi::{check as check_disk, is_used, like, ready, work};
use super::{disk, sr};
use crate::command::attach::{self, bad_power_state, object};
use crate::command::operation::{self, Begin, Disk, DiskWork, Ended};
use crate::command::{Call, Draft};
use crate::error::{ApiError, codes};
use crate::model::{ClassId, SR, VBD, VDI, VM};
use crate::value::{Ref, Value};
use crate::views::{Object, View};
use std::sync::Arc;

/// One disk that may go to another repository now.
pub struct Move {
    vdi: Arc<Object>,
    from: Arc<Object>,
    to: Arc<Object>,
    /// The machines that run with it: they go on, with the disk they have, and nothing else may be done to them.
    users: Vec<Ref>,
}

/// Whether a disk may go to another repository now, and if not, why.
pub fn check(view: &View, vdi: Ref, to: Ref) -> Result<Move, ApiError> {
    let vdi = object::<VDI>(view, vdi)?;
    check_disk(view, vdi, "mirror")?;
    let (from, to) = (object::<SR>(view, vdi.get(VDI::SR))?, object::<SR>(view, to)?);
    sr::check(view, from, "vdi_mirror")?;
    if to.reference == from.reference {
        return Err(codes::OPERATION_NOT_ALLOWED("the disk is in that repository already"));
    }
    if sr::assert_can(to, "vdi_mirror").is_err() {
        return Err(codes::SR_DOES_NOT_SUPPORT_MIGRATION(to.reference, "VDI_MIRROR"));
    }
    sr::check(view, to, "vdi_create")?;
    Ok(Move { vdi: vdi.clone(), from: from.clone(), to: to.clone(), users: users(view, vdi)? })
}

/// Whether the repositories have room for all of them together.
pub fn assert_room(moves: &[Move]) -> Result<(), ApiError> {
    for one in moves {
        let beside = moves.iter().filter(|other| other.to.reference == one.to.reference);
        sr::assert_room(&one.to, beside.map(|other| other.vdi.get(VDI::virtual_size)).sum())?;
    }
    Ok(())
}

impl Move {
    /// What the operation holds beside what it is about.
    pub fn locks(&self) -> impl Iterator<Item = (ClassId, Ref, &'static str)> {
        let disk = (ClassId::VDI, self.vdi.reference, "mirror");
        let shelves =
            [(ClassId::SR, self.from.reference, "vdi_mirror"), (ClassId::SR, self.to.reference, "vdi_create")];
        let users = self.users.iter().map(|vm| (ClassId::VM, *vm, "migrate_send"));
        std::iter::once(disk).chain(shelves).chain(users)
    }

    /// What the driver is to do.
    pub fn work(&self, draft: &mut Draft) -> Disk {
        let uuid = draft.ids.draw().uuid_text();
        let (from, to) = (self.vdi.get(VDI::uuid).to_string(), self.to.get(SR::uuid).to_string());
        Disk { uuid, sr: to, bytes: self.vdi.get(VDI::virtual_size), work: DiskWork::Move(from) }
    }
}

/// `pool_migrate`
pub fn begin_migrate(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let disk = check(draft.view(), call.reference(0), call.reference(1))?;
    assert_room(std::slice::from_ref(&disk))?;
    let also: Vec<_> = disk.locks().skip(1).collect();
    let disks = vec![disk.work(draft)];
    operation::begin(draft, call, Begin { also: &also, disks, ..Begin::on(ClassId::VDI, call.reference(0), "mirror") })
}

/// The machines that have the disk now; they must be free to go on without a change of their own. One that is halted
/// cannot start meanwhile.
fn users(view: &View, vdi: &Object) -> Result<Vec<Ref>, ApiError> {
    let mut users = Vec::new();
    for vbd in view.far(VDI::VBDs, vdi.reference) {
        let device = object::<VBD>(view, vbd)?;
        attach::assert_free(ClassId::VBD, device)?;
        let machine = object::<VM>(view, device.get(VBD::VM))?;
        attach::assert_free(ClassId::VM, machine)?;
        match machine.get(VM::power_state) {
            "Suspended" if device.get(VBD::currently_attached) => {
                return Err(bad_power_state(machine, "halted, running"));
            }
            "Running" | "Paused" if !users.contains(&machine.reference) => users.push(machine.reference),
            _ => {}
        }
    }
    Ok(users)
}

pub fn migrated(draft: &mut Draft, ended: &Ended) -> Result<Value, ApiError> {
    let made = ended.disks.first().expect("BUG: the operation began with a disk");
    moved(draft, made, ended.facts.physical_bytes).map(Value::Ref)
}

/// The new disk takes the place of the old one wherever that was referred to.
pub fn moved(draft: &mut Draft, made: &Disk, physical_bytes: Option<i64>) -> Result<Ref, ApiError> {
    let DiskWork::Move(from) = &made.work else { panic!("BUG: {:?} is no move", made.work) };
    let named = |class: ClassId, uuid: &str| draft.view().by_uuid(class, uuid).unwrap_or(Ref::NULL);
    let vdi = draft.find::<VDI>(named(ClassId::VDI, from))?;
    let target = draft.find::<SR>(named(ClassId::SR, &made.sr))?;
    let fields = like(&vdi)
        .with(VDI::uuid, made.uuid.as_str())
        .with(VDI::location, made.uuid.as_str())
        .with(VDI::SR, target.reference)
        .with(VDI::is_a_snapshot, vdi.get(VDI::is_a_snapshot))
        .with(VDI::snapshot_of, vdi.get(VDI::snapshot_of))
        .with(VDI::snapshot_time, Value::Time(vdi.get(VDI::snapshot_time)))
        .with(VDI::virtual_size, made.bytes)
        .with(VDI::physical_utilisation, physical_bytes.unwrap_or(vdi.get(VDI::physical_utilisation)));
    let new = disk::add(draft, fields);
    for vbd in draft.far(VDI::VBDs, vdi.reference) {
        draft.set(vbd, VBD::VDI, new);
    }
    for snapshot in draft.far(VDI::snapshots, vdi.reference) {
        draft.set(snapshot, VDI::snapshot_of, new);
    }
    disk::remove(draft, vdi.reference)?;
    Ok(new)
}

/// `revert`: the disk that a snapshot was taken of is written over with it.
pub fn begin_revert(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let snapshot = draft.find::<VDI>(call.reference(0))?;
    let over = reverted_disk(draft, &snapshot)?;
    let repository = draft.find::<SR>(over.get(VDI::SR))?;
    if sr::assert_can(&repository, "vdi_snapshot").is_err() {
        return Err(codes::UNIMPLEMENTED_IN_SM_BACKEND("VDI.revert"));
    }
    let (snapshot, source) = ready(draft, call, "copy")?;
    sr::check(draft.view(), &repository, "vdi_copy")?;
    attach::assert_free(ClassId::VDI, &over)?;
    if over.get(VDI::replicated) || is_used(draft.view(), over.reference, |_| true) {
        return Err(codes::VDI_IN_USE(over.reference, "revert"));
    }
    let contents = DiskWork::Copy(snapshot.get(VDI::uuid).to_string());
    let disks = work(over.get(VDI::uuid), &repository, snapshot.get(VDI::virtual_size), contents);
    let also = [
        (ClassId::VDI, over.reference, "blocked"),
        (ClassId::SR, source.reference, "vdi_copy"),
        (ClassId::SR, repository.reference, "vdi_copy"),
    ];
    operation::begin(draft, call, Begin { also: &also, disks, ..Begin::on(ClassId::VDI, snapshot.reference, "copy") })
}

fn reverted_disk(draft: &Draft, snapshot: &Object) -> Result<Arc<Object>, ApiError> {
    match draft.find::<VDI>(snapshot.get(VDI::snapshot_of)) {
        Ok(over) if snapshot.get(VDI::is_a_snapshot) => Ok(over),
        Ok(_) => Err(codes::OPERATION_NOT_ALLOWED("the disk is not a snapshot")),
        Err(_) => Err(codes::OPERATION_NOT_ALLOWED("the disk is no snapshot of a disk that is still there")),
    }
}

pub fn reverted(draft: &mut Draft, ended: &Ended) -> Result<Value, ApiError> {
    let snapshot = draft.find::<VDI>(ended.object)?;
    let over = reverted_disk(draft, &snapshot)?;
    let used = ended.facts.physical_bytes.unwrap_or(over.get(VDI::physical_utilisation));
    disk::resize(draft, over.reference, snapshot.get(VDI::virtual_size), used);
    Ok(Value::Void)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Lab, lab};
    use crate::command::operation::Facts;
    use crate::command::vm::placement::assert_disks_free;
    use crate::model::{ClassId, SR, VBD, VDI, VM};
    use crate::value::{Ref, Value};

    #[test]
    fn a_disk_moves_while_its_machine_runs() {
        let mut lab = lab();
        let (disk, vm) = (lab.disk(100), lab.machine("Running"));
        let vbd = lab.device(vm, disk, "Disk", "RW", "0").expect("made");
        lab.attach(vbd);
        let snapshot = lab.bench.run("VDI.snapshot", vec![disk.into()], Facts::default()).expect("taken");
        let to = lab.repository("lvm", "device");
        let task = lab.bench.call("VDI.pool_migrate", vec![disk.into(), to.into(), Value::empty_map()]);
        let task = task.expect("begun").as_ref();
        let held = |lab: &Lab| lab.bench.view.find::<VM>(vm).expect("there").get(VM::current_operations).len();
        assert_eq!(held(&lab), 1);
        assert!(!lab.bench.allowed(ClassId::VDI, disk).contains(&"snapshot".to_string()));
        let facts = Facts { physical_bytes: Some(60), ..Facts::default() };
        lab.bench.complete(task, facts).expect("moved");
        assert_eq!(held(&lab), 0);
        assert!(lab.bench.view.find::<VDI>(disk).is_none());
        let new = lab.bench.view.find::<VBD>(vbd).expect("there").get(VBD::VDI);
        let moved = lab.bench.view.find::<VDI>(new).expect("there").clone();
        assert_eq!((moved.get(VDI::SR), moved.get(VDI::physical_utilisation)), (to, 60));
        assert_eq!(lab.bench.view.find::<VDI>(snapshot).expect("there").get(VDI::snapshot_of), new);
        let sizes = |sr: Ref| lab.bench.view.find::<SR>(sr).expect("there").get(SR::virtual_allocation);
        assert_eq!((sizes(lab.disks), sizes(to)), (100, 100), "the snapshot stays where it is");
    }

    #[test]
    fn no_machine_starts_with_a_disk_that_is_about_to_be_another() {
        let mut lab = lab();
        let to = lab.repository("lvm", "device");
        for message in ["VDI.pool_migrate", "VDI.destroy", "VDI.snapshot"] {
            let (disk, vm) = (lab.disk(100), lab.machine("Halted"));
            lab.device(vm, disk, "Disk", "RW", "0").expect("made");
            let free = |lab: &Lab| assert_disks_free(&lab.bench.view, vm).map_err(|error| error.code);
            assert_eq!(free(&lab), Ok(()));
            let args = vec![disk.into(), to.into(), Value::empty_map()];
            let args = if message == "VDI.pool_migrate" { args } else { vec![disk.into()] };
            let task = lab.bench.call(message, args).expect("begun").as_ref();
            assert_eq!(free(&lab), Err("OTHER_OPERATION_IN_PROGRESS"), "{message}");
            lab.bench.complete(task, Facts::default()).expect("done");
            assert_eq!(free(&lab), Ok(()), "{message}");
        }
    }

    #[test]
    fn what_keeps_a_disk_where_it_is() {
        let mut lab = lab();
        let disk = lab.disk(100);
        let refused = |lab: &mut Lab, to: Ref| {
            let moved = lab.bench.call("VDI.pool_migrate", vec![disk.into(), to.into(), Value::empty_map()]);
            moved.expect_err("refused").code.to_string()
        };
        let (here, media) = (lab.disks, lab.media);
        assert_eq!(refused(&mut lab, here), "OPERATION_NOT_ALLOWED");
        assert_eq!(refused(&mut lab, media), "SR_DOES_NOT_SUPPORT_MIGRATION");
        let to = lab.repository("lvm", "device");
        let vm = lab.machine("Suspended");
        let vbd = lab.device(vm, disk, "Disk", "RW", "0").expect("made");
        lab.attach(vbd);
        assert_eq!(refused(&mut lab, to), "VM_BAD_POWER_STATE");
        lab.bench.given(move |draft| {
            draft.set(vbd, VBD::currently_attached, false);
            draft.set(to, SR::physical_size, 10i64);
        });
        assert_eq!(refused(&mut lab, to), "SR_FULL");
        lab.bench.given(move |draft| draft.set(disk, VDI::cbt_enabled, true));
        assert_eq!(refused(&mut lab, to), "VDI_CBT_ENABLED");
    }

    #[test]
    fn a_disk_goes_back_to_its_snapshot() {
        let mut lab = lab();
        let disk = lab.disk(100);
        assert_eq!(lab.bench.call("VDI.revert", vec![disk.into()]).expect_err("none").code, "OPERATION_NOT_ALLOWED");
        let snapshot = lab.bench.run("VDI.snapshot", vec![disk.into()], Facts::default()).expect("taken");
        lab.bench.run("VDI.resize", vec![disk.into(), 200i64.into()], Facts::default()).expect("grown");
        let task = lab.bench.call("VDI.revert", vec![snapshot.into()]).expect("begun").as_ref();
        let vm = lab.machine("Running");
        let vbd = lab.device(vm, disk, "Disk", "RW", "0").expect("made");
        let busy = lab.bench.call("VBD.plug", vec![vbd.into()]).expect_err("held");
        assert_eq!(busy.code, "OTHER_OPERATION_IN_PROGRESS");
        lab.bench.complete(task, Facts { physical_bytes: Some(20), ..Facts::default() }).expect("reverted");
        let over = lab.bench.view.find::<VDI>(disk).expect("there");
        assert_eq!((over.get(VDI::virtual_size), over.get(VDI::physical_utilisation)), (100, 20));
        lab.attach(vbd);
        assert_eq!(lab.bench.call("VDI.revert", vec![snapshot.into()]).expect_err("in use").code, "VDI_IN_USE");
    }
}
