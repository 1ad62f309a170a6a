//! Talking to a server: one HTTP/1.1 connection over TCP, TLS or a Unix
//! socket, JSON-RPC 2.0 on it, and one session.

use crate::value::Value;
use crate::wire::client::{self as rpc, Refusal};
use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use zeroize::Zeroizing;

/// How long connecting may take.
const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// The longest answer that is read, in bytes.
const ANSWER_MAX: usize = 512 << 20;

/// Which server, and as whom.
#[derive(clap::Args, Debug, Clone)]
pub struct ConnectArgs {
    /// The server: http://HOST:PORT, https://HOST:PORT, or unix:PATH.
    #[arg(long, env = "XENLEDGER_URL", default_value = "http://127.0.0.1:8080")]
    pub url: String,
    /// Who calls. On a Unix socket, root of this machine needs neither name nor password.
    #[arg(long, env = "XENLEDGER_USER")]
    pub user: Option<String>,
    /// The password.
    #[arg(long, env = "XENLEDGER_PASSWORD", hide_env_values = true)]
    pub password: Option<String>,
    /// Believe certificates signed by this one, or this very one; a file in PEM.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Believe any certificate: whoever is between can read the password.
    #[arg(long, conflicts_with = "ca")]
    pub insecure: bool,
}

/// A connection with a session on it.
pub struct Client {
    args: ConnectArgs,
    host: String,
    sender: SendRequest<Full<Bytes>>,
    session: Value,
    calls: i64,
}

impl Client {
    /// Connects and logs in.
    pub async fn login(args: &ConnectArgs) -> anyhow::Result<Client> {
        let (host, sender) = connect(args).await?;
        let mut client = Client { args: args.clone(), host, sender, session: Value::Void, calls: 0 };
        let (user, password) = credentials(args)?;
        let originator = concat!("xenledger/", env!("CARGO_PKG_VERSION"));
        let params = [user.as_str(), &password, "1.0", originator].map(Value::text);
        let logged_in = client.send("session.login_with_password", &params).await?;
        client.session = logged_in.map_err(|refusal| anyhow::anyhow!("{user:?} cannot log in: {refusal}"))?;
        Ok(client)
    }

    /// Ends the session; a server that is gone has ended it already.
    pub async fn logout(mut self) {
        let session = [self.session.clone()];
        drop(self.send("session.logout", &session).await);
    }

    /// One call with the session; a refusal is an error like any other.
    pub async fn call(&mut self, method: &str, params: &[Value]) -> anyhow::Result<Value> {
        Ok(self.ask(method, params).await??)
    }

    /// One call with the session: what the server says, if it can be reached.
    pub async fn ask(&mut self, method: &str, params: &[Value]) -> anyhow::Result<Result<Value, Refusal>> {
        let mut with_session = Vec::with_capacity(params.len() + 1);
        with_session.push(self.session.clone());
        with_session.extend_from_slice(params);
        self.send(method, &with_session).await
    }

    /// A call without a session.
    pub async fn send(&mut self, method: &str, params: &[Value]) -> anyhow::Result<Result<Value, Refusal>> {
        if self.sender.is_closed() {
            (self.host, self.sender) = connect(&self.args).await?;
        }
        self.calls += 1;
        let mut body = Vec::new();
        rpc::call(&mut body, method, params, self.calls);
        let request = hyper::Request::post("/jsonrpc")
            .header(hyper::header::HOST, &self.host)
            .header(hyper::header::CONTENT_TYPE, "application/json")
            .body(Full::from(body))?;
        self.sender.ready().await.context("the server closed the connection")?;
        let response = self.sender.send_request(request).await.context("the server did not answer")?;
        let status = response.status();
        let answer = http_body_util::Limited::new(response.into_body(), ANSWER_MAX).collect().await;
        let answer = answer.map_err(|error| anyhow::anyhow!("the answer ended early: {error}"))?.to_bytes();
        match rpc::answer(&answer) {
            Ok(answer) => Ok(answer),
            Err(_) if !status.is_success() => bail!("the server answers {status}"),
            Err(malformed) => bail!("the server answers what is no JSON-RPC: {}", malformed.detail),
        }
    }
}

