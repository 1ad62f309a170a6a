//! `xenledger log replay`, `log history` and `log diff`: the pool as it was.
//! They read a data folder, whether a server is using it or not.

use super::{changes, render, show};
use crate::log::rows::Moment;
use crate::log::sqlite::LogReader;
use crate::model::{CLASSES, ClassId, MODEL};
use crate::value::{Encode, Ref};
use crate::views::View;
use crate::views::past::{backward, diff, filter, forward, history};
use crate::views::read::{ReadView, Scope};
use crate::views::restore::{restore, stored};
use crate::views::store::Store;
use anyhow::{Context, bail};
use indicatif::ProgressBar;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Where the log is.
#[derive(clap::Args, Debug)]
pub struct DataArgs {
    /// The data folder.
    #[arg(long, env = "XENLEDGER_DATA", default_value = "xenledger-data")]
    pub data: PathBuf,
}

/// Options of `log replay`.
#[derive(clap::Args, Debug)]
pub struct ReplayArgs {
    #[command(flatten)]
    pub log: DataArgs,
    /// The moment: a position, a time (2026-11-22T19:56:26), or how long ago (90s, 15m, 2h, 7d). Without, the end.
    #[arg(long, value_name = "MOMENT")]
    pub until: Option<String>,
    /// Write an SQLite file with one view per class, instead of JSON.
    #[arg(long, value_name = "FILE", conflicts_with = "state_hash")]
    pub sqlite: Option<PathBuf>,
    /// Write the JSON here, not to standard output.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["sqlite", "state_hash"])]
    pub output: Option<PathBuf>,
    /// Print position and hash of the state only.
    #[arg(long)]
    pub state_hash: bool,
}

/// Options of `log history`.
#[derive(clap::Args, Debug)]
pub struct HistoryArgs {
    #[command(flatten)]
    pub log: DataArgs,
    /// Which object: VM/REF, where REF is its reference, its uuid, or its name.
    #[arg(value_name = "CLASS/REF")]
    pub object: String,
    /// Only this field.
    pub field: Option<String>,
    /// At most so many changes, the oldest.
    #[arg(long, default_value_t = 10_000)]
    pub limit: usize,
    /// Print for programs: one JSON object a line.
    #[arg(long)]
    pub json: bool,
}

/// Options of `log diff`.
#[derive(clap::Args, Debug)]
pub struct DiffArgs {
    #[command(flatten)]
    pub log: DataArgs,
    /// The earlier moment: a position, a time, or how long ago.
    pub from: String,
    /// The later one; without, the end.
    pub to: Option<String>,
    /// Print for programs: one JSON object a line.
    #[arg(long)]
    pub json: bool,
}

pub async fn replay(args: ReplayArgs) -> anyhow::Result<()> {
    let reader = LogReader::open(&args.log.data).await?;
    let view = view_at(&reader, &args.log.data, args.until.as_deref()).await?;
    if args.state_hash {
        return super::print(&format!("{} {}", view.position, super::verify::hex(&view.state_hash())));
    }
    match (&args.sqlite, &args.output) {
        (Some(file), _) => write_sqlite(file, &view).await,
        (None, Some(file)) => {
            let out = std::fs::File::create_new(file).with_context(|| format!("cannot make {}", file.display()))?;
            let mut out = std::io::BufWriter::new(out);
            write_json(&mut out, &view)?;
            Ok(out.flush()?)
        }
        (None, None) => match write_json(&mut std::io::stdout().lock(), &view) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            other => Ok(other?),
        },
    }
}

/// Where a moment is in the log; without one, its end.
async fn position_of(reader: &LogReader, at: Option<&str>) -> anyhow::Result<u64> {
    let head = reader.head().await?;
    let position = match at {
        None => head.position,
        Some(text) => moment(text)?.position(reader).await?,
    };
    if position > head.position {
        bail!("position {position} is not there yet: the log ends at {}", head.position);
    }
    Ok(position)
}

/// The view at a moment: from the stored one, if that is not behind it, or folded from the beginning.
pub async fn view_at(reader: &LogReader, data: &Path, until: Option<&str>) -> anyhow::Result<View> {
    let position = position_of(reader, until).await?;
    let stored = stored(reader, data).await?.filter(|view| view.position <= position);
    folded(reader, stored.unwrap_or_default(), position).await
}

/// Folds the log from `start` to a position, with a progress bar.
async fn folded(reader: &LogReader, start: View, position: u64) -> anyhow::Result<View> {
    let bar: ProgressBar = super::verify::progress_bar(position);
    let view = forward(reader, start, position, |at| bar.set_position(at)).await?;
    bar.finish_and_clear();
    Ok(view)
}

fn moment(text: &str) -> anyhow::Result<Moment> {
    let now = crate::world::World::real().now();
    Moment::parse(text, now).with_context(|| format!("{text:?} is no position, no time and no duration"))
}

/// One line a class: whole views are too large for one JSON value in memory.
fn write_json(out: &mut impl Write, view: &View) -> std::io::Result<()> {
    writeln!(out, "{{\"position\":{},\"lineage\":\"{}\",", view.position, view.lineage)?;
    writeln!(out, "\"time\":\"{}\",", changes::time(view.time))?;
    writeln!(out, "\"hash\":\"{}\",", super::verify::hex(&view.hash))?;
    writeln!(out, "\"state_hash\":\"{}\",", super::verify::hex(&view.state_hash()))?;
    writeln!(out, "\"classes\":{{")?;
    for (nth, class) in CLASSES.iter().enumerate() {
        let mut text = Vec::new();
        records(&mut text, view, class.id);
        let comma = if nth + 1 < CLASSES.len() { "," } else { "" };
        write!(out, "\"{}\":", class.name)?;
        out.write_all(&text)?;
        writeln!(out, "{comma}")?;
    }
    writeln!(out, "}}}}")
}

