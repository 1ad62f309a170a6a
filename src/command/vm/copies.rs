//! Copies of machines: clones, full copies, snapshots and checkpoints. The
//! disks are copied by the driver; the new objects appear together in the
//! terminal event.
//!
//! | message    | disks     | addresses | becomes                                      |
//! |------------|-----------|-----------|----------------------------------------------|
//! | clone      | shared    | new       | what it is a clone of                        |
//! | copy       | full      | new       | what it is a copy of                         |
//! | snapshot   | shared    | kept      | a template that is a snapshot, down          |
//! | checkpoint | shared    | kept      | the same, suspended with the machine's state |
//!
//! Must never know how a repository shares or copies.

use super::allowed::permit;
use super::{configuration, lifecycle, schedule, state};
use crate::command::device::tpm;
use crate::command::draft::Fields;
use crate::command::network::address::mac_from;
use crate::command::operation::{self, Begin, Disk, DiskWork, Ended};
use crate::command::storage::{disk, sr};
use crate::command::{Call, Draft};
use crate::error::ApiError;
use crate::model::{ClassId, SR, VBD, VDI, VIF, VM, VM_guest_metrics, VM_metrics};
use crate::value::{Ref, Value};
use crate::views::Object;

type Answer = Result<Value, ApiError>;

/// `VM.clone(vm, new_name)`
pub fn clone(draft: &mut Draft, call: &Call) -> Answer {
    let disks = copied_disks(draft, call, "clone", &|uuid| DiskWork::Clone(uuid), Ref::NULL, &[])?;
    begin(draft, call, "clone", disks)
}

/// `VM.copy(vm, new_name, sr)`: to the repository named, or each disk beside its own.
pub fn copy(draft: &mut Draft, call: &Call) -> Answer {
    let to = call.reference(2);
    if !to.is_null() {
        draft.find::<SR>(to)?;
    }
    let disks = copied_disks(draft, call, "copy", &|uuid| DiskWork::Copy(uuid), to, &[])?;
    begin(draft, call, "copy", disks)
}

/// `VM.snapshot(vm, new_name, ignore_vdis)`
pub fn snapshot(draft: &mut Draft, call: &Call) -> Answer {
    let ignored: Vec<Ref> = call.args[2].as_set().iter().map(Value::as_ref).collect();
    let disks = copied_disks(draft, call, "snapshot", &|uuid| DiskWork::Clone(uuid), Ref::NULL, &ignored)?;
    begin(draft, call, "snapshot", disks)
}

/// `VM.checkpoint(vm, new_name)`: the machine goes on when its memory has been written.
pub fn checkpoint(draft: &mut Draft, call: &Call) -> Answer {
    let mut disks = copied_disks(draft, call, "checkpoint", &|uuid| DiskWork::Clone(uuid), Ref::NULL, &[])?;
    let machine = draft.find::<VM>(call.reference(0))?;
    if machine.get(VM::power_state) != "Suspended" {
        disks.push(lifecycle::image(draft, &machine)?);
    }
    begin(draft, call, "checkpoint", disks)
}

/// The copies that are to be made of a machine's disks, its suspended state among them.
fn copied_disks(
    draft: &mut Draft,
    call: &Call,
    name: &'static str,
    work: &dyn Fn(String) -> DiskWork,
    to: Ref,
    ignored: &[Ref],
) -> Result<Vec<Disk>, ApiError> {
    let vm = call.reference(0);
    let machine = permit(draft, vm, name)?;
    let mut sources: Vec<Ref> = disks_of(draft, vm)?.into_iter().filter(|disk| !ignored.contains(disk)).collect();
    let image = machine.get(VM::suspend_VDI);
    if machine.get(VM::power_state) == "Suspended" && !image.is_null() {
        sources.push(image);
    }
    let mut planned = Vec::new();
    for source in sources {
        let source = draft.find::<VDI>(source)?;
        let to = if to.is_null() { source.get(VDI::SR) } else { to };
        let disk = draft.find::<SR>(to)?;
        sr::assert_attached(draft.view(), &disk)?;
        let bytes = source.get(VDI::virtual_size);
        if matches!(work(String::new()), DiskWork::Copy(_)) {
            sr::assert_room(&disk, bytes)?;
        }
        planned.push(Disk {
            uuid: draft.ids.draw().uuid_text(),
            sr: disk.get(SR::uuid).to_string(),
            bytes,
            work: work(source.get(VDI::uuid).to_string()),
        });
    }
    Ok(planned)
}

