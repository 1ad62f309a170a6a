//! From a name and untyped arguments to an answer.

use super::answer::Answer;
use super::past::POWER_STATES;
use super::waits::TASK_WAIT;
use super::{Gateway, Peer, databases, local};
use crate::command::{self, Call, Command, Intent, Principal, Reading};
use crate::error::{ApiError, codes};
use crate::event::{Body, Kind};
use crate::log::writer::Refusal;
use crate::model::{ClassId, Implied, Lifecycle, MODEL, Message, Ty, task};
use crate::subscribe::Key;
use crate::value::{self, Ref, Value, default_value};
use crate::views::View;
use crate::views::read::{Scope, Sight};
use std::sync::Arc;

/// Hashes passwords, so it is served before the writer.
const CHANGE_PASSWORD: &str = "session.change_password";
const SET_PASSWORD: &str = "user.set_password";
/// They read files, so they are served before the writer.
const CREATE_FROM_DB_FILE: &str = "session.create_from_db_file";
const OPEN_DATABASE: &str = "VDI.open_database";

/// What a server answers to changes that only shows.
pub(super) const SHOWN: &str = "this is the pool as it was, and nothing changes it";

/// A call as it came off a wire.
pub struct Request {
    pub method: String,
    pub params: Vec<Value>,
    pub peer: Peer,
    /// The client's own id for the call (`X-Request-Id`); "" if it gave none.
    pub id: Arc<str>,
}

/// What goes into the answer's headers besides the answer.
#[derive(Default)]
pub struct Noted {
    /// The position of the event that the call became.
    pub position: Option<u64>,
    /// The same call may succeed later: when to come back goes along.
    pub busy: bool,
    /// Set by who asks: a call that waits may be answered with [`Answer::Later`].
    pub parks: bool,
}

impl Gateway {
    /// Serves one call.
    pub async fn serve(&self, request: Request, noted: &mut Noted) -> Result<Answer, ApiError> {
        let (background, name) = match request.method.strip_prefix("Async.") {
            Some(name) => (true, name),
            None => (false, request.method.as_str()),
        };
        if let Some(answer) = self.system(name, &request.params) {
            return answer;
        }
        let unknown = || codes::MESSAGE_METHOD_UNKNOWN(&request.method);
        let message = MODEL.message(name).filter(|message| !background || message.task).ok_or_else(unknown)?;
        if message.lifecycle == Lifecycle::Removed {
            return Err(codes::MESSAGE_REMOVED());
        }
        check_count(message, &request)?;
        if message.no_session {
            let args = arguments(message, request.params)?;
            return Box::pin(self.login(message, &args, &request.peer)).await;
        }
        let view = self.ledger.view();
        let mut params = request.params;
        let session = params.remove(0);
        let principal = self.accounts.authenticate(&view, session.as_str(), self.ledger.world().now())?;
        let caller = Caller { principal, session, peer: request.peer, id: request.id };
        if caller.principal.elsewhere && !databases::is_own(message) {
            return Box::pin(self.elsewhere(message, params, background, &caller, noted)).await;
        }
        let args = self.permit(&view, message, params, &caller)?;
        let call = Call { message, args, background };
        match Scope::of(&view, caller.principal.user) {
            Scope::All => self.perform(view, call, caller, noted).await,
            scope => {
                let named = call.args.clone();
                let answered = self.perform(view, call, caller, noted).await;
                answered.map_err(|error| limited(error, &scope, &self.ledger.view(), &named))
            }
        }
    }

    /// The messages that need no session because they give one.
    async fn login(&self, message: &Message, args: &[Value], peer: &Peer) -> Result<Answer, ApiError> {
        let text = |at: usize| args.get(at).map(Value::as_str).unwrap_or_default();
        let session = match message.name {
            "login_with_password" => self.accounts.login(text(0), text(1), text(3), peer).await?,
            "slave_local_login_with_password" => self.accounts.login(text(0), text(1), "", peer).await?,
            _ => return Err(codes::NOT_IMPLEMENTED(message.full_name)),
        };
        Ok(Answer::Value(Value::Ref(session)))
    }

