//! Hosts: taken in and out of service, asked about memory, time and what
//! keeps them from being emptied; and the settings that are only remembered.
//!
//! ```text
//!   enabled ──disable──▶ disabled ──enable──▶ enabled
//!   (machines may start)  (may be shut down)
//! ```

pub mod certificates;
mod clock;
mod failover;
mod measured;
mod pool;
pub mod power;
mod room;
mod secureboot;
pub mod ssh;
pub mod x509;

use super::device::pci;
use super::operation::Derived;
use super::{Call, Completion, Draft, Handler, Reader, Reading, generic};
use crate::error::{ApiError, codes};
use crate::model::{ClassId, MODEL, PIF, SR, VM, blob, host, host_crashdump, host_metrics};
use crate::value::{Ref, Value};
use crate::views::{Object, View};
use std::sync::Arc;

/// Bytes of a setting.
const SETTING_MAX: usize = 64 * 1024;
/// Characters of a host's name, as DNS has it.
const HOSTNAME_MAX: usize = 63;

pub const HANDLERS: &[(&str, Handler)] = &[
    ("host.enable", enable),
    ("host.disable", disable),
    ("host.evacuate", evacuate),
    ("host.destroy", destroy),
    ("host.declare_dead", declare_dead),
    ("host.power_on", power::begin_power_on),
    ("host.reboot", power::begin_reboot),
    ("host.shutdown", power::begin_shutdown),
    ("host.send_debug_keys", power::begin_debug_keys),
    ("host.record_data_source", measured::record),
    ("host.forget_data_source_archives", measured::forget),
    ("host.backup_rrds", nothing_to_do),
    ("host.set_hostname_live", set_hostname_live),
    ("host.set_power_on_mode", set_power_on_mode),
    ("host.apply_edition", apply_edition),
    ("host.enable_display", enable_display),
    ("host.disable_display", disable_display),
    ("host.enable_local_storage_caching", enable_caching),
    ("host.disable_local_storage_caching", disable_caching),
    ("host.create_new_blob", create_blob),
    ("host.set_servertime", clock::set_servertime),
    ("host.set_sched_gran", set_sched_gran),
    ("host.call_plugin", call_plugin),
    ("host.call_extension", call_extension),
    ("host.emergency_clear_mandatory_guidance", clear_guidance),
    ("host.emergency_disable_tls_verification", certificates::disable_verification_here),
    ("host.emergency_reenable_tls_verification", certificates::enable_verification_here),
    ("host_crashdump.destroy", destroy_crashdump),
    ("host.enable_ssh", ssh::enable),
    ("host.disable_ssh", ssh::disable),
    ("host.emergency_ha_disable", ha_is_not_enabled),
    ("host.syslog_reconfigure", nothing_to_do),
    ("host.refresh_pack_info", nothing_to_do),
    ("host.sync_data", nothing_to_do),
    ("host.set_iscsi_iqn", set_iscsi_iqn),
    ("host.set_multipathing", set_plain),
    ("host.set_ssl_legacy", set_plain),
    ("host.set_uefi_certificates", set_plain),
    ("host.set_numa_affinity_policy", set_plain),
    ("host.set_https_only", set_plain),
    ("host.set_max_cstate", set_plain),
    ("host.set_timezone", clock::set_timezone),
    ("host.set_ntp_mode", clock::set_ntp_mode),
    ("host.set_ntp_custom_servers", clock::set_ntp_servers),
    ("host.set_ssh_auto_mode", set_plain),
    ("host.set_ssh_enabled_timeout", ssh::set_timeout),
    ("host.set_console_idle_timeout", ssh::set_idle_timeout),
    ("pool.set_ha_host_failures_to_tolerate", pool::set_failures_to_tolerate),
    ("pool.disable_ha", ha_is_not_enabled),
    ("pool.ha_prevent_restarts_for", nothing_to_do),
    ("pool.sync_database", nothing_to_do),
    ("pool.certificate_sync", nothing_to_do),
    ("pool.install_ca_certificate", certificates::install),
    ("pool.uninstall_ca_certificate", certificates::uninstall),
    ("pool.certificate_install", certificates::install),
    ("pool.certificate_uninstall", certificates::uninstall),
    ("pool.install_trusted_certificate", certificates::trust),
    ("pool.uninstall_trusted_certificate", certificates::distrust),
    ("pool.crl_install", certificates::install_revocations),
    ("pool.crl_uninstall", certificates::uninstall_revocations),
    ("pool.enable_tls_verification", certificates::enable_verification),
    ("pool.detect_nonhomogeneous_external_auth", nothing_to_do),
    ("pool.designate_new_master", pool::designate_new_master),
    ("pool.recover_slaves", pool::recover_slaves),
    ("pool.join", pool::join),
    ("pool.join_force", pool::join),
    ("pool.emergency_transition_to_master", nothing_to_do),
    ("pool.emergency_reset_master", pool::emergency_reset_master),
    ("pool.disable_redo_log", nothing_to_do),
    ("pool.disable_external_auth", nothing_to_do),
    ("pool.enable_local_storage_caching", pool::enable_caching),
    ("pool.disable_local_storage_caching", pool::disable_caching),
    ("pool.eject", pool::eject),
    ("pool.apply_edition", pool::apply_edition),
    ("pool.create_new_blob", create_blob),
    ("pool.configure_update_sync", pool::configure_update_sync),
    ("pool.add_to_guest_agent_config", pool::add_to_guest_agent_config),
    ("pool.remove_from_guest_agent_config", pool::remove_from_guest_agent_config),
    ("pool.disable_client_certificate_auth", pool::disable_client_certificate_auth),
    ("pool.enable_client_certificate_auth", pool::enable_client_certificate_auth),
    ("pool.enable_ssh", ssh::enable),
    ("pool.disable_ssh", ssh::disable),
    ("pool.disable_ssl_legacy", pool::disable_ssl_legacy),
    ("pool.set_ssh_auto_mode", pool::set_on_hosts),
    ("pool.set_ssh_enabled_timeout", ssh::set_timeout),
    ("pool.set_console_idle_timeout", ssh::set_idle_timeout),
    ("pool.set_https_only", pool::set_on_hosts),
    ("pool.set_igmp_snooping_enabled", set_plain),
    ("pool.set_update_sync_enabled", set_plain),
    ("pool.set_repositories", set_plain),
    ("pool.add_repository", pool::add_repository),
    ("pool.remove_repository", pool::remove_repository),
    ("pool.set_local_auth_max_threads", set_plain),
    ("pool.set_ext_auth_max_threads", set_plain),
    ("pool.set_ext_auth_cache_enabled", set_plain),
    ("pool.set_ext_auth_cache_size", set_plain),
    ("pool.set_ext_auth_cache_expiry", set_plain),
    ("pool.set_telemetry_next_collection", set_plain),
    ("pool.set_uefi_certificates", set_plain),
    ("pool.set_custom_uefi_certificates", set_plain),
    ("pool.set_vswitch_controller", pool::set_vswitch_controller),
];

