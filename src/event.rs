//! The event: one accepted call, whole, and its persisted form.
//!
//! This is the only thing that is ever stored as truth. Its form is read back
//! for ever: `schema` says which one a row has, and upcasting happens here and
//! nowhere else. Must never know the view, or what any class means.

mod read;

use crate::model::ClassId;
use crate::value::{Micros, Ref, Value};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::Value as Json;
use std::sync::Arc;

/// The form that this version writes.
pub const SCHEMA: u32 = 1;

/// What kind of row an event is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// An accepted call with its changes.
    Change,
    /// A call that was refused: by its role, by the state, by its arguments.
    Refused,
    /// A login, accepted or not.
    Login,
    /// A range of the log was archived.
    Seal,
    /// A restore began a new history.
    Lineage,
    /// The head was signed.
    Checkpoint,
}

impl Kind {
    const NAMES: [(Kind, &'static str); 6] = [
        (Kind::Change, "change"),
        (Kind::Refused, "refused"),
        (Kind::Login, "login"),
        (Kind::Seal, "seal"),
        (Kind::Lineage, "lineage"),
        (Kind::Checkpoint, "checkpoint"),
    ];

    pub fn name(self) -> &'static str {
        Kind::NAMES.iter().find(|(kind, _)| *kind == self).expect("BUG: every kind has a name").1
    }

    pub fn parse(name: &str) -> Option<Kind> {
        Kind::NAMES.iter().find(|(_, n)| *n == name).map(|(kind, _)| *kind)
    }
}

/// One accepted call.
#[derive(Clone, PartialEq, Debug)]
pub struct Event {
    pub kind: Kind,
    pub lineage: u64,
    pub term: u64,
    pub position: u64,
    pub time: Micros,
    /// Who: `user/root`, `host/UUID`, `timer`.
    pub principal: Arc<str>,
    /// `VM.start`; for what no client can call, a name of ours such as `host.observed`.
    pub message: Arc<str>,
    /// The client's id for the call, so that a retry gets the first answer; "" if it gave none.
    pub request: Arc<str>,
    /// The position of the event that this one follows from; 0 if none.
    pub cause: u64,
    pub body: Body,
}

/// What an event says beyond its envelope: the payload of its row.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Body {
    /// The peer's address; "" if there is none.
    pub address: Arc<str>,
    /// How the caller proved who it is: `password`, `token`, `peer`; "" for the server itself.
    pub auth: Arc<str>,
    /// Arguments that the changes do not show, secrets left out.
    pub args: Vec<(Arc<str>, Json)>,
    pub task: Option<Ref>,
    /// Code and parameters of a refusal or of a failed operation.
    pub error: Vec<String>,
    /// How many more like it were not written: the summary of a rate limit.
    pub repeated: u64,
    pub changes: Vec<Change>,
}

/// One object's part of an event.
#[derive(Clone, PartialEq, Debug)]
pub struct Change {
    pub class: ClassId,
    pub reference: Ref,
    pub operation: Operation,
}

#[derive(Clone, PartialEq, Debug)]
pub enum Operation {
    /// The fields that differ from their frozen default, by name.
    Add(Vec<(usize, Value)>),
    /// The fields that changed, by name.
    Mod(Vec<(usize, Delta)>),
    /// The fields that differed from their frozen default, by name: what it was. Events written by older versions
    /// say nothing here.
    Del(Vec<(usize, Value)>),
}

/// How one field changed.
#[derive(Clone, PartialEq, Debug)]
pub enum Delta {
    Scalar {
        old: Value,
        new: Value,
    },
    /// New = old without `removed`, then `added` at the end.
    Set {
        added: Vec<Value>,
        removed: Vec<Value>,
    },
    Map {
        set: Vec<(Arc<str>, Option<Value>, Value)>,
        removed: Vec<(Arc<str>, Value)>,
    },
}

