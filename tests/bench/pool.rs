//! The pool that is measured: machines, bare or each with two disks and a
//! network interface, made through the server like a client makes them.

use super::load::{Connection, call, result_of};
use super::server::Process;
use serde_json::{Value as Json, json};
use std::sync::Arc;

/// Machines in the pool.
pub const MACHINES: usize = 10_000;
/// Clients that read or write at once where the table does not say another number.
pub const CLIENTS: usize = 64;

const GIB: i64 = 1 << 30;
const MIB: i64 = 1 << 20;

/// A session and machines.
pub struct Pool {
    pub session: String,
    pub machines: Arc<Vec<String>>,
}

/// What each machine has.
#[derive(Clone, Copy, PartialEq)]
pub enum Devices {
    None,
    TwoDisksAndInterface,
}

impl Pool {
    pub async fn fill(server: &Process, devices: Devices) -> Pool {
        let mut first = Maker { connection: Connection::open(&server.address).await, session: String::new() };
        first.session = login(&mut first.connection).await;
        let session = first.session.clone();
        let pool = first.ask("pool.get_all", &[]).await;
        let storage = first.ask("pool.get_default_SR", &[pool[0].clone()]).await;
        let network = first.ask("network.get_all", &[]).await[0].clone();
        let mut filling = tokio::task::JoinSet::new();
        for part in 0..CLIENTS {
            let (storage, network) = (storage.clone(), network.clone());
            let mut maker = Maker { connection: Connection::open(&server.address).await, session: session.clone() };
            filling.spawn(async move {
                let mut made = Vec::new();
                for nth in (part..MACHINES).step_by(CLIENTS) {
                    let vm = maker.ask("VM.create", &[machine(nth)]).await;
                    if devices == Devices::TwoDisksAndInterface {
                        maker.furnish(nth, &vm, &storage, &network).await;
                    }
                    made.push(vm.as_str().expect("a reference").to_string());
                }
                made
            });
        }
        let mut machines = Vec::with_capacity(MACHINES);
        while let Some(made) = filling.join_next().await {
            machines.extend(made.expect("filling the pool panicked"));
        }
        Pool { session, machines: Arc::new(machines) }
    }
}

async fn login(connection: &mut Connection) -> String {
    let login = call("session.login_with_password", r#""root","bench","1.0","bench""#);
    result_of(connection.exchange(&login).await).as_str().expect("a session reference").to_string()
}

/// One of the clients that fill the pool.
struct Maker {
    connection: Connection,
    session: String,
}

impl Maker {
    async fn ask(&mut self, message: &str, args: &[Json]) -> Json {
        let args: String = args.iter().map(|arg| format!(",{arg}")).collect();
        let request = call(message, &format!("\"{}\"{args}", self.session));
        result_of(self.connection.exchange(&request).await)
    }

    async fn furnish(&mut self, nth: usize, vm: &Json, storage: &Json, network: &Json) {
        for device in 0..2 {
            let vdi = self.ask("VDI.create", &[disk(nth, device, storage)]).await;
            self.ask("VBD.create", &[drive(device, vm, &vdi)]).await;
        }
        self.ask("VIF.create", &[interface(vm, network)]).await;
    }
}

fn machine(nth: usize) -> Json {
    json!({
        "name_label": format!("machine-{nth}"), "name_description": "", "user_version": 1, "is_a_template": false,
        "affinity": "OpaqueRef:NULL", "memory_static_max": GIB, "memory_dynamic_max": GIB, "memory_dynamic_min": GIB,
        "memory_static_min": GIB / 2, "VCPUs_params": {}, "VCPUs_max": 1, "VCPUs_at_startup": 1,
        "actions_after_shutdown": "destroy", "actions_after_reboot": "restart", "actions_after_crash": "restart",
        "PV_bootloader": "pygrub", "PV_kernel": "", "PV_ramdisk": "", "PV_args": "", "PV_bootloader_args": "",
        "PV_legacy_args": "", "HVM_boot_policy": "", "HVM_boot_params": {}, "platform": {}, "PCI_bus": "",
        "other_config": {}, "recommendations": "", "ha_restart_priority": "",
    })
}

fn disk(nth: usize, device: usize, storage: &Json) -> Json {
    json!({
        "name_label": format!("disk-{nth}-{device}"), "name_description": "", "SR": storage, "virtual_size": MIB,
        "type": "user", "sharable": false, "read_only": false, "other_config": {}, "xenstore_data": {},
        "sm_config": {}, "tags": [],
    })
}

fn drive(device: usize, vm: &Json, vdi: &Json) -> Json {
    json!({
        "VM": vm, "VDI": vdi, "userdevice": device.to_string(), "bootable": device == 0, "mode": "RW",
        "type": "Disk", "unpluggable": true, "empty": false, "other_config": {}, "qos_algorithm_type": "",
        "qos_algorithm_params": {},
    })
}

fn interface(vm: &Json, network: &Json) -> Json {
    json!({
        "device": "0", "network": network, "VM": vm, "MAC": "", "MTU": 1500, "other_config": {},
        "qos_algorithm_type": "", "qos_algorithm_params": {},
    })
}