/// The machine's own disks: not its drives' media.
pub fn disks_of(draft: &Draft, vm: Ref) -> Result<Vec<Ref>, ApiError> {
    let mut disks = Vec::new();
    for vbd in draft.far(VM::VBDs, vm) {
        let device = draft.find::<VBD>(vbd)?;
        let disk = device.get(VBD::VDI);
        if device.get(VBD::r#type) == "Disk" && !disk.is_null() && !disks.contains(&disk) {
            disks.push(disk);
        }
    }
    Ok(disks)
}

/// Holds the machine, and the disks that are read.
fn begin(draft: &mut Draft, call: &Call, name: &'static str, disks: Vec<Disk>) -> Answer {
    let vm = call.reference(0);
    let on_disk = match name {
        "checkpoint" => "snapshot",
        other => other,
    };
    let also: Vec<_> = disks.iter().filter_map(|disk| Some((ClassId::VDI, source_of(draft, disk)?, on_disk))).collect();
    operation::begin(draft, call, Begin { also: &also, disks, ..Begin::on(ClassId::VM, vm, name) })
}

/// The VDI that a planned disk is a copy of.
pub fn source_of(draft: &Draft, planned: &Disk) -> Option<Ref> {
    match &planned.work {
        DiskWork::Clone(uuid) | DiskWork::Copy(uuid) => draft.view().by_uuid(ClassId::VDI, uuid),
        _ => None,
    }
}

/// The removal of a VDI's disk; the VDI itself goes in the terminal event.
pub fn removed(draft: &Draft, vdi: Ref) -> Result<Disk, ApiError> {
    let disk = draft.find::<VDI>(vdi)?;
    let sr = draft.get(disk.get(VDI::SR), SR::uuid, |uuid| uuid.to_string())?;
    let uuid = disk.get(VDI::uuid).to_string();
    Ok(Disk { uuid, sr, bytes: disk.get(VDI::virtual_size), work: DiskWork::Remove })
}

/// What a copy is of its original.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Clone,
    Snapshot,
    Checkpoint,
}

/// Ends `clone` and `copy`; the result is the new machine.
pub fn cloned(draft: &mut Draft, ended: &Ended) -> Answer {
    copied(draft, ended, Kind::Clone)
}

pub fn snapshotted(draft: &mut Draft, ended: &Ended) -> Answer {
    copied(draft, ended, Kind::Snapshot)
}

pub fn checkpointed(draft: &mut Draft, ended: &Ended) -> Answer {
    if let Some(domid) = ended.facts.domid {
        draft.set(ended.object, VM::domid, domid);
    }
    copied(draft, ended, Kind::Checkpoint)
}

fn copied(draft: &mut Draft, ended: &Ended, kind: Kind) -> Answer {
    let vm = ended.object;
    let name = ended.args.get(1).map(|name| name.as_str().to_string()).unwrap_or_default();
    let made = add_disks(draft, &ended.disks, kind != Kind::Clone)?;
    let copy = add_machine(draft, vm, &name, kind)?;
    let original = draft.find::<VM>(vm)?;
    let memory = ended.disks.iter().find(|disk| disk.work == DiskWork::Memory);
    let image = match memory {
        Some(planned) => Some(lifecycle::image_added(draft, planned, &name, planned.bytes)?),
        None => made.iter().find(|(source, _)| *source == original.get(VM::suspend_VDI)).map(|(_, copy)| *copy),
    };
    if let Some(image) = image {
        draft.set(copy, VM::power_state, "Suspended");
        draft.set(copy, VM::suspend_VDI, image);
        draft.set(copy, VM::last_booted_record, original.get(VM::last_booted_record).clone());
    }
    add_devices(draft, vm, copy, &made)?;
    add_interfaces(draft, vm, copy, kind != Kind::Clone)?;
    tpm::copy(draft, vm, copy)?;
    if kind != Kind::Clone {
        let scheduled = schedule::is_run(draft.view(), ended.task);
        draft.set(copy, VM::is_vmss_snapshot, scheduled);
        draft.set(vm, VM::parent, copy);
    }
    Ok(Value::Ref(copy))
}

