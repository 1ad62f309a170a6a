//! XML-RPC as XenAPI speaks it: compact answers, integers as untyped text.
//!
//! Requests may be formatted as they like; answers have no character between
//! tags, because xen-api's parser takes white space for an element.

use super::{Call, Fault, MAX_DEPTH, Malformed, Render, Reply, any_byte};
use crate::error::ApiError;
use crate::value::rendering::Shared;
use crate::value::{Encode, Map, Micros, Value, parse_time, with_time};
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesDecl, BytesRef, Event};
use std::borrow::Cow;
use std::io::Write;
use std::sync::Arc;

/// Reads one call.
pub fn parse(bytes: &[u8]) -> Result<Call, Malformed> {
    let document = document(bytes)?;
    let mut parser = Parser::new(document)?;
    parser.open("methodCall")?;
    parser.open("methodName")?;
    let method = parser.text_until("methodName")?.trim().to_owned();
    if method.is_empty() {
        return Err(request("the method has no name"));
    }
    let params = match parser.next_tag()? {
        Tag::Open("params") => parser.params()?,
        Tag::Close("methodCall") => return parser.end().map(|()| call(method, Vec::new())),
        other => return Err(unexpected(&other)),
    };
    parser.close("methodCall")?;
    parser.end()?;
    Ok(call(method, params))
}

fn call(method: String, params: Vec<Value>) -> Call {
    Call { method, params, reply: Reply::xml() }
}

fn malformed(fault: Fault, detail: impl Into<String>) -> Malformed {
    Malformed { fault, detail: detail.into(), reply: Reply::xml() }
}

fn syntax(detail: impl Into<String>) -> Malformed {
    malformed(Fault::Syntax, detail)
}

fn request(detail: impl Into<String>) -> Malformed {
    malformed(Fault::Request, detail)
}

fn params(detail: impl Into<String>) -> Malformed {
    malformed(Fault::Params, detail)
}

fn unexpected(tag: &Tag) -> Malformed {
    match tag {
        Tag::Open(name) => request(format!("<{name}> where it does not belong")),
        Tag::Close(name) => request(format!("</{name}> comes too early")),
        Tag::End => syntax("the document ends too early"),
    }
}

