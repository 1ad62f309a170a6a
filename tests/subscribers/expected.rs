//! What the log says that each subscriber must have been told.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;

use serde_json::{Map, Value, json};

use crate::place::{Place, Wants};
use crate::text;

/// Far sides of relations: in no event of the log, but derived for subscribers.
const FAR: &[&str] = &["consoles", "VBDs", "VIFs", "VUSBs", "PIFs", "subtasks", "children", "snapshots", "VTPMs"];

/// The log's changes, event by event, oldest first.
pub struct Log(Vec<Value>);

/// One event with what of it somebody wanted.
#[derive(Clone, PartialEq, Debug)]
pub struct Told {
    pub position: u64,
    who: String,
    /// By class and reference: the operation, and the fields that changed.
    changes: BTreeMap<String, (String, Value)>,
}

impl Log {
    pub fn read(place: &Place) -> Log {
        let mut text = String::new();
        place.get("/log?kind=change", "").expect("it answers").read_to_string(&mut text).expect("a whole answer");
        let (head, body) = text.split_once("\r\n\r\n").expect("an answer");
        assert!(head.contains(" 200 "), "{head}");
        Log(body.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect())
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn events(&self) -> &[Value] {
        &self.0
    }

    /// What somebody must have been told of events behind a position, up to another.
    pub fn told(&self, wants: &Wants, behind: u64, until: u64) -> Vec<Told> {
        let mut objects: HashMap<String, Map<String, Value>> = HashMap::new();
        let mut all = Vec::new();
        for event in &self.0 {
            let position = event["position"].as_str().map_or(event["position"].as_u64(), |text| text.parse().ok());
            let position = position.expect("a position");
            let mut changes = BTreeMap::new();
            for change in event["changes"].as_array().into_iter().flatten() {
                let key = format!("{} {}", text(change, "class"), text(change, "ref"));
                let object = fold(objects.entry(key.clone()).or_default(), change).clone();
                if let Some(told) = matching(wants, change, &object) {
                    changes.insert(key, told);
                }
            }
            if !changes.is_empty() && position > behind && position <= until {
                all.push(Told { position, who: who(event), changes });
            }
        }
        all
    }
}

/// The fields of an object after a change, as far as the log has mentioned them.
fn fold<'o>(object: &'o mut Map<String, Value>, change: &Value) -> &'o Map<String, Value> {
    for (name, how) in change["fields"].as_object().into_iter().flatten() {
        if change["op"] == "add" {
            object.insert(name.clone(), how.clone());
        } else if let Some(new) = how.get("new") {
            object.insert(name.clone(), new.clone());
        }
    }
    object
}

fn matching(wants: &Wants, change: &Value, object: &Map<String, Value>) -> Option<(String, Value)> {
    let (class, op) = (text(change, "class"), text(change, "op"));
    let mut fields = Vec::new();
    let mut whole = false;
    for want in wants.classes {
        let (name, field) = want.split_once('.').map_or((*want, None), |(name, field)| (name, Some(field)));
        if name.eq_ignore_ascii_case(class) {
            whole |= field.is_none();
            fields.extend(field);
        }
    }
    if !whole && fields.is_empty() {
        return None;
    }
    if let Some((name, values)) = wants.predicate {
        let (of, field) = name.split_once('.').expect("a class and a field");
        let is = object.get(field).and_then(Value::as_str).unwrap_or_default();
        if of == class && !values.split(',').any(|value| value == is) {
            return None;
        }
    }
    if op != "mod" {
        return Some((op.to_string(), json!({})));
    }
    let changed = change["fields"].as_object().expect("fields");
    let changed = changed.iter().filter(|(name, _)| whole || fields.contains(&name.as_str()));
    let changed: Map<String, Value> = changed.map(|(name, how)| (name.clone(), as_told(how))).collect();
    (!changed.is_empty()).then(|| (op.to_string(), Value::Object(changed)))
}

/// The log writes a changed key of a map as `{old, new}`, subscribers get `[old, new]`.
fn as_told(how: &Value) -> Value {
    let Some(set) = how.get("set").and_then(Value::as_object) else { return how.clone() };
    let pair = |change: &Value| ["old", "new"].iter().filter_map(|name| change.get(name)).cloned().collect();
    let set: Map<String, Value> = set.iter().map(|(key, change)| (key.clone(), Value::Array(pair(change)))).collect();
    json!({"set": set, "removed": how["removed"]})
}

impl Told {
    /// What a subscriber was told.
    pub fn of(event: &Value) -> Told {
        let mut changes = BTreeMap::new();
        for change in event["changes"].as_array().expect("changes") {
            let key = format!("{} {}", text(change, "class"), text(change, "ref"));
            let mut changed = change["changed"].clone();
            changed.as_object_mut().expect("fields").retain(|name, _| !FAR.contains(&name.as_str()));
            let operation = text(change, "operation").to_string();
            if operation == "add" {
                assert!(change["snapshot"].is_object(), "what is new comes whole: {change}");
            }
            if operation != "mod" || changed != json!({}) {
                assert!(changes.insert(key, (operation, changed)).is_none(), "an object twice in {event}");
            }
        }
        Told { position: event["position"].as_u64().expect("a position"), who: who(event), changes }
    }

    /// Whether nothing of it is in the log itself: only far sides of relations changed.
    pub fn is_derived(&self) -> bool {
        self.changes.is_empty()
    }
}

/// Who did it, when, by which message, for which task, in which history.
fn who(event: &Value) -> String {
    let task = event["task"].as_str().unwrap_or("OpaqueRef:NULL");
    let parts = ["lineage", "time", "principal", "message"].map(|name| text(event, name));
    format!("{} {task}", parts.join(" "))
}

/// What was told, once each and in order, must be what the log has.
pub fn same(name: &str, told: &[Told], expected: &[Told]) {
    let told: Vec<&Told> = told.iter().filter(|event| !event.is_derived()).collect();
    for (nth, event) in told.iter().enumerate() {
        match expected.get(nth) {
            Some(wanted) if **event == *wanted => {}
            other => panic!("{name}: event {nth} is\n{event:?}\nand not\n{other:?}"),
        }
    }
    let missing = expected.get(told.len());
    assert!(missing.is_none(), "{name}: {} of {} events; then {missing:?}", told.len(), expected.len());
    assert!(!told.is_empty(), "{name} heard nothing");
}
