//! Messages (alerts), blobs and secrets.

use super::operation::Derived;
use super::{Completion, Handler, Reader, secret};

pub const HANDLERS: &[(&str, Handler)] =
    &[("secret.create", secret::create), ("secret.destroy", secret::destroy), ("secret.set_value", secret::set_value)];
pub const READERS: &[(&str, Reader)] = &[];
pub const COMPLETIONS: &[(&str, Completion)] = &[];
pub const DERIVED: &[&Derived] = &[];
