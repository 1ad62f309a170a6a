//! JSON-RPC 1.0 and 2.0: calls, batches, answers.
//!
//! A call is 1.0 unless it says `"jsonrpc":"2.0"`. Envelopes are taken apart
//! without being decoded, so that an id goes back byte for byte and a call
//! with a bad parameter is still answered under its id. A call without an id is
//! answered under `null`: HTTP owes an answer in any case.

use super::{Call, Fault, MAX_BATCH, MAX_DEPTH, Malformed, Protocol, Reply, any_byte};
use crate::error::ApiError;
use crate::value::rendering::Shared;
use crate::value::{Encode, Map, Micros, Value, with_time};
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// What one body holds.
#[derive(Clone, PartialEq, Debug)]
pub enum Request {
    Single(Call),
    /// Each call stands for itself: a malformed one has its own answer among the others. Never empty.
    Batch(Vec<Result<Call, Malformed>>),
}

/// Reads one body: a call or a batch.
pub fn parse(bytes: &[u8]) -> Result<Request, Malformed> {
    let nobody = Reply { protocol: Protocol::JsonRpc2, id: Box::from("null") };
    let wrong = |fault, detail: String| Malformed { fault, detail, reply: nobody.clone() };
    let text = std::str::from_utf8(bytes).map_err(|_| wrong(Fault::Syntax, "the body is not UTF-8".into()))?;
    if !text.trim_start().starts_with('[') {
        return call(text).map(Request::Single);
    }
    let calls: Batch = serde_json::from_str(text).map_err(|error| wrong(fault_of(&error), error.to_string()))?;
    if calls.0.is_empty() {
        return Err(wrong(Fault::Request, "a batch without calls".into()));
    }
    Ok(Request::Batch(calls.0.into_iter().map(|raw| call(raw.get())).collect()))
}

/// The answer to a batch, from the answers to its calls.
pub fn join<'a>(out: &mut Vec<u8>, answers: impl IntoIterator<Item = &'a [u8]>) {
    out.push(b'[');
    for (at, answer) in answers.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(answer);
    }
    out.push(b']');
}

fn call(text: &str) -> Result<Call, Malformed> {
    let mut reply = Reply { protocol: Protocol::JsonRpc2, id: Box::from("null") };
    let envelope: Envelope = match serde_json::from_str(text) {
        Ok(envelope) => envelope,
        // serde_json would quote a text that stands where an object belongs, and it may be a password.
        Err(error) if error.is_data() && !text.trim_start().starts_with('{') => {
            return Err(Malformed { fault: Fault::Request, detail: "a call is an object".into(), reply });
        }
        Err(error) => return Err(Malformed { fault: fault_of(&error), detail: error.to_string(), reply }),
    };
    if envelope.jsonrpc.map(RawValue::get) != Some("\"2.0\"") {
        reply.protocol = Protocol::JsonRpc1;
    }
    let id = envelope.id.map_or("null", RawValue::get);
    let wrong = |fault, detail: String, reply| Err(Malformed { fault, detail, reply });
    if id.starts_with(['{', '[', 't', 'f']) {
        return wrong(Fault::Request, "an id that is no number and no string".into(), reply);
    }
    reply.id = Box::from(id);
    let Some(Ok(method)) = envelope.method.map(|raw| serde_json::from_str::<String>(raw.get())) else {
        return wrong(Fault::Request, "a call without the name of a method".into(), reply);
    };
    match envelope.params.map_or(Ok(Vec::new()), |raw| params(raw.get())) {
        Ok(params) => Ok(Call { method, params, reply }),
        Err(detail) => wrong(Fault::Params, detail, reply),
    }
}

fn params(text: &str) -> Result<Vec<Value>, String> {
    if !text.starts_with('[') {
        return Err("parameters have an order: they come in an array".into());
    }
    decode(text, MAX_DEPTH, |nested, json| json.deserialize_seq(Elements(nested)))
}

type Json<'t> = serde_json::Deserializer<serde_json::de::StrRead<'t>>;

/// Reads text that holds nothing nested deeper than this, and no integer beyond 64 bits.
fn decode<'t, T>(
    text: &'t str,
    depth: usize,
    read: impl FnOnce(Nested<'_>, &mut Json<'t>) -> serde_json::Result<T>,
) -> Result<T, String> {
    let floats = Cell::new(false);
    let nested = Nested { depth, floats: &floats };
    let value = read(nested, &mut serde_json::Deserializer::from_str(text)).map_err(|error| describe(&error))?;
    if floats.get() && has_oversized_integer(text) {
        return Err("an integer of more than 64 bits".into());
    }
    Ok(value)
}

/// Our own words end before serde_json's position, which would count from the parameter's start.
fn describe(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split_once(" at line ").map_or(text.clone(), |(detail, _)| detail.to_owned())
}

fn fault_of(error: &serde_json::Error) -> Fault {
    if error.is_data() { Fault::Request } else { Fault::Syntax }
}

