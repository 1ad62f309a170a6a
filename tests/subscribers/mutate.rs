//! Random changes from a seed: networks, machines and tasks come, change, start, stop and go.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde_json::{Value, json};

use crate::machine;
use crate::place::{Place, call};
use crate::server::{Connection, Failure};

/// Objects of one class that are there at the same time.
const OBJECTS_MAX: usize = 12;

/// What there is to change.
pub struct Pool {
    random: ChaCha8Rng,
    networks: Vec<Value>,
    machines: Vec<Value>,
    tasks: Vec<Value>,
    count: u64,
}

impl Pool {
    pub fn new(seed: u64) -> Pool {
        let random = ChaCha8Rng::seed_from_u64(seed);
        Pool { random, networks: Vec::new(), machines: Vec::new(), tasks: Vec::new(), count: 0 }
    }
}

/// Changes things until so many changes were sent, then has the server killed while one more is under way. Answers how
/// many were acknowledged.
pub fn until(place: &Place, pool: &mut Pool, count: u64, kill: impl FnOnce() + Send) -> u64 {
    let mut connection = place.connect();
    let mut done = 0;
    for _ in 0..count {
        match change(place, pool, &mut connection) {
            Ok(()) => done += 1,
            Err(Failure::Refused(..)) => {}
            Err(Failure::Broken(error)) => panic!("the server broke a connection by itself: {error}"),
        }
    }
    std::thread::scope(|scope| {
        let dying = scope.spawn(kill);
        while change(place, pool, &mut connection).is_ok() {
            done += 1;
        }
        dying.join().expect("it can be killed");
    });
    done
}

/// One change. What may not be now is refused, which is an event too, but no change.
fn change(place: &Place, pool: &mut Pool, connection: &mut Connection) -> Result<(), Failure> {
    pool.count += 1;
    let (dice, which) = (pool.random.next_u32() % 20, pool.random.next_u32() as usize);
    let label = ["a", "b", "c", "d"][which % 4];
    let key = format!("k{}", pool.count);
    let mut ask = |method: &str, params: &[Value]| call(connection, place.session(), method, params);
    let network = pool.networks.get(which % OBJECTS_MAX).cloned();
    let vm = pool.machines.get(which % OBJECTS_MAX).cloned();
    let task = pool.tasks.get(which % OBJECTS_MAX).cloned();
    match (dice, network, vm, task) {
        (0..3, Some(network), ..) => drop(ask("network.set_name_label", &[network, json!(label)])?),
        (3, Some(network), ..) => drop(ask("network.add_to_other_config", &[network, json!(key), json!("v")])?),
        (4, Some(network), ..) => drop(ask("network.add_tags", &[network, json!(label)])?),
        (5, Some(network), ..) => drop(ask("network.remove_tags", &[network, json!(label)])?),
        (6 | 7, Some(network), ..) => {
            pool.networks.retain(|known| *known != network);
            ask("network.destroy", &[network])?;
        }
        (8, _, Some(vm), _) => drop(ask("VM.set_name_label", &[vm, json!(label)])?),
        (9 | 10, _, Some(vm), _) => drop(ask("Async.VM.start", &[vm, json!(false), json!(false)])?),
        (11 | 12, _, Some(vm), _) => drop(ask("Async.VM.hard_shutdown", &[vm])?),
        (13, _, Some(vm), _) => {
            // One that runs is kept: it is refused.
            ask("VM.destroy", std::slice::from_ref(&vm))?;
            pool.machines.retain(|known| *known != vm);
        }
        (14, .., Some(task)) => drop(ask("task.set_progress", &[task, json!(0.5)])?),
        (15, .., Some(task)) => {
            pool.tasks.retain(|known| *known != task);
            ask("task.set_status", &[task, json!("success")])?;
        }
        (16, ..) if pool.machines.len() < OBJECTS_MAX => {
            pool.machines.push(ask("VM.create", &[machine(label)])?);
        }
        (17, ..) if pool.tasks.len() < OBJECTS_MAX => {
            pool.tasks.push(ask("task.create", &[json!(label), json!("")])?);
        }
        _ if pool.networks.len() < OBJECTS_MAX => {
            pool.networks.push(ask("network.create", &[json!({"name_label": label, "tags": [label]})])?);
        }
        _ => {}
    }
    Ok(())
}

/// When nothing is under way any more, one more object of each class: who hears of that has heard everything.
pub fn last_words(place: &Place) {
    let pending = |class: &str, busy: &dyn Fn(&Value) -> bool| {
        let records = place.ask(&format!("{class}.get_all_records"), &[]);
        records.as_object().expect("records").values().any(busy)
    };
    let busy_vm = |vm: &Value| vm["current_operations"].as_object().is_some_and(|under_way| !under_way.is_empty());
    let operation = |task: &Value| task["status"] == "pending" && text_of(task).contains("VM.");
    while pending("VM", &busy_vm) || pending("task", &operation) {
        place.rest();
    }
    let head = place.ask("event.get_current_id", &[]);
    let head = head.as_u64().or_else(|| head.as_str()?.parse().ok()).expect("a position");
    place.ends_behind(head);
    place.ask("network.create", &[json!({"name_label": "the end"})]);
    place.ask("VM.create", &[machine("the end")]);
    place.ask("task.create", &[json!("the end"), json!("")]);
}

fn text_of(task: &Value) -> String {
    task["name_label"].as_str().unwrap_or_default().to_string()
}
