//! The messages of class subscription that wait or look outside the view:
//! `poll`, `test`, and `ack` of what was acknowledged already.

use super::Gateway;
use super::answer::Answer;
use super::dispatch::Caller;
use super::stream::{Wait, wait_of};
use crate::command::Call;
use crate::command::subscription::may_use;
use crate::error::{ApiError, codes};
use crate::model::{ClassId, subscription};
use crate::subscribe::Key;
use crate::subscribe::delivered::Want;
use crate::subscribe::events::known_token;
use crate::subscribe::page::Page;
use crate::value::Value;
use crate::views::read::Scope;
use crate::views::{Object, Token, View};
use std::sync::Arc;

pub const POLL: &str = "subscription.poll";
pub const TEST: &str = "subscription.test";
const STREAMS: &str = "subscription.get_streams";
const ACK: &str = "subscription.ack";

impl Gateway {
    /// Serves what is not the writer's to decide; `None` for everything else.
    pub(super) async fn subscription(&self, call: &Call, caller: &Caller) -> Option<Result<Answer, ApiError>> {
        match call.message.full_name {
            POLL => Some(self.poll(call, caller).await),
            STREAMS => Some(Ok(self.open_streams())),
            TEST => Some(Box::pin(self.test_destination(call, caller)).await),
            ACK => self.known_already(call, caller).transpose(),
            _ => None,
        }
    }

    /// The subscription, if the caller may use it.
    fn held(&self, view: &View, call: &Call, caller: &Caller) -> Result<Arc<Object>, ApiError> {
        let reference = call.reference(0);
        let held = view.find::<subscription>(reference);
        let held = held.ok_or_else(|| codes::HANDLE_INVALID("subscription", reference))?;
        if may_use(held, &caller.principal.name, caller.principal.roles) {
            return Ok(held.clone());
        }
        let permission = format!("{}/any", call.message.full_name.to_lowercase());
        Err(codes::RBAC_PERMISSION_DENIED(permission, "the subscription is somebody else's"))
    }

    fn open_streams(&self) -> Answer {
        let head = self.ledger.view().position;
        Value::set(self.counts.open.all().iter().map(|stream| stream.told(head))).into()
    }

    async fn test_destination(&self, call: &Call, caller: &Caller) -> Result<Answer, ApiError> {
        let held = self.held(&self.ledger.view(), call, caller)?;
        Ok(Value::from(self.push.test(held.reference).await).into())
    }

    /// What was acknowledged before needs no event.
    fn known_already(&self, call: &Call, caller: &Caller) -> Result<Option<Answer>, ApiError> {
        let view = self.ledger.view();
        let held = self.held(&view, call, caller)?;
        let token = known_token(&view, call.text(1))?;
        let known = token.position <= held.get(subscription::acknowledged) as u64;
        Ok(known.then_some(Answer::Value(Value::Void)))
    }

    /// Answers as soon as something is behind what was acknowledged; at the end of its time with nothing, and with a
    /// cursor at the head, so that who hears nothing does not fall behind.
    async fn poll(&self, call: &Call, caller: &Caller) -> Result<Answer, ApiError> {
        let max = usize::try_from(call.int(1)).unwrap_or(1);
        let until = wait_of(call.float(2));
        let _following = self.subscribers.follow();
        let begun = tokio::time::Instant::now();
        let mut waiting: Option<(Arc<Want>, Wait)> = None;
        loop {
            // What was looked at is let go of before waiting.
            let wait = {
                let view = self.ledger.view();
                let held = self.held(&view, call, caller)?;
                let since = known_token(&view, held.get(subscription::cursor))?.position;
                let wanted = Want::of(&held, Scope::of(&view, caller.principal.user))?;
                let wanted = wanted.read_by(&view, caller.principal.user, since);
                if waiting.as_ref().is_none_or(|(want, _)| **want != wanted) {
                    let mut keys = Key::of(&wanted.filter);
                    keys.push(Key::Object(ClassId::subscription, held.reference));
                    let left = until.saturating_sub(begun.elapsed());
                    waiting = Some((Arc::new(wanted), self.wait(caller, keys, left)?));
                    continue; // registered: now look
                }
                let (want, wait) = waiting.as_ref().expect("BUG: it was just looked at");
                let over = wait.is_over();
                let page = match held.get(subscription::state) {
                    "active" => self.feed.next(since, want, max).await?,
                    _ => Page::empty(since),
                };
                if self.sight(caller).scope != want.scope {
                    continue; // what was found may not be told any more
                }
                if over || !page.is_empty() {
                    let cursor = Token { position: page.reached, lineage: view.lineage }.to_string();
                    let lag = self.ledger.view().position.saturating_sub(page.reached);
                    return Ok(Answer::Polled { events: page.events().cloned().collect(), cursor, lag });
                }
                wait
            };
            wait.more().await?;
        }
    }
}
