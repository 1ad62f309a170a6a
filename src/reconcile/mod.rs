//! The reconciler of one host: carries out what the log accepted, and writes
//! what it sees back into the log.
//!
//! It works from pending tasks and observation and from nothing else: it knows
//! the [`Ledger`] and a [`Driver`], and waits for tasks as any subscriber does,
//! so that it can become an agent on another machine. First start, restart and recovery are one code path: every round
//! looks at what changed since the last, and the next round is the retry.
//!
//! ```text
//!   a task changed, a job ended, a timer ────────▶  round  ─▶ tasks that changed ─▶ begin, cancel   ([`job`])
//!   the driver saw a change, a job ended, a timer ▶  look  ─▶ machines ───────────▶ events, if news ([`observe`])
//! ```

pub mod config;
mod job;
mod observe;
pub mod plan;
pub mod replicate;
mod report;
pub mod timers;

use crate::command::{Own, operation, sequence};
use crate::driver::Driver;
use crate::log::writer::Ledger;
use crate::model::{ClassId, host, task};
use crate::subscribe::{Key, Subscribers};
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
use tokio::sync::Notify;
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
    running: HashMap<Ref, Working>,
    /// Pending tasks that are made of others: they go on when those have ended.
    sequences: BTreeSet<Ref>,
    jobs: JoinSet<(Ref, Outcome)>,
}

/// A task that is being carried out.
struct Working {
    stop: CancellationToken,
    owner: Arc<str>,
}

/// A pending task.
struct Waiting {
    /// Who began it: places are given to owners in turn.
    owner: Arc<str>,
    /// What it works on; one task at a time works on one thing. `None`: on nothing that others could disturb.
    thing: Option<Ref>,
    deadline: Micros,
    cancelled: bool,
    not_before: Micros,
    attempts: u32,
}

impl Waiting {
    /// Whether it may be tried. A clock that went back makes nobody wait for longer than ever intended.
    fn has_rested(&self, now: Micros) -> bool {
        self.not_before <= now || self.not_before > now + AGAIN_AFTER
    }
}

impl Reconciler {
    /// The reconciler of a host that is in the view; `None` if it is not.
    pub fn new(ledger: Ledger, driver: Arc<dyn Driver>, host: Ref) -> Option<Reconciler> {
        let uuid = ledger.view().find::<host>(host)?.get(host::uuid).to_string();
        let reporter = Arc::new(Reporter::new(ledger, &uuid));
        Some(Reconciler {
            driver,
            reporter,
            host,
            position: 0,
            pending: BTreeMap::new(),
            running: HashMap::new(),
            sequences: BTreeSet::new(),
            jobs: JoinSet::new(),
        })
    }

