//! The messages that follow from classes and fields, and the index of all
//! messages by name. Built once, from the tables alone.

use super::{CLASSES, Class, ClassId, Declaration, Field, Lifecycle, Param, Qualifier, Roles, Ty};
use std::sync::LazyLock;

/// What is found by name. The keys are the model's alone, so nobody can choose them to collide, and a fast hash will do:
/// every field of every record that is read back is looked up here.
type Names<K, V> = std::collections::HashMap<K, V, foldhash::fast::RandomState>;

/// What an implied message does; the number is the field's index in its class.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Implied {
    Get(usize),
    Set(usize),
    AddTo(usize),
    RemoveFrom(usize),
    Add(usize),
    Remove(usize),
    GetByUuid,
    GetByNameLabel,
    GetRecord,
    GetAll,
    GetAllRecords,
    GetAllWhere,
    GetAllRecordsWhere,
    Create,
    Destroy,
}

/// A message of a class, implied or declared.
#[derive(Debug)]
pub struct Message {
    pub class: ClassId,
    pub name: &'static str,
    /// `VM.start`: how events, audit and errors name it.
    pub full_name: &'static str,
    pub doc: &'static [&'static str],
    pub params: &'static [Param],
    pub result: Ty,
    pub errors: &'static [&'static str],
    pub roles: Roles,
    pub lifecycle: Lifecycle,
    pub implied: Option<Implied>,
    /// Has an `Async.` form.
    pub task: bool,
    pub no_session: bool,
    pub extension: bool,
    /// Where it stands in [`Model::messages`].
    pub index: usize,
}

impl Message {
    /// How many parameters must be given (the session not counted).
    pub fn required(&self) -> usize {
        self.params.iter().position(|param| param.default.is_some()).unwrap_or(self.params.len())
    }

    /// Reads only: answered from a view, appends no event.
    pub fn reads(&self) -> bool {
        use Implied::*;
        matches!(
            self.implied,
            Some(
                Get(_)
                    | GetByUuid
                    | GetByNameLabel
                    | GetRecord
                    | GetAll
                    | GetAllRecords
                    | GetAllWhere
                    | GetAllRecordsWhere
            )
        )
    }
}

/// The tables, indexed.
pub struct Model {
    pub messages: Vec<Message>,
    by_name: Names<String, usize>,
    fields: Vec<Names<&'static str, usize>>,
    /// Per class, per field: for a far side, the class and field index that hold the references.
    far: Vec<Vec<Option<(ClassId, usize)>>>,
    /// Per class, per field: for a near side, the class and field index of its far side.
    near: Vec<Vec<Option<(ClassId, usize)>>>,
    /// Under their names, and these in lower case.
    classes: Names<String, ClassId>,
}

/// The one model.
pub static MODEL: LazyLock<Model> = LazyLock::new(Model::build);

impl Model {
    /// A message by its wire name, `VM.start` or `VM_start`; `Async.` is not part of it.
    pub fn message(&self, name: &str) -> Option<&Message> {
        self.by_name.get(name).map(|index| &self.messages[*index])
    }

    /// Where the field stands in its class.
    pub fn field(&self, class: ClassId, name: &str) -> Option<usize> {
        self.fields[class as usize].get(name).copied()
    }

    /// For the far side of a relation: who holds the references.
    pub fn far(&self, class: ClassId, field: usize) -> Option<(ClassId, usize)> {
        self.far[class as usize][field]
    }

    /// For a field that holds references: its far side, if it has one.
    pub fn near(&self, class: ClassId, field: usize) -> Option<(ClassId, usize)> {
        self.near[class as usize][field]
    }

    /// A class by its name, in any case, as event subscriptions spell it.
    pub fn class(&self, name: &str) -> Option<ClassId> {
        // The log spells them as they are.
        let found = self.classes.get(name).or_else(|| self.classes.get(&name.to_ascii_lowercase()));
        found.copied()
    }

