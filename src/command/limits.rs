//! What the pool's operators limit: how long sessions live, how much one
//! principal may hold at once, how long what has ended is kept. Each is a field
//! of the pool, so a change of it is an event and holds from the next call on.

use super::operation::Derived;
use super::{Call, Completion, Draft, Handler, Reader, generic};
use crate::error::{ApiError, codes};
use crate::model::types::Int;
use crate::model::{ClassId, Key, MODEL, pool};
use crate::value::Value;
use crate::views::View;
use crate::views::measured::setting;

/// Ten years, in seconds.
const LONG: i64 = 10 * 365 * 24 * 3600;

/// The least and the most of each.
const RANGES: &[(Key<pool, Int>, i64, i64)] = &[
    (pool::session_idle_timeout, 10, LONG),
    (pool::session_max_lifetime, 10, LONG),
    (pool::session_limit, 1, 100_000),
    (pool::waiting_call_limit, 1, 1_000_000),
    (pool::stream_limit, 1, 1_000_000),
    (pool::subscription_limit, 1, super::subscription::ALL_MAX as i64),
    (pool::pending_task_limit, 1, 1_000_000),
    (pool::completed_task_timeout, 1, LONG),
    (pool::completed_task_limit, 1, 1_000_000),
];

pub const HANDLERS: &[(&str, Handler)] = &[
    ("pool.set_session_idle_timeout", set),
    ("pool.set_session_max_lifetime", set),
    ("pool.set_session_limit", set),
    ("pool.set_waiting_call_limit", set),
    ("pool.set_stream_limit", set),
    ("pool.set_subscription_limit", set),
    ("pool.set_pending_task_limit", set),
    ("pool.set_completed_task_timeout", set),
    ("pool.set_completed_task_limit", set),
];
pub const READERS: &[(&str, Reader)] = &[];
pub const COMPLETIONS: &[(&str, Completion)] = &[];
pub const DERIVED: &[&Derived] = &[];

/// A limit as it is now, as a number of things.
pub fn count(view: &View, which: Key<pool, Int>) -> usize {
    usize::try_from(setting(view, which)).unwrap_or(0)
}

fn set(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let name = call.message.name.strip_prefix("set_").expect("BUG: bound to setters alone");
    let field = MODEL.field(ClassId::pool, name).expect("BUG: bound to fields of the pool");
    let range = RANGES.iter().find(|(key, ..)| key.index == field).expect("BUG: every limit has a range");
    let (least, most, given) = (range.1, range.2, call.int(1));
    if !(least..=most).contains(&given) {
        return Err(codes::VALUE_NOT_SUPPORTED(name, given, format!("it is between {least} and {most}")));
    }
    generic::set(draft, ClassId::pool, call.reference(0), field, Value::Int(given))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::bench::Bench;
    use crate::command::draft::Fields;

    #[test]
    fn a_limit_is_set_within_its_range_and_holds_at_once() {
        let mut bench = Bench::default();
        for (key, ..) in RANGES {
            assert!(setting(&bench.view, *key) > 0, "without a pool its default");
        }
        let here = bench.given(|draft| draft.create(Fields::<pool>::new())).as_ref();
        assert_eq!(RANGES.len(), HANDLERS.len());
        for ((key, least, most), (message, _)) in RANGES.iter().zip(HANDLERS) {
            assert_eq!(**message, *format!("pool.set_{}", ClassId::pool.def().fields[key.index].name));
            let before = setting(&bench.view, *key);
            assert!((*least..=*most).contains(&before), "{message}: the default is in the range");
            for wrong in [*least - 1, *most + 1, i64::MIN] {
                let refused = bench.call(message, vec![here.into(), Value::Int(wrong)]).expect_err("out of range");
                assert_eq!(refused.code, "VALUE_NOT_SUPPORTED");
            }
            assert_eq!(setting(&bench.view, *key), before);
            for right in [*least, *most] {
                bench.call(message, vec![here.into(), Value::Int(right)]).expect("in range");
                assert_eq!(setting(&bench.view, *key), right);
            }
        }
    }
}
