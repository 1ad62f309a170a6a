//! What somebody who waits and hears nothing takes in the server's memory.

use crate::pool::{Devices, Pool};
use crate::server::Process;
use crate::table::Ratio;
use crate::waiters::{Scene, Way};
use crate::{Bench, peers};
use std::time::Duration;

const CROWD: usize = 10_000;

pub async fn rows(bench: &mut Bench) {
    let options = [("waiters", CROWD)];
    let shown = ["redis-memory", "etcd-memory"].map(|workload| {
        let figures = peers::run(bench.folder.path(), workload, &options);
        peers::shown(workload.trim_end_matches("-memory"), &figures, "kib", " KiB")
    });
    for way in [Way::Poll, Way::Stream] {
        let server = Process::serve(&bench.data(&format!("memory-{}", way as u8)));
        let pool = Pool::fill(&server, Devices::None).await;
        let scene = Scene { server: &server, pool: &pool };
        drop(scene.crowd(way, 10).await);
        tokio::time::sleep(Duration::from_millis(500)).await;
        let before = server.resident();
        let mut crowd = scene.crowd(way, CROWD).await;
        if way == Way::Poll {
            let poll = scene.poll("VM").await;
            crowd.send(&poll).await;
            scene.blocked(way, CROWD).await;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        let each = (server.resident() - before) * 1024.0 / CROWD as f64;
        let what = format!("resident memory of an idle one of 10,000 {}", way.name());
        let ratio = Ratio::at_most(each, 40.0, 8.0);
        bench.table.row(&what, format!("{each:.1} KiB"), &shown.join(", "), Some(ratio));
    }
}