/// The new disks, beside those that they are copies of.
pub fn add_disks(draft: &mut Draft, planned: &[Disk], snapshots: bool) -> Result<Vec<(Ref, Ref)>, ApiError> {
    let mut made = Vec::new();
    for plan in planned {
        let Some(source) = source_of(draft, plan) else { continue };
        let original = draft.find::<VDI>(source)?;
        let sr = draft.view().by_uuid(ClassId::SR, &plan.sr).unwrap_or(original.get(VDI::SR));
        let full = matches!(plan.work, DiskWork::Copy(_));
        let used = if full { original.get(VDI::physical_utilisation) } else { 0 };
        let (of, at) = if snapshots { (source, draft.now) } else { (Ref::NULL, 0) };
        let fields = Fields::<VDI>::like(&original)
            .with(VDI::uuid, plan.uuid.clone())
            .with(VDI::location, plan.uuid.clone())
            .with(VDI::SR, sr)
            .with(VDI::virtual_size, plan.bytes)
            .with(VDI::physical_utilisation, used)
            .with(VDI::is_a_snapshot, snapshots)
            .with(VDI::snapshot_of, of)
            .with(VDI::snapshot_time, Value::Time(at))
            .with(VDI::parent, Ref::NULL)
            .with(VDI::cbt_enabled, snapshots && original.get(VDI::cbt_enabled))
            .with(VDI::storage_lock, false)
            .with(VDI::current_operations, Value::empty_map())
            .with(VDI::allowed_operations, Value::empty_set());
        made.push((source, disk::add(draft, fields)));
    }
    Ok(made)
}

/// The machine's record, without what belongs to its life.
fn add_machine(draft: &mut Draft, vm: Ref, name: &str, kind: Kind) -> Result<Ref, ApiError> {
    let original = draft.find::<VM>(vm)?;
    let metrics = draft.create(Fields::<VM_metrics>::new().with(VM_metrics::install_time, Value::Time(draft.now)));
    let snapshot = kind != Kind::Clone;
    let (of, at) = if snapshot { (vm, draft.now) } else { (Ref::NULL, 0) };
    let parent = if snapshot { original.get(VM::parent) } else { Ref::NULL };
    let fields = at_rest(&original, metrics)
        .with(VM::name_label, name)
        .with(VM::is_a_template, snapshot || original.get(VM::is_a_template))
        .with(VM::is_a_snapshot, snapshot)
        .with(VM::snapshot_of, of)
        .with(VM::snapshot_time, Value::Time(at))
        .with(VM::snapshot_info, if snapshot { snapshot_info(&original) } else { Value::empty_map() })
        .with(VM::parent, parent);
    let copy = draft.create(fields);
    if snapshot {
        keep_guest(draft, &original, copy)?;
    } else {
        rename_origin(draft, &original, copy)?;
    }
    Ok(copy)
}

/// A machine like another one, down, without what belongs to that one's life and to where it is.
pub fn at_rest(original: &Object, metrics: Ref) -> Fields<VM> {
    let fields = Fields::<VM>::like(original)
        .with(VM::power_state, "Halted")
        .with(VM::is_default_template, false)
        .with(VM::is_a_snapshot, false)
        .with(VM::snapshot_of, Ref::NULL)
        .with(VM::snapshot_time, Value::Time(0))
        .with(VM::snapshot_info, Value::empty_map())
        .with(VM::parent, Ref::NULL)
        .with(VM::metrics, metrics)
        .with(VM::guest_metrics, Ref::NULL)
        .with(VM::resident_on, Ref::NULL)
        .with(VM::scheduled_to_be_resident_on, Ref::NULL)
        .with(VM::suspend_VDI, Ref::NULL)
        .with(VM::domid, state::NO_DOMAIN)
        .with(VM::domarch, "")
        .with(VM::last_booted_record, "")
        .with(VM::requires_reboot, false)
        .with(VM::appliance, Ref::NULL)
        .with(VM::snapshot_schedule, Ref::NULL)
        .with(VM::is_vmss_snapshot, false)
        .with(VM::protection_policy, Ref::NULL)
        .with(VM::ha_always_run, false)
        .with(VM::ha_restart_priority, "");
    let emptied = [
        VM::current_operations.index,
        VM::blocked_operations.index,
        VM::blobs.index,
        VM::pending_guidances.index,
        VM::pending_guidances_recommended.index,
        VM::pending_guidances_full.index,
        VM::allowed_operations.index,
    ];
    let mut fields = fields;
    for field in emptied {
        fields.record[field] = crate::value::zero(ClassId::VM.def().fields[field].ty);
    }
    fields
}

