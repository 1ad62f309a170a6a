//! Interfaces and networks: who keeps whom, and what is refused.

mod stacked;

use crate::command::bench::Bench;
use crate::command::draft::Fields;
use crate::command::operation::{Facts, OfHost};
use crate::model::{ClassId, PIF, PIF_metrics, VIF, VLAN, VM, host, network};
use crate::value::{Ref, Value};

fn network(bench: &mut Bench, label: &str) -> Ref {
    bench.call("network.create", vec![Value::map([("name_label", Value::text(label))])]).expect("created").as_ref()
}

fn machine(bench: &mut Bench, power_state: &'static str) -> Ref {
    let fields = move || Fields::<VM>::new().with(VM::power_state, power_state);
    bench.given(move |draft| draft.create(fields())).as_ref()
}

fn interface(bench: &mut Bench, vm: Ref, on: Ref, device: &str, mac: &str) -> Result<Ref, &'static str> {
    let record = Value::map([
        ("VM", Value::Ref(vm)),
        ("network", Value::Ref(on)),
        ("device", Value::text(device)),
        ("MAC", Value::text(mac)),
    ]);
    bench.call("VIF.create", vec![record]).map(|vif| vif.as_ref()).map_err(|error| error.code)
}

#[test]
fn interfaces_have_places_and_addresses() {
    let mut bench = Bench::default();
    let (lan, vm) = (network(&mut bench, "lan"), machine(&mut bench, "Halted"));
    let first = interface(&mut bench, vm, lan, "0", "").expect("created");
    let mac = bench.view.find::<VIF>(first).expect("there").get(VIF::MAC).to_string();
    let leading = u8::from_str_radix(&mac[..2], 16).expect("hexadecimal");
    assert_eq!(leading & 0x03, 0x02, "{mac} is locally administered and no group's");
    assert_eq!(bench.view.find::<VIF>(first).expect("there").get(VIF::MTU), 1500);
    assert_eq!(interface(&mut bench, vm, lan, "0", ""), Err("DEVICE_ALREADY_EXISTS"));
    assert_eq!(interface(&mut bench, vm, lan, "00", ""), Err("DEVICE_ALREADY_EXISTS"));
    for wrong in ["", "eth0", "-1", "255"] {
        assert_eq!(interface(&mut bench, vm, lan, wrong, ""), Err("INVALID_DEVICE"), "{wrong}");
    }
    for wrong in ["02:00:00:00:00", "02:00:00:00:00:0g", "020000000000", "02:00:00:00:00:00:00"] {
        assert_eq!(interface(&mut bench, vm, lan, "1", wrong), Err("MAC_INVALID"), "{wrong}");
    }
    interface(&mut bench, vm, lan, "1", &mac).expect("two interfaces may have one address");
}

#[test]
fn plugging_follows_the_machine() {
    for (power_state, plug) in
        [("Running", "begun"), ("Halted", "VM_BAD_POWER_STATE"), ("Paused", "VM_BAD_POWER_STATE")]
    {
        let mut bench = Bench::default();
        let (lan, vm) = (network(&mut bench, "lan"), machine(&mut bench, power_state));
        let vif = interface(&mut bench, vm, lan, "0", "").expect("created");
        let offered = bench.allowed(ClassId::VIF, vif).contains(&"plug".to_string());
        let seen = bench.call("VIF.plug", vec![vif.into()]);
        assert_eq!(seen.as_ref().map_or_else(|error| error.code, |_| "begun"), plug, "{power_state}");
        assert_eq!(offered, seen.is_ok());
        if let Ok(pending) = seen {
            bench.complete(pending.as_ref(), Facts::default()).expect("plugged");
            assert_eq!(bench.allowed(ClassId::VIF, vif), ["attach", "unplug"]);
            let other = network(&mut bench, "other");
            bench.run("VIF.move", vec![vif.into(), other.into()], Facts::default()).expect("moved");
            assert_eq!(bench.view.far(network::VIFs, other), [vif]);
            let kept = bench.call("network.destroy", vec![other.into()]).expect_err("in use");
            assert_eq!(kept.code, "NETWORK_CONTAINS_VIF");
            let kept = bench.call("VIF.destroy", vec![vif.into()]).expect_err("attached");
            assert_eq!(kept.code, "DEVICE_ALREADY_ATTACHED");
        }
    }
}

