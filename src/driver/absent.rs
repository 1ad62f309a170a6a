//! No hypervisor: for a server that shows the past and carries nothing out.

use super::{Action, Driver, Facts, Image, Observation, Progress, Terminal, Trace, Work};
use crate::error::{ApiError, codes};
use crate::value::Ref;
use std::path::{Path, PathBuf};
use std::pin::Pin;

/// See the module.
#[derive(Debug)]
pub struct Absent;

fn refused<'a, T: 'a>() -> Work<'a, T> {
    Box::pin(async { Err::<T, ApiError>(codes::OPERATION_NOT_ALLOWED("there is no hypervisor behind this server")) })
}

impl Driver for Absent {
    fn observe(&self) -> Work<'_, Observation> {
        refused()
    }

    fn act<'a>(&'a self, _mark: Ref, _action: &'a Action, _progress: &'a Progress) -> Work<'a, Facts> {
        refused()
    }

    fn trace(&self, _mark: Ref) -> Work<'_, Trace> {
        refused()
    }

    fn discard(&self, _mark: Ref) -> Work<'_, ()> {
        refused()
    }

    fn fill<'a>(&'a self, _disk: &'a Image, _from: &'a Path) -> Work<'a, ()> {
        refused()
    }

    fn contents<'a>(&'a self, _disk: &'a Image) -> Work<'a, PathBuf> {
        refused()
    }

    fn console(&self, _clear: bool) -> Work<'_, String> {
        Box::pin(async { Ok(String::new()) })
    }

    fn terminal(&self, _machine: Ref) -> Work<'_, Terminal> {
        refused()
    }

    fn changes(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::pending())
    }
}
