//! Operations that are made of others: an appliance's machines start group by
//! group, a schedule's snapshots are taken together.
//!
//! A sequence is a pending task like any other; what it has begun and what
//! comes next is part of it, so whoever comes after a restart goes on where it
//! was. [`advance`] is the only step there is, and a step that finds nothing to
//! do changes nothing.
//!
//! ```text
//!   begin ─▶ a group's calls, all at once ─▶ all have ended ─▶ its delay is over ─┬─▶ the next group
//!                                                                                └─▶ success, or what failed
//!   cancelled, too late ─▶ what runs is cancelled ─▶ it has ended ─▶ failure
//! ```
//!
//! Must never know what its parts do: they are calls, and they end.

use super::operation::{self, Begin, Facts};
use super::{Call, Draft};
use crate::error::{ApiError, codes};
use crate::model::task;
use crate::value::{self, Map, Micros, Ref, Value};
use crate::views::{Object, View};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::sync::Arc;

/// Where a task keeps its sequence.
const KEPT: &str = "sequence";
const SECOND: Micros = 1_000_000;

type Answer = Result<Value, ApiError>;

/// Calls that are made together, and how long to wait after all have ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Group {
    parts: Vec<Part>,
    delay_seconds: i64,
}

/// One call of another message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Part {
    message: String,
    /// The object that is named if it fails.
    object: Ref,
    args: Vec<Json>,
}

impl Group {
    pub fn waiting(delay_seconds: i64) -> Group {
        Group { parts: Vec::new(), delay_seconds: delay_seconds.max(0) }
    }

    /// Adds a call; its first argument is the object.
    pub fn call(&mut self, message: &str, object: Ref, rest: &[Value]) {
        let args = std::iter::once(Value::Ref(object)).chain(rest.iter().cloned());
        let args = args.map(|arg| value::to_json(&arg)).collect();
        self.parts.push(Part { message: message.to_string(), object, args });
    }
}

/// A part that did not do what it should, with its error's code and parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failed {
    pub object: Ref,
    pub error: Vec<String>,
}

/// What a task keeps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Sequence {
    groups: Vec<Group>,
    /// How many groups were begun.
    begun: usize,
    /// The tasks of the last of them that have not ended, each with its object.
    running: Vec<(Ref, Ref)>,
    /// The last group has ended, and the next may begin at this time.
    resting_until: Option<Micros>,
    failed: Vec<Failed>,
}

/// Whether a task is a sequence; nobody else carries it out.
pub fn is_one(task: &Object) -> bool {
    task.get(task::planned).contains_key(KEPT)
}

/// When to look again if nothing happens until then.
pub fn due(task: &Object) -> Micros {
    let rested = Sequence::of(task).and_then(|sequence| sequence.resting_until);
    rested.unwrap_or(Micros::MAX).min(task.get(task::deadline))
}

/// What is done when a sequence has come to its end, whatever the end: message and function.
type After = fn(&mut Draft, Ref, &[Failed]) -> Result<(), ApiError>;
const AFTER: &[(&str, After)] = &[("VMSS.snapshot_now", super::vm::schedule::after)];

/// Begins a sequence: its first group begins with the first step.
pub fn begin(draft: &mut Draft, call: &Call, begin: Begin<'_>, groups: Vec<Group>) -> Answer {
    let waits: i64 = groups.iter().map(|group| group.delay_seconds).fold(0, i64::saturating_add);
    let acting = operation::DEADLINE.saturating_mul(groups.len().max(1) as i64);
    let deadline = waits.saturating_mul(SECOND).saturating_add(acting);
    let kept = Sequence { groups, ..Sequence::default() }.text();
    operation::begin(draft, call, Begin { deadline, planned: &[(KEPT, kept)], ..begin })
}

/// Goes on with a sequence as far as that is possible now.
pub fn advance(draft: &mut Draft, reference: Ref) -> Answer {
    let task = operation::pending(draft, reference)?;
    let mut sequence = Sequence::of(&task).ok_or_else(|| codes::INTERNAL_ERROR("the task is no sequence"))?;
    sequence.collect(draft);
    if let Some(error) = stopped(draft, &task) {
        if sequence.running.is_empty() {
            after(draft, &task, &sequence.failed)?;
            return operation::fail(draft, reference, error);
        }
        sequence.cancel(draft)?;
    } else {
        while sequence.rested(draft.now) {
            let Some(group) = sequence.groups.get(sequence.begun).cloned() else {
                return sequence.end(draft, &task);
            };
            sequence.begun += 1;
            sequence.resting_until = None;
            for part in group.parts {
                sequence.begin_part(draft, &task, part);
            }
        }
        let all = sequence.groups.len().max(1) as f64;
        operation::progress(draft, reference, (sequence.begun as f64 - 0.5) / all)?;
    }
    draft.task = Some(reference);
    let mut planned: Map = task.get(task::planned).clone();
    planned.insert(Arc::from(KEPT), Value::from(sequence.text()));
    draft.set(reference, task::planned, Value::Map(Arc::new(planned)));
    Ok(Value::Void)
}