fn snapshot_info(original: &Object) -> Value {
    Value::map([
        ("power-state-at-snapshot", Value::text(original.get(VM::power_state))),
        ("disk-snapshot-type", Value::text("crash_consistent")),
    ])
}

/// A snapshot also remembers what its guest had told.
fn keep_guest(draft: &mut Draft, original: &Object, copy: Ref) -> Result<(), ApiError> {
    if let Ok(guest) = draft.find::<VM_guest_metrics>(original.get(VM::guest_metrics)) {
        let guest = draft.create(Fields::<VM_guest_metrics>::like(&guest).with(VM_guest_metrics::live, false));
        draft.set(copy, VM::guest_metrics, guest);
    }
    Ok(())
}

/// A clone is a machine of its own: it has its own seeds, and says which template it came from.
fn rename_origin(draft: &mut Draft, original: &Object, copy: Ref) -> Result<(), ApiError> {
    let mut config = original.get(VM::other_config).clone();
    for key in ["default_template", "xensource_internal"] {
        config.remove(key);
    }
    config.insert("mac_seed".into(), Value::text(&draft.ids.draw().uuid_text()));
    if original.get(VM::is_a_template) && !original.get(VM::is_a_snapshot) {
        config.insert("base_template_name".into(), Value::text(original.get(VM::name_label)));
    }
    draft.set(copy, VM::other_config, Value::Map(config.into()));
    let id = configuration::generation_id(draft);
    draft.set(copy, VM::generation_id, id);
    Ok(())
}

/// The devices of one machine for another one: disks that were copied, and drives with the same media in them.
pub fn add_devices(draft: &mut Draft, from: Ref, to: Ref, made: &[(Ref, Ref)]) -> Result<(), ApiError> {
    for vbd in draft.far(VM::VBDs, from) {
        let device = draft.find::<VBD>(vbd)?;
        let there = device.get(VBD::VDI);
        let disk = match made.iter().find(|(source, _)| *source == there) {
            Some((_, copy)) => *copy,
            None if device.get(VBD::r#type) == "Disk" => continue,
            None => there,
        };
        draft.create(device_at_rest(&device).with(VBD::VM, to).with(VBD::VDI, disk));
    }
    Ok(())
}

/// A device like another one, not attached.
pub fn device_at_rest(original: &Object) -> Fields<VBD> {
    Fields::<VBD>::like(original)
        .with(VBD::device, "")
        .with(VBD::currently_attached, false)
        .with(VBD::storage_lock, false)
        .with(VBD::status_code, 0)
        .with(VBD::status_detail, "")
        .with(VBD::runtime_properties, Value::empty_map())
        .with(VBD::current_operations, Value::empty_map())
        .with(VBD::allowed_operations, Value::empty_set())
}

/// The interfaces of one machine for another one.
pub fn add_interfaces(draft: &mut Draft, from: Ref, to: Ref, same_address: bool) -> Result<(), ApiError> {
    for vif in draft.far(VM::VIFs, from) {
        let interface = draft.find::<VIF>(vif)?;
        let mut fields = interface_at_rest(&interface).with(VIF::VM, to);
        if !same_address {
            fields = fields.with(VIF::MAC, mac(draft)).with(VIF::MAC_autogenerated, true);
        }
        draft.create(fields);
    }
    Ok(())
}

/// An interface like another one, not attached.
pub fn interface_at_rest(original: &Object) -> Fields<VIF> {
    Fields::<VIF>::like(original)
        .with(VIF::currently_attached, false)
        .with(VIF::status_code, 0)
        .with(VIF::status_detail, "")
        .with(VIF::runtime_properties, Value::empty_map())
        .with(VIF::current_operations, Value::empty_map())
        .with(VIF::allowed_operations, Value::empty_set())
}

/// A random address of the locally administered kind.
fn mac(draft: &mut Draft) -> String {
    let mut bytes = [0; 6];
    draft.ids.fill(&mut bytes);
    mac_from(bytes)
}
