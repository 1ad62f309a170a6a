//! The pool: settings that are only remembered, who its members are, and what
//! is done on all of them.

use super::super::vm::placement;
use super::super::{Call, Draft, Reading, generic};
use super::secureboot;
use crate::command::attach::object;
use crate::error::{ApiError, codes};
use crate::model::{ClassId, MODEL, SR, VM, host, pool};
use crate::value::{Ref, Value};
use crate::views::View;

/// The pool of this server, and the only one.
fn only(view: &View) -> Result<Ref, ApiError> {
    let found = view.all::<pool>().next().map(|pool| pool.reference);
    found.ok_or_else(|| codes::HANDLE_INVALID("pool", Ref::NULL))
}

pub(super) fn is_master(view: &View, here: Ref) -> bool {
    view.all::<pool>().any(|pool| pool.get(pool::master) == here)
}

fn hosts(draft: &Draft) -> Vec<Ref> {
    draft.view().all::<host>().map(|host| host.reference).collect()
}

/// Without high availability no failure is tolerated.
pub(super) fn set_failures_to_tolerate(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    draft.find::<pool>(call.reference(0))?;
    match call.int(1) {
        0 => Ok(Value::Void),
        _ => Err(codes::HA_NOT_ENABLED()),
    }
}

pub(super) fn designate_new_master(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    draft.find::<host>(call.reference(0))?;
    match is_master(draft.view(), call.reference(0)) {
        true => Ok(Value::Void),
        false => Err(codes::OPERATION_NOT_ALLOWED("the host that this server runs on stays the coordinator")),
    }
}

pub(super) fn recover_slaves(_draft: &mut Draft, _call: &Call) -> Result<Value, ApiError> {
    Ok(Value::empty_set())
}

pub(super) fn eject(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    draft.find::<host>(call.reference(0))?;
    match is_master(draft.view(), call.reference(0)) {
        true => Err(codes::OPERATION_NOT_ALLOWED("a pool keeps its coordinator")),
        // Members are records of hosts that are not there: what is left of one is taken away by `host.destroy`.
        false => Err(codes::HOST_OFFLINE(call.reference(0))),
    }
}

pub(super) fn apply_edition(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    draft.find::<pool>(call.reference(0))?;
    for here in hosts(draft) {
        if !draft.find::<host>(here)?.get(host::editions).contains(&call.args[1]) {
            return Err(codes::INVALID_EDITION(call.text(1)));
        }
        draft.set(here, host::edition, call.text(1));
    }
    Ok(Value::Void)
}

pub(super) fn configure_update_sync(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    draft.find::<pool>(call.reference(0))?;
    let (frequency, day) = (call.args[1].as_str().to_string(), call.int(2));
    let days = if frequency == "daily" { 0..=0 } else { 0..=6 };
    if !days.contains(&day) {
        return Err(codes::INVALID_UPDATE_SYNC_DAY(day));
    }
    draft.set(call.reference(0), pool::update_sync_frequency, frequency);
    draft.set(call.reference(0), pool::update_sync_day, day);
    Ok(Value::Void)
}

pub(super) fn add_to_guest_agent_config(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let (key, value) = (call.text(1).to_string(), call.args[2].clone());
    generic::add_to(draft, ClassId::pool, call.reference(0), pool::guest_agent_config.index, key, value)
}

pub(super) fn remove_from_guest_agent_config(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    generic::remove_from(draft, ClassId::pool, call.reference(0), pool::guest_agent_config.index, call.text(1))
}

pub(super) fn enable_client_certificate_auth(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    draft.find::<pool>(call.reference(0))?;
    draft.set(call.reference(0), pool::client_certificate_auth_name, call.text(1));
    draft.set(call.reference(0), pool::client_certificate_auth_enabled, true);
    Ok(Value::Void)
}

pub(super) fn disable_client_certificate_auth(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    draft.find::<pool>(call.reference(0))?;
    draft.set(call.reference(0), pool::client_certificate_auth_enabled, false);
    draft.set(call.reference(0), pool::client_certificate_auth_name, "");
    Ok(Value::Void)
}

pub(super) fn disable_ssl_legacy(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    on_hosts(draft, call, host::ssl_legacy.index, Value::Bool(false))
}

/// A setter of the pool that is kept on each host.
pub(super) fn set_on_hosts(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let name = call.message.name.strip_prefix("set_").expect("BUG: bound to setters alone");
    let field = MODEL.field(ClassId::host, name).expect("BUG: bound to what hosts keep");
    on_hosts(draft, call, field, call.args[1].clone())
}

