//! The mutations that fields and classes imply: setters, `add_to_`,
//! `remove_from_`, constructors and destructors of classes with no rules of
//! their own.

use super::{Call, Draft};
use crate::error::{ApiError, codes};
use crate::model::{ClassId, Implied, MODEL, Qualifier, Ty};
use crate::value::{self, Map, Ref, Value, default_record};
use crate::views::query::{Expression, Malformed};
use crate::views::read::ReadView;
use crate::views::{Object, relations};
use std::sync::Arc;

/// How many keys a map or members a set may have: what grows has a limit.
pub const MEMBERS_MAX: usize = 4096;

/// Performs an implied mutation.
pub fn perform(draft: &mut Draft, call: &Call, implied: Implied) -> Result<Value, ApiError> {
    let class = call.message.class;
    if super::refused::makes_nothing(call.message) {
        return Err(codes::NOT_IMPLEMENTED(call.message.full_name));
    }
    match implied {
        Implied::Set(field) => set(draft, class, call.reference(0), field, call.args[1].clone()),
        Implied::AddTo(field) => add_to(draft, class, call.reference(0), field, call.text_of(1), call.args[2].clone()),
        Implied::RemoveFrom(field) => remove_from(draft, class, call.reference(0), field, &call.text_of(1)),
        Implied::Add(field) => add(draft, class, call.reference(0), field, call.args[1].clone()),
        Implied::Remove(field) => remove(draft, class, call.reference(0), field, &call.args[1]),
        Implied::Create => create(draft, class, &call.args[0]),
        Implied::Destroy => {
            draft.object(class, call.reference(0))?;
            draft.delete_object(class, call.reference(0));
            Ok(Value::Void)
        }
        reads => panic!("BUG: {reads:?} reads and never reaches the writer"),
    }
}

/// The objects of a class that an expression is true of, for `get_all_records_where`.
pub fn select<'v>(read: ReadView<'v>, class: ClassId, expression: &str) -> Result<Vec<&'v Arc<Object>>, ApiError> {
    let parsed = Expression::parse(class, expression);
    // What is wrong is said where a value would stand; the text itself may be long.
    let parsed = parsed.map_err(|Malformed(reason)| codes::INVALID_VALUE("expr", reason))?;
    Ok(parsed.select(&read))
}

/// `set_F`.
pub fn set(draft: &mut Draft, class: ClassId, object: Ref, field: usize, value: Value) -> Result<Value, ApiError> {
    draft.object(class, object)?;
    check_size(class, field, &value)?;
    check_references(draft, class, field, &value)?;
    draft.set_field(class, object, field, value);
    Ok(Value::Void)
}

/// A `set_F` that the model declares rather than implies, with no rules of its own.
pub fn declared_setter(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let (class, name) = (call.message.class, call.message.name);
    let field = name.strip_prefix("set_").and_then(|field| MODEL.field(class, field));
    let field = field.unwrap_or_else(|| panic!("BUG: {name} sets no field"));
    set(draft, class, call.reference(0), field, call.args[1].clone())
}

/// `add_to_F`: a key that is there already is an error, as XenAPI's clients expect.
pub fn add_to(
    draft: &mut Draft,
    class: ClassId,
    object: Ref,
    field: usize,
    key: String,
    value: Value,
) -> Result<Value, ApiError> {
    let mut map = map_of(draft, class, object, field)?;
    if map.contains_key(&*key) {
        let uuid = uuid_of(draft, class, object);
        return Err(codes::MAP_DUPLICATE_KEY(class.name(), class.def().fields[field].name, uuid, key));
    }
    map.insert(Arc::from(key), value);
    set(draft, class, object, field, Value::Map(Arc::new(map)))
}

/// `remove_from_F`: a key that is not there is no error.
pub fn remove_from(draft: &mut Draft, class: ClassId, object: Ref, field: usize, key: &str) -> Result<Value, ApiError> {
    let mut map = map_of(draft, class, object, field)?;
    if map.remove(key).is_some() {
        let left = if map.is_empty() { Value::empty_map() } else { Value::Map(Arc::new(map)) };
        draft.set_field(class, object, field, left);
    }
    Ok(Value::Void)
}

