//! The calls that wait: `event.from`, and through [`Wait`] all others. One loop for all: register under the keys, look, wait, look again.

use super::Gateway;
use super::answer::Answer;
use super::dispatch::{Caller, Noted};
use super::gone::{gone, is_gone};
use super::places::Held;
use crate::auth::session_invalid;
use crate::command::{Call, Draft, Intent};
use crate::error::{ApiError, codes};
use crate::event::Kind;
use crate::model::{ClassId, MODEL, user};
use crate::subscribe::events::{self, Subscription, Token, since};
use crate::subscribe::{AtOnce, Bell, Key, Waiter};
use crate::value::{Ref, Value};
use crate::views::View;
use crate::views::read::{Scope, Sight};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tokio::time::Instant;

/// How long `event.from` collects before it answers, unless it is about tasks only; XenAPI's habit.
const COLLECT: Duration = Duration::from_millis(50);
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

    async fn event_from(&self, call: &Call, caller: &Caller, noted: &Noted) -> Result<Answer, ApiError> {
        let waits = EventFrom::begin(self, call, caller)?;
        // Who does not see everything is told by looking back, which is not done at once.
        if noted.parks && Scope::of(&self.ledger.view(), caller.principal.user) == Scope::All {
            return Ok(match waits.look().await? {
                Look::Answer(answer) => answer,
                Look::Nothing | Look::Collects => Answer::Later(Arc::new(waits)),
            });
        }
        waits.answer().await
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
    async fn unless_left(&self, woken: impl Future<Output = ()>) {
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

/// An `event.from` that is being served.
pub struct EventFrom {
    gateway: Gateway,
    caller: Caller,
    subscription: Subscription,
    token: Token,
    /// Changes are not told before.
    collected: Instant,
    until: Instant,
    bell: Bell,
    /// Given back as soon as there is an answer.
    held: Mutex<Option<(Waiter, Held)>>,
}

/// What a look found.
enum Look {
    Answer(Answer),
    Nothing,
    /// Something, and it is not time yet to tell it.
    Collects,
}

impl EventFrom {
    fn begin(gateway: &Gateway, call: &Call, caller: &Caller) -> Result<EventFrom, ApiError> {
        let subscription = Subscription::parse(call.args[0].as_set().iter().map(Value::as_str));
        let token = events::token(call.text(1))?;
        let started = Instant::now();
        let at_once = subscription.tasks_only() || token == Token::default();
        let mut keys = subscription.keys();
        keys.push(Key::Object(ClassId::session, caller.principal.session));
        keys.push(Key::Object(ClassId::user, caller.principal.user));
        let waiter = gateway.subscribers.register(keys);
        Ok(EventFrom {
            bell: waiter.bell(),
            held: Mutex::new(Some((waiter, gateway.held_by_call(caller)?))),
            gateway: gateway.clone(),
            caller: caller.clone(),
            subscription,
            token,
            collected: if at_once { started } else { started + COLLECT },
            until: started + wait_of(call.float(2)),
        })
    }

    /// Answers when there is something to tell, or as it is when the time is over.
    pub async fn answer(&self) -> Result<Answer, ApiError> {
        loop {
            match self.look().await? {
                Look::Answer(answer) => return Ok(answer),
                Look::Nothing => {
                    let woken = self.gateway.unless_left(self.bell.woken());
                    drop(tokio::time::timeout_at(self.until, woken).await);
                }
                Look::Collects => tokio::time::sleep_until(self.collected.min(self.until)).await,
            }
        }
    }

    /// What is looked at is let go of: who waits holds no view.
    async fn look(&self) -> Result<Look, ApiError> {
        let sight = self.gateway.sight(&self.caller);
        self.gateway.still_valid(&self.caller)?;
        let before = match self.looks_back(&sight) {
            true => self.seen_before(&sight).await?,
            false => None,
        };
        let (view, scope) = (sight.view.clone(), sight.scope.clone());
        let found = self.found(sight, before.as_deref())?;
        if scope != Scope::All && matches!(found, Look::Answer(_)) {
            self.gateway.feed.remember(&view).await;
        }
        Ok(found)
    }

    /// The answer, if one look without any waiting gives it; an error if that has to be left to [`EventFrom::answer`].
    pub fn at_once(&self) -> Result<Option<Result<Answer, ApiError>>, Unclear> {
        let sight = self.gateway.sight(&self.caller);
        if sight.scope != Scope::All || self.looks_back(&sight) || self.gateway.is_leaving() {
            return Err(Unclear);
        }
        match self.gateway.still_valid(&self.caller).and_then(|()| self.found(sight, None)) {
            Ok(Look::Answer(answer)) => Ok(Some(Ok(answer))),
            Ok(Look::Nothing) => Ok(None),
            Ok(Look::Collects) => Err(Unclear),
            Err(error) => Ok(Some(Err(error))),
        }
    }

    fn found(&self, sight: Sight, before: Option<&View>) -> Result<Look, ApiError> {
        let changed = since(sight.read(), before, &self.subscription, self.token)?.told;
        let now = Instant::now();
        let due = now >= self.until || self.gateway.is_leaving();
        if due || (!changed.is_empty() && now >= self.collected) {
            let alike = self.gateway.subscribers.alike();
            let shared = alike.shared(&sight, &self.subscription, self.token, changed.len());
            let token = Token::of(&sight.view);
            return Ok(Look::Answer(Answer::Batch { sight, changed, token, shared }));
        }
        Ok(if changed.is_empty() { Look::Nothing } else { Look::Collects })
    }

    /// Whether what is told depends on what the caller saw at the token.
    fn looks_back(&self, sight: &Sight) -> bool {
        let whose = sight.view.find::<user>(self.caller.principal.user);
        let changed = whose.is_some_and(|whose| whose.modified > self.token.position);
        self.token.position > 0 && self.token.is_known(&sight.view) && (sight.scope != Scope::All || changed)
    }

    /// The view at the token, for a caller who may not read everything: only what it sees to differ from then is told.
    /// Whose rights changed since begins anew.
    async fn seen_before(&self, sight: &Sight) -> Result<Option<Arc<View>>, ApiError> {
        let before = self.gateway.feed.view_at(self.token.position).await?;
        if Scope::of(&before, self.caller.principal.user) != sight.scope {
            return Err(codes::EVENTS_LOST());
        }
        Ok((sight.scope != Scope::All).then_some(before))
    }

    /// Who is asked before the waiting is woken.
    pub fn ask_first(&self, who: Weak<dyn AtOnce>) {
        self.bell.ask_first(who);
    }

    /// It waits no more: its place is another's. Whether it held it until now.
    pub fn gives_back(&self) -> bool {
        let held = self.held.lock().expect("BUG: nobody panics while holding this lock").take();
        held.is_some()
    }
}

/// One look is not enough.
pub struct Unclear;

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
