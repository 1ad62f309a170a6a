//! A simulated hypervisor: machines without hardware that take their time,
//! have addresses, crash, and survive the end of the server, as real ones do.
//!
//! Its state is in a journal of its own ([`store`]) and never derived from the
//! log; what takes how long and what guests do is in [`life`]; how each action
//! begins and what it reaches is in [`steps`]. This module carries actions
//! through: begin, take time, reach.
//!
//! Must never know the view, the log, or what a task is.

mod contents;
mod copies;
mod hardware;
mod life;
mod steps;
mod store;
mod terminal;

pub use life::Options;

use super::{Action, Driver, Facts, Image, Machine, Observation, Power, Progress, Terminal, Trace, Work};
use crate::driver::action::Texts;
use crate::driver::observation::Ended;
use crate::error::{ApiError, codes};
use crate::value::{Micros, Ref};
use crate::world::World;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;
use store::{Doing, Domain, Entry, Place, State, Store};
use tokio::sync::Notify;

/// The journal's name in the data folder.
pub const JOURNAL: &str = "sim.journal";
/// How many times an action tells how far it has come.
const STEPS: u32 = 20;
/// The shortest time between two of them.
const STEP_MIN: Duration = Duration::from_millis(50);

/// See the module.
pub struct Sim {
    world: World,
    options: Options,
    inner: Mutex<Inner>,
    /// Where files on disks are; none in memory.
    folder: Option<PathBuf>,
    /// Something changed that nobody was told of yet.
    changed: Notify,
}

struct Inner {
    store: Store,
    /// When somebody looked last: what was due by then has been seen.
    looked: Micros,
}

/// What an operator or fate does behind the server's back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interference {
    Destroy,
    Pause,
    Unpause,
    Crash,
    PowerOff,
    Reboot,
}

impl Sim {
    /// The hypervisor whose journal is in `folder`; a new, empty one if there is none.
    pub fn open(folder: &Path, world: World, options: Options) -> io::Result<Sim> {
        let sim = Sim::new(Store::open(&folder.join(JOURNAL))?, world, options)?;
        Ok(Sim { folder: Some(folder.join(copies::FOLDER)), ..sim })
    }

    /// A hypervisor that ends with the process.
    pub fn in_memory(world: World, options: Options) -> Sim {
        Sim::new(Store::in_memory(), world, options).expect("BUG: memory is always written")
    }

    fn new(mut store: Store, world: World, options: Options) -> io::Result<Sim> {
        if store.state.boot.is_null() {
            store.commit(vec![Entry::Boot(crate::world::Ids::new(world.seed()).draw())])?;
        }
        // A machine's domains end with its power, whatever the journal's unsynced end still said of them.
        if store.state.under != options.under {
            let mut entries = vec![Entry::Under(options.under.clone())];
            if !store.state.under.is_empty() {
                entries.extend(down(&store.state, &world));
            }
            store.commit_synced(entries)?;
        }
        let inner = Mutex::new(Inner { store, looked: 0 });
        Ok(Sim { world, options, inner, folder: None, changed: Notify::new() })
    }

    /// Does something to a machine that the server did not ask for; whether there was such a machine.
    pub fn interfere(&self, machine: Ref, how: Interference) -> bool {
        let mut inner = self.lock();
        let Some(mut domain) = inner.store.state.machines.get(&machine).cloned() else { return false };
        domain.doing = match how {
            Interference::Pause => Doing::Paused,
            Interference::Unpause => Doing::Running,
            Interference::Crash => Doing::Crashed,
            Interference::PowerOff => Doing::PoweredOff,
            Interference::Reboot => Doing::AskedForReboot,
            Interference::Destroy => domain.doing,
        };
        let left = (how != Interference::Destroy).then(|| Box::new(domain));
        let written = inner.store.commit(vec![Entry::Machine(machine, left)]);
        self.changed.notify_one();
        written.is_ok()
    }

    /// The whole host goes down and comes up again, without its machines.
    pub fn reboot_host(&self) {
        let mut inner = self.lock();
        let entries = down(&inner.store.state, &self.world);
        drop(inner.store.commit(entries));
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("BUG: nobody panics while changing the simulated world")
    }

    /// Lets guests do what is due.
    fn catch_up(&self, inner: &mut Inner) -> Result<(), ApiError> {
        let now = self.world.now();
        let due = inner.store.state.machines.iter().filter_map(|(uuid, domain)| {
            let (_, doing) = self.options.next_act(domain).filter(|(at, _)| *at <= now)?;
            Some(Entry::Machine(*uuid, Some(Box::new(Domain { doing, ..domain.clone() }))))
        });
        let due: Vec<Entry> = due.collect();
        if due.is_empty() { Ok(()) } else { inner.store.commit(due).map_err(unwritten) }
    }

