//! A host's clock: what it shows, who sets it, and in which time zone.

use super::{found, set_plain};
use crate::command::{Call, Draft, Reading};
use crate::error::{ApiError, codes};
use crate::model::host;
use crate::value::{Micros, Value};
use crate::views::Object;

fn now(held: &Object, now: Micros) -> Micros {
    now.saturating_add(held.get(host::clock_offset))
}

pub(super) fn servertime(reading: &Reading<'_>, call: &Call) -> Result<Value, ApiError> {
    Ok(Value::Time(now(found(reading, call)?, reading.now)))
}

/// The time on the host's own clock, written as if it were UTC: that is how clients read it.
pub(super) fn server_localtime(reading: &Reading<'_>, call: &Call) -> Result<Value, ApiError> {
    let held = found(reading, call)?;
    let zone = jiff::tz::TimeZone::get(held.get(host::timezone)).unwrap_or(jiff::tz::TimeZone::UTC);
    let here = now(held, reading.now);
    let instant = jiff::Timestamp::from_microsecond(here).unwrap_or_default();
    let offset = i64::from(zone.to_offset(instant).seconds());
    Ok(Value::Time(here.saturating_add(offset * 1_000_000)))
}

/// A clock that follows servers is theirs to set.
pub(super) fn set_servertime(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let held = draft.find::<host>(call.reference(0))?;
    if held.get(host::ntp_mode) != "Disabled" {
        return Err(codes::NOT_ALLOWED_WHEN_NTP_IS_ENABLED(held.reference));
    }
    if let Value::Time(wanted) = call.args[1] {
        draft.set(held.reference, host::clock_offset, wanted.saturating_sub(draft.now));
    }
    Ok(Value::Void)
}

pub(super) fn ntp_synchronized(reading: &Reading<'_>, call: &Call) -> Result<Value, ApiError> {
    Ok(Value::Bool(found(reading, call)?.get(host::ntp_mode) != "Disabled"))
}

/// A clock that begins to follow servers shows what they do.
pub(super) fn set_ntp_mode(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let held = draft.find::<host>(call.reference(0))?;
    let mode = call.args[1].as_str();
    if mode == "Custom" && held.get(host::ntp_custom_servers).is_empty() {
        return Err(codes::INVALID_NTP_CONFIG("the mode Custom needs servers"));
    }
    if mode != "Disabled" {
        draft.set(held.reference, host::clock_offset, 0);
    }
    set_plain(draft, call)
}

pub(super) fn set_ntp_servers(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let held = draft.find::<host>(call.reference(0))?;
    if held.get(host::ntp_mode) == "Custom" && call.args[1].as_set().is_empty() {
        return Err(codes::INVALID_NTP_CONFIG("the mode Custom needs servers"));
    }
    set_plain(draft, call)
}

pub(super) fn set_timezone(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    if jiff::tz::TimeZone::get(call.text(1)).is_err() {
        return Err(codes::VALUE_NOT_SUPPORTED("timezone", call.text(1), "no such time zone"));
    }
    set_plain(draft, call)
}

pub(super) fn list_timezones(_reading: &Reading<'_>, _call: &Call) -> Result<Value, ApiError> {
    let names = jiff::tz::db().available().map(|name| Value::from(name.to_string()));
    Ok(Value::set(names))
}

#[cfg(test)]
mod tests {
    use crate::command::bench::Bench;
    use crate::command::draft::Fields;
    use crate::model::host;
    use crate::value::Value;

    #[test]
    fn a_clock_is_set_by_whom_it_follows() {
        let mut bench = Bench::default();
        let here = bench.given(|draft| draft.create(Fields::<host>::new())).as_ref();
        let mut code = |name: &str, arg: Value| {
            bench.call(name, vec![here.into(), arg]).map_or_else(|error| error.code, |_| "done")
        };
        let later = || Value::Time(7_200_000_000);
        assert_eq!(code("host.set_servertime", later()), "NOT_ALLOWED_WHEN_NTP_IS_ENABLED");
        assert_eq!(code("host.set_ntp_mode", "Disabled".into()), "done");
        assert_eq!(code("host.set_servertime", later()), "done");
        assert_eq!(code("host.set_ntp_mode", "Custom".into()), "INVALID_NTP_CONFIG");
        let offset = bench.view.find::<host>(here).expect("there").get(host::clock_offset);
        assert!(offset > 7_000_000_000, "{offset}");
        let mut code = |name: &str, arg: Value| {
            bench.call(name, vec![here.into(), arg]).map_or_else(|error| error.code, |_| "done")
        };
        assert_eq!(code("host.set_ntp_custom_servers", Value::set(["ntp.example".into()])), "done");
        assert_eq!(code("host.set_ntp_mode", "Custom".into()), "done");
        assert_eq!(code("host.set_ntp_custom_servers", Value::empty_set()), "INVALID_NTP_CONFIG");
        assert_eq!(bench.view.find::<host>(here).expect("there").get(host::clock_offset), 0);
    }
}