impl Delta {
    /// What changed between two values of one field; the smallest form that gives `new` back from `old`.
    pub fn between(old: &Value, new: &Value) -> Delta {
        match (old, new) {
            (Value::Set(before), Value::Set(after)) => {
                let removed: Vec<Value> = before.iter().filter(|v| !after.contains(v)).cloned().collect();
                let added: Vec<Value> = after.iter().filter(|v| !before.contains(v)).cloned().collect();
                let delta = Delta::Set { added, removed };
                if delta.apply(old) == *new { delta } else { Delta::Scalar { old: old.clone(), new: new.clone() } }
            }
            (Value::Map(before), Value::Map(after)) => Delta::Map {
                set: after
                    .iter()
                    .filter(|(key, value)| before.get(*key) != Some(value))
                    .map(|(key, value)| (key.clone(), before.get(key).cloned(), value.clone()))
                    .collect(),
                removed: before
                    .iter()
                    .filter(|(key, _)| !after.contains_key(*key))
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .collect(),
            },
            _ => Delta::Scalar { old: old.clone(), new: new.clone() },
        }
    }

    /// Whether the change begins at that value.
    pub fn starts_from(&self, value: &Value) -> bool {
        match self {
            Delta::Scalar { old, .. } => old == value,
            Delta::Set { removed, .. } => removed.iter().all(|gone| value.as_set().contains(gone)),
            Delta::Map { set, removed } => {
                let map = value.as_map();
                set.iter().all(|(key, old, _)| map.get(key) == old.as_ref())
                    && removed.iter().all(|(key, old)| map.get(key) == Some(old))
            }
        }
    }

    /// The old value, given the new one. A set's members come back, those that were removed last.
    pub fn undo(&self, new: &Value) -> Value {
        match self {
            Delta::Scalar { old, .. } => old.clone(),
            Delta::Set { added, removed } => {
                let kept = new.as_set().iter().filter(|value| !added.contains(value));
                Value::set(kept.chain(removed).cloned())
            }
            Delta::Map { set, removed } => {
                let mut map = new.as_map().clone();
                for (key, old, _) in set {
                    match old {
                        Some(old) => map.insert(key.clone(), old.clone()),
                        None => map.remove(key),
                    };
                }
                map.extend(removed.iter().cloned());
                if map.is_empty() { Value::empty_map() } else { Value::Map(Arc::new(map)) }
            }
        }
    }

    /// The new value, given the old one.
    pub fn apply(&self, old: &Value) -> Value {
        match self {
            Delta::Scalar { new, .. } => new.clone(),
            Delta::Set { added, removed } => {
                let kept = old.as_set().iter().filter(|value| !removed.contains(value));
                Value::set(kept.chain(added).cloned())
            }
            Delta::Map { set, removed } => {
                let mut map = old.as_map().clone();
                for (key, _) in removed {
                    map.remove(key);
                }
                for (key, _, value) in set {
                    map.insert(key.clone(), value.clone());
                }
                if map.is_empty() { Value::empty_map() } else { Value::Map(Arc::new(map)) }
            }
        }
    }
}

impl Body {
    /// The payload of a row: JSON with sorted keys.
    pub fn to_payload(&self) -> String {
        serde_json::to_string(self).expect("BUG: a body is always JSON")
    }

    /// Reads a payload of any schema ever written.
    pub fn from_payload(schema: u32, payload: &str) -> Result<Body, Unreadable> {
        if schema != SCHEMA {
            return Err(Unreadable(format!("schema {schema} is newer than this version's {SCHEMA}")));
        }
        read::body(payload).map_err(|error| Unreadable(error.to_string()))
    }
}

/// A stored payload that this version cannot read.
#[derive(Debug, thiserror::Error)]
#[error("unreadable event: {0}")]
pub struct Unreadable(String);

