//! Operations made of others, carried through the real reconciler: appliances,
//! and schedules by the clock.

use super::house::{House, is_pending, nothing_pending};
use xenledger::model::{VM, VM_appliance, VMSS, task};
use xenledger::value::{Ref, Value};

/// Two machines in an appliance, the second to start after the first.
async fn appliance(house: &House) -> (Ref, [Ref; 2]) {
    let machines = [house.machine("destroy", &[]).await, house.machine("destroy", &[]).await];
    house.call("VM_appliance.create", vec![Value::map([("name_label", Value::from("shop"))])]).await;
    let shop = house.view().all::<VM_appliance>().next().expect("made").reference;
    for (order, vm) in machines.iter().enumerate() {
        house.call("VM.set_appliance", vec![(*vm).into(), shop.into()]).await;
        house.call("VM.set_order", vec![(*vm).into(), Value::Int(order as i64)]).await;
        house.call("VM.set_start_delay", vec![(*vm).into(), Value::Int(3)]).await;
    }
    (shop, machines)
}

#[tokio::test]
async fn an_appliance_starts_in_order_and_goes_on_after_a_kill() {
    for milliseconds in [0, 1_000, 5_000, 8_000] {
        let mut house = House::new(milliseconds).await;
        let (shop, [first, second]) = appliance(&house).await;
        let start = house.call("VM_appliance.start", vec![shop.into(), false.into()]).await;
        house.pass(milliseconds).await;
        assert!(is_pending(&house.view(), start), "after {milliseconds} ms");
        house.kill().await;
        house.start(true).await;
        house
            .until("the first runs", |view| view.find::<VM>(first).expect("there").get(VM::power_state) == "Running")
            .await;
        assert_eq!(house.power(second), "Halted");
        house.until("the appliance has started", nothing_pending).await;
        assert_eq!(house.status(start), "success", "after {milliseconds} ms: {:?}", house.error(start));
        assert_eq!((house.power(first), house.power(second)), ("Running", "Running"));
        let begun = |vm: Ref| {
            let view = house.view();
            let parts: Vec<_> =
                view.all::<task>().filter(|part| part.get(task::subtask_of) == start).cloned().collect();
            parts.iter().find(|part| **part.get(task::object) == *vm.to_string()).map(|part| part.get(task::created))
        };
        assert!(begun(second) >= begun(first).map(|at| at + 3_000_000), "the delay was kept");
        house.done("VM_appliance.shutdown", vec![shop.into()]).await;
        assert_eq!((house.power(first), house.power(second)), ("Halted", "Halted"));
        house.assert_converged("an appliance").await;
    }
}

#[tokio::test]
async fn a_schedule_fires_at_its_time() {
    let house = House::new(4).await;
    let vm = house.machine("destroy", &[]).await;
    // The simulated world begins 100 seconds before a quarter past.
    let record = [
        ("name_label", Value::from("often")),
        ("type", "snapshot".into()),
        ("frequency", "hourly".into()),
        ("schedule", Value::map([("min", Value::from("15"))])),
        ("retained_snapshots", Value::Int(1)),
    ];
    house.call("VMSS.create", vec![Value::map(record)]).await;
    let often = house.view().all::<VMSS>().next().expect("made").reference;
    house.call("VM.set_snapshot_schedule", vec![vm.into(), often.into()]).await;
    house.pass(90_000).await;
    assert!(house.view().far(VM::snapshots, vm).is_empty(), "it is not time yet");
    house.until("the snapshot is there", |view| !view.far(VM::snapshots, vm).is_empty()).await;
    house.until("the run has ended", nothing_pending).await;
    let quarter_past = 1_700_000_100_000_000;
    let ran = house.view().find::<VMSS>(often).expect("there").get(VMSS::last_run_time);
    assert!((quarter_past..quarter_past + 2_000_000).contains(&ran), "it ran at {ran}");
    let first = house.view().far(VM::snapshots, vm);
    house.done("VMSS.snapshot_now", vec![often.into()]).await;
    house.until("the older one is gone", |view| view.find::<VM>(first[0]).is_none()).await;
    house.until("nothing is left to do", nothing_pending).await;
    assert_eq!(house.view().far(VM::snapshots, vm).len(), 1);
    house.assert_converged("a schedule").await;
}