    /// Checks the arguments and whether the caller may; a refusal of a role is noted in the log.
    pub(super) fn permit(
        &self,
        view: &View,
        message: &'static Message,
        params: Vec<Value>,
        caller: &Caller,
    ) -> Result<Vec<Value>, ApiError> {
        let mut args = arguments(message, params)?;
        crate::auth::session_keys(message, &mut args);
        crate::auth::permitted(view, &caller.principal, message, &args).inspect_err(|error| {
            let info = std::iter::once(error.code.to_string()).chain(error.params.iter().cloned());
            let body = Body {
                address: caller.peer.address.clone(),
                auth: caller.auth(),
                args: command::logged_briefly(&Call { message, args: args.clone(), background: false }),
                error: info.collect(),
                ..Body::default()
            };
            self.ledger.refused(Refusal {
                kind: Kind::Refused,
                principal: caller.principal.name.clone(),
                message: Arc::from(message.full_name),
                request: caller.id.clone(),
                body,
            });
        })?;
        Ok(args)
    }

    pub(super) async fn perform(
        &self,
        view: Arc<View>,
        call: Call,
        caller: Caller,
        noted: &mut Noted,
    ) -> Result<Answer, ApiError> {
        let message = call.message;
        if self.read_only && changes(message) {
            return Err(codes::OPERATION_NOT_ALLOWED(SHOWN));
        }
        let sight = Sight { scope: Scope::of(&view, caller.principal.user), view };
        if let Some((class, hidden)) = sight.scope.hidden_argument(&sight.view, message, &call.args) {
            return Err(codes::HANDLE_INVALID(class.name(), hidden));
        }
        let view = &sight.view;
        if let Some(id) = command::secret::vault_id(view, &call) {
            let value = Box::pin(self.accounts.reveal(id?)).await?;
            return value.map(Answer::Value).ok_or_else(|| codes::HANDLE_INVALID("secret", call.reference(0)));
        }
        if let Some(implied) = message.implied.filter(|_| message.reads() && command::handler(message).is_none()) {
            return read(sight, message.class, implied, &call);
        }
        // As `Async.` it becomes a task, which is the writer's to make.
        if let Some(reader) = command::reader(message).filter(|_| !call.background) {
            command::check_subject(view, &call)?;
            let reading = Reading { view, principal: &caller.principal, now: self.ledger.world().now() };
            let answer = reader(&reading, &call)?;
            return Ok(Answer::Value(sight.scope.limit(view, message.result, answer)));
        }
        // In a box, so that every read's future need not be as large as the largest of those that wait.
        Box::pin(self.carry_out(sight.into_scope(), call, caller, noted)).await
    }

    /// What waits for something: events, passwords, the writer, the end of an operation. Who waits holds no view: it
    /// would keep in memory what was superseded meanwhile.
    async fn carry_out(&self, scope: Scope, call: Call, caller: Caller, noted: &mut Noted) -> Result<Answer, ApiError> {
        let message = call.message;
        match message.class {
            ClassId::event => return self.event(call, &caller, noted).await,
            ClassId::task if message.full_name == TASK_WAIT => return self.task_wait(&call, &caller).await,
            ClassId::subscription => {
                if let Some(answer) = self.subscription(&call, &caller).await {
                    return answer;
                }
            }
            ClassId::log => return self.look_back(&call, &caller).await,
            ClassId::VM | ClassId::VM_appliance if message.name == "recover" => {
                command::check_subject(&self.ledger.view(), &call)?;
                return Err(codes::OPERATION_NOT_ALLOWED("a session on a saved database brings machines from it"));
            }
            ClassId::VDI if message.full_name == OPEN_DATABASE => return self.open_disk(&call, &caller).await,
            ClassId::VM if message.full_name == POWER_STATES => return self.look_back(&call, &caller).await,
            ClassId::session if message.full_name == CHANGE_PASSWORD => {
                let (old, new) = (call.text(0), call.text(1));
                self.accounts.change_password(&caller.principal, old, new, &caller.peer).await?;
                return Ok(Answer::Value(Value::Void));
            }
            ClassId::session if message.full_name == CREATE_FROM_DB_FILE => {
                return self.open_file(&call, &caller).await;
            }
            ClassId::user if message.full_name == SET_PASSWORD => {
                command::check_subject(&self.ledger.view(), &call)?;
                let (whose, new) = (call.reference(0), call.text(1));
                self.accounts.set_password(&caller.principal, whose, new, &caller.peer).await?;
                return Ok(Answer::Value(Value::Void));
            }
            ClassId::host | ClassId::pool if local::SERVED.contains(&message.full_name) => {
                return self.local(call, &caller).await;
            }
            _ => {}
        }
        let accepted = self.submit(Intent::Call(call), &caller).await?;
        noted.position = Some(accepted.position);
        let result = match accepted.pending {
            None => accepted.result,
            Some(task) => self.outcome(task, message).await?,
        };
        Ok(Answer::Value(match message.result {
            // What a call has made its caller knows, may it be read or not.
            Ty::Ref(_) => result,
            ty => scope.limit(&self.ledger.view(), ty, result),
        }))
    }

