//! The host itself: reboots, off and on again, the devices in its slots, and
//! its network devices bonded under running machines.

use super::house::{House, is_pending, nothing_pending};
use xenledger::driver::Driver;
use xenledger::model::{PCI, PIF, PUSB, USB_group, VIF, VM, VUSB, host, network, task};
use xenledger::value::{Ref, Value};

/// A house whose host has been looked at, out of service until its next start.
async fn out_of_service(seed: u64) -> (House, Ref) {
    let house = House::new(seed).await;
    house.until("the host is known", |view| view.all::<host>().all(|held| !held.get(host::boot).is_empty())).await;
    let here = house.view().all::<host>().next().expect("a host").reference;
    house.call("host.disable", vec![here.into(), true.into()]).await;
    (house, here)
}

#[tokio::test]
async fn a_host_reboots_once_wherever_the_server_is_killed() {
    for at in [0, 1_000, 5_000, 9_500, 10_500, 11_000] {
        let (mut house, here) = out_of_service(at).await;
        let reboot = house.call("host.reboot", vec![here.into()]).await;
        house.pass(at).await;
        house.kill().await;
        house.start(true).await;
        let what = format!("a reboot killed after {at} ms");
        house.until(&what, nothing_pending).await;
        assert_eq!(house.status(reboot), "success", "{what}: {:?}", house.error(reboot));
        house.pass(500).await;
        let view = house.view();
        let held = view.find::<host>(here).expect("there");
        let uuid = view.find::<task>(reboot).expect("there").get(task::uuid);
        assert_eq!(held.get(host::boot), uuid, "{what}: its run is the one that the task began");
        assert!(held.get(host::enabled), "{what}: the next start takes it back into service");
        house.assert_converged(&what).await;
    }
}

#[tokio::test]
async fn a_host_that_is_off_does_nothing_until_it_is_on() {
    let (house, here) = out_of_service(7).await;
    house.done("host.shutdown", vec![here.into()]).await;
    let scan = || vec![Value::Ref(house.sr())];
    let task = house.call("SR.scan", scan()).await;
    house.until("the scan ends", |view| !is_pending(view, task)).await;
    assert_eq!(house.error(task), ["HOST_OFFLINE".to_string(), here.to_string()]);
    house.call("host.set_power_on_mode", vec![here.into(), "wake-on-lan".into(), Value::empty_map()]).await;
    house.done("host.power_on", vec![here.into()]).await;
    house.done("SR.scan", scan()).await;
    house.done("host.send_debug_keys", vec![here.into(), "q".into()]).await;
    house.assert_converged("off and on").await;
}

#[tokio::test]
async fn what_is_in_the_slots_is_known_and_goes_to_machines() {
    let house = House::new(9).await;
    house
        .until("the devices are known", |view| view.all::<PUSB>().count() == 3 && view.all::<PCI>().count() == 5)
        .await;
    let here = house.view().all::<host>().next().expect("a host").reference;
    house.done("PUSB.scan", vec![here.into()]).await;
    assert_eq!(house.view().all::<USB_group>().count(), 3, "a scan that finds what is known changes nothing");
    let device = house.view().all::<PUSB>().next().expect("a device").clone();
    house.call("PUSB.set_passthrough_enabled", vec![device.reference.into(), true.into()]).await;
    let vm = house.machine("restart", &[]).await;
    house.call("VUSB.create", vec![vm.into(), device.get(PUSB::USB_group).into(), Value::empty_map()]).await;
    house.done("VM.start", vec![vm.into(), false.into(), false.into()]).await;
    let vusb = house.view().far(VM::VUSBs, vm)[0];
    let attached = || house.view().find::<VUSB>(vusb).expect("there").get(VUSB::currently_attached);
    assert!(attached(), "it came with the domain");
    house.done("VUSB.unplug", vec![vusb.into()]).await;
    assert!(!attached());
    house.done("VM.hard_shutdown", vec![vm.into()]).await;
    house.assert_converged("a device that came and went").await;
}

#[tokio::test]
async fn machines_that_run_follow_the_bond() {
    let house = House::new(11).await;
    let here = house.view().all::<host>().next().expect("a host").reference;
    house.done("PIF.scan", vec![here.into()]).await;
    let devices: Vec<Ref> = house.view().all::<PIF>().map(|pif| pif.reference).collect();
    assert!(devices.len() >= 2, "a host with two devices");
    let management = house.view().all::<PIF>().find(|pif| pif.get(PIF::management)).expect("one").clone();
    let vm = house.machine("restart", &[]).await;
    let on = management.get(PIF::network);
    let record = [("VM", Value::Ref(vm)), ("network", Value::Ref(on)), ("device", "0".into())];
    house.call("VIF.create", vec![Value::map(record)]).await;
    house
        .call("network.create", vec![Value::map([("name_label", "bonded".into()), ("bridge", "br-bonded".into())])])
        .await;
    house.done("VM.start", vec![vm.into(), false.into(), false.into()]).await;
    let view = house.view();
    let lan = view.all::<network>().find(|lan| **lan.get(network::bridge) == *"br-bonded").expect("made").reference;
    let members = Value::set(devices.into_iter().map(Value::Ref));
    let args = vec![lan.into(), members, "".into(), "active-backup".into(), Value::empty_map()];
    house.done("Bond.create", args).await;
    let vif = house.view().far(VM::VIFs, vm)[0];
    assert_eq!(house.view().find::<VIF>(vif).expect("there").get(VIF::network), lan);
    let said = house.sim().console(false).await.expect("it says what it did");
    assert!(said.lines().last().is_some_and(|line| line.contains("\"bridge\":\"br-bonded\"")), "{said}");
    house.assert_converged("a bond under a running machine").await;
}
