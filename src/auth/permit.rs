//! May they: a principal's roles against those that the model gives a message,
//! and the keys of maps that it changes.

use super::Principal;
use crate::error::{ApiError, codes};
use crate::model::{ClassId, MODEL, Message, Roles, protected};
use crate::value::{Ref, Value};
use crate::views::View;

/// Whether the principal may send the message with these arguments. The local superuser may do everything; what
/// also depends on whose object it is (one's own tasks) is the handler's to say.
pub fn permitted(view: &View, principal: &Principal, message: &Message, args: &[Value]) -> Result<(), ApiError> {
    let may = |roles: Roles| roles.intersects(principal.roles);
    let permission = || message.full_name.to_lowercase();
    match touched(message, args) {
        // The key's roles stand in the message's place.
        Touched::Key(field, key) => {
            if let Some(found) = protected::of(message.class, field).find(|protected| protected.is(key)) {
                return if may(found.roles) { Ok(()) } else { Err(denied(format!("{}/key:{key}", permission()))) };
            }
        }
        // What a whole map changes of protected keys needs the roles of both.
        Touched::Map(object, field, new) => {
            let changed = new.and_then(|new| denied_key(view, message.class, object, field, new, may));
            if let Some(key) = changed.filter(|_| may(message.roles)) {
                return Err(denied(format!("{}/key:{key}", permission())));
            }
        }
        Touched::Record(record) => {
            for field in record.as_map().keys().filter(|_| may(message.roles)) {
                let new = record.as_map().get(field);
                let key = new.and_then(|new| denied_key(view, message.class, Ref::NULL, field, new, may));
                if let Some(key) = key {
                    return Err(denied(format!("{}/key:{key}", permission())));
                }
            }
        }
        Touched::Nothing => {}
    }
    if may(message.roles) { Ok(()) } else { Err(denied(permission())) }
}

fn denied(permission: String) -> ApiError {
    codes::RBAC_PERMISSION_DENIED(permission, "no role of the caller allows it")
}

/// What a call does to maps.
enum Touched<'a> {
    Key(&'a str, &'a str),
    Map(Ref, &'a str, Option<&'a Value>),
    Record(&'a Value),
    Nothing,
}

fn touched<'a>(message: &Message, args: &'a [Value]) -> Touched<'a> {
    let name = message.name;
    let at_key = name.strip_prefix("add_to_").or_else(|| name.strip_prefix("remove_from_"));
    match (at_key, name.strip_prefix("set_"), args) {
        (Some(field), _, [_, key, ..]) => Touched::Key(field, key.as_str()),
        (None, Some(field), [object, ..]) => Touched::Map(object.as_ref(), field, args.get(1)),
        (None, None, [record]) if name == "create" => Touched::Record(record),
        _ => Touched::Nothing,
    }
}

