//! The life cycle: start, pause, suspend, resume, shut down, reboot. A handler
//! checks and begins an operation; its completion applies the end state.
//!
//! | message                        | from                       | to        |
//! |--------------------------------|----------------------------|-----------|
//! | start, start_on                | Halted                     | Running   |
//! | pause                          | Running                    | Paused    |
//! | unpause                        | Paused                     | Running   |
//! | suspend                        | Running                    | Suspended |
//! | resume, resume_on              | Suspended                  | Running   |
//! | clean_shutdown                 | Running                    | Halted    |
//! | shutdown, hard_shutdown        | Paused, Suspended, Running | Halted    |
//! | clean_reboot                   | Running                    | Running   |
//! | hard_reboot                    | Paused, Running            | Running   |
//! | power_state_reset              | any                        | Halted    |
//!
//! Started or resumed with `start_paused`, a machine is Paused instead. The
//! states on the left are those of the table in [`super::allowed`].
//!
//! Must never know how a hypervisor does any of it.

use super::allowed::{permit, supersede};
use super::{memory, placement, state};
use crate::command::draft::Fields;
use crate::command::operation::{self, Begin, Disk, DiskWork, Ended};
use crate::command::storage::disk;
use crate::command::{Call, Draft};
use crate::error::{ApiError, codes};
use crate::model::{ClassId, SR, VBD, VDI, VM, host, pool};
use crate::value::{Ref, Value};
use crate::views::Object;

/// Beside the memory itself, a suspended machine's image holds its devices' state.
const IMAGE_OVERHEAD_BYTES: i64 = 16 << 20;

type Answer = Result<Value, ApiError>;

/// `VM.start(vm, start_paused, force)`
pub fn start(draft: &mut Draft, call: &Call) -> Answer {
    bring_up(draft, call, "start", None)
}

/// `VM.start_on(vm, host, start_paused, force)`
pub fn start_on(draft: &mut Draft, call: &Call) -> Answer {
    bring_up(draft, call, "start_on", Some(call.reference(1)))
}

/// `VM.resume(vm, start_paused, force)`
pub fn resume(draft: &mut Draft, call: &Call) -> Answer {
    bring_up(draft, call, "resume", None)
}

/// `VM.resume_on(vm, host, start_paused, force)`
pub fn resume_on(draft: &mut Draft, call: &Call) -> Answer {
    bring_up(draft, call, "resume_on", Some(call.reference(1)))
}

/// Places the machine, keeps the place for it, and holds its devices while they are attached.
fn bring_up(draft: &mut Draft, call: &Call, name: &'static str, asked: Option<Ref>) -> Answer {
    let vm = call.reference(0);
    let machine = permit(draft, vm, name)?;
    if let Some(asked) = asked {
        draft.find::<host>(asked)?;
    }
    let resumes = name.starts_with("resume");
    if resumes && draft.find::<VDI>(machine.get(VM::suspend_VDI)).is_err() {
        return Err(codes::VM_HAS_NO_SUSPEND_VDI(vm));
    }
    if machine.get(VM::VCPUs_at_startup) < 1 {
        return Err(codes::VM_NO_VCPUS(vm));
    }
    placement::assert_disks_free(draft.view(), vm)?;
    let place = placement::choose(draft.view(), &machine, asked)?;
    let disks = if resumes { vec![image_removed(draft, &machine)?] } else { Vec::new() };
    draft.set(vm, VM::scheduled_to_be_resident_on, place);
    let also = devices(draft, vm);
    operation::begin(draft, call, Begin { also: &also, disks, ..Begin::on(ClassId::VM, vm, name) })
}

fn devices(draft: &Draft, vm: Ref) -> Vec<(ClassId, Ref, &'static str)> {
    let vbds = draft.far(VM::VBDs, vm).into_iter().map(|vbd| (ClassId::VBD, vbd, "attach"));
    let vifs = draft.far(VM::VIFs, vm).into_iter().map(|vif| (ClassId::VIF, vif, "attach"));
    vbds.chain(vifs).collect()
}

/// Where the machine goes, and whether it stays paused there.
fn destination(draft: &Draft, ended: &Ended) -> Result<(Ref, bool), ApiError> {
    let machine = draft.find::<VM>(ended.object)?;
    let place = machine.get(VM::scheduled_to_be_resident_on);
    let paused = ended.args.iter().find_map(|arg| if let Value::Bool(flag) = arg { Some(*flag) } else { None });
    Ok((place, paused.unwrap_or(false)))
}

