//! What is stacked on devices: bonds, VLANs of the pool, tunnels; and which
//! interface clients come by.

use super::{interface, machine, network};
use crate::command::bench::Bench;
use crate::command::device::hardware;
use crate::command::draft::Fields;
use crate::command::operation::Facts;
use crate::model::{Bond, ClassId, PIF, PIF_metrics, VIF, VLAN, VM, host, tunnel};
use crate::value::{Ref, Value};

/// A host with three devices, of which the first has the management's address.
struct Lab {
    bench: Bench,
    here: Ref,
    devices: Vec<Ref>,
}

fn lab(backend: &'static str) -> Lab {
    let mut bench = Bench::default();
    let here = bench.given(move |draft| {
        let version = Value::map([("network_backend", Value::text(backend))]);
        draft.create(Fields::<host>::new().with(host::software_version, version))
    });
    let here = here.as_ref();
    let mut devices = Vec::new();
    for number in 0..3 {
        let args = vec![
            here.into(),
            Value::from(format!("02:00:00:00:00:0{number}")),
            Value::from(format!("eth{number}")),
            true.into(),
        ];
        devices.push(bench.call("PIF.introduce", args).expect("introduced").as_ref());
    }
    let (first, others) = (devices[0], devices.clone());
    bench.given(move |draft| {
        for (field, value) in [(PIF::IP, "10.0.0.2"), (PIF::netmask, "255.255.255.0")] {
            draft.set(first, field, value);
        }
        draft.set(first, PIF::ip_configuration_mode, "Static");
        draft.set(first, PIF::management, true);
        for pif in others {
            draft.set(pif, PIF::currently_attached, true);
            let metrics = draft.get(pif, PIF::metrics, |metrics| metrics).expect("there");
            draft.set(metrics, PIF_metrics::carrier, true);
        }
    });
    Lab { bench, here, devices }
}

impl Lab {
    fn bond(&mut self, on: Ref, members: &[Ref]) -> Result<Ref, &'static str> {
        let members = Value::set(members.iter().map(|member| Value::Ref(*member)));
        let args = vec![on.into(), members, "".into(), "lacp".into()];
        self.bench.call("Bond.create", args).map(|bond| bond.as_ref()).map_err(|error| error.code)
    }

    fn code(&mut self, name: &str, args: Vec<Value>) -> &'static str {
        self.bench.call(name, args).map_or_else(|error| error.code, |_| "done")
    }

    fn pif<R>(&self, pif: Ref, read: impl FnOnce(&crate::views::Object) -> R) -> R {
        read(self.bench.view.find::<PIF>(pif).expect("there"))
    }
}

#[test]
fn a_bond_takes_over_what_its_devices_carry_and_gives_it_back() {
    let mut lab = lab("bridge");
    let (eth0, eth1) = (lab.devices[0], lab.devices[1]);
    let (tagged, bonded) = (network(&mut lab.bench, "tagged"), network(&mut lab.bench, "bonded"));
    let vlan = lab.bench.call("VLAN.create", vec![eth1.into(), 7.into(), tagged.into()]).expect("created").as_ref();
    let vm = machine(&mut lab.bench, "Halted");
    let own = lab.pif(eth0, |pif| pif.get(PIF::network));
    let vif = interface(&mut lab.bench, vm, own, "0", "").expect("created");
    let bond = lab.bond(bonded, &[eth0, eth1]).expect("created");
    let found = lab.bench.view.find::<Bond>(bond).expect("there").clone();
    let master = found.get(Bond::master);
    assert_eq!((found.get(Bond::primary_slave), found.get(Bond::links_up)), (eth0, 2));
    assert_eq!(found.get(Bond::properties).get("lacp-time"), Some(&Value::text("slow")));
    assert_eq!(lab.bench.view.far(Bond::slaves, bond).len(), 2);
    assert!(lab.pif(master, |pif| pif.get(PIF::management) && &**pif.get(PIF::IP) == "10.0.0.2"));
    assert!(lab.pif(master, |pif| &**pif.get(PIF::device) == "bond0" && &**pif.get(PIF::MAC) == "02:00:00:00:00:00"));
    assert!(lab.pif(eth0, |pif| !pif.get(PIF::management) && pif.get(PIF::ip_configuration_mode) == "None"));
    assert_eq!(lab.bench.view.find::<VLAN>(vlan).expect("there").get(VLAN::tagged_PIF), master);
    assert_eq!(lab.bench.view.find::<VIF>(vif).expect("there").get(VIF::network), bonded);
    assert_eq!(lab.code("PIF.plug", vec![eth1.into()]), "CANNOT_PLUG_BOND_SLAVE");
    assert_eq!(lab.code("PIF.forget", vec![eth1.into()]), "PIF_ALREADY_BONDED");
    lab.bench.call("Bond.destroy", vec![bond.into()]).expect("destroyed");
    assert!(lab.bench.view.find::<PIF>(master).is_none());
    assert!(lab.pif(eth0, |pif| pif.get(PIF::management) && &**pif.get(PIF::IP) == "10.0.0.2"));
    assert!(lab.pif(eth1, |pif| pif.get(PIF::bond_slave_of).is_null()));
    assert_eq!(lab.bench.view.find::<VLAN>(vlan).expect("there").get(VLAN::tagged_PIF), eth0);
    assert_eq!(lab.bench.view.find::<VIF>(vif).expect("there").get(VIF::network), own);
}

