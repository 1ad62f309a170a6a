//! Listeners: TCP, TLS, a Unix socket. Each connection says who its peer is;
//! everything behind is the same.
//!
//! ```text
//!   open ── management is disabled ─▶ closed, its connections end
//!    ▲                                   │
//!    └──── management is back ───────────┘      a Unix socket is always open
//! ```

use super::again::Again;
use super::gone::Served;
use super::http::{Connected, Paths};
use super::identity::Identity;
use super::later::Later;
use super::near::{Near, Peers};
use super::parked::{Parked, Wire};
use super::{Gateway, Peer, access, parked};
use anyhow::Context;
use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, Version, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a request's head may take to arrive, also while a connection is idle.
pub const HEAD_WAIT: Duration = Duration::from_secs(300);
/// How long what is being answered may take once its connection is to end.
pub const DRAIN_WAIT: Duration = Duration::from_secs(5);
/// How long until an address that somebody else has taken is tried again.
const REOPEN_WAIT: Duration = Duration::from_secs(1);
/// How long a TLS handshake may take.
const HANDSHAKE_WAIT: Duration = Duration::from_secs(10);
/// File descriptors left for everything that is not a connection.
const DESCRIPTORS_KEPT: u64 = 128;
/// The socket's mode: the owner's processes only; who may connect is the principal that the uid says.
const SOCKET_MODE: u32 = 0o660;

/// Where to listen.
#[derive(Clone)]
pub enum Endpoint {
    Tcp(SocketAddr),
    Tls(SocketAddr, Arc<Identity>),
    Unix(PathBuf),
}

impl Endpoint {
    /// Whether it is there without management.
    pub fn is_local(&self) -> bool {
        matches!(self, Endpoint::Unix(_))
    }
}

/// As clients name it: `http://127.0.0.1:8080`.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Tcp(address) => write!(f, "http://{address}"),
            Endpoint::Tls(address, _) => write!(f, "https://{address}"),
            Endpoint::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

enum Bound {
    Tcp(TcpListener),
    Tls(TcpListener, Arc<Identity>),
    Unix(UnixListener),
}

/// An endpoint, and what accepts there while it is open.
pub struct Listener {
    endpoint: Endpoint,
    bound: Option<Bound>,
}