    /// Sends what a caller wants to the writer.
    pub(super) async fn submit(&self, body: Intent, caller: &Caller) -> crate::log::writer::Answer {
        let world = self.ledger.world();
        let command = Command {
            principal: caller.principal.clone(),
            address: caller.peer.address.clone(),
            auth: caller.auth(),
            request: caller.id.clone(),
            cause: 0,
            now: world.now(),
            seed: world.seed(),
            body,
        };
        self.ledger.submit(command).await
    }

    /// Waits for the end of an operation's task: a synchronous call is the same call as its `Async.` form.
    async fn outcome(&self, reference: Ref, message: &Message) -> Result<Value, ApiError> {
        let waiter = self.subscribers.register(vec![Key::Object(ClassId::task, reference)]);
        loop {
            if let Some(ended) = end_of(&self.ledger.view(), reference, message) {
                return ended;
            }
            if self.is_leaving() {
                // The operation goes on without us; the next start finds it.
                return Err(codes::INTERNAL_ERROR("the server is stopping"));
            }
            self.woken(&waiter).await;
        }
    }

    /// The calls of XML-RPC's introspection: they take no session, and their answers no struct in XML.
    fn system(&self, name: &str, params: &[Value]) -> Option<Result<Answer, ApiError>> {
        let about = || params.first().map(Value::as_str).unwrap_or_default();
        let found = || MODEL.message(about()).ok_or_else(|| codes::MESSAGE_METHOD_UNKNOWN(about()));
        Some(match name {
            "system.listMethods" => Ok(Answer::Raw(Value::set(list_methods().map(Value::from)))),
            "system.methodSignature" => found().map(|message| {
                let session = (!message.no_session).then(|| "session ref".to_string());
                let params = message.params.iter().map(|param| param.ty.to_string());
                let types = std::iter::once(message.result.to_string()).chain(session).chain(params);
                Answer::Raw(Value::set([Value::set(types.map(Value::from))]))
            }),
            "system.methodHelp" => found().map(|message| {
                let text: Vec<&str> = message.doc.iter().map(|line| line.trim()).collect();
                Answer::Raw(Value::from(text.join(" ")))
            }),
            _ => return None,
        })
    }
}

/// Who calls, and from where.
#[derive(Clone)]
pub struct Caller {
    pub principal: Arc<Principal>,
    /// The session as the client sent it, for errors that name it; void if it sent none.
    pub session: Value,
    pub peer: Peer,
    pub id: Arc<str>,
}

impl Caller {
    /// How it proved who it is, for the log.
    fn auth(&self) -> Arc<str> {
        Arc::from(if self.peer.uid.is_some() { "peer" } else { "session" })
    }
}

/// Every message that answers. No `Async.` forms: clients take what stands before the first dot for a class.
pub fn list_methods() -> impl Iterator<Item = &'static str> {
    MODEL.messages.iter().filter(|message| command::refused::works(message)).map(|message| message.full_name)
}

/// An error as its caller may know it: nothing is named that may not be seen, unless the caller named it.
fn limited(error: ApiError, scope: &Scope, view: &View, args: &[Value]) -> ApiError {
    let hidden = |text: &str| scope.hides_text(view, text) && !args.iter().any(|arg| mentions(arg, text));
    let shown = error.params.iter().map(|text| if hidden(text) { Ref::NULL.to_string() } else { text.clone() });
    ApiError::new(error.code, shown.collect())
}

/// Whether a text is somewhere in a value.
fn mentions(value: &Value, text: &str) -> bool {
    match value {
        Value::String(known) => known.contains(text),
        Value::Ref(reference) => Ref::parse(text) == Some(*reference),
        Value::Set(members) => members.iter().any(|member| mentions(member, text)),
        Value::Map(map) => map.iter().any(|(name, member)| **name == *text || mentions(member, text)),
        _ => false,
    }
}

/// Whether a message changes more than who is logged in.
fn changes(message: &Message) -> bool {
    let reads = message.implied.is_some() && message.reads() || command::reader(message).is_some();
    match message.class {
        ClassId::event | ClassId::log => false,
        ClassId::session => message.full_name == CHANGE_PASSWORD,
        _ => !reads && message.full_name != POWER_STATES && !local::READS.contains(&message.full_name),
    }
}

