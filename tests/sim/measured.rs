//! What is measured on a host: read by clients, in no event.

use super::house::{GIB, House};
use xenledger::model::{ClassId, MODEL, VM, host, host_metrics};
use xenledger::value::{Ref, Value};
use xenledger::views::read::{ReadView, Scope};

/// A field as clients read it.
fn read(house: &House, class: ClassId, object: Ref, field: &str) -> Value {
    let view = house.view();
    let field = MODEL.field(class, field).expect("a field");
    ReadView::new(&view, &Scope::All).field(class, field, view.object(class, object).expect("there"))
}

#[tokio::test]
async fn measured_fields_follow_the_hypervisor_and_are_no_events() {
    let house = House::new(31).await;
    house.pass(6_000).await;
    let here = house.view().all::<host>().next().expect("a host").get(host::metrics);
    let total = house.view().find::<host_metrics>(here).expect("there").get(host_metrics::memory_total);
    let free = || match read(&house, ClassId::host_metrics, here, "memory_free") {
        Value::Int(free) => free,
        other => panic!("{other:?}"),
    };
    let before = free();
    assert!(before > 0 && before <= total, "{before} of {total}");
    let vm = house.machine("restart", &[]).await;
    house.done("VM.start", vec![vm.into(), false.into(), false.into()]).await;
    house.pass(20_000).await;
    assert!(before - free() >= GIB / 4, "a machine takes memory: {before}, then {}", free());
    let position = house.view().position;
    let machine = house.view().find::<VM>(vm).expect("there").clone();
    let times = || {
        let guest = read(&house, ClassId::VM_guest_metrics, machine.get(VM::guest_metrics), "last_updated");
        let host = read(&house, ClassId::host_metrics, here, "last_updated");
        (host, read(&house, ClassId::VM_metrics, machine.get(VM::metrics), "last_updated"), guest)
    };
    let first = times();
    house.pass(20_000).await;
    let second = times();
    assert!(first.0 != second.0 && first.1 != second.1 && first.2 != second.2, "{first:?} {second:?}");
    assert_eq!(position, house.view().position, "measuring writes nothing");
    house.done("VM.hard_shutdown", vec![vm.into()]).await;
    house.pass(6_000).await;
    assert_eq!(free(), before);
    let ended = read(&house, ClassId::VM_metrics, machine.get(VM::metrics), "last_updated");
    house.pass(20_000).await;
    let later = read(&house, ClassId::VM_metrics, machine.get(VM::metrics), "last_updated");
    assert_eq!(ended, later, "nothing is seen of what does not run");
}
