//! Random histories of tasks: what is promised of every one of them, after every event.

use crate::command::Call;
use crate::command::bench::Bench;
use crate::command::operation::{self, Begin, Facts};
use crate::error::codes;
use crate::model::{ClassId, MODEL, host, task};
use crate::value::{Ref, Value};
use crate::views::Object;
use proptest::prelude::*;
use std::collections::HashMap;
use std::sync::Arc;

/// Something that happens to a task; the numbers choose which task, and how far.
#[derive(Clone, Debug)]
enum Step {
    Create,
    Begin,
    Progress(usize, f64),
    SetProgress(usize, f64),
    SetStatus(usize, &'static str),
    SetResult(usize),
    SetError(usize),
    Cancel(usize),
    Complete(usize),
    Fail(usize, bool),
    Overdue(usize),
    Destroy(usize),
}

fn step() -> impl Strategy<Value = Step> {
    use Step::*;
    let which = 0..6_usize;
    let far = prop_oneof![Just(0.0), Just(1.0), -0.5..1.5, Just(f64::NAN)];
    let status = prop_oneof![Just("success"), Just("failure"), Just("cancelled"), Just("pending"), Just("cancelling")];
    prop_oneof![
        Just(Create),
        Just(Begin),
        (which.clone(), far.clone()).prop_map(|(task, to)| Progress(task, to)),
        (which.clone(), far).prop_map(|(task, to)| SetProgress(task, to)),
        (which.clone(), status).prop_map(|(task, status)| SetStatus(task, status)),
        which.clone().prop_map(SetResult),
        which.clone().prop_map(SetError),
        which.clone().prop_map(Cancel),
        which.clone().prop_map(Complete),
        (which.clone(), any::<bool>()).prop_map(|(task, cancelled)| Fail(task, cancelled)),
        which.clone().prop_map(Overdue),
        which.prop_map(Destroy),
    ]
}

fn take(bench: &mut Bench, made: &mut Vec<Ref>, here: Ref, step: Step) {
    let which = |nth: usize| made.get(nth % made.len().max(1)).copied().unwrap_or(Ref::NULL);
    let at = |task: Ref, rest: Value| vec![task.into(), rest];
    let begins = step.clone();
    let done = match step {
        Step::Create => bench.call("task.create", vec!["mine".into(), "".into()]),
        Step::Begin => bench.own(move |draft| {
            let message = MODEL.message("host.send_debug_keys").expect("a message");
            let call = Call { message, args: vec![here.into(), "h".into()], background: true };
            operation::begin(draft, &call, Begin::about(ClassId::host, here))
        }),
        Step::Progress(nth, to) => {
            let task = which(nth);
            bench.own(move |draft| operation::progress(draft, task, to))
        }
        Step::SetProgress(nth, to) => bench.call("task.set_progress", at(which(nth), Value::Float(to))),
        Step::SetStatus(nth, status) => bench.call("task.set_status", at(which(nth), status.into())),
        Step::SetResult(nth) => bench.call("task.set_result", at(which(nth), "<value/>".into())),
        Step::SetError(nth) => bench.call("task.set_error_info", at(which(nth), Value::set(["SR_FULL".into()]))),
        Step::Cancel(nth) => bench.call("task.cancel", vec![which(nth).into()]),
        Step::Complete(nth) => {
            let task = which(nth);
            bench.own(move |draft| {
                // Only what began as an operation can be reported.
                if draft.find::<task>(task)?.get(task::operation).is_empty() {
                    return Err(codes::OPERATION_NOT_ALLOWED("a client's own"));
                }
                operation::complete(draft, task, Facts::default())
            })
        }
        Step::Fail(nth, cancelled) => {
            let task = which(nth);
            let error = if cancelled { codes::TASK_CANCELLED(task) } else { codes::SR_FULL(1, 0) };
            bench.own(move |draft| operation::fail(draft, task, error))
        }
        Step::Overdue(nth) => {
            let task = which(nth);
            bench.own(move |draft| {
                draft.now += operation::DEADLINE + operation::ENDING_MAX;
                operation::end_overdue(draft, task)
            })
        }
        Step::Destroy(nth) => bench.call("task.destroy", vec![which(nth).into()]),
    };
    if let (Ok(Value::Ref(begun)), Step::Create | Step::Begin) = (done, begins) {
        made.push(begun);
    }
}

/// What is promised of one task, before and after an event.
fn check(before: Option<&Arc<Object>>, after: &Object) {
    let progress = after.get(task::progress);
    let ended = matches!(after.get(task::status), "success" | "failure" | "cancelled");
    assert!((0.0..=1.0).contains(&progress), "{progress}");
    assert_eq!(progress == 1.0, ended, "1 at the end and only then");
    assert_eq!(after.get(task::finished) > 0, ended, "finished with its status");
    assert!(!ended || after.get(task::current_operations).is_empty());
    let cancelled = after.get(task::status) == "cancelled";
    assert!(!cancelled || !after.get(task::error_info).is_empty(), "a cancelled task says so");
    let at_end = after.get(task::progress_at_end);
    assert!((0.0..=1.0).contains(&at_end) && (ended || at_end == 0.0));
    let Some(before) = before else { return };
    assert!(progress >= before.get(task::progress), "it never falls");
    if before.get(task::status) != "pending" {
        let fields = [
            task::status.index,
            task::progress.index,
            task::progress_at_end.index,
            task::finished.index,
            task::result.index,
            task::error_info.index,
        ];
        assert!(fields.iter().all(|field| before.record[*field] == after.record[*field]), "an end is for ever");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_promised_of_tasks_holds_in_every_history(steps in prop::collection::vec(step(), 1..40)) {
        let mut bench = Bench::default();
        let here = bench.given(|draft| draft.create(crate::command::draft::Fields::<host>::new())).as_ref();
        let (mut made, mut seen) = (Vec::new(), HashMap::new());
        for step in steps {
            take(&mut bench, &mut made, here, step);
            for held in bench.view.all::<task>() {
                check(seen.get(&held.reference), held);
                seen.insert(held.reference, held.clone());
            }
        }
    }
}
