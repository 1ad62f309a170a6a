//! Disks: what may be done to one, and what comes of it.

use super::{disk, sr};
use crate::command::attach::{self, object};
use crate::command::draft::Fields;
use crate::command::operation::{self, Begin, Derived, Disk, DiskWork, Ended};
use crate::command::{Call, Draft, Reading, generic};
use crate::error::{ApiError, codes};
use crate::model::{ClassId, SR, VBD, VDI, VM, crashdump, pool};
use crate::value::{Ref, Value};
use crate::views::relations::FieldId;
use crate::views::{Object, View};
use std::sync::Arc;

/// The largest disk, in bytes: sums over many stay far from the end of an integer.
pub const SIZE_MAX: i64 = 1 << 50;

const OFFERED: [&str; 14] = [
    "clone",
    "copy",
    "resize",
    "resize_online",
    "snapshot",
    "mirror",
    "destroy",
    "forget",
    "update",
    "enable_cbt",
    "disable_cbt",
    "data_destroy",
    "list_changed_blocks",
    "set_on_boot",
];

pub static ALLOWED: Derived = Derived {
    class: ClassId::VDI,
    inputs: &[
        VDI::current_operations.index,
        VDI::SR.index,
        VDI::managed.index,
        VDI::missing.index,
        VDI::r#type.index,
        VDI::on_boot.index,
        VDI::cbt_enabled.index,
        VDI::replicated.index,
    ],
    allowed: |view, vdi| OFFERED.into_iter().filter(|operation| check(view, vdi, operation).is_ok()).collect(),
    neighbours: |view, vdi| {
        let devices = view.far(VDI::VBDs, vdi.reference);
        let machines = devices.iter().filter_map(|vbd| Some(view.find::<VBD>(*vbd)?.get(VBD::VM)));
        let machines: Vec<_> = machines.flat_map(|vm| attach::held(view, vm)).collect();
        devices.into_iter().map(|vbd| (ClassId::VBD, vbd)).chain(machines).collect()
    },
};

/// Whether the disk allows the operation now, its repository's other work aside.
pub fn check(view: &View, vdi: &Object, operation: &str) -> Result<(), ApiError> {
    let harmless: &[&str] = if operation == "copy" { &["copy"] } else { &[] };
    if let Some((task, name)) = attach::holder(ClassId::VDI, vdi, harmless) {
        return Err(attach::busy(ClassId::VDI, vdi, name, task));
    }
    if !vdi.get(VDI::managed) {
        return Err(codes::VDI_NOT_MANAGED(vdi.reference));
    }
    let repository = object::<SR>(view, vdi.get(VDI::SR))?;
    sr::assert_can(repository, &format!("vdi_{operation}"))?;
    if operation != "forget" {
        sr::assert_attached(view, repository)?;
    }
    if vdi.get(VDI::missing) && !matches!(operation, "forget" | "destroy" | "update") {
        return Err(codes::VDI_MISSING(repository.reference, vdi.reference));
    }
    super::blocks::check(vdi, operation)?;
    check_use(view, vdi, operation)
}

/// What a disk that a machine has keeps from happening to it.
fn check_use(view: &View, vdi: &Object, operation: &str) -> Result<(), ApiError> {
    let in_use = match operation {
        "destroy" | "forget" => is_used(view, vdi.reference, |_| true) || is_suspend_image(view, vdi.reference),
        "resize" | "set_on_boot" | "data_destroy" => is_used(view, vdi.reference, |_| true),
        "list_changed_blocks" => !vdi.get(VDI::is_a_snapshot) && is_used(view, vdi.reference, |_| true),
        "mirror" => is_suspend_image(view, vdi.reference),
        "copy" => is_used(view, vdi.reference, writes),
        _ => false,
    };
    // What the server writes its database to stays where it is, and whole.
    let moving = matches!(operation, "destroy" | "forget" | "mirror" | "data_destroy" | "set_on_boot");
    let in_use = in_use || (moving && vdi.get(VDI::replicated));
    if in_use { Err(codes::VDI_IN_USE(vdi.reference, operation)) } else { Ok(()) }
}

fn writes(vbd: &Object) -> bool {
    vbd.get(VBD::mode) == "RW"
}

/// Whether a device that is attached, or about to be, is this disk.
pub(super) fn is_used(view: &View, vdi: Ref, counts: impl Fn(&Object) -> bool) -> bool {
    let devices = view.far(VDI::VBDs, vdi);
    let mut devices = devices.into_iter().filter_map(|vbd| view.find::<VBD>(vbd));
    devices.any(|vbd| super::vbd::holds(vbd) && counts(vbd))
}

