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

/// Reads records of a class one after the other, each as a change to the one before: what both have alike is not written
/// again, and in memory once.
pub struct Series {
    class: ClassId,
    last: Record,
    /// The fields that the last one named.
    named: Vec<usize>,
}

impl Series {
    pub fn of(class: ClassId) -> Series {
        Series { class, last: default_record(class).clone(), named: Vec::new() }
    }

    pub fn class(&self) -> ClassId {
        self.class
    }

    /// The record in the JSON text; what it does not name has its default.
    pub fn next(&mut self, text: &str) -> Result<Record, serde_json::Error> {
        let mut record = self.last.clone();
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let named = deserializer.deserialize_map(Onto(self.class, &mut record))?;
        deserializer.end()?;
        for &field in self.named.iter().filter(|field| !named.contains(field)) {
            record.put(field, default_record(self.class)[field].clone());
        }
        (self.last, self.named) = (record.clone(), named);
        Ok(record)
    }
}

/// Reads a record's fields into one that is there; gives those that were named.
struct Onto<'r>(ClassId, &'r mut Record);

impl<'de> Visitor<'de> for Onto<'_> {
    type Value = Vec<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a record of {}", self.0.name())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<usize>, A::Error> {
        let fields = self.0.def().fields;
        let mut named = Vec::with_capacity(fields.len());
        while let Some(name) = map.next_key::<&str>()? {
            let index = MODEL.field(self.0, name).ok_or_else(|| de::Error::custom(format!("no field {name}")))?;
            self.1.put(index, map.next_value_seed(Of(fields[index].ty))?);
            named.push(index);
        }
        Ok(named)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Behind whatever record another was read, it is the same one.
    #[test]
    fn a_record_of_a_series_is_as_if_it_were_read_alone() {
        let texts = [
            r#"{"name_label":"a","memory_target":1,"other_config":{"x":"1"}}"#,
            r#"{"name_label":"b","memory_target":1,"other_config":{"x":"1"}}"#,
            r#"{"name_label":"b"}"#,
            "{}",
            r#"{"other_config":{"x":"2"},"name_label":"b","blobs":{}}"#,
            r#"{"name_label":"c","name_label":"a"}"#,
        ];
        let alone = |text: &str| Series::of(ClassId::VM).next(text).expect("a record");
        for before in texts {
            for text in texts {
                let mut series = Series::of(ClassId::VM);
                series.next(before).expect("a record");
                assert!(series.next(r#"{"name_label":"z","nonsense":1}"#).is_err());
                assert!(series.next(r#"{"name_label":"z","memory_target":"#).is_err());
                assert_eq!(series.next(text).expect("a record"), alone(text), "{text} behind {before}");
            }
        }
        let named = |text: &str, name: &str| {
            let mut expected = default_record(ClassId::VM).clone();
            expected[MODEL.field(ClassId::VM, "name_label").expect("a field")] = Value::text(name);
            assert_eq!(alone(text), expected);
        };
        named(texts[2], "b");
        named(texts[5], "a");
    }

    #[test]
    fn what_two_records_of_a_series_have_alike_is_kept_once() {
        let mut series = Series::of(ClassId::VM);
        let [first, second] = ["a", "b"].map(|name| {
            let text = format!(r#"{{"name_label":"{name}","name_description":"the same","other_config":{{"x":"1"}}}}"#);
            series.next(&text).expect("a record")
        });
        let field = |name| MODEL.field(ClassId::VM, name).expect("a field");
        match (&first[field("name_description")], &second[field("name_description")]) {
            (Value::String(first), Value::String(second)) => assert!(Arc::ptr_eq(first, second)),
            other => panic!("{other:?}"),
        }
        assert_eq!(first.differences(&second).collect::<Vec<_>>(), [field("name_label")]);
    }
}