pub const READERS: &[(&str, Reader)] = &[
    ("host.get_servertime", clock::servertime),
    ("host.get_server_localtime", clock::server_localtime),
    ("host.list_methods", list_methods),
    ("host.compute_free_memory", room::compute_free_memory),
    ("host.compute_memory_overhead", room::compute_memory_overhead),
    ("host.assert_can_evacuate", room::assert_can_evacuate),
    ("host.get_vms_which_prevent_evacuation", room::vms_which_prevent_evacuation),
    ("host.get_uncooperative_resident_VMs", room::uncooperative_machines),
    ("host.get_management_interface", management_interface),
    ("host.has_extension", has_extension),
    ("host.get_data_sources", measured::list),
    ("host.query_data_source", measured::query),
    ("host.get_sched_gran", sched_gran),
    ("host.list_timezones", clock::list_timezones),
    ("host.get_ntp_synchronized", clock::ntp_synchronized),
    ("host.get_ntp_servers_status", empty_map),
    ("host.get_tracked_user_agents", empty_map),
    ("host.retrieve_wlb_evacuate_recommendations", wlb_is_not_initialized),
    ("pool.retrieve_wlb_recommendations", wlb_is_not_initialized),
    ("pool.retrieve_wlb_configuration", wlb_is_not_initialized),
    ("pool.has_extension", has_extension),
    ("pool.get_license_state", pool::license_state),
    ("pool.get_guest_secureboot_readiness", pool::secureboot_readiness),
    ("pool.ha_failover_plan_exists", failover::plan_exists),
    ("pool.ha_compute_max_host_failures_to_tolerate", failover::tolerable_failures),
    ("pool.ha_compute_hypothetical_max_host_failures_to_tolerate", failover::tolerable_failures),
    ("pool.ha_compute_vm_failover_plan", failover::plan),
    ("pool.crl_list", certificates::list_revocations),
    ("pool.certificate_list", certificates::list),
    ("pool.check_update_readiness", empty_set),
];

