//! `xenledger log verify`: is the log whole, and are the views what it says?
//!
//! Reads the log from its first row, whether a server is writing to it or not,
//! and folds it. Exits with 1 and the exact row when something is wrong.

use super::seals::Seals;
use crate::event::Event;
use crate::log::verify::{Broken, Chain, Fault, Verified, verify};
use crate::log::{Hash, Head, signed, sqlite::LogReader};
use crate::views::replay::Replay;
use crate::views::store::{self, FILE, Stored};
use crate::views::{View, check};
use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value as Json, json};
use std::path::{Path, PathBuf};

/// Options of `log verify`.
#[derive(clap::Args, Debug)]
pub struct VerifyArgs {
    /// The data folder.
    #[arg(long, env = "XENLEDGER_DATA", default_value = "xenledger-data")]
    pub data: PathBuf,
    /// Prove that the log still contains the head in this signed checkpoint.
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
    /// The key that checkpoints are signed with: NAME+KEYID+KEY, or a file that holds it. Without, the one in the data
    /// folder, which whoever changed the log may have changed too.
    #[arg(long, requires = "checkpoint")]
    pub key: Option<String>,
    /// Print for programs.
    #[arg(long)]
    pub json: bool,
}

/// Checks the log of a data folder, and the store beside it; `checkpoint` is a head that it must still contain.
pub async fn examine(data: &Path, checkpoint: Option<Head>, progress: impl FnMut(u64)) -> Result<Report, Broken> {
    let reader = LogReader::open(data).await?;
    walk(&reader, read_store(data).await, checkpoint, progress).await
}

pub async fn run(args: VerifyArgs) -> anyhow::Result<()> {
    let checkpoint = read_checkpoint(&args)?;
    let bar = progress_bar(LogReader::open(&args.data).await?.head().await?.position);
    let walked = examine(&args.data, checkpoint, |rows| bar.set_position(rows)).await;
    bar.finish_and_clear();
    match walked {
        Ok(report) => super::print(&if args.json { report.json().to_string() } else { report.text() }),
        Err(wrong) => {
            if args.json {
                let row = if let Broken::Row { position, .. } = &wrong { Json::from(*position) } else { Json::Null };
                super::print(&json!({ "ok": false, "row": row, "wrong": wrong.to_string() }).to_string())?;
            }
            bail!("{wrong}")
        }
    }
}

/// What is compared with the log: the store as it was when the command began.
enum Store {
    None(String),
    There(Box<Stored>),
    Equal(u64),
}

async fn read_store(data: &Path) -> Store {
    if !data.join(FILE).exists() {
        return Store::None("there is none yet".into());
    }
    match store::read(data).await {
        Ok(stored) if stored.trusted => Store::There(Box::new(stored)),
        Ok(_) => Store::None("written when the machine stopped; the next start makes it anew".into()),
        Err(error) => Store::None(format!("{error}; the next start makes it anew")),
    }
}

/// The head in the checkpoint that was given, if its signature is right.
fn read_checkpoint(args: &VerifyArgs) -> anyhow::Result<Option<Head>> {
    let Some(file) = &args.checkpoint else { return Ok(None) };
    let note = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let key = match &args.key {
        Some(key) if key.contains('+') && !std::path::Path::new(key).exists() => key.clone(),
        Some(file) => std::fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?,
        None => {
            let file = args.data.join(signed::VERIFIER_FILE);
            std::fs::read_to_string(&file).with_context(|| format!("cannot read {}: give --key", file.display()))?
        }
    };
    let head = signed::read(&note, &key).map_err(|wrong| anyhow::anyhow!("{}: {wrong}", file.display()))?;
    Ok(Some(head))
}

/// For whoever walks the log.
pub fn progress_bar(end: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} rows, {per_sec}, {eta} left");
    let bar = ProgressBar::new(end);
    bar.with_style(style.expect("BUG: a template that is fixed"))
}

/// The state while the log is walked.
struct Walk {
    replay: Replay,
    store: Store,
    /// The head that a checkpoint vouches for.
    checkpoint: Option<Head>,
    /// Whether its row was met.
    proved: bool,
    seals: Seals,
}

impl Walk {
    fn step(&mut self, event: &Event, hash: &Hash) -> Result<(), String> {
        check::fits(self.replay.view(), event)?;
        self.replay.event(event, hash);
        self.prove()?;
        self.seals.step(self.replay.view(), event)?;
        self.compare()
    }

