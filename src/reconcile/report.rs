//! What the reconciler tells the log: commands of its own, under its host's
//! name, each following from the event that began the task it is about.

use crate::command::operation::{self, Facts};
use crate::command::{Command, Own, Principal};
use crate::error::ApiError;
use crate::event::Kind;
use crate::log::writer::{Answer, Ledger};
use crate::model::task;
use crate::value::{Micros, Ref, Value};
use std::sync::{Arc, Mutex};

/// Progress is an event when it moved so much,
const PROGRESS_STEP: f64 = 0.05;
/// or when so much time passed,
const PROGRESS_AFTER: Micros = 1_000_000;
/// and at most so often in one second, all tasks together.
const PROGRESS_PER_SECOND: u32 = 200;

/// A way to send commands as one host.
pub struct Reporter {
    pub ledger: Ledger,
    principal: Arc<Principal>,
    /// The second that it is, and how many reports of progress it has seen.
    budget: Mutex<(i64, u32)>,
}

impl Reporter {
    /// For the host with that uuid.
    pub fn new(ledger: Ledger, uuid: &str) -> Reporter {
        let principal = Principal::server(&format!("host/{uuid}"));
        Reporter { ledger, principal, budget: Mutex::default() }
    }

    fn command(&self, message: &'static str, cause: u64, decide: Own) -> Command {
        Command { cause, ..Command::own(&self.principal, self.ledger.world(), Kind::Change, message, decide) }
    }

    pub async fn tell(&self, message: &'static str, cause: u64, decide: Own) -> Answer {
        self.ledger.submit(self.command(message, cause, decide)).await
    }

    /// Whether the command would say anything new to the view as published now.
    pub fn is_news(&self, message: &'static str, decide: Own) -> bool {
        let command = self.command(message, 0, decide);
        crate::command::decide(&self.ledger.view(), command).is_ok_and(|decision| decision.body.is_some())
    }

    pub async fn completed(&self, task: Ref, cause: u64, facts: Facts) -> Result<(), ApiError> {
        let decide: Own = Box::new(move |draft| operation::complete(draft, task, facts));
        self.tell("host.completed", cause, decide).await.map(|_| ())
    }

    pub async fn failed(&self, task: Ref, cause: u64, error: ApiError) -> Result<(), ApiError> {
        let decide: Own = Box::new(move |draft| operation::fail(draft, task, error));
        self.tell("host.failed", cause, decide).await.map(|_| ())
    }

    /// Whether the task still waits for its end.
    pub fn is_pending(&self, reference: Ref) -> bool {
        self.ledger.view().find::<task>(reference).is_some_and(|found| found.get(task::status) == "pending")
    }

    fn admits_progress(&self, now: Micros) -> bool {
        let mut budget = self.budget.lock().expect("BUG: nobody panics while counting");
        let second = now / 1_000_000;
        if budget.0 != second {
            *budget = (second, 0);
        }
        budget.1 += 1;
        budget.1 <= PROGRESS_PER_SECOND
    }
}

/// The progress of one task: tells of it when it has moved enough.
pub struct Pace {
    task: Ref,
    cause: u64,
    told: f64,
    at: Micros,
}

impl Pace {
    pub fn new(task: Ref, cause: u64, now: Micros) -> Pace {
        Pace { task, cause, told: 0.0, at: now }
    }

    pub async fn moved(&mut self, to: f64, reporter: &Reporter) {
        let now = reporter.ledger.world().now();
        let enough = to >= self.told + PROGRESS_STEP || now >= self.at + PROGRESS_AFTER;
        if to <= self.told || !enough || !reporter.admits_progress(now) {
            return;
        }
        (self.told, self.at) = (to, now);
        let task = self.task;
        let decide: Own = Box::new(move |draft| match operation::progress(draft, task, to) {
            Err(_) => Ok(Value::Void), // the task ended and is gone
            done => done,
        });
        reporter.ledger.submit_riding(reporter.command("task.progress", self.cause, decide));
    }
}
