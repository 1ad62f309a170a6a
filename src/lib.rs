//! xenledger: an event-sourced XenAPI server.
#![allow(dead_code)]
pub mod error;
pub mod event;
pub mod log;
pub mod model;
pub mod value;
