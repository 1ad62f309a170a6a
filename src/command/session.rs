//! Sessions, users, subjects and roles: what is decided once it is known who
//! calls.
//!
//! Passwords are checked and hashed before they come here; must never see one.

use super::draft::Fields;
use super::operation::Derived;
use super::{Call, Completion, Draft, Handler, Own, Reader, Reading, generic};
use crate::error::{ApiError, codes};
use crate::log::{Sealed, vault};
use crate::model::protected::PROTECTED;
use crate::model::roles::ROLE_NAMES;
use crate::model::{ClassId, MODEL, Message, Roles, host, role, session, subject, task, user};
use crate::value::{Ref, Value};
use crate::views::View;
use crate::views::relations::FieldId;
use std::collections::BTreeSet;

/// Sessions that one user may have; the least recently used makes room for a new one.
pub const PER_USER_MAX: usize = 500;
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
    ("session.get_all_subject_identifiers", all_subject_identifiers),
    ("subject.get_permissions_name_label", subject_permission_names),
    ("role.get_permissions", role_permissions),
    ("role.get_permissions_name_label", role_permission_names),
    ("role.get_by_permission", roles_by_permission),
    ("role.get_by_permission_name_label", roles_by_permission_name),
    ("auth.get_subject_identifier", no_directory),
    ("auth.get_subject_information_from_identifier", no_directory),
    ("auth.get_group_membership", no_directory),
];

pub const COMPLETIONS: &[(&str, Completion)] = &[];
pub const DERIVED: &[&Derived] = &[];

/// A session that is to begin; whoever it is has been found out.
pub struct Begun {
    /// The session's key; the reference itself is known to the caller alone.
    pub key: Ref,
    pub user: Ref,
    /// What the client calls itself.
    pub originator: String,
    /// The user's sessions, least recently used first, if there are so many that one must make room.
    pub idlest: Vec<Ref>,
}

/// Begins a session.
pub fn begin(begun: Begun) -> Own {
    Box::new(move |draft| {
        let whose = draft.find::<user>(begun.user)?;
        let root = whose.get(user::is_local_superuser);
        if of_user(draft.view(), begun.user).len() >= PER_USER_MAX {
            make_room(draft, &begun, root)?;
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
            .with(session::originator, begun.originator);
        draft.create_as(begun.key, fields);
        Ok(Value::Void)
    })
}

/// Ends the least recently used session that nothing runs in. Root always gets in.
fn make_room(draft: &mut Draft, begun: &Begun, root: bool) -> Result<(), ApiError> {
    let idle = begun.idlest.iter().copied().find(|key| {
        let tasks = draft.far(session::tasks, *key);
        let there = draft.view().find::<session>(*key).is_some();
        there && !tasks.iter().any(|task| is_pending(draft.view(), *task))
    });
    match idle {
        Some(key) => draft.delete::<session>(key),
        None if root => {}
        None => return Err(codes::SESSION_AUTHORIZATION_FAILED("", "too many sessions, all of them at work")),
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

fn logout(draft: &mut Draft, _call: &Call) -> Result<Value, ApiError> {
    let own = draft.principal.session;
    draft.delete::<session>(own);
    Ok(Value::Void)
}

fn logout_subject_identifier(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let (sid, own) = (call.text(0), draft.principal.session);
    let theirs = |held: &&std::sync::Arc<crate::views::Object>| {
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

/// There is no directory to ask.
fn no_directory(_reading: &Reading<'_>, _call: &Call) -> Result<Value, ApiError> {
    Err(codes::AUTH_IS_DISABLED())
}

fn roles_named(view: &View, role: Ref) -> Result<Roles, ApiError> {
    let held = view.find::<role>(role).ok_or_else(|| codes::HANDLE_INVALID("role", role))?;
    Ok(Roles::one(held.get(role::name_label)).unwrap_or(Roles::none))
}

/// The name of a message's permission.
fn permission(message: &Message) -> String {
    message.full_name.to_lowercase()
}

fn permitted(roles: Roles) -> impl Iterator<Item = &'static Message> {
    MODEL.messages.iter().filter(move |message| message.roles.intersects(roles))
}

fn permission_names(roles: Roles) -> Value {
    let mut keys = Vec::new();
    for one in PROTECTED.iter().filter(|one| one.roles.intersects(roles)) {
        for class in one.classes {
            let to = format!("{}.add_to_{}/key:{}", class.name().to_lowercase(), one.field.to_lowercase(), one.key);
            keys.extend([to.replacen("add_to_", "remove_from_", 1), to]);
        }
    }
    Value::set(permitted(roles).map(permission).chain(keys).map(Value::from))
}

fn role_permission_names(reading: &Reading<'_>, call: &Call) -> Result<Value, ApiError> {
    Ok(permission_names(roles_named(reading.view, call.reference(0))?))
}

fn subject_permission_names(reading: &Reading<'_>, call: &Call) -> Result<Value, ApiError> {
    let reference = call.reference(0);
    let held = reading.view.find::<subject>(reference);
    let held = held.ok_or_else(|| codes::HANDLE_INVALID("subject", reference))?;
    let given = held.get(subject::roles).iter().map(|role| roles_named(reading.view, role.as_ref()));
    let roles = given.filter_map(Result::ok).fold(Roles::none, Roles::union);
    Ok(permission_names(roles))
}

/// Permissions are no objects here, they have names only: see `get_permissions_name_label`. What has is the roles
/// that a role includes.
fn role_permissions(reading: &Reading<'_>, call: &Call) -> Result<Value, ApiError> {
    let reference = call.reference(0);
    let mut found = Vec::new();
    let mut next = vec![reference];
    while let Some(reference) = next.pop() {
        let held = reading.view.find::<role>(reference);
        let held = held.ok_or_else(|| codes::HANDLE_INVALID("role", reference))?;
        for below in held.get(role::subroles) {
            if !found.contains(below) {
                found.push(below.clone());
                next.push(below.as_ref());
            }
        }
    }
    Ok(Value::set(found))
}

fn roles_by_permission(reading: &Reading<'_>, call: &Call) -> Result<Value, ApiError> {
    let wanted = call.reference(0);
    roles_named(reading.view, wanted)?;
    let holding = reading.view.all::<role>().filter(|held| held.get(role::subroles).contains(&Value::Ref(wanted)));
    Ok(Value::set(holding.map(|held| Value::Ref(held.reference))))
}

fn roles_by_permission_name(reading: &Reading<'_>, call: &Call) -> Result<Value, ApiError> {
    let wanted = call.text(0).to_lowercase();
    let message = MODEL.messages.iter().find(|message| permission(message) == wanted);
    let roles = message.map(|message| message.roles).unwrap_or(Roles::none);
    let may = ROLE_NAMES.iter().filter(|name| Roles::one(name).is_some_and(|one| roles.intersects(one)));
    let there = may.filter_map(|name| reading.view.all::<role>().find(|held| &**held.get(role::name_label) == *name));
    Ok(Value::set(there.map(|held| Value::Ref(held.reference))))
}
