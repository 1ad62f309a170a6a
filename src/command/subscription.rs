//! Subscriptions: what clients want to hear of, and how far they have come.
//! What is told, and how it gets there, is not decided here.
//!
//! ```text
//!                      ┌── pause ──▶ paused ─┐
//!   create ──▶ active ─┤                     ├─ resume, resume_from ──▶ active
//!                      └─ give up ─▶ failed ─┘
//! ```
//!
//! An acknowledged position only moves forward, but for `resume_from`. Whoever
//! made a subscription may use and change it; others need to be operators of
//! the pool, and so does everybody who wants the server to call out.

use super::draft::Fields;
use super::operation::Derived;
use super::{Call, Completion, Draft, Handler, Own, Reader, generic, limits, message};
use crate::error::{ApiError, codes};
use crate::log::{Sealed, vault};
use crate::model::{ClassId, Roles, pool, subscription, user};
use crate::value::{Ref, Value};
use crate::views::filter::Filter;
use crate::views::{Object, Token, View};
use std::sync::Arc;

/// Subscriptions in all.
pub const ALL_MAX: usize = 10_000;
/// Bytes of a destination.
pub const DESTINATION_MAX: usize = 2048;
/// Bytes of a secret.
pub const SECRET_MAX: usize = 1024;
/// Bytes of what is kept of an error.
pub const ERROR_MAX: usize = 512;
/// The message raised when a subscription failed, and how important it is.
pub const FAILED: (&str, i64) = ("SUBSCRIPTION_FAILED", 2);

pub const HANDLERS: &[(&str, Handler)] = &[
    ("subscription.create", create),
    ("subscription.destroy", destroy),
    ("subscription.pause", pause),
    ("subscription.resume", resume),
    ("subscription.resume_from", resume_from),
    ("subscription.ack", ack),
    ("subscription.set_secret", set_secret),
];
pub const READERS: &[(&str, Reader)] = &[];
pub const COMPLETIONS: &[(&str, Completion)] = &[];
pub const DERIVED: &[&Derived] = &[];

/// Whether the caller may do this to the subscription that the call is about.
pub(super) fn permit(draft: &Draft, call: &Call) -> Result<(), ApiError> {
    let about = call.message.params.first().is_some_and(|param| param.name == "self");
    if !about {
        return Ok(());
    }
    let held = draft.find::<subscription>(call.reference(0))?;
    if may_use(&held, &draft.principal.name, draft.principal.roles) {
        return Ok(());
    }
    let permission = format!("{}/any", call.message.full_name.to_lowercase());
    Err(codes::RBAC_PERMISSION_DENIED(permission, "the subscription is somebody else's"))
}

/// Whether a subscription is the principal's, or the principal an operator of the pool.
pub fn may_use(held: &Object, principal: &str, roles: Roles) -> bool {
    **held.get(subscription::owner) == *principal || roles.intersects(Roles::pool_operator)
}

/// Whether what the call left makes sense.
pub(super) fn check(draft: &Draft, call: &Call, result: &Value) -> Result<(), ApiError> {
    let created = call.message.name == "create";
    let reference = if created { result.as_ref() } else { call.reference(0) };
    let Ok(held) = draft.find::<subscription>(reference) else { return Ok(()) };
    filter(&held)?;
    if held.get(subscription::give_up_after) < 0 {
        let given = held.get(subscription::give_up_after);
        return Err(codes::VALUE_NOT_SUPPORTED("give_up_after", given, "it is a number of seconds"));
    }
    let aimed = draft.fields_touched(ClassId::subscription, reference).contains(&subscription::destination.index);
    if created || aimed { check_destination(draft, &held) } else { Ok(()) }
}

/// What a subscription wants to hear.
pub fn filter(held: &Object) -> Result<Filter, ApiError> {
    let texts = held.get(subscription::classes).iter().map(Value::as_str);
    let predicate = held.get(subscription::predicate).iter().map(|(name, values)| (&**name, values.as_str()));
    Filter::parse(texts, predicate).map_err(codes::EVENT_SUBSCRIPTION_PARSE_FAILURE)
}

