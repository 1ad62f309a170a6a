//! Disks and drives in every state, and the life of a repository.

use crate::command::bench::Bench;
use crate::command::draft::Fields;
use crate::command::operation::Facts;
use crate::model::{ClassId, PBD, SR, VBD, VDI, VM, crashdump, host, secret};
use crate::value::{Ref, Value};

/// A host, a repository of disks and one of media, and machines by power state.
pub struct Lab {
    pub bench: Bench,
    pub host: Ref,
    pub disks: Ref,
    pub media: Ref,
}

pub fn lab() -> Lab {
    let mut bench = Bench::default();
    let host = bench.given(|draft| draft.create(Fields::<host>::new())).as_ref();
    let mut lab = Lab { bench, host, disks: Ref::NULL, media: Ref::NULL };
    lab.disks = lab.repository("ext", "device");
    lab.media = lab.repository("iso", "location");
    let found = vec![("install.iso".to_string(), 40), ("rescue.iso".to_string(), 20)];
    let facts = Facts { capacity_bytes: Some(60), found, ..Facts::default() };
    lab.bench.run("SR.scan", vec![lab.media.into()], facts).expect("a scan");
    lab
}

impl Lab {
    /// One more repository of that kind, which asks for that key.
    pub fn repository(&mut self, kind: &str, key: &str) -> Ref {
        let config = Value::map([(key, Value::text("/srv"))]);
        let (host, label, none) = (Value::Ref(self.host), Value::text(kind), Value::empty_map());
        let args = [host, config, 0i64.into(), label, "".into(), kind.into(), "".into(), false.into(), none];
        let facts = Facts { capacity_bytes: Some(1000), ..Facts::default() };
        self.bench.run("SR.create", args.into(), facts).expect("a repository is made")
    }

    pub fn machine(&mut self, power_state: &'static str) -> Ref {
        let host = self.host;
        let fields = move || Fields::<VM>::new().with(VM::power_state, power_state).with(VM::resident_on, host);
        self.bench.given(move |draft| draft.create(fields())).as_ref()
    }

    pub fn disk(&mut self, size: i64) -> Ref {
        let record = Value::map([("SR", Value::Ref(self.disks)), ("virtual_size", Value::Int(size))]);
        let facts = Facts { physical_bytes: Some(size / 2), ..Facts::default() };
        self.bench.run("VDI.create", vec![record], facts).expect("a disk is made")
    }

    pub fn medium(&self, label: &str) -> Ref {
        let mut all = self.bench.view.all::<VDI>();
        all.find(|vdi| **vdi.get(VDI::name_label) == *label).expect("the scan found it").reference
    }

    pub fn device(&mut self, vm: Ref, vdi: Ref, kind: &str, mode: &str, device: &str) -> Result<Ref, String> {
        let record = Value::map([
            ("VM", Value::Ref(vm)),
            ("VDI", Value::Ref(vdi)),
            ("userdevice", Value::text(device)),
            ("type", Value::text(kind)),
            ("mode", Value::text(mode)),
            ("empty", Value::Bool(vdi.is_null())),
        ]);
        self.bench.call("VBD.create", vec![record]).map(|vbd| vbd.as_ref()).map_err(|error| error.code.to_string())
    }

    /// Has the device attached without asking.
    pub fn attach(&mut self, vbd: Ref) {
        self.bench.given(move |draft| draft.set(vbd, VBD::currently_attached, true));
    }

    fn sums(&self, sr: Ref) -> (i64, i64) {
        let sr = self.bench.view.find::<SR>(sr).expect("there");
        (sr.get(SR::virtual_allocation), sr.get(SR::physical_utilisation))
    }
}

