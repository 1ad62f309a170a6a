//! The figures of a repository that clients can ask for by name. Every change
//! of them is in the log, so all are kept whether or not somebody asked; which
//! ones somebody wants is only remembered.

use crate::command::attach::object;
use crate::command::data_source::{self, Source};
use crate::command::{Call, Draft, Reading};
use crate::error::ApiError;
use crate::model::{Key, SR, types};
use crate::value::{Ref, Value};
use crate::views::Object;

/// One figure.
struct Figure {
    source: Source,
    of: Key<SR, types::Int>,
}

const fn bytes(name: &'static str, about: &'static str, of: Key<SR, types::Int>) -> Figure {
    Figure { source: Source { name, about, units: "B", standard: true }, of }
}

const FIGURES: [Figure; 3] = [
    bytes("size", "Bytes that there are", SR::physical_size),
    bytes("physical_utilisation", "Bytes in use", SR::physical_utilisation),
    bytes("virtual_allocation", "Sum of the sizes of its disks", SR::virtual_allocation),
];

fn named(name: &str) -> Result<&'static Figure, ApiError> {
    data_source::named(&FIGURES, name, |figure| &figure.source)
}

fn is_kept(sr: &Object, figure: &Figure) -> bool {
    !sr.get(SR::forgotten_figures).iter().any(|name| name.as_str() == figure.source.name)
}

pub fn list(reading: &Reading<'_>, call: &Call) -> Result<Value, ApiError> {
    let sr = object::<SR>(reading.view, call.reference(0))?;
    let described = FIGURES.iter().map(|figure| {
        figure.source.described(is_kept(sr, figure), sr.get(figure.of) as f64, super::vdi::SIZE_MAX as f64)
    });
    Ok(Value::set(described))
}

pub fn query(reading: &Reading<'_>, call: &Call) -> Result<Value, ApiError> {
    let sr = object::<SR>(reading.view, call.reference(0))?;
    Ok(Value::Float(sr.get(named(call.text(1))?.of) as f64))
}

pub fn record(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    want(draft, call.reference(0), named(call.text(1))?, true)
}

pub fn forget(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    want(draft, call.reference(0), named(call.text(1))?, false)
}

fn want(draft: &mut Draft, sr: Ref, figure: &Figure, wanted: bool) -> Result<Value, ApiError> {
    let repository = draft.find::<SR>(sr)?;
    let others =
        repository.get(SR::forgotten_figures).iter().filter(|name| name.as_str() != figure.source.name).cloned();
    let forgotten = (!wanted).then(|| Value::text(figure.source.name));
    draft.set(sr, SR::forgotten_figures, Value::set(others.chain(forgotten)));
    Ok(Value::Void)
}

#[cfg(test)]
mod tests {
    use super::super::tests::lab;
    use crate::command::{Call, Principal, Reading, reader};
    use crate::error::ApiError;
    use crate::model::MODEL;
    use crate::value::Value;

    #[test]
    fn figures_are_those_of_the_record() {
        let mut lab = lab();
        lab.disk(100);
        let sr = lab.disks;
        let read = |lab: &super::super::tests::Lab, name: &str, args: Vec<Value>| -> Result<Value, ApiError> {
            let message = MODEL.message(name).expect("a message of the model");
            let principal = Principal::server("user/test");
            let reading = Reading { view: &lab.bench.view, principal: &principal, now: 0 };
            reader(message).expect("it reads")(&reading, &Call { message, args, background: false })
        };
        let query = |lab: &_, name: &str| read(lab, "SR.query_data_source", vec![sr.into(), name.into()]);
        assert_eq!(query(&lab, "size"), Ok(Value::Float(1000.0)));
        assert_eq!(query(&lab, "virtual_allocation"), Ok(Value::Float(100.0)));
        assert_eq!(query(&lab, "nonsense").expect_err("no such figure").code, "INVALID_VALUE");
        let kept = |lab: &_| {
            let all = read(lab, "SR.get_data_sources", vec![sr.into()]).expect("read");
            all.as_set().iter().filter(|one| one.as_map()["enabled"] == Value::Bool(true)).count()
        };
        assert_eq!(kept(&lab), 3);
        let args = || vec![sr.into(), "size".into()];
        lab.bench.call("SR.forget_data_source_archives", args()).expect("forgotten");
        assert_eq!(kept(&lab), 2);
        lab.bench.call("SR.record_data_source", args()).expect("wanted again");
        assert_eq!(kept(&lab), 3);
    }
}
