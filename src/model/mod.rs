//! The XenAPI data model, written once: every class with its fields, enums and
//! messages, as constant tables that the `class!` macro makes from text that
//! reads like the specification.
//!
//! Everything else reads these tables: dispatch, argument checks, roles,
//! defaults of constructors, relations, SQL views, the command line, the
//! reference. Three quarters of all messages follow from fields and classes;
//! [`implied`] derives them.
//!
//! This module must never know behaviour, state, or any other module.
//!
//! The grammar, by example:
//!
//! ```text
//! class! {
//!     /// A virtual machine.
//!     VM, by(vm_admin), create, destroy;              // who may use implied setters and constructors; which there are
//!     enums { vm_power_state: "Halted" "Paused"; }
//!     fields {
//!         /// What the machine is doing now.
//!         RO power_state: vm_power_state = Halted;    // RO computed, CO given at creation, RW
//!         RO VBDs: Set<Ref<VBD>> => VBD.VM;           // the far side of a relation: an index, never stored
//!         RW affinity: Ref<host> = null, deprecated;  // then flags
//!     }
//!     messages {
//!         /// Start the machine.
//!         fn start(self: Ref<VM>, start_paused: Bool, force: Bool = false) -> Void
//!             as vm_operator ![VM_BAD_POWER_STATE], task;         // who may; what it raises; has an Async form
//!     }
//! }
//! ```

pub mod common;
pub mod coverage;
pub mod deleting;
pub mod export;
pub mod implied;
pub mod protected;
pub mod raised;
pub mod roles;
pub mod secrets;
pub mod types;

mod classes;
pub use classes::*;
pub use implied::{Implied, MODEL, Message, Model};
pub use roles::Roles;
pub use types::{Declared, EnumDef, Enumeration, Ty, Wire};

use std::marker::PhantomData;

/// The published API version that this server speaks. No enum value newer than it is ever emitted.
pub const API_VERSION: (i64, i64) = (2, 21);
/// Dotted numbers only: clients read every part as an integer.
pub const PRODUCT_VERSION: &str = "8.3.0";

/// Who may change a field after creation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Qualifier {
    /// Computed by the server.
    RO,
    /// Given to the constructor, then fixed.
    CO,
    /// Set by clients.
    RW,
}

/// Where a class, field or message is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lifecycle {
    Published,
    Prototyped,
    Deprecated,
    Removed,
}

/// One class, as declared.
pub struct Class {
    pub id: ClassId,
    pub name: &'static str,
    pub doc: &'static [&'static str],
    pub enums: &'static [&'static EnumDef],
    pub fields: &'static [Field],
    pub messages: &'static [Declaration],
    pub flags: Flags,
}

/// One field, as declared.
pub struct Field {
    pub name: &'static str,
    pub doc: &'static [&'static str],
    pub qualifier: Qualifier,
    pub ty: Ty,
    /// The published default; where there is none, the type's zero is meant.
    pub default: Option<Default>,
    /// For the far side of a relation: class and field that hold the references.
    pub far: Option<(&'static str, &'static str)>,
    pub flags: Flags,
}

/// The text of a default; [`crate::value`] makes a value of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Default {
    /// `{}`: an empty set or map.
    Empty,
    /// The null reference.
    Null,
    /// The datetime that means "not yet".
    Epoch,
    /// A literal as written, or the name of an enum's value.
    Text(&'static str),
    /// A set of literals.
    Set(&'static [&'static str]),
    /// A map of literals.
    Map(&'static [(&'static str, &'static str)]),
}

/// One message that is not implied, as declared.
pub struct Declaration {
    pub name: &'static str,
    pub doc: &'static [&'static str],
    pub params: &'static [Param],
    pub result: Ty,
    pub errors: &'static [&'static str],
    pub flags: Flags,
}

/// A parameter; the session that comes first in most calls is not listed.
#[derive(Clone, Copy, Debug)]
pub struct Param {
    pub name: &'static str,
    pub ty: Ty,
    /// Where there is one, the parameter and all after it may be left out.
    pub default: Option<Default>,
}