fn check_destination(draft: &Draft, held: &Object) -> Result<(), ApiError> {
    let destination = held.get(subscription::destination);
    if destination.is_empty() {
        return Ok(());
    }
    let known = ["https://", "http://", "unix:/"].iter().any(|scheme| destination.starts_with(scheme));
    let clean = destination.bytes().all(|byte| byte.is_ascii_graphic()) && !destination.contains(['@', '#']);
    if !known || !clean || destination.len() > DESTINATION_MAX {
        let why = "it is https://HOST/…, http://HOST/… or unix:/path, without a user and without a fragment";
        return Err(codes::VALUE_NOT_SUPPORTED("destination", destination, why));
    }
    if !draft.principal.roles.intersects(Roles::pool_operator) {
        let why = "only operators of the pool may let the server call out";
        return Err(codes::RBAC_PERMISSION_DENIED("subscription.set_destination", why));
    }
    Ok(())
}

fn create(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    // The record may hold a secret.
    draft.args.clear();
    let owner = draft.principal.name.clone();
    let class = draft.view().class(ClassId::subscription);
    let theirs = class.objects.values().filter(|held| *held.get(subscription::owner) == owner).count();
    let most = limits::count(draft.view(), pool::subscription_limit);
    if theirs >= most || class.objects.len() >= ALL_MAX {
        // Not how many there are: that would tell of other people's.
        let why = format!("{owner} has as many subscriptions as it may, {most}, or all together have {ALL_MAX}");
        return Err(codes::OPERATION_NOT_ALLOWED(why));
    }
    let mut fields = Fields::<subscription>::new();
    fields.record = generic::constructed(draft, ClassId::subscription, &call.args[0])?;
    let secret = std::mem::replace(&mut fields.record[subscription::secret.index], Value::text(""));
    let begins = fields.record[subscription::cursor.index].as_str().to_string();
    let begins = match &*begins {
        // Behind its own creation: what comes after the answer is told.
        "" => Token { position: draft.base().position + 1, lineage: draft.base().lineage },
        text => known(draft.base(), text)?,
    };
    let sealed = seal(draft, secret.as_str())?;
    let there = draft.find::<user>(draft.principal.user).is_ok();
    let fields = fields
        .with(subscription::owner, owner)
        .with(subscription::user, if there { draft.principal.user } else { Ref::NULL })
        .with(subscription::sealed, sealed)
        .with(subscription::cursor, begins.to_string())
        .with(subscription::acknowledged, begins.position as i64)
        .with(subscription::created, Value::Time(draft.now));
    Ok(Value::Ref(draft.create(fields)))
}

fn destroy(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let held = draft.find::<subscription>(call.reference(0))?;
    draft.vault.erase.extend(vault::id_of(held.get(subscription::sealed)));
    draft.delete::<subscription>(held.reference);
    Ok(Value::Void)
}

fn set_secret(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    draft.args.clear();
    let held = draft.find::<subscription>(call.reference(0))?;
    draft.vault.erase.extend(vault::id_of(held.get(subscription::sealed)));
    let sealed = seal(draft, call.text(1))?;
    draft.set(held.reference, subscription::sealed, sealed);
    Ok(Value::Void)
}

fn seal(draft: &mut Draft, secret: &str) -> Result<String, ApiError> {
    if secret.is_empty() {
        return Ok(String::new());
    }
    if secret.len() > SECRET_MAX {
        return Err(codes::VALUE_NOT_SUPPORTED("secret", secret.len(), format!("more than {SECRET_MAX} bytes")));
    }
    let (id, mut nonce) = (draft.ids.draw(), [0; 16]);
    draft.ids.fill(&mut nonce);
    let sealed = Sealed::new(id, nonce, secret.as_bytes());
    let text = sealed.seal();
    draft.vault.put.push(sealed);
    Ok(text)
}

fn pause(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    draft.set(call.reference(0), subscription::state, "paused");
    Ok(Value::Void)
}