/// The document as text, without characters that XML 1.0 forbids.
fn document(bytes: &[u8]) -> Result<&str, Malformed> {
    let text = std::str::from_utf8(bytes).map_err(|_| syntax("the document is not UTF-8"))?;
    if text.bytes().any(|byte| byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r')) {
        return Err(syntax("a control character, which XML forbids"));
    }
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// What stands next where white space and comments mean nothing.
#[derive(PartialEq, Debug)]
enum Tag {
    Open(&'static str),
    Close(&'static str),
    End,
}

/// All elements that XML-RPC knows.
const NAMES: &[&str] = &[
    "methodCall",
    "methodName",
    "params",
    "param",
    "value",
    "int",
    "i4",
    "i8",
    "boolean",
    "string",
    "double",
    "dateTime.iso8601",
    "base64",
    "nil",
    "array",
    "data",
    "struct",
    "member",
    "name",
];

/// One piece of a document, with its white space.
enum Piece<'a> {
    Tag(Tag),
    Text(Cow<'a, str>),
}

struct Parser<'a> {
    document: &'a str,
    reader: quick_xml::Reader<&'a [u8]>,
    declared: bool,
}

impl<'a> Parser<'a> {
    fn new(document: &'a str) -> Result<Parser<'a>, Malformed> {
        let mut reader = quick_xml::Reader::from_str(document);
        reader.config_mut().expand_empty_elements = true;
        Ok(Parser { document, reader, declared: false })
    }

    /// The next piece that means anything: no comment, no processing instruction.
    fn piece(&mut self) -> Result<Piece<'a>, Malformed> {
        loop {
            let event = self.reader.read_event().map_err(|error| syntax(error.to_string()))?;
            return Ok(match event {
                Event::Start(start) => Piece::Tag(Tag::Open(known(start.name().0)?)),
                Event::End(end) => Piece::Tag(Tag::Close(known(end.name().0)?)),
                Event::Eof => Piece::Tag(Tag::End),
                Event::Text(text) => Piece::Text(unix_lines(text.into_inner())),
                Event::CData(text) => Piece::Text(unix_lines(text.into_inner())),
                Event::GeneralRef(entity) => Piece::Text(resolve(&entity)?),
                Event::DocType(_) => return Err(syntax("a document type, which XML-RPC has none of")),
                Event::Decl(declaration) => {
                    self.declaration(&declaration)?;
                    continue;
                }
                Event::Comment(_) | Event::PI(_) => continue,
                Event::Empty(_) => return Err(syntax("an empty element that was not expanded")),
            });
        }
    }

    /// Another encoding may be declared as long as it makes no difference.
    fn declaration(&mut self, declaration: &BytesDecl<'_>) -> Result<(), Malformed> {
        if std::mem::replace(&mut self.declared, true) {
            return Err(syntax("a second XML declaration"));
        }
        match declaration.encoding() {
            Some(Ok(encoding)) if encoding.eq_ignore_ascii_case("utf-8") || self.document.is_ascii() => Ok(()),
            None => Ok(()),
            Some(_) => Err(syntax("an encoding other than UTF-8")),
        }
    }

    fn next_tag(&mut self) -> Result<Tag, Malformed> {
        loop {
            match self.piece()? {
                Piece::Tag(tag) => return Ok(tag),
                Piece::Text(text) if is_blank(&text) => {}
                Piece::Text(_) => return Err(request("text between elements")),
            }
        }
    }

    fn open(&mut self, name: &str) -> Result<(), Malformed> {
        match self.next_tag()? {
            Tag::Open(found) if found == name => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    fn close(&mut self, name: &str) -> Result<(), Malformed> {
        match self.next_tag()? {
            Tag::Close(found) if found == name => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    fn end(&mut self) -> Result<(), Malformed> {
        match self.next_tag()? {
            Tag::End => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// The text up to a closing tag, with its white space.
    fn text_until(&mut self, name: &str) -> Result<String, Malformed> {
        let mut text = String::new();
        loop {
            match self.piece()? {
                Piece::Text(piece) => text.push_str(&piece),
                Piece::Tag(Tag::Close(found)) if found == name => return Ok(text),
                Piece::Tag(other) => return Err(unexpected(&other)),
            }
        }
    }

    /// After `<params>`.
    fn params(&mut self) -> Result<Vec<Value>, Malformed> {
        let mut values = Vec::new();
        loop {
            match self.next_tag()? {
                Tag::Open("param") => {
                    self.open("value")?;
                    values.push(self.value(1)?);
                    self.close("param")?;
                }
                Tag::Close("params") => return Ok(values),
                other => return Err(unexpected(&other)),
            }
        }
    }

    /// After `<value>`: text, which is a string, or one typed element.
    fn value(&mut self, depth: usize) -> Result<Value, Malformed> {
        if depth > MAX_DEPTH {
            return Err(request(format!("values nest deeper than {MAX_DEPTH}")));
        }
        let mut text = String::new();
        let kind = loop {
            match self.piece()? {
                Piece::Text(piece) => text.push_str(&piece),
                Piece::Tag(Tag::Close("value")) => return Ok(Value::text(&text)),
                Piece::Tag(Tag::Open(kind)) if is_blank(&text) => break kind,
                Piece::Tag(Tag::Open(_)) => return Err(request("a value of both text and an element")),
                Piece::Tag(other) => return Err(unexpected(&other)),
            }
        };
        let value = match kind {
            "array" => self.array(depth)?,
            "struct" => self.structure(depth)?,
            _ => scalar(kind, self.text_until(kind)?)?,
        };
        self.close("value")?;
        Ok(value)
    }

    /// After `<array>`.
    fn array(&mut self, depth: usize) -> Result<Value, Malformed> {
        let mut values = Vec::new();
        self.open("data")?;
        loop {
            match self.next_tag()? {
                Tag::Open("value") => values.push(self.value(depth + 1)?),
                Tag::Close("data") => break,
                other => return Err(unexpected(&other)),
            }
        }
        self.close("array")?;
        Ok(Value::set(values))
    }

    /// After `<struct>`.
    fn structure(&mut self, depth: usize) -> Result<Value, Malformed> {
        let mut map = Map::new();
        loop {
            match self.next_tag()? {
                Tag::Open("member") => {
                    self.open("name")?;
                    let name: Arc<str> = self.text_until("name")?.into();
                    self.open("value")?;
                    let value = self.value(depth + 1)?;
                    self.close("member")?;
                    if map.insert(name, value).is_some() {
                        return Err(params("a struct with two members of one name"));
                    }
                }
                Tag::Close("struct") => break,
                other => return Err(unexpected(&other)),
            }
        }
        Ok(if map.is_empty() { Value::empty_map() } else { Value::Map(Arc::new(map)) })
    }
}

/// Any other element is refused before it is looked into.
fn known(name: &str) -> Result<&'static str, Malformed> {
    NAMES.iter().find(|known| **known == name).copied().ok_or_else(|| request("an element that XML-RPC does not know"))
}

fn is_blank(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
}

/// XML reads every end of line as a line feed.
fn unix_lines(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n").into() } else { text }
}

/// `&lt;` and `&#60;`. No other entity exists, so none can be a bomb.
fn resolve<'a>(entity: &BytesRef<'_>) -> Result<Cow<'a, str>, Malformed> {
    match entity.resolve_char_ref() {
        Ok(Some(c)) if is_xml_char(c) => Ok(c.to_string().into()),
        Ok(None) => resolve_predefined_entity(entity).map(Into::into).ok_or_else(|| syntax("an unknown entity")),
        _ => Err(syntax("a reference to a character that XML forbids")),
    }
}

fn scalar(kind: &str, text: String) -> Result<Value, Malformed> {
    let word = text.trim();
    match kind {
        "string" => Ok(Value::text(&text)),
        "int" | "i4" | "i8" => word.parse().map(Value::Int).map_err(|_| params("no integer of 64 bits")),
        "boolean" => match word {
            "0" => Ok(Value::Bool(false)),
            "1" => Ok(Value::Bool(true)),
            _ => Err(params("a boolean that is neither 0 nor 1")),
        },
        "double" => {
            let number = word.parse().ok().filter(|number: &f64| number.is_finite());
            number.map(Value::Float).ok_or_else(|| params("no finite number"))
        }
        "dateTime.iso8601" => parse_time(word).map(Value::Time).ok_or_else(|| params("no time")),
        "nil" if word.is_empty() => Ok(Value::Absent),
        "base64" => Err(params("base64, which XenAPI does not use")),
        _ => Err(request("an element that is no type")),
    }
}

/// Renders values compactly into a buffer. Which tags are open shows in the last bytes, so there is no stack.
pub struct XmlWriter<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> XmlWriter<'a> {
    pub fn new(out: &'a mut Vec<u8>) -> XmlWriter<'a> {
        XmlWriter { out }
    }

    fn put(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Text never ends in a tag: its `<` and `>` are escaped.
    fn end_member(&mut self) {
        if !self.out.ends_with(b"<struct>") {
            self.put(b"</member>");
        }
    }
}

impl Encode for XmlWriter<'_> {
    fn expect(&mut self, times: f64) {
        super::make_room(self.out, times);
    }

    fn shared(&mut self, shared: &Shared, write: &dyn Fn(&mut dyn Encode)) {
        let bytes = shared.xml.get_or_write(|out| write(&mut XmlWriter::new(out)));
        self.put(bytes);
    }

    fn void(&mut self) {
        self.put(b"<value></value>");
    }

    fn bool(&mut self, value: bool) {
        self.put(if value { b"<value><boolean>1</boolean></value>" } else { b"<value><boolean>0</boolean></value>" });
    }

    fn int(&mut self, value: i64) {
        self.put(b"<value>");
        self.put(itoa::Buffer::new().format(value).as_bytes());
        self.put(b"</value>");
    }

    fn count(&mut self, value: usize) {
        self.put(b"<value><i4>");
        self.put(itoa::Buffer::new().format(value).as_bytes());
        self.put(b"</i4></value>");
    }

    /// Without an exponent, which XML-RPC does not have. No wire carries NaN or infinity: they are 0.
    fn float(&mut self, value: f64) {
        let value = if value.is_finite() { value } else { 0.0 };
        write!(self.out, "<value><double>{value}</double></value>").expect("BUG: a buffer takes all bytes");
    }

    fn time(&mut self, value: Micros) {
        self.put(b"<value><dateTime.iso8601>");
        with_time(value, |text| self.put(text.as_bytes()));
        self.put(b"</dateTime.iso8601></value>");
    }

    fn text(&mut self, value: &str) {
        self.put(b"<value>");
        escape(self.out, value);
        self.put(b"</value>");
    }

    fn plain(&mut self, text: &str) {
        self.put(b"<value>");
        self.put(text.as_bytes());
        self.put(b"</value>");
    }

    fn begin_array(&mut self) {
        self.put(b"<value><array><data>");
    }

    fn end_array(&mut self) {
        self.put(b"</data></array></value>");
    }

    fn begin_struct(&mut self) {
        self.put(b"<value><struct>");
    }

    fn name(&mut self, name: &str) {
        self.end_member();
        self.put(b"<member><name>");
        escape(self.out, name);
        self.put(b"</name>");
    }

    fn end_struct(&mut self) {
        self.end_member();
        self.put(b"</struct></value>");
    }
}

/// Appends text. A character that XML 1.0 cannot carry becomes U+FFFD; a carriage return, which a reader would
/// turn into a line feed, is written as a number.
fn escape(out: &mut Vec<u8>, text: &str) {
    const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();
    let bytes = text.as_bytes();
    if !any_byte(bytes, |byte| (byte < 0x20) | (byte == b'&') | (byte == b'<') | (byte == b'>') | (byte == 0xef)) {
        return out.extend_from_slice(bytes);
    }
    let mut written = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let (escaped, length): (&[u8], usize) = match byte {
            b'&' => (b"&amp;", 1),
            b'<' => (b"&lt;", 1),
            b'>' => (b"&gt;", 1),
            b'\r' => (b"&#13;", 1),
            b'\t' | b'\n' => continue,
            0..0x20 => (REPLACEMENT, 1),
            0xef if matches!(bytes[at..], [_, 0xbf, 0xbe | 0xbf, ..]) => (REPLACEMENT, 3),
            _ => continue,
        };
        out.extend_from_slice(&bytes[written..at]);
        out.extend_from_slice(escaped);
        written = at + length;
    }
    out.extend_from_slice(&bytes[written..]);
}

const BEGIN: &[u8] = b"<?xml version=\"1.0\"?><methodResponse>";
const BEGIN_PARAM: &[u8] = b"<params><param>";
const END_PARAM: &[u8] = b"</param></params></methodResponse>";

pub(super) fn begin_success(out: &mut Vec<u8>) {
    out.extend_from_slice(BEGIN);
    out.extend_from_slice(BEGIN_PARAM);
    let mut writer = XmlWriter::new(out);
    writer.begin_struct();
    writer.name("Status");
    writer.text("Success");
    writer.name("Value");
}

pub(super) fn end_success(out: &mut Vec<u8>) {
    XmlWriter::new(out).end_struct();
    out.extend_from_slice(END_PARAM);
}

pub(super) fn raw(out: &mut Vec<u8>, value: &impl Render) {
    out.extend_from_slice(BEGIN);
    out.extend_from_slice(BEGIN_PARAM);
    value.render(&mut XmlWriter::new(out));
    out.extend_from_slice(END_PARAM);
}

pub(super) fn failure(out: &mut Vec<u8>, error: &ApiError) {
    out.extend_from_slice(BEGIN);
    out.extend_from_slice(BEGIN_PARAM);
    let mut writer = XmlWriter::new(out);
    writer.begin_struct();
    writer.name("Status");
    writer.text("Failure");
    writer.name("ErrorDescription");
    writer.begin_array();
    writer.text(error.code);
    for param in error.params.iter() {
        writer.text(param);
    }
    writer.end_array();
    writer.end_struct();
    out.extend_from_slice(END_PARAM);
}

/// A fault is read by XML-RPC libraries rather than by XenAPI clients, so its code is a real integer.
pub(super) fn fault(out: &mut Vec<u8>, malformed: &Malformed) {
    out.extend_from_slice(BEGIN);
    out.extend_from_slice(b"<fault>");
    let mut writer = XmlWriter::new(out);
    writer.begin_struct();
    writer.name("faultCode");
    writer.put(b"<value><int>");
    writer.put(itoa::Buffer::new().format(malformed.fault.code()).as_bytes());
    writer.put(b"</int></value>");
    writer.name("faultString");
    writer.text(&malformed.to_string());
    writer.end_struct();
    out.extend_from_slice(b"</fault></methodResponse>");
}
