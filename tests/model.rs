//! The tables against the published model, and against themselves.
//!
//! The published model is a JSON file that is not part of this package. It is
//! read from `$XENLEDGER_PUBLISHED_MODEL`, or from `../shared/data` where that
//! exists, with `xenapi-errors.json` and `xenapi-relations.json` beside it.
//! Without it, the digest below still holds the tables to what was compared
//! last. Wanted differences are lines of `tests/model-exceptions.txt`.

mod reference;

use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;
use xenledger::error::codes::CODES;
use xenledger::model::{CLASSES, Class, ClassId, Implied, Lifecycle, MODEL, Message, Qualifier, Ty};
use xenledger::value::{Ref, Value, default_value};

/// Of every fact of the tables that is not an extension: changes only together with the published model.
const DIGEST: &str = "de77289e1c11f149b24d2b049f71bf5c804a91ed3f6aaffef8987e97fd0689bd";

/// One line a fact: what it is about, and what is said of it.
type Facts = BTreeMap<String, String>;

#[test]
fn the_tables_say_what_is_published() {
    let Some(path) = published_path() else {
        eprintln!("SKIPPED: no published model; set XENLEDGER_PUBLISHED_MODEL to compare with it");
        return;
    };
    let mut published = facts_of_json(&json(&path));
    published.extend(errors_of_json(&json(&path.with_file_name("xenapi-errors.json"))));
    published.extend(relations_of_json(&json(&path.with_file_name("xenapi-relations.json"))));
    let ours = facts_of_tables();
    let mut wrong = Vec::new();
    let exceptions = exceptions();
    let mut used = HashSet::new();
    for key in published.keys().chain(ours.keys()).collect::<BTreeSet<_>>() {
        let (theirs, ours) = (published.get(key), ours.get(key));
        if agree(key, theirs, ours) {
            continue;
        }
        let excepted = exceptions.keys().find(|what| key == *what || key.starts_with(&format!("{what} ")));
        if let Some(what) = excepted {
            used.insert(what);
        } else {
            let show = |fact: Option<&String>| fact.map_or("nothing".to_string(), |fact| format!("`{fact}`"));
            wrong.push(format!("{key}: published {}, here {}", show(theirs), show(ours)));
        }
    }
    let unused = exceptions.keys().filter(|what| !used.contains(what));
    wrong.extend(unused.map(|what| format!("{what}: an exception for what does not differ")));
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_tables_are_the_ones_compared_last() {
    let mut sha = Sha256::new();
    for (key, fact) in facts_of_tables().iter().filter(|(key, _)| !key.ends_with(" errors")) {
        sha.update(format!("{key}\t{fact}\n"));
    }
    let digest = hex(&sha.finalize());
    assert_eq!(
        digest, DIGEST,
        "the tables differ from those compared last: compare with the published model, then set DIGEST"
    );
}

/// A message may raise more errors than are published, since every one it raises is declared here.
fn agree(key: &str, theirs: Option<&String>, ours: Option<&String>) -> bool {
    match (theirs, ours) {
        (Some(theirs), Some(ours)) if key.ends_with(" errors") => {
            let ours: HashSet<&str> = ours.split(' ').collect();
            theirs.split(' ').all(|code| code.is_empty() || ours.contains(code))
        }
        _ => theirs == ours,
    }
}

fn published_path() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("XENLEDGER_PUBLISHED_MODEL") {
        return Some(PathBuf::from(path));
    }
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data/xenapi-model.json");
    beside.exists().then_some(beside)
}

fn json(path: &PathBuf) -> Json {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What may differ, and why.
fn exceptions() -> BTreeMap<String, String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/model-exceptions.txt");
    let text = std::fs::read_to_string(path).expect("the exceptions beside this test");
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let split = |line: &str| {
        let (key, reason) = line.split_once(": ").unwrap_or_else(|| panic!("an exception without a reason: {line}"));
        (key.to_string(), reason.to_string())
    };
    lines.map(split).collect()
}

