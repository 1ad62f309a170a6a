//! `xenledger log show`: who did what, when, and what changed by it. Newest
//! rows are found first, then told in the log's order.

use super::changes;
use crate::event::{Event, Kind};
use crate::log::sqlite::LogReader;
use crate::model::{ClassId, MODEL};
use crate::value::{Micros, Ref, parse_time};
use crate::views::View;
use crate::views::restore::restore;
use anyhow::{Context, bail};
use serde_json::{Value as Json, json};
use std::path::PathBuf;

/// Rows read at once.
const PAGE: usize = 1000;

/// Options of `log show`.
#[derive(clap::Args, Debug)]
pub struct ShowArgs {
    /// The data folder.
    #[arg(long, env = "XENLEDGER_DATA", default_value = "xenledger-data")]
    pub data: PathBuf,
    /// Only what changed objects of this class.
    #[arg(long)]
    pub class: Option<String>,
    /// Only what changed this object: its reference, its uuid, or its name.
    #[arg(long)]
    pub object: Option<String>,
    /// Only what this principal did: `user/root`, or a part of it.
    #[arg(long)]
    pub principal: Option<String>,
    /// Only this message: `VM.start`.
    #[arg(long)]
    pub message: Option<String>,
    /// Only rows of this kind: change, refused, login, seal, lineage, checkpoint.
    #[arg(long)]
    pub kind: Option<String>,
    /// Only rows from here on: a position, a time (2026-11-22T19:56:26), or how long ago (90s, 15m, 2h, 7d).
    #[arg(long)]
    pub since: Option<String>,
    /// Only rows up to here.
    #[arg(long)]
    pub until: Option<String>,
    /// At most so many rows, the newest.
    #[arg(long, default_value_t = 50)]
    pub limit: usize,
    /// Print for programs: one JSON object a line.
    #[arg(long)]
    pub json: bool,
}

pub async fn run(args: ShowArgs) -> anyhow::Result<()> {
    let reader = LogReader::open(&args.data).await?;
    // Not the store alone: it is up to a second behind, and an operator asks about what happened just now.
    let view = restore(&reader, &args.data, |_, _| {}).await.map(|(view, _)| view).unwrap_or_default();
    let now = crate::world::World::real().now();
    let filter = Filter::of(&args, &view, now)?;
    let mut found: Vec<Event> = Vec::new();
    let mut before = filter.until_position.map_or(u64::MAX, |position| position.saturating_add(1));
    'pages: loop {
        let page = reader.read_back(before, PAGE).await?;
        let Some(oldest) = page.last() else { break };
        before = oldest.position;
        for row in page {
            if filter.is_before(row.position, row.time) || found.len() >= args.limit {
                break 'pages;
            }
            let event = row.event().with_context(|| format!("row {}", row.position))?;
            if filter.wants(&event) {
                found.push(event);
            }
        }
    }
    found.reverse();
    let text = if args.json { lines(&found) } else { table(&found, &view) };
    super::print(&text)
}

/// Which rows are wanted.
#[derive(Default)]
struct Filter {
    class: Option<ClassId>,
    object: Option<Ref>,
    principal: Option<String>,
    message: Option<String>,
    kind: Option<Kind>,
    since_position: Option<u64>,
    since_time: Option<Micros>,
    until_position: Option<u64>,
    until_time: Option<Micros>,
}

impl Filter {
    fn of(args: &ShowArgs, view: &View, now: Micros) -> anyhow::Result<Filter> {
        let class = args.class.as_deref().map(|name| MODEL.class(name).with_context(|| format!("no class {name}")));
        let kind = args.kind.as_deref().map(|name| Kind::parse(name).with_context(|| format!("no kind {name}")));
        let object = args.object.as_deref().map(|text| find_object(view, text));
        let (since_position, since_time) = moment(args.since.as_deref(), now)?;
        let (until_position, until_time) = moment(args.until.as_deref(), now)?;
        Ok(Filter {
            class: class.transpose()?,
            object: object.transpose()?,
            principal: args.principal.clone(),
            message: args.message.clone(),
            kind: kind.transpose()?,
            since_position,
            since_time,
            until_position,
            until_time,
        })
    }

    fn is_before(&self, position: u64, time: Micros) -> bool {
        self.since_position.is_some_and(|since| position < since) || self.since_time.is_some_and(|since| time < since)
    }

