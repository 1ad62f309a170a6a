//! Xen, by its own toolstack: `xl` as a child process for what changes
//! something, xenstore for what changed.
//!
//! ```text
//!   act ── mark written ── xl …, what it says in a file ── truth looked at ── reached
//!     Nothing            │  UnderWay while xl lives or    │                 Done(facts)
//!                        │  has said how it ended         │
//!                        └─ Unfinished: somebody ended it ┘
//! ```
//!
//! A machine is the domain with its uuid; other domains are seen and left
//! alone. What `xl` began outlives the server: whoever comes next finds it by
//! the mark, waits for it, and goes on from there. Nothing is remembered in
//! this process that is not looked up again.
//!
//! | file | does |
//! |---|---|
//! | [`xenstore`] | the wire, watches |
//! | [`xl`] | child processes |
//! | [`lanes`] | how many of them work at once |
//! | [`marks`] | what is being done |
//! | [`domains`] | what there is |
//! | [`config`] | how a machine is described to `xl` |
//! | [`life`] | building, ending, saving machines |
//! | [`devices`] | disks and interfaces of living machines |
//! | [`disks`] | repositories: files in a folder |
//! | [`guest`] | what agents in guests tell |
//! | [`terminal`] | consoles of machines |
//! | [`host`] | what the host is like |
//! | [`failure`] | what `xl` says, as errors |
//!
//! Must never know the view, the log, or what a task is.

mod config;
mod devices;
mod disks;
mod domains;
mod failure;
mod guest;
pub mod host;
mod lanes;
mod life;
mod marks;
mod terminal;
#[cfg(test)]
mod tests;
mod xenstore;
mod xl;

use super::{Action, Driver, Facts, Image, Machine, Observation, Progress, Terminal, Trace, Work};
use crate::command::bootstrap::HostFacts;
use crate::error::{ApiError, codes};
use crate::value::Ref;
pub use disks::room;
use domains::{Domain, Listed, Listing};
use failure::About;
use lanes::Lanes;
use marks::{Mark, Marks, Reached};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};
use xenstore::{Watch, Xenstore};
use xl::{Left, Xl};

/// How long nobody looks while nothing is told: pausing, for one, is told by nobody.
const RESYNC: Duration = Duration::from_millis(1500);
/// The shortest time between two looks: guests may write to their nodes as often as they like.
const LOOK_MIN: Duration = Duration::from_millis(200);
/// How many times longer than a look the time until the next is: looking takes time from the guests.
const LOOK_REST: u32 = 3;
/// How long a command may take that changes one thing; scripts that attach devices are patient themselves.
const QUICK: Duration = Duration::from_secs(300);

/// Where things are on the host.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder for what is being done.
    pub folder: PathBuf,
    /// The folders that kernels of machines are read from.
    pub kernels: Vec<PathBuf>,
    pub xl: PathBuf,
    pub socket: PathBuf,
    /// What tells one run of the host from another.
    pub boot_id: PathBuf,
    /// How many processors there are for what runs beside machines.
    pub processors: usize,
}

