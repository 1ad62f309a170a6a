//! Redis streams: XADD by the usual client, XREAD BLOCK read raw.

use super::fanout::{Crowd, Expect};
use super::server::Server;
use super::{Asked, Run, rate, spread};
use serde_json::json;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// What everybody who waits says.
const WAIT: &[u8] = b"*6\r\n$5\r\nXREAD\r\n$5\r\nBLOCK\r\n$1\r\n0\r\n$7\r\nSTREAMS\r\n$3\r\nlog\r\n$1\r\n$\r\n";
/// Line breaks of the answer: six arrays, the stream's name, the entry's id, its one field and its value.
const ANSWER_LINES: usize = 13;
const SETTLE: Duration = Duration::from_millis(300);

fn start(asked: &Asked, more: &[&str]) -> Result<Server, String> {
    Server::start("redis-server", &asked.folder, |command, folder, port| {
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--maxclients", "20000"]);
        command.arg("--dir").arg(folder).args(more);
    })
}

/// Entries per second, each synced before it is answered.
pub async fn append(asked: &Asked) -> Run {
    let server = start(asked, &["--appendonly", "yes", "--appendfsync", "always"])?;
    let client = ::redis::Client::open(format!("redis://{}/", server.address)).map_err(|error| error.to_string())?;
    let mut writers = Vec::new();
    for _ in 0..asked.number("clients") {
        writers.push(client.get_multiplexed_async_connection().await.map_err(|error| error.to_string())?);
    }
    let payload = asked.payload();
    let one = move |mut writer: ::redis::aio::MultiplexedConnection, _| {
        let payload = payload.clone();
        async move {
            let mut entry = ::redis::cmd("XADD");
            entry.arg("log").arg("*").arg("event").arg(payload);
            entry.query_async::<String>(&mut writer).await.expect("Redis appends");
            writer
        }
    };
    Ok(rate(asked, writers, one).await)
}

/// From XADD, in memory, to each that is blocked.
pub async fn fan(asked: &Asked) -> Run {
    let server = start(asked, &[])?;
    let mut crowd = Crowd::open(&server.address, asked.number("subscribers"), b"").await;
    let size = asked.number("size");
    let payload = String::from_utf8(asked.payload()).expect("letters");
    let entry = format!("*5\r\n$4\r\nXADD\r\n$3\r\nlog\r\n$1\r\n*\r\n$5\r\nevent\r\n${size}\r\n{payload}\r\n");
    let mut latencies = Vec::new();
    for _ in 0..asked.number("rounds") {
        crowd.send(WAIT).await;
        tokio::time::sleep(SETTLE).await;
        let (address, entry) = (server.address.clone(), entry.clone());
        let mut writer = TcpStream::connect(&address).map_err(|error| error.to_string())?;
        let begin = move || {
            let began = Instant::now();
            writer.write_all(entry.as_bytes()).expect("Redis reads");
            let answered = writer.read(&mut [0; 64]).expect("Redis answers");
            assert!(answered > 0, "Redis closed a connection");
            began
        };
        let (began, told) = crowd.wave(Expect::Lines(ANSWER_LINES), begin).await;
        latencies.extend(told.into_iter().map(|at| at.saturating_duration_since(began)));
    }
    Ok(spread(latencies))
}

/// Memory of one that is blocked.
pub async fn memory(asked: &Asked) -> Run {
    let server = start(asked, &[])?;
    let waiters = asked.number("waiters");
    let before = server.resident();
    let mut crowd = Crowd::open(&server.address, waiters, b"").await;
    crowd.send(WAIT).await;
    tokio::time::sleep(SETTLE).await;
    Ok(json!({ "kib": (server.resident() - before) / waiters as f64 }))
}
