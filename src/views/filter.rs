//! What of all changes somebody wants to hear: classes, objects, fields, and
//! values that fields must have. Must never know who asks.

use super::read::{ReadView, Scope};
use super::relations::holds;
use super::{Object, View};
use crate::model::{ClassId, MODEL};
use crate::value::{Ref, Value};
use std::sync::Arc;

/// Things that one filter may name.
pub const WANTS_MAX: usize = 1_000;
/// Fields that one predicate may name.
pub const TESTS_MAX: usize = 64;

/// See the module.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Filter {
    every: bool,
    wants: Vec<Want>,
    tests: Vec<Test>,
}

/// One line of a filter: `VM`, `VM/REF`, `VM.power_state`, `VM/REF.power_state`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Want {
    pub class: ClassId,
    pub object: Option<Ref>,
    pub field: Option<usize>,
}

/// The values that one field must have.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Test {
    /// Objects of other classes are not tested; of any class, those without the field do not pass.
    class: Option<ClassId>,
    field: String,
    values: Vec<String>,
}

/// The fields that a filter wants of one object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fields {
    All,
    These(Vec<usize>),
}

impl Fields {
    pub fn wanted(&self, field: usize) -> bool {
        match self {
            Fields::All => true,
            Fields::These(fields) => fields.contains(&field),
        }
    }
}

impl Filter {
    /// Reads a filter; in error, the text that names nothing.
    pub fn parse<'a>(
        texts: impl IntoIterator<Item = &'a str>,
        predicate: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Filter, String> {
        let mut filter = Filter::default();
        for text in texts {
            match text {
                "*" => filter.every = true,
                _ => filter.wants.push(Want::parse(text).ok_or(text)?),
            }
        }
        for (name, values) in predicate {
            filter.tests.push(Test::parse(name, values).ok_or(name)?);
        }
        if filter.wants.len() > WANTS_MAX || filter.tests.len() > TESTS_MAX {
            return Err(format!("more than {WANTS_MAX} classes or {TESTS_MAX} fields"));
        }
        Ok(filter)
    }

    /// Whether every class is wanted.
    pub fn every(&self) -> bool {
        self.every
    }

    pub fn wants(&self) -> &[Want] {
        &self.wants
    }

    /// The fields wanted of an object; `None` if it is not wanted at all.
    pub fn fields(&self, class: ClassId, reference: Ref) -> Option<Fields> {
        if class.def().flags.no_events {
            return None;
        }
        if self.every {
            return Some(Fields::All);
        }
        let mut fields = Vec::new();
        for want in &self.wants {
            if want.class == class && want.object.is_none_or(|object| object == reference) {
                match want.field {
                    None => return Some(Fields::All),
                    Some(field) => fields.push(field),
                }
            }
        }
        (!fields.is_empty()).then_some(Fields::These(fields))
    }

    /// Whether objects of the class may be wanted.
    pub fn names(&self, class: ClassId) -> bool {
        !class.def().flags.no_events && (self.every || self.wants.iter().any(|want| want.class == class))
    }

    /// Whether an object's fields have the values that they must have, as far as they may be seen. The view is asked
    /// for only by tests of references.
    pub fn passes(&self, scope: &Scope, view: &dyn Fn() -> Arc<View>, class: ClassId, object: &Object) -> bool {
        self.tests.iter().all(|test| test.passes(scope, view, class, object))
    }

    pub fn has_tests(&self) -> bool {
        !self.tests.is_empty()
    }
}

impl Want {
    fn parse(text: &str) -> Option<Want> {
        let (left, object) = match text.split_once('/') {
            None => (text, None),
            Some((class, rest)) => (class, Some(rest)),
        };
        let (class, field, object) = match object {
            None => match left.split_once('.') {
                None => (left, None, None),
                Some((class, field)) => (class, Some(field), None),
            },
            Some(rest) => match rest.split_once('.') {
                None => (left, None, Some(rest)),
                Some((object, field)) => (left, Some(field), Some(object)),
            },
        };
        let class = MODEL.class(class).filter(|class| !class.def().flags.no_events)?;
        let object = match object {
            None => None,
            Some(text) => Some(Ref::parse(text).filter(|reference| !reference.is_null())?),
        };
        let field = match field {
            None => None,
            Some(name) => Some(visible(class, name)?),
        };
        Some(Want { class, object, field })
    }
}

