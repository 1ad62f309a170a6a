//! The draft: what one decision has changed so far, beside the view that it is
//! made on. What becomes of it is an event's changes, or nothing.
//!
//! Most decisions set a few fields of one object, and ask for nothing but that
//! object. So the objects changed lie in a small map; a whole view with them in
//! is made when somebody asks for one.
//!
//! ```text
//!   base: View ─────────────────────┐
//!                                   ├─▶ view(), the first time it is asked for
//!   changed: {object: as it is now} ┘
//! ```

use super::{Call, Principal, operation};
use crate::error::{ApiError, codes};
use crate::event::{Change, Delta, Operation};
use crate::log::VaultChanges;
use crate::model::deleting::{self, Fate};
use crate::model::{ClassId, Declared, Key, MODEL};
use crate::value::{self, Micros, Read, Record, Ref, Value, default_record};
use crate::views::relations::{HOLDING, REFERRING};
use crate::views::{Object, View, unique};
use crate::world::{Ids, Seed};
use serde_json::Value as Json;
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// See the module.
pub struct Draft<'a> {
    base: &'a View,
    /// Each object changed, as it is now; `None` for one that is gone.
    changed: BTreeMap<(ClassId, Ref), Option<Arc<Object>>>,
    /// The base with `changed` in it, once that was asked for.
    view: OnceCell<View>,
    pub principal: &'a Arc<Principal>,
    pub now: Micros,
    pub ids: Ids,
    /// Objects touched, with the fields set; in order, so that events are the same for the same seed.
    touched: BTreeMap<(ClassId, Ref), Vec<usize>>,
    /// Objects that are told of as modified though nothing changed.
    bumped: BTreeSet<(ClassId, Ref)>,
    pub vault: VaultChanges,
    /// The task that the event belongs to.
    pub task: Option<Ref>,
    /// Set when the call became an operation that the reconciler must carry out.
    pub pending: Option<Ref>,
    /// Arguments for the log.
    pub args: Vec<(Arc<str>, Json)>,
    /// The error with which an operation ended, for the log.
    pub error: Vec<String>,
}

