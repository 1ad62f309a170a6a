//! A host that goes down and comes up again, and what a boot brings with it.
//!
//! ```text
//!          disable          reboot
//!   enabled ─────▶ disabled ─────▶ (booting) ─▶ enabled, or disabled if that was to stay
//!                     │ shutdown       ▲
//!                     └──────▶ off ────┘ power_on
//! ```
//!
//! Machines leave before: a host goes down only while none is on it.

use super::{is_live, room};
use crate::command::device::pci;
use crate::command::operation::{self, Begin, Ended};
use crate::command::vm::observed::{self, Observed, State};
use crate::command::{Call, Draft, attach};
use crate::error::{ApiError, codes};
use crate::model::{ClassId, VM, host, host_metrics};
use crate::value::{Ref, Value};
use crate::views::Object;
use std::sync::Arc;

/// Debug keys that one call may press.
const KEYS_MAX: usize = 32;

const GONE: Observed = Observed { state: State::Halted, domid: -1, memory: None, vcpus: None, guest: None };

/// A host that may go down: out of service, up, and with no machine on it.
fn leaving(draft: &Draft, call: &Call) -> Result<Arc<Object>, ApiError> {
    let held = draft.find::<host>(call.reference(0))?;
    if held.get(host::enabled) {
        return Err(codes::HOST_NOT_DISABLED());
    }
    if !is_live(draft.view(), &held) {
        return Err(codes::HOST_OFFLINE(held.reference));
    }
    attach::assert_free(ClassId::host, &held)?;
    match room::guests(draft.view(), held.reference).first() {
        Some(vm) => Err(codes::HOST_IN_USE(held.reference, "vm", vm.reference)),
        None => Ok(held),
    }
}

pub(super) fn begin_reboot(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let held = leaving(draft, call)?;
    operation::begin(draft, call, Begin::on(ClassId::host, held.reference, "reboot"))
}

pub(super) fn begin_shutdown(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let held = leaving(draft, call)?;
    operation::begin(draft, call, Begin::on(ClassId::host, held.reference, "shutdown"))
}

/// A host that is up is on already.
pub(super) fn begin_power_on(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let held = draft.find::<host>(call.reference(0))?;
    if is_live(draft.view(), &held) {
        return Ok(Value::Void);
    }
    if held.get(host::power_on_mode).is_empty() {
        return Err(codes::HOST_POWER_ON_MODE_DISABLED());
    }
    attach::assert_free(ClassId::host, &held)?;
    operation::begin(draft, call, Begin::on(ClassId::host, held.reference, "power_on"))
}

pub(super) fn came_up(draft: &mut Draft, ended: &Ended) -> Result<Value, ApiError> {
    draft.find::<host>(ended.object)?;
    if let Some(boot) = &ended.facts.of_host.boot {
        booted(draft, ended.object, boot, &[])?;
    }
    // What the boot began has tasks of its own.
    draft.task = Some(ended.task);
    Ok(Value::Void)
}

pub(super) fn went_down(draft: &mut Draft, ended: &Ended) -> Result<Value, ApiError> {
    let metrics = draft.get(ended.object, host::metrics, |metrics| metrics)?;
    draft.set(metrics, host_metrics::live, false);
    Ok(Value::Void)
}

pub(super) fn begin_debug_keys(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let held = draft.find::<host>(call.reference(0))?;
    let keys = call.text(1);
    if keys.is_empty() || keys.len() > KEYS_MAX || !keys.chars().all(|key| key.is_ascii_graphic()) {
        return Err(codes::VALUE_NOT_SUPPORTED("keys", keys, format!("1 to {KEYS_MAX} printable characters")));
    }
    operation::begin(draft, call, Begin::about(ClassId::host, held.reference))
}

pub(super) fn pressed(_draft: &mut Draft, _ended: &Ended) -> Result<Value, ApiError> {
    Ok(Value::Void)
}

