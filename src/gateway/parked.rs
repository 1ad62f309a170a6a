//! A connection whose call waits. Meanwhile it is no matter of HTTP: it holds
//! its socket and what it asked for, and no buffers. Who finds out the answer
//! writes it to the socket, without a turn for the connection's own task: ten
//! thousand who wait for the same change are told as fast as the kernel takes
//! it. HTTP goes on with the next request.
//!
//! ```text
//!   HTTP ── a call waits ─▶ parked ─┬─ woken: answered at once ─┬─ the client asks again ─▶ HTTP
//!                                   ├─ its own look or time ────┘
//!                                   └─ the client went ─▶ closed: nobody waits any more
//! ```
//!
//! Must never know what is waited for.

use super::event_from::Glance;
use super::later::Later;
use super::listen::{DRAIN_WAIT, HEAD_WAIT};
use crate::subscribe::AtOnce;
use axum::http::{HeaderValue, Response, header};
use bytes::{Buf, Bytes};
use std::fmt;
use std::future::poll_fn;
use std::io::{self, Write};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::SystemTime;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// What a client may send ahead of an answer before no more of it is read, in bytes.
const AHEAD_MAX: usize = 8 * 1024;
/// Bytes that are read at once.
const READ_AT_ONCE: usize = 2048;
/// Room for a head, in bytes.
const HEAD_USUAL: usize = 256;

/// A service's way to say that a call waits: HTTP lets go of the connection.
#[derive(thiserror::Error)]
#[error("a call waits")]
pub struct Parked(pub Arc<Later>);

impl fmt::Debug for Parked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Parked")
    }
}

impl Parked {
    /// What a connection that HTTP let go of waits for, if that is why it did.
    pub fn of(error: &hyper::Error) -> Option<Arc<Later>> {
        std::error::Error::source(error)?.downcast_ref::<Parked>().map(|parked| parked.0.clone())
    }
}

/// A peer's socket, and what was read of it before HTTP begins with it.
pub struct Wire<S> {
    stream: S,
    ahead: Vec<u8>,
    /// Whether what was to be written last did not fit: an earlier answer is still on its way.
    owes: Arc<AtomicBool>,
}

impl<S> Wire<S> {
    pub fn new(stream: S) -> Wire<S> {
        Wire { stream, ahead: Vec::new(), owes: Arc::default() }
    }

    /// Tells whether an earlier answer is still on its way.
    pub fn owes(&self) -> Arc<AtomicBool> {
        self.owes.clone()
    }

    /// What was read comes first.
    pub fn behind(self, ahead: &[u8]) -> Wire<S> {
        Wire { ahead: [ahead, &self.ahead].concat(), ..self }
    }
}

