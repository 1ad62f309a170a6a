//! The messages that look back: those of class `log`, and
//! `VM.get_power_state_history`. They read the log beside its writer, a few at
//! a time, and change nothing.

use super::Gateway;
use super::answer::Answer;
use super::dispatch::Caller;
use crate::command::Call;
use crate::error::{ApiError, codes};
use crate::event::{Delta, Event, Operation};
use crate::log::rows::Moment;
use crate::model::{ClassId, MODEL, Ty, VM};
use crate::value::{Ref, Value};
use crate::views::View;
use crate::views::past::filter::Filter;
use crate::views::past::{Lost, diff, tell};
use crate::views::read::{Scope, Sight};
use std::sync::Arc;

/// Of a machine, answered from the log.
pub const POWER_STATES: &str = "VM.get_power_state_history";
/// Events that one call answers at most.
const EVENTS_MAX: i64 = 10_000;
/// Objects that one comparison answers at most.
const DIFFERENCES_MAX: usize = 100_000;

impl Gateway {
    /// Serves a message that looks back.
    pub(super) async fn look_back(&self, call: &Call, caller: &Caller) -> Result<Answer, ApiError> {
        // The past is not kept apart by who may read what.
        if self.sight(caller).scope != Scope::All && call.message.class == ClassId::log {
            let why = "only who may read everything may look back";
            return Err(codes::RBAC_PERMISSION_DENIED(call.message.full_name.to_lowercase(), why));
        }
        let _turn = self.past.turn().await;
        let value = match call.message.name {
            "get_head" => self.log_head(),
            "get_events" => self.log_events(call).await?,
            "get_history" => self.log_history(call).await?,
            "get_power_state_history" => self.power_states(call.reference(0), caller).await?,
            "get_state_hash" => Value::from(hex(&self.view_at(call.text(0), true).await?.state_hash())),
            "diff" => self.log_diff(call).await?,
            "get_record_at" => return self.record_at(call).await,
            "get_all_records_at" => {
                let class = class_of(call.text(0))?;
                let view = self.view_at(call.text(1), false).await?;
                return Ok(Answer::Records(Sight { view, scope: Scope::All }, class));
            }
            _ => return Err(codes::NOT_IMPLEMENTED(call.message.full_name)),
        };
        Ok(value.into())
    }

    fn log_head(&self) -> Value {
        let view = self.ledger.view();
        Value::map([
            ("position", Value::from(view.position.to_string())),
            ("lineage", Value::from(view.lineage.to_string())),
            ("time", Value::from(tell::fine_time(view.time))),
            ("hash", Value::from(hex(&view.hash))),
        ])
    }

    async fn log_events(&self, call: &Call) -> Result<Value, ApiError> {
        let (view, now) = (self.ledger.view(), self.ledger.world().now());
        let mut filter = Filter::default();
        for (name, text) in call.args[0].as_map() {
            let set = filter.set(name, text.as_str(), &view, now);
            set.map_err(|_| codes::INVALID_VALUE(name, text.as_str()))?;
        }
        let (mut after, limit) = (position(call, 1)?, limit(call, 2)?);
        after = after.max(filter.start(self.past.rows()).await.map_err(lost)?);
        let mut told = Vec::new();
        while let Some((events, last)) = filter.page(self.past.rows(), after).await.map_err(lost)? {
            let room = limit - told.len();
            told.extend(events.iter().take(room).map(|event| tell::event(event, &view)));
            if told.len() >= limit || last == u64::MAX {
                break;
            }
            after = last;
        }
        Ok(Value::set(told))
    }

    async fn log_history(&self, call: &Call) -> Result<Value, ApiError> {
        let class = class_of(call.text(0))?;
        let reference = reference_of(class, call.text(1))?;
        let field = match call.text(2) {
            "" => None,
            name => Some(readable_field(class, name)?),
        };
        let (after, limit) = (position(call, 3)?, limit(call, 4)?);
        let events = self.past.history(class, reference, field, after, limit).await.map_err(lost)?;
        if events.is_empty() && after == 0 {
            return Err(codes::HANDLE_INVALID(class.name(), reference));
        }
        let view = self.ledger.view();
        Ok(Value::set(events.iter().map(|event| tell::event(event, &view))))
    }

