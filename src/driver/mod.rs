//! The hypervisor, as the reconciler sees it: a trait that fits a screen, and
//! its implementations. [`sim`] is a hypervisor of its own, without hardware;
//! [`xen`] is the one of this host.
//!
//! A driver knows machines and disks by their uuids and nothing of the log, the
//! view, sessions or tasks beyond the mark. Everything that an action needs is
//! in the [`Action`]; what it did is in the [`Facts`].
//!
//! The mark is the uuid of the task for which an action is done. A driver writes
//! it to the thing it works on, in the hypervisor itself, before it touches
//! anything else, so that whoever comes after a crash can ask how far it came:
//!
//! ```text
//!   act ── mark written ── working ───────── reached
//!     Trace::Nothing  │  Trace::Unfinished │  Trace::Done(facts)
//!                     │  Trace::UnderWay   │
//! ```

pub mod absent;
pub mod action;
pub mod facts;
pub mod observation;
pub mod sim;
pub mod xen;

pub use crate::command::operation::Facts;
pub use action::{Action, Config, Device, Disk, DiskWork, HostWork, Image, Interface, Manner, Nic, Repository};
pub use observation::{Ended, Guest, Machine, Observation, Power};

use crate::error::{ApiError, codes};
use crate::value::Ref;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

/// What a driver does; dropping it stops the work where it is, which leaves it [`Trace::Unfinished`].
pub type Work<'a, T> = Pin<Box<dyn Future<Output = Result<T, ApiError>> + Send + 'a>>;

/// Both directions of a machine's console.
pub type Terminal = Box<dyn Duplex>;

/// What is read and written.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// How far an action has come, from 0 to 1.
pub type Progress = watch::Sender<f64>;

/// How far the action with a mark came, as the hypervisor itself remembers it.
#[derive(Clone, Debug, PartialEq)]
pub enum Trace {
    /// Not begun, or what it worked on is gone.
    Nothing,
    /// Begun, and nobody works on it any more.
    Unfinished,
    /// Begun, and it goes on without whoever began it: asked for again, it goes on from where it is.
    UnderWay,
    /// The state it was to reach is reached.
    Done(Facts),
}

/// A hypervisor.
pub trait Driver: Send + Sync + 'static {
    /// Every machine there is, and what it does now.
    fn observe(&self) -> Work<'_, Observation>;

    /// Carries out one action under a mark; a null mark leaves none. An action whose end is reached already is done
    /// at once: after a crash it may be asked for again.
    fn act<'a>(&'a self, mark: Ref, action: &'a Action, progress: &'a Progress) -> Work<'a, Facts>;

    /// How far the action with that mark came. Never asked while it is being carried out.
    fn trace(&self, mark: Ref) -> Work<'_, Trace>;

    /// Takes away what an unfinished action built, and lets what it changed be as before, where that is possible.
    fn discard(&self, mark: Ref) -> Work<'_, ()>;

    /// Puts a file in the place of a disk's contents, whole or not at all; the disk keeps its size.
    fn fill<'a>(&'a self, disk: &'a Image, from: &'a Path) -> Work<'a, ()>;

    /// The file that has a disk's contents.
    fn contents<'a>(&'a self, disk: &'a Image) -> Work<'a, PathBuf>;

    /// The hypervisor's own log, newest last; `clear` takes away what it gives.
    fn console(&self, clear: bool) -> Work<'_, String>;

    /// A running machine's own console: what it shows, and what is typed on it, as its protocol has them.
    fn terminal(&self, machine: Ref) -> Work<'_, Terminal>;

    /// Returns when something changed since the last call returned, whoever did it.
    fn changes(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;

    /// Sends a running machine to another host. It goes on here until the far side has taken it, which is an event.
    fn send<'a>(&'a self, _machine: Ref, _to: &'a mut (dyn AsyncWrite + Send + Unpin)) -> Work<'a, ()> {
        Box::pin(async { Err(codes::NOT_IMPLEMENTED("sending a machine")) })
    }

    /// Receives a machine that another host sends, and leaves it paused until it may run here.
    fn receive<'a>(
        &'a self,
        _mark: Ref,
        _config: &'a Config,
        _from: &'a mut (dyn AsyncRead + Send + Unpin),
    ) -> Work<'a, Facts> {
        Box::pin(async { Err(codes::NOT_IMPLEMENTED("receiving a machine")) })
    }
}
