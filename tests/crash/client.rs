//! One client of the crash test: it changes machines until the connection breaks, and remembers what was acknowledged.

use std::net::SocketAddr;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde_json::{Value, json};

use crate::server::{Connection, Failure};

/// A machine with more keys than this is replaced in the next round, so that records stay small over hundreds of rounds.
const KEYS_MAX: usize = 300;
/// How many machines a client keeps beside its own.
const EXTRAS_MAX: usize = 3;

/// What the clients know of a machine.
#[derive(Debug)]
pub struct Machine {
    pub reference: String,
    /// The name last acknowledged, then those sent since without an answer: one of them is right.
    pub names: Vec<String>,
    /// Keys of `other_config` that were acknowledged.
    pub keys: Vec<String>,
    pub life: Life,
    /// The task last acknowledged and the state that its success leads to.
    pub power: Option<(String, &'static str)>,
    /// A start or shutdown was sent without an answer: the state may be either.
    pub power_unknown: bool,
}

/// Whether a machine exists.
#[derive(Debug, PartialEq, Eq)]
pub enum Life {
    Exists,
    /// Its removal was sent, and not answered.
    Unknown,
    Destroyed,
}

/// What all clients know between two rounds.
#[derive(Default)]
pub struct Memory {
    pub machines: Vec<Machine>,
    /// Names of machines whose creation was sent and not answered.
    pub creating: Vec<String>,
}

impl Memory {
    /// A machine for a client to go on with.
    pub fn take(&mut self) -> Option<Machine> {
        let usable = |machine: &Machine| machine.life == Life::Exists && machine.keys.len() < KEYS_MAX;
        self.machines.iter().position(usable).map(|found| self.machines.swap_remove(found))
    }

    /// Takes over what a client remembers.
    pub fn put(&mut self, client: Client) {
        self.machines.extend(client.own);
        self.machines.extend(client.extras);
        self.creating.extend(client.creating);
    }
}

pub struct Client {
    address: SocketAddr,
    session: String,
    random: ChaCha8Rng,
    name: String,
    own: Option<Machine>,
    extras: Vec<Machine>,
    creating: Option<String>,
    count: u64,
    pub acknowledged: usize,
}

impl Client {
    pub fn new(address: SocketAddr, session: &str, seed: u64, name: String, own: Option<Machine>) -> Client {
        Client {
            address,
            session: session.to_owned(),
            random: ChaCha8Rng::seed_from_u64(seed),
            name,
            own,
            extras: Vec::new(),
            creating: None,
            count: 0,
            acknowledged: 0,
        }
    }

    /// Works until the connection breaks. A refusal is a failure of the test: nothing here may be refused.
    pub fn work(&mut self) {
        let Ok(mut connection) = Connection::open(self.address) else { return };
        loop {
            match self.step(&mut connection) {
                Ok(()) => self.acknowledged += 1,
                Err(Failure::Broken(_)) => return,
                Err(Failure::Refused(code, params)) => panic!("client {}: {code} {params:?}", self.name),
            }
        }
    }

    fn step(&mut self, connection: &mut Connection) -> Result<(), Failure> {
        let Some(own) = &mut self.own else {
            self.own = Some(self.create(connection)?);
            return Ok(());
        };
        self.count += 1;
        let label = format!("{} {}", self.name, self.count);
        match self.random.next_u32() % 20 {
            0..8 => {
                own.names.push(label.clone());
                connection.call("VM.set_name_label", json!([self.session, own.reference, label]))?;
                own.names.drain(..own.names.len() - 1);
            }
            8..16 => {
                connection.call("VM.add_to_other_config", json!([self.session, own.reference, label, "here"]))?;
                own.keys.push(label);
            }
            16..18 => power(connection, &self.session, own)?,
            _ if self.extras.len() < EXTRAS_MAX => {
                let extra = self.create(connection)?;
                self.extras.push(extra);
            }
            _ => {
                let which = self.random.next_u32() as usize % self.extras.len();
                let extra = &mut self.extras[which];
                if extra.life == Life::Exists {
                    extra.life = Life::Unknown;
                    connection.call("VM.destroy", json!([self.session, extra.reference]))?;
                    extra.life = Life::Destroyed;
                }
            }
        }
        Ok(())
    }

    fn create(&mut self, connection: &mut Connection) -> Result<Machine, Failure> {
        self.count += 1;
        let name = format!("{} {}", self.name, self.count);
        self.creating = Some(name.clone());
        let reference = text(connection.call("VM.create", json!([self.session, record(&name)]))?);
        self.creating = None;
        Ok(Machine {
            reference,
            names: vec![name],
            keys: Vec::new(),
            life: Life::Exists,
            power: None,
            power_unknown: false,
        })
    }
}

/// Starts a machine that is halted, or halts one that runs, unless it is still at it.
fn power(connection: &mut Connection, session: &str, machine: &mut Machine) -> Result<(), Failure> {
    if let Some((task, _)) = &machine.power
        && connection.call("task.get_status", json!([session, task]))? == "pending"
    {
        return Ok(());
    }
    let state = connection.call("VM.get_power_state", json!([session, machine.reference]))?;
    machine.power_unknown = true;
    let (task, aim) = if state == "Halted" {
        (connection.call("Async.VM.start", json!([session, machine.reference, false, false]))?, "Running")
    } else {
        (connection.call("Async.VM.hard_shutdown", json!([session, machine.reference]))?, "Halted")
    };
    machine.power_unknown = false;
    machine.power = Some((text(task), aim));
    Ok(())
}

pub fn text(value: Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is not a string")).to_owned()
}

/// A small machine without disks.
fn record(name: &str) -> Value {
    const MEMORY_BYTES: u64 = 16 << 20;
    json!({
        "name_label": name, "name_description": "", "user_version": 1, "is_a_template": false,
        "affinity": "OpaqueRef:NULL", "memory_static_max": MEMORY_BYTES, "memory_dynamic_max": MEMORY_BYTES,
        "memory_dynamic_min": MEMORY_BYTES, "memory_static_min": MEMORY_BYTES, "VCPUs_params": {}, "VCPUs_max": 1,
        "VCPUs_at_startup": 1, "actions_after_shutdown": "destroy", "actions_after_reboot": "restart",
        "actions_after_crash": "restart", "PV_bootloader": "", "PV_kernel": "", "PV_ramdisk": "", "PV_args": "",
        "PV_bootloader_args": "", "PV_legacy_args": "", "HVM_boot_policy": "BIOS order",
        "HVM_boot_params": {"order": "cd"}, "platform": {}, "PCI_bus": "", "other_config": {}, "recommendations": "",
    })
}
