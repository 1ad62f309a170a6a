//! Random valid calls beside a reference made of plain maps, which knows only
//! what the XenAPI says of each message: after every call the pool must be
//! what the maps say, and keep every invariant.

use crate::arguments::Dice;
use crate::server::Server;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use xenledger::model::{ClassId, PIF, SR, VBD, VDI, VIF, VM, host, network};
use xenledger::value::{Ref, Value};
use xenledger::views::{Object, View, check};

const CALLS: usize = 10_000;
const CALLS_LONG: usize = 100_000;
const MACHINES_MAX: usize = 7;
const RUNNING_MAX: usize = 4;
const DISKS_MAX: usize = 14;
const NETWORKS_MAX: usize = 5;
const MIB: i64 = 1 << 20;
/// Keys that this test sets; the server has keys of its own.
const KEYS: [&str; 3] = ["k one", "k two", "k three"];
const TAGS: [&str; 3] = ["a", "b", "c"];

#[derive(Clone, Debug, PartialEq)]
struct Machine {
    name: String,
    power: &'static str,
    snapshot: bool,
    config: BTreeMap<String, String>,
    tags: BTreeSet<String>,
}

#[derive(Clone, Debug, PartialEq)]
struct Disk {
    name: String,
    size: i64,
    /// The repository that it is in.
    sr: Ref,
}

/// A disk or an interface of a machine: whose, of what, where, and whether it is attached.
#[derive(Clone, Debug, PartialEq)]
struct Device {
    vm: Ref,
    of: Ref,
    place: String,
    attached: bool,
}

#[derive(Default, Debug, PartialEq)]
struct Plain {
    machines: BTreeMap<Ref, Machine>,
    disks: BTreeMap<Ref, Disk>,
    networks: BTreeMap<Ref, String>,
    vbds: BTreeMap<Ref, Device>,
    vifs: BTreeMap<Ref, Device>,
    /// Disks that hold the memory of suspended machines; made by the server.
    memories: usize,
}

struct Run {
    server: Server,
    dice: Dice,
    plain: Plain,
    /// What was there before.
    template: Ref,
    sr: Ref,
    /// Another repository, and the host's answer to who may send machines to it.
    shelf: Ref,
    dest: Json,
    others: BTreeSet<Ref>,
    done: BTreeMap<&'static str, usize>,
    last: String,
}

fn reference(json: &Json) -> Ref {
    Ref::parse(json.as_str().unwrap_or_default()).expect("a reference")
}