impl<'a> Draft<'a> {
    pub fn new(base: &'a View, principal: &'a Arc<Principal>, now: Micros, seed: Seed) -> Draft<'a> {
        Draft {
            base,
            changed: BTreeMap::new(),
            view: OnceCell::new(),
            principal,
            now,
            ids: Ids::new(seed),
            touched: BTreeMap::new(),
            bumped: BTreeSet::new(),
            vault: VaultChanges::default(),
            task: None,
            pending: None,
            args: Vec::new(),
            error: Vec::new(),
        }
    }

    /// The state as this decision has made it so far.
    pub fn view(&self) -> &View {
        if self.changed.is_empty() {
            return self.base;
        }
        self.view.get_or_init(|| {
            let mut view = self.base.clone();
            for ((class, reference), object) in &self.changed {
                put(&mut view, *class, *reference, object.as_ref());
            }
            view
        })
    }

    /// The object as it is now, if it is there.
    fn now(&self, class: ClassId, reference: Ref) -> Option<&Arc<Object>> {
        match self.changed.get(&(class, reference)) {
            Some(changed) => changed.as_ref(),
            None => self.base.object(class, reference),
        }
    }

    fn change(&mut self, class: ClassId, reference: Ref, object: Option<Arc<Object>>) {
        if let Some(view) = self.view.get_mut() {
            put(view, class, reference, object.as_ref());
        }
        self.changed.insert((class, reference), object);
    }

    /// The object, or `HANDLE_INVALID`.
    pub fn object(&self, class: ClassId, reference: Ref) -> Result<Arc<Object>, ApiError> {
        let found = self.now(class, reference).cloned();
        found.ok_or_else(|| codes::HANDLE_INVALID(class.name(), reference))
    }

    /// The object by the class's marker: `draft.find::<VM>(vm)?`.
    pub fn find<C: Declared>(&self, reference: Ref) -> Result<Arc<Object>, ApiError> {
        self.object(C::ID, reference)
    }

    /// One field of an object that exists; `HANDLE_INVALID` if it does not. For shared values, clone what is needed.
    pub fn get<C: Declared, T: Read, R>(
        &self,
        reference: Ref,
        key: Key<C, T>,
        use_value: impl FnOnce(T::Out<'_>) -> R,
    ) -> Result<R, ApiError> {
        Ok(use_value(self.find::<C>(reference)?.get(key)))
    }

    /// The far side of a relation: `draft.far(VM::VBDs, vm)`.
    pub fn far<C: Declared, T>(&self, key: Key<C, T>, target: Ref) -> Vec<Ref> {
        self.view().far(key, target)
    }

    /// Sets a field of an object that is known to exist.
    pub fn set<C: Declared, T>(&mut self, reference: Ref, key: Key<C, T>, value: impl Into<Value>) {
        self.set_field(C::ID, reference, key.index, value.into());
    }

    /// Sets a field by its index; a value equal to the old one changes nothing.
    pub fn set_field(&mut self, class: ClassId, reference: Ref, field: usize, value: Value) {
        let before = self.now(class, reference);
        let before =
            before.unwrap_or_else(|| panic!("BUG: setting a field of {class:?} {reference}, which is not there"));
        let value = value::adopt(class.def().fields[field].ty, value);
        if before.record[field] == value {
            return;
        }
        let mut after = Object::clone(before);
        after.record[field] = value;
        self.change(class, reference, Some(Arc::new(after)));
        let fields = self.touched.entry((class, reference)).or_default();
        if !fields.contains(&field) {
            fields.push(field);
        }
    }

    /// Adds an object with a new reference and a new uuid; fields not named have their defaults.
    pub fn create<C: Declared>(&mut self, fields: Fields<C>) -> Ref {
        let reference = self.ids.draw();
        self.create_as(reference, fields)
    }

    /// Adds an object under a reference that is known already, as a session's is.
    pub fn create_as<C: Declared>(&mut self, reference: Ref, fields: Fields<C>) -> Ref {
        self.add(C::ID, reference, fields.record)
    }

    /// Adds an object of any class; gives it a uuid if the record has none.
    pub fn add(&mut self, class: ClassId, reference: Ref, mut record: Record) -> Ref {
        if let Some(index) = MODEL.field(class, "uuid")
            && record[index].as_str().is_empty()
        {
            record[index] = Value::text(&self.ids.draw().uuid_text());
        }
        let position = self.base.position + 1;
        let object = Object { reference, created: position, modified: position, record };
        self.change(class, reference, Some(Arc::new(object)));
        self.touched.entry((class, reference)).or_default();
        reference
    }

    /// Tells subscribers of an object as if it had changed.
    pub fn touch(&mut self, class: ClassId, reference: Ref) {
        self.touched.entry((class, reference)).or_default();
        self.bumped.insert((class, reference));
    }

    pub fn delete<C: Declared>(&mut self, reference: Ref) {
        self.delete_object(C::ID, reference);
    }

    /// Takes an object away, and with it every reference to it, so that none dangles: what is only a part of it goes
    /// too, as [`deleting`] says.
    pub fn delete_object(&mut self, class: ClassId, reference: Ref) {
        for &field in &REFERRING[class as usize] {
            for holder in self.view().referrers(field, reference) {
                let (class, index) = (field.0, field.1 as usize);
                let Some(object) = self.now(class, holder).cloned() else { continue };
                match deleting::rule(class, index).fate {
                    Fate::Goes => self.delete_object(class, holder),
                    Fate::Stays => self.set_field(class, holder, index, without(&object.record[index], reference)),
                }
            }
        }
        if self.now(class, reference).is_some() {
            self.change(class, reference, None);
            self.touched.entry((class, reference)).or_default();
        }
    }

    /// Keeps the call's arguments for the log; changes alone do not show what an operation was asked to do.
    pub(super) fn record_args(&mut self, call: &Call) {
        self.args = super::logged(call);
    }

    /// Brings derived fields up to date and says what changed.
    pub(super) fn finish(mut self) -> Vec<Change> {
        operation::derive(&mut self);
        let touched = std::mem::take(&mut self.touched);
        let changes = touched.into_iter().filter_map(|((class, reference), fields)| {
            let operation = self.difference(class, reference, fields)?;
            Some(Change { class, reference, operation })
        });
        changes.collect()
    }

    /// The objects touched so far.
    pub(crate) fn touched(&self) -> Vec<(ClassId, Ref)> {
        self.touched.keys().copied().collect()
    }

    /// Whether it was there before this decision and still is.
    pub(super) fn stays(&self, class: ClassId, reference: Ref) -> bool {
        self.base.object(class, reference).is_some() && self.now(class, reference).is_some()
    }

    /// The fields set so far of an object touched; empty for one added or deleted.
    pub(super) fn fields_touched(&self, class: ClassId, reference: Ref) -> &[usize] {
        self.touched.get(&(class, reference)).map(Vec::as_slice).unwrap_or_default()
    }

    /// The state before this decision.
    pub fn base(&self) -> &View {
        self.base
    }

    fn difference(&self, class: ClassId, reference: Ref, mut fields: Vec<usize>) -> Option<Operation> {
        let defs = class.def().fields;
        match (self.base.object(class, reference), self.now(class, reference)) {
            (None, None) => None,
            (Some(before), None) => Some(Operation::Del(set_fields(class, before))),
            (None, Some(after)) => {
                self.assert_whole(class, after);
                self.assert_one_of_a_kind(class, after, &[]);
                Some(Operation::Add(set_fields(class, after)))
            }
            (Some(before), Some(after)) => {
                self.assert_whole(class, after);
                // What is only measured is not part of what happened.
                fields.retain(|index| !defs[*index].flags.volatile && before.record[*index] != after.record[*index]);
                if !fields.is_empty() {
                    self.assert_one_of_a_kind(class, after, &fields);
                }
                fields.sort_by_key(|index| defs[*index].name);
                let deltas =
                    fields.iter().map(|index| (*index, Delta::between(&before.record[*index], &after.record[*index])));
                let deltas: Vec<(usize, Delta)> = deltas.collect();
                let told = !deltas.is_empty() || self.bumped.contains(&(class, reference));
                told.then_some(Operation::Mod(deltas))
            }
        }
    }

    /// No two objects have the same uuid, or the same place; `changed` are the fields that did, none for a new object.
    fn assert_one_of_a_kind(&self, class: ClassId, object: &Object, changed: &[usize]) {
        let uuid = MODEL.field(class, "uuid");
        if let Some(uuid) = uuid.filter(|_| changed.is_empty()) {
            let (text, own) = (object.record[uuid].as_str(), object.reference);
            let others = [self.base.by_uuid(class, text), self.view().by_uuid(class, text)].into_iter().flatten();
            let twin = others.into_iter().find(|other| *other != own && self.now(class, *other).is_some());
            assert!(twin.is_none(), "BUG: two {class:?} would have the uuid {text}");
        }
        assert!(uuid.is_none_or(|uuid| !changed.contains(&uuid)), "BUG: {class:?} would get another uuid");
        if unique::concerns(class, changed) {
            let shared = unique::shared(self.view(), class, object, changed);
            assert!(shared.is_none(), "BUG: {}", shared.unwrap_or_default());
        }
    }

    /// No reference dangles: what an event says must hold together. What did not change held before.
    fn assert_whole(&self, class: ClassId, object: &Object) {
        let before = self.base.object(class, object.reference);
        for &field in &HOLDING[class as usize] {
            if before.is_some_and(|before| before.record[field] == object.record[field]) {
                continue;
            }
            let def = &class.def().fields[field];
            let target = crate::views::relations::holds(def.ty).expect("BUG: it is listed because it holds references");
            for reference in object.record[field].references(def.ty) {
                assert!(
                    self.now(target, reference).is_some(),
                    "BUG: {}.{} would refer to {reference}, which is not there",
                    class.name(),
                    def.name
                );
            }
        }
    }
}

