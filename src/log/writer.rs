//! The writer: the one task that decides, appends, folds and publishes.
//!
//! Waiting commands are decided one after the other on a working view, written
//! in one append, then published and answered; nobody hears of a change, nor
//! is refused because of one, before it is durable. What causes no sync of its
//! own (refusals, failed logins, progress) rides with the next batch, at the
//! latest after [`RIDE_AT_MOST`].
//!
//! ```text
//!   idle ──command──▶ decide+fold ──▶ append ─┬─ Done ───────▶ publish, answer ───▶ idle
//!     ▲ └──ride time──▶                        ├─ NotWritten ─▶ answer the failure ─▶ idle, tried again by itself
//!     │                                        ├─ Unknown ────▶ in doubt: refuse, read the head ⟲ ─▶ one of the others
//!     └────────────────────────────────────────└─ Conflict ───▶ step down: answer failures for ever
//! ```
//!
//! [`standing`] has the story of a failure, and tells it once there is a log
//! to tell it in; [`turns`] says on which thread all this happens.
//!
//! Must never wait for a reader, hash a password, or talk to the hypervisor.

mod answers;
mod archiving;
pub mod lanes;
mod ledger;
mod refusals;
mod standing;
mod turns;
mod watch;

pub use ledger::{Accepted, Answer, Ledger};
pub use refusals::Refusal;
pub use standing::{CLOCK_BEHIND_MAX, Trouble};

use super::{Appended, Hash, Head, Port, Row, StorageError, VaultChanges};
use crate::command::{self, Command, Decision};
use crate::error::{ApiError, codes};
use crate::event::{Body, Event, Kind};
use crate::value::Micros;
use crate::views::{Effect, View, fold};
use crate::world::World;
use answers::{AnswerKey, Answers};
use arc_swap::ArcSwap;
use lanes::Exit;
use ledger::{Job, Submission};
use refusals::RefusalRate;
use standing::{RETRY_EVERY, Standing, Told};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Commands decided in one append at most.
const BATCH_MAX: usize = 256;
/// How long a row that causes no sync may wait for company.
const RIDE_AT_MOST: Duration = Duration::from_millis(200);
/// Rows that may wait for company; more are counted, not kept.
const RIDERS_MAX: usize = 1024;
/// How long the callers of a batch that may or may not be there wait for the truth before they are told that nobody
/// knows.
const DOUBT_AT_MOST: Duration = if cfg!(test) { Duration::from_millis(50) } else { Duration::from_secs(5) };

/// A batch that has become durable, for those who tell others.
pub struct Published {
    /// The view before its first event.
    pub before: Arc<View>,
    pub view: Arc<View>,
    pub events: Vec<(Arc<Event>, Vec<Effect>)>,
    /// The size of its rows' payloads.
    pub bytes: usize,
}

/// Called once a batch, in order, when its answers are on their way.
pub type Publish = Box<dyn FnMut(Arc<Published>) + Send>;

/// How the answer to a change begins that was not made because of the log, and to one of which that is not known.
const UNWRITTEN: &str = "the change was not made: ";
const UNKNOWN: &str = "it is not known whether the change was made: ";

fn unwritten(why: impl std::fmt::Display) -> ApiError {
    codes::INTERNAL_ERROR(format!("{UNWRITTEN}{why}"))
}

/// Why a writer that stepped down refuses.
const TAKEN: &str = "another writer has taken the log";
/// And one in doubt.
const UNREADABLE: &str = "the log can be neither written nor read";

fn unknown(why: impl std::fmt::Display) -> ApiError {
    codes::INTERNAL_ERROR(format!("{UNKNOWN}{why}"))
}

/// Whether a command failed because of the log, whatever it asked for.
pub fn is_of_the_log(error: &ApiError) -> bool {
    let why = error.params.first().filter(|_| error.code == "INTERNAL_ERROR");
    why.is_some_and(|why| why.starts_with(UNWRITTEN) || why.starts_with(UNKNOWN))
}

/// See the module.
pub struct Writer<P> {
    port: P,
    term: u64,
    /// The published view; the working one during a batch is a copy.
    current: Arc<View>,
    view: Arc<ArcSwap<View>>,
    world: World,
    jobs: Arc<Exit<Job>>,
    offer: turns::Offer,
    publish: Publish,
    riding: Vec<Submission>,
    riders: VecDeque<Refusal>,
    ride_until: Option<Instant>,
    rate: RefusalRate,
    answers: Answers,
    standing: Standing,
    doubt: Option<Doubt>,
    stepped_down: bool,
    /// How long this turn has waited for the disk.
    waited: Micros,
}

/// What a turn did.
struct Done {
    /// Nothing can come any more.
    closed: bool,
    commands: usize,
    /// How long it waited for the disk, in microseconds.
    waited: Micros,
}

