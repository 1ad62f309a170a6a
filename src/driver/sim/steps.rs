//! How each action begins and what it reaches: pure functions from the
//! simulated state to the entries that change it. Between the two, time goes
//! by and anything may happen, so reaching looks again.

use super::contents::Contents;
use super::life::Options;
use super::store::{Doing, Domain, Entry, Mark, Place, Power, Shelf, State, Stored};
use crate::command::operation::{Facts, OfHost};
use crate::driver::action::{Action, Config, Device, Disk, DiskWork, HostWork, Image, Nic, Repository, Texts};
use crate::error::{ApiError, codes};
use crate::value::{Micros, Ref};
use std::collections::BTreeMap;

/// Discs that a simulated ISO library always has.
const DISCS: [(&str, i64); 2] = [("alpine-virt-3.22.iso", 66 << 20), ("debian-13-netinst.iso", 784 << 20)];

/// The network devices that the simulated host has.
const INTERFACES: [(&str, &str); 2] = [("eth0", "02:16:3e:00:00:01"), ("eth1", "02:16:3e:00:00:02")];

/// How an action begins.
pub enum Begun {
    /// Its end is reached already.
    Reached,
    /// The mark is to be written, and what is there half-built.
    Go(Vec<Entry>),
}

/// The machine that an action is about.
pub fn machine(action: &Action) -> Option<Ref> {
    match action {
        Action::Start(config) | Action::Resume(config, _) | Action::Reboot { config, .. } | Action::Renew(config) => {
            Some(config.machine)
        }
        Action::Pause(machine) | Action::Unpause(machine) | Action::Clear(machine) => Some(*machine),
        Action::Shutdown { machine, .. } | Action::Suspend { machine, .. } | Action::Memory { machine, .. } => {
            Some(*machine)
        }
        Action::Vcpus { machine, .. } | Action::Scheduler { machine, .. } | Action::Signal { machine, .. } => {
            Some(*machine)
        }
        Action::AttachDisk { machine, .. } | Action::DetachDisk { machine, .. } | Action::Media { machine, .. } => {
            Some(*machine)
        }
        Action::AttachNic { machine, .. } | Action::DetachNic { machine, .. } => Some(*machine),
        Action::DetachUsb { machine, .. } => Some(*machine),
        Action::Disks { machine, .. } => *machine,
        _ => None,
    }
}

/// What an action brings along for the simulation.
pub fn options(action: &Action) -> Option<&Texts> {
    match action {
        Action::Start(config) | Action::Resume(config, _) | Action::Reboot { config, .. } | Action::Renew(config) => {
            Some(&config.options)
        }
        Action::Disks { options, .. } => Some(options),
        _ => None,
    }
}

/// The mark goes to what the action is about; what is new is there, half-built.
pub fn begin(state: &State, mark: Ref, action: &Action) -> Result<Begun, ApiError> {
    let entries = match action {
        Action::Nothing | Action::Measure(_) | Action::Scan(_) | Action::Probe(_) => Vec::new(),
        Action::Compare { .. } => Vec::new(),
        Action::Track { disk, bytes, .. } => {
            vec![put_disk(Stored { mark: Some(begun(mark, false)), ..known(state, disk, *bytes) })]
        }
        Action::Start(config) => match state.machines.get(&config.machine) {
            Some(domain) if alive(domain) => return Ok(Begun::Reached),
            _ => building(state, config, mark),
        },
        Action::Resume(config, image) => match state.machines.get(&config.machine) {
            Some(domain) if alive(domain) => return Ok(Begun::Reached),
            _ if !state.disks.contains_key(&image.disk) => {
                return Err(codes::SUSPEND_IMAGE_NOT_ACCESSIBLE(image.disk.uuid_text()));
            }
            _ => building(state, config, mark),
        },
        Action::Shutdown { machine, .. } => match state.machines.get(machine) {
            None => return Ok(Begun::Reached),
            Some(domain) => vec![marked(domain, mark)],
        },
        Action::Clear(machine) => match state.machines.get(machine).filter(|domain| !alive(domain)) {
            None => return Ok(Begun::Reached),
            Some(domain) => vec![marked(domain, mark)],
        },
        Action::Reboot { config, .. } => match state.machines.get(&config.machine) {
            Some(domain) if alive(domain) => vec![marked(domain, mark)],
            _ => building(state, config, mark),
        },
        Action::Suspend { machine, image } => {
            let domain = running(state, *machine)?;
            vec![marked(domain, mark), half_made(image, domain.memory, mark)]
        }
        Action::Disks { machine, work, .. } => begin_disks(state, mark, *machine, work)?,
        Action::Resize { disk, bytes } => {
            vec![put_disk(Stored { mark: Some(begun(mark, false)), ..known(state, disk, *bytes) })]
        }
        Action::CreateRepository(repository)
        | Action::DestroyRepository(repository)
        | Action::AttachRepository(repository)
        | Action::DetachRepository(repository) => vec![begin_shelf(state, mark, action, repository)],
        Action::MoveNics(nics) => {
            let mut machines: Vec<Ref> = nics.iter().map(|(machine, _)| *machine).collect();
            machines.dedup();
            let marked = machines.into_iter().map(|machine| Ok(marked(running(state, machine)?, mark)));
            marked.collect::<Result<_, ApiError>>()?
        }
        Action::Host(work) => match (work, state.host.off) {
            (HostWork::Off, true) | (HostWork::On, false) => return Ok(Begun::Reached),
            (HostWork::Reboot, true) => return Err(codes::HOST_OFFLINE("the simulated host")),
            _ => vec![Entry::Host(Power { off: state.host.off, mark: Some(begun(mark, false)) })],
        },
        _ => match machine(action) {
            Some(machine) => vec![marked(running(state, machine)?, mark)],
            None => Vec::new(),
        },
    };
    Ok(Begun::Go(entries))
}

