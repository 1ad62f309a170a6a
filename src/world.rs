//! The clock, ids and randomness: everything that a replay must not call.
//!
//! One [`World`] is made at start and handed on. The real one asks the system;
//! the simulated one moves only when told to and draws from a seed, so that a
//! failing run is reproduced from its seed.

use crate::value::{Micros, Ref};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use std::cell::RefCell;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::Notify;

/// What a command draws its ids from.
pub type Seed = [u8; 32];

/// The world outside, real or simulated.
#[derive(Clone)]
pub struct World(Arc<Kind>);

enum Kind {
    Real,
    Simulated(Box<Simulated>),
}

struct Simulated {
    now: AtomicI64,
    moved: Notify,
    random: Mutex<ChaCha12Rng>,
}

impl World {
    pub fn real() -> World {
        World(Arc::new(Kind::Real))
    }

    /// A world that starts at `now` and draws from `seed`.
    pub fn simulated(now: Micros, seed: u64) -> World {
        let random = Mutex::new(ChaCha12Rng::seed_from_u64(seed));
        let simulated = Simulated { now: AtomicI64::new(now), moved: Notify::new(), random };
        World(Arc::new(Kind::Simulated(Box::new(simulated))))
    }

    pub fn now(&self) -> Micros {
        match &*self.0 {
            Kind::Real => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
            }
            Kind::Simulated(simulated) => simulated.now.load(Ordering::SeqCst),
        }
    }

    /// Moves a simulated clock and wakes who slept that long; does nothing to the real one.
    pub fn advance(&self, by: Duration) {
        if let Kind::Simulated(simulated) = &*self.0 {
            simulated.now.fetch_add(by.as_micros() as i64, Ordering::SeqCst);
            simulated.moved.notify_waiters();
        }
    }

    /// Sets a simulated clock back; does nothing to the real one.
    pub fn turn_back(&self, by: Duration) {
        if let Kind::Simulated(simulated) = &*self.0 {
            simulated.now.fetch_sub(by.as_micros() as i64, Ordering::SeqCst);
        }
    }

    /// Sleeps on this world's clock.
    pub async fn sleep(&self, duration: Duration) {
        match &*self.0 {
            Kind::Real => tokio::time::sleep(duration).await,
            Kind::Simulated(simulated) => {
                let until = self.now().saturating_add(duration.as_micros() as i64);
                loop {
                    let woken = simulated.moved.notified();
                    if self.now() >= until {
                        return;
                    }
                    woken.await;
                }
            }
        }
    }

    pub fn fill(&self, bytes: &mut [u8]) {
        match &*self.0 {
            Kind::Real => getrandom::fill(bytes).expect("BUG: the system has a random source"),
            Kind::Simulated(simulated) => {
                simulated.random.lock().expect("BUG: nobody panics while drawing").fill_bytes(bytes);
            }
        }
    }

    pub fn seed(&self) -> Seed {
        match &*self.0 {
            Kind::Real => DRAWN.with_borrow_mut(|drawn| self.draw_from(drawn)),
            Kind::Simulated(_) => {
                let mut seed = Seed::default();
                self.fill(&mut seed);
                seed
            }
        }
    }

    /// The next of the seeds drawn, which is kept by nobody else; asks the system for more when there are none.
    fn draw_from(&self, drawn: &mut Vec<Seed>) -> Seed {
        if drawn.is_empty() {
            drawn.resize(SEEDS_DRAWN, Seed::default());
            self.fill(drawn.as_flattened_mut());
        }
        let seed = drawn.last_mut().map(std::mem::take).expect("BUG: some were just drawn");
        drawn.pop();
        seed
    }

    pub fn random_u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_be_bytes(bytes)
    }
}

/// Seeds that are drawn from the system at once: every call needs one, and asking costs more than the seed.
const SEEDS_DRAWN: usize = 64;

thread_local! {
    /// Drawn and not used yet.
    static DRAWN: RefCell<Vec<Seed>> = const { RefCell::new(Vec::new()) };
}

/// Draws the ids of one command from its seed: the same seed gives the same ids.
pub struct Ids {
    seed: Seed,
    random: Option<ChaCha12Rng>,
}

impl Ids {
    pub fn new(seed: Seed) -> Ids {
        Ids { seed, random: None }
    }

    /// A version 4 uuid, as 16 bytes: for references and for uuids alike.
    pub fn draw(&mut self) -> Ref {
        let mut bytes = [0; 16];
        self.fill(&mut bytes);
        Ref(*uuid::Builder::from_random_bytes(bytes).as_uuid().as_bytes())
    }

    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.random.get_or_insert_with(|| ChaCha12Rng::from_seed(self.seed)).fill_bytes(bytes);
    }
}

/// Changes with every start of the machine; "" where the kernel does not tell.
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_string()
}
