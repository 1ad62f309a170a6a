//! What a machine is: making one, taking it away, and the setters that have
//! rules of their own. Everything here is done at once.

use super::allowed::{self, permit};
use super::memory::{self, Limits};
use super::{allowed::bad_power_state, boot, state};
use crate::command::device::tpm;
use crate::command::draft::Fields;
use crate::command::{Call, Draft, generic};
use crate::error::{ApiError, codes};
use crate::model::{ClassId, Key, MODEL, VM, VM_appliance, VM_group, VM_guest_metrics, VM_metrics, VMSS, host};
use crate::value::{Map, Ref, Value};
use std::sync::Arc;

/// What a machine gets whose record does not say.
const MEMORY_UNSAID_BYTES: i64 = 1 << 30;
/// The firmware strings that a client may give, once.
const BIOS_KEYS: [&str; 13] = [
    "baseboard-asset-tag",
    "baseboard-location-in-chassis",
    "baseboard-manufacturer",
    "baseboard-product-name",
    "baseboard-serial-number",
    "baseboard-version",
    "bios-vendor",
    "bios-version",
    "enclosure-asset-tag",
    "system-manufacturer",
    "system-product-name",
    "system-serial-number",
    "system-version",
];
const BIOS_STRING_MAX_BYTES: usize = 512;
const RESTART_PRIORITIES: [&str; 3] = ["", "best-effort", "restart"];

type Answer = Result<Value, ApiError>;

/// `VM.create(args)`: a machine without disks and interfaces. Limits that the record leaves at zero follow from the
/// others.
pub fn create(draft: &mut Draft, call: &Call) -> Answer {
    let record = generic::constructed(draft, ClassId::VM, &call.args[0])?;
    let state = record[VM::power_state.index].as_str();
    let resumable = state == "Suspended" && !record[VM::suspend_VDI.index].as_ref().is_null();
    if state != "Halted" && !resumable {
        return Err(codes::VALUE_NOT_SUPPORTED("power_state", state, "a new machine is halted"));
    }
    let metrics = draft.create(Fields::<VM_metrics>::new().with(VM_metrics::install_time, Value::Time(draft.now)));
    let vm = draft.ids.draw();
    draft.add(ClassId::VM, vm, record);
    draft.set(vm, VM::metrics, metrics);
    draft.set(vm, VM::domid, state::NO_DOMAIN);
    complete_limits(draft, vm)?;
    complete_boot(draft, vm)?;
    memory::refresh_overhead(draft, vm)?;
    Ok(Value::Ref(vm))
}

fn complete_limits(draft: &mut Draft, vm: Ref) -> Result<(), ApiError> {
    let machine = draft.find::<VM>(vm)?;
    let said = |bytes: i64, unsaid: i64| if bytes == 0 { unsaid } else { bytes };
    let given = Limits::of(&machine);
    let static_max = said(given.static_max, said(given.dynamic_max, MEMORY_UNSAID_BYTES));
    let dynamic_max = said(given.dynamic_max, static_max);
    let dynamic_min = said(given.dynamic_min, dynamic_max);
    let limits = Limits { static_max, dynamic_max, dynamic_min, ..given }.check()?;
    memory::write_limits(draft, vm, limits);
    let (max, start) = (machine.get(VM::VCPUs_max), machine.get(VM::VCPUs_at_startup));
    let (max, start) = (said(max, start.max(1)), said(start, max.max(1)));
    memory::check_vcpus(start, max, start)?;
    draft.set(vm, VM::VCPUs_max, max);
    draft.set(vm, VM::VCPUs_at_startup, start);
    memory::check_params(draft.view(), &machine, machine.get(VM::VCPUs_params))
}

/// The two old and new ways to say how a machine boots agree, and it has a seed for its addresses.
fn complete_boot(draft: &mut Draft, vm: Ref) -> Result<(), ApiError> {
    let machine = draft.find::<VM>(vm)?;
    let kind = boot::domain_type(&machine);
    draft.set(vm, VM::domain_type, kind);
    if kind == "hvm" && machine.get(VM::HVM_boot_policy).is_empty() {
        draft.set(vm, VM::HVM_boot_policy, "BIOS order");
    }
    if &**machine.get(VM::generation_id) == "0:0" {
        let id = generation_id(draft);
        draft.set(vm, VM::generation_id, id);
    }
    if !machine.get(VM::other_config).contains_key("mac_seed") {
        set_key(draft, vm, VM::other_config, "mac_seed", |draft| draft.ids.draw().uuid_text())?;
    }
    Ok(())
}

/// Two random numbers by which a guest notices that it is a copy.
pub fn generation_id(draft: &mut Draft) -> String {
    let mut bytes = [0; 16];
    draft.ids.fill(&mut bytes);
    let (high, low) = bytes.split_at(8);
    let number = |half: &[u8]| half.iter().fold(0_i64, |number, byte| number << 8 | i64::from(*byte));
    format!("{}:{}", number(high), number(low))
}

