//! The gateway: from connections to answers. It finds the message, checks the
//! arguments, asks who calls and whether they may, and hands mutations to the
//! writer; a client that hangs up can lose its answer, never half of its
//! change: what was read in full goes on without it ([`gone`]).
//!
//! ```text
//!   listen ─▶ near ─▶ http ─▶ wire ─▶ dispatch ─┬─ a read: from one view
//!              └─ parked ◀─ event.from waits ───┼─ event.*, waiting: stream
//!                                               ├─ logins: auth
//!                                               └─ a mutation: the writer ─▶ (an operation: wait for its task)
//! ```
//!
//! Must never change a view, or know how anything is stored.

pub mod access;
mod again;
pub mod answer;
pub mod audit;
pub mod blob;
pub mod console;
pub mod databases;
pub mod dispatch;
pub mod event_from;
pub mod events;
pub mod gone;
pub mod http;
pub mod identity;
pub mod journal;
pub mod later;
pub mod listen;
pub mod local;
pub mod management;
pub mod metrics;
mod near;
pub mod open;
pub mod parked;
pub mod past;
pub mod places;
pub mod registered;
mod report;
pub mod resources;
pub mod stream;
pub mod subscriptions;
pub mod waits;

use crate::auth::Accounts;
pub use crate::auth::Peer;
use crate::auth::token_key::TokenKey;
use crate::driver::Driver;
use crate::log::signed::Signer;
use crate::log::writer::Ledger;
use crate::subscribe::Subscribers;
use crate::subscribe::feed::Feed;
use crate::subscribe::push::Push;
use crate::views::past::Past;
use std::ops::Deref;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// See the module. Each request has a clone, so a clone is one count.
#[derive(Clone)]
pub struct Gateway(Arc<Parts>);

impl Gateway {
    pub fn new(parts: Parts) -> Gateway {
        Gateway(Arc::new(parts))
    }
}

impl Deref for Gateway {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// Everything a call is served with.
#[derive(Clone)]
pub struct Parts {
    pub ledger: Ledger,
    pub subscribers: Subscribers,
    pub accounts: Arc<Accounts>,
    pub registrations: Arc<registered::Registrations>,
    /// Signs bearer tokens.
    pub token_key: Arc<TokenKey>,
    /// The log, to look back into.
    pub past: Arc<Past>,
    /// Signs the log's head.
    pub signer: Arc<Signer>,
    /// Asked for the hypervisor's own log and for consoles; what changes goes through the writer.
    pub driver: Arc<dyn Driver>,
    /// The server's own certificate.
    pub identity: Arc<identity::Identity>,
    /// What callers want of the process.
    pub wishes: local::Wishes,
    /// What comes behind a position, for whoever subscribes.
    pub feed: Feed,
    /// What is posted to destinations.
    pub push: Push,
    /// Saved databases that sessions read.
    pub databases: Arc<databases::Databases>,
    pub counts: metrics::Counts,
    /// Everything but logging in is refused that would change something.
    pub read_only: bool,
    /// Clients can come by a Unix socket, whatever becomes of the network.
    pub socket: bool,
    /// Cancelled when the server stops: whoever waits is answered.
    pub stop: CancellationToken,
}
