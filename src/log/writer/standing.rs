//! How the writer stands to its log and to the clock: since when it cannot be
//! written and why, what was refused meanwhile, and what people are told of it
//! once it can.
//!
//! ```text
//!   good ──failed──▶ failing ──written──▶ over, untold ──told──▶ good
//!                       ▲ └──tried again every RETRY_EVERY   │
//!                       └────────────────failed──────────────┘
//! ```
//!
//! The message that tells of a failure is also what tries whether it is over:
//! it is the first row of whatever is written next.

use crate::command::{Command, Draft, Own, Principal, message};
use crate::event::Kind;
use crate::model::{host, pool};
use crate::value::{Micros, Value, format_time};
use crate::world::World;
use arc_swap::ArcSwapOption;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long after a failure the log is tried again, should no client do so before.
pub const RETRY_EVERY: Duration = Duration::from_millis(if cfg!(test) { 5 } else { 500 });
/// At most so often people are told of failures, and of a clock; what comes and goes is told of together.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// How far the clock may be behind the log before it is worth telling, in microseconds: more than its being set by NTP.
pub const CLOCK_BEHIND_MAX: Micros = 2_000_000;

/// The event that tells people of something in a `message`.
const TOLD: &str = "log.told";
/// Name and priority of the message about changes that were refused: the service was degraded.
const FAILED: (&str, i64) = ("LOG_WRITE_FAILED", 3);
/// The same about a clock that went back, as XenServer calls it.
const CLOCK: (&str, i64) = ("HOST_CLOCK_WENT_BACKWARDS", 3);

/// What keeps the log from being written.
#[derive(Clone, Debug, PartialEq)]
pub struct Trouble {
    pub since: Micros,
    pub cause: String,
}

/// See the module.
pub struct Standing {
    world: World,
    server: Arc<Principal>,
    /// What health checks read; nothing while the log can be written.
    shown: Arc<ArcSwapOption<Trouble>>,
    outage: Option<Outage>,
    outages: Pace,
    clock: Pace,
    /// The clock is behind and people know it.
    clock_told: bool,
}

struct Outage {
    trouble: Trouble,
    /// Commands that were refused for it.
    refused: u64,
    /// When the log could be written again.
    until: Option<Micros>,
    retry_at: Instant,
}

/// When people were last told of one kind of trouble.
#[derive(Default)]
struct Pace(Option<Instant>);

impl Pace {
    fn due_at(&self) -> Option<Instant> {
        self.0.map(|last| last + TELL_EVERY)
    }

    fn is_due(&self) -> bool {
        self.due_at().is_none_or(|at| at <= Instant::now())
    }
}

impl Standing {
    pub fn new(world: World) -> Standing {
        Standing {
            world,
            server: Principal::server("server"),
            shown: Arc::default(),
            outage: None,
            outages: Pace::default(),
            clock: Pace::default(),
            clock_told: false,
        }
    }

    /// What health checks read.
    pub fn shown(&self) -> Arc<ArcSwapOption<Trouble>> {
        self.shown.clone()
    }

    pub fn is_failing(&self) -> bool {
        self.outage.as_ref().is_some_and(|outage| outage.until.is_none())
    }

    /// Commands were refused because the log could not be written.
    pub fn failed(&mut self, cause: &str, refused: usize) {
        let began = !self.is_failing();
        let outage = self.outage.get_or_insert_with(|| Outage {
            trouble: Trouble { since: self.world.now(), cause: String::new() },
            refused: 0,
            until: None,
            retry_at: Instant::now(),
        });
        outage.refused += refused as u64;
        outage.until = None;
        outage.retry_at = Instant::now() + RETRY_EVERY;
        if began || outage.trouble.cause != cause {
            tracing::error!(cause, "the log cannot be written; changes are refused until it can");
            outage.trouble.cause = cause.to_string();
            self.shown.store(Some(Arc::new(outage.trouble.clone())));
        }
    }

    /// Commands were refused without trying.
    pub fn refused(&mut self, count: usize) {
        if let Some(outage) = &mut self.outage {
            outage.refused += count as u64;
        }
    }

    /// The log was written. `told`: what was to be told of before is in it.
    pub fn written(&mut self, told: &Told) {
        let Some(outage) = &mut self.outage else { return self.clock_written(told) };
        if outage.until.is_none() {
            tracing::info!(refused = outage.refused, "the log is written again");
            outage.until = Some(self.world.now());
            self.shown.store(None);
        }
        if told.outage {
            self.outage = None;
            self.outages = Pace(Some(Instant::now()));
        }
        self.clock_written(told);
    }

    fn clock_written(&mut self, told: &Told) {
        if told.clock {
            self.clock = Pace(Some(Instant::now()));
            self.clock_told = true;
        }
    }

    /// When the log is to be tried again, or people are to be told.
    pub fn due_at(&self) -> Option<Instant> {
        let outage = self.outage.as_ref()?;
        Some(self.outages.due_at().map_or(outage.retry_at, |due| due.max(outage.retry_at)))
    }

    /// What people are to be told of now, at the log's time `newest`: it goes before all else.
    pub fn stories(&mut self, newest: Micros) -> (Vec<Command>, Told) {
        let (mut commands, mut told) = (Vec::new(), Told::default());
        if let Some(outage) = &mut self.outage {
            outage.retry_at = Instant::now() + RETRY_EVERY;
            if self.outages.is_due() {
                told.outage = true;
                let until = outage.until.unwrap_or_else(|| self.world.now());
                let Trouble { since, cause } = &outage.trouble;
                let body = format!(
                    "From {} to {} the log could not be written, and {} changes were refused: {cause}",
                    format_time(*since),
                    format_time(until),
                    outage.refused
                );
                commands.push(self.command(FAILED, "Pool", body));
            }
        }
        let now = self.world.now();
        self.clock_told &= now < newest;
        if newest - now > CLOCK_BEHIND_MAX && !self.clock_told && self.clock.is_due() {
            told.clock = true;
            let body = format!(
                "The clock says {}, the newest event happened at {}; until it is later than that, events have that time",
                format_time(now),
                format_time(newest)
            );
            commands.push(self.command(CLOCK, "Host", body));
        }
        (commands, told)
    }

    fn command(&self, (name, priority): (&'static str, i64), about: &'static str, body: String) -> Command {
        let decide: Own = Box::new(move |draft: &mut Draft<'_>| {
            let uuid = match about {
                "Host" => draft.view().all::<host>().next().map(|host| host.get(host::uuid)),
                _ => draft.view().all::<pool>().next().map(|pool| pool.get(pool::uuid)),
            };
            let uuid = uuid.map(|uuid| uuid.to_string()).unwrap_or_default();
            Ok(Value::Ref(message::raise(draft, name, priority, about, &uuid, &body)))
        });
        Command::own(&self.server, &self.world, Kind::Change, TOLD, decide)
    }
}

/// What a batch tells people of.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
pub struct Told {
    outage: bool,
    clock: bool,
}