/// Sets one key of one of a machine's maps.
pub fn set_key<T>(
    draft: &mut Draft,
    vm: Ref,
    field: Key<VM, T>,
    key: &str,
    value: impl FnOnce(&mut Draft) -> String,
) -> Result<(), ApiError> {
    let value = value(draft);
    let mut map: Map = draft.find::<VM>(vm)?.record[field.index].as_map().clone();
    map.insert(Arc::from(key), Value::text(&value));
    draft.set(vm, field, Value::Map(Arc::new(map)));
    Ok(())
}

/// `VM.destroy(self)`: with everything that is part of it. Its disks stay, and so do its snapshots.
pub fn destroy(draft: &mut Draft, call: &Call) -> Answer {
    permit(draft, call.reference(0), "destroy")?;
    take_apart(draft, call.reference(0))
}

/// The machine is gone, and with it everything that is part of it.
pub fn take_apart(draft: &mut Draft, vm: Ref) -> Answer {
    let machine = draft.find::<VM>(vm)?;
    let parts = [
        (ClassId::VBD, draft.far(VM::VBDs, vm)),
        (ClassId::VIF, draft.far(VM::VIFs, vm)),
        (ClassId::VUSB, draft.far(VM::VUSBs, vm)),
        (ClassId::VGPU, draft.far(VM::VGPUs, vm)),
        (ClassId::console, draft.far(VM::consoles, vm)),
        (ClassId::crashdump, draft.far(VM::crash_dumps, vm)),
    ];
    for tpm in draft.far(VM::VTPMs, vm) {
        tpm::remove(draft, tpm);
    }
    for (class, owned) in parts {
        for part in owned {
            draft.delete_object(class, part);
        }
    }
    // What hung below it in the tree of snapshots hangs where it hung.
    for child in draft.far(VM::children, vm) {
        draft.set(child, VM::parent, machine.get(VM::parent));
    }
    crate::command::blob::remove_all(draft, &machine, VM::blobs);
    draft.delete::<VM_metrics>(machine.get(VM::metrics));
    draft.delete::<VM_guest_metrics>(machine.get(VM::guest_metrics));
    draft.delete::<VM>(vm);
    Ok(Value::Void)
}

/// A setter, `add_to_` or `remove_from_` without rules: the message's name says which field.
pub fn assign(draft: &mut Draft, call: &Call) -> Answer {
    let (vm, name) = (call.reference(0), call.message.name);
    let of = |prefix: &str| name.strip_prefix(prefix).and_then(|field| MODEL.field(ClassId::VM, field));
    if let Some(field) = of("add_to_") {
        return generic::add_to(draft, ClassId::VM, vm, field, call.text(1).to_string(), call.args[2].clone());
    }
    if let Some(field) = of("remove_from_") {
        return generic::remove_from(draft, ClassId::VM, vm, field, call.text(1));
    }
    let field = of("set_").expect("BUG: bound to a message that sets no field");
    generic::set(draft, ClassId::VM, vm, field, call.args[1].clone())
}

/// Firmware variables are the guest's while it runs.
pub fn assign_nvram(draft: &mut Draft, call: &Call) -> Answer {
    permit(draft, call.reference(0), "changing_NVRAM")?;
    assign(draft, call)
}

/// Numbers that count something.
pub fn assign_count(draft: &mut Draft, call: &Call) -> Answer {
    if call.int(1) < 0 {
        let field = call.message.name.trim_start_matches("set_");
        return Err(codes::INVALID_VALUE(field, call.int(1)));
    }
    assign(draft, call)
}

/// `VM.set_HVM_boot_policy(self, value)`: the old way to say the domain type.
pub fn set_hvm_boot_policy(draft: &mut Draft, call: &Call) -> Answer {
    let vm = call.reference(0);
    draft.find::<VM>(vm)?;
    draft.set(vm, VM::HVM_boot_policy, call.text(1));
    draft.set(vm, VM::domain_type, if call.text(1).is_empty() { "pv" } else { "hvm" });
    memory::refresh_overhead(draft, vm)?;
    Ok(Value::Void)
}

/// `VM.set_domain_type(self, value)`
pub fn set_domain_type(draft: &mut Draft, call: &Call) -> Answer {
    let vm = call.reference(0);
    let machine = draft.find::<VM>(vm)?;
    let kind = call.text(1);
    draft.set(vm, VM::domain_type, kind);
    match (kind, machine.get(VM::HVM_boot_policy).is_empty()) {
        ("hvm", true) => draft.set(vm, VM::HVM_boot_policy, "BIOS order"),
        ("hvm" | "unspecified", _) => {}
        _ => draft.set(vm, VM::HVM_boot_policy, ""),
    }
    memory::refresh_overhead(draft, vm)?;
    Ok(Value::Void)
}