/// What is so in the end, and the facts if they cannot be read off the marked things.
pub fn reach(
    state: &State,
    mark: Ref,
    action: &Action,
    options: &Options,
    now: Micros,
) -> Result<(Vec<Entry>, Option<Facts>), ApiError> {
    if let Some(facts) = seen(state, action) {
        return Ok((Vec::new(), Some(facts)));
    }
    let entries = match action {
        Action::Nothing => Vec::new(),
        Action::Track { disk, bytes, on } => {
            let mut disk = Stored { mark: Some(done(mark, false)), ..known(state, disk, *bytes) };
            disk.contents.tracked = *on;
            vec![put_disk(disk)]
        }
        Action::Start(config) => started(state, config, mark, options, now)?,
        Action::Resume(config, image) => {
            let mut entries = started(state, config, mark, options, now)?;
            entries.push(Entry::Disk(image.disk, None));
            entries
        }
        Action::Shutdown { machine, .. } => vec![Entry::Machine(*machine, None)],
        Action::Clear(machine) => {
            let ended = state.machines.get(machine).is_some_and(|domain| !alive(domain));
            ended.then_some(Entry::Machine(*machine, None)).into_iter().collect()
        }
        Action::Reboot { config, .. } => {
            let mut entries = building(state, config, mark);
            entries.push(live(config, state.next_domid, mark, options, now));
            entries.extend(boots(state, config, state.next_domid));
            entries
        }
        Action::Renew(config) => renewed(running(state, config.machine)?, config, state.next_domid, mark),
        Action::Suspend { machine, image } => {
            let memory = running(state, *machine)?.memory;
            vec![made(image, memory, memory, Contents::default(), mark), Entry::Machine(*machine, None)]
        }
        Action::Disks { machine, ends, work, .. } => {
            let ended = machine.filter(|_| *ends).map(|machine| Entry::Machine(machine, None));
            ended.into_iter().chain(reach_disks(state, mark, *machine, work)?).collect()
        }
        Action::Resize { disk, bytes } => {
            vec![put_disk(Stored { bytes: *bytes, mark: Some(done(mark, false)), ..known(state, disk, *bytes) })]
        }
        Action::CreateRepository(repository)
        | Action::AttachRepository(repository)
        | Action::DetachRepository(repository) => vec![shelved(state, mark, action, repository)],
        Action::DestroyRepository(repository) => {
            let inside = state.disks.values().filter(|disk| disk.image.repository == repository.uuid);
            let mut entries: Vec<Entry> = inside.map(|disk| Entry::Disk(disk.image.disk, None)).collect();
            entries.push(Entry::Repository(repository.uuid, None));
            entries
        }
        Action::MoveNics(nics) => rewired(state, mark, nics)?,
        Action::Host(work) => powered(state, mark, *work),
        Action::Keys(keys) => vec![Entry::Keys(keys.clone())],
        _ => match machine(action) {
            Some(machine) => {
                let domain = running(state, machine)?;
                let attached = if let Action::AttachDisk { device, .. } = action { Some(device) } else { None };
                let written = attached.and_then(|device| writes(state, device, domain.domid));
                written.into_iter().chain([changed(domain.clone(), action, mark)]).collect()
            }
            None => Vec::new(),
        },
    };
    Ok((entries, None))
}

