//! Repositories: making, looking, and letting go.

use super::disk;
use super::plugins::{self, Plugin, plugin};
use crate::command::attach::{self, object};
use crate::command::draft::Fields;
use crate::command::operation::{self, Begin, Derived, Ended, Facts};
use crate::command::secret::{drop_passwords, hide_passwords};
use crate::command::{Call, Draft, Reading};
use crate::error::{ApiError, codes};
use crate::model::{ClassId, PBD, SR, VDI, host, task};
use crate::value::{Map, Ref, Value};
use crate::views::{Object, View};
use std::collections::{BTreeMap, BTreeSet};

pub use super::plugins::sm_plugins;

/// How many disks one scan may bring: what grows has a limit.
pub const FOUND_MAX: usize = 100_000;

/// What can be offered; the rest of the published operations no kind of repository has.
const OFFERED: [&str; 24] = [
    "scan",
    "destroy",
    "forget",
    "plug",
    "unplug",
    "update",
    "vdi_create",
    "vdi_introduce",
    "vdi_destroy",
    "vdi_resize",
    "vdi_resize_online",
    "vdi_clone",
    "vdi_snapshot",
    "vdi_set_on_boot",
    "vdi_copy",
    "vdi_forget",
    "vdi_update",
    "vdi_mirror",
    "vdi_enable_cbt",
    "vdi_disable_cbt",
    "vdi_data_destroy",
    "vdi_list_changed_blocks",
    "pbd_create",
    "pbd_destroy",
];

/// Operations on one disk do not get into each other's way.
const ON_DISKS: [&str; 16] = [
    "vdi_create",
    "vdi_introduce",
    "vdi_destroy",
    "vdi_resize",
    "vdi_resize_online",
    "vdi_clone",
    "vdi_snapshot",
    "vdi_set_on_boot",
    "vdi_copy",
    "vdi_forget",
    "vdi_update",
    "vdi_mirror",
    "vdi_enable_cbt",
    "vdi_disable_cbt",
    "vdi_data_destroy",
    "vdi_list_changed_blocks",
];

pub static ALLOWED: Derived = Derived {
    class: ClassId::SR,
    inputs: &[SR::current_operations.index, SR::other_config.index, SR::is_tools_sr.index],
    allowed: |view, sr| OFFERED.into_iter().filter(|operation| check(view, sr, operation).is_ok()).collect(),
    neighbours: |_, _| Vec::new(),
};

/// Whether the repository allows the operation now.
pub fn check(view: &View, sr: &Object, operation: &str) -> Result<(), ApiError> {
    let harmless: &[&str] = if ON_DISKS.contains(&operation) { &ON_DISKS } else { &[] };
    if let Some((task, name)) = attach::holder(ClassId::SR, sr, harmless) {
        return Err(attach::busy(ClassId::SR, sr, name, task));
    }
    assert_can(sr, operation)?;
    match operation {
        "destroy" | "forget" => assert_expendable(view, sr, operation),
        "plug" | "unplug" | "pbd_create" | "pbd_destroy" | "vdi_forget" => Ok(()),
        _ => assert_attached(view, sr),
    }
}

