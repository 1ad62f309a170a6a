//! Deciding: a view and a command in, an event or a refusal out. Pure: ids
//! come from the command's seed, time from its `now`.
//!
//! One file per family binds a function to each message that the model does
//! not imply; [`generic`] serves the implied ones. Must never know storage,
//! sockets, or the hypervisor: slow work happens before or after.
//!
//! ```text
//!   decide(view, command) ─┬─ Err(ApiError)                        nothing happened
//!                          ├─ Ok(event)                            done, with its result
//!                          └─ Ok(event with a pending task)        an operation for the reconciler
//! ```

pub mod attach;
#[cfg(test)]
pub mod bench;
pub mod blob;
pub mod bootstrap;
pub mod data_source;
pub mod device;
pub mod draft;
pub mod generic;
pub mod host;
pub mod limits;
pub mod message;
pub mod network;
pub mod operation;
pub mod permissions;
pub mod refused;
pub mod registration;
pub mod secret;
pub mod sequence;
pub mod session;
pub mod storage;
pub mod subscription;
pub mod task;
#[cfg(test)]
mod tests;
pub mod vm;

pub use draft::Draft;

use crate::error::{ApiError, codes};
use crate::event::{Body, Kind};
use crate::log::VaultChanges;
use crate::model::{ClassId, MODEL, Message, Roles, Ty, secrets};
use crate::value::{Micros, Ref, Value};
use crate::views::View;
use crate::world::{Seed, World};
use serde_json::Value as Json;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

/// Who acts. Every event names one.
#[derive(Clone, Debug, Default)]
pub struct Principal {
    /// `user/root`, `host/UUID`, `timer`, `upgrade`.
    pub name: Arc<str>,
    pub roles: Roles,
    /// The session the call came with; null for the server itself.
    pub session: Ref,
    /// The local user or the subject behind it.
    pub user: Ref,
    /// Its session reads a saved database, not the live one.
    pub elsewhere: bool,
}

impl Principal {
    /// The server itself, under a name that says which part of it.
    pub fn server(name: &str) -> Arc<Principal> {
        Arc::new(Principal { name: Arc::from(name), roles: Roles::superuser, ..Principal::default() })
    }
}

/// Something to decide on.
pub struct Command {
    pub principal: Arc<Principal>,
    /// The peer's address, for the log; "" for the server itself.
    pub address: Arc<str>,
    /// How the caller proved who it is.
    pub auth: Arc<str>,
    /// The client's own id for the call; "" if it gave none.
    pub request: Arc<str>,
    pub cause: u64,
    pub now: Micros,
    pub seed: Seed,
    pub body: Intent,
}

impl Command {
    /// What the server itself wants: it comes from nowhere, and nobody waits to send it again.
    pub fn own(principal: &Arc<Principal>, world: &World, kind: Kind, message: &'static str, decide: Own) -> Command {
        Command {
            principal: principal.clone(),
            address: Arc::default(),
            auth: Arc::default(),
            request: Arc::default(),
            cause: 0,
            now: world.now(),
            seed: world.seed(),
            body: Intent::Own { message, kind, decide },
        }
    }
}

/// What is wanted.
pub enum Intent {
    /// A message, its arguments checked against the model.
    Call(Call),
    /// Something the server does itself and no client can call: a login whose password was checked, a report
    /// of the reconciler, a timer. The name is the event's message.
    Own { message: &'static str, kind: Kind, decide: Own },
}

/// What the server itself decides; pure like every handler.
pub type Own = Box<dyn FnOnce(&mut Draft) -> Result<Value, ApiError> + Send>;

/// A client's call.
#[derive(Clone)]
pub struct Call {
    pub message: &'static Message,
    /// As many as the message has parameters, of the declared types; the session is not among them.
    pub args: Vec<Value>,
    /// Called as `Async.`: the answer is a task.
    pub background: bool,
}

impl Call {
    pub fn reference(&self, at: usize) -> Ref {
        self.args[at].as_ref()
    }

    pub fn text(&self, at: usize) -> &str {
        self.args[at].as_str()
    }

    pub fn int(&self, at: usize) -> i64 {
        match &self.args[at] {
            Value::Int(value) => *value,
            other => panic!("BUG: {other:?} where {} declares an int", self.message.full_name),
        }
    }