/// One batch while it is made.
struct Batch {
    working: View,
    rows: Vec<Row>,
    vault: VaultChanges,
    events: Vec<(Arc<Event>, Vec<Effect>)>,
    /// The size of the rows' payloads.
    bytes: usize,
    answers: Vec<(oneshot::Sender<Answer>, Answer)>,
    /// First answers of this batch by principal and request id.
    remembered: Vec<(AnswerKey, Answer)>,
    /// Refusals that are rows of it: they ride with another if it fails.
    refusals: VecDeque<Refusal>,
    told: Told,
}

/// A batch that may or may not be in the log.
struct Doubt {
    batch: Batch,
    /// The head before it.
    expected: u64,
    /// The head with it.
    last: Hash,
    cause: StorageError,
    retry_at: Instant,
    answer_by: Instant,
}

impl<P: Port> Writer<P> {
    /// A writer that goes on where `view` ends. `port` has been opened and gave `term`.
    pub fn new(port: P, term: u64, view: View, world: World, publish: Publish) -> (Writer<P>, Ledger) {
        let current = Arc::new(view);
        let view = Arc::new(ArcSwap::new(current.clone()));
        let standing = Standing::new(world.clone());
        let offer = turns::Offer::default();
        let (ledger, jobs) = Ledger::new(view.clone(), world.clone(), standing.shown(), offer.clone());
        let writer = Writer {
            port,
            term,
            current,
            view,
            world,
            jobs: Arc::new(jobs),
            offer,
            publish,
            riding: Vec::new(),
            riders: VecDeque::new(),
            ride_until: None,
            rate: RefusalRate::default(),
            answers: Answers::default(),
            standing,
            doubt: None,
            stepped_down: false,
            waited: 0,
        };
        (writer, ledger)
    }

    /// Works on a thread of its own: it waits for the disk more than for anything else, and would have a thread of the
    /// runtime wait with it.
    pub fn start(self) -> JoinHandle<()> {
        let here = Handle::current();
        tokio::task::spawn_blocking(move || here.block_on(self.run()))
    }

    /// Works until it is closed, or every [`Ledger`] is gone; what was queued by then is written.
    pub async fn run(self) {
        turns::Turns::new(self).run().await;
    }

    /// Does what has been sent, and what is due. `came`: not only time has passed.
    async fn turn(&mut self, came: bool) -> Done {
        let (mut now, mut archiving) = (Vec::new(), Vec::new());
        for job in if came { self.jobs.take(BATCH_MAX) } else { Vec::new() } {
            match job {
                Job::Command(submission) if submission.rides => self.riding.push(submission),
                Job::Command(submission) => now.push(submission),
                Job::Refusal(refusal) => self.ride(refusal),
                Job::Archiving(wanted) => archiving.push(wanted),
            }
        }
        let closed = self.jobs.is_closed() && self.jobs.waiting() == 0;
        let due = !came || closed || self.riding.len() >= BATCH_MAX;
        let commands = now.len();
        self.work(now, due).await;
        for wanted in archiving {
            self.archive(wanted).await;
        }
        Done { closed, commands, waited: std::mem::take(&mut self.waited) }
    }

    /// When something is to be done even if nobody sends a command.
    fn due_at(&self) -> Option<Instant> {
        if self.stepped_down {
            return None;
        }
        match &self.doubt {
            Some(doubt) => Some(doubt.retry_at),
            None => [self.ride_until, self.standing.due_at()].into_iter().flatten().min(),
        }
    }

    /// Writes what is to be written now; refuses it while that cannot be.
    async fn work(&mut self, mut now: Vec<Submission>, due: bool) {
        if self.doubt.is_some() && due {
            self.settle().await;
        }
        if self.stepped_down || self.doubt.is_some() {
            now.append(&mut self.riding);
            return self.refuse_all(now);
        }
        if !now.is_empty() || due {
            // Riders came first: progress must not overtake the end of its task.
            now.splice(0..0, self.riding.drain(..));
            self.batch(now, due).await;
            if self.riders.is_empty() {
                self.ride_until = None;
            }
        }
        let waiting = !(self.riding.is_empty() && self.riders.is_empty());
        if self.standing.is_failing() {
            self.ride_until = None; // they ride with whatever is tried next
        } else if self.ride_until.is_none() && waiting {
            self.ride_until = Some(Instant::now() + RIDE_AT_MOST);
        }
    }

    /// Nobody waits for an answer that never comes.
    fn end(&mut self) {
        if let Some(doubt) = self.doubt.take() {
            answer_all(doubt.batch, Some(unknown("the server has stopped")));
        }
    }