#[test]
fn machines_that_run_are_moved_by_the_hypervisor() {
    let mut lab = lab("bridge");
    let (eth0, eth1) = (lab.devices[0], lab.devices[1]);
    let (on, here) = (network(&mut lab.bench, "bonded"), lab.here);
    let vm = machine(&mut lab.bench, "Running");
    lab.bench.given(move |draft| draft.set(vm, VM::resident_on, here));
    let own = lab.pif(eth0, |pif| pif.get(PIF::network));
    let vif = interface(&mut lab.bench, vm, own, "0", "").expect("created");
    lab.bench.given(move |draft| draft.set(vif, VIF::currently_attached, true));
    let pending = lab.bond(on, &[eth0, eth1]).expect("begun");
    assert!(lab.bench.view.all::<Bond>().next().is_none(), "not before they are moved");
    assert_eq!(lab.code("PIF.unplug", vec![eth1.into()]), "OTHER_OPERATION_IN_PROGRESS");
    assert_eq!(lab.code("VIF.unplug", vec![vif.into()]), "OTHER_OPERATION_IN_PROGRESS");
    lab.bench.complete(pending, Facts::default()).expect("made");
    let bond = lab.bench.view.all::<Bond>().next().expect("made").reference;
    assert_eq!(lab.bench.view.find::<VIF>(vif).expect("there").get(VIF::network), on);
    lab.bench.run("Bond.destroy", vec![bond.into()], Facts::default()).expect("destroyed");
    assert_eq!(lab.bench.view.find::<VIF>(vif).expect("there").get(VIF::network), own);
}

#[test]
fn what_cannot_be_bonded() {
    let mut lab = lab("bridge");
    let [eth0, eth1, eth2] = [lab.devices[0], lab.devices[1], lab.devices[2]];
    let (on, other) = (network(&mut lab.bench, "bonded"), network(&mut lab.bench, "other"));
    assert_eq!(lab.bond(on, &[eth0, eth0]), Err("PIF_BOND_NEEDS_MORE_MEMBERS"));
    let own = lab.pif(eth0, |pif| pif.get(PIF::network));
    assert_eq!(lab.bond(own, &[eth1, eth2]), Err("NETWORK_ALREADY_CONNECTED"));
    lab.bench.call("PIF.set_property", vec![eth1.into(), "gro".into(), "off".into()]).expect("set");
    assert_eq!(lab.bond(on, &[eth0, eth1]), Err("INCOMPATIBLE_PIF_PROPERTIES"));
    lab.bench.given(move |draft| draft.set(eth2, PIF::ip_configuration_mode, "DHCP"));
    assert_eq!(lab.bond(on, &[eth0, eth2]), Err("PIF_BOND_MORE_THAN_ONE_IP"));
    lab.bench.given(move |draft| draft.set(eth2, PIF::ip_configuration_mode, "None"));
    let bond = lab.bond(on, &[eth0, eth2]).expect("created");
    assert_eq!(lab.bond(other, &[eth1, eth2]), Err("PIF_ALREADY_BONDED"));
    for (key, value, seen) in [
        ("lacp-time", "fast", "done"),
        ("lacp-time", "soon", "INVALID_VALUE"),
        ("miimon", "250", "done"),
        ("miimon", "often", "INVALID_VALUE"),
        ("rebalance-interval", "1", "INVALID_VALUE"),
    ] {
        assert_eq!(lab.code("Bond.set_property", vec![bond.into(), key.into(), value.into()]), seen, "{key}");
    }
    lab.bench.call("Bond.set_mode", vec![bond.into(), "balance-slb".into()]).expect("set");
    let properties = lab.bench.view.find::<Bond>(bond).expect("there").get(Bond::properties).clone();
    assert_eq!(properties.get("miimon"), Some(&Value::text("250")));
    assert!(properties.contains_key("rebalance-interval") && !properties.contains_key("lacp-time"));
}

