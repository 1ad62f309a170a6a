//! A call whose answer comes later than its turn: what it waits for, and how it
//! is written when it is there. Between a call ([`super::event_from`]) and the
//! connection that it came by ([`super::parked`]).

use super::Gateway;
use super::answer::Answer;
use super::event_from::{EventFrom, Glance};
use super::http::{ANSWER_USUAL, Noted, enveloped, write};
use crate::error::ApiError;
use crate::subscribe::AtOnce;
use crate::wire::Reply;
use axum::http::Response;
use std::sync::{Arc, Weak};

/// A call that waits, and how it is answered then.
pub struct Later {
    gateway: Gateway,
    waits: Arc<EventFrom>,
    reply: Reply,
}

impl Later {
    pub fn new(gateway: &Gateway, waits: Arc<EventFrom>, reply: Reply) -> Later {
        Later { gateway: gateway.clone(), waits, reply }
    }

    /// The answer, waited for.
    pub async fn answer(&self) -> Response<Vec<u8>> {
        let served = self.waits.answer().await;
        self.respond(served)
    }

    /// The answer, if one look says it.
    pub fn glance(&self) -> Glance<Response<Vec<u8>>> {
        match self.waits.glance() {
            Glance::Answer(served) => Glance::Answer(self.respond(served)),
            Glance::Nothing => Glance::Nothing,
            Glance::Unclear => Glance::Unclear,
        }
    }

    fn respond(&self, served: Result<Answer, ApiError>) -> Response<Vec<u8>> {
        if self.waits.gives_back() {
            self.gateway.counts.answered(served.is_ok());
        }
        let mut out = Vec::with_capacity(ANSWER_USUAL);
        write(&self.reply, served, &mut out);
        enveloped(self.reply.format(), out, Noted::default())
    }

    /// Who is asked before the call's own task is woken.
    pub fn ask_first(&self, who: Weak<dyn AtOnce>) {
        self.waits.ask_first(who);
    }

    /// Nobody waits any more.
    pub fn gives_back(&self) {
        self.waits.gives_back();
    }
}
