//! Operations: messages that need the hypervisor, from acceptance to their
//! end, carried by a task; and the derived fields that say what may be done.
//!
//! ```text
//!            begin                 complete ── success, with a result
//!   call ───────────▶ pending ───▶ fail     ── failure, with an error
//!                       │  ▲       cancelled
//!                       └──┘ progress
//! ```
//!
//! The pending task is the intent: the reconciler works from it and from
//! nothing else. One terminal event holds the new state, clears
//! `current_operations`, and ends the task. What does not come further within
//! its deadline is ended with an error: by its host's reconciler, or without it
//! when nobody is heard of any more ([`end_overdue`]).

use super::{Call, Draft, limits};
use crate::error::{ApiError, codes};
use crate::model::{ClassId, MODEL, VM, host, pool, task};
use crate::value::{self, Map, Micros, Ref, Value};
use crate::views::measured::setting;
use crate::views::{Object, View};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

/// How long the task of a synchronous call stays after its end, for whoever watches tasks.
pub const SYNCHRONOUS_KEPT: Micros = 10 * SECOND;
/// How long an operation may take without coming further before it is ended with an error, if its handler does not say.
pub const DEADLINE: Micros = 20 * 60 * SECOND;
/// How long whoever carries out a task may take to end it once it was cancelled or its deadline is over; then it is
/// ended without them.
pub const ENDING_MAX: Micros = 60 * SECOND;
/// The progress of a task that has not ended.
pub const PROGRESS_MAX: f64 = 0.99;
const SECOND: Micros = 1_000_000;

/// What a handler asks for when its call needs the hypervisor.
pub struct Begin<'a> {
    pub class: ClassId,
    pub object: Ref,
    /// The name in `current_operations`: `start`; "" when the object is not held.
    pub name: &'static str,
    /// Other objects that the operation holds, with the name it has in theirs.
    pub also: &'a [(ClassId, Ref, &'static str)],
    /// Disks that the driver makes, fills or removes on the way.
    pub disks: Vec<Disk>,
    pub deadline: Micros,
    /// Identities drawn now for what the operation will make, by name: the driver and the completion must agree on
    /// them before the thing exists.
    pub planned: &'a [(&'a str, String)],
}

impl<'a> Begin<'a> {
    pub fn on(class: ClassId, object: Ref, name: &'static str) -> Begin<'a> {
        Begin { class, object, name, also: &[], disks: Vec::new(), deadline: DEADLINE, planned: &[] }
    }

    /// An operation about an object that it does not hold.
    pub fn about(class: ClassId, object: Ref) -> Begin<'a> {
        Begin::on(class, object, "")
    }
}

/// One disk that an operation works on, decided when it began, so that a driver that starts over finds the
/// same names. New disks become VDIs in the terminal event: until then only the task knows them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Disk {
    /// The VDI's uuid: drivers know disks by nothing else.
    pub uuid: String,
    /// The uuid of its storage repository.
    pub sr: String,
    pub bytes: i64,
    pub work: DiskWork,
}

/// What a driver does to a disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiskWork {
    /// Make it, empty.
    Make,
    /// Make it with the contents of the disk of that uuid, which may be shared until written.
    Clone(String),
    /// Make it with a full copy of the disk of that uuid.
    Copy(String),
    /// Make it with a full copy of the disk of that uuid, which goes; machines that had that one have this one.
    Move(String),
    /// Keep it, without its contents: only which blocks changed stays known.
    Empty,
    /// Make it and write the machine's memory to it.
    Memory,
    /// Remove it, after everything else.
    Remove,
}

/// What the hypervisor reported when an operation ended; what does not apply is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// The domain's number on its host.
    pub domid: Option<i64>,
    /// Bytes that a disk or an image takes now.
    pub physical_bytes: Option<i64>,
    /// The size of a disk.
    pub virtual_bytes: Option<i64>,
    /// Names found by a scan, with their sizes.
    pub found: Vec<(String, i64)>,
    /// Bytes that a repository can hold.
    pub capacity_bytes: Option<i64>,
    /// Network devices found by a scan, with their MAC addresses.
    pub interfaces: Vec<(String, String)>,
    /// The device as the guest sees it.
    pub device: Option<String>,
    /// The blocks in which two disks differ: a bitmap in base64, the first block in the highest bit.
    pub changed_blocks: Option<String>,
    /// What is known of the host; apart, since few operations are about it.
    pub of_host: Box<OfHost>,
}

