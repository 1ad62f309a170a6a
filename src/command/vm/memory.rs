//! Memory and processors: what a machine may have, what it has, and what a
//! host has left.
//!
//! The limits always satisfy `0 < static_min <= dynamic_min <= dynamic_max <=
//! static_max` and `0 < VCPUs_at_startup <= VCPUs_max`. A running machine takes
//! its `memory_dynamic_max` and its overhead: no host promises memory twice.

use super::allowed::{self, permit};
use super::{boot, state};
use crate::command::operation::{self, Begin, Ended};
use crate::command::{Call, Draft, Reading};
use crate::error::{ApiError, codes};
use crate::model::{ClassId, VM, VM_metrics, host, host_metrics};
use crate::value::{Map, Ref, Value};
use crate::views::relations::FieldId;
use crate::views::{Object, View};
use std::sync::Arc;

const MIB: i64 = 1 << 20;
/// More than any host has; keeps sums of limits from overflowing.
const MEMORY_MAX_BYTES: i64 = 1 << 50;
/// What a hypervisor can number.
const VCPUS_MAX: i64 = 4096;
/// `VM.maximise_memory` may assume that many processors when asked for an approximation.
const VCPUS_APPROXIMATE: i64 = 64;
/// The weight and the cap of the credit scheduler.
const WEIGHT_MAX: i64 = 65_535;
const CAP_PER_VCPU_MAX: i64 = 100;

const ORDER: &str = "Memory limits must satisfy: 0 < static_min <= dynamic_min <= dynamic_max <= static_max";
const VCPUS_ORDER: &str = "VCPU values must satisfy: 0 < VCPUs_at_startup <= VCPUs_max";

type Answer = Result<Value, ApiError>;

/// A machine's four limits, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    pub static_min: i64,
    pub dynamic_min: i64,
    pub dynamic_max: i64,
    pub static_max: i64,
}

impl Limits {
    pub fn of(machine: &Object) -> Limits {
        Limits {
            static_min: machine.get(VM::memory_static_min),
            dynamic_min: machine.get(VM::memory_dynamic_min),
            dynamic_max: machine.get(VM::memory_dynamic_max),
            static_max: machine.get(VM::memory_static_max),
        }
    }

    pub fn check(self) -> Result<Limits, ApiError> {
        let ordered = 0 <= self.static_min
            && self.static_min <= self.dynamic_min
            && self.dynamic_min <= self.dynamic_max
            && self.dynamic_max <= self.static_max
            && 0 < self.dynamic_min
            && self.static_max <= MEMORY_MAX_BYTES;
        if ordered { Ok(self) } else { Err(codes::MEMORY_CONSTRAINT_VIOLATION(ORDER)) }
    }
}

/// Bytes that the host can still give to machines; those on their way to it count.
pub fn free(view: &View, on: Ref) -> i64 {
    let Some(found) = view.find::<host>(on) else { return 0 };
    let total = view.find::<host_metrics>(found.get(host::metrics)).map(|m| m.get(host_metrics::memory_total));
    let mut left = total.unwrap_or(0) - found.get(host::memory_overhead);
    for field in [VM::resident_on.index, VM::scheduled_to_be_resident_on.index] {
        for vm in view.referrers(FieldId(ClassId::VM, field as u16), on) {
            left -= view.find::<VM>(vm).map(|machine| taken(machine)).unwrap_or(0);
        }
    }
    left.max(0)
}

/// Bytes that a machine takes while it has a domain.
pub fn taken(machine: &Object) -> i64 {
    machine.get(VM::memory_dynamic_max).saturating_add(machine.get(VM::memory_overhead))
}

/// Bytes that the hypervisor needs for a machine beside the machine's own memory: a little for every domain, and
/// for a fully virtualised one its emulated devices and the tables that shadow its own.
pub fn overhead(machine: &Object) -> i64 {
    overhead_of(machine, machine.get(VM::memory_static_max), machine.get(VM::VCPUs_max))
}

