//! Machines: their life cycle, their memory and processors, snapshots and clones.

mod boot;
pub mod observed;
pub mod state;

use super::operation::Derived;
use super::{Completion, Handler, Reader};

pub const HANDLERS: &[(&str, Handler)] = &[];
pub const READERS: &[(&str, Reader)] = &[];
pub const COMPLETIONS: &[(&str, Completion)] = &[];
pub const DERIVED: &[&Derived] = &[];
