//! Arguments as people write them: read by the model's types, JSON or plain
//! text, objects by reference, uuid, or a name that only one has.

use super::client::Client;
use crate::model::{CLASSES, ClassId, MODEL, Message, Ty, export};
use crate::value::{Map, Ref, Value, check, untyped};
use anyhow::{Context, bail};
use std::collections::HashMap;
use std::sync::Arc;

/// Finds a message by its name, with or without `Async.`.
pub fn message(name: &str) -> anyhow::Result<(&'static Message, bool)> {
    let (background, name) = name.strip_prefix("Async.").map_or((false, name), |name| (true, name));
    if let Some(message) = MODEL.message(name) {
        return Ok((message, background));
    }
    let class = name.split(['.', '_']).next().unwrap_or_default();
    match MODEL.class(class) {
        Some(class) => bail!("there is no message {name}; `xenledger model {}` lists those there are", class.name()),
        None => bail!("there is no message {name}: messages are called CLASS.MESSAGE, as VM.start"),
    }
}

/// The arguments of a message, of its parameters' types; objects are looked up on the server.
pub async fn read(client: &mut Client, message: &Message, texts: &[String]) -> anyhow::Result<Vec<Value>> {
    if texts.len() < message.required() || texts.len() > message.params.len() {
        bail!("{}", usage(message));
    }
    let mut values = Vec::with_capacity(texts.len());
    for (param, text) in message.params.iter().zip(texts) {
        let value = parse(param.ty, text).with_context(|| format!("{} ({})", param.name, param.ty))?;
        let mut wanted = Vec::new();
        names(param.ty, &value, &mut wanted);
        let mut found = HashMap::new();
        for (class, name) in wanted {
            let reference = find(client, class, &name).await?;
            found.insert((class, name), reference);
        }
        let value = resolve(param.ty, value, &found);
        values.push(check(param.name, param.ty, value).with_context(|| format!("{} ({})", param.name, param.ty))?);
    }
    Ok(values)
}

/// What the message wants.
pub fn usage(message: &Message) -> String {
    let required = message.required();
    let params = message.params.iter().enumerate().map(|(at, param)| match at < required {
        true => format!("  {} ({})", param.name, param.ty),
        false => format!("  {} ({}), may be left out", param.name, param.ty),
    });
    let doc = export::text(message.doc);
    let head = match message.params {
        [] => format!("{} takes no arguments", message.full_name),
        _ => format!("{} takes these arguments:", message.full_name),
    };
    let lines = std::iter::once(head).chain(params).chain((!doc.is_empty()).then_some(doc));
    lines.collect::<Vec<_>>().join("\n")
}

/// Reads a text by a type, without asking anybody.
fn parse(ty: Ty, text: &str) -> anyhow::Result<Value> {
    let json =
        |text: &str| -> anyhow::Result<Value> { Ok(untyped(&serde_json::from_str(text).context("this is no JSON")?)) };
    Ok(match ty {
        Ty::Set(_) | Ty::Map(..) | Ty::Record(_) | Ty::AnyRecord if text.starts_with(['[', '{']) => json(text)?,
        Ty::Set(_) if text.is_empty() => Value::empty_set(),
        Ty::Set(of) => Value::set(text.split(',').map(|part| parse(*of, part)).collect::<anyhow::Result<Vec<_>>>()?),
        Ty::Map(..) | Ty::Record(_) | Ty::AnyRecord if text.is_empty() => Value::empty_map(),
        Ty::Map(_, of) => entries(text, |_| *of)?,
        Ty::Record(class) => {
            entries(text, |name| MODEL.field(class, name).map_or(Ty::String, |field| class.def().fields[field].ty))?
        }
        Ty::AnyRecord => entries(text, |_| Ty::String)?,
        Ty::Option(_) if text.is_empty() || text == "null" => Value::Absent,
        Ty::Option(of) => parse(*of, text)?,
        _ => Value::text(text),
    })
}

/// `key=value,key=value`.
fn entries(text: &str, type_of: impl Fn(&str) -> Ty) -> anyhow::Result<Value> {
    let mut map = Map::new();
    for part in text.split(',') {
        let (key, value) = part.split_once('=').with_context(|| format!("{part:?} is not KEY=VALUE"))?;
        map.insert(Arc::from(key), parse(type_of(key), value)?);
    }
    Ok(Value::Map(Arc::new(map)))
}

/// The objects that a value names without giving their references.
fn names(ty: Ty, value: &Value, out: &mut Vec<(ClassId, String)>) {
    match (ty, value) {
        (Ty::Ref(class), Value::String(text)) if is_name(text) => out.push((class, text.to_string())),
        (Ty::Set(of), Value::Set(values)) => values.iter().for_each(|value| names(*of, value, out)),
        (Ty::Map(key, of), Value::Map(map)) => {
            for (name, value) in map.iter() {
                names(*key, &Value::String(name.clone()), out);
                names(*of, value, out);
            }
        }
        (Ty::Record(class), Value::Map(map)) => {
            for (name, value) in map.iter() {
                if let Some(field) = MODEL.field(class, name) {
                    names(class.def().fields[field].ty, value, out);
                }
            }
        }
        (Ty::Option(of), value) => names(*of, value, out),
        _ => {}
    }
}

fn is_name(text: &str) -> bool {
    !is_null(text) && Ref::parse(text).is_none()
}

fn is_null(text: &str) -> bool {
    text.is_empty() || text.eq_ignore_ascii_case("null")
}