/// The host has booted, with these machines on it: what was chosen for its next boot is so now, the machines that
/// were on it are gone, and those start that are to start with it. The first boot that is heard of changes nothing.
pub fn booted(draft: &mut Draft, on: Ref, boot: &str, there: &[Ref]) -> Result<Value, ApiError> {
    let held = draft.find::<host>(on)?;
    let before = held.get(host::boot);
    if **before == *boot {
        return Ok(Value::Void);
    }
    draft.set(on, host::boot, boot);
    if !before.is_empty() {
        begin_anew(draft, &held)?;
    }
    let machines: Vec<Arc<Object>> = draft.view().all::<VM>().cloned().collect();
    for vm in &machines {
        let alive = Ref::parse_uuid(vm.get(VM::uuid)).is_some_and(|uuid| there.contains(&uuid));
        let ours = !vm.get(VM::is_control_domain) && !vm.get(VM::is_a_template);
        if ours && vm.get(VM::current_operations).is_empty() && vm.get(VM::resident_on) == on && !alive {
            observed::observe(draft, vm.reference, on, &GONE)?;
        }
    }
    for vm in machines {
        let Some(message) = observed::after_boot(draft.view(), vm.reference) else { continue };
        if let Err(error) = observed::begin(draft, message, vm.reference) {
            tracing::warn!(machine = %vm.reference, %error, "what should have followed was not allowed");
        }
    }
    Ok(Value::Void)
}

/// The server runs anew; clients compute from this for how long it has run.
pub fn agent_started(draft: &mut Draft) -> Result<Value, ApiError> {
    let hosts: Vec<Arc<Object>> = draft.view().all::<host>().cloned().collect();
    for held in hosts {
        note_time(draft, &held, "agent_start_time");
    }
    Ok(Value::Void)
}

/// Seconds since 1970, as a float's text.
fn note_time(draft: &mut Draft, held: &Object, key: &str) {
    let mut config = held.get(host::other_config).clone();
    config.insert(key.into(), Value::from(format!("{}.", draft.now / 1_000_000)));
    draft.set(held.reference, host::other_config, Value::Map(Arc::new(config)));
}

