//! The streams that are open: who listens, to what, and how far behind; and
//! why those ended that are not any more. For operators; a stream itself asks
//! nobody.

use super::dispatch::Caller;
use crate::value::{Micros, Value};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// All of them. Cheap to clone: all clones are one.
#[derive(Clone, Default)]
pub struct OpenStreams(Arc<Mutex<Listed>>);

#[derive(Default)]
struct Listed {
    next: u64,
    open: BTreeMap<u64, Arc<State>>,
    ended: BTreeMap<End, u64>,
}

/// Why a stream ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum End {
    /// The client went, or its connection broke.
    Client,
    /// The caller's session ended.
    Session,
    /// The caller's rights changed.
    Rights,
    /// The server stops.
    Stop,
    /// It lived as long as a stream may.
    Age,
    /// What comes next could not be read, or is not there any more.
    Failure,
}

impl End {
    pub const ALL: [End; 6] = [End::Client, End::Session, End::Rights, End::Stop, End::Age, End::Failure];

    pub fn name(self) -> &'static str {
        match self {
            End::Client => "client",
            End::Session => "session",
            End::Rights => "rights",
            End::Stop => "stop",
            End::Age => "age",
            End::Failure => "failure",
        }
    }
}

/// One stream as others see it.
pub struct State {
    pub principal: Arc<str>,
    pub address: Arc<str>,
    /// What it asked for, as it was asked.
    classes: Box<[String]>,
    began: Micros,
    position: AtomicU64,
    told: AtomicU64,
    last: AtomicI64,
}

impl OpenStreams {
    fn lock(&self) -> MutexGuard<'_, Listed> {
        self.0.lock().expect("BUG: nobody panics while holding this lock")
    }

    /// Lists a stream until the answer is dropped.
    pub fn begin(&self, caller: &Caller, classes: &[String], position: u64, now: Micros) -> OpenStream {
        let state = Arc::new(State {
            principal: caller.principal.name.clone(),
            address: caller.peer.address.clone(),
            classes: classes.into(),
            began: now,
            position: AtomicU64::new(position),
            told: AtomicU64::new(0),
            last: AtomicI64::new(0),
        });
        let mut listed = self.lock();
        listed.next += 1;
        let number = listed.next;
        listed.open.insert(number, state.clone());
        drop(listed);
        OpenStream { streams: self.clone(), number, state, end: End::Client }
    }

    /// How many ended for that reason.
    pub fn ended(&self, why: End) -> u64 {
        self.lock().ended.get(&why).copied().unwrap_or_default()
    }

    /// Those that are open now, oldest first.
    pub fn all(&self) -> Vec<Arc<State>> {
        self.lock().open.values().cloned().collect()
    }
}

impl State {
    /// Positions between where the stream has come to and the head of the log. A stream that nothing was for looks
    /// with its heartbeat.
    pub fn lag(&self, head: u64) -> u64 {
        head.saturating_sub(self.position.load(Ordering::Relaxed))
    }

    /// As a record.
    pub fn told(&self, head: u64) -> Value {
        let classes = self.classes.iter().map(|text| Value::text(text));
        Value::map([
            ("principal", Value::String(self.principal.clone())),
            ("address", Value::String(self.address.clone())),
            ("classes", Value::set(classes)),
            ("began", Value::Time(self.began)),
            ("lag", Value::Int(self.lag(head) as i64)),
            ("events", Value::Int(self.told.load(Ordering::Relaxed) as i64)),
            ("last_delivery", Value::Time(self.last.load(Ordering::Relaxed))),
        ])
    }
}

/// A stream's own end.
pub struct OpenStream {
    streams: OpenStreams,
    number: u64,
    state: Arc<State>,
    end: End,
}

impl OpenStream {
    /// The stream ends by itself; one that is dropped without was left by its client.
    pub fn ends(&mut self, why: End) {
        self.end = why;
    }

    /// The stream has come to a position, and gave out so many events on the way.
    pub fn reached(&self, position: u64, events: usize, now: Micros) {
        self.state.position.store(position, Ordering::Relaxed);
        if events > 0 {
            self.state.told.fetch_add(events as u64, Ordering::Relaxed);
            self.state.last.store(now, Ordering::Relaxed);
        }
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let mut listed = self.streams.lock();
        listed.open.remove(&self.number);
        *listed.ended.entry(self.end).or_default() += 1;
    }
}
