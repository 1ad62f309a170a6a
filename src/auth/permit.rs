//! May they: a principal's roles against those that the model gives a message.

use super::Principal;
use crate::error::{ApiError, codes};
use crate::model::{ClassId, Implied, Message, Roles};
use crate::value::Value;

/// Keys of `other_config` with roles of their own: a class or any, the key or how it begins, who may.
const KEYS: [(Option<ClassId>, &str, Roles); 3] = [
    (None, "folder", Roles::vm_operator),
    (None, "XenCenter.CustomFields.", Roles::vm_operator),
    (Some(ClassId::VM), "pci", Roles::pool_admin),
];

/// Whether the principal may send the message with these arguments. The local superuser may do everything; what
/// also depends on whose object it is (one's own tasks) is the handler's to say.
pub fn permitted(principal: &Principal, message: &Message, args: &[Value]) -> Result<(), ApiError> {
    let key = key_of(message, args);
    let keyed = key.and_then(|key| roles_of_key(message.class, key));
    if keyed.unwrap_or(message.roles).intersects(principal.roles) {
        return Ok(());
    }
    let permission = message.full_name.to_lowercase();
    let permission = match (keyed, key) {
        (Some(_), Some(key)) => format!("{permission}/key:{key}"),
        _ => permission,
    };
    Err(codes::RBAC_PERMISSION_DENIED(permission, "no role of the caller allows it"))
}

fn roles_of_key(class: ClassId, key: &str) -> Option<Roles> {
    let of_class = KEYS.iter().filter(|(only, ..)| only.is_none_or(|only| only == class));
    of_class.filter(|(_, name, _)| key == *name || name.ends_with('.') && key.starts_with(name)).map(|key| key.2).next()
}

/// The key that a call adds to or removes from an object's `other_config`.
fn key_of<'a>(message: &Message, args: &'a [Value]) -> Option<&'a str> {
    let to_map = matches!(message.implied, Some(Implied::AddTo(_) | Implied::RemoveFrom(_)))
        || matches!(message.name, "add_to_other_config" | "remove_from_other_config");
    let named = message.name.ends_with("_other_config");
    (to_map && named).then(|| args.get(1)).flatten().map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MODEL;
    use crate::model::roles::ROLE_NAMES;
    use crate::value::Ref;

    fn with(roles: Roles) -> Principal {
        Principal { name: "user/test".into(), roles, session: Ref::NULL, user: Ref::NULL }
    }

    #[test]
    fn each_message_is_allowed_to_the_roles_of_the_model_and_to_no_other() {
        for message in &MODEL.messages {
            for name in ROLE_NAMES {
                let roles = Roles::one(name).expect("a published role");
                let expected = message.roles.names().any(|role| role == name);
                let answer = permitted(&with(roles), message, &[]);
                assert_eq!(answer.is_ok(), expected, "{} as {name}", message.full_name);
                if let Err(error) = answer {
                    assert_eq!(error.code, "RBAC_PERMISSION_DENIED");
                    assert_eq!(error.params[0], message.full_name.to_lowercase());
                    assert_eq!(error.params.len(), 2);
                }
            }
            assert!(permitted(&with(Roles::superuser), message, &[]).is_ok(), "{}", message.full_name);
            assert!(permitted(&with(Roles::none), message, &[]).is_err(), "{}", message.full_name);
        }
    }

    #[test]
    fn what_only_the_local_superuser_may_no_role_gives() {
        let message = MODEL.message("session.change_password").expect("a message");
        let all = ROLE_NAMES.iter().filter_map(|name| Roles::one(name)).fold(Roles::none, Roles::union);
        assert!(permitted(&with(all), message, &[]).is_err());
        assert!(!all.is_superuser());
    }

    #[test]
    fn some_keys_have_roles_of_their_own() {
        let add = |class: &str| MODEL.message(&format!("{class}.add_to_other_config")).expect("a message");
        let args = |key: &str| [Value::Ref(Ref::NULL), key.into(), "value".into()];
        let operator = with(Roles::one("vm-operator").expect("a role"));
        let admin = with(Roles::one("vm-admin").expect("a role"));
        assert!(permitted(&operator, add("SR"), &args("folder")).is_ok());
        assert!(permitted(&operator, add("SR"), &args("folders")).is_err());
        assert!(permitted(&operator, add("VM"), &args("XenCenter.CustomFields.owner")).is_ok());
        assert!(permitted(&admin, add("VM"), &args("other")).is_ok());
        let refused = permitted(&admin, add("VM"), &args("pci")).expect_err("not for a vm-admin");
        assert_eq!(refused.params[0], "vm.add_to_other_config/key:pci");
    }
}
