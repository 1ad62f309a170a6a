//! What no two objects share: the devices of a machine, the places in a
//! repository, the names of users.
//! Looked at when an event is appended, for what it touches alone, and by the
//! tools that look at a whole view.

use super::relations::FieldId;
use super::{Object, View};
use crate::model::{CLASSES, ClassId, MODEL};
use crate::value::{Ref, Value};
use std::collections::HashMap;
use std::sync::LazyLock;

/// A rule as written: class, the field that says where it holds (everywhere, if there is none), the fields that together
/// are had by one object only.
type Written = (ClassId, Option<&'static str>, &'static [&'static str]);

const WRITTEN: &[Written] = &[
    (ClassId::VBD, Some("VM"), &["userdevice"]),
    (ClassId::VIF, Some("VM"), &["device"]),
    (ClassId::PBD, Some("SR"), &["host"]),
    (ClassId::VDI, Some("SR"), &["location"]),
    (ClassId::PIF, Some("host"), &["device", "VLAN"]),
    (ClassId::VLAN, Some("tagged_PIF"), &["tag"]),
    (ClassId::host_cpu, Some("host"), &["number"]),
    (ClassId::SM, None, &["type"]),
    (ClassId::user, None, &["short_name"]),
    (ClassId::subject, None, &["subject_identifier"]),
];

/// A rule, by the fields' indexes.
struct Rule {
    within: Option<usize>,
    fields: Vec<usize>,
}

static RULES: LazyLock<Vec<Vec<Rule>>> = LazyLock::new(|| {
    let index = |class, name| MODEL.field(class, name).unwrap_or_else(|| panic!("BUG: {class:?} has no {name}"));
    let of = |class: ClassId| {
        let written = WRITTEN.iter().filter(move |(of, ..)| *of == class);
        written.map(move |(_, within, fields)| Rule {
            within: within.map(|within| index(class, within)),
            fields: fields.iter().map(|field| index(class, field)).collect(),
        })
    };
    CLASSES.iter().map(|class| of(class.id).collect()).collect()
});

impl Rule {
    /// What the rule compares; `None` for an object that it does not concern.
    fn of<'a>(&self, object: &'a Object) -> Option<(Ref, Vec<&'a Value>)> {
        let within = self.within.map(|field| object.record[field].as_ref()).unwrap_or_default();
        let values: Vec<&Value> = self.fields.iter().map(|field| &object.record[*field]).collect();
        let concerned = (self.within.is_none() || !within.is_null()) && !values.iter().any(|value| is_empty(value));
        concerned.then_some((within, values))
    }

    /// Whether what is compared is the object's own uuid, which was drawn for it: nobody else can have had it before,
    /// and nobody needs to look through the thousands beside it.
    fn is_by_uuid(&self, class: ClassId, object: &Object) -> bool {
        let uuid = MODEL.field(class, "uuid").map(|uuid| &object.record[uuid]);
        matches!(&self.fields[..], [only] if uuid == Some(&object.record[*only]))
    }

    /// Whether a change of these fields can break it; none means a new object.
    fn concerns(&self, changed: &[usize]) -> bool {
        changed.is_empty() || changed.iter().any(|f| self.within == Some(*f) || self.fields.contains(f))
    }

    fn broken(&self, class: ClassId, one: Ref, other: Ref) -> String {
        let names: Vec<&str> = self.fields.iter().map(|field| class.def().fields[*field].name).collect();
        let within = self.within.map(|field| format!(" in their {}", class.def().fields[field].name));
        let (class, names) = (class.name(), names.join(", "));
        format!("{class} {one} and {other} have the same {names}{}", within.unwrap_or_default())
    }
}

/// Not said yet, which many may share.
fn is_empty(value: &Value) -> bool {
    matches!(value, Value::String(text) if text.is_empty())
        || matches!(value, Value::Ref(reference) if reference.is_null())
}

/// Whether a change of these fields of an object can break a rule of its class; none means a new object.
pub fn concerns(class: ClassId, changed: &[usize]) -> bool {
    RULES[class as usize].iter().any(|rule| rule.concerns(changed))
}

/// Whether the object shares what it must not; `changed` says which fields to look at, none meaning all.
pub fn shared(view: &View, class: ClassId, object: &Object, changed: &[usize]) -> Option<String> {
    for rule in &RULES[class as usize] {
        let Some(own) = rule.of(object).filter(|_| rule.concerns(changed) && !rule.is_by_uuid(class, object)) else {
            continue;
        };
        let same = |other: Ref| {
            let twin = view.object(class, other).filter(|twin| twin.reference != object.reference);
            twin.is_some_and(|twin| rule.of(twin).is_some_and(|theirs| theirs == own))
        };
        let other = match rule.within {
            Some(within) => view.referrers(FieldId(class, within as u16), own.0).into_iter().find(|other| same(*other)),
            None => view.class(class).objects.keys().copied().find(|other| same(*other)),
        };
        if let Some(other) = other {
            return Some(rule.broken(class, object.reference, other));
        }
    }
    None
}

/// The same of every object of a class.
pub fn all(view: &View, class: ClassId) -> Result<(), String> {
    for rule in &RULES[class as usize] {
        let mut seen = HashMap::new();
        for object in view.class(class).objects.values() {
            let Some((within, values)) = rule.of(object) else { continue };
            let values: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
            if let Some(other) = seen.insert((within, values), object.reference) {
                return Err(rule.broken(class, object.reference, other));
            }
        }
    }
    Ok(())
}
