//! The hash of a row: `SHA-256("xenledger/1\0" ‖ previous ‖ each column as
//! u32 big-endian length ‖ bytes)`, integers as 8 bytes big-endian.

use super::{Hash, Row};
use sha2::{Digest, Sha256};

const DOMAIN: &[u8] = b"xenledger/1\0";

/// What the first row of all is chained to.
pub const GENESIS: Hash = [0; 32];

/// The hash that a row must have behind `previous`.
pub fn of_row(previous: &Hash, row: &Row) -> Hash {
    let mut sha = Sha256::new();
    sha.update(DOMAIN);
    sha.update(previous);
    each_column(row, |bytes| {
        sha.update((bytes.len() as u32).to_be_bytes());
        sha.update(bytes);
    });
    sha.finalize().into()
}

/// The hash of a row whose columns are there as they are hashed, each with its length.
pub(super) fn of_columns(previous: &Hash, columns: &[u8]) -> Hash {
    Sha256::new().chain_update(DOMAIN).chain_update(previous).chain_update(columns).finalize().into()
}

/// Every column before the hash, in the order in which they are hashed.
pub(super) fn each_column(row: &Row, mut column: impl FnMut(&[u8])) {
    column(row.kind.name().as_bytes());
    column(&row.lineage.to_be_bytes());
    column(&row.term.to_be_bytes());
    column(&row.position.to_be_bytes());
    column(&row.time.to_be_bytes());
    column(&u64::from(row.schema).to_be_bytes());
    column(row.principal.as_bytes());
    column(row.message.as_bytes());
    column(row.request.as_bytes());
    column(&row.cause.to_be_bytes());
    column(row.payload.as_bytes());
}
