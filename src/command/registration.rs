//! What a session registered for with `event.register`, and how far it was
//! told: kept with the session, so that neither a restart nor a slow client
//! loses anything. What is told is not decided here.

use super::Own;
use crate::error::codes;
use crate::model::session;
use crate::value::{Ref, Value};
use std::collections::BTreeSet;

/// What one session may register for, in lines: each class and some objects.
pub const REGISTERED_MAX: usize = 1_000;

/// Registers for more; who had registered for nothing is told from here on.
pub fn register(key: Ref, texts: Vec<String>) -> Own {
    Box::new(move |draft| {
        let held = draft.find::<session>(key)?;
        let mut all: BTreeSet<String> = held.get(session::registered).iter().map(|text| text.as_str().into()).collect();
        if all.is_empty() {
            draft.set(key, session::told, draft.base().position as i64);
        }
        all.extend(texts);
        if all.len() > REGISTERED_MAX {
            let why = format!("a session registers for at most {REGISTERED_MAX} classes and objects");
            return Err(codes::OPERATION_NOT_ALLOWED(why));
        }
        draft.set(key, session::registered, Value::set(all.into_iter().map(Value::from)));
        Ok(Value::Void)
    })
}

/// Takes back what was registered for.
pub fn unregister(key: Ref, texts: Vec<String>) -> Own {
    Box::new(move |draft| {
        let held = draft.find::<session>(key)?;
        let left = held.get(session::registered).iter().filter(|text| !texts.iter().any(|gone| gone == text.as_str()));
        let left = Value::set(left.cloned());
        draft.set(key, session::registered, left);
        Ok(Value::Void)
    })
}

/// The session's client took everything up to a position.
pub fn told(key: Ref, position: u64) -> Own {
    Box::new(move |draft| {
        let held = draft.find::<session>(key)?;
        if position as i64 > held.get(session::told) {
            draft.set(key, session::told, position as i64);
        }
        Ok(Value::Void)
    })
}
