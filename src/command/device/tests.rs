//! Devices: what a host shows, what machines have of it, and what is refused.

use super::hardware::{self, Hardware, Pci, Usb};
use crate::command::bench::Bench;
use crate::command::draft::Fields;
use crate::command::operation::{Facts, OfHost};
use crate::model::{ClassId, PCI, PIF, PUSB, USB_group, VM, VTPM, VUSB, host, secret};
use crate::value::{Ref, Value};

fn text(text: &str) -> String {
    text.to_string()
}

fn stick(path: &str, product: &str) -> Usb {
    Usb {
        path: text(path),
        vendor: (text("0951"), text("Kingston")),
        product: (text(product), text("a stick")),
        serial: text("1"),
        version: text("2.00"),
        speed: 480.0,
    }
}

fn card() -> Pci {
    Pci { address: text("0000:00:19.0"), interface: text("eth0"), ..Pci::default() }
}

fn lab() -> (Bench, Ref) {
    let mut bench = Bench::default();
    let here = bench.given(|draft| draft.create(Fields::<host>::new())).as_ref();
    (bench, here)
}

fn see(bench: &mut Bench, on: Ref, pci: Vec<Pci>, usb: Vec<Usb>) {
    bench.own(move |draft| hardware::observed(draft, on, &Hardware { pci, usb })).expect("observed");
}

fn machine(bench: &mut Bench, power_state: &'static str) -> Ref {
    bench.given(move |draft| draft.create(Fields::<VM>::new().with(VM::power_state, power_state))).as_ref()
}

fn code(bench: &mut Bench, name: &str, args: Vec<Value>) -> &'static str {
    bench.call(name, args).map_or_else(|error| error.code, |_| "done")
}

fn offered(bench: &mut Bench) -> (Ref, Ref) {
    let pusb = bench.view.all::<PUSB>().next().expect("a device").clone();
    bench.call("PUSB.set_passthrough_enabled", vec![pusb.reference.into(), true.into()]).expect("enabled");
    (pusb.reference, pusb.get(PUSB::USB_group))
}

#[test]
fn records_follow_what_the_host_shows() {
    let (mut bench, here) = lab();
    let args = vec![here.into(), "02:00:00:00:00:01".into(), "eth0".into(), true.into()];
    let eth0 = bench.call("PIF.introduce", args).expect("introduced").as_ref();
    see(&mut bench, here, vec![card()], vec![stick("1-1", "1666"), stick("1-2", "1666"), stick("1-3", "0001")]);
    let pci = bench.view.far(host::PCIs, here);
    assert_eq!(bench.view.find::<PIF>(eth0).expect("there").get(PIF::PCI), pci[0]);
    assert_eq!(bench.view.far(host::PUSBs, here).len(), 3);
    assert_eq!(bench.view.all::<USB_group>().count(), 2, "one for each model");
    let before = bench.view.far(host::PUSBs, here);
    let usb = vec![stick("1-2", "1666"), stick("1-4", "0001")];
    let facts = Facts { of_host: Box::new(OfHost { usb, ..OfHost::default() }), ..Facts::default() };
    bench.run("PUSB.scan", vec![here.into()], facts).expect("scanned");
    let after = bench.view.far(host::PUSBs, here);
    assert_eq!((after.len(), after.iter().filter(|pusb| before.contains(pusb)).count()), (2, 1));
    assert_eq!(bench.view.all::<USB_group>().count(), 2);
    see(&mut bench, here, vec![], vec![]);
    assert_eq!((bench.view.all::<PCI>().count(), bench.view.all::<USB_group>().count()), (0, 0));
    assert!(bench.view.find::<PIF>(eth0).expect("there").get(PIF::PCI).is_null());
}

#[test]
fn a_device_of_the_host_becomes_a_machines() {
    let (mut bench, here) = lab();
    see(&mut bench, here, vec![], vec![stick("1-1", "1666")]);
    let vm = machine(&mut bench, "Halted");
    let group = bench.view.all::<USB_group>().next().expect("there").reference;
    let create = |vm: Ref| vec![vm.into(), group.into(), Value::empty_map()];
    assert_eq!(code(&mut bench, "VUSB.create", create(vm)), "USB_GROUP_CONTAINS_NO_PUSBS");
    let (pusb, _) = offered(&mut bench);
    let vusb = bench.call("VUSB.create", create(vm)).expect("created").as_ref();
    assert_eq!(code(&mut bench, "VUSB.create", create(vm)), "USB_GROUP_CONFLICT");
    let take_back = vec![pusb.into(), false.into()];
    assert_eq!(code(&mut bench, "PUSB.set_passthrough_enabled", take_back.clone()), "USB_ALREADY_ATTACHED");
    assert_eq!(code(&mut bench, "USB_group.destroy", vec![group.into()]), "USB_GROUP_CONTAINS_VUSB");
    assert_eq!(bench.allowed(ClassId::VUSB, vusb), ["attach"]);
    assert_eq!(code(&mut bench, "VUSB.unplug", vec![vusb.into()]), "VM_BAD_POWER_STATE");
    bench.given(move |draft| {
        draft.set(vm, VM::power_state, "Running");
        super::usb::attach_all(draft, vm, true);
    });
    assert_eq!(bench.allowed(ClassId::VUSB, vusb), ["attach", "unplug"]);
    for (operation, is) in [("suspend", false), ("snapshot", false), ("checkpoint", false), ("clean_shutdown", true)] {
        assert_eq!(bench.allowed(ClassId::VM, vm).contains(&text(operation)), is, "{operation}");
    }
    assert_eq!(code(&mut bench, "VUSB.destroy", vec![vusb.into()]), "OPERATION_NOT_ALLOWED");
    bench.run("VUSB.unplug", vec![vusb.into()], Facts::default()).expect("unplugged");
    assert_eq!(code(&mut bench, "VUSB.unplug", vec![vusb.into()]), "DEVICE_ALREADY_DETACHED");
    bench.call("VUSB.destroy", vec![vusb.into()]).expect("destroyed");
    assert_eq!(code(&mut bench, "PUSB.set_passthrough_enabled", take_back), "done");
    assert_eq!(code(&mut bench, "USB_group.destroy", vec![group.into()]), "USB_GROUP_CONTAINS_PUSB");
    let own = bench.call("USB_group.create", vec!["own".into(), "".into(), Value::empty_map()]).expect("made");
    assert_eq!(code(&mut bench, "USB_group.destroy", vec![own]), "done");
}

