//! One pending task, carried out: from what the hypervisor remembers of it to
//! the report of its end. The same way for a task that has just begun and for
//! one that was under way when the server ended.
//!
//! ```text
//!   trace ─┬─ Done ─────────────────────────────▶ report
//!          ├─ Nothing, UnderWay ▶ act ─┬─ done ─▶ report
//!          └─ Unfinished ▶ discard ┘   ├─ error ▶ fail
//!                                      └─ cancelled, too late, superseded ▶ discard ▶ fail
//! ```

use super::plan::{Plan, plan};
use super::report::{Pace, Reporter};
use crate::command::operation::{DEADLINE, Facts, is_cancelled, too_late};
use crate::driver::{Action, Driver, Progress, Trace};
use crate::error::{ApiError, codes};
use crate::log::writer::is_of_the_log;
use crate::model::task;
use crate::value::Ref;
use crate::views::Object;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How long a driver may take to discard; then the task ends without.
const DISCARD_WAIT: Duration = Duration::from_secs(30);
/// How often a report is tried again before the task is failed for it.
const REPORTS_MAX: u32 = 5;

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The task has ended.
    Ended,
    /// It has not: the next round tries again.
    Again,
}

/// A task on its way.
pub struct Job {
    pub driver: Arc<dyn Driver>,
    pub reporter: Arc<Reporter>,
    pub task: Ref,
    /// Told when the task should be looked at: cancelled, or ended by somebody else.
    pub stop: CancellationToken,
    /// How often it was tried before.
    pub attempt: u32,
}

/// Why an action was left.
enum Left {
    Acted(Result<Facts, ApiError>),
    TooLate,
    Stopped,
}

impl Job {
    pub async fn run(self) -> Outcome {
        let found = self.reporter.ledger.view().find::<task>(self.task).cloned();
        let Some(task) = found else { return Outcome::Ended };
        match self.carry_out(&task).await {
            Ok(outcome) => outcome,
            Err(error) => {
                tracing::warn!(task = %self.task, %error, "the hypervisor could not be asked; trying again");
                self.again(&task, error).await
            }
        }
    }

    async fn carry_out(&self, task: &Object) -> Result<Outcome, ApiError> {
        let mark = mark_of(task);
        let trace = self.driver.trace(mark).await?;
        if let Trace::Done(facts) = trace {
            return Ok(self.complete(task, facts).await);
        }
        let now = self.reporter.ledger.world().now();
        if is_cancelled(task) || task.get(task::deadline) <= now {
            return Ok(self.give_up(task, mark, false).await);
        }
        // No view is held while the hypervisor works: it would keep in memory what was superseded meanwhile.
        let planned = plan(&self.reporter.ledger.view(), task, trace);
        let action = match planned {
            Ok(Plan::Act(action)) => action,
            Ok(Plan::Redo(action)) => {
                self.driver.discard(mark).await?;
                action
            }
            Ok(Plan::Report(facts)) => return Ok(self.complete(task, facts).await),
            Err(error) => return Ok(self.fail(task, error).await),
        };
        match self.act(task, mark, &action).await {
            Left::Acted(Ok(facts)) => Ok(self.complete(task, facts).await),
            Left::Acted(Err(error)) => {
                let error = of_client(&self.reporter.ledger.view(), task, error);
                Ok(self.fail(task, error).await)
            }
            Left::TooLate => Ok(self.give_up(task, mark, true).await),
            Left::Stopped => Ok(self.give_up(task, mark, false).await),
        }
    }

