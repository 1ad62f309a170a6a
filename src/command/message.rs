//! Messages that the server keeps for people: alerts. What else belongs to
//! people rather than machines, blobs and secrets, is bound here too.

use super::attach::object;
use super::draft::Fields;
use super::operation::Derived;
use super::{Call, Completion, Draft, Handler, Reader, Reading, blob, generic, secret};
use crate::error::{ApiError, codes};
use crate::model::{ClassId, MODEL, message};
use crate::value::{Map, Micros, Ref, Value};
use crate::views::{Object, View, query};
use std::sync::Arc;

pub const HANDLERS: &[(&str, Handler)] = &[
    ("message.create", create),
    ("message.destroy", destroy),
    ("message.destroy_many", destroy_many),
    ("message.destroy_all", destroy_all),
    ("blob.create", blob::create),
    ("blob.destroy", blob::destroy),
    ("pool.create_new_blob", blob::create_new),
    ("host.create_new_blob", blob::create_new),
    ("VM.create_new_blob", blob::create_new),
    ("SR.create_new_blob", blob::create_new),
    ("network.create_new_blob", blob::create_new),
    ("secret.create", secret::create),
    ("secret.destroy", secret::destroy),
    ("secret.set_value", secret::set_value),
];

pub const READERS: &[(&str, Reader)] = &[
    ("message.get", get),
    ("message.get_all", get_all),
    ("message.get_since", get_since),
    ("message.get_record", get_record),
    ("message.get_by_uuid", get_by_uuid),
    ("message.get_all_records", get_all_records),
    ("message.get_all_records_where", get_all_records_where),
];

pub const COMPLETIONS: &[(&str, Completion)] = &[];
pub const DERIVED: &[&Derived] = &[];

/// How many messages are kept: the oldest goes when one more comes.
pub const KEPT_MAX: usize = 10_000;

/// Which class a message of that `cls` is about.
fn class_of(cls: &str) -> ClassId {
    match cls {
        "Host" => ClassId::host,
        "Pool" => ClassId::pool,
        other => MODEL.class(other).expect("BUG: every kind of message is about a class"),
    }
}

fn create(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let (cls, about) = (call.args[2].as_str(), call.text(3));
    if draft.view().by_uuid(class_of(cls), about).is_none() {
        return Err(codes::UUID_INVALID(cls, about));
    }
    Ok(Value::Ref(raise(draft, call.text(0), call.int(1), call.args[2].clone(), about, call.text(4))))
}

/// Adds a message about an object that is there; for whoever has something to tell people.
pub fn raise(draft: &mut Draft, name: &str, priority: i64, cls: impl Into<Value>, about: &str, body: &str) -> Ref {
    let class = draft.view().class(ClassId::message);
    // They never change, so the one that changed first is the oldest.
    let oldest = class.changed(0).next().map(|oldest| oldest.reference);
    if let Some(oldest) = oldest.filter(|_| class.objects.len() >= KEPT_MAX) {
        draft.delete::<message>(oldest);
    }
    let fields = Fields::<message>::new()
        .with(message::name, name)
        .with(message::priority, priority)
        .with(message::cls, cls)
        .with(message::obj_uuid, about)
        .with(message::timestamp, Value::Time(draft.now))
        .with(message::body, body);
    draft.create(fields)
}

fn destroy(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    draft.find::<message>(call.reference(0))?;
    draft.delete::<message>(call.reference(0));
    Ok(Value::Void)
}

/// All or none.
fn destroy_many(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    for one in call.args[0].as_set() {
        draft.find::<message>(one.as_ref())?;
    }
    for one in call.args[0].as_set() {
        draft.delete::<message>(one.as_ref());
    }
    Ok(Value::Void)
}

/// Whether a message passes one filter.
type Filter = Box<dyn Fn(&Object) -> bool>;

/// `message.destroy_all(filters)`: what fits all of them. `before` and `after` are times, any other is a field's value.
fn destroy_all(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let mut filters: Vec<Filter> = Vec::new();
    for (name, value) in call.args[0].as_map() {
        let (wanted, wrong) = (value.as_str().to_string(), || codes::INVALID_VALUE(name, value.as_str()));
        match &**name {
            "before" | "after" => {
                let limit = crate::value::parse_time(&wanted).ok_or_else(wrong)?;
                let before = &**name == "before";
                filters.push(Box::new(move |one| (one.get(message::timestamp) < limit) == before));
            }
            "uuid" | "name" | "priority" | "cls" | "obj_uuid" => {
                let field = MODEL.field(ClassId::message, name).ok_or_else(wrong)?;
                filters.push(Box::new(move |one| query::text_of(&one.record[field]) == wanted));
            }
            _ => return Err(wrong()),
        }
    }
    let fitting = draft.view().all::<message>().filter(|one| filters.iter().all(|fits| fits(one)));
    let fitting: Vec<Ref> = fitting.map(|one| one.reference).collect();
    fitting.into_iter().for_each(|one| draft.delete::<message>(one));
    Ok(Value::Void)
}