#[test]
fn pieces_of_a_card_are_few() {
    let mut lab = lab("openvswitch");
    let (eth0, eth1, here) = (lab.devices[0], lab.devices[1], lab.here);
    let on = network(&mut lab.bench, "pieces");
    let card = hardware::Pci {
        address: "0000:03:00.0".to_string(),
        interface: "eth1".to_string(),
        virtual_functions: 1,
        ..hardware::Pci::default()
    };
    let seen = hardware::Hardware { pci: vec![card], usb: Vec::new() };
    lab.bench.own(move |draft| hardware::observed(draft, here, &seen)).expect("observed");
    let args = |pif: Ref| vec![pif.into(), on.into()];
    assert_eq!(lab.code("network_sriov.create", args(eth0)), "PIF_IS_NOT_SRIOV_CAPABLE");
    let made = lab.bench.call("network_sriov.create", args(eth1)).expect("created").as_ref();
    assert_eq!(lab.code("network_sriov.create", args(eth1)), "NETWORK_SRIOV_ALREADY_ENABLED");
    assert_eq!(lab.code("PIF.forget", vec![eth1.into()]), "PIF_SRIOV_STILL_EXISTS");
    let running = |lab: &mut Lab| {
        let vm = machine(&mut lab.bench, "Running");
        lab.bench.given(move |draft| draft.set(vm, VM::resident_on, here));
        (vm, interface(&mut lab.bench, vm, on, "0", "").expect("created"))
    };
    let ((one, first), (_, second)) = (running(&mut lab), running(&mut lab));
    lab.bench.run("VIF.plug", vec![first.into()], Facts::default()).expect("there is one piece");
    assert!(!lab.bench.allowed(ClassId::VIF, second).contains(&"plug".to_string()));
    assert_eq!(lab.code("VIF.plug", vec![second.into()]), "NETWORK_SRIOV_INSUFFICIENT_CAPACITY");
    assert!(!lab.bench.allowed(ClassId::VM, one).contains(&"suspend".to_string()), "it cannot take the piece along");
    assert_eq!(lab.code("network_sriov.destroy", vec![made.into()]), "VIF_IN_USE");
    lab.bench.run("VIF.unplug", vec![first.into()], Facts::default()).expect("given back");
    assert_eq!(lab.code("network_sriov.destroy", vec![made.into()]), "done");
    assert_eq!(lab.code("PIF.forget", vec![eth1.into()]), "done");
}

#[test]
fn a_vlan_in_the_whole_pool() {
    let mut lab = lab("bridge");
    let (one, two) = (network(&mut lab.bench, "one"), network(&mut lab.bench, "two"));
    let made = lab.bench.call("pool.create_VLAN", vec!["eth1".into(), one.into(), 5.into()]).expect("created");
    assert_eq!(made.as_set().len(), 1);
    let tagged = made.as_set()[0].as_ref();
    assert_eq!(lab.pif(tagged, |pif| pif.get(PIF::VLAN)), 5);
    assert_eq!(lab.code("pool.create_VLAN", vec!["eth9".into(), two.into(), 5.into()]), "PIF_DEVICE_NOT_FOUND");
    let from = |pif: Ref, tag: i64| vec![pif.into(), two.into(), tag.into()];
    assert_eq!(lab.code("pool.create_VLAN_from_PIF", from(tagged, 6)), "PIF_IS_VLAN");
    assert_eq!(lab.code("pool.create_VLAN_from_PIF", from(lab.devices[1], 5)), "PIF_VLAN_EXISTS");
    assert_eq!(lab.code("pool.create_VLAN_from_PIF", from(lab.devices[1], 6)), "done");
}

#[test]
fn a_tunnel_goes_over_what_has_an_address() {
    let mut old = lab("bridge");
    let on = network(&mut old.bench, "private");
    let args = |over: Ref, on: Ref| vec![over.into(), on.into()];
    assert_eq!(old.code("tunnel.create", args(old.devices[0], on)), "OPENVSWITCH_NOT_ACTIVE");
    let mut lab = lab("openvswitch");
    let (on, two) = (network(&mut lab.bench, "private"), network(&mut lab.bench, "two"));
    assert_eq!(lab.code("tunnel.create", args(lab.devices[1], on)), "TRANSPORT_PIF_NOT_CONFIGURED");
    let made = lab.bench.call("tunnel.create", args(lab.devices[0], on)).expect("created").as_ref();
    let found = lab.bench.view.find::<tunnel>(made).expect("there").clone();
    assert_eq!(found.get(tunnel::status).get("active"), Some(&Value::text("true")));
    let access = found.get(tunnel::access_PIF);
    assert_eq!(lab.code("tunnel.create", args(access, two)), "IS_TUNNEL_ACCESS_PIF");
    assert_eq!(lab.code("VLAN.create", vec![access.into(), 3.into(), two.into()]), "IS_TUNNEL_ACCESS_PIF");
    lab.bench.run("PIF.unplug", vec![access.into()], Facts::default()).expect("unplugged");
    let status = lab.bench.view.find::<tunnel>(made).expect("there").get(tunnel::status).clone();
    assert_eq!(status.get("active"), Some(&Value::text("false")));
    assert_eq!(lab.code("PIF.forget", vec![access.into()]), "PIF_IS_NOT_PHYSICAL");
    lab.bench.call("tunnel.destroy", vec![made.into()]).expect("destroyed");
    assert!(lab.bench.view.find::<PIF>(access).is_none());
}

