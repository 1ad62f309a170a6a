//! The writer: the one task that decides, appends, folds and publishes.
//!
//! Waiting commands are taken from the lanes of their principals in turn
//! ([`lanes`]), decided one after the other on a working view, written
//! in one append, then published and answered; nobody hears of a change, nor
//! is refused because of one, before it is durable. What causes no sync of its
//! own (refusals, failed logins, progress) rides with the next batch, at the
//! latest after [`RIDE_AT_MOST`].
//!
//! ```text
//!   idle ──command──▶ decide+fold ──▶ append ─┬─ Done ───────▶ publish, answer ──▶ idle
//!     ▲ └──ride time──▶                        ├─ NotWritten ─▶ answer the failure ─▶ idle
//!     │                                        ├─ Unknown ────▶ read the head: one of the others
//!     └────────────────────────────────────────└─ Conflict ───▶ step down: answer failures for ever
//! ```
//!
//! Must never wait for a reader, hash a password, or talk to the hypervisor.

use super::{Appended, Head, Port, Row, VaultChanges};
use crate::command::{self, Command, Decision};
use crate::error::{ApiError, codes};
use crate::event::{Body, Event, Kind};
use crate::value::{Micros, Ref, Value};
use crate::views::{Effect, View, fold};
use crate::world::World;
use arc_swap::ArcSwap;
use lanes::{Entrance, Exit, Refused, lanes};
use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;

/// Commands decided in one append at most.
const BATCH_MAX: usize = 256;
/// How long a row that causes no sync may wait for company.
const RIDE_AT_MOST: Duration = Duration::from_millis(200);
/// Rows that may wait for company; more are counted, not kept.
const RIDERS_MAX: usize = 1024;
/// Refusals of one principal and address written in one second; more are counted.
const REFUSALS_PER_SECOND: u32 = 10;
/// Answers remembered for retried calls.
const ANSWERS_MAX: usize = 16_384;

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

/// A batch that has become durable, for those who tell others.
pub struct Published {
    /// The view before its first event.
    pub before: Arc<View>,
    pub view: Arc<View>,
    pub events: Vec<(Arc<Event>, Vec<Effect>)>,
}

/// Called after the answers have left, once a batch, in order.
pub type Publish = Box<dyn FnMut(Arc<Published>) + Send>;

struct Submission {
    command: Command,
    answer: Option<oneshot::Sender<Answer>>,
    /// May wait for company.
    rides: bool,
}

/// A refused call or a failed login, for the log.
pub struct Refusal {
    pub kind: Kind,
    pub principal: Arc<str>,
    pub message: Arc<str>,
    pub request: Arc<str>,
    pub body: Body,
}

enum Job {
    Command(Submission),
    Refusal(Refusal),
}

/// How the rest of the program sends commands and reads the published view. Cheap to clone.
#[derive(Clone)]
pub struct Ledger {
    jobs: Entrance<Job>,
    /// The lane of all refusals, whosever they are: somebody else's wrong passwords must not fill one's own.
    refusals: Arc<str>,
    view: Arc<ArcSwap<View>>,
    world: World,
    /// False while the log cannot be written.
    writable: Arc<AtomicBool>,
}