/// serde_json reads an integer beyond 64 bits as a float; only its text still tells. `text` is well-formed.
fn has_oversized_integer(text: &str) -> bool {
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c == '"' || c == '-' || c.is_ascii_digit()) {
        rest = &rest[at..];
        let length = if rest.starts_with('"') {
            string_length(rest)
        } else {
            let length = rest.find(|c| !matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E')).unwrap_or(rest.len());
            let number = &rest[..length];
            if !number.contains(['.', 'e', 'E']) && number.parse::<i64>().is_err() {
                return true;
            }
            length
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    false
}

/// The bytes of the string at the start of `text`, with its quotation marks.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    });
    end.map_or(text.len(), |end| end + 2)
}

/// The name of a member of a call.
#[derive(serde::Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Member {
    Jsonrpc,
    Id,
    Method,
    Params,
    Other(String),
}

/// The members of a call, not decoded. What else there is means nothing, but has names too.
#[derive(Default)]
struct Envelope<'a> {
    jsonrpc: Option<&'a RawValue>,
    id: Option<&'a RawValue>,
    method: Option<&'a RawValue>,
    params: Option<&'a RawValue>,
    others: BTreeSet<String>,
}

impl<'de> de::Deserialize<'de> for Envelope<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Envelope<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a call, which is an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Envelope<'de>, A::Error> {
                let mut envelope = Envelope::default();
                while let Some(member) = access.next_key::<Member>()? {
                    let raw = access.next_value::<&RawValue>()?;
                    let again = match member {
                        Member::Jsonrpc => envelope.jsonrpc.replace(raw).is_some(),
                        Member::Id => envelope.id.replace(raw).is_some(),
                        Member::Method => envelope.method.replace(raw).is_some(),
                        Member::Params => envelope.params.replace(raw).is_some(),
                        Member::Other(name) => !envelope.others.insert(name),
                    };
                    if again {
                        return Err(de::Error::custom("two members of one name"));
                    }
                }
                Ok(envelope)
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// The calls of a batch, not decoded.
struct Batch<'a>(Vec<&'a RawValue>);

impl<'de> de::Deserialize<'de> for Batch<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Calls;
        impl<'de> Visitor<'de> for Calls {
            type Value = Batch<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a batch")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Batch<'de>, A::Error> {
                let mut calls = Vec::new();
                while let Some(raw) = access.next_element()? {
                    if calls.len() == MAX_BATCH {
                        return Err(de::Error::custom(format_args!("a batch of more than {MAX_BATCH} calls")));
                    }
                    calls.push(raw);
                }
                Ok(Batch(calls))
            }
        }
        deserializer.deserialize_seq(Calls)
    }
}

/// Reads straight into a `Value`: no tree in between, and duplicate names show.
#[derive(Clone, Copy)]
struct Nested<'f> {
    depth: usize,
    /// Set when a number was no integer of 64 bits.
    floats: &'f Cell<bool>,
}

impl Nested<'_> {
    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(Nested { depth, ..self }),
            None => Err(E::custom(format_args!("values nest deeper than {MAX_DEPTH}"))),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Nested<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self.deeper()?)
    }
}

impl<'de> Visitor<'de> for Nested<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Absent)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        i64::try_from(value).map(Value::Int).map_err(|_| E::custom("an integer of more than 64 bits"))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        self.floats.set(true);
        Ok(Value::Float(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, access: A) -> Result<Value, A::Error> {
        Elements(self).visit_seq(access).map(Value::set)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = access.next_key::<String>()? {
            if map.insert(Arc::from(name), access.next_value_seed(self)?).is_some() {
                return Err(de::Error::custom("an object with two members of one name"));
            }
        }
        Ok(if map.is_empty() { Value::empty_map() } else { Value::Map(Arc::new(map)) })
    }
}

/// The elements of an array.
struct Elements<'f>(Nested<'f>);

impl<'de> Visitor<'de> for Elements<'_> {
    type Value = Vec<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Vec<Value>, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = access.next_element_seed(self.0)? {
            values.push(value);
        }
        Ok(values)
    }
}

/// Decodes one value that stands alone: a result, for our own client.
pub(super) fn value(text: &str) -> Result<Value, String> {
    decode(text, MAX_DEPTH * 2, |nested, json| nested.deserialize(json))
}

/// Renders values into a buffer. Whether a comma is due shows in the last byte, so there is no stack.
pub struct JsonWriter<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
}

impl<'a> JsonWriter<'a> {
    pub fn new(out: &'a mut Vec<u8>) -> JsonWriter<'a> {
        let start = out.len();
        JsonWriter { out, start }
    }

    /// The comma before the next member or element, unless it is the first. No value ends in one of these bytes.
    fn next(&mut self) {
        if self.out.len() > self.start && !matches!(self.out.last(), Some(b'[' | b'{' | b':')) {
            self.out.push(b',');
        }
    }

    fn put(&mut self, bytes: &[u8]) {
        self.next();
        self.out.extend_from_slice(bytes);
    }
}

impl Encode for JsonWriter<'_> {
    fn expect(&mut self, times: f64) {
        super::make_room(self.out, times);
    }

    fn shared(&mut self, shared: &Shared, write: &dyn Fn(&mut dyn Encode)) {
        let bytes = shared.json.get_or_write(|out| write(&mut JsonWriter::new(out)));
        self.put(bytes);
    }

