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

use crate::engine::conn::{Conn, Ending};
use crate::engine::encoded::Encoded;
use crate::engine::now;
use crate::telemetry::Bound;

/// Read at a time, into the thread's scratch buffer.
pub(super) const SCRATCH: usize = 64 * 1024;

/// How many reads of one connection follow each other before other tasks get their turn.
pub(super) const TURNS: u32 = 4;

/// What the reader does after a turn.
pub(super) enum Flow {
    Continue,
    /// The backlog is full. What was not decoded yet.
    Pause(Vec<u8>),
    /// The peer closed the WebSocket.
    PeerClosed,
}

pub(super) struct Reader {
    decoder: Decoder,
    revision: Revision,
    /// The peer broke the protocol: what still comes is read, but no longer looked at.
    broken: bool,
}

impl Reader {
    pub(super) fn new(conn: &Conn, decoder: Decoder) -> Self {
        Self { decoder, revision: conn.revision(), broken: false }
    }

    /// Works off the backlog; ready when it is not full, and reading may go on.
    pub(super) fn poll_backlog(&self, conn: &Arc<Conn>, context: &mut Context<'_>) -> Poll<()> {
        while conn.has_backlog() {
            let (is_ours, is_dirty) = conn.turn(|| conn.work_off());
            if is_dirty {
                conn.write_outbox();
            }
            if !is_ours && conn.is_full() {
                // A POST from before the upgrade is at it; soon it is done.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            // Pending: whoever reads on is woken by the next handler that ends, too.
            match (conn.poll_resumed(context), is_ours) {
                (Poll::Ready(()), true) => {}
                (Poll::Pending, _) if conn.is_full() => return Poll::Pending,
                _ => break,
            }
        }
        Poll::Ready(())
    }

    pub(super) fn poll_read<R: AsyncRead + ?Sized>(
        &mut self,
        conn: &Arc<Conn>,
        read: Pin<&mut R>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Flow>> {
        with_scratch(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            match read.poll_read(context, &mut buffer) {
                Poll::Pending => {
                    conn.read_again();
                    Poll::Pending
                }
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                    Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()))
                }
                Poll::Ready(Ok(())) => Poll::Ready(Ok(self.handle_bytes(conn, buffer.filled_mut(), now()))),
            }
        })
    }

    /// Ends the connection where the turn says so.
    pub(super) fn settle(&self, conn: &Arc<Conn>, turn: io::Result<Flow>) -> Option<Flow> {
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
    pub(super) fn handle_bytes(&mut self, conn: &Arc<Conn>, bytes: &mut [u8], now: Instant) -> Flow {
        let (flow, is_unwritten) = self.take_bytes(conn, bytes, now);
        if is_unwritten {
            conn.write_outbox();
        }
        flow
    }

    /// Handles what was read. Also gives back whether the caller has to write.
    pub(super) fn take_bytes(&mut self, conn: &Arc<Conn>, bytes: &mut [u8], now: Instant) -> (Flow, bool) {
        if self.broken {
            return (Flow::Continue, false);
        }
        let (flow, is_dirty) = conn.turn(|| {
            let flow = self.decode(conn, bytes, now);
            let undecoded = if let Flow::Pause(rest) = &flow { rest.len() } else { 0 };
            conn.charge_incoming(self.decoder.held() + undecoded);
            flow
        });
        // What is said at the end is to go out before the socket is closed.
        if is_dirty && conn.is_ended() {
            conn.write_outbox();
            return (flow, false);
        }
        (flow, is_dirty)
    }

    fn decode(&mut self, conn: &Arc<Conn>, bytes: &mut [u8], now: Instant) -> Flow {
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
pub(super) fn with_scratch<R>(run: impl FnOnce(&mut [u8]) -> R) -> R {
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
