//! HTTP: calls over XML-RPC and JSON-RPC. What is beside them is in
//! [`super::resources`].

use super::dispatch;
pub(super) use super::dispatch::Noted;
use super::later::Later;
use super::places::{RETRY_AFTER, is_busy};
use super::{Gateway, Peer};
use crate::error::ApiError;
use crate::gateway::answer::Answer;
use crate::value::Encode;
use crate::wire::{self, Format, Render, Reply, jsonrpc, xmlrpc};
use axum::Router;
use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tower::ServiceExt;

/// The largest body of a call, in bytes.
pub const BODY_MAX: usize = 4 * 1024 * 1024;
/// Bytes that most answers fit in.
pub(super) const ANSWER_USUAL: usize = 4096;
/// How long a body may take to arrive.
pub const BODY_WAIT: Duration = Duration::from_secs(30);
/// The longest id that a client may give a call, in bytes.
const REQUEST_ID_MAX: usize = 128;
/// Names a subscription.
const NOTIFY: HeaderName = HeaderName::from_static("x-xenapi-notify");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const POSITION: HeaderName = HeaderName::from_static("x-xenledger-position");

impl Render for Answer {
    fn render<E: Encode>(&self, encode: &mut E) {
        Answer::render(self, encode);
    }
}

/// Where calls are posted, and what they are written in there.
const CALLS: [(&str, Format); 5] = [
    ("/", Format::Xml),
    ("/RPC2", Format::Xml),
    ("/xmlrpc", Format::Xml),
    ("/jsonrpc", Format::Json),
    ("/json", Format::Json),
];

/// Every path that answers: those of the calls, which most requests are for, and by a router the resources beside them.
#[derive(Clone)]
pub struct Paths {
    gateway: Gateway,
    resources: Router,
}

/// What is known of a request's connection.
pub struct Connected {
    pub peer: Peer,
    /// It can be [`super::parked`] while the call waits.
    pub parks: bool,
}

impl Paths {
    pub fn new(gateway: Gateway) -> Paths {
        let resources = super::resources::routes().merge(super::blob::routes()).merge(super::console::routes());
        Paths { resources: resources.with_state(gateway.clone()), gateway }
    }

    /// The answer to one request; to a path that nobody has, 404, and 405 to a method that a path has not.
    pub async fn answer<B>(self, mut request: Request<B>, connected: Connected) -> Response<Body>
    where
        B: HttpBody<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        let path = request.uri().path();
        let format = CALLS.iter().find(|(known, _)| *known == path).map(|(_, format)| *format);
        match (format, request.method()) {
            (Some(format), &Method::POST) => called(&self.gateway, format, request, connected).await,
            (Some(Format::Json), &Method::OPTIONS) => preflight(),
            (Some(Format::Json), _) => status(StatusCode::METHOD_NOT_ALLOWED, header::ALLOW, "OPTIONS, POST"),
            (Some(Format::Xml), _) => status(StatusCode::METHOD_NOT_ALLOWED, header::ALLOW, "POST"),
            (None, _) => {
                request.extensions_mut().insert(connected.peer);
                self.resources.oneshot(request.map(Body::new)).await.unwrap_or_else(|never| match never {})
            }
        }
    }
}

/// A call's bytes, and what its headers say.
struct Posted {
    body: Bytes,
    connected: Connected,
    id: Arc<str>,
    notify: Option<String>,
}

/// Reads a call, and answers it.
async fn called<B>(gateway: &Gateway, format: Format, request: Request<B>, connected: Connected) -> Response<Body>
where
    B: HttpBody<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>,
{
    let (head, body) = request.into_parts();
    let (id, notify) = (request_id(&head.headers), notify(&head.headers));
    drop(head);
    let posted = match read_at_most(body, BODY_MAX).await {
        Ok(body) => Posted { body, connected, id, notify },
        // What is left of the body is not read: the connection cannot be used again.
        Err(code) => return status(code, header::CONNECTION, "close"),
    };
    match format {
        Format::Xml => xml_rpc(gateway, posted).await,
        Format::Json => json_rpc(gateway, posted).await,
    }
}

async fn xml_rpc(gateway: &Gateway, posted: Posted) -> Response<Body> {
    match xmlrpc::parse(&posted.body) {
        Ok(call) => single(gateway, posted, call).await,
        Err(malformed) => not_a_call(Format::Xml, &malformed),
    }
}

async fn json_rpc(gateway: &Gateway, posted: Posted) -> Response<Body> {
    match jsonrpc::parse(&posted.body) {
        Ok(jsonrpc::Request::Single(call)) => single(gateway, posted, call).await,
        Ok(jsonrpc::Request::Batch(calls)) => {
            let Posted { connected, id, .. } = posted;
            let (mut out, mut noted) = (Vec::new(), Noted::default());
            Box::pin(batch(gateway, connected.peer, id, calls, &mut noted, &mut out)).await;
            enveloped(Format::Json, out, noted).map(Body::from)
        }
        Err(malformed) => not_a_call(Format::Json, &malformed),
    }
}