fn is_suspend_image(view: &View, vdi: Ref) -> bool {
    let machines = view.referrers(FieldId(ClassId::VM, VM::suspend_VDI.index as u16), vdi);
    let mut machines = machines.into_iter().filter_map(|vm| view.find::<VM>(vm));
    machines.any(|machine| machine.get(VM::power_state) == "Suspended")
}

/// The disk that a call is about and its repository, both ready for the operation.
pub(super) fn ready(draft: &Draft, call: &Call, operation: &str) -> Result<(Arc<Object>, Arc<Object>), ApiError> {
    ready_disk(draft, call.reference(0), operation)
}

fn ready_disk(draft: &Draft, vdi: Ref, operation: &str) -> Result<(Arc<Object>, Arc<Object>), ApiError> {
    let vdi = draft.find::<VDI>(vdi)?;
    check(draft.view(), &vdi, operation)?;
    let repository = draft.find::<SR>(vdi.get(VDI::SR))?;
    sr::check(draft.view(), &repository, &format!("vdi_{operation}"))?;
    Ok((vdi, repository))
}

/// One disk for the driver to work on.
pub(super) fn work(uuid: &str, repository: &Object, bytes: i64, work: DiskWork) -> Vec<Disk> {
    vec![Disk { uuid: uuid.to_string(), sr: repository.get(SR::uuid).to_string(), bytes, work }]
}

/// The disk that the operation worked on.
fn worked_on(ended: &Ended) -> &Disk {
    ended.disks.first().expect("BUG: the operation began with a disk")
}

fn check_size(bytes: i64) -> Result<(), ApiError> {
    if (1..=SIZE_MAX).contains(&bytes) { Ok(()) } else { Err(codes::INVALID_VALUE("virtual_size", bytes)) }
}

/// The record of a disk to be made, as its constructor's argument asks.
fn asked(draft: &Draft, argument: &Value) -> Result<Fields<VDI>, ApiError> {
    let mut fields = Fields::<VDI>::new();
    fields.record = generic::constructed(draft, ClassId::VDI, argument)?;
    Ok(fields.with(VDI::managed, true))
}

pub fn begin_create(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let record = asked(draft, &call.args[0])?.record;
    let repository = draft.find::<SR>(record[VDI::SR.index].as_ref())?;
    let Value::Int(bytes) = record[VDI::virtual_size.index] else { panic!("BUG: a size is an int") };
    check_size(bytes)?;
    sr::check(draft.view(), &repository, "vdi_create")?;
    sr::assert_room(&repository, bytes)?;
    // The task keeps arguments as JSON, where a reference in a record could not be told from a text.
    let plain = call.args[0].as_map().iter().map(|(key, value)| match value {
        Value::Ref(reference) => (key.clone(), Value::from(reference.to_string())),
        other => (key.clone(), other.clone()),
    });
    let call = Call { args: vec![Value::map(plain)], ..call.clone() };
    let uuid = draft.ids.draw().uuid_text();
    let disks = work(&uuid, &repository, bytes, DiskWork::Make);
    operation::begin(draft, &call, Begin { disks, ..Begin::on(ClassId::SR, repository.reference, "vdi_create") })
}

pub fn created(draft: &mut Draft, ended: &Ended) -> Result<Value, ApiError> {
    let fields = asked(draft, &ended.args[0])?;
    appear(draft, fields, ended)
}

/// Adds the disk that the driver made.
pub(super) fn appear(draft: &mut Draft, fields: Fields<VDI>, ended: &Ended) -> Result<Value, ApiError> {
    let made = worked_on(ended);
    let fields = fields
        .with(VDI::uuid, made.uuid.as_str())
        .with(VDI::location, made.uuid.as_str())
        .with(VDI::virtual_size, ended.facts.virtual_bytes.unwrap_or(made.bytes))
        .with(VDI::physical_utilisation, ended.facts.physical_bytes.unwrap_or(0));
    Ok(Value::Ref(disk::add(draft, fields)))
}

pub fn begin_destroy(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    begin_removal(draft, call, call.reference(0))
}

/// `crashdump.destroy(self)`: the dump goes with its disk, as whatever is a part of a disk does. Where that was
/// forgotten, nothing but the record is left.
pub fn begin_destroy_dump(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let dump = draft.find::<crashdump>(call.reference(0))?;
    let vdi = dump.get(crashdump::VDI);
    if !vdi.is_null() {
        return begin_removal(draft, call, vdi);
    }
    draft.delete::<crashdump>(dump.reference);
    Ok(Value::Void)
}

