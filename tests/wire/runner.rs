//! Runs the cases of `tests/wire/*.txt`: bytes in, bytes out.
//!
//! A case is `>>> KIND: NAME`, its input, `---`, its output. Kinds: `xml` and `json` read a request, and their output
//! is the call that was understood or the bytes of the answer that refuses it; `reply` has a first line saying what to
//! answer and JSON for the value, and its output is the answer's bytes. In inputs `{{ff}}` is a byte and
//! `{{3*text}}` is a text three times. `XENLEDGER_BLESS=1` writes what was found into the files.

use proptest::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use xenledger::error::ApiError;
use xenledger::value::{Encode, Map, Ref, Value, parse_time};
use xenledger::wire::jsonrpc::Request;
use xenledger::wire::{self, Call, Format, MAX_BATCH, Malformed, Protocol, Render, Reply, client, jsonrpc, xmlrpc};

struct Case {
    title: String,
    input: String,
    output: String,
}

fn cases(text: &str) -> Vec<Case> {
    text.split("\n>>> ")
        .skip(1)
        .map(|case| {
            let (title, rest) = case.split_once('\n').expect("a case has a title");
            let (input, output) = rest.split_once("\n---\n").expect("a case has an output");
            Case { title: title.into(), input: input.into(), output: output.trim_end_matches('\n').into() }
        })
        .collect()
}

