//! Schedules that take snapshots of machines: what a schedule may say, when it
//! is due, what a run does, and which snapshots it keeps.
//!
//! | frequency | parts of `schedule`                                         |
//! |-----------|-------------------------------------------------------------|
//! | hourly    | `min`: 0, 15, 30, 45                                        |
//! | daily     | and `hour`: 0 to 23                                         |
//! | weekly    | and `days`: names of days, with commas between              |
//!
//! Times are UTC. A run is a [`sequence`] with one call a machine; when it ends,
//! a message tells people how, and the oldest snapshots beyond
//! `retained_snapshots` go, disks included.
//!
//! ```text
//!   due ─┬─▶ run, last_run_time ─▶ VMSS_SNAPSHOT_SUCCEEDED or VMSS_SNAPSHOT_FAILED ─▶ surplus destroyed
//!        └─▶ the last run still goes on, or it is too late ─▶ VMSS_SNAPSHOT_MISSED_EVENT
//! ```
//!
//! Must never know how a snapshot is taken.

use super::copies;
use crate::command::operation::{self, Begin, DiskWork};
use crate::command::sequence::{self, Failed, Group};
use crate::command::{Call, Draft, generic, message};
use crate::error::{ApiError, codes};
use crate::model::{ClassId, VDI, VM, VMSS, message as notice};
use crate::value::{Map, Micros, Ref, Value, format_time};
use crate::views::{Object, View};

type Answer = Result<Value, ApiError>;

const MINUTE: Micros = 60_000_000;
const HOUR: Micros = 60 * MINUTE;
const DAY: Micros = 24 * HOUR;
/// A run that could not begin for so long is not made up for: the server was down.
const LATE_MAX: Micros = 15 * MINUTE;
/// Snapshots that a schedule may keep of each machine.
const RETAINED: std::ops::RangeInclusive<i64> = 1..=10;
const MINUTES: [&str; 4] = ["0", "15", "30", "45"];
/// From the first day of the epoch on.
const DAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];

/// Names and priorities of what people are told.
const SUCCEEDED: (&str, i64) = ("VMSS_SNAPSHOT_SUCCEEDED", 5);
const FAILED: (&str, i64) = ("VMSS_SNAPSHOT_FAILED", 3);
const MISSED: (&str, i64) = ("VMSS_SNAPSHOT_MISSED_EVENT", 3);

/// The parts of a schedule of that frequency, with what they are if nobody says.
fn parts(frequency: &str) -> &'static [(&'static str, &'static str)] {
    match frequency {
        "hourly" => &[("min", "0")],
        "daily" => &[("min", "0"), ("hour", "0")],
        _ => &[("min", "0"), ("hour", "0"), ("days", "Monday")],
    }
}

fn check_part(key: &str, value: &str) -> Result<(), ApiError> {
    let day = |name: &str| DAYS.iter().any(|day| day.eq_ignore_ascii_case(name.trim()));
    let fits = match key {
        "min" => MINUTES.contains(&value),
        "hour" => value.parse::<u8>().is_ok_and(|hour| hour < 24 && hour.to_string() == value),
        "days" => value.split(',').all(day),
        _ => false,
    };
    if fits { Ok(()) } else { Err(codes::INVALID_VALUE(format!("schedule:{key}"), value)) }
}

fn check_parts(schedule: &Map) -> Result<(), ApiError> {
    schedule.iter().try_for_each(|(key, value)| check_part(key, value.as_str()))
}

/// The schedule with exactly the parts that the frequency has.
fn completed(schedule: &Map, frequency: &str) -> Value {
    let part = |(key, unsaid): &(&'static str, &'static str)| {
        (*key, schedule.get(*key).cloned().unwrap_or_else(|| Value::from(*unsaid)))
    };
    Value::map(parts(frequency).iter().map(part))
}

fn check_retained(count: i64) -> Result<(), ApiError> {
    if RETAINED.contains(&count) { Ok(()) } else { Err(codes::INVALID_VALUE("retained_snapshots", count)) }
}