fn overhead_of(machine: &Object, static_max: i64, vcpus: i64) -> i64 {
    if !boot::is_hvm(machine) {
        return MIB;
    }
    let shadow = MIB.saturating_mul(vcpus.max(1)).saturating_add(static_max / 512);
    let shadow = (shadow as f64 * machine.get(VM::HVM_shadow_multiplier).max(1.0)) as i64;
    let bytes = shadow.saturating_add(9 * MIB);
    (bytes + MIB - 1) / MIB * MIB
}

/// Keeps `memory_overhead` true after what it depends on changed.
pub fn refresh_overhead(draft: &mut Draft, vm: Ref) -> Result<(), ApiError> {
    let machine = draft.find::<VM>(vm)?;
    if !machine.get(VM::is_control_domain) {
        draft.set(vm, VM::memory_overhead, overhead(&machine));
    }
    Ok(())
}

/// `HOST_NOT_ENOUGH_FREE_MEMORY` if the machine does not fit.
pub fn assert_room(view: &View, machine: &Object, on: Ref) -> Result<(), ApiError> {
    assert_bytes(view, on, taken(machine))
}

fn assert_bytes(view: &View, on: Ref, needed: i64) -> Result<(), ApiError> {
    let available = free(view, on);
    if needed > available {
        return Err(codes::HOST_NOT_ENOUGH_FREE_MEMORY(needed, available));
    }
    Ok(())
}

/// `VM.set_memory_limits(self, static_min, static_max, dynamic_min, dynamic_max)`
pub fn set_memory_limits(draft: &mut Draft, call: &Call) -> Answer {
    let limits =
        Limits { static_min: call.int(1), static_max: call.int(2), dynamic_min: call.int(3), dynamic_max: call.int(4) };
    set_limits(draft, call.reference(0), "changing_memory_limits", |_| limits)
}

/// `VM.set_memory(self, value)`: as much always.
pub fn set_memory(draft: &mut Draft, call: &Call) -> Answer {
    let bytes = call.int(1);
    set_limits(draft, call.reference(0), "changing_memory_limits", |old| Limits {
        static_min: old.static_min.min(bytes),
        dynamic_min: bytes,
        dynamic_max: bytes,
        static_max: bytes,
    })
}

pub fn set_memory_static_range(draft: &mut Draft, call: &Call) -> Answer {
    let (static_min, static_max) = (call.int(1), call.int(2));
    set_limits(draft, call.reference(0), "changing_static_range", |old| Limits { static_min, static_max, ..old })
}

pub fn set_memory_static_min(draft: &mut Draft, call: &Call) -> Answer {
    let static_min = call.int(1);
    set_limits(draft, call.reference(0), "changing_static_range", |old| Limits { static_min, ..old })
}

pub fn set_memory_static_max(draft: &mut Draft, call: &Call) -> Answer {
    let static_max = call.int(1);
    set_limits(draft, call.reference(0), "changing_static_range", |old| Limits { static_max, ..old })
}

fn set_limits(draft: &mut Draft, vm: Ref, operation: &str, change: impl Fn(Limits) -> Limits) -> Answer {
    let machine = permit(draft, vm, operation)?;
    let limits = change(Limits::of(&machine)).check()?;
    write_limits(draft, vm, limits);
    refresh_overhead(draft, vm)?;
    Ok(Value::Void)
}

pub(super) fn write_limits(draft: &mut Draft, vm: Ref, limits: Limits) {
    draft.set(vm, VM::memory_static_min, limits.static_min);
    draft.set(vm, VM::memory_dynamic_min, limits.dynamic_min);
    draft.set(vm, VM::memory_dynamic_max, limits.dynamic_max);
    draft.set(vm, VM::memory_static_max, limits.static_max);
}

/// The dynamic range that a call asks for: the messages differ only in which ends they name.
fn dynamic_range(message: &str, args: &[Value], old: Limits) -> Limits {
    let bytes = |at: usize| if let Some(Value::Int(bytes)) = args.get(at) { *bytes } else { 0 };
    match message {
        "set_memory_dynamic_min" => Limits { dynamic_min: bytes(1), ..old },
        "set_memory_dynamic_max" => Limits { dynamic_max: bytes(1), ..old },
        _ => Limits { dynamic_min: bytes(1), dynamic_max: bytes(2), ..old },
    }
}