#[test]
fn a_network_goes_with_what_nobody_uses() {
    let mut bench = Bench::default();
    let (lan, vm) = (network(&mut bench, "lan"), machine(&mut bench, "Halted"));
    let vif = interface(&mut bench, vm, lan, "0", "").expect("created");
    bench.call("network.destroy", vec![lan.into()]).expect("destroyed");
    assert!(bench.view.find::<VIF>(vif).is_none());
    let bridge = |bench: &mut Bench, name: &str| {
        let record = Value::map([("bridge", Value::text(name))]);
        bench.call("network.create", vec![record]).map_err(|error| error.code)
    };
    assert_eq!(bridge(&mut bench, "xenbr0"), Err("INVALID_VALUE"));
    assert_eq!(bridge(&mut bench, "a-name-too-long-for-it"), Err("INVALID_VALUE"));
    bridge(&mut bench, "br0").expect("created");
    assert_eq!(bridge(&mut bench, "br0"), Err("BRIDGE_NAME_EXISTS"));
}

#[test]
fn guests_addresses_are_checked() {
    let mut bench = Bench::default();
    let (lan, vm) = (network(&mut bench, "lan"), machine(&mut bench, "Halted"));
    let vif = interface(&mut bench, vm, lan, "0", "").expect("created");
    let mut code = |name: &str, args: Vec<Value>| {
        let args = [vec![Value::Ref(vif)], args].concat();
        bench.call(name, args).map_or_else(|error| error.code, |_| "done")
    };
    assert_eq!(code("VIF.add_ipv4_allowed", vec!["10.0.0.1".into()]), "done");
    assert_eq!(code("VIF.add_ipv4_allowed", vec!["fe80::1".into()]), "INVALID_VALUE");
    assert_eq!(code("VIF.set_ipv6_allowed", vec![Value::set(["fe80::1".into()])]), "done");
    let fixed = |address: &str, gateway: &str| vec!["Static".into(), address.into(), gateway.into()];
    assert_eq!(code("VIF.configure_ipv4", fixed("10.0.0.2/24", "10.0.0.1")), "done");
    assert_eq!(code("VIF.configure_ipv4", fixed("10.0.0.2", "")), "INVALID_CIDR_ADDRESS_SPECIFIED");
    assert_eq!(code("VIF.configure_ipv4", fixed("10.0.0.2/33", "")), "INVALID_CIDR_ADDRESS_SPECIFIED");
    assert_eq!(code("VIF.configure_ipv4", fixed("10.0.0.2/24", "here")), "INVALID_IP_ADDRESS_SPECIFIED");
    assert_eq!(code("VIF.configure_ipv6", fixed("fe80::2/64", "")), "done");
    let vif = bench.view.find::<VIF>(vif).expect("there");
    assert_eq!(vif.get(VIF::ipv4_configuration_mode), "Static");
    assert_eq!(vif.get(VIF::ipv4_addresses), [Value::text("10.0.0.2/24")]);
}

