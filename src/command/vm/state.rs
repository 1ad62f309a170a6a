//! What a machine's record says in each power state, with everything that
//! hangs on it: device attachments, consoles, metrics. Operations end here and
//! so do observations, so that both leave the same record.
//!
//! ```text
//!                 run                 pause
//!   Halted ────────────▶ Running ◀────────────▶ Paused
//!     ▲   ◀──── halt ──── │  ▲                    │
//!     │                   ▼  │ run                │
//!     └── halt ──────── Suspended ◀───────────────┘
//! ```
//!
//! Must never know which message or report led here, nor whether it was allowed.

use super::boot;
use crate::command::Draft;
use crate::command::device::usb;
use crate::command::draft::Fields;
use crate::command::storage::disk;
use crate::error::ApiError;
use crate::model::{VBD, VDI, VIF, VM, VM_guest_metrics, VM_metrics, console, host};
use crate::value::{Ref, Value};

/// The domain number of what has no domain.
pub const NO_DOMAIN: i64 = -1;
/// Guidances that starting anew carries out.
const DONE_BY_RESTART: [&str; 2] = ["restart_vm", "restart_device_model"];

/// The machine has a domain: started, resumed, or rebooted.
pub fn run(draft: &mut Draft, vm: Ref, host: Ref, domid: i64, paused: bool) -> Result<(), ApiError> {
    let machine = draft.find::<VM>(vm)?;
    draft.set(vm, VM::power_state, if paused { "Paused" } else { "Running" });
    draft.set(vm, VM::resident_on, host);
    draft.set(vm, VM::scheduled_to_be_resident_on, Ref::NULL);
    draft.set(vm, VM::domid, domid);
    draft.set(vm, VM::domarch, if boot::is_hvm(&machine) { "hvm" } else { "x64" });
    attach_devices(draft, vm)?;
    open_consoles(draft, vm, host)
}

/// What holds only for a machine that booted, not for one that resumed.
pub fn booted(draft: &mut Draft, vm: Ref) -> Result<(), ApiError> {
    let machine = draft.find::<VM>(vm)?;
    draft.set(vm, VM::last_booted_record, boot::record(&machine));
    draft.set(vm, VM::requires_reboot, false);
    if machine.get(VM::secureboot_certificates_state) == "update_on_boot" {
        draft.set(vm, VM::secureboot_certificates_state, "ok");
    }
    draft.set(vm, VM::memory_target, machine.get(VM::memory_dynamic_max));
    for guidances in [VM::pending_guidances, VM::pending_guidances_recommended, VM::pending_guidances_full] {
        let left = machine.get(guidances).iter().filter(|guidance| !DONE_BY_RESTART.contains(&guidance.as_str()));
        let left = Value::set(left.cloned());
        draft.set(vm, guidances, left);
    }
    forget_guest(draft, vm)?;
    let metrics = metrics_of(draft, vm)?;
    draft.set(metrics, VM_metrics::start_time, Value::Time(draft.now));
    measure(draft, vm)
}

/// The machine goes on in another domain, with the same devices.
pub fn renew(draft: &mut Draft, vm: Ref, domid: Option<i64>) -> Result<(), ApiError> {
    let machine = draft.find::<VM>(vm)?;
    draft.set(vm, VM::domid, domid.unwrap_or(machine.get(VM::domid)));
    for guidances in [VM::pending_guidances, VM::pending_guidances_recommended, VM::pending_guidances_full] {
        let left = machine.get(guidances).iter().filter(|guidance| guidance.as_str() != "restart_device_model");
        let left = Value::set(left.cloned());
        draft.set(vm, guidances, left);
    }
    open_consoles(draft, vm, machine.get(VM::resident_on))
}

/// Copies into the metrics what the machine was given.
pub fn measure(draft: &mut Draft, vm: Ref) -> Result<(), ApiError> {
    let machine = draft.find::<VM>(vm)?;
    let metrics = metrics_of(draft, vm)?;
    let vcpus = machine.get(VM::VCPUs_at_startup);
    draft.set(metrics, VM_metrics::memory_actual, machine.get(VM::memory_dynamic_max));
    draft.set(metrics, VM_metrics::VCPUs_number, vcpus);
    draft.set(metrics, VM_metrics::VCPUs_params, Value::Map(machine.get(VM::VCPUs_params).clone().into()));
    draft.set(metrics, VM_metrics::hvm, boot::is_hvm(&machine));
    draft.set(metrics, VM_metrics::current_domain_type, boot::domain_type(&machine));
    draft.set(metrics, VM_metrics::last_updated, Value::Time(draft.now));
    Ok(())
}

/// The machine has no domain and no state on disk.
pub fn halt(draft: &mut Draft, vm: Ref) -> Result<(), ApiError> {
    leave_host(draft, vm)?;
    draft.set(vm, VM::power_state, "Halted");
    for vbd in draft.far(VM::VBDs, vm) {
        draft.set(vbd, VBD::currently_attached, false);
        draft.set(vbd, VBD::device, "");
    }
    for vif in draft.far(VM::VIFs, vm) {
        draft.set(vif, VIF::currently_attached, false);
    }
    usb::attach_all(draft, vm, false);
    drop_suspended_state(draft, vm)
}