/// A protected key that the new map would change, and that the caller may not.
fn denied_key(
    view: &View,
    class: ClassId,
    object: Ref,
    field: &str,
    new: &Value,
    may: impl Fn(Roles) -> bool,
) -> Option<String> {
    let mut kept = protected::of(class, field).filter(|protected| !may(protected.roles)).peekable();
    kept.peek()?;
    let index = MODEL.field(class, field)?;
    let old = view.object(class, object).map(|object| object.record[index].clone()).unwrap_or(Value::empty_map());
    let (old, new) = (old.as_map(), new.as_map());
    let changed = |key: &str| old.get(key).map(Value::as_str) != new.get(key).map(Value::as_str);
    let found = kept.find_map(|protected| old.keys().chain(new.keys()).find(|key| protected.is(key) && changed(key)));
    found.map(|key| key.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MODEL;
    use crate::model::roles::ROLE_NAMES;
    use crate::value::Ref;

    fn with(roles: Roles) -> Principal {
        Principal { name: "user/test".into(), roles, ..Principal::default() }
    }

    #[test]
    fn each_message_is_allowed_to_the_roles_of_the_model_and_to_no_other() {
        for message in &MODEL.messages {
            for name in ROLE_NAMES {
                let roles = Roles::one(name).expect("a published role");
                let expected = message.roles.names().any(|role| role == name);
                let answer = permitted(&View::default(), &with(roles), message, &[]);
                assert_eq!(answer.is_ok(), expected, "{} as {name}", message.full_name);
                if let Err(error) = answer {
                    assert_eq!(error.code, "RBAC_PERMISSION_DENIED");
                    assert_eq!(error.params[0], message.full_name.to_lowercase());
                    assert_eq!(error.params.len(), 2);
                }
            }
            assert!(
                permitted(&View::default(), &with(Roles::superuser), message, &[]).is_ok(),
                "{}",
                message.full_name
            );
            assert!(permitted(&View::default(), &with(Roles::none), message, &[]).is_err(), "{}", message.full_name);
        }
    }

    #[test]
    fn what_only_the_local_superuser_may_no_role_gives() {
        let message = MODEL.message("session.change_password").expect("a message");
        let all = ROLE_NAMES.iter().filter_map(|name| Roles::one(name)).fold(Roles::none, Roles::union);
        assert!(permitted(&View::default(), &with(all), message, &[]).is_err());
        assert!(!all.is_superuser());
    }

    #[test]
    fn some_keys_have_roles_of_their_own() {
        let add = |class: &str| MODEL.message(&format!("{class}.add_to_other_config")).expect("a message");
        let args = |key: &str| [Value::Ref(Ref::NULL), key.into(), "value".into()];
        let operator = with(Roles::one("vm-operator").expect("a role"));
        let admin = with(Roles::one("vm-admin").expect("a role"));
        assert!(permitted(&View::default(), &operator, add("SR"), &args("folder")).is_ok());
        assert!(permitted(&View::default(), &operator, add("SR"), &args("folders")).is_err());
        assert!(permitted(&View::default(), &operator, add("VM"), &args("XenCenter.CustomFields.owner")).is_ok());
        assert!(permitted(&View::default(), &admin, add("VM"), &args("other")).is_ok());
        let refused = permitted(&View::default(), &admin, add("VM"), &args("pci")).expect_err("not for a vm-admin");
        assert_eq!(refused.params[0], "vm.add_to_other_config/key:pci");
    }

    #[test]
    fn a_whole_map_or_record_is_no_way_around_its_keys() {
        let view = View::default();
        let admin = with(Roles::one("vm-admin").expect("a role"));
        let config = |key: &str| Value::map([(key, Value::from("value"))]);
        let set = MODEL.message("VM.set_platform").expect("a message");
        assert!(permitted(&view, &admin, set, &[Value::Ref(Ref::NULL), config("acpi")]).is_ok());
        let refused =
            permitted(&view, &admin, set, &[Value::Ref(Ref::NULL), config("hvm_serial")]).expect_err("denied");
        assert_eq!(refused.params[0], "vm.set_platform/key:hvm_serial");
        let create = MODEL.message("VM.create").expect("a message");
        assert!(permitted(&view, &admin, create, &[Value::map([("other_config", config("a"))])]).is_ok());
        let refused = permitted(&view, &admin, create, &[Value::map([("other_config", config("pci"))])]);
        assert_eq!(refused.expect_err("denied").params[0], "vm.create/key:pci");
        let pool_admin = with(Roles::one("pool-admin").expect("a role"));
        assert!(permitted(&view, &pool_admin, set, &[Value::Ref(Ref::NULL), config("hvm_serial")]).is_ok());
    }

    #[test]
    fn what_is_protected_is_a_map_of_its_class() {
        for one in protected::PROTECTED {
            for class in one.classes {
                let field = MODEL.field(*class, one.field).unwrap_or_else(|| panic!("{class:?} has no {}", one.field));
                assert!(matches!(class.def().fields[field].ty, crate::model::Ty::Map(..)), "{class:?}.{}", one.field);
            }
        }
    }
}
