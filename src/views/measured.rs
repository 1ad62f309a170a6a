//! Measured values: fields that are in no event and in no hash, overlaid when a
//! record is rendered. Some follow from the view itself; the others are told by
//! whoever measures them and are forgotten when the server ends.
//!
//! Must never hold what cannot be lost.

use super::{Object, View};
use crate::model::types::Int;
use crate::model::{ClassId, Key, pool, session, subscription};
use crate::value::{Micros, Read, Ref, Value, default_record};
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, RwLock};

const SECOND: Micros = 1_000_000;

/// What was measured, by object and field. Cheap to clone: all clones are one.
#[derive(Clone, Default)]
pub struct Measured(Arc<RwLock<HashMap<(ClassId, Ref), Fields>>>);

/// Few of an object's fields are measured.
type Fields = Vec<(usize, Held)>;

#[derive(Clone)]
enum Held {
    /// Moved on by whoever has the other end.
    Time(Arc<AtomicI64>),
    Value(Value),
}

const POISONED: &str = "BUG: nobody panics while holding this lock";

impl Measured {
    /// A time that its owner moves on; it begins at `now` if there was none.
    pub fn time(&self, class: ClassId, object: Ref, field: usize, now: Micros) -> Arc<AtomicI64> {
        let mut all = self.0.write().expect(POISONED);
        let fields = all.entry((class, object)).or_default();
        if let Some((_, Held::Time(time))) = fields.iter().find(|(index, _)| *index == field) {
            return time.clone();
        }
        let time = Arc::new(AtomicI64::new(now));
        fields.push((field, Held::Time(time.clone())));
        time
    }

    /// Puts values in the place of what was measured before.
    pub fn tell(&self, values: impl IntoIterator<Item = (ClassId, Ref, usize, Value)>) {
        let mut all = self.0.write().expect(POISONED);
        for (class, object, field, value) in values {
            let fields = all.entry((class, object)).or_default();
            match fields.iter_mut().find(|(index, _)| *index == field) {
                Some((_, held)) => *held = Held::Value(value),
                None => fields.push((field, Held::Value(value))),
            }
        }
    }

    pub fn get(&self, class: ClassId, object: Ref, field: usize) -> Option<Value> {
        let all = self.0.read().expect(POISONED);
        let (_, held) = all.get(&(class, object))?.iter().find(|(index, _)| *index == field)?;
        Some(match held {
            Held::Time(time) => Value::Time(time.load(Ordering::Relaxed)),
            Held::Value(value) => value.clone(),
        })
    }

    /// Forgets what is not in the view any more.
    pub fn forget_gone(&self, view: &View) {
        self.0.write().expect(POISONED).retain(|(class, object), _| view.object(*class, *object).is_some());
    }
}

/// The value of a volatile field, if anything is known of it; otherwise it reads as its default.
pub(super) fn of(view: &View, class: ClassId, field: usize, object: &Object) -> Option<Value> {
    let is = |index: usize| field == index;
    let computed = match class {
        ClassId::subscription if is(subscription::lag.index) => {
            let behind = view.position.saturating_sub(object.get(subscription::acknowledged) as u64);
            Some(Value::Int(behind as i64))
        }
        ClassId::session if is(session::last_active.index) => Some(Value::Time(last_active(view, object))),
        ClassId::session if is(session::created.index) => Some(Value::Time(object.get(session::began))),
        ClassId::session if is(session::expires_at.index) => {
            Some(Value::Time(expires_at(view, object, last_active(view, object))))
        }
        ClassId::session if is(session::idle_timeout.index) => {
            Some(Value::Int(setting(view, pool::session_idle_timeout)))
        }
        ClassId::session if is(session::max_lifetime.index) => {
            Some(Value::Int(setting(view, pool::session_max_lifetime)))
        }
        _ => None,
    };
    computed.or_else(|| view.measured.get(class, object.reference, field))
}

/// When a session was last used, as far as this server saw.
pub fn last_active(view: &View, held: &Object) -> Micros {
    let began = held.get(session::began);
    match view.measured.get(ClassId::session, held.reference, session::last_active.index) {
        Some(Value::Time(last)) => last.max(began),
        _ => began,
    }
}

/// The last moment of a session that is not used after `last`.
pub fn expires_at(view: &View, held: &Object, last: Micros) -> Micros {
    let idle = setting(view, pool::session_idle_timeout).saturating_mul(SECOND);
    last.saturating_add(idle).min(lives_until(view, held))
}

/// The last moment of a session, however much it is used.
pub fn lives_until(view: &View, held: &Object) -> Micros {
    let life = setting(view, pool::session_max_lifetime).saturating_mul(SECOND);
    held.get(session::began).saturating_add(life)
}

/// What the pool's operators have set; the field's default before there is a pool.
pub fn setting(view: &View, which: Key<pool, Int>) -> i64 {
    let set = view.class(ClassId::pool).objects.iter().next().map(|(_, pool)| pool.get(which));
    set.unwrap_or_else(|| Int::read(&default_record(ClassId::pool)[which.index]))
}

#[cfg(test)]
mod tests;
