//! Every subscriber hears everything, whatever crashes.
//!
//! 200 subscribers of every kind follow random changes while the server is killed (`kill -9`) and started again, round
//! after round, and connections are cut. In the end each one's story is compared with the log's: none missing, in order,
//! twice only where at-least-once says so. `XENLEDGER_KILLS` says how many rounds, `XENLEDGER_SEED` repeats a run's
//! decisions.

#[path = "../server/mod.rs"]
mod server;

mod coalesced;
mod expected;
mod followed;
mod mutate;
mod place;
mod posted;
mod registered;

use std::sync::Arc;
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde_json::{Value, json};
use server::{Server, verify};

use expected::Log;
use place::{Place, Wants};

/// Kills of a plain `cargo test`; `tests/run` asks for more.
const KILLS: u64 = 4;
/// How many of each kind; 200 in all.
const POLLED: usize = 50;
const STREAMED: usize = 50;
const LONG_POLLED: usize = 30;
const POSTED: usize = 30;
const COALESCED: usize = 25;
const REGISTERED: usize = 5;
const READING: usize = 10;
/// A kill comes after so many changes were sent.
const CHANGES: std::ops::Range<u64> = 10..90;
/// How long a story may take to be told to its end; only to turn a hang into a failure.
const END_MAX: Duration = Duration::from_secs(180);

/// What one subscriber was told, to be compared with the log.
pub trait Story: Send {
    /// What kind of subscriber it is.
    fn name(&self) -> String;

    /// Panics unless it is what the log says.
    fn compare(&self, log: &Log);
}

type Telling = JoinHandle<Box<dyn Story>>;

#[test]
fn every_subscriber_hears_everything_whatever_crashes() {
    let kills = number("XENLEDGER_KILLS").unwrap_or(KILLS);
    let seed = number("XENLEDGER_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("{kills} kills, XENLEDGER_SEED={seed}");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let args = ["--webhooks-to-private", "--webhooks-over-http"];
    let mut server = Server::start_with(&data, &args);
    let place = Arc::new(Place::new(&server));
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let tellings = subscribe(&place, folder.path(), &mut random);
    let mut pool = mutate::Pool::new(random.next_u64());
    let mut changes = 0;
    for _ in 0..kills {
        let count = CHANGES.start + random.next_u64() % (CHANGES.end - CHANGES.start);
        changes += mutate::until(&place, &mut pool, count, || server.kill());
        place.killed();
        server = Server::start_with(&data, &args);
        place.moved(&server);
    }
    let began = Instant::now();
    mutate::last_words(&place);
    let stories: Vec<Box<dyn Story>> = tellings.into_iter().map(|telling| ended(telling, began, &server)).collect();
    let log = Log::read(&place);
    for story in &stories {
        story.compare(&log);
    }
    nobody_waits_for_who_has_gone(&place);
    assert!(server.runs(), "the server ended by itself:\n{}", server.said());
    println!("{changes} changes acknowledged, {} events in the log, {} stories", log.len(), stories.len());
    server.kill();
    let sound = verify(&data);
    assert!(sound.status.success(), "{}", String::from_utf8_lossy(&sound.stderr));
}

/// All subscribers, each on a thread of its own.
fn subscribe(place: &Arc<Place>, folder: &std::path::Path, random: &mut ChaCha8Rng) -> Vec<(&'static str, Telling)> {
    let mut all = Vec::new();
    let mut add = |kind: &'static str, count: usize, begin: &dyn Fn(usize, Wants, u64) -> Telling| {
        for nth in 0..count {
            all.push((kind, begin(nth, Wants::nth(nth), random.next_u64())));
        }
    };
    add("polls", POLLED, &|_, wants, seed| followed::polled(place, wants, seed));
    add("a stream", STREAMED, &|_, wants, seed| followed::streamed(place, wants, seed));
    add("long polls", LONG_POLLED, &|_, wants, seed| followed::long_polled(place, wants, seed));
    add("a reader", READING, &|_, wants, seed| followed::reading(place, wants, seed));
    add("deliveries", POSTED, &|nth, wants, seed| {
        // Every third listens on a Unix socket.
        let socket = (nth % 3 == 0).then(|| folder.join(format!("hook-{nth}")));
        posted::posted(place, wants, seed, socket)
    });
    add("event.from", COALESCED, &|_, _, seed| coalesced::coalesced(place, seed));
    add("event.next", REGISTERED, &|_, _, _| registered::registered(place));
    all
}

fn ended((kind, telling): (&str, Telling), began: Instant, server: &Server) -> Box<dyn Story> {
    while !telling.is_finished() {
        assert!(began.elapsed() < END_MAX, "{kind} do not hear the end:\n{}", server.said());
        sleep(Duration::from_millis(20));
    }
    telling.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Blocked calls and streams end when their sockets close.
fn nobody_waits_for_who_has_gone(place: &Place) {
    let own = place.ask("subscription.create", &[json!({"classes": ["VBD"]})]);
    let task = place.ask("task.create", &[json!("never ends"), json!("")]);
    let network = place.ask("network.get_all", &[])[0].clone();
    let state = json!(format!("network/{}", network.as_str().expect("a reference")));
    place.ask("event.register", &[json!(["VBD"])]);
    let calls = [
        ("subscription.poll", vec![own, json!(1), json!(3600.0)]),
        ("task.wait", vec![task, json!(3600.0)]),
        ("event.wait", vec![state, json!({"name_label": "never"}), json!(""), json!(3600.0)]),
        ("event.from", vec![json!(["VBD"]), place.ask("event.inject", &[json!("network"), network]), json!(3600.0)]),
        ("event.next", vec![]),
    ];
    let asked: Vec<_> = calls.iter().map(|(method, params)| place.begin(method, params)).collect();
    let streams =
        [place.get("/events?classes=VBD&token=now", ""), place.get("/events?classes=VBD&timeout=3600&token=now", "")];
    let streams = streams.map(|stream| stream.expect("the server is there"));
    let waiting = || place.measured("waiting_calls") + place.measured("streams");
    server::wait_for("all of them wait", END_MAX, || (waiting() as usize == asked.len() + streams.len()).then_some(()));
    drop((asked, streams));
    server::wait_for("nobody waits any more", END_MAX, || (waiting() == 0).then_some(()));
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is not a number")))
}

/// A member that is text.
pub fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_else(|| panic!("no text {name} in {value}"))
}

/// The position in a token.
pub fn position_of(token: &str) -> u64 {
    token.split(',').next().and_then(|digits| digits.parse().ok()).unwrap_or_else(|| panic!("no token {token:?}"))
}

/// A machine that is cheap to have.
pub fn machine(name: &str) -> Value {
    const BYTES: u64 = 16 << 20;
    json!({"name_label": name, "memory_static_max": BYTES, "memory_dynamic_max": BYTES, "memory_dynamic_min": BYTES,
        "memory_static_min": BYTES, "VCPUs_max": 1, "VCPUs_at_startup": 1, "HVM_boot_policy": "BIOS order"})
}
