//! `event.from`: what changed since a token, or what changes next. A look
//! costs what changed; between two looks it holds a bell and no view.
//!
//! ```text
//!   register ─▶ look ─┬─ something, or the time is over ─▶ answer
//!                ▲    ├─ something, too early ─▶ a moment ─┐
//!                │    └─ nothing ─▶ the bell ──────────────┤
//!                └─────────────────────────────────────────┘
//! ```
//!
//! Who does not see everything is told what differs from what it saw at the
//! token. Must never know how its caller is answered.

use super::Gateway;
use super::answer::Answer;
use super::dispatch::{Caller, Noted};
use super::places::Held;
use super::stream::wait_of;
use crate::command::Call;
use crate::error::{ApiError, codes};
use crate::model::{ClassId, user};
use crate::subscribe::alike::OBJECTS_MAX;
use crate::subscribe::events::{self, Subscription, Token, since};
use crate::subscribe::{AtOnce, Bell, Key, Waiter};
use crate::value::Value;
use crate::views::View;
use crate::views::read::{Scope, Sight};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tokio::time::Instant;

/// How long changes are collected before they are told, unless they are about tasks only; XenAPI's habit.
const COLLECT: Duration = Duration::from_millis(50);

impl Gateway {
    pub(super) async fn event_from(&self, call: &Call, caller: &Caller, noted: &Noted) -> Result<Answer, ApiError> {
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

/// What one look that waits for nothing says.
pub enum Glance<T> {
    Answer(T),
    Nothing,
    /// It takes more than that: [`EventFrom::answer`].
    Unclear,
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

    /// One look that waits for nothing. A large answer is not for it: nobody else gets the same bytes, and whoever wakes a
    /// crowd would write them all.
    pub fn glance(&self) -> Glance<Result<Answer, ApiError>> {
        let sight = self.gateway.sight(&self.caller);
        if sight.scope != Scope::All || self.looks_back(&sight) || self.gateway.is_leaving() {
            return Glance::Unclear;
        }
        match self.gateway.still_valid(&self.caller).and_then(|()| self.found(sight, None)) {
            Ok(Look::Answer(Answer::Batch { changed, .. })) if changed.len() > OBJECTS_MAX => Glance::Unclear,
            Ok(Look::Answer(answer)) => Glance::Answer(Ok(answer)),
            Ok(Look::Nothing) => Glance::Nothing,
            Ok(Look::Collects) => Glance::Unclear,
            Err(error) => Glance::Answer(Err(error)),
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