impl Ledger {
    /// Whether the last append succeeded: what a health check asks.
    pub fn writable(&self) -> bool {
        self.writable.load(Ordering::Relaxed)
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
        match self.send(Submission { command, answer: Some(answer), rides: false }) {
            Ok(()) => answered.await.unwrap_or_else(|_| Err(stopped())),
            Err(Refused::Full) => Err(codes::TOO_MANY_PENDING_TASKS()),
            Err(Refused::Closed) => Err(stopped()),
        }
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

    fn send(&self, submission: Submission) -> Result<(), Refused> {
        let principal = submission.command.principal.name.clone();
        self.jobs.send(&principal, Job::Command(submission))
    }
}

fn stopped() -> ApiError {
    unwritten("the writer has stopped")
}

fn unwritten(why: &str) -> ApiError {
    codes::INTERNAL_ERROR(format!("the change was not made: {why}"))
}

/// See the module.
pub struct Writer<P> {
    port: P,
    term: u64,
    /// The published view; the working one during a batch is a copy.
    current: Arc<View>,
    view: Arc<ArcSwap<View>>,
    world: World,
    jobs: Exit<Job>,
    publish: Publish,
    riders: VecDeque<Refusal>,
    rate: RefusalRate,
    answers: Answers,
    stepped_down: bool,
    writable: Arc<AtomicBool>,
}

/// One batch while it is made.
struct Batch {
    working: View,
    rows: Vec<Row>,
    vault: VaultChanges,
    events: Vec<(Arc<Event>, Vec<Effect>)>,
    answers: Vec<(oneshot::Sender<Answer>, Answer)>,
    /// First answers of this batch by principal and request id.
    remembered: Vec<(AnswerKey, Answer)>,
}

impl<P: Port> Writer<P> {
    /// A writer that goes on where `view` ends. `port` has been opened and gave `term`.
    pub fn new(port: P, term: u64, view: View, world: World, publish: Publish) -> (Writer<P>, Ledger) {
        let (entrance, jobs) = lanes();
        let current = Arc::new(view);
        let view = Arc::new(ArcSwap::new(current.clone()));
        let writable = Arc::new(AtomicBool::new(true));
        let ledger = Ledger {
            jobs: entrance,
            refusals: Arc::default(),
            view: view.clone(),
            world: world.clone(),
            writable: writable.clone(),
        };
        let writer = Writer {
            port,
            term,
            current,
            view,
            world,
            jobs,
            publish,
            riders: VecDeque::new(),
            rate: RefusalRate::default(),
            answers: Answers::default(),
            stepped_down: false,
            writable,
        };
        (writer, ledger)
    }

    /// Works until it is closed, or every [`Ledger`] is gone; what was queued by then is written.
    pub async fn run(mut self) {
        let mut riding: Vec<Submission> = Vec::new();
        let mut ride_until: Option<tokio::time::Instant> = None;
        loop {
            let until = ride_until.unwrap_or_else(|| tokio::time::Instant::now() + Duration::from_secs(3600));
            let came = tokio::select! {
                () = self.jobs.ready() => true,
                () = tokio::time::sleep_until(until), if ride_until.is_some() => false,
            };
            let mut now = Vec::new();
            for job in if came { self.gather().await } else { Vec::new() } {
                match job {
                    Job::Command(submission) if submission.rides => riding.push(submission),
                    Job::Command(submission) => now.push(submission),
                    Job::Refusal(refusal) => self.ride(refusal),
                }
            }
            let closed = self.jobs.is_closed() && self.jobs.waiting() == 0;
            let due = !came || closed || riding.len() >= BATCH_MAX;
            if !now.is_empty() || due {
                // Riders came first: progress must not overtake the end of its task.
                now.splice(0..0, riding.drain(..));
                self.batch(now, due).await;
                if self.riders.is_empty() {
                    ride_until = None;
                }
            }
            if ride_until.is_none() && !(riding.is_empty() && self.riders.is_empty()) {
                ride_until = Some(tokio::time::Instant::now() + RIDE_AT_MOST);
            }
            if closed {
                return;
            }
        }
    }

    /// What is decided on next. Lets callers that are ready to send do so: each one that joins saves a sync. Nobody
    /// waits for time to pass.
    async fn gather(&mut self) -> Vec<Job> {
        const TURNS: usize = 3;
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
            if self.jobs.waiting() >= BATCH_MAX {
                break;
            }
        }
        self.jobs.take(BATCH_MAX)
    }

    /// Decides on some commands and makes them durable. Refusals go along; by themselves only when they are due.
    async fn batch(&mut self, submissions: Vec<Submission>, due: bool) {
        let mut batch = Batch {
            working: View::clone(&self.current),
            rows: Vec::with_capacity(submissions.len()),
            vault: VaultChanges::default(),
            events: Vec::with_capacity(submissions.len()),
            answers: Vec::with_capacity(submissions.len()),
            remembered: Vec::new(),
        };
        for submission in submissions {
            let answer = self.decide(&mut batch, submission.command);
            if let Some(sender) = submission.answer {
                batch.answers.push((sender, answer));
            }
        }
        if due || !batch.rows.is_empty() {
            while let Some(refusal) = self.riders.pop_front() {
                self.write_refusal(&mut batch, refusal);
            }
        }
        if self.stepped_down {
            return answer_all(batch, Some(unwritten("another writer has taken the log")));
        }
        if batch.rows.is_empty() {
            return answer_all(batch, None);
        }
        let rows = std::mem::take(&mut batch.rows);
        let vault = std::mem::take(&mut batch.vault);
        let appended = self.append(rows, vault).await;
        self.writable.store(appended.is_ok(), Ordering::Relaxed);
        match appended {
            Ok(()) => self.publish(batch),
            Err(error) => answer_all(batch, Some(error)),
        }
    }

