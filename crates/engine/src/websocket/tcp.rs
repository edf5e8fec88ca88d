//! The WebSocket over a plain socket: any thread may write to it, and the poller gives its reader a turn.

use std::io;
use std::sync::{Arc, Weak};
use std::task::{Context, Wake, Waker};
use std::time::Instant;

use tokio::net::TcpStream;

use super::reader::{Flow, Reader, TURNS, tail, with_scratch};
use crate::application::{Application, Readiness};
use crate::conn::{Carrier, Conn, Handover};
use crate::poller::Entry;
use crate::turn::{Quantum, Rest};
use crate::work::Running;

/// What the socket of a connection is ready for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    pub(crate) readable: bool,
    /// There is no word of more to come: it is to be read to its end, or until it would block.
    pub(crate) ended: bool,
    pub(crate) writable: bool,
}

impl Ready {
    /// Nobody knows: it must be tried.
    pub(crate) const UNKNOWN: Self = Self { readable: true, ended: true, writable: false };

    /// The bits of [`Conn::want_turn`]: that there is to be a turn, and for what. The other bits are the flusher's.
    const DUE: u8 = 1 << 3;
    const READABLE: u8 = 1 << 4;
    const ENDED: u8 = 1 << 5;
    const WRITABLE: u8 = 1 << 6;
    pub(crate) const BITS: u8 = Self::DUE | Self::READABLE | Self::ENDED | Self::WRITABLE;

    pub(crate) fn bits(self) -> u8 {
        let bit = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
        Self::DUE
            | bit(self.readable, Self::READABLE)
            | bit(self.ended, Self::ENDED)
            | bit(self.writable, Self::WRITABLE)
    }

    pub(crate) fn from_bits(bits: u8) -> Self {
        let is_set = |bit: u8| bits & bit != 0;
        Self { readable: is_set(Self::READABLE), ended: is_set(Self::ENDED), writable: is_set(Self::WRITABLE) }
    }
}

/// What is to come after a turn.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Turn {
    /// The next one when the socket is ready.
    Wait,
    /// Another one, when others have had theirs.
    Again,
    /// None; the connection is to be taken out.
    Ended(Entry),
}

/// The reader of a plain socket. Only the connection's shard uses it.
pub(crate) struct TcpReader {
    reader: Reader,
    /// What was read, but not decoded yet.
    rest: Option<Box<Rest>>,
    /// Asks for a turn when a pause is over.
    waker: Option<Waker>,
    entry: Entry,
    _running: Running,
}

/// Lets a plain socket carry the session; its connection has been entered into the poller.
pub(crate) fn serve<A: Application>(
    conn: &Arc<Conn<A>>,
    entry: Entry,
    stream: TcpStream,
    reader: Reader,
    rest: Vec<u8>,
    handover: Handover,
) {
    let engine = conn.engine();
    let rest = Rest::new(rest, &engine.undecoded);
    let has_rest = rest.is_some();
    // Locked until all is there: the first turn may be due while it is still being made.
    let mut slot = conn.tcp.lock();
    let attached = stream
        .into_std()
        .map(|stream| Carrier::Tcp(mio::net::TcpStream::from_std(stream), entry))
        .is_ok_and(|carrier| conn.attach(carrier, handover));
    if attached {
        *slot = Some(Box::new(TcpReader { reader, rest, waker: None, entry, _running: engine.begin_work() }));
    }
    drop(slot);
    if !attached {
        engine.poller.leave(conn, entry);
    } else if has_rest || conn.is_finished() {
        engine.poller.again(conn);
    }
}

impl<A: Application> Conn<A> {
    /// A turn of the connection whose socket is ready. Also gives back whether the caller has to write.
    pub(crate) fn tcp_turn(self: &Arc<Self>, ready: Ready, now: Instant) -> (Turn, bool) {
        if ready.writable {
            self.handle_writable();
        }
        let mut slot = self.tcp.lock();
        let Some(tcp) = slot.as_mut() else { return (Turn::Wait, false) };
        let (turn, is_unwritten) = tcp.turn(self, ready, now);
        if matches!(turn, Turn::Ended(_)) {
            *slot = None;
        }
        (turn, is_unwritten)
    }
}

impl TcpReader {
    fn turn<A: Application>(&mut self, conn: &Arc<Conn<A>>, ready: Ready, now: Instant) -> (Turn, bool) {
        let mut readable = ready.readable;
        let mut is_unwritten = false;
        let mut quantum = Quantum::default();
        let undecoded = &conn.engine().undecoded;
        for _ in 0..TURNS {
            if A::readiness(conn) != Readiness::Ready {
                let waker = self.waker.get_or_insert_with(|| Waker::from(Arc::new(Resume(Arc::downgrade(conn)))));
                if self.reader.poll_ready(conn, &mut Context::from_waker(waker)).is_pending() {
                    return (Turn::Wait, is_unwritten);
                }
            }
            let taken: io::Result<(Flow, bool)> = if let Some(mut rest) = self.rest.take() {
                let (flow, is_dirty) = self.reader.take_bytes(conn, rest.bytes_mut(), now, &mut quantum);
                self.rest = rest.keep(flow.left());
                Ok((flow, is_dirty))
            } else if readable {
                with_scratch(|scratch| {
                    let room = undecoded.room_for_read(scratch.len());
                    let count = conn.try_read(scratch.get_mut(..room).unwrap_or_default())?;
                    // Less than there was room for: no more is there now, unless it is the end.
                    readable = ready.ended || count == room;
                    match scratch.get_mut(..count) {
                        Some(bytes) if !bytes.is_empty() => {
                            let (flow, is_dirty) = self.reader.take_bytes(conn, bytes, now, &mut quantum);
                            if flow.left() > 0 {
                                self.rest = Rest::new(tail(bytes, flow.left()), undecoded);
                            }
                            Ok((flow, is_dirty))
                        }
                        _ => Err(io::ErrorKind::UnexpectedEof.into()),
                    }
                })
            } else {
                Err(io::ErrorKind::WouldBlock.into())
            };
            let flow = match taken {
                Ok((flow, is_dirty)) => {
                    is_unwritten |= is_dirty;
                    Ok(flow)
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    conn.read_again();
                    return (Turn::Wait, is_unwritten);
                }
                Err(error) => {
                    // Before the socket is closed.
                    if std::mem::take(&mut is_unwritten) {
                        conn.write_outbox();
                    }
                    Err(error)
                }
            };
            match self.reader.settle(conn, flow) {
                None => return (Turn::Ended(self.entry), is_unwritten),
                Some(Flow::Yield(_)) => break,
                Some(_) => {}
            }
        }
        if self.rest.is_none() && !readable {
            conn.read_again();
            return (Turn::Wait, is_unwritten);
        }
        (Turn::Again, is_unwritten)
    }
}

/// Gives a connection a turn when a handler that it waited for is done.
struct Resume<A: Application>(Weak<Conn<A>>);

impl<A: Application> Wake for Resume<A> {
    fn wake(self: Arc<Self>) {
        if let Some(conn) = self.0.upgrade() {
            conn.engine().poller.again(&conn);
        }
    }
}