/// What one device in one state answers to each operation: its error's code, or `done`, or `begun`.
fn answers(kind: &str, empty: bool, attached: bool, power_state: &'static str) -> String {
    let answer = |operation: &str| {
        let mut lab = lab();
        let vm = lab.machine(power_state);
        let medium = lab.medium("install.iso");
        let (vdi, mode) = if kind == "CD" { (medium, "RO") } else { (lab.disk(100), "RW") };
        let vbd = lab.device(vm, if empty { Ref::NULL } else { vdi }, kind, mode, "0");
        let vbd = vbd.unwrap_or_else(|code| panic!("{code} while arranging"));
        if attached {
            lab.attach(vbd);
        }
        let mut args = vec![Value::Ref(vbd)];
        if operation == "insert" {
            args.push(Value::Ref(lab.medium("rescue.iso")));
        }
        let offered = lab.bench.allowed(ClassId::VBD, vbd).contains(&operation.to_string());
        let answer = match lab.bench.call(&format!("VBD.{operation}"), args) {
            Ok(Value::Void) => "done",
            Ok(_) => "begun",
            Err(error) => error.code,
        };
        assert_eq!(offered, matches!(answer, "done" | "begun"), "{operation} is offered exactly if it is taken");
        answer
    };
    ["plug", "unplug", "insert", "eject"].map(answer).join(" ")
}

#[test]
fn every_kind_of_device_in_every_state() {
    let halted = "VM_BAD_POWER_STATE VM_BAD_POWER_STATE";
    let fixed = "VBD_NOT_REMOVABLE_MEDIA VBD_NOT_REMOVABLE_MEDIA";
    let table = [
        ("Disk", false, false, "Halted", format!("{halted} {fixed}")),
        ("Disk", false, false, "Running", format!("begun DEVICE_ALREADY_DETACHED {fixed}")),
        ("Disk", false, true, "Running", format!("DEVICE_ALREADY_ATTACHED begun {fixed}")),
        ("Disk", false, true, "Paused", format!("{halted} {fixed}")),
        ("Disk", false, true, "Suspended", format!("{halted} {fixed}")),
        ("CD", true, false, "Halted", format!("{halted} done VBD_IS_EMPTY")),
        ("CD", false, false, "Halted", format!("{halted} VBD_NOT_EMPTY done")),
        ("CD", true, false, "Running", "begun DEVICE_ALREADY_DETACHED done VBD_IS_EMPTY".into()),
        ("CD", false, false, "Running", "begun DEVICE_ALREADY_DETACHED VBD_NOT_EMPTY done".into()),
        ("CD", true, true, "Running", "DEVICE_ALREADY_ATTACHED begun begun VBD_IS_EMPTY".into()),
        ("CD", false, true, "Running", "DEVICE_ALREADY_ATTACHED begun VBD_NOT_EMPTY begun".into()),
        ("CD", true, true, "Paused", format!("{halted} begun VBD_IS_EMPTY")),
        ("CD", false, true, "Paused", format!("{halted} VBD_NOT_EMPTY begun")),
        ("CD", true, true, "Suspended", format!("{halted} VM_BAD_POWER_STATE VBD_IS_EMPTY")),
        ("CD", false, true, "Suspended", format!("{halted} VBD_NOT_EMPTY VM_BAD_POWER_STATE")),
    ];
    for (kind, empty, attached, power_state, expected) in table {
        let seen = answers(kind, empty, attached, power_state);
        assert_eq!(seen, expected, "{kind}, empty {empty}, attached {attached}, {power_state}");
    }
}

