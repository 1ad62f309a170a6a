//! `xenledger log show`: who did what, when, and what changed by it. Newest
//! rows are found first, then told in the log's order.

use super::{changes, render};
use crate::event::Event;
use crate::log::sqlite::LogReader;
use crate::views::View;
use crate::views::past::filter::Filter;
use crate::views::past::tell;
use crate::views::restore::restore;
use std::path::PathBuf;

/// Options of `log show`.
#[derive(clap::Args, Debug)]
pub struct ShowArgs {
    /// The data folder.
    #[arg(long, env = "XENLEDGER_DATA", default_value = "xenledger-data")]
    pub data: PathBuf,
    /// Only what changed objects of this class, or was refused by it.
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
    /// Only what ended so: done, refused, failed.
    #[arg(long)]
    pub outcome: Option<String>,
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
    let filter = filter(&args, &view)?;
    let found = filter.newest(&reader, args.limit).await?;
    let text = if args.json { lines(&found, &view) } else { table(&found, &view) };
    super::print(&text)
}

fn filter(args: &ShowArgs, view: &View) -> anyhow::Result<Filter> {
    let now = crate::world::World::real().now();
    let given = [
        ("class", &args.class),
        ("object", &args.object),
        ("principal", &args.principal),
        ("message", &args.message),
        ("kind", &args.kind),
        ("outcome", &args.outcome),
        ("since", &args.since),
        ("until", &args.until),
    ];
    let mut filter = Filter::default();
    for (name, text) in given {
        if let Some(text) = text {
            filter.set(name, text, view, now).map_err(anyhow::Error::msg)?;
        }
    }
    Ok(filter)
}

/// One JSON object a line, as `GET /log` gives them.
fn lines(events: &[Event], view: &View) -> String {
    render::json_lines(events.iter().map(|event| tell::event(event, view)))
}

/// A table for people.
pub fn table(events: &[Event], view: &View) -> String {
    let mut table = render::table();
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
