//! What time alone brings about: finished tasks go when theirs is over,
//! schedules run when their time has come, and remote logins close.

use crate::command::host::ssh;
use crate::command::vm::schedule;
use crate::command::{Command, Own, Principal, operation};
use crate::event::Kind;
use crate::log::writer::Ledger;
use crate::model::task;
use crate::value::Micros;
use crate::views::View;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often the clock is looked at.
const TICK: Duration = Duration::from_secs(1);

/// Looks at the clock until told to stop; sends nothing while there is nothing to do.
pub async fn run(ledger: Ledger, stop: CancellationToken) {
    let principal = Principal::server("timer");
    loop {
        let now = ledger.world().now();
        let view = ledger.view();
        if is_due(&view, now) {
            tell(&ledger, &principal, "timer.purge", Box::new(operation::purge)).await;
        }
        if !schedule::due(&view, now).is_empty() {
            tell(&ledger, &principal, "timer.schedule", Box::new(schedule::run)).await;
        }
        if ssh::is_due(&view, now) {
            tell(&ledger, &principal, "timer.ssh", Box::new(ssh::expire)).await;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = ledger.world().sleep(TICK) => {}
        }
    }
}

async fn tell(ledger: &Ledger, principal: &Arc<Principal>, message: &'static str, decide: Own) {
    let command = Command::own(principal, ledger.world(), Kind::Change, message, decide);
    if let Err(error) = ledger.submit(command).await {
        tracing::warn!(%error, message, "what was due could not be done");
    }
}

/// Whether a finished task is past its time, or there are too many of them.
fn is_due(view: &View, now: Micros) -> bool {
    let mut finished = 0;
    for task in view.all::<task>() {
        if task.get(task::status) == "pending" {
            continue;
        }
        finished += 1;
        let synchronous = task.get(task::synchronous);
        let kept = if synchronous { operation::SYNCHRONOUS_KEPT } else { operation::FINISHED_KEPT };
        if task.get(task::finished).saturating_add(kept) <= now {
            return true;
        }
    }
    finished > operation::FINISHED_MAX
}
