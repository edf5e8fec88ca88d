//! The backlog: packets of a client of which too many handlers wait.
//!
//! Events that find the bound on waiting handlers reached are put here, and what comes behind them, so that the order stays.
//! Reading goes on, and acknowledgements and heartbeats pass by: a handler may be waiting for just these. When the backlog is
//! full as well, reading pauses, and the client feels it. Whoever reads for the connection works the backlog off.

mod protocol;

#[cfg(all(test, sockeye_loom))]
mod models;

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use sockeye_protocol::CloseReason;
use sockeye_protocol::socket::{Packet, PacketBody};

use self::protocol::Owner;
pub(super) use self::protocol::{Backlog, Load};
use super::Client;
use crate::server::Conn;
use crate::telemetry::Bound;
use sockeye_engine::Holder;
use sockeye_engine::internal::Charge;
use sockeye_engine::internal::pressure;
use sockeye_engine::{Ending, Readiness};

/// A packet in the backlog.
pub(super) type Deferred = (Packet, Charge);

/// A client whose backlog is worked on.
struct Of<'a> {
    client: &'a Client,
    conn: &'a Arc<Conn>,
}

impl Client {
    /// Counts a handler that has begun to wait, and what it holds.
    pub(crate) fn handler_waits(&self, conn: &Conn, bytes: usize) {
        self.load.add(bytes);
        if bytes > 0 {
            // It holds them whether or not it may: from here on, others wait.
            conn.account().add(Holder::Events, bytes);
        }
    }

    /// Counts a handler that waits no longer.
    pub(crate) fn handler_done(&self, conn: &Arc<Conn>, bytes: usize) {
        self.load.subtract(bytes);
        if bytes > 0 {
            conn.account().give_back(Holder::Events, bytes);
        }
        Of { client: self, conn }.handler_done();
    }

    /// Whether the client's next events must wait: as many handlers wait as may, they hold as much as they may, or the recipients
    /// of what it sends cannot follow.
    fn is_saturated(&self, conn: &Conn) -> bool {
        let options = &conn.app().options;
        if self.load.handlers() >= options.limits.max_handlers.max(1) || conn.is_held_back() {
            return true;
        }
        let bytes = self.load.bytes();
        let most = options.max_http_buffer_size.saturating_mul(MESSAGES);
        bytes > 0 && (bytes >= most || !conn.account().has_room(Holder::Events, bytes, 0))
    }

    /// Hands a packet on, or puts it into the backlog.
    pub(super) fn handle_or_defer(&self, conn: &Arc<Conn>, packet: Packet) {
        let passes = matches!(packet.body, PacketBody::Ack(_));
        if passes || (!self.load.has_backlog() && !self.is_saturated(conn)) {
            return pressure::watch(conn, || super::handle_packet(conn, packet));
        }
        let options = &conn.app().options;
        let mut state = self.state.lock();
        if state.closed {
            return;
        }
        let backlog = &mut state.rare().backlog;
        let Some(charge) = Charge::take(conn.account(), Holder::Events, backlog.bytes(), size(&packet)) else {
            drop(state);
            return conn.close(CloseReason::Overload, Ending::Gone, "too many bytes of events wait for their handlers");
        };
        let (bytes, max_packets) = (charge.bytes(), options.limits.max_handlers.max(1));
        backlog.push((packet, charge), bytes, max_packets, options.max_http_buffer_size, &self.load);
    }

    pub(super) fn readiness(&self) -> Readiness {
        self.load.readiness()
    }

    /// Works off the backlog as far as it may. Ready when it is not full, and reading may go on.
    pub(super) fn poll_ready(&self, conn: &Arc<Conn>, context: &mut Context<'_>) -> Poll<()> {
        Of { client: self, conn }.poll_ready(context)
    }
}

impl Owner for Of<'_> {
    type Packet = Deferred;

    fn load(&self) -> &Load {
        &self.client.load
    }

    fn with_backlog<R>(&self, change: impl FnOnce(&mut Backlog<Deferred>) -> R) -> R {
        change(&mut self.client.state.lock().rare().backlog)
    }

    fn bytes_of((_, charge): &Deferred) -> usize {
        charge.bytes()
    }

    fn handle(&self, (packet, _charge): Deferred) {
        pressure::watch(self.conn, || super::handle_packet(self.conn, packet));
    }

    fn is_open(&self) -> bool {
        self.conn.is_open()
    }

    fn is_saturated(&self) -> bool {
        self.client.is_saturated(self.conn)
    }

    fn pause(&self) {
        if self.conn.pause() && !self.conn.is_held_back() {
            self.conn.app().metrics.bound_reached(Bound::Handlers, self.conn.id());
        }
    }

    fn wake_on_resume(&self, waker: &Waker) -> bool {
        self.conn.wake_on_resume(waker)
    }

    fn resume(&self) {
        self.conn.resume();
    }
}

/// How many of the largest messages the waiting handlers of a client may hold.
const MESSAGES: usize = 4;

fn size(packet: &Packet) -> usize {
    let auth = match &packet.body {
        PacketBody::Connect(Some(auth)) => auth.len(),
        _ => 0,
    };
    packet.args().map_or(auth, |args| args.bytes()) + size_of::<Deferred>()
}