/// What an action sees that only looks.
fn seen(state: &State, action: &Action) -> Option<Facts> {
    Some(match action {
        Action::Compare { from, to, bytes } => {
            let (from, to) = (known(state, from, *bytes), known(state, to, *bytes));
            let changed_blocks = Some(from.contents.changed(&to.contents, *bytes));
            Facts { changed_blocks, ..Facts::default() }
        }
        Action::Measure(image) => measured(state, image),
        Action::Scan(repository) => found(state, repository),
        Action::FindInterfaces => interfaces(),
        Action::FindUsb => {
            let usb = super::hardware::HARDWARE.usb.clone();
            Facts { of_host: Box::new(OfHost { usb, ..OfHost::default() }), ..Facts::default() }
        }
        Action::Probe(repository) => probed(state, repository),
        _ => return None,
    })
}

/// What is known of the things that bear a mark.
pub fn facts(state: &State, mark: Ref) -> Facts {
    let mut facts = Facts::default();
    for place in state.marked(mark) {
        match place {
            Place::Machine(uuid) => {
                let domain = state.machines.get(&uuid);
                facts.domid = domain.map(|domain| domain.domid);
                facts.device = domain.and_then(|domain| domain.mark.as_ref()?.device.clone());
            }
            Place::Disk(uuid) => {
                let Some(disk) = state.disks.get(&uuid) else { continue };
                facts.virtual_bytes = Some(disk.bytes);
                facts.physical_bytes = Some(disk.physical);
                facts.found.push((uuid.uuid_text(), disk.physical));
            }
            Place::Host => facts.of_host.boot = Some(state.boot.uuid_text()),
            Place::Repository(uuid) => facts.capacity_bytes = capacity(state, uuid),
        }
    }
    facts
}

/// Takes away what unfinished work made and the marks on what it changed.
pub fn undo(state: &State, mark: Ref) -> Vec<Entry> {
    let unfinished = |place: &Place| state.mark(*place).is_some_and(|mark| !mark.done);
    let places = state.marked(mark).into_iter().filter(unfinished);
    places.filter_map(|place| undone(state, place)).collect()
}

fn undone(state: &State, place: Place) -> Option<Entry> {
    let made = state.mark(place)?.made;
    Some(match place {
        Place::Machine(uuid) => {
            let left = Domain { mark: None, ..state.machines.get(&uuid)?.clone() };
            Entry::Machine(uuid, (!made).then(|| Box::new(left)))
        }
        Place::Disk(uuid) => {
            let left = Stored { mark: None, ..state.disks.get(&uuid)?.clone() };
            Entry::Disk(uuid, (!made).then(|| Box::new(left)))
        }
        Place::Host => Entry::Host(Power { mark: None, ..state.host.clone() }),
        Place::Repository(uuid) => {
            let left = Shelf { mark: None, ..state.repositories.get(&uuid)?.clone() };
            Entry::Repository(uuid, (!made).then(|| Box::new(left)))
        }
    })
}

/// A host that goes down takes what runs on it along; one that comes up has a new run, named after the task.
fn powered(state: &State, mark: Ref, work: HostWork) -> Vec<Entry> {
    let mut entries: Vec<Entry> = state.machines.keys().map(|uuid| Entry::Machine(*uuid, None)).collect();
    if work != HostWork::Off {
        entries.push(Entry::Boot(mark));
    }
    entries.push(Entry::Host(Power { off: work == HostWork::Off, mark: Some(done(mark, false)) }));
    entries
}

fn alive(domain: &Domain) -> bool {
    matches!(domain.doing, Doing::Running | Doing::Paused)
}

fn running(state: &State, machine: Ref) -> Result<&Domain, ApiError> {
    let domain = state.machines.get(&machine).filter(|domain| alive(domain));
    domain.ok_or_else(|| codes::VM_BAD_POWER_STATE(machine.uuid_text(), "running", "halted"))
}

fn begun(mark: Ref, made: bool) -> Mark {
    Mark { task: mark, done: false, made, device: None }
}

fn done(mark: Ref, made: bool) -> Mark {
    Mark { task: mark, done: true, made, device: None }
}

fn put_machine(domain: Domain) -> Entry {
    Entry::Machine(domain.config.machine, Some(Box::new(domain)))
}

fn put_disk(disk: Stored) -> Entry {
    Entry::Disk(disk.image.disk, Some(Box::new(disk)))
}

