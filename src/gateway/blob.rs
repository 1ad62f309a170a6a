//! The contents of blobs: `GET /blob?ref=…` reads, `PUT /blob?ref=…` writes.
//! `uuid=` may stand in place of `ref=`.
//!
//! A public blob is open to everybody; any other to whoever has logged in
//! and reads everything. Writing is for those who may make blobs of machines.

use super::dispatch::Caller;
use super::http::read_at_most;
use super::resources::named_in;
use super::{Gateway, Peer, access};
use crate::command::{Intent, blob as blobs};
use crate::event::Kind;
use crate::model::blob;
use crate::value::{Ref, Value};
use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::routing::get;
use std::sync::Arc;

const WRITE: &str = "blob.write";

pub fn routes() -> Router<Gateway> {
    Router::new().route(access::READ_BLOB.path, get(read).put(write))
}

/// The blob that the query names.
fn asked(gateway: &Gateway, query: Option<&str>) -> Option<Ref> {
    let text = named_in(query?, "ref").or_else(|| named_in(query?, "uuid"))?;
    blobs::named(&gateway.ledger.view(), &text)
}

async fn read(
    State(gateway): State<Gateway>,
    Extension(peer): Extension<Peer>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response<Body> {
    let view = gateway.ledger.view();
    let found = asked(&gateway, query.as_deref()).and_then(|reference| view.find::<blob>(reference));
    let open = found.is_some_and(|found| found.get(blob::public));
    if !open && let Err(denied) = gateway.admit(&access::READ_BLOB, &headers, query.as_deref(), &peer).await {
        return denied;
    }
    let Some(found) = found else { return plain(StatusCode::NOT_FOUND) };
    let contents = match blobs::vault_id(found) {
        None => Vec::new(),
        Some(id) => match gateway.accounts.contents(id).await {
            Ok(Some(contents)) => contents,
            Ok(None) => return plain(StatusCode::NOT_FOUND),
            Err(_) => return plain(StatusCode::INTERNAL_SERVER_ERROR),
        },
    };
    let mut response = Response::new(Body::from(contents));
    let kind = HeaderValue::from_str(found.get(blob::mime_type));
    let kind = kind.unwrap_or(HeaderValue::from_static(blobs::UNSAID));
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    // Whoever wrote it may not speak in the name of who reads it.
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    response
}

async fn write(
    State(gateway): State<Gateway>,
    Extension(peer): Extension<Peer>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Response<Body> {
    let principal = match gateway.admit_known(&access::WRITE_BLOB, &headers, query.as_deref(), &peer).await {
        Ok(principal) => principal,
        Err(denied) => return denied,
    };
    if gateway.read_only {
        return plain(StatusCode::FORBIDDEN);
    }
    let Some(reference) = asked(&gateway, query.as_deref()) else { return plain(StatusCode::NOT_FOUND) };
    let contents = match read_at_most(body, blobs::BYTES_MAX).await {
        Ok(contents) => contents.to_vec(),
        Err(status) => return plain(status),
    };
    let caller = Caller { principal, session: Value::Void, peer, id: Arc::default() };
    let decide = blobs::write(reference, contents);
    match gateway.submit(Intent::Own { message: WRITE, kind: Kind::Change, decide }, &caller).await {
        Ok(_) => plain(StatusCode::OK),
        Err(error) if error.code == "HANDLE_INVALID" => plain(StatusCode::NOT_FOUND),
        Err(error) => {
            tracing::warn!(%error, "the contents of a blob could not be written");
            plain(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

fn plain(status: StatusCode) -> Response<Body> {
    let reason = if status == StatusCode::OK { "" } else { status.canonical_reason().unwrap_or_default() };
    let mut response = Response::new(Body::from(reason));
    *response.status_mut() = status;
    if status == StatusCode::PAYLOAD_TOO_LARGE {
        // What is left of the body is not read: the connection cannot be used again.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