    /// When the next thing happens that nobody has seen yet.
    fn due(&self) -> Option<Micros> {
        let inner = self.lock();
        let domains = inner.store.state.machines.values();
        let times = domains.flat_map(|domain| {
            [self.options.next_act(domain).map(|(at, _)| at), self.options.agent_at(domain)].into_iter().flatten()
        });
        times.filter(|at| *at > inner.looked).min()
    }

    fn look(&self) -> Result<Observation, ApiError> {
        let mut inner = self.lock();
        self.catch_up(&mut inner)?;
        let now = self.world.now();
        inner.looked = now;
        let state = &inner.store.state;
        let machines = state.machines.iter().filter(|(_, domain)| domain.doing != Doing::Building);
        let machines = machines.map(|(uuid, domain)| (*uuid, self.machine(domain, now)));
        Ok(Observation {
            boot: state.boot.uuid_text(),
            machines: machines.collect(),
            hardware: hardware::HARDWARE.clone(),
        })
    }

    fn machine(&self, domain: &Domain, now: Micros) -> Machine {
        let power = match domain.doing {
            Doing::Running | Doing::Building => Power::Running,
            Doing::Paused => Power::Paused,
            Doing::PoweredOff => Power::Ended(Ended::PowerOff),
            Doing::AskedForReboot => Power::Ended(Ended::Reboot),
            Doing::Crashed => Power::Ended(Ended::Crash),
        };
        let told = self.options.agent_at(domain).is_some_and(|at| at <= now);
        let guest = told.then(|| life::guest(domain));
        let name = domain.config.name.clone();
        Machine { name, domid: domain.domid, power, memory: domain.memory, vcpus: domain.vcpus, guest }
    }

    async fn carry_out(&self, mark: Ref, action: &Action, progress: &Progress) -> Result<Facts, ApiError> {
        let (seconds, options) = {
            let mut inner = self.lock();
            self.catch_up(&mut inner)?;
            match steps::begin(&inner.store.state, mark, action)? {
                steps::Begun::Reached => return Ok(steps::facts(&inner.store.state, mark)),
                steps::Begun::Go(entries) => inner.store.commit(entries).map_err(unwritten)?,
            }
            let domain = steps::machine(action).and_then(|uuid| inner.store.state.machines.get(&uuid));
            let memory = domain.map_or(0, |domain| domain.memory);
            let options = steps::options(action).or(domain.map(|domain| &domain.config.options)).cloned();
            let luck = self.options.chance(mark, "time");
            (life::seconds(action, luck, memory), options.unwrap_or_default())
        };
        self.take_time(seconds, mark, action, &options, progress).await?;
        let mut inner = self.lock();
        self.catch_up(&mut inner)?;
        let (entries, facts) = steps::reach(&inner.store.state, mark, action, &self.options, self.world.now())?;
        inner.store.commit(entries).map_err(unwritten)?;
        self.changed.notify_one();
        Ok(facts.unwrap_or_else(|| steps::facts(&inner.store.state, mark)))
    }

    /// The time between the mark and the end; half-way is where things fail or hang that should.
    async fn take_time(
        &self,
        seconds: f64,
        mark: Ref,
        action: &Action,
        options: &Texts,
        progress: &Progress,
    ) -> Result<(), ApiError> {
        let span = self.options.span(seconds);
        let slices = ((span.as_millis() / STEP_MIN.as_millis()) as u32).clamp(2, STEPS);
        let name = life::name(action);
        let wants = |key: &str| options.get(key).is_some_and(|which| which == name);
        let refused = self.options.refuse_rate > 0.0 && self.options.chance(mark, "refuse") < self.options.refuse_rate;
        for slice in 0..slices {
            progress.send_replace(f64::from(slice) / f64::from(slices));
            if slice == slices / 2 {
                if wants("sim:hang") {
                    std::future::pending::<()>().await;
                }
                if wants("sim:fail") || refused {
                    return Err(codes::INTERNAL_ERROR(format!("the simulated hypervisor refused: {name}")));
                }
            }
            self.world.sleep(span / slices).await;
        }
        Ok(())
    }

    fn undo(&self, mark: Ref) -> Result<(), ApiError> {
        let mut inner = self.lock();
        let entries = steps::undo(&inner.store.state, mark);
        self.changed.notify_one();
        if entries.is_empty() { Ok(()) } else { inner.store.commit(entries).map_err(unwritten) }
    }

