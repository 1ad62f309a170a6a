//! What time alone brings about: finished tasks go when theirs is over.

use crate::command::{Command, Intent, Principal, operation};
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

/// Purges tasks until told to stop; sends nothing while there is nothing to purge.
pub async fn run(ledger: Ledger, stop: CancellationToken) {
    let principal = Principal::server("timer");
    loop {
        let now = ledger.world().now();
        if is_due(&ledger.view(), now) {
            let command = Command {
                principal: principal.clone(),
                address: Arc::default(),
                auth: Arc::default(),
                request: Arc::default(),
                cause: 0,
                now,
                seed: ledger.world().seed(),
                body: Intent::Own { message: "timer.purge", kind: Kind::Change, decide: Box::new(operation::purge) },
            };
            if let Err(error) = ledger.submit(command).await {
                tracing::warn!(%error, "finished tasks could not be purged");
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = ledger.world().sleep(TICK) => {}
        }
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
