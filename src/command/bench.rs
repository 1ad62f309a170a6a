//! For tests: a view that calls and reports change as the writer would, with
//! the promises that every event keeps checked after each.

use super::{Call, Command, Intent, Principal, decide, operation};
use crate::error::ApiError;
use crate::event::{Body, Event, Kind};
use crate::model::{MODEL, task};
use crate::value::{self, Ref, Value};
use crate::views::{View, fold};
use operation::Facts;

/// See the module.
#[derive(Default)]
pub struct Bench {
    pub view: View,
    /// The payload of the last event.
    pub last: String,
    round: u64,
}

impl Bench {
    /// Decides on an intent and folds what comes of it; gives the result, or the task that is pending.
    pub fn decide(&mut self, body: Intent) -> Result<Value, ApiError> {
        self.round += 1;
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.round.to_le_bytes());
        let now = 1_000_000 * self.round as i64;
        let command = Command {
            principal: Principal::server("user/test"),
            address: "test".into(),
            auth: "".into(),
            request: "".into(),
            cause: 0,
            now,
            seed,
            body,
        };
        let decision = decide(&self.view, command)?;
        let body = decision.body.expect("a call gives an event");
        let stored = body.to_payload();
        let read = Body::from_payload(crate::event::SCHEMA, &stored).expect("what was written is readable");
        assert_eq!(read, body, "the persisted form loses nothing: {stored}");
        let event = Event {
            kind: Kind::Change,
            lineage: 1,
            term: 1,
            position: self.view.position + 1,
            time: now,
            principal: "user/test".into(),
            message: decision.message,
            request: "".into(),
            cause: 0,
            body,
        };
        fold(&mut self.view, &event);
        self.last = stored;
        Ok(decision.pending.map(Value::Ref).unwrap_or(decision.result))
    }

    /// Calls a message; parameters left out have their defaults.
    pub fn call(&mut self, name: &str, args: Vec<Value>) -> Result<Value, ApiError> {
        let message = MODEL.message(name).unwrap_or_else(|| panic!("{name} is no message"));
        let mut checked = Vec::new();
        for (at, param) in message.params.iter().enumerate() {
            checked.push(match args.get(at) {
                Some(given) => value::check(param.name, param.ty, given.clone())?,
                None => value::default_value(param.ty, param.default),
            });
        }
        self.decide(Intent::Call(Call { message, args: checked, background: false }))
    }

    /// Reports that the hypervisor did what a task asks.
    pub fn complete(&mut self, pending: Ref, facts: Facts) -> Result<Value, ApiError> {
        let decide = Box::new(move |draft: &mut super::Draft<'_>| operation::complete(draft, pending, facts));
        self.decide(Intent::Own { message: "task.completed", kind: Kind::Change, decide })?;
        let ended = self.view.find::<task>(pending).expect("a task stays a while after its end");
        match ended.get(task::status) {
            "success" => Ok(Value::text(ended.get(task::result))),
            _ => {
                let info: Vec<String> =
                    ended.get(task::error_info).iter().map(|text| text.as_str().to_string()).collect();
                let code = crate::error::codes::CODES.iter().find(|code| code.name == info[0]);
                Err(ApiError::new(code.expect("a published code").name, info[1..].to_vec()))
            }
        }
    }

    /// Calls a message that begins an operation, and lets it succeed; gives the reference that is its result, if any.
    pub fn run(&mut self, name: &str, args: Vec<Value>, facts: Facts) -> Result<Ref, ApiError> {
        let pending = self.call(name, args)?.as_ref();
        let result = self.complete(pending, facts)?;
        let text = result.as_str().trim_start_matches("<value>").trim_end_matches("</value>");
        Ok(Ref::parse(text).unwrap_or(Ref::NULL))
    }

    /// Decides on something that the server itself does.
    pub fn own(
        &mut self,
        decide: impl FnOnce(&mut super::Draft<'_>) -> Result<Value, ApiError> + Send + 'static,
    ) -> Result<Value, ApiError> {
        self.decide(Intent::Own { message: "test.own", kind: Kind::Change, decide: Box::new(decide) })
    }

    /// Changes the state directly: what a test takes for granted.
    pub fn given<R: Given>(&mut self, arrange: impl FnOnce(&mut super::Draft<'_>) -> R + Send + 'static) -> Value {
        let decide = Box::new(move |draft: &mut super::Draft<'_>| Ok(arrange(draft).value()));
        self.decide(Intent::Own { message: "test.given", kind: Kind::Change, decide })
            .expect("arranging is not refused")
    }

    /// The values of a set field, by name; for `allowed_operations`.
    pub fn allowed(&self, class: crate::model::ClassId, reference: Ref) -> Vec<String> {
        let field = MODEL.field(class, "allowed_operations").expect("the class has operations");
        let object = self.view.object(class, reference).expect("it is there");
        object.record[field].as_set().iter().map(|value| value.as_str().to_string()).collect()
    }
}

/// What arranging may give back.
pub trait Given {
    fn value(self) -> Value;
}

impl Given for () {
    fn value(self) -> Value {
        Value::Void
    }
}

impl Given for Ref {
    fn value(self) -> Value {
        Value::Ref(self)
    }
}
