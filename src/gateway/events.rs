//! `GET /events`: changes as they happen, as Server-Sent Events or by long
//! poll, for clients that keep their own place.
//!
//! ```text
//!   token empty ─▶ snapshot: the objects at one position ─┐
//!   token=now   ─▶ from the head on ──────────────────────┼─▶ every event behind it, in order
//!   token=T     ─▶ from T on ─────────────────────────────┘    heartbeats while there is none; `end` with a reason
//! ```
//!
//! A stream that nobody reads fast enough waits: what comes next is read from
//! memory or from the log when there is room for it.

use super::dispatch::{Caller, Noted};
use super::http::respond;
use super::open::{End, OpenStream};
use super::places::{Held, is_busy};
use super::resources::session_in;
use super::stream::Wait;
use super::{Gateway, Peer, access};
use crate::error::{ApiError, codes};
use crate::model::{CLASS_IDS, ClassId, MODEL, session, user};
use crate::subscribe::delivered::{Delivered, Want};
use crate::subscribe::events::{known_token, token};
use crate::subscribe::page::Page;
use crate::subscribe::{Following, Key};
use crate::value::{Encode, Ref, Value};
use crate::views::filter::Filter;
use crate::views::read::Sight;
use crate::views::{Object, Token};
use crate::wire::jsonrpc::JsonWriter;
use axum::body::Body;
use axum::extract::{Extension, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The longest silence on a stream.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// When a client that was cut off comes back, in milliseconds.
const RETRY_MS: u32 = 1_000;
/// Events of one page; and objects of one piece of a snapshot.
const PAGE: usize = 100;
/// Events that a stream is sent at one look, by the batch: whole ones are put together once for all streams.
const LOOK: usize = 1_000;
/// Bytes that are looked up for a stream before its client has read what came before; one batch more at the most.
const AHEAD: usize = 256 << 10;
/// The longest that a long poll may take.
const POLL_MAX: Duration = Duration::from_secs(3600);
/// The longest that a stream lives; its client comes back and goes on.
const STREAM_MAX: Duration = Duration::from_secs(24 * 3600);

/// What the query asks for.
#[derive(Default)]
struct Asked {
    classes: Vec<String>,
    predicate: Vec<(String, String)>,
    token: String,
    snapshots: bool,
    /// A long poll, and how long it may wait.
    timeout: Option<f64>,
    max: Option<usize>,
}

/// The resource.
pub async fn events(
    State(gateway): State<Gateway>,
    Extension(peer): Extension<Peer>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response<Body> {
    let principal = match gateway.admit_known(&access::EVENTS, &headers, query.as_deref(), &peer).await {
        Ok(principal) => principal,
        Err(denied) => return denied,
    };
    let session = session_in(&headers, query.as_deref()).map_or(Value::Void, Value::from);
    let caller = Caller { principal, session, peer, id: Arc::default() };
    let mut asked = asked(query.as_deref().unwrap_or_default());
    if let Some(last) = headers.get("last-event-id").and_then(|id| id.to_str().ok()).filter(|id| !id.is_empty()) {
        asked.token = last.to_string();
    }
    let answered = match asked.timeout {
        Some(_) => gateway.long_poll(&caller, &asked).await,
        None => gateway.stream(&caller, &asked),
    };
    answered.unwrap_or_else(|error| refuse(&error))
}

fn asked(query: &str) -> Asked {
    let mut asked = Asked::default();
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        let value = decoded(value);
        match &*decoded(name) {
            "classes" => asked.classes.extend(value.split(',').filter(|text| !text.is_empty()).map(str::to_string)),
            "token" => asked.token = value,
            "snapshots" => asked.snapshots = value == "true",
            "timeout" => asked.timeout = value.parse().ok().or(Some(0.0)),
            "max" => asked.max = value.parse().ok(),
            name => {
                let field = name.strip_prefix("where.").map(str::to_string);
                asked.predicate.extend(field.map(|field| (field, value)));
            }
        }
    }
    if asked.classes.is_empty() {
        asked.classes.push("*".into());
    }
    asked
}

/// A part of a query without its `%XX` and `+`.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match (first, hex.and_then(|two| u8::from_str_radix(two, 16).ok())) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
                continue;
            }
            (b'+', _) => bytes.push(b' '),
            (byte, _) => bytes.push(*byte),
        }
        rest = tail;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn refuse(error: &ApiError) -> Response<Body> {
    let body = serde_json::json!({"error": error.code, "params": &*error.params}).to_string();
    let busy = is_busy(error);
    let mut response = respond("application/json", body.into_bytes(), Noted { busy, ..Noted::default() });
    *response.status_mut() = match error.code {
        "EVENTS_LOST" => StatusCode::GONE,
        "SESSION_INVALID" => StatusCode::UNAUTHORIZED,
        "INTERNAL_ERROR" => StatusCode::INTERNAL_SERVER_ERROR,
        _ if busy => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::BAD_REQUEST,
    };
    response
}

