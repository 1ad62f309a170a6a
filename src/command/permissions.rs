//! Permissions: what roles are made of. Each message has one, of its name in
//! lower case, and each protected key of a map two. For clients they are objects of class role without subroles; no
//! view holds them, since they follow from the model and never change. They
//! are found by reference, uuid or name, and through the roles that include
//! them; `role.get_all` lists the roles that can be given to people.

use super::{Call, Reading};
use crate::error::{ApiError, codes};
use crate::model::protected::{PROTECTED, Protected};
use crate::model::roles::ROLE_NAMES;
use crate::model::{ClassId, MODEL, Roles, role, subject};
use crate::value::{Ref, Value, default_record};
use crate::views::{Object, View};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

/// One permission: the object that clients see, and who has it.
struct Permission {
    object: Arc<Object>,
    roles: Roles,
}

/// All of them, those of messages first.
static PERMISSIONS: LazyLock<Vec<Permission>> = LazyLock::new(|| {
    let of_messages = MODEL.messages.iter().map(|message| {
        let name = message.full_name.to_lowercase();
        permitted(name, format!("May call {}", message.full_name), message.roles)
    });
    of_messages.chain(PROTECTED.iter().flat_map(of_key)).collect()
});
static BY_REFERENCE: LazyLock<HashMap<Ref, usize>> = LazyLock::new(|| {
    PERMISSIONS.iter().enumerate().map(|(index, permission)| (permission.object.reference, index)).collect()
});

/// Adding a protected key and removing it, for each class that has it.
fn of_key(one: &'static Protected) -> Vec<Permission> {
    let steps = one.classes.iter().flat_map(|class| ["add_to", "remove_from"].map(|step| (class, step)));
    let named = steps.map(|(class, step)| {
        let (class, field) = (class.name().to_lowercase(), one.field.to_lowercase());
        let name = format!("{class}.{step}_{field}/key:{}", one.key);
        permitted(name, format!("May do so with the key {}", one.key), one.roles)
    });
    named.collect()
}

fn permitted(name: String, description: String, roles: Roles) -> Permission {
    let mut record = default_record(ClassId::role).clone();
    let reference = following("permission", &name);
    record[role::uuid.index] = Value::from(following("permission uuid", &name).uuid_text());
    record[role::name_description.index] = Value::from(description);
    record[role::name_label.index] = Value::from(name);
    Permission { object: Arc::new(Object { reference, created: 0, modified: 0, record }), roles }
}

/// A reference that follows from a name, so that it is the same in every pool and after every restart.
fn following(kind: &str, name: &str) -> Ref {
    let digest = Sha256::new().chain_update(b"xenledger\0").chain_update(kind).chain_update([0]).chain_update(name);
    let digest: [u8; 32] = digest.finalize().into();
    let first = digest.first_chunk::<16>().copied().expect("BUG: a digest has 16 bytes");
    Ref(*uuid::Builder::from_custom_bytes(first).as_uuid().as_bytes())
}

/// An object as clients may name it: what the view has, or a permission.
pub fn find(view: &View, class: ClassId, reference: Ref) -> Option<Arc<Object>> {
    let there = view.object(class, reference).cloned();
    there.or_else(|| (class == ClassId::role).then(|| permission(reference)).flatten().map(|one| one.object.clone()))
}

/// The permission of that uuid.
pub fn by_uuid(class: ClassId, uuid: &str) -> Option<Ref> {
    first(class, |one| **one.get(role::uuid) == *uuid)
}

/// The permission of that name.
pub fn by_name(class: ClassId, name: &str) -> Option<Ref> {
    first(class, |one| **one.get(role::name_label) == *name)
}

fn first(class: ClassId, passes: impl Fn(&Object) -> bool) -> Option<Ref> {
    let all: &[Permission] = if class == ClassId::role { &PERMISSIONS } else { &[] };
    all.iter().find(|one| passes(&one.object)).map(|one| one.object.reference)
}

fn permission(reference: Ref) -> Option<&'static Permission> {
    BY_REFERENCE.get(&reference).and_then(|index| PERMISSIONS.get(*index))
}

/// What is included in a role, and in a permission itself alone.
fn included(view: &View, reference: Ref) -> Result<Vec<&'static Permission>, ApiError> {
    if let Some(one) = permission(reference) {
        return Ok(vec![one]);
    }
    let roles = roles_named(view, reference)?;
    Ok(PERMISSIONS.iter().filter(|one| one.roles.intersects(roles)).collect())
}

fn roles_named(view: &View, reference: Ref) -> Result<Roles, ApiError> {
    let held = view.find::<role>(reference).ok_or_else(|| codes::HANDLE_INVALID("role", reference))?;
    Ok(Roles::one(held.get(role::name_label)).unwrap_or(Roles::none))
}

fn names<'p>(all: impl IntoIterator<Item = &'p Permission>) -> Value {
    Value::set(all.into_iter().map(|one| Value::String(one.object.get(role::name_label).clone())))
}

pub(super) fn of_role(reading: &Reading<'_>, call: &Call) -> Result<Value, ApiError> {
    let all = included(reading.view, call.reference(0))?;
    Ok(Value::set(all.into_iter().map(|one| Value::Ref(one.object.reference))))
}

