//! What a report on this server's state can hold. There is no archive to fetch
//! in one piece: each part says which resource or which message gives it.
//!
//! Must never know how a part is made, or give it.

use super::{access, journal, local};
use std::fmt::Write;

/// How much a part holds, where nobody can tell before it is read: XenAPI's word for that.
const UNKNOWN: i64 = -1;

/// One part.
struct Part {
    key: &'static str,
    content_type: &'static str,
    /// Where it is to be had: a method and a path, or a message that takes the host.
    from: Source,
    /// The most that it holds, in bytes.
    max_size: i64,
    /// Whether it tells of people: their names, and the addresses that they call from.
    personal: &'static str,
}

enum Source {
    Resource(&'static access::Resource),
    Message(&'static str),
}

const TEXT: &str = "text/plain";

const PARTS: &[Part] = &[
    Part {
        key: "event-log",
        content_type: "application/x-ndjson",
        from: Source::Resource(&access::LOG),
        max_size: UNKNOWN,
        personal: "yes",
    },
    Part {
        key: "audit-log",
        content_type: TEXT,
        from: Source::Resource(&access::AUDIT_LOG),
        max_size: UNKNOWN,
        personal: "yes",
    },
    Part {
        key: "log-checkpoint",
        content_type: TEXT,
        from: Source::Resource(&access::CHECKPOINT),
        max_size: UNKNOWN,
        personal: "no",
    },
    Part {
        key: "metrics",
        content_type: "application/openmetrics-text",
        from: Source::Resource(&access::METRICS),
        max_size: UNKNOWN,
        personal: "no",
    },
    Part {
        key: "agent-log",
        content_type: TEXT,
        from: Source::Message(local::GET_LOG),
        max_size: journal::KEPT_MAX as i64,
        personal: "maybe",
    },
    Part {
        key: "hypervisor-log",
        content_type: TEXT,
        from: Source::Message(local::DMESG),
        max_size: UNKNOWN,
        personal: "maybe",
    },
];

/// The answer of `host.get_system_status_capabilities`: XenAPI's XML, and in `from` where the part is.
pub(super) fn capabilities() -> String {
    let mut xml = String::from("<?xml version=\"1.0\" ?>\n<system-status-capabilities>\n");
    for Part { key, content_type, from, max_size, personal } in PARTS {
        let from = match from {
            Source::Resource(resource) => format!("{} {}", resource.method, resource.path),
            Source::Message(message) => (*message).to_string(),
        };
        let size = format!("min-size=\"0\" max-size=\"{max_size}\" min-time=\"{UNKNOWN}\" max-time=\"{UNKNOWN}\"");
        writeln!(
            xml,
            "  <capability key=\"{key}\" content-type=\"{content_type}\" default-checked=\"yes\" pii=\"{personal}\" \
             {size} from=\"{from}\"/>"
        )
        .expect("BUG: writing to a string cannot fail");
    }
    xml.push_str("</system-status-capabilities>\n");
    xml
}
