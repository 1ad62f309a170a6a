//! Who waits for a change at the server: blocked polls and streams, and the
//! change that they wait for.

use crate::fanout::{Crowd, Expect};
use crate::load::{Blocking, Connection, call, result_of};
use crate::pool::{MACHINES, Pool};
use crate::server::Process;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How they wait.
#[derive(Clone, Copy, PartialEq)]
pub enum Way {
    /// `event.from`, as every XenAPI client does.
    Poll,
    /// `GET /events`, Server-Sent Events.
    Stream,
}

/// Longer than `event.from` collects before it answers: from then on it answers at once.
const COLLECTED: Duration = Duration::from_millis(80);

impl Way {
    pub fn name(self) -> &'static str {
        match self {
            Way::Poll => "blocked event.from",
            Way::Stream => "SSE streams",
        }
    }

    /// What a wave brings to each.
    pub fn expected(self) -> Expect {
        match self {
            Way::Poll => Expect::Answer,
            Way::Stream => Expect::Events(1),
        }
    }

    /// What counts those who wait so, on `/metrics`.
    fn gauge(self) -> &'static str {
        match self {
            Way::Poll => "xenledger_waiting_calls ",
            Way::Stream => "xenledger_streams ",
        }
    }
}

/// The server and what is in it.
pub struct Scene<'s> {
    pub server: &'s Process,
    pub pool: &'s Pool,
}

/// When a change was asked for, and answered.
#[derive(Clone, Copy)]
pub struct Change {
    pub sent: Instant,
    pub answered: Instant,
}

impl Scene<'_> {
    /// A token at the head.
    async fn token(&self) -> String {
        let mut connection = Connection::open(&self.server.address).await;
        let now = call("event.from", &format!(r#""{}",["task/OpaqueRef:NULL"],"",0.0"#, self.pool.session));
        result_of(connection.exchange(&now).await)["token"].as_str().expect("a token").to_string()
    }

    /// An `event.from` for machines (`VM`) or for one of them, from the head on.
    pub async fn poll(&self, subject: &str) -> Vec<u8> {
        let token = self.token().await;
        call("event.from", &format!(r#""{}",["{subject}"],"{token}",600.0"#, self.pool.session))
    }

    /// Opens a stream of the machines' names, from the head on.
    pub fn stream(&self, subject: &str) -> Vec<u8> {
        let session = &self.pool.session;
        format!("GET /events?classes={subject}&token=now&session_id={session} HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .into_bytes()
    }

    /// So many, connected; streams wait from here on.
    pub async fn crowd(&self, way: Way, size: usize) -> Crowd {
        let greeting = if way == Way::Stream { self.stream("VM.name_label") } else { Vec::new() };
        let mut crowd = Crowd::open(&self.server.address, size, &greeting).await;
        if way == Way::Stream {
            self.blocked(way, size).await;
            crowd.drain().await;
        }
        crowd
    }

    /// Waits until so many wait in this way.
    pub async fn blocked(&self, way: Way, size: usize) {
        let mut connection = Connection::open(&self.server.address).await;
        let metrics = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let begun = Instant::now();
        loop {
            let page = String::from_utf8_lossy(connection.exchange(metrics).await).into_owned();
            let line = page.lines().find_map(|line| line.strip_prefix(way.gauge()));
            let waiting: usize = line.and_then(|count| count.parse().ok()).expect("the gauge of those who wait");
            if waiting >= size {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{waiting} of {size} wait after a minute");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Has everybody wait, renames a machine, and says when each was told.
    pub async fn wave(&self, crowd: &mut Crowd, way: Way, nth: usize) -> (Change, Vec<Instant>) {
        if way == Way::Poll {
            let poll = self.poll("VM").await;
            crowd.send(&poll).await;
            self.blocked(way, crowd.size()).await;
            tokio::time::sleep(COLLECTED).await;
        }
        let mut writer = Blocking::open(&self.server.address);
        let rename = self.rename(nth);
        crowd.wave(way.expected(), move || change(&mut writer, &rename)).await
    }

    /// A change of one machine's name, to one that it never had: the same again would be no change.
    pub fn rename(&self, nth: usize) -> Vec<u8> {
        static NAMES: AtomicUsize = AtomicUsize::new(100_000);
        let (machine, name) = (&self.pool.machines[nth % MACHINES], NAMES.fetch_add(1, Ordering::Relaxed));
        call("VM.set_name_label", &format!(r#""{}","{machine}","renamed-{name}""#, self.pool.session))
    }

    /// Renames one after the other, with nobody or with somebody waiting; how long each answer took.
    pub async fn renames(&self, count: usize, pause: Duration) -> Vec<Duration> {
        let mut writer = Blocking::open(&self.server.address);
        // The first machine is what some wait for.
        let requests: Vec<Vec<u8>> = (1..=count).map(|nth| self.rename(nth)).collect();
        let renaming = tokio::task::spawn_blocking(move || {
            let one = |request: &Vec<u8>| {
                std::thread::sleep(pause);
                let Change { sent, answered } = change(&mut writer, request);
                answered - sent
            };
            requests.iter().map(one).collect()
        });
        renaming.await.expect("renaming panicked")
    }

    /// How many bytes one waiter is told of one change, head included.
    pub async fn bytes_told(&self, way: Way) -> usize {
        let mut writer = Blocking::open(&self.server.address);
        match way {
            Way::Poll => {
                let poll = self.poll("VM").await;
                writer.exchange(&self.rename(1));
                let mut connection = Connection::open(&self.server.address).await;
                connection.exchange(&poll).await;
                connection.whole()
            }
            Way::Stream => {
                let mut crowd = self.crowd(way, 1).await;
                writer.exchange(&self.rename(1));
                tokio::time::sleep(COLLECTED).await;
                crowd.drain().await
            }
        }
    }
}

fn change(writer: &mut Blocking, request: &[u8]) -> Change {
    let sent = Instant::now();
    writer.exchange(request);
    Change { sent, answered: Instant::now() }
}
