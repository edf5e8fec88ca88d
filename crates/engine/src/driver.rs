//! A turn: from what the socket of a connection has, through its session, to the application, and back to the socket.
//!
//! ```text
//!   turn ──► poll_ready: what the application kept for later
//!        ──► what was read before and not decoded, or else what the socket has
//!              └─► handle_bytes ─► frames ─► packets ─► Conn::handle_packet ─► Application::handle_message
//!                                                                                 └─► Conn::send ─► outbox
//!        ──► Turn: when the next one comes, and whether the outbox is still to be written
//! ```
//! A shard gives a plain socket its turns, and writes after several of them what they owe. A stream that only its own task can write
//! to goes through the same steps in that task: see [`StreamTask`](crate::websocket).

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use sockeye_protocol::CloseReason;
use sockeye_protocol::engine::Packet;
use sockeye_websocket::{Event, Input, OpCode, write_frame};
use tokio::io::{AsyncRead, ReadBuf};

use crate::application::{Application, Readiness};
use crate::conn::{Conn, Ending};
use crate::encoded::Encoded;
use crate::metrics::Bound;
use crate::now;
use crate::shard::{Driven, Next, Owes, Quantum, Queue, Ready, Rest, Turn};
use crate::websocket::{Flow, Reader, TURNS, TcpReader, tail, with_scratch};

impl<A: Application> Driven for Conn<A> {
    #[inline]
    fn shard(&self) -> usize {
        Self::shard(self)
    }

    #[inline]
    fn want_turn(&self, ready: Ready) -> bool {
        Self::want_turn(self, ready)
    }

    #[inline]
    fn begin_turn(&self) -> Ready {
        Self::begin_turn(self)
    }

    fn turn(self: &Arc<Self>, ready: Ready, now: Instant) -> Turn {
        turn(self, ready, now)
    }

    fn fail(self: &Arc<Self>) {
        self.close(CloseReason::TransportError, Ending::Gone, "a panic of the server");
    }

    fn write(self: &Arc<Self>) {
        self.write_outbox();
    }

    fn flush(self: &Arc<Self>, queue: Queue) {
        Self::flush(self, queue);
    }

    #[inline]
    fn prefetch(self: &Arc<Self>) {
        Self::prefetch(self);
    }

    fn handle_timeout(self: &Arc<Self>, now: Instant) {
        Self::handle_timeout(self, now);
    }
}

/// A turn of a connection whose plain socket is ready.
fn turn<A: Application>(conn: &Arc<Conn<A>>, ready: Ready, now: Instant) -> Turn {
    if ready.writable {
        conn.handle_writable();
    }
    let mut slot = conn.tcp.lock();
    let Some(tcp) = slot.as_mut() else { return Turn::NONE };
    let turn = read_socket(conn, tcp, ready, now);
    if matches!(turn.next, Next::Ended(_)) {
        *slot = None;
    }
    turn
}

