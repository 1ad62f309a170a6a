//! What of a call must not be told: the parameters, and the keys of maps, that
//! carry passwords, keys and the like. Names decide, since clients name what
//! they send; a test goes through every name of the model that looks like one.

use super::{ClassId, Implied, Message, Param};

/// How a name ends under which a secret is sent.
const ENDINGS: [&str; 4] = ["password", "passphrase", "pwd", "private_key"];
/// Names of secrets that end in no such way; `unattend` is a set-up's answers, its administrator's password among them.
const NAMES: [&str; 5] = ["pass", "secret", "secret_key", "value_of_secret", "unattend"];
/// Parameters whose name alone says nothing.
const PARAMETERS: [(&str, &str); 1] = [("pool.sync_updates", "token")];

/// Whether what is sent under this name is a secret.
pub fn is_secret(name: &str) -> bool {
    NAMES.contains(&name) || ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// Whether an argument of a message is a secret.
pub fn hides(message: &Message, param: &Param) -> bool {
    let of_field = match message.implied {
        Some(Implied::Set(field) | Implied::Add(field) | Implied::AddTo(field)) => {
            let field = &message.class.def().fields[field];
            field.flags.secret || (message.class, field.name) == (ClassId::secret, "value")
        }
        _ => false,
    };
    (of_field && param.name == "value")
        || is_secret(param.name)
        || PARAMETERS.contains(&(message.full_name, param.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MODEL;

    /// Looks like a secret and is none: places in the log, names of keys, times, and what a certificate shows.
    const PLAIN: [(&str, &str); 8] = [
        ("event.from", "token"),
        ("event.wait", "token"),
        ("subscription.resume_from", "token"),
        ("pool.sync_updates", "token_id"),
        ("Repository.introduce", "gpgkey_path"),
        ("host.send_debug_keys", "keys"),
        ("Cluster.create", "token_timeout"),
        ("Cluster.pool_create", "token_timeout"),
    ];

    #[test]
    fn every_name_that_looks_like_a_secret_was_decided_on() {
        const SUSPICIOUS: [&str; 8] = ["pass", "pwd", "secret", "private", "token", "unattend", "keys", "credential"];
        let undecided = MODEL.messages.iter().flat_map(|message| {
            let suspicious = message.params.iter().filter(|param| {
                let looks = SUSPICIOUS.iter().any(|part| param.name.contains(part)) || param.name.ends_with("_key");
                looks && !hides(message, param) && !PLAIN.contains(&(message.full_name, param.name))
            });
            suspicious.map(|param| format!("{}({})", message.full_name, param.name))
        });
        let undecided: Vec<String> = undecided.filter(|name| !name.ends_with("(token_timeout_coefficient)")).collect();
        assert!(undecided.is_empty(), "{undecided:?}");
    }

    #[test]
    fn arguments_of_secret_fields_are_secret_too() {
        for (message, param, secret) in [
            ("host.install_server_certificate", "private_key", true),
            ("host.install_server_certificate", "certificate", false),
            ("pool.join", "master_password", true),
            ("VM.sysprep", "unattend", true),
            ("secret.set_value", "value", true),
            ("subscription.set_secret", "value", true),
            ("subscription.set_destination", "value", false),
            ("VM.add_to_other_config", "value", false),
        ] {
            let found = MODEL.message(message).unwrap_or_else(|| panic!("{message}"));
            let of = found.params.iter().find(|one| one.name == param).unwrap_or_else(|| panic!("{message}({param})"));
            assert_eq!(hides(found, of), secret, "{message}({param})");
        }
    }
}
