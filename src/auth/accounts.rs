//! What takes longer than a decision: logins, changed passwords, callers that
//! prove themselves without a session; and the timer that ends sessions.

use super::password::Hasher;
use super::sessions::{InUse, Sessions, principal, roles_of};
use super::{Principal, session_key};
use crate::command::session::{self as sessions, Begun};
use crate::command::{Command, Own, limits};
use crate::error::{ApiError, codes};
use crate::event::{Body, Kind};
use crate::log::Sealed;
use crate::log::vault::{self, Secrets};
use crate::log::writer::{Ledger, Refusal};
use crate::model::{Roles, pool, user};
use crate::value::{Micros, Ref, Value};
use crate::views::measured::last_active;
use crate::views::{Object, View};
use crate::world::Ids;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// How often expired sessions are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// The name of a login, in the log.
const LOGIN: &str = "session.login_with_password";
/// What everybody is told whose name or password is wrong.
const WRONG: &str = "the user name or the password is wrong";

/// Where a caller is.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// For the log.
    pub address: Arc<str>,
    /// The user id that the kernel vouches for, on a Unix socket.
    pub uid: Option<u32>,
    /// It calls from another machine, and what it says can be read on the way.
    pub unencrypted: bool,
}

impl Peer {
    /// The machine's own superuser, so ours.
    fn is_root(&self) -> bool {
        self.uid == Some(0)
    }
}

/// See the module.
pub struct Accounts {
    ledger: Ledger,
    secrets: Box<dyn Secrets>,
    hasher: Hasher,
    sessions: Sessions,
}

impl Accounts {
    pub fn new(ledger: Ledger, secrets: impl Secrets) -> Arc<Accounts> {
        let sessions = Sessions::new(&ledger.view(), ledger.world().now());
        Arc::new(Accounts { ledger, secrets: Box::new(secrets), hasher: Hasher::default(), sessions })
    }

    /// Who sends that session, or `SESSION_INVALID`. On the way of every call: one SHA-256 and a few look-ups.
    pub fn authenticate(&self, view: &View, text: &str, now: Micros) -> Result<Arc<Principal>, ApiError> {
        self.sessions.authenticate(view, text, now)
    }

    /// Keeps a session in use while something waits in it; null is nobody's.
    pub fn in_use(&self, session: Ref) -> InUse {
        self.sessions.in_use(session, self.ledger.world())
    }

    /// `session.login_with_password`: gives the reference that only the caller will know.
    pub async fn login(&self, name: &str, password: &str, originator: &str, peer: &Peer) -> Result<Ref, ApiError> {
        let silent = name.is_empty() && password.is_empty() && peer.is_root();
        let (whose, auth) = match silent {
            true => (self.local_root()?, "peer"),
            false => (self.check(name, password, peer, LOGIN).await?, "password"),
        };
        self.begin(&whose, Begun::of(originator), LOGIN, peer, auth).await
    }

    /// Gives the caller one more session, which reads a saved database.
    pub async fn begin_elsewhere(
        &self,
        caller: &Principal,
        database: String,
        message: &'static str,
        peer: &Peer,
    ) -> Result<Ref, ApiError> {
        let whose = self.ledger.view().find::<user>(caller.user).cloned();
        let whose = whose.ok_or_else(|| codes::OPERATION_NOT_ALLOWED("the caller is no local user"))?;
        let begun = Begun { database, parent: caller.session, ..Begun::default() };
        self.begin(&whose, begun, message, peer, "session").await
    }

    /// A secret's value, for a caller who may read it; `None` once it was erased.
    pub async fn reveal(&self, id: Ref) -> Result<Option<Value>, ApiError> {
        let contents = self.contents(id).await?;
        Ok(contents.map(|contents| Value::from(String::from_utf8_lossy(&contents).as_ref())))
    }