fn facts_of_json(model: &Json) -> Facts {
    let mut facts = Facts::new();
    for class in list(&model["classes"]) {
        let name = text(&class["class"]);
        facts.insert(format!("class {name}"), text(&class["lifecycle"]).into());
        for (en, values) in class["enums"].as_object().expect("enums by name") {
            facts.insert(format!("enum {en}"), words(values)); // an enum that two classes use stands in both
        }
        for field in list(&class["fields"]) {
            let key = format!("field {name}.{}", text(&field["name"]));
            facts.insert(format!("{key} type"), text(&field["type"]).into());
            facts.insert(format!("{key} qualifier"), text(&field["qualifier"]).into());
            facts.insert(format!("{key} lifecycle"), text(&field["lifecycle"]).into());
            if let Some(default) = field["default"].as_str() {
                facts.insert(format!("{key} default"), published_default(text(&field["type"]), default));
            }
        }
        for message in list(&class["messages"]) {
            let key = format!("message {name}.{}", text(&message["name"]));
            let params = list(&message["params"]).iter().map(|pair| (text(&pair[1]), text(&pair[0])));
            let params: Vec<String> = params.map(|(ty, name)| format!("{ty} {name}")).collect();
            let roles = list(&message["roles"]).iter().map(text).collect::<BTreeSet<_>>();
            facts.insert(format!("{key} params"), params.join(", "));
            facts.insert(format!("{key} result"), text(&message["result"]).into());
            facts.insert(format!("{key} errors"), words(&message["errors"]));
            facts.insert(format!("{key} roles"), roles.into_iter().collect::<Vec<_>>().join(" "));
            facts.insert(format!("{key} implied"), message["implied"].to_string());
            facts.insert(format!("{key} lifecycle"), text(&message["lifecycle"]).into());
        }
    }
    facts
}

fn errors_of_json(errors: &Json) -> Facts {
    let errors = errors["errors"].as_object().expect("errors by code");
    let params = |params: &Json| list(params).iter().map(text).collect::<Vec<_>>().join(", ");
    errors.iter().map(|(code, names)| (format!("error {code}"), params(names))).collect()
}

fn relations_of_json(relations: &Json) -> Facts {
    let pairs = list(&relations["relations"]).iter();
    pairs.map(|pair| (format!("relation {}", text(&pair["b"])), text(&pair["a"]).into())).collect()
}

fn facts_of_tables() -> Facts {
    let mut facts = Facts::new();
    for class in CLASSES.iter().filter(|class| !class.flags.extension) {
        let name = class.name;
        facts.insert(format!("class {name}"), lifecycle(class.flags.lifecycle).into());
        for def in class.enums {
            facts.insert(format!("enum {}", def.name), def.values.join(" "));
        }
        for field in class.fields {
            if let Some((holder, held)) = field.far {
                facts.insert(format!("relation {name}.{}", field.name), format!("{holder}.{held}"));
            }
            if field.flags.extension || field.flags.internal {
                continue;
            }
            let key = format!("field {name}.{}", field.name);
            let qualifier = match field.qualifier {
                Qualifier::RO => "RO/runtime",
                Qualifier::CO => "RO/constructor",
                Qualifier::RW => "RW",
            };
            facts.insert(format!("{key} type"), field.ty.to_string());
            facts.insert(format!("{key} qualifier"), qualifier.into());
            facts.insert(format!("{key} lifecycle"), lifecycle(field.flags.lifecycle).into());
            if field.default.is_some() {
                facts.insert(format!("{key} default"), show(&default_value(field.ty, field.default)));
            }
        }
    }
    for message in MODEL.messages.iter().filter(|message| !message.extension && !of_extension(message)) {
        facts_of_message(message, &mut facts);
    }
    for code in CODES {
        facts.insert(format!("error {}", code.name), code.params.join(", "));
    }
    facts
}

/// Implied by a field that is ours.
fn of_extension(message: &Message) -> bool {
    use Implied::*;
    let Some(Get(at) | Set(at) | AddTo(at) | RemoveFrom(at) | Add(at) | Remove(at)) = message.implied else {
        return false;
    };
    message.class.def().fields[at].flags.extension
}

fn facts_of_message(message: &Message, facts: &mut Facts) {
    let key = format!("message {}", message.full_name);
    let session = (!message.no_session).then(|| "session ref session_id".to_string());
    let given = message.params.iter().map(|param| format!("{} {}", param.ty, param.name));
    let roles: BTreeSet<&str> = message.roles.names().collect();
    facts.insert(format!("{key} params"), session.into_iter().chain(given).collect::<Vec<_>>().join(", "));
    facts.insert(format!("{key} result"), message.result.to_string());
    facts.insert(format!("{key} errors"), message.errors.join(" "));
    facts.insert(format!("{key} roles"), roles.into_iter().collect::<Vec<_>>().join(" "));
    facts.insert(format!("{key} implied"), message.implied.is_some().to_string());
    facts.insert(format!("{key} lifecycle"), lifecycle(message.lifecycle).into());
}

fn lifecycle(lifecycle: Lifecycle) -> &'static str {
    match lifecycle {
        Lifecycle::Published => "published",
        Lifecycle::Prototyped => "prototyped",
        Lifecycle::Deprecated => "deprecated",
        Lifecycle::Removed => "removed",
    }
}

