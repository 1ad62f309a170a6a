//! Tests of sessions, tasks and hosts: on a new pool, called by whom the test
//! says.

use super::bootstrap::{self, HostFacts, demo, role_reference};
use super::operation::{self, Begin};
use super::session::{self as sessions, Begun};
use super::{Call, Command, Decision, Intent, Own, Principal, Reading, decide};
use crate::error::ApiError;
use crate::event::{Event, Kind};
use crate::log::Sealed;
use crate::model::{ClassId, MODEL, Roles, SR, VM, host, host_metrics, role, session, task, user};
use crate::value::{Micros, Ref, Value, check, default_value};
use crate::views::{Object, View, fold};
use std::sync::Arc;

struct Site {
    view: View,
    now: Micros,
    caller: Arc<Principal>,
}

fn named(name: &str, roles: Roles) -> Arc<Principal> {
    Arc::new(Principal { name: name.into(), roles, ..Principal::default() })
}

fn code<T>(answer: Result<T, ApiError>) -> &'static str {
    answer.err().expect("refused").code
}

impl Site {
    fn new() -> Site {
        let caller = named("user/root", Roles::superuser);
        let mut site = Site { view: View::default(), now: 1_000_000, caller };
        let password = Sealed::new(Ref([9; 16]), [1; 16], b"hash");
        site.own(bootstrap::found(HostFacts::default(), password)).expect("founded");
        site.own(demo::add()).expect("furnished");
        site
    }

    fn run(&mut self, body: Intent) -> Result<Decision, ApiError> {
        self.now += 1_000_000;
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.now.to_le_bytes());
        let empty: Arc<str> = "".into();
        let (address, auth, request, principal) = ("t".into(), empty.clone(), empty.clone(), self.caller.clone());
        let command = Command { principal, address, auth, request, cause: 0, now: self.now, seed, body };
        let mut decision = decide(&self.view, command)?;
        let event = Event {
            kind: Kind::Change,
            lineage: 1,
            term: 1,
            position: self.view.position + 1,
            time: self.now,
            principal: self.caller.name.clone(),
            message: decision.message.clone(),
            request: empty,
            cause: 0,
            body: decision.body.take().expect("an event"),
        };
        fold(&mut self.view, &event);
        Ok(decision)
    }

    fn own(&mut self, decide: Own) -> Result<Value, ApiError> {
        Ok(self.run(Intent::Own { message: "test", kind: Kind::Change, decide })?.result)
    }

    fn checked(name: &str, given: Vec<Value>) -> Result<Call, ApiError> {
        let message = MODEL.message(name).expect("a message");
        let mut given = given.into_iter();
        let args = message.params.iter().map(|param| match given.next() {
            Some(value) => check(param.name, param.ty, value),
            None => Ok(default_value(param.ty, param.default)),
        });
        Ok(Call { message, args: args.collect::<Result<_, _>>()?, background: false })
    }

    fn call(&mut self, name: &str, args: Vec<Value>) -> Result<Value, ApiError> {
        let call = Site::checked(name, args)?;
        Ok(self.run(Intent::Call(call))?.result)
    }

    fn read(&self, name: &str, args: Vec<Value>) -> Result<Value, ApiError> {
        let call = Site::checked(name, args)?;
        let reader = super::reader(call.message).expect("a reader");
        reader(&Reading { view: &self.view, principal: &self.caller, now: self.now }, &call)
    }

    fn task(&self, reference: Ref) -> Arc<Object> {
        self.view.find::<task>(reference).expect("a task").clone()
    }

    fn here(&self) -> Ref {
        self.view.all::<host>().next().expect("a host").reference
    }

    fn allowed(&self, class: ClassId, reference: Ref) -> Vec<&str> {
        let field = MODEL.field(class, "allowed_operations").expect("the field");
        let object = self.view.object(class, reference).expect("there");
        object.record[field].as_set().iter().map(Value::as_str).collect()
    }

    /// A pending operation of the caller's.
    fn operation(&mut self) -> Ref {
        let call = Site::checked("host.reboot", vec![self.here().into()]).expect("fits");
        let here = self.here();
        self.own(Box::new(move |draft| {
            operation::begin(draft, &call, Begin::on(ClassId::host, here, "reboot"))?;
            Ok(Value::Ref(draft.pending.take().expect("begun")))
        }))
        .expect("begun")
        .as_ref()
    }
}

