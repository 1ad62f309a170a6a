//! What is measured on a host, as data sources: one table of figures, each
//! read off the view. Standard ones are always on; the others are when somebody
//! asked for them. No history is kept here, so there is none to forget: what is
//! not asked for any more is off again.

use super::{found, is_live};
use crate::command::data_source::{self, Source};
use crate::command::vm::memory;
use crate::command::{Call, Draft, Reading, generic};
use crate::error::{ApiError, codes};
use crate::model::{ClassId, VM, VM_metrics, host, host_metrics};
use crate::value::Value;
use crate::views::{Object, View};

/// One figure of a host that is up.
struct Figure {
    source: Source,
    value: fn(&View, &Object) -> f64,
    max: fn(&View, &Object) -> f64,
}

const KIB: f64 = 1024.0;

const FIGURES: &[Figure] = &[
    Figure {
        source: Source { name: "memory_total_kib", about: "Memory in the host", units: "KiB", standard: true },
        value: memory_total,
        max: memory_total,
    },
    Figure {
        source: Source {
            name: "memory_free_kib",
            about: "Memory that new machines could use",
            units: "KiB",
            standard: true,
        },
        value: |view, held| memory::free(view, held.reference) as f64 / KIB,
        max: memory_total,
    },
    Figure {
        source: Source {
            name: "running_domains",
            about: "Machines that run, the control domain included",
            units: "",
            standard: true,
        },
        value: |view, held| residents(view, held).count() as f64,
        max: |_, _| f64::from(u16::MAX),
    },
    Figure {
        source: Source {
            name: "running_vcpus",
            about: "Processors of the machines that run",
            units: "",
            standard: true,
        },
        value: |view, held| residents(view, held).map(|vm| vcpus(view, vm)).sum::<i64>() as f64,
        max: |_, _| f64::from(u16::MAX),
    },
    Figure {
        source: Source { name: "processors", about: "Processors in the host", units: "", standard: false },
        value: |view, held| view.far(host::host_CPUs, held.reference).len() as f64,
        max: |_, _| f64::from(u16::MAX),
    },
];

fn memory_total(view: &View, held: &Object) -> f64 {
    let metrics = view.find::<host_metrics>(held.get(host::metrics));
    metrics.map_or(0.0, |metrics| metrics.get(host_metrics::memory_total) as f64 / KIB)
}

fn residents<'a>(view: &'a View, held: &Object) -> impl Iterator<Item = &'a Object> {
    let resident = view.far(host::resident_VMs, held.reference).into_iter();
    resident.filter_map(|vm| view.find::<VM>(vm).map(|vm| &**vm)).filter(|vm| vm.get(VM::power_state) == "Running")
}

fn vcpus(view: &View, vm: &Object) -> i64 {
    view.find::<VM_metrics>(vm.get(VM::metrics)).map_or(0, |metrics| metrics.get(VM_metrics::VCPUs_number))
}

fn named(name: &str) -> Result<&'static Figure, ApiError> {
    data_source::named(FIGURES, name, |figure| &figure.source)
}

/// Of a host that is off nothing is measured.
pub(super) fn list(reading: &Reading<'_>, call: &Call) -> Result<Value, ApiError> {
    let held = found(reading, call)?;
    if !is_live(reading.view, held) {
        return Ok(Value::empty_set());
    }
    let asked = held.get(host::recorded_data_sources);
    let described = FIGURES.iter().map(|figure| {
        let (value, max) = ((figure.value)(reading.view, held), (figure.max)(reading.view, held));
        figure.source.described(figure.source.is_on(asked), value, max)
    });
    Ok(Value::set(described))
}

pub(super) fn query(reading: &Reading<'_>, call: &Call) -> Result<Value, ApiError> {
    let held = found(reading, call)?;
    let figure = named(call.text(1))?;
    match is_live(reading.view, held) {
        true => Ok(Value::Float((figure.value)(reading.view, held))),
        false => Err(codes::HOST_OFFLINE(held.reference)),
    }
}

pub(super) fn record(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let name = Value::from(named(call.text(1))?.source.name);
    generic::add(draft, ClassId::host, call.reference(0), host::recorded_data_sources.index, name)
}

pub(super) fn forget(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let name = Value::from(named(call.text(1))?.source.name);
    generic::remove(draft, ClassId::host, call.reference(0), host::recorded_data_sources.index, &name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::bench::Bench;
    use crate::command::draft::Fields;
    use crate::command::{Principal, reader};
    use crate::model::MODEL;

    fn read(bench: &Bench, name: &str, args: Vec<Value>) -> Result<Value, ApiError> {
        let message = MODEL.message(name).expect("a message");
        let principal = Principal::server("user/test");
        let reading = Reading { view: &bench.view, principal: &principal, now: 1 };
        reader(message).expect("it reads")(&reading, &Call { message, args, background: false })
    }

    #[test]
    fn figures_are_read_when_asked_for() {
        let mut bench = Bench::default();
        let here = bench.given(|draft| {
            let metrics = Fields::<host_metrics>::new().with(host_metrics::live, true);
            let metrics = draft.create(metrics.with(host_metrics::memory_total, 1 << 30));
            let here = draft.create(Fields::<host>::new().with(host::metrics, metrics));
            draft.create(Fields::<VM>::new().with(VM::power_state, "Running").with(VM::resident_on, here));
            here
        });
        let here = here.as_ref();
        let query = |bench: &Bench, name: &str| {
            read(bench, "host.query_data_source", vec![here.into(), name.into()]).map_err(|error| error.code)
        };
        assert_eq!(query(&bench, "memory_total_kib"), Ok(Value::Float(1048576.0)));
        assert_eq!(query(&bench, "running_domains"), Ok(Value::Float(1.0)));
        assert_eq!(query(&bench, "nonsense"), Err("INVALID_VALUE"));
        let on = |bench: &Bench| {
            let all = read(bench, "host.get_data_sources", vec![here.into()]).expect("listed");
            let on = all.as_set().iter().filter(|source| source.as_map().get("enabled") == Some(&Value::Bool(true)));
            on.count()
        };
        assert_eq!(on(&bench), 4);
        bench.call("host.record_data_source", vec![here.into(), "processors".into()]).expect("recorded");
        assert_eq!(on(&bench), 5);
        bench.call("host.forget_data_source_archives", vec![here.into(), "processors".into()]).expect("forgotten");
        assert_eq!(on(&bench), 4);
    }
}
