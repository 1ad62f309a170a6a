//! The expression language of `get_all_records_where`: which objects of a
//! class a client wants to see.
//!
//! ```text
//!   expression = term { ("and" | "or") term }       both bind alike, from left to right
//!   term       = "not" expression                   reaches to the end or to the next ")"
//!              | "(" expression ")" | "true" | "false"
//!              | value "=" value                    the same text
//!              | value "contains" value             a member, a key, or a part of the text
//!   value      = "field" text | text                text is in "" or '', without escapes
//! ```
//!
//! That `not` binds least and that `and` binds no closer than `or` is how
//! other servers read it, so it stays. `contains` is ours. Fields are named as
//! in the reference (`name_label`) or as in other servers' databases
//! (`name__label`, `name.label`, `name/label`); `_ref` is the reference.
//!
//! Values compare as text: `true`, `12`, `OpaqueRef:…`, `20061115T08:00:00Z`;
//! sets as `('a' 'b')`, maps as `(('key' 'value'))`.
//!
//! Must never know who asks beyond what its [`ReadView`] lets see.

mod parse;
#[cfg(test)]
mod tests;

use super::read::ReadView;
use super::relations::{FieldId, HOLDING, holds};
use super::{Object, names};
use crate::model::{ClassId, MODEL, Ty};
use crate::value::{Ref, Value, format_time};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Bytes of an expression.
pub const LENGTH_MAX: usize = 64 * 1024;
/// How deep parentheses and `not` may stand in each other.
pub const DEPTH_MAX: usize = 100;

/// An expression about the objects of one class.
#[derive(Debug, PartialEq)]
pub struct Expression {
    class: ClassId,
    root: Node,
}

#[derive(Debug, PartialEq)]
enum Node {
    Constant(bool),
    Not(Box<Node>),
    Equal(Term, Term),
    Contains(Term, Term),
    /// A term and what follows it: flat, since a client may write thousands.
    Chain(Box<Node>, Vec<(Link, Node)>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Link {
    And,
    Or,
}

#[derive(Debug, PartialEq)]
enum Term {
    Text(Box<str>),
    Field(usize),
    Reference,
}

/// Why a text is no expression.
#[derive(Debug, PartialEq)]
pub struct Malformed(pub String);

impl Expression {
    /// Reads an expression about objects of the class.
    pub fn parse(class: ClassId, text: &str) -> Result<Expression, Malformed> {
        Ok(Expression { class, root: parse::parse(class, text)? })
    }

    /// The objects for which it is true, in the order of their references.
    pub fn select<'a>(&self, read: &ReadView<'a>) -> Vec<&'a Arc<Object>> {
        let holds = |object: &&Arc<Object>| self.holds(read, object);
        match self.candidates(read, &self.root) {
            Some(few) => few.into_iter().filter_map(|one| read.object(self.class, one)).filter(holds).collect(),
            None => read.objects(self.class).filter(holds).collect(),
        }
    }

    /// Whether it is true of an object.
    pub fn holds(&self, read: &ReadView<'_>, object: &Object) -> bool {
        self.truth(read, object, &self.root)
    }

    fn truth(&self, read: &ReadView<'_>, object: &Object, node: &Node) -> bool {
        match node {
            Node::Constant(truth) => *truth,
            Node::Not(inner) => !self.truth(read, object, inner),
            Node::Equal(a, b) => self.text(read, object, a) == self.text(read, object, b),
            Node::Contains(whole, part) => {
                let part = self.text(read, object, part);
                match whole {
                    Term::Field(field) => contains(&read.field(self.class, *field, object), &part),
                    other => self.text(read, object, other).contains(&*part),
                }
            }
            Node::Chain(first, rest) => {
                let first = self.truth(read, object, first);
                rest.iter().fold(first, |truth, (link, node)| match link {
                    Link::And => truth && self.truth(read, object, node),
                    Link::Or => truth || self.truth(read, object, node),
                })
            }
        }
    }