/// What a caller's rights follow from: when it changes, streams end.
#[derive(PartialEq)]
struct Rights {
    roles: Option<Value>,
    reads: Option<Value>,
    superuser: bool,
    session: bool,
    /// How often the key of bearer tokens was replaced, for who may have come with one.
    key: u64,
}

impl Rights {
    fn of(gateway: &Gateway, caller: &Caller) -> Rights {
        let view = gateway.ledger.view();
        let whose = view.find::<user>(caller.principal.user);
        let field = |index: usize| whose.map(|whose| whose.record[index].clone());
        let key = caller.principal.session;
        Rights {
            roles: field(user::roles.index),
            reads: field(user::reads.index),
            superuser: whose.is_some_and(|whose| whose.get(user::is_local_superuser)),
            session: key.is_null() || view.find::<session>(key).is_some(),
            key: if key.is_null() { gateway.token_key.replaced() } else { 0 },
        }
    }
}

/// One client's place in the log.
struct Place {
    gateway: Gateway,
    caller: Caller,
    want: Arc<Want>,
    position: u64,
    lineage: u64,
    wait: Wait,
    rights: Rights,
    /// The objects that are still to be shown, class by class.
    snapshot: Option<Snapshot>,
    _following: Following,
}

/// Where a snapshot has come to.
struct Snapshot {
    sight: Sight,
    class: usize,
    after: Option<Ref>,
}

impl Gateway {
    fn place(&self, held: Held, caller: &Caller, asked: &Asked, wait: Duration) -> Result<Place, ApiError> {
        let texts = asked.classes.iter().map(String::as_str);
        let predicate = asked.predicate.iter().map(|(name, values)| (name.as_str(), values.as_str()));
        let filter = Filter::parse(texts, predicate).map_err(codes::EVENT_SUBSCRIPTION_PARSE_FAILURE)?;
        // Followed and registered before the first look.
        let following = self.subscribers.follow();
        let wait = self.wait_holding(held, caller, Key::of(&filter), wait);
        let sight = self.sight(caller);
        let view = sight.view.clone();
        let begins = match &*asked.token {
            "now" => Token::of(&view),
            text if token(text)?.position == 0 => Token::of(&view),
            text => known_token(&view, text)?,
        };
        let whole = asked.token != "now" && token(&asked.token)?.position == 0;
        let want = Want { filter, scope: sight.scope.clone(), snapshots: asked.snapshots, ..Want::default() };
        Ok(Place {
            gateway: self.clone(),
            caller: caller.clone(),
            want: Arc::new(want.read_by(&view, caller.principal.user, begins.position)),
            position: begins.position,
            lineage: view.lineage,
            wait,
            rights: Rights::of(self, caller),
            snapshot: whole.then_some(Snapshot { sight, class: 0, after: None }),
            _following: following,
        })
    }

    /// Everything that is there now, or the first that comes, as one JSON document.
    async fn long_poll(&self, caller: &Caller, asked: &Asked) -> Result<Response<Body>, ApiError> {
        let wait = Duration::try_from_secs_f64(asked.timeout.unwrap_or(0.0)).unwrap_or(POLL_MAX).min(POLL_MAX);
        let mut place = self.place(self.held_by_call(caller)?, caller, asked, wait)?;
        let mut out = Vec::with_capacity(1024);
        out.extend_from_slice(b"{");
        if place.snapshot.is_some() {
            out.extend_from_slice(b"\"snapshot\":[");
            let mut first = true;
            while let Some(objects) = place.next_objects() {
                objects.iter().for_each(|object| join(&mut out, object, &mut first));
                tokio::task::yield_now().await;
            }
            out.extend_from_slice(b"],");
        }
        // A snapshot is an answer by itself.
        let told = if first_look_is_enough(&asked.token) { Vec::new() } else { place.told(asked.max).await? };
        out.extend_from_slice(b"\"events\":[");
        let mut first = true;
        told.iter().for_each(|event| join(&mut out, event, &mut first));
        out.extend_from_slice(format!("],\"token\":\"{}\"}}", place.token()).as_bytes());
        Ok(respond("application/json", out, Noted::default()))
    }