#[test]
fn a_clients_task_goes_as_its_client_says() {
    let mut site = Site::new();
    let made = site.call("task.create", vec!["backup".into(), "nightly".into()]).expect("made").as_ref();
    assert_eq!(site.task(made).get(task::status), "pending");
    assert_eq!(site.allowed(ClassId::task, made), ["cancel", "destroy"]);
    for (progress, shown) in [(0.5, 0.5), (0.25, 0.5), (0.75, 0.75)] {
        site.call("task.set_progress", vec![made.into(), progress.into()]).expect("set");
        assert_eq!(site.task(made).get(task::progress), shown, "it never falls");
    }
    for wrong in [-0.1, 1.1] {
        assert_eq!(code(site.call("task.set_progress", vec![made.into(), wrong.into()])), "VALUE_NOT_SUPPORTED");
    }
    site.call("task.set_result", vec![made.into(), "done".into()]).expect("set");
    site.call("task.set_error_info", vec![made.into(), Value::set(["A".into(), "b".into()])]).expect("set");
    site.call("task.set_status", vec![made.into(), "failure".into()]).expect("set");
    let ended = site.task(made);
    assert_eq!((ended.get(task::status), ended.get(task::progress)), ("failure", 1.0));
    assert_eq!((ended.get(task::progress_at_end), ended.get(task::finished)), (0.75, site.now));
    assert_eq!(site.allowed(ClassId::task, made), ["destroy"]);
    assert_eq!(code(site.call("task.set_status", vec![made.into(), "success".into()])), "OPERATION_NOT_ALLOWED");
    assert_eq!(code(site.call("task.cancel", vec![made.into()])), "OPERATION_NOT_ALLOWED");
    site.call("task.destroy", vec![made.into()]).expect("destroyed");
    assert_eq!(code(site.call("task.destroy", vec![made.into()])), "HANDLE_INVALID");
}

#[test]
fn what_a_client_gives_a_task_has_limits() {
    let mut site = Site::new();
    let made = site.call("task.create", vec!["t".into()]).expect("made").as_ref();
    let long = "x".repeat(super::task::RESULT_MAX + 1);
    assert_eq!(code(site.call("task.set_result", vec![made.into(), long.into()])), "VALUE_NOT_SUPPORTED");
    let many = Value::set(vec![Value::from("x"); super::task::ERROR_INFO_MAX + 1]);
    assert_eq!(code(site.call("task.set_error_info", vec![made.into(), many])), "VALUE_NOT_SUPPORTED");
    for _ in 1..super::task::PENDING_PER_OWNER_MAX {
        site.call("task.create", vec!["t".into()]).expect("below the limit");
    }
    assert_eq!(code(site.call("task.create", vec!["t".into()])), "OPERATION_NOT_ALLOWED");
}

#[test]
fn an_operations_task_is_marked_and_kept_to_its_end() {
    let mut site = Site::new();
    let pending = site.operation();
    for change in ["task.set_progress", "task.set_status", "task.set_result"] {
        let value = if change.ends_with("progress") { Value::Float(0.5) } else { "success".into() };
        assert_eq!(code(site.call(change, vec![pending.into(), value])), "OPERATION_NOT_ALLOWED", "{change}");
    }
    site.call("task.cancel", vec![pending.into()]).expect("marked");
    let marked = site.task(pending);
    let mark = marked.get(task::current_operations).get(&*pending.to_string());
    assert_eq!(mark, Some(&Value::Enum("cancel")));
    assert_eq!(marked.get(task::status), "pending");
    assert_eq!(site.allowed(ClassId::task, pending), ["destroy"]);
    site.call("task.destroy", vec![pending.into()]).expect("remembered");
    assert!(site.task(pending).get(task::synchronous), "it goes soon after its end, not before");
    let cancelled = crate::error::codes::TASK_CANCELLED(pending);
    site.own(Box::new(move |draft| operation::fail(draft, pending, cancelled))).expect("ended");
    assert_eq!(site.task(pending).get(task::status), "cancelled");
    assert!(site.task(pending).get(task::current_operations).is_empty());
}

#[test]
fn others_may_not_touch_a_task_unless_they_operate_the_pool() {
    let mut site = Site::new();
    let made = site.call("task.create", vec!["mine".into()]).expect("made").as_ref();
    site.caller = named("user/other", Roles::one("vm-power-admin").expect("a role"));
    for (name, more) in [
        ("task.cancel", None),
        ("task.destroy", None),
        ("task.set_status", Some(Value::from("success"))),
        ("task.set_progress", Some(Value::Float(0.5))),
        ("task.set_result", Some("r".into())),
        ("task.set_other_config", Some(Value::empty_map())),
    ] {
        let refused = site.call(name, [made.into()].into_iter().chain(more).collect()).expect_err("not theirs");
        assert_eq!((refused.code, &*refused.params[0]), ("RBAC_PERMISSION_DENIED", &*format!("{name}/any")));
    }
    site.caller = named("user/third", Roles::one("pool-operator").expect("a role"));
    site.call("task.destroy", vec![made.into()]).expect("operators may");
}