/// The published text of a default in the form of [`show`].
fn published_default(ty: &str, text: &str) -> String {
    match (ty, text) {
        (_, "OpaqueRef:NULL" | "Null") => "null".into(),
        ("datetime", "19700101T00:00:00Z") => "time 0".into(),
        ("float", number) => number.parse::<f64>().expect("a number").to_string(),
        _ => text.into(),
    }
}

fn show(value: &Value) -> String {
    let all = |values: Vec<String>| format!("{{{}}}", values.join(", "));
    match value {
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::Time(value) => format!("time {value}"),
        Value::String(text) => format!("{text:?}"),
        Value::Enum(name) => name.to_string(),
        Value::Ref(Ref::NULL) => "null".into(),
        Value::Ref(reference) => reference.to_string(),
        Value::Set(values) => all(values.iter().map(show).collect()),
        Value::Map(map) => all(map.iter().map(|(key, value)| format!("{key:?} -> {}", show(value))).collect()),
        Value::Void | Value::Absent => String::new(),
    }
}

fn text(json: &Json) -> &str {
    json.as_str().unwrap_or_else(|| panic!("a string instead of {json}"))
}

fn list(json: &Json) -> &[Json] {
    json.as_array().unwrap_or_else(|| panic!("a list instead of {json}"))
}

