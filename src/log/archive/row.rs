//! A row as bytes: its columns as they are hashed, each behind its length, then
//! the first bytes of its hash. The rest of the hash is computed again when the
//! row is read; the few that are kept tell which row was changed.

use super::super::{Hash, Row, hash};
use crate::event::Kind;
use std::sync::Arc;

/// Bytes of the hash that are kept.
const CHECK: usize = 4;

/// Texts of the row before, shared when they repeat.
#[derive(Default)]
pub struct Names([Arc<str>; 3]);

pub fn encode(row: &Row, out: &mut Vec<u8>) {
    hash::each_column(row, |bytes| {
        out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
        out.extend_from_slice(bytes);
    });
    out.extend_from_slice(&row.hash[..CHECK]);
}

/// Takes a row off the front of `bytes`; what is wrong with it otherwise.
pub fn decode(bytes: &mut &[u8], previous: &Hash, names: &mut Names) -> Result<Row, &'static str> {
    let begun = *bytes;
    let row = columns(bytes, names).ok_or("it has not the form of a row")?;
    let hash = hash::of_columns(previous, &begun[..begun.len() - bytes.len()]);
    let check = bytes.split_off(..CHECK).ok_or("its end is missing")?;
    if *check != hash[..CHECK] {
        return Err("its hash does not fit: it was changed, or the row before it");
    }
    Ok(Row { hash, ..row })
}

fn columns(bytes: &mut &[u8], names: &mut Names) -> Option<Row> {
    let kind = Kind::parse(text(bytes)?)?;
    let [lineage, term, position, time, schema] =
        [number(bytes)?, number(bytes)?, number(bytes)?, number(bytes)?, number(bytes)?];
    let Names([principal, message, request]) = names;
    Some(Row {
        kind,
        lineage,
        term,
        position,
        time: time as i64,
        schema: u32::try_from(schema).ok()?,
        principal: shared(principal, text(bytes)?),
        message: shared(message, text(bytes)?),
        request: shared(request, text(bytes)?),
        cause: number(bytes)?,
        payload: text(bytes)?.to_string(),
        hash: hash::GENESIS,
    })
}

fn column<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = u32::from_be_bytes(*bytes.split_off(..4)?.first_chunk()?);
    bytes.split_off(..length as usize)
}

fn text<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    std::str::from_utf8(column(bytes)?).ok()
}

fn number(bytes: &mut &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(column(bytes)?.try_into().ok()?))
}

fn shared(last: &mut Arc<str>, text: &str) -> Arc<str> {
    if **last != *text {
        *last = Arc::from(text);
    }
    last.clone()
}