/// What the words after a declaration say.
#[derive(Clone, Copy, Debug)]
pub struct Flags {
    pub lifecycle: Lifecycle,
    /// Who may: for a class, use its implied setters and constructors; for a field, its setters.
    pub by: Option<Roles>,
    /// Measured, not remembered: in no event and in no state hash.
    pub volatile: bool,
    /// Computed by one pure function after every decision that could change it.
    pub derived: bool,
    /// Kept in the vault; never shown, logged or answered.
    pub secret: bool,
    /// For the server itself; clients never see it.
    pub internal: bool,
    /// Ours, not the published model's.
    pub extension: bool,
    pub create: bool,
    pub destroy: bool,
    /// Has an `Async.` form.
    pub task: bool,
    /// Takes no session.
    pub no_session: bool,
    /// Cannot be enumerated: no implied `get_all` and `get_all_records`.
    pub no_get_all: bool,
    /// No message is implied by the class or its fields.
    pub nothing_implied: bool,
    /// Raises no events.
    pub no_events: bool,
    /// Only operators may read it.
    pub hidden: bool,
}

/// One word after a declaration; the macro turns each into a variant.
#[allow(non_camel_case_types)]
#[derive(Clone, Copy)]
pub enum Flag {
    by(Roles),
    deprecated,
    prototyped,
    removed,
    volatile,
    derived,
    secret,
    internal,
    extension,
    create,
    destroy,
    task,
    no_session,
    no_get_all,
    nothing_implied,
    no_events,
    hidden,
}

impl Flags {
    pub const fn of(words: &[Flag]) -> Flags {
        let mut flags = Flags {
            lifecycle: Lifecycle::Published,
            by: None,
            volatile: false,
            derived: false,
            secret: false,
            internal: false,
            extension: false,
            create: false,
            destroy: false,
            task: false,
            no_session: false,
            no_get_all: false,
            nothing_implied: false,
            no_events: false,
            hidden: false,
        };
        let mut at = 0;
        while at < words.len() {
            match words[at] {
                Flag::by(roles) => flags.by = Some(roles),
                Flag::deprecated => flags.lifecycle = Lifecycle::Deprecated,
                Flag::prototyped => flags.lifecycle = Lifecycle::Prototyped,
                Flag::removed => flags.lifecycle = Lifecycle::Removed,
                Flag::volatile => flags.volatile = true,
                Flag::derived => flags.derived = true,
                Flag::secret => flags.secret = true,
                Flag::internal => flags.internal = true,
                Flag::extension => flags.extension = true,
                Flag::create => flags.create = true,
                Flag::destroy => flags.destroy = true,
                Flag::task => flags.task = true,
                Flag::no_session => flags.no_session = true,
                Flag::no_get_all => flags.no_get_all = true,
                Flag::nothing_implied => flags.nothing_implied = true,
                Flag::no_events => flags.no_events = true,
                Flag::hidden => flags.hidden = true,
            }
            at += 1;
        }
        flags
    }
}

/// A field of a class, typed: `VM::power_state`. Made by `class!`, so it cannot name a field that is not there.
pub struct Key<C, T> {
    /// Where the field stands in its class and in every record of it.
    pub index: usize,
    marker: PhantomData<fn() -> (C, T)>,
}

impl<C, T> Clone for Key<C, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C, T> Copy for Key<C, T> {}

impl<C: Declared, T> Key<C, T> {
    /// Finds the field while compiling.
    pub const fn find(name: &str) -> Self {
        let fields = C::DEF.fields;
        let mut at = 0;
        while at < fields.len() {
            if same(fields[at].name.as_bytes(), name.as_bytes()) {
                return Key { index: at, marker: PhantomData };
            }
            at += 1;
        }
        panic!("BUG: no such field")
    }

    pub fn name(self) -> &'static str {
        C::DEF.fields[self.index].name
    }
}

/// The name without the `r#` that a Rust keyword needs.
pub const fn bare(name: &'static str) -> &'static str {
    let bytes = name.as_bytes();
    if bytes.len() > 2 && bytes[0] == b'r' && bytes[1] == b'#' { name.split_at(2).1 } else { name }
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}

impl ClassId {
    pub fn def(self) -> &'static Class {
        CLASSES[self as usize]
    }

    /// The class's name as clients spell it: `VM_metrics`.
    pub fn name(self) -> &'static str {
        self.def().name
    }
}

