//! A peer that is near: it comes back within a moment, again and again, as a
//! script does that makes one call after the other, and nobody else speaks. It
//! is waited for that moment without falling asleep. To sleep and to be woken
//! takes both ends longer than the moment does, most of all where processors
//! are a hypervisor's; a call that only reads takes half as long this way.
//!
//! ```text
//!   answered ─┬─ not near ─────────────────────────────▶ asleep until bytes come
//!             └─ near ─▶ others have their turn ─▶ looks ─┬─ bytes ─▶ the next call
//!                                                         └─ the moment is over ─▶ asleep, near no more
//! ```
//!
//! Below TLS, so that it is the same for everybody. Must never know what is
//! said.

use rustix::net::{RecvFlags, recv};
use std::io::{self, ErrorKind, IoSlice};
use std::num::NonZero;
use std::os::fd::AsFd;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::thread::{available_parallelism, yield_now};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How long a peer that is near is waited for: as long as one on the same machine takes to read, to write and to be woken.
const MOMENT: Duration = Duration::from_micros(100);
/// Times in a row that a peer has come back within a moment, and nobody else has spoken, before it is thought to be near.
const NEAR_AFTER: u32 = 8;
/// The same at most, after it was waited for in vain: where others need the processor, a moment may last for milliseconds.
const NEAR_AFTER_MOST: u32 = 4096;

/// All peers, and who of them has spoken last.
#[derive(Clone)]
pub struct Peers(Arc<Spoken>);

struct Spoken {
    known: AtomicU64,
    last: AtomicU64,
    /// There is a processor for who lingers, beside one for everybody else.
    room: bool,
}

impl Peers {
    pub fn new() -> Peers {
        let room = available_parallelism().map_or(1, NonZero::get) > 1;
        Peers(Arc::new(Spoken { known: AtomicU64::new(0), last: AtomicU64::new(0), room }))
    }

    /// Whether this one, who speaks, was also the last who did.
    fn is_alone(&self, id: u64) -> bool {
        let Spoken { last, room, .. } = &*self.0;
        // Mostly it was, and what everybody looks at is not written.
        *room && (last.load(Ordering::Relaxed) == id || last.swap(id, Ordering::Relaxed) == id)
    }
}

/// A peer's socket, and how near the peer is.
pub struct Near<S> {
    stream: S,
    peers: Peers,
    id: u64,
    /// When it was answered; none while it speaks.
    answered: Option<Instant>,
    /// How often in a row it came back within a moment.
    quick: u32,
    /// How often that is to be before it is near: twice as often each time it was waited for in vain, less as often as not.
    wanted: u32,
    /// Others have had their turn since it was answered.
    looks: bool,
}

impl<S> Near<S> {
    pub fn new(stream: S, peers: Peers) -> Near<S> {
        let id = peers.0.known.fetch_add(1, Ordering::Relaxed) + 1;
        Near { stream, peers, id, answered: None, quick: 0, wanted: NEAR_AFTER, looks: false }
    }

    fn came(&mut self) {
        self.looks = false;
        let Some(answered) = self.answered.take() else { return };
        let quick = self.peers.is_alone(self.id) && answered.elapsed() <= MOMENT;
        self.quick = if quick { self.quick.saturating_add(1) } else { 0 };
    }
}