    fn build() -> Model {
        let fields: Vec<Names<&'static str, usize>> = CLASSES
            .iter()
            .map(|class| class.fields.iter().enumerate().map(|(index, field)| (field.name, index)).collect())
            .collect();
        let named =
            |class: &&Class| [class.name.to_string(), class.name.to_ascii_lowercase()].map(|name| (name, class.id));
        let classes: Names<String, ClassId> = CLASSES.iter().flat_map(named).collect();
        let mut far: Vec<Vec<_>> = CLASSES.iter().map(|class| vec![None; class.fields.len()]).collect();
        let mut near = far.clone();
        for class in CLASSES {
            for (index, field) in class.fields.iter().enumerate() {
                if let Some((holder, name)) = field.far {
                    let holder = classes[holder];
                    let held = fields[holder as usize][name];
                    far[class.id as usize][index] = Some((holder, held));
                    near[holder as usize][held] = Some((class.id, index));
                }
            }
        }
        let mut messages = Vec::new();
        for class in CLASSES {
            add_messages(class, &mut messages);
        }
        let mut by_name = Names::default();
        for (index, message) in messages.iter_mut().enumerate() {
            message.index = index;
            by_name.insert(message.full_name.to_string(), index);
            by_name.insert(format!("{}_{}", message.class.name(), message.name), index);
        }
        Model { messages, by_name, fields, far, near, classes }
    }
}

fn add_messages(class: &'static Class, messages: &mut Vec<Message>) {
    let first = messages.len();
    messages.extend(class.messages.iter().map(|declaration| declared(class, declaration)));
    if class.flags.nothing_implied {
        return;
    }
    let mut derived = Vec::new();
    class_messages(class, &mut derived);
    for (index, field) in class.fields.iter().enumerate() {
        if !field.flags.internal {
            field_messages(class, index, field, &mut derived);
        }
    }
    for message in derived {
        let spoken_for = messages[first..].iter().any(|other| other.name == message.name);
        if !spoken_for {
            messages.push(message);
        }
    }
}

fn declared(class: &'static Class, declaration: &'static Declaration) -> Message {
    Message {
        class: class.id,
        name: declaration.name,
        full_name: leak(format!("{}.{}", class.name, declaration.name)),
        doc: declaration.doc,
        params: declaration.params,
        result: declaration.result,
        errors: declaration.errors,
        roles: declaration.flags.by.unwrap_or(Roles::pool_admin),
        lifecycle: declaration.flags.lifecycle,
        implied: None,
        task: declaration.flags.task,
        no_session: declaration.flags.no_session,
        extension: declaration.flags.extension,
        index: 0,
    }
}

/// Who may read objects of the class.
fn readers(class: &Class) -> Roles {
    if class.flags.hidden { Roles::pool_operator } else { Roles::read_only }
}

fn class_messages(class: &'static Class, out: &mut Vec<Message>) {
    let (readers, writers) = (readers(class), class.flags.by.unwrap_or(Roles::pool_admin));
    let reference = Ty::Ref(class.id);
    let record = Ty::Record(class.id);
    let mut add = |implied, name: &'static str, params: &[(&'static str, Ty)], result, roles| {
        out.push(make(class, name.to_string(), params, result, roles, implied, class.flags.lifecycle));
    };
    add(Implied::GetByUuid, "get_by_uuid", &[("uuid", Ty::String)], reference, readers);
    add(Implied::GetRecord, "get_record", &[("self", reference)], record, readers);
    if class.fields.iter().any(|field| field.name == "name_label") {
        let set = Ty::Set(leaked(reference));
        add(Implied::GetByNameLabel, "get_by_name_label", &[("label", Ty::String)], set, readers);
    }
    if !class.flags.no_get_all {
        add(Implied::GetAll, "get_all", &[], Ty::Set(leaked(reference)), readers);
        let records = Ty::Map(leaked(reference), leaked(record));
        add(Implied::GetAllRecords, "get_all_records", &[], records, readers);
        let expression = [("expr", Ty::String)];
        add(Implied::GetAllWhere, "get_all_where", &expression, Ty::Set(leaked(reference)), readers);
        add(Implied::GetAllRecordsWhere, "get_all_records_where", &expression, records, readers);
    }
    if class.flags.create {
        add(Implied::Create, "create", &[("args", record)], reference, writers);
    }
    if class.flags.destroy {
        add(Implied::Destroy, "destroy", &[("self", reference)], Ty::Void, writers);
    }
}

