//! Sessions on saved databases: what such a session reads is the pool as a
//! backup, or a copy on a disk, has it. Each is served by a gateway of its own
//! that changes nothing, as `serve --read-only` is; who calls, whether they may,
//! and when the session ends is the live gateway's to say.
//!
//! ```text
//!   create_from_db_file ─▶ found and folded ─▶ session begins ─▶ open ──session ends, or the server──▶ closed
//! ```
//!
//! Must never know what a saved database is stored in.

use super::Gateway;
use super::answer::Answer;
use super::dispatch::{Caller, Noted};
use crate::auth::{session_invalid, session_key};
use crate::command::storage::replication;
use crate::command::vm::recovery::Saved;
use crate::command::{self, Call};
use crate::error::{ApiError, codes};
use crate::model::{ClassId, MODEL, Message, session};
use crate::subscribe::Key;
use crate::value::{Ref, Value};
use crate::views::read::Scope;
use crate::views::{Object, View};
use std::any::Any;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Saved databases that are open at the same time, in all sessions: each may take as much memory as the live one.
pub const OPEN_MAX: usize = 4;

/// The messages that are about the session itself, wherever it reads.
const OWN: [&str; 3] = ["session.logout", "session.local_logout", "session.touch"];

/// The messages that look from a saved database at the live pool.
const RECOVERING: [&str; 4] =
    ["VM.recover", "VM.assert_can_be_recovered", "VM_appliance.recover", "VM_appliance.assert_can_be_recovered"];

/// A saved database on its way.
pub type Finding<'a> = Pin<Box<dyn Future<Output = Result<Found, ApiError>> + Send + 'a>>;

/// Where saved databases are found.
pub trait Source: Send + Sync {
    /// The backup of that name.
    fn file<'a>(&'a self, name: &'a str) -> Finding<'a>;

    /// The copy that a disk holds.
    fn disk<'a>(&'a self, view: &'a View, vdi: Ref) -> Finding<'a>;
}

/// For a server that has none: one that shows a saved database itself.
pub struct Nowhere;

/// A saved database that was read: begins to serve it to the session whose object it is given.
pub type Found = Box<dyn FnOnce(&Object) -> (Gateway, Held) + Send>;
/// What is given back when nobody reads a saved database any more.
pub type Held = Box<dyn Any + Send + Sync>;

/// The saved databases that are open, by their sessions' keys.
pub struct Databases {
    source: Box<dyn Source>,
    places: Arc<Semaphore>,
    open: Mutex<HashMap<Ref, Open>>,
}

struct Open {
    gateway: Gateway,
    _held: Held,
    _place: OwnedSemaphorePermit,
}

impl Drop for Open {
    /// Whoever waits in it is answered.
    fn drop(&mut self) {
        self.gateway.stop.cancel();
        self.gateway.ledger.close();
    }
}

