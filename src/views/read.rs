//! Reading: the one way in which a client's call or stream sees a view. The
//! scope says what the principal may see; records are rendered straight into
//! the output.

use super::{Object, View, measured};
use crate::model::{ClassId, MODEL, Message, Ty, subscription, task, user};
use crate::value::{Encode, Map, Ref, Value};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What a principal may read.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub enum Scope {
    /// Everything that is not internal; costs nothing.
    #[default]
    All,
    /// Some classes and some objects, and what is one's own.
    Only(Arc<Readable>),
}

/// See [`Scope::Only`].
#[derive(PartialEq, Eq, Hash, Debug, Default)]
pub struct Readable {
    classes: BTreeSet<ClassId>,
    objects: BTreeSet<(ClassId, Ref)>,
    /// Tasks and subscriptions of this principal are its own.
    owner: Option<Arc<str>>,
}

impl Scope {
    /// What a user may read: the one function that decides. The server itself is no user and reads everything; a user
    /// who is gone reads nothing.
    pub fn of(view: &View, whose: Ref) -> Scope {
        if whose.is_null() {
            return Scope::All;
        }
        view.find::<user>(whose).map_or_else(Scope::nothing, |found| Scope::of_user(found))
    }

    /// The same of a user as it is, or was.
    pub fn of_user(found: &Object) -> Scope {
        let reads = found.get(user::reads);
        if found.get(user::is_local_superuser) || reads.iter().any(|text| text.as_str() == "*") {
            return Scope::All;
        }
        let owner = Some(Arc::from(format!("user/{}", found.get(user::short_name))));
        let mut readable = Readable { owner, ..Readable::default() };
        readable.objects.insert((ClassId::user, found.reference));
        for text in reads {
            match text.as_str().split_once('/') {
                None => readable.classes.extend(MODEL.class(text.as_str())),
                Some((class, object)) => readable.objects.extend(MODEL.class(class).zip(Ref::parse(object))),
            }
        }
        Scope::Only(Arc::new(readable))
    }

    pub fn nothing() -> Scope {
        Scope::Only(Arc::default())
    }

    /// Whether the object may be read.
    pub fn shows(&self, class: ClassId, object: &Object) -> bool {
        let Scope::Only(readable) = self else { return true };
        let owner = owner(class, object);
        readable.names(class, object.reference) || (owner.is_some() && owner == readable.owner.as_ref())
    }

    /// The same by its reference; one's own objects that are gone are nobody's.
    pub fn shows_ref(&self, view: &View, class: ClassId, reference: Ref) -> bool {
        match self {
            Scope::All => true,
            Scope::Only(readable) => {
                let found = || view.object(class, reference).is_some_and(|object| self.shows(class, object));
                reference.is_null() || readable.names(class, reference) || found()
            }
        }
    }

    /// A value of some type with every reference left out that may not be seen, whether null or not is all it shows.
    pub fn limit(&self, view: &View, ty: Ty, value: Value) -> Value {
        if *self == Scope::All {
            return value;
        }
        match (ty, value) {
            (Ty::Ref(class), Value::Ref(reference)) if !self.shows_ref(view, class, reference) => Value::Ref(Ref::NULL),
            (Ty::Set(Ty::Ref(class)), Value::Set(members)) => {
                let seen = members.iter().filter(|member| self.shows_ref(view, *class, member.as_ref()));
                Value::set(seen.cloned())
            }
            (Ty::Set(of), Value::Set(members)) => {
                Value::set(members.iter().map(|member| self.limit(view, *of, member.clone())))
            }
            (Ty::Map(Ty::Ref(class), of), Value::Map(map)) => {
                let seen = map.iter().filter(|(key, _)| {
                    Ref::parse(key).is_some_and(|reference| self.shows_ref(view, *class, reference))
                });
                Value::map(seen.map(|(key, member)| (key, self.limit(view, *of, member.clone()))))
            }
            (Ty::Map(_, of), Value::Map(map)) => {
                Value::map(map.iter().map(|(key, member)| (key, self.limit(view, *of, member.clone()))))
            }
            (Ty::Record(class), Value::Map(map)) => self.limit_record(view, class, &map),
            (Ty::Option(of), value) => self.limit(view, *of, value),
            // Texts may hold references too: results and errors of tasks, above all.
            (Ty::String, Value::String(text)) if self.hides_text(view, &text) => Value::from(Ref::NULL.to_string()),
            (_, value) => value,
        }
    }