    fn wants(&self, event: &Event) -> bool {
        let changes = &event.body.changes;
        self.until_time.is_none_or(|until| event.time <= until)
            && self.kind.is_none_or(|kind| event.kind == kind)
            && self.principal.as_deref().is_none_or(|wanted| event.principal.contains(wanted))
            && self.message.as_deref().is_none_or(|wanted| event.message.eq_ignore_ascii_case(wanted))
            && self.class.is_none_or(|class| changes.iter().any(|change| change.class == class))
            && self.object.is_none_or(|object| {
                event.body.task == Some(object) || changes.iter().any(|change| change.reference == object)
            })
    }
}

/// An object by reference, uuid or name, as the log has it now.
fn find_object(view: &View, text: &str) -> anyhow::Result<Ref> {
    if let Some(reference) = Ref::parse(text).filter(|reference| !reference.is_null()) {
        return Ok(reference);
    }
    let classes = || crate::model::CLASS_IDS.iter().copied();
    if let Some(found) = classes().find_map(|class| view.by_uuid(class, text)) {
        return Ok(found);
    }
    let named = classes().flat_map(|class| view.class(class).objects.values().map(move |object| (class, object)));
    let named: Vec<_> = named.filter(|(class, object)| changes::name_of(*class, object) == Some(text)).collect();
    match named.as_slice() {
        [(_, object)] => Ok(object.reference),
        [] => bail!("no object has the reference, uuid or name {text:?}; for a deleted one, give its reference"),
        several => {
            let listed: Vec<String> =
                several.iter().map(|(class, object)| format!("{} {}", class.name(), object.reference)).collect();
            bail!("{text:?} is the name of several objects:\n  {}", listed.join("\n  "))
        }
    }
}

/// A position, or a time.
fn moment(text: Option<&str>, now: Micros) -> anyhow::Result<(Option<u64>, Option<Micros>)> {
    let Some(text) = text else { return Ok((None, None)) };
    if let Ok(position) = text.parse() {
        return Ok((Some(position), None));
    }
    let ago = ago(text).map(|ago| now - ago);
    let time = ago.or_else(|| parse_time(text)).or_else(|| parse_time(&format!("{text}T00:00:00")));
    let time = time.with_context(|| format!("{text:?} is no position, no time and no duration"))?;
    Ok((None, Some(time)))
}

fn ago(text: &str) -> Option<Micros> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds: i64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(seconds * 1_000_000)
}

fn lines(events: &[Event]) -> String {
    events.iter().map(|event| to_json(event).to_string()).collect::<Vec<_>>().join("\n")
}

/// The row for programs: its columns, and its payload as it is stored.
fn to_json(event: &Event) -> Json {
    let mut json = json!({
        "kind": event.kind.name(),
        "lineage": event.lineage.to_string(),
        "term": event.term,
        "position": event.position,
        "time": changes::time(event.time),
        "principal": &*event.principal,
        "message": &*event.message,
    });
    if !event.request.is_empty() {
        json["request"] = Json::from(&*event.request);
    }
    if event.cause > 0 {
        json["cause"] = Json::from(event.cause);
    }
    let body: Json = serde_json::from_str(&event.body.to_payload()).unwrap_or_default();
    if let (Json::Object(row), Json::Object(body)) = (&mut json, body) {
        row.extend(body);
    }
    json
}

fn table(events: &[Event], view: &View) -> String {
    let mut table = super::render::table();
    table.set_header(["POSITION", "TIME", "PRINCIPAL", "MESSAGE", "WHAT CHANGED"]);
    for event in events {
        table.add_row([
            event.position.to_string(),
            changes::time(event.time),
            event.principal.to_string(),
            changes::message(event),
            changes::describe(event, view),
        ]);
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Micros = 1_700_000_000_000_000;

    #[test]
    fn moments_are_positions_times_and_durations() {
        assert_eq!(moment(None, NOW).expect("nothing"), (None, None));
        assert_eq!(moment(Some("42"), NOW).expect("a position"), (Some(42), None));
        assert_eq!(moment(Some("90s"), NOW).expect("a duration"), (None, Some(NOW - 90_000_000)));
        assert_eq!(moment(Some("2d"), NOW).expect("a duration"), (None, Some(NOW - 172_800_000_000)));
        let iso = moment(Some("2023-11-14T22:13:20Z"), NOW).expect("a time");
        assert_eq!(iso, (None, Some(NOW)));
        assert_eq!(moment(Some("20231114T22:13:20"), NOW).expect("a time"), iso);
        assert!(moment(Some("2023-11-14"), NOW).expect("a day").1.expect("a time") < NOW);
        assert!(moment(Some("yesterday"), NOW).is_err());
    }
}
