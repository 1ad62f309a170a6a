//! Events in words: what changed, short enough for one line an object.

use crate::event::{Change, Delta, Event, Operation};
use crate::model::MODEL;
use crate::value::Value;
use crate::views::View;
pub use crate::views::past::tell::fine_time as time;
use crate::views::past::tell::name_of;

/// Letters of a value that are shown; more are left out.
const SHOWN: usize = 40;
/// Fields of an object that are shown.
const FIELDS: usize = 6;
/// Objects of an event that are shown.
const OBJECTS: usize = 8;

/// The message, and the error that it ended with.
pub fn message(event: &Event) -> String {
    let repeated = if event.body.repeated > 0 { format!(" and {} more", event.body.repeated) } else { String::new() };
    match event.body.error.split_first() {
        None => format!("{}{repeated}", event.message),
        Some((code, params)) => format!("{}: {code}({}){repeated}", event.message, params.join(", ")),
    }
}

/// What changed, a line an object.
pub fn describe(event: &Event, view: &View) -> String {
    let changes = &event.body.changes;
    let mut lines: Vec<String> = changes.iter().take(OBJECTS).map(|change| describe_change(change, view)).collect();
    if changes.len() > OBJECTS {
        lines.push(format!("and {} objects more", changes.len() - OBJECTS));
    }
    lines.join("\n")
}

fn describe_change(change: &Change, view: &View) -> String {
    let fields = change.class.def().fields;
    let shown = |field: &usize| !fields[*field].flags.internal && !fields[*field].flags.secret;
    let (sign, words): (&str, Vec<String>) = match &change.operation {
        Operation::Del(_) => ("-", Vec::new()),
        Operation::Add(values) => {
            let told =
                |field: &usize| !fields[*field].flags.derived && !["uuid", "name_label"].contains(&fields[*field].name);
            let named = values.iter().filter(|(field, _)| shown(field) && told(field));
            ("+", named.map(|(field, value)| format!("{}={}", fields[*field].name, brief(value))).collect())
        }
        Operation::Mod(deltas) => {
            let named = deltas.iter().filter(|(field, _)| shown(field));
            ("", named.map(|(field, delta)| describe_delta(fields[*field].name, delta)).collect())
        }
    };
    let object = view.object(change.class, change.reference);
    let given = object.and_then(|object| name_of(change.class, object)).or_else(|| name_in(change));
    let name = given.map(|name| format!("{name:?}")).unwrap_or_else(|| change.reference.uuid_text()[..8].to_string());
    let more = if words.len() > FIELDS { format!(" and {} fields more", words.len() - FIELDS) } else { String::new() };
    let words: Vec<String> = words.into_iter().take(FIELDS).collect();
    format!("{sign}{} {name} {}{more}", change.class.name(), words.join(", ")).trim_end().to_string()
}

/// The name that an object is added with; it may be gone by now.
fn name_in(change: &Change) -> Option<&str> {
    let Operation::Add(values) = &change.operation else { return None };
    let index = MODEL.field(change.class, "name_label")?;
    values.iter().find(|(field, _)| *field == index).map(|(_, value)| value.as_str())
}

fn describe_delta(name: &str, delta: &Delta) -> String {
    match delta {
        Delta::Scalar { old, new } => format!("{name}: {} → {}", brief(old), brief(new)),
        Delta::Set { added, removed } => {
            let removed = removed.iter().map(|value| format!("-{}", brief(value)));
            let words: Vec<String> = removed.chain(added.iter().map(|value| format!("+{}", brief(value)))).collect();
            format!("{name}: {}", cut(&words.join(" ")))
        }
        Delta::Map { set, removed } => {
            let removed = removed.iter().map(|(key, _)| format!("-{key}"));
            let set = set.iter().map(|(key, _, value)| format!("{key}={}", brief(value)));
            format!("{name}: {}", cut(&removed.chain(set).collect::<Vec<_>>().join(" ")))
        }
    }
}

/// A value as people want to see it in passing.
pub fn brief(value: &Value) -> String {
    match value {
        Value::Void | Value::Absent => "nothing".into(),
        Value::String(text) => cut(&format!("{text:?}")),
        Value::Enum(name) => (*name).into(),
        Value::Time(micros) => time(*micros),
        Value::Ref(reference) if reference.is_null() => "NULL".into(),
        Value::Ref(reference) => reference.uuid_text()[..8].into(),
        Value::Set(values) => cut(&format!("[{}]", values.iter().map(brief).collect::<Vec<_>>().join(", "))),
        Value::Map(map) => {
            let entries: Vec<String> = map.iter().map(|(key, value)| format!("{key}: {}", brief(value))).collect();
            cut(&format!("{{{}}}", entries.join(", ")))
        }
        plain => crate::value::to_json(plain).to_string(),
    }
}

fn cut(text: &str) -> String {
    if text.chars().count() <= SHOWN {
        return text.to_string();
    }
    text.chars().take(SHOWN - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::store::tests::{sample, world};

    #[test]
    fn events_read_like_sentences() {
        let mut view = View::default();
        let rows = sample(&mut view, &world());
        let told: Vec<String> =
            rows[20..23].iter().map(|row| describe(&row.event().expect("readable"), &view)).collect();
        let name = "\"O'Brien \\\"quoted\\\" 😀\\n\"";
        let first = format!("VM {name} name_label: \"vm");
        assert!(told[0].starts_with(&first), "{}", told[0]);
        assert!(told[0].contains("other_config: a=\"1\" b=\"2\""), "{}", told[0]);
        assert!(told[0].contains("tags: +\"x\" +\"y\""), "{}", told[0]);
        assert!(told[1].starts_with("-VBD ") && told[1].lines().count() == 1, "{}", told[1]);
        assert!(told[2].ends_with("other_config: b=\"3\""), "{}", told[2]);
        let added = describe(&rows[0].event().expect("readable"), &view);
        assert!(added.starts_with("+VM \"vm0\" HVM_shadow_multiplier=1.5, current_operations="), "{added}");
    }

    #[test]
    fn long_values_are_cut() {
        assert_eq!(brief(&Value::text(&"x".repeat(100))).chars().count(), SHOWN);
        assert_eq!(time(1_700_000_000_123_456), "2023-11-14T22:13:20.123456Z");
    }
}
