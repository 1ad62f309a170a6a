//! What is measured on a machine, as data sources: one table of figures, each
//! read off the view. Standard ones are always on; the others are when somebody
//! asked for them. No history is kept here, so there is none to forget: what is
//! not asked for any more is off again.

use super::allowed;
use super::memory::machine_of;
use crate::command::data_source::{self, Source};
use crate::command::{Call, Draft, Reading, generic};
use crate::error::ApiError;
use crate::model::{ClassId, VM, VM_metrics};
use crate::value::{Micros, Value};
use crate::views::{Object, View};
use std::sync::Arc;

type Answer = Result<Value, ApiError>;

/// One figure of a machine that has a domain.
struct Figure {
    source: Source,
    max: fn(&Object) -> f64,
    value: fn(&Object, &Object, Micros) -> f64,
}

const FIGURES: &[Figure] = &[
    Figure {
        source: Source { name: "memory", about: "Memory that the machine has", units: "B", standard: true },
        max: |machine| machine.get(VM::memory_static_max) as f64,
        value: |_, metrics, _| metrics.get(VM_metrics::memory_actual) as f64,
    },
    Figure {
        source: Source {
            name: "memory_target",
            about: "Memory that the machine was asked to use",
            units: "B",
            standard: true,
        },
        max: |machine| machine.get(VM::memory_static_max) as f64,
        value: |machine, _, _| machine.get(VM::memory_target) as f64,
    },
    Figure {
        source: Source { name: "vcpus", about: "Processors that the machine has", units: "", standard: false },
        max: |machine| machine.get(VM::VCPUs_max) as f64,
        value: |_, metrics, _| metrics.get(VM_metrics::VCPUs_number) as f64,
    },
    Figure {
        source: Source { name: "uptime", about: "Time since the machine started", units: "s", standard: false },
        max: |_| f64::MAX,
        value: |_, metrics, now| (now - metrics.get(VM_metrics::start_time)).max(0) as f64 / 1e6,
    },
];

/// The machine's metrics while it has a domain; nothing is measured on any other.
fn metrics<'a>(view: &'a View, machine: &Object) -> Option<&'a Arc<Object>> {
    let up = matches!(machine.get(VM::power_state), "Running" | "Paused");
    view.find::<VM_metrics>(machine.get(VM::metrics)).filter(|_| up)
}

fn named(name: &str) -> Result<&'static Figure, ApiError> {
    data_source::named(FIGURES, name, |figure| &figure.source)
}

/// `VM.get_data_sources(self)`
pub fn data_sources(reading: &Reading<'_>, call: &Call) -> Answer {
    let machine = machine_of(reading, call)?;
    let Some(metrics) = metrics(reading.view, &machine) else { return Ok(Value::empty_set()) };
    let asked = machine.get(VM::recorded_data_sources);
    let described = FIGURES.iter().map(|figure| {
        let (value, max) = ((figure.value)(&machine, metrics, reading.now), (figure.max)(&machine));
        figure.source.described(figure.source.is_on(asked), value, max)
    });
    Ok(Value::set(described))
}

/// `VM.query_data_source(self, data_source)`
pub fn query_data_source(reading: &Reading<'_>, call: &Call) -> Answer {
    let machine = machine_of(reading, call)?;
    let figure = named(call.text(1))?;
    match metrics(reading.view, &machine) {
        Some(metrics) => Ok(Value::Float((figure.value)(&machine, metrics, reading.now))),
        None => Err(allowed::bad_power_state(&machine, &["Paused", "Running"])),
    }
}

/// `VM.record_data_source(self, data_source)`
pub fn record_data_source(draft: &mut Draft, call: &Call) -> Answer {
    let name = named(call.text(1))?.source.name;
    let field = VM::recorded_data_sources.index;
    generic::add(draft, ClassId::VM, call.reference(0), field, Value::from(name))
}

/// `VM.forget_data_source_archives(self, data_source)`
pub fn forget_data_source_archives(draft: &mut Draft, call: &Call) -> Answer {
    let name = Value::from(named(call.text(1))?.source.name);
    let field = VM::recorded_data_sources.index;
    generic::remove(draft, ClassId::VM, call.reference(0), field, &name)
}