impl Databases {
    pub fn of(source: impl Source + 'static) -> Arc<Databases> {
        let places = Arc::new(Semaphore::new(OPEN_MAX));
        Arc::new(Databases { source: Box::new(source), places, open: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Ref, Open>> {
        self.open.lock().expect("BUG: nobody panics while holding this lock")
    }
}

impl Source for Nowhere {
    fn file<'a>(&'a self, _name: &'a str) -> Finding<'a> {
        Box::pin(async { Err(codes::COULD_NOT_IMPORT_DATABASE("this server opens no saved databases")) })
    }

    fn disk<'a>(&'a self, _view: &'a View, _vdi: Ref) -> Finding<'a> {
        self.file("")
    }
}

impl Gateway {
    /// `session.create_from_db_file`.
    pub(super) async fn open_file(&self, call: &Call, caller: &Caller) -> Result<Answer, ApiError> {
        let name = call.text(0);
        self.open_database(name.to_string(), self.databases.source.file(name), call.message, caller).await
    }

    /// `VDI.open_database`.
    pub(super) async fn open_disk(&self, call: &Call, caller: &Caller) -> Result<Answer, ApiError> {
        if call.background {
            return Err(codes::OPERATION_NOT_ALLOWED(
                "the result is a way in, which no task keeps: call it without Async",
            ));
        }
        let (view, disk) = (self.ledger.view(), call.reference(0));
        replication::assert_opens(&view, disk)?;
        let finding = self.databases.source.disk(&view, disk);
        self.open_database(disk.to_string(), finding, call.message, caller).await
    }

    /// Reads a saved database, begins a session on it, and closes it when that session ends.
    async fn open_database(
        &self,
        name: String,
        finding: Finding<'_>,
        message: &'static Message,
        caller: &Caller,
    ) -> Result<Answer, ApiError> {
        self.assert_reads_everything(caller)?;
        let full = || codes::COULD_NOT_IMPORT_DATABASE(format!("{OPEN_MAX} saved databases are open: end a session"));
        let place = self.databases.places.clone().try_acquire_owned().map_err(|_| full())?;
        let serve = finding.await?;
        let begun = self.accounts.begin_elsewhere(&caller.principal, name, message.full_name, &caller.peer).await?;
        let key = begun.with_text(session_key);
        let own = self.ledger.view().find::<session>(key).cloned();
        let (gateway, held) = serve(&*own.ok_or_else(|| session_invalid(caller.session.as_str()))?);
        self.databases.lock().insert(key, Open { gateway, _held: held, _place: place });
        tokio::spawn(self.clone().close_after(key));
        Ok(Answer::Value(Value::Ref(begun)))
    }

    /// Saved databases are not kept apart by who may read what.
    fn assert_reads_everything(&self, caller: &Caller) -> Result<(), ApiError> {
        match Scope::of(&self.ledger.view(), caller.principal.user) {
            Scope::All => Ok(()),
            Scope::Only(_) => Err(codes::OPERATION_NOT_ALLOWED("only who may read everything reads saved databases")),
        }
    }

    /// Closes a session's database once the session has ended.
    async fn close_after(self, key: Ref) {
        let waiter = self.subscribers.register(vec![Key::Object(ClassId::session, key)]);
        while self.ledger.view().find::<session>(key).is_some() && !self.stop.is_cancelled() {
            tokio::select! {
                () = waiter.woken() => {}
                () = self.stop.cancelled() => {}
            }
        }
        let closed = self.databases.lock().remove(&key);
        drop(closed);
    }

    /// Brings machines from a saved database into the live pool, or says whether that can be done.
    async fn recover(&self, saved: Arc<View>, call: Call, caller: &Caller) -> Result<Answer, ApiError> {
        let (here, to) = (self.ledger.view(), call.reference(1));
        let own = |held: &&Arc<Object>| {
            held.get(session::database).is_empty() && held.get(session::this_user) == caller.principal.user
        };
        here.find::<session>(to).filter(own).ok_or_else(|| codes::SESSION_INVALID(Ref::NULL))?;
        let saved = Saved::of(saved, &call)?;
        if call.message.name != "recover" {
            return saved.check(&here).map(|()| Answer::Value(Value::Void));
        }
        let import = MODEL.message("VM.import").expect("BUG: it is in the model");
        if !import.roles.intersects(caller.principal.roles) {
            let why = "no role of the caller may import";
            return Err(codes::RBAC_PERMISSION_DENIED(call.message.full_name.to_lowercase(), why));
        }
        self.note(call, Value::Void, caller, saved.bring()).await
    }

    /// Answers a call of a session that reads a saved database.
    pub(super) async fn elsewhere(
        &self,
        message: &'static Message,
        params: Vec<Value>,
        background: bool,
        caller: &Caller,
        noted: &mut Noted,
    ) -> Result<Answer, ApiError> {
        let key = caller.principal.session;
        let there = self.databases.lock().get(&key).map(|open| open.gateway.clone());
        // The server was started again since: the session ends with its database, it does not become a live one.
        let there = there.ok_or_else(|| session_invalid(caller.session.as_str()))?;
        self.assert_reads_everything(caller)?;
        let view = there.ledger.view();
        let args = self.permit(&view, message, params, caller)?;
        let reads = message.implied.is_some() && message.reads() || command::reader(message).is_some();
        if message.class == ClassId::session && !reads {
            return Err(codes::OPERATION_NOT_ALLOWED(super::dispatch::SHOWN));
        }
        if RECOVERING.contains(&message.full_name) {
            return self.recover(view, Call { message, args, background }, caller).await;
        }
        // There, nobody is known by name: who may read everything here does so there.
        let principal = command::Principal { user: Ref::NULL, elsewhere: false, ..(*caller.principal).clone() };
        let known = Caller { principal: Arc::new(principal), ..caller.clone() };
        let _used = self.accounts.in_use(key);
        noted.parks = false; // the session's own end is waited for here
        let answer = there.perform(view, Call { message, args, background }, known, noted).await;
        noted.position = None; // not one of the live log
        self.still_valid(caller)?;
        answer
    }
}

/// Whether a call is about the session itself, wherever that reads.
pub(super) fn is_own(message: &Message) -> bool {
    OWN.contains(&message.full_name)
}