    pub fn float(&self, at: usize) -> f64 {
        match &self.args[at] {
            Value::Float(value) => *value,
            other => panic!("BUG: {other:?} where {} declares a float", self.message.full_name),
        }
    }

    pub fn bool(&self, at: usize) -> bool {
        self.args[at] == Value::Bool(true)
    }
}

/// What deciding gives.
pub struct Decision {
    pub kind: Kind,
    pub message: Arc<str>,
    /// `None` when the server itself found nothing to do.
    pub body: Option<Body>,
    pub vault: VaultChanges,
    pub result: Value,
    /// The task to wait for, when the call became an operation and the caller did not ask for a task.
    pub pending: Option<Ref>,
}

/// Serves one message: changes the draft, gives the result.
pub type Handler = fn(&mut Draft, &Call) -> Result<Value, ApiError>;

/// Ends one operation in success: changes the draft by what the hypervisor reported, gives the task's result.
pub type Completion = fn(&mut Draft, &operation::Ended) -> Result<Value, ApiError>;

/// Answers a message that only reads, from one view.
pub type Reader = fn(&Reading<'_>, &Call) -> Result<Value, ApiError>;

/// What a message that only reads may look at.
pub struct Reading<'a> {
    pub view: &'a View,
    pub principal: &'a Arc<Principal>,
    pub now: Micros,
}

/// What one family binds: functions to messages, and derived fields to classes.
struct Family {
    handlers: &'static [(&'static str, Handler)],
    readers: &'static [(&'static str, Reader)],
    completions: &'static [(&'static str, Completion)],
    derived: &'static [&'static operation::Derived],
}

macro_rules! families {
    ($($family:ident)*) => {
        /// A message in none of them, and not implied, answers `NOT_IMPLEMENTED`.
        const FAMILIES: &[Family] = &[$(Family {
            handlers: $family::HANDLERS,
            readers: $family::READERS,
            completions: $family::COMPLETIONS,
            derived: $family::DERIVED,
        }),*];
    };
}

families! { session task message subscription limits host vm storage network device }

static HANDLERS: LazyLock<Vec<Option<Handler>>> =
    LazyLock::new(|| by_message(FAMILIES.iter().flat_map(|family| family.handlers)));
static READERS: LazyLock<Vec<Option<Reader>>> =
    LazyLock::new(|| by_message(FAMILIES.iter().flat_map(|family| family.readers)));
static COMPLETIONS: LazyLock<HashMap<&'static str, Completion>> =
    LazyLock::new(|| FAMILIES.iter().flat_map(|family| family.completions).copied().collect());

fn by_message<F: Copy + 'static>(bound: impl Iterator<Item = &'static (&'static str, F)>) -> Vec<Option<F>> {
    let mut functions = vec![None; MODEL.messages.len()];
    for (name, function) in bound {
        let message = MODEL.message(name).unwrap_or_else(|| panic!("BUG: {name} is no message"));
        functions[message.index] = Some(*function);
    }
    functions
}

/// The function that answers a message that only reads, if one is bound.
pub fn reader(message: &Message) -> Option<Reader> {
    READERS[message.index]
}

/// The handler bound to a message, if there is one.
pub fn handler(message: &Message) -> Option<Handler> {
    HANDLERS[message.index]
}

/// The messages that begin operations.
pub fn operations() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().flat_map(|family| family.completions).map(|(name, _)| *name)
}

/// How an operation that began with that message ends in success.
pub fn completion(message: &str) -> Option<Completion> {
    COMPLETIONS.get(message).copied()
}

/// Decides on one command. Nothing outside the draft is touched, so that a refusal leaves no trace.
pub fn decide(view: &View, command: Command) -> Result<Decision, ApiError> {
    let mut draft = Draft::new(view, &command.principal, command.now, command.seed);
    let (kind, message, result, background) = match command.body {
        Intent::Own { message, kind, decide } => (kind, message, decide(&mut draft)?, false),
        Intent::Call(call) => {
            let result = perform(&mut draft, &call)?;
            (Kind::Change, call.message.full_name, result, call.background)
        }
    };
    let own = command.principal.session.is_null() && command.address.is_empty();
    let (pending, vault) = (draft.pending, std::mem::take(&mut draft.vault));
    let task = draft.task;
    let args = std::mem::take(&mut draft.args);
    let error = std::mem::take(&mut draft.error);
    let changes = draft.finish();
    let idle = own && kind == Kind::Change && changes.is_empty();
    let body = Body { address: command.address, auth: command.auth, args, task, error, repeated: 0, changes };
    Ok(Decision {
        kind,
        message: Arc::from(message),
        body: (!idle).then_some(body),
        vault,
        result,
        pending: pending.filter(|_| !background),
    })
}