/// `VMSS.create(args)`
pub fn create(draft: &mut Draft, call: &Call) -> Answer {
    let mut record = generic::constructed(draft, ClassId::VMSS, &call.args[0])?;
    let schedule = record[VMSS::schedule.index].as_map().clone();
    check_parts(&schedule)?;
    let Value::Int(retained) = record[VMSS::retained_snapshots.index] else {
        return Err(codes::FIELD_TYPE_ERROR("retained_snapshots"));
    };
    check_retained(retained)?;
    record[VMSS::schedule.index] = completed(&schedule, record[VMSS::frequency.index].as_str());
    let reference = draft.ids.draw();
    draft.add(ClassId::VMSS, reference, record);
    arm(draft, reference);
    Ok(Value::Ref(reference))
}

/// `VMSS.destroy(self)`: not while machines have it. What it told people goes with it.
pub fn destroy(draft: &mut Draft, call: &Call) -> Answer {
    let schedule = draft.find::<VMSS>(call.reference(0))?;
    if !draft.far(VMSS::VMs, schedule.reference).is_empty() {
        return Err(codes::VMSS_HAS_VM());
    }
    let uuid = schedule.get(VMSS::uuid);
    let told = draft.view().all::<notice>().filter(|one| one.get(notice::obj_uuid) == uuid);
    let told: Vec<Ref> = told.map(|one| one.reference).collect();
    told.into_iter().for_each(|one| draft.delete::<notice>(one));
    draft.delete::<VMSS>(schedule.reference);
    Ok(Value::Void)
}

/// From now on it is due: what its time would have been before is past.
fn arm(draft: &mut Draft, schedule: Ref) {
    draft.set(schedule, VMSS::armed, Value::Time(draft.now));
}

/// `VMSS.set_enabled(self, value)`
pub fn set_enabled(draft: &mut Draft, call: &Call) -> Answer {
    draft.find::<VMSS>(call.reference(0))?;
    draft.set(call.reference(0), VMSS::enabled, call.bool(1));
    arm(draft, call.reference(0));
    Ok(Value::Void)
}

/// `VMSS.set_frequency(self, value)`: the schedule gets the parts that it then needs, and loses the others.
pub fn set_frequency(draft: &mut Draft, call: &Call) -> Answer {
    let schedule = draft.find::<VMSS>(call.reference(0))?;
    let frequency = call.args[1].as_str();
    draft.set(schedule.reference, VMSS::schedule, completed(schedule.get(VMSS::schedule), frequency));
    draft.set(schedule.reference, VMSS::frequency, call.args[1].clone());
    arm(draft, schedule.reference);
    Ok(Value::Void)
}

/// `VMSS.set_schedule(self, value)`
pub fn set_schedule(draft: &mut Draft, call: &Call) -> Answer {
    check_parts(call.args[1].as_map())?;
    let done = generic::set(draft, ClassId::VMSS, call.reference(0), VMSS::schedule.index, call.args[1].clone())?;
    arm(draft, call.reference(0));
    Ok(done)
}

/// `VMSS.add_to_schedule(self, key, value)`
pub fn add_to_schedule(draft: &mut Draft, call: &Call) -> Answer {
    check_part(call.text(1), call.text(2))?;
    let (key, value) = (call.text(1).to_string(), call.args[2].clone());
    let done = generic::add_to(draft, ClassId::VMSS, call.reference(0), VMSS::schedule.index, key, value)?;
    arm(draft, call.reference(0));
    Ok(done)
}

/// `VMSS.remove_from_schedule(self, key)`: what is not said is as if the first of its values were.
pub fn remove_from_schedule(draft: &mut Draft, call: &Call) -> Answer {
    let done = generic::remove_from(draft, ClassId::VMSS, call.reference(0), VMSS::schedule.index, call.text(1))?;
    arm(draft, call.reference(0));
    Ok(done)
}

/// `VMSS.set_retained_snapshots(self, value)`: a smaller number shows at the end of the next run.
pub fn set_retained_snapshots(draft: &mut Draft, call: &Call) -> Answer {
    check_retained(call.int(1))?;
    generic::declared_setter(draft, call)
}