fn marked(domain: &Domain, mark: Ref) -> Entry {
    put_machine(Domain { mark: Some(begun(mark, false)), ..domain.clone() })
}

fn building(state: &State, config: &Config, mark: Ref) -> Vec<Entry> {
    let domain = Domain {
        domid: state.next_domid,
        doing: Doing::Building,
        config: config.clone(),
        memory: config.memory,
        vcpus: config.vcpus,
        started: 0,
        crash_at: None,
        mark: Some(begun(mark, true)),
    };
    vec![Entry::NextDomid(state.next_domid + 1), put_machine(domain)]
}

fn started(state: &State, config: &Config, mark: Ref, options: &Options, now: Micros) -> Result<Vec<Entry>, ApiError> {
    let built = state.machines.get(&config.machine).filter(|domain| domain.doing == Doing::Building);
    let built = built.ok_or_else(|| codes::DOMAIN_BUILDER_ERROR("build", 0, "the domain went away"))?;
    let mut entries = vec![live(config, built.domid, mark, options, now)];
    entries.extend(boots(state, config, built.domid));
    Ok(entries)
}

/// A guest that boots writes to its disks.
fn boots(state: &State, config: &Config, domid: i64) -> Vec<Entry> {
    config.disks.iter().filter_map(|device| writes(state, device, domid)).collect()
}

fn writes(state: &State, device: &Device, domid: i64) -> Option<Entry> {
    let image = device.image.as_ref().filter(|_| device.writable)?;
    let disk = state.disks.get(&image.disk)?.clone();
    Some(put_disk(Stored { contents: disk.contents.written(image.disk, domid as u64), ..disk }))
}

fn live(config: &Config, domid: i64, mark: Ref, options: &Options, now: Micros) -> Entry {
    put_machine(Domain {
        domid,
        doing: if config.paused { Doing::Paused } else { Doing::Running },
        config: config.clone(),
        memory: config.memory,
        vcpus: config.vcpus,
        started: now,
        crash_at: options.fate(config.machine, domid, now),
        mark: Some(done(mark, true)),
    })
}

/// The machine as it is, in a domain of another number.
fn renewed(domain: &Domain, config: &Config, domid: i64, mark: Ref) -> Vec<Entry> {
    let (config, mark) = (config.clone(), Some(done(mark, false)));
    vec![Entry::NextDomid(domid + 1), put_machine(Domain { domid, config, mark, ..domain.clone() })]
}

/// A machine that goes on, with something about it changed.
fn changed(mut domain: Domain, action: &Action, mark: Ref) -> Entry {
    let mut device = None;
    match action {
        Action::Pause(_) => domain.doing = Doing::Paused,
        Action::Unpause(_) => domain.doing = Doing::Running,
        Action::Memory { target, .. } => domain.memory = *target,
        Action::Vcpus { count, .. } => domain.vcpus = *count,
        Action::Scheduler { params, .. } => domain.config.scheduler = params.clone(),
        Action::AttachDisk { device: disk, .. } | Action::Media { device: disk, .. } => {
            domain.config.disks.retain(|other| other.number != disk.number);
            domain.config.disks.push(disk.clone());
            device = Some(disk_name(disk, &domain.config));
        }
        Action::DetachDisk { device: disk, .. } => domain.config.disks.retain(|other| other.number != disk.number),
        Action::AttachNic { nic, .. } => {
            domain.config.nics.retain(|other| other.number != nic.number);
            domain.config.nics.push(Nic::clone(nic));
        }
        Action::DetachUsb { path, .. } => domain.config.usbs.retain(|other| other != path),
        Action::DetachNic { nic, .. } => domain.config.nics.retain(|other| other.number != nic.number),
        _ => {}
    }
    put_machine(Domain { mark: Some(Mark { device, ..done(mark, false) }), ..domain })
}

/// Machines whose interfaces are on other bridges now.
fn rewired(state: &State, mark: Ref, nics: &[(Ref, Nic)]) -> Result<Vec<Entry>, ApiError> {
    let mut machines: BTreeMap<Ref, Domain> = BTreeMap::new();
    for (machine, nic) in nics {
        let domain = match machines.remove(machine) {
            Some(domain) => domain,
            None => running(state, *machine)?.clone(),
        };
        let mut others = domain.config.nics.clone();
        others.retain(|other| other.number != nic.number);
        others.push(nic.clone());
        let config = Config { nics: others, ..domain.config.clone() };
        machines.insert(*machine, Domain { config, mark: Some(done(mark, false)), ..domain });
    }
    Ok(machines.into_values().map(put_machine).collect())
}