    /// Decides on some commands and makes them durable. Refusals go along; by themselves only when they are due.
    async fn batch(&mut self, submissions: Vec<Submission>, due: bool) {
        let mut batch = Batch {
            working: View::clone(&self.current),
            rows: Vec::with_capacity(submissions.len()),
            vault: VaultChanges::default(),
            events: Vec::with_capacity(submissions.len()),
            bytes: 0,
            answers: Vec::with_capacity(submissions.len()),
            remembered: Vec::new(),
            refusals: VecDeque::new(),
            told: Told::default(),
        };
        let (stories, told) = self.standing.stories(self.current.time);
        batch.told = told;
        for command in stories {
            drop(self.decide(&mut batch, command));
        }
        for submission in submissions {
            let answer = self.decide(&mut batch, submission.command);
            if let Some(sender) = submission.answer {
                batch.answers.push((sender, answer));
            }
        }
        if due || !batch.rows.is_empty() {
            batch.refusals = std::mem::take(&mut self.riders);
            for refusal in batch.refusals.clone() {
                self.write_refusal(&mut batch, refusal);
            }
        }
        match batch.rows.is_empty() {
            true => answer_all(batch, None),
            false => self.append(batch).await,
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
        batch.bytes += row.payload.len();
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

    async fn append(&mut self, mut batch: Batch) {
        let rows = std::mem::take(&mut batch.rows);
        let vault = std::mem::take(&mut batch.vault);
        let (expected, began) = (self.current.position, self.world.now());
        let appended = self.port.append(self.term, expected, rows, vault).await;
        self.waited = self.world.now() - began;
        match appended {
            Appended::Done => self.written(batch),
            Appended::Conflict => self.step_down(batch),
            Appended::NotWritten(error) => self.not_written(batch, &error),
            Appended::Unknown(error) => {
                tracing::error!(%error, "a commit failed half-way; looking at what is there");
                let (last, now) = (batch.working.hash, Instant::now());
                let answer_by = now + DOUBT_AT_MOST;
                self.doubt = Some(Doubt { batch, expected, last, cause: error, retry_at: now, answer_by });
                self.settle().await;
            }
        }
    }

    /// After a commit whose end is not known: what is there now? As long as nobody can tell, nothing is written: going on
    /// would give positions twice.
    async fn settle(&mut self) {
        let Some(mut doubt) = self.doubt.take() else { return };
        match self.port.head().await {
            Ok(Head { hash, .. }) if hash == doubt.last => self.written(doubt.batch),
            Ok(Head { position, .. }) if position == doubt.expected => {
                self.not_written(doubt.batch, &doubt.cause);
            }
            Ok(_) => self.step_down(doubt.batch),
            Err(error) => {
                self.standing.failed(&error.0, 0);
                if doubt.answer_by <= Instant::now() {
                    self.standing.refused(doubt.batch.answers.len());
                    let why = unknown(format!("{UNREADABLE}: {}", doubt.cause));
                    doubt.batch.answers.drain(..).for_each(|(sender, _)| drop(sender.send(Err(why.clone()))));
                }
                doubt.retry_at = Instant::now() + RETRY_EVERY;
                self.doubt = Some(doubt);
            }
        }
    }

    fn written(&mut self, batch: Batch) {
        self.standing.written(&batch.told);
        self.publish(batch);
    }

    fn not_written(&mut self, mut batch: Batch, error: &StorageError) {
        self.standing.failed(&error.0, batch.answers.len());
        let later = std::mem::replace(&mut self.riders, std::mem::take(&mut batch.refusals));
        self.riders.extend(later);
        self.riders.truncate(RIDERS_MAX);
        answer_all(batch, Some(unwritten(format!("the log cannot be written: {error}"))));
    }

    fn step_down(&mut self, batch: Batch) {
        self.stepped_down = true;
        tracing::error!("another writer has the log; this one makes no more changes");
        self.standing.failed(TAKEN, batch.answers.len());
        answer_all(batch, Some(unwritten(TAKEN)));
    }

    /// Refuses what cannot be decided now.
    fn refuse_all(&mut self, submissions: Vec<Submission>) {
        let why = unwritten(if self.stepped_down { TAKEN } else { UNREADABLE });
        self.standing.refused(submissions.len());
        for sender in submissions.into_iter().filter_map(|submission| submission.answer) {
            drop(sender.send(Err(why.clone())));
        }
    }

    fn publish(&mut self, mut batch: Batch) {
        for (key, answer) in batch.remembered.drain(..) {
            self.answers.put(key, answer);
        }
        let before = std::mem::replace(&mut self.current, Arc::new(batch.working));
        self.view.store(self.current.clone());
        answer(batch.answers);
        let (view, events, bytes) = (self.current.clone(), batch.events, batch.bytes);
        (self.publish)(Arc::new(Published { before, view, events, bytes }));
    }
}

/// Gives answers. Many are given by a thread of the runtime, which has their callers on its hands: to hand each of them
/// over to it takes longer, and others wait for the writer.
fn answer(answers: Vec<(oneshot::Sender<Answer>, Answer)>) {
    // Whoever hung up loses the answer, not the change.
    let many = answers.len() > 1;
    let give = move || answers.into_iter().for_each(|(sender, answer)| drop(sender.send(answer)));
    match many {
        false => give(),
        true => drop(tokio::spawn(async move { give() })),
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

#[cfg(test)]
mod tests;
