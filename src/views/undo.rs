//! The past: takes events back, the newest first, to see the state in which a
//! subscriber stopped listening.
//!
//! What it gives has the objects and relations of that position and is good
//! for folding on from there; the orders of changes in it are not. A set's
//! members may come back in another order than they had: sets have none.

use super::{Object, View};
use crate::event::{Change, Event, Operation};
use crate::model::{ClassId, MODEL};
use crate::value::{Record, Ref, Value, default_record};
use std::sync::Arc;

/// Takes the newest event of a view back.
pub fn undo(view: &mut View, event: &Event) {
    let before = event.position.saturating_sub(1);
    for change in event.body.changes.iter().rev() {
        take_back(view, change, before);
    }
    view.position = before;
}

fn take_back(view: &mut View, change: &Change, position: u64) {
    let (class, reference) = (change.class, change.reference);
    let after = view.object(class, reference).cloned();
    let before: Option<Record> = match (&change.operation, &after) {
        (Operation::Add(_), _) | (Operation::Mod(_), None) => None,
        (Operation::Mod(deltas), Some(after)) => {
            let mut record = after.record.clone();
            for (index, delta) in deltas {
                record[*index] = delta.undo(&after.record[*index]);
            }
            Some(record)
        }
        (Operation::Del(values), _) => {
            let mut record = default_record(class).clone();
            for (index, value) in values {
                record[*index] = value.clone();
            }
            Some(record)
        }
    };
    for &field in &super::HOLDING[class as usize] {
        let Some((far, _)) = MODEL.near(class, field) else { continue };
        let ty = class.def().fields[field].ty;
        let (old, new) = (before.as_ref().map(|record| &record[field]), after.as_ref().map(|o| &o.record[field]));
        if old != new {
            let targets = |value: Option<&Value>| value.map(|value| value.references(ty)).unwrap_or_default();
            targets(old).into_iter().chain(targets(new)).for_each(|target| age(view, far, target, position));
        }
    }
    match before {
        Some(record) => {
            let created = after.map_or(0, |after| after.created);
            view.put(class, Arc::new(Object { reference, created, modified: position, record }));
        }
        None => drop(view.take(class, reference)),
    }
}

/// The object was changed by an event that is taken back: folding that again must find it older.
fn age(view: &mut View, class: ClassId, reference: Ref, position: u64) {
    let Some(object) = view.object(class, reference).filter(|object| object.modified > position).cloned() else {
        return;
    };
    let older = Object { modified: position, ..Object::clone(&object) };
    view.class_mut(class).objects.insert(reference, Arc::new(older));
}
