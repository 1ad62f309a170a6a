//! Tasks: those that clients make for work of their own, and what a caller
//! may do to those that carry operations.
//!
//! ```text
//!   a client's task:  create ─▶ pending ─set_status▶ success | failure | cancelled
//!   an operation's:   pending ─cancel▶ marked, for the reconciler ─▶ cancelled, or ended all the same
//!   either:           marked, and nothing came of it within ENDING_MAX ─▶ cancelled by the server
//! ```
//!
//! Whoever began a task may do all of this to it; others need to be operators
//! of the pool.

use super::draft::Fields;
use super::operation::{self, Derived};
use super::{Call, Completion, Draft, Handler, Reader, generic};
use crate::error::{ApiError, codes};
use crate::model::{ClassId, Roles, host, session, subscription, task};
use crate::value::{Ref, Value};
use crate::views::{Object, View};
use std::sync::Arc;

/// Tasks of its own that one principal may have pending.
pub const PENDING_PER_OWNER_MAX: usize = 1_000;
/// Bytes of a result that a client gives to its task.
pub const RESULT_MAX: usize = 64 * 1024;
/// Texts in an `error_info` that a client gives to its task.
pub const ERROR_INFO_MAX: usize = 64;

pub const HANDLERS: &[(&str, Handler)] = &[
    ("task.create", create),
    ("task.cancel", cancel),
    ("task.destroy", destroy),
    ("task.set_notify", set_notify),
    ("task.set_status", set_status),
    ("task.set_progress", set_progress),
    ("task.set_result", set_result),
    ("task.set_error_info", set_error_info),
    ("task.set_other_config", set_other_config),
    ("task.add_to_other_config", add_to_other_config),
    ("task.remove_from_other_config", remove_from_other_config),
];
pub const READERS: &[(&str, Reader)] = &[];
pub const COMPLETIONS: &[(&str, Completion)] = &[];
pub const DERIVED: &[&Derived] = &[&Derived {
    class: ClassId::task,
    inputs: &[task::status.index, task::current_operations.index],
    allowed,
    neighbours: |_, _| Vec::new(),
}];

/// A task can be cancelled once, while it runs, and destroyed at any time.
fn allowed(_view: &View, held: &Object) -> Vec<&'static str> {
    let runs = held.get(task::status) == "pending" && held.get(task::current_operations).is_empty();
    if runs { vec!["cancel", "destroy"] } else { vec!["destroy"] }
}

