//! NATS: its protocol is lines of text, which the subscribers read raw.

use super::fanout::{Crowd, Expect};
use super::server::Server;
use super::{Asked, Run, spread};
use serde_json::{Value as Json, json};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const SUBJECT: &str = "vm.renamed";
/// What a stream's consumer tells to.
const TOLD: &str = "told";
/// What a client says first.
const CONNECT: &str = "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":false}\r\n";
/// How long the server is given to take subscriptions in, and to send its first ping: the next comes minutes later.
const SETTLE: Duration = Duration::from_millis(2_500);

fn start(asked: &Asked, more: &[&str]) -> Result<Server, String> {
    Server::start("nats-server", &asked.folder, |command, folder, port| {
        command.args(["--addr", "127.0.0.1", "--port", &port.to_string(), "--store_dir"]).arg(folder).args(more);
    })
}

async fn subscribers(server: &Server, asked: &Asked, subject: &str) -> Crowd {
    let greeting = format!("{CONNECT}SUB {subject} 1\r\n");
    let mut crowd = Crowd::open(&server.address, asked.number("subscribers"), greeting.as_bytes()).await;
    tokio::time::sleep(SETTLE).await;
    crowd.drain().await;
    crowd
}

/// A message as a subscriber gets it.
fn message_size(payload: usize) -> usize {
    format!("MSG {SUBJECT} 1 {payload}\r\n").len() + payload + 2
}

/// From the publisher's write to each subscriber.
pub async fn fan(asked: &Asked) -> Run {
    let server = start(asked, &[])?;
    let crowd = subscribers(&server, asked, SUBJECT).await;
    let expect = Expect::Bytes(message_size(asked.number("size")));
    Ok(spread(waves(crowd, connect(&server), asked, expect).await))
}

/// JetStream: stored in a file first. One consumer tells all, which is the least work for it.
pub async fn stored_fan(asked: &Asked) -> Run {
    let server = start(asked, &["--jetstream"])?;
    let mut publisher = connect(&server);
    let stream = json!({ "name": "LOG", "subjects": [SUBJECT], "storage": "file" });
    request(&mut publisher, "$JS.API.STREAM.CREATE.LOG", &stream)?;
    let crowd = subscribers(&server, asked, TOLD).await;
    let consumer = json!({ "deliver_subject": TOLD, "deliver_policy": "new", "ack_policy": "none" });
    let consumer = json!({ "stream_name": "LOG", "config": consumer });
    request(&mut publisher, "$JS.API.CONSUMER.CREATE.LOG", &consumer)?;
    // A head with a reply subject of any length, and the payload: two lines.
    Ok(spread(waves(crowd, publisher, asked, Expect::Lines(2)).await))
}

async fn waves(mut crowd: Crowd, publisher: TcpStream, asked: &Asked, expect: Expect) -> Vec<Duration> {
    let mut latencies = Vec::new();
    for _ in 0..asked.number("rounds") {
        let (payload, mut publisher) = (asked.payload(), publisher.try_clone().expect("a TCP socket"));
        let begin = move || {
            let began = Instant::now();
            publish(&mut publisher, &payload);
            began
        };
        let (began, told) = crowd.wave(expect, begin).await;
        latencies.extend(told.into_iter().map(|at| at.saturating_duration_since(began)));
    }
    latencies
}

/// So many messages as fast as one publisher can write them: the server slows it down.
pub async fn flood(asked: &Asked) -> Run {
    let server = start(asked, &[])?;
    let (messages, size) = (asked.number("messages"), asked.number("subscribers"));
    let mut crowd = subscribers(&server, asked, SUBJECT).await;
    let expect = Expect::Bytes(messages * message_size(asked.number("size")));
    let (payload, mut publisher) = (asked.payload(), connect(&server));
    let begin = move || {
        let began = Instant::now();
        (0..messages).for_each(|_| publish(&mut publisher, &payload));
        (began, publisher) // open until all are told
    };
    let ((began, _publisher), told) = crowd.wave(expect, begin).await;
    let took = told.into_iter().max().map_or(0.0, |last| (last - began).as_secs_f64());
    Ok(json!({ "rate": (messages * size) as f64 / took }))
}

fn connect(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(&server.address).expect("the server listens");
    stream.set_nodelay(true).expect("a TCP socket");
    stream.write_all(CONNECT.as_bytes()).expect("the server reads");
    stream
}

fn publish(stream: &mut TcpStream, payload: &[u8]) {
    let mut message = format!("PUB {SUBJECT} {}\r\n", payload.len()).into_bytes();
    message.extend_from_slice(payload);
    message.extend_from_slice(b"\r\n");
    stream.write_all(&message).expect("the server reads");
}

/// Asks the server for something, and checks that it did it.
fn request(stream: &mut TcpStream, subject: &str, body: &Json) -> Result<(), String> {
    let body = body.to_string();
    let text = format!("SUB answer 9\r\nUNSUB 9 1\r\nPUB {subject} answer {}\r\n{body}\r\n", body.len());
    stream.write_all(text.as_bytes()).map_err(|error| error.to_string())?;
    let mut lines = BufReader::new(stream.try_clone().map_err(|error| error.to_string())?).lines();
    let mut answer = lines.by_ref().map_while(Result::ok).skip_while(|line| !line.starts_with("MSG answer"));
    match answer.nth(1) {
        Some(line) if !line.contains("\"error\"") => Ok(()),
        Some(line) => Err(format!("nats-server: {line}")),
        None => Err("nats-server hung up".into()),
    }
}
