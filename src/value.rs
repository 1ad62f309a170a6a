//! Values, references and records: what the model's types hold while running.
//!
//! Knows the types and their checks; must never know bytes on a wire, the
//! view, or what any class means.

pub mod decode;
mod record;
pub mod rendering;

pub use decode::from_json;
pub use record::Record;

use crate::error::{ApiError, codes};
use crate::model::{self, CLASSES, ClassId, Default, Enumeration, Ty};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

/// A reference to an object: 16 bytes, `OpaqueRef:` and a uuid on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Ref(pub [u8; 16]);

impl Ref {
    /// `OpaqueRef:NULL`.
    pub const NULL: Ref = Ref([0; 16]);
    const PREFIX: &'static str = "OpaqueRef:";

    pub fn is_null(self) -> bool {
        self == Ref::NULL
    }

    /// Reads the one spelling that this server writes. An empty string is a null reference: C clients send it.
    pub fn parse(text: &str) -> Option<Ref> {
        if text.is_empty() || text == "OpaqueRef:NULL" || text == "Ref:NULL" {
            return Some(Ref::NULL);
        }
        Ref::parse_uuid(text.strip_prefix(Ref::PREFIX)?)
    }

    /// Reads 36 characters of lower-case hexadecimal digits and dashes.
    pub fn parse_uuid(text: &str) -> Option<Ref> {
        let canonical = text.len() == 36 && !text.bytes().any(|byte| byte.is_ascii_uppercase());
        let uuid = uuid::Uuid::try_parse(text).ok().filter(|_| canonical)?;
        Some(Ref(*uuid.as_bytes()))
    }

    /// The 36 characters without `OpaqueRef:`.
    pub fn uuid_text(self) -> String {
        uuid::Uuid::from_bytes(self.0).as_hyphenated().to_string()
    }

    /// The wire's text, on the stack: no allocation.
    pub fn with_text<R>(self, use_text: impl FnOnce(&str) -> R) -> R {
        if self.is_null() {
            return use_text("OpaqueRef:NULL");
        }
        let mut buffer = *b"OpaqueRef:00000000-0000-0000-0000-000000000000";
        uuid::Uuid::from_bytes(self.0).as_hyphenated().encode_lower(&mut buffer[Ref::PREFIX.len()..]);
        use_text(std::str::from_utf8(&buffer).expect("BUG: hexadecimal digits are UTF-8"))
    }
}

impl fmt::Display for Ref {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_text(|text| f.write_str(text))
    }
}

impl fmt::Debug for Ref {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// As a uuid, in files of our own.
impl serde::Serialize for Ref {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.uuid_text())
    }
}

impl<'de> serde::Deserialize<'de> for Ref {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Ref, D::Error> {
        struct Uuid;
        impl serde::de::Visitor<'_> for Uuid {
            type Value = Ref;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a uuid")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Ref, E> {
                Ref::parse_uuid(text).ok_or_else(|| E::custom("not a uuid"))
            }
        }
        deserializer.deserialize_str(Uuid)
    }
}

/// Microseconds since 1970-01-01T00:00:00Z. Clients see whole seconds.
pub type Micros = i64;

/// A map: its keys are text on every wire, whatever their type.
pub type Map = BTreeMap<Arc<str>, Value>;

/// A value of some model type. Cheap to clone: what is large is shared.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    Void,
    Bool(bool),
    Int(i64),
    Float(f64),
    Time(Micros),
    String(Arc<str>),
    Enum(&'static str),
    Ref(Ref),
    /// XenAPI's "set" is a list: `error_info` has an order and may repeat.
    Set(Arc<[Value]>),
    /// A map, or a record: a map by field name.
    Map(Arc<Map>),
    /// An option without a value; left out of records.
    Absent,
}

static EMPTY_SET: LazyLock<Arc<[Value]>> = LazyLock::new(|| Arc::new([]));
static EMPTY_MAP: LazyLock<Arc<Map>> = LazyLock::new(|| Arc::new(Map::new()));
static EMPTY_TEXT: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from(""));

impl Value {
    pub fn empty_set() -> Value {
        Value::Set(EMPTY_SET.clone())
    }

    pub fn empty_map() -> Value {
        Value::Map(EMPTY_MAP.clone())
    }