fn record(one: &Object) -> Value {
    let fields = ClassId::message.def().fields.iter().zip(one.record.iter());
    Value::map(fields.filter(|(field, _)| !field.flags.internal).map(|(field, value)| (field.name, value.clone())))
}

/// The messages that pass, by reference.
fn records(view: &View, passes: impl Fn(&Object) -> bool) -> Value {
    let passing = view.all::<message>().filter(|one| passes(one));
    let records: Map = passing.map(|one| (Arc::from(one.reference.to_string()), record(one))).collect();
    if records.is_empty() { Value::empty_map() } else { Value::Map(Arc::new(records)) }
}

fn time(call: &Call, at: usize) -> Micros {
    match &call.args[at] {
        Value::Time(time) => *time,
        other => panic!("BUG: {other:?} where {} declares a datetime", call.message.full_name),
    }
}

/// Clients ask by whole seconds; a message of the very second counts.
fn get(reading: &Reading<'_>, call: &Call) -> Result<Value, ApiError> {
    let (cls, about, since) = (call.args[0].as_str(), call.text(1), time(call, 2));
    if reading.view.by_uuid(class_of(cls), about).is_none() {
        return Err(codes::UUID_INVALID(cls, about));
    }
    Ok(records(reading.view, |one| {
        one.get(message::cls) == cls && **one.get(message::obj_uuid) == *about && one.get(message::timestamp) >= since
    }))
}

fn get_since(reading: &Reading<'_>, call: &Call) -> Result<Value, ApiError> {
    let since = time(call, 0);
    Ok(records(reading.view, |one| one.get(message::timestamp) >= since))
}

fn get_all(reading: &Reading<'_>, _: &Call) -> Result<Value, ApiError> {
    Ok(Value::set(reading.view.all::<message>().map(|one| Value::Ref(one.reference))))
}

fn get_record(reading: &Reading<'_>, call: &Call) -> Result<Value, ApiError> {
    object::<message>(reading.view, call.reference(0)).map(|one| record(one))
}

fn get_by_uuid(reading: &Reading<'_>, call: &Call) -> Result<Value, ApiError> {
    let found = reading.view.by_uuid(ClassId::message, call.text(0));
    found.map(Value::Ref).ok_or_else(|| codes::UUID_INVALID("message", call.text(0)))
}

fn get_all_records(reading: &Reading<'_>, _: &Call) -> Result<Value, ApiError> {
    Ok(records(reading.view, |_| true))
}

