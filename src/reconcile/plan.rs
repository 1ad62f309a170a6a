//! From a pending task to the action that carries it out: pure, by a table of
//! messages. What the hypervisor remembers of the task says whether to act, to
//! start over, or only to report.
//!
//! Must never know a driver, the log, or the clock.

use super::config;
use crate::command::device::usb;
use crate::command::network::bond;
use crate::command::operation::{self, Facts};
use crate::driver::Trace;
use crate::driver::action::{
    Action, Config, Disk, DiskWork, HostWork, Image, Interface, Manner, Nic, Repository, Texts,
};
use crate::error::{ApiError, codes};
use crate::model::{PBD, PIF, PUSB, SR, VBD, VDI, VIF, VM, VUSB, host, host_metrics, network, task};
use crate::value::{Ref, Value};
use crate::views::{Object, View};
use std::sync::Arc;

/// What to do about a pending task.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    /// Nothing was done yet, or it goes on by itself and is to be waited for.
    Act(Action),
    /// It was begun and is half-done: discard that, then do it.
    Redo(Action),
    /// It is done and nobody has said so yet.
    Report(Facts),
}

/// Decides what to do about a pending task.
pub fn plan(view: &View, task: &Object, trace: Trace) -> Result<Plan, ApiError> {
    Ok(match trace {
        Trace::Done(facts) => Plan::Report(facts),
        Trace::Nothing | Trace::UnderWay => Plan::Act(action(view, task)?),
        Trace::Unfinished => Plan::Redo(action(view, task)?),
    })
}

/// A task with what it is about.
struct Order<'a> {
    view: &'a View,
    object: Ref,
    args: Vec<Value>,
    disks: Vec<operation::Disk>,
    task: &'a Object,
}

