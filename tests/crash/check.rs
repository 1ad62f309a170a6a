//! Compares what a server tells after a crash with what the clients remember.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::client::{Life, Machine, Memory};
use crate::server::{Connection, Failure, Server, wait_for};

/// How long the server may take until every operation that a crash interrupted is over.
const CONVERGE_MAX: Duration = Duration::from_secs(120);

/// Every acknowledged change is present, nothing hangs. What was in doubt is settled in `memory`, and what would make it
/// grow for ever is destroyed.
pub fn everything_is_there(server: &Server, memory: &mut Memory) {
    let (mut connection, session) = server.login();
    let machines = records(&mut connection, &session, "VM");
    for machine in &mut memory.machines {
        check(machine, machines.get(&machine.reference));
    }
    memory.machines.retain(|machine| machine.life == Life::Exists);
    let tasks = nothing_is_pending(server, &mut connection, &session);
    let machines = records(&mut connection, &session, "VM");
    for machine in &mut memory.machines {
        check_power(machine, &machines, &tasks);
    }
    forget_the_unknown(&mut connection, &session, memory, &machines);
}

fn check(machine: &mut Machine, record: Option<&Value>) {
    let reference = &machine.reference;
    let Some(record) = record else {
        assert!(machine.life != Life::Exists, "{reference} was created, and is gone");
        machine.life = Life::Destroyed;
        return;
    };
    assert!(machine.life != Life::Destroyed, "{reference} was destroyed, and is back");
    machine.life = Life::Exists;
    let name = record["name_label"].as_str().expect("a name");
    assert!(machine.names.iter().any(|n| n == name), "{reference} is called {name:?}, not one of {:?}", machine.names);
    machine.names = vec![name.to_owned()];
    for key in &machine.keys {
        assert_eq!(record["other_config"][key], "here", "{reference} has lost the key {key:?}");
    }
}

/// Waits until no task is pending and no operation is under way; returns all tasks.
fn nothing_is_pending(server: &Server, connection: &mut Connection, session: &str) -> Map<String, Value> {
    let mut last = String::new();
    let began = std::time::Instant::now();
    wait_for("operations end after a crash", CONVERGE_MAX + Duration::from_secs(1), || {
        let tasks = records(connection, session, "task");
        let pending = tasks.iter().find(|(_, task)| task["status"] == "pending");
        let machines = records(connection, session, "VM");
        let busy =
            machines.iter().find(|(_, vm)| vm["current_operations"].as_object().is_some_and(|ops| !ops.is_empty()));
        if pending.is_some() || busy.is_some() {
            last = format!("{pending:?}\n{busy:?}");
            assert!(began.elapsed() < CONVERGE_MAX, "still under way:\n{last}\n{}", server.said());
            return None;
        }
        Some(tasks)
    })
}

/// A task that succeeded has left the machine in the state it led to.
fn check_power(machine: &mut Machine, machines: &Map<String, Value>, tasks: &Map<String, Value>) {
    let reference = &machine.reference;
    if let Some((task, aim)) = &machine.power {
        let record = tasks.get(task).unwrap_or_else(|| panic!("the task {task} of {reference} is gone"));
        let state = &machines[reference]["power_state"];
        if record["status"] == "success" && !machine.power_unknown {
            assert_eq!(state, aim, "{reference} after {record}");
        }
    }
    // A start or shutdown that was never answered may have come after that task.
    if std::mem::take(&mut machine.power_unknown) {
        machine.power = None;
    }
}

/// Removes the machines that nobody works with any more, and those whose creation was never answered.
fn forget_the_unknown(connection: &mut Connection, session: &str, memory: &mut Memory, machines: &Map<String, Value>) {
    let known: HashSet<&String> = memory.machines.iter().map(|machine| &machine.reference).collect();
    let ours = |vm: &Value| vm["is_a_template"] == false && vm["is_control_domain"] == false;
    for (reference, vm) in machines.iter().filter(|(reference, vm)| ours(vm) && !known.contains(reference)) {
        let name = vm["name_label"].as_str().expect("a name");
        assert!(memory.creating.iter().any(|n| n == name), "nobody made {reference}, {name:?}");
    }
    memory.creating.clear();
    let mut kept = Vec::new();
    while let Some(machine) = memory.take() {
        kept.push(machine);
    }
    kept.truncate(crate::CLIENTS as usize);
    let keep: HashSet<&String> = kept.iter().map(|machine| &machine.reference).collect();
    for (reference, vm) in machines.iter().filter(|(reference, vm)| ours(vm) && !keep.contains(reference)) {
        if vm["power_state"] != "Halted" {
            match connection.call("VM.hard_shutdown", json!([session, reference])) {
                Ok(_) => {}
                // The hypervisor was asked meanwhile, and no longer has it.
                Err(Failure::Refused(code, params)) if code == "VM_BAD_POWER_STATE" && params[2] == "halted" => {}
                Err(failure) => panic!("a machine can be halted: {failure:?}"),
            }
        }
        connection.call("VM.destroy", json!([session, reference])).expect("a halted machine can be destroyed");
    }
    memory.machines = kept;
}

fn records(connection: &mut Connection, session: &str, class: &str) -> Map<String, Value> {
    match connection.call(&format!("{class}.get_all_records"), json!([session])) {
        Ok(Value::Object(records)) => records,
        other => panic!("{class}.get_all_records: {other:?}"),
    }
}