pub const COMPLETIONS: &[(&str, Completion)] = &[
    ("host.reboot", power::came_up),
    ("host.power_on", power::came_up),
    ("host.shutdown", power::went_down),
    ("host.send_debug_keys", power::pressed),
];

pub const DERIVED: &[&Derived] = &[
    &Derived {
        class: ClassId::host,
        inputs: &[host::enabled.index, host::current_operations.index, host::metrics.index],
        allowed,
        neighbours: |_, _| Vec::new(),
    },
    &Derived {
        class: ClassId::host_metrics,
        inputs: &[host_metrics::live.index],
        allowed: |_, _| Vec::new(),
        neighbours: of_metrics,
    },
];

/// What may be done with a host: one in service takes machines, one out of it may be shut down.
fn allowed(view: &View, held: &Object) -> Vec<&'static str> {
    let busy = held.get(host::current_operations);
    let doing = |name: &str| busy.values().any(|operation| operation.as_str() == name);
    if !is_live(view, held) {
        return vec!["power_on"];
    }
    if doing("shutdown") || doing("reboot") {
        return Vec::new();
    }
    let mut allowed = Vec::new();
    if !doing("evacuate") {
        allowed.push("evacuate");
    }
    match held.get(host::enabled) {
        true => allowed.extend(["provision", "vm_start", "vm_resume", "vm_migrate"]),
        false => allowed.extend(["enable", "shutdown", "reboot"]),
    }
    allowed
}

fn of_metrics(view: &View, metrics: &Object) -> Vec<(ClassId, Ref)> {
    let theirs = view.all::<host>().filter(|held| held.get(host::metrics) == metrics.reference);
    theirs.map(|held| (ClassId::host, held.reference)).collect()
}

fn is_live(view: &View, held: &Object) -> bool {
    view.find::<host_metrics>(held.get(host::metrics)).is_some_and(|metrics| metrics.get(host_metrics::live))
}

fn found<'a>(reading: &'a Reading<'_>, call: &Call) -> Result<&'a Arc<Object>, ApiError> {
    let reference = call.reference(0);
    reading.view.find::<host>(reference).ok_or_else(|| codes::HANDLE_INVALID("host", reference))
}

fn enable(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let held = draft.find::<host>(call.reference(0))?;
    if !is_live(draft.view(), &held) {
        return Err(codes::HOST_NOT_LIVE());
    }
    draft.set(held.reference, host::enabled, true);
    draft.set(held.reference, host::auto_enable, true);
    Ok(Value::Void)
}

fn disable(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    draft.find::<host>(call.reference(0))?;
    draft.set(call.reference(0), host::enabled, false);
    draft.set(call.reference(0), host::auto_enable, call.bool(1));
    Ok(Value::Void)
}

/// Empties a host that is empty; where machines must move, they need somewhere to go.
fn evacuate(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let held = draft.find::<host>(call.reference(0))?;
    match room::guests(draft.view(), held.reference).first() {
        None => Ok(Value::Void),
        Some(_) if room::elsewhere(draft.view(), held.reference).is_empty() => Err(codes::NO_HOSTS_AVAILABLE()),
        Some(_) => Err(codes::NOT_IMPLEMENTED("host.evacuate: migrate the machines one by one")),
    }
}

