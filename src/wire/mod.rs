//! Bytes to calls, and values to bytes: XML-RPC and JSON-RPC 1.0 and 2.0.
//!
//! ```text
//!   bytes ── xmlrpc::parse, jsonrpc::parse ──▶ Call { method, params, reply } │ Malformed
//!   bytes ◀── Reply::success, raw, failure ── something that can be rendered  │ Malformed::answer
//! ```
//!
//! What comes in is untyped: `<value>4</value>` is a string here, and only
//! `value::check` knows that a parameter wanted an integer. This module must
//! never know a class, a message, a session or any state; not even HTTP.

pub mod client;
pub mod jsonrpc;
pub mod xmlrpc;

use crate::error::ApiError;
use crate::value::{Encode, Value};
use jsonrpc::JsonWriter;
use xmlrpc::XmlWriter;

/// How deep a parameter may nest, in values within values. Real clients need five.
pub const MAX_DEPTH: usize = 64;
/// The calls that one JSON-RPC batch may hold.
pub const MAX_BATCH: usize = 1000;

/// Something with a rendering on every wire. Generic, so that ten thousand records cost no indirect call.
pub trait Render {
    fn render<E: Encode>(&self, encode: &mut E);
}

impl Render for Value {
    fn render<E: Encode>(&self, encode: &mut E) {
        encode.value(self);
    }
}

impl<T: Render + ?Sized> Render for &T {
    fn render<E: Encode>(&self, encode: &mut E) {
        (**self).render(encode);
    }
}

/// A closure as something to render, where an indirect call for every value does not matter.
pub struct With<F: Fn(&mut dyn Encode)>(pub F);

impl<F: Fn(&mut dyn Encode)> Render for With<F> {
    fn render<E: Encode>(&self, encode: &mut E) {
        (self.0)(encode);
    }
}

/// The two renderings of a value. JSON-RPC 1.0 and 2.0 differ in their envelopes only.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Format {
    Xml,
    Json,
}

impl Format {
    /// The answer's `Content-Type`, to the letter: xen-api drops to XML-RPC, or fails, when a charset follows.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Xml => "text/xml",
            Format::Json => "application/json",
        }
    }

    /// Appends the bare value, without an envelope.
    pub fn render(self, out: &mut Vec<u8>, value: &impl Render) {
        match self {
            Format::Xml => value.render(&mut XmlWriter::new(out)),
            Format::Json => value.render(&mut JsonWriter::new(out)),
        }
    }
}

/// What a caller speaks, so what its answer has to look like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    XmlRpc,
    JsonRpc1,
    JsonRpc2,
}

/// One call as it came off the wire: nothing is known of its method or of the types of its parameters.
#[derive(Clone, PartialEq, Debug)]
pub struct Call {
    pub method: String,
    pub params: Vec<Value>,
    /// How to answer it.
    pub reply: Reply,
}

/// How to answer one call: its protocol and, in JSON-RPC, its id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    pub protocol: Protocol,
    /// The caller's id, verbatim: a number, a string or `null` as JSON. Empty in XML-RPC.
    pub id: Box<str>,
}

impl Reply {
    pub fn xml() -> Reply {
        Reply { protocol: Protocol::XmlRpc, id: Box::from("") }
    }

    pub fn format(&self) -> Format {
        match self.protocol {
            Protocol::XmlRpc => Format::Xml,
            Protocol::JsonRpc1 | Protocol::JsonRpc2 => Format::Json,
        }
    }

    /// Appends the whole answer of a call that returned `value`.
    pub fn success(&self, out: &mut Vec<u8>, value: &impl Render) {
        self.begin(out);
        self.format().render(out, value);
        self.end(out);
    }

    /// What comes before a result. Between this and [`Reply::end`] belongs one value in this reply's format: rendered
    /// now, or the bytes of a rendering that is shared.
    pub fn begin(&self, out: &mut Vec<u8>) {
        match self.protocol {
            Protocol::XmlRpc => xmlrpc::begin_success(out),
            _ => jsonrpc::begin_result(out, self.protocol),
        }
    }

    /// What comes after a result.
    pub fn end(&self, out: &mut Vec<u8>) {
        match self.protocol {
            Protocol::XmlRpc => xmlrpc::end_success(out),
            _ => jsonrpc::end_result(out, self.protocol, &self.id),
        }
    }

    /// Appends the answer of `system.listMethods`, which in XML-RPC stands without `Status` and `Value`.
    pub fn raw(&self, out: &mut Vec<u8>, value: &impl Render) {
        match self.protocol {
            Protocol::XmlRpc => xmlrpc::raw(out, value),
            _ => self.success(out, value),
        }
    }

