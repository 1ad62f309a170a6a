//! Is a view sound, and does an event fit it? For the tools that look at a
//! log with suspicion; the server's own fold takes what its log says.

use super::relations::{FieldId, HOLDING, Relations, holds};
use super::{View, names, unique, uuid_of};
use crate::event::{Event, Operation};
use crate::model::{CLASSES, ClassId};
use crate::value::Ref;
use std::collections::{HashMap, HashSet};

/// Whether the event can be folded in: what it adds is new, what it changes is as it says.
pub fn fits(view: &View, event: &Event) -> Result<(), String> {
    // What an earlier change of the same event touched, and whether it is there since.
    let mut touched: HashMap<(ClassId, Ref), bool> = HashMap::new();
    for change in &event.body.changes {
        let name = || format!("{} {}", change.class.name(), change.reference);
        let key = (change.class, change.reference);
        let before = view.object(change.class, change.reference);
        let first = !touched.contains_key(&key);
        let there = touched.get(&key).copied().unwrap_or(before.is_some());
        match &change.operation {
            Operation::Add(_) if there => return Err(format!("it adds {}, which is there already", name())),
            Operation::Mod(_) | Operation::Del(_) if !there => {
                return Err(format!("it changes {}, which is not there", name()));
            }
            Operation::Mod(deltas) if first => {
                let record = before.map(|object| &object.record);
                let wrong = deltas
                    .iter()
                    .find(|(field, delta)| record.is_some_and(|record| !delta.starts_from(&record[*field])));
                if let Some((field, _)) = wrong {
                    let field = change.class.def().fields[*field].name;
                    return Err(format!("the old value of {field} is not the one that {} has", name()));
                }
            }
            _ => {}
        }
        if event.body.changes.len() > 1 {
            touched.insert(key, !matches!(change.operation, Operation::Del(_)));
        }
    }
    Ok(())
}

/// Whether the view keeps what holds for every state: no reference leads nowhere, no uuid is there twice, no
/// two devices of a machine are at the same place, and the indexes say what the objects say.
pub fn invariants(view: &View) -> Result<(), String> {
    let mut references = Vec::new();
    for class in CLASSES {
        uuids(view, class.id)?;
        names(view, class.id)?;
        order(view, class.id)?;
        unique::all(view, class.id)?;
        for &field in &HOLDING[class.id as usize] {
            collect(view, class.id, field, &mut references)?;
        }
    }
    references.sort_unstable();
    references.dedup();
    if Relations::all(&view.relations) != references {
        return Err("the index of relations does not say what the objects say".into());
    }
    Ok(())
}

fn uuids(view: &View, class: ClassId) -> Result<(), String> {
    let state = view.class(class);
    let mut seen = HashMap::new();
    for object in state.objects.values() {
        let Some(uuid) = uuid_of(class, object) else { continue };
        if let Some(other) = seen.insert(uuid, object.reference) {
            let (name, uuid) = (class.name(), uuid.uuid_text());
            return Err(format!("{name} {} and {other} have the same uuid {uuid}", object.reference));
        }
        if state.uuids.get(&uuid) != Some(&object.reference) {
            return Err(format!("{} {} is not found by its uuid", class.name(), object.reference));
        }
    }
    if state.uuids.len() == seen.len() { Ok(()) } else { Err(format!("{} has uuids of nothing", class.name())) }
}

fn names(view: &View, class: ClassId) -> Result<(), String> {
    let state = view.class(class);
    if names::field(class).is_none() {
        return Ok(());
    }
    if let Some(lost) = state.objects.values().find(|object| !state.names.has(class, object)) {
        return Err(format!("{} {} is not found by its name", class.name(), lost.reference));
    }
    let exact = state.names.len() == state.objects.len();
    if exact { Ok(()) } else { Err(format!("{} has names of nothing", class.name())) }
}

fn order(view: &View, class: ClassId) -> Result<(), String> {
    let state = view.class(class);
    let order: Vec<(u64, Ref)> = state.changed(0).map(|object| (object.modified, object.reference)).collect();
    let each: HashSet<Ref> = order.iter().map(|(_, object)| *object).collect();
    if order.len() == state.objects.len() && each.len() == order.len() && order.is_sorted_by_key(|(at, _)| *at) {
        return Ok(());
    }
    Err(format!("the order of changes of {} does not say what the objects say", class.name()))
}

fn collect(view: &View, class: ClassId, field: usize, out: &mut Vec<(FieldId, Ref, Ref)>) -> Result<(), String> {
    let def = &class.def().fields[field];
    let target_class = holds(def.ty).expect("BUG: it is listed because it holds references");
    for object in view.class(class).objects.values() {
        for target in object.record[field].references(def.ty) {
            if view.object(target_class, target).is_none() {
                let (name, reference) = (class.name(), object.reference);
                return Err(format!("{}.{} of {reference} refers to {target}, which is not there", name, def.name));
            }
            out.push((FieldId(class, field as u16), target, object.reference));
        }
    }
    Ok(())
}