/// What all connections share.
#[derive(Clone)]
pub struct Connections {
    paths: Paths,
    gateway: Gateway,
    peers: Peers,
    permits: Arc<Semaphore>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Connections {
    /// As many connections as the process may have open files, less what it needs itself.
    pub fn new(gateway: Gateway, stop: CancellationToken) -> Connections {
        let paths = Paths::new(gateway.clone());
        let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(1024);
        let connections = limit.saturating_sub(DESCRIPTORS_KEPT).clamp(16, Semaphore::MAX_PERMITS as u64);
        let permits = Arc::new(Semaphore::new(connections as usize));
        Connections { paths, gateway, peers: Peers::new(), permits, tasks: TaskTracker::new(), stop }
    }

    /// Waits until every connection has ended.
    pub async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Listener {
    /// Opens it.
    pub async fn open(endpoint: Endpoint) -> anyhow::Result<Listener> {
        let (endpoint, bound) = bind(endpoint).await?;
        Ok(Listener { endpoint, bound: Some(bound) })
    }

    /// One that is not open yet.
    pub fn closed(endpoint: Endpoint) -> Listener {
        Listener { endpoint, bound: None }
    }

    /// How the line that says so names it: `http://127.0.0.1:8080`.
    pub fn name(&self) -> String {
        self.endpoint.to_string()
    }

    /// Accepts until stopped; on the network, while there is management.
    pub async fn serve(self, connections: Connections) {
        let stop = connections.stop.clone();
        match self {
            Listener { endpoint: endpoint @ Endpoint::Unix(_), bound: Some(bound) } => {
                stop.run_until_cancelled(bound.accept(&endpoint, &connections)).await;
            }
            network => {
                stop.run_until_cancelled(network.open_and_close(&connections)).await;
            }
        }
    }

    async fn open_and_close(mut self, connections: &Connections) {
        let gateway = &connections.gateway;
        loop {
            gateway.until_managed(true).await;
            let bound = match self.bound.take() {
                Some(bound) => bound,
                None => bound_again(&mut self.endpoint).await,
            };
            let open = Connections { stop: connections.stop.child_token(), ..connections.clone() };
            tokio::select! {
                () = bound.accept(&self.endpoint, &open) => {}
                () = gateway.until_managed(false) => {}
            }
            // Whoever sees his connection end finds nothing to connect to.
            drop(bound);
            open.stop.cancel();
            tracing::info!(listener = %self.endpoint, "closed: management is disabled");
        }
    }
}

/// Takes the address; it comes back with the port that was free, where none was asked for.
async fn bind(endpoint: Endpoint) -> anyhow::Result<(Endpoint, Bound)> {
    let cannot = format!("cannot listen on {endpoint}");
    match endpoint {
        Endpoint::Tcp(address) => {
            let listener = TcpListener::bind(address).await.context(cannot)?;
            Ok((Endpoint::Tcp(listener.local_addr()?), Bound::Tcp(listener)))
        }
        Endpoint::Tls(address, identity) => {
            identity.config().context("the server's certificate")?;
            let listener = TcpListener::bind(address).await.context(cannot)?;
            Ok((Endpoint::Tls(listener.local_addr()?, identity.clone()), Bound::Tls(listener, identity)))
        }
        Endpoint::Unix(path) => {
            let listener = bind_unix(&path).context(cannot)?;
            Ok((Endpoint::Unix(path), Bound::Unix(listener)))
        }
    }
}

/// The same, as often as it takes: meanwhile the address may be somebody else's.
async fn bound_again(endpoint: &mut Endpoint) -> Bound {
    loop {
        match bind(endpoint.clone()).await {
            Ok((taken, bound)) => {
                *endpoint = taken;
                tracing::info!(listener = %endpoint, "open: management is enabled");
                return bound;
            }
            Err(error) => tracing::warn!(%error, "management is enabled, and the listener is not open yet"),
        }
        tokio::time::sleep(REOPEN_WAIT).await;
    }
}

impl Bound {
    /// Accepts for ever.
    async fn accept(&self, at: &Endpoint, connections: &Connections) {
        loop {
            if let Err(error) = self.accept_one(connections).await {
                // Out of descriptors, or a peer gone at once: neither may stop the listener, nor make it spin.
                tracing::warn!(%error, listener = %at, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    async fn accept_one(&self, connections: &Connections) -> std::io::Result<()> {
        let permit = connections.permits.clone().acquire_owned().await.map_err(std::io::Error::other)?;
        let shared = connections.clone();
        match self {
            Bound::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                stream.set_nodelay(true)?;
                let unencrypted = !address.ip().to_canonical().is_loopback();
                let peer = Peer { address: Arc::from(address.to_string()), uid: None, unencrypted };
                let stream = Near::new(stream, shared.peers.clone());
                connections.tasks.spawn(async move {
                    shared.connection(stream, peer).await;
                    drop(permit);
                });
            }
            Bound::Tls(listener, identity) => {
                let (stream, address) = listener.accept().await?;
                stream.set_nodelay(true)?;
                let peer = Peer { address: Arc::from(address.to_string()), ..Peer::default() };
                let stream = Near::new(stream, shared.peers.clone());
                let acceptor = TlsAcceptor::from(identity.config().map_err(std::io::Error::other)?);
                connections.tasks.spawn(async move {
                    match tokio::time::timeout(HANDSHAKE_WAIT, acceptor.accept(stream)).await {
                        Ok(Ok(stream)) => shared.connection(stream, peer).await,
                        Ok(Err(error)) => tracing::debug!(%error, peer = %peer.address, "no TLS handshake"),
                        Err(_) => tracing::debug!(peer = %peer.address, "a TLS handshake took too long"),
                    }
                    drop(permit);
                });
            }
            Bound::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let uid = stream.peer_cred()?.uid();
                let peer = Peer { address: Arc::from(format!("unix:uid={uid}")), uid: Some(uid), unencrypted: false };
                let stream = Near::new(stream, shared.peers.clone());
                connections.tasks.spawn(async move {
                    shared.connection(stream, peer).await;
                    drop(permit);
                });
            }
        }
        Ok(())
    }
}

impl Connections {
    /// Serves one peer until it hangs up: HTTP, and what waits meanwhile without it.
    pub async fn connection<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(self, stream: S, peer: Peer) {
        let mut wire = Wire::new(stream);
        while let Some(spoken) = parked::silent(wire, &self.stop).await
            && let Some((later, parked)) = self.speak(spoken, &peer).await
            && let Some(asked_again) = parked::wait(parked, later, &self.stop).await
        {
            wire = asked_again;
        }
    }

    /// HTTP, until the connection ends or a call on it waits.
    async fn speak<S>(&self, wire: Wire<S>, peer: &Peer) -> Option<(Arc<Later>, Wire<S>)>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let owes = wire.owes();
        let service = service_fn(move |request: Request<Incoming>| {
            let parks = parks(&request) && !owes.load(Ordering::Relaxed);
            let connected = Connected { peer: peer.clone(), parks };
            Served::new(self.answer(request, connected), self.tasks.clone())
        });
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_WAIT)
            .serve_connection(TokioIo::new(wire), service)
            .with_upgrades();
        let ended = tokio::select! {
            ended = Again::new(&mut connection) => ended,
            () = self.stop.cancelled() => {
                Pin::new(&mut connection).graceful_shutdown();
                // What only waits is cut off; a change that was read in full goes on without its client.
                match tokio::time::timeout(DRAIN_WAIT, &mut connection).await {
                    Ok(ended) => ended,
                    Err(_) => {
                        tracing::debug!("a connection took too long to end");
                        return None;
                    }
                }
            }
        };
        let error = ended.err()?;
        match Parked::of(&error) {
            Some(later) => {
                let parts = connection.into_parts().expect("BUG: a call that waits is no upgrade");
                Some((later, parts.io.into_inner().behind(&parts.read_buf)))
            }
            None => {
                tracing::debug!(%error, "a connection ended early");
                None
            }
        }
    }

    /// One request's answer, or the wish to wait for it.
    fn answer(
        &self,
        request: Request<Incoming>,
        connected: Connected,
    ) -> impl Future<Output = Result<Response<Body>, Parked>> + Send + 'static {
        let turned_away = connected.peer.unencrypted && self.gateway.wants_encryption();
        let paths = self.paths.clone();
        async move {
            if turned_away {
                return Ok(access::unencrypted());
            }
            let mut response = paths.answer(request, connected).await;
            match response.extensions_mut().remove::<Arc<Later>>() {
                Some(later) => Err(Parked(later)),
                None => Ok(response),
            }
        }
    }
}

/// Whether a request's connection outlives it in any case: an answer to it needs no more than its own head.
fn parks(request: &Request<Incoming>) -> bool {
    let stays = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"keep-alive");
    request.version() == Version::HTTP_11 && request.headers().get_all(header::CONNECTION).iter().all(stays)
}

/// Binds a Unix socket; a socket left behind by a server that is gone is replaced, a living one's is not.
fn bind_unix(path: &Path) -> anyhow::Result<UnixListener> {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt};
    if let Ok(found) = std::fs::symlink_metadata(path) {
        anyhow::ensure!(found.file_type().is_socket(), "there is something that is not a socket");
        anyhow::ensure!(std::os::unix::net::UnixStream::connect(path).is_err(), "another server listens there");
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(SOCKET_MODE))?;
    Ok(listener)
}
