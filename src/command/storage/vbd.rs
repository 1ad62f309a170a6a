//! The devices of machines that are disks and drives.
//!
//! ```text
//!               plug (running)                       insert
//!   detached ───────────────────▶ attached      empty ──────▶ holds a medium     (drives only, while
//!            ◀───────────────────                     ◀──────                     halted or running)
//!               unplug (running)                      eject
//! ```
//!
//! While the machine runs, a change is an operation; while it is halted, a
//! medium changes at once.

use super::sr;
use crate::command::attach::{self, Pluggable, bad_power_state, object};
use crate::command::operation::{self, Begin, Derived, Ended};
use crate::command::vm::{boot, state};
use crate::command::{Call, Draft, Reading, generic};
use crate::error::{ApiError, codes};
use crate::model::{ClassId, SR, VBD, VDI, VM, VM_guest_metrics};
use crate::value::{Ref, Value};
use crate::views::{Object, View};

/// Device numbers go up to this: so many devices has a machine at most.
pub const NUMBER_MAX: u32 = 254;

/// Disks of these types can be devices of machines.
const ATTACHABLE: [&str; 6] = ["system", "user", "ephemeral", "suspend", "crashdump", "metadata"];

const OFFERED: [&str; 6] = ["attach", "eject", "insert", "plug", "unplug", "unplug_force"];

pub static ALLOWED: Derived = Derived {
    class: ClassId::VBD,
    inputs: &[
        VBD::currently_attached.index,
        VBD::current_operations.index,
        VBD::empty.index,
        VBD::VDI.index,
        VBD::r#type.index,
        VBD::unpluggable.index,
    ],
    // What others do to the disk is looked at when it comes to it: else each change would touch all who share it.
    allowed: |view, vbd| OFFERED.into_iter().filter(|operation| check_device(view, vbd, operation).is_ok()).collect(),
    neighbours: |view, vbd| {
        let mut near = attach::held(view, vbd.get(VBD::VM));
        near.push((ClassId::VDI, vbd.get(VBD::VDI)));
        near
    },
};

/// Whether the device is attached, or about to be.
pub fn holds(vbd: &Object) -> bool {
    vbd.get(VBD::currently_attached) || !vbd.get(VBD::current_operations).is_empty()
}

/// Whether the device allows the operation now.
pub fn check(view: &View, vbd: &Object, operation: &str) -> Result<(), ApiError> {
    check_device(view, vbd, operation)?;
    if !matches!(operation, "attach" | "plug") || vbd.get(VBD::empty) || vbd.get(VBD::currently_attached) {
        return Ok(());
    }
    let vdi = object::<VDI>(view, vbd.get(VBD::VDI))?;
    check_sharing(view, vbd.reference, vdi, vbd.get(VBD::mode), operation)
}

fn check_device(view: &View, vbd: &Object, operation: &str) -> Result<(), ApiError> {
    attach::assert_free(ClassId::VBD, vbd)?;
    let machine = object::<VM>(view, vbd.get(VBD::VM))?;
    match operation {
        "insert" | "eject" => check_medium(machine, vbd, operation)?,
        "plug" => check_plug(view, machine, vbd, true)?,
        "unplug" | "unplug_force" => check_plug(view, machine, vbd, false)?,
        _ => {}
    }
    match view.find::<VDI>(vbd.get(VBD::VDI)) {
        Some(vdi) => check_disk(vdi, operation),
        None => Ok(()),
    }
}

fn check_medium(machine: &Object, vbd: &Object, operation: &str) -> Result<(), ApiError> {
    if vbd.get(VBD::r#type) != "CD" {
        return Err(codes::VBD_NOT_REMOVABLE_MEDIA(vbd.reference));
    }
    match (operation, vbd.get(VBD::empty)) {
        ("eject", true) => return Err(codes::VBD_IS_EMPTY(vbd.reference)),
        ("insert", false) => return Err(codes::VBD_NOT_EMPTY(vbd.reference)),
        _ => {}
    }
    match machine.get(VM::power_state) {
        "Suspended" => Err(bad_power_state(machine, "halted, running")),
        _ => Ok(()),
    }
}

fn check_plug(view: &View, machine: &Object, vbd: &Object, plug: bool) -> Result<(), ApiError> {
    if !plug && !vbd.get(VBD::unpluggable) {
        return Err(codes::VBD_NOT_UNPLUGGABLE(vbd.reference));
    }
    let device = Pluggable {
        device: vbd.reference,
        attached: vbd.get(VBD::currently_attached),
        claim: VM_guest_metrics::can_use_hotplug_vbd,
        kind: "VBD",
    };
    attach::check_plug(view, machine, &device, plug)?;
    if boot::is_hvm(machine) && vbd.get(VBD::r#type) == "CD" {
        let reason = "drives of HVM guests stay; media go in and out";
        return Err(codes::OPERATION_NOT_ALLOWED(reason));
    }
    Ok(())
}