#[test]
fn a_host_is_taken_out_of_service_and_back() {
    let mut site = Site::new();
    let here = site.here();
    let serving = ["evacuate", "provision", "vm_start", "vm_resume", "vm_migrate"];
    assert_eq!(site.allowed(ClassId::host, here), serving);
    site.call("host.disable", vec![here.into()]).expect("without its second parameter, as clients call it");
    assert_eq!(site.allowed(ClassId::host, here), ["evacuate", "enable", "shutdown", "reboot"]);
    site.call("host.enable", vec![here.into()]).expect("enabled");
    assert_eq!(site.allowed(ClassId::host, here), serving);
    let metrics = site.view.find::<host>(here).expect("there").get(host::metrics);
    site.own(Box::new(move |draft| {
        draft.set(metrics, host_metrics::live, false);
        Ok(Value::Void)
    }))
    .expect("died");
    assert_eq!(site.allowed(ClassId::host, here), ["power_on"]);
    assert_eq!(code(site.call("host.enable", vec![here.into()])), "HOST_NOT_LIVE");
}

#[test]
fn a_hosts_room_is_what_its_machines_leave() {
    let mut site = Site::new();
    let here = site.here();
    let free = |site: &Site| match site.read("host.compute_free_memory", vec![here.into()]) {
        Ok(Value::Int(bytes)) => bytes,
        other => panic!("{other:?}"),
    };
    let before = free(&site);
    let total = 16 << 30;
    assert!(before > 0 && before < total, "the control domain takes some: {before}");
    site.read("host.assert_can_evacuate", vec![here.into()]).expect("the control domain does not count");
    let web = site.view.all::<VM>().find(|vm| &**vm.get(VM::name_label) == "web-1").expect("there").clone();
    let vm = web.reference;
    site.own(Box::new(move |draft| {
        draft.set(vm, VM::resident_on, here);
        Ok(Value::Void)
    }))
    .expect("moved in");
    assert_eq!(free(&site), before - web.get(VM::memory_dynamic_max));
    assert_eq!(code(site.read("host.assert_can_evacuate", vec![here.into()])), "CANNOT_EVACUATE_HOST");
    let stuck = site.read("host.get_vms_which_prevent_evacuation", vec![here.into()]).expect("read");
    assert_eq!(stuck.as_map().keys().map(|key| &**key).collect::<Vec<_>>(), [vm.to_string()]);
    assert_eq!(code(site.call("host.evacuate", vec![here.into()])), "NO_HOSTS_AVAILABLE");
}

#[test]
fn settings_of_hosts_and_pools_are_kept() {
    let mut site = Site::new();
    let here = site.here();
    let pool = site.view.all::<crate::model::pool>().next().expect("a pool").reference;
    site.call("host.set_iscsi_iqn", vec![here.into(), "iqn.2026-11.test:1".into()]).expect("set");
    site.call("host.set_hostname_live", vec![here.into(), "one".into()]).expect("set");
    assert_eq!(code(site.call("host.set_hostname_live", vec![here.into(), "o ne".into()])), "HOST_NAME_INVALID");
    site.call("pool.set_https_only", vec![pool.into(), true.into()]).expect("set");
    site.call("pool.configure_update_sync", vec![pool.into(), "weekly".into(), 3.into()]).expect("set");
    let wrong = site.call("pool.configure_update_sync", vec![pool.into(), "daily".into(), 3.into()]);
    assert_eq!(code(wrong), "INVALID_UPDATE_SYNC_DAY");
    let held = site.view.find::<host>(here).expect("there");
    assert_eq!((&**held.get(host::iscsi_iqn), &**held.get(host::hostname)), ("iqn.2026-11.test:1", "one"));
    assert!(held.get(host::https_only));
    let sr = site.view.all::<SR>().next().expect("one").reference;
    site.call("host.enable_local_storage_caching", vec![here.into(), sr.into()]).expect("set");
    site.call("host.disable_local_storage_caching", vec![here.into()]).expect("unset");
    assert!(!site.view.find::<SR>(sr).expect("there").get(SR::local_cache_enabled));
}