pub fn started(draft: &mut Draft, ended: &Ended) -> Answer {
    let (place, paused) = destination(draft, ended)?;
    state::run(draft, ended.object, place, ended.facts.domid.unwrap_or(state::NO_DOMAIN), paused)?;
    state::booted(draft, ended.object)?;
    Ok(Value::Void)
}

pub fn resumed(draft: &mut Draft, ended: &Ended) -> Answer {
    let (place, paused) = destination(draft, ended)?;
    state::run(draft, ended.object, place, ended.facts.domid.unwrap_or(state::NO_DOMAIN), paused)?;
    state::measure(draft, ended.object)?;
    state::drop_suspended_state(draft, ended.object)?;
    Ok(Value::Void)
}

pub fn pause(draft: &mut Draft, call: &Call) -> Answer {
    plain(draft, call, "pause")
}

pub fn unpause(draft: &mut Draft, call: &Call) -> Answer {
    plain(draft, call, "unpause")
}

pub fn clean_shutdown(draft: &mut Draft, call: &Call) -> Answer {
    plain(draft, call, "clean_shutdown")
}

pub fn clean_reboot(draft: &mut Draft, call: &Call) -> Answer {
    plain(draft, call, "clean_reboot")
}

pub fn send_sysrq(draft: &mut Draft, call: &Call) -> Answer {
    plain(draft, call, "send_sysrq")
}

pub fn send_trigger(draft: &mut Draft, call: &Call) -> Answer {
    plain(draft, call, "send_trigger")
}

fn plain(draft: &mut Draft, call: &Call, name: &'static str) -> Answer {
    let vm = call.reference(0);
    permit(draft, vm, name)?;
    operation::begin(draft, call, Begin::on(ClassId::VM, vm, name))
}

pub fn paused(draft: &mut Draft, ended: &Ended) -> Answer {
    draft.set(ended.object, VM::power_state, "Paused");
    Ok(Value::Void)
}

pub fn unpaused(draft: &mut Draft, ended: &Ended) -> Answer {
    draft.set(ended.object, VM::power_state, "Running");
    Ok(Value::Void)
}

/// Nothing in the record shows it.
pub fn signalled(_: &mut Draft, _: &Ended) -> Answer {
    Ok(Value::Void)
}

/// `VM.shutdown`: clean if the guest answers, hard if it does not. A suspended machine loses its state.
pub fn shutdown(draft: &mut Draft, call: &Call) -> Answer {
    bring_down(draft, call, "shutdown")
}

/// `VM.hard_shutdown`: ends what waits for the guest, too.
pub fn hard_shutdown(draft: &mut Draft, call: &Call) -> Answer {
    bring_down(draft, call, "hard_shutdown")
}

fn bring_down(draft: &mut Draft, call: &Call, name: &'static str) -> Answer {
    let vm = call.reference(0);
    let machine = permit(draft, vm, name)?;
    supersede(draft, vm)?;
    let suspended = draft.find::<VDI>(machine.get(VM::suspend_VDI)).is_ok();
    let disks = if suspended { vec![image_removed(draft, &machine)?] } else { Vec::new() };
    operation::begin(draft, call, Begin { disks, ..Begin::on(ClassId::VM, vm, name) })
}

pub fn halted(draft: &mut Draft, ended: &Ended) -> Answer {
    state::halt(draft, ended.object)?;
    Ok(Value::Void)
}

pub fn hard_reboot(draft: &mut Draft, call: &Call) -> Answer {
    let vm = call.reference(0);
    permit(draft, vm, "hard_reboot")?;
    supersede(draft, vm)?;
    operation::begin(draft, call, Begin::on(ClassId::VM, vm, "hard_reboot"))
}

pub fn rebooted(draft: &mut Draft, ended: &Ended) -> Answer {
    let machine = draft.find::<VM>(ended.object)?;
    let domid = ended.facts.domid.unwrap_or(machine.get(VM::domid));
    state::run(draft, ended.object, machine.get(VM::resident_on), domid, false)?;
    state::booted(draft, ended.object)?;
    Ok(Value::Void)
}

