//! The replicator: writes the database to the disks that are to hold a copy,
//! whole, when the log has grown, and not more often than that costs little.
//!
//! ```text
//!   log grew, disks to write ─▶ one backup, without secrets ─▶ each disk ─▶ rest ─▶ …
//!                                                              │
//!                     told of in the log: the first that is written, the first that fails
//! ```
//!
//! What is told of makes the log grow by one row, which is copied in turn and
//! not told of again.

use super::config;
use crate::command::storage::{replication, sr};
use crate::command::{Command, Principal};
use crate::driver::Driver;
use crate::event::Kind;
use crate::log::backup;
use crate::log::folder::assert_room;
use crate::log::writer::Ledger;
use crate::model::{ClassId, SR, VDI};
use crate::subscribe::{Key, Subscribers};
use crate::value::Ref;
use crate::views::{Object, View};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How often it is looked whether the log has grown; that a disk is to hold a copy is heard of at once.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// The shortest time between two copies.
const REST_MIN: Duration = Duration::from_secs(60);
/// How many times as long as a copy took is rested after it, so that a long log is not copied all the time.
const REST_TIMES: u32 = 20;
/// The copy on its way, in the data folder.
const COPY: &str = "replica";
/// The message under which it is told of.
const TOLD: &str = "SR.database_replicated";

/// See the module.
pub struct Replicator {
    ledger: Ledger,
    driver: Arc<dyn Driver>,
    data: PathBuf,
    /// Up to which position each disk has it.
    written: HashMap<Ref, u64>,
    /// The disks whose failure was told of.
    failing: HashSet<Ref>,
}

impl Replicator {
    pub fn new(ledger: Ledger, driver: Arc<dyn Driver>, data: &Path) -> Replicator {
        let data = data.to_path_buf();
        Replicator { ledger, driver, data, written: HashMap::new(), failing: HashSet::new() }
    }

    /// Works until the server stops.
    pub async fn run(mut self, subscribers: Subscribers, stop: CancellationToken) {
        let disks = subscribers.register(vec![Key::Class(ClassId::SR), Key::Class(ClassId::VDI)]);
        let world = self.ledger.world().clone();
        loop {
            let due = self.due();
            let rest = if due.is_empty() { LOOK_EVERY } else { self.copy(&due).await };
            tokio::select! {
                () = disks.woken(), if due.is_empty() => {}
                () = world.sleep(rest) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// The disks that do not have all of the log.
    fn due(&mut self) -> Vec<Arc<Object>> {
        let view = self.ledger.view();
        let current: Vec<Arc<Object>> = replication::current(&view).cloned().collect();
        let kept = |disk: &Ref| current.iter().any(|held| held.reference == *disk);
        self.written.retain(|disk, _| kept(disk));
        self.failing.retain(kept);
        let behind = |disk: &Arc<Object>| self.written.get(&disk.reference).is_none_or(|at| *at < view.position);
        current.iter().filter(|disk| behind(disk)).cloned().collect()
    }

    /// Writes the database to the disks; how long to rest afterwards.
    async fn copy(&mut self, disks: &[Arc<Object>]) -> Duration {
        let began = Instant::now();
        let file = self.data.join(COPY);
        let made = self.back_up(file.clone()).await;
        for disk in disks {
            let outcome = match &made {
                Ok((bytes, position)) => self.write(disk, &file, *bytes).await.map(|()| *position),
                Err(why) => Err(why.clone()),
            };
            self.tell(disk, outcome).await;
        }
        let _ = std::fs::remove_file(&file);
        REST_MIN.max(began.elapsed() * REST_TIMES)
    }

    /// One backup for all of them, made beside the writer: how many bytes it has, and up to which position.
    async fn back_up(&self, file: PathBuf) -> Result<(u64, u64), String> {
        let _ = std::fs::remove_file(&file); // of a run that was killed
        let (data, now, runtime) = (self.data.clone(), self.ledger.world().now(), tokio::runtime::Handle::current());
        let made = tokio::task::spawn_blocking(move || {
            let write = async {
                assert_room(&data, backup::size(&data).await?)?;
                backup::write(&data, &file, false, now).await
            };
            let made = runtime.block_on(write).map_err(|error| error.to_string())?;
            let about = std::fs::metadata(&file).map_err(|error| error.to_string())?;
            Ok((about.len(), made.head.position))
        });
        made.await.map_err(|error| error.to_string()).flatten()
    }

    async fn write(&self, disk: &Object, file: &Path, bytes: u64) -> Result<(), String> {
        let view = self.ledger.view();
        let room = disk.get(VDI::virtual_size);
        if i64::try_from(bytes).is_ok_and(|bytes| bytes > room) {
            return Err(format!("the copy has {bytes} bytes and the disk {room}: VDI.resize enlarges it"));
        }
        reached(&view, disk)?;
        let image = config::image(&view, disk.reference).ok_or("the disk is gone")?;
        self.driver.fill(&image, file).await.map_err(|error| error.to_string())
    }

    /// Notes what became of a copy, in the log too when that is news.
    async fn tell(&mut self, disk: &Object, outcome: Result<u64, String>) {
        let news = match &outcome {
            Ok(position) => {
                self.written.insert(disk.reference, *position);
                self.failing.remove(&disk.reference) || !disk.get(VDI::metadata_latest)
            }
            Err(why) => {
                tracing::warn!(why, "the database could not be copied to a disk; it is tried again");
                self.failing.insert(disk.reference)
            }
        };
        if !news {
            return;
        }
        let principal = Principal::server("replicator");
        let decide = replication::told(disk.reference, outcome.map(drop));
        let command = Command::own(&principal, self.ledger.world(), Kind::Change, TOLD, decide);
        if let Err(error) = self.ledger.submit(command).await {
            tracing::warn!(%error, "what became of a copy of the database could not be noted");
        }
    }
}

fn reached(view: &View, disk: &Object) -> Result<(), String> {
    let repository = view.find::<SR>(disk.get(VDI::SR)).ok_or("the repository is gone")?;
    sr::assert_attached(view, repository).map_err(|error| error.to_string())
}
