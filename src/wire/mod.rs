//! Bytes ↔ calls and replies. Knows no state.
use crate::value::Value;

/// A value as an XML-RPC fragment, as `task.result` holds it.
pub fn fragment(value: &Value) -> String {
    match value {
        Value::Void | Value::Absent => String::new(),
        Value::Ref(reference) => format!("<value>{reference}</value>"),
        other => format!("<value>{}</value>", other.as_str()),
    }
}