impl std::fmt::Debug for ClassId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

macro_rules! default {
    ({}) => { $crate::model::Default::Empty };
    ({ $($key:literal : $value:literal),+ }) => { $crate::model::Default::Map(&[$(($key, $value)),+]) };
    ({ $($value:literal),+ }) => { $crate::model::Default::Set(&[$(stringify!($value)),+]) };
    (null) => { $crate::model::Default::Null };
    (epoch) => { $crate::model::Default::Epoch };
    (($($text:tt)+)) => { $crate::model::Default::Text(concat!($(stringify!($text)),+)) };
    ($text:tt) => { $crate::model::Default::Text(stringify!($text)) };
}

macro_rules! class {
    (
        $(#[doc = $class_doc:literal])*
        $class:ident $(, $class_flag:ident $(($class_arg:ident))?)*;
        $(enums { $($enum:ident: $($value:literal)+;)* })?
        fields {
            $(
                $(#[doc = $field_doc:literal])*
                $qualifier:ident $field:ident: $ty:ty $(= $default:tt)? $(=> $far_class:ident . $far_field:ident)?
                    $(, $flag:ident $(($arg:ident))?)*;
            )*
        }
        $(messages {
            $(
                $(#[doc = $message_doc:literal])*
                fn $message:ident($($param:ident: $param_ty:ty $(= $param_default:tt)?),*) -> $result:ty
                    as $role:ident $(![$($error:ident),*])? $(, $message_flag:ident)*;
            )*
        })?
    ) => {
        #[allow(non_camel_case_types)]
        pub enum $class {}
        $($(
            #[allow(non_camel_case_types)]
            pub enum $enum {}
            impl $crate::model::Enumeration for $enum {
                const DEF: &'static $crate::model::EnumDef =
                    &$crate::model::EnumDef { name: stringify!($enum), values: &[$($value),+] };
            }
        )*)?
        impl $crate::model::Declared for $class {
            const ID: $crate::model::ClassId = $crate::model::ClassId::$class;
            const DEF: &'static $crate::model::Class = {
                #[allow(unused_imports)] // a class may have no messages, or no enums
                use $crate::model::{Class, Declaration, Enumeration, Field, Flag, Flags, Param, Qualifier, Roles, Wire};
                &Class {
                    id: $crate::model::ClassId::$class,
                    name: stringify!($class),
                    doc: &[$($class_doc),*],
                    enums: &[$($(<$enum as Enumeration>::DEF),*)?],
                    fields: &[$(Field {
                        name: $crate::model::bare(stringify!($field)),
                        doc: &[$($field_doc),*],
                        qualifier: Qualifier::$qualifier,
                        ty: <$ty as Wire>::TY,
                        default: class!(@option $(default!($default))?),
                        far: class!(@option $((stringify!($far_class), stringify!($far_field)))?),
                        flags: Flags::of(&[$(Flag::$flag $((Roles::$arg))?),*]),
                    }),*],
                    messages: &[$($(Declaration {
                        name: stringify!($message),
                        doc: &[$($message_doc),*],
                        params: &[$(Param {
                            name: stringify!($param),
                            ty: <$param_ty as Wire>::TY,
                            default: class!(@option $(default!($param_default))?),
                        }),*],
                        result: <$result as Wire>::TY,
                        errors: &[$($(stringify!($error)),*)?],
                        flags: Flags::of(&[Flag::by(Roles::$role) $(, Flag::$message_flag)*]),
                    }),*)?],
                    flags: Flags::of(&[$(Flag::$class_flag $((Roles::$class_arg))?),*]),
                }
            };
        }
        #[allow(non_upper_case_globals, dead_code)]
        impl $class {
            $(pub const $field: $crate::model::Key<$class, $ty> = $crate::model::Key::find($crate::model::bare(stringify!($field)));)*
        }
    };
    (@option) => { None };
    (@option $value:expr) => { Some($value) };
}
pub(crate) use {class, default};
