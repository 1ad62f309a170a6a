//! All that a client ever sees of a failure: a published code and its
//! parameters. Where it came from goes to tracing, never to the client.

pub mod codes;

use std::sync::Arc;

/// A XenAPI error.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiError {
    pub code: &'static str,
    pub params: Arc<[String]>,
}

impl ApiError {
    pub fn new(code: &'static str, params: Vec<String>) -> ApiError {
        ApiError { code, params: params.into() }
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}({})", self.code, self.params.join(", "))
    }
}

impl std::error::Error for ApiError {}

/// A code as published, with the names of its parameters.
pub struct Code {
    pub name: &'static str,
    pub params: &'static [&'static str],
}