/// How the guest sees a disk: `xvda`; with emulated disks the first four are `hda`.
fn disk_name(device: &Device, config: &Config) -> String {
    let Ok(number) = device.number.parse::<u8>() else { return device.number.clone() };
    let prefix = if config.domain_type == "hvm" && number < 4 { "hd" } else { "xvd" };
    let letter = char::from(b'a' + number % 26);
    match number / 26 {
        0 => format!("{prefix}{letter}"),
        more => format!("{prefix}{}{letter}", char::from(b'a' + more - 1)),
    }
}

/// A disk that was there before this hypervisor knew of it.
fn foreign(image: &Image, bytes: i64) -> Stored {
    Stored { image: image.clone(), bytes, physical: bytes, contents: Contents::default(), mark: None }
}

/// A disk, whether or not this hypervisor knows it already.
fn known(state: &State, image: &Image, bytes: i64) -> Stored {
    state.disks.get(&image.disk).cloned().unwrap_or_else(|| foreign(image, bytes))
}

fn half_made(image: &Image, bytes: i64, mark: Ref) -> Entry {
    let contents = Contents::default();
    put_disk(Stored { image: image.clone(), bytes, physical: 0, contents, mark: Some(begun(mark, true)) })
}

fn made(image: &Image, bytes: i64, physical: i64, contents: Contents, mark: Ref) -> Entry {
    put_disk(Stored { image: image.clone(), bytes, physical, contents, mark: Some(done(mark, true)) })
}

fn begin_disks(state: &State, mark: Ref, machine: Option<Ref>, work: &[Disk]) -> Result<Vec<Entry>, ApiError> {
    let mut entries = Vec::new();
    for disk in work {
        if disk.work == DiskWork::Remove {
            continue;
        }
        if disk.work == DiskWork::Memory {
            running(state, machine.unwrap_or(Ref::NULL))?;
        }
        has_room(state, disk)?;
        // A disk that is there already is written over.
        entries.push(match state.disks.get(&disk.image.disk) {
            Some(over) if !is_made_by(over, mark) => {
                put_disk(Stored { mark: Some(begun(mark, false)), ..over.clone() })
            }
            _ => half_made(&disk.image, disk.bytes, mark),
        });
    }
    Ok(entries)
}

fn is_made_by(disk: &Stored, task: Ref) -> bool {
    disk.mark.as_ref().is_some_and(|mark| mark.task == task && mark.made)
}

/// Whether the disk's repository has room for it: every byte it will ever take counts.
fn has_room(state: &State, disk: &Disk) -> Result<(), ApiError> {
    let shelf = state.repositories.get(&disk.image.repository);
    let Some(size) = shelf.map(|shelf| shelf.repository.bytes).filter(|bytes| *bytes > 0) else { return Ok(()) };
    let inside = state.disks.values().filter(|other| other.image.repository == disk.image.repository);
    let taken: i64 = inside.map(|other| other.physical).sum();
    let needed = match disk.work {
        DiskWork::Copy(_) | DiskWork::Move(_) | DiskWork::Memory => disk.bytes,
        DiskWork::Make | DiskWork::Clone(_) | DiskWork::Empty | DiskWork::Remove => 0,
    };
    if taken.saturating_add(needed) > size { Err(codes::SR_FULL(needed, size - taken)) } else { Ok(()) }
}

fn reach_disks(state: &State, mark: Ref, machine: Option<Ref>, work: &[Disk]) -> Result<Vec<Entry>, ApiError> {
    let physical = |image: &Image, otherwise: i64| state.disks.get(&image.disk).map_or(otherwise, |disk| disk.physical);
    let contents = |image: &Image| {
        let tracked = state.disks.get(&image.disk).map(|disk| disk.contents.clone());
        tracked.unwrap_or_default()
    };
    let mut entries = Vec::new();
    for disk in work {
        let last = match &disk.work {
            DiskWork::Make => made(&disk.image, disk.bytes, 0, Contents::default(), mark),
            DiskWork::Clone(from) => made(&disk.image, disk.bytes, 0, contents(from), mark),
            DiskWork::Copy(from) => made(&disk.image, disk.bytes, physical(from, disk.bytes), contents(from), mark),
            DiskWork::Move(from) => {
                entries.push(made(&disk.image, disk.bytes, physical(from, disk.bytes), contents(from), mark));
                Entry::Disk(from.disk, None)
            }
            DiskWork::Empty => made(&disk.image, disk.bytes, 0, contents(&disk.image).with_file(None), mark),
            DiskWork::Memory => {
                let memory = running(state, machine.unwrap_or(Ref::NULL))?.memory;
                made(&disk.image, memory, memory, Contents::default(), mark)
            }
            DiskWork::Remove => Entry::Disk(disk.image.disk, None),
        };
        entries.push(last);
    }
    entries.extend(moved(state, work));
    Ok(entries)
}