/// `VM.set_memory_dynamic_range` and its halves: at once for a machine that is down, by the hypervisor for one that runs.
pub fn set_memory_dynamic_range(draft: &mut Draft, call: &Call) -> Answer {
    let vm = call.reference(0);
    let machine = permit(draft, vm, "changing_dynamic_range")?;
    let old = Limits::of(&machine);
    let new = dynamic_range(call.message.name, &call.args, old).check()?;
    if machine.get(VM::power_state) == "Halted" || machine.get(VM::is_control_domain) {
        write_limits(draft, vm, new);
        return Ok(Value::Void);
    }
    if new.dynamic_max > old.dynamic_max {
        assert_bytes(draft.view(), machine.get(VM::resident_on), new.dynamic_max - old.dynamic_max)?;
    }
    operation::begin(draft, call, Begin::on(ClassId::VM, vm, "changing_dynamic_range"))
}

/// One completion for each of the messages, since only the message says which ends are meant.
macro_rules! range_changed {
    ($($completion:ident: $message:literal;)*) => {$(
        pub fn $completion(draft: &mut Draft, ended: &Ended) -> Answer {
            range_changed(draft, ended, $message)
        }
    )*};
}

range_changed! {
    dynamic_range_changed: "set_memory_dynamic_range";
    dynamic_min_changed: "set_memory_dynamic_min";
    dynamic_max_changed: "set_memory_dynamic_max";
}

fn range_changed(draft: &mut Draft, ended: &Ended, message: &str) -> Answer {
    let machine = draft.find::<VM>(ended.object)?;
    let limits = dynamic_range(message, &ended.args, Limits::of(&machine));
    write_limits(draft, ended.object, limits);
    balloon(draft, ended.object, limits.dynamic_max)
}

/// `VM.set_memory_target_live(self, target)`: within the dynamic range.
pub fn set_memory_target_live(draft: &mut Draft, call: &Call) -> Answer {
    let (vm, target) = (call.reference(0), call.int(1));
    let machine = permit(draft, vm, "changing_memory_live")?;
    let limits = Limits::of(&machine);
    if !(limits.dynamic_min..=limits.dynamic_max).contains(&target) {
        return Err(codes::MEMORY_CONSTRAINT_VIOLATION("The target must be within the dynamic range"));
    }
    if machine.get(VM::is_control_domain) {
        return balloon(draft, vm, target);
    }
    operation::begin(draft, call, Begin::on(ClassId::VM, vm, "changing_memory_live"))
}

pub fn target_reached(draft: &mut Draft, ended: &Ended) -> Answer {
    let target = ended.args.get(1).map(|target| if let Value::Int(bytes) = target { *bytes } else { 0 });
    balloon(draft, ended.object, target.unwrap_or(0))
}

fn balloon(draft: &mut Draft, vm: Ref, target: i64) -> Answer {
    draft.set(vm, VM::memory_target, target);
    let metrics = state::metrics_of(draft, vm)?;
    draft.set(metrics, VM_metrics::memory_actual, target);
    Ok(Value::Void)
}

/// `VM.wait_memory_target_live(self)`: a target is set once it is reached, so there is nothing to wait for.
pub fn wait_memory_target_live(reading: &Reading<'_>, call: &Call) -> Answer {
    allowed::check(reading.view, &*machine_of(reading, call)?, "awaiting_memory_live")?;
    Ok(Value::Void)
}

/// `VM.compute_memory_overhead(vm)`
pub fn compute_memory_overhead(reading: &Reading<'_>, call: &Call) -> Answer {
    Ok(Value::Int(overhead(&*machine_of(reading, call)?)))
}

