//! What time alone brings about: tasks that nobody is heard of any more are
//! ended, finished ones go when their time is over, schedules run when theirs
//! has come, and remote logins close.

use crate::command::host::ssh;
use crate::command::vm::schedule;
use crate::command::{Command, Own, Principal, operation};
use crate::event::Kind;
use crate::log::writer::Ledger;
use crate::model::task;
use crate::value::Ref;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often the clock is looked at.
const TICK: Duration = Duration::from_secs(1);

/// Looks at the clock until told to stop; sends nothing while there is nothing to do. `waited` says which tasks
/// somebody waits for.
pub async fn run(ledger: Ledger, waited: impl Fn() -> HashSet<Ref> + Send + Sync, stop: CancellationToken) {
    let principal = Principal::server("timer");
    loop {
        look(&ledger, &principal, &waited).await;
        tokio::select! {
            () = stop.cancelled() => return,
            () = ledger.world().sleep(TICK) => {}
        }
    }
}

async fn look(ledger: &Ledger, principal: &Arc<Principal>, waited: &(impl Fn() -> HashSet<Ref> + Send + Sync)) {
    let (view, now) = (ledger.view(), ledger.world().now());
    for overdue in view.all::<task>().filter(|task| operation::is_overdue(task, now)) {
        let overdue = overdue.reference;
        tracing::warn!(task = %overdue, "nobody has ended a task that should have ended; it is ended without them");
        tell(ledger, principal, "timer.overdue", Box::new(move |d| operation::end_overdue(d, overdue))).await;
    }
    if !operation::past_their_time(&view, &HashSet::new(), now).is_empty() {
        let waited = waited();
        if !operation::past_their_time(&view, &waited, now).is_empty() {
            tell(ledger, principal, "timer.purge", Box::new(move |d| operation::purge(d, &waited))).await;
        }
    }
    if !schedule::due(&view, now).is_empty() {
        tell(ledger, principal, "timer.schedule", Box::new(schedule::run)).await;
    }
    if ssh::is_due(&view, now) {
        tell(ledger, principal, "timer.ssh", Box::new(ssh::expire)).await;
    }
}

async fn tell(ledger: &Ledger, principal: &Arc<Principal>, message: &'static str, decide: Own) {
    let command = Command::own(principal, ledger.world(), Kind::Change, message, decide);
    if let Err(error) = ledger.submit(command).await {
        tracing::warn!(%error, message, "what was due could not be done");
    }
}
