//! `fold`: the one function that changes a view. Total, pure, deterministic,
//! free of policy: whatever the log says happened, happened.

use super::{ClassView, DELETIONS_KEPT, Object, View, names};
use crate::event::{Delta, Event, Operation};
use crate::model::{ClassId, MODEL};
use crate::value::{Ref, Value, default_record};
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
    let mut effects = Some(Vec::with_capacity(event.body.changes.len()));
    apply(view, event, &mut effects);
    effects.unwrap_or_default()
}

/// Applies an event that nobody is told of. What no other view shares is changed in place.
pub fn replay(view: &mut View, event: &Event) {
    apply(view, event, &mut None);
}

/// What happened, for whoever wants to hear of it.
type Told = Option<Vec<Effect>>;

fn apply(view: &mut View, event: &Event, told: &mut Told) {
    view.lineage = event.lineage;
    view.position = event.position;
    view.time = event.time;
    for change in &event.body.changes {
        let (class, reference) = (change.class, change.reference);
        match &change.operation {
            Operation::Add(values) => add(view, class, reference, values, event.position, told),
            Operation::Mod(deltas) => modify(view, class, reference, deltas, event.position, told),
            Operation::Del(_) => delete(view, class, reference, event.position, told),
        }
    }
}

fn add(view: &mut View, class: ClassId, reference: Ref, values: &[(usize, Value)], position: u64, told: &mut Told) {
    let mut record = default_record(class).clone();
    for (index, value) in values {
        record[*index] = value.clone();
    }
    // Objects of a class are much alike.
    if let Some((_, other)) = view.class(class).objects.iter().next() {
        record.share(&other.record);
    }
    let object = Arc::new(Object { reference, created: position, modified: position, record });
    view.put(class, object.clone());
    view.class_mut(class).note(position, reference);
    for &field in &super::HOLDING[class as usize] {
        touch_far_side(view, class, field, [None, Some(&object.record[field])], position, told);
    }
    if let Some(effects) = told {
        effects.push(Effect { class, reference, before: None, after: Some(object), fields: Vec::new() });
    }
}

fn modify(view: &mut View, class: ClassId, reference: Ref, deltas: &[(usize, Delta)], position: u64, told: &mut Told) {
    let before = told.as_ref().and_then(|_| view.object(class, reference).cloned());
    let state = view.class_mut(class);
    let name = names::field(class).filter(|name| deltas.iter().any(|(index, _)| index == name));
    let name = name.filter(|_| state.keeps_indexes());
    let object = state.objects.get_mut(&reference);
    let object = object.unwrap_or_else(|| panic!("BUG: {class:?} {reference} changed before it was added"));
    let changed = Arc::make_mut(object);
    let last = std::mem::replace(&mut changed.modified, position);
    let mut moved = Vec::new();
    for (index, delta) in deltas {
        let new = delta.apply(&changed.record[*index]);
        let old = std::mem::replace(&mut changed.record[*index], new.clone());
        if name == Some(*index) {
            state.names.moved(reference, Some(old.as_str()), Some(new.as_str()));
        }
        if super::HOLDING[class as usize].contains(index) {
            moved.push((*index, old, new));
        }
    }
    let after = told.as_ref().map(|_| object.clone());
    if last < position {
        state.note(position, reference);
    }
    for (field, old, new) in &moved {
        view.relate(class, *field, reference, Some(old), Some(new));
        touch_far_side(view, class, *field, [Some(old), Some(new)], position, told);
    }
    if let Some(effects) = told {
        let fields = deltas.iter().map(|(index, _)| *index).collect();
        effects.push(Effect { class, reference, before, after, fields });
    }
}

fn delete(view: &mut View, class: ClassId, reference: Ref, position: u64, told: &mut Told) {
    let before = view.take(class, reference);
    if let Some(before) = &before {
        forget(view.class_mut(class), before, position);
        for &field in &super::HOLDING[class as usize] {
            touch_far_side(view, class, field, [Some(&before.record[field]), None], position, told);
        }
    }
    if let Some(effects) = told {
        effects.push(Effect { class, reference, before, after: None, fields: Vec::new() });
    }
}

/// Keeps a class's order of deletions, which has a limit.
fn forget(view: &mut ClassView, gone: &Object, position: u64) {
    view.forget_oldest();
    view.deleted.insert((position, gone.reference), gone.created);
    if view.deleted.len() > DELETIONS_KEPT
        && let Some((oldest, _)) = view.deleted.get_min().cloned()
    {
        view.deleted.remove(&oldest);
        view.floor = view.floor.max(oldest.0);
    }
}

/// A reference that changed also changes the object at its far end, old and new.
fn touch_far_side(
    view: &mut View,
    class: ClassId,
    field: usize,
    [old, new]: [Option<&Value>; 2],
    position: u64,
    told: &mut Told,
) {
    let Some((far_class, far_field)) = MODEL.near(class, field) else { return };
    if old == new {
        return;
    }
    let ty = class.def().fields[field].ty;
    for target in [old, new].into_iter().flatten().flat_map(|value| value.references(ty)) {
        touch(view, far_class, target, far_field, position, told);
    }
}

fn touch(view: &mut View, class: ClassId, target: Ref, field: usize, position: u64, told: &mut Told) {
    let before = told.as_ref().and_then(|_| view.object(class, target).cloned());
    let state = view.class_mut(class);
    let Some(object) = state.objects.get_mut(&target) else { return };
    if object.modified < position {
        Arc::make_mut(object).modified = position;
        let after = Some(object.clone());
        state.note(position, target);
        if let Some(effects) = told {
            effects.push(Effect { class, reference: target, before, after, fields: vec![field] });
        }
    } else if let Some(effect) = earlier(told, class, target)
        && effect.before.is_some()
        && !effect.fields.contains(&field)
    {
        effect.fields.push(field);
    }
}

fn earlier(told: &mut Told, class: ClassId, reference: Ref) -> Option<&mut Effect> {
    told.as_mut()?.iter_mut().find(|effect| effect.class == class && effect.reference == reference)
}