    /// Whether a text is the reference or the uuid of something that may not be seen.
    pub fn hides_text(&self, view: &View, text: &str) -> bool {
        if *self == Scope::All || Ref::parse(text).or_else(|| Ref::parse_uuid(text)).is_none_or(|named| named.is_null())
        {
            return false;
        }
        crate::model::CLASS_IDS.iter().any(|class| {
            let named = Ref::parse(text).filter(|named| view.object(*class, *named).is_some());
            let named = named.or_else(|| view.by_uuid(*class, text));
            named.is_some_and(|named| !self.shows_ref(view, *class, named))
        })
    }

    fn limit_record(&self, view: &View, class: ClassId, record: &Map) -> Value {
        let fields = record.iter().map(|(name, value)| {
            let ty = MODEL.field(class, name).map_or(Ty::String, |field| class.def().fields[field].ty);
            (name, self.limit(view, ty, value.clone()))
        });
        Value::map(fields)
    }

    /// The first of a call's arguments that names what its caller may not see; sessions are the callers' own.
    pub fn hidden_argument(&self, view: &View, message: &Message, args: &[Value]) -> Option<(ClassId, Ref)> {
        let Scope::Only(_) = self else { return None };
        let mut named = Vec::new();
        message.params.iter().zip(args).for_each(|(param, value)| references(param.ty, value, &mut named));
        let mut named = named.into_iter().filter(|(class, _)| *class != ClassId::session);
        named.find(|(class, reference)| !self.shows_ref(view, *class, *reference))
    }
}

/// Every reference in a value of some type, records included.
fn references(ty: Ty, value: &Value, found: &mut Vec<(ClassId, Ref)>) {
    match (ty, value) {
        (Ty::Ref(class), Value::Ref(reference)) => found.push((class, *reference)),
        // A record's fields are as they came off the wire.
        (Ty::Ref(class), Value::String(text)) => found.extend(Ref::parse(text).map(|reference| (class, reference))),
        (Ty::Set(of), Value::Set(members)) => members.iter().for_each(|member| references(*of, member, found)),
        (Ty::Map(key, of), Value::Map(map)) => {
            for (name, member) in map.iter() {
                if let (Ty::Ref(class), Some(reference)) = (key, Ref::parse(name)) {
                    found.push((*class, reference));
                }
                references(*of, member, found);
            }
        }
        (Ty::Record(class), Value::Map(record)) => {
            for (name, member) in record.iter() {
                if let Some(field) = MODEL.field(class, name) {
                    references(class.def().fields[field].ty, member, found);
                }
            }
        }
        (Ty::Option(of), value) => references(*of, value, found),
        _ => {}
    }
}

/// Whose an object is, of the classes whose objects are somebody's.
fn owner(class: ClassId, object: &Object) -> Option<&Arc<str>> {
    match class {
        ClassId::task => Some(object.get(task::owner)),
        ClassId::subscription => Some(object.get(subscription::owner)),
        _ => None,
    }
}

impl Readable {
    fn names(&self, class: ClassId, reference: Ref) -> bool {
        self.classes.contains(&class) || self.objects.contains(&(class, reference))
    }

    /// How many objects may be read of a class that may not be read whole: only those with owners are looked through.
    fn count(&self, view: &View, class: ClassId) -> usize {
        let named = self.objects.range((class, Ref::NULL)..=(class, Ref([u8::MAX; 16])));
        let named = named.filter(|(class, reference)| view.object(*class, *reference).is_some()).count();
        let own = |object: &&Arc<Object>| {
            !self.objects.contains(&(class, object.reference)) && owner(class, object) == self.owner.as_ref()
        };
        match (class, &self.owner) {
            (ClassId::task | ClassId::subscription, Some(_)) => {
                named + view.class(class).objects.values().filter(own).count()
            }
            _ => named,
        }
    }
}

