//! Work that nobody waits for, on a thread that gives way to all others: it has
//! the time that they leave, and while they leave none a share so small that
//! they do not feel it. What the work spawns gives way too.
//!
//! Must never know what the work is, and no such work may hold what others wait
//! for.

use rustix::process::setpriority_process;
use std::io;
use std::thread::Builder;
use tokio::runtime;
use tokio::sync::oneshot;

/// How much a thread gives way, at most (sched(7)): beside one of ordinary priority it has a seventieth of a processor.
const NICE: i32 = 19;

/// Does the work; to its end, even if nobody waits for it any more.
pub async fn work<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> io::Result<T> {
    let (done, result) = oneshot::channel();
    let runtime = runtime::Builder::new_current_thread().on_thread_start(give_way).build()?;
    Builder::new().name("background".into()).spawn(move || {
        give_way();
        drop(done.send(runtime.block_on(work)));
    })?;
    Ok(result.await.expect("BUG: work in the background panicked"))
}

/// This thread, not the process: a priority is each thread's own (setpriority(2), on Linux).
fn give_way() {
    if let Err(error) = setpriority_process(None, NICE) {
        tracing::debug!(%error, "work in the background does not give way");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::getpriority_process;

    fn nice() -> i32 {
        getpriority_process(None).expect("a thread has a priority")
    }

    #[tokio::test]
    async fn gives_way_with_all_that_it_spawns_and_nobody_else_does() {
        let before = nice();
        let spawned = async { (nice(), tokio::task::spawn_blocking(nice).await.expect("it does not panic")) };
        assert_eq!(work(spawned).await.expect("a thread"), (NICE, NICE));
        assert_eq!((nice(), tokio::task::spawn_blocking(nice).await.expect("it does not panic")), (before, before));
    }
}
