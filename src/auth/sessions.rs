//! Sessions: from the text that a client sends to who it is.
//!
//! The text is kept nowhere. The session object's key is the first 128 bits of
//! the text's SHA-256, so that neither the log nor the views can be read for a
//! way in. When a session was last used is remembered here and nowhere else.
//!
//! ```text
//!   begun ──used──▶ used ──not used for the pool's session_idle_timeout,
//!              ▲─────┘     or its session_max_lifetime is over──▶ expired (swept from the view)
//! ```

use super::Principal;
use crate::error::{ApiError, codes};
use crate::model::{ClassId, Message, Roles, Ty, role, session, user};
use crate::value::{Micros, Ref, Value};
use crate::views::measured::{expires_at, last_active, lives_until};
use crate::views::{Object, View};
use crate::world::World;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};

/// How much of a session that does not exist is echoed to whoever sent it, in characters.
const ECHO_MAX: usize = 64;

/// `SESSION_INVALID`, naming what the client sent: the key says nothing to it.
pub fn session_invalid(text: &str) -> ApiError {
    codes::SESSION_INVALID(text.chars().take(ECHO_MAX).collect::<String>())
}

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
    last: Arc<AtomicI64>,
    /// Calls and streams that wait in it; while there are any it is in use.
    waiting: Arc<AtomicUsize>,
}

/// The sessions in use.
pub struct Sessions {
    used: RwLock<HashMap<Ref, Arc<Used>>>,
}

/// Something waits in a session until this is dropped.
pub struct InUse {
    used: Option<Arc<Used>>,
    world: World,
}

impl Drop for InUse {
    fn drop(&mut self) {
        if let Some(used) = &self.used {
            used.last.fetch_max(self.world.now(), Ordering::Relaxed);
            used.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// When a session was last used, for whoever reads it.
fn last_of(view: &View, key: Ref, now: Micros) -> Arc<AtomicI64> {
    view.measured.time(ClassId::session, key, session::last_active.index, now)
}

impl Sessions {
    /// Sessions that outlived the server count as used when it came back.
    pub fn new(view: &View, now: Micros) -> Sessions {
        for held in view.all::<session>() {
            last_of(view, held.reference, now);
        }
        Sessions { used: RwLock::default() }
    }

    /// Keeps a session in use while something waits in it.
    pub fn in_use(&self, key: Ref, world: &World) -> InUse {
        let used = self.remembered(key);
        if let Some(used) = &used {
            used.waiting.fetch_add(1, Ordering::Relaxed);
        }
        InUse { used, world: world.clone() }
    }

    /// Who sends that session, or `SESSION_INVALID`. Notes that the session was used.
    pub fn authenticate(&self, view: &View, text: &str, now: Micros) -> Result<Arc<Principal>, ApiError> {
        let key = session_key(text);
        let invalid = || session_invalid(text);
        let held = view.find::<session>(key).ok_or_else(invalid)?;
        let whose = view.find::<user>(held.get(session::this_user)).ok_or_else(invalid)?;
        let used = self.remembered(key);
        if expired(view, held, used.as_deref(), now) {
            return Err(invalid());
        }
        let used = match used {
            Some(used) if used.grounds == whose.modified => used,
            before => self.remember(view, held, whose, before, now),
        };
        used.last.fetch_max(now, Ordering::Relaxed);
        Ok(used.principal.clone())
    }

    /// The sessions that have expired; forgets what is not in the view any more.
    pub fn sweep(&self, view: &View, now: Micros) -> Vec<Ref> {
        let mut used = self.used.write().expect("BUG: nobody panics while holding it");
        used.retain(|key, _| view.find::<session>(*key).is_some());
        drop(used);
        view.measured.forget_gone(view);
        let over = |held: &&Arc<Object>| expired(view, held, self.remembered(held.reference).as_deref(), now);
        view.all::<session>().filter(over).map(|held| held.reference).collect()
    }

    fn remembered(&self, key: Ref) -> Option<Arc<Used>> {
        self.used.read().expect("BUG: nobody panics while holding it").get(&key).cloned()
    }

    fn remember(
        &self,
        view: &View,
        held: &Object,
        whose: &Object,
        before: Option<Arc<Used>>,
        now: Micros,
    ) -> Arc<Used> {
        let elsewhere = !held.get(session::database).is_empty();
        let principal = Arc::new(Principal { elsewhere, ..principal(view, whose, held.reference) });
        let waiting = before.map(|before| before.waiting.clone()).unwrap_or_default();
        let last = last_of(view, held.reference, now);
        let used = Arc::new(Used { principal, grounds: whose.modified, last, waiting });
        let mut all = self.used.write().expect("BUG: nobody panics while holding it");
        all.insert(held.reference, used.clone());
        used
    }
}

/// Whether a session's time is over: it was not used too long, or lives too long.
fn expired(view: &View, held: &Object, used: Option<&Used>, now: Micros) -> bool {
    let waits = used.is_some_and(|used| used.waiting.load(Ordering::Relaxed) > 0);
    if waits {
        return now > lives_until(view, held);
    }
    let last = used.map(|used| used.last.load(Ordering::Relaxed));
    now > expires_at(view, held, last.unwrap_or_else(|| last_active(view, held)))
}

/// Who a user is, with or without a session.
pub(super) fn principal(view: &View, whose: &Object, session: Ref) -> Principal {
    Principal {
        name: format!("user/{}", whose.get(user::short_name)).into(),
        roles: roles_of(view, whose),
        session,
        user: whose.reference,
        elsewhere: false,
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
