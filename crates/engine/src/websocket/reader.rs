//! What the reader of a connection keeps between its turns.

use std::cell::Cell;
use std::task::Waker;

use sockeye_protocol::engine::Revision;
use sockeye_websocket::Decoder;

use crate::shard::{Entry, Rest};
use crate::work::Running;

/// Read at a time, into the thread's scratch buffer.
const SCRATCH: usize = 64 * 1024;

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

/// The decoder of a WebSocket.
pub(crate) struct Reader {
    pub(crate) decoder: Decoder,
    pub(crate) revision: Revision,
    /// The peer broke the protocol: what still comes is read, but no longer looked at.
    pub(crate) is_broken: bool,
    /// How much has been thrown away since.
    discarded: u32,
}

impl Reader {
    pub(crate) fn new(decoder: Decoder, revision: Revision) -> Self {
        Self { decoder, revision, is_broken: false, discarded: 0 }
    }

    /// Throws away what a peer sends that broke the protocol, but not without end.
    pub(crate) fn discard(&mut self, count: usize) -> Flow {
        self.discarded = self.discarded.saturating_add(u32::try_from(count).unwrap_or(DISCARDED));
        if self.discarded < DISCARDED { Flow::Continue } else { Flow::PeerClosed }
    }
}

/// The reader of a plain socket. Only the connection's shard uses it.
pub(crate) struct TcpReader {
    pub(crate) reader: Reader,
    /// What was read, but not decoded yet.
    pub(crate) rest: Option<Box<Rest>>,
    /// Asks for a turn when a pause is over.
    pub(crate) waker: Option<Waker>,
    /// Its place in the poller.
    pub(crate) entry: Entry,
    pub(crate) _running: Running,
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
