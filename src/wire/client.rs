//! The other side of the wire, for our own command line: JSON-RPC 2.0 calls
//! out, answers in. Knows no message and no transport.

use super::jsonrpc::{self, JsonWriter};
use super::{Fault, Malformed, Protocol, Reply};
use crate::value::{Encode, Value};
use serde::Deserialize;
use serde_json::value::RawValue;

/// An error as a server sent it: its code may be one that we do not know.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{code}({})", params.join(", "))]
pub struct Refusal {
    pub code: String,
    pub params: Vec<String>,
}

/// Appends one call.
pub fn call(out: &mut Vec<u8>, method: &str, params: &[Value], id: i64) {
    let mut writer = JsonWriter::new(out);
    writer.begin_struct();
    writer.name("jsonrpc");
    writer.text("2.0");
    writer.name("method");
    writer.text(method);
    writer.name("params");
    writer.begin_array();
    for param in params {
        writer.value(param);
    }
    writer.end_array();
    writer.name("id");
    writer.int(id);
    writer.end_struct();
}

/// Reads one answer: the result, or why there is none.
pub fn answer(bytes: &[u8]) -> Result<Result<Value, Refusal>, Malformed> {
    #[derive(Deserialize)]
    struct Answer<'a> {
        #[serde(borrow)]
        result: Option<&'a RawValue>,
        #[serde(borrow)]
        error: Option<&'a RawValue>,
    }

    let answer: Answer = serde_json::from_slice(bytes).map_err(|error| malformed(Fault::Syntax, error.to_string()))?;
    if let Some(error) = answer.error {
        return refusal(error.get()).map(Err);
    }
    let result = answer.result.ok_or_else(|| malformed(Fault::Request, "neither a result nor an error".into()))?;
    jsonrpc::value(result.get()).map(Ok).map_err(|detail| malformed(Fault::Params, detail))
}

fn malformed(fault: Fault, detail: String) -> Malformed {
    Malformed { fault, detail, reply: Reply { protocol: Protocol::JsonRpc2, id: Box::from("null") } }
}

fn refusal(text: &str) -> Result<Refusal, Malformed> {
    #[derive(Deserialize)]
    struct Error {
        message: String,
        #[serde(default)]
        data: Data,
    }

    /// XenAPI's parameters; or, of a call that could not be read, one text.
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Data {
        Params(Vec<String>),
        Detail(String),
    }

    impl Default for Data {
        fn default() -> Data {
            Data::Params(Vec::new())
        }
    }

    let error: Error = serde_json::from_str(text).map_err(|error| malformed(Fault::Request, error.to_string()))?;
    let params = match error.data {
        Data::Params(params) => params,
        Data::Detail(detail) => vec![detail],
    };
    Ok(Refusal { code: error.message, params })
}
