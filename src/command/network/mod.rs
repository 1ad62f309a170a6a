//! Networks, virtual and physical interfaces.

use super::operation::Derived;
use super::{Completion, Handler, Reader};

pub const HANDLERS: &[(&str, Handler)] = &[];
pub const READERS: &[(&str, Reader)] = &[];
pub const COMPLETIONS: &[(&str, Completion)] = &[];
pub const DERIVED: &[&Derived] = &[];
