//! The pool: settings that are only remembered, and what a pool of one host
//! can say of hosts that fail.

use super::super::{Call, Draft, Reading, generic};
use crate::error::{ApiError, codes};
use crate::model::{ClassId, MODEL, host, pool};
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
        false => Err(codes::NOT_IMPLEMENTED(call.message.full_name)),
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

pub(super) fn enable_ssh(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    on_hosts(draft, call, host::ssh_enabled.index, Value::Bool(true))
}

pub(super) fn disable_ssh(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    on_hosts(draft, call, host::ssh_enabled.index, Value::Bool(false))
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

pub(super) fn secureboot_readiness(_reading: &Reading<'_>, _call: &Call) -> Result<Value, ApiError> {
    Ok(Value::Enum("not_ready"))
}

pub(super) fn failover_plan_exists(_reading: &Reading<'_>, call: &Call) -> Result<Value, ApiError> {
    Ok(Value::Bool(call.int(0) <= 0))
}

pub(super) fn tolerable_failures(_reading: &Reading<'_>, _call: &Call) -> Result<Value, ApiError> {
    Ok(Value::Int(0))
}