/// What the hypervisor reported of its host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OfHost {
    /// The run that began.
    pub boot: Option<String>,
    /// Network devices that have a link.
    pub links: Vec<String>,
    /// USB devices found by a scan.
    pub usb: Vec<super::device::hardware::Usb>,
}

/// An operation that the hypervisor carried out.
pub struct Ended {
    pub task: Ref,
    pub object: Ref,
    /// The arguments of the call that began it.
    pub args: Vec<Value>,
    /// What [`Begin::planned`] said.
    pub planned: Map,
    /// The disks as planned when it began.
    pub disks: Vec<Disk>,
    pub facts: Facts,
}

impl Ended {
    /// An identity that was drawn when the operation began.
    pub fn planned(&self, name: &str) -> &str {
        self.planned.get(name).map(Value::as_str).unwrap_or_else(|| panic!("BUG: no {name} was planned"))
    }
}

/// Begins an operation: a pending task, and the object marked with it. The handler has checked that it is allowed.
pub fn begin(draft: &mut Draft, call: &Call, begin: Begin<'_>) -> Result<Value, ApiError> {
    let mut locks = vec![(begin.class, begin.object, begin.name)];
    locks.extend(begin.also);
    locks.retain(|(_, _, name)| !name.is_empty());
    let args: Vec<Json> = call.args.iter().map(value::to_json).collect();
    check_room(draft)?;
    let fields = new_task(draft, call)
        .with(task::operation, call.message.full_name)
        .with(task::arguments, Json::from(args).to_string())
        .with(task::disks, stored_disks(&begin.disks))
        .with(task::locks, Value::set(locks.iter().map(|(class, object, _)| lock_text(*class, *object))))
        .with(task::object, begin.object.to_string())
        .with(task::deadline, Value::Time(draft.now.saturating_add(begin.deadline)))
        .with(task::synchronous, !call.background)
        .with(task::planned, Value::map(begin.planned.iter().map(|(name, id)| (*name, Value::text(id)))))
        .with(task::allowed_operations, Value::set(["cancel".into(), "destroy".into()]));
    let reference = draft.create(fields);
    for (class, object, name) in locks {
        hold(draft, class, object, reference, name);
    }
    draft.task = Some(reference);
    draft.pending = Some(reference);
    Ok(Value::Void)
}

/// Whether a caller may begin one more operation. What the server itself begins is counted with nobody.
fn check_room(draft: &Draft) -> Result<(), ApiError> {
    let (owner, most) = (&draft.principal.name, limits::count(draft.view(), pool::pending_task_limit));
    let few = draft.view().class(ClassId::task).objects.len() < most;
    if few || !owner.starts_with("user/") {
        return Ok(());
    }
    let theirs = |task: &&Arc<Object>| {
        task.get(task::status) == "pending" && !task.get(task::operation).is_empty() && task.get(task::owner) == owner
    };
    match draft.view().all::<task>().filter(theirs).count() < most {
        true => Ok(()),
        false => Err(codes::TOO_MANY_PENDING_TASKS()),
    }
}

/// The task of an `Async.` call that was done at once.
pub fn finished(draft: &mut Draft, call: &Call, result: &Value) -> Ref {
    let fields = new_task(draft, call)
        .with(task::status, "success")
        .with(task::progress, 1.0)
        .with(task::finished, Value::Time(draft.now))
        .with(task::result, crate::wire::fragment(result))
        .with(task::allowed_operations, Value::set(["destroy".into()]));
    let reference = draft.create(fields);
    draft.task = Some(reference);
    reference
}

