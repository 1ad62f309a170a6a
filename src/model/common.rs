//! The errors that any call may be answered with, by the shape of its message.
//! They are declared here once; what else a message raises it declares itself.
//!
//! `NOT_IMPLEMENTED` is not among them: it answers the messages that are
//! refused, which the tables do not know.

use super::{ClassId, Lifecycle, Message, Ty};

/// A code that no message declares itself.
pub struct Common {
    pub code: &'static str,
    /// When a call is answered with it, for people.
    pub when: &'static str,
    /// Which messages it is an error of.
    pub of: fn(&Message) -> bool,
}

pub const COMMON: &[Common] = &[
    Common { code: "MESSAGE_PARAMETER_COUNT_MISMATCH", when: "too many or too few parameters", of: |_| true },
    Common { code: "SESSION_INVALID", when: "the session has ended or never was", of: |message| !message.no_session },
    Common {
        code: "RBAC_PERMISSION_DENIED",
        when: "no role of the caller allows the message, or the key of a map",
        of: |message| !message.no_session,
    },
    Common {
        code: "FIELD_TYPE_ERROR",
        when: "a parameter, or a field of a record, is not of its type",
        of: |message| !message.params.is_empty(),
    },
    Common {
        code: "VALUE_NOT_SUPPORTED",
        when: "no value of that enum, or more members than a set or map may have",
        of: |message| takes(message, |ty| matches!(ty, Ty::Enum(_) | Ty::Set(_) | Ty::Map(..) | Ty::Record(_))),
    },
    Common {
        code: "HANDLE_INVALID",
        when: "a reference leads to no object of its class",
        of: |message| takes(message, |ty| matches!(ty, Ty::Ref(_) | Ty::Record(_))),
    },
    Common {
        code: "EVENT_SUBSCRIPTION_PARSE_FAILURE",
        when: "a subscription would name a class, an object or a field that is none",
        of: settles_subscription,
    },
    Common {
        code: "VALUE_NOT_SUPPORTED",
        when: "a subscription would have a destination, a secret or a time that cannot be",
        of: settles_subscription,
    },
    Common {
        code: "EVENTS_LOST",
        when: "a subscription would begin at a place that the log cannot be read from",
        of: |message| settles_subscription(message) && message.name == "create",
    },
    Common {
        code: "TASK_CANCELLED",
        when: "somebody cancelled the task of a call that waits",
        of: |message| message.task && message.implied.is_none(),
    },
    Common {
        code: "TOO_MANY_PENDING_TASKS",
        when: "the caller has as much under way, or waiting to be written, as it may: nothing was changed, try again later",
        of: |message| !message.no_session && !message.reads(),
    },
    Common {
        code: "TOO_BUSY",
        when: "the caller has as many calls waiting as it may: try again later",
        of: |message| matches!(message.full_name, "event.from" | "event.next"),
    },
    Common {
        code: "MESSAGE_REMOVED",
        when: "the message was taken out of the XenAPI",
        of: |message| message.lifecycle == Lifecycle::Removed,
    },
    Common {
        code: "INTERNAL_ERROR",
        when: "the server cannot write its log, is stopping, or has a defect: nothing was changed",
        of: |_| true,
    },
];

fn settles_subscription(message: &Message) -> bool {
    message.class == ClassId::subscription && !message.reads()
}

/// The common errors of one message.
pub fn common(message: &Message) -> impl Iterator<Item = &'static Common> {
    COMMON.iter().filter(move |common| (common.of)(message))
}

impl Message {
    /// Whether a call may be answered with that code: it is declared with the message or common to such messages.
    pub fn raises(&self, code: &str) -> bool {
        self.errors.contains(&code) || common(self).any(|common| common.code == code)
    }
}

/// Whether a parameter is of such a type, or holds one.
fn takes(message: &Message, wanted: fn(Ty) -> bool) -> bool {
    fn holds(ty: Ty, wanted: fn(Ty) -> bool) -> bool {
        let inside = match ty {
            Ty::Set(of) | Ty::Option(of) => holds(*of, wanted),
            Ty::Map(key, of) => holds(*key, wanted) || holds(*of, wanted),
            _ => false,
        };
        inside || wanted(ty)
    }
    message.params.iter().any(|param| holds(param.ty, wanted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MODEL;

    #[test]
    fn the_shape_of_a_message_says_its_common_errors() {
        let message = |name: &str| MODEL.message(name).expect("a message");
        assert!(message("VM.start").raises("HANDLE_INVALID"));
        assert!(message("VM.start").raises("VM_BAD_POWER_STATE"));
        assert!(message("VM.create").raises("HANDLE_INVALID"), "a record holds references");
        assert!(message("VM.set_tags").raises("VALUE_NOT_SUPPORTED"));
        assert!(!message("VM.get_all").raises("HANDLE_INVALID"));
        assert!(!message("VM.get_all").raises("FIELD_TYPE_ERROR"));
        assert!(!message("session.login_with_password").raises("SESSION_INVALID"));
    }

    #[test]
    fn each_is_common_to_some_and_a_published_code() {
        for common in COMMON {
            assert!(MODEL.messages.iter().any(|message| (common.of)(message)), "{}", common.code);
        }
    }
}