/// The first difference between two views, in words; `None` when there is none.
pub fn difference(view: &View, other: &View) -> Option<String> {
    for class in CLASSES {
        let (left, right) = (view.class(class.id), other.class(class.id));
        for (reference, object) in &left.objects {
            let Some(twin) = right.objects.get(reference) else {
                return Some(format!("{} {reference} is missing", class.name));
            };
            let stored = class.fields.iter().enumerate().filter(|(_, field)| !field.flags.volatile);
            let mut changed = stored.filter(|(index, _)| object.record[*index] != twin.record[*index]);
            if let Some((_, field)) = changed.next() {
                return Some(format!("{} {reference} has another {}", class.name, field.name));
            }
            if (object.created, object.modified) != (twin.created, twin.modified) {
                return Some(format!("{} {reference} has other positions", class.name));
            }
        }
        if let Some(extra) = right.objects.keys().find(|reference| !left.objects.contains_key(reference)) {
            return Some(format!("{} {extra} should not be there", class.name));
        }
        if left.deleted != right.deleted || left.floor != right.floor {
            return Some(format!("the deletions of {} are others", class.name));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Change, Delta};
    use crate::model::{VBD, VM};
    use crate::value::Value;
    use crate::views::replay;
    use crate::views::store::tests::{sample, world};
    use std::sync::Arc;

    fn full() -> (View, Vec<crate::log::Row>) {
        let mut view = View::default();
        let rows = sample(&mut view, &world());
        (view, rows)
    }

    #[test]
    fn what_the_commands_make_is_sound() {
        let mut view = View::default();
        for row in full().1 {
            let event = row.event().expect("readable");
            fits(&view, &event).expect("it fits");
            replay(&mut view, &event);
            invariants(&view).expect("sound");
        }
        assert_eq!(difference(&view, &full().0), None);
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let (view, rows) = full();
        let first = rows[0].event().expect("readable");
        let twice = fits(&view, &first).expect_err("it was added before");
        assert!(twice.ends_with("which is there already"), "{twice}");
        let modifies = rows[20].event().expect("readable");
        assert!(fits(&View::default(), &modifies).expect_err("nothing is there").ends_with("which is not there"));
        let vm = view.all::<VM>().next().expect("a machine").reference;
        let delta = Delta::Scalar { old: Value::text("no"), new: Value::text("yes") };
        let operation = Operation::Mod(vec![(VM::name_label.index, delta)]);
        let mut event = first;
        event.body.changes = vec![Change { class: ClassId::VM, reference: vm, operation }];
        let wrong = fits(&view, &event).expect_err("another old value");
        assert!(wrong.starts_with("the old value of name_label"), "{wrong}");
    }

    #[test]
    fn an_unsound_view_is_told() {
        let (view, _) = full();
        let vm = view.all::<VM>().next().expect("a machine").clone();
        let edited = |edit: &dyn Fn(&mut super::super::Object)| {
            let mut view = view.clone();
            let mut object = (*vm).clone();
            edit(&mut object);
            view.class_mut(ClassId::VM).objects.insert(object.reference, Arc::new(object));
            (invariants(&view), difference(&view, &full().0))
        };
        let (sound, same) = edited(&|vm| vm.record[VM::affinity.index] = Value::Ref(Ref([9; 16])));
        assert!(sound.expect_err("it dangles").contains("VM.affinity"));
        assert!(same.expect("it differs").ends_with("has another affinity"));
        let (sound, _) = edited(&|vm| vm.record[VM::metrics.index] = Value::Ref(Ref::NULL));
        assert!(sound.expect_err("the index is stale").contains("relations"));
        let twin = view.all::<VM>().nth(1).expect("another").get(VM::uuid).clone();
        let (sound, _) = edited(&|vm| vm.record[VM::uuid.index] = Value::String(twin.clone()));
        assert!(sound.expect_err("a uuid twice").contains("uuid"));
        let mut device = (**view.all::<VBD>().next().expect("a device")).clone();
        device.record[VBD::userdevice.index] = Value::text("0");
        let (mut twice, mut twin) = (view.clone(), device.clone());
        twice.put(ClassId::VBD, Arc::new(device));
        (twin.reference, twin.record[VBD::uuid.index]) = (Ref([8; 16]), Value::text(&Ref([8; 16]).uuid_text()));
        twice.put(ClassId::VBD, Arc::new(twin));
        assert!(super::unique::all(&twice, ClassId::VBD).expect_err("twice").contains("the same userdevice"));
        let (sound, _) = edited(&|vm| vm.modified += 1000);
        assert!(sound.expect_err("the order is stale").contains("order"));
    }
}
