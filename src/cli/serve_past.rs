//! `xenledger serve --at T --read-only`: the pool as it was, to any client; and
//! the same for a session that reads a saved database.
//!
//! The data folder is only read, whether a server is using it or not. Logins
//! become events of a log in memory that goes on behind that moment and ends
//! with the process; every other change is refused. Who may log in is decided
//! by the accounts of today: whoever lost access does not get it back in the
//! past.

use super::serve::{ServeArgs, Signals, listen};
use crate::auth::Accounts;
use crate::auth::token_key::TokenKey;
use crate::driver::absent::Absent;
use crate::gateway::databases::{Databases, Nowhere};
use crate::gateway::identity::Identity;
use crate::gateway::{Gateway, Parts};
use crate::log::memory::MemoryLog;
use crate::log::signed::{self, Signer};
use crate::log::sqlite::LogReader;
use crate::log::writer::{Published, Writer};
use crate::log::{Head, Port};
use crate::subscribe::Subscribers;
use crate::subscribe::feed::Feed;
use crate::subscribe::push::Push;
use crate::subscribe::push::address::Allowed;
use crate::subscribe::push::post::Post;
use crate::views::past::{Past, with_accounts_of};
use crate::views::restore::restore;
use crate::views::{View, store};
use crate::world::World;
use std::sync::Arc;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

/// What a server that only shows has from outside.
#[derive(Clone)]
pub struct Borrowed {
    pub world: World,
    pub token_key: Arc<TokenKey>,
    pub signer: Arc<Signer>,
    pub identity: Arc<Identity>,
    pub socket: bool,
}

/// A server that only shows, for as long as this lives.
pub(super) struct Shown {
    pub gateway: Gateway,
    working: Vec<AbortHandle>,
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.working.iter().for_each(AbortHandle::abort);
    }
}

pub async fn run(args: &ServeArgs) -> anyhow::Result<()> {
    let world = World::real();
    let reader = LogReader::open(&args.data).await?;
    let (present, _) = restore(&reader, &args.data, super::rebuilding()).await?;
    let mut view = match args.at.as_deref() {
        None => present.clone(),
        Some(at) => super::past::view_at(&reader, &args.data, Some(at)).await?,
    };
    with_accounts_of(&mut view, &present);
    let (position, time) = (view.position, crate::views::past::tell::fine_time(view.time));
    tracing::info!(position, time, "showing the pool as it was");
    let mut port = MemoryLog::behind(store::Mark::of(&view).head());
    let (term, _): (u64, Head) = port.open().await?;
    let borrowed = Borrowed {
        token_key: Arc::new(TokenKey::open(&args.data, &world)?),
        signer: Arc::new(Signer::open(&args.data.join(signed::KEY_FILE), &world)?),
        identity: Arc::new(Identity::beside(&args.data, &world)),
        socket: args.unix.is_some(),
        world,
    };
    let shown = show(view, (port, term), reader, borrowed);
    let stop = shown.gateway.stop.clone();
    let signals = Signals::listen()?;
    let _connections = listen(args, shown.gateway.clone(), &stop).await?;
    signals.received().await;
    stop.cancel();
    Ok(())
}

/// Serves a view that nothing changes but who is logged in, and the log behind it.
pub(super) fn show(view: View, (port, term): (MemoryLog, u64), reader: LogReader, borrowed: Borrowed) -> Shown {
    let stop = CancellationToken::new();
    let subscribers = Subscribers::default();
    subscribers.begin_at(view.position);
    let publish = {
        let subscribers = subscribers.clone();
        Box::new(move |batch: Arc<Published>| subscribers.publish(batch))
    };
    let (writer, ledger) = Writer::new(port, term, view, borrowed.world, publish);
    let writing = tokio::spawn(writer.run());
    let telling = tokio::spawn(subscribers.clone().run());
    let feed = Feed::new(ledger.clone(), subscribers.clone(), reader.clone());
    // Nothing is pushed from the past: it is never run.
    let post = Post::new(Allowed::default());
    let push = Push::new(ledger.clone(), subscribers.clone(), feed.clone(), reader.clone(), post, stop.clone());
    let gateway = Gateway::new(Parts {
        accounts: Accounts::new(ledger.clone(), reader.clone()),
        ledger,
        subscribers,
        registrations: Arc::default(),
        token_key: borrowed.token_key,
        past: Past::new(reader),
        signer: borrowed.signer,
        driver: Arc::new(Absent),
        identity: borrowed.identity,
        wishes: Default::default(),
        feed,
        push,
        databases: Databases::of(Nowhere),
        counts: Default::default(),
        read_only: true,
        socket: borrowed.socket,
        stop,
    });
    Shown { gateway, working: vec![writing.abort_handle(), telling.abort_handle()] }
}
