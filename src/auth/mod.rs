//! Who is calling, and may they: users and their passwords, sessions, tokens,
//! roles.
//!
//! Works before the writer: hashing a password takes long, and a refused
//! caller must not cost a decision. What it finds out goes to the writer as a
//! command, or to the caller as a [`Principal`].
//!
//! ```text
//!   name+password ─▶ hash on a blocking thread ─▶ command: session ─▶ OpaqueRef:… (kept nowhere)
//!   OpaqueRef:…   ─▶ SHA-256 ─▶ the session's key in the view ─▶ Principal (cached)
//!   Principal + message ─▶ permitted | RBAC_PERMISSION_DENIED
//! ```
//!
//! Must never know what a message does.

mod accounts;
pub mod password;
mod permit;
mod sessions;
mod signature;
#[cfg(test)]
mod tests;
pub mod token;
pub mod token_key;

pub use crate::command::Principal;
pub use accounts::{Accounts, Peer};
pub use permit::permitted;
pub use sessions::{InUse, Sessions, session_invalid, session_key, session_keys};
