//! Templates: machines that wait to be made. A template says in
//! `other_config:disks` which disks a machine of its kind needs; provisioning
//! makes them and turns the template's clone into a machine.

use super::allowed::permit;
use crate::command::draft::Fields;
use crate::command::operation::{self, Begin, Disk, DiskWork, Ended};
use crate::command::storage::{disk, sr};
use crate::command::{Call, Draft};
use crate::error::{ApiError, codes};
use crate::model::{ClassId, SR, VBD, VDI, VM, pool};
use crate::value::{Ref, Value};
use quick_xml::events::{BytesStart, Event};

/// More disks than a machine has places for.
const DISKS_MAX: usize = 255;
const XML_MAX_BYTES: usize = 64 << 10;
const KEY: &str = "disks";

type Answer = Result<Value, ApiError>;

/// One `<disk device="0" size="8589934592" sr="UUID" bootable="true" type="system"/>`.
struct Wanted {
    device: String,
    bytes: i64,
    sr: String,
    bootable: bool,
    kind: String,
}

/// `VM.provision(vm)`: done at once where no disk is wanted.
pub fn provision(draft: &mut Draft, call: &Call) -> Answer {
    let vm = call.reference(0);
    permit(draft, vm, "provision")?;
    let mut disks = Vec::new();
    for wanted in wanted(draft, vm)? {
        let sr = repository(draft, &wanted.sr)?;
        sr::assert_attached(draft.view(), &sr)?;
        sr::assert_room(&sr, wanted.bytes)?;
        let (uuid, sr) = (draft.ids.draw().uuid_text(), sr.get(SR::uuid).to_string());
        disks.push(Disk { uuid, sr, bytes: wanted.bytes, work: DiskWork::Make });
    }
    if disks.is_empty() {
        return become_machine(draft, vm);
    }
    operation::begin(draft, call, Begin { disks, ..Begin::on(ClassId::VM, vm, "provision") })
}

pub fn provisioned(draft: &mut Draft, ended: &Ended) -> Answer {
    let vm = ended.object;
    let name = draft.get(vm, VM::name_label, |name| name.to_string())?;
    for (wanted, planned) in wanted(draft, vm)?.iter().zip(&ended.disks) {
        let sr = draft.view().by_uuid(ClassId::SR, &planned.sr).unwrap_or(Ref::NULL);
        draft.find::<SR>(sr)?;
        let fields = Fields::<VDI>::new()
            .with(VDI::uuid, planned.uuid.clone())
            .with(VDI::name_label, format!("{name} {}", wanted.device))
            .with(VDI::SR, sr)
            .with(VDI::virtual_size, planned.bytes)
            .with(VDI::r#type, if wanted.kind == "system" { "system" } else { "user" })
            .with(VDI::managed, true);
        let made = disk::add(draft, fields);
        let fields = Fields::<VBD>::new()
            .with(VBD::VM, vm)
            .with(VBD::VDI, made)
            .with(VBD::userdevice, wanted.device.clone())
            .with(VBD::bootable, wanted.bootable)
            .with(VBD::mode, "RW")
            .with(VBD::r#type, "Disk");
        draft.create(fields);
    }
    become_machine(draft, vm)
}

fn become_machine(draft: &mut Draft, vm: Ref) -> Answer {
    let mut config = draft.get(vm, VM::other_config, Clone::clone)?;
    config.remove(KEY);
    draft.set(vm, VM::other_config, Value::Map(config.into()));
    draft.set(vm, VM::is_a_template, false);
    draft.set(vm, VM::is_default_template, false);
    Ok(Value::Void)
}

/// `VM.set_is_a_template(self, value)`
pub fn set_is_a_template(draft: &mut Draft, call: &Call) -> Answer {
    let (vm, wish) = (call.reference(0), call.bool(1));
    let machine = draft.find::<VM>(vm)?;
    if machine.get(VM::is_a_template) == wish {
        return Ok(Value::Void);
    }
    if wish {
        permit(draft, vm, "make_into_template")?;
    } else if machine.get(VM::is_a_snapshot) {
        return Err(codes::VM_IS_SNAPSHOT(vm, "set_is_a_template"));
    } else {
        draft.set(vm, VM::is_default_template, false);
    }
    draft.set(vm, VM::is_a_template, wish);
    Ok(Value::Void)
}

/// The repository with that uuid; without one, the pool's default.
fn repository(draft: &Draft, uuid: &str) -> Result<std::sync::Arc<crate::views::Object>, ApiError> {
    let view = draft.view();
    let named = view.by_uuid(ClassId::SR, uuid);
    let default = || view.all::<pool>().next().map(|pool| pool.get(pool::default_SR));
    match named {
        None if !uuid.is_empty() => Err(codes::UUID_INVALID("SR", uuid)),
        named => {
            let sr = named.or_else(default).unwrap_or(Ref::NULL);
            draft.find::<SR>(sr).map_err(|_| codes::DEFAULT_SR_NOT_FOUND(sr))
        }
    }
}

/// The disks that the template asks for.
fn wanted(draft: &Draft, vm: Ref) -> Result<Vec<Wanted>, ApiError> {
    let text = draft.get(vm, VM::other_config, |config| config.get(KEY).map(|xml| xml.as_str().to_string()))?;
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(Vec::new()) };
    let wrong = || codes::INVALID_VALUE("other_config:disks", text.chars().take(100).collect::<String>());
    if text.len() > XML_MAX_BYTES {
        return Err(wrong());
    }
    let mut reader = quick_xml::Reader::from_str(&text);
    let mut disks = Vec::new();
    loop {
        match reader.read_event().map_err(|_| wrong())? {
            Event::Start(element) | Event::Empty(element) if element.name().as_ref() == "disk" => {
                disks.push(disk_of(&element).ok_or_else(wrong)?);
            }
            Event::Eof => break,
            _ => {}
        }
    }
    if disks.len() > DISKS_MAX { Err(wrong()) } else { Ok(disks) }
}

fn disk_of(element: &BytesStart<'_>) -> Option<Wanted> {
    let text = |name: &str| {
        let attribute = element.try_get_attribute(name).ok()??;
        Some(attribute.value.into_owned())
    };
    Some(Wanted {
        device: text("device").filter(|device| !device.is_empty())?,
        bytes: text("size")?.parse().ok().filter(|bytes| *bytes > 0)?,
        sr: text("sr").unwrap_or_default(),
        bootable: text("bootable").is_some_and(|flag| flag == "true"),
        kind: text("type").unwrap_or_default(),
    })
}