fn get_all_records_where(reading: &Reading<'_>, call: &Call) -> Result<Value, ApiError> {
    let found = generic::select(
        crate::views::read::ReadView::new(reading.view, &crate::views::read::Scope::All),
        ClassId::message,
        call.text(0),
    )?;
    Ok(Value::map(found.into_iter().map(|one| (one.reference.to_string(), record(one)))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::bench::Bench;
    use crate::command::{Principal, Reading, reader};
    use crate::model::{VM, secret};

    fn read(bench: &Bench, name: &str, args: Vec<Value>) -> Result<Value, ApiError> {
        let message = MODEL.message(name).expect("a message of the model");
        let principal = Principal::server("user/test");
        let reading = Reading { view: &bench.view, principal: &principal, now: 0 };
        reader(message).expect("it reads")(&reading, &Call { message, args, background: false })
    }

    fn machine(bench: &mut Bench) -> String {
        let vm = bench.given(|draft| draft.create(Fields::<VM>::new())).as_ref();
        bench.view.find::<VM>(vm).expect("there").get(VM::uuid).to_string()
    }

    fn alert(bench: &mut Bench, name: &str, about: &str) -> Result<Ref, ApiError> {
        let args = vec![name.into(), 3i64.into(), "VM".into(), about.into(), "<body/>".into()];
        bench.call("message.create", args).map(|one| one.as_ref())
    }

    #[test]
    fn messages_are_about_what_is_there_and_are_found_again() {
        let mut bench = Bench::default();
        let about = machine(&mut bench);
        let gone = alert(&mut bench, "A", "00000000-0000-0000-0000-000000000001").expect_err("nothing there");
        assert_eq!(gone.code, "UUID_INVALID");
        let one = alert(&mut bench, "A", &about).expect("created");
        let two = alert(&mut bench, "B", &about).expect("created");
        let found = |expression: &str| {
            read(&bench, "message.get_all_records_where", vec![expression.into()]).map(|found| found.as_map().len())
        };
        assert_eq!(found("true"), Ok(2));
        assert_eq!(found("field \"name\" = \"A\""), Ok(1));
        assert_eq!(found("field 'priority'='3'"), Ok(2));
        assert_eq!(found("not field \"name\" = \"A\" and true"), Ok(1));
        for wrong in ["", "field \"nothing\" = \"A\"", "field \"name\" = \"A\" and"] {
            assert_eq!(found(wrong).expect_err("refused").code, "INVALID_VALUE", "{wrong}");
        }
        let second = bench.view.find::<message>(two).expect("there").get(message::timestamp);
        let since = |time: Micros| read(&bench, "message.get_since", vec![Value::Time(time)]).expect("read");
        assert_eq!(since(second).as_map().len(), 1);
        assert_eq!(since(second + 1).as_map().len(), 0);
        bench.call("message.destroy_many", vec![Value::set([one.into(), two.into()])]).expect("destroyed");
        assert_eq!(read(&bench, "message.get_all", Vec::new()).expect("read").as_set().len(), 0);
    }

    #[test]
    fn the_oldest_message_goes() {
        let mut bench = Bench::default();
        let about = machine(&mut bench);
        let first = alert(&mut bench, "first", &about).expect("created");
        bench.given(|draft| {
            for _ in 1..KEPT_MAX {
                draft.create(Fields::<message>::new());
            }
        });
        alert(&mut bench, "last", &about).expect("created");
        assert_eq!(bench.view.all::<message>().count(), KEPT_MAX);
        assert!(bench.view.find::<message>(first).is_none());
    }

    #[test]
    fn blobs_belong_to_what_they_were_made_for() {
        let mut bench = Bench::default();
        let vm = bench.given(|draft| draft.create(Fields::<VM>::new())).as_ref();
        let args = || vec![vm.into(), "icon".into(), "image/png".into(), true.into()];
        let made = bench.call("VM.create_new_blob", args()).expect("created").as_ref();
        assert_eq!(bench.call("VM.create_new_blob", args()).expect_err("there is one").code, "MAP_DUPLICATE_KEY");
        assert!(bench.view.find::<VM>(vm).expect("there").get(VM::blobs).contains_key("icon"));
        bench.own(blob::write(made, b"first".to_vec())).expect("written");
        assert!(!bench.last.contains("first"), "{}", bench.last);
        let first = blob::vault_id(bench.view.find::<crate::model::blob>(made).expect("there"));
        bench.own(blob::write(made, b"second, and longer".to_vec())).expect("written");
        let written = bench.view.find::<crate::model::blob>(made).expect("there").clone();
        assert_eq!(written.get(crate::model::blob::size), 18);
        assert!(first.is_some() && blob::vault_id(&written) != first);
        let large = bench.own(blob::write(made, vec![0; blob::BYTES_MAX + 1])).expect_err("too large");
        assert_eq!(large.code, "VALUE_NOT_SUPPORTED");
        bench.call("blob.destroy", vec![made.into()]).expect("destroyed");
        assert!(bench.view.find::<VM>(vm).expect("there").get(VM::blobs).is_empty());
        bench.call("VM.create_new_blob", args()).expect("created");
        bench.given(move |draft| draft.set(vm, VM::domid, -1));
        bench.call("VM.destroy", vec![vm.into()]).expect("destroyed");
        assert_eq!(bench.view.all::<crate::model::blob>().count(), 0, "they go with what they belong to");
    }

    #[test]
    fn messages_that_fit_all_filters_go() {
        let mut bench = Bench::default();
        let about = machine(&mut bench);
        for name in ["A", "B", "A"] {
            alert(&mut bench, name, &about).expect("created");
        }
        let times: Vec<Micros> = bench.view.all::<message>().map(|one| one.get(message::timestamp)).collect();
        let last = times.into_iter().max().map(crate::value::format_time).expect("there are three");
        let destroy = |bench: &mut Bench, filters: &[(&str, &str)]| {
            let filters = Value::map(filters.iter().map(|(name, value)| (*name, Value::from(value.to_string()))));
            bench.call("message.destroy_all", vec![filters]).map(|_| bench.view.all::<message>().count())
        };
        assert_eq!(destroy(&mut bench, &[("colour", "red")]).expect_err("no field").code, "INVALID_VALUE");
        assert_eq!(destroy(&mut bench, &[("before", "yesterday")]).expect_err("no time").code, "INVALID_VALUE");
        assert_eq!(destroy(&mut bench, &[("name", "B"), ("priority", "4")]), Ok(3));
        assert_eq!(destroy(&mut bench, &[("name", "A"), ("before", &last)]), Ok(2));
        assert_eq!(destroy(&mut bench, &[("obj_uuid", &about), ("after", &last)]), Ok(1));
        assert_eq!(destroy(&mut bench, &[]), Ok(0));
    }

    #[test]
    fn a_secret_is_nowhere_but_in_the_vault() {
        let mut bench = Bench::default();
        let record = Value::map([("value", "hunter2".into()), ("other_config", Value::empty_map())]);
        let made = bench.call("secret.create", vec![record]).expect("created").as_ref();
        assert!(!bench.last.contains("hunter2"), "{}", bench.last);
        let one = bench.view.find::<secret>(made).expect("there").clone();
        assert!(one.get(secret::value).is_empty());
        assert_eq!(one.get(secret::digest).len(), 64);
        bench.call("secret.set_value", vec![made.into(), "hunter3".into()]).expect("changed");
        assert!(!bench.last.contains("hunter3"), "{}", bench.last);
        let message = MODEL.message("secret.get_value").expect("a message");
        let call = Call { message, args: vec![made.into()], background: false };
        let id = super::secret::vault_id(&bench.view, &call).expect("it is a secret").expect("it is there");
        assert!(!id.is_null());
        assert_ne!(one.get(secret::sealed), bench.view.find::<secret>(made).expect("there").get(secret::sealed));
    }
}
