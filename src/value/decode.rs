//! Reading the persisted form: JSON straight into values, by the model's types.

use super::{Map, Record, Ref, Value, default_record, untyped};
use crate::model::{ClassId, MODEL, Ty};
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::sync::Arc;

/// Reads the persisted form; `None` when it does not fit the type.
pub fn from_json(ty: Ty, json: &serde_json::Value) -> Option<Value> {
    Of(ty).deserialize(json).ok()
}

/// The record in the JSON text; what it does not name has its default.
pub fn record(class: ClassId, text: &str) -> Result<Record, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let record = deserializer.deserialize_map(RecordOf(class))?;
    deserializer.end()?;
    Ok(record)
}

struct RecordOf(ClassId);

impl<'de> Visitor<'de> for RecordOf {
    type Value = Record;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a record of {}", self.0.name())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Record, A::Error> {
        let mut record = default_record(self.0).clone();
        let fields = self.0.def().fields;
        while let Some(name) = map.next_key::<&str>()? {
            let index = MODEL.field(self.0, name).ok_or_else(|| de::Error::custom(format!("no field {name}")))?;
            record[index] = map.next_value_seed(Of(fields[index].ty))?;
        }
        Ok(record)
    }
}

/// Reads a value of a type.
#[derive(Clone, Copy)]
pub struct Of(pub Ty);

impl<'de> DeserializeSeed<'de> for Of {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self.0 {
            Ty::Option(of) => deserializer.deserialize_option(OptionOf(*of)),
            Ty::Record(_) | Ty::AnyRecord | Ty::EventBatch => {
                let json: serde_json::Value = de::Deserialize::deserialize(deserializer)?;
                Ok(untyped(&json))
            }
            _ => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Of {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        match self.0 {
            Ty::Bool => Ok(Value::Bool(value)),
            _ => Err(E::invalid_type(de::Unexpected::Bool(value), &self)),
        }
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        match self.0 {
            Ty::Int => Ok(Value::Int(value)),
            Ty::DateTime => Ok(Value::Time(value)),
            Ty::Float => Ok(Value::Float(value as f64)),
            _ => Err(E::invalid_type(de::Unexpected::Signed(value), &self)),
        }
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        let signed = i64::try_from(value).map_err(|_| E::invalid_value(de::Unexpected::Unsigned(value), &self))?;
        self.visit_i64(signed)
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        match self.0 {
            Ty::Float => Ok(Value::Float(value)),
            _ => Err(E::invalid_type(de::Unexpected::Float(value), &self)),
        }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        let value = match self.0 {
            Ty::String => Some(Value::text(text)),
            Ty::Enum(def) => def.intern(text).map(Value::Enum),
            Ty::Ref(_) if text.is_empty() => Some(Value::Ref(Ref::NULL)),
            Ty::Ref(_) => Ref::parse_uuid(text).map(Value::Ref),
            _ => None,
        };
        value.ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        match self.0 {
            Ty::Void => Ok(Value::Void),
            _ => Err(E::invalid_type(de::Unexpected::Unit, &self)),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let Ty::Set(of) = self.0 else { return Err(de::Error::invalid_type(de::Unexpected::Seq, &self)) };
        let mut values = Vec::new();
        while let Some(value) = sequence.next_element_seed(Of(*of))? {
            values.push(value);
        }
        Ok(Value::set(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let Ty::Map(_, of) = self.0 else {
            while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Err(de::Error::invalid_type(de::Unexpected::Map, &self));
        };
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            map.insert(Arc::from(key), entries.next_value_seed(Of(*of))?);
        }
        Ok(if map.is_empty() { Value::empty_map() } else { Value::Map(Arc::new(map)) })
    }
}

struct OptionOf(Ty);

impl<'de> Visitor<'de> for OptionOf {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} or null", self.0)
    }

    fn visit_none<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Absent)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Absent)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Of(self.0).deserialize(deserializer)
    }
}
