//! Carries the bytes of a WebSocket between its client and the node that has its session.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use tokio::io::ReadBuf;

use crate::websocket::{Io, Stream};

/// How long the one side may take to end once the other has.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// The most that is read at once.
const SCRATCH: usize = 16 * 1024;

/// One side: its stream, and what was read from it already.
type Side = (Io, Vec<u8>);

/// Copies both ways until both sides have ended, or one fails, or one has ended a while ago.
pub(crate) async fn relay(client: Side, owner: Side) {
    let (mut client, mut owner) = (End::new(client), End::new(owner));
    let mut poll =
        |context: &mut Context<'_>| (client.poll_copy(&mut owner, context), owner.poll_copy(&mut client, context));
    let is_clean = std::future::poll_fn(|context| match poll(context) {
        (Poll::Pending, Poll::Pending) => Poll::Pending,
        ends => Poll::Ready(!matches!(ends, (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))))),
    })
    .await;
    if is_clean {
        let both = std::future::poll_fn(|context| match poll(context) {
            (Poll::Ready(_), Poll::Ready(_)) => Poll::Ready(()),
            _ => Poll::Pending,
        });
        let _late = tokio::time::timeout(LAST_WORDS, both).await;
    }
}

/// A side, and what was read from it and not yet written to the other. When nothing comes it owns no buffer.
struct End {
    stream: Pin<Box<dyn Stream>>,
    rest: Bytes,
    state: State,
}

#[derive(PartialEq)]
enum State {
    Open,
    /// Open, and the other side may hold back what it was given.
    Unflushed,
    /// It has ended; the other side is to be told.
    Ended,
    Done,
}

impl End {
    fn new((io, read): Side) -> Self {
        Self { stream: io.into_stream(), rest: read.into(), state: State::Open }
    }

    /// Copies from this side to `other` until this one has ended and that is told.
    fn poll_copy(&mut self, other: &mut Self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let to = &mut other.stream;
        loop {
            while !self.rest.is_empty() {
                let count = ready!(to.as_mut().poll_write(context, &self.rest))?;
                if count == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.rest.advance(count);
                self.state = State::Unflushed;
            }
            // The allocation goes too.
            self.rest = Bytes::new();
            match self.state {
                State::Done => return Poll::Ready(Ok(())),
                State::Ended => {
                    ready!(to.as_mut().poll_shutdown(context))?;
                    self.state = State::Done;
                    continue;
                }
                State::Open | State::Unflushed => {}
            }
            let mut scratch = [const { MaybeUninit::uninit() }; SCRATCH];
            let mut buffer = ReadBuf::uninit(&mut scratch);
            match self.stream.as_mut().poll_read(context, &mut buffer)? {
                Poll::Ready(()) if buffer.filled().is_empty() => self.state = State::Ended,
                Poll::Ready(()) => {
                    let filled = buffer.filled();
                    let written = match to.as_mut().poll_write(context, filled)? {
                        Poll::Ready(count) => count,
                        Poll::Pending => 0,
                    };
                    self.rest = Bytes::copy_from_slice(filled.get(written..).unwrap_or_default());
                    self.state = State::Unflushed;
                }
                Poll::Pending => {
                    if self.state == State::Unflushed {
                        ready!(to.as_mut().poll_flush(context))?;
                        self.state = State::Open;
                    }
                    return Poll::Pending;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

    use super::*;

    fn pair(size: usize, read: &[u8]) -> (DuplexStream, Side) {
        let (far, near) = tokio::io::duplex(size);
        (far, (Io::Other(Box::pin(near)), read.to_vec()))
    }

    #[tokio::test]
    async fn bytes_go_both_ways_in_order_until_both_sides_end() {
        let (mut client, client_side) = pair(1000, b"first ");
        let (mut owner, owner_side) = pair(77, b"");
        let relaying = tokio::spawn(relay(client_side, owner_side));
        let long: Vec<u8> = (0..100_000u32).map(|at| (at % 251) as u8).collect();
        let sent = long.clone();
        let writing = tokio::spawn(async move {
            client.write_all(&sent).await.unwrap();
            client.shutdown().await.unwrap();
            let mut back = Vec::new();
            client.read_to_end(&mut back).await.unwrap();
            back
        });
        let mut got = Vec::new();
        owner.read_to_end(&mut got).await.unwrap();
        assert_eq!(got.strip_prefix(b"first "), Some(&long[..]));
        owner.write_all(b"answer").await.unwrap();
        drop(owner);
        assert_eq!(writing.await.unwrap(), b"answer");
        relaying.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_side_that_does_not_end_is_not_waited_for_long() {
        let (client, client_side) = pair(1000, b"");
        let (_owner, owner_side) = pair(1000, b"");
        let start = tokio::time::Instant::now();
        drop(client);
        relay(client_side, owner_side).await;
        assert!((LAST_WORDS..LAST_WORDS * 2).contains(&start.elapsed()));
    }
}
