//! Reading a payload back: from text straight into typed values, since a
//! replay does little else.

use super::{Body, Change, Delta, Operation};
use crate::model::{ClassId, MODEL, Ty};
use crate::value::decode::Of;
use crate::value::{Ref, Value};
use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value as Json;
use serde_json::value::RawValue;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

/// Changes of an event, and fields of a change: most often there is one, and room for more would be most of what an
/// event takes.
const USUAL: usize = 1;

/// Reads what [`Body`]'s `Serialize` wrote.
pub fn body(payload: &str) -> Result<Body, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(payload);
    let body = Stored::deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(body)
}

/// How a [`Body`] is stored: what is empty is left out.
#[derive(Deserialize)]
#[serde(remote = "Body")]
struct Stored {
    #[serde(default, deserialize_with = "text")]
    address: Arc<str>,
    #[serde(default, deserialize_with = "text")]
    auth: Arc<str>,
    #[serde(default, deserialize_with = "args")]
    args: Vec<(Arc<str>, Json)>,
    task: Option<Ref>,
    #[serde(default)]
    error: Vec<String>,
    #[serde(default)]
    repeated: u64,
    #[serde(default, deserialize_with = "changes")]
    changes: Vec<Change>,
}

/// A text, without a `String` on the way.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<str>, D::Error> {
    struct Text;
    impl Visitor<'_> for Text {
        type Value = Arc<str>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Arc<str>, E> {
            Ok(Arc::from(text))
        }
    }
    deserializer.deserialize_str(Text)
}

/// The arguments, in the order in which they are stored.
fn args<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(Arc<str>, Json)>, D::Error> {
    KeysOf(PhantomData::<Json>).deserialize(deserializer)
}

/// The changes, each as it comes.
fn changes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Change>, D::Error> {
    struct Changes;
    impl<'de> Visitor<'de> for Changes {
        type Value = Vec<Change>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of changes")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<Change>, A::Error> {
            let mut changes = Vec::with_capacity(USUAL);
            while let Some(stored) = list.next_element()? {
                changes.push(change(stored).map_err(de::Error::custom)?);
            }
            Ok(changes)
        }
    }
    deserializer.deserialize_seq(Changes)
}

#[derive(Deserialize)]
struct StoredChange<'a> {
    class: &'a str,
    /// Kept as text: their form depends on `op`, which comes later.
    #[serde(borrow)]
    fields: Option<&'a RawValue>,
    op: &'a str,
    #[serde(rename = "ref")]
    reference: Ref,
}

fn change(stored: StoredChange<'_>) -> Result<Change, serde_json::Error> {
    let unknown = |what: &str, name: &str| de::Error::custom(format!("there is no {what} {name:?}"));
    let class = MODEL.class(stored.class).ok_or_else(|| unknown("class", stored.class))?;
    let fields = || stored.fields.map(RawValue::get).ok_or_else(|| de::Error::missing_field("fields"));
    let operation = match stored.op {
        "add" => Operation::Add(members(fields()?, FieldsOf { class, of: Of })?),
        "mod" => Operation::Mod(members(fields()?, FieldsOf { class, of: DeltaOf })?),
        // Older versions did not say what was deleted.
        "del" => Operation::Del(match stored.fields {
            Some(fields) => members(fields.get(), FieldsOf { class, of: Of })?,
            None => Vec::new(),
        }),
        other => return Err(unknown("operation", other)),
    };
    Ok(Change { class, reference: stored.reference, operation })
}

fn members<'a, T>(
    text: &'a str,
    fields: impl Visitor<'a, Value = Vec<(usize, T)>>,
) -> Result<Vec<(usize, T)>, serde_json::Error> {
    serde_json::Deserializer::from_str(text).deserialize_map(fields)
}

/// The fields of a change, each by what its type needs.
struct FieldsOf<F> {
    class: ClassId,
    of: F,
}

impl<'de, S: DeserializeSeed<'de>, F: Fn(Ty) -> S> Visitor<'de> for FieldsOf<F> {
    type Value = Vec<(usize, S::Value)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fields of {}", self.class.name())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let fields = self.class.def().fields;
        let mut members = Vec::with_capacity(USUAL);
        while let Some(name) = map.next_key::<&str>()? {
            let index = MODEL.field(self.class, name);
            let index = index.ok_or_else(|| de::Error::custom(format!("no field {}.{name}", self.class.name())))?;
            members.push((index, map.next_value_seed((self.of)(fields[index].ty))?));
        }
        Ok(members)
    }
}