    fn recall(&self, mark: Ref) -> Trace {
        let inner = self.lock();
        let state: &State = &inner.store.state;
        let places = state.marked(mark);
        let done = |place: &Place| state.mark(*place).is_some_and(|mark| mark.done);
        match (places.is_empty(), places.iter().all(done)) {
            (true, _) => Trace::Nothing,
            (false, true) => Trace::Done(steps::facts(state, mark)),
            (false, false) => Trace::Unfinished,
        }
    }
}

impl Driver for Sim {
    fn observe(&self) -> Work<'_, Observation> {
        Box::pin(async {
            let seen = self.look();
            if self.options.look > 0.0 {
                self.world.sleep(self.options.span(self.options.look)).await;
            }
            seen
        })
    }

    fn act<'a>(&'a self, mark: Ref, action: &'a Action, progress: &'a Progress) -> Work<'a, Facts> {
        Box::pin(async move {
            let done = self.carry_out(mark, action, progress).await;
            if done.is_err() {
                self.undo(mark)?;
            }
            done
        })
    }

    fn trace(&self, mark: Ref) -> Work<'_, Trace> {
        Box::pin(async move { Ok(self.recall(mark)) })
    }

    fn discard(&self, mark: Ref) -> Work<'_, ()> {
        Box::pin(async move { self.undo(mark) })
    }

    fn fill<'a>(&'a self, disk: &'a Image, from: &'a Path) -> Work<'a, ()> {
        Box::pin(self.put_on(disk, from))
    }

    fn contents<'a>(&'a self, disk: &'a Image) -> Work<'a, PathBuf> {
        Box::pin(std::future::ready(self.file_on(disk)))
    }

    fn console(&self, clear: bool) -> Work<'_, String> {
        let mut inner = self.lock();
        let text = inner.store.said.iter().flat_map(|line| [line, "\n"]).collect();
        if clear {
            inner.store.said.clear();
        }
        Box::pin(std::future::ready(Ok(text)))
    }

    fn terminal(&self, machine: Ref) -> Work<'_, Terminal> {
        let running = self.lock().store.state.machines.get(&machine).map(|domain| domain.config.name.clone());
        Box::pin(async move {
            let refused = || codes::VM_BAD_POWER_STATE(machine.uuid_text(), "running", "halted");
            Ok(Box::new(terminal::open(&running.ok_or_else(refused)?)) as Terminal)
        })
    }

    fn changes(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            let due = self.due();
            let left = Duration::from_micros(due.map_or(0, |at| (at - self.world.now()).max(0) as u64));
            tokio::select! {
                () = self.changed.notified() => {}
                () = self.world.sleep(left), if due.is_some() => {}
            }
        })
    }
}

/// What a host's going down does to what it had.
fn down(state: &State, world: &World) -> Vec<Entry> {
    let mut entries: Vec<Entry> = state.machines.keys().map(|uuid| Entry::Machine(*uuid, None)).collect();
    entries.push(Entry::Boot(crate::world::Ids::new(world.seed()).draw()));
    entries
}

fn unwritten(error: io::Error) -> ApiError {
    tracing::error!(%error, "the simulated hypervisor cannot write its journal");
    codes::INTERNAL_ERROR("the simulated hypervisor cannot write its journal")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::action::Config;

    #[test]
    fn domains_end_with_the_power_of_the_machine_under_them() {
        let (folder, machine) = (tempfile::tempdir().expect("a folder"), Ref([7; 16]));
        let open = |under: &str| {
            let (options, seed) = (Options { under: under.into(), ..Options::default() }, under.len() as u64);
            Sim::open(folder.path(), World::simulated(0, seed), options).expect("the journal opens")
        };
        let running = |sim: &Sim| sim.lock().store.state.machines.contains_key(&machine);
        let sim = open("first boot");
        let domain = Domain {
            domid: 1,
            doing: Doing::Running,
            config: Config::default(),
            memory: 0,
            vcpus: 1,
            started: 0,
            crash_at: None,
            mark: None,
        };
        sim.lock().store.commit(vec![Entry::Machine(machine, Some(Box::new(domain)))]).expect("written");
        let boot = sim.lock().store.state.boot;
        let again = open("first boot");
        assert!(running(&again) && again.lock().store.state.boot == boot, "the server alone was killed");
        let later = open("second boot");
        assert!(!running(&later) && later.lock().store.state.boot != boot, "the power failed");
        assert!(!running(&open("second boot")), "and that is remembered");
    }
}
