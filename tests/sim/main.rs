//! The reconciler with the simulated hypervisor, on a simulated clock: every
//! operation killed on its way, what happens behind the server's back, work in
//! parallel, progress, and silence when nothing happens.

mod house;
mod measured;
mod power;
mod sequences;

use house::{GIB, House, is_pending, nothing_pending};
use xenledger::command::draft::Fields;
use xenledger::driver::sim::{Interference, Options};
use xenledger::driver::{Driver, Trace};
use xenledger::model::{SR, VDI, VM, VM_guest_metrics, crashdump, host, network, task};
use xenledger::reconcile::plan::{Plan, plan};
use xenledger::value::{Ref, Value};

/// An operation to be killed on its way.
struct Case {
    message: &'static str,
    /// What brings the machine to where it begins.
    before: &'static [&'static str],
    /// The power state that it ends in.
    after: &'static str,
}

const CASES: &[Case] = &[
    Case { message: "VM.start", before: &[], after: "Running" },
    Case { message: "VM.pause", before: &["VM.start"], after: "Paused" },
    Case { message: "VM.unpause", before: &["VM.start", "VM.pause"], after: "Running" },
    Case { message: "VM.clean_shutdown", before: &["VM.start"], after: "Halted" },
    Case { message: "VM.shutdown", before: &["VM.start"], after: "Halted" },
    Case { message: "VM.hard_shutdown", before: &["VM.start"], after: "Halted" },
    Case { message: "VM.clean_reboot", before: &["VM.start"], after: "Running" },
    Case { message: "VM.hard_reboot", before: &["VM.start"], after: "Running" },
    Case { message: "VM.suspend", before: &["VM.start"], after: "Suspended" },
    Case { message: "VM.resume", before: &["VM.start", "VM.suspend"], after: "Running" },
    Case { message: "VM.pool_migrate", before: &["VM.start"], after: "Running" },
    Case { message: "VM.migrate_send", before: &["VM.start"], after: "Running" },
    Case { message: "VDI.create", before: &[], after: "Halted" },
    Case { message: "VDI.destroy", before: &[], after: "Halted" },
    Case { message: "VDI.snapshot", before: &["VM.start"], after: "Running" },
    Case { message: "VDI.clone", before: &[], after: "Halted" },
    Case { message: "VDI.copy", before: &[], after: "Halted" },
    Case { message: "VDI.resize", before: &[], after: "Halted" },
    Case { message: "SR.scan", before: &[], after: "Halted" },
    Case { message: "SR.update", before: &[], after: "Halted" },
    Case { message: "SR.create", before: &[], after: "Halted" },
    Case { message: "VM.clone", before: &[], after: "Halted" },
    Case { message: "VM.copy", before: &[], after: "Halted" },
    Case { message: "VM.snapshot", before: &["VM.start"], after: "Running" },
    Case { message: "VM.checkpoint", before: &["VM.start"], after: "Running" },
    Case { message: "VM.revert", before: &["VM.snapshot", "VM.start"], after: "Halted" },
    Case { message: "PBD.unplug", before: &[], after: "Halted" },
    Case { message: "PBD.plug", before: &["PBD.unplug"], after: "Halted" },
    Case { message: "VBD.unplug", before: &["VM.start"], after: "Running" },
    Case { message: "VBD.plug", before: &["VM.start", "VBD.unplug"], after: "Running" },
    Case { message: "VIF.unplug", before: &["VIF.create", "VM.start"], after: "Running" },
    Case { message: "VIF.plug", before: &["VIF.create", "VM.start", "VIF.unplug"], after: "Running" },
    Case { message: "VM.set_memory_dynamic_range", before: &["VM.start"], after: "Running" },
    Case { message: "VM.set_memory_target_live", before: &["VM.start"], after: "Running" },
    Case { message: "VM.set_VCPUs_number_live", before: &["VM.start"], after: "Running" },
];

