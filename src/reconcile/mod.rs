//! The reconciler of one host: carries out what the log accepted, and writes
//! what it sees back into the log.
//!
//! It works from pending tasks and observation and from nothing else: it knows
//! the [`Ledger`] and a [`Driver`], so that it can become an agent on another
//! machine. First start, restart and recovery are one code path: every round
//! looks at what changed since the last, and the next round is the retry.
//!
//! ```text
//!   a batch was published ─┐              ┌─ tasks that changed ─▶ begin, cancel      ([`job`])
//!   the driver saw a change ├─▶  round  ──┤
//!   a job ended, a timer ──┘              └─ machines ───────────▶ events, if news    ([`observe`])
//! ```

pub mod config;
mod job;
mod observe;
pub mod plan;
mod report;
pub mod timers;

use crate::command::{Own, sequence};
use crate::driver::Driver;
use crate::log::writer::Ledger;
use crate::model::{ClassId, host, task};
use crate::value::{Micros, Ref};
use crate::views::{Object, View};
use futures_util::FutureExt;
use job::{Job, Outcome};
use observe::Observer;
use report::Reporter;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Objects worked on at the same time.
const JOBS_MAX: usize = 64;
/// A round begins at the latest after this.
const ROUND: Duration = Duration::from_secs(5);
/// How long a task that could not be carried out waits for the next try.
const AGAIN_AFTER: Micros = 1_000_000;

/// See the module.
pub struct Reconciler {
    driver: Arc<dyn Driver>,
    reporter: Arc<Reporter>,
    host: Ref,
    /// Tasks changed up to here are known.
    position: u64,
    /// By creation, so that tasks of one object are carried out in order.
    pending: BTreeMap<(u64, Ref), Waiting>,
    running: HashMap<Ref, CancellationToken>,
    /// Pending tasks that are made of others: they go on when those have ended.
    sequences: BTreeSet<Ref>,
    jobs: JoinSet<(Ref, Outcome)>,
    observer: Observer,
}

/// A pending task.
struct Waiting {
    /// What it works on; one task at a time works on one thing. `None`: on nothing that others could disturb.
    thing: Option<Ref>,
    deadline: Micros,
    cancelled: bool,
    not_before: Micros,
    attempts: u32,
}

impl Reconciler {
    /// The reconciler of a host that is in the view; `None` if it is not.
    pub fn new(ledger: Ledger, driver: Arc<dyn Driver>, host: Ref) -> Option<Reconciler> {
        let uuid = ledger.view().find::<host>(host)?.get(host::uuid).to_string();
        let reporter = Arc::new(Reporter::new(ledger, &uuid));
        let observer = Observer::new(reporter.clone(), driver.clone(), host);
        Some(Reconciler {
            driver,
            reporter,
            host,
            position: 0,
            pending: BTreeMap::new(),
            running: HashMap::new(),
            sequences: BTreeSet::new(),
            jobs: JoinSet::new(),
            observer,
        })
    }

    /// Works until told to stop; jobs end where they are, which the next start finds.
    pub async fn run(mut self, mut published: watch::Receiver<u64>, stop: CancellationToken) {
        let driver = self.driver.clone();
        let world = self.reporter.ledger.world().clone();
        let mut look = true;
        loop {
            published.mark_unchanged();
            self.learn();
            self.advance().await;
            self.begin();
            if std::mem::take(&mut look) {
                self.observer.round().await;
            }
            let patience = self.patience();
            tokio::select! {
                () = stop.cancelled() => return,
                changed = published.changed() => if changed.is_err() { return },
                () = driver.changes() => look = true,
                Some(ended) = self.jobs.join_next(), if !self.jobs.is_empty() => {
                    self.ended(ended);
                    look = true;
                }
                () = world.sleep(patience) => look = true,
            }
        }
    }

    /// How long nothing needs to be done if nothing happens.
    fn patience(&self) -> Duration {
        let now = self.reporter.ledger.world().now();
        let idle = self.pending.iter().filter(|((_, task), _)| !self.running.contains_key(task));
        let view = self.reporter.ledger.view();
        let sequences = self.sequences.iter().filter_map(|task| view.find::<task>(*task));
        let times = idle.flat_map(|(_, waiting)| [waiting.not_before, waiting.deadline]);
        let soonest = times.chain(sequences.map(|task| sequence::due(task))).filter(|at| *at > now).min();
        soonest.map_or(ROUND, |at| Duration::from_micros((at - now) as u64).min(ROUND))
    }