fn field_messages(class: &'static Class, index: usize, field: &'static Field, out: &mut Vec<Message>) {
    let writers = field.flags.by.or(class.flags.by).unwrap_or(Roles::pool_admin);
    let this = ("self", Ty::Ref(class.id));
    let mut add = |implied, name: String, params: &[(&'static str, Ty)], result, roles| {
        let message = make(class, name, params, result, roles, implied, field.flags.lifecycle);
        out.push(Message { extension: class.flags.extension || field.flags.extension, ..message });
    };
    if !field.flags.secret {
        add(Implied::Get(index), format!("get_{}", field.name), &[this], field.ty, readers(class));
    }
    if field.qualifier != Qualifier::RW {
        return;
    }
    add(Implied::Set(index), format!("set_{}", field.name), &[this, ("value", field.ty)], Ty::Void, writers);
    match field.ty {
        Ty::Map(key, value) => {
            let params = [this, ("key", *key), ("value", *value)];
            add(Implied::AddTo(index), format!("add_to_{}", field.name), &params, Ty::Void, writers);
            add(Implied::RemoveFrom(index), format!("remove_from_{}", field.name), &params[..2], Ty::Void, writers);
        }
        Ty::Set(of) => {
            let params = [this, ("value", *of)];
            add(Implied::Add(index), format!("add_{}", field.name), &params, Ty::Void, writers);
            add(Implied::Remove(index), format!("remove_{}", field.name), &params, Ty::Void, writers);
        }
        _ => {}
    }
}

fn make(
    class: &'static Class,
    name: String,
    params: &[(&'static str, Ty)],
    result: Ty,
    roles: Roles,
    implied: Implied,
    lifecycle: Lifecycle,
) -> Message {
    let (doc, errors) = described(class, implied);
    let full_name = leak(format!("{}.{name}", class.name));
    let params: Vec<Param> = params.iter().map(|(name, ty)| Param { name, ty: *ty, default: None }).collect();
    Message {
        class: class.id,
        full_name,
        name: leak(name),
        doc,
        params: Vec::leak(params),
        result,
        errors: super::raised::with(full_name, errors),
        roles,
        lifecycle,
        implied: Some(implied),
        // Constructors and destructors may be called as `Async.`, getters and setters may not.
        task: matches!(implied, Implied::Create | Implied::Destroy),
        no_session: false,
        // Every server answers these, and the published list has them for one class only.
        extension: class.flags.extension || matches!(implied, Implied::GetAllWhere | Implied::GetAllRecordsWhere),
        index: 0,
    }
}

const RECORDS_WHERE: &[&str] = &[
    "Answer the objects for which an expression is true, with all their fields. An expression is `true`, `false`,",
    "`VALUE = VALUE` or `VALUE contains VALUE`, where a value is a text in double or single quotes, or `field` and the",
    "name of a field in quotes: `field \"name_label\" = \"web\"`. They are joined by `and` and `or`, which bind alike and",
    "from left to right, by parentheses, and by `not`, which reaches as far to the right as it can. Values compare as",
    "text; `contains` asks for a member of a set, a key of a map, or a part of a text. INVALID_VALUE says what is wrong.",
];

/// What an implied message does, and what it raises beside the HANDLE_INVALID of every reference that leads nowhere.
fn described(class: &'static Class, implied: Implied) -> (&'static [&'static str], &'static [&'static str]) {
    let of = |what: &'static str, field: usize| -> &'static [&'static str] {
        Vec::leak(std::iter::once(what).chain(class.fields[field].doc.iter().copied()).collect())
    };
    match implied {
        Implied::Get(field) => (class.fields[field].doc, &[]),
        Implied::Set(field) => (of("Set:", field), &[]),
        Implied::AddTo(field) => (of("Add a key:", field), &["MAP_DUPLICATE_KEY"]),
        Implied::RemoveFrom(field) => (of("Remove a key; not an error if it is not there:", field), &[]),
        Implied::Add(field) => (of("Add a value, unless it is there:", field), &[]),
        Implied::Remove(field) => (of("Remove a value; not an error if it is not there:", field), &[]),
        Implied::GetByUuid => (&["Find an object by its uuid."], &["UUID_INVALID"]),
        Implied::GetByNameLabel => (&["List the objects of that name; none is not an error."], &[]),
        Implied::GetRecord => (&["Answer all fields of an object."], &[]),
        Implied::GetAll => (&["List all objects."], &[]),
        Implied::GetAllRecords => (&["Answer all objects with all their fields."], &[]),
        Implied::GetAllWhere => {
            (&["List the objects for which an expression is true: see `get_all_records_where`."], &["INVALID_VALUE"])
        }
        Implied::GetAllRecordsWhere => (RECORDS_WHERE, &["INVALID_VALUE"]),
        Implied::Create => (&["Make an object from the fields given; what is left out has its default."], &[]),
        Implied::Destroy => (&["Remove an object."], &[]),
    }
}

/// Names made here live as long as the program: the model is built once.
fn leak(text: String) -> &'static str {
    String::leak(text)
}

fn leaked(ty: Ty) -> &'static Ty {
    Box::leak(Box::new(ty))
}