#[test]
fn a_hosts_interfaces() {
    let mut bench = Bench::default();
    let on = bench.given(|draft| draft.create(Fields::<host>::new())).as_ref();
    let args = |mac: &str, device: &str| vec![on.into(), mac.into(), device.into(), true.into()];
    let eth0 = bench.call("PIF.introduce", args("02:00:00:00:00:01", "eth0")).expect("introduced").as_ref();
    let again = bench.call("PIF.introduce", args("02:00:00:00:00:01", "eth1")).expect_err("known");
    assert_eq!(again.code, "MAC_STILL_EXISTS");
    let again = bench.call("PIF.introduce", args("02:00:00:00:00:02", "eth0")).expect_err("known");
    assert_eq!(again.code, "DUPLICATE_PIF_DEVICE_NAME");
    let found = vec![("eth0".to_string(), "".to_string()), ("eth1".to_string(), "02:00:00:00:00:02".to_string())];
    let of_host = Box::new(OfHost { links: vec!["eth1".to_string()], ..OfHost::default() });
    let facts = Facts { interfaces: found, of_host, ..Facts::default() };
    bench.run("PIF.scan", vec![on.into()], facts).expect("a scan");
    assert_eq!(bench.view.far(host::PIFs, on).len(), 2);
    let linked = |pif: Ref| {
        let metrics = bench.view.find::<PIF>(pif).expect("there").get(PIF::metrics);
        bench.view.find::<PIF_metrics>(metrics).expect("there").get(PIF_metrics::carrier)
    };
    let eth1 = bench.view.far(host::PIFs, on).into_iter().find(|pif| *pif != eth0).expect("found");
    assert_eq!((linked(eth0), linked(eth1)), (false, true), "what a scan sees of links");
    bench.run("PIF.plug", vec![eth0.into()], Facts::default()).expect("plugged");
    let fixed = vec![
        eth0.into(),
        "Static".into(),
        "10.0.0.2".into(),
        "255.255.255.0".into(),
        "10.0.0.1".into(),
        "10.0.0.1,10.0.0.3".into(),
    ];
    let pending = bench.call("PIF.reconfigure_ip", fixed.clone()).expect("begun").as_ref();
    let busy = bench.call("PIF.unplug", vec![eth0.into()]).expect_err("busy");
    assert_eq!(busy.code, "OTHER_OPERATION_IN_PROGRESS");
    bench.complete(pending, Facts::default()).expect("reconfigured");
    assert_eq!(&**bench.view.find::<PIF>(eth0).expect("there").get(PIF::IP), "10.0.0.2");
    for (at, wrong) in [(2, "10.0.0"), (3, "255.0.255.0"), (4, "here"), (5, "10.0.0.1,x")] {
        let mut args = fixed.clone();
        args[at] = wrong.into();
        let refused = bench.call("PIF.reconfigure_ip", args).expect_err("refused");
        assert_eq!(refused.code, "INVALID_IP_ADDRESS_SPECIFIED", "{wrong}");
    }
}

#[test]
fn a_vlan_is_an_interface_of_its_own() {
    let mut bench = Bench::default();
    let on = bench.given(|draft| draft.create(Fields::<host>::new())).as_ref();
    let args = vec![on.into(), "02:00:00:00:00:01".into(), "eth0".into(), true.into()];
    let eth0 = bench.call("PIF.introduce", args).expect("introduced").as_ref();
    let (one, two) = (network(&mut bench, "one"), network(&mut bench, "two"));
    let mut create = |tag: i64, on: Ref| {
        bench.call("VLAN.create", vec![eth0.into(), tag.into(), on.into()]).map_err(|error| error.code)
    };
    assert_eq!(create(0, one), Err("VLAN_TAG_INVALID"));
    assert_eq!(create(4095, one), Err("VLAN_TAG_INVALID"));
    let vlan = create(7, one).expect("created").as_ref();
    assert_eq!(create(7, two), Err("PIF_VLAN_EXISTS"));
    assert_eq!(create(8, one), Err("NETWORK_ALREADY_CONNECTED"));
    let tagged = bench.view.find::<VLAN>(vlan).expect("there").get(VLAN::untagged_PIF);
    assert_eq!(bench.view.find::<PIF>(tagged).expect("there").get(PIF::VLAN_master_of), vlan);
    let kept = bench.call("network.destroy", vec![one.into()]).expect_err("in use");
    assert_eq!(kept.code, "NETWORK_CONTAINS_PIF");
    let kept = bench.call("PIF.forget", vec![eth0.into()]).expect_err("it carries a VLAN");
    assert_eq!(kept.code, "PIF_VLAN_STILL_EXISTS");
    bench.call("PIF.destroy", vec![tagged.into()]).expect("destroyed");
    assert!(bench.view.find::<VLAN>(vlan).is_none());
    bench.call("PIF.forget", vec![eth0.into()]).expect("forgotten");
}
