//! Sessions, users, subjects and roles: what is decided once it is known who
//! calls.
//!
//! Passwords are checked and hashed before they come here; must never see one.

use super::draft::Fields;
use super::operation::Derived;
use super::{Call, Completion, Draft, Handler, Own, Reader, Reading, generic, limits, permissions};
use crate::error::{ApiError, codes};
use crate::log::{Sealed, vault};
use crate::model::{ClassId, host, pool, role, session, subject, task, user};
use crate::value::{Ref, Value};
use crate::views::measured::{expires_at, last_active};
use crate::views::read::{ReadView, Scope};
use crate::views::relations::FieldId;
use crate::views::{Object, View};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Local users.
pub const USERS_MAX: usize = 1_000;
/// Characters kept of what a client calls itself.
pub const ORIGINATOR_MAX: usize = 128;
/// Characters of a user's name.
const NAME_MAX: usize = 64;

pub const HANDLERS: &[(&str, Handler)] = &[
    ("session.logout", logout),
    ("session.local_logout", logout),
    ("session.logout_subject_identifier", logout_subject_identifier),
    ("user.create", create_user),
    ("user.destroy", destroy_user),
    ("user.set_roles", set_user_roles),
    ("subject.create", create_subject),
    ("subject.add_to_roles", add_to_roles),
    ("subject.remove_from_roles", remove_from_roles),
];

pub const READERS: &[(&str, Reader)] = &[
    ("session.touch", touch),
    ("session.list", list),
    ("session.get_all_subject_identifiers", all_subject_identifiers),
    ("subject.get_permissions_name_label", permissions::names_of_subject),
    ("role.get_permissions", permissions::of_role),
    ("role.get_permissions_name_label", permissions::names_of_role),
    ("role.get_by_permission", permissions::roles_with),
    ("role.get_by_permission_name_label", permissions::roles_with_name),
    ("auth.get_subject_identifier", subject_identifier),
    ("auth.get_subject_information_from_identifier", subject_information),
    ("auth.get_group_membership", group_membership),
];

pub const COMPLETIONS: &[(&str, Completion)] = &[];
pub const DERIVED: &[&Derived] = &[];

/// A session that is to begin; whoever it is has been found out.
#[derive(Default)]
pub struct Begun {
    /// The session's key; the reference itself is known to the caller alone.
    pub key: Ref,
    pub user: Ref,
    /// What the client calls itself.
    pub originator: String,
    /// The saved database that it reads; "" for the live one.
    pub database: String,
    /// The session that asked for it; null for a login.
    pub parent: Ref,
    /// The user's sessions, least recently used first, if there are so many that one must make room.
    pub idlest: Vec<Ref>,
}

impl Begun {
    /// A login by a client that calls itself so.
    pub fn of(originator: &str) -> Begun {
        Begun { originator: originator.chars().take(ORIGINATOR_MAX).collect(), ..Begun::default() }
    }
}

/// Begins a session.
pub fn begin(begun: Begun) -> Own {
    Box::new(move |draft| {
        let whose = draft.find::<user>(begun.user)?;
        let root = whose.get(user::is_local_superuser);
        let most = limits::count(draft.view(), pool::session_limit);
        let surplus = (of_user(draft.view(), begun.user).len() + 1).saturating_sub(most);
        if surplus > 0 {
            make_room(draft, &begun, root, surplus)?;
        }
        let here = draft.view().all::<host>().next().map(|host| host.reference);
        let sid = if root { "".into() } else { whose.get(user::uuid).clone() };
        let fields = Fields::<session>::new()
            .with(session::this_host, here.unwrap_or(Ref::NULL))
            .with(session::this_user, begun.user)
            .with(session::began, Value::Time(draft.now))
            .with(session::last_active, Value::Time(draft.now))
            .with(session::validation_time, Value::Time(draft.now))
            .with(session::is_local_superuser, root)
            .with(session::auth_user_sid, sid)
            .with(session::auth_user_name, whose.get(user::short_name).clone())
            .with(session::database, begun.database)
            .with(session::parent, begun.parent)
            .with(session::originator, begun.originator);
        draft.create_as(begun.key, fields);
        Ok(Value::Void)
    })
}

/// Ends the least recently used sessions that nothing runs in. Root always gets in.
fn make_room(draft: &mut Draft, begun: &Begun, root: bool, surplus: usize) -> Result<(), ApiError> {
    let idle = begun.idlest.iter().copied().filter(|key| {
        let tasks = draft.far(session::tasks, *key);
        let there = draft.view().find::<session>(*key).is_some();
        there && !tasks.iter().any(|task| is_pending(draft.view(), *task))
    });
    let idle: Vec<Ref> = idle.take(surplus).collect();
    if idle.len() < surplus && !root {
        return Err(codes::SESSION_AUTHORIZATION_FAILED("", "too many sessions, all of them at work"));
    }
    for key in idle {
        draft.delete::<session>(key);
    }
    Ok(())
}

