//! What is posted: a batch of events in one of two forms, with an id and a
//! signature as the Standard Webhooks specification says.
//!
//! The id of a batch names its first and last event: the same events, posted
//! again, have the same id, and other events never do. Each event has an id of
//! its own for receivers that want everything exactly once.

use crate::model::{pool, subscription};
use crate::subscribe::delivered::Delivered;
use crate::subscribe::page::Page;
use crate::value::Micros;
use crate::views::{Object, Token, View};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use ring::hmac;
use serde_json::Value as Json;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

/// How a secret in the specification's own form begins; base64 follows.
const SECRET_PREFIX: &str = "whsec_";

/// One batch, ready to be posted, any number of times.
pub struct Letter {
    pub id: String,
    /// Seconds.
    pub timestamp: i64,
    pub content_type: &'static str,
    pub body: Bytes,
    /// Empty without a secret.
    pub signature: String,
}

impl Letter {
    pub fn of(view: &View, held: &Object, page: &Page, secret: Option<Zeroizing<Vec<u8>>>, now: Micros) -> Letter {
        let uuid = held.get(subscription::uuid);
        let first = page.events().next().map_or(0, |event| event.position);
        let last = page.last().unwrap_or(0);
        // Not how far the log was looked at, which may be further when the same events are posted again.
        let position = page.last().unwrap_or(page.reached);
        let cursor = Token { position, lineage: view.lineage }.to_string();
        let (content_type, body) = match held.get(subscription::format) {
            "cloudevents" => ("application/cloudevents-batch+json", cloud_events(view, page)),
            _ => ("application/json", plain(uuid, &cursor, page)),
        };
        let id = format!("msg_{uuid}_{}_{first}_{last}", view.lineage);
        let timestamp = now / 1_000_000;
        let signature = secret.map(|secret| sign(&secret, &id, timestamp, &body)).unwrap_or_default();
        Letter { id, timestamp, content_type, body: body.into(), signature }
    }
}

fn plain(uuid: &str, cursor: &str, page: &Page) -> Vec<u8> {
    let mut out = format!("{{\"subscription\":\"{uuid}\",\"cursor\":\"{cursor}\",\"events\":[").into_bytes();
    for (nth, event) in page.events().enumerate() {
        if nth > 0 {
            out.push(b',');
        }
        out.extend_from_slice(event.json());
    }
    out.extend_from_slice(b"]}");
    out
}

/// The batch form of CloudEvents 1.0.
fn cloud_events(view: &View, page: &Page) -> Vec<u8> {
    let source = view.all::<pool>().next().map(|pool| format!("/pool/{}", pool.get(pool::uuid))).unwrap_or_default();
    let enveloped = |event: &std::sync::Arc<Delivered>| {
        let data = std::str::from_utf8(event.json()).expect("BUG: JSON is UTF-8");
        let data: &RawValue = serde_json::from_str(data).expect("BUG: what was rendered is JSON");
        let fields: [(&str, Json); 6] = [
            ("specversion", "1.0".into()),
            ("id", event.id().into()),
            ("source", source.clone().into()),
            ("type", format!("xenapi.{}", event.message).into()),
            ("time", event.time_text().into()),
            ("datacontenttype", "application/json".into()),
        ];
        let mut text = String::from("{");
        for (name, value) in fields {
            text.push_str(&format!("\"{name}\":{value},"));
        }
        text.push_str(&format!("\"data\":{}}}", data.get()));
        text
    };
    format!("[{}]", page.events().map(enveloped).collect::<Vec<_>>().join(",")).into_bytes()
}

/// HMAC-SHA256 over id, time and body.
pub fn sign(secret: &[u8], id: &str, timestamp: i64, body: &[u8]) -> String {
    let text = std::str::from_utf8(secret).ok().and_then(|text| text.strip_prefix(SECRET_PREFIX));
    let decoded = text.and_then(|text| BASE64.decode(text).ok()).map(Zeroizing::new);
    let key = hmac::Key::new(hmac::HMAC_SHA256, decoded.as_deref().map_or(secret, Vec::as_slice));
    let mut context = hmac::Context::with_key(&key);
    context.update(format!("{id}.{timestamp}.").as_bytes());
    context.update(body);
    format!("v1,{}", BASE64.encode(context.sign()))
}