    /// What the vault has under an id, for a caller who may read it; `None` once it was erased.
    pub async fn contents(&self, id: Ref) -> Result<Option<Vec<u8>>, ApiError> {
        let sealed = self.secrets.secret(id).await.map_err(|error| {
            tracing::error!(%error, "the vault could not be read");
            codes::INTERNAL_ERROR("the vault cannot be read now")
        })?;
        Ok(sealed.map(|sealed| sealed.value.to_vec()))
    }

    /// The caller of a request that carries a name and a password of its own.
    pub async fn basic(&self, name: &str, password: &str, peer: &Peer) -> Result<Arc<Principal>, ApiError> {
        let whose = self.check(name, password, peer, "http.basic").await?;
        let view = self.ledger.view();
        may_enter(&view, &whose)?;
        Ok(Arc::new(principal(&view, &whose, Ref::NULL)))
    }

    /// The caller behind a socket whose other end the kernel vouches for.
    pub fn peer(&self, peer: &Peer) -> Option<Arc<Principal>> {
        let whose = peer.is_root().then(|| self.local_root().ok()).flatten()?;
        Some(Arc::new(principal(&self.ledger.view(), &whose, Ref::NULL)))
    }

    /// `session.change_password`, of the caller's own.
    pub async fn change_password(
        &self,
        caller: &Arc<Principal>,
        old: &str,
        new: &str,
        peer: &Peer,
    ) -> Result<(), ApiError> {
        let whose = self.ledger.view().find::<user>(caller.user).cloned();
        let whose = whose.ok_or_else(|| codes::CHANGE_PASSWORD_REJECTED("the caller is no local user"))?;
        let message = "session.change_password";
        self.check(whose.get(user::short_name), old, peer, message).await?;
        self.replace_password(caller, whose.reference, new, peer, message).await
    }

    /// `user.set_password`, of anybody's.
    pub async fn set_password(
        &self,
        caller: &Arc<Principal>,
        whose: Ref,
        new: &str,
        peer: &Peer,
    ) -> Result<(), ApiError> {
        self.replace_password(caller, whose, new, peer, "user.set_password").await
    }

    async fn replace_password(
        &self,
        caller: &Arc<Principal>,
        whose: Ref,
        new: &str,
        peer: &Peer,
        message: &'static str,
    ) -> Result<(), ApiError> {
        let sealed = self.hasher.seal(self.ledger.world(), Zeroizing::new(new.to_string())).await?;
        self.send(caller.clone(), peer, "session", message, sessions::replace_password(whose, sealed)).await?;
        Ok(())
    }

    /// Returns when no password is being worked on.
    pub async fn hashed(&self) {
        self.hasher.idle().await;
    }

    /// Ends the sessions that have expired, until the server stops.
    pub async fn sweep_for_ever(&self) {
        loop {
            self.ledger.world().sleep(SWEEP_EVERY).await;
            if let Err(error) = self.sweep().await {
                tracing::warn!(%error, "expired sessions were not ended; trying again later");
            }
        }
    }

    /// Ends the sessions that have expired by now.
    pub async fn sweep(&self) -> Result<(), ApiError> {
        let expired = self.sessions.sweep(&self.ledger.view(), self.ledger.world().now());
        if expired.is_empty() {
            return Ok(());
        }
        let peer = Peer::default();
        self.send(Principal::server("timer"), &peer, "", "session.expire", sessions::end(expired)).await?;
        Ok(())
    }

    async fn begin(
        &self,
        whose: &Object,
        begun: Begun,
        message: &'static str,
        peer: &Peer,
        auth: &'static str,
    ) -> Result<Ref, ApiError> {
        let view = self.ledger.view();
        may_enter(&view, whose)?;
        let reference = Ids::new(self.ledger.world().seed()).draw();
        let key = reference.with_text(session_key);
        let begun = Begun { key, user: whose.reference, idlest: self.idlest(&view, whose.reference), ..begun };
        let caller = Arc::new(principal(&view, whose, begun.key));
        self.send(caller, peer, auth, message, sessions::begin(begun)).await?;
        Ok(reference)
    }