/// What a second device gets when a first one has the disk.
fn second(first: &str, state: &'static str, second: &str, sharable: bool, read_only: bool) -> &'static str {
    let mut lab = lab();
    let (one, other) = (lab.machine(state), lab.machine("Running"));
    let disk = lab.disk(100);
    let mine = lab.device(one, disk, "Disk", first, "0").expect("created");
    let theirs = lab.device(other, disk, "Disk", second, "0").expect("created");
    lab.attach(mine);
    lab.bench.given(move |draft| {
        draft.set(disk, VDI::sharable, sharable);
        draft.set(disk, VDI::read_only, read_only);
    });
    match lab.bench.call("VBD.plug", vec![theirs.into()]) {
        Ok(_) => "begun",
        Err(error) => error.code,
    }
}

#[test]
fn readers_share_a_disk_and_writers_do_not() {
    for (first, other, expected) in
        [("RO", "RO", "begun"), ("RO", "RW", "VDI_IN_USE"), ("RW", "RO", "VDI_IN_USE"), ("RW", "RW", "VDI_IN_USE")]
    {
        assert_eq!(second(first, "Running", other, false, false), expected, "{first} then {other}");
        assert_eq!(second(first, "Running", other, true, false), "begun", "{first} then {other}, sharable");
        assert_eq!(second(first, "Suspended", other, false, false), "begun", "{first} suspended, then {other}");
        let read_only = if other == "RW" { "VDI_READONLY" } else { "begun" };
        assert_eq!(second(first, "Running", other, true, true), read_only, "{first} then {other}, read only");
    }
}

#[test]
fn two_plugs_at_once_have_one_winner() {
    let mut lab = lab();
    let (one, other) = (lab.machine("Running"), lab.machine("Running"));
    let disk = lab.disk(100);
    let mine = lab.device(one, disk, "Disk", "RW", "0").expect("created");
    let theirs = lab.device(other, disk, "Disk", "RW", "0").expect("created");
    let pending = lab.bench.call("VBD.plug", vec![mine.into()]).expect("begun").as_ref();
    let late = lab.bench.call("VBD.plug", vec![theirs.into()]).expect_err("the disk is taken");
    assert_eq!(late, crate::error::codes::VDI_IN_USE(disk, "plug"));
    lab.bench.complete(pending, Facts::default()).expect("plugged");
    let plugged = lab.bench.view.find::<VBD>(mine).expect("there");
    assert!(plugged.get(VBD::currently_attached));
    assert_eq!(&**plugged.get(VBD::device), "xvda");
}

#[test]
fn a_plug_that_outlives_its_machine_fails() {
    let mut lab = lab();
    let vm = lab.machine("Running");
    let disk = lab.disk(100);
    let vbd = lab.device(vm, disk, "Disk", "RW", "0").expect("created");
    let pending = lab.bench.call("VBD.plug", vec![vbd.into()]).expect("begun").as_ref();
    lab.bench.given(move |draft| draft.set(vm, VM::power_state, "Halted"));
    let refused = lab.bench.complete(pending, Facts::default()).expect_err("the machine is gone");
    assert_eq!(refused.code, "VM_BAD_POWER_STATE");
    let vbd = lab.bench.view.find::<VBD>(vbd).expect("there");
    assert!(!vbd.get(VBD::currently_attached) && vbd.get(VBD::current_operations).is_empty());
}

#[test]
fn a_device_has_its_place_alone() {
    let mut lab = lab();
    let vm = lab.machine("Halted");
    let disk = lab.disk(100);
    let mut device = |name: &str| lab.device(vm, disk, "Disk", "RW", name).map(|_| ());
    assert_eq!(device("0"), Ok(()));
    for taken in ["0", "hda", "sda", "xvda"] {
        assert_eq!(device(taken), Err("DEVICE_ALREADY_EXISTS".into()), "{taken}");
    }
    assert_eq!(device("xvdc"), Ok(()));
    assert_eq!(device("autodetect"), Ok(()));
    assert_eq!(device("1"), Err("DEVICE_ALREADY_EXISTS".into()), "autodetect took the first that was free");
    for wrong in ["", "-1", "255", "disk", "xvdz"] {
        assert_eq!(device(wrong), Err("INVALID_DEVICE".into()), "{wrong}");
    }
}

#[test]
fn constructors_refuse_what_cannot_be() {
    let mut lab = lab();
    let vm = lab.machine("Halted");
    let (disk, medium) = (lab.disk(100), lab.medium("install.iso"));
    let mut refused = |vdi, kind: &str, mode: &str| lab.device(vm, vdi, kind, mode, "autodetect").expect_err("refused");
    assert_eq!(refused(Ref::NULL, "Disk", "RW"), "VBD_NOT_REMOVABLE_MEDIA");
    assert_eq!(refused(Ref::NULL, "CD", "RW"), "VBD_CDS_MUST_BE_READONLY");
    assert_eq!(refused(disk, "CD", "RO"), "VDI_IS_NOT_ISO");
    assert_eq!(refused(medium, "Disk", "RW"), "VDI_READONLY");
    assert_eq!(refused(Ref([9; 16]), "Disk", "RW"), "HANDLE_INVALID");
}

#[test]
fn sums_follow_the_disks() {
    let mut lab = lab();
    let sr = lab.disks;
    assert_eq!(lab.sums(lab.media), (60, 60));
    let disk = lab.disk(100);
    assert_eq!(lab.sums(sr), (100, 50));
    let facts = || Facts { physical_bytes: Some(30), ..Facts::default() };
    let snapshot = lab.bench.run("VDI.snapshot", vec![disk.into()], facts()).expect("a snapshot");
    let copy = lab.bench.run("VDI.copy", vec![disk.into(), sr.into()], facts()).expect("a copy");
    assert_eq!(lab.sums(sr), (300, 110));
    lab.bench.run("VDI.resize", vec![disk.into(), 200i64.into()], Facts::default()).expect("grown");
    assert_eq!(lab.sums(sr), (400, 110));
    let view = &lab.bench.view;
    let taken = view.find::<VDI>(snapshot).expect("there");
    assert!(taken.get(VDI::is_a_snapshot) && taken.get(VDI::snapshot_of) == disk);
    assert!(!view.find::<VDI>(copy).expect("there").get(VDI::is_a_snapshot));
    let shrink = lab.bench.call("VDI.resize", vec![disk.into(), 100i64.into()]).expect_err("disks only grow");
    assert_eq!(shrink.code, "VDI_TOO_SMALL");
    let full = lab.bench.call("VDI.resize", vec![disk.into(), 2000i64.into()]).expect_err("too large");
    assert_eq!(full, crate::error::codes::SR_FULL(1800, 890));
    for vdi in [snapshot, disk, copy] {
        lab.bench.run("VDI.destroy", vec![vdi.into()], Facts::default()).expect("destroyed");
    }
    assert_eq!(lab.sums(sr), (0, 0));
}

#[test]
fn a_disk_in_use_stays() {
    let mut lab = lab();
    let vm = lab.machine("Running");
    let disk = lab.disk(100);
    let vbd = lab.device(vm, disk, "Disk", "RW", "0").expect("created");
    lab.attach(vbd);
    for operation in ["destroy", "forget", "resize", "copy"] {
        assert!(!lab.bench.allowed(ClassId::VDI, disk).contains(&operation.to_string()), "{operation}");
    }
    for operation in ["snapshot", "clone", "resize_online"] {
        assert!(lab.bench.allowed(ClassId::VDI, disk).contains(&operation.to_string()), "{operation}");
    }
    assert_eq!(lab.bench.call("VDI.destroy", vec![disk.into()]).expect_err("in use").code, "VDI_IN_USE");
    assert_eq!(lab.bench.call("VBD.destroy", vec![vbd.into()]).expect_err("attached").code, "DEVICE_ALREADY_ATTACHED");
    let pbd = lab.bench.view.far(SR::PBDs, lab.disks)[0];
    assert_eq!(lab.bench.call("PBD.unplug", vec![pbd.into()]).expect_err("in use").code, "VDI_IN_USE");
    lab.bench.run("VBD.unplug", vec![vbd.into()], Facts::default()).expect("unplugged");
    assert!(lab.bench.allowed(ClassId::VDI, disk).contains(&"destroy".to_string()));
    lab.bench.run("VDI.destroy", vec![disk.into()], Facts::default()).expect("destroyed");
    assert!(lab.bench.view.find::<VBD>(vbd).is_none(), "a device without its disk goes with it");
}

#[test]
fn a_repository_comes_and_goes() {
    let mut lab = lab();
    let sr = lab.disks;
    let disk = lab.disk(100);
    let pbd = lab.bench.view.far(SR::PBDs, sr)[0];
    assert_eq!(lab.bench.call("SR.forget", vec![sr.into()]).expect_err("plugged").code, "SR_HAS_PBD");
    lab.bench.run("PBD.unplug", vec![pbd.into()], Facts::default()).expect("unplugged");
    assert!(!lab.bench.view.find::<PBD>(pbd).expect("there").get(PBD::currently_attached));
    assert_eq!(lab.bench.allowed(ClassId::VDI, disk), ["forget"], "its disks are out of reach");
    assert_eq!(lab.bench.call("SR.scan", vec![sr.into()]).expect_err("unplugged").code, "SR_NOT_ATTACHED");
    assert_eq!(lab.bench.call("SR.destroy", vec![sr.into()]).expect_err("a disk is there").code, "SR_NOT_EMPTY");
    lab.bench.call("SR.forget", vec![sr.into()]).expect("forgotten");
    assert!(lab.bench.view.find::<SR>(sr).is_none() && lab.bench.view.find::<VDI>(disk).is_none());
    assert!(lab.bench.view.find::<PBD>(pbd).is_none());
}

#[test]
fn a_scan_tells_what_is_there() {
    let mut lab = lab();
    let vm = lab.machine("Halted");
    let (install, rescue) = (lab.medium("install.iso"), lab.medium("rescue.iso"));
    lab.device(vm, install, "CD", "RO", "3").expect("created");
    let facts = Facts { capacity_bytes: Some(9), found: vec![("new.iso".into(), 9)], ..Facts::default() };
    lab.bench.run("SR.scan", vec![lab.media.into()], facts).expect("a scan");
    assert!(lab.bench.view.find::<VDI>(rescue).is_none(), "nobody needs it");
    assert!(lab.bench.view.find::<VDI>(install).expect("a machine has it").get(VDI::missing));
    let new = lab.medium("new.iso");
    assert!(lab.bench.view.find::<VDI>(new).expect("there").get(VDI::read_only));
}

#[test]
fn passwords_stay_out_of_the_log() {
    let mut bench = Bench::default();
    let host = bench.given(|draft| draft.create(Fields::<host>::new())).as_ref();
    let config = Value::map([("location", "//server/iso".into()), ("cifspassword", "hunter2".into())]);
    let empty = Value::empty_map();
    let args =
        vec![host.into(), config, 0i64.into(), "a".into(), "".into(), "iso".into(), "".into(), true.into(), empty];
    let pending = bench.call("SR.create", args).expect("begun").as_ref();
    assert!(!bench.last.contains("hunter2"), "{}", bench.last);
    bench.complete(pending, Facts::default()).expect("made");
    let sr = bench.view.all::<SR>().next().expect("there").reference;
    let pbd = bench.view.far(SR::PBDs, sr)[0];
    let config = bench.view.find::<PBD>(pbd).expect("there").get(PBD::device_config).clone();
    assert!(!format!("{config:?}").contains("hunter2"));
    let uuid = config.get("cifspassword_secret").expect("it names a secret").as_str().to_string();
    assert!(bench.view.by_uuid(ClassId::secret, &uuid).is_some());
    bench.run("PBD.unplug", vec![pbd.into()], Facts::default()).expect("unplugged");
    bench.call("SR.forget", vec![sr.into()]).expect("forgotten");
    assert_eq!(bench.view.all::<secret>().count(), 0);
}

#[test]
fn a_dump_goes_with_the_disk_that_holds_it() {
    let mut lab = lab();
    let (vm, disk) = (lab.machine("Halted"), lab.disk(100));
    let dump = move |vdi: Ref| Fields::<crashdump>::new().with(crashdump::VM, vm).with(crashdump::VDI, vdi);
    let held = lab.bench.given(move |draft| draft.create(dump(disk))).as_ref();
    let vbd = lab.device(vm, disk, "Disk", "RW", "0").expect("somebody looks at it");
    lab.attach(vbd);
    let destroy = |lab: &mut Lab, dump: Ref| lab.bench.call("crashdump.destroy", vec![dump.into()]);
    assert_eq!(destroy(&mut lab, held).expect_err("in use").code, "VDI_IN_USE");
    lab.bench.given(move |draft| draft.set(vbd, VBD::currently_attached, false));
    let pending = destroy(&mut lab, held).expect("begun").as_ref();
    assert!(lab.bench.view.find::<crashdump>(held).is_some(), "the disk is still there");
    assert_eq!(destroy(&mut lab, held).expect_err("begun already").code, "OTHER_OPERATION_IN_PROGRESS");
    lab.bench.complete(pending, Facts::default()).expect("destroyed");
    assert!(lab.bench.view.find::<crashdump>(held).is_none());
    assert!(lab.bench.view.find::<VDI>(disk).is_none());
    assert_eq!(lab.sums(lab.disks), (0, 0));
    let empty = lab.bench.given(move |draft| draft.create(dump(Ref::NULL))).as_ref();
    assert_eq!(destroy(&mut lab, empty), Ok(Value::Void), "no disk, so nothing to wait for");
    assert_eq!(destroy(&mut lab, empty).expect_err("gone").code, "HANDLE_INVALID");
}