impl Test {
    fn parse(name: &str, values: &str) -> Option<Test> {
        let (class, field) = match name.split_once('.') {
            None => (None, name),
            Some((class, field)) => (Some(MODEL.class(class)?), field),
        };
        let known = match class {
            Some(class) => visible(class, field).is_some(),
            None => crate::model::CLASS_IDS.iter().any(|class| visible(*class, field).is_some()),
        };
        let values = values.split(',').map(|value| value.trim().to_string()).collect();
        known.then(|| Test { class, field: field.to_string(), values })
    }

    fn passes(&self, scope: &Scope, view: &dyn Fn() -> Arc<View>, class: ClassId, object: &Object) -> bool {
        if self.class.is_some_and(|only| only != class) {
            return true;
        }
        let Some(field) = visible(class, &self.field) else { return false };
        let is = |value: &Value| self.values.iter().any(|wanted| text_is(value, wanted));
        let any = |value: &Value| match value {
            Value::Set(members) => members.iter().any(is),
            value => is(value),
        };
        // A reference that may not be seen must not be found out by guessing.
        match holds(class.def().fields[field].ty) {
            Some(_) => any(&ReadView::new(&view(), scope).field(class, field, object)),
            None => any(&object.record[field]),
        }
    }
}

/// A field that is told of: neither the server's own nor a secret, and not measured.
fn visible(class: ClassId, name: &str) -> Option<usize> {
    let index = MODEL.field(class, name)?;
    let flags = &class.def().fields[index].flags;
    (!flags.internal && !flags.secret && !flags.volatile).then_some(index)
}

fn text_is(value: &Value, wanted: &str) -> bool {
    match value {
        Value::String(text) => **text == *wanted,
        Value::Enum(name) => *name == wanted,
        Value::Bool(value) => wanted == if *value { "true" } else { "false" },
        Value::Int(number) => wanted.parse() == Ok(*number),
        Value::Float(number) => wanted.parse() == Ok(*number),
        Value::Ref(reference) => Ref::parse(wanted) == Some(*reference),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::VM;

    fn parse(text: &str) -> Result<Filter, String> {
        Filter::parse([text], [])
    }

    #[test]
    fn filters_name_classes_objects_and_fields() {
        let (one, other) = (Ref([1; 16]), Ref([2; 16]));
        let state = VM::power_state.index;
        let cases = [
            ("*".to_string(), Some(Fields::All), Some(Fields::All)),
            ("vm".into(), Some(Fields::All), Some(Fields::All)),
            (format!("Vm/{one}"), Some(Fields::All), None),
            ("VM.power_state".into(), Some(Fields::These(vec![state])), Some(Fields::These(vec![state]))),
            (format!("vm/{one}.power_state"), Some(Fields::These(vec![state])), None),
            ("network".into(), None, None),
        ];
        for (text, of_one, of_other) in cases {
            let filter = parse(&text).expect(&text);
            assert_eq!(filter.fields(ClassId::VM, one), of_one, "{text}");
            assert_eq!(filter.fields(ClassId::VM, other), of_other, "{text}");
        }
        assert_eq!(parse("*").expect("everything").fields(ClassId::session, one), None, "sessions raise no events");
    }

    #[test]
    fn what_names_nothing_is_an_error_and_not_silence() {
        for text in
            ["", "VMs", "VM.power", "VM/uuid", "VM/", "session", "task.owner", "VM/OpaqueRef:NULL", "subscription"]
        {
            assert_eq!(parse(text), Err(text.to_string()));
        }
        for name in ["nonsense", "VM.nonsense", "Nope.name_label", "owner.x"] {
            assert!(Filter::parse(["VM"], [(name, "x")]).is_err(), "{name}");
        }
    }
}