impl Serialize for Body {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if !self.address.is_empty() {
            map.serialize_entry("address", &*self.address)?;
        }
        if !self.args.is_empty() {
            map.serialize_entry("args", &Args(&self.args))?;
        }
        if !self.auth.is_empty() {
            map.serialize_entry("auth", &*self.auth)?;
        }
        if !self.changes.is_empty() {
            map.serialize_entry("changes", &self.changes)?;
        }
        if !self.error.is_empty() {
            map.serialize_entry("error", &self.error)?;
        }
        if self.repeated > 0 {
            map.serialize_entry("repeated", &self.repeated)?;
        }
        if let Some(task) = self.task {
            map.serialize_entry("task", &Stored(&Value::Ref(task)))?;
        }
        map.end()
    }
}

struct Args<'a>(&'a [(Arc<str>, Json)]);

impl Serialize for Args<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (&**name, value)))
    }
}

impl Serialize for Change {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = self.class.def().fields;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("class", self.class.name())?;
        let operation = match &self.operation {
            Operation::Add(values) => {
                map.serialize_entry("fields", &Added(fields, values))?;
                "add"
            }
            Operation::Mod(deltas) => {
                map.serialize_entry("fields", &Modified(fields, deltas))?;
                "mod"
            }
            Operation::Del(values) => {
                if !values.is_empty() {
                    map.serialize_entry("fields", &Added(fields, values))?;
                }
                "del"
            }
        };
        map.serialize_entry("op", operation)?;
        map.serialize_entry("ref", &Stored(&Value::Ref(self.reference)))?;
        map.end()
    }
}

struct Added<'a>(&'static [crate::model::Field], &'a [(usize, Value)]);

impl Serialize for Added<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.1.iter().map(|(index, value)| (self.0[*index].name, Stored(value))))
    }
}

struct Modified<'a>(&'static [crate::model::Field], &'a [(usize, Delta)]);

impl Serialize for Modified<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.1.iter().map(|(index, delta)| (self.0[*index].name, delta)))
    }
}

impl Serialize for Delta {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Delta::Scalar { old, new } => {
                map.serialize_entry("new", &Stored(new))?;
                map.serialize_entry("old", &Stored(old))?;
            }
            Delta::Set { added, removed } => {
                map.serialize_entry("added", &added.iter().map(Stored).collect::<Vec<_>>())?;
                map.serialize_entry("removed", &removed.iter().map(Stored).collect::<Vec<_>>())?;
            }
            Delta::Map { set, removed } => {
                map.serialize_entry("removed", &RemovedKeys(removed))?;
                map.serialize_entry("set", &SetKeys(set))?;
            }
        }
        map.end()
    }
}

struct RemovedKeys<'a>(&'a [(Arc<str>, Value)]);

impl Serialize for RemovedKeys<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, old)| (&**key, Stored(old))))
    }
}

struct SetKeys<'a>(&'a [(Arc<str>, Option<Value>, Value)]);

impl Serialize for SetKeys<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, old, new)| (&**key, (old.as_ref().map(Stored), Stored(new)))))
    }
}

/// A value in its persisted form, see [`value::to_json`].
pub struct Stored<'a>(pub &'a Value);

impl Serialize for Stored<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Void | Value::Absent => serializer.serialize_unit(),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Int(value) | Value::Time(value) => serializer.serialize_i64(*value),
            Value::Float(value) => serializer.serialize_f64(*value),
            Value::String(text) => serializer.serialize_str(text),
            Value::Enum(name) => serializer.serialize_str(name),
            Value::Ref(reference) if reference.is_null() => serializer.serialize_str(""),
            Value::Ref(reference) => reference.with_text(|text| serializer.serialize_str(&text["OpaqueRef:".len()..])),
            Value::Set(values) => {
                let mut sequence = serializer.serialize_seq(Some(values.len()))?;
                for value in values.iter() {
                    sequence.serialize_element(&Stored(value))?;
                }
                sequence.end()
            }
            Value::Map(map) => serializer.collect_map(map.iter().map(|(key, value)| (&**key, Stored(value)))),
        }
    }
}
