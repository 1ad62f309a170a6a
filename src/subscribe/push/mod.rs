//! Pushing: posts what a subscription wants to its destination, in order, at
//! least once, until it is accepted or given up on. One task a subscription:
//! a destination that hangs delays no other.
//!
//! ```text
//!   wait ──something to tell──▶ post ─┬─ accepted ──▶ remember the place, at most once a second ──▶ wait
//!     ▲                               └─ not ──▶ note it ──▶ wait longer each time, or as long as it asks ──▶ post
//!     └──────────── resumed ◀── failed, after too long without one accepted
//! ```
//!
//! What was posted before a crash and not remembered is posted again, with the
//! same ids of its events. Reports go through the writer like everybody's
//! commands. Must never know who may subscribe to what.

pub mod address;
pub mod body;
pub mod post;
#[cfg(test)]
mod tests;

use super::delivered::Want;
use super::events::known_token;
use super::feed::Feed;
use super::page::Page;
use super::{Following, Key, Subscribers, Waiter};
use crate::command::{Command, Own, Principal, subscription as decide};
use crate::error::ApiError;
use crate::event::Kind;
use crate::log::vault::{self, Secrets};
use crate::log::writer::Ledger;
use crate::model::{ClassId, subscription};
use crate::value::{Micros, Ref};
use crate::views::read::Scope;
use crate::views::{Object, Token, View};
use body::Letter;
use post::{Open, Outcome, Post};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

/// Events of one batch.
const BATCH_MAX: usize = 100;
/// How often an accepted place is written to the log, at most.
const REMEMBER_EVERY: Micros = 1_000_000;
/// The first pause after a failure; each is twice as long as the one before.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(300);
/// The longest pause that a destination may ask for.
const ASKED_MAX: Duration = Duration::from_secs(3600);
/// Positions without anything to tell after which the place is written all the same, so that the lag says what is left.
const QUIET_MAX: u64 = 1_000;
/// How often that is, at most.
const QUIET_EVERY: Micros = 60_000_000;

/// What all deliveries share. Cheap to clone.
#[derive(Clone)]
pub struct Push(Arc<Inner>);

struct Inner {
    ledger: Ledger,
    subscribers: Subscribers,
    feed: Feed,
    secrets: Box<dyn Secrets>,
    post: Post,
    principal: Arc<Principal>,
    stop: CancellationToken,
}

impl Push {
    pub fn new(
        ledger: Ledger,
        subscribers: Subscribers,
        feed: Feed,
        secrets: impl Secrets,
        post: Post,
        stop: CancellationToken,
    ) -> Push {
        let principal = Principal::server("subscriptions");
        Push(Arc::new(Inner { ledger, subscribers, feed, secrets: Box::new(secrets), post, principal, stop }))
    }

    /// Keeps one task for every active subscription with a destination, until the server stops.
    pub async fn run(self) {
        let waiter = self.0.subscribers.register(vec![Key::Class(ClassId::subscription)]);
        let (mut tasks, mut running) = (JoinSet::new(), HashMap::<Ref, AbortHandle>::new());
        let mut following: Option<Following> = None;
        loop {
            {
                let view = self.0.ledger.view();
                let all = &view.class(ClassId::subscription).objects;
                // Batches are kept in memory while anybody subscribes.
                following = (!all.is_empty()).then(|| following.take().unwrap_or_else(|| self.0.subscribers.follow()));
                for held in all.values().filter(|held| is_pushed(held)) {
                    let begin = || tasks.spawn(self.clone().deliver(held.reference));
                    running.entry(held.reference).or_insert_with(begin);
                }
            }
            tokio::select! {
                () = waiter.woken() => {}
                // One that was paused and resumed at once may only end now: then it begins anew.
                Some(ended) = tasks.join_next() => {
                    running.retain(|_, task| !task.is_finished());
                    if let Err(error) = ended {
                        tracing::error!(%error, "a delivery ended badly; it begins anew");
                        self.0.ledger.world().sleep(PAUSE_FIRST).await;
                    }
                }
                () = self.0.stop.cancelled() => return,
            }
        }
    }