fn begin_removal(draft: &mut Draft, call: &Call, vdi: Ref) -> Result<Value, ApiError> {
    let (vdi, repository) = ready_disk(draft, vdi, "destroy")?;
    let disks = work(vdi.get(VDI::uuid), &repository, vdi.get(VDI::virtual_size), DiskWork::Remove);
    let also = [(ClassId::SR, repository.reference, "vdi_destroy")];
    operation::begin(draft, call, Begin { also: &also, disks, ..Begin::on(ClassId::VDI, vdi.reference, "destroy") })
}

pub fn destroyed(draft: &mut Draft, ended: &Ended) -> Result<Value, ApiError> {
    draft.find::<VDI>(ended.object)?;
    disk::remove(draft, ended.object)?;
    Ok(Value::Void)
}

/// `resize` and `resize_online`: disks only grow, since what is cut off cannot come back.
pub fn begin_resize(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let operation = call.message.name;
    let (vdi, repository) = ready(draft, call, operation)?;
    let (bytes, before) = (call.int(1), vdi.get(VDI::virtual_size));
    check_size(bytes)?;
    if bytes < before {
        return Err(codes::VDI_TOO_SMALL(vdi.reference, before));
    }
    sr::assert_room(&repository, bytes - before)?;
    let on_disk = if operation == "resize" { "vdi_resize" } else { "vdi_resize_online" };
    let also = [(ClassId::SR, repository.reference, on_disk)];
    operation::begin(draft, call, Begin { also: &also, ..Begin::on(ClassId::VDI, vdi.reference, operation) })
}

pub fn resized(draft: &mut Draft, ended: &Ended) -> Result<Value, ApiError> {
    let vdi = draft.find::<VDI>(ended.object)?;
    let Value::Int(asked) = ended.args[1] else { panic!("BUG: a size is an int") };
    let used = ended.facts.physical_bytes.unwrap_or(vdi.get(VDI::physical_utilisation));
    disk::resize(draft, vdi.reference, ended.facts.virtual_bytes.unwrap_or(asked), used);
    Ok(Value::Void)
}

/// `snapshot` and `clone`: a new disk with the same contents in the same repository.
pub fn begin_copy_inside(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let operation = call.message.name;
    let (vdi, repository) = ready(draft, call, operation)?;
    let source = DiskWork::Clone(vdi.get(VDI::uuid).to_string());
    let uuid = draft.ids.draw().uuid_text();
    let disks = work(&uuid, &repository, vdi.get(VDI::virtual_size), source);
    let on_disk = if operation == "snapshot" { "vdi_snapshot" } else { "vdi_clone" };
    let also = [(ClassId::SR, repository.reference, on_disk)];
    operation::begin(draft, call, Begin { also: &also, disks, ..Begin::on(ClassId::VDI, vdi.reference, operation) })
}

/// A new disk like the one it was made from; it is no snapshot, and nothing is under way on it.
pub(super) fn like(vdi: &Object) -> Fields<VDI> {
    Fields::<VDI>::like(vdi)
        .with(VDI::allowed_operations, Value::empty_set())
        .with(VDI::current_operations, Value::empty_map())
        .with(VDI::is_a_snapshot, false)
        .with(VDI::snapshot_of, Ref::NULL)
        .with(VDI::snapshot_time, Value::Time(0))
        .with(VDI::cbt_enabled, false)
        .with(VDI::replicated, false)
        .with(VDI::metadata_latest, false)
        .with(VDI::managed, true)
}

pub fn snapshotted(draft: &mut Draft, ended: &Ended) -> Result<Value, ApiError> {
    let vdi = draft.find::<VDI>(ended.object)?;
    let fields = like(&vdi)
        .with(VDI::is_a_snapshot, true)
        .with(VDI::cbt_enabled, vdi.get(VDI::cbt_enabled))
        .with(VDI::snapshot_of, vdi.reference)
        .with(VDI::snapshot_time, Value::Time(draft.now));
    appear(draft, fields, ended)
}

pub fn cloned(draft: &mut Draft, ended: &Ended) -> Result<Value, ApiError> {
    let fields = like(&*draft.find::<VDI>(ended.object)?);
    appear(draft, fields, ended)
}