    /// Works until told to stop; jobs end where they are, which the next start finds. Looking takes its time, so it
    /// goes on beside: no task waits for it.
    pub async fn run(mut self, subscribers: Subscribers, stop: CancellationToken) {
        let tasks = subscribers.register(vec![Key::Class(ClassId::task)]);
        let world = self.reporter.ledger.world().clone();
        let ended = Notify::new();
        let mut observer = Observer::new(self.reporter.clone(), self.driver.clone(), self.host);
        let mut looking = std::pin::pin!(observer.run(&ended));
        loop {
            self.learn();
            self.advance().await;
            self.begin();
            let patience = self.patience();
            tokio::select! {
                () = stop.cancelled() => return,
                () = tasks.woken() => {}
                Some(job) = self.jobs.join_next(), if !self.jobs.is_empty() => {
                    self.ended(job);
                    ended.notify_one();
                }
                () = &mut looking => return, // it has no end
                () = world.sleep(patience) => {}
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
        let before = std::mem::replace(&mut self.position, view.position);
        let tasks = view.class(ClassId::task);
        for task in tasks.changed(before) {
            self.look_at(&view, task);
        }
        let deleted: HashSet<Ref> =
            tasks.deleted.range((before + 1, Ref::NULL)..).map(|((_, reference), _)| *reference).collect();
        if !deleted.is_empty() {
            self.pending.retain(|(_, task), _| !deleted.contains(task));
            deleted.iter().filter_map(|task| self.running.get(task)).for_each(|working| working.stop.cancel());
        }
    }

    fn look_at(&mut self, view: &View, task: &Object) {
        let ours = !task.get(task::operation).is_empty() && task.get(task::resident_on) == self.host;
        if !ours {
            return;
        }
        let key = (task.created, task.reference);
        let cancelled = operation::is_cancelled(task);
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
            && let Some(working) = self.running.get(&task.reference)
        {
            working.stop.cancel();
        }
        if over {
            self.pending.remove(&key);
            return;
        }
        let (thing, deadline) = (plan::thing(view, task), task.get(task::deadline));
        let owner = task.get(task::owner).clone();
        let new = Waiting { owner, thing, deadline, cancelled, not_before: 0, attempts: 0 };
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

    /// Begins every task whose turn it is: the oldest on each thing, and where there is not room for all, one of each
    /// owner after the other.
    fn begin(&mut self) {
        let now = self.reporter.ledger.world().now();
        let mut taken: HashSet<Ref> = HashSet::new();
        let (mut ending, mut ready) = (Vec::new(), Vec::new());
        for ((created, task), waiting) in &self.pending {
            // A thing is taken by the oldest task on it, whether that works or waits.
            let free = waiting.thing.is_none_or(|thing| taken.insert(thing));
            if self.running.contains_key(task) || !waiting.has_rested(now) {
                continue;
            }
            // What only has to be ended waits for nobody.
            if waiting.cancelled || waiting.deadline <= now {
                ending.push((*created, *task));
            } else if free {
                ready.push((&waiting.owner, (*created, *task)));
            }
        }
        let places = JOBS_MAX.saturating_sub(self.running.len() + ending.len());
        let ready = in_turn(ready, self.running.values().map(|working| &working.owner), places);
        for key in ending.into_iter().chain(ready) {
            self.spawn(key);
        }
    }

    fn spawn(&mut self, key: (u64, Ref)) {
        let waiting = self.pending.get(&key).expect("BUG: only what is pending is begun");
        let (attempt, owner) = (waiting.attempts, waiting.owner.clone());
        let stop = CancellationToken::new();
        self.running.insert(key.1, Working { stop: stop.clone(), owner });
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

/// Who gets the free places: one of each owner after the other, each owner's in their order; who has less at work
/// comes first.
fn in_turn<'a, K: Ord>(
    ready: Vec<(&'a Arc<str>, K)>,
    working: impl Iterator<Item = &'a Arc<str>>,
    places: usize,
) -> Vec<K> {
    let mut held: HashMap<&Arc<str>, usize> = HashMap::new();
    working.for_each(|owner| *held.entry(owner).or_default() += 1);
    let mut ranked: Vec<(usize, K)> = Vec::with_capacity(ready.len());
    for (owner, key) in ready {
        let rank = held.entry(owner).or_default();
        ranked.push((*rank, key));
        *rank += 1;
    }
    ranked.sort_unstable();
    ranked.into_iter().take(places).map(|(_, key)| key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_go_to_owners_in_turn() {
        let [ann, bob, cat]: [Arc<str>; 3] = ["user/ann", "user/bob", "user/cat"].map(Arc::from);
        let ready = || vec![(&ann, 1), (&ann, 2), (&ann, 3), (&bob, 4), (&bob, 5), (&cat, 6)];
        assert_eq!(in_turn(ready(), std::iter::empty(), 9), [1, 4, 6, 2, 5, 3]);
        assert_eq!(in_turn(ready(), [&ann, &ann].into_iter(), 4), [4, 6, 5, 1], "who has work waits");
        assert_eq!(in_turn(ready(), std::iter::empty(), 0), [0; 0]);
    }
}
