//! The calls that wait: [`super::event_from`], and through [`Wait`] all others.
//! One loop for all: register under the keys, look, wait, look again.

use super::Gateway;
use super::answer::Answer;
use super::dispatch::{Caller, Noted};
use super::gone::{gone, is_gone};
use super::places::Held;
use crate::auth::session_invalid;
use crate::command::{Call, Draft, Intent};
use crate::error::{ApiError, codes};
use crate::event::Kind;
use crate::model::{ClassId, MODEL};
use crate::subscribe::events::Token;
use crate::subscribe::{Key, Waiter};
use crate::value::{Ref, Value};
use crate::views::read::{Scope, Sight};
use std::time::Duration;
use tokio::time::Instant;

/// The longest a call may wait, whatever it asks for.
const WAIT_MAX: Duration = Duration::from_secs(24 * 3600);
/// How often one principal may inject events; more are served later.
const INJECT_PAUSE: Duration = Duration::from_millis(10);

impl Gateway {
    /// Serves the messages of class event.
    pub(super) async fn event(&self, call: Call, caller: &Caller, noted: &mut Noted) -> Result<Answer, ApiError> {
        match call.message.name {
            "from" => self.event_from(&call, caller, noted).await,
            "next" => self.event_next(caller).await,
            "register" => self.event_register(&call, caller).await,
            "unregister" => self.event_unregister(&call, caller).await,
            "wait" => self.event_wait(&call, caller).await,
            "get_current_id" => Ok(Value::Int(self.ledger.view().position as i64).into()),
            "inject" => self.event_inject(&call, caller, noted).await,
            _ => Err(codes::NOT_IMPLEMENTED(call.message.full_name)),
        }
    }

    /// Begins to wait under some keys, and for the end of the caller's session.
    pub(super) fn wait(&self, caller: &Caller, keys: Vec<Key>, wait: Duration) -> Result<Wait, ApiError> {
        Ok(self.wait_holding(self.held_by_call(caller)?, caller, keys, wait))
    }

    /// The same for one that holds its place already.
    pub(super) fn wait_holding(&self, held: Held, caller: &Caller, mut keys: Vec<Key>, wait: Duration) -> Wait {
        keys.push(Key::Object(ClassId::session, caller.principal.session));
        keys.push(Key::Object(ClassId::user, caller.principal.user));
        Wait {
            gateway: self.clone(),
            caller: caller.clone(),
            waiter: self.subscribers.register(keys),
            until: Instant::now() + wait.min(WAIT_MAX),
            _held: held,
        }
    }

    /// Whether nobody waits any more: the server stops, or the client is gone.
    pub(super) fn is_leaving(&self) -> bool {
        self.stop.is_cancelled() || is_gone()
    }

    /// Waits for something to happen, the server's stop included.
    pub(super) async fn woken(&self, waiter: &Waiter) {
        self.unless_left(waiter.woken()).await;
    }

    /// Waits for this, unless nobody waits for it any more.
    pub(super) async fn unless_left(&self, woken: impl Future<Output = ()>) {
        tokio::select! {
            () = woken => {}
            () = self.stop.cancelled() => {}
            () = gone() => {}
        }
    }

    /// The newest view as the caller may see it.
    pub(super) fn sight(&self, caller: &Caller) -> Sight {
        let view = self.ledger.view();
        Sight { scope: Scope::of(&view, caller.principal.user), view }
    }

    /// A session that ended while its call waited.
    pub(super) fn still_valid(&self, caller: &Caller) -> Result<(), ApiError> {
        let session = caller.principal.session;
        let gone = !session.is_null() && self.ledger.view().object(ClassId::session, session).is_none();
        if gone { Err(session_invalid(caller.session.as_str())) } else { Ok(()) }
    }

    async fn event_inject(&self, call: &Call, caller: &Caller, noted: &mut Noted) -> Result<Answer, ApiError> {
        tokio::time::sleep(INJECT_PAUSE).await;
        let (name, text) = (call.text(0).to_string(), call.text(1).to_string());
        let invalid = || codes::HANDLE_INVALID(&name, &text);
        let class = MODEL.class(&name).filter(|class| class.name() == name).ok_or_else(invalid)?;
        let reference = Ref::parse(&text).filter(|reference| !reference.is_null()).ok_or_else(invalid)?;
        let sight = self.sight(caller);
        if !sight.scope.shows_ref(&sight.view, class, reference) {
            return Err(invalid());
        }
        let decide = Box::new(move |draft: &mut Draft| {
            draft.object(class, reference)?;
            draft.touch(class, reference);
            Ok(Value::Void)
        });
        let accepted = self.submit(Intent::Own { message: "event.inject", kind: Kind::Change, decide }, caller).await?;
        noted.position = Some(accepted.position);
        let lineage = self.ledger.view().lineage;
        Ok(Value::from(Token { position: accepted.position - 1, lineage }.to_string()).into())
    }
}

/// One who waits: look, and unless that was the last look wait for more, and look again.
pub(super) struct Wait {
    gateway: Gateway,
    caller: Caller,
    waiter: Waiter,
    pub until: Instant,
    _held: Held,
}

impl Wait {
    /// Whether the time is over, or the server stops: what is there now is the answer.
    pub fn is_over(&self) -> bool {
        Instant::now() >= self.until || self.gateway.is_leaving()
    }

    /// Waits until something may have happened, at most until the time is over.
    pub async fn more(&self) -> Result<(), ApiError> {
        self.at_most(self.until).await
    }

    /// The same, at most until then.
    pub async fn at_most(&self, until: Instant) -> Result<(), ApiError> {
        drop(tokio::time::timeout_at(until.min(self.until), self.gateway.woken(&self.waiter)).await);
        self.gateway.still_valid(&self.caller)
    }
}

/// The time a client wants to wait; what cannot be a time is as long as possible, as in XenAPI.
pub(super) fn wait_of(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(WAIT_MAX).min(WAIT_MAX)
}