fn arguments(house: &House, message: &str, vm: Ref, disk: Ref) -> Vec<Value> {
    let null = Value::Ref(Ref::NULL);
    match message {
        "VM.start" | "VM.resume" => vec![vm.into(), false.into(), false.into()],
        "VM.pool_migrate" => {
            let here = house.view().find::<VM>(vm).expect("a machine").get(VM::resident_on);
            vec![vm.into(), here.into(), Value::empty_map()]
        }
        "VM.migrate_send" => {
            let here = house.view().find::<VM>(vm).expect("a machine").get(VM::resident_on);
            let dest = Value::map([("host", Value::text(&here.to_string()))]);
            let nothing = std::iter::repeat_with(Value::empty_map).take(5);
            [vm.into(), dest, true.into()].into_iter().chain(nothing).collect()
        }
        "VDI.create" => {
            let record =
                [("SR", house.sr().to_string().into()), ("virtual_size", Value::Int(GIB)), ("type", "user".into())];
            vec![Value::map(record.into_iter().chain([
                ("sharable", Value::Bool(false)),
                ("read_only", Value::Bool(false)),
                ("other_config", Value::empty_map()),
            ]))]
        }
        "VDI.snapshot" | "VDI.clone" => vec![disk.into(), Value::empty_map()],
        "VDI.copy" => vec![disk.into(), house.sr().into(), null.clone(), null],
        "VDI.resize" => vec![disk.into(), Value::Int(2 * GIB)],
        "VDI.destroy" => vec![disk.into()],
        "SR.scan" | "SR.update" => vec![house.sr().into()],
        _ => arguments_of_machine(house, message, vm),
    }
}

fn arguments_of_machine(house: &House, message: &str, vm: Ref) -> Vec<Value> {
    let view = house.view();
    let first = |list: Vec<Ref>| vec![Value::Ref(list.into_iter().next().expect("there is one"))];
    match message {
        "SR.create" => {
            let here = view.all::<host>().next().expect("a host").reference;
            let config = Value::map([("location", Value::from("/srv/more"))]);
            let named = |text: &str| Value::from(text);
            let kind = [named("more"), named(""), named("file"), named("user"), false.into(), Value::empty_map()];
            [here.into(), config, Value::Int(0)].into_iter().chain(kind).collect()
        }
        "VM.clone" | "VM.checkpoint" => vec![vm.into(), "copy".into()],
        "VM.snapshot" => vec![vm.into(), "copy".into(), Value::empty_set()],
        "VM.copy" => vec![vm.into(), "copy".into(), house.sr().into()],
        "VM.revert" => first(view.far(VM::snapshots, vm)),
        "PBD.plug" | "PBD.unplug" => first(view.far(SR::PBDs, house.sr())),
        "VBD.plug" | "VBD.unplug" => first(view.far(VM::VBDs, vm)),
        "VIF.plug" | "VIF.unplug" => first(view.far(VM::VIFs, vm)),
        "VIF.create" => {
            let lan = view.all::<network>().next().expect("a network").reference;
            let texts =
                [("VM", vm.to_string()), ("network", lan.to_string()), ("device", "0".into()), ("MAC", "".into())];
            vec![Value::map(texts.map(|(name, text)| (name, Value::from(text))))]
        }
        "VM.set_memory_dynamic_range" => vec![vm.into(), Value::Int(GIB / 2), Value::Int(GIB / 2)],
        "VM.set_memory_target_live" => vec![vm.into(), Value::Int(GIB / 2)],
        "VM.set_VCPUs_number_live" => vec![vm.into(), Value::Int(1)],
        _ => vec![vm.into()],
    }
}