fn check_disk(vdi: &Object, operation: &str) -> Result<(), ApiError> {
    if !vdi.get(VDI::managed) {
        return Err(codes::VDI_NOT_MANAGED(vdi.reference));
    }
    match attach::holder(ClassId::VDI, vdi, &["copy"]) {
        Some((task, name)) if matches!(operation, "attach" | "plug") => {
            Err(attach::busy(ClassId::VDI, vdi, name, task))
        }
        _ => Ok(()),
    }
}

/// The one place that says who may have a disk together: readers always, a writer only where the disk is sharable.
/// Devices of suspended machines do not count: they are really offline.
pub fn check_sharing(view: &View, vbd: Ref, vdi: &Object, mode: &str, operation: &str) -> Result<(), ApiError> {
    if vdi.get(VDI::replicated) {
        return Err(codes::VDI_IN_USE(vdi.reference, operation));
    }
    let others = view.far(VDI::VBDs, vdi.reference);
    let others = others.into_iter().filter(|other| *other != vbd).filter_map(|other| view.find::<VBD>(other));
    let (mut held, mut written) = (false, false);
    for other in others.filter(|other| holds(other) && !is_suspended(view, other)) {
        held = true;
        written |= other.get(VBD::mode) == "RW";
    }
    let writes = mode == "RW";
    if !vdi.get(VDI::sharable) && (written || (writes && held)) {
        return Err(codes::VDI_IN_USE(vdi.reference, operation));
    }
    if writes && vdi.get(VDI::read_only) {
        return Err(codes::VDI_READONLY(vdi.reference));
    }
    Ok(())
}

fn is_suspended(view: &View, vbd: &Object) -> bool {
    view.find::<VM>(vbd.get(VBD::VM)).is_some_and(|machine| machine.get(VM::power_state) == "Suspended")
}

/// The number that a device's name stands for: `0`, `hda`, `sda` and `xvda` are one place. `None` for what is none.
fn number(device: &str) -> Option<u32> {
    if let Ok(number) = device.parse::<u32>() {
        return Some(number).filter(|number| *number <= NUMBER_MAX);
    }
    let rest = ["xvd", "hd", "sd"].iter().find_map(|prefix| device.strip_prefix(prefix))?;
    let letter = rest.bytes().next().filter(|letter| (b'a'..=b'p').contains(letter))?;
    Some(u32::from(letter - b'a'))
}

/// The place that a client asks for, or the first free one for `autodetect`; nobody else has it.
fn place(draft: &Draft, vm: Ref, itself: Ref, wanted: &str) -> Result<String, ApiError> {
    let others = draft.far(VM::VBDs, vm).into_iter().filter(|other| *other != itself);
    let taken: Vec<String> =
        others.map(|other| draft.get(other, VBD::userdevice, |taken| taken.to_string())).collect::<Result<_, _>>()?;
    let numbers: Vec<u32> = taken.iter().filter_map(|taken| number(taken)).collect();
    if wanted == "autodetect" {
        let free = (0..=NUMBER_MAX).find(|free| !numbers.contains(free));
        return free.map(|free| free.to_string()).ok_or_else(|| codes::INVALID_DEVICE(wanted));
    }
    let floppy = matches!(wanted, "fda" | "fdb");
    let clash = match number(wanted) {
        Some(number) => numbers.contains(&number),
        None if floppy => taken.iter().any(|taken| taken == wanted),
        None => return Err(codes::INVALID_DEVICE(wanted)),
    };
    if clash { Err(codes::DEVICE_ALREADY_EXISTS(wanted)) } else { Ok(wanted.to_string()) }
}

/// The places that are still free, for clients that choose one.
pub fn free_places(view: &View, vm: Ref) -> Vec<String> {
    let devices = view.far(VM::VBDs, vm).into_iter().filter_map(|vbd| view.find::<VBD>(vbd));
    let taken: Vec<u32> = devices.filter_map(|vbd| number(vbd.get(VBD::userdevice))).collect();
    (0..=NUMBER_MAX).filter(|free| !taken.contains(free)).map(|free| free.to_string()).collect()
}

