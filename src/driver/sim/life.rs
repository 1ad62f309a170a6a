//! How long things take and what guests do, in the simulated world. All of it
//! follows from the mark or the domain's number and a seed, so that the same
//! run is the same again.
//!
//! What a machine's `platform` or `other_config` may say:
//!
//! | key | meaning |
//! |---|---|
//! | `sim:crash-after`, `sim:poweroff-after`, `sim:reboot-after` | seconds after a start at which the guest does that |
//! | `sim:fail` | the action (`start`, `shutdown`, `disks`…) that fails half-way |
//! | `sim:hang` | the action that never ends |
//! | `sim:no-agent` | the guest tells nothing |

use super::store::{Doing, Domain};
use crate::driver::action::{Action, DiskWork, HostWork, Manner, Nic, Texts};
use crate::driver::observation::Guest;
use crate::value::{Micros, Ref};
use std::time::Duration;

const GIB: f64 = (1u64 << 30) as f64;
/// Bytes a second that a disk is copied with.
const COPY_SPEED: f64 = 0.5 * GIB;
/// Bytes a second that memory is written to or read from an image with.
const MEMORY_SPEED: f64 = 1.0 * GIB;
/// Seconds after which a guest's agent tells of it.
const AGENT_AFTER: f64 = 5.0;

/// The fate of the simulated world.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many simulated seconds go by in one.
    pub speed: f64,
    pub seed: u64,
    /// How likely a started machine crashes within its first minute.
    pub crash_rate: f64,
    /// How likely an action is refused.
    pub refuse_rate: f64,
    /// Seconds that a look takes: what it tells is from before them.
    pub look: f64,
    /// The boot of the machine that the simulation runs on: with another one, the domains are gone.
    pub under: String,
}

impl Default for Options {
    fn default() -> Options {
        Options { speed: 1.0, seed: 0, crash_rate: 0.0, refuse_rate: 0.0, look: 0.0, under: String::new() }
    }
}

impl Options {
    /// Simulated seconds, as time of the world.
    pub fn span(&self, seconds: f64) -> Duration {
        Duration::from_secs_f64((seconds / self.speed.max(0.001)).clamp(0.0, 1e9))
    }

    /// A number from 0 to 1 that follows from the seed and what it is about.
    pub fn chance(&self, about: Ref, salt: &str) -> f64 {
        use sha2::{Digest, Sha256};
        let digest = Sha256::new().chain_update(self.seed.to_be_bytes()).chain_update(about.0).chain_update(salt);
        let bytes: [u8; 32] = digest.finalize().into();
        let first = bytes.first_chunk::<4>().copied().expect("BUG: a digest has four bytes");
        f64::from(u32::from_be_bytes(first)) / f64::from(u32::MAX)
    }

    /// When fate makes a machine crash that starts now.
    pub fn fate(&self, machine: Ref, domid: i64, now: Micros) -> Option<Micros> {
        let salt = format!("crash {domid}");
        let unlucky = self.crash_rate > 0.0 && self.chance(machine, &salt) < self.crash_rate;
        unlucky.then(|| now + micros(self.span(5.0 + 55.0 * self.chance(machine, "when"))))
    }

    /// What the guest does by itself, and when.
    pub fn next_act(&self, domain: &Domain) -> Option<(Micros, Doing)> {
        let after = |key: &str| {
            let seconds: f64 = domain.config.options.get(key)?.parse().ok()?;
            Some(domain.started + micros(self.span(seconds)))
        };
        let acts = [
            (domain.crash_at, Doing::Crashed),
            (after("sim:crash-after"), Doing::Crashed),
            (after("sim:poweroff-after"), Doing::PoweredOff),
            (after("sim:reboot-after"), Doing::AskedForReboot),
        ];
        let acts = acts.into_iter().filter_map(|(at, doing)| Some((at?, doing)));
        acts.min_by_key(|(at, _)| *at).filter(|_| domain.doing == Doing::Running)
    }

    /// When the guest's agent begins to tell of it.
    pub fn agent_at(&self, domain: &Domain) -> Option<Micros> {
        let silent = domain.config.options.contains_key("sim:no-agent");
        let there = matches!(domain.doing, Doing::Running | Doing::Paused);
        (there && !silent).then(|| domain.started + micros(self.span(AGENT_AFTER)))
    }
}

pub fn micros(span: Duration) -> Micros {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX / 4)
}