    fn stream(&self, caller: &Caller, asked: &Asked) -> Result<Response<Body>, ApiError> {
        let place = self.place(self.held_by_stream(caller)?, caller, asked, STREAM_MAX)?;
        let open = self.counts.open.begin(caller, &asked.classes, place.position, self.ledger.world().now());
        let stream = Stream { place, phase: Phase::Begins, open, ready: VecDeque::new() };
        let pieces = futures_util::stream::unfold(stream, |mut stream| async {
            let piece = stream.next().await?;
            Some((Ok::<Bytes, std::convert::Infallible>(piece), stream))
        });
        let mut response = Response::new(Body::from_stream(pieces));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    }
}

fn first_look_is_enough(text: &str) -> bool {
    text != "now" && token(text).is_ok_and(|token| token.position == 0)
}

fn join(out: &mut Vec<u8>, piece: &[u8], first: &mut bool) {
    if !std::mem::replace(first, false) {
        out.push(b',');
    }
    out.extend_from_slice(piece);
}

impl Place {
    fn token(&self) -> Token {
        Token { position: self.position, lineage: self.lineage }
    }

    /// What comes next; `None` if the caller's rights are not any more what they were when the place was taken. Looked
    /// at behind the reading, so that nothing is told that came after they had changed.
    async fn page(&mut self, max: usize) -> Result<Option<Page>, ApiError> {
        let page = self.gateway.feed.next(self.position, &self.want, max).await?;
        if !self.keeps_rights() {
            return Ok(None);
        }
        self.position = page.reached;
        Ok(Some(page))
    }

    fn keeps_rights(&self) -> bool {
        Rights::of(&self.gateway, &self.caller) == self.rights
    }

    /// The first events behind the place; none when the time is over, or when the caller has to ask anew.
    async fn told(&mut self, max: Option<usize>) -> Result<Vec<Bytes>, ApiError> {
        loop {
            let over = self.wait.is_over();
            let Some(page) = self.page(max.unwrap_or(PAGE)).await? else {
                return self.gateway.still_valid(&self.caller).map(|()| Vec::new());
            };
            if over || !page.is_empty() {
                return Ok(page.events().map(|event| event.json().clone()).collect());
            }
            self.wait.more().await?;
        }
    }

    /// Some more objects of the snapshot, as JSON; `None` behind the last.
    fn next_objects(&mut self) -> Option<Vec<Bytes>> {
        let snapshot = self.snapshot.as_mut()?;
        let mut found = Vec::new();
        while found.len() < PAGE {
            let Some(class) = CLASS_IDS.get(snapshot.class).copied() else { break };
            let from = snapshot.after.unwrap_or(Ref::NULL);
            let named = self.want.filter.names(class);
            let objects = &snapshot.sight.view.class(class).objects;
            let next = objects.from(&from).find(|(reference, _)| Some(**reference) != snapshot.after);
            match next.filter(|_| named) {
                Some((reference, object)) => {
                    found.extend(render(&self.want, &snapshot.sight, class, object));
                    snapshot.after = Some(*reference);
                }
                None => (snapshot.class, snapshot.after) = (snapshot.class + 1, None),
            }
        }
        if found.is_empty() {
            self.snapshot = None;
            return None;
        }
        Some(found)
    }
}

/// One object of a snapshot, if it is wanted and may be seen.
fn render(want: &Want, sight: &Sight, class: ClassId, object: &Object) -> Option<Bytes> {
    let fields = want.filter.fields(class, object.reference)?;
    let view = || sight.view.clone();
    if !want.scope.shows(class, object) || !want.filter.passes(&want.scope, &view, class, object) {
        return None;
    }
    let mut bytes = Vec::with_capacity(512);
    let mut out = JsonWriter::new(&mut bytes);
    out.begin_struct();
    out.name("class");
    out.text(class.name());
    out.name("ref");
    out.reference(object.reference);
    out.name("uuid");
    let uuid = MODEL.field(class, "uuid").map(|field| object.record[field].as_str());
    out.text(uuid.unwrap_or_default());
    out.name("snapshot");
    sight.read().render_fields(class, object, |field| fields.wanted(field), &mut out);
    out.end_struct();
    Some(Bytes::from(bytes))
}