    /// Delivers to one subscription until it is paused, failed, polled or gone.
    async fn deliver(self, reference: Ref) {
        let mut delivery = Delivery::new(self, reference);
        loop {
            match delivery.round().await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    // The place is not in this log any more, or the log cannot be written.
                    if let Err(again) = delivery.refused(error.to_string(), 0).await {
                        tracing::error!(%again, "a failed delivery could not be noted");
                    }
                    delivery.rest(PAUSE_MAX).await;
                }
            }
        }
    }

    /// Posts an empty batch now: what the destination answered, or why it did not.
    pub async fn test(&self, reference: Ref) -> String {
        let view = self.0.ledger.view();
        let Some(held) = view.find::<subscription>(reference) else { return String::new() };
        if held.get(subscription::destination).is_empty() {
            return "there is no destination: the client polls".into();
        }
        let page = Page::empty(view.position);
        let letter = match self.letter(&view, held, &page).await {
            Ok(letter) => letter,
            Err(why) => return why,
        };
        match self.0.post.send(&mut None, held.get(subscription::destination), &letter, self.0.ledger.world()).await {
            Outcome::Accepted(status) => status.to_string(),
            Outcome::Refused { why, .. } => why,
        }
    }

    /// A batch, signed if the subscription has a secret: one that cannot be read now is no reason to post unsigned.
    async fn letter(&self, view: &View, held: &Object, page: &Page) -> Result<Letter, String> {
        let sealed = held.get(subscription::sealed);
        let secret = match vault::id_of(sealed) {
            None => None,
            Some(id) => {
                let found = self.0.secrets.secret(id).await.map_err(|error| {
                    tracing::error!(%error, "a subscription's secret could not be read");
                    "the secret cannot be read now"
                })?;
                let secret = found.filter(|secret| secret.fits(sealed));
                Some(secret.ok_or("the secret is not in the vault any more: set_secret gives it another")?.value)
            }
        };
        Ok(Letter::of(view, held, page, secret, self.0.ledger.world().now()))
    }

    async fn submit(&self, message: &'static str, decide: Own) -> Result<bool, ApiError> {
        let ledger = &self.0.ledger;
        let command = Command::own(&self.0.principal, ledger.world(), Kind::Change, message, decide);
        Ok(ledger.submit(command).await?.result == true.into())
    }
}

fn is_pushed(held: &Object) -> bool {
    held.get(subscription::state) == "active" && !held.get(subscription::destination).is_empty()
}

/// The pause before the next try: longer each time, and not the same for all that failed together.
pub fn pause_after(failures: u64, random: u64) -> Duration {
    let first = PAUSE_FIRST.as_millis() as u64;
    let whole = first.saturating_mul(1 << failures.saturating_sub(1).min(20));
    let whole = whole.min(PAUSE_MAX.as_millis() as u64);
    Duration::from_millis(whole / 2 + random % (whole / 2 + 1))
}

/// One subscription's deliveries.
struct Delivery {
    push: Push,
    reference: Ref,
    /// The cursor in the log that the place goes on from.
    cursor: Arc<str>,
    /// Everything up to here was accepted, or is not wanted.
    place: u64,
    /// Something was accepted that the log does not say yet.
    unwritten: bool,
    /// When the place was last written to the log.
    written: Micros,
    open: Option<Open>,
}

/// What a look at the subscription came to.
enum Next {
    /// There is nothing more to do here.
    Over,
    Look,
    Rest(Duration),
    /// Until something happens, or the place is to be written.
    Wait {
        waiter: Waiter,
        acknowledged: u64,
        lineage: u64,
    },
}

impl Delivery {
    fn new(push: Push, reference: Ref) -> Delivery {
        let (cursor, written) = (Arc::default(), push.0.ledger.world().now());
        Delivery { push, reference, cursor, place: 0, unwritten: false, written, open: None }
    }

    /// Posts what there is, or waits for it. False when there is nothing more to do here. No view is held while waiting.
    async fn round(&mut self) -> Result<bool, ApiError> {
        match self.look().await? {
            Next::Over => return Ok(false),
            Next::Look => {}
            Next::Rest(pause) => self.rest(pause).await,
            Next::Wait { waiter, acknowledged, lineage } => {
                let world = self.push.0.ledger.world().clone();
                tokio::select! {
                    () = waiter.woken() => {}
                    () = world.sleep(self.until_written(acknowledged)) => {
                        if self.until_written(acknowledged).is_zero() {
                            self.write(lineage).await?;
                        }
                    }
                }
            }
        }
        Ok(true)
    }

    async fn look(&mut self) -> Result<Next, ApiError> {
        let inner = self.push.0.clone();
        let view = inner.ledger.view();
        let found = view.find::<subscription>(self.reference).filter(|held| is_pushed(held));
        let Some(held) = found else { return Ok(Next::Over) };
        if self.cursor != *held.get(subscription::cursor) {
            // The first look, or somebody moved it.
            self.place = known_token(&view, held.get(subscription::cursor))?.position;
            self.cursor = held.get(subscription::cursor).clone();
            self.unwritten = false;
        }
        let whose = held.get(subscription::user);
        let want = Want::of(held, owner_scope(&view, held))?.read_by(&view, whose, self.place);
        let mut keys = Key::of(&want.filter);
        keys.extend([Key::Object(ClassId::subscription, self.reference), Key::Object(ClassId::user, whose)]);
        let waiter = inner.subscribers.register(keys);
        let want = Arc::new(want);
        let mut page = inner.feed.next(self.place, &want, BATCH_MAX).await?;
        if owner_scope(&inner.ledger.view(), held) != want.scope {
            return Ok(Next::Look); // what was found may not be told any more
        }
        page.end_at(held.get(subscription::posted) as u64);
        if !page.is_empty() {
            return self.send(&view, held, &page).await;
        }
        self.place = page.reached;
        Ok(Next::Wait { waiter, acknowledged: held.get(subscription::acknowledged) as u64, lineage: view.lineage })
    }

