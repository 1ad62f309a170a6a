//! One POST: connects to the checked address, with TLS that is verified, and
//! says what the destination answered. No redirect is followed, and nothing
//! waits longer than its time.

use super::address::{Allowed, Target, resolve};
use super::body::Letter;
use crate::value::Micros;
use crate::world::World;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, pki_types::ServerName};

/// How long finding the address, connecting and the TLS handshake may take together.
const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// How long the answer may take to begin.
const ANSWER_WAIT: Duration = Duration::from_secs(20);
/// How long all of it may take.
const TOTAL_WAIT: Duration = Duration::from_secs(30);
/// Bytes of an answer that are read; a connection with more to say is not used again.
const ANSWER_MAX: usize = 16 * 1024;

/// How posts are sent. Cheap to clone.
#[derive(Clone)]
pub struct Post {
    allowed: Allowed,
    /// Made when the first post needs it: to read what the machine believes is a hundred files and more.
    tls: Arc<OnceCell<Arc<ClientConfig>>>,
}

/// How a post ended.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    /// Any status from 200 to 299.
    Accepted(u16),
    /// Anything else, with the pause that was asked for.
    Refused { why: String, after: Option<Duration> },
}

/// A connection that may be used again for the same destination.
pub struct Open {
    destination: String,
    sender: SendRequest<Full<Bytes>>,
    task: JoinHandle<()>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Post {
    /// Believes the certificates that this machine believes.
    pub fn new(allowed: Allowed) -> Post {
        Post { allowed, tls: Arc::default() }
    }

    pub fn with_tls(allowed: Allowed, tls: Arc<ClientConfig>) -> Post {
        Post { allowed, tls: Arc::new(OnceCell::new_with(Some(tls))) }
    }

    /// What connects with TLS.
    async fn tls(&self) -> Result<TlsConnector, String> {
        let read = || async { tokio::task::spawn_blocking(believed).await.map(Arc::new) };
        let config =
            self.tls.get_or_try_init(read).await.map_err(|error| format!("this machine's certificates: {error}"))?;
        Ok(TlsConnector::from(config.clone()))
    }

    /// Posts a letter, on the open connection if that leads there.
    pub async fn send(&self, open: &mut Option<Open>, destination: &str, letter: &Letter, world: &World) -> Outcome {
        let sent = tokio::select! {
            sent = self.exchange(open, destination, letter, world) => sent,
            () = world.sleep(TOTAL_WAIT) => Err("it took too long in all".to_string()),
        };
        match sent {
            Ok((status, after)) => outcome(status, after),
            Err(why) => {
                *open = None;
                Outcome::Refused { why, after: None }
            }
        }
    }

    async fn exchange(
        &self,
        open: &mut Option<Open>,
        destination: &str,
        letter: &Letter,
        world: &World,
    ) -> Result<(StatusCode, Option<Duration>), String> {
        let target = Target::parse(destination, self.allowed)?;
        let request = || request(&target, letter);
        let usable = |open: &Open| open.destination == destination && !open.sender.is_closed();
        if let Some(mut used) = open.take().filter(usable)
            && let Ok(answer) = ask(&mut used.sender, request(), world).await
        {
            return self.finish(open, used, answer, world).await;
        }
        // A connection that was kept may have been closed meanwhile: a new one decides.
        let mut new = tokio::select! {
            connected = self.connect(destination, &target) => connected?,
            () = world.sleep(CONNECT_WAIT) => return Err("it could not be reached in time".into()),
        };
        let answer = ask(&mut new.sender, request(), world).await?;
        self.finish(open, new, answer, world).await
    }

    async fn finish(
        &self,
        open: &mut Option<Open>,
        used: Open,
        answer: Response<hyper::body::Incoming>,
        world: &World,
    ) -> Result<(StatusCode, Option<Duration>), String> {
        let status = answer.status();
        let after = answer.headers().get(header::RETRY_AFTER).and_then(|after| after.to_str().ok());
        let after = after.and_then(|after| asked_pause(after, world.now()));
        // An answer that is cut off half-way is no answer.
        match Limited::new(answer.into_body(), ANSWER_MAX).collect().await {
            Ok(_) => *open = Some(used),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => {}
            Err(error) => return Err(format!("the answer ended early: {error}")),
        }
        Ok((status, after))
    }

    async fn connect(&self, destination: &str, target: &Target) -> Result<Open, String> {
        let (sender, task) = match target {
            Target::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(|error| error.to_string())?;
                begin(stream).await?
            }
            Target::Http { tls, host, port, .. } => {
                let addresses = resolve(host, *port, self.allowed).await?;
                let stream = TcpStream::connect(&addresses[..]).await.map_err(|error| format!("{host}: {error}"))?;
                stream.set_nodelay(true).map_err(|error| error.to_string())?;
                if *tls {
                    let name = ServerName::try_from(host.clone()).map_err(|error| error.to_string())?;
                    let connected = self.tls().await?.connect(name, stream).await;
                    begin(connected.map_err(|error| format!("{host}: {error}"))?).await?
                } else {
                    begin(stream).await?
                }
            }
        };
        Ok(Open { destination: destination.to_string(), sender, task })
    }
}