    /// Appends the whole answer of a call that failed.
    pub fn failure(&self, out: &mut Vec<u8>, error: &ApiError) {
        match self.protocol {
            Protocol::XmlRpc => xmlrpc::failure(out, error),
            _ => jsonrpc::failure(out, self.protocol, &self.id, error),
        }
    }
}

/// What is wrong with bytes that are no call. The numbers are the same on both wires.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Not well-formed, or not UTF-8.
    Syntax,
    /// Well-formed, but no call.
    Request,
    /// A call with a parameter that no value can hold.
    Params,
}

impl Fault {
    pub fn code(self) -> i64 {
        match self {
            Fault::Syntax => -32700,
            Fault::Request => -32600,
            Fault::Params => -32602,
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Fault::Syntax => "Parse error",
            Fault::Request => "Invalid Request",
            Fault::Params => "Invalid params",
        }
    }
}

/// Why bytes are no call, and how to say so. The detail never quotes a parameter: it may be a password.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{}: {detail}", fault.title())]
pub struct Malformed {
    pub fault: Fault,
    pub detail: String,
    pub reply: Reply,
}

impl Malformed {
    /// Appends the whole answer.
    pub fn answer(&self, out: &mut Vec<u8>) {
        match self.reply.protocol {
            Protocol::XmlRpc => xmlrpc::fault(out, self),
            _ => jsonrpc::fault(out, self),
        }
    }
}

/// More than a record's length differs from the others'.
const MARGIN: f64 = 1.1;
/// The most bytes that a guess is trusted with.
const ROOM_MAX: usize = 256 * 1024 * 1024;

/// Room for what is `times` as long as what is there: doubling again and again copies a large answer, and holds it twice.
/// Where the memory is not to be had, the guess is not worth an end of the server: the answer may well be shorter.
fn make_room(out: &mut Vec<u8>, times: f64) {
    let room = out.len() as f64 * times * MARGIN;
    drop(out.try_reserve((room as usize).min(ROOM_MAX)));
}

/// Whether a text has a byte of some kind. Nearly none has one that needs escaping, and that is found out without a branch
/// a byte: sixteen are looked at together, and the last sixteen once more rather than one by one.
fn any_byte(bytes: &[u8], kind: impl Fn(u8) -> bool + Copy) -> bool {
    let any = |bytes: &[u8]| bytes.iter().fold(false, |found, byte| found | kind(*byte));
    let (chunks, rest) = bytes.as_chunks::<16>();
    let last = || bytes.last_chunk::<16>().map_or_else(|| any(rest), |last| any(last));
    chunks.iter().any(|chunk| any(chunk)) || last()
}

/// A value as `task.result` holds it: XML whatever the caller speaks, and "" for void.
pub fn fragment(value: &Value) -> String {
    if matches!(value, Value::Void | Value::Absent) {
        return String::new();
    }
    let mut out = Vec::new();
    Format::Xml.render(&mut out, value);
    String::from_utf8(out).expect("BUG: the XML writer writes UTF-8")
}

/// The value in a `task.result`; `None` for what is no fragment. Everything but structure is text again.
pub fn from_fragment(fragment: &str) -> Option<Value> {
    if fragment.is_empty() {
        return Some(Value::Void);
    }
    let call =
        format!("<methodCall><methodName>result</methodName><params><param>{fragment}</param></params></methodCall>");
    xmlrpc::parse(call.as_bytes()).ok()?.params.pop()
}

#[cfg(test)]
mod tests {
    use super::jsonrpc::JsonWriter;
    use super::{ROOM_MAX, any_byte};
    use crate::value::Encode;

    #[test]
    fn what_was_expected_fits_without_another_step() {
        let mut out = Vec::new();
        let mut write = |count: usize, expected: f64| {
            let mut json = JsonWriter::new(&mut out);
            json.begin_array();
            (0..count).for_each(|_| json.text("as long as the others"));
            json.expect(expected);
            out.capacity()
        };
        let room = write(64, 9.0);
        assert_eq!(write(9 * 64, 0.0), room);
    }

    #[test]
    fn a_guess_gets_no_more_room_than_it_is_trusted_with() {
        let mut out = vec![b' '; 1024];
        super::make_room(&mut out, f64::MAX);
        assert!((ROOM_MAX..ROOM_MAX * 2).contains(&out.capacity()), "{}", out.capacity());
        super::make_room(&mut out, f64::NAN);
    }

    #[test]
    fn a_byte_is_found_wherever_it_stands() {
        for length in 0..70 {
            let mut bytes = vec![b'a'; length];
            assert!(!any_byte(&bytes, |byte| byte == b'x'), "none in {length}");
            for at in 0..length {
                bytes[at] = b'x';
                assert!(any_byte(&bytes, |byte| byte == b'x'), "at {at} of {length}");
                bytes[at] = b'a';
            }
        }
    }
}
