//! A client of xenstore over its Unix socket: reads, lists, writes, watches.
//!
//! ```text
//!   header  type, request, transaction, length: four little-endian u32
//!   payload `length` bytes, at most 4096; names end in a zero byte
//! ```
//!
//! Requests and watches have connections of their own, so that an answer never
//! waits behind events. A connection on which anything went wrong is dropped,
//! and the next request opens another.
//!
//! Must never know what any node means.

use std::io::{self, Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::Mutex;
use tokio::time::timeout;

/// Where the daemon listens.
pub const SOCKET: &str = "/run/xenstored/socket";

/// Bytes of a header.
const HEADER: usize = 16;
/// Bytes of one payload: the protocol's own limit.
const PAYLOAD_MAX: usize = 4096;
/// Bytes of a list that comes in parts.
const LIST_MAX: usize = 256 << 10;
/// How long the daemon may take for one answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Requests that are sent before their answers are read.
const AT_ONCE: usize = 32;

pub const DIRECTORY: u32 = 1;
pub const READ: u32 = 2;
const WATCH: u32 = 4;
pub const WRITE: u32 = 11;
const WATCH_EVENT: u32 = 15;
pub const ERROR: u32 = 16;
const DIRECTORY_PART: u32 = 20;

/// The way to the daemon.
pub struct Xenstore {
    socket: PathBuf,
    idle: Mutex<Option<BufReader<UnixStream>>>,
}

impl Xenstore {
    pub fn new(socket: &Path) -> Xenstore {
        Xenstore { socket: socket.to_path_buf(), idle: Mutex::new(None) }
    }

    /// A node's value; `None` where there is no such node.
    pub async fn read(&self, path: &str) -> io::Result<Option<String>> {
        Ok(self.read_all(std::slice::from_ref(&path)).await?.pop().flatten())
    }

    /// The values of several nodes, asked for together.
    pub async fn read_all<P: AsRef<str>>(&self, paths: &[P]) -> io::Result<Vec<Option<String>>> {
        let asked = paths.iter().map(|path| (READ, ended(path.as_ref())));
        let answers = self.ask(asked.collect()).await?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        answers.into_iter().map(|answer| Ok(found(answer)?.map(text))).collect()
    }

    /// The names of a node's children; none where there is no such node.
    pub async fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let mut answer = self.ask(vec![(DIRECTORY, ended(path))]).await?;
        match answer.pop().unwrap_or(Ok(Vec::new())) {
            Err(refused) if refused == "E2BIG" => self.list_in_parts(path).await,
            answer => Ok(found(answer)?.map(|names| split(&names)).unwrap_or_default()),
        }
    }

    /// A list that does not fit one payload. Its parts begin with a generation: if that changes, it begins anew.
    async fn list_in_parts(&self, path: &str) -> io::Result<Vec<String>> {
        let (mut names, mut generation) = (Vec::new(), None);
        loop {
            let mut asked = ended(path);
            asked.extend(ended(&names.len().to_string()));
            let mut answer = self.ask(vec![(DIRECTORY_PART, asked)]).await?;
            let Some(part) = found(answer.pop().unwrap_or(Ok(Vec::new())))? else { return Ok(Vec::new()) };
            let at = part.iter().position(|byte| *byte == 0).ok_or_else(|| malformed("a part without generation"))?;
            let (now, rest) = (part[..at].to_vec(), &part[at + 1..]);
            if generation.as_ref().is_some_and(|before| *before != now) {
                (names, generation) = (Vec::new(), None);
                continue;
            }
            generation = Some(now);
            let last = rest.is_empty() || rest.ends_with(&[0, 0]) || rest == [0];
            names.extend_from_slice(if last { rest.strip_suffix(&[0]).unwrap_or(rest) } else { rest });
            if names.len() > LIST_MAX {
                return Err(malformed("a list without end"));
            }
            if last {
                return Ok(split(&names));
            }
        }
    }

    /// Sets a node's value, making the node and those above it.
    pub async fn write(&self, path: &str, value: &str) -> io::Result<()> {
        let mut payload = ended(path);
        payload.extend_from_slice(value.as_bytes());
        self.one(WRITE, payload).await
    }

    async fn one(&self, kind: u32, payload: Vec<u8>) -> io::Result<()> {
        let answer = self.ask(vec![(kind, payload)]).await?.pop().unwrap_or(Ok(Vec::new()));
        answer.map(|_| ()).map_err(|code| refusal(&code))
    }

    /// Sends requests and reads their answers, which come in the same order: a payload, or an error's name.
    async fn ask(&self, requests: Vec<(u32, Vec<u8>)>) -> io::Result<Vec<Result<Vec<u8>, String>>> {
        let mut idle = self.idle.lock().await;
        // Taken out, so that a caller who gives up half-way leaves no half-read connection behind.
        let mut stream = match idle.take() {
            Some(stream) => stream,
            None => BufReader::new(timeout(PATIENCE, UnixStream::connect(&self.socket)).await??),
        };
        let mut answers = Vec::with_capacity(requests.len());
        for some in requests.chunks(AT_ONCE) {
            let mut messages = Vec::new();
            for (number, (kind, payload)) in some.iter().enumerate() {
                put(&mut messages, *kind, number as u32, payload)?;
            }
            timeout(PATIENCE, stream.write_all(&messages)).await??;
            for number in 0..some.len() {
                let (kind, request, payload) = timeout(PATIENCE, receive(&mut stream)).await??;
                if request != number as u32 {
                    return Err(malformed("an answer to another request"));
                }
                answers.push(if kind == ERROR { Err(text(&payload)) } else { Ok(payload) });
            }
        }
        *idle = Some(stream);
        Ok(answers)
    }
}