#[test]
fn clients_come_by_the_interface_chosen() {
    let mut lab = lab("bridge");
    let (eth0, eth1) = (lab.devices[0], lab.devices[1]);
    assert_eq!(lab.code("host.management_reconfigure", vec![eth1.into()]), "PIF_HAS_NO_NETWORK_CONFIGURATION");
    lab.bench.given(move |draft| draft.set(eth1, PIF::ip_configuration_mode, "DHCP"));
    assert_eq!(lab.code("host.management_reconfigure", vec![eth1.into()]), "INTERFACE_HAS_NO_IP");
    lab.bench.given(move |draft| draft.set(eth1, PIF::IP, "10.0.1.2"));
    let lan = network(&mut lab.bench, "elsewhere");
    assert_eq!(lab.code("pool.management_reconfigure", vec![lan.into()]), "PIF_NOT_PRESENT");
    let own = lab.pif(eth1, |pif| pif.get(PIF::network));
    lab.bench.call("pool.management_reconfigure", vec![own.into()]).expect("moved");
    assert!(lab.pif(eth1, |pif| pif.get(PIF::management)) && !lab.pif(eth0, |pif| pif.get(PIF::management)));
    assert_eq!(&**lab.bench.view.find::<host>(lab.here).expect("there").get(host::address), "10.0.1.2");
    assert_eq!(lab.code("PIF.unplug", vec![eth1.into()]), "PIF_IS_MANAGEMENT_INTERFACE");
    assert_eq!(lab.code("host.local_management_reconfigure", vec!["eth7".into()]), "PIF_DEVICE_NOT_FOUND");
    assert_eq!(lab.code("host.local_management_reconfigure", vec!["xenbr0".into()]), "done");
    assert!(lab.pif(eth0, |pif| pif.get(PIF::management)));
}

#[test]
fn records_of_interfaces_come_and_go_as_told() {
    let mut lab = lab("bridge");
    let lan = network(&mut lab.bench, "lan");
    let introduce = |tag: i64, mac: &'static str| -> Vec<Value> {
        let mut args: Vec<Value> =
            vec!["eth5".into(), lan.into(), lab.here.into(), mac.into(), 1500.into(), tag.into()];
        args.extend([true.into(), "Static".into(), "10.0.0.5".into(), "255.0.0.0".into(), "".into(), "".into()]);
        args
    };
    let refused = lab.bench.call("PIF.db_introduce", introduce(-1, "nonsense")).expect_err("refused");
    assert_eq!(refused.code, "MAC_INVALID");
    let refused = lab.bench.call("PIF.db_introduce", introduce(4095, "02:00:00:00:00:05")).expect_err("refused");
    assert_eq!(refused.code, "VLAN_TAG_INVALID");
    let made = lab.bench.call("PIF.db_introduce", introduce(-1, "02:00:00:00:00:05")).expect("introduced").as_ref();
    assert!(lab.pif(made, |pif| &**pif.get(PIF::IP) == "10.0.0.5" && pif.get(PIF::physical)));
    lab.bench.call("PIF.db_forget", vec![made.into()]).expect("forgotten");
    assert!(lab.bench.view.find::<PIF>(made).is_none());
}

#[test]
fn trunks_are_tags() {
    let mut lab = lab("bridge");
    let (lan, vm) = (network(&mut lab.bench, "lan"), machine(&mut lab.bench, "Halted"));
    let vif = interface(&mut lab.bench, vm, lan, "0", "").expect("created");
    assert_eq!(lab.code("VIF.add_trunks", vec![vif.into(), 4095.into()]), "VALUE_NOT_SUPPORTED");
    assert_eq!(lab.code("VIF.add_trunks", vec![vif.into(), 7.into()]), "done");
    assert_eq!(lab.code("VIF.set_trunks", vec![vif.into(), Value::set([8.into(), 9.into()])]), "done");
    assert_eq!(lab.code("VIF.remove_trunks", vec![vif.into(), 8.into()]), "done");
    assert_eq!(lab.bench.view.find::<VIF>(vif).expect("there").get(VIF::trunks), [Value::Int(9)]);
}