    /// The user's sessions, least recently used first, if there are so many that one must make room.
    fn idlest(&self, view: &View, whose: Ref) -> Vec<Ref> {
        let mut held: Vec<(Micros, Ref)> = sessions::of_user(view, whose)
            .into_iter()
            .filter_map(|key| view.find::<crate::model::session>(key))
            .map(|held| (last_active(view, held), held.reference))
            .collect();
        if held.len() < limits::count(view, pool::session_limit) {
            return Vec::new();
        }
        held.sort();
        held.into_iter().map(|(_, key)| key).collect()
    }

    fn local_root(&self) -> Result<Arc<Object>, ApiError> {
        let view = self.ledger.view();
        let root = view.all::<user>().find(|user| user.get(user::is_local_superuser)).cloned();
        root.ok_or_else(|| codes::SESSION_AUTHENTICATION_FAILED("root", WRONG))
    }

    /// The user of that name and password. Who does not exist costs the same time; a failure is noted in the log.
    async fn check(
        &self,
        name: &str,
        password: &str,
        peer: &Peer,
        message: &'static str,
    ) -> Result<Arc<Object>, ApiError> {
        let found = self.ledger.view().all::<user>().find(|user| &**user.get(user::short_name) == name).cloned();
        let sealed = match &found {
            Some(found) => self.sealed(found).await,
            None => None,
        };
        let right = self.hasher.check(sealed, Zeroizing::new(password.to_string())).await;
        match (right, found) {
            (Some(true), Some(found)) => Ok(found),
            (Some(_), found) => Err(self.refuse(name, found.is_some(), WRONG, peer, message)),
            (None, found) => Err(self.refuse(name, found.is_some(), "too many log in; try again", peer, message)),
        }
    }

    /// The hash of the user's password, if there is one and it is the one that the log knows.
    async fn sealed(&self, whose: &Object) -> Option<Sealed> {
        let seal = whose.get(user::password);
        let read = self.secrets.secret(vault::id_of(seal)?).await;
        let read = read.inspect_err(|error| tracing::error!(%error, "the vault could not be read")).ok()??;
        let fits = read.fits(seal);
        if !fits {
            tracing::error!(user = %whose.get(user::short_name), "the vault's hash is not the one in the log");
        }
        fits.then_some(read)
    }

    /// Notes a failed login. A name that nobody has is not written: it may be a password in the wrong place.
    fn refuse(&self, name: &str, known: bool, why: &str, peer: &Peer, message: &'static str) -> ApiError {
        let error = codes::SESSION_AUTHENTICATION_FAILED(name, why);
        let written = if known { name } else { "" };
        let principal = if known { format!("user/{name}") } else { "nobody".into() };
        let body = Body {
            address: peer.address.clone(),
            auth: "password".into(),
            error: vec![error.code.into(), written.into(), why.into()],
            ..Body::default()
        };
        self.ledger.refused(Refusal {
            kind: Kind::Login,
            principal: principal.into(),
            message: message.into(),
            request: "".into(),
            body,
        });
        error
    }

    async fn send(
        &self,
        principal: Arc<Principal>,
        peer: &Peer,
        auth: &'static str,
        message: &'static str,
        decide: Own,
    ) -> Result<Value, ApiError> {
        let command = Command {
            address: peer.address.clone(),
            auth: auth.into(),
            ..Command::own(&principal, self.ledger.world(), Kind::Change, message, decide)
        };
        Ok(self.ledger.submit(command).await?.result)
    }
}

/// A user without any role may not come in.
fn may_enter(view: &View, whose: &Object) -> Result<(), ApiError> {
    if roles_of(view, whose) == Roles::none {
        return Err(codes::SESSION_AUTHORIZATION_FAILED(whose.get(user::short_name), "the user has no role"));
    }
    Ok(())
}
