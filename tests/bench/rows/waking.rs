//! How long a change takes to those who wait for it: one of them, beside the
//! way there and back over loopback; a thousand, beside core NATS.

use crate::fanout::Spread;
use crate::load::median;
use crate::pool::{Devices, Pool};
use crate::server::Process;
use crate::table::Ratio;
use crate::waiters::{Scene, Way};
use crate::{Bench, limits, peers};
use std::time::Duration;

const MANY: usize = 1_000;
/// Pairs of ends between which round trips are measured.
const PAIRS: usize = 9;
/// Before a round trip and before a wave, so that both find the machine as idle.
const PAUSE: Duration = Duration::from_millis(10);

pub async fn rows(bench: &mut Bench) {
    let server = Process::serve(&bench.data("waking"));
    let pool = Pool::fill(&server, Devices::None).await;
    let scene = Scene { server: &server, pool: &pool };
    for way in [Way::Poll, Way::Stream] {
        one(bench, &scene, way).await;
    }
    many(bench, &scene).await;
}

/// The commit is taken to be one round trip before its answer arrived, which is to our disadvantage. The limit is the round
/// trip in a loop, the middle one of [`PAIRS`] since it takes 4 or 44 µs by which processors the scheduler puts both ends on;
/// what one takes between the waves, when both ends were idle as the waiter was, is shown with it.
async fn one(bench: &mut Bench, scene: &Scene<'_>, way: Way) {
    let trip = median((0..PAIRS).map(|_| limits::Echo::open().round_trips()).collect());
    let mut echo = limits::Echo::open();
    let mut crowd = scene.crowd(way, 1).await;
    let (mut latencies, mut trips) = (Vec::new(), Vec::new());
    for nth in 0..bench.rounds(200) {
        tokio::time::sleep(PAUSE).await;
        trips.push(echo.round_trip());
        tokio::time::sleep(PAUSE).await;
        let (change, told) = scene.wave(&mut crowd, way, nth).await;
        latencies.extend(told.into_iter().map(|at| at.saturating_duration_since(change.answered) + trip));
    }
    let Spread { p50, p99 } = Spread::of(latencies);
    let beside = format!("loopback round trip {} in a loop, {} from idle", micros(trip), micros(median(trips)));
    for (part, time, floor, aim) in [("p50", p50, 10.0, 5.0), ("p99", p99, 30.0, 12.0)] {
        let what = format!("commit → received, 1 of {}, {part}", way.name());
        let ratio = Ratio::at_most(time.as_secs_f64() / trip.as_secs_f64(), floor, aim);
        bench.table.row(&what, micros(time), &beside, Some(ratio));
    }
}

async fn many(bench: &mut Bench, scene: &Scene<'_>) {
    let size = scene.bytes_told(Way::Stream).await;
    let rounds = bench.rounds(30);
    let options = [("subscribers", MANY), ("size", size), ("rounds", rounds)];
    let nats = peers::run(bench.folder.path(), "nats-fan", &options);
    let shown: Vec<String> = ["jetstream-fan", "etcd-fan", "redis-fan"]
        .into_iter()
        .map(|workload| {
            let figures = peers::run(bench.folder.path(), workload, &options);
            let name = workload.trim_end_matches("-fan");
            let p99 = peers::figure(&figures, "p99").map(|p99| format!(", p99 {p99:.1} ms")).unwrap_or_default();
            format!("{}{p99}", peers::shown(name, &figures, "p50", " ms"))
        })
        .collect();
    for way in [Way::Stream, Way::Poll] {
        let mut crowd = scene.crowd(way, MANY).await;
        let mut latencies = Vec::new();
        for nth in 0..rounds {
            let (change, told) = scene.wave(&mut crowd, way, nth).await;
            latencies.extend(told.into_iter().map(|at| at.saturating_duration_since(change.sent)));
        }
        let Spread { p50, p99 } = Spread::of(latencies);
        for (part, time, floor, aim) in [("p50", p50, 1.2, 0.7), ("p99", p99, 1.5, 1.0)] {
            let ms = time.as_secs_f64() * 1e3;
            let what = format!("call start → received, 1,000 {}, {part}", way.name());
            let beside = peers::shown(&format!("core NATS, {part}"), &nats, part, " ms");
            // What NATS is asked for is what a stream brings; a poll brings whole records.
            let peer = peers::figure(&nats, part).filter(|_| way == Way::Stream);
            let ratio = peer.map(|peer| Ratio::at_most(ms / peer, floor, aim));
            let beside =
                if part == "p50" && way == Way::Stream { format!("{beside}; {}", shown.join("; ")) } else { beside };
            bench.table.row(&what, format!("{ms:.1} ms"), &beside, ratio);
        }
    }
}

fn micros(time: Duration) -> String {
    format!("{:.0} µs", time.as_secs_f64() * 1e6)
}