    fn void(&mut self) {
        self.put(b"\"\"");
    }

    fn bool(&mut self, value: bool) {
        self.put(if value { b"true" } else { b"false" });
    }

    fn int(&mut self, value: i64) {
        self.put(itoa::Buffer::new().format(value).as_bytes());
    }

    fn count(&mut self, value: usize) {
        self.put(itoa::Buffer::new().format(value).as_bytes());
    }

    /// The shortest text that reads back as the same number. No wire carries NaN or infinity: they are 0.
    fn float(&mut self, value: f64) {
        self.next();
        let value = if value.is_finite() { value } else { 0.0 };
        serde_json::to_writer(&mut *self.out, &value).expect("BUG: a buffer takes all bytes");
    }

    fn time(&mut self, value: Micros) {
        with_time(value, |text| self.plain(text));
    }

    fn text(&mut self, value: &str) {
        self.next();
        escape(self.out, value);
    }

    fn plain(&mut self, text: &str) {
        self.next();
        quote(self.out, text.as_bytes());
    }

    fn begin_array(&mut self) {
        self.put(b"[");
    }

    fn end_array(&mut self) {
        self.out.push(b']');
    }

    fn begin_struct(&mut self) {
        self.put(b"{");
    }

    fn name(&mut self, name: &str) {
        self.text(name);
        self.out.push(b':');
    }

    fn end_struct(&mut self) {
        self.out.push(b'}');
    }

    fn field(&mut self, name: &'static str) {
        self.next();
        self.out.reserve(name.len() + 3);
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }
}

/// Appends what needs no escaping, with its quotation marks.
fn quote(out: &mut Vec<u8>, plain: &[u8]) {
    out.reserve(plain.len() + 2);
    out.push(b'"');
    out.extend_from_slice(plain);
    out.push(b'"');
}

/// Appends a string with its quotation marks.
fn escape(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    if !any_byte(bytes, |byte| (byte < 0x20) | (byte == b'"') | (byte == b'\\')) {
        return quote(out, bytes);
    }
    out.push(b'"');
    let mut written = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if *byte >= 0x20 && !matches!(byte, b'"' | b'\\') {
            continue;
        }
        out.extend_from_slice(&bytes[written..at]);
        written = at + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control => {
                let digits = b"0123456789abcdef";
                out.extend_from_slice(b"\\u00");
                out.push(digits[usize::from(control >> 4)]);
                out.push(digits[usize::from(control & 15)]);
            }
        }
    }
    out.extend_from_slice(&bytes[written..]);
    out.push(b'"');
}

pub(super) fn begin_result(out: &mut Vec<u8>, protocol: Protocol) {
    out.extend_from_slice(match protocol {
        Protocol::JsonRpc1 => b"{\"result\":",
        _ => b"{\"jsonrpc\":\"2.0\",\"result\":",
    });
}

pub(super) fn end_result(out: &mut Vec<u8>, protocol: Protocol, id: &str) {
    if protocol == Protocol::JsonRpc1 {
        out.extend_from_slice(b",\"error\":null");
    }
    end(out, id);
}

fn end(out: &mut Vec<u8>, id: &str) {
    out.extend_from_slice(b",\"id\":");
    out.extend_from_slice(id.as_bytes());
    out.push(b'}');
}

pub(super) fn failure(out: &mut Vec<u8>, protocol: Protocol, id: &str, error: &ApiError) {
    let params = error.params.iter().map(String::as_str);
    match protocol {
        Protocol::JsonRpc1 => old_error(out, std::iter::once(error.code).chain(params)),
        _ => {
            let mut writer = begin_error(out, 1, error.code);
            writer.name("data");
            texts(&mut writer, params);
            writer.end_struct();
        }
    }
    end(out, id);
}

pub(super) fn fault(out: &mut Vec<u8>, malformed: &Malformed) {
    let Malformed { fault, detail, reply } = malformed;
    match reply.protocol {
        Protocol::JsonRpc1 => old_error(out, ["INTERNAL_ERROR", &malformed.to_string()].into_iter()),
        _ => {
            let mut writer = begin_error(out, fault.code(), fault.title());
            writer.name("data");
            writer.text(detail);
            writer.end_struct();
        }
    }
    end(out, &reply.id);
}

/// 1.0 leaves the form of an error open. XenAPI's is a code and its parameters.
fn old_error<'t>(out: &mut Vec<u8>, words: impl Iterator<Item = &'t str>) {
    out.extend_from_slice(b"{\"result\":null,\"error\":");
    texts(&mut JsonWriter::new(out), words);
}

fn begin_error<'a>(out: &'a mut Vec<u8>, code: i64, message: &str) -> JsonWriter<'a> {
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"error\":");
    let mut writer = JsonWriter::new(out);
    writer.begin_struct();
    writer.name("code");
    writer.int(code);
    writer.name("message");
    writer.text(message);
    writer
}

fn texts<'t>(writer: &mut JsonWriter<'_>, texts: impl Iterator<Item = &'t str>) {
    writer.begin_array();
    for text in texts {
        writer.text(text);
    }
    writer.end_array();
}