impl Run {
    async fn new(seed: u64) -> Run {
        let server = Server::reconciled().await;
        let view = server.view();
        let plain_template =
            |vm: &&std::sync::Arc<Object>| vm.get(VM::is_a_template) && view.far(VM::VBDs, vm.reference).is_empty();
        let template = view.all::<VM>().find(plain_template).expect("a template without disks").reference;
        let sr =
            view.all::<SR>().find(|sr| sr.get(SR::r#type).as_ref() == "ext").expect("a local repository").reference;
        let vms = view.all::<VM>().map(|vm| vm.reference);
        let disks = view.all::<VDI>().map(|vdi| vdi.reference);
        let networks = view.all::<network>().map(|network| network.reference);
        let others = vms.chain(disks).chain(networks).collect();
        let (done, last) = (BTreeMap::new(), String::new());
        let here = view.all::<host>().next().expect("a host").reference.to_string();
        let plain = Plain::default();
        let (shelf, dest) = (Ref::NULL, Json::Null);
        let mut run = Run { server, dice: Dice(seed), plain, template, sr, shelf, dest, others, done, last };
        let made = json!([here, {"location": "/srv/more"}, 0, "more", "", "file", "user", false, {}]);
        run.shelf = reference(&run.call("SR.create", made).await);
        let pif = view.all::<PIF>().find(|pif| pif.get(PIF::currently_attached)).expect("an interface that is up");
        let lan = pif.get(PIF::network).to_string();
        run.dest = run.call("host.migrate_receive", json!([here, lan, {}])).await;
        run
    }

    /// A call that must be accepted.
    async fn call(&mut self, method: &'static str, params: Json) -> Json {
        *self.done.entry(method).or_default() += 1;
        self.last = format!("{method} {params}");
        let session = json!(self.server.session);
        let all = std::iter::once(session).chain(params.as_array().cloned().unwrap_or_default()).collect();
        let answer = self.server.call(method, Json::Array(all)).await;
        answer.unwrap_or_else(|error| panic!("{} is refused: {error:?}\n{:#?}", self.last, self.plain))
    }

    fn pick<T>(&mut self, of: &BTreeMap<Ref, T>, such: impl Fn(&Ref, &T) -> bool) -> Option<Ref> {
        let fitting: Vec<Ref> = of.iter().filter(|(at, one)| such(at, one)).map(|(at, _)| *at).collect();
        (!fitting.is_empty()).then(|| self.dice.one(&fitting))
    }

    fn machine(&mut self, such: impl Fn(&Machine) -> bool) -> Option<Ref> {
        let machines = self.plain.machines.clone();
        self.pick(&machines, |_, machine| such(machine))
    }

    fn text(&mut self) -> String {
        format!("name {}", self.dice.below(1_000))
    }

    /// One random call, if there is something to call it on.
    async fn step(&mut self) -> Option<()> {
        match self.dice.below(29) {
            28 => self.send().await,
            0 | 1 => self.clone_or_create().await,
            2 => self.snapshot().await,
            3 => self.destroy().await,
            4..=12 => self.power().await,
            13..=17 => self.describe().await,
            18..=21 => self.disk().await,
            22 | 23 => self.vbd().await,
            24 | 25 => self.vif().await,
            _ => self.network().await,
        }
    }

    async fn clone_or_create(&mut self) -> Option<()> {
        if self.plain.machines.len() >= MACHINES_MAX {
            return None;
        }
        let name = self.text();
        let source = self.machine(|machine| machine.power == "Halted" && !machine.snapshot);
        if let Some(source) = source.filter(|_| self.dice.percent(40)) {
            return self.copy("VM.clone", source, Machine { name, ..self.plain.machines[&source].clone() }).await;
        }
        let made = reference(&self.call("VM.clone", json!([self.template.to_string(), name])).await);
        self.call("VM.set_is_a_template", json!([made.to_string(), false])).await;
        self.call("VM.set_memory", json!([made.to_string(), 128 * MIB])).await;
        let (config, tags) = (BTreeMap::new(), BTreeSet::new());
        self.plain.machines.insert(made, Machine { name, power: "Halted", snapshot: false, config, tags });
        Some(())
    }

    async fn snapshot(&mut self) -> Option<()> {
        if self.plain.machines.len() >= MACHINES_MAX {
            return None;
        }
        let source = self.machine(|machine| !machine.snapshot && machine.power != "Suspended")?;
        let name = self.text();
        let like = Machine { name, power: "Halted", snapshot: true, ..self.plain.machines[&source].clone() };
        self.copy("VM.snapshot", source, like).await
    }

    /// A copy has its own disks and devices, where the source has them.
    async fn copy(&mut self, method: &'static str, source: Ref, machine: Machine) -> Option<()> {
        let made = reference(&self.call(method, json!([source.to_string(), machine.name])).await);
        self.plain.machines.insert(made, machine);
        let view = self.server.view();
        let of_source = |devices: &BTreeMap<Ref, Device>| -> Vec<Device> {
            devices.values().filter(|device| device.vm == source).cloned().collect()
        };
        for device in of_source(&self.plain.vbds) {
            let twin = twin(&view, ClassId::VBD, view.far(VM::VBDs, made), VBD::userdevice.index, &device.place);
            let disk = view.find::<VBD>(twin).expect("found").get(VBD::VDI);
            assert!(!self.plain.disks.contains_key(&disk), "{}: the disk is not shared", self.last);
            let like = self.plain.disks[&device.of].clone();
            self.plain.disks.insert(disk, like);
            self.plain.vbds.insert(twin, Device { vm: made, of: disk, attached: false, ..device });
        }
        for device in of_source(&self.plain.vifs) {
            let twin = twin(&view, ClassId::VIF, view.far(VM::VIFs, made), VIF::device.index, &device.place);
            self.plain.vifs.insert(twin, Device { vm: made, attached: false, ..device });
        }
        Some(())
    }

    /// A machine takes some of its disks to the other repository, whether or not it runs.
    async fn send(&mut self) -> Option<()> {
        let vm = self.machine(|machine| !machine.snapshot && machine.power != "Suspended")?;
        let own: Vec<(Ref, Ref)> =
            self.plain.vbds.iter().filter(|(_, vbd)| vbd.vm == vm).map(|(at, vbd)| (*at, vbd.of)).collect();
        let going: Vec<(Ref, Ref)> = own.into_iter().filter(|_| self.dice.percent(70)).collect();
        let elsewhere = |disk: &Disk| if disk.sr == self.sr { self.shelf } else { self.sr };
        let to: BTreeMap<Ref, Ref> =
            going.iter().map(|(_, disk)| (*disk, elsewhere(&self.plain.disks[disk]))).collect();
        let map: serde_json::Map<String, Json> =
            to.iter().map(|(disk, sr)| (disk.to_string(), json!(sr.to_string()))).collect();
        let params = json!([vm.to_string(), self.dest, true, map, {}, {}, {}, {}]);
        let sent = self.call("VM.migrate_send", params).await;
        assert_eq!(reference(&sent), vm, "it is the same machine");
        let view = self.server.view();
        for (vbd, old) in going {
            let new = view.find::<VBD>(vbd).expect("it stays").get(VBD::VDI);
            let disk = self.plain.disks.remove(&old)?;
            self.plain.disks.insert(new, Disk { sr: to[&old], ..disk });
            self.plain.vbds.get_mut(&vbd)?.of = new;
        }
        Some(())
    }

    /// Its devices go with a machine, its disks stay.
    async fn destroy(&mut self) -> Option<()> {
        let vm = self.machine(|machine| machine.power == "Halted")?;
        self.call("VM.destroy", json!([vm.to_string()])).await;
        self.plain.machines.remove(&vm);
        self.plain.vbds.retain(|_, device| device.vm != vm);
        self.plain.vifs.retain(|_, device| device.vm != vm);
        Some(())
    }

    async fn power(&mut self) -> Option<()> {
        let vm = self.machine(|machine| !machine.snapshot)?;
        let running = self.plain.machines.values().filter(|machine| machine.power != "Halted").count();
        let room = running < RUNNING_MAX;
        let (method, becomes) = match (self.plain.machines[&vm].power, self.dice.below(4)) {
            ("Halted", 0..2) if room => ("VM.start", "Running"),
            ("Running", 0) => ("VM.pause", "Paused"),
            ("Running", 1) => ("VM.suspend", "Suspended"),
            ("Running", 2) => ("VM.hard_reboot", "Running"),
            ("Running", _) => ("VM.clean_shutdown", "Halted"),
            ("Paused", 0) => ("VM.hard_shutdown", "Halted"),
            ("Paused", _) => ("VM.unpause", "Running"),
            ("Suspended", 0) => ("VM.hard_shutdown", "Halted"),
            ("Suspended", _) => ("VM.resume", "Running"),
            _ => return None,
        };
        let flags = if matches!(method, "VM.start" | "VM.resume") { vec![json!(false), json!(false)] } else { vec![] };
        let params = std::iter::once(json!(vm.to_string())).chain(flags).collect();
        self.call(method, Json::Array(params)).await;
        let machine = self.plain.machines.get_mut(&vm).expect("picked");
        self.plain.memories += usize::from(becomes == "Suspended");
        self.plain.memories -= usize::from(machine.power == "Suspended");
        let attached = match (machine.power, becomes) {
            (_, "Halted") => Some(false),
            ("Halted", _) | (_, "Running") if matches!(method, "VM.start" | "VM.resume" | "VM.hard_reboot") => {
                Some(true)
            }
            _ => None,
        };
        machine.power = becomes;
        let devices = self.plain.vbds.values_mut().chain(self.plain.vifs.values_mut());
        for device in devices.filter(|device| device.vm == vm) {
            device.attached = attached.unwrap_or(device.attached);
        }
        Some(())
    }

    async fn describe(&mut self) -> Option<()> {
        let vm = self.machine(|_| true)?;
        let (key, tag, text) = (self.dice.one(&KEYS), self.dice.one(&TAGS), self.text());
        let this = vm.to_string();
        let known = self.plain.machines[&vm].config.contains_key(key);
        match self.dice.below(5) {
            0 => drop(self.call("VM.set_name_label", json!([this, text])).await),
            1 if !known => drop(self.call("VM.add_to_other_config", json!([this, key, text])).await),
            1 | 2 => drop(self.call("VM.remove_from_other_config", json!([this, key])).await),
            3 => drop(self.call("VM.add_tags", json!([this, tag])).await),
            _ => drop(self.call("VM.remove_tags", json!([this, tag])).await),
        }
        let method = self.last.split(' ').next().unwrap_or_default().to_string();
        let machine = self.plain.machines.get_mut(&vm).expect("picked");
        match method.as_str() {
            "VM.set_name_label" => machine.name = text,
            "VM.add_to_other_config" => drop(machine.config.insert(key.into(), text)),
            "VM.remove_from_other_config" => drop(machine.config.remove(key)),
            "VM.add_tags" => drop(machine.tags.insert(tag.into())),
            _ => drop(machine.tags.remove(tag)),
        }
        Some(())
    }

    async fn disk(&mut self) -> Option<()> {
        let name = self.text();
        if self.plain.disks.len() < DISKS_MAX && self.dice.percent(40) {
            let size = 8 * MIB * (1 + self.dice.below(8) as i64);
            let record = json!({"name_label": name, "SR": self.sr.to_string(), "virtual_size": size, "type": "user",
                "sharable": false, "read_only": false, "other_config": {}});
            let made = reference(&self.call("VDI.create", json!([record])).await);
            self.plain.disks.insert(made, Disk { name, size, sr: self.sr });
            return Some(());
        }
        let disks = self.plain.disks.clone();
        let used: BTreeSet<Ref> = self.plain.vbds.values().map(|device| device.of).collect();
        let disk = self.pick(&disks, |_, _| true)?;
        match self.dice.below(3) {
            0 => {
                self.call("VDI.set_name_label", json!([disk.to_string(), name])).await;
                self.plain.disks.get_mut(&disk)?.name = name;
            }
            1 if !used.contains(&disk) => {
                let size = disks[&disk].size + 8 * MIB;
                self.call("VDI.resize", json!([disk.to_string(), size])).await;
                self.plain.disks.get_mut(&disk)?.size = size;
            }
            2 if !used.contains(&disk) => {
                self.call("VDI.destroy", json!([disk.to_string()])).await;
                self.plain.disks.remove(&disk);
            }
            _ => return None,
        }
        Some(())
    }

    async fn vbd(&mut self) -> Option<()> {
        let devices = self.plain.vbds.clone();
        if self.dice.percent(50) {
            let used: BTreeSet<Ref> = devices.values().map(|device| device.of).collect();
            let disks = self.plain.disks.clone();
            let disk = self.pick(&disks, |at, _| !used.contains(at))?;
            let vm = self.machine(|machine| machine.power == "Halted" && !machine.snapshot)?;
            let place = free(&devices, vm)?;
            let record = json!({"VM": vm.to_string(), "VDI": disk.to_string(), "userdevice": place, "mode": "RW",
                "type": "Disk", "bootable": false, "empty": false, "other_config": {}, "qos_algorithm_type": "",
                "qos_algorithm_params": {}});
            let made = reference(&self.call("VBD.create", json!([record])).await);
            self.plain.vbds.insert(made, Device { vm, of: disk, place, attached: false });
            return Some(());
        }
        let device = self.plugged("VBD", &devices).await?;
        match device {
            (device, None) => drop(self.plain.vbds.remove(&device)),
            (device, Some(attached)) => self.plain.vbds.get_mut(&device)?.attached = attached,
        }
        Some(())
    }

    async fn vif(&mut self) -> Option<()> {
        let devices = self.plain.vifs.clone();
        if self.dice.percent(50) {
            let networks = self.plain.networks.clone();
            let on = self.pick(&networks, |_, _| true)?;
            let vm = self.machine(|machine| machine.power == "Halted" && !machine.snapshot)?;
            let place = free(&devices, vm)?;
            let record = json!({"VM": vm.to_string(), "network": on.to_string(), "device": place, "MAC": "", "MTU": 1500,
                "other_config": {}, "qos_algorithm_type": "", "qos_algorithm_params": {}});
            let made = reference(&self.call("VIF.create", json!([record])).await);
            self.plain.vifs.insert(made, Device { vm, of: on, place, attached: false });
            return Some(());
        }
        match self.plugged("VIF", &devices).await? {
            (device, None) => drop(self.plain.vifs.remove(&device)),
            (device, Some(attached)) => self.plain.vifs.get_mut(&device)?.attached = attached,
        }
        Some(())
    }

    /// Plugs, unplugs or destroys a device: whether it is attached then, if it is still there.
    async fn plugged(&mut self, class: &str, devices: &BTreeMap<Ref, Device>) -> Option<(Ref, Option<bool>)> {
        let device = self.pick(devices, |_, _| true)?;
        let machine = &self.plain.machines[&devices[&device].vm];
        let (method, becomes) = match (machine.power, devices[&device].attached, class) {
            _ if machine.snapshot => return None,
            ("Running", true, "VBD") => ("VBD.unplug", Some(false)),
            ("Running", true, _) => ("VIF.unplug", Some(false)),
            ("Running", false, "VBD") => ("VBD.plug", Some(true)),
            ("Running", false, _) => ("VIF.plug", Some(true)),
            ("Halted", _, "VBD") => ("VBD.destroy", None),
            ("Halted", ..) => ("VIF.destroy", None),
            _ => return None,
        };
        self.call(method, json!([device.to_string()])).await;
        Some((device, becomes))
    }

    async fn network(&mut self) -> Option<()> {
        let name = self.text();
        let networks = self.plain.networks.clone();
        let used: BTreeSet<Ref> = self.plain.vifs.values().map(|device| device.of).collect();
        if networks.len() < NETWORKS_MAX && self.dice.percent(50) {
            let made = reference(&self.call("network.create", json!([{"name_label": name, "other_config": {}}])).await);
            self.plain.networks.insert(made, name);
        } else if let Some(unused) = self.pick(&networks, |at, _| !used.contains(at)).filter(|_| self.dice.percent(30))
        {
            self.call("network.destroy", json!([unused.to_string()])).await;
            self.plain.networks.remove(&unused);
        } else {
            let one = self.pick(&networks, |_, _| true)?;
            self.call("network.set_name_label", json!([one.to_string(), name])).await;
            self.plain.networks.insert(one, name);
        }
        Some(())
    }

    /// The pool as the server has it, in the form of the reference.
    fn seen(&self, view: &View) -> Plain {
        let mut seen = Plain::default();
        let new = |reference: &Ref| !self.others.contains(reference);
        for vm in view.all::<VM>().filter(|vm| new(&vm.reference)) {
            let own = vm.get(VM::other_config).iter().filter(|(key, _)| KEYS.contains(&key.as_ref()));
            let machine = Machine {
                name: vm.get(VM::name_label).to_string(),
                power: vm.get(VM::power_state),
                snapshot: vm.get(VM::is_a_snapshot),
                config: own.map(|(key, value)| (key.to_string(), value.as_str().to_string())).collect(),
                tags: vm.get(VM::tags).iter().map(|tag| tag.as_str().to_string()).collect(),
            };
            seen.machines.insert(vm.reference, machine);
        }
        for disk in view.all::<VDI>().filter(|disk| new(&disk.reference)) {
            match disk.get(VDI::r#type) {
                "suspend" => seen.memories += 1,
                _ => {
                    let (name, size) = (disk.get(VDI::name_label).to_string(), disk.get(VDI::virtual_size));
                    seen.disks.insert(disk.reference, Disk { name, size, sr: disk.get(VDI::SR) });
                }
            }
        }
        let named = view.all::<network>().filter(|network| new(&network.reference));
        seen.networks = named.map(|one| (one.reference, one.get(network::name_label).to_string())).collect();
        for vbd in view.all::<VBD>().filter(|vbd| new(&vbd.get(VBD::VM))) {
            let (vm, of, attached) = (vbd.get(VBD::VM), vbd.get(VBD::VDI), vbd.get(VBD::currently_attached));
            let place = vbd.get(VBD::userdevice).to_string();
            seen.vbds.insert(vbd.reference, Device { vm, of, place, attached });
        }
        for vif in view.all::<VIF>().filter(|vif| new(&vif.get(VIF::VM))) {
            let (vm, of, attached) = (vif.get(VIF::VM), vif.get(VIF::network), vif.get(VIF::currently_attached));
            let place = vif.get(VIF::device).to_string();
            seen.vifs.insert(vif.reference, Device { vm, of, place, attached });
        }
        seen
    }

    fn check(&self, after: usize) {
        let view = self.server.view();
        assert_eq!(self.seen(&view), self.plain, "after {after} steps, the last was {}", self.last);
        check::invariants(&view).unwrap_or_else(|wrong| panic!("after {}: {wrong}", self.last));
    }
}

/// The device of a copy at the same place.
fn twin(view: &View, class: ClassId, devices: Vec<Ref>, field: usize, place: &str) -> Ref {
    let at = |one: &Ref| view.object(class, *one).is_some_and(|one| one.record[field] == Value::text(place));
    devices.into_iter().find(at).unwrap_or_else(|| panic!("the copy has no device {place}"))
}

/// A place in the machine where no device is.
fn free(devices: &BTreeMap<Ref, Device>, vm: Ref) -> Option<String> {
    let taken: BTreeSet<&str> = devices.values().filter(|one| one.vm == vm).map(|one| one.place.as_str()).collect();
    (0..4).map(|number| number.to_string()).find(|place| !taken.contains(place.as_str()))
}

#[tokio::test]
async fn the_pool_is_what_plain_maps_say_after_every_valid_call() {
    let long = std::env::var_os("XENLEDGER_LONG").is_some();
    let calls = if long { CALLS_LONG } else { CALLS };
    let mut run = Run::new(crate::every::seed()).await;
    let mut made = 0;
    while made < calls {
        run.step().await;
        made = run.done.values().sum();
        run.check(made);
    }
    println!("{made} calls: {:?}", run.done);
    assert!(run.done.len() >= 30, "only {} messages were called", run.done.len());
}