    /// Compares with the checkpoint at the position that it names.
    fn prove(&mut self) -> Result<(), String> {
        let view = self.replay.view();
        let Some(signed) = self.checkpoint.filter(|signed| signed.position == view.position) else {
            return Ok(());
        };
        if (signed.lineage, signed.hash) != (view.lineage, view.hash) {
            return Err("the signed checkpoint has another row at that position: the log was rewritten".into());
        }
        self.proved = true;
        Ok(())
    }

    /// Compares with the store at the position where it stands.
    fn compare(&mut self) -> Result<(), String> {
        let (Store::There(stored), view) = (&self.store, self.replay.view()) else { return Ok(()) };
        if stored.mark.position != view.position {
            return Ok(());
        }
        if (stored.mark.lineage, stored.mark.hash) != (view.lineage, view.hash) {
            return Err(format!("{FILE} was written from another row of that position"));
        }
        if let Some(difference) = check::difference(view, &stored.view) {
            return Err(format!("{FILE} at that position is not what the log says: {difference}"));
        }
        self.store = Store::Equal(view.position);
        Ok(())
    }
}

/// Walks the log from the first row to its present end.
async fn walk(
    reader: &LogReader,
    store: Store,
    checkpoint: Option<Head>,
    mut progress: impl FnMut(u64),
) -> Result<Report, Broken> {
    let seals = Seals::of(reader.archives().await?);
    let mut walk = Walk { replay: Replay::behind(View::default()), store, checkpoint, proved: false, seals };
    let nothing_written = matches!(&walk.store, Store::There(stored) if stored.mark.position == 0);
    if nothing_written {
        walk.store = Store::None("nothing was written to it yet".into());
    }
    let each = |event: &Event, hash: &Hash| walk.step(event, hash);
    let verified = verify(reader, Chain::default(), each, |rows, _| progress(rows)).await?;
    let wrong = |fault: String| {
        let fault = Fault::Event(fault);
        Broken::Row { position: verified.head.position, fault }
    };
    if let Some(signed) = walk.checkpoint.filter(|_| !walk.proved) {
        return Err(Broken::Row { position: signed.position, fault: Fault::Unsigned });
    }
    if let Store::There(stored) = &walk.store {
        return Err(wrong(format!("{FILE} is at position {}, which is not in the log", stored.mark.position)));
    }
    let Walk { replay, store, checkpoint, mut seals, .. } = walk;
    let view = replay.end();
    let same = view.clone();
    let state = tokio::task::spawn_blocking(move || same.state_hash());
    check::invariants(&view).map_err(wrong)?;
    let state = state.await.expect("BUG: hashing a view panicked");
    Ok(Report { verified, view, state, store, checkpoint, archived: seals.end().await? })
}

/// All is well: with these figures.
pub struct Report {
    verified: Verified,
    view: View,
    /// Its hash.
    state: Hash,
    store: Store,
    checkpoint: Option<Head>,
    /// Archives, and the rows in them.
    archived: (usize, u64),
}

impl Report {
    fn objects(&self) -> usize {
        self.view.counts().map(|(_, count)| count).sum()
    }

    fn text(&self) -> String {
        let Verified { rows, head } = self.verified;
        let store = match &self.store {
            Store::Equal(position) => format!("equal to the log at position {position}"),
            Store::None(why) => format!("not compared: {why}"),
            Store::There(_) => String::new(),
        };
        let archived = match self.archived {
            (0, _) => "nothing".to_string(),
            (files, rows) => format!("{rows} rows in {files} files, each as it was sealed"),
        };
        let signed = match self.checkpoint {
            Some(signed) => format!("signed   the row at position {} is the one of the checkpoint\n", signed.position),
            None => String::new(),
        };
        format!(
            "log      {rows} rows, the last at position {} of lineage {}\n\
             hash     {}\n\
             state    {}\n\
             objects  {}, no reference leads nowhere\n\
             store    {store}\n\
             archived {archived}\n\
             {signed}\
             all is well\n",
            head.position,
            head.lineage,
            hex(&head.hash),
            hex(&self.state),
            self.objects(),
        )
    }

    fn json(&self) -> Json {
        let Verified { rows, head } = self.verified;
        let store = match &self.store {
            Store::Equal(position) => json!({ "equal_at": position }),
            Store::None(why) => json!({ "not_compared": why }),
            Store::There(_) => Json::Null,
        };
        json!({
            "ok": true,
            "rows": rows,
            "position": head.position,
            "lineage": head.lineage.to_string(),
            "hash": hex(&head.hash),
            "state_hash": hex(&self.state),
            "objects": self.objects(),
            "store": store,
            "archives": self.archived.0,
            "archived_rows": self.archived.1,
            "checkpoint": self.checkpoint.map(|signed| signed.position),
        })
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
