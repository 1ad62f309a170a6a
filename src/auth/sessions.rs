//! Sessions: from the text that a client sends to who it is.
//!
//! The text is kept nowhere. The session object's key is the first 128 bits of
//! the text's SHA-256, so that neither the log nor the views can be read for a
//! way in. When a session was last used is remembered here and nowhere else.
//!
//! ```text
//!   begun ──used──▶ used ──IDLE_MAX without use, or LIFETIME_MAX since it began──▶ expired (swept from the view)
//!              ▲─────┘
//! ```

use super::Principal;
use crate::error::{ApiError, codes};
use crate::model::{ClassId, Message, Roles, Ty, role, session, user};
use crate::value::{Micros, Ref, Value};
use crate::views::{Object, View};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, RwLock};

/// How long a session lives without being used: 24 hours.
pub const IDLE_MAX: Micros = 24 * 3600 * 1_000_000;
/// How long a session lives at most: 30 days.
pub const LIFETIME_MAX: Micros = 30 * 24 * 3600 * 1_000_000;
/// How much of a session that does not exist is echoed to whoever sent it, in characters.
const ECHO_MAX: usize = 64;

/// The key of the session whose reference is that text.
pub fn session_key(text: &str) -> Ref {
    let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    let mut key = [0; 16];
    key.copy_from_slice(&digest[..16]);
    Ref(key)
}

/// Replaces the references to sessions among a call's arguments by their keys, before anything can see them.
pub fn session_keys(message: &Message, args: &mut [Value]) {
    for (param, value) in message.params.iter().zip(args) {
        if let (Ty::Ref(ClassId::session), Value::Ref(reference)) = (param.ty, &*value)
            && !reference.is_null()
        {
            *value = Value::Ref(reference.with_text(session_key));
        }
    }
}

/// What is remembered of a session that was used.
struct Used {
    principal: Arc<Principal>,
    /// The position at which the user last changed: roles may have.
    grounds: u64,
    last: AtomicI64,
}

/// The sessions in use, and when each was used last.
pub struct Sessions {
    /// Sessions that outlived the server count as used when it came back.
    started: Micros,
    used: RwLock<HashMap<Ref, Arc<Used>>>,
}

impl Sessions {
    pub fn new(now: Micros) -> Sessions {
        Sessions { started: now, used: RwLock::default() }
    }

    /// Who sends that session, or `SESSION_INVALID`. Notes that the session was used.
    pub fn authenticate(&self, view: &View, text: &str, now: Micros) -> Result<Arc<Principal>, ApiError> {
        let key = session_key(text);
        let invalid = || codes::SESSION_INVALID(text.chars().take(ECHO_MAX).collect::<String>());
        let held = view.find::<session>(key).ok_or_else(invalid)?;
        let whose = view.find::<user>(held.get(session::this_user)).ok_or_else(invalid)?;
        if self.expired(held, now) {
            return Err(invalid());
        }
        let used = self.remembered(key).filter(|used| used.grounds == whose.modified);
        let used = match used {
            Some(used) => used,
            None => self.remember(view, held, whose, now),
        };
        used.last.fetch_max(now, Ordering::Relaxed);
        Ok(used.principal.clone())
    }

    /// When the session was last used, as far as this server saw.
    pub fn last_used(&self, held: &Object) -> Micros {
        let remembered = self.remembered(held.reference).map(|used| used.last.load(Ordering::Relaxed));
        remembered.unwrap_or_else(|| held.get(session::began).max(self.started))
    }

    fn expired(&self, held: &Object, now: Micros) -> bool {
        now.saturating_sub(self.last_used(held)) > IDLE_MAX
            || now.saturating_sub(held.get(session::began)) > LIFETIME_MAX
    }

    /// The sessions that have expired; forgets what is not in the view any more.
    pub fn sweep(&self, view: &View, now: Micros) -> Vec<Ref> {
        let mut used = self.used.write().expect("BUG: nobody panics while holding it");
        used.retain(|key, _| view.find::<session>(*key).is_some());
        drop(used);
        view.all::<session>().filter(|held| self.expired(held, now)).map(|held| held.reference).collect()
    }

    fn remembered(&self, key: Ref) -> Option<Arc<Used>> {
        self.used.read().expect("BUG: nobody panics while holding it").get(&key).cloned()
    }

    fn remember(&self, view: &View, held: &Object, whose: &Object, now: Micros) -> Arc<Used> {
        let principal = Arc::new(principal(view, whose, held.reference));
        let used = Arc::new(Used { principal, grounds: whose.modified, last: AtomicI64::new(now) });
        let mut all = self.used.write().expect("BUG: nobody panics while holding it");
        all.insert(held.reference, used.clone());
        used
    }
}

/// Who a user is, with or without a session.
pub(super) fn principal(view: &View, whose: &Object, session: Ref) -> Principal {
    Principal {
        name: format!("user/{}", whose.get(user::short_name)).into(),
        roles: roles_of(view, whose),
        session,
        user: whose.reference,
    }
}

/// What a user may do.
pub(super) fn roles_of(view: &View, whose: &Object) -> Roles {
    if whose.get(user::is_local_superuser) {
        return Roles::superuser;
    }
    let given = whose.get(user::roles).iter().filter_map(|given| {
        let given = view.find::<role>(given.as_ref())?;
        Roles::one(given.get(role::name_label))
    });
    given.fold(Roles::none, Roles::union)
}
