//! Refused calls and failed logins on their way into the log: how many of each
//! caller are written, and what is told of the rest.

use crate::event::{Body, Kind};
use crate::value::Micros;
use std::collections::HashMap;
use std::sync::Arc;

/// Refusals of one principal and address written in one second; more are counted.
const PER_SECOND: u32 = 10;
/// Callers whose surplus is counted at the same time.
const COUNTED_MAX: usize = 1024;

/// A refused call or a failed login, for the log.
#[derive(Clone)]
pub struct Refusal {
    pub kind: Kind,
    pub principal: Arc<str>,
    pub message: Arc<str>,
    pub request: Arc<str>,
    pub body: Body,
}

/// Principal and address.
type Caller = (Arc<str>, Arc<str>);

/// How many refusals each caller had this second.
#[derive(Default)]
pub struct RefusalRate {
    second: i64,
    seen: HashMap<Caller, u32>,
    /// Refusals not written, to be told with the next one that is.
    unwritten: HashMap<Caller, u64>,
}

impl RefusalRate {
    /// Whether a refusal is written; with how many before it were not.
    pub fn admit(&mut self, refusal: &Refusal, now: Micros) -> Option<u64> {
        if now / 1_000_000 != self.second {
            self.second = now / 1_000_000;
            self.seen.clear();
        }
        let key = (refusal.principal.clone(), refusal.body.address.clone());
        let seen = self.seen.entry(key.clone()).or_default();
        *seen += 1;
        if *seen > PER_SECOND {
            if self.unwritten.len() < COUNTED_MAX {
                *self.unwritten.entry(key).or_default() += 1;
            }
            return None;
        }
        Some(self.unwritten.remove(&key).unwrap_or(0))
    }
}