impl Options {
    /// As distributions have them.
    pub fn usual(folder: &Path, kernels: &[PathBuf]) -> Options {
        Options {
            folder: folder.to_path_buf(),
            kernels: kernels.to_vec(),
            xl: "xl".into(),
            socket: xenstore::SOCKET.into(),
            boot_id: "/proc/sys/kernel/random/boot_id".into(),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

/// See the module.
pub struct Xen {
    options: Options,
    xl: Xl,
    lanes: Lanes,
    listing: Listing,
    store: Xenstore,
    marks: Marks,
    boot: String,
    watching: Mutex<Option<Watch>>,
    last_look: std::sync::Mutex<Look>,
}

/// When a look ended, and how long it took.
#[derive(Clone, Copy)]
struct Look {
    ended: Instant,
    took: Duration,
}

/// How long nobody looks after a look that took so long. On a host that is short of time looking takes seconds, and must
/// not take all of them.
fn rest(took: Duration) -> Duration {
    (took * LOOK_REST).clamp(LOOK_MIN, RESYNC).max(took)
}

impl Xen {
    /// The hypervisor of this host; an error if there is none, or if its toolstack cannot be used.
    pub async fn open(options: Options) -> anyhow::Result<Xen> {
        use anyhow::Context;
        let boot = std::fs::read_to_string(&options.boot_id).context("the host's boot id")?.trim().to_string();
        let marks = Marks::open(options.folder.clone()).context("the folder for what is being done")?;
        let last_look = std::sync::Mutex::new(Look { ended: Instant::now(), took: Duration::ZERO });
        let (xl, store) = (Xl::new(&options.xl), Xenstore::new(&options.socket));
        let (lanes, listing) = (Lanes::new(options.processors), Listing::default());
        let xen = Xen { xl, lanes, listing, store, marks, boot, options, watching: Mutex::new(None), last_look };
        xen.store.list("/local/domain").await.context("xenstore does not answer")?;
        let listed = xen.xl.ask(&["list", "-v"]).await;
        listed.map_err(|failure| anyhow::anyhow!("xl list: {failure}"))?;
        Ok(xen)
    }

    /// What the host is like, put over what its control domain sees of itself.
    pub async fn describe(&self, facts: &mut HostFacts) -> Result<(), ApiError> {
        let info = self.xl.ask(&["info"]).await;
        let info = info.map_err(|failure| failure::of(failure, &about("info", Ref::NULL)))?;
        let domains = self.domains().await?;
        host::learn(&info, facts);
        let given = |domain: &Domain| domain.memory;
        let own = domains.iter().find(|domain| domain.domid == 0).map(given);
        let others: i64 = domains.iter().filter(|domain| domain.domid != 0).map(given).sum();
        facts.control_memory = own;
        let free = host::free_memory(&info).zip(own);
        facts.overhead = free.map(|(free, own)| (facts.memory_bytes - free - own - others).max(0));
        host::learn_devices(Path::new("/sys/class"), facts);
        Ok(())
    }

    /// All domains, ours and others'.
    async fn domains(&self) -> Listed {
        let list = async {
            let listed = self.xl.ask(&["list", "-v"]).await;
            let listed = listed.map_err(|failure| failure::of(failure, &about("list", Ref::NULL)))?;
            Ok(domains::parse(&listed))
        };
        self.listing.get(list).await
    }

    /// The machine's domain, if it has one: the newest that is not being taken away.
    async fn domain(&self, machine: Ref) -> Result<Option<Domain>, ApiError> {
        // xenstore knows sooner whether there is one at all.
        if self.domid(machine).await?.is_none() {
            return Ok(None);
        }
        let all = self.domains().await?.into_iter().filter(|domain| domain.uuid == machine && !domain.dying);
        Ok(all.max_by_key(|domain| domain.domid))
    }

    async fn living(&self, machine: Ref) -> Result<Domain, ApiError> {
        let domain = self.domain(machine).await?.filter(Domain::lives);
        domain.ok_or_else(|| codes::VM_BAD_POWER_STATE(machine.uuid_text(), "running", "halted"))
    }

    /// The number of the newest domain with that uuid, as xenstore has it; the domain may have ended.
    async fn domid(&self, machine: Ref) -> Result<Option<i64>, ApiError> {
        let numbers = self.store.list("/local/domain").await.map_err(mute)?;
        let numbers: Vec<i64> = numbers.iter().filter_map(|number| number.parse().ok()).collect();
        let paths: Vec<String> = numbers.iter().map(|number| format!("/local/domain/{number}/vm")).collect();
        let uuids = self.store.read_all(&paths).await.map_err(mute)?;
        let own = format!("/vm/{}", machine.uuid_text());
        let mine = numbers.into_iter().zip(uuids).filter(|(_, uuid)| uuid.as_ref() == Some(&own));
        Ok(mine.map(|(number, _)| number).max())
    }

    /// One command about a machine, as part of what is marked; it outlives the server.
    async fn work(&self, task: Ref, about: &About<'_>, args: &[&str], limit: Duration) -> Result<String, ApiError> {
        let said = self.marks.said(task);
        self.over(&said, about).await?;
        let _lane = self.lanes.enter(about.command).await;
        let (command, machine, task) = (about.command, about.machine.uuid_text(), task.uuid_text());
        tracing::info!(command, machine, task, args = args.join(" "), "xl begun");
        let worked = self.xl.work(&said, args, limit).await;
        tracing::info!(command, machine, task, well = worked.is_ok(), "xl ended");
        worked.map_err(|failure| failure::of(failure, about))
    }

    /// Waits until what an earlier server began is over.
    async fn over(&self, said: &Path, about: &About<'_>) -> Result<Left, ApiError> {
        let unread = |error: io::Error| failure::of(error.into(), about);
        let left = xl::left(said).map_err(unread)?;
        if !matches!(left, Left::Working) {
            return Ok(left);
        }
        let (command, machine) = (about.command, about.machine.uuid_text());
        tracing::info!(command, machine, "xl begun by an earlier server");
        let left = xl::wait(said).await.map_err(unread)?;
        tracing::info!(command, machine, "xl ended");
        Ok(left)
    }

    /// The same for a command that must not be done twice: if an earlier server began it, its end is this one's.
    async fn work_once(
        &self,
        task: Ref,
        about: &About<'_>,
        args: &[&str],
        limit: Duration,
    ) -> Result<String, ApiError> {
        let said = self.marks.said(task);
        if xl::is(&said, about.command)
            && let Left::Ended(result) = self.over(&said, about).await?
        {
            return result.map_err(|failure| failure::of(failure, about));
        }
        self.work(task, about, args, limit).await
    }

    /// The mark of an action that begins, or that an earlier server began.
    async fn marked(&self, task: Ref, action: &Action) -> Result<Mark, ApiError> {
        if let Some(mark) = self.marks.get(task)? {
            return Ok(mark);
        }
        let mut mark = Mark {
            task,
            boot: self.boot.clone(),
            machine: life::machine(action),
            before: None,
            builds: matches!(action, Action::Start(_) | Action::Resume(..) | Action::Reboot { .. } | Action::Renew(_)),
            makes: disks::made(action)?,
            holds: false,
            reached: None,
        };
        if let Some(machine) = mark.machine {
            mark.before = self.domid(machine).await?;
        }
        self.marks.put(&mark)?;
        Ok(mark)
    }

    async fn carry_out(&self, task: Ref, action: &Action, progress: &Progress) -> Result<Facts, ApiError> {
        if let Some(facts) = disks::looked(action).await? {
            return Ok(facts);
        }
        match action {
            Action::Nothing => return Ok(Facts::default()),
            Action::FindInterfaces => return Ok(host::interfaces(Path::new("/sys/class/net"))),
            Action::Keys(keys) => return self.press(keys).await,
            _ => {}
        }
        if !task.is_null() {
            return self.carry_on(task, action, progress).await;
        }
        // Without a task nobody asks afterwards, but what is said needs a file.
        let task = life::machine(action).unwrap_or_default();
        self.marks.remove(task);
        let done = self.carry_on(task, action, progress).await;
        self.marks.remove(task);
        done
    }

    async fn carry_on(&self, task: Ref, action: &Action, progress: &Progress) -> Result<Facts, ApiError> {
        let mut mark = self.marked(task, action).await?;
        if let Some(reached) = mark.reached {
            return Ok(reached.into());
        }
        let facts = match action {
            Action::Start(config) => self.start(&mark, config).await?,
            Action::Resume(config, image) => self.resume(&mark, config, image).await?,
            Action::Reboot { config, clean } => self.reboot(&mark, config, *clean).await?,
            Action::Shutdown { machine, how } => self.shutdown(&mark, *machine, *how).await?,
            Action::Clear(machine) => self.sweep(&mark, *machine).await?,
            Action::Suspend { machine, image } => self.suspend(&mark, *machine, image, progress).await?,
            Action::Disks { machine, ends, work, .. } => {
                self.work_on_disks(&mut mark, *machine, *ends, work, progress).await?
            }
            Action::Pause(machine) | Action::Unpause(machine) => self.pause(&mark, action, *machine).await?,
            Action::Resize { disk, bytes } => disks::resize(disk, *bytes)?,
            Action::CreateRepository(repository) | Action::AttachRepository(repository) => {
                disks::open(repository, matches!(action, Action::CreateRepository(_)))?
            }
            Action::DestroyRepository(repository) => disks::destroy(repository)?,
            Action::DetachRepository(_) => Facts::default(),
            _ => self.change(&mark, action).await?,
        };
        mark.reached = Some(Reached::from(&facts));
        self.marks.put(&mark)?;
        Ok(facts)
    }

    /// How far the action came: from its mark, what it last said, and which run of the host it is.
    fn recall(&self, task: Ref) -> Result<Trace, ApiError> {
        let Some(mark) = self.marks.get(task)? else { return Ok(Trace::Nothing) };
        let same_run = mark.boot == self.boot;
        if let Some(reached) = mark.reached {
            // A machine that was built went with its host.
            return Ok(if same_run || !mark.builds { Trace::Done(reached.into()) } else { Trace::Unfinished });
        }
        let left = xl::left(&self.marks.said(task)).map_err(mute)?;
        Ok(match left {
            Left::Working | Left::Ended(_) if same_run => Trace::UnderWay,
            _ => Trace::Unfinished,
        })
    }

    /// Ends what is under way, takes away what it built, and forgets it.
    async fn undo(&self, task: Ref) -> Result<(), ApiError> {
        let Some(mark) = self.marks.get(task)? else { return Ok(()) };
        if mark.reached.is_some() && mark.boot == self.boot {
            return Ok(());
        }
        xl::end(&self.marks.said(task)).await;
        if mark.boot == self.boot {
            self.unbuild(&mark).await?;
        }
        disks::unmake(&mark.makes);
        self.marks.remove(task);
        Ok(())
    }

    async fn press(&self, keys: &str) -> Result<Facts, ApiError> {
        let pressed = self.xl.ask(&["debug-keys", keys]).await;
        pressed.map_err(|failure| failure::of(failure, &about("debug-keys", Ref::NULL)))?;
        Ok(Facts::default())
    }

    async fn look(&self) -> Result<Observation, ApiError> {
        let mut all = self.domains().await?;
        // The control domain is the host's own; what is being taken away is no machine any more.
        all.retain(|domain| domain.domid != 0 && !domain.dying && !domain.uuid.is_null());
        all.sort_by_key(|domain| domain.domid);
        let mut observation = Observation { boot: self.boot.clone(), ..Observation::default() };
        for domain in all {
            let guest = if domain.lives() { guest::read(&self.store, domain.domid).await.map_err(mute)? } else { None };
            let machine = Machine {
                name: domain.name.clone(),
                domid: domain.domid,
                power: domain.power(),
                memory: domain.memory,
                vcpus: domain.vcpus,
                guest,
            };
            observation.machines.insert(domain.uuid, machine);
        }
        Ok(observation)
    }

    /// Returns when xenstore tells of something that may matter, or when it is time to look anyway.
    async fn changed(&self) {
        let mut watching = self.watching.lock().await;
        let last = *self.last_look.lock().expect("BUG: nobody panics with this lock");
        let (soonest, latest) = (last.ended + rest(last.took), last.ended + RESYNC);
        if watching.is_none() {
            let paths = ["@introduceDomain", "@releaseDomain", "/local/domain"];
            match Watch::open(&self.options.socket, &paths).await {
                Ok(watch) => *watching = Some(watch),
                Err(error) => tracing::warn!(%error, "xenstore cannot be watched; looking again and again"),
            }
        }
        let told = async {
            match &mut *watching {
                None => std::future::pending().await,
                Some(watch) => loop {
                    match watch.next().await {
                        Ok(path) if matters(&path) => return true,
                        Ok(_) => {}
                        Err(_) => return false,
                    }
                },
            }
        };
        let lost = tokio::select! {
            told = told => !told,
            () = sleep_until(latest) => false,
        };
        if lost {
            *watching = None;
        }
        sleep_until(soonest).await;
    }
}

/// Whether a change of that node can change what is observed.
fn matters(path: &str) -> bool {
    let Some(rest) = path.strip_prefix("/local/domain/") else { return path.starts_with('@') };
    let Some((domid, node)) = rest.split_once('/') else { return true };
    // The control domain's nodes are its back ends'; how much memory a guest uses is told all the time.
    let told = ["control/", "device/", "console/", "attr/", "data/", "drivers/", "memory/target"];
    domid != "0" && !node.starts_with("data/meminfo") && told.iter().any(|prefix| node.starts_with(prefix))
}

fn about(command: &str, machine: Ref) -> About<'_> {
    About { command, machine, memory: 0, device: "" }
}

/// xenstore, or a file, could not be used.
fn mute(error: io::Error) -> ApiError {
    tracing::warn!(%error, "the hypervisor could not be asked");
    codes::INTERNAL_ERROR("the hypervisor could not be asked")
}

impl Driver for Xen {
    fn observe(&self) -> Work<'_, Observation> {
        Box::pin(async move {
            let began = Instant::now();
            let seen = self.look().await;
            let look = Look { ended: Instant::now(), took: began.elapsed() };
            *self.last_look.lock().expect("BUG: nobody panics with this lock") = look;
            seen
        })
    }

    fn act<'a>(&'a self, mark: Ref, action: &'a Action, progress: &'a Progress) -> Work<'a, Facts> {
        Box::pin(async move {
            let done = self.carry_out(mark, action, progress).await;
            if done.is_err() {
                self.undo(mark).await?;
            }
            done
        })
    }

    fn trace(&self, mark: Ref) -> Work<'_, Trace> {
        Box::pin(async move { self.recall(mark) })
    }

    fn discard(&self, mark: Ref) -> Work<'_, ()> {
        Box::pin(self.undo(mark))
    }

    fn fill<'a>(&'a self, disk: &'a Image, from: &'a Path) -> Work<'a, ()> {
        Box::pin(disks::fill(disk, from))
    }

    fn contents<'a>(&'a self, disk: &'a Image) -> Work<'a, PathBuf> {
        Box::pin(std::future::ready(disks::path(disk)))
    }

    fn console(&self, clear: bool) -> Work<'_, String> {
        Box::pin(async move {
            let args: &[&str] = if clear { &["dmesg", "-c"] } else { &["dmesg"] };
            let said = self.xl.ask(args).await;
            said.map_err(|failure| failure::of(failure, &about("dmesg", Ref::NULL)))
        })
    }

    fn terminal(&self, machine: Ref) -> Work<'_, Terminal> {
        Box::pin(self.open_terminal(machine))
    }

    fn changes(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.changed())
    }
}
