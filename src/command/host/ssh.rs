//! Remote logins to hosts: open or closed, for how long, and for how long an
//! idle one stays.
//!
//! ```text
//!   closed ──enable──▶ open ──disable, or the time is over──▶ closed
//! ```

use crate::command::{Call, Draft};
use crate::error::{ApiError, codes};
use crate::model::{ClassId, host};
use crate::value::{Micros, Ref, Value};
use crate::views::View;

/// Seconds for which logins may be opened at most: two days.
const TIMEOUT_MAX: i64 = 172_800;
/// When logins close that stay open.
const NEVER: Micros = 0;

/// The hosts that a call is about: the one that it names, or all of the pool that it names.
fn hosts(draft: &Draft, call: &Call) -> Result<Vec<Ref>, ApiError> {
    draft.object(call.message.class, call.reference(0))?;
    Ok(match call.message.class {
        ClassId::host => vec![call.reference(0)],
        _ => draft.view().all::<host>().map(|held| held.reference).collect(),
    })
}

fn expiry(now: Micros, timeout: i64) -> Value {
    Value::Time(if timeout > 0 { now.saturating_add(timeout * 1_000_000) } else { NEVER })
}

pub(super) fn enable(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    for here in hosts(draft, call)? {
        let timeout = draft.get(here, host::ssh_enabled_timeout, |timeout| timeout)?;
        draft.set(here, host::ssh_enabled, true);
        draft.set(here, host::ssh_expiry, expiry(draft.now, timeout));
    }
    Ok(Value::Void)
}

pub(super) fn disable(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    hosts(draft, call)?.into_iter().for_each(|here| close(draft, here));
    Ok(Value::Void)
}

fn close(draft: &mut Draft, here: Ref) {
    draft.set(here, host::ssh_enabled, false);
    draft.set(here, host::ssh_expiry, Value::Time(NEVER));
}

/// The time begins anew for logins that are open.
pub(super) fn set_timeout(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let timeout = call.int(1);
    if !(0..=TIMEOUT_MAX).contains(&timeout) {
        let reason = format!("0 to {TIMEOUT_MAX} seconds");
        return Err(codes::VALUE_NOT_SUPPORTED("ssh_enabled_timeout", timeout, reason));
    }
    for here in hosts(draft, call)? {
        draft.set(here, host::ssh_enabled_timeout, timeout);
        if draft.get(here, host::ssh_enabled, |open| open)? {
            draft.set(here, host::ssh_expiry, expiry(draft.now, timeout));
        }
    }
    Ok(Value::Void)
}

pub(super) fn set_idle_timeout(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let timeout = call.int(1);
    if timeout < 0 {
        return Err(codes::VALUE_NOT_SUPPORTED("console_idle_timeout", timeout, "seconds, or 0 for never"));
    }
    for here in hosts(draft, call)? {
        draft.set(here, host::console_idle_timeout, timeout);
    }
    Ok(Value::Void)
}

fn overdue(view: &View, now: Micros) -> Vec<Ref> {
    let open = view.all::<host>().filter(|held| held.get(host::ssh_enabled) && held.get(host::ssh_expiry) != NEVER);
    open.filter(|held| held.get(host::ssh_expiry) <= now).map(|held| held.reference).collect()
}

/// Whether some host's logins have been open for as long as they may.
pub fn is_due(view: &View, now: Micros) -> bool {
    !overdue(view, now).is_empty()
}

/// Closes the logins whose time is over.
pub fn expire(draft: &mut Draft) -> Result<Value, ApiError> {
    overdue(draft.view(), draft.now).into_iter().for_each(|here| close(draft, here));
    Ok(Value::Void)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::bench::Bench;
    use crate::command::draft::Fields;

    #[test]
    fn logins_close_when_their_time_is_over() {
        let mut bench = Bench::default();
        let here = bench.given(|draft| draft.create(Fields::<host>::new().with(host::ssh_enabled, false))).as_ref();
        let refused = bench.call("host.set_ssh_enabled_timeout", vec![here.into(), 172_801.into()]);
        assert_eq!(refused.expect_err("too long").code, "VALUE_NOT_SUPPORTED");
        bench.call("host.set_ssh_enabled_timeout", vec![here.into(), 60.into()]).expect("set");
        assert!(!is_due(&bench.view, Micros::MAX), "what is closed needs no closing");
        bench.call("host.enable_ssh", vec![here.into()]).expect("open");
        let expiry = bench.view.find::<host>(here).expect("there").get(host::ssh_expiry);
        assert!(!is_due(&bench.view, expiry - 1) && is_due(&bench.view, expiry));
        bench.call("host.set_ssh_enabled_timeout", vec![here.into(), 0.into()]).expect("for ever");
        assert!(!is_due(&bench.view, Micros::MAX));
        bench.call("host.set_ssh_enabled_timeout", vec![here.into(), 1.into()]).expect("set");
        for _ in 0..3 {
            bench.given(|_| ()); // a second goes by with each
        }
        bench.own(expire).expect("closed");
        let held = bench.view.find::<host>(here).expect("there");
        assert_eq!((held.get(host::ssh_enabled), held.get(host::ssh_expiry)), (false, NEVER));
        let refused = bench.call("host.set_console_idle_timeout", vec![here.into(), (-1).into()]);
        assert_eq!(refused.expect_err("negative").code, "VALUE_NOT_SUPPORTED");
    }
}