fn on_hosts(draft: &mut Draft, call: &Call, field: usize, value: Value) -> Result<Value, ApiError> {
    draft.find::<pool>(call.reference(0))?;
    for here in hosts(draft) {
        generic::set(draft, ClassId::host, here, field, value.clone())?;
    }
    Ok(Value::Void)
}

pub(super) fn add_repository(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    generic::add(draft, ClassId::pool, call.reference(0), pool::repositories.index, call.args[1].clone())
}

pub(super) fn remove_repository(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    generic::remove(draft, ClassId::pool, call.reference(0), pool::repositories.index, &call.args[1])
}

pub(super) fn set_vswitch_controller(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let pool = only(draft.view())?;
    draft.set(pool, pool::vswitch_controller, call.text(0));
    Ok(Value::Void)
}

pub(super) fn license_state(reading: &Reading<'_>, _call: &Call) -> Result<Value, ApiError> {
    let edition = reading.view.all::<host>().next().map(|host| host.get(host::edition).to_string());
    Ok(Value::map([("edition", Value::from(edition.unwrap_or_default())), ("expiry", "never".into())]))
}

pub(super) fn secureboot_readiness(reading: &Reading<'_>, call: &Call) -> Result<Value, ApiError> {
    let held = object::<pool>(reading.view, call.reference(0))?;
    Ok(Value::Enum(secureboot::readiness(held)))
}

/// What keeps this host from being a member of another pool; in the end, that its state is a log of its own.
pub(super) fn join(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let force = call.message.name == "join_force";
    if !force && draft.view().all::<SR>().any(|sr| sr.get(SR::shared)) {
        return Err(codes::JOINING_HOST_CANNOT_CONTAIN_SHARED_SRS());
    }
    let machines = draft.view().all::<VM>().filter(|vm| !vm.get(VM::is_control_domain));
    if machines.into_iter().any(|vm| vm.get(VM::power_state) != "Halted") {
        return Err(codes::JOINING_HOST_CANNOT_HAVE_RUNNING_OR_SUSPENDED_VMS());
    }
    if hosts(draft).len() > 1 {
        return Err(codes::JOINING_HOST_CANNOT_BE_MASTER_OF_OTHER_HOSTS());
    }
    Err(codes::OPERATION_NOT_ALLOWED("this server keeps a pool of its own and cannot be a member of another"))
}

/// The coordinator is where this server runs, and nowhere else.
pub(super) fn emergency_reset_master(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let coordinator = draft.view().all::<host>().find(|held| is_master(draft.view(), held.reference));
    match coordinator {
        Some(held) if **held.get(host::address) == *call.text(0) => Ok(Value::Void),
        _ => Err(codes::OPERATION_NOT_ALLOWED("the host that this server runs on stays the coordinator")),
    }
}

/// Every host caches on a repository of its own; where one has none, none does.
pub(super) fn enable_caching(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    draft.find::<pool>(call.reference(0))?;
    let mut caches = Vec::new();
    for here in hosts(draft) {
        let local = draft.view().all::<SR>().find(|sr| {
            let local = !sr.get(SR::shared) && &**sr.get(SR::content_type) == "user";
            local && placement::attached(draft.view(), sr.reference, here)
        });
        let local =
            local.ok_or_else(|| codes::OPERATION_NOT_ALLOWED("a host has no storage of its own to cache on"))?;
        caches.push((here, local.reference));
    }
    for (here, sr) in caches {
        draft.set(sr, SR::local_cache_enabled, true);
        draft.set(here, host::local_cache_sr, sr);
    }
    Ok(Value::Void)
}

pub(super) fn disable_caching(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    draft.find::<pool>(call.reference(0))?;
    for here in hosts(draft) {
        let sr = draft.get(here, host::local_cache_sr, |sr| sr)?;
        if draft.find::<SR>(sr).is_ok() {
            draft.set(sr, SR::local_cache_enabled, false);
        }
        draft.set(here, host::local_cache_sr, Ref::NULL);
    }
    Ok(Value::Void)
}

#[cfg(test)]
mod tests {
    use crate::command::bench::Bench;
    use crate::command::draft::Fields;
    use crate::command::{Call, Principal, Reading, reader};
    use crate::model::{MODEL, PBD, SR, VM, host, host_metrics, pool};
    use crate::value::{Ref, Value};

    struct House {
        bench: Bench,
        pool: Ref,
        here: Ref,
        sr: Ref,
    }

