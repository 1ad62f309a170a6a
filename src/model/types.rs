//! The types a field, a parameter or a result can have, once as Rust markers
//! (so that a table entry is checked by the compiler) and once as [`Ty`] (so
//! that it can be read while running).

use super::ClassId;
use std::marker::PhantomData;

/// A XenAPI type, as data.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ty {
    Void,
    Bool,
    Int,
    Float,
    DateTime,
    String,
    Enum(&'static EnumDef),
    Ref(ClassId),
    Set(&'static Ty),
    Map(&'static Ty, &'static Ty),
    Option(&'static Ty),
    /// The record of one class.
    Record(ClassId),
    /// `event.snapshot`: the record of whichever class the event is about.
    AnyRecord,
    /// What `event.from` answers: events, counts of valid references, a token.
    EventBatch,
}

/// An enumeration: its values are strings on the wire, spelt as here.
#[derive(PartialEq, Eq)]
pub struct EnumDef {
    pub name: &'static str,
    pub values: &'static [&'static str],
}

impl EnumDef {
    /// The one shared copy of a value's name, if it is a value of this enum.
    pub fn intern(&self, text: &str) -> std::option::Option<&'static str> {
        self.values.iter().copied().find(|value| *value == text)
    }
}

impl std::fmt::Display for Ty {
    /// The spelling of the published model: `(string -> VM ref) map`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Ty::Void => f.write_str("void"),
            Ty::Bool => f.write_str("bool"),
            Ty::Int => f.write_str("int"),
            Ty::Float => f.write_str("float"),
            Ty::DateTime => f.write_str("datetime"),
            Ty::String => f.write_str("string"),
            Ty::Enum(def) => write!(f, "enum {}", def.name),
            Ty::Ref(class) => write!(f, "{} ref", class.name()),
            Ty::Set(of) => write!(f, "{of} set"),
            Ty::Map(key, value) => write!(f, "({key} -> {value}) map"),
            Ty::Option(of) => write!(f, "{of} option"),
            Ty::Record(class) => write!(f, "{} record", class.name()),
            Ty::AnyRecord => f.write_str("<class> record"),
            Ty::EventBatch => f.write_str("an event batch"),
        }
    }
}

impl std::fmt::Debug for Ty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

/// Implemented by every marker below, by every class and by every enum.
pub trait Wire {
    const TY: Ty;
}

/// Implemented by the marker of an enum.
pub trait Enumeration {
    const DEF: &'static EnumDef;
}

impl<T: Enumeration> Wire for T {
    const TY: Ty = Ty::Enum(T::DEF);
}

/// Implemented by the marker of a class.
pub trait Declared {
    const ID: ClassId;
    const DEF: &'static super::Class;
}

macro_rules! markers {
    ($($name:ident $(<$($arg:ident: $bound:ident),+>)? = $ty:expr;)*) => {$(
        pub struct $name $(<$($arg),+>(PhantomData<($($arg,)+)>))?;
        impl $(<$($arg: $bound),+>)? Wire for $name $(<$($arg),+>)? {
            const TY: Ty = $ty;
        }
    )*};
}

markers! {
    Void = Ty::Void;
    Bool = Ty::Bool;
    Int = Ty::Int;
    Float = Ty::Float;
    DateTime = Ty::DateTime;
    String = Ty::String;
    Ref<C: Declared> = Ty::Ref(C::ID);
    Set<T: Wire> = Ty::Set(&T::TY);
    Map<K: Wire, V: Wire> = Ty::Map(&K::TY, &V::TY);
    Option<T: Wire> = Ty::Option(&T::TY);
    Record<C: Declared> = Ty::Record(C::ID);
    AnyRecord = Ty::AnyRecord;
    EventBatch = Ty::EventBatch;
}
