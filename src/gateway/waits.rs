//! Calls that wait for one thing: `task.wait` for a task's end, `event.wait`
//! for an object to be in a state, and the header by which a call asks that
//! its task's end be told to a subscription.

use super::Gateway;
use super::answer::Answer;
use super::dispatch::{Caller, Noted, Request};
use super::stream::wait_of;
use crate::command::Call;
use crate::command::task::check_notified;
use crate::error::{ApiError, codes};
use crate::model::{ClassId, subscription, task};
use crate::subscribe::Key;
use crate::subscribe::delivered::Want;
use crate::subscribe::events::known_token;
use crate::value::{Ref, Value};
use crate::views::Token;
use crate::views::filter::Filter;
use std::sync::Arc;

pub const TASK_WAIT: &str = "task.wait";
pub const EVENT_WAIT: &str = "event.wait";
const SET_NOTIFY: &str = "task.set_notify";

impl Gateway {
    /// Answers the task's record when it has ended, or as it is when the time is over.
    pub(super) async fn task_wait(&self, call: &Call, caller: &Caller) -> Result<Answer, ApiError> {
        let reference = call.reference(0);
        let wait = self.wait(caller, vec![Key::Object(ClassId::task, reference)], wait_of(call.float(1)))?;
        loop {
            let over = wait.is_over();
            {
                let sight = self.sight(caller);
                let found = sight.read().object(ClassId::task, reference).cloned();
                let found = found.ok_or_else(|| codes::HANDLE_INVALID("task", reference))?;
                if over || found.get(task::status) != "pending" {
                    return Ok(Answer::Record(sight, ClassId::task, found));
                }
            }
            wait.more().await?;
        }
    }

    /// Answers when the object is as the predicate says, or was since the token.
    pub(super) async fn event_wait(&self, call: &Call, caller: &Caller) -> Result<Answer, ApiError> {
        let predicate = call.args[1].as_map().iter().map(|(name, values)| (&**name, values.as_str()));
        let filter = Filter::parse([call.text(0)], predicate).map_err(codes::EVENT_SUBSCRIPTION_PARSE_FAILURE)?;
        let object = filter.wants().first().and_then(|want| Some((want.class, want.object?)));
        let (class, reference) = object.ok_or_else(|| codes::EVENT_SUBSCRIPTION_PARSE_FAILURE(call.text(0)))?;
        let _following = self.subscribers.follow();
        let wait = self.wait(caller, vec![Key::Object(class, reference)], wait_of(call.float(3)))?;
        let mut position = match call.text(2) {
            "" => self.ledger.view().position,
            text => known_token(&self.ledger.view(), text)?.position,
        };
        let mut want = Arc::new(Want { filter, scope: self.sight(caller).scope, ..Want::default() });
        loop {
            let over = wait.is_over();
            {
                let sight = self.sight(caller);
                let found = sight.read().object(class, reference).cloned();
                if sight.scope != want.scope {
                    want = Arc::new(Want { scope: sight.scope.clone(), ..Want::clone(&want) });
                }
                let page = self.feed.next(position, &want, 1).await?;
                if self.sight(caller).scope != want.scope {
                    continue; // what was found may not be told any more
                }
                position = page.reached;
                let view = || sight.view.clone();
                let is = found.as_ref().is_some_and(|object| want.filter.passes(&want.scope, &view, class, object));
                let met = is || !page.is_empty();
                if found.is_none() && !met {
                    return Err(codes::HANDLE_INVALID(class.name(), reference));
                }
                if met || over {
                    let token = Token { position, lineage: sight.view.lineage }.to_string();
                    let snapshot = found.map(|object| ("snapshot", sight.read().record(class, &object)));
                    let answer = [("met", Value::from(met)), ("token", Value::from(token))];
                    return Ok(Value::map(answer.into_iter().chain(snapshot)).into());
                }
            }
            wait.more().await?;
        }
    }

    /// Serves an `Async.` call whose task's end is to be told to a subscription. One that cannot be used is refused
    /// before the call is begun.
    pub(super) async fn serve_notified(
        &self,
        request: Request,
        told: &str,
        noted: &mut Noted,
    ) -> Result<Answer, ApiError> {
        let session = request.params.first().cloned().unwrap_or(Value::Void);
        self.check_notified(session.as_str(), told)?;
        let peer = request.peer.clone();
        let answer = Box::pin(self.serve(request, noted)).await?;
        if let Answer::Value(Value::Ref(begun)) = &answer {
            let params = vec![session, Value::text(&begun.to_string()), Value::text(told)];
            let more = Request { method: SET_NOTIFY.to_string(), params, peer, id: Arc::default() };
            Box::pin(self.serve(more, &mut Noted::default())).await?;
        }
        Ok(answer)
    }

    /// Whether the caller may have a subscription told: afterwards would be too late, the work being under way.
    fn check_notified(&self, session: &str, named: &str) -> Result<(), ApiError> {
        let view = self.ledger.view();
        let principal = self.accounts.authenticate(&view, session, self.ledger.world().now())?;
        let found = Ref::parse(named).and_then(|reference| view.find::<subscription>(reference));
        let held = found.ok_or_else(|| codes::HANDLE_INVALID("subscription", named))?;
        check_notified(held, &principal.name, principal.roles)
    }
}
