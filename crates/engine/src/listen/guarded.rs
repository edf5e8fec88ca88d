//! The stream below the HTTP library: it notes what the watch must know, and refuses what the library would accept.

use std::any::Any;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::activity::Activity;
use super::framing::Framing;

/// A stream that is guarded while HTTP is spoken on it.
#[derive(Debug)]
pub(crate) struct Guarded<I> {
    stream: I,
    /// `None` once the stream is something else's, a WebSocket's for example.
    guard: Option<Box<Guard>>,
}

#[derive(Debug)]
struct Guard {
    activity: Arc<Activity>,
    requests: Framing,
    is_shut_down: bool,
    /// Bytes thrown away since the stream was shut down.
    drained: usize,
}

impl<I> Guarded<I> {
    pub(crate) fn new(stream: I, activity: Arc<Activity>) -> Self {
        let guard = Guard { activity, requests: Framing::new(), is_shut_down: false, drained: 0 };
        Self { stream, guard: Some(Box::new(guard)) }
    }

    pub(crate) fn into_inner(self) -> I {
        self.stream
    }

    /// The stream, and what guards it as long as HTTP is spoken.
    fn parts(&mut self) -> (Pin<&mut I>, Option<&mut Guard>)
    where
        I: Unpin,
    {
        if self.guard.as_ref().is_some_and(|guard| guard.activity.is_released.load(Ordering::Relaxed)) {
            self.guard = None;
        }
        (Pin::new(&mut self.stream), self.guard.as_deref_mut())
    }
}

impl Guard {
    /// Looks at what was read: all of `buffer` from `before` on.
    fn note_read(&mut self, buffer: &mut ReadBuf<'_>, before: usize) {
        let activity = &*self.activity;
        let bytes = buffer.filled().get(before..).unwrap_or_default();
        if bytes.is_empty() {
            activity.is_broken.store(true, Ordering::Relaxed);
            return;
        }
        if let Some(at) = self.requests.read(bytes) {
            spoil(buffer, before, before + at);
        }
        activity.is_in_head.store(self.requests.is_in_head(), Ordering::Relaxed);
        if self.requests.is_http2() {
            activity.is_http2.store(true, Ordering::Relaxed);
        }
    }

    /// Fails once the peer had its time to read. What the system has taken and not sent is dropped: it would keep that for
    /// minutes, and megabytes of it.
    fn check_cut<I: 'static>(&self, stream: &I) -> io::Result<()> {
        if !self.activity.is_cut.load(Ordering::Relaxed) {
            return Ok(());
        }
        if let Some(stream) = (stream as &dyn Any).downcast_ref::<TcpStream>() {
            SockRef::from(stream).set_linger(Some(Duration::ZERO))?;
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    fn note_written(&self, result: &Poll<io::Result<usize>>) {
        match result {
            Poll::Ready(Ok(_)) => {
                self.activity.is_written.store(true, Ordering::Relaxed);
                self.activity.is_blocked.store(false, Ordering::Relaxed);
            }
            Poll::Ready(Err(_)) => self.activity.is_broken.store(true, Ordering::Relaxed),
            Poll::Pending => self.activity.is_blocked.store(true, Ordering::Relaxed),
        }
    }
}

/// Makes a head invalid, so that the library refuses it, and ends what was read: at this position, or before it where there is
/// too little room.
fn spoil(buffer: &mut ReadBuf<'_>, first: usize, at: usize) {
    let at = at.min(buffer.capacity().saturating_sub(SPOILED.len())).max(first);
    buffer.set_filled(at);
    let len = SPOILED.len().min(buffer.remaining());
    buffer.put_slice(SPOILED.get(..len).unwrap_or_default());
}

/// A byte that no head may have, and the end of a head, which the library waits for before it looks.
const SPOILED: &[u8] = b"\0\r\n\r\n";

impl<I: AsyncRead + Unpin> AsyncRead for Guarded<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (stream, guard) = self.parts();
        let before = buffer.filled().len();
        let result = ready!(stream.poll_read(context, buffer));
        if let Some(guard) = guard {
            match &result {
                Ok(()) => guard.note_read(buffer, before),
                Err(_) => guard.activity.is_broken.store(true, Ordering::Relaxed),
            }
        }
        Poll::Ready(result)
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin + 'static> AsyncWrite for Guarded<I> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let (stream, guard) = self.parts();
        if let Some(guard) = &guard {
            guard.check_cut(&*stream)?;
        }
        let result = stream.poll_write(context, bytes);
        if let Some(guard) = guard {
            guard.note_written(&result);
        }
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let (stream, guard) = self.parts();
        if let Some(guard) = &guard {
            guard.check_cut(&*stream)?;
        }
        let result = stream.poll_write_vectored(context, slices);
        if let Some(guard) = guard {
            guard.note_written(&result);
        }
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (stream, guard) = self.parts();
        let result = stream.poll_flush(context);
        if let Some(guard) = guard {
            // TLS writes what it holds here.
            guard.activity.is_blocked.store(result.is_pending(), Ordering::Relaxed);
        }
        result
    }

    /// Also throws away what the peer is still sending. A socket that is closed with unread bytes resets the connection, and
    /// the peer then loses the answer that it was just sent, 413 or 431 for example.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (mut stream, guard) = self.parts();
        let Some(guard) = guard else {
            return stream.poll_shutdown(context);
        };
        if !guard.is_shut_down {
            ready!(stream.as_mut().poll_shutdown(context))?;
            guard.is_shut_down = true;
            guard.activity.is_blocked.store(false, Ordering::Relaxed);
            guard.activity.is_draining.store(true, Ordering::Relaxed);
        }
        let mut scratch = [0; 4096];
        loop {
            let mut buffer = ReadBuf::new(&mut scratch);
            match stream.as_mut().poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() && guard.drained < MAX_DRAINED => {
                    guard.drained += buffer.filled().len();
                    guard.activity.is_drained.store(true, Ordering::Relaxed);
                }
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending if guard.drained > 0 || guard.requests.is_unfinished() => return Poll::Pending,
                Poll::Pending => return Poll::Ready(Ok(())),
            }
        }
    }
}

/// Bytes that a peer may still send, which are thrown away, when the server has closed its side.
const MAX_DRAINED: usize = 64 << 20;
