//! From bytes to packets, whatever the stream they come from.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use sockeye_protocol::CloseReason;
use sockeye_protocol::engine::{Packet, Revision};
use sockeye_websocket::{Decoder, Event, Input, OpCode, write_frame};
use tokio::io::{AsyncRead, ReadBuf};

use crate::application::{Application, Readiness};
use crate::conn::{Conn, Ending};
use crate::encoded::Encoded;
use crate::metrics::Bound;
use crate::now;
use crate::turn::{Quantum, Rest};

/// Read at a time, into the thread's scratch buffer.
pub(crate) const SCRATCH: usize = 64 * 1024;

/// How many reads of one connection follow each other before other tasks get their turn.
pub(crate) const TURNS: u32 = 4;

/// How much is read and thrown away of a peer that broke the protocol, so that it sees our close frame and not a reset.
pub(crate) const DISCARDED: u32 = 64 << 20;

/// What the reader does after what was read has been handled.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    Continue,
    /// The application takes no more. So many bytes at the end were not decoded yet.
    Pause(usize),
    /// Others are to have their turn. So many bytes at the end were not decoded yet.
    Yield(usize),
    /// The peer closed the WebSocket.
    PeerClosed,
}

impl Flow {
    /// How many bytes at the end are still to be decoded.
    pub(crate) fn left(self) -> usize {
        match self {
            Self::Pause(left) | Self::Yield(left) => left,
            Self::Continue | Self::PeerClosed => 0,
        }
    }
}

pub(crate) struct Reader {
    decoder: Decoder,
    /// How much has been thrown away since the peer broke the protocol.
    discarded: u32,
    revision: Revision,
    /// The peer broke the protocol: what still comes is read, but no longer looked at.
    broken: bool,
}

impl Reader {
    pub(crate) fn new<A: Application>(conn: &Conn<A>, decoder: Decoder) -> Self {
        Self { decoder, discarded: 0, revision: conn.revision(), broken: false }
    }

    /// Ready when the application takes more.
    pub(crate) fn poll_ready<A: Application>(&self, conn: &Arc<Conn<A>>, context: &mut Context<'_>) -> Poll<()> {
        if A::readiness(conn) == Readiness::Ready {
            return Poll::Ready(());
        }
        let (ready, is_dirty) = conn.turn(|| A::poll_ready(conn, context));
        if is_dirty {
            conn.write_outbox();
        }
        ready
    }

    /// Reads and handles what was read; what was not decoded of it is put into `rest`.
    pub(crate) fn poll_read<A: Application, R: AsyncRead + ?Sized>(
        &mut self,
        conn: &Arc<Conn<A>>,
        read: Pin<&mut R>,
        rest: &mut Option<Box<Rest>>,
        quantum: &mut Quantum,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Flow>> {
        let undecoded = &conn.engine().undecoded;
        with_scratch(|scratch| {
            let room = undecoded.room_for_read(scratch.len());
            let mut buffer = ReadBuf::new(scratch.get_mut(..room).unwrap_or_default());
            match read.poll_read(context, &mut buffer) {
                Poll::Pending => {
                    conn.read_again();
                    Poll::Pending
                }
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                    Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()))
                }
                Poll::Ready(Ok(())) => {
                    let bytes = buffer.filled_mut();
                    let flow = self.handle_bytes(conn, bytes, now(), quantum);
                    *rest = Rest::new(tail(bytes, flow.left()), undecoded);
                    Poll::Ready(Ok(flow))
                }
            }
        })
    }

    /// Ends the connection where the turn says so.
    pub(crate) fn settle<A: Application>(&self, conn: &Arc<Conn<A>>, turn: io::Result<Flow>) -> Option<Flow> {
        match turn {
            Ok(Flow::PeerClosed) => {
                conn.transport_ended(CloseReason::TransportClose, "closed by the client");
                None
            }
            Ok(flow) => (!conn.is_finished()).then_some(flow),
            Err(error) => {
                conn.transport_ended(CloseReason::TransportClose, &error.to_string());
                None
            }
        }
    }

    /// Handles what was read, and writes what comes of it.
    pub(crate) fn handle_bytes<A: Application>(
        &mut self,
        conn: &Arc<Conn<A>>,
        bytes: &mut [u8],
        now: Instant,
        quantum: &mut Quantum,
    ) -> Flow {
        let (flow, is_unwritten) = self.take_bytes(conn, bytes, now, quantum);
        if is_unwritten {
            conn.write_outbox();
        }
        flow
    }

    /// Handles what was read. Also gives back whether the caller has to write.
    pub(crate) fn take_bytes<A: Application>(
        &mut self,
        conn: &Arc<Conn<A>>,
        bytes: &mut [u8],
        now: Instant,
        quantum: &mut Quantum,
    ) -> (Flow, bool) {
        if self.broken {
            self.discarded = self.discarded.saturating_add(u32::try_from(bytes.len()).unwrap_or(DISCARDED));
            return (if self.discarded < DISCARDED { Flow::Continue } else { Flow::PeerClosed }, false);
        }
        let (flow, is_dirty) = conn.turn(|| {
            let flow = self.decode(conn, bytes, now, quantum);
            conn.charge_incoming(self.decoder.held() + flow.left());
            flow
        });
        // What is said at the end is to go out before the socket is closed.
        if is_dirty && conn.is_ended() {
            conn.write_outbox();
            return (flow, false);
        }
        (flow, is_dirty)
    }

    /// Whether the peer broke the protocol.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken
    }

    fn decode<A: Application>(
        &mut self,
        conn: &Arc<Conn<A>>,
        bytes: &mut [u8],
        now: Instant,
        quantum: &mut Quantum,
    ) -> Flow {
        let may_yield = conn.engine().undecoded.has_room();
        let mut input = Input::new(bytes);
        loop {
            if quantum.is_spent() && may_yield {
                return Flow::Yield(input.remaining());
            }
            let packet = match self.decoder.decode(&mut input) {
                Ok(None) => return Flow::Continue,
                Ok(Some(Event::Text(text))) => {
                    quantum.spend(text.len());
                    Packet::decode_text(text, self.revision)
                }
                Ok(Some(Event::Binary(data))) => {
                    quantum.spend(data.len());
                    Packet::decode_binary(data, self.revision)
                }
                Ok(Some(Event::Ping(data))) => {
                    quantum.spend(data.len());
                    let mut frame = Vec::with_capacity(data.len() + 2);
                    write_frame(&mut frame, OpCode::Pong, data);
                    conn.send(Encoded::frames(frame), false);
                    continue;
                }
                Ok(Some(Event::Pong(_))) => {
                    quantum.spend(0);
                    continue;
                }
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
                        conn.engine().metrics.bound_reached(Bound::Payload, conn.id());
                    }
                    conn.close(CloseReason::TransportError, Ending::Broken(error.close_code()), &error.to_string());
                    return Flow::Continue;
                }
            };
            match packet {
                Ok(packet) => {
                    conn.handle_packet(packet, now);
                }
                Err(error) => conn.close(CloseReason::ParseError, Ending::Graceful, &error.to_string()),
            }
            if A::readiness(conn) == Readiness::Full {
                return Flow::Pause(input.remaining());
            }
        }
    }
}

/// The last `left` of the bytes.
pub(crate) fn tail(bytes: &[u8], left: usize) -> Vec<u8> {
    bytes.get(bytes.len().saturating_sub(left)..).unwrap_or_default().to_vec()
}

/// Lends the thread's scratch buffer. A call within a call gets one of its own.
pub(crate) fn with_scratch<R>(run: impl FnOnce(&mut [u8]) -> R) -> R {
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
