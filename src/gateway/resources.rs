//! The HTTP resources beside the RPC paths, and who may have them: a session
//! (in a cookie or in the query, as XenAPI's clients do), HTTP Basic, or a
//! bearer token.

use super::http::{Noted, respond};
use super::{Gateway, Peer, access, metrics};
use crate::command::Principal;
use crate::log::writer::CLOCK_BEHIND_MAX;
use crate::model::user;
use crate::views::read::Scope;
use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::net::SocketAddr;
use std::sync::Arc;
use zeroize::Zeroizing;

pub(super) const SESSION: &str = "session_id";

pub fn routes() -> Router<Gateway> {
    Router::new()
        .route(access::HEALTHZ.path, get(healthz))
        .route(access::MODEL.path, get(model))
        .route(access::ERRORS.path, get(errors))
        .route(access::TOKEN.path, post(token))
        .route(access::EVENTS.path, get(super::events::events))
        .route(access::METRICS.path, get(metrics_page))
        .merge(super::audit::routes())
}

/// The server answers, and its writer has the log. A clock that went back is told of, and hinders nobody.
async fn healthz(State(gateway): State<Gateway>) -> Response<Body> {
    if let Some(trouble) = gateway.ledger.trouble() {
        let since = crate::value::format_time(trouble.since);
        let why = format!("the log cannot be written since {since}: {}", trouble.cause);
        return refused(StatusCode::SERVICE_UNAVAILABLE, why);
    }
    match gateway.ledger.view().time - gateway.ledger.world().now() {
        behind if behind > CLOCK_BEHIND_MAX => {
            refused(StatusCode::OK, format!("ok\nthe clock is {} s behind the log", behind / 1_000_000))
        }
        _ => text(StatusCode::OK, "ok\n"),
    }
}

async fn model() -> Response<Body> {
    let model = crate::model::export::export(&[], crate::command::refused::status);
    respond("application/json", model.to_string().into_bytes(), Noted::default())
}

async fn errors() -> Response<Body> {
    let codes = crate::error::codes::CODES.iter().map(|code| (code.name.to_string(), serde_json::json!(code.params)));
    let errors = serde_json::json!({ "errors": serde_json::Value::Object(codes.collect()) });
    respond("application/json", errors.to_string().into_bytes(), Noted::default())
}

/// A bearer token for whoever calls, so that its password need not travel again.
async fn token(
    State(gateway): State<Gateway>,
    Extension(peer): Extension<Peer>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response<Body> {
    let caller = match gateway.admit_known(&access::TOKEN, &headers, query.as_deref(), &peer).await {
        Ok(caller) => caller,
        Err(denied) => return denied,
    };
    let view = gateway.ledger.view();
    let Some(whose) = view.find::<user>(caller.user) else { return unauthorized() };
    let seconds = crate::auth::token::LIFETIME_MAX;
    let token = gateway.token_key.tokens().issue(whose, seconds, gateway.ledger.world().now());
    let answer = serde_json::json!({ "token": token, "token_type": "Bearer", "expires_in": seconds });
    respond("application/json", answer.to_string().into_bytes(), Noted::default())
}

/// Open to this machine, as monitoring agents expect; for everybody else behind a password or a token.
async fn metrics_page(
    State(gateway): State<Gateway>,
    Extension(peer): Extension<Peer>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response<Body> {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    if let Err(denied) = gateway.admit(&access::METRICS, &headers, query.as_deref(), &peer).await {
        return denied;
    }
    respond(OPEN_METRICS, metrics::render(&gateway).into_bytes(), Noted::default())
}

pub(super) fn is_local(peer: &Peer) -> bool {
    peer.uid.is_some() || peer.address.parse::<SocketAddr>().is_ok_and(|address| address.ip().is_loopback())
}

impl Gateway {
    /// Whether nothing is hidden from a caller: what is not kept apart by object is for those alone.
    pub(super) fn reads_everything(&self, caller: &Principal) -> bool {
        Scope::of(&self.ledger.view(), caller.user) == Scope::All
    }

    /// Who sends a request, if anybody that we know.
    pub(super) async fn caller(&self, headers: &HeaderMap, query: Option<&str>, peer: &Peer) -> Option<Arc<Principal>> {
        let (view, now) = (self.ledger.view(), self.ledger.world().now());
        if let Some(session) = session_in(headers, query) {
            // A session on a saved database is nobody here: what is told beside the calls is of the live one.
            let caller = self.accounts.authenticate(&view, &session, now).ok();
            return caller.filter(|caller| !caller.elsewhere);
        }
        let authorization = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, credentials) = authorization.split_once(' ')?;
        if scheme.eq_ignore_ascii_case("bearer") {
            return self.token_key.tokens().authenticate(&view, credentials.trim(), now).ok();
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = Zeroizing::new(BASE64.decode(credentials.trim()).ok()?);
        let (name, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
        self.accounts.basic(name, password, peer).await.ok()
    }
}

/// The session in the cookie or in the query.
pub(super) fn session_in(headers: &HeaderMap, query: Option<&str>) -> Option<String> {
    let cookies = headers.get(header::COOKIE).and_then(|cookies| cookies.to_str().ok()).unwrap_or_default();
    let pairs = cookies.split(';').chain(query.unwrap_or_default().split('&'));
    let mut named = pairs.filter_map(|pair| pair.trim().split_once('='));
    named.find(|(name, _)| *name == SESSION).map(|(_, session)| reference(session))
}

/// A parameter of the query.
pub(super) fn named_in(query: &str, wanted: &str) -> Option<String> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(name, _)| *name == wanted).map(|(_, value)| reference(value))
}

/// A reference as it was before the one character in it was escaped that clients escape.
fn reference(text: &str) -> String {
    text.replace("%3A", ":").replace("%3a", ":")
}

pub(super) fn unauthorized() -> Response<Body> {
    let mut response = text(StatusCode::UNAUTHORIZED, "a session, a name and password, or a token is needed\n");
    let challenge = HeaderValue::from_static("Basic realm=\"xenledger\", charset=\"UTF-8\"");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    response
}

pub(super) fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// An answer that says what is so, or what is wrong.
pub(super) fn refused(status: StatusCode, why: String) -> Response<Body> {
    let mut response = text(status, "");
    *response.body_mut() = Body::from(why + "\n");
    response
}
