//! `xenledger serve`: starts the parts in the order of the data's way, and
//! stops them in the opposite one.

use super::archive::ArchivingArgs;
use super::databases::Saved;
use super::serve_past::Borrowed;
use crate::auth::token_key::TokenKey;
use crate::auth::{Accounts, password};
use crate::command::bootstrap::{self, HostFacts, Storage};
use crate::command::host::{certificates, power};
use crate::command::{Command, Principal};
use crate::driver::Driver;
use crate::driver::sim::{self, Sim};
use crate::driver::xen::{self, Xen};
use crate::event::Kind;
use crate::gateway::databases::Databases;
use crate::gateway::identity::Identity;
use crate::gateway::listen::{Connections, DRAIN_WAIT, Endpoint, Listener};
use crate::gateway::local::Wish;
use crate::gateway::{Gateway, Parts};
use crate::log::archive::keeper::Keeper;
use crate::log::notary::{self, Notary};
use crate::log::signed::{self, Signer};
use crate::log::sqlite::{LogReader, SqliteLog};
use crate::log::writer::{Ledger, Published, Writer};
use crate::log::{Port, StorageError};
use crate::model::{ClassId, host};
use crate::reconcile::replicate::Replicator;
use crate::reconcile::{Reconciler, timers};
use crate::subscribe::Subscribers;
use crate::subscribe::feed::Feed;
use crate::subscribe::push::Push;
use crate::subscribe::push::address::Allowed;
use crate::subscribe::push::post::Post;
use crate::views::View;
use crate::views::past::Past;
use crate::views::restore::restore_from;
use crate::views::store::{self, Follower};
use crate::world::World;
use anyhow::Context;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

