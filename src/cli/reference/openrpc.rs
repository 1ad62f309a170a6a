//! The reference for tools: an OpenRPC document of every message, one a line so
//! that a change is one line too.

use crate::command::refused::status;
use crate::model::common::common;
use crate::model::export::{Status, text};
use crate::model::{API_VERSION, CLASSES, Class, ClassId, Lifecycle, MODEL, Message, Ty};
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;

const VERSION: &str = "1.3.2";

pub fn document() -> String {
    let head = json!({
        "title": "xenledger",
        "description": "The XenAPI over JSON-RPC. Parameters go by position, the session first. An error's message is the \
            XenAPI's code and its data the code's parameters; x-errors names the codes that a method can raise. Methods with \
            x-async also answer to their name with Async. before it, with a task.",
        "version": format!("{}.{}", API_VERSION.0, API_VERSION.1),
        "license": { "name": "MIT OR Apache-2.0" },
    });
    let servers = json!([{ "name": "a server on this machine", "url": "http://127.0.0.1:8080/jsonrpc" }]);
    let methods = introspection().into_iter().chain(MODEL.messages.iter().map(method));
    let methods: Vec<String> = methods.map(|method| method.to_string()).collect();
    let schemas: Vec<String> = schemas().iter().map(|(name, schema)| format!("{}: {schema}", json!(name))).collect();
    let error = json!({ "code": 1, "message": "a code of the XenAPI", "data": ["the code's parameters"] });
    format!(
        "{{\n\"openrpc\": \"{VERSION}\",\n\"info\": {head},\n\"servers\": {servers},\n\"methods\": [\n{}\n],\n\
         \"components\": {{\n\"errors\": {{ \"XenAPI\": {error} }},\n\"schemas\": {{\n{}\n}}\n}}\n}}\n",
        methods.join(",\n"),
        schemas.join(",\n")
    )
}

fn method(message: &Message) -> Json {
    let session = (!message.no_session).then(|| param("session_id", schema(Ty::Ref(ClassId::session)), true));
    let required = message.required();
    let params = message.params.iter().enumerate();
    let params = params.map(|(nth, given)| param(given.name, schema(given.ty), nth < required));
    let errors = message.errors.iter().copied();
    let common = common(message).map(|common| common.code).filter(|code| !message.errors.contains(code));
    let mut json = json!({
        "name": message.full_name,
        "description": text(message.doc),
        "paramStructure": "by-position",
        "params": session.into_iter().chain(params).collect::<Vec<_>>(),
        "result": { "name": "result", "schema": schema(message.result) },
        "errors": [{ "$ref": "#/components/errors/XenAPI" }],
        "x-errors": errors.chain(common).collect::<Vec<_>>(),
        "x-roles": message.roles.names().collect::<Vec<_>>(),
        "x-async": message.task,
        "x-implied": message.implied.is_some(),
        "x-extension": message.extension,
        "x-status": status(message).name(),
    });
    if let Status::Refused(why) = status(message) {
        json["x-reason"] = why.into();
    }
    if matches!(message.lifecycle, Lifecycle::Deprecated | Lifecycle::Removed) {
        json["deprecated"] = true.into();
    }
    json
}

fn param(name: &str, schema: Json, required: bool) -> Json {
    json!({ "name": name, "required": required, "schema": schema })
}

/// The messages that belong to no class.
fn introspection() -> Vec<Json> {
    let text = || json!({ "type": "string" });
    let list = |of: Json| json!({ "type": "array", "items": of });
    let about = || vec![param("method", text(), true)];
    let method = |name: &str, what: &str, params: Vec<Json>, result: Json| {
        json!({ "name": name, "description": what, "paramStructure": "by-position", "params": params,
                "result": { "name": "result", "schema": result }, "x-status": "works" })
    };
    vec![
        method("system.listMethods", "List every message that works.", vec![], list(text())),
        method("system.methodSignature", "The types of a message: first the result's.", about(), list(list(text()))),
        method("system.methodHelp", "What a message does.", about(), text()),
    ]
}

fn schema(ty: Ty) -> Json {
    let named = |name: String| json!({ "$ref": format!("#/components/schemas/{name}") });
    match ty {
        Ty::Void => json!({ "const": "" }),
        Ty::Bool => json!({ "type": "boolean" }),
        Ty::Int => json!({ "type": "integer" }),
        Ty::Float => json!({ "type": "number" }),
        Ty::DateTime => named("datetime".into()),
        Ty::String => json!({ "type": "string" }),
        Ty::Enum(def) => named(def.name.into()),
        Ty::Ref(class) => named(format!("{}_ref", class.name())),
        Ty::Set(of) => json!({ "type": "array", "items": schema(*of) }),
        Ty::Map(_, of) => json!({ "type": "object", "additionalProperties": schema(*of) }),
        Ty::Option(of) => schema(*of),
        Ty::Record(class) => named(format!("{}_record", class.name())),
        Ty::AnyRecord => json!({ "type": "object" }),
        Ty::EventBatch => {
            json!({ "type": "object", "required": ["events", "valid_ref_counts", "token"], "properties": {
            "events": { "type": "array", "items": named("event_record".into()) },
            "valid_ref_counts": { "type": "object", "additionalProperties": { "type": "integer" } },
            "token": { "type": "string" },
        } })
        }
    }
}

/// References, records and enums, by name.
fn schemas() -> BTreeMap<String, Json> {
    let datetime = json!({ "type": "string", "pattern": "^[0-9]{8}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$" });
    let mut schemas = BTreeMap::from([("datetime".to_string(), datetime)]);
    for class in CLASSES {
        let what = format!("A reference to a {}, or OpaqueRef:NULL", class.name);
        schemas.insert(format!("{}_ref", class.name), json!({ "type": "string", "description": what }));
        schemas.insert(format!("{}_record", class.name), record(class));
        for def in class.enums {
            schemas.insert(def.name.to_string(), json!({ "type": "string", "enum": def.values }));
        }
    }
    schemas
}

fn record(class: &Class) -> Json {
    let told = class.fields.iter().filter(|field| !field.flags.internal && !field.flags.secret);
    let properties: Map<String, Json> = told.map(|field| (field.name.to_string(), schema(field.ty))).collect();
    json!({ "type": "object", "description": text(class.doc), "properties": properties })
}