/// Kills the server so many milliseconds into the operation; whether it was still on its way then.
async fn killed(case: &Case, milliseconds: u64) -> bool {
    let mut house = House::new(milliseconds).await;
    let vm = house.machine("restart", &[]).await;
    let disk = house.disk().await;
    for message in case.before {
        house.done(message, arguments(&house, message, vm, disk)).await;
    }
    let task = house.call(case.message, arguments(&house, case.message, vm, disk)).await;
    if milliseconds > 0 {
        house.pass(milliseconds).await;
    }
    let on_its_way = is_pending(&house.view(), task);
    house.kill().await;
    house.start(true).await;
    let what = format!("{} killed after {milliseconds} ms", case.message);
    house.until(&what, nothing_pending).await;
    assert_eq!(house.status(task), "success", "{what}: {:?}", house.error(task));
    assert_eq!(house.power(vm), case.after, "{what}");
    house.pass(200).await;
    house.assert_converged(&what).await;
    on_its_way
}

#[tokio::test]
async fn every_operation_converges_wherever_the_server_is_killed() {
    const EVERY: u64 = 300;
    for case in CASES {
        let mut at = 0;
        while killed(case, at).await {
            at += EVERY;
        }
        assert!(at > 0 || case.message == "VM.pause", "{} was never killed on its way", case.message);
    }
}

#[tokio::test]
async fn what_was_done_and_not_reported_is_reported_and_not_done_again() {
    let mut house = House::unreconciled(1).await;
    let vm = house.machine("restart", &[]).await;
    let task = house.call("VM.start", vec![vm.into(), false.into(), false.into()]).await;
    let view = house.view();
    let record = view.find::<task>(task).expect("a task");
    let mark = Ref::parse_uuid(record.get(task::uuid)).expect("a uuid");
    let Ok(Plan::Act(action)) = plan(&view, record, Trace::Nothing) else { panic!("it is to be done") };
    let (progress, _) = tokio::sync::watch::channel(0.0);
    {
        let mut acting = house.sim().act(mark, &action, &progress);
        for _ in 0..200 {
            tokio::select! {
                biased;
                facts = &mut acting => {
                    assert_eq!(facts.expect("started").domid, Some(1));
                    break;
                }
                () = house.pass(50) => {}
            }
        }
    }
    assert!(matches!(house.sim().trace(mark).await, Ok(Trace::Done(_))));
    house.kill().await;
    house.start(true).await;
    house.settle().await;
    assert_eq!(house.status(task), "success", "no time goes by: there is nothing to do");
    assert_eq!((house.power(vm), house.domid(vm)), ("Running", 1));
    house.assert_converged("a report").await;
}

#[tokio::test]
async fn a_record_that_was_reset_is_put_right_by_what_is_seen() {
    let house = House::new(6).await;
    let vm = house.machine("restart", &[]).await;
    house.done("VM.start", vec![vm.into(), false.into(), false.into()]).await;
    let domid = house.domid(vm);
    house.call("VM.power_state_reset", vec![vm.into()]).await;
    house.until("it is seen again", |view| view.find::<VM>(vm).expect("there").get(VM::power_state) == "Running").await;
    assert_eq!(house.domid(vm), domid, "nobody started it anew");
    house.assert_converged("a reset").await;
}

#[tokio::test]
async fn a_killed_server_leaves_its_machines_running() {
    let mut house = House::new(2).await;
    let vm = house.machine("restart", &[]).await;
    house.done("VM.start", vec![vm.into(), false.into(), false.into()]).await;
    let domid = house.domid(vm);
    house.kill().await;
    house.start(true).await;
    house.pass(1_000).await;
    assert_eq!((house.power(vm), house.domid(vm)), ("Running", domid));
    let view = house.view();
    house.until("the guest tells its address", |view| view.all::<VM_guest_metrics>().next().is_some()).await;
    assert!(view.position < house.view().position);
}

async fn running(house: &House, after_crash: &'static str) -> Ref {
    let vm = house.machine(after_crash, &[]).await;
    house.done("VM.start", vec![vm.into(), false.into(), false.into()]).await;
    house.pass(6_000).await;
    vm
}