    /// Decides on one command on the batch's working view; the answer waits for the commit.
    fn decide(&mut self, batch: &mut Batch, command: Command) -> Answer {
        let key = (!command.request.is_empty()).then(|| (command.principal.name.clone(), command.request.clone()));
        if let Some(key) = &key
            && let Some(answer) = self.answers.get(key).or_else(|| batch.remembered(key))
        {
            return answer;
        }
        let about = About::of(&command);
        let decided = catch_unwind(AssertUnwindSafe(|| command::decide(&batch.working, command)));
        let answer = match decided {
            Ok(Ok(decision)) => Ok(self.accept(batch, about, decision)),
            Ok(Err(error)) => {
                self.refuse(about, &error);
                Err(error)
            }
            Err(panic) => {
                let cause = panic_text(&*panic);
                tracing::error!(message = %about.message, cause, "a decision panicked; nothing was changed");
                Err(codes::INTERNAL_ERROR("a broken invariant; the server's log has the cause"))
            }
        };
        if let Some(key) = key {
            batch.remembered.push((key, answer.clone()));
        }
        answer
    }

    fn accept(&mut self, batch: &mut Batch, about: About, decision: Decision) -> Accepted {
        let Decision { kind, message, body, vault, result, pending } = decision;
        if let Some(body) = body {
            batch.vault.put.extend(vault.put);
            batch.vault.erase.extend(vault.erase);
            self.push(batch, kind, about.principal, message, about.request, about.cause, about.now, body);
        }
        Accepted { result, position: batch.working.position, pending }
    }

    #[allow(clippy::too_many_arguments)] // the columns of a row
    fn push(
        &self,
        batch: &mut Batch,
        kind: Kind,
        principal: Arc<str>,
        message: Arc<str>,
        request: Arc<str>,
        cause: u64,
        now: Micros,
        body: Body,
    ) {
        let event = Event {
            kind,
            lineage: batch.working.lineage,
            term: self.term,
            position: batch.working.position + 1,
            time: now.max(batch.working.time),
            principal,
            message,
            request,
            cause,
            body,
        };
        let row = Row::of(&event, &batch.working.hash);
        let effects = fold(&mut batch.working, &event);
        batch.working.hash = row.hash;
        batch.rows.push(row);
        batch.events.push((Arc::new(event), effects));
    }

    fn refuse(&mut self, about: About, error: &ApiError) {
        let info = std::iter::once(error.code.to_string()).chain(error.params.iter().cloned());
        let args = about.call.as_ref().map(command::logged_briefly).unwrap_or_default();
        let body = Body { address: about.address, auth: about.auth, args, error: info.collect(), ..Body::default() };
        self.ride(Refusal {
            kind: Kind::Refused,
            principal: about.principal,
            message: about.message,
            request: about.request,
            body,
        });
    }

    /// Keeps a refusal for the next batch, unless its sender had too many this second: then it is counted.
    fn ride(&mut self, mut refusal: Refusal) {
        match self.rate.admit(&refusal, self.world.now()) {
            Some(repeated) if self.riders.len() < RIDERS_MAX => {
                refusal.body.repeated = repeated;
                self.riders.push_back(refusal);
            }
            _ => {}
        }
    }

    fn write_refusal(&self, batch: &mut Batch, refusal: Refusal) {
        let Refusal { kind, principal, message, request, body } = refusal;
        self.push(batch, kind, principal, message, request, 0, self.world.now(), body);
    }

    async fn append(&mut self, rows: Vec<Row>, vault: VaultChanges) -> Result<(), ApiError> {
        let expected = self.current.position;
        let last = rows.last().map(|row| row.hash).unwrap_or(self.current.hash);
        match self.port.append(self.term, expected, rows, vault).await {
            Appended::Done => Ok(()),
            Appended::Conflict => Err(self.step_down()),
            Appended::NotWritten(error) => {
                tracing::error!(%error, "the log could not be written; nothing was changed");
                Err(unwritten("the log could not be written"))
            }
            Appended::Unknown(error) => {
                tracing::error!(%error, "a commit failed half-way; looking at what is there");
                self.settle(expected, last).await
            }
        }
    }