/// One call. What its bytes are in is let go of: it is the connection's buffer, and the call may wait for long.
async fn single(gateway: &Gateway, posted: Posted, call: wire::Call) -> Response<Body> {
    let Posted { connected: Connected { peer, parks }, id, notify, body } = posted;
    drop(body);
    let (mut out, mut noted) = (Vec::new(), Noted { parks, ..Noted::default() });
    let format = call.reply.format();
    let later = answer(gateway, peer, id, Asked { call, notify }, &mut noted, &mut out).await;
    let mut response = enveloped(format, out, noted).map(Body::from);
    if let Some(later) = later {
        response.extensions_mut().insert(Arc::new(later));
    }
    response
}

fn not_a_call(format: Format, malformed: &wire::Malformed) -> Response<Body> {
    let mut out = Vec::new();
    malformed.answer(&mut out);
    enveloped(format, out, Noted::default()).map(Body::from)
}

/// A batch's calls one after the other, as their order says.
async fn batch(
    gateway: &Gateway,
    peer: Peer,
    id: Arc<str>,
    calls: Vec<Result<wire::Call, wire::Malformed>>,
    noted: &mut Noted,
    out: &mut Vec<u8>,
) {
    let mut answers = Vec::with_capacity(calls.len());
    for (nth, call) in calls.into_iter().enumerate() {
        let mut one = Vec::new();
        // Each call of a batch is a call of its own: one id would give all of them the first one's answer.
        let id = if id.is_empty() { id.clone() } else { Arc::from(format!("{id}/{nth}")) };
        match call {
            Ok(call) => {
                let later = answer(gateway, peer.clone(), id, Asked { call, notify: None }, noted, &mut one).await;
                assert!(later.is_none(), "BUG: a batch's calls are waited for");
            }
            Err(malformed) => malformed.answer(&mut one),
        }
        answers.push(one);
    }
    jsonrpc::join(out, answers.iter().map(Vec::as_slice));
}

/// A call, and the subscription that its task's end is to be told to.
struct Asked {
    call: wire::Call,
    notify: Option<String>,
}

/// Writes a call's answer, unless it comes later.
async fn answer(
    gateway: &Gateway,
    peer: Peer,
    id: Arc<str>,
    asked: Asked,
    noted: &mut Noted,
    out: &mut Vec<u8>,
) -> Option<Later> {
    let wire::Call { method, params, reply } = asked.call;
    let background = method.starts_with("Async.");
    let request = dispatch::Request { method, params, peer, id };
    let served = match asked.notify.filter(|_| background) {
        Some(subscription) => Box::pin(gateway.serve_notified(request, &subscription, noted)).await,
        None => gateway.serve(request, noted).await,
    };
    if let Ok(Answer::Later(waits)) = served {
        return Some(Later::new(gateway, waits, reply));
    }
    gateway.counts.answered(served.is_ok());
    noted.busy |= served.as_ref().is_err_and(is_busy);
    out.reserve(ANSWER_USUAL);
    write(&reply, served, out);
    None
}

pub(super) fn write(reply: &Reply, served: Result<Answer, ApiError>, out: &mut Vec<u8>) {
    match served {
        Ok(raw @ Answer::Raw(_)) => reply.raw(out, &raw),
        Ok(answer) => reply.success(out, &answer),
        Err(error) => reply.failure(out, &error),
    }
}

/// The whole body, bounded in size and in time.
pub(super) async fn read_at_most<B>(body: B, most: usize) -> Result<Bytes, StatusCode>
where
    B: HttpBody<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>,
{
    // A length that is announced is refused before the bytes are waited for.
    if body.size_hint().lower() > most as u64 {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    let read = tokio::time::timeout(BODY_WAIT, Limited::new(body, most).collect());
    match read.await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Ok(Err(_)) => Err(StatusCode::BAD_REQUEST),
        Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
    }
}

fn notify(headers: &HeaderMap) -> Option<String> {
    headers.get(NOTIFY)?.to_str().ok().map(str::to_string)
}

fn request_id(headers: &HeaderMap) -> Arc<str> {
    let id = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
    id.filter(|id| id.len() <= REQUEST_ID_MAX).map(Arc::from).unwrap_or_default()
}

/// The answer of a call. Browser clients come from anywhere; they bring their session in the call, never a cookie.
pub(super) fn enveloped(format: Format, out: Vec<u8>, noted: Noted) -> Response<Vec<u8>> {
    let mut response = headed(format.content_type(), out, noted);
    if format == Format::Json {
        allow_any_origin(&mut response);
    }
    response
}

pub(super) fn respond(content_type: &'static str, out: Vec<u8>, noted: Noted) -> Response<Body> {
    headed(content_type, out, noted).map(Body::from)
}

fn headed(content_type: &'static str, out: Vec<u8>, noted: Noted) -> Response<Vec<u8>> {
    let mut response = Response::new(out);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Some(position) = noted.position {
        response.headers_mut().insert(POSITION, HeaderValue::from(position));
    }
    if noted.busy {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER));
    }
    response
}

/// An answer that is a status, and a header that goes with it.
fn status(status: StatusCode, name: HeaderName, value: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(status.canonical_reason().unwrap_or_default()));
    *response.status_mut() = status;
    response.headers_mut().insert(name, HeaderValue::from_static(value));
    response
}

fn allow_any_origin<B>(response: &mut Response<B>) {
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
}

fn preflight() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    allow_any_origin(&mut response);
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(Method::POST.as_str()));
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("content-type, x-request-id, x-xenapi-notify"),
    );
    response
}
