//! What a thousand streams carry, beside core NATS with as many subscribers
//! and the same bytes.

use crate::fanout::Expect;
use crate::load::Blocking;
use crate::pool::{Devices, Pool};
use crate::server::Process;
use crate::table::Ratio;
use crate::waiters::{Scene, Way};
use crate::{Bench, peers};
use std::time::Instant;

const STREAMS: usize = 1_000;
/// Clients that change something, all at the same time.
const WRITERS: usize = 64;

pub async fn rows(bench: &mut Bench) {
    let server = Process::serve(&bench.data("streams"));
    let pool = Pool::fill(&server, Devices::None).await;
    let scene = Scene { server: &server, pool: &pool };
    let events = bench.rounds(2_048).next_multiple_of(WRITERS);
    let size = scene.bytes_told(Way::Stream).await;
    let mut crowd = scene.crowd(Way::Stream, STREAMS).await;
    let requests: Vec<Vec<u8>> = (0..events).map(|nth| scene.rename(nth)).collect();
    let address = server.address.clone();
    let begin = move || {
        let began = Instant::now();
        std::thread::scope(|scope| {
            for part in requests.chunks(events / WRITERS) {
                let address = &address;
                scope.spawn(move || {
                    let mut writer = Blocking::open(address);
                    for request in part {
                        writer.exchange(request);
                    }
                });
            }
        });
        began
    };
    let (began, ended) = crowd.wave(Expect::Events(events), begin).await;
    let took = ended.into_iter().max().map_or(0.0, |last| (last - began).as_secs_f64());
    let rate = (events * STREAMS) as f64 / took;
    let options = [("subscribers", STREAMS), ("size", size), ("messages", events)];
    let nats = peers::run(bench.folder.path(), "nats-flood", &options);
    let beside = peers::shown("core NATS", &nats, "rate", "/s");
    let ratio = peers::figure(&nats, "rate").map(|peer| Ratio::at_least(rate / peer, 1.5, 4.0));
    let what = "events × subscribers/s, 1,000 SSE streams";
    let beside = format!("{beside}, {size} bytes each");
    bench.table.row(what, format!("{rate:.0}/s"), &beside, ratio);
}
