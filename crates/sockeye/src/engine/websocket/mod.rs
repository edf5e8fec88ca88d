//! The WebSocket transport: reads frames for one connection, and probes for one that wants to upgrade.
//!
//! An idle connection owns no buffer: bytes are read into a scratch buffer of the thread once the socket is readable, and
//! only the rest of a cut frame is kept, by the decoder.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use sockeye_protocol::CloseReason;
use sockeye_protocol::engine::{Packet, ProbeOutcome, Revision};
use sockeye_websocket::{Decoder, Event, Input, OpCode, write_close, write_frame};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;

use super::conn::{Conn, Ending};
use super::encoded::Encoded;
use crate::telemetry::Bound;

/// Read at a time, into the thread's scratch buffer.
const SCRATCH: usize = 64 * 1024;

/// The stream of a connection after the HTTP library let go of it.
pub(crate) enum Io {
    /// A plain socket: any thread may write to it.
    Tcp(TcpStream),
    /// Anything else: TLS, a stream within HTTP/2.
    Other(Pin<Box<dyn Stream>>),
}

/// A stream of bytes in both directions.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Stream for T {}

impl Io {
    /// Takes the stream back from the HTTP library, with a copy of what it has read already: its buffer of 8 KiB must go.
    pub(crate) fn from_upgraded(upgraded: Upgraded) -> (Self, Vec<u8>) {
        use hyper_util::server::conn::auto::upgrade::downcast;
        let upgraded = match downcast::<TokioIo<TcpStream>>(upgraded) {
            Ok(parts) => return (Self::Tcp(parts.io.into_inner()), parts.read_buf.to_vec()),
            Err(upgraded) => upgraded,
        };
        match upgraded.downcast::<TokioIo<TcpStream>>() {
            Ok(parts) => (Self::Tcp(parts.io.into_inner()), parts.read_buf.to_vec()),
            Err(upgraded) => (Self::Other(Box::pin(TokioIo::new(upgraded))), Vec::new()),
        }
    }
}

/// The WebSocket of a new session.
pub(crate) fn run(conn: &Arc<Conn>, io: Io, first: Vec<u8>, decoder: Decoder, deflate: Option<usize>) {
    let reader = Reader::new(conn.clone(), decoder);
    // The reader's task is one of its own, so that what the handshake needed does not stay.
    match io {
        Io::Tcp(stream) => {
            let (read, write) = stream.into_split();
            if conn.attach(Some(write), deflate) {
                conn.server().spawn(TcpTask { reader, read, rest: first });
            }
        }
        Io::Other(stream) => {
            if conn.attach(None, deflate) {
                conn.server().spawn(StreamTask::new(reader, stream, first));
            }
        }
    }
}

/// A WebSocket that wants to take over a long-polling session.
pub(crate) async fn run_probe(
    conn: Arc<Conn>,
    mut io: Io,
    first: Vec<u8>,
    mut decoder: Decoder,
    deflate: Option<usize>,
) {
    // The session gives up a probe after the upgrade timeout; this is for one that is stuck in a write.
    let limit = conn.server().options.upgrade_timeout.saturating_add(LAST_WORDS);
    let rest = match &mut io {
        Io::Tcp(stream) => tokio::time::timeout(limit, probe(&conn, stream, first, &mut decoder)).await,
        Io::Other(stream) => tokio::time::timeout(limit, probe(&conn, stream, first, &mut decoder)).await,
    };
    let Ok(Some(rest)) = rest else {
        if rest.is_err() {
            conn.abort_probe();
        }
        let _unsaid = tokio::time::timeout(LAST_WORDS, refuse(io)).await;
        return;
    };
    let reader = Reader::new(conn.clone(), decoder);
    match io {
        Io::Tcp(stream) => {
            let (read, write) = stream.into_split();
            if conn.complete_upgrade(Some(write), deflate) {
                conn.server().spawn(TcpTask { reader, read, rest });
            }
        }
        Io::Other(stream) => {
            if conn.complete_upgrade(None, deflate) {
                conn.server().spawn(StreamTask::new(reader, stream, rest));
            }
        }
    }
}

/// Refuses a WebSocket whose session does not want it: a close without a status.
pub(crate) async fn refuse(io: Io) {
    let mut frame = Vec::new();
    write_close(&mut frame, None, "");
    let mut stream: Pin<Box<dyn Stream>> = match io {
        Io::Tcp(stream) => Box::pin(stream),
        Io::Other(stream) => stream,
    };
    if stream.write_all(&frame).await.is_ok() {
        linger(&mut stream).await;
    }
}

