//! The log over HTTP: `GET /log` streams events as JSON lines, `GET /audit_log`
//! gives them in the text form that tools for XenServer read, and
//! `GET /log/checkpoint` the signed head.

use super::resources::{refused, text};
use super::{Gateway, Peer, access};
use crate::event::{Event, Kind};
use crate::log::notary;
use crate::log::rows::Moment;
use crate::value::{Micros, parse_time};
use crate::views::View;
use crate::views::past::filter::{Filter, Outcome};
use crate::views::past::tell;
use crate::wire::Format;
use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, FromRequest, Query, RawQuery, Request, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use futures_util::stream;
use std::sync::Arc;

pub fn routes() -> Router<Gateway> {
    Router::new()
        .route(access::LOG.path, get(log))
        .route(access::AUDIT_LOG.path, get(audit_log))
        .route(access::CHECKPOINT.path, get(checkpoint))
}

/// The signed head: for everybody who may log in, and for monitoring on this machine.
async fn checkpoint(
    State(gateway): State<Gateway>,
    Extension(peer): Extension<Peer>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response<Body> {
    if let Err(denied) = gateway.admit(&access::CHECKPOINT, &headers, query.as_deref(), &peer).await {
        return denied;
    }
    let note = notary::checkpoint(&gateway.signer, &gateway.ledger.view());
    plain(Body::from(note), "text/plain; charset=utf-8")
}

/// What a request that reads the whole log came with; who may not read it is turned away before.
struct Asking {
    gateway: Gateway,
    pairs: Vec<(String, String)>,
}

impl FromRequest<Gateway> for Asking {
    type Rejection = Response<Body>;

    async fn from_request(request: Request, gateway: &Gateway) -> Result<Asking, Response<Body>> {
        let peer = request.extensions().get::<Peer>().cloned().unwrap_or_default();
        // Both are the whole log, for the same people.
        gateway.admit(&access::LOG, request.headers(), request.uri().query(), &peer).await?;
        let pairs = Query::try_from_uri(request.uri()).map_err(IntoResponse::into_response)?;
        Ok(Asking { gateway: gateway.clone(), pairs: pairs.0 })
    }
}

/// Events as JSON lines, oldest first; the query filters as `log show` does, `limit` ends it early.
async fn log(Asking { gateway, pairs }: Asking) -> Response<Body> {
    let (view, now) = (gateway.ledger.view(), gateway.ledger.world().now());
    let mut filter = Filter::default();
    let mut limit = usize::MAX;
    for (name, value) in pairs.iter().filter(|(name, _)| name != super::resources::SESSION) {
        let set = match name.as_str() {
            "limit" => value.parse().map(|number| limit = number).map_err(|_| format!("no number {value}")),
            _ => filter.set(name, value, &view, now),
        };
        if let Err(wrong) = set {
            return refused(StatusCode::BAD_REQUEST, wrong);
        }
    }
    let line = |event: &Event, view: &View, out: &mut Vec<u8>| {
        Format::Json.render(out, &tell::event(event, view));
        out.push(b'\n');
    };
    stream_events(gateway, view, filter, limit, "application/x-ndjson", line).await
}

/// Everything since a time, as XenServer's audit log.
async fn audit_log(Asking { gateway, pairs }: Asking) -> Response<Body> {
    let mut filter = Filter::default();
    if let Some((_, since)) = pairs.iter().find(|(name, since)| name == "since" && !since.is_empty()) {
        match audit_time(since) {
            Some(time) => filter.since = Some(Moment::Time(time)),
            None => return refused(StatusCode::BAD_REQUEST, format!("no time {since}")),
        }
    }
    let view = gateway.ledger.view();
    stream_events(gateway, view, filter, usize::MAX, "text/plain; charset=utf-8", audit_line).await
}

/// `20261122T19:56:26.123Z`, as the audit log itself writes it, or without the fraction.
fn audit_time(text: &str) -> Option<Micros> {
    let (seconds, fraction) = text.trim_end_matches('Z').split_once('.').unwrap_or((text, "0"));
    let millis: Micros = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    Some(parse_time(seconds)? + millis * 1000)
}

type Line = fn(&Event, &View, &mut Vec<u8>);

/// A body that is read from the log as the client takes it, up to the position that was the head when it asked.
async fn stream_events(
    gateway: Gateway,
    view: Arc<View>,
    mut filter: Filter,
    limit: usize,
    content_type: &'static str,
    line: Line,
) -> Response<Body> {
    if filter.until.is_none() {
        filter.until = Some(Moment::Position(view.position));
    }
    let start = match filter.start(gateway.past.rows()).await {
        Ok(start) => start,
        Err(error) => {
            tracing::error!(%error, "the log could not be read");
            return text(StatusCode::SERVICE_UNAVAILABLE, "the log cannot be read now\n");
        }
    };
    let state = (gateway, view, filter, start, limit);
    let pages = stream::try_unfold(state, move |(gateway, view, filter, after, room)| async move {
        if room == 0 {
            return Ok(None);
        }
        let page = {
            let _turn = gateway.past.turn().await;
            filter.page(gateway.past.rows(), after).await
        };
        let Some((events, last)) = page.map_err(std::io::Error::other)? else { return Ok(None) };
        let mut out = Vec::new();
        for event in events.iter().take(room) {
            line(event, &view, &mut out);
        }
        let room = room - events.len().min(room);
        Ok::<_, std::io::Error>(Some((bytes::Bytes::from(out), (gateway, view, filter, last, room))))
    });
    plain(Body::from_stream(pages), content_type)
}

fn plain(body: Body, content_type: &'static str) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// One line of XenServer's audit log: a prefix, then who, whether it was allowed, how it ended, what, on which objects.
fn audit_line(event: &Event, view: &View, out: &mut Vec<u8>) {
    if !matches!(event.kind, Kind::Change | Kind::Refused | Kind::Login) {
        return;
    }
    let time = jiff::Timestamp::from_microsecond(event.time).unwrap_or_default();
    let time = time.strftime("%Y%m%dT%H:%M:%S");
    let millis = event.time.rem_euclid(1_000_000) / 1000;
    let task = event.body.task.map(|task| task.uuid_text()).unwrap_or_default();
    let address = &event.body.address;
    let (subject, user) = match event.principal.strip_prefix("user/") {
        Some("root") => ("LOCAL_SUPERUSER", "root"),
        Some(user) => ("LOCAL_SESSION", user),
        None => ("LOCAL_SESSION", &*event.principal),
    };
    let (allowed, outcome) = verdict(event);
    let interface = if event.message.starts_with("http.") { "HTTP" } else { "API" };
    let track = format!("trackid={}", event.position);
    let words = [&*track, subject, user, allowed, &outcome, interface, &event.message];
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    let objects: Vec<String> = tell::objects(event, view)
        .into_iter()
        .map(|object| {
            let reference = object.reference.to_string();
            let words = [object.class.name(), &object.name, &object.uuid, &reference];
            format!("({})", words.map(quoted).join(" "))
        })
        .collect();
    let line = format!(
        "[{time}.{millis:03}Z|info|xenledger|{address}|{task}|audit] ({} ({}))\n",
        words.join(" "),
        objects.join(" ")
    );
    out.extend_from_slice(line.as_bytes());
}

fn verdict(event: &Event) -> (&'static str, String) {
    let code = event.body.error.first().map(String::as_str).unwrap_or_default();
    match Outcome::of(event) {
        Outcome::Done => ("ALLOWED", "OK".into()),
        Outcome::Refused if event.kind == Kind::Login || code == "RBAC_PERMISSION_DENIED" => {
            ("DENIED", format!("ERROR:{code}"))
        }
        _ => ("ALLOWED", format!("ERROR:{code}")),
    }
}

/// A word in quotes; what would end the line or the quotes is made harmless.
fn quoted(word: &str) -> String {
    let clean = word.replace(['\r', '\n'], " ").replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{clean}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audit_times_are_read_as_they_are_written() {
        assert_eq!(audit_time("20231114T22:13:20.123Z"), Some(1_700_000_000_123_000));
        assert_eq!(audit_time("20231114T22:13:20Z"), Some(1_700_000_000_000_000));
        assert_eq!(audit_time("2023-11-14T22:13:20.5"), Some(1_700_000_000_500_000));
        assert_eq!(audit_time("yesterday"), None);
    }

    #[test]
    fn a_line_stays_a_line() {
        assert_eq!(quoted("a\"b\\c\nd"), "\"a\\\"b\\\\c d\"");
    }
}