/// Why a sequence should not go on, if it should not.
fn stopped(draft: &Draft, task: &Object) -> Option<ApiError> {
    if operation::is_cancelled(task) {
        return Some(codes::TASK_CANCELLED(task.reference));
    }
    let message = task.get(task::operation);
    let late = || codes::INTERNAL_ERROR(format!("{message} did not end in time"));
    (task.get(task::deadline) <= draft.now).then(late)
}

fn after(draft: &mut Draft, task: &Object, failed: &[Failed]) -> Result<(), ApiError> {
    let message: &str = task.get(task::operation);
    let object = Ref::parse(task.get(task::object)).unwrap_or(Ref::NULL);
    match AFTER.iter().find(|(name, _)| *name == message) {
        Some((_, after)) => after(draft, object, failed),
        None => Ok(()),
    }
}

/// The result of every sequence that ends well.
pub fn ended(_: &mut Draft, _: &operation::Ended) -> Answer {
    Ok(Value::Void)
}

impl Sequence {
    fn of(task: &Object) -> Option<Sequence> {
        serde_json::from_str(task.get(task::planned).get(KEPT)?.as_str()).ok()
    }

    fn text(&self) -> String {
        serde_json::to_string(self).expect("BUG: a sequence is always JSON")
    }

    /// Takes note of the parts that have ended. One whose task is gone ended long ago.
    fn collect(&mut self, draft: &Draft) {
        let running = std::mem::take(&mut self.running);
        for (object, part) in running {
            let Ok(task) = draft.find::<task>(part) else { continue };
            match task.get(task::status) {
                "pending" => self.running.push((object, part)),
                "success" => {}
                _ => {
                    let error = task.get(task::error_info).iter().map(|text| text.as_str().to_string()).collect();
                    self.failed.push(Failed { object, error });
                }
            }
        }
        if self.begun > 0 && self.running.is_empty() && self.resting_until.is_none() {
            let delay = self.groups.get(self.begun - 1).map_or(0, |group| group.delay_seconds);
            self.resting_until = Some(draft.now.saturating_add(delay.saturating_mul(SECOND)));
        }
    }

    /// Whether the next group's turn has come.
    fn rested(&self, now: Micros) -> bool {
        self.running.is_empty() && self.resting_until.is_none_or(|until| until <= now)
    }

    /// Makes one call, in the name of whoever began the sequence. What is refused has failed, and the rest goes on.
    fn begin_part(&mut self, draft: &mut Draft, whole: &Object, part: Part) {
        let begun = draft.pending.take();
        let result = operation::call(&part.message, &part.args).and_then(|call| {
            let handler = super::handler(call.message).ok_or_else(|| codes::NOT_IMPLEMENTED(&part.message))?;
            handler(draft, &call)
        });
        let task = std::mem::replace(&mut draft.pending, begun);
        match (result, task) {
            (Ok(_), Some(task)) => {
                draft.set(task, task::subtask_of, whole.reference);
                draft.set(task, task::owner, whole.get(task::owner).clone());
                self.running.push((part.object, task));
            }
            (Ok(_), None) => {}
            (Err(error), _) => {
                let info = std::iter::once(error.code.to_string()).chain(error.params.iter().cloned());
                self.failed.push(Failed { object: part.object, error: info.collect() });
            }
        }
    }

    /// Asks the parts that run to end.
    fn cancel(&self, draft: &mut Draft) -> Result<(), ApiError> {
        for (_, part) in &self.running {
            let part = draft.find::<task>(*part)?;
            operation::ask_to_end(draft, &part);
        }
        Ok(())
    }

    fn end(&self, draft: &mut Draft, task: &Object) -> Answer {
        after(draft, task, &self.failed)?;
        if self.failed.is_empty() {
            return operation::complete(draft, task.reference, Facts::default());
        }
        let error = codes::OPERATION_PARTIALLY_FAILED(task.get(task::operation));
        let failed = self.failed.iter().map(|failed| failed.object.to_string());
        let params = error.params.iter().cloned().chain(failed).collect();
        operation::fail(draft, task.reference, ApiError::new(error.code, params))
    }
}

/// The pending sequence about an object, if there is one.
pub fn pending_about(view: &View, object: Ref) -> Option<Ref> {
    let text = object.to_string();
    let mut pending = view.all::<task>().filter(|task| task.get(task::status) == "pending" && is_one(task));
    pending.find(|task| **task.get(task::object) == *text).map(|task| task.reference)
}
