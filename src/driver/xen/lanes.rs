//! How many commands of `xl` work at the same time.
//!
//! What attaches devices runs scripts of the distribution, one after the other
//! for the whole host, while `xl` waits for each and loses its patience. More
//! of those at once than there are processors would end none of them sooner,
//! and would end some in failure. They queue, first come first served; nothing
//! else waits for them.

use tokio::sync::{Semaphore, SemaphorePermit};

/// Commands that attach devices.
const ATTACHING: [&str; 4] = ["create", "restore", "block-attach", "network-attach"];
/// How many of the others work at the same time.
const OTHERS_MAX: usize = 32;

pub struct Lanes {
    attaching: Semaphore,
    others: Semaphore,
}

impl Lanes {
    /// The lanes of a host with that many processors for commands.
    pub fn new(processors: usize) -> Lanes {
        Lanes { attaching: Semaphore::new(processors.max(1)), others: Semaphore::new(OTHERS_MAX) }
    }

    /// Waits until the command may work, which it may while what is returned is kept.
    pub async fn enter(&self, command: &str) -> SemaphorePermit<'_> {
        let lane = if ATTACHING.contains(&command) { &self.attaching } else { &self.others };
        lane.acquire().await.expect("BUG: a lane is never closed")
    }
}