/// What a message is called on must be there, whether or not its answer depends on it.
pub fn check_subject(view: &View, call: &Call) -> Result<(), ApiError> {
    let first = call.message.params.first().filter(|param| param.default.is_none());
    match first.map(|param| param.ty) {
        Some(Ty::Ref(class)) if permissions::find(view, class, call.reference(0)).is_none() => {
            Err(codes::HANDLE_INVALID(class.name(), call.reference(0)))
        }
        _ => Ok(()),
    }
}

fn perform(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let subscribes = call.message.class == ClassId::subscription;
    if subscribes {
        subscription::permit(draft, call)?;
    }
    vm::foreign::assert_own(draft.view(), call)?;
    let result = match (handler(call.message), call.message.implied) {
        (Some(handler), _) => {
            draft.record_args(call);
            check_subject(draft.view(), call)?;
            handler(draft, call)?
        }
        (None, Some(implied)) => generic::perform(draft, call, implied)?,
        // A message that only reads comes here when it was called as `Async.`: it becomes a task that is done.
        (None, None) => {
            let read = reader(call.message).ok_or_else(|| codes::NOT_IMPLEMENTED(call.message.full_name))?;
            check_subject(draft.view(), call)?;
            read(&Reading { view: draft.view(), principal: draft.principal, now: draft.now }, call)?
        }
    };
    if subscribes {
        subscription::check(draft, call, &result)?;
    }
    match (draft.pending, call.background) {
        (Some(task), true) => Ok(Value::Ref(task)),
        (None, true) => Ok(Value::Ref(operation::finished(draft, call, &result))),
        (_, false) => Ok(result),
    }
}

/// A call's arguments as the log shows them, by name; secrets are left out.
pub fn logged(call: &Call) -> Vec<(Arc<str>, Json)> {
    let params = call.message.params.iter().zip(&call.args);
    let mut args: Vec<(Arc<str>, Json)> = params
        .map(|(param, value)| match secrets::hides(call.message, param) {
            true => (Arc::from(param.name), Json::from(LEFT_OUT)),
            false => (Arc::from(param.name), crate::value::to_json(&without_secrets(param.ty, value))),
        })
        .collect();
    args.sort_by(|(a, _), (b, _)| a.cmp(b));
    args
}

/// The same for a call that was refused: nobody fills the disk with what is not even accepted.
pub fn logged_briefly(call: &Call) -> Vec<(Arc<str>, Json)> {
    const BYTES_MAX: usize = 1000;
    let brief = |json: Json| match json.to_string().len() {
        0..=BYTES_MAX => json,
        bytes => Json::from(format!("({bytes} bytes)")),
    };
    logged(call).into_iter().map(|(name, json)| (name, brief(json))).collect()
}

/// What stands in the log where a secret was given.
const LEFT_OUT: &str = "(secret)";

/// A value without the fields that the model calls secret, and without the passwords in configurations of devices.
fn without_secrets(ty: Ty, value: &Value) -> Value {
    let Value::Map(map) = value else { return value.clone() };
    let class = if let Ty::Record(class) = ty { Some(class) } else { None };
    let is_secret = |key: &str| {
        let field = class.and_then(|class| MODEL.field(class, key).map(|field| &class.def().fields[field]));
        let declared =
            field.is_some_and(|field| field.flags.secret) || (class == Some(ClassId::secret) && key == "value");
        declared || secrets::is_secret(key)
    };
    Value::map(map.iter().map(|(key, value)| match is_secret(key) {
        true => (key.clone(), Value::text(LEFT_OUT)),
        false => (key.clone(), without_secrets(Ty::Void, value)),
    }))
}