/// Puts an object into a view as it is now, or takes it out.
fn put(view: &mut View, class: ClassId, reference: Ref, object: Option<&Arc<Object>>) {
    match object {
        Some(object) => view.put(class, object.clone()),
        None => drop(view.take(class, reference)),
    }
}

/// The fields that differ from their defaults, by name.
fn set_fields(class: ClassId, object: &Object) -> Vec<(usize, Value)> {
    let (defs, defaults) = (class.def().fields, default_record(class));
    let differing = object.record.differences(defaults).filter(|index| !defs[*index].flags.volatile);
    let mut values: Vec<(usize, Value)> = differing.map(|index| (index, object.record[index].clone())).collect();
    values.sort_by_key(|(index, _)| defs[*index].name);
    values
}

/// The value without a reference that goes away.
fn without(value: &Value, gone: Ref) -> Value {
    match value {
        Value::Ref(_) => Value::Ref(Ref::NULL),
        Value::Set(values) => Value::set(values.iter().filter(|value| value.as_ref() != gone).cloned()),
        Value::Map(map) => {
            let kept = map.iter().filter(|(key, value)| value.as_ref() != gone && Ref::parse(key) != Some(gone));
            Value::map(kept.map(|(key, value)| (key, value.clone())))
        }
        other => other.clone(),
    }
}