fn credentials(args: &ConnectArgs) -> anyhow::Result<(String, Zeroizing<String>)> {
    let local = args.url.starts_with("unix:");
    match (&args.user, &args.password) {
        (None, None) if local => Ok(Default::default()),
        (user, Some(password)) => Ok((user.clone().unwrap_or_else(|| "root".into()), Zeroizing::new(password.clone()))),
        (_, None) => bail!("a password is needed: --password, or XENLEDGER_PASSWORD in the environment"),
    }
}

/// Where an URL leads.
enum Target {
    Tcp { address: String, host: String },
    Tls { address: String, host: String },
    Unix(PathBuf),
}

fn target(url: &str) -> anyhow::Result<Target> {
    if let Some(path) = url.strip_prefix("unix:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        return Ok(Target::Unix(PathBuf::from(path)));
    }
    let uri: hyper::Uri = url.parse().with_context(|| format!("{url:?} is no URL"))?;
    let host = uri.host().with_context(|| format!("{url:?} names no host"))?.to_string();
    let address = |port: u16| format!("{host}:{}", uri.port_u16().unwrap_or(port));
    match uri.scheme_str() {
        Some("http") => Ok(Target::Tcp { address: address(80), host }),
        Some("https") => Ok(Target::Tls { address: address(443), host }),
        _ => bail!("{url:?} is neither http, https nor unix"),
    }
}

async fn connect(args: &ConnectArgs) -> anyhow::Result<(String, SendRequest<Full<Bytes>>)> {
    let connecting = connect_to(args, target(&args.url)?);
    let connected = tokio::time::timeout(CONNECT_WAIT, connecting).await;
    connected.with_context(|| format!("{} does not answer", args.url))?
}

async fn connect_to(args: &ConnectArgs, target: Target) -> anyhow::Result<(String, SendRequest<Full<Bytes>>)> {
    let nobody = || format!("no server at {}", args.url);
    match target {
        Target::Unix(path) => {
            let stream = UnixStream::connect(&path).await.with_context(nobody)?;
            Ok(("localhost".into(), start(stream).await?))
        }
        Target::Tcp { address, host } => {
            let stream = TcpStream::connect(&address).await.with_context(nobody)?;
            stream.set_nodelay(true)?;
            Ok((host, start(stream).await?))
        }
        Target::Tls { address, host } => {
            let stream = TcpStream::connect(&address).await.with_context(nobody)?;
            stream.set_nodelay(true)?;
            let name = rustls::pki_types::ServerName::try_from(host.trim_matches(['[', ']']).to_string())?;
            let connector = tokio_rustls::TlsConnector::from(Arc::new(super::trust::config(args)?));
            let stream = connector.connect(name, stream).await;
            let stream = stream.context("the server's certificate is not believed: see --ca and --insecure")?;
            Ok((host, start(stream).await?))
        }
    }
}

async fn start<S>(stream: S) -> anyhow::Result<SendRequest<Full<Bytes>>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_say_how_to_connect() {
        let told = |url: &str| match target(url) {
            Ok(Target::Tcp { address, .. }) => format!("tcp {address}"),
            Ok(Target::Tls { address, host }) => format!("tls {address} as {host}"),
            Ok(Target::Unix(path)) => format!("unix {}", path.display()),
            Err(error) => format!("{error}"),
        };
        assert_eq!(told("http://127.0.0.1:8080"), "tcp 127.0.0.1:8080");
        assert_eq!(told("http://[::1]/"), "tcp [::1]:80");
        assert_eq!(told("https://pool.example"), "tls pool.example:443 as pool.example");
        assert_eq!(told("unix:/run/x.sock"), "unix /run/x.sock");
        assert_eq!(told("unix:///run/x.sock"), "unix /run/x.sock");
        assert!(told("ftp://x/").contains("neither http, https nor unix"));
        assert!(told("not an url").contains("is no URL"));
    }

    #[test]
    fn only_the_unix_socket_needs_no_password() {
        let args = |url: &str, password: Option<&str>| ConnectArgs {
            url: url.into(),
            user: None,
            password: password.map(String::from),
            ca: None,
            insecure: false,
        };
        assert!(credentials(&args("http://x", None)).is_err());
        assert_eq!(credentials(&args("unix:/x", None)).expect("root").0, "");
        assert_eq!(credentials(&args("http://x", Some("y"))).expect("given").0, "root");
    }
}