    fn house() -> House {
        let mut bench = Bench::default();
        let metrics = bench.given(|draft| draft.create(Fields::<host_metrics>::new().with(host_metrics::live, true)));
        let fields = Fields::<host>::new().with(host::metrics, metrics.as_ref()).with(host::enabled, true);
        let here = bench.given(|draft| draft.create(fields.with(host::address, "192.0.2.1"))).as_ref();
        let pool = bench.given(move |draft| draft.create(Fields::<pool>::new().with(pool::master, here))).as_ref();
        let sr = bench.given(|draft| draft.create(Fields::<SR>::new().with(SR::content_type, "user"))).as_ref();
        House { bench, pool, here, sr }
    }

    #[test]
    fn a_pool_of_one_host_stays_as_it_is() {
        let House { mut bench, here, sr, .. } = house();
        let refused = |bench: &mut Bench, name: &str, args: Vec<Value>| {
            bench.call(name, args).expect_err("refused").code.to_string()
        };
        let login = || vec!["192.0.2.9".into(), "root".into(), "x".into()];
        assert_eq!(refused(&mut bench, "pool.join", login()), "OPERATION_NOT_ALLOWED");
        bench.given(move |draft| draft.set(sr, SR::shared, true));
        assert_eq!(refused(&mut bench, "pool.join", login()), "JOINING_HOST_CANNOT_CONTAIN_SHARED_SRS");
        bench.given(|draft| draft.create(Fields::<VM>::new().with(VM::power_state, "Running")));
        let running = "JOINING_HOST_CANNOT_HAVE_RUNNING_OR_SUSPENDED_VMS";
        assert_eq!(refused(&mut bench, "pool.join_force", login()), running);
        assert_eq!(refused(&mut bench, "pool.eject", vec![here.into()]), "OPERATION_NOT_ALLOWED");
        assert_eq!(
            refused(&mut bench, "pool.emergency_reset_master", vec!["192.0.2.9".into()]),
            "OPERATION_NOT_ALLOWED"
        );
        bench.call("pool.emergency_reset_master", vec!["192.0.2.1".into()]).expect("it is so");
        bench.call("pool.emergency_transition_to_master", vec![]).expect("it is so");
        bench.call("pool.designate_new_master", vec![here.into()]).expect("it is so");
    }

    #[test]
    fn every_host_caches_or_none() {
        let House { mut bench, pool, here, sr } = house();
        let none = bench.call("pool.enable_local_storage_caching", vec![pool.into()]).expect_err("no way to it");
        assert_eq!(none.code, "OPERATION_NOT_ALLOWED");
        bench.given(move |draft| {
            let way = Fields::<PBD>::new().with(PBD::SR, sr).with(PBD::host, here);
            draft.create(way.with(PBD::currently_attached, true))
        });
        let caches = |bench: &Bench| bench.view.find::<host>(here).expect("there").get(host::local_cache_sr);
        bench.call("pool.enable_local_storage_caching", vec![pool.into()]).expect("enabled");
        assert_eq!(caches(&bench), sr);
        assert!(bench.view.find::<SR>(sr).expect("there").get(SR::local_cache_enabled));
        bench.call("pool.disable_local_storage_caching", vec![pool.into()]).expect("disabled");
        assert!(caches(&bench).is_null());
        assert!(!bench.view.find::<SR>(sr).expect("there").get(SR::local_cache_enabled));
    }

    #[test]
    fn a_failed_machine_has_nowhere_to_go_when_its_host_failed() {
        let House { mut bench, here, .. } = house();
        let vm = bench.given(|draft| draft.create(Fields::<VM>::new())).as_ref();
        let plan = |failed: Vec<Value>, vm: Ref| {
            let message = MODEL.message("pool.ha_compute_vm_failover_plan").expect("a message");
            let principal = Principal::server("user/test");
            let reading = Reading { view: &bench.view, principal: &principal, now: 0 };
            let args = vec![Value::set(failed), Value::set([vm.into()])];
            reader(message).expect("it reads")(&reading, &Call { message, args, background: false })
        };
        let planned = |failed| plan(failed, vm).expect("a plan").as_map()[&*vm.to_string()].clone();
        assert_eq!(planned(vec![here.into()]), Value::map([("error_code", "NO_HOSTS_AVAILABLE".into())]));
        assert_eq!(planned(Vec::new()), Value::map([("host", here.to_string().into())]));
        assert_eq!(plan(Vec::new(), here).expect_err("no machine").code, "HANDLE_INVALID");
    }
}