/// The fields of an object to be added: `Fields::new().with(VM::name_label, "web")`.
pub struct Fields<C> {
    pub record: Record,
    class: std::marker::PhantomData<C>,
}

impl<C: Declared> Fields<C> {
    /// Every field at its default.
    pub fn new() -> Fields<C> {
        Fields { record: default_record(C::ID).clone(), class: std::marker::PhantomData }
    }

    /// A copy of another object, without its uuid: a clone starts like this.
    pub fn like(object: &Object) -> Fields<C> {
        let mut record = object.record.clone();
        if let Some(index) = MODEL.field(C::ID, "uuid") {
            record[index] = Value::text("");
        }
        Fields { record, class: std::marker::PhantomData }
    }

    pub fn with<T>(mut self, key: Key<C, T>, value: impl Into<Value>) -> Fields<C> {
        self.record[key.index] = value::adopt(C::DEF.fields[key.index].ty, value.into());
        self
    }
}

impl<C: Declared> Default for Fields<C> {
    fn default() -> Fields<C> {
        Fields::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Call, Command, Intent, decide};
    use crate::event::{Event, Kind};
    use crate::model::VM;
    use crate::views::fold;

    fn call(name: &str, args: Vec<Value>) -> Command {
        let message = MODEL.message(name).expect("a message of the model");
        Command {
            principal: Principal::server("user/test"),
            address: "test".into(),
            auth: "".into(),
            request: "".into(),
            cause: 0,
            now: 1,
            seed: [7; 32],
            body: Intent::Call(Call { message, args, background: false }),
        }
    }

    fn step(view: &mut View, command: Command) -> Result<Value, ApiError> {
        let decision = decide(view, command)?;
        let event = Event {
            kind: Kind::Change,
            lineage: 1,
            term: 1,
            position: view.position + 1,
            time: 1,
            principal: "user/test".into(),
            message: decision.message,
            request: "".into(),
            cause: 0,
            body: decision.body.expect("a call gives an event"),
        };
        let stored = event.body.to_payload();
        let read =
            crate::event::Body::from_payload(crate::event::SCHEMA, &stored).expect("what was written is readable");
        assert_eq!(read, event.body, "the persisted form loses nothing: {stored}");
        fold(view, &event);
        Ok(decision.result)
    }

    #[test]
    fn a_network_is_created_changed_and_destroyed() {
        let mut view = View::default();
        let record = Value::map([("name_label", "lan".into()), ("MTU", "9000".into())]);
        let network = step(&mut view, call("network.create", vec![record])).expect("created").as_ref();
        let lan = view.find::<crate::model::network>(network).expect("there");
        assert_eq!(lan.get(crate::model::network::MTU), 9000);
        step(&mut view, call("network.add_to_other_config", vec![network.into(), "a".into(), "b".into()]))
            .expect("added");
        let again = step(&mut view, call("network.add_to_other_config", vec![network.into(), "a".into(), "c".into()]));
        assert_eq!(again.expect_err("a duplicate").code, "MAP_DUPLICATE_KEY");
        step(&mut view, call("network.destroy", vec![network.into()])).expect("destroyed");
        assert!(view.find::<crate::model::network>(network).is_none());
        let gone = step(&mut view, call("network.destroy", vec![network.into()]));
        assert_eq!(gone.expect_err("gone").code, "HANDLE_INVALID");
    }

    #[test]
    fn deleting_leaves_no_reference_behind() {
        let mut view = View::default();
        let principal = Principal::server("timer");
        let mut draft = Draft::new(&view, &principal, 1, [1; 32]);
        let parent = draft.create(Fields::<VM>::new());
        let child = draft.create(Fields::<VM>::new().with(VM::parent, parent));
        assert_eq!(draft.far(VM::children, parent), vec![child]);
        draft.delete::<VM>(parent);
        assert!(draft.find::<VM>(child).expect("there").get(VM::parent).is_null());
        let changes = draft.finish();
        assert_eq!(changes.len(), 1, "what came and went within one decision is in no event");
        view.position = 1;
    }
}
