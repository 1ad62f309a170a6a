//! The older way to hear of changes: `event.register`, `event.next`,
//! `event.unregister`. What a session registered for, and how far it was told,
//! is in the log with the session: a restart loses neither.
//!
//! ```text
//!   register ─▶ told up to P ── event.next ─▶ told up to Q ── the next call: Q was taken ─▶ noted, at most once a second
//!                   ▲                                                                          │
//!                   └───────────────── a restart: from the place noted last ◀──────────────────┘
//! ```
//!
//! Between two notes the place is remembered here only, so that after a crash
//! the last answers may be given again; none is left out.

use super::Gateway;
use super::answer::{Answer, Told};
use super::dispatch::Caller;
use crate::command::{Call, Command, Intent, Own, registration};
use crate::error::{ApiError, codes};
use crate::event::{Event, Kind};
use crate::model::{ClassId, session};
use crate::subscribe::delivered::Want;
use crate::subscribe::events::Subscription;
use crate::subscribe::recent::Look;
use crate::subscribe::{Following, Key};
use crate::value::{Micros, Ref, Value};
use crate::views::filter::Filter;
use crate::views::read::{Scope, Sight};
use crate::views::{Effect, View};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// Events of one answer; more come with the next.
const TOLD_MAX: usize = 1_000;
/// How often the place of one session is written to the log, at most.
const NOTE_EVERY: Micros = 1_000_000;

/// How far each session was told. A place is locked while an answer is made: two calls get disjoint parts.
#[derive(Default)]
pub struct Registrations(Mutex<HashMap<Ref, Arc<tokio::sync::Mutex<Place>>>>);

struct Place {
    /// Events up to here were given out.
    told: u64,
    /// When the log was last told so.
    noted: Micros,
    /// Recent batches are kept for as long as somebody is registered.
    _following: Following,
}

impl Gateway {
    pub(super) async fn event_register(&self, call: &Call, caller: &Caller) -> Result<Answer, ApiError> {
        let decide = registration::register(caller.principal.session, texts(call));
        self.submit(Intent::Own { message: "event.register", kind: Kind::Change, decide }, caller).await?;
        self.registered(caller.principal.session, &self.ledger.view());
        Ok(Value::Void.into())
    }

    pub(super) async fn event_unregister(&self, call: &Call, caller: &Caller) -> Result<Answer, ApiError> {
        let decide = registration::unregister(caller.principal.session, texts(call));
        self.submit(Intent::Own { message: "event.unregister", kind: Kind::Change, decide }, caller).await?;
        Ok(Value::Void.into())
    }

    pub(super) async fn event_next(&self, caller: &Caller) -> Result<Answer, ApiError> {
        let session = caller.principal.session;
        let keys = [Key::Object(ClassId::session, session), Key::Object(ClassId::user, caller.principal.user)];
        let waiter = self.subscribers.register(keys.into_iter().chain([Key::Any]).collect());
        let _held = self.held_by_call(caller)?;
        self.note_taken(caller).await;
        loop {
            self.still_valid(caller)?;
            let told = self.next_events(caller).await?;
            if !told.is_empty() || self.is_leaving() {
                return Ok(Answer::Events(told));
            }
            self.woken(&waiter).await;
        }
    }

    /// The place of a session that registered for something; `None` for any other.
    fn registered(&self, key: Ref, view: &View) -> Option<Arc<tokio::sync::Mutex<Place>>> {
        let mut places = self.registrations.0.lock().expect("BUG: nobody panics while holding this lock");
        let found = |key: &Ref| view.find::<session>(*key).filter(|held| !held.get(session::registered).is_empty());
        places.retain(|key, _| found(key).is_some());
        let held = found(&key)?;
        let place = places.entry(key).or_insert_with(|| {
            let (told, noted) = (held.get(session::told) as u64, self.ledger.world().now());
            Arc::new(tokio::sync::Mutex::new(Place { told, noted, _following: self.subscribers.follow() }))
        });
        Some(place.clone())
    }

    /// Who calls again has taken the answer before: what was told then need not be told after a restart.
    async fn note_taken(&self, caller: &Caller) {
        let (view, world, key) = (self.ledger.view(), self.ledger.world(), caller.principal.session);
        let (Some(place), Some(held)) = (self.registered(key, &view), view.find::<session>(key)) else { return };
        let mut place = place.lock().await;
        let now = world.now();
        if place.told > held.get(session::told) as u64 && now.saturating_sub(place.noted) >= NOTE_EVERY {
            place.noted = now;
            let decide: Own = registration::told(key, place.told);
            let note = Command::own(&caller.principal, world, Kind::Change, "event.next", decide);
            self.ledger.submit_riding(note);
        }
    }

    /// What the session was not told yet.
    async fn next_events(&self, caller: &Caller) -> Result<Vec<Told>, ApiError> {
        let view = self.ledger.view();
        let unknown = || codes::SESSION_NOT_REGISTERED(caller.session.as_str());
        let place = self.registered(caller.principal.session, &view).ok_or_else(unknown)?;
        let mut place = place.lock().await;
        let held = view.find::<session>(caller.principal.session).ok_or_else(unknown)?;
        let texts = held.get(session::registered).iter().map(Value::as_str);
        let (subscription, scope) = (Subscription::parse(texts), Scope::of(&view, caller.principal.user));
        let all = Filter::parse(["*"], []).expect("BUG: everything is something");
        let want = Want { filter: all, scope, ..Want::default() };
        loop {
            let mut told = Vec::new();
            let reached = self.feed.walk(place.told, |event, effects, look| {
                // What came after the rights were looked at is told when they are looked at again.
                if event.position > view.position {
                    return false;
                }
                tell(&want, &subscription, event, effects, look, &mut told);
                told.len() < TOLD_MAX
            });
            let reached = reached.await;
            // Whoever leaves takes nothing: nobody would hear of it, and the next call goes on from here.
            if self.is_leaving() {
                return Ok(Vec::new());
            }
            let reached = reached.inspect_err(|_| place.told = view.position)?;
            place.told = place.told.max(reached.position.min(view.position));
            if !told.is_empty() || !reached.more || place.told >= view.position {
                return Ok(told);
            }
        }
    }
}

fn texts(call: &Call) -> Vec<String> {
    call.args[0].as_set().iter().map(|text| text.as_str().to_string()).collect()
}

/// Every effect of an event on what is subscribed to, as far as it is seen.
fn tell(
    want: &Want,
    subscription: &Subscription,
    event: &Event,
    effects: &[Effect],
    look: Look<'_>,
    told: &mut Vec<Told>,
) {
    let mut covered = effects.iter().filter(|effect| subscription.covers(effect.class, effect.reference)).peekable();
    if covered.peek().is_none() {
        return;
    }
    let view = look();
    let seen = match want.scope {
        Scope::All => None,
        Scope::Only(_) => match want.tell(event, effects, || view.clone()) {
            Some(seen) => Some(seen),
            None => return,
        },
    };
    for effect in covered {
        if seen.as_ref().is_some_and(|seen| !seen.is_about(effect.class, effect.reference)) {
            continue;
        }
        let operation = match (&effect.before, &effect.after) {
            (None, _) => "add",
            (Some(_), Some(_)) => "mod",
            (Some(_), None) => "del",
        };
        told.push(Told {
            id: event.position,
            time: event.time,
            class: effect.class,
            reference: effect.reference,
            operation,
            // A deletion carries what was deleted: clients of this call find their own copy by it.
            object: effect.after.clone().or_else(|| effect.before.clone()),
            sight: Sight { view: view.clone(), scope: want.scope.clone() },
        });
    }
}