/// Replaces `{{ff}}` and `{{3*text}}`.
fn expand(input: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = input;
    while let Some((before, after)) = rest.split_once("{{") {
        let (inside, next) = after.split_once("}}").expect("{{ is closed by }}");
        bytes.extend_from_slice(before.as_bytes());
        match inside.split_once('*') {
            Some((times, text)) => bytes.extend(text.repeat(times.parse().expect("a number of times")).bytes()),
            None => bytes.push(u8::from_str_radix(inside, 16).expect("a byte")),
        }
        rest = next;
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

fn shown(parsed: Result<Call, Malformed>) -> String {
    match parsed {
        Ok(Call { method, params, reply }) => {
            let params: String = params.iter().map(|param| format!("\n  {param:?}")).collect();
            let id = if reply.protocol == Protocol::XmlRpc { String::new() } else { format!(" id {}", reply.id) };
            format!("{:?}{id}: {method}{params}", reply.protocol)
        }
        Err(malformed) => {
            let mut answer = Vec::new();
            malformed.answer(&mut answer);
            text_of(answer)
        }
    }
}

fn text_of(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("answers are UTF-8")
}

fn run(case: &Case) -> String {
    let (kind, _) = case.title.split_once(": ").expect("a kind and a name");
    match kind {
        "xml" => shown(xmlrpc::parse(&expand(&case.input))),
        "json" => match jsonrpc::parse(&expand(&case.input)) {
            Ok(Request::Single(call)) => shown(Ok(call)),
            Ok(Request::Batch(calls)) => calls.into_iter().map(shown).collect::<Vec<_>>().join("\n"),
            Err(malformed) => shown(Err(malformed)),
        },
        "reply" => reply(&case.input),
        other => panic!("no kind of case is called {other}"),
    }
}

/// `PROTOCOL success|raw|failure [ID]`, and on the next lines the value, or the error's code and parameters.
fn reply(input: &str) -> String {
    let (line, value) = input.split_once('\n').expect("a line that says what to answer, and a value");
    let mut words = line.splitn(3, ' ');
    let protocol = match words.next() {
        Some("xml") => Protocol::XmlRpc,
        Some("json1") => Protocol::JsonRpc1,
        Some("json2") => Protocol::JsonRpc2,
        other => panic!("no protocol is called {other:?}"),
    };
    let verb = words.next().expect("success, raw or failure");
    let reply = Reply { protocol, id: Box::from(words.next().unwrap_or("")) };
    let value = Typed(client::answer(format!("{{\"result\":{value}}}").as_bytes()).expect("JSON").expect("a result"));
    let mut out = Vec::new();
    match verb {
        "success" => reply.success(&mut out, &value),
        "raw" => reply.raw(&mut out, &value),
        "failure" => {
            let texts = value.0.as_set();
            let params = texts.iter().skip(1).map(|text| text.as_str().to_owned()).collect();
            reply.failure(&mut out, &ApiError::new("VM_BAD_POWER_STATE", params));
        }
        other => panic!("no verb is called {other}"),
    }
    text_of(out)
}

/// A value in which `{"$time": …}`, `{"$count": …}` and `{"$ref": …}` stand for what JSON cannot say.
struct Typed(Value);

impl Render for Typed {
    fn render<E: Encode>(&self, encode: &mut E) {
        match &self.0 {
            Value::Map(map) if map.keys().next().is_some_and(|key| key.starts_with('$')) => {
                match map.iter().next().map(|(key, value)| (&**key, value)) {
                    Some(("$time", text)) => encode.time(parse_time(text.as_str()).expect("a time")),
                    Some(("$count", Value::Int(count))) => encode.count(*count as usize),
                    Some(("$ref", text)) => encode.reference(Ref::parse(text.as_str()).expect("a reference")),
                    other => panic!("{other:?}"),
                }
            }
            Value::Map(map) => {
                encode.begin_struct();
                for (key, value) in map.iter() {
                    encode.name(key);
                    Typed(value.clone()).render(encode);
                }
                encode.end_struct();
            }
            Value::Set(values) => {
                encode.begin_array();
                for value in values.iter() {
                    Typed(value.clone()).render(encode);
                }
                encode.end_array();
            }
            other => encode.value(other),
        }
    }
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire");
    let entries = fs::read_dir(folder).expect("tests/wire").map(|entry| entry.expect("an entry").path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|end| end == "txt")).collect();
    files.sort();
    files
}

#[test]
fn every_case_of_every_file() {
    let bless = std::env::var_os("XENLEDGER_BLESS").is_some();
    let mut wrong = String::new();
    let mut count = 0;
    for file in files() {
        let text = fs::read_to_string(&file).expect("a file of cases");
        let preface = text.split("\n>>> ").next().unwrap_or_default();
        let mut blessed = preface.trim_end().to_owned() + "\n";
        for case in cases(&text) {
            let found = run(&case);
            count += 1;
            if found != case.output {
                wrong += &format!("{}: {}\n found {found}\nwanted {}\n", file.display(), case.title, case.output);
            }
            blessed += &format!("\n>>> {}\n{}\n---\n{found}\n", case.title, case.input);
        }
        if bless {
            fs::write(&file, blessed).expect("the file of cases can be written");
        }
    }
    assert!(count > 60, "only {count} cases were found");
    assert!(bless || wrong.is_empty(), "{wrong}");
}

#[test]
fn a_batch_has_a_limit() {
    let batch = |calls: usize| format!("[{}]", vec![r#"{"method":"m","id":1}"#; calls].join(","));
    assert!(
        matches!(jsonrpc::parse(batch(MAX_BATCH).as_bytes()), Ok(Request::Batch(calls)) if calls.len() == MAX_BATCH)
    );
    let refused = jsonrpc::parse(batch(MAX_BATCH + 1).as_bytes()).expect_err("too many");
    assert_eq!(refused.fault, wire::Fault::Request);
}

#[test]
fn answers_to_a_batch_are_one_array() {
    let mut out = Vec::new();
    jsonrpc::join(&mut out, [b"{}".as_slice(), b"1"]);
    assert_eq!(out, b"[{},1]");
}

#[test]
fn both_wires_nest_equally_deep() {
    for (depth, accepted) in [(wire::MAX_DEPTH, true), (wire::MAX_DEPTH + 1, false)] {
        let (open, close) = ("<value><array><data>".repeat(depth - 1), "</data></array></value>".repeat(depth - 1));
        let xml = format!(
            "<methodCall><methodName>m</methodName><params><param>{open}<value/>{close}</param></params></methodCall>"
        );
        assert_eq!(xmlrpc::parse(xml.as_bytes()).is_ok(), accepted);
        let json = format!(r#"{{"method":"m","params":[{}1{}]}}"#, "[".repeat(depth - 1), "]".repeat(depth - 1));
        assert_eq!(jsonrpc::parse(json.as_bytes()).is_ok(), accepted);
    }
}

#[test]
fn a_fragment_is_xml_whatever_the_caller_speaks() {
    assert_eq!(wire::fragment(&Value::Void), "");
    assert_eq!(wire::fragment(&Value::Ref(Ref::NULL)), "<value>OpaqueRef:NULL</value>");
}

#[test]
fn no_content_type_has_a_charset() {
    assert_eq!(Format::Xml.content_type(), "text/xml");
    assert_eq!(Format::Json.content_type(), "application/json");
}

#[test]
fn a_rendering_is_appended_to_what_is_there() {
    let mut out = b"data: ".to_vec();
    Format::Json.render(&mut out, &wire::With(|encode| encode.int(1)));
    assert_eq!(out, b"data: 1");
}

#[test]
fn what_no_wire_carries_is_zero() {
    let mut out = Vec::new();
    for float in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        out.clear();
        Format::Json.render(&mut out, &Value::Float(float));
        Format::Xml.render(&mut out, &Value::Float(float));
        assert_eq!(text_of(out.clone()), "0.0<value><double>0</double></value>");
    }
}

#[test]
fn our_client_reads_refusals() {
    let reply = Reply { protocol: Protocol::JsonRpc2, id: Box::from("1") };
    let mut out = Vec::new();
    reply.failure(&mut out, &ApiError::new("HANDLE_INVALID", vec!["VM".into(), "x".into()]));
    let refusal = client::answer(&out).expect("an answer").expect_err("a refusal");
    assert_eq!(refusal.to_string(), "HANDLE_INVALID(VM, x)");
    out.clear();
    jsonrpc::parse(b"{").expect_err("half a call").answer(&mut out);
    assert_eq!(client::answer(&out).expect("an answer").expect_err("a refusal").code, "Parse error");
    assert!(client::answer(br#"{"result":null,"id":1}"#).is_err());
    assert!(client::answer(b"<html>").is_err());
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Void),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<f64>().prop_filter("no wire carries them", |float| float.is_finite()).prop_map(Value::Float),
        (0i64..4_000_000_000).prop_map(|seconds| Value::Time(seconds * 1_000_000)),
        ".*".prop_map(Value::from),
        "[\\x00-\\x7f\u{fffd}-\u{ffff}]*".prop_map(Value::from),
        any::<[u8; 16]>().prop_map(|bytes| Value::Ref(Ref(bytes))),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::set),
            prop::collection::btree_map("[ -~\\t\\r\\n]*", inner, 0..8).prop_map(Value::map),
        ]
    })
}