    /// How long the place may stay out of the log: soon when something was accepted, long when nothing was wanted.
    fn until_written(&self, acknowledged: u64) -> Duration {
        let since = self.push.0.ledger.world().now().saturating_sub(self.written);
        let quiet = self.place.saturating_sub(acknowledged) >= QUIET_MAX;
        let due = if self.unwritten { REMEMBER_EVERY } else { QUIET_EVERY };
        let left = Duration::from_micros(due.saturating_sub(since).max(0) as u64);
        if self.unwritten || quiet { left } else { left.max(Duration::from_micros(REMEMBER_EVERY as u64)) }
    }

    async fn send(&mut self, view: &View, held: &Object, page: &Page) -> Result<Next, ApiError> {
        let inner = self.push.0.clone();
        let destination = held.get(subscription::destination);
        let outcome = match self.push.letter(view, held, page).await {
            Ok(letter) => inner.post.send(&mut self.open, destination, &letter, inner.ledger.world()).await,
            Err(why) => Outcome::Refused { why, after: None },
        };
        match outcome {
            Outcome::Accepted(_) => {
                self.place = page.reached;
                self.unwritten = true;
                let acknowledged = held.get(subscription::acknowledged) as u64;
                if held.get(subscription::failures) > 0 || self.until_written(acknowledged).is_zero() {
                    self.write(view.lineage).await?;
                }
                Ok(Next::Look)
            }
            Outcome::Refused { why, after } => {
                self.refused(why, page.last().unwrap_or(0)).await?;
                let failures = held.get(subscription::failures).max(0) as u64 + 1;
                let pause = after.map(|asked| asked.min(ASKED_MAX));
                let pause = pause.unwrap_or_else(|| pause_after(failures, inner.ledger.world().random_u64()));
                Ok(Next::Rest(pause))
            }
        }
    }

    /// Writes the place to the log, so that it is known after a restart.
    async fn write(&mut self, lineage: u64) -> Result<(), ApiError> {
        let world = self.push.0.ledger.world();
        let token = Token { position: self.place, lineage };
        let wrote = decide::delivered(self.reference, self.cursor.clone(), token, self.unwritten);
        if self.push.submit("subscription.delivered", wrote).await? {
            self.cursor = token.to_string().into();
            self.unwritten = false;
        }
        self.written = world.now();
        Ok(())
    }

    async fn refused(&mut self, why: String, last: u64) -> Result<(), ApiError> {
        tracing::warn!(subscription = %self.reference, why, "a batch was not delivered");
        let token = Token { position: self.place, lineage: self.push.0.ledger.view().lineage };
        let noted = decide::not_delivered(self.reference, why, self.cursor.clone(), token, last);
        self.push.submit("subscription.not_delivered", noted).await?;
        self.cursor = token.to_string().into();
        Ok(())
    }

    /// Waits before the next try; not any longer when the subscription is changed meanwhile.
    async fn rest(&self, pause: Duration) {
        let inner = &self.push.0;
        let ground = |view: &View| {
            let held = view.find::<subscription>(self.reference)?;
            let fields = [subscription::destination.index, subscription::cursor.index, subscription::state.index];
            let fields = fields.map(|field| held.record[field].clone());
            Some((fields, held.get(subscription::failures) > 0))
        };
        let waiter = inner.subscribers.register(vec![Key::Object(ClassId::subscription, self.reference)]);
        let (before, until) = (ground(&inner.ledger.view()), inner.ledger.world().now() + pause.as_micros() as i64);
        while ground(&inner.ledger.view()) == before {
            let left = until - inner.ledger.world().now();
            if left <= 0 {
                return;
            }
            tokio::select! {
                () = waiter.woken() => {}
                () = inner.ledger.world().sleep(Duration::from_micros(left as u64)) => {}
            }
        }
    }
}

/// What the owner of a subscription may read now; who is gone reads nothing.
fn owner_scope(view: &View, held: &Object) -> Scope {
    let whose = held.get(subscription::user);
    if whose.is_null() && held.get(subscription::owner).starts_with("user/") {
        return Scope::nothing();
    }
    Scope::of(view, whose)
}