pub fn create(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let mut record = generic::constructed(draft, ClassId::VBD, &call.args[0])?;
    let (vm, vdi) = (record[VBD::VM.index].as_ref(), record[VBD::VDI.index].as_ref());
    let machine = draft.find::<VM>(vm)?;
    let kind = record[VBD::r#type.index].as_str().to_string();
    let mode = record[VBD::mode.index].as_str().to_string();
    let empty = record[VBD::empty.index] == Value::Bool(true) || (vdi.is_null() && kind == "CD");
    if empty && kind != "CD" {
        return Err(codes::VBD_NOT_REMOVABLE_MEDIA("in constructor"));
    }
    if kind == "CD" && mode != "RO" {
        return Err(codes::VBD_CDS_MUST_BE_READONLY());
    }
    if !empty {
        check_new_disk(draft, vdi, &kind, &mode)?;
    }
    let migrating = |name: &&Value| matches!(name.as_str(), "migrate_send" | "pool_migrate");
    if machine.get(VM::current_operations).values().any(|name| migrating(&name)) {
        return Err(codes::OPERATION_NOT_ALLOWED(format!("{vm} is migrating")));
    }
    record[VBD::userdevice.index] = Value::from(place(draft, vm, Ref::NULL, record[VBD::userdevice.index].as_str())?);
    record[VBD::empty.index] = Value::Bool(empty);
    record[VBD::VDI.index] = Value::Ref(if empty { Ref::NULL } else { vdi });
    record[VBD::currently_attached.index] = Value::Bool(false);
    record[VBD::device.index] = Value::text("");
    let reference = draft.ids.draw();
    Ok(Value::Ref(draft.add(ClassId::VBD, reference, record)))
}

/// Whether the disk can be a device of that type and mode.
fn check_new_disk(draft: &Draft, vdi: Ref, kind: &str, mode: &str) -> Result<(), ApiError> {
    let disk = draft.find::<VDI>(vdi)?;
    if !ATTACHABLE.contains(&disk.get(VDI::r#type)) {
        return Err(codes::VDI_INCOMPATIBLE_TYPE(vdi, disk.get(VDI::r#type)));
    }
    if kind == "CD" {
        assert_medium(draft, &disk)?;
    }
    if mode == "RW" && disk.get(VDI::read_only) {
        return Err(codes::VDI_READONLY(vdi));
    }
    Ok(())
}

/// Drives take media, and media are in repositories of media.
fn assert_medium(draft: &Draft, disk: &Object) -> Result<(), ApiError> {
    let repository = draft.find::<SR>(disk.get(VDI::SR))?;
    if &**repository.get(SR::content_type) == "iso" || matches!(&**repository.get(SR::r#type), "iso" | "udev") {
        return Ok(());
    }
    Err(codes::VDI_IS_NOT_ISO(disk.reference, repository.get(SR::r#type)))
}

pub fn destroy(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let vbd = draft.find::<VBD>(call.reference(0))?;
    attach::assert_free(ClassId::VBD, &vbd)?;
    if vbd.get(VBD::currently_attached) {
        return Err(codes::DEVICE_ALREADY_ATTACHED(vbd.reference));
    }
    draft.delete::<VBD>(vbd.reference);
    Ok(Value::Void)
}

pub fn begin_plug(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let vbd = draft.find::<VBD>(call.reference(0))?;
    check(draft.view(), &vbd, "plug")?;
    if let Ok(vdi) = draft.find::<VDI>(vbd.get(VBD::VDI)) {
        sr::assert_attached(draft.view(), &*draft.find::<SR>(vdi.get(VDI::SR))?)?;
    }
    operation::begin(draft, call, Begin::on(ClassId::VBD, vbd.reference, "plug"))
}

pub fn begin_unplug(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let vbd = draft.find::<VBD>(call.reference(0))?;
    check(draft.view(), &vbd, call.message.name)?;
    operation::begin(draft, call, Begin::on(ClassId::VBD, vbd.reference, call.message.name))
}

/// The machine may have ended while the device was on its way.
fn assert_runs(draft: &Draft, vbd: &Object) -> Result<(), ApiError> {
    let machine = draft.find::<VM>(vbd.get(VBD::VM))?;
    match machine.get(VM::power_state) {
        "Running" | "Paused" => Ok(()),
        _ => Err(bad_power_state(&machine, "running")),
    }
}

pub fn plugged(draft: &mut Draft, ended: &Ended) -> Result<Value, ApiError> {
    let vbd = draft.find::<VBD>(ended.object)?;
    assert_runs(draft, &vbd)?;
    let hvm = boot::is_hvm(&*draft.find::<VM>(vbd.get(VBD::VM))?);
    let named = ended.facts.device.clone().unwrap_or_else(|| state::device_name(vbd.get(VBD::userdevice), hvm));
    draft.set(vbd.reference, VBD::currently_attached, true);
    draft.set(vbd.reference, VBD::device, named);
    Ok(Value::Void)
}

pub fn unplugged(draft: &mut Draft, ended: &Ended) -> Result<Value, ApiError> {
    let vbd = draft.find::<VBD>(ended.object)?;
    draft.set(vbd.reference, VBD::currently_attached, false);
    draft.set(vbd.reference, VBD::device, "");
    Ok(Value::Void)
}

/// A medium goes into an empty drive.
pub fn insert(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let (vbd, vdi) = (draft.find::<VBD>(call.reference(0))?, draft.find::<VDI>(call.reference(1))?);
    check(draft.view(), &vbd, "insert")?;
    assert_medium(draft, &vdi)?;
    check_disk(&vdi, "attach")?;
    check_sharing(draft.view(), vbd.reference, &vdi, vbd.get(VBD::mode), "insert")?;
    if vbd.get(VBD::currently_attached) {
        return operation::begin(draft, call, Begin::on(ClassId::VBD, vbd.reference, "insert"));
    }
    load(draft, vbd.reference, vdi.reference);
    Ok(Value::Void)
}

pub fn inserted(draft: &mut Draft, ended: &Ended) -> Result<Value, ApiError> {
    let vdi = ended.args[1].as_ref();
    draft.find::<VBD>(ended.object)?;
    draft.find::<VDI>(vdi)?;
    load(draft, ended.object, vdi);
    Ok(Value::Void)
}

/// The drive is empty again.
pub fn eject(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let vbd = draft.find::<VBD>(call.reference(0))?;
    check(draft.view(), &vbd, "eject")?;
    if vbd.get(VBD::currently_attached) {
        return operation::begin(draft, call, Begin::on(ClassId::VBD, vbd.reference, "eject"));
    }
    load(draft, vbd.reference, Ref::NULL);
    Ok(Value::Void)
}

pub fn ejected(draft: &mut Draft, ended: &Ended) -> Result<Value, ApiError> {
    draft.find::<VBD>(ended.object)?;
    load(draft, ended.object, Ref::NULL);
    Ok(Value::Void)
}

fn load(draft: &mut Draft, vbd: Ref, vdi: Ref) {
    draft.set(vbd, VBD::VDI, vdi);
    draft.set(vbd, VBD::empty, vdi.is_null());
}

pub fn set_mode(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let vbd = draft.find::<VBD>(call.reference(0))?;
    let machine = draft.find::<VM>(vbd.get(VBD::VM))?;
    let mode = call.args[1].as_str();
    if machine.get(VM::power_state) != "Halted" {
        return Err(bad_power_state(&machine, "halted"));
    }
    attach::assert_free(ClassId::VBD, &vbd)?;
    if mode == "RW" && vbd.get(VBD::r#type) == "CD" {
        return Err(codes::VBD_CDS_MUST_BE_READONLY());
    }
    if mode == "RW" && draft.find::<VDI>(vbd.get(VBD::VDI)).is_ok_and(|vdi| vdi.get(VDI::read_only)) {
        return Err(codes::VDI_READONLY(vbd.get(VBD::VDI)));
    }
    draft.set(vbd.reference, VBD::mode, call.args[1].clone());
    Ok(Value::Void)
}

/// A device becomes a drive, or no drive any more, only by the rules by which it could have been created so.
pub fn set_type(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let vbd = settable(draft, call)?;
    let kind = call.args[1].as_str();
    if kind != "CD" && vbd.get(VBD::empty) {
        return Err(codes::VBD_NOT_REMOVABLE_MEDIA(vbd.reference));
    }
    if kind == "CD" && vbd.get(VBD::mode) != "RO" {
        return Err(codes::VBD_CDS_MUST_BE_READONLY());
    }
    if !vbd.get(VBD::empty) {
        check_new_disk(draft, vbd.get(VBD::VDI), kind, vbd.get(VBD::mode))?;
    }
    draft.set(vbd.reference, VBD::r#type, call.args[1].clone());
    Ok(Value::Void)
}

pub fn set_userdevice(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let vbd = settable(draft, call)?;
    let device = place(draft, vbd.get(VBD::VM), vbd.reference, call.text(1))?;
    draft.set(vbd.reference, VBD::userdevice, device);
    Ok(Value::Void)
}

/// What a device is can change only while no machine has it.
fn settable(draft: &Draft, call: &Call) -> Result<std::sync::Arc<Object>, ApiError> {
    let vbd = draft.find::<VBD>(call.reference(0))?;
    attach::assert_free(ClassId::VBD, &vbd)?;
    if vbd.get(VBD::currently_attached) {
        return Err(codes::DEVICE_ALREADY_ATTACHED(vbd.reference));
    }
    Ok(vbd)
}

pub fn assert_attachable(reading: &Reading<'_>, call: &Call) -> Result<Value, ApiError> {
    let vbd = object::<VBD>(reading.view, call.reference(0))?;
    check(reading.view, vbd, "attach").map(|()| Value::Void)
}