fn is_pending(view: &View, reference: Ref) -> bool {
    view.find::<task>(reference).is_some_and(|task| task.get(task::status) == "pending")
}

/// The sessions of a user.
pub fn of_user(view: &View, whose: Ref) -> Vec<Ref> {
    view.referrers(FieldId(ClassId::session, session::this_user.index as u16), whose)
}

/// Ends sessions; those that are gone already are no error.
pub fn end(keys: Vec<Ref>) -> Own {
    Box::new(move |draft| {
        for key in keys {
            draft.delete::<session>(key);
        }
        Ok(Value::Void)
    })
}

/// Puts another hash in the place of a user's password's; the old one is erased.
pub fn replace_password(whose: Ref, sealed: Sealed) -> Own {
    Box::new(move |draft| {
        let before = draft.find::<user>(whose)?;
        draft.vault.erase.extend(vault::id_of(before.get(user::password)));
        draft.set(whose, user::password, sealed.seal());
        draft.vault.put.push(sealed);
        Ok(Value::Void)
    })
}

/// Being called, it was used; what is left is to say until when it lives.
fn touch(reading: &Reading<'_>, _call: &Call) -> Result<Value, ApiError> {
    let own = reading.principal.session;
    // Whoever calls was found in this very view; the key is nothing to name, should that ever change.
    let held = reading.view.find::<session>(own).ok_or_else(|| codes::SESSION_INVALID(Ref::NULL))?;
    let last = last_active(reading.view, held).max(reading.now);
    Ok(Value::Time(expires_at(reading.view, held, last)))
}

fn list(reading: &Reading<'_>, _call: &Call) -> Result<Value, ApiError> {
    let read = ReadView::new(reading.view, &Scope::All);
    let all = reading.view.all::<session>();
    Ok(Value::map(all.map(|held| (held.reference.to_string(), read.record(ClassId::session, held)))))
}

fn logout(draft: &mut Draft, _call: &Call) -> Result<Value, ApiError> {
    let own = draft.principal.session;
    draft.delete::<session>(own);
    Ok(Value::Void)
}

fn logout_subject_identifier(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let (sid, own) = (call.text(0), draft.principal.session);
    let theirs = |held: &&Arc<Object>| {
        !held.get(session::is_local_superuser) && &**held.get(session::auth_user_sid) == sid && held.reference != own
    };
    let ended: Vec<Ref> = draft.view().all::<session>().filter(theirs).map(|held| held.reference).collect();
    for key in ended {
        draft.delete::<session>(key);
    }
    Ok(Value::Void)
}

fn all_subject_identifiers(reading: &Reading<'_>, _call: &Call) -> Result<Value, ApiError> {
    let others = reading.view.all::<session>().filter(|held| !held.get(session::is_local_superuser));
    let sids: BTreeSet<&str> = others.map(|held| &**held.get(session::auth_user_sid)).collect();
    Ok(Value::set(sids.into_iter().map(Value::text)))
}

fn create_user(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let record = generic::constructed(draft, ClassId::user, &call.args[0])?;
    let name = record[user::short_name.index].as_str().to_string();
    if name.is_empty() || name.chars().count() > NAME_MAX || name.chars().any(char::is_control) {
        return Err(codes::VALUE_NOT_SUPPORTED("short_name", name, format!("a name has 1 to {NAME_MAX} characters")));
    }
    if draft.view().all::<user>().any(|other| **other.get(user::short_name) == *name) {
        return Err(codes::DB_UNIQUENESS_CONSTRAINT_VIOLATION("user", "short_name", name));
    }
    if draft.view().all::<user>().count() >= USERS_MAX {
        return Err(codes::OPERATION_NOT_ALLOWED(format!("there are {USERS_MAX} users already")));
    }
    let reference = draft.ids.draw();
    Ok(Value::Ref(draft.add(ClassId::user, reference, record)))
}

/// With a user go its sessions and its password.
fn destroy_user(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let whose = draft.find::<user>(call.reference(0))?;
    if whose.get(user::is_local_superuser) {
        return Err(codes::OPERATION_NOT_ALLOWED("the local superuser stays"));
    }
    for key in of_user(draft.view(), whose.reference) {
        draft.delete::<session>(key);
    }
    draft.vault.erase.extend(vault::id_of(whose.get(user::password)));
    draft.delete::<user>(whose.reference);
    Ok(Value::Void)
}

fn set_user_roles(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    generic::set(draft, ClassId::user, call.reference(0), user::roles.index, call.args[1].clone())
}

