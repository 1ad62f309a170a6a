//! This very server: the logs, the certificate, the key of bearer tokens, the
//! listeners and the process, which are in no view. What of it clients should know of is told to the writer afterwards.

use super::Gateway;
use super::answer::Answer;
use super::dispatch::Caller;
use super::journal::JOURNAL;
use super::report;
use crate::command::host::{certificates, x509};
use crate::command::network::management;
use crate::command::{Call, Draft, Intent, Own, operation};
use crate::error::{ApiError, codes};
use crate::event::Kind;
use crate::model::host;
use crate::value::{Ref, Value};
use tokio::sync::watch;

/// What somebody wants of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    Stop,
    /// Stop, and begin anew in the same process.
    Restart,
}

/// Where wishes go.
pub type Wishes = watch::Sender<Option<Wish>>;

pub(super) const DMESG: &str = "host.dmesg";
const DMESG_CLEAR: &str = "host.dmesg_clear";
pub(super) const GET_LOG: &str = "host.get_log";
const GET_CAPABILITIES: &str = "host.get_system_status_capabilities";
const GET_CERTIFICATE: &str = "host.get_server_certificate";
const INSTALL: &str = "host.install_server_certificate";
const REFRESH: &str = "host.refresh_server_certificate";
const RESET: &str = "host.reset_server_certificate";
const EMERGENCY_RESET: &str = "host.emergency_reset_server_certificate";
const RESTART_AGENT: &str = "host.restart_agent";
const SHUTDOWN_AGENT: &str = "host.shutdown_agent";
const MANAGEMENT_DISABLE: &str = "host.management_disable";
const ROTATE_SECRET: &str = "pool.rotate_secret";

/// The messages that are served here.
pub const SERVED: [&str; 13] = [
    DMESG,
    DMESG_CLEAR,
    GET_LOG,
    GET_CAPABILITIES,
    GET_CERTIFICATE,
    INSTALL,
    REFRESH,
    RESET,
    EMERGENCY_RESET,
    RESTART_AGENT,
    SHUTDOWN_AGENT,
    MANAGEMENT_DISABLE,
    ROTATE_SECRET,
];

/// Those of them that change nothing.
pub const READS: [&str; 4] = [DMESG, GET_LOG, GET_CAPABILITIES, GET_CERTIFICATE];

impl Gateway {
    /// Serves a message of [`SERVED`].
    pub(super) async fn local(&self, call: Call, caller: &Caller) -> Result<Answer, ApiError> {
        let here = self.host_of(&call)?;
        let text = match call.message.full_name {
            DMESG => self.driver.console(false).await?,
            DMESG_CLEAR => self.driver.console(true).await?,
            GET_LOG => JOURNAL.text(),
            GET_CAPABILITIES => report::capabilities(),
            GET_CERTIFICATE => self.certificate()?,
            RESTART_AGENT => return self.wish(Wish::Restart, call, caller).await,
            MANAGEMENT_DISABLE => return self.disable_management(here, call, caller).await,
            ROTATE_SECRET => return self.rotate_secret(call, caller).await,
            SHUTDOWN_AGENT => return self.wish(Wish::Stop, call, caller).await,
            _ => return self.change_certificate(here, call, caller).await,
        };
        if !call.background {
            return Ok(Answer::Value(Value::from(text)));
        }
        self.note(call, Value::from(text), caller, Box::new(|_| Ok(Value::Void))).await
    }

    /// The host that the call is about: the first argument, or where there is none the only host.
    fn host_of(&self, call: &Call) -> Result<Ref, ApiError> {
        let view = self.ledger.view();
        let here = match call.args.first() {
            Some(named) => named.as_ref(),
            None => view.all::<host>().next().map(|held| held.reference).unwrap_or_default(),
        };
        view.find::<host>(here).map(|held| held.reference).ok_or_else(|| codes::HANDLE_INVALID("host", here))
    }

    fn certificate(&self) -> Result<String, ApiError> {
        self.identity.certificate().map_err(|error| {
            tracing::error!(%error, "the server's certificate cannot be read");
            codes::INTERNAL_ERROR("the server's certificate cannot be read")
        })
    }

    /// Replaces the files, then tells of it.
    async fn change_certificate(&self, here: Ref, call: Call, caller: &Caller) -> Result<Answer, ApiError> {
        if call.message.full_name == REFRESH && !x509::read(&self.certificate()?).is_some_and(|own| own.self_signed) {
            return Err(codes::OPERATION_NOT_ALLOWED("a certificate that was installed is replaced by another"));
        }
        let (identity, asked) = (self.identity.clone(), call.clone());
        let replaced = tokio::task::spawn_blocking(move || match asked.message.full_name {
            INSTALL => identity.install(asked.text(1), asked.text(2), asked.text(3)),
            _ => identity.renew(),
        });
        let pem =
            replaced.await.map_err(|_| codes::INTERNAL_ERROR("the server's certificate could not be replaced"))??;
        let told: Own = Box::new(move |draft| certificates::note_own(draft, here, &pem));
        self.note(call, Value::Void, caller, told).await
    }

    /// What listens on the network closes when it is told of; not where it would be the only way in.
    async fn disable_management(&self, here: Ref, call: Call, caller: &Caller) -> Result<Answer, ApiError> {
        if !self.socket {
            return Err(codes::OPERATION_NOT_ALLOWED("nobody could enable it again: there is no Unix socket"));
        }
        let told: Own = Box::new(move |draft| management::disable(draft, here));
        self.note(call, Value::Void, caller, told).await
    }

    /// Replaces the key of bearer tokens, then tells of it: that there is a new one, and nothing of it.
    async fn rotate_secret(&self, call: Call, caller: &Caller) -> Result<Answer, ApiError> {
        let key = self.token_key.clone();
        let replaced = tokio::task::spawn_blocking(move || key.replace()).await.map_err(std::io::Error::other);
        replaced.flatten().map_err(|error| {
            tracing::error!(%error, "the key of bearer tokens could not be replaced");
            codes::INTERNAL_ERROR("the key of bearer tokens could not be replaced")
        })?;
        self.note(call, Value::Void, caller, Box::new(|_| Ok(Value::Void))).await
    }

    /// The answer leaves before the process ends: connections are drained.
    async fn wish(&self, wish: Wish, call: Call, caller: &Caller) -> Result<Answer, ApiError> {
        let answer = self.note(call, Value::Void, caller, Box::new(|_| Ok(Value::Void))).await?;
        self.wishes.send_replace(Some(wish));
        Ok(answer)
    }

    /// Writes who did this, and what changed by it; as `Async.` through a task that has ended.
    pub(super) async fn note(&self, call: Call, result: Value, caller: &Caller, told: Own) -> Result<Answer, ApiError> {
        let message = call.message.full_name;
        let decide = Box::new(move |draft: &mut Draft<'_>| {
            told(draft)?;
            Ok(if call.background { Value::Ref(operation::finished(draft, &call, &result)) } else { result })
        });
        let accepted = self.submit(Intent::Own { message, kind: Kind::Change, decide }, caller).await?;
        Ok(Answer::Value(accepted.result))
    }
}
