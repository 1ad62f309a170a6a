//! Durable mutations through the whole server, beside what durably writes the
//! same bytes: PostgreSQL, etcd, Redis, SQLite alone, and the disk.

use crate::pool::{CLIENTS, Devices, MACHINES, Pool};
use crate::server::Process;
use crate::table::Ratio;
use crate::{Bench, limits, load, peers};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Bytes of one row as the peers write it: what a rename stores besides its hash.
const PAYLOAD: usize = 160;

/// Who else writes durably, and by which workload.
const PEERS: [(&str, &str); 3] = [
    ("PostgreSQL inserts", "postgres-insert"),
    ("etcd puts", "etcd-put"),
    ("Redis, appendfsync always", "redis-append"),
];

pub async fn rows(bench: &mut Bench) {
    peers::ready();
    let server = Process::serve(&bench.data("mutations"));
    let pool = Pool::fill(&server, Devices::None).await;
    let (one, syncs) = one_beside_the_disk(bench, &server, &pool).await;
    let ratio = Ratio::at_least(one / syncs, 0.4, 0.8);
    let beside = format!("{syncs:.0} fdatasync/s");
    bench.table.row("durable mutations/s, 1 client", format!("{one:.0}/s"), &beside, Some(ratio));
    for peer in PEERS {
        let figures = written_by(bench, peer, 1);
        beside_peer(bench, peer, &figures, 1, one, None);
    }
    let few = renames(&server, &pool, 16, bench.time()).await.per_second;
    bench.table.row("durable mutations/s, 16 clients", format!("{few:.0}/s"), "", None);
    let (many, raw) = many_beside_sqlite(bench, &server, &pool).await;
    let ratio = Ratio::at_least(many / raw, 0.12, 0.3);
    let beside = format!("raw SQLite in batches of 64, {raw:.0} rows/s");
    bench.table.row("durable mutations/s, 64 clients", format!("{many:.0}/s"), &beside, Some(ratio));
    let bounds = [(Some(1.0), 2.0), (Some(1.5), 3.0), (None, 0.7)];
    let many = renames(&server, &pool, CLIENTS, bench.time()).await;
    // Before and behind each: a peer needs longer than a turn to come into its stride.
    let mut before = many.per_second;
    for (peer, bounds) in PEERS.into_iter().zip(bounds) {
        let figures = written_by(bench, peer, CLIENTS);
        let behind = renames(&server, &pool, CLIENTS, bench.time()).await.per_second;
        beside_peer(bench, peer, &figures, CLIENTS, (before + behind) / 2.0, Some(bounds));
        before = behind;
    }
    let (middle, worst) = (many.spread.p50.as_secs_f64() * 1e3, many.spread.p99.as_secs_f64() * 1e3);
    let ratio = Ratio::at_most(worst / middle, 6.0, 3.0);
    let beside = format!("its p50, {middle:.2} ms");
    bench.table.row("a mutation's p99, 64 clients", format!("{worst:.2} ms"), &beside, Some(ratio));
    let more = renames(&server, &pool, 256, bench.time()).await.per_second;
    bench.table.row("durable mutations/s, 256 clients", format!("{more:.0}/s"), "", None);
}

/// One client's changes per second, and synced writes, by turns: the disk is not as quick in one second as in the next, and
/// which processor a thread is put on decides half as much again.
async fn one_beside_the_disk(bench: &Bench, server: &Process, pool: &Pool) -> (f64, f64) {
    const TURNS: u32 = 16;
    let time = bench.time() / TURNS;
    let (mut changes, mut syncs) = (0.0, 0.0);
    for _ in 0..TURNS {
        syncs += limits::fdatasync(bench.folder.path(), time);
        changes += renames(server, pool, 1, time).await.per_second;
    }
    (changes / f64::from(TURNS), syncs / f64::from(TURNS))
}

/// The changes of [`CLIENTS`] per second, and rows that SQLite alone appends, by turns.
async fn many_beside_sqlite(bench: &Bench, server: &Process, pool: &Pool) -> (f64, f64) {
    const TURNS: u32 = 5;
    let time = bench.time() / TURNS;
    let (mut changes, mut rows) = (0.0, 0.0);
    for _ in 0..TURNS {
        rows += limits::sqlite(bench.folder.path(), 64, time).await;
        changes += renames(server, pool, CLIENTS, time).await.per_second;
    }
    (changes / f64::from(TURNS), rows / f64::from(TURNS))
}

async fn renames(server: &Process, pool: &Pool, clients: usize, time: Duration) -> load::Measured {
    // No name comes twice: to be named as before is no change.
    static TIMES: AtomicUsize = AtomicUsize::new(0);
    let nth_time = TIMES.fetch_add(1, Ordering::Relaxed);
    let (session, machines) = (pool.session.clone(), pool.machines.clone());
    load::rate(&server.address, clients, time, move |client, nth| {
        let machine = &machines[(client * 7919 + nth * 31) % MACHINES];
        load::call("VM.set_name_label", &format!(r#""{session}","{machine}","renamed-{nth_time}-{client}-{nth}""#))
    })
    .await
}

/// What a peer durably writes for as many clients.
fn written_by(bench: &Bench, (_, workload): (&str, &str), clients: usize) -> peers::Figures {
    let options = [("clients", clients), ("seconds", if bench.quick { 1 } else { 5 }), ("size", PAYLOAD)];
    peers::run(bench.folder.path(), workload, &options)
}

/// Our rate beside a peer's, and what part of that it is to be: at least, if that is a floor, and as the aim.
fn beside_peer(
    bench: &mut Bench,
    (peer, _): (&str, &str),
    figures: &peers::Figures,
    clients: usize,
    rate: f64,
    bounds: Option<(Option<f64>, f64)>,
) {
    let what = format!("durable mutations/s, {clients} client{}", if clients == 1 { "" } else { "s" });
    let beside = peers::shown(peer, figures, "rate", "/s");
    let times = peers::figure(figures, "rate").map(|peer| rate / peer);
    let (beside, ratio) = match (times, bounds) {
        (Some(times), Some((Some(floor), aim))) => (beside, Some(Ratio::at_least(times, floor, aim))),
        (Some(times), Some((None, aim))) => (format!("{beside}: {times:.2} of it (aim {aim})"), None),
        (Some(times), None) => (format!("{beside}: {times:.2} of it"), None),
        (None, _) => (beside, None),
    };
    bench.table.row(&what, format!("{rate:.0}/s"), &beside, ratio);
}
