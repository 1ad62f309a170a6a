//! `/metrics`: what an operator's monitoring asks for, in OpenMetrics text.
//! Counters are counted as calls are served; everything else is read from the
//! published view when asked.

use super::Gateway;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

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
}

impl Counts {
    /// Counts one call that was answered.
    pub fn answered(&self, succeeded: bool) {
        let outcome = if succeeded { "success" } else { "failure" };
        self.calls.get_or_create(&Outcome { outcome }).inc();
    }

    /// Counts a call that waits, for as long as the answer lives.
    pub fn waiting(&self) -> Waiting {
        self.waiting.inc();
        Waiting(self.waiting.clone())
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
    let position = Gauge::<i64>::default();
    position.set(view.position as i64);
    registry.register("log_position", "The newest published position of the log", position);
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