fn records(text: &mut Vec<u8>, view: &View, class: ClassId) {
    let read = ReadView::new(view, &Scope::All);
    let mut json = crate::wire::jsonrpc::JsonWriter::new(text);
    json.begin_struct();
    for object in read.objects(class) {
        object.reference.with_text(|reference| json.name(reference));
        read.render(class, object, &mut json);
    }
    json.end_struct();
}

async fn write_sqlite(file: &Path, view: &View) -> anyhow::Result<()> {
    if file.exists() {
        bail!("{} is there already", file.display());
    }
    let mut store = Store::create(file).await?;
    store.write(view).await?;
    Ok(store.close(view).await?)
}

pub async fn object_history(args: HistoryArgs) -> anyhow::Result<()> {
    let reader = LogReader::open(&args.log.data).await?;
    let (view, _) = restore(&reader, &args.log.data, |_, _| {}).await?;
    let (class, name) = args.object.split_once('/').context("the object is CLASS/REF, such as VM/web")?;
    let class = MODEL.class(class).with_context(|| format!("there is no class {class}"))?;
    let reference = in_class(&view, class, name)?;
    let field = args.field.as_deref().map(|name| {
        let field = MODEL.field(class, name).filter(|field| !class.def().fields[*field].flags.secret);
        field.with_context(|| format!("{} has no field {name}", class.name()))
    });
    // What is there has no changes before its beginning.
    let after = view.object(class, reference).map_or(0, |object| object.created.saturating_sub(1));
    let events = history(&reader, class, reference, field.transpose()?, after, args.limit).await?;
    if events.is_empty() {
        bail!("the log knows nothing of {} {reference}", class.name());
    }
    let text = match args.json {
        true => render::json_lines(events.iter().map(|event| crate::views::past::tell::event(event, &view))),
        false => show::table(&events, &view),
    };
    super::print(&text)
}

/// An object of that class: by reference, by uuid, or by a name that no other has.
fn in_class(view: &View, class: ClassId, text: &str) -> anyhow::Result<Ref> {
    if let Some(found) = view.by_uuid(class, text) {
        return Ok(found);
    }
    if let Some(reference) = Ref::parse_uuid(text) {
        return Ok(reference); // without its prefix, as the log has it
    }
    let named =
        |object: &&std::sync::Arc<crate::views::Object>| crate::views::past::tell::name_of(class, object) == Some(text);
    let mut named = view.class(class).objects.values().filter(named);
    match (named.next(), named.next()) {
        (Some(one), None) => Ok(one.reference),
        _ => filter::find_object(view, text).map_err(anyhow::Error::msg),
    }
}

pub async fn differences(args: DiffArgs) -> anyhow::Result<()> {
    let reader = LogReader::open(&args.log.data).await?;
    let (present, _) = restore(&reader, &args.log.data, super::rebuilding()).await?;
    let from = position_of(&reader, Some(&args.from)).await?;
    let to = position_of(&reader, args.to.as_deref()).await?;
    if to < from {
        bail!("{} is before {}: the earlier moment comes first", args.to.unwrap_or_default(), args.from);
    }
    let (from, to) = both(&reader, present, from, to).await?;
    let found = diff::diff(&from, &to);
    let text = match args.json {
        true => render::json_lines(found.iter().map(diff::Difference::record)),
        false => table(&found),
    };
    super::print(&text)
}

/// Two views, by the shorter way: back from the present, or from the beginning. The second one is made from the first,
/// so that the two share what did not change between them.
async fn both(reader: &LogReader, present: View, from: u64, to: u64) -> anyhow::Result<(View, View)> {
    let back = present.position.checked_sub(from).filter(|back| *back < to);
    let Some(back) = back else {
        let earlier = folded(reader, View::default(), from).await?;
        let later = folded(reader, earlier.clone(), to).await?;
        return Ok((earlier, later));
    };
    let (bar, head) = (super::verify::progress_bar(back), present.position);
    let progress = |at: u64| bar.set_position(head.saturating_sub(at));
    // A running server may have gone on since the present was read.
    let later = match to < head {
        true => backward(reader, present, to, progress).await?,
        false => folded(reader, present, to).await?,
    };
    let earlier = backward(reader, later.clone(), from, progress).await?;
    bar.finish_and_clear();
    Ok((earlier, later))
}

fn table(found: &[diff::Difference]) -> String {
    let mut table = render::table();
    table.set_header(["OBJECT", "FIELD", "BEFORE", "AFTER"]);
    for one in found {
        let sign = match one.operation() {
            "add" => "+",
            "del" => "-",
            _ => "",
        };
        let object = one.after.as_deref().or(one.before.as_deref());
        let name = object.and_then(|object| crate::views::past::tell::name_of(one.class, object));
        let name = name.map_or_else(|| one.reference.to_string(), |name| format!("{name:?}"));
        let mut first = format!("{sign}{} {name}", one.class.name());
        if one.operation() != "mod" {
            table.add_row([first.clone(), String::new(), String::new(), String::new()]);
        }
        for (field, old, new) in one.fields() {
            table.add_row([std::mem::take(&mut first), field.into(), changes::brief(&old), changes::brief(&new)]);
        }
    }
    table.trim_fmt()
}