    pub fn text(text: &str) -> Value {
        if text.is_empty() { Value::String(EMPTY_TEXT.clone()) } else { Value::String(Arc::from(text)) }
    }

    pub fn set(values: impl IntoIterator<Item = Value>) -> Value {
        let values: Vec<Value> = values.into_iter().collect();
        if values.is_empty() { Value::empty_set() } else { Value::Set(Arc::from(values)) }
    }

    pub fn map<K: AsRef<str>>(entries: impl IntoIterator<Item = (K, Value)>) -> Value {
        let map: Map = entries.into_iter().map(|(key, value)| (Arc::from(key.as_ref()), value)).collect();
        if map.is_empty() { Value::empty_map() } else { Value::Map(Arc::new(map)) }
    }

    /// The text of a string or of an enum's value; empty for anything else.
    pub fn as_str(&self) -> &str {
        match self {
            Value::String(text) => text,
            Value::Enum(name) => name,
            _ => "",
        }
    }

    pub fn as_set(&self) -> &[Value] {
        match self {
            Value::Set(values) => values,
            _ => &[],
        }
    }

    pub fn as_map(&self) -> &Map {
        match self {
            Value::Map(map) => map,
            _ => &EMPTY_MAP,
        }
    }

    pub fn as_ref(&self) -> Ref {
        match self {
            Value::Ref(reference) => *reference,
            _ => Ref::NULL,
        }
    }