/// `VM.maximise_memory(self, total, approximate)`: the greatest `memory_static_max` that fits into so many bytes.
pub fn maximise_memory(reading: &Reading<'_>, call: &Call) -> Answer {
    let (machine, total) = (machine_of(reading, call)?, call.int(1).min(MEMORY_MAX_BYTES));
    let vcpus = machine.get(VM::VCPUs_max);
    let vcpus = if call.bool(2) { vcpus.max(VCPUS_APPROXIMATE) } else { vcpus };
    let fits = |mib: i64| mib * MIB + overhead_of(&machine, mib * MIB, vcpus) <= total;
    let (mut least, mut most) = (0, total / MIB + 1);
    while least + 1 < most {
        let middle = least + (most - least) / 2;
        if fits(middle) {
            least = middle;
        } else {
            most = middle;
        }
    }
    Ok(Value::Int(least.max(0) * MIB))
}

pub(super) fn machine_of(reading: &Reading<'_>, call: &Call) -> Result<Arc<Object>, ApiError> {
    let vm = call.reference(0);
    reading.view.find::<VM>(vm).cloned().ok_or_else(|| codes::HANDLE_INVALID("VM", vm))
}

/// `0 < at_startup <= max`, or `INVALID_VALUE`.
pub fn check_vcpus(at_startup: i64, max: i64, wrong: i64) -> Result<(), ApiError> {
    if 0 < at_startup && at_startup <= max && max <= VCPUS_MAX {
        return Ok(());
    }
    Err(codes::INVALID_VALUE(VCPUS_ORDER, wrong))
}

pub fn set_vcpus_max(draft: &mut Draft, call: &Call) -> Answer {
    let (vm, count) = (call.reference(0), call.int(1));
    let machine = permit(draft, vm, "changing_VCPUs")?;
    check_vcpus(machine.get(VM::VCPUs_at_startup), count, count)?;
    draft.set(vm, VM::VCPUs_max, count);
    refresh_overhead(draft, vm)?;
    Ok(Value::Void)
}

pub fn set_vcpus_at_startup(draft: &mut Draft, call: &Call) -> Answer {
    let (vm, count) = (call.reference(0), call.int(1));
    let machine = permit(draft, vm, "changing_VCPUs")?;
    check_vcpus(count, machine.get(VM::VCPUs_max), count)?;
    draft.set(vm, VM::VCPUs_at_startup, count);
    Ok(Value::Void)
}

/// `VM.set_VCPUs_number_live(self, nvcpu)`
pub fn set_vcpus_number_live(draft: &mut Draft, call: &Call) -> Answer {
    let (vm, count) = (call.reference(0), call.int(1));
    let machine = permit(draft, vm, "changing_VCPUs_live")?;
    check_vcpus(count, machine.get(VM::VCPUs_max), count)?;
    operation::begin(draft, call, Begin::on(ClassId::VM, vm, "changing_VCPUs_live"))
}

pub fn vcpus_changed(draft: &mut Draft, ended: &Ended) -> Answer {
    let count = if let Some(Value::Int(count)) = ended.args.get(1) { *count } else { 0 };
    draft.set(ended.object, VM::VCPUs_at_startup, count);
    let metrics = state::metrics_of(draft, ended.object)?;
    draft.set(metrics, VM_metrics::VCPUs_number, count);
    Ok(Value::Void)
}

/// `VM.add_to_VCPUs_params_live(self, key, value)`: `weight`, `cap` or `mask`, in place of what it was.
pub fn add_to_vcpus_params_live(draft: &mut Draft, call: &Call) -> Answer {
    let vm = call.reference(0);
    let machine = permit(draft, vm, "changing_VCPUs_live")?;
    check_params(draft.view(), &machine, &scheduled(&machine, call.text(1), call.text(2)))?;
    operation::begin(draft, call, Begin::on(ClassId::VM, vm, "changing_VCPUs_live"))
}

fn scheduled(machine: &Object, key: &str, value: &str) -> Map {
    let mut params = machine.get(VM::VCPUs_params).clone();
    params.insert(Arc::from(key), Value::text(value));
    params
}