    /// Acts until it is done, told to stop, or has come no further for too long; whatever is left is left where it is.
    async fn act(&self, task: &Object, mark: Ref, action: &Action) -> Left {
        let world = self.reporter.ledger.world().clone();
        let (progress, mut moved): (Progress, _) = watch::channel(0.0);
        let mut pace = Pace::new(self.task, task.created, world.now());
        let mut acting = self.driver.act(mark, action, &progress);
        let left = (task.get(task::deadline) - world.now()).max(0);
        let mut late = std::pin::pin!(world.sleep(Duration::from_micros(left as u64)));
        let mut reached = 0.0;
        loop {
            tokio::select! {
                biased;
                done = &mut acting => return Left::Acted(done),
                () = self.stop.cancelled() => return Left::Stopped,
                () = &mut late => return Left::TooLate,
                Ok(()) = moved.changed() => {
                    let to = *moved.borrow_and_update();
                    if to > reached {
                        reached = to;
                        let more = (task.get(task::deadline) - world.now()).max(DEADLINE);
                        late.set(world.sleep(Duration::from_micros(more as u64)));
                    }
                    pace.moved(to, &self.reporter).await;
                }
            }
        }
    }

    /// Ends a task that was cancelled, is too late, or has been ended by somebody else.
    async fn give_up(&self, task: &Object, mark: Ref, late: bool) -> Outcome {
        if let Ok(Trace::Done(facts)) = self.driver.trace(mark).await {
            return self.complete(task, facts).await; // it was quicker
        }
        let world = self.reporter.ledger.world();
        tokio::select! {
            discarded = self.driver.discard(mark) => if let Err(error) = discarded {
                tracing::warn!(task = %self.task, %error, "what was half-built may still be there");
            },
            () = world.sleep(DISCARD_WAIT) => {
                tracing::warn!(task = %self.task, "the hypervisor is stuck; what was half-built may still be there");
            }
        }
        let view = self.reporter.ledger.view();
        let Some(task) = view.find::<task>(self.task) else { return Outcome::Ended };
        let error = if is_cancelled(task) {
            codes::TASK_CANCELLED(self.task)
        } else if late || task.get(task::deadline) <= world.now() {
            too_late(task)
        } else {
            codes::TASK_CANCELLED(self.task)
        };
        self.fail(task, error).await
    }

    async fn complete(&self, task: &Object, facts: Facts) -> Outcome {
        match self.reporter.completed(self.task, task.created, facts).await {
            Ok(()) => Outcome::Ended,
            Err(_) if !self.reporter.is_pending(self.task) => Outcome::Ended,
            Err(error) if is_of_the_log(&error) => {
                tracing::warn!(task = %self.task, %error, "the end of a task could not be written; trying again");
                Outcome::Again
            }
            Err(error) if error.code == "INTERNAL_ERROR" => self.again(task, error).await,
            Err(error) => self.fail(task, error).await,
        }
    }

    async fn fail(&self, task: &Object, error: ApiError) -> Outcome {
        if !self.reporter.is_pending(self.task) {
            return Outcome::Ended;
        }
        match self.reporter.failed(self.task, task.created, error).await {
            Err(error) if self.reporter.is_pending(self.task) => {
                tracing::warn!(task = %self.task, %error, "the end of a task could not be written; trying again");
                Outcome::Again
            }
            _ => Outcome::Ended,
        }
    }

    /// Leaves it to the next round, but not for ever.
    async fn again(&self, task: &Object, error: ApiError) -> Outcome {
        if self.attempt < REPORTS_MAX { Outcome::Again } else { self.fail(task, error).await }
    }
}

/// The mark of a task's action: the task's uuid.
pub fn mark_of(task: &Object) -> Ref {
    Ref::parse_uuid(task.get(task::uuid)).unwrap_or(task.reference)
}

/// Drivers know uuids; clients know references.
fn of_client(view: &crate::views::View, task: &Object, error: ApiError) -> ApiError {
    let reference = |text: &String| {
        let machine = view.by_uuid(crate::model::ClassId::VM, text);
        let disk = view.by_uuid(crate::model::ClassId::VDI, text);
        machine.or(disk).map_or_else(|| text.clone(), |reference| reference.to_string())
    };
    tracing::info!(task = %task.reference, %error, "an action failed");
    ApiError::new(error.code, error.params.iter().map(reference).collect())
}