/// The value as it comes back: what the wire does not tell apart has become the same.
fn lossy(value: &Value, format: Format) -> Value {
    match (value, format) {
        (Value::Void | Value::Absent, _) => Value::from(""),
        (Value::Int(int), Format::Xml) => Value::from(int.to_string()),
        (Value::Time(_), Format::Json) => Value::from(xenledger::value::format_time(time_of(value))),
        (Value::Ref(reference), _) => Value::from(reference.to_string()),
        (Value::Enum(name), _) => Value::from(*name),
        (Value::String(text), Format::Xml) => Value::from(text.replace(|c: char| !in_xml(c), "\u{fffd}")),
        (Value::Set(values), _) => Value::set(values.iter().map(|value| lossy(value, format))),
        (Value::Map(map), _) => {
            let map: Map = map.iter().map(|(key, value)| (key.clone(), lossy(value, format))).collect();
            Value::Map(Arc::new(map))
        }
        (other, _) => other.clone(),
    }
}

fn time_of(value: &Value) -> i64 {
    if let Value::Time(micros) = value { *micros } else { 0 }
}

fn in_xml(c: char) -> bool {
    (c >= ' ' || "\t\n\r".contains(c)) && c != '\u{fffe}' && c != '\u{ffff}'
}

proptest! {
    #[test]
    fn a_value_survives_xml(value in values()) {
        let mut bytes = b"<methodCall><methodName>m</methodName><params><param>".to_vec();
        Format::Xml.render(&mut bytes, &value);
        bytes.extend_from_slice(b"</param></params></methodCall>");
        let call = xmlrpc::parse(&bytes).expect("what we write is well-formed");
        prop_assert_eq!(&call.params, &[lossy(&value, Format::Xml)]);
    }

    #[test]
    fn a_value_survives_json(value in values()) {
        let mut bytes = Vec::new();
        client::call(&mut bytes, "m", std::slice::from_ref(&value), 7);
        let Ok(Request::Single(call)) = jsonrpc::parse(&bytes) else { panic!("what we write is well-formed") };
        prop_assert_eq!(&call.params, &[lossy(&value, Format::Json)]);
        prop_assert_eq!(&*call.reply.id, "7");
        let mut answer = Vec::new();
        call.reply.success(&mut answer, &value);
        prop_assert_eq!(client::answer(&answer), Ok(Ok(lossy(&value, Format::Json))));
    }

    #[test]
    fn no_bytes_make_a_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = (xmlrpc::parse(&bytes), jsonrpc::parse(&bytes), client::answer(&bytes));
    }

    /// Pieces of real requests in any order: deeper into the parsers than noise gets.
    #[test]
    fn no_mixture_makes_a_parser_panic(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..40)) {
        let text = pieces.concat();
        let _ = (xmlrpc::parse(text.as_bytes()), jsonrpc::parse(text.as_bytes()), client::answer(text.as_bytes()));
        let json = format!(r#"{{"method":"m","params":[{text}]}}"#);
        let _ = jsonrpc::parse(json.as_bytes());
        let xml = format!("<methodCall><methodName>m</methodName><params><param><value>{text}");
        let _ = xmlrpc::parse(xml.as_bytes());
    }
}

const PIECES: &[&str] = &[
    "<value>",
    "</value>",
    "<struct>",
    "</struct>",
    "<member>",
    "</member>",
    "<name>",
    "</name>",
    "<array>",
    "<data>",
    "</data>",
    "</array>",
    "<int>",
    "</int>",
    "<nil/>",
    "&amp;",
    "&#0;",
    "&#xD800;",
    "&x",
    "<![CDATA[",
    "]]>",
    "<!--",
    "-->",
    "<?",
    "?>",
    "</param>",
    "</params>",
    "</methodCall>",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "\\",
    "\\u",
    "d800",
    "-",
    "9",
    "99999999999999999999",
    ".",
    "e",
    "null",
    "true",
    "é",
    "\u{0}",
    " ",
];