/// The value with references in place of names.
fn resolve(ty: Ty, value: Value, found: &HashMap<(ClassId, String), Ref>) -> Value {
    match (ty, value) {
        (Ty::Ref(_), Value::String(text)) if is_null(&text) => Value::Ref(Ref::NULL),
        (Ty::Ref(class), Value::String(text)) => match found.get(&(class, text.to_string())) {
            Some(reference) => Value::Ref(*reference),
            None => Value::String(text),
        },
        (Ty::Set(of), Value::Set(values)) => Value::set(values.iter().map(|value| resolve(*of, value.clone(), found))),
        (Ty::Map(key, of), Value::Map(map)) => Value::map(map.iter().map(|(name, value)| {
            let name = match resolve(*key, Value::String(name.clone()), found) {
                Value::Ref(reference) => reference.to_string(),
                other => other.as_str().to_string(),
            };
            (name, resolve(*of, value.clone(), found))
        })),
        (Ty::Record(class), Value::Map(map)) => Value::map(map.iter().map(|(name, value)| {
            let Some(field) = MODEL.field(class, name) else { return (name.clone(), value.clone()) };
            let ty = class.def().fields[field].ty;
            let value = resolve(ty, value.clone(), found);
            // What does not fit goes as it is: the server's error names the field.
            (name.clone(), check(name, ty, value.clone()).unwrap_or(value))
        })),
        (Ty::Option(of), value) => resolve(*of, value, found),
        (_, value) => value,
    }
}

/// An object by its uuid, or by a name that only it has.
pub async fn find(client: &mut Client, class: ClassId, name: &str) -> anyhow::Result<Ref> {
    if Ref::parse_uuid(name).is_some() {
        let found = client.call(&format!("{}.get_by_uuid", class.name()), &[Value::text(name)]).await?;
        return Ref::parse(found.as_str()).with_context(|| format!("no {} has the uuid {name}", class.name()));
    }
    let named = CLASSES.iter().any(|def| def.id == class && def.fields.iter().any(|field| field.name == "name_label"));
    if !named {
        bail!("{name:?} is no reference and no uuid, and a {} has no name", class.name());
    }
    let found = client.call(&format!("{}.get_by_name_label", class.name()), &[Value::text(name)]).await?;
    match found.as_set() {
        [one] => Ref::parse(one.as_str()).with_context(|| format!("{one:?} is no reference")),
        [] => bail!("there is no {} named {name:?}", class.name()),
        several => {
            let listed: Vec<&str> = several.iter().map(Value::as_str).collect();
            bail!("several {} are named {name:?}:\n  {}", class.name(), listed.join("\n  "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Enumeration;

    #[test]
    fn texts_are_read_by_type() {
        let text = |text: &str| Value::text(text);
        assert_eq!(parse(Ty::String, "[1]").expect("text"), text("[1]"));
        assert_eq!(parse(Ty::Set(&Ty::String), "a,b").expect("a list"), Value::set([text("a"), text("b")]));
        assert_eq!(parse(Ty::Set(&Ty::Int), "[1]").expect("JSON"), Value::set([Value::Int(1)]));
        let map = Ty::Map(&Ty::String, &Ty::String);
        assert_eq!(parse(map, "a=1,b=x=y").expect("a map"), Value::map([("a", text("1")), ("b", text("x=y"))]));
        assert_eq!(parse(map, "{\"a\":\"1\"}").expect("JSON"), Value::map([("a", text("1"))]));
        assert!(parse(map, "a").is_err());
        assert!(parse(map, "{").is_err());
        assert_eq!(parse(Ty::Option(&Ty::Int), "null").expect("nothing"), Value::Absent);
    }

    #[test]
    fn names_are_found_wherever_they_stand_and_replaced() {
        let record = parse(
            Ty::Record(ClassId::VBD),
            "{\"VM\":\"web\",\"VDI\":\"\",\"mode\":\"RW\",\"other_config\":{\"VM\":\"x\"}}",
        );
        let record = record.expect("JSON");
        let mut wanted = Vec::new();
        names(Ty::Record(ClassId::VBD), &record, &mut wanted);
        assert_eq!(wanted, [(ClassId::VM, "web".to_string())]);
        let reference = Ref([7; 16]);
        let found = HashMap::from([((ClassId::VM, "web".to_string()), reference)]);
        let resolved = resolve(Ty::Record(ClassId::VBD), record, &found);
        assert_eq!(resolved.as_map().get("VM"), Some(&Value::Ref(reference)));
        assert_eq!(resolved.as_map().get("VDI"), Some(&Value::Ref(Ref::NULL)));
        let mode = crate::model::vbd_mode::DEF.intern("RW").expect("a value");
        assert_eq!(resolved.as_map().get("mode"), Some(&Value::Enum(mode)));
        let map = Ty::Map(&Ty::Ref(ClassId::VDI), &Ty::Ref(ClassId::SR));
        let value = parse(map, "disk=store").expect("a map");
        let mut wanted = Vec::new();
        names(map, &value, &mut wanted);
        assert_eq!(wanted, [(ClassId::VDI, "disk".to_string()), (ClassId::SR, "store".to_string())]);
    }

    #[test]
    fn messages_are_found_or_explained() {
        let (message, background) = super::message("Async.VM.start").expect("it is there");
        assert!(background && message.full_name == "VM.start");
        assert!(super::message("VM.strat").expect_err("none").to_string().contains("xenledger model VM"));
        assert!(super::message("start").is_err());
        let usage = usage(message);
        assert!(usage.starts_with("VM.start takes these arguments:\n  vm (VM ref)\n"), "{usage}");
        assert!(usage.contains("force (bool), may be left out"), "{usage}");
    }
}