fn resume(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    begin_again(draft, call.reference(0));
    Ok(Value::Void)
}

fn begin_again(draft: &mut Draft, reference: Ref) {
    draft.set(reference, subscription::state, "active");
    draft.set(reference, subscription::failures, 0);
    draft.set(reference, subscription::failing_since, Value::Time(0));
}

fn resume_from(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let token = known(draft.base(), call.text(1))?;
    let token = Token { lineage: draft.base().lineage, ..token };
    begin_again(draft, call.reference(0));
    reach(draft, call.reference(0), token);
    Ok(Value::Void)
}

fn ack(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let token = known(draft.base(), call.text(1))?;
    let held = draft.find::<subscription>(call.reference(0))?;
    if token.position > held.get(subscription::acknowledged) as u64 {
        reach(draft, held.reference, token);
        draft.set(held.reference, subscription::last_delivery, Value::Time(draft.now));
    }
    Ok(Value::Void)
}

fn reach(draft: &mut Draft, reference: Ref, token: Token) {
    draft.set(reference, subscription::cursor, token.to_string());
    draft.set(reference, subscription::acknowledged, token.position as i64);
}

fn known(view: &View, text: &str) -> Result<Token, ApiError> {
    let token = Token::parse(text).ok_or_else(|| codes::EVENT_FROM_TOKEN_PARSE_FAILURE(text))?;
    if token.is_known(view) { Ok(token) } else { Err(codes::EVENTS_LOST()) }
}

/// A destination accepted everything up to a token; `since` is the cursor that it was sent behind.
/// `accepted` is false for what was not wanted and only looked at.
pub fn delivered(reference: Ref, since: Arc<str>, token: Token, accepted: bool) -> Own {
    Box::new(move |draft| {
        let held = draft.find::<subscription>(reference)?;
        // Somebody moved the cursor meanwhile: what was sent before does not count.
        if *held.get(subscription::cursor) != since {
            return Ok(Value::Bool(false));
        }
        reach(draft, reference, token);
        if accepted {
            draft.set(reference, subscription::last_delivery, Value::Time(draft.now));
            draft.set(reference, subscription::failures, 0);
            draft.set(reference, subscription::failing_since, Value::Time(0));
        }
        Ok(Value::Bool(true))
    })
}

/// A destination did not accept a batch. After too long the subscription fails, and people are told.
/// `last` is the position of its last event, and `token` how far everything was accepted before: the same batch is
/// posted again, also after a restart.
pub fn not_delivered(reference: Ref, why: String, since: Arc<str>, token: Token, last: u64) -> Own {
    Box::new(move |draft| {
        let held = draft.find::<subscription>(reference)?;
        if *held.get(subscription::cursor) == since {
            reach(draft, reference, token);
            draft.set(reference, subscription::posted, last as i64);
        }
        let mut why = why;
        why.truncate(why.floor_char_boundary(ERROR_MAX));
        let since = match held.get(subscription::failing_since) {
            0 => draft.now,
            since => since,
        };
        draft.set(reference, subscription::failures, held.get(subscription::failures) + 1);
        draft.set(reference, subscription::last_error, why.clone());
        draft.set(reference, subscription::failing_since, Value::Time(since));
        let patience = held.get(subscription::give_up_after).saturating_mul(1_000_000);
        if draft.now.saturating_sub(since) >= patience && held.get(subscription::state) == "active" {
            draft.set(reference, subscription::state, "failed");
            tell_people(draft, &held, &why);
        }
        Ok(Value::Void)
    })
}

fn tell_people(draft: &mut Draft, held: &Object, why: &str) {
    let about = draft.view().all::<pool>().next().map(|pool| pool.get(pool::uuid).clone()).unwrap_or_default();
    let (uuid, name) = (held.get(subscription::uuid), held.get(subscription::name_label));
    let body = format!("subscription {uuid} ({name}) failed: {why}; subscription.resume goes on where it stopped");
    message::raise(draft, FAILED.0, FAILED.1, "Pool", &about, &body);
}
