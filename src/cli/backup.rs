//! `xenledger log backup` and `log restore`.

use super::past::DataArgs;
use crate::auth::password;
use crate::command::{Command, Principal, session as sessions};
use crate::event::Kind;
use crate::log::backup::{self, Contents};
use crate::log::folder::Folder;
use crate::log::sqlite::SqliteLog;
use crate::log::writer::Writer;
use crate::log::{Port, lineage};
use crate::model::user;
use crate::views::past::tell::fine_time;
use crate::views::restore::restore;
use crate::views::store::Store;
use crate::views::{Token, View};
use crate::world::World;
use anyhow::{Context, bail};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Options of `log backup`.
#[derive(clap::Args, Debug)]
pub struct BackupArgs {
    #[command(flatten)]
    pub log: DataArgs,
    /// The file to write; it must not be there.
    pub file: PathBuf,
    /// Leave out passwords, secrets and keys. Who restores such a backup sets root's password anew; nobody else can log
    /// in with a password until it was set again, and contents of blobs and secrets are gone.
    #[arg(long)]
    pub no_secrets: bool,
}

/// Options of `log restore`.
#[derive(clap::Args, Debug)]
pub struct RestoreArgs {
    #[command(flatten)]
    pub log: DataArgs,
    /// The backup.
    pub file: PathBuf,
}

pub async fn backup(args: BackupArgs) -> anyhow::Result<()> {
    let made = backup::write(&args.log.data, &args.file, !args.no_secrets, World::real().now()).await?;
    super::print(&format!("{} up to position {}", args.file.display(), made.head.position))
}

/// Restores beside the data folder, and puts that in its place at the end: a crash before leaves no half of a log.
pub async fn restore_backup(args: RestoreArgs) -> anyhow::Result<()> {
    let data = std::path::absolute(&args.log.data)?;
    if data.exists() && std::fs::read_dir(&data).with_context(|| format!("{}", data.display()))?.next().is_some() {
        bail!("{} is not empty: a backup is restored into a new folder, or an empty one", data.display());
    }
    let mut beside = data.clone().into_os_string();
    beside.push(".restoring");
    let beside = PathBuf::from(beside);
    if beside.exists() {
        // What an earlier try left; a running one holds its lock.
        drop(Folder::lock(&beside)?);
        std::fs::remove_dir_all(&beside).with_context(|| format!("cannot remove {}", beside.display()))?;
    }
    drop(Folder::lock(&beside)?);
    let contents = backup::unpack(&args.file, &beside).await?;
    let (head, password) = begin_anew(&beside, contents).await?;
    std::fs::rename(&beside, &data).with_context(|| format!("cannot rename {}", beside.display()))?;
    sync_parent(&data)?;
    let mut text = format!(
        "restored up to position {} of {}, {} archives\nthe log goes on at position {}, in lineage {}\n",
        contents.head.position,
        fine_time(contents.head.time),
        contents.archives,
        head.position,
        head.lineage
    );
    if let Some(password) = password {
        text += &format!("the backup has no secrets; the password of root is {}\n", &*password);
    }
    super::print(&text)
}

/// Begins the new lineage, and gives root a password where the backup has none.
async fn begin_anew(data: &Path, contents: Contents) -> anyhow::Result<(Token, Option<Zeroizing<String>>)> {
    let world = World::real();
    let mut log = SqliteLog::open(data).await?;
    let (term, _) = log.open().await?;
    let reader = log.reader();
    let (mut view, _) = restore(&reader, data, super::rebuilding()).await?;
    lineage::begin(&mut log, term, &mut view, &world).await?;
    let begun = Token::of(&view);
    let (writer, ledger) = Writer::new(log, term, view, world.clone(), Box::new(|_| ()));
    let writing = writer.start();
    let password = if contents.secrets { None } else { Some(root_password(&ledger.view(), &world)?) };
    if let Some((root, chosen)) = &password {
        let sealed = password::seal(&world, chosen)?;
        let decide = sessions::replace_password(*root, sealed);
        let command = Command::own(&Principal::server("restore"), &world, Kind::Change, "user.set_password", decide);
        ledger.submit(command).await.context("root's password")?;
    }
    ledger.close();
    writing.await.context("the writer")?;
    let store = Store::open(data, None).await?;
    store.close(&ledger.view()).await?;
    let shown = password.map(|(_, password)| password).filter(|_| std::env::var_os(PASSWORD).is_none());
    Ok((begun, shown))
}

/// Where the password of root is looked for.
const PASSWORD: &str = "XENLEDGER_ROOT_PASSWORD";

fn root_password(view: &View, world: &World) -> anyhow::Result<(crate::value::Ref, Zeroizing<String>)> {
    let root = view.all::<user>().find(|held| held.get(user::is_local_superuser)).context("there is no user root")?;
    let chosen = std::env::var(PASSWORD).ok().map(Zeroizing::new);
    Ok((root.reference, chosen.unwrap_or_else(|| password::generate(world))))
}

fn sync_parent(data: &Path) -> anyhow::Result<()> {
    let parent = data.parent().unwrap_or(Path::new("/"));
    std::fs::File::open(parent).and_then(|folder| folder.sync_all()).with_context(|| format!("{}", parent.display()))
}