/// A view and what may be seen of it: what an answer is rendered from.
#[derive(Clone)]
pub struct Sight {
    pub view: Arc<View>,
    pub scope: Scope,
}

impl Sight {
    pub fn read(&self) -> ReadView<'_> {
        ReadView { view: &self.view, scope: &self.scope }
    }

    /// The scope alone, for whoever goes on without the view.
    pub fn into_scope(self) -> Scope {
        self.scope
    }
}

/// A view as one principal sees it.
#[derive(Clone, Copy)]
pub struct ReadView<'a> {
    pub view: &'a View,
    pub scope: &'a Scope,
}

impl<'a> ReadView<'a> {
    pub fn new(view: &'a View, scope: &'a Scope) -> ReadView<'a> {
        ReadView { view, scope }
    }

    pub fn object(&self, class: ClassId, reference: Ref) -> Option<&'a Arc<Object>> {
        self.view.object(class, reference).filter(|object| self.scope.shows(class, object))
    }

    pub fn objects(self, class: ClassId) -> impl Iterator<Item = &'a Arc<Object>> + use<'a> {
        let scope = self.scope;
        self.view.class(class).objects.values().filter(move |object| scope.shows(class, object))
    }

    /// How many objects there are of each class, as `event.from` tells its clients.
    pub fn counts(self) -> impl Iterator<Item = (ClassId, usize)> + use<'a> {
        let counted = move |(class, count)| match self.scope {
            Scope::All => (class, count),
            Scope::Only(readable) if readable.classes.contains(&class) => (class, count),
            Scope::Only(readable) => (class, readable.count(self.view, class)),
        };
        self.view.counts().map(counted)
    }

    /// One field's value, far sides joined.
    pub fn field(&self, class: ClassId, field: usize, object: &Object) -> Value {
        let Some((far, _)) = MODEL.far(class, field) else {
            let value = measured::of(self.view, class, field, object).unwrap_or_else(|| object.record[field].clone());
            return self.scope.limit(self.view, class.def().fields[field].ty, value);
        };
        let mut members = Vec::new();
        self.view.each_far(class, field, object.reference, |member| {
            if self.scope.shows_ref(self.view, far, member) {
                members.push(Value::Ref(member));
            }
        });
        Value::set(members)
    }

    /// The record as a value, for messages that answer with records among other things.
    pub fn record(&self, class: ClassId, object: &Object) -> Value {
        let fields = class.def().fields.iter().enumerate();
        let shown = fields.filter(|(_, field)| !field.flags.internal && !field.flags.secret);
        let members = shown.map(|(index, field)| (field.name, self.field(class, index, object)));
        Value::map(members.filter(|(_, value)| *value != Value::Absent))
    }

    /// Writes the record as clients see it: nothing internal, nothing secret, far sides joined.
    pub fn render<E: Encode + ?Sized>(&self, class: ClassId, object: &Object, out: &mut E) {
        self.render_fields(class, object, |_| true, out);
    }

    /// The same with the wanted fields only.
    pub fn render_fields<E: Encode + ?Sized>(
        &self,
        class: ClassId,
        object: &Object,
        wanted: impl Fn(usize) -> bool,
        out: &mut E,
    ) {
        out.begin_struct();
        for (index, field) in class.def().fields.iter().enumerate() {
            if field.flags.internal
                || field.flags.secret
                || matches!(object.record[index], Value::Absent)
                || !wanted(index)
            {
                continue;
            }
            out.field(field.name);
            if *self.scope != Scope::All || field.flags.volatile {
                out.value(&self.field(class, index, object));
            } else if MODEL.far(class, index).is_some() {
                out.begin_array();
                self.view.each_far(class, index, object.reference, |member| out.reference(member));
                out.end_array();
            } else {
                out.value(&object.record[index]);
            }
        }
        out.end_struct();
    }
}