    /// The references held here, whether in a reference, a set or the keys of a map; null ones are left out.
    pub fn references(&self, ty: Ty) -> Vec<Ref> {
        let mut found = match (self, ty) {
            (Value::Ref(reference), Ty::Ref(_)) => vec![*reference],
            (Value::Set(values), Ty::Set(Ty::Ref(_))) => values.iter().map(Value::as_ref).collect(),
            (Value::Map(map), Ty::Map(Ty::Ref(_), _)) => map.keys().filter_map(|key| Ref::parse(key)).collect(),
            (Value::Map(map), Ty::Map(_, Ty::Ref(_))) => map.values().map(Value::as_ref).collect(),
            _ => Vec::new(),
        };
        found.retain(|reference| !reference.is_null());
        found
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Value {
        Value::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Value {
        Value::Int(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Value {
        Value::Float(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Value {
        Value::text(value)
    }
}

impl From<String> for Value {
    fn from(value: String) -> Value {
        Value::text(&value)
    }
}

impl From<Arc<str>> for Value {
    fn from(value: Arc<str>) -> Value {
        Value::String(value)
    }
}

impl From<Ref> for Value {
    fn from(value: Ref) -> Value {
        Value::Ref(value)
    }
}

/// Which Rust type a model type is read as: `object.get(VM::VCPUs_max)` is an `i64`.
pub trait Read {
    type Out<'a>;
    fn read(value: &Value) -> Self::Out<'_>;
}

impl<T: Enumeration> Read for T {
    type Out<'a> = &'static str;
    fn read(value: &Value) -> &'static str {
        match value {
            Value::Enum(name) => name,
            other => panic!("BUG: {other:?} where an enum belongs"),
        }
    }
}

macro_rules! read {
    ($($marker:ty => $out:ty, $pattern:pat => $result:expr;)*) => {$(
        impl Read for $marker {
            type Out<'a> = $out;
            fn read(value: &Value) -> $out {
                match value {
                    $pattern => $result,
                    other => panic!("BUG: {other:?} where {} belongs", stringify!($marker)),
                }
            }
        }
    )*};
}

read! {
    model::types::Bool => bool, Value::Bool(value) => *value;
    model::types::Int => i64, Value::Int(value) => *value;
    model::types::Float => f64, Value::Float(value) => *value;
    model::types::DateTime => Micros, Value::Time(value) => *value;
}

impl Read for model::types::String {
    type Out<'a> = &'a Arc<str>;
    fn read(value: &Value) -> &Arc<str> {
        match value {
            Value::String(text) => text,
            other => panic!("BUG: {other:?} where a string belongs"),
        }
    }
}

impl<C: model::Declared> Read for model::types::Ref<C> {
    type Out<'a> = Ref;
    fn read(value: &Value) -> Ref {
        value.as_ref()
    }
}

impl<T> Read for model::types::Set<T> {
    type Out<'a> = &'a [Value];
    fn read(value: &Value) -> &[Value] {
        value.as_set()
    }
}

impl<K, V> Read for model::types::Map<K, V> {
    type Out<'a> = &'a Map;
    fn read(value: &Value) -> &Map {
        value.as_map()
    }
}

impl<T> Read for model::types::Option<T> {
    type Out<'a> = &'a Value;
    fn read(value: &Value) -> &Value {
        value
    }
}

/// The value that a type has when nobody said anything.
pub fn zero(ty: Ty) -> Value {
    match ty {
        Ty::Void => Value::Void,
        Ty::Bool => Value::Bool(false),
        Ty::Int => Value::Int(0),
        Ty::Float => Value::Float(0.0),
        Ty::DateTime => Value::Time(0),
        Ty::String => Value::text(""),
        Ty::Enum(def) => Value::Enum(def.values[0]),
        Ty::Ref(_) => Value::Ref(Ref::NULL),
        Ty::Set(_) => Value::empty_set(),
        Ty::Option(_) => Value::Absent,
        Ty::Map(..) | Ty::Record(_) | Ty::AnyRecord | Ty::EventBatch => Value::empty_map(),
    }
}

/// The value of a declared default.
pub fn default_value(ty: Ty, default: Option<Default>) -> Value {
    match default {
        None => zero(ty),
        Some(Default::Empty | Default::Null | Default::Epoch) => zero(ty),
        Some(Default::Text(text)) => literal(ty, text),
        Some(Default::Set(texts)) => {
            let Ty::Set(of) = ty else { panic!("BUG: a set as the default of {ty}") };
            Value::set(texts.iter().map(|text| literal(*of, text)))
        }
        Some(Default::Map(entries)) => Value::map(entries.iter().map(|(key, value)| (*key, Value::text(value)))),
    }
}

fn literal(ty: Ty, text: &'static str) -> Value {
    let bare = text.trim_matches('"');
    match ty {
        Ty::Bool => Value::Bool(bare == "true"),
        Ty::Int => Value::Int(bare.parse().expect("BUG: a default that is no integer")),
        Ty::Float => Value::Float(bare.parse().expect("BUG: a default that is no number")),
        Ty::String => Value::text(bare),
        Ty::Enum(def) => Value::Enum(def.intern(bare).expect("BUG: a default that is no value of its enum")),
        Ty::Option(of) => literal(*of, text),
        other => panic!("BUG: a literal as the default of {other}"),
    }
}

static DEFAULTS: LazyLock<Vec<Record>> = LazyLock::new(|| {
    CLASSES
        .iter()
        .map(|class| class.fields.iter().map(|field| default_value(field.ty, field.default)).collect())
        .collect()
});

/// The record that an object of the class has when nothing was said about it. Far sides of relations hold nothing here.
pub fn default_record(class: ClassId) -> &'static Record {
    &DEFAULTS[class as usize]
}

/// Makes a value that came off a wire fit a type: clients send integers as text and as numbers, references
/// as text, structs for maps and records. `name` is the parameter's or field's, for the error.
pub fn check(name: &str, ty: Ty, value: Value) -> Result<Value, ApiError> {
    let wrong = || codes::FIELD_TYPE_ERROR(name);
    Ok(match (ty, value) {
        (Ty::Void, _) => Value::Void,
        (Ty::Bool, Value::Bool(value)) => Value::Bool(value),
        (Ty::Bool, Value::String(text)) if &*text == "true" || &*text == "false" => Value::Bool(&*text == "true"),
        (Ty::Int, Value::Int(value)) => Value::Int(value),
        (Ty::Int, Value::String(text)) => Value::Int(text.trim().parse().map_err(|_| wrong())?),
        (Ty::Float, Value::Float(value)) if value.is_finite() => Value::Float(value),
        (Ty::Float, Value::Int(value)) => Value::Float(value as f64),
        (Ty::Float, Value::String(text)) => {
            Value::Float(text.trim().parse().ok().filter(|value: &f64| value.is_finite()).ok_or_else(wrong)?)
        }
        (Ty::DateTime, Value::Time(value)) => Value::Time(value),
        (Ty::DateTime, Value::String(text)) => Value::Time(parse_time(&text).ok_or_else(wrong)?),
        (Ty::String, Value::String(text)) => Value::String(text),
        (Ty::Enum(def), Value::String(text)) => match def.intern(&text) {
            Some(value) => Value::Enum(value),
            None => {
                return Err(codes::VALUE_NOT_SUPPORTED(name, &*text, format!("not a value of {}", def.name)));
            }
        },
        (Ty::Enum(def), Value::Enum(text)) => Value::Enum(def.intern(text).ok_or_else(wrong)?),
        (Ty::Ref(class), Value::String(text)) => {
            Value::Ref(Ref::parse(&text).ok_or_else(|| codes::HANDLE_INVALID(class.name(), &*text))?)
        }
        (Ty::Ref(_), Value::Ref(reference)) => Value::Ref(reference),
        (Ty::Set(of), Value::Set(values)) => {
            let checked: Result<Vec<Value>, ApiError> =
                values.iter().map(|value| check(name, *of, value.clone())).collect();
            Value::set(checked?)
        }
        (Ty::Map(key, of), Value::Map(map)) => {
            let mut checked = Map::new();
            for (text, value) in map.iter() {
                check(name, *key, Value::String(text.clone()))?;
                checked.insert(text.clone(), check(name, *of, value.clone())?);
            }
            Value::Map(Arc::new(checked))
        }
        (Ty::Record(_) | Ty::AnyRecord, Value::Map(map)) => Value::Map(map),
        (Ty::Option(_), Value::Absent) => Value::Absent,
        (Ty::Option(of), value) => check(name, *of, value)?,
        _ => return Err(wrong()),
    })
}

/// Makes a value written in our own code fit a field: a text becomes the enum's value of that name.
pub fn adopt(ty: Ty, value: Value) -> Value {
    match (ty, value) {
        (Ty::Enum(def), Value::String(text)) => {
            Value::Enum(def.intern(&text).unwrap_or_else(|| panic!("BUG: {text:?} is no {}", def.name)))
        }
        (Ty::Set(of @ Ty::Enum(_)), Value::Set(values)) => {
            Value::set(values.iter().map(|value| adopt(*of, value.clone())))
        }
        (Ty::Map(_, of @ Ty::Enum(_)), Value::Map(map)) => {
            Value::map(map.iter().map(|(key, value)| (key, adopt(*of, value.clone()))))
        }
        (Ty::DateTime, Value::Int(micros)) => Value::Time(micros),
        (_, value) => value,
    }
}

/// `20261122T19:56:26Z`, how every client reads a time.
pub fn format_time(micros: Micros) -> String {
    with_time(micros, str::to_string)
}

/// The same on the stack. A year beyond four digits is no time that a client could read: it is the epoch's.
pub fn with_time<R>(micros: Micros, use_text: impl FnOnce(&str) -> R) -> R {
    let time = jiff::Timestamp::from_microsecond(micros).unwrap_or_default();
    let mut time = jiff::tz::Offset::UTC.to_datetime(time);
    if time.year() < 0 {
        time = jiff::civil::datetime(1970, 1, 1, 0, 0, 0, 0);
    }
    let mut buffer = *b"00000000T00:00:00Z";
    let mut put = |at: usize, number: i16| {
        let digits = number.unsigned_abs() as u8;
        buffer[at] += digits / 10;
        buffer[at + 1] += digits % 10;
    };
    put(0, time.year() / 100);
    put(2, time.year() % 100);
    for (at, number) in [(4, time.month()), (6, time.day()), (9, time.hour()), (12, time.minute()), (15, time.second())]
    {
        put(at, number.into());
    }
    use_text(std::str::from_utf8(&buffer).expect("BUG: digits are UTF-8"))
}

/// Reads `YYYYMMDDThh:mm:ss`, with or without `Z`, with or without dashes.
pub fn parse_time(text: &str) -> Option<Micros> {
    let compact: String = text.trim().trim_end_matches('Z').chars().filter(|c| *c != '-').collect();
    let time = jiff::civil::DateTime::strptime("%Y%m%dT%H:%M:%S", &compact).ok()?;
    Some(time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_microsecond())
}

/// The persisted form of a value. Times are microseconds, references bare uuids, null references "".
pub fn to_json(value: &Value) -> Json {
    match value {
        Value::Void | Value::Absent => Json::Null,
        Value::Bool(value) => Json::from(*value),
        Value::Int(value) | Value::Time(value) => Json::from(*value),
        Value::Float(value) => Json::from(*value),
        Value::String(text) => Json::from(&**text),
        Value::Enum(name) => Json::from(*name),
        Value::Ref(reference) if reference.is_null() => Json::from(""),
        Value::Ref(reference) => Json::from(reference.uuid_text()),
        Value::Set(values) => Json::Array(values.iter().map(to_json).collect()),
        Value::Map(map) => Json::Object(map.iter().map(|(key, value)| (key.to_string(), to_json(value))).collect()),
    }
}

/// A value whose type nobody declared: a record on its way through.
pub fn untyped(json: &Json) -> Value {
    match json {
        Json::Null => Value::Absent,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match number.as_i64() {
            Some(value) => Value::Int(value),
            None => Value::Float(number.as_f64().unwrap_or(f64::INFINITY)),
        },
        Json::String(text) => Value::text(text),
        Json::Array(values) => Value::set(values.iter().map(untyped)),
        Json::Object(map) => Value::map(map.iter().map(|(key, value)| (key, untyped(value)))),
    }
}

/// Something that values are rendered into: one wire format. Implemented by `wire`, driven by whoever has values.
pub trait Encode {
    /// A value that many are given: written for the first of them, copied for the others.
    fn shared(&mut self, shared: &rendering::Shared, write: &dyn Fn(&mut dyn Encode));
    /// What void is on this wire: the empty string.
    fn void(&mut self);
    fn bool(&mut self, value: bool);
    fn int(&mut self, value: i64);
    /// The one kind of integer that XML-RPC clients get as a real integer: counts of valid references.
    fn count(&mut self, value: usize);
    fn float(&mut self, value: f64);
    fn time(&mut self, value: Micros);
    fn text(&mut self, value: &str);
    fn begin_array(&mut self);
    fn end_array(&mut self);
    fn begin_struct(&mut self);
    /// The name of the member whose value comes next.
    fn name(&mut self, name: &str);
    fn end_struct(&mut self);
    /// What follows will be about `times` as long as all that was written so far: room for it can be made in one step.
    fn expect(&mut self, times: f64);

    /// The name of a field of the model: nothing in it needs escaping on any wire.
    fn field(&mut self, name: &'static str) {
        self.name(name);
    }

    /// Text in which nothing needs escaping on any wire: a reference, a name of an enum.
    fn plain(&mut self, text: &str) {
        self.text(text);
    }

    fn reference(&mut self, value: Ref) {
        value.with_text(|text| self.plain(text));
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Void | Value::Absent => self.void(),
            Value::Bool(value) => self.bool(*value),
            Value::Int(value) => self.int(*value),
            Value::Float(value) => self.float(*value),
            Value::Time(value) => self.time(*value),
            Value::String(text) => self.text(text),
            Value::Enum(name) => self.plain(name),
            Value::Ref(reference) => self.reference(*reference),
            Value::Set(values) => {
                self.begin_array();
                for value in values.iter() {
                    self.value(value);
                }
                self.end_array();
            }
            Value::Map(map) => {
                self.begin_struct();
                for (key, value) in map.iter() {
                    self.name(key);
                    self.value(value);
                }
                self.end_struct();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_it_is_read() {
        const DAY: Micros = 86_400_000_000;
        for day in (-200_000..=2_000_000).step_by(997) {
            let time = day * DAY + day.rem_euclid(86_400) * 1_000_000;
            let text = format_time(time);
            let by_library = jiff::Timestamp::from_microsecond(time).expect("a time").strftime("%Y%m%dT%H:%M:%SZ");
            assert_eq!(text, by_library.to_string());
            assert_eq!(parse_time(&text), Some(time));
        }
        for beyond in [Micros::MIN, Micros::MAX, -70_000_000_000_000_000] {
            assert_eq!(format_time(beyond), "19700101T00:00:00Z", "{beyond} is no time that the wire can carry");
        }
    }
}
