//! `xenledger serve --at T --read-only`: the pool as it was, to any client.
//!
//! The data folder is only read, whether a server is using it or not. Logins
//! become events of a log in memory that goes on behind that moment and ends
//! with the process; every other change is refused. Who may log in is decided
//! by the accounts of today: whoever lost access does not get it back in the
//! past.

use super::serve::{ServeArgs, listen, stopped};
use crate::auth::Accounts;
use crate::auth::token_key::TokenKey;
use crate::driver::absent::Absent;
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
use crate::views::restore::{self, restore};
use crate::views::{View, store};
use crate::world::World;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

pub async fn run(args: &ServeArgs) -> anyhow::Result<()> {
    let world = World::real();
    let stop = CancellationToken::new();
    let reader = LogReader::open(&args.data).await?;
    let (present, _) = restore(&reader, &args.data, restore::told()).await?;
    let mut view = match args.at.as_deref() {
        None => present.clone(),
        Some(at) => super::past::view_at(&reader, View::default(), Some(at)).await?,
    };
    with_accounts_of(&mut view, &present);
    let (position, time) = (view.position, crate::views::past::tell::fine_time(view.time));
    tracing::info!(position, time, "showing the pool as it was");
    let subscribers = Subscribers::default();
    subscribers.begin_at(view.position);
    let mut port = MemoryLog::behind(store::Mark::of(&view).head());
    let (term, _): (u64, Head) = port.open().await?;
    let publish = {
        let subscribers = subscribers.clone();
        Box::new(move |batch: Arc<Published>| subscribers.publish(batch))
    };
    let (writer, ledger) = Writer::new(port, term, view, world.clone(), publish);
    tokio::spawn(writer.run());
    tokio::spawn(subscribers.clone().run());
    let feed = Feed::new(ledger.clone(), subscribers.clone(), reader.clone());
    // Nothing is pushed from the past: it is never run.
    let post = Post::new(Allowed::default());
    let push = Push::new(ledger.clone(), subscribers.clone(), feed.clone(), reader.clone(), post, stop.clone());
    let gateway = Gateway::new(Parts {
        accounts: Accounts::new(ledger.clone(), reader.clone()),
        ledger,
        subscribers,
        registrations: Arc::default(),
        token_key: Arc::new(TokenKey::open(&args.data, &world)?),
        past: Past::new(reader),
        signer: Arc::new(Signer::open(&args.data.join(signed::KEY_FILE), &world)?),
        driver: Arc::new(Absent),
        identity: Arc::new(Identity::beside(&args.data, &world)),
        wishes: Default::default(),
        feed,
        push,
        counts: Default::default(),
        read_only: true,
        socket: args.unix.is_some(),
        stop: stop.clone(),
    });
    let _connections = listen(args, gateway, &stop).await?;
    stopped().await?;
    stop.cancel();
    Ok(())
}