    /// Each state that the machine was in: since when, by whom, by which message.
    async fn power_states(&self, machine: Ref, caller: &Caller) -> Result<Value, ApiError> {
        let field = VM::power_state.index;
        // What is still there has no earlier changes than those behind its beginning.
        let begun = self.ledger.view().find::<VM>(machine).map_or(0, |vm| vm.created.saturating_sub(1));
        let limit = EVENTS_MAX as usize;
        let events = self.past.history(ClassId::VM, machine, Some(field), begun, limit).await.map_err(lost)?;
        if events.is_empty() {
            return Err(codes::HANDLE_INVALID("VM", machine));
        }
        let sight = self.sight(caller);
        Ok(Value::set(events.iter().filter_map(|event| power_state(event, &sight))))
    }

    async fn log_diff(&self, call: &Call) -> Result<Value, ApiError> {
        let (from, to) = (self.view_at(call.text(0), false).await?, self.view_at(call.text(1), false).await?);
        let found = diff::diff(&from, &to);
        Ok(Value::set(found.iter().take(DIFFERENCES_MAX).map(diff::Difference::record)))
    }

    async fn record_at(&self, call: &Call) -> Result<Answer, ApiError> {
        let class = class_of(call.text(0))?;
        let reference = reference_of(class, call.text(1))?;
        let view = self.view_at(call.text(2), false).await?;
        let object = view.object(class, reference).cloned();
        let object = object.ok_or_else(|| codes::HANDLE_INVALID(class.name(), reference))?;
        Ok(Answer::Record(Sight { view, scope: Scope::All }, class, object))
    }

    /// The view at a moment; `exact` where the order of sets' members counts, as it does for the state's hash.
    async fn view_at(&self, at: &str, exact: bool) -> Result<Arc<View>, ApiError> {
        let moment = Moment::parse(at, self.ledger.world().now()).ok_or_else(|| codes::INVALID_VALUE("at", at))?;
        let present = self.ledger.view();
        let view = if exact { self.past.at(moment, present).await } else { self.past.near(moment, present).await };
        match view {
            Err(Lost::Future { .. }) => Err(codes::INVALID_VALUE("at", at)),
            other => other.map_err(lost),
        }
    }
}

/// A state that began with this event; `None` where it was deleted.
fn power_state(event: &Event, sight: &Sight) -> Option<Value> {
    let default = || crate::value::default_record(ClassId::VM)[VM::power_state.index].clone();
    let state = match &event.body.changes.first()?.operation {
        Operation::Add(values) => values.first().map_or_else(default, |(_, value)| value.clone()),
        Operation::Mod(deltas) => match &deltas.first()?.1 {
            Delta::Scalar { new, .. } => new.clone(),
            _ => return None,
        },
        Operation::Del(_) => return None,
    };
    let task = Value::Ref(event.body.task.unwrap_or(Ref::NULL));
    Some(Value::map([
        ("power_state", state),
        ("since", Value::Time(event.time)),
        ("time", Value::from(tell::fine_time(event.time))),
        ("position", Value::Int(event.position as i64)),
        ("principal", Value::from(event.principal.clone())),
        ("message", Value::from(event.message.clone())),
        ("task", sight.scope.limit(&sight.view, Ty::Ref(ClassId::task), task)),
    ]))
}

fn class_of(name: &str) -> Result<ClassId, ApiError> {
    MODEL.class(name).filter(|class| !class.def().flags.hidden).ok_or_else(|| codes::INVALID_VALUE("class", name))
}

/// A reference, or a uuid, which most objects share with no other; what is gone is found by its reference alone.
fn reference_of(class: ClassId, text: &str) -> Result<Ref, ApiError> {
    let reference = Ref::parse(text).filter(|reference| !reference.is_null());
    reference.ok_or_else(|| codes::HANDLE_INVALID(class.name(), text))
}

fn readable_field(class: ClassId, name: &str) -> Result<usize, ApiError> {
    let field = MODEL.field(class, name).filter(|field| {
        let flags = &class.def().fields[*field].flags;
        !flags.internal && !flags.secret
    });
    field.ok_or_else(|| codes::INVALID_VALUE("field", name))
}

fn position(call: &Call, at: usize) -> Result<u64, ApiError> {
    u64::try_from(call.int(at)).map_err(|_| codes::INVALID_VALUE("after", call.int(at)))
}

fn limit(call: &Call, at: usize) -> Result<usize, ApiError> {
    match call.int(at) {
        limit @ 1.. => Ok(limit.min(EVENTS_MAX) as usize),
        limit => Err(codes::INVALID_VALUE("limit", limit)),
    }
}

pub(super) fn lost(error: Lost) -> ApiError {
    tracing::error!(%error, "the log could not be read back");
    codes::INTERNAL_ERROR("the log cannot be read now")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
