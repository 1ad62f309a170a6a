//! Who may have which HTTP resource: one line each, like a message's roles.
//! Every route beside the calls is made from a line of this table and asks it.
//!
//! Must never know what a resource answers.

use super::resources::{is_local, refused, unauthorized};
use super::{Gateway, Peer};
use crate::command::Principal;
use crate::model::{Roles, host};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use std::sync::Arc;

/// Who need not say who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    Nobody,
    /// Whoever calls from this machine.
    ThisMachine,
    Everybody,
}

/// One method on one path.
pub struct Resource {
    pub method: &'static str,
    pub path: &'static str,
    /// As refusals and the reference name it.
    pub permission: &'static str,
    /// Who may otherwise: whoever has one of these.
    pub roles: Roles,
    pub open: Open,
    /// Only for those from whom nothing is hidden: it cannot be told object by object.
    pub whole: bool,
    /// For the reference.
    pub note: &'static str,
}

const fn resource(method: &'static str, path: &'static str, permission: &'static str, roles: Roles) -> Resource {
    Resource { method, path, permission, roles, open: Open::Nobody, whole: false, note: "" }
}

impl Resource {
    const fn open(self, open: Open) -> Resource {
        Resource { open, ..self }
    }

    const fn whole(self) -> Resource {
        Resource { whole: true, ..self }
    }

    const fn note(self, note: &'static str) -> Resource {
        Resource { note, ..self }
    }
}

pub const HEALTHZ: Resource = resource("GET", "/healthz", "http/get_healthz", Roles::read_only).open(Open::Everybody);
pub const MODEL: Resource = resource("GET", "/api/model", "http/get_api_model", Roles::read_only).open(Open::Everybody);
pub const ERRORS: Resource =
    resource("GET", "/api/errors", "http/get_api_errors", Roles::read_only).open(Open::Everybody);
pub const TOKEN: Resource = resource("POST", "/api/token", "http/post_api_token", Roles::read_only);
pub const EVENTS: Resource =
    resource("GET", "/events", "http/get_events", Roles::read_only).note("of what the caller may read");
pub const METRICS: Resource =
    resource("GET", "/metrics", "http/get_metrics", Roles::read_only).open(Open::ThisMachine).whole();
pub const LOG: Resource = resource("GET", "/log", "http/get_log", Roles::pool_operator).whole();
pub const AUDIT_LOG: Resource = resource("GET", "/audit_log", "http/get_audit_log", Roles::pool_operator).whole();
pub const CHECKPOINT: Resource =
    resource("GET", "/log/checkpoint", "http/get_log_checkpoint", Roles::read_only).open(Open::ThisMachine);
pub const READ_BLOB: Resource =
    resource("GET", "/blob", "http/get_blob", Roles::read_only).whole().note("a public blob is open to everybody");
pub const WRITE_BLOB: Resource = resource("PUT", "/blob", "http/put_blob", Roles::vm_power_admin).whole();
pub const CONSOLE: Resource = resource("CONNECT", "/console", "http/connect_console", Roles::vm_operator)
    .note("of a machine that the caller may read");

/// Every resource beside the calls, which ask for themselves.
pub const RESOURCES: &[&Resource] = &[
    &HEALTHZ,
    &MODEL,
    &ERRORS,
    &TOKEN,
    &EVENTS,
    &METRICS,
    &LOG,
    &AUDIT_LOG,
    &CHECKPOINT,
    &READ_BLOB,
    &WRITE_BLOB,
    &CONSOLE,
];

impl Gateway {
    /// Lets a request in, with who sent it if that is known, or answers why not.
    pub(super) async fn admit(
        &self,
        to: &Resource,
        headers: &HeaderMap,
        query: Option<&str>,
        peer: &Peer,
    ) -> Result<Option<Arc<Principal>>, Response<Body>> {
        let caller = self.caller(headers, query, peer).await.or_else(|| self.accounts.peer(peer));
        let open = to.open == Open::Everybody || (to.open == Open::ThisMachine && is_local(peer));
        match caller {
            _ if open => Ok(caller),
            None => Err(unauthorized()),
            Some(caller) if !caller.roles.intersects(to.roles) => Err(denied(to, "no role of the caller has it")),
            Some(caller) if to.whole && !self.reads_everything(&caller) => {
                Err(denied(to, "it shows more than the caller may read"))
            }
            Some(caller) => Ok(Some(caller)),
        }
    }

    /// The same for what is not open: who sent it is known.
    pub(super) async fn admit_known(
        &self,
        to: &Resource,
        headers: &HeaderMap,
        query: Option<&str>,
        peer: &Peer,
    ) -> Result<Arc<Principal>, Response<Body>> {
        self.admit(to, headers, query, peer).await?.ok_or_else(unauthorized)
    }

    /// Whether what comes unencrypted from another machine is turned away: XenServer closes its port then.
    pub(super) fn wants_encryption(&self) -> bool {
        self.ledger.view().all::<host>().any(|here| here.get(host::https_only))
    }
}

/// The answer to a request that should have come encrypted.
pub(super) fn unencrypted() -> Response<Body> {
    let mut response = refused(StatusCode::FORBIDDEN, "host.https_only is set: call over HTTPS".into());
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

fn denied(to: &Resource, why: &str) -> Response<Body> {
    refused(StatusCode::FORBIDDEN, format!("the permission {} is needed: {why}", to.permission))
}
