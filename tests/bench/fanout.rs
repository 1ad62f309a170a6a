//! Many sockets that wait for the same thing, and when it arrived at each.
//! One task a socket on one thread, one buffer for all: the machine is shared
//! with what is measured. The peers' loaders use the same file.

use std::cell::RefCell;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Bytes read at a time.
const READ: usize = 64 * 1024;
/// Connections that are opened at the same time: fewer than a listener's queue holds.
const OPENING: usize = 100;
/// How long one wave may take before something must be wrong.
const WAVE_MAX: Duration = Duration::from_secs(60);

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ]);
}

/// How a receiver knows that it has everything.
#[derive(Clone, Copy, Debug)]
pub enum Expect {
    /// As many bytes.
    Bytes(usize),
    /// As many line breaks.
    #[allow(dead_code, reason = "only some peers speak in lines")]
    Lines(usize),
    /// As many Server-Sent Events: each ends with an empty line, which the chunks around them never have.
    #[allow(dead_code, reason = "the peers have none")]
    Events(usize),
    /// One HTTP answer that says how long it is.
    #[allow(dead_code, reason = "the peers speak in bytes")]
    Answer,
}

/// Connections that wait.
pub struct Crowd(Vec<TcpStream>);

impl Crowd {
    /// Opens connections, and writes `greeting` on each.
    pub async fn open(address: &str, size: usize, greeting: &[u8]) -> Crowd {
        let mut sockets = Vec::with_capacity(size);
        while sockets.len() < size {
            let mut opening = JoinSet::new();
            for _ in 0..OPENING.min(size - sockets.len()) {
                let (address, greeting) = (address.to_string(), greeting.to_vec());
                opening.spawn(async move {
                    let mut socket = TcpStream::connect(&address).await.expect("the server listens");
                    socket.set_nodelay(true).expect("a TCP socket");
                    socket.write_all(&greeting).await.expect("the server reads");
                    socket
                });
            }
            while let Some(socket) = opening.join_next().await {
                sockets.push(socket.expect("opening a connection panicked"));
            }
        }
        Crowd(sockets)
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        for socket in &mut self.0 {
            socket.write_all(bytes).await.expect("the server reads");
        }
    }

    /// Reads away what each has waiting now, until nothing came for a while; how many bytes that were in all.
    pub async fn drain(&mut self) -> usize {
        let (mut quiet, mut bytes) = (Instant::now(), 0);
        while quiet.elapsed() < Duration::from_millis(200) {
            for socket in &self.0 {
                while let Some(read) = try_read(socket) {
                    (quiet, bytes) = (Instant::now(), bytes + read);
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bytes
    }

    /// Waits with each for what is expected; the times at which it was there. `begin` runs in a thread of its own once
    /// all wait; what it returns comes first.
    pub async fn wave<T: Send + 'static>(
        &mut self,
        expect: Expect,
        begin: impl FnOnce() -> T + Send + 'static,
    ) -> (T, Vec<Instant>) {
        let size = self.0.len();
        let mut waiting = JoinSet::new();
        for socket in self.0.drain(..) {
            waiting.spawn(async move {
                let arrived = tokio::time::timeout(WAVE_MAX, receive(&socket, expect)).await;
                (socket, arrived.expect("everybody is told within a minute"))
            });
        }
        // Long enough that each was looked at once.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let beginning = std::thread::spawn(begin);
        let mut times = Vec::with_capacity(size);
        while let Some(one) = waiting.join_next().await {
            let (socket, at) = one.expect("a receiver panicked");
            self.0.push(socket);
            times.push(at);
        }
        (beginning.join().expect("what begins the wave panicked"), times)
    }

    #[allow(dead_code, reason = "the peers know how many they asked for")]
    pub fn size(&self) -> usize {
        self.0.len()
    }
}

/// Reads what there is; `None` when there is nothing.
fn try_read(socket: &TcpStream) -> Option<usize> {
    BUFFER.with_borrow_mut(|buffer| match socket.try_read(buffer) {
        Ok(0) => panic!("the server closed a connection"),
        Ok(read) => Some(read),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => None,
        Err(error) => panic!("a connection broke: {error}"),
    })
}

/// Reads until everything is there; when it was.
async fn receive(socket: &TcpStream, expect: Expect) -> Instant {
    let mut left = match expect {
        Expect::Bytes(left) | Expect::Lines(left) | Expect::Events(left) => Some(left),
        Expect::Answer => None,
    };
    let mut last = 0;
    loop {
        socket.readable().await.expect("a connection");
        let Some(read) = try_read(socket) else { continue };
        BUFFER.with_borrow(|buffer| {
            let bytes = &buffer[..read];
            let before = left.unwrap_or_else(|| length(bytes));
            let come = match expect {
                Expect::Lines(_) => memchr::memchr_iter(b'\n', bytes).count(),
                Expect::Events(_) => {
                    let split = usize::from(last == b'\n' && bytes[0] == b'\n');
                    split + memchr::memmem::find_iter(bytes, b"\n\n").count()
                }
                Expect::Bytes(_) | Expect::Answer => bytes.len(),
            };
            last = bytes[read - 1];
            left = Some(before.saturating_sub(come));
        });
        if left == Some(0) {
            return Instant::now();
        }
    }
}

/// How long an HTTP answer is in all, by its head, which comes in one piece over loopback.
fn length(bytes: &[u8]) -> usize {
    const LENGTH: &[u8] = b"content-length: ";
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a whole head") + 4;
    let at = bytes[..head].windows(LENGTH.len()).position(|window| window.eq_ignore_ascii_case(LENGTH));
    let digits = &bytes[at.expect("the server says how long its answers are") + LENGTH.len()..];
    let number = digits.iter().take_while(|byte| byte.is_ascii_digit());
    head + number.fold(0, |number, digit| number * 10 + usize::from(digit - b'0'))
}

/// Middle and 99th hundredth.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    pub p50: Duration,
    pub p99: Duration,
}

impl Spread {
    pub fn of(mut samples: Vec<Duration>) -> Spread {
        samples.sort_unstable();
        let at = |part: f64| samples[((samples.len() - 1) as f64 * part).round() as usize];
        Spread { p50: at(0.5), p99: at(0.99) }
    }
}
