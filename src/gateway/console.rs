//! Consoles of machines: `CONNECT /console?ref=…`, or `uuid=…`, as a console's
//! `location` says. After the answer's head the connection is the console's,
//! in its protocol: `rfb`, or for `vt100` the text as it is.
//!
//! ```text
//!   CONNECT ── 200 ─▶ bytes go both ways ─┬─ the client or the machine ends
//!                                         └─ the server stops
//! ```
//!
//! Must never look into what goes through.

use super::resources::{named_in, refused};
use super::{Gateway, Peer, access};
use crate::driver::Terminal;
use crate::error::ApiError;
use crate::model::{ClassId, VM, console};
use crate::value::Ref;
use crate::views::View;
use crate::views::read::{ReadView, Scope};
use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::{Response, StatusCode};
use axum::routing::connect;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many consoles are open at the same time.
pub const OPEN_MAX: usize = 256;

/// How many are open now.
static OPEN: AtomicUsize = AtomicUsize::new(0);

pub fn routes() -> Router<Gateway> {
    Router::new().route(access::CONSOLE.path, connect(open))
}

async fn open(
    State(gateway): State<Gateway>,
    Extension(peer): Extension<Peer>,
    mut request: Request,
) -> Response<Body> {
    let query = request.uri().query().map(str::to_string);
    let caller = match gateway.admit_known(&access::CONSOLE, request.headers(), query.as_deref(), &peer).await {
        Ok(caller) => caller,
        Err(denied) => return denied,
    };
    let view = gateway.ledger.view();
    let Some(machine) = asked(&view, &Scope::of(&view, caller.user), query.as_deref()) else {
        return refused(StatusCode::NOT_FOUND, "there is no such console".into());
    };
    drop(view);
    let Some(place) = Place::take() else {
        return refused(StatusCode::SERVICE_UNAVAILABLE, format!("{OPEN_MAX} consoles are open already"));
    };
    let Some(upgrade) = request.extensions_mut().remove::<OnUpgrade>() else {
        return refused(StatusCode::BAD_REQUEST, "this connection cannot become a console".into());
    };
    let terminal = match gateway.driver.terminal(machine).await {
        Ok(terminal) => terminal,
        Err(error) => return unavailable(&error),
    };
    tracing::info!(machine = machine.uuid_text(), user = %caller.name, "a console is opened");
    tokio::spawn(async move {
        gateway.stop.clone().run_until_cancelled(join(upgrade, terminal)).await;
        drop(place);
    });
    Response::new(Body::empty())
}

/// The uuid of the machine whose console the query names, if its sender may see both.
fn asked(view: &View, scope: &Scope, query: Option<&str>) -> Option<Ref> {
    let named = |key: &str| named_in(query?, key);
    let by_uuid = || view.by_uuid(ClassId::console, &named("uuid")?);
    let reference = named("ref").and_then(|text| Ref::parse(&text)).or_else(by_uuid)?;
    let read = ReadView::new(view, scope);
    let machine = read.object(ClassId::console, reference)?.get(console::VM);
    let uuid = read.object(ClassId::VM, machine)?.get(VM::uuid);
    Ref::parse_uuid(uuid)
}

fn unavailable(error: &ApiError) -> Response<Body> {
    tracing::info!(%error, "a console could not be opened");
    refused(StatusCode::SERVICE_UNAVAILABLE, "the console cannot be opened now".into())
}

/// Bytes both ways, until one side ends.
async fn join(upgrade: OnUpgrade, mut terminal: Terminal) {
    match upgrade.await {
        Ok(client) => {
            // How it ends is nobody's concern: a client leaves, a machine goes.
            tokio::io::copy_bidirectional(&mut TokioIo::new(client), &mut terminal).await.ok();
        }
        Err(error) => tracing::debug!(%error, "a connection did not become a console"),
    }
}

/// One of the consoles that may be open, given back when it is dropped.
struct Place;

impl Place {
    fn take() -> Option<Place> {
        let taken =
            OPEN.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| (open < OPEN_MAX).then_some(open + 1));
        taken.ok().map(|_| Place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}
