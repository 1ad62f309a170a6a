//! Data sources as every class answers them: what one says of itself, and how
//! it is found by its name. What is measured, and where it is read, is for the
//! class to know.

use crate::error::{ApiError, codes};
use crate::value::Value;

/// What a data source says of itself.
pub struct Source {
    pub name: &'static str,
    pub about: &'static str,
    pub units: &'static str,
    /// Always on, whether or not somebody asked for it.
    pub standard: bool,
}

impl Source {
    /// Whether it is on, given the names of those that somebody asked for.
    pub fn is_on(&self, asked: &[Value]) -> bool {
        self.standard || asked.iter().any(|name| name.as_str() == self.name)
    }

    /// The record that `get_data_sources` answers of it.
    pub fn described(&self, on: bool, value: f64, max: f64) -> Value {
        Value::map([
            ("name_label", Value::from(self.name)),
            ("name_description", Value::from(self.about)),
            ("enabled", Value::Bool(on)),
            ("standard", Value::Bool(self.standard)),
            ("units", Value::from(self.units)),
            ("min", Value::Float(0.0)),
            ("max", Value::Float(max)),
            ("value", Value::Float(value)),
        ])
    }
}

/// The one of that name; `INVALID_VALUE` where there is none.
pub fn named<'a, T>(all: &'a [T], name: &str, of: impl Fn(&T) -> &Source) -> Result<&'a T, ApiError> {
    all.iter().find(|one| of(one).name == name).ok_or_else(|| codes::INVALID_VALUE("data_source", name))
}