/// Answers the client's probe until it asks for the upgrade. Gives back what was read beyond that; none if it came to nothing.
async fn probe<S>(conn: &Arc<Conn>, stream: &mut S, first: Vec<u8>, decoder: &mut Decoder) -> Option<Vec<u8>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Some(abort) = conn.begin_probe() else {
        tracing::debug!(sid = conn.id().as_str(), "second upgrade of a session refused");
        return None;
    };
    let mut buffer: Vec<u8> = first;
    loop {
        let mut reply = Vec::new();
        let mut input = Input::new(&mut buffer);
        let outcome = loop {
            match decoder.decode(&mut input) {
                Ok(None) => break None,
                Ok(Some(Event::Ping(data))) => write_frame(&mut reply, OpCode::Pong, data),
                Ok(Some(Event::Pong(_))) => {}
                Ok(Some(Event::Text(text))) => {
                    match Packet::decode_text(text, conn.revision()).map(|packet| conn.handle_probe_packet(packet)) {
                        Ok(ProbeOutcome::Pong) => write_frame(&mut reply, OpCode::Text, b"3probe"),
                        Ok(outcome) => break Some(outcome),
                        Err(_) => break Some(ProbeOutcome::Abort),
                    }
                }
                Ok(Some(Event::Binary(_) | Event::Close { .. })) | Err(_) => break Some(ProbeOutcome::Abort),
            }
        };
        if matches!(outcome, Some(ProbeOutcome::Upgrade)) {
            let rest = input.remaining();
            return Some(buffer.split_off(buffer.len().saturating_sub(rest)));
        }
        if outcome.is_some() || (!reply.is_empty() && stream.write_all(&reply).await.is_err()) {
            break;
        }
        buffer.resize(1024, 0);
        let read = tokio::select! {
            read = stream.read(&mut buffer) => read,
            () = abort.notified() => break,
        };
        match read {
            Ok(0) | Err(_) => break,
            Ok(count) => buffer.truncate(count),
        }
    }
    conn.abort_probe();
    None
}

/// Reads on for a moment, so that the close frame is not overtaken by a reset.
async fn linger<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) {
    let wait = async {
        let mut buffer = vec![0; 512];
        let _unclean = stream.shutdown().await;
        while matches!(stream.read(&mut buffer).await, Ok(1..)) {}
    };
    let _late = tokio::time::timeout(LAST_WORDS, wait).await;
}

/// Reads a plain socket. Written by hand, as what it holds is what every connection holds.
struct TcpTask {
    reader: Reader,
    read: OwnedReadHalf,
    /// What was read, but not decoded yet.
    rest: Vec<u8>,
}

