//! Ten thousand who wait: how fast all are told, and what they cost somebody
//! who only wants to change something.

use crate::fanout::Spread;
use crate::load::median;
use crate::pool::{Devices, Pool};
use crate::server::Process;
use crate::table::Ratio;
use crate::waiters::{Scene, Way};
use crate::{Bench, limits};
use std::time::Duration;

const CROWD: usize = 10_000;
/// What passes between two changes where only their answers are measured: about as much as between two waves.
const PAUSE: Duration = Duration::from_millis(100);

pub async fn rows(bench: &mut Bench) {
    let server = Process::serve(&bench.data("crowds"));
    let pool = Pool::fill(&server, Devices::None).await;
    let scene = Scene { server: &server, pool: &pool };
    told(bench, &scene).await;
    not_told(bench, &scene).await;
}

/// All are told of each change. From the call's start, which is to our disadvantage.
async fn told(bench: &mut Bench, scene: &Scene<'_>) {
    let rounds = bench.rounds(20);
    let bytes = scene.bytes_told(Way::Poll).await;
    let raw = limits::raw_fanout(CROWD, bytes, rounds).await;
    let alone = median(scene.renames(rounds * 2, PAUSE).await);
    let mut crowd = scene.crowd(Way::Poll, CROWD).await;
    let (mut latencies, mut answers) = (Vec::new(), Vec::new());
    for nth in 0..rounds {
        let (change, told) = scene.wave(&mut crowd, Way::Poll, nth).await;
        answers.push(change.answered - change.sent);
        latencies.extend(told.into_iter().map(|at| at.saturating_duration_since(change.sent)));
    }
    let ours = Spread::of(latencies);
    let parts = [("p50", ours.p50, raw.p50, 1.2, 0.75), ("p99", ours.p99, raw.p99, 3.0, 1.5)];
    for (part, time, limit, floor, aim) in parts {
        let what = format!("commit → received, 10,000 blocked event.from, {part}");
        let beside = format!("{:.0} ms to write the same {bytes} bytes raw to each socket", ms(limit));
        let ratio = Ratio::at_most(ms(time) / ms(limit), floor, aim);
        bench.table.row(&what, format!("{:.0} ms", ms(time)), &beside, Some(ratio));
    }
    answer(bench, "all matching", median(answers), alone, (2.0, 1.2));
}

/// Nobody is told; measured before, while, and after they wait.
async fn not_told(bench: &mut Bench, scene: &Scene<'_>) {
    let (rounds, pause) = (bench.rounds(500), Duration::from_millis(2));
    let before = median(scene.renames(rounds, pause).await);
    let mut crowd = scene.crowd(Way::Poll, CROWD).await;
    let other = scene.poll(&format!("VM/{}", scene.pool.machines[0])).await;
    crowd.send(&other).await;
    scene.blocked(Way::Poll, CROWD).await;
    let with = median(scene.renames(rounds, pause).await);
    drop(crowd);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let after = median(scene.renames(rounds, pause).await);
    answer(bench, "none matching", with, (before + after) / 2, (1.1, 1.02));
}

fn answer(bench: &mut Bench, which: &str, with: Duration, alone: Duration, (floor, aim): (f64, f64)) {
    let what = format!("a mutation's answer with 10,000 waiting, {which}");
    let beside = format!("{:.0} µs with none waiting", alone.as_secs_f64() * 1e6);
    let ratio = Ratio::at_most(with.as_secs_f64() / alone.as_secs_f64(), floor, aim);
    bench.table.row(&what, format!("{:.0} µs", with.as_secs_f64() * 1e6), &beside, Some(ratio));
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