#[test]
fn a_machine_has_six_usb_devices_at_most() {
    let (mut bench, here) = lab();
    let sticks = (0..7).map(|number| stick(&format!("1-{number}"), &format!("000{number}"))).collect();
    see(&mut bench, here, vec![], sticks);
    let vm = machine(&mut bench, "Halted");
    let mut seen = Vec::new();
    for pusb in bench.view.far(host::PUSBs, here) {
        bench.call("PUSB.set_passthrough_enabled", vec![pusb.into(), true.into()]).expect("enabled");
        let group = bench.view.find::<PUSB>(pusb).expect("there").get(PUSB::USB_group);
        seen.push(code(&mut bench, "VUSB.create", vec![vm.into(), group.into(), Value::empty_map()]));
    }
    assert_eq!(seen, [vec!["done"; 6], vec!["TOO_MANY_VUSBS"]].concat());
}

#[test]
fn a_device_that_is_pulled_out_leaves_the_machine() {
    let (mut bench, here) = lab();
    see(&mut bench, here, vec![], vec![stick("1-1", "1666")]);
    let (_, group) = offered(&mut bench);
    let vm = machine(&mut bench, "Running");
    let vusb = bench.call("VUSB.create", vec![vm.into(), group.into(), Value::empty_map()]).expect("created").as_ref();
    bench.given(move |draft| super::usb::attach_all(draft, vm, true));
    see(&mut bench, here, vec![], vec![]);
    assert!(!bench.view.find::<VUSB>(vusb).expect("stays").get(VUSB::currently_attached));
    assert!(bench.view.find::<USB_group>(group).is_some(), "it is still asked for");
}

#[test]
fn a_hosts_use_of_a_device_changes_with_its_boot() {
    let (mut bench, here) = lab();
    see(&mut bench, here, vec![card()], vec![]);
    let pci = bench.view.far(host::PCIs, here)[0];
    let mut ask = |name: &str| bench.call(name, vec![pci.into()]).expect("asked").as_str().to_string();
    assert_eq!(ask("PCI.disable_dom0_access"), "disable_on_reboot");
    assert_eq!(ask("PCI.enable_dom0_access"), "enabled");
    assert_eq!(ask("PCI.disable_dom0_access"), "disable_on_reboot");
    bench
        .own(move |draft| {
            super::pci::booted(draft, here);
            Ok(Value::Void)
        })
        .expect("booted");
    let mut ask = |name: &str| bench.call(name, vec![pci.into()]).expect("asked").as_str().to_string();
    assert_eq!(ask("PCI.disable_dom0_access"), "disabled");
    assert_eq!(ask("PCI.enable_dom0_access"), "enable_on_reboot");
}

#[test]
fn a_module_and_what_it_keeps_are_one() {
    let (mut bench, _) = lab();
    let vm = machine(&mut bench, "Halted");
    let tpm = bench.call("VTPM.create", vec![vm.into(), true.into()]).expect("created").as_ref();
    assert_eq!(code(&mut bench, "VTPM.create", vec![vm.into(), false.into()]), "VTPM_MAX_AMOUNT_REACHED");
    assert!(bench.view.find::<VTPM>(tpm).expect("there").get(VTPM::is_unique));
    assert_eq!(bench.view.all::<secret>().count(), 1);
    assert_eq!(bench.allowed(ClassId::VTPM, tpm), ["destroy"]);
    bench.given(move |draft| draft.set(vm, VM::power_state, "Running"));
    assert_eq!(bench.allowed(ClassId::VTPM, tpm), [] as [&str; 0]);
    assert_eq!(code(&mut bench, "VTPM.destroy", vec![tpm.into()]), "VM_BAD_POWER_STATE");
    let other = machine(&mut bench, "Running");
    assert_eq!(code(&mut bench, "VTPM.create", vec![other.into(), false.into()]), "VM_BAD_POWER_STATE");
    bench.given(move |draft| draft.set(vm, VM::power_state, "Halted"));
    bench.call("VTPM.destroy", vec![tpm.into()]).expect("destroyed");
    assert_eq!(bench.view.all::<secret>().count(), 0);
    bench.call("VTPM.create", vec![vm.into(), false.into()]).expect("created");
    bench.run("VM.destroy", vec![vm.into()], Facts::default()).ok();
    assert_eq!((bench.view.all::<VTPM>().count(), bench.view.all::<secret>().count()), (0, 0));
}