/// Whether this kind of repository has the operation at all.
pub fn assert_can(sr: &Object, operation: &str) -> Result<(), ApiError> {
    let feature = match operation {
        "update" => "SR_UPDATE",
        "vdi_create" => "VDI_CREATE",
        "vdi_introduce" => "VDI_INTRODUCE",
        "vdi_destroy" => "VDI_DELETE",
        "vdi_resize" => "VDI_RESIZE",
        "vdi_resize_online" => "VDI_RESIZE_ONLINE",
        "vdi_clone" => "VDI_CLONE",
        "vdi_snapshot" => "VDI_SNAPSHOT",
        "vdi_set_on_boot" => "VDI_RESET_ON_BOOT",
        "vdi_update" => "VDI_UPDATE",
        "vdi_mirror" => "VDI_MIRROR",
        "vdi_enable_cbt" | "vdi_disable_cbt" | "vdi_data_destroy" | "vdi_list_changed_blocks" => "VDI_CONFIG_CBT",
        _ => return Ok(()),
    };
    match plugin(sr.get(SR::r#type)) {
        Ok(plugin) if plugin.can(feature) => Ok(()),
        _ => Err(codes::SR_OPERATION_NOT_SUPPORTED(sr.reference)),
    }
}

/// Whether some host has the repository plugged in.
pub fn assert_attached(view: &View, sr: &Object) -> Result<(), ApiError> {
    let pbds = view.far(SR::PBDs, sr.reference);
    if pbds.is_empty() {
        return Err(codes::SR_HAS_NO_PBDS(sr.reference));
    }
    if pbds.into_iter().any(|pbd| is_attached(view, pbd)) {
        return Ok(());
    }
    Err(codes::SR_NOT_ATTACHED(sr.reference))
}

fn is_attached(view: &View, pbd: Ref) -> bool {
    view.find::<PBD>(pbd).is_some_and(|pbd| pbd.get(PBD::currently_attached))
}

fn assert_expendable(view: &View, sr: &Object, operation: &str) -> Result<(), ApiError> {
    let kept = sr.get(SR::other_config).get("indestructible").is_some_and(|kept| kept.as_str() == "true");
    if sr.get(SR::is_tools_sr) || (kept && operation == "destroy") {
        return Err(codes::SR_INDESTRUCTIBLE(sr.reference));
    }
    let pbds = view.far(SR::PBDs, sr.reference);
    if pbds.iter().any(|pbd| is_attached(view, *pbd)) {
        return Err(codes::SR_HAS_PBD(sr.reference));
    }
    if operation == "destroy" && pbds.is_empty() {
        return Err(codes::SR_HAS_NO_PBDS(sr.reference));
    }
    Ok(())
}

/// A disk may be promised no more than is free; several together may, since images grow as they are written.
pub fn assert_room(sr: &Object, bytes: i64) -> Result<(), ApiError> {
    let size = sr.get(SR::physical_size);
    let free = size.saturating_sub(sr.get(SR::physical_utilisation)).max(0);
    if size > 0 && bytes > free { Err(codes::SR_FULL(bytes, free)) } else { Ok(()) }
}

pub fn create(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let (on, size) = (call.reference(0), call.int(2));
    draft.find::<host>(on)?;
    let plugin = plugin(call.text(5))?;
    plugin.check_configuration(call.args[1].as_map())?;
    if size < 0 {
        return Err(codes::INVALID_VALUE("physical_size", size));
    }
    if call.bool(7) && !plugin.shared {
        return Err(codes::SR_NOT_SHARABLE(Ref::NULL, on));
    }
    let mut call = call.clone();
    call.args[1] = hide_passwords(draft, call.args[1].as_map());
    draft.record_args(&call);
    let planned = [("SR", draft.ids.draw().uuid_text())];
    operation::begin(draft, &call, Begin { planned: &planned, ..Begin::about(ClassId::host, on) })
}

/// The repository appears with a PBD on the host that made it, plugged; where it is shared, others can plug theirs.
pub fn created(draft: &mut Draft, ended: &Ended) -> Result<Value, ApiError> {
    let [on, device_config, size, label, description, kind, content, shared, sm_config] = &ended.args[..] else {
        panic!("BUG: SR.create has nine parameters");
    };
    draft.find::<host>(on.as_ref())?;
    let content = if content.as_str().is_empty() { plugin(kind.as_str())?.content_type } else { content.as_str() };
    let sr = draft.create(
        Fields::<SR>::new()
            .with(SR::uuid, ended.planned("SR"))
            .with(SR::name_label, label.clone())
            .with(SR::name_description, description.clone())
            .with(SR::physical_size, size.clone())
            .with(SR::r#type, kind.clone())
            .with(SR::content_type, content)
            .with(SR::shared, shared.clone())
            .with(SR::sm_config, sm_config.clone()),
    );
    let hosts: Vec<Ref> = draft.view().all::<host>().map(|host| host.reference).collect();
    let reach = hosts.into_iter().filter(|host| *host == on.as_ref() || *shared == Value::Bool(true));
    for host in reach {
        let here = host == on.as_ref();
        let fields = Fields::<PBD>::new().with(PBD::host, host).with(PBD::SR, sr);
        draft.create(fields.with(PBD::device_config, device_config.clone()).with(PBD::currently_attached, here));
    }
    learn_sizes(draft, sr, &ended.facts);
    learn_contents(draft, sr, &ended.facts);
    Ok(Value::Ref(sr))
}

/// A repository that was made elsewhere: how hosts reach it, its PBDs say.
pub fn introduce(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let (uuid, kind) = (call.text(0), call.text(3));
    let plugin = plugin(kind)?;
    if !uuid.is_empty() && Ref::parse_uuid(uuid).is_none() {
        return Err(codes::UUID_INVALID("SR", uuid));
    }
    if draft.view().by_uuid(ClassId::SR, uuid).is_some() {
        return Err(codes::SR_UUID_EXISTS(uuid));
    }
    let content = if call.text(4).is_empty() { plugin.content_type } else { call.text(4) };
    let fields = Fields::<SR>::new()
        .with(SR::uuid, uuid)
        .with(SR::name_label, call.text(1))
        .with(SR::name_description, call.text(2))
        .with(SR::r#type, kind)
        .with(SR::content_type, content)
        .with(SR::shared, call.bool(5))
        .with(SR::sm_config, call.args[6].clone());
    Ok(Value::Ref(draft.create(fields)))
}

/// Begins what needs nothing but the repository.
fn begin(draft: &mut Draft, call: &Call, name: &'static str) -> Result<Value, ApiError> {
    let sr = draft.find::<SR>(call.reference(0))?;
    check(draft.view(), &sr, name)?;
    operation::begin(draft, call, Begin::on(ClassId::SR, sr.reference, name))
}

pub fn begin_scan(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    begin(draft, call, "scan")
}

pub fn begin_update(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    begin(draft, call, "update")
}

pub fn begin_destroy(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    if !draft.far(SR::VDIs, call.reference(0)).is_empty() {
        return Err(codes::SR_NOT_EMPTY());
    }
    begin(draft, call, "destroy")
}

pub fn destroyed(draft: &mut Draft, ended: &Ended) -> Result<Value, ApiError> {
    remove(draft, ended.object)
}

pub fn forget(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let sr = draft.find::<SR>(call.reference(0))?;
    check(draft.view(), &sr, "forget")?;
    remove(draft, sr.reference)
}

/// Takes away the repository with its disks and with the ways to it.
fn remove(draft: &mut Draft, sr: Ref) -> Result<Value, ApiError> {
    draft.find::<SR>(sr)?;
    for vdi in draft.far(SR::VDIs, sr) {
        disk::remove(draft, vdi)?;
    }
    for pbd in draft.far(SR::PBDs, sr) {
        let config = draft.get(pbd, PBD::device_config, Map::clone)?;
        drop_passwords(draft, &config);
        draft.delete::<PBD>(pbd);
    }
    draft.delete::<SR>(sr);
    Ok(Value::Void)
}

pub fn updated(draft: &mut Draft, ended: &Ended) -> Result<Value, ApiError> {
    draft.find::<SR>(ended.object)?;
    learn_sizes(draft, ended.object, &ended.facts);
    Ok(Value::Void)
}

/// What is there and unknown appears; what is known and not there is missing, and goes if nothing refers to it.
pub fn scanned(draft: &mut Draft, ended: &Ended) -> Result<Value, ApiError> {
    let (sr, facts) = (ended.object, &ended.facts);
    draft.find::<SR>(sr)?;
    learn_sizes(draft, sr, facts);
    learn_contents(draft, sr, facts);
    // A driver that says nothing of the repository itself has not looked.
    if facts.capacity_bytes.is_none() {
        return Ok(Value::Void);
    }
    let there: BTreeMap<&str, i64> = facts.found.iter().map(|(name, size)| (name.as_str(), *size)).collect();
    for vdi in draft.far(SR::VDIs, sr) {
        let known = draft.find::<VDI>(vdi)?;
        if !known.get(VDI::current_operations).is_empty() {
            continue;
        }
        let used = known.get(VDI::physical_utilisation);
        match there.get(&**known.get(VDI::location)) {
            Some(size) => {
                draft.set(vdi, VDI::missing, false);
                disk::resize(draft, vdi, *size, if known.get(VDI::read_only) { *size } else { used });
            }
            None if draft.far(VDI::VBDs, vdi).is_empty() => disk::remove(draft, vdi)?,
            None => draft.set(vdi, VDI::missing, true),
        }
    }
    Ok(Value::Void)
}

/// Notes what the driver says of the repository's size. What its disks take is the sum over them.
pub fn learn_sizes(draft: &mut Draft, sr: Ref, facts: &Facts) {
    if let Some(capacity) = facts.capacity_bytes {
        draft.set(sr, SR::physical_size, capacity);
    }
}

/// Adds the disks that are there and unknown.
pub fn learn_contents(draft: &mut Draft, sr: Ref, facts: &Facts) {
    let Ok(repository) = draft.find::<SR>(sr) else { return };
    let media = &**repository.get(SR::content_type) == "iso";
    let known = known_names(draft.view(), sr);
    for (name, size) in facts.found.iter().filter(|(name, _)| !known.contains(name)).take(FOUND_MAX) {
        let taken = draft.view().by_uuid(ClassId::VDI, name).is_some();
        let uuid = if Ref::parse_uuid(name).is_some() && !taken { name.as_str() } else { "" };
        let fields = Fields::<VDI>::new()
            .with(VDI::uuid, uuid)
            .with(VDI::location, name.as_str())
            .with(VDI::name_label, name.as_str())
            .with(VDI::SR, sr)
            .with(VDI::r#type, "user")
            .with(VDI::virtual_size, *size)
            .with(VDI::physical_utilisation, *size)
            .with(VDI::read_only, media)
            .with(VDI::managed, true);
        disk::add(draft, fields);
    }
}

/// Where the repository's disks are, those included that a pending operation is making.
fn known_names(view: &View, sr: Ref) -> BTreeSet<String> {
    let disks = view.far(SR::VDIs, sr).into_iter().filter_map(|vdi| view.find::<VDI>(vdi));
    let mut names: BTreeSet<String> = disks.map(|disk| disk.get(VDI::location).to_string()).collect();
    for pending in view.all::<task>().filter(|task| task.get(task::status) == "pending") {
        names.extend(operation::disks(pending).into_iter().map(|disk| disk.uuid));
    }
    names
}

pub fn set_shared(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let sr = draft.find::<SR>(call.reference(0))?;
    let sharable = plugin(sr.get(SR::r#type)).is_ok_and(|plugin| plugin.shared);
    let pbds = draft.far(SR::PBDs, sr.reference);
    let on = pbds.first().and_then(|pbd| draft.get(*pbd, PBD::host, |host| host).ok()).unwrap_or(Ref::NULL);
    if (call.bool(1) && !sharable) || (!call.bool(1) && pbds.len() > 1) {
        return Err(codes::SR_NOT_SHARABLE(sr.reference, on));
    }
    draft.set(sr.reference, SR::shared, call.bool(1));
    Ok(Value::Void)
}

pub fn begin_probe(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let on = call.reference(0);
    draft.find::<host>(on)?;
    let plugin: &Plugin = plugin(call.text(2))?;
    plugin.check_configuration(call.args[1].as_map())?;
    let mut call = call.clone();
    call.args[1] = hide_passwords(draft, call.args[1].as_map());
    draft.record_args(&call);
    operation::begin(draft, &call, Begin::about(ClassId::host, on))
}

/// The repositories found, as the XML that clients of `probe` read.
pub fn probed(draft: &mut Draft, ended: &Ended) -> Result<Value, ApiError> {
    drop_passwords(draft, ended.args[1].as_map());
    let found = ended.facts.found.iter().filter(|(name, _)| Ref::parse_uuid(name).is_some());
    let rows = found.map(|(uuid, size)| format!("\t<SR>\n\t\t<UUID>{uuid}</UUID>\n\t\t<Size>{size}</Size>\n\t</SR>\n"));
    Ok(Value::from(format!("<?xml version=\"1.0\" ?>\n<SRlist>\n{}</SRlist>\n", rows.collect::<String>())))
}

/// The repositories found, as records.
pub fn probed_ext(draft: &mut Draft, ended: &Ended) -> Result<Value, ApiError> {
    drop_passwords(draft, ended.args[1].as_map());
    let found = ended.facts.found.iter().map(|(uuid, size)| {
        let stat = Value::map([
            ("uuid", Value::text(uuid)),
            ("name_label", Value::text("")),
            ("name_description", Value::text("")),
            ("free_space", Value::Int(0)),
            ("total_space", Value::Int(*size)),
            ("clustered", Value::Bool(false)),
            ("health", Value::text("healthy")),
        ]);
        Value::map([
            ("configuration", ended.args[1].clone()),
            ("complete", Value::Bool(true)),
            ("sr", stat),
            ("extra_info", Value::empty_map()),
        ])
    });
    Ok(Value::set(found))
}

pub fn supported_types(_: &Reading<'_>, _: &Call) -> Result<Value, ApiError> {
    Ok(Value::set(plugins::PLUGINS.iter().map(|plugin| Value::text(plugin.kind))))
}

/// Deprecated for so long that nobody serves it: it made a repository that no object told of.
pub fn make(_draft: &mut Draft, _call: &Call) -> Result<Value, ApiError> {
    Err(codes::MESSAGE_DEPRECATED())
}

/// High availability keeps its state file on block storage, which no kind of repository here is.
pub fn assert_can_host_ha_statefile(reading: &Reading<'_>, call: &Call) -> Result<Value, ApiError> {
    let sr = object::<SR>(reading.view, call.reference(0))?;
    Err(codes::SR_OPERATION_NOT_SUPPORTED(sr.reference))
}