/// `VMSS.snapshot_now(vmss)`: whatever its time, and also while it is not enabled.
pub fn snapshot_now(draft: &mut Draft, call: &Call) -> Answer {
    let schedule = draft.find::<VMSS>(call.reference(0))?;
    if let Some(task) = sequence::pending_about(draft.view(), schedule.reference) {
        return Err(codes::OTHER_OPERATION_IN_PROGRESS("VMSS", schedule.reference, "snapshot_now", task));
    }
    let mut all = Group::default();
    for vm in draft.far(VMSS::VMs, schedule.reference) {
        let machine = draft.find::<VM>(vm)?;
        let (message, rest) = taken_by(&schedule, &machine, draft.now);
        all.call(message, vm, &rest);
    }
    draft.set(schedule.reference, VMSS::last_run_time, Value::Time(draft.now));
    sequence::begin(draft, call, Begin::about(ClassId::VMSS, schedule.reference), vec![all])
}

/// The call that takes one machine's snapshot; a machine that is halted has no memory to keep.
fn taken_by(schedule: &Object, machine: &Object, now: Micros) -> (&'static str, Vec<Value>) {
    let (of, by) = (machine.get(VM::name_label), schedule.get(VMSS::name_label));
    let name = Value::from(format!("{of}_{by}_{}", format_time(now)));
    match schedule.get(VMSS::r#type) {
        "checkpoint" if machine.get(VM::power_state) != "Halted" => ("VM.checkpoint", vec![name]),
        "snapshot_with_quiesce" => ("VM.snapshot_with_quiesce", vec![name]),
        _ => ("VM.snapshot", vec![name]),
    }
}

/// Whether a snapshot is a schedule's: the task that takes it is part of a run.
pub fn is_run(view: &View, task: Ref) -> bool {
    use crate::model::task;
    let whole = view.find::<task>(task).map(|part| part.get(task::subtask_of));
    let whole = whole.and_then(|whole| view.find::<task>(whole));
    whole.is_some_and(|whole| &**whole.get(task::operation) == "VMSS.snapshot_now")
}

/// The end of a run: people are told, and what is too old goes.
pub fn after(draft: &mut Draft, schedule: Ref, failed: &[Failed]) -> Result<(), ApiError> {
    let Ok(found) = draft.find::<VMSS>(schedule) else { return Ok(()) };
    match failed {
        [] => tell(draft, &found, SUCCEEDED, "every snapshot was taken"),
        failed => {
            let lines = failed.iter().map(|failed| format!("{}: {}", failed.object, failed.error.join(", ")));
            tell(draft, &found, FAILED, &lines.collect::<Vec<_>>().join("\n"));
        }
    }
    let kept = usize::try_from(found.get(VMSS::retained_snapshots)).unwrap_or(usize::MAX);
    for vm in draft.far(VMSS::VMs, schedule) {
        for snapshot in surplus(draft.view(), vm, kept) {
            // One that is being used goes after a later run.
            if let Err(error) = retire(draft, snapshot) {
                tracing::info!(%snapshot, %error, "an old snapshot could not be destroyed");
            }
        }
    }
    Ok(())
}

fn tell(draft: &mut Draft, schedule: &Object, (name, priority): (&str, i64), body: &str) {
    message::raise(draft, name, priority, "VMSS", schedule.get(VMSS::uuid), body);
}

/// The oldest snapshots that schedules took of a machine, beyond so many.
fn surplus(view: &View, vm: Ref, kept: usize) -> Vec<Ref> {
    let snapshots = view.far(VM::snapshots, vm).into_iter().filter_map(|snapshot| view.find::<VM>(snapshot));
    let mut taken: Vec<(Micros, Ref)> = snapshots
        .filter(|snapshot| snapshot.get(VM::is_vmss_snapshot))
        .map(|snapshot| (snapshot.get(VM::snapshot_time), snapshot.reference))
        .collect();
    taken.sort();
    let goes = taken.len().saturating_sub(kept);
    taken.into_iter().take(goes).map(|(_, snapshot)| snapshot).collect()
}

