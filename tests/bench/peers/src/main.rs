//! Loads one of the servers that xenledger's benchmark stands beside, and
//! prints one line of JSON: figures by name, or `absent` and why.
//!
//! ```text
//! xenledger-bench-peers WORKLOAD FOLDER NAME=NUMBER…
//! ```
//!
//! Each server is started on a free loopback port with a folder of its own
//! below FOLDER, and ended with the run. What writes uses the usual client of
//! the server; what only waits reads the server's own protocol raw where that
//! is plain bytes, so that the client is not what is measured.

mod etcd;
#[path = "../../fanout.rs"]
mod fanout;
mod nats;
mod postgres;
mod redis;
mod server;

use fanout::Spread;
use serde_json::{Value as Json, json};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Figures, or why there are none.
type Run = Result<Json, String>;

/// What a run was asked for.
pub struct Asked {
    folder: PathBuf,
    numbers: Vec<(String, usize)>,
}

impl Asked {
    fn number(&self, name: &str) -> usize {
        let found = self.numbers.iter().find(|(known, _)| known == name);
        found.unwrap_or_else(|| panic!("{name}=NUMBER is missing")).1
    }

    fn payload(&self) -> Vec<u8> {
        vec![b'x'; self.number("size")]
    }
}

fn main() {
    let mut args = std::env::args().skip(1);
    let (workload, folder) = (args.next().expect("WORKLOAD"), args.next().expect("FOLDER"));
    let numbers = args.map(|arg| {
        let (name, number) = arg.split_once('=').expect("NAME=NUMBER");
        (name.to_string(), number.parse().expect("NAME=NUMBER"))
    });
    let asked = Asked { folder: folder.into(), numbers: numbers.collect() };
    server::raise_open_files();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let run = runtime.block_on(async {
        match &*workload {
            "nats-fan" => nats::fan(&asked).await,
            "nats-flood" => nats::flood(&asked).await,
            "jetstream-fan" => nats::stored_fan(&asked).await,
            "etcd-put" => etcd::put(&asked).await,
            "etcd-fan" => etcd::fan(&asked).await,
            "etcd-memory" => etcd::memory(&asked).await,
            "redis-append" => redis::append(&asked).await,
            "redis-fan" => redis::fan(&asked).await,
            "redis-memory" => redis::memory(&asked).await,
            "postgres-insert" => postgres::insert(&asked).await,
            unknown => Err(format!("there is no workload {unknown}")),
        }
    });
    println!("{}", run.unwrap_or_else(|why| json!({ "absent": why })));
}

/// The figures of waves: in milliseconds.
fn spread(latencies: Vec<Duration>) -> Json {
    let Spread { p50, p99 } = Spread::of(latencies);
    json!({ "p50": p50.as_secs_f64() * 1e3, "p99": p99.as_secs_f64() * 1e3 })
}

/// Writes per second of some clients that each do one after the other for a while.
async fn rate<W, F>(asked: &Asked, writers: Vec<W>, one: impl Fn(W, usize) -> F + Clone + 'static) -> Json
where
    W: 'static,
    F: Future<Output = W>,
{
    let time = Duration::from_secs(asked.number("seconds") as u64);
    let (started, local) = (Instant::now(), tokio::task::LocalSet::new());
    let mut running = Vec::new();
    for mut writer in writers {
        let one = one.clone();
        running.push(local.spawn_local(async move {
            let mut done = 0;
            while started.elapsed() < time {
                writer = one(writer, done).await;
                done += 1;
            }
            done
        }));
    }
    let mut done = 0;
    local
        .run_until(async {
            for one in running {
                done += one.await.expect("a writer panicked");
            }
        })
        .await;
    json!({ "rate": done as f64 / started.elapsed().as_secs_f64() })
}