impl<S: AsFd> Near<S> {
    /// Waits for a peer that is near.
    fn linger(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Some(answered) = self.answered.filter(|_| self.quick >= self.wanted) else { return Poll::Pending };
        if !std::mem::replace(&mut self.looks, true) {
            return pin!(tokio::task::yield_now()).poll(context).map(Ok); // the first time it is never ready
        }
        let room = buffer.initialize_unfilled();
        while answered.elapsed() <= MOMENT {
            match recv(&self.stream, &mut *room, RecvFlags::DONTWAIT).map_err(io::Error::from) {
                Ok((count, _)) => {
                    self.wanted = NEAR_AFTER.max(self.wanted - 1);
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                // The peer may need this very processor.
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => yield_now(),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        self.quick = 0;
        self.wanted = NEAR_AFTER_MOST.min(2 * self.wanted);
        Poll::Pending
    }
}

impl<S: AsyncRead + AsFd + Unpin> AsyncRead for Near<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let near = self.get_mut();
        let mut read = Pin::new(&mut near.stream).poll_read(context, buffer);
        if read.is_pending() {
            read = near.linger(context, buffer);
        }
        if read.is_ready() {
            near.came();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Near<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let near = self.get_mut();
        near.answered = Some(Instant::now());
        Pin::new(&mut near.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let near = self.get_mut();
        near.answered = Some(Instant::now());
        Pin::new(&mut near.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream as Other;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;

    fn peers() -> Peers {
        Peers(Arc::new(Spoken { known: AtomicU64::new(0), last: AtomicU64::new(0), room: true }))
    }

    fn pair(peers: &Peers) -> (Near<UnixStream>, Other) {
        let (one, other) = Other::pair().expect("two sockets");
        one.set_nonblocking(true).expect("a socket");
        (Near::new(UnixStream::from_std(one).expect("a runtime"), peers.clone()), other)
    }

    /// Polls once, without a turn for the runtime: it cannot tell that bytes have come.
    async fn look(near: &mut Near<UnixStream>) -> Poll<io::Result<Vec<u8>>> {
        let mut room = [0; 8];
        poll_fn(|context| {
            let mut buffer = ReadBuf::new(&mut room);
            let read = Pin::new(&mut *near).poll_read(context, &mut buffer);
            Poll::Ready(read.map_ok(|()| buffer.filled().to_vec()))
        })
        .await
    }

    /// As if it had come back within a moment often enough, and was answered just now, with any moment before it is over.
    fn answered(near: &mut Near<UnixStream>) {
        near.quick = NEAR_AFTER;
        near.answered = Instant::now().checked_add(Duration::from_secs(60));
    }

    #[tokio::test]
    async fn who_is_near_is_waited_for_after_others_had_their_turn() {
        let (mut near, mut other) = pair(&peers());
        answered(&mut near);
        assert!(look(&mut near).await.is_pending());
        other.write_all(b"call").expect("room");
        assert!(matches!(look(&mut near).await, Poll::Ready(Ok(bytes)) if bytes == b"call"));
        assert!(look(&mut near).await.is_pending() && look(&mut near).await.is_pending(), "it was not answered");
        answered(&mut near);
        assert!(look(&mut near).await.is_pending());
        drop(other);
        assert!(matches!(look(&mut near).await, Poll::Ready(Ok(bytes)) if bytes.is_empty()), "it has gone");
    }

    #[tokio::test]
    async fn who_does_not_come_back_is_near_no_more() {
        let (mut near, _other) = pair(&peers());
        near.quick = NEAR_AFTER;
        near.answered = Instant::now().checked_sub(2 * MOMENT);
        assert!(look(&mut near).await.is_pending() && near.quick == NEAR_AFTER);
        assert!(look(&mut near).await.is_pending() && near.quick == 0);
        assert_eq!(near.wanted, 2 * NEAR_AFTER, "it has to come back more often for it");
    }

    #[tokio::test]
    async fn nobody_is_near_while_others_speak() {
        let peers = peers();
        let ((mut one, _), (mut other, _)) = (pair(&peers), pair(&peers));
        let speak = |near: &mut Near<UnixStream>| {
            near.answered = Some(Instant::now() + Duration::from_secs(60));
            near.came();
            near.quick
        };
        assert_eq!([speak(&mut one), speak(&mut one), speak(&mut one)], [0, 1, 2]);
        assert_eq!([speak(&mut other), speak(&mut one), speak(&mut one)], [0, 0, 1]);
    }

    /// Whatever a moment takes on this machine, nothing is lost, and nothing comes twice.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn says_what_was_said() {
        const CALLS: u32 = 2000;
        let (mut near, mut other) = pair(&peers());
        let asking = std::thread::spawn(move || {
            let mut answer = [0; 4];
            for call in 0..CALLS {
                other.write_all(&call.to_be_bytes()).expect("it listens");
                other.read_exact(&mut answer).expect("it answers");
                assert_eq!(u32::from_be_bytes(answer), !call);
            }
        });
        for _ in 0..CALLS {
            let call = near.read_u32().await.expect("a call");
            near.write_u32(!call).await.expect("it reads");
        }
        asking.join().expect("every answer was right");
    }
}
