//! xenledger: an event-sourced XenAPI server.
#![allow(dead_code)]
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