fn create_subject(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let record = generic::constructed(draft, ClassId::subject, &call.args[0])?;
    let identifier = record[subject::subject_identifier.index].as_str().to_string();
    if draft.view().all::<subject>().any(|other| **other.get(subject::subject_identifier) == *identifier) {
        return Err(codes::SUBJECT_ALREADY_EXISTS());
    }
    let reference = draft.ids.draw();
    Ok(Value::Ref(draft.add(ClassId::subject, reference, record)))
}

fn add_to_roles(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let held = draft.find::<subject>(call.reference(0))?;
    draft.find::<role>(call.reference(1)).map_err(|_| codes::ROLE_NOT_FOUND())?;
    if held.get(subject::roles).contains(&call.args[1]) {
        return Err(codes::ROLE_ALREADY_EXISTS());
    }
    generic::add(draft, ClassId::subject, call.reference(0), subject::roles.index, call.args[1].clone())
}

fn remove_from_roles(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let held = draft.find::<subject>(call.reference(0))?;
    if !held.get(subject::roles).contains(&call.args[1]) {
        return Err(codes::ROLE_NOT_FOUND());
    }
    generic::remove(draft, ClassId::subject, call.reference(0), subject::roles.index, &call.args[1])
}

/// The local user that passes. There is no directory to ask about others.
fn local_user(view: &View, passes: impl Fn(&Object) -> bool) -> Result<&Arc<Object>, ApiError> {
    view.all::<user>().find(|held| passes(held)).ok_or_else(codes::AUTH_IS_DISABLED)
}

/// A local user is identified by its uuid, as its sessions are.
fn subject_identifier(reading: &Reading<'_>, call: &Call) -> Result<Value, ApiError> {
    let found = local_user(reading.view, |held| **held.get(user::short_name) == *call.text(0))?;
    Ok(Value::String(found.get(user::uuid).clone()))
}

fn subject_information(reading: &Reading<'_>, call: &Call) -> Result<Value, ApiError> {
    let found = local_user(reading.view, |held| **held.get(user::uuid) == *call.text(0))?;
    let never = ["is-group", "account-disabled", "account-expired", "account-locked", "password-expired"];
    let told = [("name", user::short_name), ("gecos", user::fullname), ("sid", user::uuid)];
    let told = told.map(|(key, field)| (format!("subject-{key}"), Value::String(found.get(field).clone())));
    let never = never.map(|key| (format!("subject-{key}"), Value::text("false")));
    Ok(Value::map(told.into_iter().chain(never)))
}

/// There are no groups of local users.
fn group_membership(reading: &Reading<'_>, call: &Call) -> Result<Value, ApiError> {
    local_user(reading.view, |held| **held.get(user::uuid) == *call.text(0))?;
    Ok(Value::empty_set())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Principal, bench::Bench, reader};
    use crate::model::MODEL;

    #[test]
    fn a_session_that_is_gone_is_not_named_by_its_key() {
        let bench = Bench::default();
        let key = Ref([5; 16]);
        let principal = Arc::new(Principal { session: key, ..Principal::default() });
        let reading = Reading { view: &bench.view, principal: &principal, now: 0 };
        let message = MODEL.message("session.touch").expect("a message of the model");
        let error = touch(&reading, &Call { message, args: Vec::new(), background: false }).expect_err("it is gone");
        assert_eq!((error.code, &*error.params), ("SESSION_INVALID", &[Ref::NULL.to_string()][..]));
    }

    #[test]
    fn what_is_known_of_local_users_is_told() {
        let mut bench = Bench::default();
        let ann = bench.given(|draft| {
            let fields = Fields::<user>::new().with(user::short_name, "ann").with(user::fullname, "Ann Other");
            draft.create(fields)
        });
        let uuid = bench.view.find::<user>(ann.as_ref()).expect("there").get(user::uuid).clone();
        let ask = |name: &str, about: &str| {
            let message = MODEL.message(name).expect("a message of the model");
            let principal = Principal::server("user/test");
            let reading = Reading { view: &bench.view, principal: &principal, now: 0 };
            let call = Call { message, args: vec![about.into()], background: false };
            reader(message).expect("it reads")(&reading, &call)
        };
        assert_eq!(ask("auth.get_subject_identifier", "ann"), Ok(Value::String(uuid.clone())));
        let told = ask("auth.get_subject_information_from_identifier", &uuid).expect("known");
        assert_eq!(told.as_map()["subject-name"], Value::text("ann"));
        assert_eq!(told.as_map()["subject-gecos"], Value::text("Ann Other"));
        assert_eq!(told.as_map()["subject-account-locked"], Value::text("false"));
        assert_eq!(ask("auth.get_group_membership", &uuid), Ok(Value::empty_set()));
        for name in MODEL.messages.iter().filter(|message| message.class == ClassId::auth) {
            assert_eq!(ask(name.full_name, "nobody").expect_err("unknown").code, "AUTH_IS_DISABLED");
        }
    }
}