/// `VM.power_state_reset`: the record says Halted, whatever the hypervisor does. For hosts that do not come back: a
/// machine that still runs is seen to, and its record says so again.
pub fn power_state_reset(draft: &mut Draft, call: &Call) -> Answer {
    let vm = call.reference(0);
    permit(draft, vm, "power_state_reset")?;
    supersede(draft, vm)?;
    // Nobody removes the disk of a suspended state, so it stays for whoever wants it.
    draft.set(vm, VM::suspend_VDI, Ref::NULL);
    state::halt(draft, vm)?;
    Ok(Value::Void)
}

/// `VM.suspend`
pub fn suspend(draft: &mut Draft, call: &Call) -> Answer {
    let vm = call.reference(0);
    let machine = permit(draft, vm, "suspend")?;
    let disks = vec![image(draft, &machine)?];
    operation::begin(draft, call, Begin { disks, ..Begin::on(ClassId::VM, vm, "suspend") })
}

pub fn suspended(draft: &mut Draft, ended: &Ended) -> Answer {
    let planned = ended.disks.iter().find(|disk| disk.work == DiskWork::Memory);
    let planned = planned.expect("BUG: a suspend plans its image");
    let name = draft.get(ended.object, VM::name_label, |name| name.to_string())?;
    let bytes = ended.facts.physical_bytes.unwrap_or(planned.bytes);
    let image = image_added(draft, planned, &name, bytes)?;
    state::suspend(draft, ended.object, image)?;
    Ok(Value::Void)
}

/// The disk that a suspended machine's state goes to.
pub fn image(draft: &mut Draft, machine: &Object) -> Result<Disk, ApiError> {
    let sr = suspend_sr(draft, machine)?;
    let bytes = memory::taken(machine).saturating_add(IMAGE_OVERHEAD_BYTES);
    let sr = draft.get(sr, SR::uuid, |uuid| uuid.to_string())?;
    Ok(Disk { uuid: draft.ids.draw().uuid_text(), sr, bytes, work: DiskWork::Memory })
}

/// The VDI of a suspended machine's state.
pub fn image_added(draft: &mut Draft, planned: &Disk, name: &str, bytes: i64) -> Result<Ref, ApiError> {
    let sr = draft.view().by_uuid(ClassId::SR, &planned.sr).unwrap_or(Ref::NULL);
    draft.find::<SR>(sr)?;
    let fields = Fields::<VDI>::new()
        .with(VDI::uuid, planned.uuid.clone())
        .with(VDI::location, planned.uuid.clone())
        .with(VDI::name_label, "Suspend image")
        .with(VDI::name_description, format!("The suspended state of {name}"))
        .with(VDI::SR, sr)
        .with(VDI::virtual_size, planned.bytes)
        .with(VDI::physical_utilisation, bytes)
        .with(VDI::r#type, "suspend")
        .with(VDI::managed, true);
    Ok(disk::add(draft, fields))
}

fn image_removed(draft: &Draft, machine: &Object) -> Result<Disk, ApiError> {
    super::copies::removed(draft, machine.get(VM::suspend_VDI))
}

/// Where suspended state goes: where the machine, the pool or the host says, else beside the machine's disks.
fn suspend_sr(draft: &Draft, machine: &Object) -> Result<Ref, ApiError> {
    let view = draft.view();
    let here = machine.get(VM::resident_on);
    let mut wishes = vec![machine.get(VM::suspend_SR)];
    wishes.extend(view.all::<pool>().map(|pool| pool.get(pool::suspend_image_SR)));
    wishes.extend(view.find::<host>(here).map(|host| host.get(host::suspend_image_sr)));
    wishes.extend(view.all::<pool>().map(|pool| pool.get(pool::default_SR)));
    for vbd in draft.far(VM::VBDs, machine.reference) {
        let device = draft.find::<VBD>(vbd)?;
        if device.get(VBD::mode) == "RW" {
            wishes.extend(view.find::<VDI>(device.get(VBD::VDI)).map(|disk| disk.get(VDI::SR)));
        }
    }
    let usable = |sr: &Ref| view.find::<SR>(*sr).is_some() && placement::attached(view, *sr, here);
    wishes.into_iter().find(usable).ok_or_else(|| codes::VM_NO_SUSPEND_SR(machine.reference))
}
