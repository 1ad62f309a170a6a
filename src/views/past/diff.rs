//! What differs between two views: objects that came, went, or have other
//! values. Unchanged classes share their memory, so they cost nothing.

use crate::model::{CLASSES, ClassId};
use crate::value::{Ref, Value};
use crate::views::{Object, View};
use std::sync::Arc;

/// One object that is not the same in both.
pub struct Difference {
    pub class: ClassId,
    pub reference: Ref,
    pub before: Option<Arc<Object>>,
    pub after: Option<Arc<Object>>,
}

impl Difference {
    pub fn operation(&self) -> &'static str {
        match (&self.before, &self.after) {
            (None, _) => "add",
            (Some(_), None) => "del",
            (Some(_), Some(_)) => "mod",
        }
    }

    /// The fields that differ, with both values; those that clients may see.
    pub fn fields(&self) -> Vec<(&'static str, Value, Value)> {
        let (Some(before), Some(after)) = (&self.before, &self.after) else { return Vec::new() };
        let fields = self.class.def().fields.iter().enumerate();
        let shown = fields.filter(|(_, field)| {
            !field.flags.internal && !field.flags.secret && !field.flags.volatile && field.far.is_none()
        });
        let both = shown.map(|(index, field)| (field.name, before.record[index].clone(), after.record[index].clone()));
        both.filter(|(_, old, new)| !same(old, new)).collect()
    }

    /// As a record: `fields` has old and new values; what came or went is named alone.
    pub fn record(&self) -> Value {
        let fields = self.fields().into_iter().map(|(name, old, new)| (name, Value::map([("old", old), ("new", new)])));
        let mut members = vec![
            ("class", self.class.name().into()),
            ("op", self.operation().into()),
            ("ref", self.reference.into()),
            ("fields", Value::map(fields)),
        ];
        let named = self.after.as_deref().or(self.before.as_deref());
        let name = named.and_then(|object| super::tell::name_of(self.class, object));
        members.extend(name.map(|name| ("name", name.into())));
        Value::map(members)
    }
}

/// Whether two values say the same: members of sets have no order.
fn same(old: &Value, new: &Value) -> bool {
    match (old, new) {
        (Value::Set(old), Value::Set(new)) => old.len() == new.len() && old.iter().all(|one| new.contains(one)),
        _ => old == new,
    }
}

/// All differences, class by class, by reference.
pub fn diff(from: &View, to: &View) -> Vec<Difference> {
    CLASSES.iter().flat_map(|class| of_class(class.id, from, to)).collect()
}

fn of_class(class: ClassId, from: &View, to: &View) -> Vec<Difference> {
    let (left, right) = (&from.class(class).objects, &to.class(class).objects);
    if left.is_same(right) {
        return Vec::new();
    }
    let difference = |reference: Ref, before: Option<&Arc<Object>>, after: Option<&Arc<Object>>| Difference {
        class,
        reference,
        before: before.cloned(),
        after: after.cloned(),
    };
    let mut found: Vec<Difference> = Vec::new();
    for (reference, before) in left {
        match right.get(reference) {
            Some(after) if Arc::ptr_eq(before, after) => {}
            after => found.push(difference(*reference, Some(before), after)),
        }
    }
    let came = right.iter().filter(|(reference, _)| !left.contains_key(reference));
    found.extend(came.map(|(reference, after)| difference(*reference, None, Some(after))));
    found.retain(|one| one.operation() != "mod" || !one.fields().is_empty());
    found.sort_by_key(|one| one.reference);
    found
}