/// The machine's state is on a disk, or nowhere if the hypervisor keeps it to itself. Its devices stay attached,
/// as XenAPI has it.
pub fn suspend(draft: &mut Draft, vm: Ref, image: Ref) -> Result<(), ApiError> {
    leave_host(draft, vm)?;
    draft.set(vm, VM::power_state, "Suspended");
    draft.set(vm, VM::suspend_VDI, image);
    Ok(())
}

/// Takes away the suspended state, whose disk the driver has removed.
pub fn drop_suspended_state(draft: &mut Draft, vm: Ref) -> Result<(), ApiError> {
    let image = draft.get(vm, VM::suspend_VDI, |image| image)?;
    if !image.is_null() && draft.find::<VDI>(image).is_ok() {
        disk::remove(draft, image)?;
    }
    draft.set(vm, VM::suspend_VDI, Ref::NULL);
    Ok(())
}

/// The guest that ran is gone, and with it what it told.
pub fn forget_guest(draft: &mut Draft, vm: Ref) -> Result<(), ApiError> {
    let guest = draft.get(vm, VM::guest_metrics, |guest| guest)?;
    if !guest.is_null() {
        draft.delete::<VM_guest_metrics>(guest);
        draft.set(vm, VM::guest_metrics, Ref::NULL);
    }
    Ok(())
}

/// The machine's metrics; made if it has none.
pub fn metrics_of(draft: &mut Draft, vm: Ref) -> Result<Ref, ApiError> {
    let metrics = draft.get(vm, VM::metrics, |metrics| metrics)?;
    if draft.find::<VM_metrics>(metrics).is_ok() {
        return Ok(metrics);
    }
    let metrics = draft.create(Fields::<VM_metrics>::new());
    draft.set(vm, VM::metrics, metrics);
    Ok(metrics)
}

fn leave_host(draft: &mut Draft, vm: Ref) -> Result<(), ApiError> {
    draft.find::<VM>(vm)?;
    draft.set(vm, VM::resident_on, Ref::NULL);
    draft.set(vm, VM::scheduled_to_be_resident_on, Ref::NULL);
    draft.set(vm, VM::domid, NO_DOMAIN);
    draft.set(vm, VM::domarch, "");
    for open in draft.far(VM::consoles, vm) {
        draft.delete::<console>(open);
    }
    forget_guest(draft, vm)?;
    let metrics = metrics_of(draft, vm)?;
    draft.set(metrics, VM_metrics::memory_actual, 0);
    draft.set(metrics, VM_metrics::VCPUs_number, 0);
    draft.set(metrics, VM_metrics::last_updated, Value::Time(draft.now));
    Ok(())
}

/// Disks and interfaces come with the domain.
fn attach_devices(draft: &mut Draft, vm: Ref) -> Result<(), ApiError> {
    let hvm = boot::is_hvm(&*draft.find::<VM>(vm)?);
    for vbd in draft.far(VM::VBDs, vm) {
        let device = draft.find::<VBD>(vbd)?;
        let empty_disk = device.get(VBD::empty) && device.get(VBD::r#type) != "CD";
        if device.get(VBD::currently_attached) || empty_disk {
            continue;
        }
        draft.set(vbd, VBD::currently_attached, true);
        if device.get(VBD::device).is_empty() {
            draft.set(vbd, VBD::device, device_name(device.get(VBD::userdevice), hvm));
        }
    }
    for vif in draft.far(VM::VIFs, vm) {
        draft.set(vif, VIF::currently_attached, true);
    }
    usb::attach_all(draft, vm, true);
    Ok(())
}

/// How the guest sees the disk of that number: `xvda`, in a guest with emulated disks the first four `hda`.
pub fn device_name(userdevice: &str, hvm: bool) -> String {
    let Ok(number) = userdevice.parse::<u32>() else { return userdevice.to_string() };
    let prefix = if hvm && number < 4 { "hd" } else { "xvd" };
    let mut letters = Vec::new();
    let mut left = number + 1;
    while left > 0 {
        letters.push(b'a' + ((left - 1) % 26) as u8);
        left = (left - 1) / 26;
    }
    letters.reverse();
    format!("{prefix}{}", String::from_utf8_lossy(&letters))
}

/// A machine that runs has a console; where it is depends on the host.
fn open_consoles(draft: &mut Draft, vm: Ref, on: Ref) -> Result<(), ApiError> {
    for stale in draft.far(VM::consoles, vm) {
        draft.delete::<console>(stale);
    }
    let address = draft.get(on, host::address, |address| address.to_string()).unwrap_or_default();
    let protocol = if boot::is_hvm(&*draft.find::<VM>(vm)?) { "rfb" } else { "vt100" };
    let uuid = draft.ids.draw().uuid_text();
    let location = format!("https://{address}/console?uuid={uuid}");
    let fields = Fields::<console>::new()
        .with(console::uuid, uuid)
        .with(console::protocol, protocol)
        .with(console::location, location)
        .with(console::VM, vm);
    draft.create(fields);
    Ok(())
}