type Planner = fn(&Order<'_>) -> Result<Action, ApiError>;

/// The one message that a host which is off hears.
const POWER_ON: &str = "host.power_on";

/// How each message is carried out that begins an operation.
const PLANS: &[(&str, Planner)] = &[
    ("VM.start", start),
    ("VM.start_on", start),
    ("VM.resume", resume),
    ("VM.resume_on", resume),
    ("VM.pause", |order| Ok(Action::Pause(order.machine()?))),
    ("VM.unpause", |order| Ok(Action::Unpause(order.machine()?))),
    ("VM.shutdown", |order| order.shutdown(Manner::CleanThenHard)),
    ("VM.clean_shutdown", |order| order.shutdown(Manner::Clean)),
    ("VM.hard_shutdown", |order| order.shutdown(Manner::Hard)),
    ("VM.clean_reboot", |order| order.reboot(true)),
    ("VM.hard_reboot", |order| order.reboot(false)),
    ("VM.suspend", suspend),
    ("VM.pool_migrate", |order| Ok(Action::Renew(Box::new(config::running(order.view, order.vm()?))))),
    ("VM.restart_device_models", |order| Ok(Action::Renew(Box::new(config::running(order.view, order.vm()?))))),
    ("VM.migrate_send", send),
    ("VM.send_sysrq", |order| order.signal("sysrq")),
    ("VM.send_trigger", |order| order.signal("trigger")),
    ("VM.set_memory_dynamic_range", |order| order.memory(order.int(2))),
    ("VM.set_memory_dynamic_max", |order| order.memory(order.int(1))),
    ("VM.set_memory_dynamic_min", |order| order.memory(order.vm()?.get(VM::memory_dynamic_max))),
    ("VM.set_memory_target_live", |order| order.memory(order.int(1))),
    ("VM.set_VCPUs_number_live", |order| {
        let machine = order.machine()?;
        order.live(Action::Vcpus { machine, count: order.int(1) })
    }),
    ("VM.add_to_VCPUs_params_live", schedule),
    ("VM.snapshot", disks_standing_still),
    ("VM.checkpoint", disks_standing_still),
    ("VM.clone", disks),
    ("VM.copy", disks),
    ("VM.revert", revert),
    ("VM.provision", disks),
    ("VM.destroy", disks),
    ("VDI.create", disks),
    ("VDI.destroy", disks),
    ("crashdump.destroy", disks),
    ("VDI.snapshot", disks),
    ("VDI.clone", disks),
    ("VDI.copy", disks),
    ("VDI.revert", disks),
    ("VDI.pool_migrate", disks),
    ("VDI.data_destroy", disks),
    ("VDI.enable_cbt", |order| order.track(true)),
    ("VDI.disable_cbt", |order| order.track(false)),
    ("VDI.list_changed_blocks", |order| {
        let (from, to) = (order.image(order.object)?, order.image(order.reference(1))?);
        Ok(Action::Compare { from, to, bytes: order.bytes(order.reference(1)) })
    }),
    ("VDI.resize", resize),
    ("VDI.resize_online", resize),
    ("VDI.introduce", |order| Ok(Action::Measure(order.introduced()?))),
    ("VDI.update", |order| Ok(Action::Measure(order.image(order.object)?))),
    ("VBD.plug", |order| order.disk_device(true)),
    ("VBD.unplug", |order| order.disk_device(false)),
    ("VBD.unplug_force", |order| order.disk_device(false)),
    ("VBD.insert", |order| order.media(Some(order.reference(1)))),
    ("VBD.eject", |order| order.media(None)),
    ("VIF.plug", |order| order.nic(true)),
    ("VIF.unplug", |order| order.nic(false)),
    ("VIF.unplug_force", |order| order.nic(false)),
    ("VIF.move", |order| order.nic_to(order.reference(1))),
    ("Bond.create", |order| order.moves(bond::make)),
    ("Bond.destroy", |order| order.moves(bond::unmake)),
    ("PIF.scan", |_| Ok(Action::FindInterfaces)),
    ("PIF.plug", |order| order.interface(true, &[])),
    ("PIF.unplug", |order| order.interface(false, &[])),
    ("PIF.reconfigure_ip", |order| order.interface(true, &["mode", "address", "netmask", "gateway", "dns"])),
    ("PIF.reconfigure_ipv6", |order| order.interface(true, &["6_mode", "6_address", "6_gateway", "6_dns"])),
    ("host.reboot", |_| Ok(Action::Host(HostWork::Reboot))),
    ("host.shutdown", |_| Ok(Action::Host(HostWork::Off))),
    (POWER_ON, |_| Ok(Action::Host(HostWork::On))),
    ("host.send_debug_keys", |order| Ok(Action::Keys(order.text(1).to_string()))),
    ("PUSB.scan", |_| Ok(Action::FindUsb)),
    ("VUSB.unplug", |order| order.usb()),
    ("SR.create", |order| Ok(Action::CreateRepository(order.asked_repository()?))),
    ("SR.probe", |order| Ok(Action::Probe(order.probed(2)))),
    ("SR.probe_ext", |order| Ok(Action::Probe(order.probed(2)))),
    ("SR.enable_database_replication", disks),
    ("SR.destroy", |order| Ok(Action::DestroyRepository(order.repository(order.object)?))),
    ("SR.scan", |order| Ok(Action::Scan(order.repository(order.object)?))),
    ("SR.update", |order| Ok(Action::Scan(order.repository(order.object)?))),
    ("PBD.plug", |order| Ok(Action::AttachRepository(order.repository_of_way()?))),
    ("PBD.unplug", |order| Ok(Action::DetachRepository(order.repository_of_way()?))),
];

fn planner(message: &str) -> Option<Planner> {
    PLANS.iter().find(|(name, _)| *name == message).map(|(_, planner)| *planner)
}

fn action(view: &View, task: &Object) -> Result<Action, ApiError> {
    let message = task.get(task::operation);
    let planner = planner(message).ok_or_else(|| codes::NOT_IMPLEMENTED(message))?;
    if **message != *POWER_ON {
        assert_up(view, task.get(task::resident_on))?;
    }
    let object = Ref::parse(task.get(task::object)).unwrap_or_default();
    planner(&Order { view, object, args: operation::arguments(task), disks: operation::disks(task), task })
}

fn assert_up(view: &View, on: Ref) -> Result<(), ApiError> {
    let metrics = view.find::<host>(on).and_then(|held| view.find::<host_metrics>(held.get(host::metrics)));
    let off = metrics.is_some_and(|metrics| !metrics.get(host_metrics::live));
    if off { Err(codes::HOST_OFFLINE(on)) } else { Ok(()) }
}

/// What a task works on, so that one works on it at a time; `None` for what only reads or makes something new.
pub fn thing(view: &View, task: &Object) -> Option<Ref> {
    let object = Ref::parse(task.get(task::object)).unwrap_or_default();
    let message: &str = task.get(task::operation);
    match message.split_once('.')? {
        ("VM" | "VDI", "clone" | "copy") | ("VDI", "create" | "introduce") => None,
        ("SR", "create" | "probe" | "probe_ext") => None,
        ("VBD", _) => view.find::<VBD>(object).map(|vbd| vbd.get(VBD::VM)),
        ("VUSB", _) => view.find::<VUSB>(object).map(|vusb| vusb.get(VUSB::VM)),
        ("VIF", _) => view.find::<VIF>(object).map(|vif| vif.get(VIF::VM)),
        ("PBD", _) => view.find::<PBD>(object).map(|pbd| pbd.get(PBD::SR)),
        _ => Some(object),
    }
}

impl Order<'_> {
    fn vm(&self) -> Result<&Arc<Object>, ApiError> {
        self.view.find::<VM>(self.object).ok_or_else(|| codes::HANDLE_INVALID("VM", self.object))
    }

    /// The machine's uuid, as drivers have it.
    fn machine(&self) -> Result<Ref, ApiError> {
        Ok(config::uuid(self.vm()?.get(VM::uuid)))
    }

    fn int(&self, at: usize) -> i64 {
        if let Some(Value::Int(value)) = self.args.get(at) { *value } else { 0 }
    }

    fn reference(&self, at: usize) -> Ref {
        self.args.get(at).map(Value::as_ref).unwrap_or_default()
    }

    fn text(&self, at: usize) -> &str {
        self.args.get(at).map(Value::as_str).unwrap_or_default()
    }

    /// The machine as it will be built.
    fn config(&self) -> Result<Box<Config>, ApiError> {
        let vm = self.vm()?;
        let paused = self.args.iter().find_map(|arg| if let Value::Bool(flag) = arg { Some(*flag) } else { None });
        Ok(Box::new(Config { paused: paused.unwrap_or(false), ..config::machine(self.view, vm) }))
    }

    /// The action, if there is a domain for it.
    fn live(&self, action: Action) -> Result<Action, ApiError> {
        let lives = matches!(self.vm()?.get(VM::power_state), "Running" | "Paused");
        Ok(if lives { action } else { Action::Nothing })
    }

    fn shutdown(&self, how: Manner) -> Result<Action, ApiError> {
        if self.disks.is_empty() {
            return Ok(Action::Shutdown { machine: self.machine()?, how });
        }
        disks(self) // it is suspended: its image goes
    }

    fn reboot(&self, clean: bool) -> Result<Action, ApiError> {
        Ok(Action::Reboot { config: self.config()?, clean })
    }

    fn signal(&self, kind: &str) -> Result<Action, ApiError> {
        Ok(Action::Signal { machine: self.machine()?, signal: format!("{kind} {}", self.text(1)) })
    }

    fn memory(&self, target: i64) -> Result<Action, ApiError> {
        self.live(Action::Memory { machine: self.machine()?, target })
    }

    fn image(&self, vdi: Ref) -> Result<Image, ApiError> {
        config::image(self.view, vdi).ok_or_else(|| codes::HANDLE_INVALID("VDI", vdi))
    }

    /// The size of a disk that the view knows.
    fn bytes(&self, vdi: Ref) -> i64 {
        self.view.find::<VDI>(vdi).map(|vdi| vdi.get(VDI::virtual_size)).unwrap_or_default()
    }

    fn track(&self, on: bool) -> Result<Action, ApiError> {
        Ok(Action::Track { disk: self.image(self.object)?, bytes: self.bytes(self.object), on })
    }

    fn image_with(&self, of: impl Fn(&operation::DiskWork) -> bool) -> Result<Image, ApiError> {
        let disk = self.disks.iter().find(|disk| of(&disk.work));
        let disk = disk.ok_or_else(|| codes::INTERNAL_ERROR("the operation names no disk"))?;
        Ok(config::image_of(self.view, &disk.uuid, &disk.sr))
    }

    /// A disk that is there and that the view does not know.
    fn introduced(&self) -> Result<Image, ApiError> {
        let sr = self.view.find::<SR>(self.object).ok_or_else(|| codes::HANDLE_INVALID("SR", self.object))?;
        let (repository, location) = (config::uuid(sr.get(SR::uuid)), self.text(8).to_string());
        let disk = Ref::parse_uuid(&location).unwrap_or_else(|| config::uuid(self.text(0)));
        Ok(Image { repository, disk, location, way: config::way(self.view, sr.reference) })
    }

    fn disk_device(&self, attach: bool) -> Result<Action, ApiError> {
        let vbd = self.view.find::<VBD>(self.object).ok_or_else(|| codes::HANDLE_INVALID("VBD", self.object))?;
        let machine = self.machine_of(vbd.get(VBD::VM))?;
        let device = config::device(self.view, vbd);
        Ok(if attach { Action::AttachDisk { machine, device } } else { Action::DetachDisk { machine, device } })
    }

    fn media(&self, vdi: Option<Ref>) -> Result<Action, ApiError> {
        let vbd = self.view.find::<VBD>(self.object).ok_or_else(|| codes::HANDLE_INVALID("VBD", self.object))?;
        let mut device = config::device(self.view, vbd);
        device.image = vdi.map(|vdi| self.image(vdi)).transpose()?;
        Ok(Action::Media { machine: self.machine_of(vbd.get(VBD::VM))?, device })
    }

    fn nic(&self, attach: bool) -> Result<Action, ApiError> {
        let vif = self.view.find::<VIF>(self.object).ok_or_else(|| codes::HANDLE_INVALID("VIF", self.object))?;
        let machine = self.machine_of(vif.get(VIF::VM))?;
        let nic = config::nic(self.view, vif);
        Ok(if attach { Action::AttachNic { machine, nic } } else { Action::DetachNic { machine, nic } })
    }

    /// Interfaces of running machines, on the networks that the work takes them to.
    fn moves(&self, work: bond::Work) -> Result<Action, ApiError> {
        let mut nics = Vec::new();
        for (vif, lan) in bond::moved(self.view, self.task.reference, &self.args, work)? {
            let vif = self.view.find::<VIF>(vif).ok_or_else(|| codes::HANDLE_INVALID("VIF", vif))?;
            let lan = self.view.find::<network>(lan).ok_or_else(|| codes::HANDLE_INVALID("network", lan))?;
            let nic = Nic { bridge: lan.get(network::bridge).to_string(), ..config::nic(self.view, vif) };
            nics.push((self.machine_of(vif.get(VIF::VM))?, nic));
        }
        nics.sort_by_key(|(machine, _)| *machine);
        Ok(if nics.is_empty() { Action::Nothing } else { Action::MoveNics(nics) })
    }

    /// Where the device is plugged in that the machine gives back.
    fn usb(&self) -> Result<Action, ApiError> {
        let vusb = self.view.find::<VUSB>(self.object).ok_or_else(|| codes::HANDLE_INVALID("VUSB", self.object))?;
        let on = self.task.get(task::resident_on);
        let path =
            usb::device_of(self.view, vusb.get(VUSB::USB_group), on).map(|pusb| pusb.get(PUSB::path).to_string());
        let machine = self.machine_of(vusb.get(VUSB::VM))?;
        Ok(path.map_or(Action::Nothing, |path| Action::DetachUsb { machine, path }))
    }

    /// The interface as it will be on another network.
    fn nic_to(&self, lan: Ref) -> Result<Action, ApiError> {
        let lan = self.view.find::<network>(lan).ok_or_else(|| codes::HANDLE_INVALID("network", lan))?;
        let Action::AttachNic { machine, nic } = self.nic(true)? else { return Ok(Action::Nothing) };
        Ok(Action::AttachNic { machine, nic: Nic { bridge: lan.get(network::bridge).to_string(), ..nic } })
    }

    /// The host's interface, with the arguments after the first one as addresses of these names.
    fn interface(&self, up: bool, names: &[&str]) -> Result<Action, ApiError> {
        let pif = self.view.find::<PIF>(self.object).ok_or_else(|| codes::HANDLE_INVALID("PIF", self.object))?;
        let lan = self.view.find::<network>(pif.get(PIF::network));
        let given = names.iter().zip(self.args.iter().skip(1));
        Ok(Action::Interface(Interface {
            device: pif.get(PIF::device).to_string(),
            vlan: pif.get(PIF::VLAN),
            bridge: lan.map(|lan| lan.get(network::bridge).to_string()).unwrap_or_default(),
            up,
            addresses: given.map(|(name, value)| (name.to_string(), value.as_str().to_string())).collect(),
        }))
    }

    fn machine_of(&self, vm: Ref) -> Result<Ref, ApiError> {
        let vm = self.view.find::<VM>(vm).ok_or_else(|| codes::HANDLE_INVALID("VM", vm))?;
        Ok(config::uuid(vm.get(VM::uuid)))
    }

    fn repository(&self, sr: Ref) -> Result<Repository, ApiError> {
        let here = self.view.find::<host>(self.task.get(task::resident_on));
        config::repository(self.view, sr, here.map(|host| host.reference).unwrap_or_default())
    }

    fn repository_of_way(&self) -> Result<Repository, ApiError> {
        let pbd = self.view.find::<PBD>(self.object).ok_or_else(|| codes::HANDLE_INVALID("PBD", self.object))?;
        self.repository(pbd.get(PBD::SR))
    }

    /// The arguments of `SR.create`, and the uuid that the repository will have.
    fn asked_repository(&self) -> Result<Repository, ApiError> {
        let planned = self.task.get(task::planned).get("SR").map(Value::as_str).unwrap_or_default();
        Ok(Repository { uuid: config::uuid(planned), bytes: self.int(2), ..self.probed(5) })
    }

    /// A repository of which only its kind, at that argument, and the way to it are known.
    fn probed(&self, kind: usize) -> Repository {
        let device = self.args.get(1).map(|config| config::texts(config.as_map())).unwrap_or_default();
        Repository { kind: self.text(kind).to_string(), device, ..Repository::default() }
    }
}