impl Future for TcpTask {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Self { reader, read, rest } = self.get_mut();
        for _ in 0..TURNS {
            ready!(reader.poll_backlog(context));
            let turn = if rest.is_empty() {
                ready!(reader.poll_read(Pin::new(read), context))
            } else {
                Ok(reader.handle_bytes(&mut std::mem::take(rest)))
            };
            match reader.settle(turn) {
                None => return Poll::Ready(()),
                Some(Flow::Pause(bytes)) => *rest = bytes,
                Some(_) => {}
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Reads and writes a stream that only its own task can write to.
struct StreamTask {
    reader: Reader,
    /// There until the last words are being said.
    stream: Option<Pin<Box<dyn Stream>>>,
    rest: Vec<u8>,
    unflushed: bool,
    ending: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Future for StreamTask {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        for _ in 0..TURNS {
            if let Some(ending) = &mut this.ending {
                ready!(ending.as_mut().poll(context));
                let _over = this.reader.settle(Ok(Flow::PeerClosed));
                return Poll::Ready(());
            }
            let turn = ready!(this.poll_turn(context));
            if matches!(turn, Ok(Flow::PeerClosed))
                && let Some(stream) = this.stream.take()
            {
                this.ending = Some(Box::pin(last_words(this.reader.conn.clone(), stream)));
                continue;
            }
            match this.reader.settle(turn) {
                None => return Poll::Ready(()),
                Some(Flow::Pause(bytes)) => this.rest = bytes,
                Some(_) => {}
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl StreamTask {
    fn new(reader: Reader, stream: Pin<Box<dyn Stream>>, rest: Vec<u8>) -> Self {
        Self { reader, stream: Some(stream), rest, unflushed: false, ending: None }
    }

    fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Flow>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(Ok(Flow::PeerClosed)) };
        if let Poll::Ready(done) = self.reader.poll_write(stream.as_mut(), context, &mut self.unflushed) {
            return Poll::Ready(done.map(|()| Flow::PeerClosed));
        }
        ready!(self.reader.poll_backlog(context));
        if self.rest.is_empty() {
            return self.reader.poll_read(stream.as_mut(), context);
        }
        Poll::Ready(Ok(self.reader.handle_bytes(&mut std::mem::take(&mut self.rest))))
    }
}

/// Writes what is left, the close frame for example, and ends the stream.
async fn last_words(conn: Arc<Conn>, mut stream: Pin<Box<dyn Stream>>) {
    let write = std::future::poll_fn(|context| {
        conn.poll_stream_write(context.waker(), |slices| stream.as_mut().poll_write_vectored(context, slices))
    });
    let _slow = tokio::time::timeout(LAST_WORDS, write).await;
    let _unclean = tokio::time::timeout(LAST_WORDS, stream.shutdown()).await;
}

/// How long a stream may take for what is left when one side has closed the WebSocket.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How many reads of one connection follow each other before other tasks get their turn.
const TURNS: u32 = 16;

/// What the reader does after a turn.
enum Flow {
    Continue,
    /// The backlog is full. What was not decoded yet.
    Pause(Vec<u8>),
    /// The peer closed the WebSocket.
    PeerClosed,
}

struct Reader {
    conn: Arc<Conn>,
    decoder: Decoder,
    revision: Revision,
    /// The peer broke the protocol: what still comes is read, but no longer looked at.
    broken: bool,
}

impl Reader {
    fn new(conn: Arc<Conn>, decoder: Decoder) -> Self {
        let revision = conn.revision();
        Self { conn, decoder, revision, broken: false }
    }

    /// Ready when the session is closed and everything was written.
    fn poll_write(
        &self,
        mut stream: Pin<&mut dyn Stream>,
        context: &mut Context<'_>,
        unflushed: &mut bool,
    ) -> Poll<io::Result<()>> {
        let waker = context.waker().clone();
        let written = self.conn.poll_stream_write(&waker, |slices| {
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

    /// Works off the backlog; ready when it is not full, and reading may go on.
    fn poll_backlog(&self, context: &mut Context<'_>) -> Poll<()> {
        while self.conn.has_backlog() {
            let is_ours = self.conn.turn(|| self.conn.work_off());
            if !is_ours && self.conn.is_full() {
                // A POST from before the upgrade is at it; soon it is done.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            // Pending: whoever reads on is woken by the next handler that ends, too.
            match (self.conn.poll_resumed(context), is_ours) {
                (Poll::Ready(()), true) => {}
                (Poll::Pending, _) if self.conn.is_full() => return Poll::Pending,
                _ => break,
            }
        }
        Poll::Ready(())
    }

    fn poll_read<R: AsyncRead + ?Sized>(
        &mut self,
        read: Pin<&mut R>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Flow>> {
        with_scratch(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            match read.poll_read(context, &mut buffer) {
                Poll::Pending => {
                    self.conn.read_again();
                    Poll::Pending
                }
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                    Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()))
                }
                Poll::Ready(Ok(())) => Poll::Ready(Ok(self.handle_bytes(buffer.filled_mut()))),
            }
        })
    }

    /// Ends the connection where the turn says so.
    fn settle(&self, turn: io::Result<Flow>) -> Option<Flow> {
        match turn {
            Ok(Flow::PeerClosed) => {
                self.conn.transport_ended(CloseReason::TransportClose, "closed by the client");
                None
            }
            Ok(flow) => (!self.conn.is_finished()).then_some(flow),
            Err(error) => {
                self.conn.transport_ended(CloseReason::TransportClose, &error.to_string());
                None
            }
        }
    }

    fn handle_bytes(&mut self, bytes: &mut [u8]) -> Flow {
        if self.broken {
            return Flow::Continue;
        }
        let conn = self.conn.clone();
        conn.turn(|| self.decode(bytes))
    }

    fn decode(&mut self, bytes: &mut [u8]) -> Flow {
        let conn = &self.conn;
        let now = super::now();
        let mut input = Input::new(bytes);
        loop {
            let packet = match self.decoder.decode(&mut input) {
                Ok(None) => return Flow::Continue,
                Ok(Some(Event::Text(text))) => Packet::decode_text(text, self.revision),
                Ok(Some(Event::Binary(data))) => Packet::decode_binary(data, self.revision),
                Ok(Some(Event::Ping(data))) => {
                    let mut frame = Vec::with_capacity(data.len() + 2);
                    write_frame(&mut frame, OpCode::Pong, data);
                    conn.send(Encoded::frames(frame), false);
                    continue;
                }
                Ok(Some(Event::Pong(_))) => continue,
                Ok(Some(Event::Close { code, .. })) => {
                    conn.close(
                        CloseReason::TransportClose,
                        code.map_or(Ending::Graceful, Ending::Code),
                        "closed by the client",
                    );
                    return Flow::PeerClosed;
                }
                Err(error) => {
                    self.broken = true;
                    if matches!(error, sockeye_websocket::Error::MessageTooBig { .. }) {
                        conn.server().metrics.bound_reached(Bound::Payload, conn.id());
                    }
                    conn.close(CloseReason::TransportError, Ending::Code(error.close_code()), &error.to_string());
                    return Flow::Continue;
                }
            };
            match packet {
                Ok(packet) => {
                    conn.handle_packet(packet, now);
                }
                Err(error) => conn.close(CloseReason::ParseError, Ending::Graceful, &error.to_string()),
            }
            if conn.is_full() {
                let rest = input.remaining();
                let rest = bytes.get(bytes.len().saturating_sub(rest)..).unwrap_or_default();
                return Flow::Pause(rest.to_vec());
            }
        }
    }
}

/// Lends the thread's scratch buffer. A call within a call gets one of its own.
fn with_scratch<R>(run: impl FnOnce(&mut [u8]) -> R) -> R {
    thread_local! {
        static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    }
    let mut buffer = BUFFER.take();
    if buffer.is_empty() {
        buffer = vec![0; SCRATCH];
    }
    let result = run(&mut buffer);
    BUFFER.set(buffer);
    result
}
