//! The WebSocket over a stream that only its own task can write to: TLS, or one within HTTP/2.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

use super::io::Stream;
use super::reader::{DISCARDED, Flow, Reader, TURNS};
use crate::application::Application;
use crate::conn::{Carrier, Conn, Handover};
use crate::driver::{handle_and_write, poll_read, poll_ready, settle};
use crate::now;
use crate::shard::{Quantum, Rest};

/// How long a stream may take for what is left when one side has closed the WebSocket.
pub(crate) const LAST_WORDS: Duration = Duration::from_millis(500);

/// Reads and writes a stream that only its own task can write to.
pub(crate) struct StreamTask<A: Application> {
    conn: Arc<Conn<A>>,
    reader: Reader,
    /// There until the last words are being said.
    stream: Option<Pin<Box<dyn Stream>>>,
    /// What was read, but not decoded yet.
    rest: Option<Box<Rest>>,
    unflushed: bool,
    ending: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl<A: Application> Future for StreamTask<A> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let mut quantum = Quantum::default();
        for _ in 0..TURNS {
            if let Some(ending) = &mut this.ending {
                ready!(ending.as_mut().poll(context));
                let _over = settle(&this.conn, Ok(Flow::PeerClosed));
                return Poll::Ready(());
            }
            let turn = ready!(this.poll_turn(context, &mut quantum));
            if matches!(turn, Ok(Flow::PeerClosed))
                && let Some(stream) = this.stream.take()
            {
                this.ending = Some(Box::pin(last_words(this.conn.clone(), stream, this.reader.is_broken)));
                continue;
            }
            match settle(&this.conn, turn) {
                None => return Poll::Ready(()),
                Some(Flow::Yield(_)) => break,
                Some(_) => {}
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<A: Application> StreamTask<A> {
    /// Lets the stream carry the session, in a task of its own, so that what the handshake needed does not stay.
    pub(crate) fn serve(
        conn: &Arc<Conn<A>>,
        stream: Pin<Box<dyn Stream>>,
        reader: Reader,
        rest: Vec<u8>,
        handover: Handover,
    ) {
        if conn.attach(Carrier::Stream, handover) {
            let conn = conn.clone();
            let app = conn.app().clone();
            let rest = Rest::new(rest, &app.engine().undecoded);
            app.engine().spawn(Self { conn, reader, stream: Some(stream), rest, unflushed: false, ending: None });
        }
    }

    /// Ready when the session is closed and everything was written.
    fn poll_write(
        conn: &Arc<Conn<A>>,
        mut stream: Pin<&mut dyn Stream>,
        context: &mut Context<'_>,
        unflushed: &mut bool,
    ) -> Poll<io::Result<()>> {
        let waker = context.waker().clone();
        let written = conn.poll_stream_write(&waker, |slices| {
            *unflushed = true;
            stream.as_mut().poll_write_vectored(context, slices)
        });
        if *unflushed {
            match stream.as_mut().poll_flush(context) {
                Poll::Ready(Ok(())) => *unflushed = false,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        written
    }

    fn poll_turn(&mut self, context: &mut Context<'_>, quantum: &mut Quantum) -> Poll<io::Result<Flow>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(Ok(Flow::PeerClosed)) };
        if let Poll::Ready(done) = Self::poll_write(&self.conn, stream.as_mut(), context, &mut self.unflushed) {
            return Poll::Ready(done.map(|()| Flow::PeerClosed));
        }
        ready!(poll_ready(&self.conn, context));
        let Some(mut rest) = self.rest.take() else {
            return poll_read(&self.conn, &mut self.reader, stream.as_mut(), &mut self.rest, quantum, context);
        };
        let flow = handle_and_write(&self.conn, &mut self.reader, rest.bytes_mut(), now(), quantum);
        self.rest = rest.keep(flow.left());
        Poll::Ready(Ok(flow))
    }
}

/// Writes what is left, the close frame for example, and ends our side of the stream. Of a peer that broke the protocol it reads on,
/// for what that is still sending must not turn into a reset that overtakes the close frame.
async fn last_words<A: Application>(conn: Arc<Conn<A>>, mut stream: Pin<Box<dyn Stream>>, is_broken: bool) {
    let write = std::future::poll_fn(|context| {
        conn.poll_stream_write(context.waker(), |slices| stream.as_mut().poll_write_vectored(context, slices))
    });
    let _slow = tokio::time::timeout(LAST_WORDS, write).await;
    let limit = if is_broken { conn.engine().limits.close_timeout } else { LAST_WORDS };
    let end = async {
        let _unclean = tokio::time::timeout(LAST_WORDS, stream.shutdown()).await;
        if is_broken {
            discard(&mut stream).await;
        }
    };
    let _late = tokio::time::timeout(limit, end).await;
}

/// Reads to the end and throws away, but not without end.
pub(crate) async fn discard<S: AsyncRead + Unpin>(stream: &mut S) {
    let mut buffer = vec![0; 8 * 1024];
    let mut left = DISCARDED;
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        left = left.saturating_sub(u32::try_from(count).unwrap_or(left));
        if left == 0 {
            return;
        }
        // Who sends without a pause must not keep others from their turn.
        tokio::task::consume_budget().await;
    }
}
