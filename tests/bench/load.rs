//! The load: HTTP over plain sockets, with as little of its own work as can
//! be, since it shares the machine with the server that it measures.

use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One keep-alive connection.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub async fn open(address: &str) -> Connection {
        let stream = TcpStream::connect(address).await.expect("the server listens");
        stream.set_nodelay(true).expect("a TCP socket");
        Connection { stream, buffer: vec![0; 16 * 1024] }
    }

    /// Sends a request and reads its answer whole; returns where the body lies in the buffer.
    pub async fn exchange(&mut self, request: &[u8]) -> &[u8] {
        self.stream.write_all(request).await.expect("the server reads");
        let mut filled = 0;
        let mut expected = None;
        loop {
            if filled == self.buffer.len() {
                self.buffer.resize(self.buffer.len() * 2, 0);
            }
            let read = self.stream.read(&mut self.buffer[filled..]).await.expect("the server answers");
            assert!(read > 0, "the server closed a connection");
            filled += read;
            if expected.is_none() {
                expected = length_of(&self.buffer[..filled]);
            }
            if let Some((head, length)) = expected
                && filled >= head + length
            {
                return &self.buffer[head..head + length];
            }
        }
    }
}

/// Where the body begins and how long it is, once the head is there.
fn length_of(bytes: &[u8]) -> Option<(usize, usize)> {
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

/// Calls per second of `clients` connections, each sending what `request(client, nth)` gives, for `time`.
pub async fn rate(
    address: &str,
    clients: usize,
    time: Duration,
    request: impl Fn(usize, usize) -> Vec<u8> + Send + Sync + Clone + 'static,
) -> f64 {
    let until = Instant::now() + time;
    let started = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for client in 0..clients {
        let (address, request) = (address.to_string(), request.clone());
        running.spawn(async move {
            let mut connection = Connection::open(&address).await;
            let mut done = 0;
            while Instant::now() < until {
                let body = connection.exchange(&request(client, done)).await;
                assert!(succeeded(body), "a call failed: {}", String::from_utf8_lossy(body));
                done += 1;
            }
            done
        });
    }
    let mut done = 0;
    while let Some(one) = running.join_next().await {
        done += one.expect("a client of the benchmark panicked");
    }
    done as f64 / started.elapsed().as_secs_f64()
}

/// Whether an answer is no error; both formats say so at their beginning.
fn succeeded(body: &[u8]) -> bool {
    let beginning = &body[..body.len().min(200)];
    !["\"error\":{", "<name>Failure", "<fault>", "<value>Failure"]
        .iter()
        .any(|sign| beginning.windows(sign.len()).any(|window| window == sign.as_bytes()))
}

/// The value below which `part` of the samples lie.
pub fn quantile(samples: &mut [Duration], part: f64) -> Duration {
    samples.sort();
    let at = ((samples.len() - 1) as f64 * part).round() as usize;
    samples[at]
}
