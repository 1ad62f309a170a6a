//! The load: HTTP over plain sockets, with as little of its own work as can
//! be, since it shares the machine with the server that it measures.

use super::fanout::Spread;
use std::io::{Read, Write};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Bytes that most answers fit in.
const ANSWER_USUAL: usize = 16 * 1024;

/// One keep-alive connection.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    whole: usize,
}

impl Connection {
    pub async fn open(address: &str) -> Connection {
        let stream = TcpStream::connect(address).await.expect("the server listens");
        stream.set_nodelay(true).expect("a TCP socket");
        Connection { stream, buffer: vec![0; ANSWER_USUAL], whole: 0 }
    }

    /// Bytes of the last answer, its head included.
    pub fn whole(&self) -> usize {
        self.whole
    }

    /// Sends a request and reads its answer whole; returns where the body lies in the buffer.
    pub async fn exchange(&mut self, request: &[u8]) -> &[u8] {
        self.stream.write_all(request).await.expect("the server reads");
        let mut answer = Arriving::default();
        loop {
            let room = answer.room(&mut self.buffer);
            let read = self.stream.read(room).await.expect("the server answers");
            if let Some(body) = answer.more(read, &self.buffer) {
                self.whole = body.end;
                return &self.buffer[body];
            }
        }
    }
}

/// The same for a thread that does nothing else, so that what it measures waits for nobody.
pub struct Blocking {
    stream: std::net::TcpStream,
    buffer: Vec<u8>,
}

impl Blocking {
    pub fn open(address: &str) -> Blocking {
        let stream = std::net::TcpStream::connect(address).expect("the server listens");
        stream.set_nodelay(true).expect("a TCP socket");
        Blocking { stream, buffer: vec![0; ANSWER_USUAL] }
    }

    pub fn exchange(&mut self, request: &[u8]) -> &[u8] {
        self.stream.write_all(request).expect("the server reads");
        let mut answer = Arriving::default();
        loop {
            let room = answer.room(&mut self.buffer);
            let read = self.stream.read(room).expect("the server answers");
            if let Some(body) = answer.more(read, &self.buffer) {
                assert!(succeeded(&self.buffer[body.clone()]), "{}", String::from_utf8_lossy(&self.buffer[body]));
                return &self.buffer[body];
            }
        }
    }
}

/// An answer of which some has come.
#[derive(Default)]
struct Arriving {
    filled: usize,
    expected: Option<(usize, usize)>,
}

impl Arriving {
    fn room<'b>(&self, buffer: &'b mut Vec<u8>) -> &'b mut [u8] {
        if self.filled == buffer.len() {
            buffer.resize(buffer.len() * 2, 0);
        }
        &mut buffer[self.filled..]
    }

    /// Where the body lies, once it is whole.
    fn more(&mut self, read: usize, buffer: &[u8]) -> Option<std::ops::Range<usize>> {
        assert!(read > 0, "the server closed a connection");
        self.filled += read;
        self.expected = self.expected.or_else(|| length_of(&buffer[..self.filled]));
        let (head, length) = self.expected?;
        (self.filled >= head + length).then_some(head..head + length)
    }
}

/// Where the body begins and how long it is, once the head is there.
pub fn length_of(bytes: &[u8]) -> Option<(usize, usize)> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).expect("an HTTP head is ASCII").to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).expect("the server says how long its answers are");
    let digits = length.split("\r\n").next().expect("a split has a first part");
    Some((end + 4, digits.trim().parse().expect("a length is a number")))
}

/// A POST request, whole.
pub fn post(path: &str, body: &str) -> Vec<u8> {
    format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A JSON-RPC 2.0 call as a request.
pub fn call(method: &str, params: &str) -> Vec<u8> {
    post("/jsonrpc", &format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":[{params}],"id":1}}"#))
}

/// The result of a JSON-RPC call; fails the benchmark on an error.
pub fn result_of(body: &[u8]) -> serde_json::Value {
    let mut answer: serde_json::Value = serde_json::from_slice(body).expect("JSON-RPC answers are JSON");
    assert!(answer.get("error").is_none_or(serde_json::Value::is_null), "the server refused: {answer}");
    answer["result"].take()
}

/// What some clients got.
pub struct Measured {
    pub per_second: f64,
    pub spread: Spread,
}

/// Calls per second of `clients` connections, each sending what `request(client, nth)` gives, for `time`.
pub async fn rate(
    address: &str,
    clients: usize,
    time: Duration,
    request: impl Fn(usize, usize) -> Vec<u8> + Send + Sync + Clone + 'static,
) -> Measured {
    let until = Instant::now() + time;
    let started = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for client in 0..clients {
        let (address, request) = (address.to_string(), request.clone());
        running.spawn(async move {
            let mut connection = Connection::open(&address).await;
            let mut times = Vec::new();
            while Instant::now() < until {
                let request = request(client, times.len());
                let sent = Instant::now();
                let body = connection.exchange(&request).await;
                assert!(succeeded(body), "a call failed: {}", String::from_utf8_lossy(body));
                times.push(sent.elapsed());
            }
            times
        });
    }
    let mut times = Vec::new();
    while let Some(one) = running.join_next().await {
        times.extend(one.expect("a client of the benchmark panicked"));
    }
    Measured { per_second: times.len() as f64 / started.elapsed().as_secs_f64(), spread: Spread::of(times) }
}

/// Whether an answer is no error; both formats say so at their beginning.
fn succeeded(body: &[u8]) -> bool {
    let beginning = &body[..body.len().min(200)];
    !["\"error\":{", "<name>Failure", "<fault>", "<value>Failure"]
        .iter()
        .any(|sign| beginning.windows(sign.len()).any(|window| window == sign.as_bytes()))
}

/// The middle of some samples.
pub fn median(samples: Vec<Duration>) -> Duration {
    Spread::of(samples).p50
}