/// Believes the certificates that this machine believes.
fn believed() -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    found.errors.iter().for_each(|error| tracing::debug!(%error, "a certificate of the system was not read"));
    roots.add_parsable_certificates(found.certs);
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("BUG: the provider has the default versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

async fn begin<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
) -> Result<(SendRequest<Full<Bytes>>, JoinHandle<()>), String> {
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let task = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to a destination ended");
        }
    });
    Ok((sender, task))
}

async fn ask(
    sender: &mut SendRequest<Full<Bytes>>,
    request: Result<Request<Full<Bytes>>, String>,
    world: &World,
) -> Result<Response<hyper::body::Incoming>, String> {
    let request = request?;
    sender.ready().await.map_err(|error| error.to_string())?;
    tokio::select! {
        answer = sender.send_request(request) => answer.map_err(|error| format!("no answer: {error}")),
        () = world.sleep(ANSWER_WAIT) => Err("there was no answer in time".into()),
    }
}

fn request(target: &Target, letter: &Letter) -> Result<Request<Full<Bytes>>, String> {
    let (path, host) = match target {
        Target::Unix(_) => ("/", "localhost".to_string()),
        Target::Http { host, port, path, .. } if host.contains(':') => (path.as_str(), format!("[{host}]:{port}")),
        Target::Http { host, port, path, .. } => (path.as_str(), format!("{host}:{port}")),
    };
    let mut request = Request::post(path)
        .header(header::HOST, host)
        .header(header::USER_AGENT, concat!("xenledger/", env!("CARGO_PKG_VERSION")))
        .header(header::CONTENT_TYPE, letter.content_type)
        .header("webhook-id", &letter.id)
        .header("webhook-timestamp", letter.timestamp);
    if !letter.signature.is_empty() {
        request = request.header("webhook-signature", &letter.signature);
    }
    request.body(Full::from(letter.body.clone())).map_err(|error| error.to_string())
}

fn outcome(status: StatusCode, after: Option<Duration>) -> Outcome {
    if status.is_success() {
        return Outcome::Accepted(status.as_u16());
    }
    let why = if status.is_redirection() { "a redirect is not followed" } else { "it was not accepted" };
    Outcome::Refused { why: format!("{status}: {why}"), after }
}

/// `Retry-After`: seconds, or a date.
fn asked_pause(text: &str, now: Micros) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text.trim()).ok()?;
    Some(Duration::from_micros(u64::try_from(at.as_microsecond() - now).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_the_machine_believes_is_read_once_and_when_it_is_needed() {
        let post = Post::new(Allowed { private: false, plain: false });
        assert!(!post.tls.initialized());
        post.tls().await.expect("a machine believes somebody, or nobody");
        let first = post.tls.get().cloned().expect("it was needed");
        post.clone().tls().await.expect("it is there");
        assert!(post.tls.get().is_some_and(|again| Arc::ptr_eq(again, &first)));
    }
}