/// `VM.set_suspend_VDI(self, value)`: for a suspended machine whose image was moved.
pub fn set_suspend_vdi(draft: &mut Draft, call: &Call) -> Answer {
    let machine = draft.find::<VM>(call.reference(0))?;
    if machine.get(VM::power_state) != "Suspended" {
        return Err(bad_power_state(&machine, &["Suspended"]));
    }
    assign(draft, call)
}

/// `VM.set_has_vendor_device(self, value)`: a device is there from the start or not at all.
pub fn set_has_vendor_device(draft: &mut Draft, call: &Call) -> Answer {
    let machine = draft.find::<VM>(call.reference(0))?;
    if machine.get(VM::power_state) != "Halted" {
        return Err(bad_power_state(&machine, &["Halted"]));
    }
    assign(draft, call)
}

/// `VM.set_appliance(self, value)`: for machines that can be started.
pub fn set_appliance(draft: &mut Draft, call: &Call) -> Answer {
    startable(draft, call, |draft, given| draft.find::<VM_appliance>(given).map(drop))
}

/// `VM.set_snapshot_schedule(self, value)`
pub fn set_snapshot_schedule(draft: &mut Draft, call: &Call) -> Answer {
    startable(draft, call, |draft, given| draft.find::<VMSS>(given).map(drop))
}

fn startable(draft: &mut Draft, call: &Call, there: fn(&Draft, Ref) -> Result<(), ApiError>) -> Answer {
    let (vm, given) = (call.reference(0), call.reference(1));
    let machine = draft.find::<VM>(vm)?;
    if !given.is_null() {
        there(draft, given)?;
        if machine.get(VM::is_control_domain) {
            return Err(codes::OPERATION_NOT_ALLOWED("This operation is not supported on the control domain"));
        }
        if machine.get(VM::is_a_snapshot) {
            return Err(codes::VM_IS_SNAPSHOT(vm, call.message.name));
        }
        if machine.get(VM::is_a_template) {
            return Err(codes::VM_IS_TEMPLATE(vm));
        }
    }
    assign(draft, call)
}

/// `VM.set_groups(self, value)`: one at most.
pub fn set_groups(draft: &mut Draft, call: &Call) -> Answer {
    let groups = call.args[1].as_set();
    if groups.len() > 1 {
        return Err(codes::TOO_MANY_GROUPS());
    }
    for group in groups {
        draft.find::<VM_group>(group.as_ref())?;
    }
    assign(draft, call)
}

/// `VM.set_ha_restart_priority(self, value)`
pub fn set_ha_restart_priority(draft: &mut Draft, call: &Call) -> Answer {
    if !RESTART_PRIORITIES.contains(&call.text(1)) {
        return Err(codes::INVALID_VALUE("ha_restart_priority", call.text(1)));
    }
    assign(draft, call)
}

/// `VM.set_bios_strings(self, value)`: once, before a guest could have seen others.
pub fn set_bios_strings(draft: &mut Draft, call: &Call) -> Answer {
    let vm = call.reference(0);
    let given = call.args[1].as_map().clone();
    for (key, value) in &given {
        let text = value.as_str();
        if !BIOS_KEYS.contains(&&**key) {
            return Err(codes::INVALID_VALUE("bios_strings", format!("{key}: not a key")));
        }
        let printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if text.is_empty() || text.len() > BIOS_STRING_MAX_BYTES || !printable {
            return Err(codes::INVALID_VALUE("bios_strings", format!("{key}: {text}")));
        }
    }
    write_bios_strings(draft, vm, given)
}

/// `VM.copy_bios_strings(vm, host)`
pub fn copy_bios_strings(draft: &mut Draft, call: &Call) -> Answer {
    let theirs = draft.get(call.reference(1), host::bios_strings, Map::clone)?;
    write_bios_strings(draft, call.reference(0), theirs)
}

fn write_bios_strings(draft: &mut Draft, vm: Ref, strings: Map) -> Answer {
    if !draft.get(vm, VM::bios_strings, |there| there.is_empty())? {
        return Err(codes::VM_BIOS_STRINGS_ALREADY_SET());
    }
    draft.set(vm, VM::bios_strings, Value::Map(Arc::new(strings)));
    Ok(Value::Void)
}

/// `console.create(args)`, `console.destroy(self)`: a machine that runs has one, and no other has.
pub fn consoles_come_with_domains(_: &mut Draft, _: &Call) -> Answer {
    Err(codes::OPERATION_NOT_ALLOWED("consoles come and go with the machine that runs"))
}

/// `VM.update_allowed_operations(self)`
pub fn update_allowed_operations(draft: &mut Draft, call: &Call) -> Answer {
    allowed::refresh(draft, call.reference(0))?;
    Ok(Value::Void)
}
