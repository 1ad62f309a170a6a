//! What the hypervisor shows of a machine while no operation is pending:
//! observation wins. The reconciler sends it as a command of its own, and an
//! observation that says nothing new changes nothing, so makes no event.
//!
//! Must never "repair" a machine: what an operator did behind our back is what
//! is so now. What should follow from an end ([`after_end`]) begins as an
//! operation of its own, by [`begin`].

use super::state;
use crate::command::draft::Fields;
use crate::command::{Call, Draft};
use crate::error::{ApiError, codes};
use crate::model::{MODEL, VM, VM_guest_metrics, VM_metrics};
use crate::value::{Ref, Value};
use crate::views::View;
use std::collections::BTreeMap;

/// One look at one machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    pub state: State,
    /// The domain's number; counts only where there is a domain.
    pub domid: i64,
    /// Bytes that the domain has now; `None` where unknown.
    pub memory: Option<i64>,
    /// Processors that the domain has now.
    pub vcpus: Option<i64>,
    /// What the guest's agent told; `None` while there is no agent.
    pub guest: Option<Guest>,
}

/// What a machine is seen doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No domain.
    Halted,
    Running,
    Paused,
    /// No domain, but its state is kept.
    Suspended,
}

/// What a guest's agent tells of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Guest {
    /// `name`, `distro`, `major`, `minor`, `uname`.
    pub os_version: BTreeMap<String, String>,
    /// `major`, `minor`, `micro`, `build`.
    pub drivers: BTreeMap<String, String>,
    /// `0/ip`, `0/ipv4/0`, `0/ipv6/0`.
    pub networks: BTreeMap<String, String>,
    /// `feature-shutdown` and the like.
    pub other: BTreeMap<String, String>,
}

/// How a domain came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The guest shut itself down.
    Shutdown,
    /// The guest asked to be started anew.
    Reboot,
    Crash,
    /// It vanished: destroyed by somebody, or its host was restarted.
    Gone,
}

/// Applies what was seen. While an operation holds the machine, its end says what became of it.
pub fn observe(draft: &mut Draft, vm: Ref, host: Ref, seen: &Observed) -> Result<Value, ApiError> {
    let machine = draft.find::<VM>(vm)?;
    if !machine.get(VM::current_operations).is_empty() || machine.get(VM::is_a_template) {
        return Ok(Value::Void);
    }
    match (machine.get(VM::power_state), seen.state) {
        ("Halted", State::Halted) | ("Suspended", State::Suspended | State::Halted) => return Ok(Value::Void),
        (_, State::Halted) => {
            state::halt(draft, vm)?;
            return Ok(Value::Void);
        }
        (_, State::Suspended) => {
            let image = machine.get(VM::suspend_VDI);
            state::suspend(draft, vm, image)?;
            return Ok(Value::Void);
        }
        (before, State::Running | State::Paused) => {
            let same = machine.get(VM::domid) == seen.domid && machine.get(VM::resident_on) == host;
            let paused = seen.state == State::Paused;
            if !same || !matches!(before, "Running" | "Paused") {
                state::run(draft, vm, host, seen.domid, paused)?;
                state::booted(draft, vm)?;
                if before == "Suspended" {
                    state::drop_suspended_state(draft, vm)?;
                }
            }
            draft.set(vm, VM::power_state, if paused { "Paused" } else { "Running" });
        }
    }
    resources(draft, vm, seen)?;
    match &seen.guest {
        Some(guest) => told(draft, vm, guest),
        None => state::forget_guest(draft, vm).map(|()| Value::Void),
    }
}

/// What should be begun after a domain ended by itself; the machine is `Halted` by then.
pub fn after_end(view: &View, vm: Ref, end: End) -> Option<&'static str> {
    let machine = view.find::<VM>(vm)?;
    let wish = match end {
        End::Shutdown => machine.get(VM::actions_after_shutdown),
        End::Reboot => machine.get(VM::actions_after_reboot),
        End::Crash => machine.get(VM::actions_after_crash),
        End::Gone => return None,
    };
    let free = machine.get(VM::power_state) == "Halted" && machine.get(VM::current_operations).is_empty();
    (free && matches!(wish, "restart" | "coredump_and_restart" | "rename_restart")).then_some("VM.start")
}

/// What should be begun when the host comes up: machines that ask to be powered on with it.
pub fn after_boot(view: &View, vm: Ref) -> Option<&'static str> {
    let machine = view.find::<VM>(vm)?;
    let asked = machine.get(VM::other_config).get("auto_poweron").is_some_and(|wish| wish.as_str() == "true");
    let plain = !machine.get(VM::is_a_template) && !machine.get(VM::is_control_domain);
    let free = machine.get(VM::power_state) == "Halted" && machine.get(VM::current_operations).is_empty();
    (asked && plain && free).then_some("VM.start")
}

/// Begins an operation that no client asked for: to be called within an own command of principal `host/UUID`.
pub fn begin(draft: &mut Draft, message: &'static str, vm: Ref) -> Result<Value, ApiError> {
    let message = MODEL.message(message).expect("BUG: it is named by us");
    let mut args = vec![Value::Ref(vm)];
    for param in message.params.iter().skip(1) {
        args.push(crate::value::default_value(param.ty, param.default));
    }
    let call = Call { message, args, background: false };
    let handler = crate::command::handler(message).ok_or_else(|| codes::NOT_IMPLEMENTED(message.full_name))?;
    handler(draft, &call)
}

fn resources(draft: &mut Draft, vm: Ref, seen: &Observed) -> Result<(), ApiError> {
    let metrics = state::metrics_of(draft, vm)?;
    if let Some(memory) = seen.memory {
        draft.set(metrics, VM_metrics::memory_actual, memory);
    }
    if let Some(vcpus) = seen.vcpus {
        draft.set(metrics, VM_metrics::VCPUs_number, vcpus);
    }
    Ok(())
}

fn told(draft: &mut Draft, vm: Ref, guest: &Guest) -> Result<Value, ApiError> {
    let mut metrics = draft.get(vm, VM::guest_metrics, |metrics| metrics)?;
    if draft.find::<VM_guest_metrics>(metrics).is_err() {
        let fields = Fields::<VM_guest_metrics>::new()
            .with(VM_guest_metrics::live, true)
            .with(VM_guest_metrics::can_use_hotplug_vbd, "yes")
            .with(VM_guest_metrics::can_use_hotplug_vif, "yes");
        metrics = draft.create(fields);
        draft.set(vm, VM::guest_metrics, metrics);
    }
    let text = |map: &BTreeMap<String, String>| Value::map(map.iter().map(|(k, v)| (k, Value::text(v))));
    let detected = !guest.drivers.is_empty();
    draft.set(metrics, VM_guest_metrics::os_version, text(&guest.os_version));
    draft.set(metrics, VM_guest_metrics::PV_drivers_version, text(&guest.drivers));
    draft.set(metrics, VM_guest_metrics::networks, text(&guest.networks));
    draft.set(metrics, VM_guest_metrics::other, text(&guest.other));
    draft.set(metrics, VM_guest_metrics::PV_drivers_detected, detected);
    draft.set(metrics, VM_guest_metrics::PV_drivers_up_to_date, detected);
    draft.set(metrics, VM_guest_metrics::live, true);
    Ok(Value::Void)
}