fn new_task(draft: &Draft, call: &Call) -> super::draft::Fields<task> {
    let here = draft.view().all::<host>().next().map(|host| host.reference).unwrap_or(Ref::NULL);
    let prefix = if call.background { "Async." } else { "" };
    let session = draft.principal.session;
    let session = if draft.view().object(ClassId::session, session).is_some() { session } else { Ref::NULL };
    super::draft::Fields::new()
        .with(task::name_label, format!("{prefix}{}", call.message.full_name))
        .with(task::created, Value::Time(draft.now))
        .with(task::status, "pending")
        .with(task::resident_on, here)
        .with(task::r#type, "<none/>")
        .with(task::session, session)
        .with(task::owner, draft.principal.name.clone())
}

/// Notes how far an operation has come; what falls or comes after the end is ignored.
pub fn progress(draft: &mut Draft, reference: Ref, progress: f64) -> Result<Value, ApiError> {
    let task = draft.find::<task>(reference)?;
    let progress = progress.clamp(0.0, PROGRESS_MAX);
    if task.get(task::status) == "pending" && progress > task.get(task::progress) {
        draft.task = Some(reference);
        draft.set(reference, task::progress, progress);
        if !is_cancelled(&task) {
            let until = draft.now.saturating_add(DEADLINE).max(task.get(task::deadline));
            draft.set(reference, task::deadline, Value::Time(until));
        }
    }
    Ok(Value::Void)
}

/// Marks a task as cancelled, for whoever carries it out; asking twice is no error.
pub(super) fn ask_to_end(draft: &mut Draft, task: &Object) {
    if is_cancelled(task) {
        return;
    }
    let mut operations: Map = task.get(task::current_operations).clone();
    operations.insert(Arc::from(task.reference.to_string()), Value::from("cancel"));
    draft.set(task.reference, task::current_operations, Value::Map(Arc::new(operations)));
    draft.set(task.reference, task::deadline, Value::Time(draft.now));
}

/// Whether somebody asked for the task's end.
pub fn is_cancelled(task: &Object) -> bool {
    task.get(task::current_operations).values().any(|operation| operation.as_str() == "cancel")
}

/// Whether a task should have been ended and nobody has.
pub fn is_overdue(task: &Object, now: Micros) -> bool {
    let deadline = task.get(task::deadline);
    deadline > 0 && task.get(task::status) == "pending" && deadline.saturating_add(ENDING_MAX) <= now
}

/// Ends a task that nobody is heard of any more; what it held is free again.
pub fn end_overdue(draft: &mut Draft, reference: Ref) -> Result<Value, ApiError> {
    let task = draft.find::<task>(reference)?;
    if !is_overdue(&task, draft.now) {
        return Ok(Value::Void);
    }
    let error = if is_cancelled(&task) { codes::TASK_CANCELLED(reference) } else { too_late(&task) };
    fail(draft, reference, error)
}

/// What a task past its deadline ends with.
pub fn too_late(task: &Object) -> ApiError {
    let object = task.get(task::object);
    let class = task.get(task::operation).split('.').next().unwrap_or_default().to_string();
    let seconds = (task.get(task::deadline) - task.get(task::created)).max(0) / SECOND;
    match &**task.get(task::operation) {
        "VM.clean_shutdown" | "VM.clean_reboot" | "VM.shutdown" => codes::VM_SHUTDOWN_TIMEOUT(object, seconds),
        "VM.suspend" | "VM.checkpoint" => codes::VM_SUSPEND_TIMEOUT(object, seconds),
        "VBD.plug" | "VIF.plug" | "VBD.insert" => codes::DEVICE_ATTACH_TIMEOUT(class, object),
        "VBD.unplug" | "VBD.unplug_force" | "VIF.unplug" | "VIF.unplug_force" | "VBD.eject" => {
            codes::DEVICE_DETACH_TIMEOUT(class, object)
        }
        message => codes::INTERNAL_ERROR(format!("{message} did not end within {seconds} seconds")),
    }
}

/// Ends an operation in success, with what the hypervisor reported.
pub fn complete(draft: &mut Draft, reference: Ref, facts: Facts) -> Result<Value, ApiError> {
    let task = pending(draft, reference)?;
    let message = task.get(task::operation).clone();
    let ended = Ended {
        task: reference,
        object: Ref::parse(task.get(task::object)).unwrap_or(Ref::NULL),
        args: arguments(&task),
        planned: task.get(task::planned).clone(),
        disks: disks(&task),
        facts,
    };
    release(draft, &task);
    let completion = super::completion(&message)
        .unwrap_or_else(|| panic!("BUG: {message} begins an operation and has no completion"));
    match completion(draft, &ended) {
        Ok(result) => {
            end(draft, reference, "success", &result, Vec::new());
            Ok(Value::Void)
        }
        // What it was about went away meanwhile. A completion refuses before it changes anything.
        Err(error) => end_failed(draft, &task, error),
    }
}

/// Ends an operation in failure; the object is free again.
pub fn fail(draft: &mut Draft, reference: Ref, error: ApiError) -> Result<Value, ApiError> {
    let task = pending(draft, reference)?;
    release(draft, &task);
    end_failed(draft, &task, error)
}

fn end_failed(draft: &mut Draft, task: &Object, error: ApiError) -> Result<Value, ApiError> {
    unschedule(draft, task);
    let cancelled = error.code == "TASK_CANCELLED";
    let info: Vec<String> = std::iter::once(error.code.to_string()).chain(error.params.iter().cloned()).collect();
    draft.error = info.clone();
    end(draft, task.reference, if cancelled { "cancelled" } else { "failure" }, &Value::Void, info);
    Ok(Value::Void)
}

/// A task that is still running; reports for finished tasks are refused.
pub(super) fn pending(draft: &mut Draft, reference: Ref) -> Result<Arc<Object>, ApiError> {
    let task = draft.find::<task>(reference)?;
    if task.get(task::status) != "pending" {
        return Err(codes::OPERATION_NOT_ALLOWED(format!("{reference} has ended")));
    }
    draft.task = Some(reference);
    Ok(task)
}

/// The arguments of the call that began the task.
pub fn arguments(task: &Object) -> Vec<Value> {
    let args: Vec<Json> = serde_json::from_str(task.get(task::arguments)).expect("BUG: arguments are stored as JSON");
    call(task.get(task::operation), &args).expect("BUG: arguments are stored as their types say").args
}

/// A call as it was stored: arguments left out at the end have their defaults.
pub(super) fn call(message: &str, args: &[Json]) -> Result<Call, ApiError> {
    let message = MODEL.message(message).ok_or_else(|| codes::MESSAGE_METHOD_UNKNOWN(message))?;
    let typed = message.params.iter().enumerate().map(|(at, param)| match args.get(at) {
        Some(json) => value::from_json(param.ty, json),
        None => Some(value::default_value(param.ty, param.default)),
    });
    let args = typed.collect::<Option<_>>().ok_or_else(|| codes::INTERNAL_ERROR("an argument is not of its type"))?;
    Ok(Call { message, args, background: true })
}

/// The disks that the task works on.
pub fn disks(task: &Object) -> Vec<Disk> {
    match &**task.get(task::disks) {
        "" => Vec::new(),
        stored => serde_json::from_str(stored).expect("BUG: disks are stored as JSON"),
    }
}

fn stored_disks(disks: &[Disk]) -> String {
    match disks {
        [] => String::new(),
        disks => serde_json::to_string(disks).expect("BUG: disks are always JSON"),
    }
}

fn end(draft: &mut Draft, reference: Ref, status: &'static str, result: &Value, error: Vec<String>) {
    let reached = draft.get(reference, task::progress, |progress| progress).unwrap_or(0.0);
    draft.set(reference, task::progress_at_end, if status == "success" { 1.0 } else { reached });
    draft.set(reference, task::progress, 1.0);
    draft.set(reference, task::finished, Value::Time(draft.now));
    draft.set(reference, task::result, crate::wire::fragment(result));
    draft.set(reference, task::error_info, Value::set(error.into_iter().map(Value::from)));
    draft.set(reference, task::current_operations, Value::empty_map());
    draft.set(reference, task::allowed_operations, Value::set(["destroy".into()]));
    draft.set(reference, task::status, status);
}

/// The finished tasks that nobody needs any more: past their time, or too many. One that somebody waits for stays,
/// and so does a part of what is still under way.
pub fn past_their_time(view: &View, waited: &HashSet<Ref>, now: Micros) -> Vec<Ref> {
    let mut finished: Vec<(Micros, Ref)> = Vec::new();
    let mut gone: Vec<Ref> = Vec::new();
    let kept = setting(view, pool::completed_task_timeout).saturating_mul(SECOND);
    for task in view.all::<task>().filter(|task| task.get(task::status) != "pending") {
        let whole = view.find::<task>(task.get(task::subtask_of));
        if waited.contains(&task.reference) || whole.is_some_and(|whole| whole.get(task::status) == "pending") {
            continue;
        }
        let kept = if task.get(task::synchronous) { SYNCHRONOUS_KEPT } else { kept };
        match task.get(task::finished).saturating_add(kept) <= now {
            true => gone.push(task.reference),
            false => finished.push((task.get(task::finished), task.reference)),
        }
    }
    let surplus = finished.len().saturating_sub(limits::count(view, pool::completed_task_limit));
    finished.sort_unstable();
    gone.extend(finished.into_iter().take(surplus).map(|(_, reference)| reference));
    gone
}

/// Removes the finished tasks that nobody needs any more.
pub fn purge(draft: &mut Draft, waited: &HashSet<Ref>) -> Result<Value, ApiError> {
    for reference in past_their_time(draft.view(), waited, draft.now) {
        draft.delete::<task>(reference);
    }
    Ok(Value::Void)
}

fn lock_text(class: ClassId, object: Ref) -> Value {
    Value::from(format!("{}/{object}", class.name()))
}

/// The objects that a task holds.
pub fn held(task: &Object) -> Vec<(ClassId, Ref)> {
    let locks = task.get(task::locks).iter().filter_map(|lock| {
        let (class, object) = lock.as_str().split_once('/')?;
        Some((MODEL.class(class)?, Ref::parse(object)?))
    });
    locks.collect()
}

fn hold(draft: &mut Draft, class: ClassId, object: Ref, task: Ref, name: &'static str) {
    let Some(field) = MODEL.field(class, "current_operations") else { return };
    let Ok(held) = draft.object(class, object) else { return };
    let mut operations: Map = held.record[field].as_map().clone();
    operations.insert(Arc::from(task.to_string()), Value::from(name));
    draft.set_field(class, object, field, Value::Map(Arc::new(operations)));
}

fn release(draft: &mut Draft, task: &Object) {
    let key = task.reference.to_string();
    for (class, object) in held(task) {
        let Some(field) = MODEL.field(class, "current_operations") else { continue };
        let Ok(held) = draft.object(class, object) else { continue };
        let mut operations: Map = held.record[field].as_map().clone();
        operations.remove(&*key);
        let left = if operations.is_empty() { Value::empty_map() } else { Value::Map(Arc::new(operations)) };
        draft.set_field(class, object, field, left);
    }
}

/// A machine whose start failed is expected nowhere any more.
fn unschedule(draft: &mut Draft, task: &Object) {
    for (class, object) in held(task) {
        if class == ClassId::VM && draft.object(class, object).is_ok() {
            draft.set(object, VM::scheduled_to_be_resident_on, Ref::NULL);
        }
    }
}

/// How one class's `allowed_operations` follow from the state.
pub struct Derived {
    pub class: ClassId,
    /// The fields of the class itself whose change asks for a new look.
    pub inputs: &'static [usize],
    /// What may be done now.
    pub allowed: fn(&View, &Object) -> Vec<&'static str>,
    /// Objects whose own derived fields depend on this one.
    pub neighbours: fn(&View, &Object) -> Vec<(ClassId, Ref)>,
}

fn derived(class: ClassId) -> Option<&'static Derived> {
    super::FAMILIES.iter().flat_map(|family| family.derived).copied().find(|derived| derived.class == class)
}

/// Brings `allowed_operations` up to date on all objects touched and on their neighbours.
pub(super) fn derive(draft: &mut Draft) {
    let mut stale: BTreeSet<(ClassId, Ref)> = BTreeSet::new();
    for (class, reference) in draft.touched() {
        let Some(derived) = derived(class) else { continue };
        let fields = draft.fields_touched(class, reference);
        if draft.stays(class, reference) && !fields.iter().any(|field| derived.inputs.contains(field)) {
            continue;
        }
        stale.insert((class, reference));
        for view in [draft.base(), draft.view()] {
            if let Some(object) = view.object(class, reference) {
                stale.extend((derived.neighbours)(view, object));
            }
        }
    }
    for (class, reference) in stale {
        refresh(draft, class, reference);
    }
}

/// Brings one object's `allowed_operations` up to date.
pub fn refresh(draft: &mut Draft, class: ClassId, reference: Ref) {
    let (Some(derived), Some(field)) = (derived(class), MODEL.field(class, "allowed_operations")) else { return };
    let Ok(object) = draft.object(class, reference) else { return };
    let allowed = (derived.allowed)(draft.view(), &object);
    draft.set_field(class, reference, field, Value::set(allowed.into_iter().map(Value::from)));
}
