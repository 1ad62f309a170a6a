//! Events as records for people's tools: who, from where, what, on which
//! objects by reference, uuid and name, and how it ended. What is internal or
//! secret in the model is left out here, once, for everybody who reads the log.

use super::filter::Outcome;
use crate::event::{Change, Delta, Event, Operation};
use crate::model::{ClassId, MODEL, Ty};
use crate::value::{Micros, Ref, Value, from_json, untyped};
use crate::views::{Object, View};
use std::collections::BTreeMap;

/// `2026-11-22T19:56:26.123456Z`.
pub fn fine_time(micros: Micros) -> String {
    let time = jiff::Timestamp::from_microsecond(micros).unwrap_or_default();
    format!("{time:.6}")
}

/// The object's name, if its class has one.
pub fn name_of(class: ClassId, object: &Object) -> Option<&str> {
    let index = MODEL.field(class, "name_label")?;
    Some(object.record[index].as_str()).filter(|name| !name.is_empty())
}

/// An object that an event is about, as far as it is known.
#[derive(Clone, PartialEq, Debug)]
pub struct Named {
    pub class: ClassId,
    pub reference: Ref,
    pub uuid: String,
    pub name: String,
}

impl Named {
    fn of(class: ClassId, reference: Ref, view: &View) -> Named {
        let object = view.object(class, reference);
        let uuid = MODEL.field(class, "uuid").and_then(|uuid| Some(object?.record[uuid].as_str().to_string()));
        let name = object.and_then(|object| name_of(class, object)).unwrap_or_default().to_string();
        Named { class, reference, uuid: uuid.unwrap_or_default(), name }
    }
}

/// The objects that the event changed, and those that its arguments name.
pub fn objects(event: &Event, view: &View) -> Vec<Named> {
    let mut named: BTreeMap<(ClassId, Ref), Named> = BTreeMap::new();
    for change in &event.body.changes {
        let key = (change.class, change.reference);
        let one = named.entry(key).or_insert_with(|| Named::of(change.class, change.reference, view));
        if let Operation::Add(values) = &change.operation {
            let given = |field: &str| {
                let index = MODEL.field(change.class, field)?;
                values.iter().find(|(at, _)| *at == index).map(|(_, value)| value.as_str().to_string())
            };
            one.uuid = Some(std::mem::take(&mut one.uuid))
                .filter(|uuid| !uuid.is_empty())
                .or(given("uuid"))
                .unwrap_or_default();
            one.name = Some(std::mem::take(&mut one.name))
                .filter(|name| !name.is_empty())
                .or(given("name_label"))
                .unwrap_or_default();
        }
    }
    for (class, reference) in arguments(event) {
        named.entry((class, reference)).or_insert_with(|| Named::of(class, reference, view));
    }
    named.into_values().collect()
}

/// The objects among the event's arguments.
fn arguments(event: &Event) -> impl Iterator<Item = (ClassId, Ref)> {
    let params = MODEL.message(&event.message).map(|message| message.params).unwrap_or_default();
    event.body.args.iter().filter_map(move |(name, arg)| {
        let Ty::Ref(class) = params.iter().find(|param| param.name == &**name)?.ty else { return None };
        Some((class, Ref::parse_uuid(arg.as_str()?)?))
    })
}

/// The whole event as a record. Names are those of `view`.
pub fn event(event: &Event, view: &View) -> Value {
    let body = &event.body;
    let mut members = vec![
        ("kind", event.kind.name().into()),
        ("lineage", event.lineage.to_string().into()),
        ("term", Value::Int(event.term as i64)),
        ("position", Value::Int(event.position as i64)),
        ("time", fine_time(event.time).into()),
        ("principal", event.principal.clone().into()),
        ("message", event.message.clone().into()),
        ("outcome", Outcome::of(event).name().into()),
    ];
    let mut text = |name: &'static str, text: &str| {
        if !text.is_empty() {
            members.push((name, text.into()));
        }
    };
    text("request", &event.request);
    text("address", &body.address);
    text("auth", &body.auth);
    if event.cause > 0 {
        members.push(("cause", Value::Int(event.cause as i64)));
    }
    if !body.args.is_empty() {
        members.push(("args", args(event)));
    }
    if let Some(task) = body.task {
        members.push(("task", task.into()));
    }
    if !body.error.is_empty() {
        members.push(("error", Value::set(body.error.iter().map(|text| Value::text(text)))));
    }
    if body.repeated > 0 {
        members.push(("repeated", Value::Int(body.repeated as i64)));
    }
    let named = objects(event, view);
    if !named.is_empty() {
        members.push(("objects", Value::set(named.into_iter().map(object))));
    }
    if !body.changes.is_empty() {
        members.push(("changes", Value::set(body.changes.iter().map(change))));
    }
    Value::map(members)
}

fn object(named: Named) -> Value {
    let members = [
        ("class", named.class.name().into()),
        ("ref", named.reference.into()),
        ("uuid", Value::from(named.uuid)),
        ("name", Value::from(named.name)),
    ];
    Value::map(members)
}

/// The arguments as the message's types say, so that references look as everywhere.
fn args(event: &Event) -> Value {
    let params = MODEL.message(&event.message).map(|message| message.params).unwrap_or_default();
    Value::map(event.body.args.iter().map(|(name, json)| {
        let ty = params.iter().find(|param| param.name == &**name).map(|param| param.ty);
        (name.clone(), ty.and_then(|ty| from_json(ty, json)).unwrap_or_else(|| untyped(json)))
    }))
}

/// One object's part: its fields, as they were and are.
pub fn change(change: &Change) -> Value {
    let fields = change.class.def().fields;
    let shown = |field: usize| !fields[field].flags.internal && !fields[field].flags.secret;
    let (operation, changed) = match &change.operation {
        Operation::Add(values) => {
            let values = values.iter().filter(|(field, _)| shown(*field));
            ("add", Some(Value::map(values.map(|(field, value)| (fields[*field].name, value.clone())))))
        }
        Operation::Mod(deltas) => {
            let deltas = deltas.iter().filter(|(field, _)| shown(*field));
            ("mod", Some(Value::map(deltas.map(|(field, change)| (fields[*field].name, delta(change))))))
        }
        Operation::Del(_) => ("del", None),
    };
    let mut members =
        vec![("class", change.class.name().into()), ("op", operation.into()), ("ref", change.reference.into())];
    members.extend(changed.map(|fields| ("fields", fields)));
    Value::map(members)
}

fn delta(delta: &Delta) -> Value {
    match delta {
        Delta::Scalar { old, new } => Value::map([("old", old.clone()), ("new", new.clone())]),
        Delta::Set { added, removed } => {
            Value::map([("added", Value::set(added.iter().cloned())), ("removed", Value::set(removed.iter().cloned()))])
        }
        Delta::Map { set, removed } => {
            let set = set.iter().map(|(key, old, new)| {
                let old = old.iter().map(|old| ("old", old.clone()));
                (key.clone(), Value::map(old.chain([("new", new.clone())])))
            });
            let removed = removed.iter().map(|(key, old)| (key.clone(), old.clone()));
            Value::map([("set", Value::map(set)), ("removed", Value::map(removed))])
        }
    }
}