/// How many sessions a user may have in a new pool.
const SESSIONS: usize = 500;

#[test]
fn the_least_recently_used_session_makes_room() {
    let mut site = Site::new();
    let root = site.view.all::<user>().next().expect("root").reference;
    let key = |n: usize| {
        let mut key = [1; 16];
        key[..8].copy_from_slice(&n.to_be_bytes());
        Ref(key)
    };
    let begin = |site: &mut Site, n: usize, idlest: Vec<Ref>| {
        let begun = Begun { key: key(n), user: root, originator: "t".into(), idlest, ..Begun::default() };
        site.own(sessions::begin(begun)).expect("root always gets in")
    };
    for n in 0..SESSIONS {
        begin(&mut site, n, Vec::new());
    }
    begin(&mut site, 1000, vec![key(7), key(8)]);
    assert!(site.view.find::<session>(key(7)).is_none(), "the idlest went");
    assert_eq!(site.view.all::<session>().count(), SESSIONS);
    // Something runs in the idlest now: the next one goes.
    site.caller = Arc::new(Principal { session: key(8), ..(*site.caller).clone() });
    site.operation();
    begin(&mut site, 1001, vec![key(8), key(9)]);
    assert!(site.view.find::<session>(key(8)).is_some() && site.view.find::<session>(key(9)).is_none());
}

#[test]
fn a_session_is_refused_to_an_ordinary_user_whose_sessions_all_work() {
    let mut site = Site::new();
    let record = Value::map([("short_name", "alice".into()), ("fullname", "".into())]);
    let alice = site.call("user.create", vec![record.clone()]).expect("made").as_ref();
    assert_eq!(code(site.call("user.create", vec![record])), "DB_UNIQUENESS_CONSTRAINT_VIOLATION");
    for n in 0..=SESSIONS {
        let mut key = [2; 16];
        key[..8].copy_from_slice(&n.to_be_bytes());
        let begun = Begun { key: Ref(key), user: alice, originator: "t".into(), ..Begun::default() };
        let answer = site.own(sessions::begin(begun));
        match n == SESSIONS {
            true => assert_eq!(code(answer), "SESSION_AUTHORIZATION_FAILED"),
            false => drop(answer.expect("there is room")),
        }
    }
}

#[test]
fn roles_answer_what_they_permit() {
    let site = Site::new();
    let names = |name: &str| {
        let names = site.read("role.get_permissions_name_label", vec![role_reference(name).into()]).expect("read");
        names.as_set().iter().map(|name| name.as_str().to_string()).collect::<Vec<_>>()
    };
    let (admin, reader) = (names("pool-admin"), names("read-only"));
    assert!(admin.contains(&"vm.start".to_string()) && !reader.contains(&"vm.start".to_string()));
    assert!(reader.iter().all(|name| admin.contains(name)));
    assert!(!admin.contains(&"session.change_password".to_string()), "that is the local superuser's");
    let may = site.read("role.get_by_permission_name_label", vec!["VM.start".into()]).expect("read");
    let may: Vec<&str> = may
        .as_set()
        .iter()
        .map(|one| &**site.view.find::<role>(one.as_ref()).expect("a role").get(role::name_label))
        .collect();
    assert_eq!(may, ["pool-admin", "pool-operator", "vm-power-admin", "vm-admin", "vm-operator"]);
    let below = site.read("role.get_permissions", vec![role_reference("vm-admin").into()]).expect("read");
    assert_eq!(below.as_set().len(), names("vm-admin").len(), "each permission is an object");
}

#[test]
fn subjects_have_roles() {
    let mut site = Site::new();
    let record = Value::map([("subject_identifier", "S-1".into())]);
    let made = site.call("subject.create", vec![record.clone()]).expect("made").as_ref();
    assert_eq!(code(site.call("subject.create", vec![record])), "SUBJECT_ALREADY_EXISTS");
    let args = || vec![made.into(), role_reference("vm-admin").into()];
    assert_eq!(code(site.call("subject.remove_from_roles", args())), "ROLE_NOT_FOUND");
    site.call("subject.add_to_roles", args()).expect("added");
    assert_eq!(code(site.call("subject.add_to_roles", args())), "ROLE_ALREADY_EXISTS");
    let names = site.read("subject.get_permissions_name_label", vec![made.into()]).expect("read");
    assert!(names.as_set().contains(&"vm.create".into()) && !names.as_set().contains(&"pool.eject".into()));
    site.call("subject.remove_from_roles", args()).expect("removed");
}