fn create(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let owner = draft.principal.name.clone();
    let pending = draft.view().all::<task>().filter(|held| {
        held.get(task::status) == "pending" && held.get(task::operation).is_empty() && *held.get(task::owner) == owner
    });
    if pending.count() >= PENDING_PER_OWNER_MAX {
        return Err(codes::OPERATION_NOT_ALLOWED(format!("{PENDING_PER_OWNER_MAX} tasks are pending already")));
    }
    let here = draft.view().all::<host>().next().map(|host| host.reference).unwrap_or(Ref::NULL);
    let own = draft.principal.session;
    let own = if draft.view().find::<session>(own).is_some() { own } else { Ref::NULL };
    let fields = Fields::<task>::new()
        .with(task::name_label, call.text(0))
        .with(task::name_description, call.text(1))
        .with(task::created, Value::Time(draft.now))
        .with(task::status, "pending")
        .with(task::resident_on, here)
        .with(task::r#type, "<none/>")
        .with(task::session, own)
        .with(task::owner, owner);
    Ok(Value::Ref(draft.create(fields)))
}

/// The task, if the caller began it or operates the pool.
fn own(draft: &Draft, call: &Call) -> Result<Arc<Object>, ApiError> {
    let held = draft.find::<task>(call.reference(0))?;
    let theirs = *held.get(task::owner) == draft.principal.name;
    if theirs || draft.principal.roles.intersects(Roles::pool_operator) {
        return Ok(held);
    }
    let permission = format!("{}/any", call.message.full_name.to_lowercase());
    Err(codes::RBAC_PERMISSION_DENIED(permission, "the task was begun by somebody else"))
}

/// A task that a client made: it alone says how its own work goes.
fn made_by_client(draft: &Draft, call: &Call) -> Result<Arc<Object>, ApiError> {
    let held = own(draft, call)?;
    if held.get(task::operation).is_empty() && !has_ended_by_itself(&held) {
        return Ok(held);
    }
    Err(codes::OPERATION_NOT_ALLOWED("the server itself keeps this task"))
}

/// The task of an `Async.` call that was done at once has no operation, and was never pending.
fn has_ended_by_itself(held: &Object) -> bool {
    held.get(task::name_label).starts_with("Async.") && held.get(task::created) == held.get(task::finished)
}

/// It is over once and for ever: what came of it is told with its end.
fn pending(held: Arc<Object>) -> Result<Arc<Object>, ApiError> {
    if held.get(task::status) == "pending" {
        return Ok(held);
    }
    Err(codes::OPERATION_NOT_ALLOWED("the task has ended; result and error_info come before its status"))
}

/// Marks the task; who carries it out looks at the mark. Asking twice is no error.
fn cancel(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let held = pending(own(draft, call)?)?;
    operation::ask_to_end(draft, &held);
    Ok(Value::Void)
}

/// The task of an operation that still runs goes when it has ended: its end must not be lost.
fn destroy(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let held = own(draft, call)?;
    if held.get(task::status) == "pending" && !held.get(task::operation).is_empty() {
        draft.set(held.reference, task::synchronous, true);
    } else {
        draft.delete::<task>(held.reference);
    }
    Ok(Value::Void)
}

/// Whether a principal may have a subscription told of the end of its tasks: one that it may use.
pub fn check_notified(told: &Object, principal: &str, roles: Roles) -> Result<(), ApiError> {
    match super::subscription::may_use(told, principal, roles) {
        true => Ok(()),
        false => Err(codes::RBAC_PERMISSION_DENIED("task.set_notify/any", "the subscription is somebody else's")),
    }
}

fn set_notify(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let held = own(draft, call)?;
    let told = call.reference(1);
    if !told.is_null() {
        check_notified(&*draft.find::<subscription>(told)?, &draft.principal.name, draft.principal.roles)?;
    }
    draft.set(held.reference, task::notify, told);
    Ok(Value::Void)
}

fn set_status(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let held = pending(made_by_client(draft, call)?)?;
    let status = match &call.args[1] {
        Value::Enum(status @ ("success" | "failure" | "cancelled")) => *status,
        Value::Enum("pending") => return Ok(Value::Void),
        other => return Err(codes::VALUE_NOT_SUPPORTED("status", other.as_str(), "use task.cancel")),
    };
    let reference = held.reference;
    if status == "cancelled" && held.get(task::error_info).is_empty() {
        let info = ["TASK_CANCELLED".to_string(), reference.to_string()];
        draft.set(reference, task::error_info, Value::set(info.map(Value::from)));
    }
    draft.set(reference, task::progress_at_end, if status == "success" { 1.0 } else { held.get(task::progress) });
    draft.set(reference, task::progress, 1.0);
    draft.set(reference, task::finished, Value::Time(draft.now));
    draft.set(reference, task::current_operations, Value::empty_map());
    draft.set(reference, task::status, status);
    Ok(Value::Void)
}

/// Progress never falls: what comes too late changes nothing. It is 1 with the end and not before.
fn set_progress(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let progress = call.float(1);
    if !(0.0..=1.0).contains(&progress) {
        return Err(codes::VALUE_NOT_SUPPORTED("progress", progress, "it is between 0 and 1"));
    }
    let held = pending(made_by_client(draft, call)?)?;
    let progress = progress.min(operation::PROGRESS_MAX);
    if progress > held.get(task::progress) {
        draft.set(held.reference, task::progress, progress);
    }
    Ok(Value::Void)
}

fn set_result(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let held = pending(made_by_client(draft, call)?)?;
    let bytes = call.text(1).len();
    if bytes > RESULT_MAX {
        return Err(codes::VALUE_NOT_SUPPORTED("result", bytes, format!("more than {RESULT_MAX} bytes")));
    }
    draft.set(held.reference, task::result, call.args[1].clone());
    Ok(Value::Void)
}

fn set_error_info(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let held = pending(made_by_client(draft, call)?)?;
    let (texts, bytes) = (call.args[1].as_set(), call.args[1].as_set().iter().map(|text| text.as_str().len()));
    if texts.len() > ERROR_INFO_MAX || bytes.sum::<usize>() > RESULT_MAX {
        return Err(codes::VALUE_NOT_SUPPORTED("error_info", texts.len(), "it is too long"));
    }
    draft.set(held.reference, task::error_info, call.args[1].clone());
    Ok(Value::Void)
}

fn set_other_config(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let held = own(draft, call)?;
    generic::set(draft, ClassId::task, held.reference, task::other_config.index, call.args[1].clone())
}

fn add_to_other_config(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let held = own(draft, call)?;
    let (key, value) = (call.text(1).to_string(), call.args[2].clone());
    generic::add_to(draft, ClassId::task, held.reference, task::other_config.index, key, value)
}

fn remove_from_other_config(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let held = own(draft, call)?;
    generic::remove_from(draft, ClassId::task, held.reference, task::other_config.index, call.text(1))
}

#[cfg(test)]
mod tests;