fn read_socket<A: Application>(conn: &Arc<Conn<A>>, tcp: &mut TcpReader, ready: Ready, now: Instant) -> Turn {
    let mut readable = ready.readable;
    let mut owes = Owes::Nothing;
    let mut quantum = Quantum::default();
    for _ in 0..TURNS {
        if A::readiness(conn) != Readiness::Ready {
            let waker = tcp.waker.get_or_insert_with(|| Waker::from(Arc::new(Resume(Arc::downgrade(conn)))));
            if poll_ready(conn, &mut Context::from_waker(waker)).is_pending() {
                return Turn { next: Next::Wait, owes };
            }
        }
        let handled: io::Result<Handled> = if let Some(mut rest) = tcp.rest.take() {
            let handled = handle_bytes(conn, &mut tcp.reader, rest.bytes_mut(), now, &mut quantum);
            tcp.rest = rest.keep(handled.flow.left());
            Ok(handled)
        } else if readable {
            with_scratch(|scratch| {
                let undecoded = &conn.engine().undecoded;
                let room = undecoded.room_for_read(scratch.len());
                let count = conn.try_read(scratch.get_mut(..room).unwrap_or_default())?;
                // Less than there was room for: no more is there now, unless it is the end.
                readable = ready.ended || count == room;
                let bytes = scratch.get_mut(..count).unwrap_or_default();
                if bytes.is_empty() {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                let handled = handle_bytes(conn, &mut tcp.reader, bytes, now, &mut quantum);
                if handled.flow.left() > 0 {
                    tcp.rest = Rest::new(tail(bytes, handled.flow.left()), undecoded);
                }
                Ok(handled)
            })
        } else {
            Err(io::ErrorKind::WouldBlock.into())
        };
        let flow = match handled {
            Ok(handled) => {
                owes = owes.and(handled.owes);
                Ok(handled.flow)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                conn.read_again();
                return Turn { next: Next::Wait, owes };
            }
            Err(error) => {
                // Before the socket is closed.
                if std::mem::replace(&mut owes, Owes::Nothing) == Owes::Write {
                    conn.write_outbox();
                }
                Err(error)
            }
        };
        match settle(conn, flow) {
            None => return Turn { next: Next::Ended(tcp.entry), owes },
            Some(Flow::Yield(_)) => break,
            Some(_) => {}
        }
    }
    // What was deferred last may be the application's to take by now, and nobody would tell.
    if tcp.rest.is_none() && !readable && A::readiness(conn) == Readiness::Ready {
        conn.read_again();
        return Turn { next: Next::Wait, owes };
    }
    Turn { next: Next::Again, owes }
}

/// Gives a connection a turn when the application takes more.
struct Resume<A: Application>(Weak<Conn<A>>);

impl<A: Application> Wake for Resume<A> {
    fn wake(self: Arc<Self>) {
        if let Some(conn) = self.0.upgrade() {
            conn.engine().poller.again(&conn);
        }
    }
}

/// Lets the application handle what it kept. Ready when it takes more.
pub(crate) fn poll_ready<A: Application>(conn: &Arc<Conn<A>>, context: &mut Context<'_>) -> Poll<()> {
    if A::readiness(conn) == Readiness::Ready {
        return Poll::Ready(());
    }
    let (ready, owes) = conn.read_by(|| A::poll_ready(conn, context));
    if owes == Owes::Write {
        conn.write_outbox();
    }
    ready
}

/// Reads a stream and handles what was read; what was not decoded of it is put into `rest`.
pub(crate) fn poll_read<A: Application, R: AsyncRead + ?Sized>(
    conn: &Arc<Conn<A>>,
    reader: &mut Reader,
    stream: Pin<&mut R>,
    rest: &mut Option<Box<Rest>>,
    quantum: &mut Quantum,
    context: &mut Context<'_>,
) -> Poll<io::Result<Flow>> {
    let undecoded = &conn.engine().undecoded;
    with_scratch(|scratch| {
        let room = undecoded.room_for_read(scratch.len());
        let mut buffer = ReadBuf::new(scratch.get_mut(..room).unwrap_or_default());
        match stream.poll_read(context, &mut buffer) {
            Poll::Pending => {
                conn.read_again();
                Poll::Pending
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            Poll::Ready(Ok(())) => {
                let bytes = buffer.filled_mut();
                let flow = handle_and_write(conn, reader, bytes, now(), quantum);
                *rest = Rest::new(tail(bytes, flow.left()), undecoded);
                Poll::Ready(Ok(flow))
            }
        }
    })
}

/// Ends the connection where a step says so.
pub(crate) fn settle<A: Application>(conn: &Arc<Conn<A>>, step: io::Result<Flow>) -> Option<Flow> {
    match step {
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
pub(crate) fn handle_and_write<A: Application>(
    conn: &Arc<Conn<A>>,
    reader: &mut Reader,
    bytes: &mut [u8],
    now: Instant,
    quantum: &mut Quantum,
) -> Flow {
    let handled = handle_bytes(conn, reader, bytes, now, quantum);
    if handled.owes == Owes::Write {
        conn.write_outbox();
    }
    handled.flow
}

/// What came of bytes that were read.
struct Handled {
    flow: Flow,
    owes: Owes,
}

/// Handles what was read.
fn handle_bytes<A: Application>(
    conn: &Arc<Conn<A>>,
    reader: &mut Reader,
    bytes: &mut [u8],
    now: Instant,
    quantum: &mut Quantum,
) -> Handled {
    if reader.is_broken {
        return Handled { flow: reader.discard(bytes.len()), owes: Owes::Nothing };
    }
    let (flow, owes) = conn.read_by(|| {
        let flow = handle_frames(conn, reader, bytes, now, quantum);
        conn.charge_incoming(reader.decoder.held() + flow.left());
        flow
    });
    // What is said at the end is to go out before the socket is closed.
    if owes == Owes::Write && conn.is_ended() {
        conn.write_outbox();
        return Handled { flow, owes: Owes::Nothing };
    }
    Handled { flow, owes }
}

/// From bytes to frames, and from these to packets of the session.
fn handle_frames<A: Application>(
    conn: &Arc<Conn<A>>,
    reader: &mut Reader,
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
        let packet = match reader.decoder.decode(&mut input) {
            Ok(None) => return Flow::Continue,
            Ok(Some(Event::Text(text))) => {
                quantum.spend(text.len());
                Packet::decode_text(text, reader.revision)
            }
            Ok(Some(Event::Binary(data))) => {
                quantum.spend(data.len());
                Packet::decode_binary(data, reader.revision)
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
                let ending = code.map_or(Ending::Graceful, Ending::Code);
                conn.close(CloseReason::TransportClose, ending, "closed by the client");
                return Flow::PeerClosed;
            }
            Err(error) => {
                reader.is_broken = true;
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
