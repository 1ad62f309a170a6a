//! `fold`: the one function that changes a view. Total, pure, deterministic,
//! free of policy: whatever the log says happened, happened.

use super::{ClassView, DELETIONS_KEPT, Object, View};
use crate::event::{Change, Event, Operation};
use crate::model::{ClassId, MODEL};
use crate::value::{Record, Ref, default_record};
use std::sync::Arc;

/// What one change of an event did to one object; for whoever tells subscribers.
#[derive(Clone, Debug)]
pub struct Effect {
    pub class: ClassId,
    pub reference: Ref,
    /// `None` when the event added it.
    pub before: Option<Arc<Object>>,
    /// `None` when the event deleted it.
    pub after: Option<Arc<Object>>,
    /// The fields that changed, far sides included; empty for add and del.
    pub fields: Vec<usize>,
}

/// Applies an event; says what it did. An event's changes fit the view by construction: one that does not is
/// a broken log, and the process must not go on.
pub fn fold(view: &mut View, event: &Event) -> Vec<Effect> {
    view.lineage = event.lineage;
    view.position = event.position;
    view.time = event.time;
    let mut effects = Vec::with_capacity(event.body.changes.len());
    for change in &event.body.changes {
        apply(view, change, event.position, &mut effects);
    }
    effects
}

fn apply(view: &mut View, change: &Change, position: u64, effects: &mut Vec<Effect>) {
    let (class, reference) = (change.class, change.reference);
    let before = view.object(class, reference).cloned();
    let (after, fields) = match &change.operation {
        Operation::Add(values) => {
            let mut record = default_record(class).clone();
            for (index, value) in values {
                record[*index] = value.clone();
            }
            (Some(Object { reference, created: position, modified: position, record }), Vec::new())
        }
        Operation::Mod(deltas) => {
            let before =
                before.as_ref().unwrap_or_else(|| panic!("BUG: {class:?} {reference} changed before it was added"));
            let mut record: Record = before.record.clone();
            for (index, delta) in deltas {
                record[*index] = delta.apply(&before.record[*index]);
            }
            let fields = deltas.iter().map(|(index, _)| *index).collect();
            (Some(Object { reference, created: before.created, modified: position, record }), fields)
        }
        Operation::Del => (None, Vec::new()),
    };
    let after = after.map(Arc::new);
    match &after {
        Some(object) => view.put(class, object.clone()),
        None => drop(view.take(class, reference)),
    }
    note(view.class_mut(class), reference, before.as_deref(), after.is_some(), position);
    touch_far_sides(view, class, before.as_deref(), after.as_deref(), position, effects);
    effects.push(Effect { class, reference, before, after, fields });
}

/// Keeps the order of changes of a class.
fn note(view: &mut ClassView, reference: Ref, before: Option<&Object>, lives: bool, position: u64) {
    if let Some(before) = before {
        view.modified.remove(&(before.modified, reference));
    }
    if lives {
        view.modified.insert((position, reference));
        return;
    }
    if let Some(before) = before {
        view.deleted.insert((position, reference), before.created);
        if view.deleted.len() > DELETIONS_KEPT
            && let Some((oldest, _)) = view.deleted.get_min().cloned()
        {
            view.deleted.remove(&oldest);
            view.floor = view.floor.max(oldest.0);
        }
    }
}

/// A reference that changed also changes the object at its far end, old and new.
fn touch_far_sides(
    view: &mut View,
    class: ClassId,
    before: Option<&Object>,
    after: Option<&Object>,
    position: u64,
    effects: &mut Vec<Effect>,
) {
    for &field in &super::HOLDING[class as usize] {
        let Some((far_class, far_field)) = MODEL.near(class, field) else { continue };
        let (old, new) = (before.map(|o| &o.record[field]), after.map(|o| &o.record[field]));
        if old == new {
            continue;
        }
        let ty = class.def().fields[field].ty;
        let targets = |value: Option<&crate::value::Value>| value.map(|v| v.references(ty)).unwrap_or_default();
        for target in targets(old).into_iter().chain(targets(new)) {
            touch(view, far_class, target, far_field, position, effects);
        }
    }
}

fn touch(view: &mut View, class: ClassId, target: Ref, field: usize, position: u64, effects: &mut Vec<Effect>) {
    let Some(before) = view.object(class, target).cloned() else { return };
    let earlier = effects.iter_mut().find(|effect| effect.class == class && effect.reference == target);
    if before.modified < position {
        let after = Arc::new(Object { modified: position, ..(*before).clone() });
        let view = view.class_mut(class);
        view.objects.insert(target, after.clone());
        view.modified.remove(&(before.modified, target));
        view.modified.insert((position, target));
        effects.push(Effect {
            class,
            reference: target,
            before: Some(before),
            after: Some(after),
            fields: vec![field],
        });
    } else if let Some(effect) = earlier
        && effect.before.is_some()
        && !effect.fields.contains(&field)
    {
        effect.fields.push(field);
    }
}