/// `add_F`: a member that is there already stays once.
pub fn add(draft: &mut Draft, class: ClassId, object: Ref, field: usize, member: Value) -> Result<Value, ApiError> {
    let members = draft.object(class, object)?.record[field].clone();
    if members.as_set().contains(&member) {
        return Ok(Value::Void);
    }
    let more = Value::set(members.as_set().iter().cloned().chain([member]));
    set(draft, class, object, field, more)
}

/// `remove_F`: a member that is not there is no error.
pub fn remove(draft: &mut Draft, class: ClassId, object: Ref, field: usize, member: &Value) -> Result<Value, ApiError> {
    let members = draft.object(class, object)?.record[field].clone();
    let left = Value::set(members.as_set().iter().filter(|one| *one != member).cloned());
    draft.set_field(class, object, field, left);
    Ok(Value::Void)
}

/// `create`, for a class without rules of its own.
fn create(draft: &mut Draft, class: ClassId, record: &Value) -> Result<Value, ApiError> {
    let record = constructed(draft, class, record)?;
    let reference = draft.ids.draw();
    Ok(Value::Ref(draft.add(class, reference, record)))
}

/// The record that a constructor's argument asks for: fields that clients may give are checked and taken, the
/// others (a whole record read from another object has them) are left at their defaults. A client's uuid is ignored.
pub fn constructed(draft: &Draft, class: ClassId, given: &Value) -> Result<value::Record, ApiError> {
    let given: &Map = given.as_map();
    let mut record = default_record(class).clone();
    for (index, field) in class.def().fields.iter().enumerate() {
        let theirs = field.qualifier != Qualifier::RO && !field.flags.internal && field.name != "uuid";
        if let Some(value) = given.get(field.name)
            && theirs
        {
            let value = value::check(field.name, field.ty, value.clone())?;
            check_size(class, index, &value)?;
            check_references(draft, class, index, &value)?;
            record[index] = value;
        }
    }
    Ok(record)
}

/// Every reference given by a client must be to something.
pub(super) fn check_references(draft: &Draft, class: ClassId, field: usize, value: &Value) -> Result<(), ApiError> {
    let ty = class.def().fields[field].ty;
    let Some(target) = relations::holds(ty) else { return Ok(()) };
    for reference in value.references(ty) {
        draft.object(target, reference)?;
    }
    Ok(())
}

fn check_size(class: ClassId, field: usize, value: &Value) -> Result<(), ApiError> {
    let members = match value {
        Value::Set(members) => members.len(),
        Value::Map(map) => map.len(),
        _ => 0,
    };
    if members <= MEMBERS_MAX {
        return Ok(());
    }
    let name = class.def().fields[field].name;
    Err(codes::VALUE_NOT_SUPPORTED(name, members, format!("more than {MEMBERS_MAX} members")))
}

fn map_of(draft: &Draft, class: ClassId, object: Ref, field: usize) -> Result<Map, ApiError> {
    debug_assert!(matches!(class.def().fields[field].ty, Ty::Map(..)));
    Ok(draft.object(class, object)?.record[field].as_map().clone())
}

fn uuid_of(draft: &Draft, class: ClassId, object: Ref) -> String {
    let uuid = MODEL.field(class, "uuid");
    let object = draft.object(class, object).ok();
    let text = uuid.and_then(|index| Some(object?.record[index].as_str().to_string()));
    text.unwrap_or_default()
}

impl Call {
    /// A map's key as text, whatever its type.
    pub(super) fn text_of(&self, at: usize) -> String {
        match &self.args[at] {
            Value::Int(number) => number.to_string(),
            Value::Ref(reference) => reference.to_string(),
            other => other.as_str().to_string(),
        }
    }
}