/// Every machine that has a disk which moved has the new one.
fn moved(state: &State, work: &[Disk]) -> Vec<Entry> {
    let moves = work.iter().filter_map(|disk| match &disk.work {
        DiskWork::Move(from) => Some((from.disk, &disk.image)),
        _ => None,
    });
    let moves: BTreeMap<Ref, &Image> = moves.collect();
    let new = |device: &Device| moves.get(&device.image.as_ref()?.disk).copied();
    let theirs = state.machines.values().filter(|domain| domain.config.disks.iter().any(|disk| new(disk).is_some()));
    let repointed = theirs.cloned().map(|mut domain| {
        for device in &mut domain.config.disks {
            device.image = new(device).cloned().or(device.image.take());
        }
        put_machine(domain)
    });
    repointed.collect()
}

fn begin_shelf(state: &State, mark: Ref, action: &Action, repository: &Repository) -> Entry {
    let there = state.repositories.get(&repository.uuid).cloned();
    let made = there.is_none() && matches!(action, Action::CreateRepository(_));
    let new = Shelf { repository: repository.clone(), attached: false, made_here: made, mark: None };
    let shelf = there.unwrap_or(new);
    Entry::Repository(repository.uuid, Some(Box::new(Shelf { mark: Some(begun(mark, made)), ..shelf })))
}

fn shelved(state: &State, mark: Ref, action: &Action, repository: &Repository) -> Entry {
    let attached = !matches!(action, Action::DetachRepository(_));
    let made_here = matches!(action, Action::CreateRepository(_))
        || state.repositories.get(&repository.uuid).is_some_and(|shelf| shelf.made_here);
    let shelf = Shelf { repository: repository.clone(), attached, made_here, mark: Some(done(mark, false)) };
    Entry::Repository(repository.uuid, Some(Box::new(shelf)))
}

/// The network devices of the simulated host.
fn interfaces() -> Facts {
    let found = INTERFACES.iter().map(|(name, mac)| (name.to_string(), mac.to_string()));
    let links = INTERFACES.iter().map(|(name, _)| name.to_string());
    let of_host = Box::new(OfHost { links: links.collect(), ..OfHost::default() });
    Facts { interfaces: found.collect(), of_host, ..Facts::default() }
}

fn measured(state: &State, image: &Image) -> Facts {
    let Some(disk) = state.disks.get(&image.disk) else { return Facts::default() };
    Facts { virtual_bytes: Some(disk.bytes), physical_bytes: Some(disk.physical), ..Facts::default() }
}

/// Repositories on that device that nobody has attached.
fn probed(state: &State, asked: &Repository) -> Facts {
    let there = state.repositories.values().map(|shelf| &shelf.repository);
    let there = there.filter(|other| other.kind == asked.kind && other.device == asked.device);
    let found = there.map(|other| (other.uuid.uuid_text(), other.bytes)).collect();
    Facts { found, ..Facts::default() }
}

/// What is in a repository. Of one that was not made here only the discs are known, so its size is not told.
fn found(state: &State, repository: &Repository) -> Facts {
    let inside = state.disks.values().filter(|disk| disk.image.repository == repository.uuid);
    let finished = inside.filter(|disk| disk.mark.as_ref().is_none_or(|mark| mark.done));
    let name = |image: &Image| match &*image.location {
        "" => image.disk.uuid_text(),
        location => location.to_string(),
    };
    let mut found: Vec<(String, i64)> = finished.map(|disk| (name(&disk.image), disk.bytes)).collect();
    if repository.kind == "iso" {
        found.extend(DISCS.iter().map(|(name, bytes)| (name.to_string(), *bytes)));
    }
    Facts { found, capacity_bytes: capacity(state, repository.uuid), ..Facts::default() }
}

/// The size of a repository that was made here.
fn capacity(state: &State, repository: Ref) -> Option<i64> {
    let shelf = state.repositories.get(&repository)?;
    Some(shelf.repository.bytes).filter(|bytes| shelf.made_here && *bytes > 0)
}
