//! etcd: puts and watches by its usual client, a connection each.

use super::server::{Server, free_port};
use super::{Asked, Run, rate, spread};
use etcd_client::{Client, WatchStream};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Watchers of which the memory is taken: more would need more of it here than there.
const WATCHERS_MAX: usize = 1_000;
/// Until the first leader is elected, requests fail.
const ELECTION: Duration = Duration::from_secs(2);

fn start(asked: &Asked) -> Result<Server, String> {
    Server::start("etcd", &asked.folder, |command, folder, port| {
        let (client, peer) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{}", free_port()));
        command.arg("--data-dir").arg(folder.join("etcd"));
        command.args(["--name", "bench", "--initial-cluster", &format!("bench={peer}")]);
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
    })
}

async fn connect(server: &Server) -> Result<Client, String> {
    Client::connect([format!("http://{}", server.address)], None).await.map_err(|error| error.to_string())
}

/// Puts per second, each to a key of its own.
pub async fn put(asked: &Asked) -> Run {
    let server = start(asked)?;
    tokio::time::sleep(ELECTION).await;
    let mut writers = Vec::new();
    for nth in 0..asked.number("clients") {
        writers.push((nth, connect(&server).await?));
    }
    let payload = asked.payload();
    let one = move |(nth, mut writer): (usize, Client), done: usize| {
        let payload = payload.clone();
        async move {
            writer.put(format!("vm/{nth}/{}", done % 100), payload, None).await.expect("etcd puts");
            (nth, writer)
        }
    };
    Ok(rate(asked, writers, one).await)
}

/// Connections that watch one key, each with its own.
async fn watchers(server: &Server, size: usize) -> Result<Vec<(Client, WatchStream)>, String> {
    let mut watching = Vec::with_capacity(size);
    for _ in 0..size {
        let mut client = connect(server).await?;
        let (_, stream) = client.watch("vm", None).await.map_err(|error| error.to_string())?;
        watching.push((client, stream));
    }
    Ok(watching)
}

/// From the put to each watcher.
pub async fn fan(asked: &Asked) -> Run {
    let server = start(asked)?;
    tokio::time::sleep(ELECTION).await;
    let mut watching = watchers(&server, asked.number("subscribers")).await?;
    let mut writer = connect(&server).await?;
    let mut latencies = Vec::new();
    for _ in 0..asked.number("rounds") {
        let mut waiting = JoinSet::new();
        for (client, mut stream) in watching.drain(..) {
            waiting.spawn(async move {
                stream.message().await.expect("etcd tells");
                (Instant::now(), client, stream)
            });
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        let began = Instant::now();
        writer.put("vm", asked.payload(), None).await.map_err(|error| error.to_string())?;
        while let Some(told) = waiting.join_next().await {
            let (at, client, stream) = told.expect("a watcher panicked");
            latencies.push(at.saturating_duration_since(began));
            watching.push((client, stream));
        }
    }
    Ok(spread(latencies))
}

/// Memory of one that watches.
pub async fn memory(asked: &Asked) -> Run {
    let server = start(asked)?;
    tokio::time::sleep(ELECTION).await;
    let size = asked.number("waiters").min(WATCHERS_MAX);
    let before = server.resident();
    let _watching = watchers(&server, size).await?;
    Ok(json!({ "kib": (server.resident() - before) / size as f64 }))
}