#[tokio::test]
async fn what_happens_behind_our_back_is_seen_and_not_repaired() {
    let house = House::new(3).await;
    let vm = running(&house, "destroy").await;
    let machine = house.uuid(vm);
    for (how, becomes) in
        [(Interference::Pause, "Paused"), (Interference::Unpause, "Running"), (Interference::Destroy, "Halted")]
    {
        assert!(house.sim().interfere(machine, how));
        house.pass(10_000).await;
        assert_eq!(house.power(vm), becomes, "{how:?}");
        house.assert_converged("interference").await;
    }
}

#[tokio::test]
async fn an_old_look_never_undoes_what_an_operation_did() {
    let house = House::with(Options { look: 0.7, ..Options::default() }, 3).await;
    let vm = running(&house, "restart").await;
    for turn in 0..12 {
        for message in ["VM.pause", "VM.unpause"] {
            house.done(message, vec![vm.into()]).await;
            house.pass(50 * turn).await;
        }
    }
    house.pass(10_000).await;
    assert_eq!(house.power(vm), "Running");
    for row in house.told("host.observed").await {
        assert!(!row.payload.contains("power_state"), "it was seen otherwise: {}", row.payload);
    }
}

#[tokio::test]
async fn a_guest_that_ends_is_followed_by_what_its_machine_asks_for() {
    let house = House::new(4).await;
    let wishes = [
        ("destroy", "Halted"),
        ("coredump_and_destroy", "Halted"),
        ("restart", "Running"),
        ("coredump_and_restart", "Running"),
        ("rename_restart", "Running"),
    ];
    for (wish, becomes) in wishes {
        let vm = running(&house, wish).await;
        let domid = house.domid(vm);
        house.sim().interfere(house.uuid(vm), Interference::Crash);
        house.pass(10_000).await;
        assert_eq!(house.power(vm), becomes, "after a crash: {wish}");
        assert_ne!(house.domid(vm), domid, "after a crash: {wish}");
        house.assert_converged(wish).await;
    }
    let vm = running(&house, "destroy").await;
    let domid = house.domid(vm);
    house.sim().interfere(house.uuid(vm), Interference::Reboot);
    house.pass(10_000).await;
    assert_eq!(house.power(vm), "Running");
    assert!(house.domid(vm) > domid, "a reboot gives a new domain");
    house.sim().interfere(house.uuid(vm), Interference::PowerOff);
    house.pass(10_000).await;
    assert_eq!(house.power(vm), "Halted");
    house.assert_converged("a guest that shuts down").await;
}

#[tokio::test]
async fn a_stuck_operation_delays_no_other_and_can_be_cancelled() {
    let house = House::new(5).await;
    let stuck = house.machine("restart", &[("sim:hang", "start")]).await;
    let task = house.call("VM.start", vec![stuck.into(), false.into(), false.into()]).await;
    house.pass(5_000).await;
    for _ in 0..3 {
        running(&house, "restart").await;
    }
    assert_eq!(house.status(task), "pending");
    house
        .own(Box::new(move |draft| {
            draft.set(task, task::current_operations, Value::map([(task.to_string(), Value::from("cancel"))]));
            Ok(Value::Void)
        }))
        .await
        .expect("asked");
    house.pass(500).await;
    assert_eq!((house.status(task), house.error(task)[0].as_str()), ("cancelled", "TASK_CANCELLED"));
    assert_eq!(house.power(stuck), "Halted");
    house.assert_converged("a cancellation").await;
}

#[tokio::test]
async fn an_operation_past_its_deadline_ends_with_an_error() {
    let house = House::new(6).await;
    let vm = house.machine("restart", &[("sim:hang", "shutdown")]).await;
    house.done("VM.start", vec![vm.into(), false.into(), false.into()]).await;
    let task = house.call("VM.clean_shutdown", vec![vm.into()]).await;
    house.pass(5_000).await;
    assert_eq!(house.status(task), "pending");
    house.world.advance(std::time::Duration::from_secs(3600));
    house.pass(500).await;
    assert_eq!((house.status(task), house.error(task)[0].as_str()), ("failure", "VM_SHUTDOWN_TIMEOUT"));
    assert_eq!(house.power(vm), "Running", "what it really does");
    house.assert_converged("a deadline").await;
}

