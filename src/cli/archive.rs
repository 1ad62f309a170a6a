//! `xenledger log archive`: which ranges of the log are in which files, and,
//! while no server runs, sealing what is not sealed yet.

use super::past::DataArgs;
use super::render;
use crate::log::Port;
use crate::log::archive::Archive;
use crate::log::archive::keeper::{Keeper, Rules};
use crate::log::rows::ago;
use crate::log::sqlite::{LogReader, SqliteLog};
use crate::log::writer::Writer;
use crate::value::Micros;
use crate::views::restore::restore;
use crate::world::World;
use anyhow::Context;
use serde_json::json;
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

/// What is archived, where, and what stays in the database.
#[derive(clap::Args, Clone, Debug)]
pub struct ArchivingArgs {
    /// Where archive files are kept. Without, where they were; at first in `archive` in the data folder.
    #[arg(long, env = "XENLEDGER_ARCHIVE", value_name = "DIR")]
    pub archive: Option<PathBuf>,
    /// Rows of the log that make an archive file; 0 makes none.
    #[arg(long, env = "XENLEDGER_ARCHIVE_ROWS", default_value_t = 100_000, value_name = "N")]
    pub archive_rows: u64,
    /// So many of the newest rows stay in the database too; older ones that are archived go from it.
    #[arg(long, env = "XENLEDGER_KEEP_ROWS", default_value_t = 1_000_000, value_name = "N")]
    pub keep_rows: u64,
    /// What is older (90s, 15m, 2h, 7d) goes from the database however few rows there are, and is archived for that.
    #[arg(long, env = "XENLEDGER_KEEP_AGE", value_name = "AGE", value_parser = age)]
    pub keep_age: Option<Micros>,
}

fn age(text: &str) -> Result<Micros, String> {
    let age = ago(text).filter(|age| *age > 0);
    age.ok_or_else(|| "an age is a number with a unit: 90s, 15m, 2h or 7d".into())
}

impl ArchivingArgs {
    pub fn rules(&self) -> Rules {
        Rules { rows: self.archive_rows, keep: self.keep_rows, age: self.keep_age }
    }
}

/// Options of `log archive`.
#[derive(clap::Args, Debug)]
pub struct ArchiveArgs {
    #[command(flatten)]
    pub log: DataArgs,
    #[command(flatten)]
    pub archiving: ArchivingArgs,
    /// Seal everything up to the head now, and let rows go as the options say. No server may be using the folder.
    #[arg(long)]
    pub seal: bool,
    /// Print for programs: one JSON object a line.
    #[arg(long)]
    pub json: bool,
}

pub async fn run(args: ArchiveArgs) -> anyhow::Result<()> {
    if args.seal {
        seal(&args).await?;
    }
    let archives = LogReader::open(&args.log.data).await?.archives().await?;
    super::print(&if args.json { lines(&archives) } else { table(&archives) })
}

async fn seal(args: &ArchiveArgs) -> anyhow::Result<()> {
    let world = World::real();
    let mut log = SqliteLog::open(&args.log.data).await?;
    let (term, head) = log.open().await?;
    anyhow::ensure!(head.position > 0, "the log is empty");
    let folder = log.archive_in(args.archiving.archive.as_deref()).await?;
    let reader = log.reader();
    let (view, _) = restore(&reader, &args.log.data, super::rebuilding()).await?;
    let (writer, ledger) = Writer::new(log, term, view, world, Box::new(|_| ()));
    let writing = writer.start();
    let mut keeper = Keeper::new(ledger.clone(), reader, folder, args.archiving.rules());
    let (sealed, stop) = (ledger.view().position, CancellationToken::new());
    keeper.recover().await?;
    // The seal is a row too: it would never end to seal that one as well.
    while keeper.archived().await? < sealed && keeper.seal(1).await? {}
    keeper.trim(&stop).await?;
    ledger.close();
    writing.await.context("the writer")
}

fn size(path: &Path) -> Option<u64> {
    std::fs::metadata(path).ok().map(|file| file.len())
}

fn table(archives: &[(Archive, PathBuf)]) -> String {
    let mut table = render::table();
    table.set_header(["FIRST", "LAST", "ROWS", "BYTES", "A ROW", "FILE"]);
    for (archive, path) in archives {
        let (bytes, each) = match size(path) {
            Some(bytes) => (bytes.to_string(), format!("{:.1}", bytes as f64 / archive.rows.max(1) as f64)),
            None => ("it is not there".into(), String::new()),
        };
        let (first, last, rows) = (archive.first.to_string(), archive.last.to_string(), archive.rows.to_string());
        table.add_row([first, last, rows, bytes, each, path.display().to_string()]);
    }
    table.trim_fmt()
}

fn lines(archives: &[(Archive, PathBuf)]) -> String {
    let line = |(archive, path): &(Archive, PathBuf)| {
        let seal: serde_json::Map<_, _> =
            archive.to_args().into_iter().map(|(name, value)| (name.to_string(), value)).collect();
        let mut line = json!(seal);
        line["path"] = json!(path);
        line["bytes"] = json!(size(path));
        line.to_string() + "\n"
    };
    archives.iter().map(line).collect()
}