/// A host that is not the coordinator and does not answer: what may be given up.
fn lost(draft: &Draft, call: &Call) -> Result<Arc<Object>, ApiError> {
    let held = draft.find::<host>(call.reference(0))?;
    if pool::is_master(draft.view(), held.reference) {
        return Err(codes::HOST_CANNOT_DESTROY_SELF(held.reference));
    }
    if is_live(draft.view(), &held) { Err(codes::HOST_IS_LIVE(held.reference)) } else { Ok(held) }
}

/// The machines that ran there run nowhere.
fn declare_dead(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let held = lost(draft, call)?;
    for vm in room::guests(draft.view(), held.reference) {
        super::vm::allowed::supersede(draft, vm.reference)?;
        super::vm::state::halt(draft, vm.reference)?;
    }
    Ok(Value::Void)
}

fn destroy(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let held = lost(draft, call)?;
    if !room::guests(draft.view(), held.reference).is_empty() {
        return Err(codes::HOST_HAS_RESIDENT_VMS(held.reference));
    }
    for pif in draft.far(host::PIFs, held.reference) {
        let pif = draft.find::<PIF>(pif)?;
        super::network::pif::remove(draft, &pif);
    }
    let control_domain = held.get(host::control_domain);
    if draft.find::<VM>(control_domain).is_ok() {
        super::vm::configuration::take_apart(draft, control_domain)?;
    }
    super::blob::remove_all(draft, &held, host::blobs);
    draft.delete::<host_metrics>(held.get(host::metrics));
    draft.delete::<host>(held.reference);
    Ok(Value::Void)
}

fn set_hostname_live(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    draft.find::<host>(call.reference(0))?;
    let name = call.text(1);
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    if name.is_empty() || name.len() > HOSTNAME_MAX || !name.chars().all(fits) || name.starts_with('-') {
        return Err(codes::HOST_NAME_INVALID("letters, digits, dots and dashes, at most 63"));
    }
    draft.set(call.reference(0), host::hostname, name);
    Ok(Value::Void)
}

fn set_power_on_mode(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    generic::set(draft, ClassId::host, call.reference(0), host::power_on_config.index, call.args[2].clone())?;
    draft.set(call.reference(0), host::power_on_mode, call.text(1));
    Ok(Value::Void)
}

/// Every edition is the same here; only its name is kept.
fn apply_edition(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let held = draft.find::<host>(call.reference(0))?;
    if !held.get(host::editions).contains(&call.args[1]) {
        return Err(codes::INVALID_EDITION(call.text(1)));
    }
    draft.set(held.reference, host::edition, call.text(1));
    Ok(Value::Void)
}

/// The console's screen changes hands at the next boot.
fn enable_display(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    change_display(draft, call, &pci::ENABLE)
}

fn disable_display(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    change_display(draft, call, &pci::DISABLE)
}

fn change_display(draft: &mut Draft, call: &Call, steps: &pci::Steps) -> Result<Value, ApiError> {
    let next = pci::step(steps, draft.get(call.reference(0), host::display, |now| now)?);
    draft.set(call.reference(0), host::display, next);
    Ok(Value::Enum(next))
}

fn enable_caching(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    draft.find::<host>(call.reference(0))?;
    let sr = draft.find::<SR>(call.reference(1))?;
    if sr.get(SR::shared) {
        return Err(codes::OPERATION_NOT_ALLOWED("a cache must be local to its host"));
    }
    draft.set(sr.reference, SR::local_cache_enabled, true);
    draft.set(call.reference(0), host::local_cache_sr, sr.reference);
    Ok(Value::Void)
}

fn disable_caching(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let held = draft.find::<host>(call.reference(0))?;
    let sr = held.get(host::local_cache_sr);
    if draft.view().find::<SR>(sr).is_some() {
        draft.set(sr, SR::local_cache_enabled, false);
    }
    draft.set(held.reference, host::local_cache_sr, Ref::NULL);
    Ok(Value::Void)
}

