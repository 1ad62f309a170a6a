//! The model as JSON: what `GET /api/model` answers and `xenledger model`
//! prints, implied messages too. Names, types and qualifiers are spelt as in
//! the published model, so that its tools read ours.

use super::{
    API_VERSION, CLASSES, Class, Default, EnumDef, Field, Lifecycle, MODEL, Message, PRODUCT_VERSION, Qualifier,
};
use serde_json::{Map, Value as Json, json};

/// What becomes of a message here. The tables do not know: who serves messages tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    Works,
    /// Answered with an error, and why.
    Refused(&'static str),
}

impl Status {
    pub fn name(self) -> &'static str {
        match self {
            Status::Works => "works",
            Status::Refused(_) => "refused",
        }
    }
}

/// Tells what becomes of a message.
pub type Served = fn(&Message) -> Status;

/// All classes, or those named.
pub fn export(only: &[super::ClassId], served: Served) -> Json {
    let chosen = CLASSES.iter().filter(|class| only.is_empty() || only.contains(&class.id));
    json!({
        "api_version": format!("{}.{}", API_VERSION.0, API_VERSION.1),
        "product_version": PRODUCT_VERSION,
        "classes": chosen.map(|class| export_class(class, served)).collect::<Vec<_>>(),
    })
}

fn export_class(class: &Class, served: Served) -> Json {
    let fields = class.fields.iter().filter(|field| !field.flags.internal);
    let messages = MODEL.messages.iter().filter(|message| message.class == class.id);
    json!({
        "class": class.name,
        "doc": text(class.doc),
        "lifecycle": lifecycle(class.flags.lifecycle),
        "extension": class.flags.extension,
        "enums": class.enums.iter().map(|def| export_enum(def)).collect::<Map<_, _>>(),
        "fields": fields.map(export_field).collect::<Vec<_>>(),
        "messages": messages.map(|message| export_message(message, served)).collect::<Vec<_>>(),
    })
}

fn export_enum(def: &EnumDef) -> (String, Json) {
    (def.name.to_string(), json!(def.values))
}

fn export_field(field: &Field) -> Json {
    let mut json = json!({
        "name": field.name,
        "doc": text(field.doc),
        "type": field.ty.to_string(),
        "qualifier": qualifier(field.qualifier),
        "lifecycle": lifecycle(field.flags.lifecycle),
        "extension": field.flags.extension,
    });
    if let Some(default) = field.default {
        json["default"] = Json::from(default_text(default));
    }
    if let Some((class, held)) = field.far {
        json["far_side_of"] = Json::from(format!("{class}.{held}"));
    }
    json
}

fn export_message(message: &Message, served: Served) -> Json {
    let session = (!message.no_session).then(|| json!(["session_id", "session ref"]));
    let params = message.params.iter().map(|param| json!([param.name, param.ty.to_string()]));
    let mut json = json!({
        "name": message.name,
        "doc": text(message.doc),
        "result": message.result.to_string(),
        "params": session.into_iter().chain(params).collect::<Vec<_>>(),
        // How many of the parameters a caller may leave out, from the end.
        "optional": message.params.len() - message.required(),
        "errors": message.errors,
        "roles": message.roles.names().collect::<Vec<_>>(),
        "implied": message.implied.is_some(),
        "async": message.task,
        "lifecycle": lifecycle(message.lifecycle),
        "extension": message.extension,
    });
    let status = served(message);
    json["status"] = status.name().into();
    if let Status::Refused(why) = status {
        json["reason"] = why.into();
    }
    json
}

/// A documentation comment as one text.
pub fn text(doc: &[&str]) -> String {
    doc.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ").trim().to_string()
}

pub fn qualifier(qualifier: Qualifier) -> &'static str {
    match qualifier {
        Qualifier::RO => "RO/runtime",
        Qualifier::CO => "RO/constructor",
        Qualifier::RW => "RW",
    }
}

pub fn lifecycle(lifecycle: Lifecycle) -> &'static str {
    match lifecycle {
        Lifecycle::Published => "published",
        Lifecycle::Prototyped => "prototyped",
        Lifecycle::Deprecated => "deprecated",
        Lifecycle::Removed => "removed",
    }
}

/// A default as the published model spells it.
pub fn default_text(default: Default) -> String {
    match default {
        Default::Empty => "{}".into(),
        Default::Null => "OpaqueRef:NULL".into(),
        Default::Epoch => "19700101T00:00:00Z".into(),
        Default::Text(text) => text.into(),
        Default::Set(values) => format!("{{{}}}", values.join("; ")),
        Default::Map(entries) => {
            let entries: Vec<String> = entries.iter().map(|(key, value)| format!("\"{key}\" -> \"{value}\"")).collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ClassId;

    fn all_work(_: &Message) -> Status {
        Status::Works
    }

    fn find<'a>(list: &'a Json, key: &str, name: &str) -> &'a Json {
        let list = list.as_array().expect("a list");
        list.iter().find(|entry| entry[key] == name).unwrap_or_else(|| panic!("no {name}"))
    }

    #[test]
    fn it_speaks_like_the_published_model() {
        let json = export(&[], all_work);
        assert_eq!(json["classes"].as_array().map(Vec::len), Some(CLASSES.len()));
        let vm = find(&json["classes"], "class", "VM");
        let state = find(&vm["fields"], "name", "power_state");
        assert_eq!(state["type"], "enum vm_power_state");
        assert_eq!(state["qualifier"], "RO/constructor");
        assert_eq!(state["default"], "Halted");
        assert_eq!(find(&vm["fields"], "name", "VBDs")["far_side_of"], "VBD.VM");
        let start = find(&vm["messages"], "name", "start");
        let first = json!(["session_id", "session ref"]);
        assert_eq!(start["params"][0], first);
        assert_eq!(start["params"][1], json!(["vm", "VM ref"]));
        assert_eq!(find(&vm["messages"], "name", "get_all_records")["implied"], true);
        let session = find(&json["classes"], "class", "session");
        assert_ne!(find(&session["messages"], "name", "login_with_password")["params"][0], first);
    }

    #[test]
    fn nothing_internal_is_told() {
        let json = export(&[], all_work).to_string();
        for class in CLASSES {
            let told = export(&[class.id], all_work);
            for field in class.fields.iter().filter(|field| field.flags.internal) {
                let fields = told["classes"][0]["fields"].as_array().expect("a list");
                assert!(fields.iter().all(|told| told["name"] != field.name), "{}.{}", class.name, field.name);
            }
        }
        assert!(json.len() > 500_000, "it is all there");
        assert_eq!(export(&[ClassId::VM], all_work)["classes"].as_array().map(Vec::len), Some(1));
    }
}