/// Options of `serve`. With none of them: `./xenledger-data`, 127.0.0.1:8080, the simulated hypervisor.
#[derive(clap::Args, Debug)]
pub struct ServeArgs {
    /// The data folder; made if it is not there.
    #[arg(long, env = "XENLEDGER_DATA", default_value = "xenledger-data")]
    pub data: PathBuf,
    /// Listen for HTTP here; may be repeated. Port 0 takes a free one.
    #[arg(long, value_name = "ADDR")]
    pub listen: Vec<SocketAddr>,
    /// Listen for HTTPS here, with a certificate made at first start.
    #[arg(long, value_name = "ADDR")]
    pub listen_tls: Vec<SocketAddr>,
    /// Listen on a Unix socket here.
    #[arg(long, value_name = "PATH")]
    pub unix: Option<PathBuf>,
    /// The hypervisor.
    #[arg(long, value_enum, default_value_t = DriverName::Sim)]
    pub driver: DriverName,
    /// A folder that kernels of machines are read from (`VM.PV_kernel`, `VM.PV_ramdisk`); may be repeated.
    #[arg(long, value_name = "DIR", default_value = "/boot/guest")]
    pub kernels: Vec<PathBuf>,
    /// How many times faster than real the simulated hypervisor runs.
    #[arg(long, default_value_t = 1.0, value_name = "N")]
    pub sim_speed: f64,
    /// Let subscriptions post to this machine, its private networks and its Unix sockets.
    #[arg(long, env = "XENLEDGER_WEBHOOKS_TO_PRIVATE")]
    pub webhooks_to_private: bool,
    /// Let subscriptions post without TLS.
    #[arg(long, env = "XENLEDGER_WEBHOOKS_OVER_HTTP")]
    pub webhooks_over_http: bool,
    /// Begin a new pool with a few machines in it.
    #[arg(long)]
    pub demo: bool,
    /// Show the pool as it was at a moment: a position, a time (2026-11-22T19:56:26), or how long ago (90s, 2h, 7d).
    #[arg(long, value_name = "MOMENT", requires = "read_only")]
    pub at: Option<String>,
    /// Change nothing; the data folder is only read, and may be that of a running server.
    #[arg(long)]
    pub read_only: bool,
    /// How many seconds pass between two signed checkpoints of the log.
    #[arg(long, default_value_t = 3600, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub checkpoint_every: u64,
    /// Where the newest checkpoint is left; better on another machine's disk. Without, in the data folder.
    #[arg(long, value_name = "FILE")]
    pub checkpoint_file: Option<PathBuf>,
    #[command(flatten)]
    pub archives: ArchivingArgs,
    /// The folder of backups that root may open sessions on (`session.create_from_db_file`). Without, `backups` in the
    /// data folder.
    #[arg(long, value_name = "DIR")]
    pub backups: Option<PathBuf>,
    /// How the server's own log is written.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriverName {
    /// Machines without hardware, for trying out.
    Sim,
    /// The Xen that this host runs on, by its toolstack.
    Xen,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// Serves until told to stop.
pub async fn run(args: ServeArgs) -> anyhow::Result<()> {
    let world = World::real();
    let stop = CancellationToken::new();
    let (mut log, kept) = opened(&args.data).await?;
    let (term, _) = log.open().await?;
    let archives = log.archive_in(args.archives.archive.as_deref()).await?;
    let reader = log.reader();
    let (mut view, restored) = restore_from(kept, &reader, super::rebuilding()).await?;
    tracing::info!(position = view.position, folded = restored.folded, "the view is there");
    let new = view.position == 0;
    if new {
        view.lineage = world.random_u64();
    }
    let subscribers = Subscribers::default();
    subscribers.begin_at(view.position);
    let store = Follower::start(&args.data, Arc::new(view.clone()), restored.stored, world.clone()).await?;
    let publish = {
        let (subscribers, stored) = (subscribers.clone(), store.feed());
        Box::new(move |batch: Arc<Published>| {
            // Who waits is woken before who only follows.
            let view = batch.view.clone();
            subscribers.publish(batch);
            stored.send_replace(view);
        })
    };
    let (writer, ledger) = Writer::new(log, term, view, world.clone(), publish);
    let mut writing = writer.start();
    let telling = tokio::spawn(subscribers.clone().run());
    let feed = Feed::new(ledger.clone(), subscribers.clone(), reader.clone());
    let push = push(&args, &ledger, &subscribers, &feed, reader.clone(), &stop);
    let accounts = Accounts::new(ledger.clone(), reader.clone());
    let sweeping = accounts.clone();
    let sweeping = tokio::spawn(async move { sweeping.sweep_for_ever().await });
    let (driver, facts) = driver(&args, &world, new).await?;
    if new {
        begin(&ledger, facts, args.demo).await?;
    }
    let pushing = tokio::spawn(push.clone().run());
    let replicator = Replicator::new(ledger.clone(), driver.clone(), &args.data);
    tokio::spawn(replicator.run(subscribers.clone(), stop.clone()));
    reconcile(driver.clone(), &ledger, &subscribers, &stop)?;
    let keeper = Keeper::new(ledger.clone(), reader.clone(), archives, args.archives.rules());
    tokio::spawn(keeper.run(stop.clone()));
    let closing = ledger.clone();
    let signer = notary(&args, &ledger, &stop)?;
    let token_key = Arc::new(TokenKey::open(&args.data, &world)?);
    let identity = Arc::new(Identity::open(&args.data, &world)?);
    let (wishes, wished) = watch::channel(None);
    let borrowed = Borrowed {
        world,
        token_key: token_key.clone(),
        signer: signer.clone(),
        identity: identity.clone(),
        socket: args.unix.is_some(),
    };
    let databases = Databases::of(Saved::new(&args.data, args.backups.as_deref(), driver.clone(), borrowed));
    let gateway = Gateway::new(Parts {
        ledger,
        subscribers,
        accounts,
        registrations: Arc::default(),
        token_key,
        past: Past::new(reader),
        signer,
        driver,
        identity: identity.clone(),
        wishes,
        feed,
        push,
        databases,
        counts: Default::default(),
        read_only: false,
        socket: args.unix.is_some(),
        stop: stop.clone(),
    });
    let signals = Signals::listen()?; // before anybody knows that there is something to stop
    let connections = listen(&args, gateway, &stop).await?;
    note_certificate(&closing, &identity).await?;
    if !new {
        own(&closing, "host.started", Box::new(power::agent_started)).await?;
    }
    let wish = tokio::select! {
        () = signals.received() => Wish::Stop,
        wish = wish_of(wished) => wish,
        // What panics there has met a log that does not fold, which must not be continued.
        ended = &mut writing => {
            ended.context("the writer")?;
            anyhow::bail!("the writer ended by itself");
        }
    };
    tracing::info!("stopping");
    stop.cancel();
    drop(tokio::time::timeout(DRAIN_WAIT, connections.ended()).await);
    closing.close();
    pushing.abort();
    telling.abort();
    sweeping.abort();
    writing.await.context("the writer")?;
    store.close().await;
    if wish == Wish::Restart { Err(begin_anew()) } else { Ok(()) }
}

/// The log, and what the store has. Behind a crash SQLite goes through what it wrote ahead of a file before it gives
/// anything of it; here it does so with both at once.
async fn opened(data: &Path) -> Result<(SqliteLog, Option<View>), StorageError> {
    let kept = async { Ok(store::load(data).await) };
    // The log comes first: it locks the folder, and who may not have that loads nothing.
    tokio::try_join!(biased; SqliteLog::open(data), kept)
}

/// What posts events to destinations.
fn push(
    args: &ServeArgs,
    ledger: &Ledger,
    subscribers: &Subscribers,
    feed: &Feed,
    secrets: LogReader,
    stop: &CancellationToken,
) -> Push {
    let allowed = Allowed { private: args.webhooks_to_private, plain: args.webhooks_over_http };
    Push::new(ledger.clone(), subscribers.clone(), feed.clone(), secrets, Post::new(allowed), stop.clone())
}

/// The hypervisor, and for a new pool what the host is like with it.
async fn driver(args: &ServeArgs, world: &World, new: bool) -> anyhow::Result<(Arc<dyn Driver>, HostFacts)> {
    let mut facts = crate::driver::facts::read();
    Ok(match args.driver {
        DriverName::Sim => {
            let under = crate::world::boot_id();
            let options = sim::Options { speed: args.sim_speed, under, ..sim::Options::default() };
            let opened = Sim::open(&args.data, world.clone(), options);
            (Arc::new(opened.context("the simulated hypervisor's journal")?), facts.simulated())
        }
        DriverName::Xen => {
            let opened = Xen::open(xen::Options::usual(&args.data.join("xen"), &args.kernels)).await;
            let xen = opened.context("this host's Xen cannot be used")?;
            if new {
                xen.describe(&mut facts).await.context("the host could not be looked at")?;
                facts.storage = Some(folders(&args.data)?);
            }
            (Arc::new(xen), facts)
        }
    })
}

/// The folders of a new pool's repositories.
fn folders(data: &Path) -> anyhow::Result<Storage> {
    let data = data.canonicalize().context("the data folder")?;
    let made = |name: &str| -> anyhow::Result<String> {
        let folder = data.join(name);
        std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        Ok(folder.display().to_string())
    };
    let (disks, media) = (made("disks")?, made("iso")?);
    let (bytes, _) = xen::room(Path::new(&disks))?;
    Ok(Storage { disks, media, bytes })
}

/// Starts what carries operations out on this host, and what time alone brings about.
fn reconcile(
    driver: Arc<dyn Driver>,
    ledger: &Ledger,
    subscribers: &Subscribers,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let here = ledger.view().all::<host>().next().map(|host| host.reference).context("the pool has no host")?;
    let reconciler = Reconciler::new(ledger.clone(), driver, here).context("the host is gone")?;
    tokio::spawn(reconciler.run(subscribers.clone(), stop.clone()));
    let subscribers = subscribers.clone();
    let waited = move || subscribers.awaited(ClassId::task);
    tokio::spawn(timers::run(ledger.clone(), waited, stop.clone()));
    Ok(())
}

/// Starts what signs the log's head; the key that verifies it is beside the log, for operators to take elsewhere.
fn notary(args: &ServeArgs, ledger: &Ledger, stop: &CancellationToken) -> anyhow::Result<Arc<Signer>> {
    let signer = Signer::open(&args.data.join(signed::KEY_FILE), ledger.world()).context("the checkpoints' key")?;
    let signer = Arc::new(signer);
    let verifier = signer.verifier(&notary::origin(&ledger.view())) + "\n";
    signed::write_whole(&args.data.join(signed::VERIFIER_FILE), &verifier).context("the checkpoints' public key")?;
    let file = args.checkpoint_file.clone().unwrap_or_else(|| args.data.join(signed::FILE));
    let notary = Notary::new(ledger.clone(), signer.clone(), file);
    tokio::spawn(notary.run(Duration::from_secs(args.checkpoint_every), stop.clone()));
    Ok(signer)
}

/// A new pool, and its root's password if nobody chose one.
async fn begin(ledger: &Ledger, facts: HostFacts, demo: bool) -> anyhow::Result<()> {
    let chosen = std::env::var("XENLEDGER_ROOT_PASSWORD").ok().map(Zeroizing::new);
    let password = match &chosen {
        Some(password) => password.clone(),
        None => password::generate(ledger.world()),
    };
    let sealed = password::seal(ledger.world(), &password)?;
    own(ledger, bootstrap::FOUND, bootstrap::found(facts, sealed)).await?;
    if demo {
        own(ledger, bootstrap::demo::DEMO, bootstrap::demo::add()).await?;
    }
    if chosen.is_none() {
        println!("the password of root is {}; it is shown only this once", &*password);
    }
    Ok(())
}

/// Sends something that the server itself does.
async fn own(ledger: &Ledger, message: &'static str, decide: crate::command::Own) -> anyhow::Result<()> {
    let command = Command::own(&Principal::server("server"), ledger.world(), Kind::Change, message, decide);
    ledger.submit(command).await.with_context(|| format!("{message} failed"))?;
    Ok(())
}

/// Binds everything, then says so, then serves. Without management the network is left alone until it is back.
pub(super) async fn listen(
    args: &ServeArgs,
    gateway: Gateway,
    stop: &CancellationToken,
) -> anyhow::Result<Connections> {
    let identity = gateway.identity.clone();
    let managed = gateway.is_managed();
    anyhow::ensure!(managed || args.unix.is_some(), "management is disabled: start with --unix, to enable it there");
    let connections = Connections::new(gateway, stop.clone());
    let mut endpoints: Vec<Endpoint> = args.listen.iter().copied().map(Endpoint::Tcp).collect();
    for address in &args.listen_tls {
        endpoints.push(Endpoint::Tls(*address, identity.clone()));
    }
    endpoints.extend(args.unix.clone().map(Endpoint::Unix));
    if endpoints.is_empty() {
        endpoints.push(Endpoint::Tcp(SocketAddr::from(([127, 0, 0, 1], 8080))));
    }
    let mut listeners = Vec::new();
    for endpoint in endpoints {
        listeners.push(match managed || endpoint.is_local() {
            true => (Listener::open(endpoint).await?, "listening on"),
            false => (Listener::closed(endpoint), "management is disabled: not listening on"),
        });
    }
    for (listener, said) in listeners {
        println!("{said} {}", listener.name());
        tokio::spawn(listener.serve(connections.clone()));
    }
    Ok(connections)
}

/// The certificate may be another one than when the server ended.
async fn note_certificate(ledger: &Ledger, identity: &Identity) -> anyhow::Result<()> {
    let here = ledger.view().all::<host>().next().map(|host| host.reference).unwrap_or_default();
    if !identity.is_there() {
        return Ok(());
    }
    let pem = identity.certificate()?;
    let decide = Box::new(move |draft: &mut crate::command::Draft<'_>| certificates::note_own(draft, here, &pem));
    if let Err(error) = own(ledger, "host.certificate", decide).await {
        tracing::warn!(%error, "the server's certificate is none that could be described");
    }
    Ok(())
}

/// What a caller wants of the process, once one wants something.
async fn wish_of(mut wished: watch::Receiver<Option<Wish>>) -> Wish {
    let wish = wished.wait_for(Option::is_some).await.map(|wish| *wish).unwrap_or_default();
    match wish {
        Some(wish) => wish,
        None => std::future::pending().await, // nobody is left who could want something
    }
}

/// Begins anew in the same process, with the same arguments and what may be a newer program. Returns only if it cannot.
fn begin_anew() -> anyhow::Error {
    use std::os::unix::process::CommandExt;
    let mut args = std::env::args_os();
    let program = args.next().unwrap_or_else(|| "xenledger".into());
    tracing::info!("beginning anew");
    anyhow::Error::from(std::process::Command::new(program).args(args).exec()).context("cannot begin anew")
}

/// The signals that tell a process to stop. Until they are listened to they end it.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub fn listen() -> anyhow::Result<Signals> {
        Ok(Signals { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Returns when one has come.
    pub async fn received(mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