    /// Reads what happened to tasks since the last round.
    fn learn(&mut self) {
        let view = self.reporter.ledger.view();
        let since = (self.position + 1, Ref::NULL);
        self.position = view.position;
        let tasks = view.class(ClassId::task);
        for (_, reference) in tasks.modified.range(since..) {
            let Some(task) = view.find::<task>(*reference) else { continue };
            self.look_at(&view, task);
        }
        let deleted: HashSet<Ref> = tasks.deleted.range(since..).map(|((_, reference), _)| *reference).collect();
        if !deleted.is_empty() {
            self.pending.retain(|(_, task), _| !deleted.contains(task));
            deleted.iter().filter_map(|task| self.running.get(task)).for_each(CancellationToken::cancel);
        }
    }

    fn look_at(&mut self, view: &View, task: &Object) {
        let ours = !task.get(task::operation).is_empty() && task.get(task::resident_on) == self.host;
        if !ours {
            return;
        }
        let key = (task.created, task.reference);
        let cancelled = job::is_cancelled(task);
        let over = task.get(task::status) != "pending";
        if sequence::is_one(task) {
            if over {
                self.sequences.remove(&task.reference)
            } else {
                self.sequences.insert(task.reference)
            };
            return;
        }
        if (over || cancelled)
            && let Some(stop) = self.running.get(&task.reference)
        {
            stop.cancel();
        }
        if over {
            self.pending.remove(&key);
            return;
        }
        let (thing, deadline) = (plan::thing(view, task), task.get(task::deadline));
        let new = Waiting { thing, deadline, cancelled, not_before: 0, attempts: 0 };
        self.pending.entry(key).or_insert(new).cancelled = cancelled;
    }

    /// Takes the sequences as far as they can go now.
    async fn advance(&mut self) {
        let view = self.reporter.ledger.view();
        self.sequences.retain(|task| view.find::<task>(*task).is_some());
        for &task in &self.sequences {
            let step = || -> Own { Box::new(move |draft| sequence::advance(draft, task)) };
            if !self.reporter.is_news("host.advanced", step()) {
                continue;
            }
            let cause = view.find::<task>(task).map_or(0, |task| task.created);
            if let Err(error) = self.reporter.tell("host.advanced", cause, step()).await {
                tracing::warn!(%task, %error, "a sequence could not go on; trying again");
            }
        }
    }

    /// Begins every task whose turn it is.
    fn begin(&mut self) {
        let now = self.reporter.ledger.world().now();
        let mut taken: HashSet<Ref> = HashSet::new();
        let mut turn = Vec::new();
        for ((created, task), waiting) in &self.pending {
            // A thing is taken by the oldest task on it, whether that works or waits.
            let free = waiting.thing.is_none_or(|thing| taken.insert(thing));
            let idle = !self.running.contains_key(task) && waiting.not_before <= now;
            // What only has to be ended waits for nobody.
            let only_ends = waiting.cancelled || waiting.deadline <= now;
            let room = self.running.len() + turn.len() < JOBS_MAX;
            if idle && (only_ends || (free && room)) {
                turn.push((*created, *task));
            }
        }
        for key in turn {
            self.spawn(key);
        }
    }

    fn spawn(&mut self, key: (u64, Ref)) {
        let attempt = self.pending.get(&key).map_or(0, |waiting| waiting.attempts);
        let stop = CancellationToken::new();
        self.running.insert(key.1, stop.clone());
        let (driver, reporter) = (self.driver.clone(), self.reporter.clone());
        let job = Job { driver, reporter, task: key.1, stop, attempt };
        self.jobs.spawn(async move {
            // Whatever went wrong, the next try or the deadline ends the task.
            let outcome = AssertUnwindSafe(job.run()).catch_unwind().await;
            (key.1, outcome.unwrap_or(Outcome::Again))
        });
    }

    fn ended(&mut self, ended: Result<(Ref, Outcome), tokio::task::JoinError>) {
        let Ok((task, outcome)) = ended else { return };
        self.running.remove(&task);
        let Some(entry) = self.pending.keys().find(|(_, pending)| *pending == task).copied() else { return };
        match outcome {
            Outcome::Ended => {
                self.pending.remove(&entry);
            }
            Outcome::Again => {
                let now = self.reporter.ledger.world().now();
                let waiting = self.pending.get_mut(&entry).expect("BUG: it was just found");
                waiting.attempts += 1;
                waiting.not_before = now + AGAIN_AFTER;
            }
        }
    }
}