/// What `sim:fail` and `sim:hang` call an action.
pub fn name(action: &Action) -> &'static str {
    match action {
        Action::Nothing => "nothing",
        Action::Start(_) => "start",
        Action::Resume(..) => "resume",
        Action::Pause(_) => "pause",
        Action::Unpause(_) => "unpause",
        Action::Shutdown { .. } => "shutdown",
        Action::Clear(_) => "clear",
        Action::Reboot { .. } => "reboot",
        Action::Renew(_) => "renew",
        Action::Suspend { .. } => "suspend",
        Action::Memory { .. } => "memory",
        Action::Vcpus { .. } => "vcpus",
        Action::Scheduler { .. } => "scheduler",
        Action::Signal { .. } => "signal",
        Action::AttachDisk { .. } | Action::AttachNic { .. } | Action::MoveNics(_) => "attach",
        Action::DetachDisk { .. } | Action::DetachNic { .. } => "detach",
        Action::Media { .. } => "media",
        Action::Disks { .. } => "disks",
        Action::Resize { .. } => "resize",
        Action::Track { .. } => "track",
        Action::Measure(_) | Action::Compare { .. } | Action::Scan(_) | Action::Probe(_) => "scan",
        Action::FindInterfaces | Action::Interface(_) => "interface",
        Action::DetachUsb { .. } => "detach",
        Action::FindUsb => "scan",
        Action::Host(_) => "host",
        Action::Keys(_) => "keys",
        Action::CreateRepository(_) | Action::DestroyRepository(_) => "repository",
        Action::AttachRepository(_) | Action::DetachRepository(_) => "repository",
    }
}

/// How many simulated seconds an action takes; `luck` is from 0 to 1, `memory` what the machine has.
pub fn seconds(action: &Action, luck: f64, memory: i64) -> f64 {
    let memory = memory as f64;
    match action {
        Action::Nothing => 0.0,
        Action::Start(_) => 2.0 + 2.0 * luck,
        Action::Shutdown { how: Manner::Hard, .. } | Action::Clear(_) => 0.2,
        Action::Shutdown { .. } => 1.0 + 2.0 * luck,
        Action::Reboot { clean, .. } => 2.0 + 2.0 * luck + if *clean { 1.0 + luck } else { 0.0 },
        Action::Suspend { .. } | Action::Resume(..) | Action::Renew(_) => 0.5 + memory / MEMORY_SPEED,
        Action::Memory { .. } => 0.5 + luck,
        Action::Pause(_) | Action::Unpause(_) | Action::Signal { .. } | Action::Scheduler { .. } => 0.05,
        Action::Vcpus { .. } | Action::Media { .. } => 0.2,
        Action::AttachDisk { .. } | Action::DetachDisk { .. } => 0.3,
        Action::AttachNic { .. } | Action::DetachNic { .. } | Action::MoveNics(_) => 0.3,
        Action::Disks { work, .. } => work.iter().map(|disk| disk_seconds(&disk.work, disk.bytes, memory)).sum(),
        Action::Resize { .. } | Action::Scan(_) | Action::Probe(_) => 0.5,
        Action::Measure(_) | Action::Compare { .. } | Action::Track { .. } => 0.1,
        Action::Host(HostWork::Off) => 3.0,
        Action::Host(_) => 10.0,
        Action::Keys(_) => 0.0,
        Action::FindInterfaces | Action::FindUsb | Action::Interface(_) | Action::DetachUsb { .. } => 0.3,
        Action::CreateRepository(_) | Action::DestroyRepository(_) => 1.0,
        Action::AttachRepository(_) | Action::DetachRepository(_) => 0.5,
    }
}

fn disk_seconds(work: &DiskWork, bytes: i64, memory: f64) -> f64 {
    match work {
        DiskWork::Make | DiskWork::Remove | DiskWork::Empty => 0.2,
        DiskWork::Clone(_) => 0.3,
        DiskWork::Copy(_) | DiskWork::Move(_) => 0.3 + bytes as f64 / COPY_SPEED,
        DiskWork::Memory => 0.5 + memory / MEMORY_SPEED,
    }
}

/// What the agent tells.
pub fn guest(domain: &Domain) -> Guest {
    let mut networks = Texts::new();
    for nic in &domain.config.nics {
        let [.., b, c, d] = address_bytes(nic);
        networks.insert(format!("{}/ip", nic.number), format!("10.{b}.{c}.{d}"));
        networks.insert(format!("{}/ipv4/0", nic.number), format!("10.{b}.{c}.{d}"));
        networks.insert(format!("{}/ipv6/0", nic.number), link_local(nic));
    }
    Guest {
        os_version: texts(&[
            ("name", "Simulated Linux 1.0"),
            ("distro", "simulated"),
            ("major", "1"),
            ("minor", "0"),
            ("uname", "6.12.0-sim"),
        ]),
        drivers: texts(&[("major", "8"), ("minor", "4"), ("micro", "0"), ("build", "1")]),
        networks,
        other: texts(&[("feature-shutdown", "1"), ("feature-suspend", "1"), ("feature-balloon", "1")]),
    }
}

fn texts(pairs: &[(&str, &str)]) -> Texts {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

/// The six bytes of the interface's MAC; zeros where it has none.
fn address_bytes(nic: &Nic) -> [u8; 6] {
    let mut bytes = [0; 6];
    for (byte, text) in bytes.iter_mut().zip(nic.mac.split(':')) {
        *byte = u8::from_str_radix(text, 16).unwrap_or(0);
    }
    bytes
}

fn link_local(nic: &Nic) -> String {
    let [a, b, c, d, e, f] = address_bytes(nic);
    format!("fe80::{:02x}{b:02x}:{c:02x}ff:fe{d:02x}:{e:02x}{f:02x}", a ^ 2)
}