/// `copy`: into a new disk of any repository, or over one that is there.
pub fn begin_copy(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let (to, into) = (call.reference(1), call.reference(3));
    if !call.reference(2).is_null() {
        draft.find::<VDI>(call.reference(2))?;
    }
    let (vdi, _) = ready(draft, call, "copy")?;
    let bytes = vdi.get(VDI::virtual_size);
    let source = DiskWork::Copy(vdi.get(VDI::uuid).to_string());
    if into.is_null() {
        let target = draft.find::<SR>(to)?;
        sr::check(draft.view(), &target, "vdi_create")?;
        sr::assert_room(&target, bytes)?;
        let uuid = draft.ids.draw().uuid_text();
        let disks = work(&uuid, &target, bytes, source);
        let also = [(ClassId::SR, target.reference, "vdi_create")];
        return operation::begin(
            draft,
            call,
            Begin { also: &also, disks, ..Begin::on(ClassId::VDI, vdi.reference, "copy") },
        );
    }
    let over = draft.find::<VDI>(into)?;
    check_overwritten(draft.view(), &over, bytes)?;
    let target = draft.find::<SR>(over.get(VDI::SR))?;
    sr::check(draft.view(), &target, "vdi_copy")?;
    let disks = work(over.get(VDI::uuid), &target, over.get(VDI::virtual_size), source);
    let also = [(ClassId::VDI, into, "blocked"), (ClassId::SR, target.reference, "vdi_copy")];
    operation::begin(draft, call, Begin { also: &also, disks, ..Begin::on(ClassId::VDI, vdi.reference, "copy") })
}

/// Whether a disk can be written over with so many bytes.
fn check_overwritten(view: &View, over: &Object, bytes: i64) -> Result<(), ApiError> {
    attach::assert_free(ClassId::VDI, over)?;
    if over.get(VDI::read_only) {
        return Err(codes::VDI_READONLY(over.reference));
    }
    if over.get(VDI::virtual_size) < bytes {
        return Err(codes::VDI_TOO_SMALL(over.reference, bytes));
    }
    if over.get(VDI::replicated) || is_used(view, over.reference, |_| true) {
        return Err(codes::VDI_IN_USE(over.reference, "copy"));
    }
    Ok(())
}

pub fn copied(draft: &mut Draft, ended: &Ended) -> Result<Value, ApiError> {
    let vdi = draft.find::<VDI>(ended.object)?;
    let (to, into) = (ended.args[1].as_ref(), ended.args[3].as_ref());
    if into.is_null() {
        draft.find::<SR>(to)?;
        return appear(draft, like(&vdi).with(VDI::SR, to), ended);
    }
    let over = draft.find::<VDI>(into)?;
    let used = ended.facts.physical_bytes.unwrap_or(over.get(VDI::physical_utilisation));
    disk::resize(draft, into, over.get(VDI::virtual_size), used);
    Ok(Value::Ref(into))
}

/// A disk that is in the repository already, and not yet known.
pub fn begin_introduce(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let (uuid, location) = (call.text(0), call.text(8));
    let repository = draft.find::<SR>(call.reference(3))?;
    if !uuid.is_empty() && Ref::parse_uuid(uuid).is_none() {
        return Err(codes::UUID_INVALID("VDI", uuid));
    }
    assert_unknown(draft, repository.reference, uuid, location)?;
    sr::check(draft.view(), &repository, "vdi_introduce")?;
    operation::begin(draft, call, Begin::on(ClassId::SR, repository.reference, "vdi_introduce"))
}

/// Nobody else has the uuid, or the place in the repository. Another may have come while this one was looked for.
fn assert_unknown(draft: &Draft, sr: Ref, uuid: &str, location: &str) -> Result<(), ApiError> {
    if draft.view().by_uuid(ClassId::VDI, uuid).is_some() {
        return Err(codes::DB_UNIQUENESS_CONSTRAINT_VIOLATION("VDI", "uuid", uuid));
    }
    for known in draft.far(SR::VDIs, sr).into_iter().filter(|_| !location.is_empty()) {
        if draft.get(known, VDI::location, |known| **known == *location)? {
            return Err(codes::DB_UNIQUENESS_CONSTRAINT_VIOLATION("VDI", "location", location));
        }
    }
    Ok(())
}

