//! `xenledger log checkpoint`: the log's head, signed with the server's key.

use crate::log::notary;
use crate::log::signed::{KEY_FILE, Signer, write_whole};
use crate::log::sqlite::LogReader;
use crate::views::restore::restore;
use crate::world::World;
use anyhow::{Context, bail};
use std::path::PathBuf;

/// Options of `log checkpoint`.
#[derive(clap::Args, Debug)]
pub struct CheckpointArgs {
    /// The data folder.
    #[arg(long, env = "XENLEDGER_DATA", default_value = "xenledger-data")]
    pub data: PathBuf,
    /// Write it here, not to standard output.
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Print the public key instead: NAME+KEYID+KEY, for `log verify --key` and for every verifier of signed notes.
    #[arg(long, conflicts_with = "output")]
    pub key: bool,
}

pub async fn run(args: CheckpointArgs) -> anyhow::Result<()> {
    let file = args.data.join(KEY_FILE);
    if !file.exists() {
        bail!("there is no key yet: {} is made when the server first starts", file.display());
    }
    let signer = Signer::open(&file, &World::real()).with_context(|| format!("cannot read {}", file.display()))?;
    let reader = LogReader::open(&args.data).await?;
    let (view, _) = restore(&reader, &args.data, |_, _| {}).await?;
    if args.key {
        return super::print(&signer.verifier(&notary::origin(&view)));
    }
    let note = notary::checkpoint(&signer, &view);
    match &args.output {
        Some(file) => write_whole(file, &note).with_context(|| format!("cannot write {}", file.display())),
        None => super::print(&note),
    }
}
