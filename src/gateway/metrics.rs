//! `/metrics`: what an operator's monitoring asks for, in OpenMetrics text.
//! Counters are counted as calls are served; everything else is read from the
//! published view when asked. What there may be many of is told one by one for
//! those that are furthest behind, and in sum for all.

use super::Gateway;
use super::open::{End, OpenStreams};
use super::places::Places;
use crate::model::subscription;
use crate::views::{Object, View};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Subscriptions, and principals with streams, that are told one by one: monitoring keeps every series for ever.
const SERIES_MAX: usize = 100;

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
    /// Calls that wait for something to happen.
    pub waiting: Places,
    /// Event streams.
    pub streams: Places,
    /// The same, one by one.
    pub open: OpenStreams,
}

impl Counts {
    /// Counts one call that was answered.
    pub fn answered(&self, succeeded: bool) {
        let outcome = if succeeded { "success" } else { "failure" };
        self.calls.get_or_create(&Outcome { outcome }).inc();
    }
}

/// The page.
pub fn render(gateway: &Gateway) -> String {
    let view = gateway.ledger.view();
    let counts = &gateway.counts;
    let mut registry = Registry::with_prefix("xenledger");
    registry.register("calls", "Calls answered", counts.calls.clone());
    gauge(&mut registry, "waiting_calls", "Calls that wait for something to happen", counts.waiting.taken() as i64);
    gauge(&mut registry, "streams", "Event streams that are open", counts.streams.taken() as i64);
    streams(&counts.open, &view, &mut registry);
    subscriptions(&view, &mut registry);
    gauge(&mut registry, "log_position", "The newest published position of the log", view.position as i64);
    let writable = i64::from(gateway.ledger.trouble().is_none());
    gauge(
        &mut registry,
        "log_writable",
        "Whether the log can be written: 0 while changes are refused for it",
        writable,
    );
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

fn gauge(registry: &mut Registry, name: &str, help: &str, value: i64) {
    let gauge = Gauge::<i64>::default();
    gauge.set(value);
    registry.register(name, help, gauge);
}

#[derive(Clone, Hash, PartialEq, Eq, EncodeLabelSet, Debug)]
struct Reason {
    reason: &'static str,
}

#[derive(Clone, Hash, PartialEq, Eq, EncodeLabelSet, Debug)]
struct Listener {
    principal: String,
}

/// How far the streams of each principal are behind, for the principals that are furthest; and why streams ended.
fn streams(open: &OpenStreams, view: &View, registry: &mut Registry) {
    let mut behind: BTreeMap<Arc<str>, u64> = BTreeMap::new();
    for stream in open.all() {
        let most = behind.entry(stream.principal.clone()).or_default();
        *most = stream.lag(view.position).max(*most);
    }
    let mut furthest: Vec<(u64, Arc<str>)> = behind.into_iter().map(|(principal, lag)| (lag, principal)).collect();
    furthest.sort_by(|a, b| b.cmp(a));
    let lag = Family::<Listener, Gauge>::default();
    for (behind, principal) in furthest.into_iter().take(SERIES_MAX) {
        lag.get_or_create(&Listener { principal: principal.to_string() }).set(behind as i64);
    }
    let help = "Positions between a principal's slowest stream and the head of the log";
    registry.register("stream_lag", help, lag);
    let ended = Family::<Reason, Counter>::default();
    for why in End::ALL {
        ended.get_or_create(&Reason { reason: why.name() }).inc_by(open.ended(why));
    }
    registry.register("streams_ended", "Event streams that ended, by the reason", ended);
}

#[derive(Clone, Hash, PartialEq, Eq, EncodeLabelSet, Debug)]
struct Subscribed {
    subscription: String,
    owner: String,
    state: &'static str,
}

#[derive(Clone, Hash, PartialEq, Eq, EncodeLabelSet, Debug)]
struct State {
    state: &'static str,
}

/// How many subscriptions there are; and of those that fail or are furthest behind, how far and how they fare.
fn subscriptions(view: &View, registry: &mut Registry) {
    let lag_of = |held: &Object| view.position.saturating_sub(held.get(subscription::acknowledged) as u64);
    let states = Family::<State, Gauge>::default();
    for state in ["active", "paused", "failed"] {
        states.get_or_create(&State { state }).set(0);
    }
    let mut all: Vec<&Arc<Object>> = view.all::<subscription>().collect();
    for held in &all {
        states.get_or_create(&State { state: held.get(subscription::state) }).inc();
    }
    registry.register("subscriptions", "Subscriptions in each state", states);
    let furthest = all.iter().map(|held| lag_of(held)).max().unwrap_or(0);
    gauge(registry, "subscription_lag_max", "How far the furthest subscription is behind", furthest as i64);
    all.sort_by_cached_key(|held| {
        std::cmp::Reverse((held.get(subscription::failures) > 0, lag_of(held), held.reference))
    });
    let (lag, failures, last) = (Family::default(), Family::default(), Family::default());
    for held in all.into_iter().take(SERIES_MAX) {
        let labels = Subscribed {
            subscription: held.get(subscription::uuid).to_string(),
            owner: held.get(subscription::owner).to_string(),
            state: held.get(subscription::state),
        };
        let set = |family: &Family<Subscribed, Gauge>, value: i64| {
            family.get_or_create(&labels).set(value);
        };
        set(&lag, lag_of(held) as i64);
        set(&failures, held.get(subscription::failures));
        set(&last, held.get(subscription::last_delivery) / 1_000_000);
    }
    registry.register("subscription_lag", "Positions between what was acknowledged and the head of the log", lag);
    registry.register("subscription_failures", "Deliveries that failed since the last that did not", failures);
    registry.register("subscription_last_delivery_seconds", "When a delivery was last accepted, in Unix time", last);
}