fn words(json: &Json) -> String {
    list(json).iter().map(text).collect::<Vec<_>>().join(" ")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn names_are_unique() {
    let classes = CLASSES.iter().map(|class| class.name.to_ascii_lowercase());
    once("class", classes); // event subscriptions spell them in any case
    once("message", MODEL.messages.iter().map(|message| message.full_name.to_string()));
    once("error", CODES.iter().map(|code| code.name.to_string()));
    for class in CLASSES {
        once(class.name, class.fields.iter().map(|field| field.name.to_string()));
        for def in class.enums {
            once(def.name, def.values.iter().map(|value| value.to_string()));
        }
    }
    for message in &MODEL.messages {
        once(message.full_name, message.params.iter().map(|param| param.name.to_string()));
    }
}

fn once(what: &str, names: impl Iterator<Item = String>) {
    let mut seen = HashSet::new();
    for name in names {
        assert!(!seen.contains(&name), "{what}: {name} twice");
        seen.insert(name);
    }
}

#[test]
fn every_declared_error_exists() {
    let codes: HashSet<&str> = CODES.iter().map(|code| code.name).collect();
    let unknown = |message: &&Message| message.errors.iter().any(|code| !codes.contains(code));
    let wrong: Vec<&str> = MODEL.messages.iter().filter(unknown).map(|message| message.full_name).collect();
    assert!(wrong.is_empty(), "errors that no table lists: {wrong:?}");
}

#[test]
fn a_far_side_names_the_field_that_holds_the_references() {
    for class in CLASSES {
        for field in class.fields {
            let Some((holder, held)) = field.far else { continue };
            let this = format!("{}.{}", class.name, field.name);
            let holder = MODEL.class(holder).unwrap_or_else(|| panic!("{this}: no class {holder}"));
            let held = MODEL.field(holder, held).unwrap_or_else(|| panic!("{this}: no {}.{held}", holder.name()));
            let near = &holder.def().fields[held];
            let holds = near.ty == Ty::Ref(class.id) || set_of(near.ty, class.id);
            assert!(holds, "{this}: {}.{} is a {}", holder.name(), near.name, near.ty);
            assert!(set_of(field.ty, holder), "{this}: a far side lists the holders");
            assert!(near.far.is_none(), "{this}: both sides are far");
            assert_eq!(field.qualifier, Qualifier::RO, "{this}: an index cannot be set");
        }
    }
}

fn set_of(ty: Ty, class: ClassId) -> bool {
    matches!(ty, Ty::Set(of) if *of == Ty::Ref(class))
}

/// The state's hash covers internal fields, and `xenledger model` does not print how they begin.
#[test]
fn the_page_on_the_log_says_how_internal_fields_begin() {
    let page = include_str!("../proto-docs/log.md");
    let internal = CLASSES.iter().flat_map(|class| class.fields.iter().map(move |field| (class.name, field)));
    for (class, field) in internal.filter(|(_, field)| field.flags.internal) {
        let begins = default_value(field.ty, field.default);
        let plain = begins == default_value(field.ty, None) && !matches!(begins, Value::Enum(_));
        assert_eq!(!plain, page.contains(&format!("`{class}.{}`", field.name)), "{class}.{}", field.name);
    }
}

#[test]
fn a_default_is_a_value_of_its_type() {
    for class in CLASSES {
        for field in class.fields {
            let value = default_value(field.ty, field.default);
            assert!(is_of(field.ty, &value), "{}.{}: {value:?} is no {}", class.name, field.name, field.ty);
        }
    }
    for message in &MODEL.messages {
        let optional = message.params.iter().skip_while(|param| param.default.is_none());
        for param in optional {
            let this = format!("{}({})", message.full_name, param.name);
            assert!(param.default.is_some(), "{this} must be given, but follows one that may be left out");
            let value = default_value(param.ty, param.default);
            assert!(is_of(param.ty, &value), "{this}: {value:?} is no {}", param.ty);
        }
    }
}

fn is_of(ty: Ty, value: &Value) -> bool {
    match (ty, value) {
        (Ty::Bool, Value::Bool(_)) | (Ty::Int, Value::Int(_)) | (Ty::Float, Value::Float(_)) => true,
        (Ty::DateTime, Value::Time(_)) | (Ty::String, Value::String(_)) | (Ty::Ref(_), Value::Ref(_)) => true,
        (Ty::Enum(def), Value::Enum(name)) => def.values.contains(name),
        (Ty::Set(of), Value::Set(values)) => values.iter().all(|value| is_of(*of, value)),
        (Ty::Map(_, of), Value::Map(map)) => map.values().all(|value| is_of(*of, value)),
        (Ty::Option(of), value) => *value == Value::Absent || is_of(*of, value),
        (Ty::Record(_) | Ty::AnyRecord | Ty::EventBatch, Value::Map(_)) => true,
        _ => false,
    }
}

#[test]
fn messages_are_implied_as_in_the_xenapi() {
    for class in CLASSES.iter().filter(|class| !class.flags.nothing_implied) {
        let names: BTreeSet<String> = implied_names(class);
        let of_class = MODEL.messages.iter().filter(|message| message.class == class.id);
        let (implied, declared): (Vec<_>, Vec<_>) = of_class.partition(|message| message.implied.is_some());
        let implied: BTreeSet<String> = implied.iter().map(|message| message.name.to_string()).collect();
        let declared: BTreeSet<String> = declared.iter().map(|message| message.name.to_string()).collect();
        let missing: Vec<_> =
            names.iter().filter(|name| !implied.contains(*name) && !declared.contains(*name)).collect();
        assert!(missing.is_empty(), "{}: {missing:?} should be implied", class.name);
        let beyond: Vec<_> = implied.difference(&names).collect();
        assert!(beyond.is_empty(), "{}: {beyond:?} should not be implied", class.name);
    }
}

/// From the published rules, written down a second time.
fn implied_names(class: &Class) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = ["get_by_uuid", "get_record"].map(String::from).into();
    let mut add = |name: &str, when: bool| {
        if when {
            names.insert(name.to_string());
        }
    };
    add("get_by_name_label", class.fields.iter().any(|field| field.name == "name_label"));
    add("get_all", !class.flags.no_get_all);
    add("get_all_records", !class.flags.no_get_all);
    add("get_all_where", !class.flags.no_get_all);
    add("get_all_records_where", !class.flags.no_get_all);
    add("create", class.flags.create);
    add("destroy", class.flags.destroy);
    for field in class.fields.iter().filter(|field| !field.flags.internal) {
        let (name, writable) = (field.name, field.qualifier == Qualifier::RW);
        let (map, set) = (matches!(field.ty, Ty::Map(..)), matches!(field.ty, Ty::Set(_)));
        add(&format!("get_{name}"), !field.flags.secret);
        add(&format!("set_{name}"), writable);
        add(&format!("add_to_{name}"), writable && map);
        add(&format!("remove_from_{name}"), writable && map);
        add(&format!("add_{name}"), writable && set);
        add(&format!("remove_{name}"), writable && set);
    }
    names
}

#[test]
fn everything_is_described() {
    let mut wrong: Vec<String> = Vec::new();
    for class in CLASSES.iter().filter(|class| class.flags.lifecycle != Lifecycle::Removed) {
        if class.doc.is_empty() {
            wrong.push(class.name.into());
        }
        let fields = class.fields.iter().filter(|field| field.doc.is_empty());
        wrong.extend(fields.map(|field| format!("{}.{}", class.name, field.name)));
        let of_class = MODEL.messages.iter().filter(|message| message.class == class.id);
        wrong.extend(of_class.filter(|message| message.doc.is_empty()).map(|message| message.full_name.to_string()));
    }
    assert!(wrong.is_empty(), "{} without a description: {wrong:?}", wrong.len());
}

#[test]
fn what_is_ours_is_either_shown_or_internal() {
    for class in CLASSES {
        for field in class.fields {
            assert!(!(field.flags.extension && field.flags.internal), "{}.{}", class.name, field.name);
            assert!(!field.flags.internal || field.qualifier == Qualifier::RO, "{}.{}", class.name, field.name);
        }
    }
}