/// An empty blob, under its name in the object's `blobs`.
fn create_blob(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let (class, owner) = (call.message.class, call.reference(0));
    draft.object(class, owner)?;
    let fields = super::draft::Fields::<blob>::new()
        .with(blob::name_label, call.text(1))
        .with(blob::mime_type, call.text(2))
        .with(blob::public, call.bool(3))
        .with(blob::last_updated, Value::Time(draft.now));
    let made = draft.create(fields);
    let field = MODEL.field(class, "blobs").expect("BUG: bound to classes that have blobs");
    generic::add_to(draft, class, owner, field, call.text(1).to_string(), Value::Ref(made))?;
    Ok(Value::Ref(made))
}

/// A setter that the model declares with rules of its own, which here has none: the field is set.
fn set_plain(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let class = call.message.class;
    let name = call.message.name.strip_prefix("set_").expect("BUG: bound to setters alone");
    let field = MODEL.field(class, name).expect("BUG: bound to setters of fields");
    if call.text_of(1).len() > SETTING_MAX {
        return Err(codes::VALUE_NOT_SUPPORTED(name, "", format!("more than {SETTING_MAX} bytes")));
    }
    generic::set(draft, class, call.reference(0), field, call.args[1].clone())
}

/// What this call asks for is always so here.
fn nothing_to_do(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    if let Some(Value::Ref(reference)) = call.args.first() {
        draft.object(call.message.class, *reference)?;
    }
    Ok(Value::Void)
}

fn ha_is_not_enabled(_draft: &mut Draft, _call: &Call) -> Result<Value, ApiError> {
    Err(codes::HA_NOT_ENABLED())
}

fn wlb_is_not_initialized(_reading: &Reading<'_>, _call: &Call) -> Result<Value, ApiError> {
    Err(codes::WLB_NOT_INITIALIZED())
}

fn empty_set(_reading: &Reading<'_>, _call: &Call) -> Result<Value, ApiError> {
    Ok(Value::empty_set())
}

fn empty_map(_reading: &Reading<'_>, _call: &Call) -> Result<Value, ApiError> {
    Ok(Value::empty_map())
}

fn list_methods(_reading: &Reading<'_>, _call: &Call) -> Result<Value, ApiError> {
    let working = MODEL.messages.iter().filter(|message| crate::command::refused::works(message));
    Ok(Value::set(working.map(|message| Value::from(message.full_name))))
}

fn management_interface(reading: &Reading<'_>, call: &Call) -> Result<Value, ApiError> {
    let here = found(reading, call)?.reference;
    let mut theirs = reading.view.all::<PIF>().filter(|pif| pif.get(PIF::host) == here && pif.get(PIF::management));
    Ok(Value::Ref(theirs.next().map(|pif| pif.reference).unwrap_or(Ref::NULL)))
}

fn has_extension(_reading: &Reading<'_>, _call: &Call) -> Result<Value, ApiError> {
    Ok(Value::Bool(false))
}

fn sched_gran(reading: &Reading<'_>, call: &Call) -> Result<Value, ApiError> {
    Ok(Value::Enum(found(reading, call)?.get(host::sched_gran)))
}

/// The scheduler is told at its next start.
fn set_sched_gran(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    draft.find::<host>(call.reference(0))?;
    draft.set(call.reference(0), host::sched_gran_chosen, call.args[1].clone());
    Ok(Value::Void)
}

fn set_iscsi_iqn(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    if call.text(1).is_empty() {
        return Err(codes::INVALID_VALUE("value", call.text(1)));
    }
    set_plain(draft, call)
}

/// No plugins are installed.
fn call_plugin(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    draft.find::<host>(call.reference(0))?;
    Err(codes::XENAPI_MISSING_PLUGIN(call.text(1)))
}

/// Nor are extensions.
fn call_extension(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    draft.find::<host>(call.reference(0))?;
    Err(codes::MESSAGE_METHOD_UNKNOWN(call.text(1)))
}

/// The local host is the only one.
fn clear_guidance(draft: &mut Draft, _call: &Call) -> Result<Value, ApiError> {
    let hosts: Vec<Ref> = draft.view().all::<host>().map(|held| held.reference).collect();
    for here in hosts {
        draft.set(here, host::pending_guidances, Value::empty_set());
    }
    Ok(Value::Void)
}

fn destroy_crashdump(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    draft.find::<host_crashdump>(call.reference(0))?;
    draft.delete::<host_crashdump>(call.reference(0));
    Ok(Value::Void)
}
