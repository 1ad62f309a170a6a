//! `xenledger serve`: starts the parts in the order of the data's way, and
//! stops them in the opposite one.

use crate::auth::Accounts;
use crate::command::bootstrap;
use crate::gateway::listen::{Connections, Endpoint, Listener, tls_config};
use crate::gateway::{Gateway, http};
use crate::log::Port;
use crate::log::sqlite::SqliteLog;
use crate::log::writer::Writer;
use crate::subscribe::Subscribers;
use crate::world::World;
use anyhow::Context;
use std::net::SocketAddr;
use std::path::PathBuf;
use tokio_util::sync::CancellationToken;

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
    /// How many times faster than real the simulated hypervisor runs.
    #[arg(long, default_value_t = 1.0, value_name = "N")]
    pub sim_speed: f64,
    /// Begin a new pool with a few machines in it.
    #[arg(long)]
    pub demo: bool,
    /// How the server's own log is written.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriverName {
    Sim,
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
    let mut log = SqliteLog::open(&args.data).await?;
    let (term, _) = log.open().await?;
    let reader = log.reader();
    let (mut view, restored) = crate::views::restore(&reader, &args.data).await?;
    tracing::info!(position = view.position, ?restored, "the view is there");
    if view.position == 0 {
        view.lineage = world.random_u64();
    }
    let new = view.position == 0;
    let subscribers = Subscribers::default();
    let store = crate::views::store::Follower::start(&args.data, &view).await?;
    let publish = {
        let (subscribers, store) = (subscribers.clone(), store.handle());
        Box::new(move |batch: std::sync::Arc<crate::log::writer::Published>| {
            store.publish(&batch);
            subscribers.publish(batch);
        })
    };
    let (writer, ledger) = Writer::new(log, term, view, world.clone(), publish);
    let writing = tokio::spawn(writer.run());
    tokio::spawn(subscribers.clone().run());
    let accounts = Accounts::new(ledger.clone(), reader, &args.data).await?;
    if new {
        begin(&accounts, &ledger, args.demo).await?;
    }
    let sim = crate::driver::sim::Sim::open(&args.data, world.clone(), args.sim_speed).await?;
    let reconciling = crate::reconcile::start(ledger.clone(), subscribers.position(), sim, stop.clone());
    let gateway = Gateway { ledger, subscribers, accounts, registrations: Default::default() };
    listen(&args, &world, gateway, &stop).await?;
    reconciling.await.context("the reconciler")?;
    writing.await.context("the writer")?;
    store.close().await?;
    Ok(())
}