pub(super) fn names_of_role(reading: &Reading<'_>, call: &Call) -> Result<Value, ApiError> {
    Ok(names(included(reading.view, call.reference(0))?))
}

pub(super) fn names_of_subject(reading: &Reading<'_>, call: &Call) -> Result<Value, ApiError> {
    let reference = call.reference(0);
    let held = reading.view.find::<subject>(reference);
    let held = held.ok_or_else(|| codes::HANDLE_INVALID("subject", reference))?;
    let given = held.get(subject::roles).iter().map(|role| roles_named(reading.view, role.as_ref()));
    let roles = given.filter_map(Result::ok).fold(Roles::none, Roles::union);
    Ok(names(PERMISSIONS.iter().filter(|one| one.roles.intersects(roles))))
}

/// The roles that include a permission; asked about a role, those that include that role.
pub(super) fn roles_with(reading: &Reading<'_>, call: &Call) -> Result<Value, ApiError> {
    let wanted = call.reference(0);
    if let Some(one) = permission(wanted) {
        return Ok(holders(reading.view, one.roles));
    }
    roles_named(reading.view, wanted)?;
    let holding = reading.view.all::<role>().filter(|held| held.get(role::subroles).contains(&Value::Ref(wanted)));
    Ok(Value::set(holding.map(|held| Value::Ref(held.reference))))
}

pub(super) fn roles_with_name(reading: &Reading<'_>, call: &Call) -> Result<Value, ApiError> {
    let wanted = by_name(ClassId::role, &call.text(0).to_lowercase()).and_then(permission);
    Ok(wanted.map_or_else(Value::empty_set, |one| holders(reading.view, one.roles)))
}

fn holders(view: &View, roles: Roles) -> Value {
    let may = ROLE_NAMES.iter().filter(|name| Roles::one(name).is_some_and(|one| roles.intersects(one)));
    let there = may.filter_map(|name| view.all::<role>().find(|held| &**held.get(role::name_label) == *name));
    Value::set(there.map(|held| Value::Ref(held.reference)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::draft::Fields;
    use crate::command::{Principal, bench::Bench, reader};

    fn bench() -> Bench {
        let mut bench = Bench::default();
        bench.given(|draft| {
            for name in ROLE_NAMES {
                draft.create(Fields::<role>::new().with(role::name_label, name));
            }
        });
        bench
    }

    fn role_named(bench: &Bench, name: &str) -> Ref {
        bench.view.all::<role>().find(|one| &**one.get(role::name_label) == name).expect("a role").reference
    }

    fn read(bench: &Bench, name: &str, argument: impl Into<Value>) -> Result<Vec<Value>, ApiError> {
        let message = MODEL.message(name).expect("a message of the model");
        let principal = Principal::server("user/test");
        let reading = Reading { view: &bench.view, principal: &principal, now: 0 };
        let call = Call { message, args: vec![argument.into()], background: false };
        reader(message).expect("it reads")(&reading, &call).map(|found| found.as_set().to_vec())
    }

    #[test]
    fn every_role_includes_the_permissions_of_its_messages() {
        let bench = bench();
        for name in ROLE_NAMES {
            let (asked, roles) = (role_named(&bench, name), Roles::one(name).expect("a role"));
            let messages = MODEL.messages.iter().filter(|message| message.roles.intersects(roles));
            let mut expected: Vec<Value> =
                messages.map(|message| Value::from(message.full_name.to_lowercase())).collect();
            let keys = PROTECTED.iter().filter(|one| one.roles.intersects(roles)).flat_map(of_key);
            expected.extend(keys.map(|one| Value::String(one.object.get(role::name_label).clone())));
            assert_eq!(read(&bench, "role.get_permissions_name_label", asked), Ok(expected.clone()));
            let all = read(&bench, "role.get_permissions", asked).expect("a role");
            let labels = all.iter().map(|one| {
                let one = find(&bench.view, ClassId::role, one.as_ref()).expect("an object");
                Value::String(one.get(role::name_label).clone())
            });
            assert_eq!(labels.collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn a_permission_leads_back_to_its_roles() {
        let bench = bench();
        let start = by_name(ClassId::role, "vm.start").expect("a permission");
        let expected: Vec<Value> = ["pool-admin", "pool-operator", "vm-power-admin", "vm-admin", "vm-operator"]
            .map(|name| Value::Ref(role_named(&bench, name)))
            .into();
        assert_eq!(read(&bench, "role.get_by_permission", start), Ok(expected.clone()));
        assert_eq!(read(&bench, "role.get_by_permission_name_label", "VM.start"), Ok(expected));
        assert_eq!(read(&bench, "role.get_by_permission_name_label", "vm.fly"), Ok(Vec::new()));
        assert_eq!(read(&bench, "role.get_permissions", start), Ok(vec![Value::Ref(start)]));
        let uuid = find(&bench.view, ClassId::role, start).expect("an object").get(role::uuid).to_string();
        assert_eq!(by_uuid(ClassId::role, &uuid), Some(start));
        assert_eq!(by_uuid(ClassId::VM, &uuid), None);
        let none = read(&bench, "role.get_permissions", Ref([9; 16])).expect_err("nothing there");
        assert_eq!(none.code, "HANDLE_INVALID");
        assert_eq!(BY_REFERENCE.len(), PERMISSIONS.len(), "no two are the same");
    }
}
