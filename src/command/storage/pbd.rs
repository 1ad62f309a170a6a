//! How a host reaches a repository.

use super::{plugins, sr};
use crate::command::operation::{self, Begin, Derived, Ended};
use crate::command::secret::{drop_passwords, hide_passwords};
use crate::command::{Call, Draft, generic};
use crate::error::{ApiError, codes};
use crate::model::{ClassId, PBD, SR, VBD, VDI, VM, host};
use crate::value::{Ref, Value};
use crate::views::{Object, View};
use std::sync::Arc;

/// Nothing is derived here; repositories and their disks depend on it.
pub static STALE: Derived = Derived {
    class: ClassId::PBD,
    inputs: &[PBD::currently_attached.index, PBD::SR.index],
    allowed: |_, _| Vec::new(),
    neighbours: |view, pbd| {
        let sr = pbd.get(PBD::SR);
        let disks = view.far(SR::VDIs, sr).into_iter().map(|vdi| (ClassId::VDI, vdi));
        disks.chain([(ClassId::SR, sr)]).collect()
    },
};

/// Objects that the draft has, by the class's marker.
fn repository(draft: &Draft, pbd: &Object) -> Result<Arc<Object>, ApiError> {
    draft.find::<SR>(pbd.get(PBD::SR))
}

pub fn create(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let mut record = generic::constructed(draft, ClassId::PBD, &call.args[0])?;
    let (of, on) = (record[PBD::SR.index].as_ref(), record[PBD::host.index].as_ref());
    let sr = draft.find::<SR>(of)?;
    draft.find::<host>(on)?;
    sr::check(draft.view(), &sr, "pbd_create")?;
    for other in draft.far(SR::PBDs, of) {
        if draft.get(other, PBD::host, |host| host == on)? {
            return Err(codes::PBD_EXISTS(of, on, other));
        }
    }
    let config = record[PBD::device_config.index].as_map().clone();
    plugins::plugin(sr.get(SR::r#type))?.check_configuration(&config)?;
    record[PBD::device_config.index] = hide_passwords(draft, &config);
    draft.args.clear();
    let reference = draft.ids.draw();
    Ok(Value::Ref(draft.add(ClassId::PBD, reference, record)))
}

pub fn destroy(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let pbd = draft.find::<PBD>(call.reference(0))?;
    sr::check(draft.view(), &*repository(draft, &pbd)?, "pbd_destroy")?;
    if pbd.get(PBD::currently_attached) {
        return Err(codes::OPERATION_NOT_ALLOWED("PBD is currently attached"));
    }
    drop_passwords(draft, pbd.get(PBD::device_config));
    draft.delete::<PBD>(pbd.reference);
    Ok(Value::Void)
}

/// A changed way to the repository is used at the next plug; while it is in use it stays.
pub fn set_device_config(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let pbd = draft.find::<PBD>(call.reference(0))?;
    let sr = repository(draft, &pbd)?;
    sr::check(draft.view(), &sr, "plug")?;
    if pbd.get(PBD::currently_attached) {
        return Err(codes::OPERATION_NOT_ALLOWED("PBD is currently attached"));
    }
    plugins::plugin(sr.get(SR::r#type))?.check_configuration(call.args[1].as_map())?;
    let config = hide_passwords(draft, call.args[1].as_map());
    draft.args.clear();
    drop_passwords(draft, pbd.get(PBD::device_config));
    draft.set(pbd.reference, PBD::device_config, config);
    Ok(Value::Void)
}

/// Plugging what is plugged does nothing.
pub fn begin_plug(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let pbd = draft.find::<PBD>(call.reference(0))?;
    let sr = repository(draft, &pbd)?;
    plugins::plugin(sr.get(SR::r#type))?;
    if pbd.get(PBD::currently_attached) {
        return Ok(Value::Void);
    }
    sr::check(draft.view(), &sr, "plug")?;
    let also = [(ClassId::SR, sr.reference, "plug")];
    operation::begin(draft, call, Begin { also: &also, ..Begin::about(ClassId::PBD, pbd.reference) })
}

pub fn plugged(draft: &mut Draft, ended: &Ended) -> Result<Value, ApiError> {
    let pbd = draft.find::<PBD>(ended.object)?;
    draft.set(pbd.reference, PBD::currently_attached, true);
    sr::learn_sizes(draft, pbd.get(PBD::SR), &ended.facts);
    sr::learn_contents(draft, pbd.get(PBD::SR), &ended.facts);
    Ok(Value::Void)
}

/// Unplugging what is unplugged does nothing; a disk in use keeps its repository.
pub fn begin_unplug(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let pbd = draft.find::<PBD>(call.reference(0))?;
    let sr = repository(draft, &pbd)?;
    if !pbd.get(PBD::currently_attached) {
        return Ok(Value::Void);
    }
    sr::check(draft.view(), &sr, "unplug")?;
    if let Some(vdi) = disk_in_use(draft.view(), &pbd) {
        return Err(codes::VDI_IN_USE(vdi, "unplug"));
    }
    let also = [(ClassId::SR, sr.reference, "unplug")];
    operation::begin(draft, call, Begin { also: &also, ..Begin::about(ClassId::PBD, pbd.reference) })
}

pub fn unplugged(draft: &mut Draft, ended: &Ended) -> Result<Value, ApiError> {
    draft.find::<PBD>(ended.object)?;
    draft.set(ended.object, PBD::currently_attached, false);
    Ok(Value::Void)
}

/// A disk that a machine on the PBD's host has.
fn disk_in_use(view: &View, pbd: &Object) -> Option<Ref> {
    let here = |vbd: &Ref| {
        let vbd = view.find::<VBD>(*vbd).filter(|vbd| vbd.get(VBD::currently_attached));
        let machine = vbd.and_then(|vbd| view.find::<VM>(vbd.get(VBD::VM)));
        machine.is_some_and(|machine| machine.get(VM::resident_on) == pbd.get(PBD::host))
    };
    let disks = view.far(SR::VDIs, pbd.get(PBD::SR));
    disks.into_iter().find(|vdi| view.far(VDI::VBDs, *vdi).iter().any(here))
}