/// A connection on which the daemon tells of changes.
pub struct Watch {
    stream: UnixStream,
    /// What was read and is not a whole message yet: whoever stops waiting half-way loses nothing.
    read: Vec<u8>,
}

impl Watch {
    /// Tells once at once, and then of every change at or below one of the paths.
    pub async fn open(socket: &Path, paths: &[&str]) -> io::Result<Watch> {
        let mut stream = timeout(PATIENCE, UnixStream::connect(socket)).await??;
        let mut messages = Vec::new();
        for (number, path) in paths.iter().enumerate() {
            let mut payload = ended(path);
            payload.extend(ended(path));
            put(&mut messages, WATCH, number as u32, &payload)?;
        }
        timeout(PATIENCE, stream.write_all(&messages)).await??;
        Ok(Watch { stream, read: Vec::new() })
    }

    /// The path of the next change.
    pub async fn next(&mut self) -> io::Result<String> {
        loop {
            while let Some((kind, payload)) = self.message()? {
                match kind {
                    WATCH_EVENT => return Ok(split(&payload).into_iter().next().unwrap_or_default()),
                    ERROR => return Err(refusal(&text(&payload))),
                    _ => {} // the watch was accepted
                }
            }
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// The first whole message of what was read.
    fn message(&mut self) -> io::Result<Option<(u32, Vec<u8>)>> {
        let Some((head, rest)) = self.read.split_first_chunk::<HEADER>() else { return Ok(None) };
        let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (kind, length) = (word(0), word(12) as usize);
        if length > PAYLOAD_MAX {
            return Err(malformed("a payload longer than the protocol allows"));
        }
        let Some(payload) = rest.get(..length).map(<[u8]>::to_vec) else { return Ok(None) };
        self.read.drain(..HEADER + length);
        Ok(Some((kind, payload)))
    }
}

/// Puts a message behind those that are sent with it.
fn put(messages: &mut Vec<u8>, kind: u32, request: u32, payload: &[u8]) -> io::Result<()> {
    if payload.len() > PAYLOAD_MAX {
        return Err(Error::new(ErrorKind::InvalidInput, "more than xenstore takes in one message"));
    }
    for word in [kind, request, 0, payload.len() as u32] {
        messages.extend_from_slice(&word.to_le_bytes());
    }
    messages.extend_from_slice(payload);
    Ok(())
}

async fn receive(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<(u32, u32, Vec<u8>)> {
    let mut head = [0u32; 4];
    for word in &mut head {
        *word = stream.read_u32_le().await?;
    }
    let [kind, request, _, length] = head;
    if length as usize > PAYLOAD_MAX {
        return Err(malformed("a payload longer than the protocol allows"));
    }
    let mut payload = vec![0; length as usize];
    stream.read_exact(&mut payload).await?;
    Ok((kind, request, payload))
}

fn ended(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    bytes
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches('\0').to_string()
}

fn split(bytes: &[u8]) -> Vec<String> {
    let names = bytes.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    names.map(|name| String::from_utf8_lossy(name).into_owned()).collect()
}

fn found(answer: Result<Vec<u8>, String>) -> io::Result<Option<Vec<u8>>> {
    match answer {
        Ok(payload) => Ok(Some(payload)),
        Err(code) if code == "ENOENT" => Ok(None),
        Err(code) => Err(refusal(&code)),
    }
}

fn refusal(code: &str) -> Error {
    let kind = match code {
        "ENOENT" => ErrorKind::NotFound,
        "EACCES" | "EPERM" => ErrorKind::PermissionDenied,
        "EINVAL" => ErrorKind::InvalidInput,
        _ => ErrorKind::Other,
    };
    Error::new(kind, format!("xenstore: {code}"))
}

fn malformed(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, format!("xenstore: {what}"))
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use std::sync::Arc;
    use tokio::net::UnixListener;

    /// A daemon that answers every request of every connection by `answer`: the kind of the request, and its texts.
    pub fn daemon(
        answer: impl Fn(u32, Vec<String>) -> (u32, Vec<u8>) + Send + Sync + 'static,
    ) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).expect("bound");
        let answer = Arc::new(answer);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let answer = answer.clone();
                tokio::spawn(async move {
                    while let Ok((kind, request, payload)) = receive(&mut stream).await {
                        let (kind, payload) = answer(kind, split(&payload));
                        let mut messages = Vec::new();
                        if kind == WATCH {
                            put(&mut messages, kind, request, b"OK\0").expect("short");
                            put(&mut messages, WATCH_EVENT, 0, &payload).expect("short");
                        } else {
                            put(&mut messages, kind, request, &payload).expect("short");
                        }
                        if stream.write_all(&messages).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        (folder, path)
    }

    #[tokio::test]
    async fn nodes_are_read_listed_and_missed() {
        let (_folder, path) = daemon(|kind, args| match (kind, &*args[0]) {
            (READ, "name") => (READ, b"Domain-0".to_vec()),
            (DIRECTORY, "domains") => (DIRECTORY, b"0\x003\x00".to_vec()),
            (DIRECTORY, "forbidden") => (ERROR, b"EACCES\0".to_vec()),
            _ => (ERROR, b"ENOENT\0".to_vec()),
        });
        let store = Xenstore::new(&path);
        assert_eq!(store.read("name").await.expect("read"), Some("Domain-0".into()));
        assert_eq!(store.read("none").await.expect("read"), None);
        assert_eq!(store.list("domains").await.expect("listed"), ["0", "3"]);
        assert_eq!(store.list("none").await.expect("listed"), [] as [&str; 0]);
        assert_eq!(store.list("forbidden").await.expect_err("refused").kind(), ErrorKind::PermissionDenied);
        let names: Vec<&str> = (0..100).map(|n| if n % 2 == 0 { "name" } else { "none" }).collect();
        let read = store.read_all(&names).await.expect("read");
        assert_eq!(read.iter().filter(|value| value.is_some()).count(), 50);
    }

    #[tokio::test]
    async fn a_long_list_comes_in_parts() {
        let (_folder, path) = daemon(|kind, args| match (kind, &*args[args.len() - 1]) {
            (DIRECTORY, _) => (ERROR, b"E2BIG\0".to_vec()),
            (DIRECTORY_PART, "0") => (kind, b"7\0one\0two\0".to_vec()),
            (DIRECTORY_PART, _) => (kind, b"7\0three\0\0".to_vec()),
            _ => (ERROR, b"EINVAL\0".to_vec()),
        });
        assert_eq!(Xenstore::new(&path).list("long").await.expect("listed"), ["one", "two", "three"]);
    }

    #[tokio::test]
    async fn a_watch_tells_of_paths() {
        let (_folder, path) = daemon(|kind, args| (kind, format!("{}\0token\0", args[0]).into_bytes()));
        let mut watch = Watch::open(&path, &["@releaseDomain", "/local"]).await.expect("opened");
        // Whoever stops waiting loses nothing.
        let early = timeout(Duration::ZERO, watch.next()).await.ok().map(|told| told.expect("told"));
        let mut told: Vec<String> = early.into_iter().collect();
        while told.len() < 2 {
            told.push(watch.next().await.expect("told"));
        }
        told.sort();
        assert_eq!(told, ["/local", "@releaseDomain"]);
    }

    #[tokio::test]
    async fn what_is_no_answer_ends_the_connection_and_the_next_request_has_another() {
        let (_folder, path) = daemon(|kind, args| match &*args[0] {
            "good" => (kind, b"value".to_vec()),
            _ => (kind, vec![0; 0]),
        });
        let store = Xenstore::new(&path);
        assert_eq!(store.read("good").await.expect("read"), Some("value".into()));
        // A value that is too long is refused before it is sent.
        let refused = store.write("good", &"x".repeat(PAYLOAD_MAX)).await.expect_err("refused");
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
        assert_eq!(store.read("good").await.expect("read again"), Some("value".into()));
    }
}