fn start(order: &Order<'_>) -> Result<Action, ApiError> {
    Ok(Action::Start(order.config()?))
}

fn resume(order: &Order<'_>) -> Result<Action, ApiError> {
    Ok(Action::Resume(order.config()?, order.image_with(|work| *work == operation::DiskWork::Remove)?))
}

fn suspend(order: &Order<'_>) -> Result<Action, ApiError> {
    let image = order.image_with(|work| *work == operation::DiskWork::Memory)?;
    Ok(Action::Suspend { machine: order.machine()?, image })
}

fn schedule(order: &Order<'_>) -> Result<Action, ApiError> {
    let mut params = config::texts(order.vm()?.get(VM::VCPUs_params));
    params.insert(order.text(1).to_string(), order.text(2).to_string());
    order.live(Action::Scheduler { machine: order.machine()?, params })
}

fn resize(order: &Order<'_>) -> Result<Action, ApiError> {
    Ok(Action::Resize { disk: order.image(order.object)?, bytes: order.int(1) })
}

/// Disks of a machine that may run: it stands still meanwhile, so that they fit together.
fn disks_standing_still(order: &Order<'_>) -> Result<Action, ApiError> {
    let lives = matches!(order.vm()?.get(VM::power_state), "Running" | "Paused");
    work_on_disks(order, lives.then(|| order.machine()).transpose()?)
}