    fn text<'t>(&self, read: &ReadView<'_>, object: &'t Object, term: &'t Term) -> Cow<'t, str> {
        match term {
            Term::Text(text) => Cow::Borrowed(text),
            Term::Reference => Cow::Owned(object.reference.to_string()),
            Term::Field(field) => match &object.record[*field] {
                Value::String(text) => Cow::Borrowed(text),
                Value::Enum(name) => Cow::Borrowed(name),
                _ => Cow::Owned(text_of(&read.field(self.class, *field, object))),
            },
        }
    }

    /// Where an index knows it: all objects for which the node can be true, and maybe more. `None` for all of them.
    fn candidates(&self, read: &ReadView<'_>, node: &Node) -> Option<BTreeSet<Ref>> {
        match node {
            Node::Constant(false) => Some(BTreeSet::new()),
            Node::Constant(true) | Node::Not(_) => None,
            Node::Equal(Term::Text(text), other) | Node::Equal(other, Term::Text(text)) => {
                self.equal_to(read, other, text)
            }
            Node::Contains(Term::Field(field), Term::Text(text)) => self.referring(read, *field, text),
            Node::Equal(..) | Node::Contains(..) => None,
            Node::Chain(first, rest) => {
                let first = self.candidates(read, first);
                rest.iter().fold(first, |before, (link, node)| {
                    let next = self.candidates(read, node);
                    match link {
                        // Either side alone bounds them; the smaller does it better.
                        Link::And if before.is_some() && next.is_some() => before.min_by_len(next),
                        Link::And => before.or(next),
                        Link::Or => before.zip(next).map(|(a, b)| a.union(&b).copied().collect()),
                    }
                })
            }
        }
    }

    fn equal_to(&self, read: &ReadView<'_>, term: &Term, text: &str) -> Option<BTreeSet<Ref>> {
        match term {
            Term::Text(_) => None,
            Term::Reference => Some(Ref::parse(text).into_iter().collect()),
            Term::Field(field) if Some(*field) == MODEL.field(self.class, "uuid") => {
                // Uuids of objects are in the index; what is no uuid may still be an object's text.
                Ref::parse_uuid(text)?;
                Some(read.view.by_uuid(self.class, text).into_iter().collect())
            }
            Term::Field(field) if Some(*field) == names::field(self.class) => {
                let named = read.view.class(self.class).named(self.class, text);
                Some(named.map(|object| object.reference).collect())
            }
            Term::Field(field) if matches!(self.class.def().fields[*field].ty, Ty::Ref(_)) => {
                self.referring(read, *field, text)
            }
            Term::Field(_) => None,
        }
    }

    /// The objects whose field refers to what the text names. Null references are in no index.
    fn referring(&self, read: &ReadView<'_>, field: usize, text: &str) -> Option<BTreeSet<Ref>> {
        let ty = self.class.def().fields[field].ty;
        let indexed = HOLDING[self.class as usize].contains(&field) && holds(ty).is_some();
        let target = Ref::parse(text).filter(|target| indexed && !target.is_null() && !matches!(ty, Ty::Map(..)))?;
        Some(read.view.referrers(FieldId(self.class, field as u16), target).into_iter().collect())
    }
}

/// The smaller of two sets that are there.
trait MinByLen {
    fn min_by_len(self, other: Self) -> Self;
}

impl MinByLen for Option<BTreeSet<Ref>> {
    fn min_by_len(self, other: Self) -> Self {
        let size = |set: &Option<BTreeSet<Ref>>| set.as_ref().map_or(usize::MAX, BTreeSet::len);
        if size(&self) <= size(&other) { self } else { other }
    }
}

/// A set has it as a member, a map as a key, anything else as a part of its text.
fn contains(value: &Value, part: &str) -> bool {
    match value {
        Value::Set(members) => members.iter().any(|member| text_of(member) == part),
        Value::Map(map) => map.contains_key(part),
        other => text_of(other).contains(part),
    }
}

/// A value as it compares.
pub fn text_of(value: &Value) -> String {
    match value {
        Value::Void | Value::Absent => String::new(),
        Value::Bool(truth) => truth.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Time(micros) => format_time(*micros),
        Value::String(text) => text.to_string(),
        Value::Enum(name) => name.to_string(),
        Value::Ref(reference) => reference.to_string(),
        Value::Set(members) => list(members.iter().map(|member| quote(&text_of(member)))),
        Value::Map(map) => list(map.iter().map(|(key, value)| list([quote(key), quote(&text_of(value))].into_iter()))),
    }
}

fn list(members: impl Iterator<Item = String>) -> String {
    format!("({})", members.collect::<Vec<_>>().join(" "))
}

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