/// As many arguments as the message takes; the session counts, as it does for every client.
fn check_count(message: &Message, request: &Request) -> Result<(), ApiError> {
    let session = usize::from(!message.no_session);
    let (least, most) = (message.required() + session, message.params.len() + session);
    let received = request.params.len();
    if (least..=most).contains(&received) {
        return Ok(());
    }
    let expected = if received < least { least } else { most };
    Err(codes::MESSAGE_PARAMETER_COUNT_MISMATCH(&request.method, expected, received))
}

/// The arguments as the message's types say, defaults filled in.
fn arguments(message: &Message, given: Vec<Value>) -> Result<Vec<Value>, ApiError> {
    let mut given = given.into_iter();
    let mut args = Vec::with_capacity(message.params.len());
    for param in message.params {
        args.push(match given.next() {
            Some(value) => value::check(param.name, param.ty, value)?,
            None => default_value(param.ty, param.default),
        });
    }
    Ok(args)
}

/// The reads that fields and classes imply.
fn read(sight: Sight, class: ClassId, implied: Implied, call: &Call) -> Result<Answer, ApiError> {
    let object = |reference: Ref| {
        let found = command::permissions::find(&sight.view, class, reference);
        let found = found.filter(|object| sight.scope.shows(class, object));
        found.ok_or_else(|| codes::HANDLE_INVALID(class.name(), reference))
    };
    Ok(match implied {
        Implied::Get(field) => {
            let object = object(call.reference(0))?;
            sight.read().field(class, field, &object).into()
        }
        Implied::GetRecord => {
            let object = object(call.reference(0))?;
            Answer::Record(sight, class, object)
        }
        Implied::GetAllRecords => Answer::Records(sight, class),
        Implied::GetAllWhere => {
            let found = command::generic::select(sight.read(), class, call.text(0))?;
            Value::set(found.into_iter().map(|object| Value::Ref(object.reference))).into()
        }
        Implied::GetAllRecordsWhere => {
            let found = command::generic::select(sight.read(), class, call.text(0))?;
            let found = found.into_iter().cloned().collect();
            Answer::Selected(sight, class, found)
        }
        Implied::GetAll => {
            let references = sight.read().objects(class).map(|object| Value::Ref(object.reference));
            Value::set(references).into()
        }
        Implied::GetByUuid => {
            let found = sight.view.by_uuid(class, call.text(0));
            let found = found.or_else(|| command::permissions::by_uuid(class, call.text(0)));
            let found = found.filter(|found| sight.scope.shows_ref(&sight.view, class, *found));
            let found = found.ok_or_else(|| codes::UUID_INVALID(class.name(), call.text(0)))?;
            Value::Ref(found).into()
        }
        Implied::GetByNameLabel => {
            let named = sight.view.class(class).named(class, call.text(0));
            let named = named.filter(|object| sight.scope.shows(class, object));
            let permission = command::permissions::by_name(class, call.text(0));
            let permission = permission.filter(|found| sight.scope.shows_ref(&sight.view, class, *found));
            Value::set(named.map(|object| object.reference).chain(permission).map(Value::Ref)).into()
        }
        other => panic!("BUG: {other:?} does not read"),
    })
}

/// What a call answers whose task has ended; `None` while it is pending.
fn end_of(view: &View, reference: Ref, message: &Message) -> Option<Result<Value, ApiError>> {
    let Some(found) = view.find::<task>(reference) else {
        return Some(Err(codes::HANDLE_INVALID("task", reference)));
    };
    match found.get(task::status) {
        "pending" => None,
        "success" => Some(Ok(unfragment(message.result, found.get(task::result)))),
        _ => Some(Err(error_of(found.get(task::error_info)))),
    }
}

/// The value inside a task's result.
fn unfragment(ty: Ty, fragment: &str) -> Value {
    match ty {
        Ty::Void => Value::Void,
        _ => {
            let value = crate::wire::from_fragment(fragment).unwrap_or(Value::Void);
            value::check("result", ty, value).unwrap_or(Value::Void)
        }
    }
}

/// The error that a task ended with.
fn error_of(info: &[Value]) -> ApiError {
    let mut texts = info.iter().map(|text| text.as_str().to_string());
    let code = texts.next().unwrap_or_default();
    match crate::error::codes::CODES.iter().find(|known| known.name == code) {
        Some(known) => ApiError::new(known.name, texts.collect()),
        None => codes::INTERNAL_ERROR(code),
    }
}