/// A stream of Server-Sent Events.
struct Stream {
    place: Place,
    phase: Phase,
    open: OpenStream,
    /// Messages that were looked up and not sent yet.
    ready: VecDeque<Bytes>,
}

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Begins,
    Snapshot,
    Lives,
    Ended,
}

impl Stream {
    /// The next bytes for the client; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        match self.phase {
            Phase::Ended => None,
            Phase::Begins => {
                self.phase = if self.place.snapshot.is_some() { Phase::Snapshot } else { Phase::Lives };
                Some(Bytes::from(format!("retry: {RETRY_MS}\n\n")))
            }
            Phase::Snapshot => match self.place.next_objects() {
                Some(objects) => Some(objects.iter().fold(Vec::new(), |out, o| message(out, "snapshot", "", o)).into()),
                None => {
                    self.phase = Phase::Lives;
                    let token = self.place.token().to_string();
                    Some(message(Vec::new(), "live", &token, b"{}").into())
                }
            },
            Phase::Lives => Some(match self.lives().await {
                Ok(bytes) => bytes,
                Err((end, reason)) => {
                    self.phase = Phase::Ended;
                    self.open.ends(end);
                    let reason = serde_json::json!({ "reason": reason }).to_string();
                    message(Vec::new(), "end", "", reason.as_bytes()).into()
                }
            }),
        }
    }

    /// The next events, or a heartbeat when there are none for a while; in error, why the stream ends, in words too.
    async fn lives(&mut self) -> Result<Bytes, (End, String)> {
        let heartbeat = Instant::now() + HEARTBEAT;
        loop {
            let place = &mut self.place;
            // Whoever reads slowly may have lost rights since they were looked up.
            if let Some(ready) = self.ready.pop_front().filter(|_| place.keeps_rights()) {
                return Ok(ready);
            }
            let over = place.wait.is_over();
            let page = place.page(LOOK).await.map_err(|error| (End::Failure, error.code.to_string()))?;
            let Some(page) = page else {
                let end = if place.gateway.still_valid(&place.caller).is_err() { End::Session } else { End::Rights };
                return Err((end, "SESSION_INVALID: the session ended, or the caller's rights changed".into()));
            };
            let told = self.take(&page);
            self.open.reached(self.place.position, told, self.place.gateway.ledger.world().now());
            if told > 0 {
                continue;
            }
            let place = &self.place;
            if over {
                let end = if place.gateway.is_leaving() { End::Stop } else { End::Age };
                return Err((end, "the server stops, or the stream lived long enough: come back".into()));
            }
            if Instant::now() >= heartbeat {
                return Ok(Bytes::from(format!(": heartbeat\nid: {}\n\n", place.token())));
            }
            let more = place.wait.at_most(heartbeat).await;
            more.map_err(|error| (End::Session, format!("{}: the session ended", error.code)))?;
        }
    }

    /// Makes the page's messages ready, as many as a slow client may have waiting, and says how many events they tell of.
    /// The rest is looked up again.
    fn take(&mut self, page: &Page) -> usize {
        let (mut bytes, mut told, mut last) = (0, 0, None);
        for part in &page.parts {
            if bytes >= AHEAD {
                break;
            }
            let framed = part.framed(frame);
            (bytes, told) = (bytes + framed.len(), told + part.events().len());
            last = part.events().last();
            self.ready.push_back(framed);
        }
        if let Some(last) = last.filter(|_| told < page.len()) {
            self.place.position = last.position;
        }
        told
    }
}

/// Appends an event's message.
fn frame(out: &mut Vec<u8>, event: &Delivered) {
    let token = Token { position: event.position, lineage: event.lineage }.to_string();
    *out = message(std::mem::take(out), "", &token, event.json());
}

/// Appends one message; JSON has no line breaks in it.
fn message(mut out: Vec<u8>, name: &str, id: &str, data: &[u8]) -> Vec<u8> {
    for (field, text) in [("event: ", name.as_bytes()), ("id: ", id.as_bytes()), ("data: ", data)] {
        if !text.is_empty() {
            out.extend_from_slice(field.as_bytes());
            out.extend_from_slice(text);
            out.push(b'\n');
        }
    }
    out.push(b'\n');
    out
}
