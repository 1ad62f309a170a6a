//! `/metrics`: what an operator's monitoring asks for, in OpenMetrics text.
//! Counters are counted as calls are served; everything else is read from the
//! published view when asked.

use super::Gateway;
use crate::error::{ApiError, codes};
use crate::model::subscription;
use crate::value::Value;
use crate::views::View;
use crate::views::read::{ReadView, Scope};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// Calls and streams of one principal that may wait at the same time.
pub const BLOCKED_MAX: usize = 20_000;

#[derive(Clone, Hash, PartialEq, Eq, EncodeLabelSet, Debug)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Hash, PartialEq, Eq, EncodeLabelSet, Debug)]
struct Class {
    class: &'static str,
}

/// What is counted while serving.
#[derive(Clone, Default)]
pub struct Counts {
    calls: Family<Outcome, Counter>,
    waiting: Gauge,
    streams: Gauge,
    blocked: Arc<Mutex<HashMap<Arc<str>, usize>>>,
}

impl Counts {
    /// Counts one call that was answered.
    pub fn answered(&self, succeeded: bool) {
        let outcome = if succeeded { "success" } else { "failure" };
        self.calls.get_or_create(&Outcome { outcome }).inc();
    }

    /// Counts one that waits among its principal's, for as long as the answer lives.
    pub fn blocked(&self, principal: &Arc<str>) -> Result<Blocked, ApiError> {
        let mut blocked = self.blocked.lock().expect("BUG: nobody panics while holding this lock");
        let count = blocked.entry(principal.clone()).or_default();
        if *count >= BLOCKED_MAX {
            return Err(codes::OPERATION_NOT_ALLOWED(format!("{BLOCKED_MAX} calls of {principal} wait already")));
        }
        *count += 1;
        Ok(Blocked { principal: principal.clone(), blocked: self.blocked.clone(), _waiting: self.waiting() })
    }

    /// Counts a stream, for as long as the answer lives.
    pub fn stream(&self) -> Waiting {
        self.streams.inc();
        Waiting(self.streams.clone())
    }

    /// Counts a call that waits, for as long as the answer lives.
    pub fn waiting(&self) -> Waiting {
        self.waiting.inc();
        Waiting(self.waiting.clone())
    }
}

/// A call or stream of a principal that waits.
pub struct Blocked {
    principal: Arc<str>,
    blocked: Arc<Mutex<HashMap<Arc<str>, usize>>>,
    _waiting: Waiting,
}

impl Drop for Blocked {
    fn drop(&mut self) {
        let mut blocked = self.blocked.lock().expect("BUG: nobody panics while holding this lock");
        if let Some(count) = blocked.get_mut(&self.principal) {
            *count -= 1;
            if *count == 0 {
                blocked.remove(&self.principal);
            }
        }
    }
}

/// A call that waits.
pub struct Waiting(Gauge);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The page.
pub fn render(gateway: &Gateway) -> String {
    let view = gateway.ledger.view();
    let mut registry = Registry::with_prefix("xenledger");
    registry.register("calls", "Calls answered", gateway.counts.calls.clone());
    registry.register("waiting_calls", "Calls that wait for something to happen", gateway.counts.waiting.clone());
    registry.register("streams", "Event streams that are open", gateway.counts.streams.clone());
    subscriptions(&view, &mut registry);
    let position = Gauge::<i64>::default();
    position.set(view.position as i64);
    registry.register("log_position", "The newest published position of the log", position);
    let writable = Gauge::<i64>::default();
    writable.set(i64::from(gateway.ledger.trouble().is_none()));
    registry.register("log_writable", "Whether the log can be written: 0 while changes are refused for it", writable);
    let objects = Family::<Class, Gauge>::default();
    for (class, count) in view.counts() {
        objects.get_or_create(&Class { class: class.name() }).set(count as i64);
    }
    registry.register("objects", "Objects of each class", objects);
    let mut page = String::new();
    if let Err(error) = prometheus_client::encoding::text::encode(&mut page, &registry) {
        tracing::error!(%error, "the metrics could not be written");
    }
    page
}

#[derive(Clone, Hash, PartialEq, Eq, EncodeLabelSet, Debug)]
struct Subscribed {
    subscription: String,
    owner: String,
    state: &'static str,
}

/// How far each subscription is behind, and how it fares.
fn subscriptions(view: &View, registry: &mut Registry) {
    let (lag, failures, last) = (Family::default(), Family::default(), Family::default());
    let read = ReadView::new(view, &Scope::All);
    for held in view.all::<subscription>() {
        let labels = Subscribed {
            subscription: held.get(subscription::uuid).to_string(),
            owner: held.get(subscription::owner).to_string(),
            state: held.get(subscription::state),
        };
        let set = |family: &Family<Subscribed, Gauge>, value: i64| {
            family.get_or_create(&labels).set(value);
        };
        if let Value::Int(behind) = read.field(crate::model::ClassId::subscription, subscription::lag.index, held) {
            set(&lag, behind);
        }
        set(&failures, held.get(subscription::failures));
        set(&last, held.get(subscription::last_delivery) / 1_000_000);
    }
    registry.register("subscription_lag", "Positions between what was acknowledged and the head of the log", lag);
    registry.register("subscription_failures", "Deliveries that failed since the last that did not", failures);
    registry.register("subscription_last_delivery_seconds", "When a delivery was last accepted, in Unix time", last);
}