/// Reads how a field of a type changed.
struct DeltaOf(Ty);

impl<'de> DeserializeSeed<'de> for DeltaOf {
    type Value = Delta;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Delta, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for DeltaOf {
    type Value = Delta;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a change of a {}", self.0)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Delta, A::Error> {
        let (mut new, mut old) = (None, None);
        let (mut added, mut gone) = (None, None);
        let (mut set, mut removed) = (None, None);
        while let Some(name) = map.next_key::<&str>()? {
            match (name, self.0) {
                ("new", ty) => new = Some(map.next_value_seed(Of(ty))?),
                ("old", ty) => old = Some(map.next_value_seed(Of(ty))?),
                ("added", Ty::Set(of)) => added = Some(map.next_value_seed(ListOf(Of(*of)))?),
                ("removed", Ty::Set(of)) => gone = Some(map.next_value_seed(ListOf(Of(*of)))?),
                ("set", Ty::Map(_, of)) => set = Some(map.next_value_seed(KeysOf(PairOf(*of)))?),
                ("removed", Ty::Map(_, of)) => removed = Some(map.next_value_seed(KeysOf(Of(*of)))?),
                (other, ty) => return Err(de::Error::custom(format!("{other:?} says nothing of a {ty}"))),
            }
        }
        match (old, new, added, gone, set, removed) {
            (Some(old), Some(new), None, None, None, None) => Ok(Delta::Scalar { old, new }),
            (None, None, Some(added), Some(removed), None, None) => Ok(Delta::Set { added, removed }),
            (None, None, None, None, Some(set), Some(removed)) => {
                let set = set.into_iter().map(|(key, (old, new))| (key, old, new)).collect();
                Ok(Delta::Map { set, removed })
            }
            _ => Err(de::Error::custom("half of a change is missing")),
        }
    }
}

/// A list of what the seed reads.
#[derive(Clone, Copy)]
struct ListOf<S>(S);

impl<'de, S: DeserializeSeed<'de> + Copy> DeserializeSeed<'de> for ListOf<S> {
    type Value = Vec<S::Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, S: DeserializeSeed<'de> + Copy> Visitor<'de> for ListOf<S> {
    type Value = Vec<S::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(self.0)? {
            values.push(value);
        }
        Ok(values)
    }
}

/// Keys with what the seed reads.
#[derive(Clone, Copy)]
struct KeysOf<S>(S);

impl<'de, S: DeserializeSeed<'de> + Copy> DeserializeSeed<'de> for KeysOf<S> {
    type Value = Vec<(Arc<str>, S::Value)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, S: DeserializeSeed<'de> + Copy> Visitor<'de> for KeysOf<S> {
    type Value = Vec<(Arc<str>, S::Value)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("keys with their values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            entries.push((Arc::from(key), map.next_value_seed(self.0)?));
        }
        Ok(entries)
    }
}

/// `[old, new]` of one key; old is null where the key is new.
#[derive(Clone, Copy)]
struct PairOf(Ty);

impl<'de> DeserializeSeed<'de> for PairOf {
    type Value = (Option<Value>, Value);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for PairOf {
    type Value = (Option<Value>, Value);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an old and a new {}", self.0)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut pair: A) -> Result<Self::Value, A::Error> {
        let missing = || de::Error::invalid_length(0, &"an old and a new value");
        let old = pair.next_element_seed(PerhapsOf(self.0))?.ok_or_else(missing)?;
        let new = pair.next_element_seed(Of(self.0))?.ok_or_else(missing)?;
        Ok((old, new))
    }
}

/// A value, or null for none.
struct PerhapsOf(Ty);

impl<'de> DeserializeSeed<'de> for PerhapsOf {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for PerhapsOf {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a {} or null", self.0)
    }

    fn visit_none<E: de::Error>(self) -> Result<Option<Value>, E> {
        Ok(None)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Option<Value>, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<Value>, D::Error> {
        Of(self.0).deserialize(deserializer).map(Some)
    }
}