#[tokio::test]
async fn a_refused_action_leaves_nothing_behind() {
    let house = House::new(7).await;
    let vm = house.machine("restart", &[("sim:fail", "start")]).await;
    let task = house.call("VM.start", vec![vm.into(), false.into(), false.into()]).await;
    house.until("the refusal", nothing_pending).await;
    assert_eq!((house.status(task), house.error(task)[0].as_str()), ("failure", "INTERNAL_ERROR"));
    assert_eq!(house.power(vm), "Halted");
    house.assert_converged("a refusal").await;
}

#[tokio::test]
async fn progress_rises_until_the_end() {
    let house = House::new(8).await;
    let disk = house.disk().await;
    let args = arguments(&house, "VDI.copy", Ref::NULL, disk);
    let task = house.call("VDI.copy", args).await;
    let mut seen = vec![0.0];
    while is_pending(&house.view(), task) {
        house.pass(50).await;
        // Progress waits for company.
        house.call("VDI.add_to_other_config", vec![disk.into(), format!("{}", seen.len()).into(), "".into()]).await;
        seen.push(house.view().find::<task>(task).expect("a task").get(task::progress));
    }
    assert!(seen.is_sorted(), "{seen:?}");
    assert!(seen.iter().any(|progress| (0.1..0.9).contains(progress)), "{seen:?}");
    assert_eq!(seen.last(), Some(&1.0));
    assert!(house.view().all::<VDI>().count() >= 2);
}

#[tokio::test]
async fn nothing_is_written_while_nothing_happens() {
    let house = House::new(9).await;
    let vm = running(&house, "restart").await;
    house.pass(20_000).await;
    let before = house.view();
    assert!(before.all::<task>().next().is_none(), "finished tasks are purged");
    house.pass(60_000).await;
    assert_eq!(house.view().position, before.position, "an idle server writes nothing");
    assert!(!before.find::<VM>(vm).expect("a machine").get(VM::guest_metrics).is_null());
}

/// What an operation answered, without the markup of its task's result.
fn result(house: &House, task: Ref) -> String {
    let view = house.view();
    let result = view.find::<task>(task).expect("a task").get(task::result);
    result.trim_start_matches("<value>").trim_end_matches("</value>").to_string()
}

/// A disk of one GiB that the hypervisor itself made, on the machine.
async fn real_disk(house: &House, vm: Ref) -> Ref {
    let args = arguments(house, "VDI.create", vm, Ref::NULL);
    let task = house.call("VDI.create", args).await;
    house.until("a disk", |view| !is_pending(view, task)).await;
    let disk = Ref::parse(&result(house, task)).expect("a reference");
    let device = [
        ("VM", Value::Ref(vm)),
        ("VDI", disk.into()),
        ("userdevice", "1".into()),
        ("type", "Disk".into()),
        ("mode", "RW".into()),
        ("empty", false.into()),
        ("bootable", false.into()),
    ];
    let maps = ["other_config", "qos_algorithm_params"].map(|name| (name, Value::empty_map()));
    let record = device.into_iter().chain(maps).chain([("qos_algorithm_type", Value::text(""))]);
    house.call("VBD.create", vec![Value::map(record)]).await;
    disk
}

