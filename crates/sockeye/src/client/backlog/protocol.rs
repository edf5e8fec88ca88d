//! The protocol between those that read for a client and its handlers: who works the backlog off, and who wakes whom.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use sockeye_engine::Readiness;
use sockeye_engine::internal::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering};

/// Packets in the order in which they came.
pub(crate) struct Backlog<P> {
    packets: VecDeque<P>,
    bytes: usize,
    /// Somebody works it off.
    is_busy: bool,
}

/// How much of what a client sent is still at work.
#[derive(Default)]
pub(crate) struct Load {
    /// How the backlog stands.
    backlog: AtomicU8,
    /// Handlers that wait.
    handlers: AtomicU32,
    /// The bytes that waiting handlers hold.
    bytes: AtomicUsize,
}

const EMPTY: u8 = 0;
const SOME: u8 = 1;
const FULL: u8 = 2;

/// What the backlog of a client needs of it.
pub(super) trait Owner {
    type Packet;

    fn load(&self) -> &Load;

    /// Changes the backlog, under its lock.
    fn with_backlog<R>(&self, change: impl FnOnce(&mut Backlog<Self::Packet>) -> R) -> R;

    fn bytes_of(packet: &Self::Packet) -> usize;

    /// Handles a packet, without the lock.
    fn handle(&self, packet: Self::Packet);

    fn is_open(&self) -> bool;

    /// Whether the client's next events must wait.
    fn is_saturated(&self) -> bool;

    /// Notes that the client is read no further.
    fn pause(&self);

    /// Wakes a reader when there is a [`resume`](Self::resume). False if the session is closed.
    fn wake_on_resume(&self, waker: &Waker) -> bool;

    /// Wakes all readers that wait.
    fn resume(&self);

    /// A handler waits no longer, and what it held is given back.
    fn handler_done(&self) {
        if self.load().has_backlog() {
            self.resume();
        }
    }

    /// Works off the backlog as far as it may. Ready when it is not full, and reading may go on.
    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<()> {
        while self.load().has_backlog() {
            let is_ours = self.work_off();
            if !is_ours && self.load().is_full() {
                // Another reader of the session is at it, a POST from before the upgrade; soon it is done.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            // Pending: whoever reads on is woken by the next handler that ends, too.
            match (self.poll_resumed(context), is_ours) {
                (Poll::Ready(()), true) => {}
                (Poll::Ready(()), false) => {
                    // The other one may be done with it, and wakes nobody then.
                    context.waker().wake_by_ref();
                    break;
                }
                (Poll::Pending, _) if self.load().is_full() => return Poll::Pending,
                (Poll::Pending, _) => break,
            }
        }
        Poll::Ready(())
    }

    /// Hands on what is in the backlog, as far as it may. False if somebody else is at it.
    fn work_off(&self) -> bool {
        let before = self.load().readiness();
        let is_mine = self.hand_on();
        // Another reader may wait because it was full, or for it to be empty. The handlers that end now see less of it, and wake nobody.
        if is_mine && self.load().readiness() != before {
            self.resume();
        }
        is_mine
    }

    fn hand_on(&self) -> bool {
        let mut is_mine = false;
        loop {
            let next = self.with_backlog(|backlog| {
                let is_closed = !self.is_open();
                if backlog.is_busy && !is_mine {
                    return Next::Busy;
                }
                is_mine = true;
                if is_closed {
                    *backlog = Backlog::default();
                }
                if backlog.packets.is_empty() {
                    backlog.is_busy = false;
                    self.load().backlog.store(EMPTY, Ordering::SeqCst);
                    return Next::Done;
                }
                if self.is_saturated() {
                    backlog.is_busy = false;
                    return Next::Done;
                }
                backlog.is_busy = true;
                self.load().backlog.store(SOME, Ordering::SeqCst);
                let packet = backlog.packets.pop_front();
                backlog.bytes = backlog.bytes.saturating_sub(packet.as_ref().map_or(0, Self::bytes_of));
                packet.map_or(Next::Done, Next::Packet)
            });
            match next {
                Next::Busy => return false,
                Next::Done => return true,
                Next::Packet(packet) => self.handle(packet),
            }
        }
    }

    /// Ready when the backlog can be worked on.
    fn poll_resumed(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.load().is_full() {
            self.pause();
        }
        if !self.wake_on_resume(context.waker()) {
            return Poll::Ready(()); // the session is closed
        }
        // A handler that ended before the waker was there has not woken anybody.
        if self.is_saturated() { Poll::Pending } else { Poll::Ready(()) }
    }
}

/// What somebody who works the backlog off finds.
enum Next<P> {
    /// Another one is at it.
    Busy,
    /// It is empty, or may not be worked on.
    Done,
    Packet(P),
}

impl<P> Default for Backlog<P> {
    fn default() -> Self {
        Self { packets: VecDeque::new(), bytes: 0, is_busy: false }
    }
}

impl<P> Backlog<P> {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Puts a packet behind the others, under the lock. From now on the backlog is full if it has so many packets, or bytes.
    pub(super) fn push(&mut self, packet: P, bytes: usize, max_packets: usize, max_bytes: usize, load: &Load) {
        self.bytes += bytes;
        self.packets.push_back(packet);
        let is_full = self.packets.len() >= max_packets || self.bytes >= max_bytes;
        load.backlog.store(if is_full { FULL } else { SOME }, Ordering::SeqCst);
    }

    /// Lets go of the packets of a session that is closed.
    pub(crate) fn clear(&mut self) {
        self.packets = VecDeque::new();
        self.bytes = 0;
    }
}

impl Load {
    /// A handler has begun to wait, and holds so much.
    pub(super) fn add(&self, bytes: usize) {
        self.handlers.fetch_add(1, Ordering::SeqCst);
        if bytes > 0 {
            self.bytes.fetch_add(bytes, Ordering::SeqCst);
        }
    }

    /// It waits no longer.
    pub(super) fn subtract(&self, bytes: usize) {
        self.handlers.fetch_sub(1, Ordering::SeqCst);
        if bytes > 0 {
            self.bytes.fetch_sub(bytes, Ordering::SeqCst);
        }
    }

    pub(super) fn handlers(&self) -> usize {
        usize::try_from(self.handlers.load(Ordering::SeqCst)).unwrap_or(usize::MAX)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::SeqCst)
    }

    pub(super) fn has_backlog(&self) -> bool {
        self.backlog.load(Ordering::SeqCst) != EMPTY
    }

    fn is_full(&self) -> bool {
        self.backlog.load(Ordering::SeqCst) == FULL
    }

    pub(super) fn readiness(&self) -> Readiness {
        match self.backlog.load(Ordering::SeqCst) {
            EMPTY => Readiness::Ready,
            FULL => Readiness::Full,
            _ => Readiness::Behind,
        }
    }
}