pub fn introduced(draft: &mut Draft, ended: &Ended) -> Result<Value, ApiError> {
    let argument = |at: usize| ended.args[at].clone();
    let sr = draft.find::<SR>(ended.object)?;
    assert_unknown(draft, sr.reference, ended.args[0].as_str(), ended.args[8].as_str())?;
    let given = |at: usize| match &ended.args[at] {
        Value::Int(bytes) => *bytes,
        other => panic!("BUG: {other:?} where a size belongs"),
    };
    let of_pool = Some(ended.args[14].as_ref()).filter(|pool| draft.find::<pool>(*pool).is_ok());
    let of = Some(ended.args[17].as_ref()).filter(|vdi| draft.find::<VDI>(*vdi).is_ok());
    let fields = Fields::<VDI>::new()
        .with(VDI::uuid, argument(0))
        .with(VDI::name_label, argument(1))
        .with(VDI::name_description, argument(2))
        .with(VDI::SR, sr.reference)
        .with(VDI::r#type, argument(4))
        .with(VDI::sharable, argument(5))
        .with(VDI::read_only, argument(6))
        .with(VDI::other_config, argument(7))
        .with(VDI::location, argument(8))
        .with(VDI::xenstore_data, argument(9))
        .with(VDI::sm_config, argument(10))
        .with(VDI::managed, argument(11))
        .with(VDI::virtual_size, ended.facts.virtual_bytes.unwrap_or(given(12)))
        .with(VDI::physical_utilisation, ended.facts.physical_bytes.unwrap_or(given(13)))
        .with(VDI::metadata_of_pool, of_pool.unwrap_or(Ref::NULL))
        .with(VDI::is_a_snapshot, argument(15))
        .with(VDI::snapshot_time, argument(16))
        .with(VDI::snapshot_of, of.unwrap_or(Ref::NULL));
    Ok(Value::Ref(disk::add(draft, fields)))
}

pub fn forget(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let (vdi, _) = ready(draft, call, "forget")?;
    disk::remove(draft, vdi.reference)?;
    Ok(Value::Void)
}

pub fn begin_update(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let (vdi, repository) = ready(draft, call, "update")?;
    let also = [(ClassId::SR, repository.reference, "vdi_update")];
    operation::begin(draft, call, Begin { also: &also, ..Begin::on(ClassId::VDI, vdi.reference, "update") })
}

pub fn updated(draft: &mut Draft, ended: &Ended) -> Result<Value, ApiError> {
    let vdi = draft.find::<VDI>(ended.object)?;
    let size = ended.facts.virtual_bytes.unwrap_or(vdi.get(VDI::virtual_size));
    let used = ended.facts.physical_bytes.unwrap_or(vdi.get(VDI::physical_utilisation));
    disk::resize(draft, vdi.reference, size, used);
    Ok(Value::Void)
}

/// A disk that is shared now stays sharable.
pub fn set_sharable(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let vdi = draft.find::<VDI>(call.reference(0))?;
    let devices = draft.far(VDI::VBDs, vdi.reference);
    let devices: Vec<_> = devices.into_iter().filter_map(|vbd| draft.find::<VBD>(vbd).ok()).collect();
    let holding: Vec<_> = devices.iter().filter(|vbd| super::vbd::holds(vbd)).collect();
    if !call.bool(1) && holding.len() > 1 && holding.iter().any(|vbd| writes(vbd)) {
        return Err(codes::VDI_IN_USE(vdi.reference, "set_sharable"));
    }
    draft.set(vdi.reference, VDI::sharable, call.bool(1));
    Ok(Value::Void)
}

/// A disk that is written now stays writable.
pub fn set_read_only(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let vdi = draft.find::<VDI>(call.reference(0))?;
    if call.bool(1) && is_used(draft.view(), vdi.reference, writes) {
        return Err(codes::VDI_IN_USE(vdi.reference, "set_read_only"));
    }
    draft.set(vdi.reference, VDI::read_only, call.bool(1));
    Ok(Value::Void)
}

pub fn set_on_boot(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let (vdi, _) = ready(draft, call, "set_on_boot")?;
    if call.args[1].as_str() == "reset" && vdi.get(VDI::cbt_enabled) {
        return Err(codes::VDI_CBT_ENABLED(vdi.reference));
    }
    draft.set(vdi.reference, VDI::on_boot, call.args[1].clone());
    Ok(Value::Void)
}

/// The pool whose database is on the disk, as far as is known; "" for none.
pub fn database_pool_uuid(reading: &Reading<'_>, call: &Call) -> Result<Value, ApiError> {
    let vdi = object::<VDI>(reading.view, call.reference(0))?;
    let of = reading.view.find::<pool>(vdi.get(VDI::metadata_of_pool));
    Ok(of.map(|pool| Value::String(pool.get(pool::uuid).clone())).unwrap_or_else(|| Value::text("")))
}

/// No network serves disks, so none is the answer.
pub fn nbd_info(reading: &Reading<'_>, call: &Call) -> Result<Value, ApiError> {
    let vdi = object::<VDI>(reading.view, call.reference(0))?;
    match vdi.get(VDI::r#type) {
        "cbt_metadata" => Err(codes::VDI_INCOMPATIBLE_TYPE(vdi.reference, "cbt_metadata")),
        _ => Ok(Value::empty_set()),
    }
}
