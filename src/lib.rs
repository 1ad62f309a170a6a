//! xenledger: an event-sourced XenAPI server. Every API mutation is one event,
//! durably appended to a log before anyone hears of it, and folded into views.
//!
//! The modules, in the order of the data's way:
//!
//! - [`wire`]: bytes to calls and answers to bytes, XML-RPC and JSON-RPC. Knows no state.
//! - [`gateway`]: listeners, limits, the way from a name to a message and its checked arguments, and the one
//!   loop of everybody who waits.
//! - [`auth`]: who is calling, and may they.
//! - [`command`]: a view and a command in, an event or a refusal out. Pure.
//! - [`log`]: the port to storage, SQLite behind it, and the one writer: decide, append, fold, publish, answer.
//! - [`views`]: the state at a position, changed by `fold` alone; its SQL tables; restart.
//! - [`subscribe`]: who waits for what, and what changed since a token.
//! - [`reconcile`]: carries pending operations out and turns what it observes into commands to the same writer.
//! - [`driver`]: the hypervisor behind a trait that fits a screen; a simulated one.
//! - [`cli`]: the command line.
//!
//! Under all of them, importing none: [`model`], the XenAPI's classes as tables; [`value`], what their types hold;
//! [`error`], all that a client sees of a failure; [`event`], the persisted form; [`world`], clock, ids and
//! randomness.

pub mod auth;
pub mod cli;
pub mod command;
pub mod driver;
pub mod error;
pub mod event;
pub mod gateway;
pub mod log;
pub mod model;
pub mod reconcile;
pub mod subscribe;
pub mod value;
pub mod views;
pub mod wire;
pub mod world;