fn disks(order: &Order<'_>) -> Result<Action, ApiError> {
    work_on_disks(order, None)
}

/// A machine that keeps its disks and runs is built anew where it is.
fn send(order: &Order<'_>) -> Result<Action, ApiError> {
    let machine = order.vm()?;
    match order.disks.is_empty() && matches!(machine.get(VM::power_state), "Running" | "Paused") {
        true => Ok(Action::Renew(Box::new(config::running(order.view, machine)))),
        false => disks(order),
    }
}

/// The task is about the snapshot; what it was made of ends, if it runs, and gets other disks.
fn revert(order: &Order<'_>) -> Result<Action, ApiError> {
    let vm = order.vm()?.get(VM::snapshot_of);
    let reverted = order.view.find::<VM>(vm).ok_or_else(|| codes::HANDLE_INVALID("VM", vm))?;
    if !matches!(reverted.get(VM::power_state), "Running" | "Paused") {
        return disks(order);
    }
    let machine = order.machine_of(vm)?;
    Ok(match work_on_disks(order, Some(machine))? {
        Action::Disks { machine, work, options, .. } => Action::Disks { machine, ends: true, work, options },
        _ => Action::Shutdown { machine, how: Manner::Hard },
    })
}

fn work_on_disks(order: &Order<'_>, machine: Option<Ref>) -> Result<Action, ApiError> {
    if order.disks.is_empty() {
        return Ok(Action::Nothing);
    }
    let source = |uuid: &String| config::image_of(order.view, uuid, "");
    let work = order.disks.iter().map(|disk| Disk {
        image: config::image_of(order.view, &disk.uuid, &disk.sr),
        bytes: disk.bytes,
        work: match &disk.work {
            operation::DiskWork::Make => DiskWork::Make,
            operation::DiskWork::Clone(uuid) => DiskWork::Clone(source(uuid)),
            operation::DiskWork::Copy(uuid) => DiskWork::Copy(source(uuid)),
            operation::DiskWork::Move(uuid) => DiskWork::Move(source(uuid)),
            operation::DiskWork::Empty => DiskWork::Empty,
            operation::DiskWork::Memory => DiskWork::Memory,
            operation::DiskWork::Remove => DiskWork::Remove,
        },
    });
    Ok(Action::Disks { machine, ends: false, work: work.collect(), options: options(order) })
}