    /// After a commit whose end is not known: what is there now?
    async fn settle(&mut self, expected: u64, last: super::Hash) -> Result<(), ApiError> {
        const TRIES: u32 = 50;
        for _ in 0..TRIES {
            match self.port.head().await {
                Ok(Head { hash, .. }) if hash == last => return Ok(()),
                Ok(Head { position, .. }) if position == expected => {
                    return Err(unwritten("the log could not be written"));
                }
                Ok(_) => return Err(self.step_down()),
                Err(error) => {
                    tracing::error!(%error, "the log cannot be read; trying again");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        // The batch may or may not be there: going on would give positions twice.
        Err(self.step_down())
    }

    fn step_down(&mut self) -> ApiError {
        self.stepped_down = true;
        tracing::error!("another writer has the log; this one makes no more changes");
        unwritten("another writer has taken the log")
    }

    fn publish(&mut self, mut batch: Batch) {
        for (key, answer) in batch.remembered.drain(..) {
            self.answers.put(key, answer);
        }
        let before = std::mem::replace(&mut self.current, Arc::new(batch.working));
        self.view.store(self.current.clone());
        for (sender, answer) in batch.answers {
            drop(sender.send(answer)); // whoever hung up loses the answer, not the change
        }
        (self.publish)(Arc::new(Published { before, view: self.current.clone(), events: batch.events }));
    }
}

/// Answers a batch that wrote nothing; with `failure`, everybody gets that.
fn answer_all(batch: Batch, failure: Option<ApiError>) {
    for (sender, answer) in batch.answers {
        let answer = failure.clone().map(Err).unwrap_or(answer);
        drop(sender.send(answer));
    }
}

impl Batch {
    fn remembered(&self, key: &AnswerKey) -> Option<Answer> {
        self.remembered.iter().find(|(other, _)| other == key).map(|(_, answer)| answer.clone())
    }
}

/// What a row needs of its command, kept while the command is decided.
struct About {
    principal: Arc<str>,
    message: Arc<str>,
    request: Arc<str>,
    address: Arc<str>,
    auth: Arc<str>,
    cause: u64,
    now: Micros,
    /// For the log, if it is refused. Its values are shared, so keeping them costs little.
    call: Option<command::Call>,
}

impl About {
    fn of(command: &Command) -> About {
        let (message, call) = match &command.body {
            command::Intent::Call(call) => (call.message.full_name, Some(call.clone())),
            command::Intent::Own { message, .. } => (*message, None),
        };
        About {
            principal: command.principal.name.clone(),
            message: Arc::from(message),
            request: command.request.clone(),
            address: command.address.clone(),
            auth: command.auth.clone(),
            cause: command.cause,
            now: command.now,
            call,
        }
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("unknown")
}

type AnswerKey = (Arc<str>, Arc<str>);

/// The first answers to calls that carried a request id, so that a retry gets them again.
#[derive(Default)]
struct Answers {
    by_key: HashMap<AnswerKey, Answer>,
    order: VecDeque<AnswerKey>,
}

impl Answers {
    fn get(&self, key: &AnswerKey) -> Option<Answer> {
        self.by_key.get(key).cloned()
    }

    fn put(&mut self, key: AnswerKey, answer: Answer) {
        if self.by_key.insert(key.clone(), answer).is_none() {
            self.order.push_back(key);
        }
        if self.order.len() > ANSWERS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_key.remove(&oldest);
        }
    }
}

/// How many refusals each principal and address had this second.
#[derive(Default)]
struct RefusalRate {
    second: i64,
    seen: HashMap<AnswerKey, u32>,
    /// Refusals not written, to be told with the next one that is.
    unwritten: HashMap<AnswerKey, u64>,
}

impl RefusalRate {
    /// Whether a refusal is written; with how many before it were not.
    fn admit(&mut self, refusal: &Refusal, now: Micros) -> Option<u64> {
        if now / 1_000_000 != self.second {
            self.second = now / 1_000_000;
            self.seen.clear();
        }
        let key = (refusal.principal.clone(), refusal.body.address.clone());
        let seen = self.seen.entry(key.clone()).or_default();
        *seen += 1;
        if *seen > REFUSALS_PER_SECOND {
            if self.unwritten.len() < RIDERS_MAX {
                *self.unwritten.entry(key).or_default() += 1;
            }
            return None;
        }
        Some(self.unwritten.remove(&key).unwrap_or(0))
    }
}

pub mod lanes;
#[cfg(test)]
mod tests;
