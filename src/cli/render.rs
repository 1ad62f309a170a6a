//! Results for people: tables for records, lines for lists; and for programs,
//! JSON as on the wire.

use crate::model::{ClassId, Lifecycle, Ty};
use crate::value::{Map, Value};
use crate::wire::Format;
use comfy_table::{ContentArrangement, Table, presets};

/// Columns of enums beside name and uuid in a table of records.
const STATES: usize = 3;

/// The value as on the wire, indented.
pub fn json(value: &Value) -> anyhow::Result<String> {
    let mut out = Vec::new();
    Format::Json.render(&mut out, value);
    let parsed: serde_json::Value = serde_json::from_slice(&out)?;
    Ok(serde_json::to_string_pretty(&parsed)?)
}

/// The value in one line, as on the wire.
pub fn json_line(value: &Value) -> serde_json::Value {
    let mut out = Vec::new();
    Format::Json.render(&mut out, value);
    serde_json::from_slice(&out).unwrap_or_default()
}

/// One value a line, as on the wire.
pub fn json_lines(values: impl IntoIterator<Item = Value>) -> String {
    values.into_iter().map(|value| json_line(&value).to_string()).collect::<Vec<_>>().join("\n")
}

/// The value for people; `fields` chooses the fields of records.
pub fn text(ty: Ty, value: &Value, fields: &[String]) -> String {
    match (ty, value) {
        (Ty::Void, _) => String::new(),
        (Ty::Map(Ty::Ref(_), Ty::Record(class)), Value::Map(records)) => {
            records_table(*class, records.iter().map(|(key, value)| (&**key, value.as_map())), fields)
        }
        (Ty::Set(Ty::Record(class)), Value::Set(records)) => {
            records_table(*class, records.iter().map(|value| ("", value.as_map())), fields)
        }
        (Ty::Record(_), Value::Map(record)) => pairs(record, fields),
        (Ty::Map(..), Value::Map(map)) => pairs(map, &[]),
        (_, Value::Set(values)) => values.iter().map(cell).collect::<Vec<_>>().join("\n"),
        (_, Value::Map(map)) => pairs(map, &[]),
        (_, value) => cell(value),
    }
}

pub fn table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    let terminal = console::Term::stdout();
    if let Some((_, columns)) = terminal.size_checked().filter(|_| terminal.is_term()) {
        table.set_width(columns);
    }
    table
}

/// Names and values, one below the other.
fn pairs(map: &Map, fields: &[String]) -> String {
    let mut table = table();
    for (name, value) in map.iter().filter(|(name, _)| fields.is_empty() || fields.iter().any(|f| **f == ***name)) {
        table.add_row([name.to_string(), cell(value)]);
    }
    table.trim_fmt()
}

fn records_table<'a>(class: ClassId, records: impl Iterator<Item = (&'a str, &'a Map)>, fields: &[String]) -> String {
    let columns: Vec<String> = if fields.is_empty() { usual_columns(class) } else { fields.to_vec() };
    let mut rows: Vec<Vec<String>> = records
        .map(|(reference, record)| {
            let column = |name: &String| match name.as_str() {
                "ref" => reference.to_string(),
                name => record.get(name).map(cell).unwrap_or_default(),
            };
            columns.iter().map(column).collect()
        })
        .collect();
    rows.sort();
    let mut table = table();
    table.set_header(columns.iter().map(|name| name.to_uppercase()));
    table.add_rows(rows);
    table.trim_fmt()
}

/// Records of no class, by the columns that are named.
pub fn rows(records: &[Value], columns: &[&str]) -> String {
    let mut table = table();
    table.set_header(columns.iter().map(|name| name.to_uppercase()));
    for record in records {
        table.add_row(columns.iter().map(|name| record.as_map().get(*name).map(cell).unwrap_or_default()));
    }
    table.trim_fmt()
}

/// The columns that say most: name, uuid, and the first states.
fn usual_columns(class: ClassId) -> Vec<String> {
    let fields = class.def().fields;
    let named = ["name_label", "uuid"].into_iter().filter(|name| fields.iter().any(|field| field.name == *name));
    let states = fields.iter().filter(|field| {
        matches!(field.ty, Ty::Enum(_)) && field.flags.lifecycle == Lifecycle::Published && !field.flags.internal
    });
    let columns: Vec<String> = named.chain(states.map(|field| field.name).take(STATES)).map(String::from).collect();
    if columns.is_empty() { vec!["ref".into()] } else { columns }
}

/// A value in one cell.
pub fn cell(value: &Value) -> String {
    match value {
        Value::Void | Value::Absent => String::new(),
        Value::String(text) => text.to_string(),
        Value::Ref(reference) => reference.to_string(),
        Value::Time(micros) => crate::value::format_time(*micros),
        Value::Set(values) => values.iter().map(cell).collect::<Vec<_>>().join(", "),
        Value::Map(map) => {
            map.iter().map(|(key, value)| format!("{key}: {}", cell(value))).collect::<Vec<_>>().join("; ")
        }
        plain => crate::value::to_json(plain).to_string().trim_matches('"').to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str, state: &str) -> Value {
        Value::map([
            ("name_label", Value::text(name)),
            ("uuid", Value::text("u")),
            ("power_state", Value::text(state)),
            ("tags", Value::set([Value::text("a"), Value::text("b")])),
        ])
    }

    #[test]
    fn records_are_tables() {
        let records = Value::map([("OpaqueRef:2", record("web", "Running")), ("OpaqueRef:1", record("db", "Halted"))]);
        let ty = Ty::Map(&Ty::Ref(ClassId::VM), &Ty::Record(ClassId::VM));
        let lines = |fields: &[&str]| -> Vec<String> {
            let fields: Vec<String> = fields.iter().map(ToString::to_string).collect();
            text(ty, &records, &fields)
                .lines()
                .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
                .collect()
        };
        assert_eq!(
            lines(&["name_label", "tags", "ref"]),
            ["NAME_LABEL TAGS REF", "db a, b OpaqueRef:1", "web a, b OpaqueRef:2"]
        );
        assert!(lines(&[])[0].starts_with("NAME_LABEL UUID POWER_STATE"));
        let one = text(Ty::Record(ClassId::VM), &record("web", "Running"), &["power_state".into()]);
        assert_eq!(one.split_whitespace().collect::<Vec<_>>(), ["power_state", "Running"]);
    }

    #[test]
    fn plain_results_are_plain() {
        assert_eq!(text(Ty::Void, &Value::text(""), &[]), "");
        assert_eq!(text(Ty::String, &Value::text("x"), &[]), "x");
        assert_eq!(text(Ty::Int, &Value::Int(7), &[]), "7");
        assert_eq!(text(Ty::Bool, &Value::Bool(true), &[]), "true");
        assert_eq!(text(Ty::Set(&Ty::String), &Value::set([Value::text("a"), Value::text("b")]), &[]), "a\nb");
        assert_eq!(json(&Value::set([Value::Int(1)])).expect("JSON"), "[\n  1\n]");
    }
}