/// What the object says to its driver.
fn options(order: &Order<'_>) -> Texts {
    let vm = order.view.find::<VM>(order.object).map(|vm| vm.get(VM::other_config));
    let vdi = order.view.find::<VDI>(order.object).map(|vdi| vdi.get(VDI::other_config));
    let sr = order.view.find::<SR>(order.object).map(|sr| sr.get(SR::other_config));
    vm.or(vdi).or(sr).map(config::texts).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_has_a_plan() {
        // Sequences have no plan of their own: their parts have.
        let single = |name: &&str| !name.starts_with("VM_appliance.") && *name != "VMSS.snapshot_now";
        let without: Vec<&str> =
            crate::command::operations().filter(single).filter(|name| planner(name).is_none()).collect();
        assert_eq!(without, Vec::<&str>::new(), "messages that begin operations and that nobody carries out");
    }

    /// What each hypervisor does of these is a table for those who run one.
    #[test]
    fn every_plan_is_in_the_table_of_operations() {
        let table = include_str!("../../proto-docs/xen-operations.md");
        let words = ["tested", "tried", "stood in", "generated", "refused"];
        let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
        let rows: Vec<Vec<&str>> = rows.map(|row| row.trim_end_matches(" |").split(" | ").collect()).collect();
        let operations: Vec<&[&str]> = rows.iter().filter(|row| row.len() == 5).map(|row| &row[..]).collect();
        let names: Vec<&str> = operations.iter().map(|row| row[0].trim_end_matches('`')).collect();
        let planned: Vec<&str> = PLANS.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, planned, "proto-docs/xen-operations.md lists the operations in the order of PLANS");
        assert!(operations.iter().all(|row| row[1..].iter().all(|word| words.contains(word))));
    }

    #[test]
    fn no_plan_is_for_nothing() {
        for (name, _) in PLANS {
            assert!(crate::model::MODEL.message(name).is_some(), "{name} is no message");
        }
        let names: std::collections::BTreeSet<&str> = PLANS.iter().map(|(name, _)| *name).collect();
        assert_eq!(names.len(), PLANS.len(), "a message has two plans");
    }
}