#[tokio::test]
async fn changed_blocks_are_those_that_a_guest_wrote() {
    let house = House::new(21).await;
    let vm = house.machine("restart", &[]).await;
    let disk = real_disk(&house, vm).await;
    house.done("VDI.enable_cbt", vec![disk.into()]).await;
    let snapshot = async || {
        let task = house.call("VDI.snapshot", vec![disk.into(), Value::empty_map()]).await;
        house.until("a snapshot", |view| !is_pending(view, task)).await;
        Ref::parse(&result(&house, task)).expect("a reference")
    };
    let list = async |from: Ref, to: Ref| {
        let task = house.call("VDI.list_changed_blocks", vec![from.into(), to.into()]).await;
        house.until("a list", |view| !is_pending(view, task)).await;
        assert_eq!(house.status(task), "success", "{:?}", house.error(task));
        result(&house, task)
    };
    let (before, again) = (snapshot().await, snapshot().await);
    let nothing = list(before, again).await;
    assert!(nothing.len() > 2_000 && nothing.trim_end_matches('=').bytes().all(|byte| byte == b'A'), "{nothing}");
    house.done("VM.start", vec![vm.into(), false.into(), false.into()]).await;
    let after = snapshot().await;
    let changed = list(before, after).await;
    assert_ne!(changed, nothing, "a guest that boots writes");
    assert_eq!(list(again, after).await, changed);
    house.done("VDI.data_destroy", vec![before.into()]).await;
    assert_eq!(list(before, after).await, changed, "the note outlives the data");
    house.assert_converged("changed blocks").await;
}

#[tokio::test]
async fn a_dump_is_destroyed_with_its_disk() {
    let house = House::new(22).await;
    let vm = house.machine("restart", &[]).await;
    let disk = real_disk(&house, vm).await;
    let made = house.own(Box::new(move |draft| {
        let dump = Fields::<crashdump>::new().with(crashdump::VM, vm).with(crashdump::VDI, disk);
        Ok(Value::Ref(draft.create(dump)))
    }));
    let dump = made.await.expect("a dump").result.as_ref();
    house.done("crashdump.destroy", vec![dump.into()]).await;
    let view = house.view();
    assert!(view.find::<crashdump>(dump).is_none() && view.find::<VDI>(disk).is_none());
    house.assert_converged("a dump").await;
}

#[tokio::test]
async fn a_disk_moves_to_another_repository_wherever_the_server_is_killed() {
    let (mut at, mut on_its_way) = (0, true);
    while on_its_way {
        let mut house = House::new(at).await;
        let vm = house.machine("restart", &[]).await;
        let disk = real_disk(&house, vm).await;
        let old = house.view().find::<VDI>(disk).expect("there").get(VDI::uuid).to_string();
        house.done("VM.start", vec![vm.into(), false.into(), false.into()]).await;
        let here = house.view().all::<xenledger::model::host>().next().expect("a host").reference;
        let config = Value::map([("location", Value::text("/second"))]);
        let texts = ["second", "", "file", ""].map(Value::text);
        let args = [here.into(), config, Value::Int(100 * GIB)].into_iter().chain(texts);
        let task = house.call("SR.create", args.chain([false.into(), Value::empty_map()]).collect()).await;
        house.until("a repository", |view| !is_pending(view, task)).await;
        let to = Ref::parse(&result(&house, task)).expect("a reference");
        let task = house.call("VDI.pool_migrate", vec![disk.into(), to.into(), Value::empty_map()]).await;
        house.pass(at).await;
        on_its_way = is_pending(&house.view(), task);
        house.kill().await;
        house.start(true).await;
        house.until("moved", nothing_pending).await;
        assert_eq!(house.status(task), "success", "killed after {at} ms: {:?}", house.error(task));
        let new = Ref::parse(&result(&house, task)).expect("a reference");
        let moved = house.view().find::<VDI>(new).expect("there").clone();
        assert_eq!((moved.get(VDI::SR), house.view().far(VDI::VBDs, new).len()), (to, 1));
        assert!(house.view().find::<VDI>(disk).is_none());
        house.done("SR.scan", vec![house.sr().into()]).await;
        house.done("SR.scan", vec![to.into()]).await;
        let view = house.view();
        assert!(view.all::<VDI>().all(|vdi| **vdi.get(VDI::location) != *old), "nothing is left behind");
        assert_eq!(view.find::<VDI>(new).expect("the scan found it").get(VDI::SR), to);
        house.assert_converged("a move").await;
        at += 600;
    }
    assert!(at > 600, "it was never killed on its way");
}