impl<S: AsyncRead + Unpin> Wire<S> {
    /// Reads some of what there is; an error at the end.
    fn poll_ahead(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut room = [0; READ_AT_ONCE];
        let mut read = ReadBuf::new(&mut room);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut read))?;
        match read.filled() {
            [] => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            more => {
                self.ahead.extend(more);
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        if wire.ahead.is_empty() {
            return Pin::new(&mut wire.stream).poll_read(context, buffer);
        }
        let fits = wire.ahead.len().min(buffer.remaining());
        buffer.put_slice(&wire.ahead[..fits]);
        wire.ahead.drain(..fits);
        if wire.ahead.is_empty() {
            wire.ahead = Vec::new(); // its room too
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wire = self.get_mut();
        let written = Pin::new(&mut wire.stream).poll_write(context, bytes);
        wire.note(&written, bytes.len());
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wire = self.get_mut();
        let written = Pin::new(&mut wire.stream).poll_write_vectored(context, parts);
        wire.note(&written, parts.iter().map(|part| part.len()).sum());
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Called when everything was written, so nothing is owed but what the stream itself holds.
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        let flushed = Pin::new(&mut wire.stream).poll_flush(context);
        wire.owes.store(flushed.is_pending(), Ordering::Relaxed);
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

impl<S> Wire<S> {
    fn note(&self, written: &Poll<io::Result<usize>>, wanted: usize) {
        let whole = matches!(written, Poll::Ready(Ok(count)) if *count == wanted);
        self.owes.store(!whole, Ordering::Relaxed);
    }
}

/// Waits until the client begins to speak, for as long as it may be silent; `None` when the connection is over. Who has only
/// connected holds no buffers either.
pub async fn silent<S: AsyncRead + Unpin>(mut wire: Wire<S>, stop: &CancellationToken) -> Option<Wire<S>> {
    let spoken = async {
        match wire.ahead.is_empty() {
            true => poll_fn(|context| wire.poll_ahead(context)).await,
            false => Ok(()),
        }
    };
    let spoken = stop.run_until_cancelled(tokio::time::timeout(HEAD_WAIT, spoken)).await;
    matches!(spoken, Some(Ok(Ok(())))).then_some(wire)
}

/// Waits until the call was answered and the client asks again, or for as long as it may be silent; `None` when the
/// connection is over.
pub async fn wait<S>(wire: Wire<S>, later: Arc<Later>, stop: &CancellationToken) -> Option<Wire<S>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let at = Mutex::new(At { wire: Some(wire), told: Told::Nothing });
    let place = Arc::new(Place { later, at, stop: stop.clone(), turn: Notify::new() });
    let weak: Weak<dyn AtOnce> = Arc::<Place<S>>::downgrade(&place);
    place.later.ask_first(weak);
    let goes_on = place.serve().await;
    let wire = place.leave();
    wire.filter(|_| goes_on)
}

/// A parked connection, as its own task and whoever wakes it know it.
struct Place<S> {
    later: Arc<Later>,
    at: Mutex<At<S>>,
    stop: CancellationToken,
    /// Something is left for the task.
    turn: Notify,
}

struct At<S> {
    /// `None` once the task has left.
    wire: Option<Wire<S>>,
    told: Told,
}

#[derive(PartialEq)]
enum Told {
    Nothing,
    /// All of the answer but this.
    Partly(Bytes),
    Everything,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Place<S> {
    fn at(&self) -> MutexGuard<'_, At<S>> {
        self.at.lock().expect("BUG: nobody panics while holding this lock")
    }

    /// The task's side; whether HTTP goes on with the connection.
    async fn serve(&self) -> bool {
        let answer = self.later.answer();
        let cut_off = async {
            self.stop.cancelled().await;
            tokio::time::sleep(DRAIN_WAIT).await;
        };
        tokio::pin!(answer, cut_off);
        let mut stops = false;
        loop {
            let (waits, told) = {
                let at = self.at();
                (at.told == Told::Nothing, at.told == Told::Everything)
            };
            if stops && told {
                return false;
            }
            tokio::select! {
                answer = &mut answer, if waits => self.tell(&mut self.at(), answer),
                ended = poll_fn(|context| self.at().poll_asked_again(context)) => return ended.is_ok(),
                () = self.turn.notified() => {}
                () = tokio::time::sleep(HEAD_WAIT) => if told { return true },
                () = self.stop.cancelled(), if !stops => stops = true,
                () = &mut cut_off => return false,
            }
        }
    }

    /// Writes the answer as far as it fits; only the first one counts. What is left is the task's to do.
    fn tell(&self, at: &mut At<S>, answer: Response<Vec<u8>>) {
        let (Told::Nothing, Some(wire)) = (&at.told, &mut at.wire) else { return };
        let mut rest = Bytes::from(whole(answer, self.stop.is_cancelled()));
        // Nobody is woken by this: the task writes again what did not fit, or met an error.
        let written = poll_write_all(wire, &mut rest, &mut Context::from_waker(Waker::noop()));
        at.told = if matches!(written, Poll::Ready(Ok(()))) { Told::Everything } else { Told::Partly(rest) };
        if at.told != Told::Everything || !wire.ahead.is_empty() {
            self.turn.notify_one();
        }
    }

    /// The end: nobody tells anything any more.
    fn leave(&self) -> Option<Wire<S>> {
        self.later.gives_back();
        self.at().wire.take()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> At<S> {
    /// Writes what did not fit, and reads until the client has gone, or the answer was told and it asks again. Ahead of the
    /// answer only so much is read.
    fn poll_asked_again(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wire = self.wire.as_mut().expect("BUG: the task has left");
        if let Told::Partly(rest) = &mut self.told {
            ready!(poll_write_all(wire, rest, context))?;
            self.told = Told::Everything;
        }
        let told = self.told == Told::Everything;
        loop {
            if told && !wire.ahead.is_empty() {
                return Poll::Ready(Ok(()));
            }
            if wire.ahead.len() >= AHEAD_MAX {
                return Poll::Pending;
            }
            ready!(wire.poll_ahead(context))?;
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> AtOnce for Place<S> {
    fn woken(&self) -> bool {
        let mut at = self.at();
        if at.told != Told::Nothing {
            return true;
        }
        match self.later.glance() {
            Glance::Answer(answer) => self.tell(&mut at, answer),
            Glance::Nothing => {}
            Glance::Unclear => return false,
        }
        true
    }
}

/// Takes off what was written, until all of it has reached the peer's socket.
fn poll_write_all<S>(wire: &mut Wire<S>, rest: &mut Bytes, context: &mut Context<'_>) -> Poll<io::Result<()>>
where
    S: AsyncWrite + Unpin,
{
    let mut wire = Pin::new(wire);
    while !rest.is_empty() {
        match ready!(wire.as_mut().poll_write(context, rest))? {
            0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            count => rest.advance(count),
        }
    }
    wire.poll_flush(context)
}

/// An answer as it goes over the wire, in HTTP/1.1.
fn whole(answer: Response<Vec<u8>>, last: bool) -> Vec<u8> {
    let (mut head, body) = answer.into_parts();
    head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    if last {
        head.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let mut out = Vec::with_capacity(HEAD_USUAL + body.len());
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(head.status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(head.status.canonical_reason().unwrap_or_default().as_bytes());
    for (name, value) in &head.headers {
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
    }
    let date = httpdate::HttpDate::from(SystemTime::now());
    write!(out, "\r\ndate: {date}\r\n\r\n").expect("BUG: memory takes everything");
    out.extend_from_slice(&body);
    out
}