fn begin_anew(draft: &mut Draft, held: &Object) -> Result<(), ApiError> {
    let on = held.reference;
    draft.set(on, host::display, pci::after_boot(held.get(host::display)));
    draft.set(on, host::sched_gran, held.get(host::sched_gran_chosen));
    draft.set(on, host::pending_guidances, Value::empty_set());
    pci::booted(draft, on);
    note_time(draft, held, "boot_time");
    if draft.find::<host_metrics>(held.get(host::metrics)).is_ok() {
        draft.set(held.get(host::metrics), host_metrics::live, true);
    }
    if held.get(host::auto_enable) {
        draft.set(on, host::enabled, true);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::bench::Bench;
    use crate::command::draft::Fields;
    use crate::command::operation::Facts;

    fn lab() -> (Bench, Ref) {
        let mut bench = Bench::default();
        let here = bench.given(|draft| {
            let metrics = draft.create(Fields::<host_metrics>::new().with(host_metrics::live, true));
            let fields = Fields::<host>::new().with(host::metrics, metrics).with(host::enabled, true);
            draft.create(fields.with(host::boot, "one"))
        });
        (bench, here.as_ref())
    }

    fn code(bench: &mut Bench, name: &str, args: Vec<Value>) -> &'static str {
        bench.call(name, args).map_or_else(|error| error.code, |_| "done")
    }

    fn boot(id: &str) -> Facts {
        Facts {
            of_host: Box::new(operation::OfHost { boot: Some(id.to_string()), ..Default::default() }),
            ..Facts::default()
        }
    }

    #[test]
    fn a_host_reboots_when_nothing_needs_it() {
        let (mut bench, here) = lab();
        assert_eq!(code(&mut bench, "host.reboot", vec![here.into()]), "HOST_NOT_DISABLED");
        bench.call("host.disable", vec![here.into()]).expect("disabled");
        let fields = move || Fields::<VM>::new().with(VM::power_state, "Running").with(VM::resident_on, here);
        let vm = bench.given(move |draft| draft.create(fields())).as_ref();
        assert_eq!(code(&mut bench, "host.reboot", vec![here.into()]), "HOST_IN_USE");
        bench.given(move |draft| draft.set(vm, VM::resident_on, Ref::NULL));
        bench.call("host.disable_display", vec![here.into()]).expect("chosen");
        bench.call("host.set_sched_gran", vec![here.into(), "core".into()]).expect("chosen");
        let pending = bench.call("host.reboot", vec![here.into()]).expect("begun").as_ref();
        assert_eq!(bench.allowed(ClassId::host, here), [] as [&str; 0]);
        assert_eq!(code(&mut bench, "host.shutdown", vec![here.into()]), "OTHER_OPERATION_IN_PROGRESS");
        bench.complete(pending, boot("two")).expect("rebooted");
        let held = bench.view.find::<host>(here).expect("there");
        assert!(held.get(host::enabled), "it was disabled until the next start only");
        assert_eq!((held.get(host::display), held.get(host::sched_gran)), ("disabled", "core"));
        assert_eq!(&**held.get(host::boot), "two");
        assert!(held.get(host::other_config).get("boot_time").is_some());
    }

    #[test]
    fn a_host_that_is_off_comes_back_as_it_was_told_to() {
        let (mut bench, here) = lab();
        bench.call("host.disable", vec![here.into(), false.into()]).expect("disabled");
        bench.run("host.shutdown", vec![here.into()], Facts::default()).expect("off");
        assert_eq!(bench.allowed(ClassId::host, here), ["power_on"]);
        assert_eq!(code(&mut bench, "host.enable", vec![here.into()]), "HOST_NOT_LIVE");
        assert_eq!(code(&mut bench, "host.reboot", vec![here.into()]), "HOST_OFFLINE");
        assert_eq!(code(&mut bench, "host.power_on", vec![here.into()]), "HOST_POWER_ON_MODE_DISABLED");
        let mode = vec![here.into(), "wake-on-lan".into(), Value::empty_map()];
        bench.call("host.set_power_on_mode", mode).expect("set");
        bench.run("host.power_on", vec![here.into()], boot("two")).expect("on");
        assert!(!bench.view.find::<host>(here).expect("there").get(host::enabled));
        bench.call("host.enable", vec![here.into()]).expect("enabled");
        bench.call("host.power_on", vec![here.into()]).expect("it is on");
    }

    #[test]
    fn the_same_boot_is_told_of_once() {
        let (mut bench, here) = lab();
        bench.call("host.disable", vec![here.into()]).expect("disabled");
        bench.own(move |draft| booted(draft, here, "one", &[])).expect("nothing new");
        assert!(!bench.view.find::<host>(here).expect("there").get(host::enabled));
        bench.own(move |draft| booted(draft, here, "two", &[])).expect("a boot that nobody asked for");
        assert!(bench.view.find::<host>(here).expect("there").get(host::enabled));
    }

    #[test]
    fn the_servers_start_is_noted_beside_what_clients_keep() {
        let (mut bench, here) = lab();
        bench.call("host.add_to_other_config", vec![here.into(), "mine".into(), "kept".into()]).expect("added");
        let times = |bench: &Bench| {
            let config = bench.view.find::<host>(here).expect("there").get(host::other_config).clone();
            assert_eq!(config.get("mine"), Some(&Value::text("kept")));
            config.get("agent_start_time").map(|time| time.as_str().to_string())
        };
        assert_eq!(times(&bench), None);
        bench.own(agent_started).expect("noted");
        let first = times(&bench).expect("noted");
        bench.own(agent_started).expect("noted");
        assert_ne!(times(&bench).expect("noted"), first, "a second later");
    }

    #[test]
    fn keys_are_few_and_printable() {
        let (mut bench, here) = lab();
        assert_eq!(code(&mut bench, "host.send_debug_keys", vec![here.into(), "".into()]), "VALUE_NOT_SUPPORTED");
        assert_eq!(code(&mut bench, "host.send_debug_keys", vec![here.into(), "q\n".into()]), "VALUE_NOT_SUPPORTED");
        bench.run("host.send_debug_keys", vec![here.into(), "q".into()], Facts::default()).expect("pressed");
    }
}