/// Destroys a snapshot and its disks, as an operation of its own.
fn retire(draft: &mut Draft, snapshot: Ref) -> Answer {
    let found = super::allowed::permit(draft, snapshot, "destroy")?;
    let mut disks = Vec::new();
    let mut also = Vec::new();
    let image = Some(found.get(VM::suspend_VDI)).filter(|image| !image.is_null());
    for disk in copies::disks_of(draft, snapshot)?.into_iter().chain(image) {
        also.push((ClassId::VDI, disk, "destroy"));
        disks.push(copies::removed(draft, disk)?);
    }
    let call = operation::call("VM.destroy", &[crate::value::to_json(&Value::Ref(snapshot))])?;
    let (task, pending) = (draft.task, draft.pending);
    let begun =
        operation::begin(draft, &call, Begin { also: &also, disks, ..Begin::on(ClassId::VM, snapshot, "destroy") });
    (draft.task, draft.pending) = (task, pending);
    begun
}

/// The snapshot's disks are gone, and so is it.
pub fn retired(draft: &mut Draft, ended: &operation::Ended) -> Answer {
    for planned in ended.disks.iter().filter(|disk| disk.work == DiskWork::Remove) {
        if let Some(disk) = draft.view().by_uuid(ClassId::VDI, &planned.uuid) {
            draft.find::<VDI>(disk)?;
            crate::command::storage::disk::remove(draft, disk)?;
        }
    }
    super::configuration::take_apart(draft, ended.object)
}

/// The latest moment, up to now, at which the schedule says that it should run.
fn slot(schedule: &Object, now: Micros) -> Option<Micros> {
    let said = schedule.get(VMSS::schedule);
    let part = |key: &str| said.get(key).map(Value::as_str);
    let number = |key: &str| part(key).and_then(|text| text.parse::<i64>().ok()).unwrap_or(0);
    let minutes = number("min") * MINUTE;
    let latest = |period: Micros, offset: Micros| (now - offset).div_euclid(period) * period + offset;
    match schedule.get(VMSS::frequency) {
        "hourly" => Some(latest(HOUR, minutes)),
        "daily" => Some(latest(DAY, number("hour") * HOUR + minutes)),
        _ => {
            let last = latest(DAY, number("hour") * HOUR + minutes);
            let days: Vec<&str> = part("days").unwrap_or("Monday").split(',').map(str::trim).collect();
            let is_one = |at: &Micros| {
                let day = DAYS[at.div_euclid(DAY).rem_euclid(7) as usize];
                days.iter().any(|name| name.eq_ignore_ascii_case(day))
            };
            (0..7).map(|back| last - back * DAY).find(is_one)
        }
    }
}

/// The schedules whose time has come, each with that time.
pub fn due(view: &View, now: Micros) -> Vec<(Ref, Micros)> {
    let enabled = view.all::<VMSS>().filter(|schedule| schedule.get(VMSS::enabled));
    let due = enabled.filter_map(|schedule| {
        let slot = slot(schedule, now)?;
        let since = schedule.get(VMSS::armed).max(schedule.get(VMSS::last_run_time));
        (slot > since).then_some((schedule.reference, slot))
    });
    due.collect()
}

/// Begins what is due; what is too late is only told of.
pub fn run(draft: &mut Draft) -> Answer {
    for (schedule, slot) in due(draft.view(), draft.now) {
        let found = draft.find::<VMSS>(schedule)?;
        arm(draft, schedule);
        let busy = sequence::pending_about(draft.view(), schedule).is_some();
        if busy || slot + LATE_MAX < draft.now {
            let why = if busy { "the run before it still goes on" } else { "the server was not there" };
            tell(draft, &found, MISSED, &format!("{}: {why}", format_time(slot)));
        } else if !draft.far(VMSS::VMs, schedule).is_empty() {
            let call = operation::call("VMSS.snapshot_now", &[crate::value::to_json(&Value::Ref(schedule))])?;
            snapshot_now(draft, &call)?;
        }
    }
    Ok(Value::Void)
}