pub fn params_changed(draft: &mut Draft, ended: &Ended) -> Answer {
    let machine = draft.find::<VM>(ended.object)?;
    let text = |at: usize| ended.args.get(at).map(|arg| arg.as_str().to_string()).unwrap_or_default();
    let params = Value::Map(Arc::new(scheduled(&machine, &text(1), &text(2))));
    draft.set(ended.object, VM::VCPUs_params, params.clone());
    let metrics = state::metrics_of(draft, ended.object)?;
    draft.set(metrics, VM_metrics::VCPUs_params, params);
    Ok(Value::Void)
}

/// `VM.set_VCPUs_params(self, value)`: what the scheduler could not use is refused now, not ignored later.
pub fn set_vcpus_params(draft: &mut Draft, call: &Call) -> Answer {
    let vm = call.reference(0);
    let machine = draft.find::<VM>(vm)?;
    check_params(draft.view(), &machine, call.args[1].as_map())?;
    crate::command::generic::set(draft, ClassId::VM, vm, VM::VCPUs_params.index, call.args[1].clone())
}

/// `VM.add_to_VCPUs_params(self, key, value)`
pub fn add_to_vcpus_params(draft: &mut Draft, call: &Call) -> Answer {
    let vm = call.reference(0);
    let machine = draft.find::<VM>(vm)?;
    check_params(draft.view(), &machine, &scheduled(&machine, call.text(1), call.text(2)))?;
    let (key, value) = (call.text(1).to_string(), call.args[2].clone());
    crate::command::generic::add_to(draft, ClassId::VM, vm, VM::VCPUs_params.index, key, value)
}

/// Checks the keys that a scheduler knows; others are their owner's affair.
pub fn check_params(view: &View, machine: &Object, params: &Map) -> Result<(), ApiError> {
    let vcpus = machine.get(VM::VCPUs_max).max(1);
    let processors = view.all::<host>().map(|host| view.far(host::host_CPUs, host.reference).len()).max().unwrap_or(0);
    for (key, value) in params {
        let text = value.as_str();
        let number = text.parse::<i64>();
        let good = match &**key {
            "weight" => number.is_ok_and(|weight| (1..=WEIGHT_MAX).contains(&weight)),
            "cap" => number.is_ok_and(|cap| (0..=CAP_PER_VCPU_MAX * vcpus).contains(&cap)),
            "mask" => text
                .split([',', ';'])
                .all(|cpu| cpu.trim().parse::<usize>().is_ok_and(|cpu| processors == 0 || cpu < processors)),
            _ => true,
        };
        if !good {
            return Err(codes::INVALID_VALUE(format!("VCPUs_params:{key}"), text));
        }
    }
    Ok(())
}

/// `VM.set_HVM_shadow_multiplier(self, value)`
pub fn set_hvm_shadow_multiplier(draft: &mut Draft, call: &Call) -> Answer {
    let vm = call.reference(0);
    permit(draft, vm, "changing_shadow_memory")?;
    multiply_shadow(draft, vm, call.float(1))
}

/// `VM.set_shadow_multiplier_live(self, multiplier)`
pub fn set_shadow_multiplier_live(draft: &mut Draft, call: &Call) -> Answer {
    let vm = call.reference(0);
    let machine = permit(draft, vm, "changing_shadow_memory_live")?;
    let before = taken(&machine);
    let on = machine.get(VM::resident_on);
    let left = free(draft.view(), on);
    multiply_shadow(draft, vm, call.float(1))?;
    let more = draft.get(vm, VM::memory_overhead, |bytes| bytes)? + machine.get(VM::memory_dynamic_max) - before;
    if more > left {
        return Err(codes::HOST_NOT_ENOUGH_FREE_MEMORY(more, left));
    }
    Ok(Value::Void)
}

fn multiply_shadow(draft: &mut Draft, vm: Ref, multiplier: f64) -> Answer {
    if !(1.0..=1000.0).contains(&multiplier) {
        return Err(codes::INVALID_VALUE("HVM_shadow_multiplier", multiplier));
    }
    draft.set(vm, VM::HVM_shadow_multiplier, multiplier);
    refresh_overhead(draft, vm)?;
    Ok(Value::Void)
}
