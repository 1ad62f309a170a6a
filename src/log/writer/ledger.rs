//! How the rest of the program sends commands to the writer, and reads what it
//! published.

use super::archiving::Archiving;
use super::lanes::{Entrance, Exit, Refused, lanes};
use super::turns::Offer;
use super::{Refusal, Trouble, unwritten};
use crate::command::Command;
use crate::error::{ApiError, codes};
use crate::value::{Ref, Value};
use crate::views::View;
use crate::world::World;
use arc_swap::{ArcSwap, ArcSwapOption};
use std::sync::{Arc, Weak};
use tokio::sync::oneshot;

/// What an accepted command is answered with.
#[derive(Clone, Debug, PartialEq)]
pub struct Accepted {
    pub result: Value,
    /// The position of its event; the head's where there was nothing to write.
    pub position: u64,
    /// The task whose end the caller waits for.
    pub pending: Option<Ref>,
}

/// The answer to a command.
pub type Answer = Result<Accepted, ApiError>;

/// A command on its way.
pub struct Submission {
    pub command: Command,
    pub answer: Option<oneshot::Sender<Answer>>,
    /// May wait for company.
    pub rides: bool,
}

/// What the writer is given to do.
pub enum Job {
    Command(Submission),
    Refusal(Refusal),
    Archiving(Archiving),
}

/// How the rest of the program sends commands and reads the published view. Cheap to clone.
#[derive(Clone)]
pub struct Ledger {
    pub(super) jobs: Entrance<Job>,
    /// The lane of all refusals, whosever they are: somebody else's wrong passwords must not fill one's own.
    refusals: Arc<str>,
    view: Arc<ArcSwap<View>>,
    world: World,
    trouble: Arc<ArcSwapOption<Trouble>>,
    offer: Offer,
}

impl Ledger {
    pub(super) fn new(
        view: Arc<ArcSwap<View>>,
        world: World,
        trouble: Arc<ArcSwapOption<Trouble>>,
        offer: Offer,
    ) -> (Ledger, Exit<Job>) {
        let (jobs, exit) = lanes();
        (Ledger { jobs, refusals: Arc::default(), view, world, trouble, offer }, exit)
    }

    /// Why the log cannot be written now, if it cannot: what a health check asks.
    pub fn trouble(&self) -> Option<Arc<Trouble>> {
        self.trouble.load_full()
    }

    /// The view at the newest published position.
    pub fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    pub fn world(&self) -> &World {
        &self.world
    }

    /// Sends a command and waits until it is durable or refused. The command goes on if the caller does not.
    pub async fn submit(&self, command: Command) -> Answer {
        let (answer, answered) = oneshot::channel();
        let principal = command.principal.name.clone();
        let submission = Submission { command, answer: Some(answer), rides: false };
        self.jobs.put(&principal, Job::Command(submission)).map_err(|refused| match refused {
            Refused::Full => codes::TOO_MANY_PENDING_TASKS(),
            Refused::Closed => stopped(),
        })?;
        match self.offer.get().and_then(Weak::upgrade) {
            Some(turn) => turn.begin(),
            None => self.jobs.tell(), // the writer does not work yet
        }
        answered.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Sends a command that may wait for company and that nobody waits for.
    pub fn submit_riding(&self, command: Command) {
        // Without room it is left out: what rides says nothing that the next does not say better.
        let _ = self.send(Submission { command, answer: None, rides: true });
    }

    /// Notes a refusal that happened before the writer: a wrong password, a role that may not.
    pub fn refused(&self, refusal: Refusal) {
        // A full lane drops the row, never the caller: an attacker must not be able to stop the server.
        let _ = self.jobs.send(&self.refusals, Job::Refusal(refusal));
    }

    /// Lets the writer finish what was sent before, and end.
    pub fn close(&self) {
        self.jobs.close();
    }

    pub(super) fn send(&self, submission: Submission) -> Result<(), Refused> {
        let principal = submission.command.principal.name.clone();
        self.jobs.send(&principal, Job::Command(submission))
    }
}

fn stopped() -> ApiError {
    unwritten("the writer has stopped")
}
