//! Reading: the one way in which a client's call or stream sees a view. The
//! scope says what the principal may see; records are rendered straight into
//! the output.

use super::{Object, View};
use crate::model::{ClassId, MODEL};
use crate::value::{Encode, Ref, Value};
use std::sync::Arc;

/// What a principal may read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Scope {
    /// Everything that is not internal; costs nothing.
    #[default]
    All,
}

/// A view as one principal sees it.
pub struct ReadView<'a> {
    pub view: &'a View,
    pub scope: Scope,
}

impl<'a> ReadView<'a> {
    pub fn new(view: &'a View, scope: Scope) -> ReadView<'a> {
        ReadView { view, scope }
    }

    pub fn object(&self, class: ClassId, reference: Ref) -> Option<&'a Arc<Object>> {
        self.view.object(class, reference)
    }

    pub fn objects(&self, class: ClassId) -> impl Iterator<Item = &'a Arc<Object>> {
        self.view.class(class).objects.values()
    }

    /// One field's value, far sides joined.
    pub fn field(&self, class: ClassId, field: usize, object: &Object) -> Value {
        if MODEL.far(class, field).is_none() {
            return object.record[field].clone();
        }
        let mut members = Vec::new();
        self.view.each_far(class, field, object.reference, |member| members.push(Value::Ref(member)));
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
        out.begin_struct();
        for (index, field) in class.def().fields.iter().enumerate() {
            if field.flags.internal || field.flags.secret || object.record[index] == Value::Absent {
                continue;
            }
            out.name(field.name);
            if MODEL.far(class, index).is_some() {
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
