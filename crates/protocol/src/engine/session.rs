//! The state machine of one session: heartbeat, upgrade, close.

use std::time::{Duration, Instant};

use thiserror::Error;

use super::packet::{Data, Packet, PacketKind, Revision, TransportKind};
use crate::CloseReason;

/// The times of a session; the same for all its life, since the client was told them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    /// Revision 4: how long after a pong the next ping is sent. Revision 3: how often the client should ping.
    pub ping_interval: Duration,
    /// How long the client may be late: with a pong (revision 4) or with a ping (revision 3).
    pub ping_timeout: Duration,
    /// How long an upgrade may take.
    pub upgrade_timeout: Duration,
}

// https://socket.io/docs/v4/engine-io-protocol/, sections "Heartbeat" and "Upgrade".
//
//   heartbeat, revision 4                                    heartbeat, revision 3
//
//   ┌──────────────┐ interval: send 2                        ┌────────────┐
//   │ PingInterval ├────────────┐                            │ ClientPing │◀─┐
//   └──────────────┘            ▼                            └──┬───┬─────┘  │ 2: answer 3
//          ▲             ┌─────────────┐ first other            │   └────────┘
//          │ 3           │ PongTimeout │◀─┐ packet              │
//          └─────────────┤             ├──┘                     │ interval + timeout
//                        └──────┬──────┘                        ▼
//                               │ timeout             closed: ping timeout
//                               ▼
//                     closed: ping timeout
//
//   transport                           2probe: answer 3probe, then 6 every 100 ms
//                                         ┌───┐
//   ┌─────────┐     a WebSocket came     ┌┴───▼────┐       5       ┌───────────┐
//   │ Polling ├─────────────────────────▶│ probing ├──────────────▶│ WebSocket │
//   │         │◀─────────────────────────┤         │               └───────────┘
//   └─────────┘  other packet, timeout,  └─────────┘
//                WebSocket gone
//
//   open ── 1, the wrong side of the heartbeat, a missed heartbeat, close() ──▶ closed, for the first reason, for ever

/// The state of one session, without its queues: it says what to do, and the owner of the transports does it.
///
/// Call order: [`new`](Self::new) when the open packet is sent; then `handle_*` for whatever happens, obeying each
/// result before the next call; then [`handle_timeout`](Self::handle_timeout) until it returns [`Timeout::None`]
/// whenever [`poll_timeout`](Self::poll_timeout) has passed. Any call may move that time. Once closed, packets are
/// ignored, probes refused, and no timeout comes. Whoever sees the session close also closes its transports, the
/// probing one too.
///
/// A packet that cannot be read never gets here: on the current transport it calls for
/// [`close(ParseError)`](Self::close), on a probing one for [`handle_probe_closed`](Self::handle_probe_closed).
#[derive(Clone, Debug)]
pub struct Session {
    /// When the heartbeat is due.
    deadline: Instant,
    /// The upgrade under way. Boxed because almost all sessions have none.
    probe: Option<Box<Probe>>,
    heartbeat: Heartbeat,
    revision: Revision,
    transport: TransportKind,
    upgraded: bool,
    closed: Option<CloseReason>,
}

/// What the deadline of the heartbeat stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heartbeat {
    /// Revision 3: the client has to ping.
    ClientPing,
    /// Revision 4: the server has to ping.
    PingInterval,
    /// Revision 4: the client has to answer.
    PongTimeout {
        /// Whether another packet has restarted the timeout.
        extended: bool,
    },
}

/// A WebSocket that wants to take over from polling.
#[derive(Clone, Debug)]
struct Probe {
    /// When the upgrade is given up.
    deadline: Instant,
    /// When to end the poll that waits, once the probe was answered.
    noop: Option<Instant>,
}

/// What a packet on the current transport leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// Nothing.
    Ignored,
    /// A message for the layer above.
    Message(Data<'a>),
    /// Send a pong (`3`, without data) on the current transport: a heartbeat of revision 3.
    Pong,
    /// The session is closed: close its transports.
    Closed(CloseReason),
}

/// What a packet on a probing transport leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeOutcome {
    /// Answer `3probe` on the probing transport.
    Pong,
    /// The probing transport is the current one from now on: end the waiting poll, close polling, flush.
    Upgrade,
    /// Close the probing transport; the session goes on.
    Abort,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// Nothing more at this time.
    None,
    /// Send a ping (`2`) on the current transport.
    Ping,
    /// Send a noop (`6`) if a poll waits, so that the client can finish its upgrade.
    Noop,
    /// The upgrade took too long: close the probing transport; the session goes on.
    AbortProbe,
    /// The session is closed: close its transports.
    Close(CloseReason),
}

/// Why a second transport cannot probe: close it, the session goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ProbeRefused {
    /// The session has ended.
    #[error("the session is closed")]
    Closed,
    /// Another transport is probing.
    #[error("another transport is upgrading the session")]
    Upgrading,
    /// The session is on a WebSocket, upgraded or from its start.
    #[error("the session is on a WebSocket already")]
    Upgraded,
}

impl Session {
    /// A session that has just opened on a transport.
    pub fn new(revision: Revision, transport: TransportKind, config: &SessionConfig, now: Instant) -> Self {
        let (heartbeat, delay) = match revision {
            Revision::V3 => (Heartbeat::ClientPing, config.client_ping_timeout()),
            Revision::V4 => (Heartbeat::PingInterval, config.ping_interval),
        };
        Self { deadline: after(now, delay), probe: None, heartbeat, revision, transport, upgraded: false, closed: None }
    }

    /// The revision that the client speaks.
    pub const fn revision(&self) -> Revision {
        self.revision
    }

    /// The current transport.
    pub const fn transport(&self) -> TransportKind {
        self.transport
    }

    /// Whether the session has not closed.
    pub const fn is_open(&self) -> bool {
        self.closed.is_none()
    }

    /// Whether a transport is probing.
    pub const fn is_upgrading(&self) -> bool {
        self.probe.is_some()
    }

    /// Whether the session has changed its transport.
    pub const fn is_upgraded(&self) -> bool {
        self.upgraded
    }

    /// Why the session closed.
    pub const fn close_reason(&self) -> Option<CloseReason> {
        self.closed
    }

    /// A packet came on the current transport.
    pub fn handle_packet<'a>(&mut self, packet: Packet<'a>, config: &SessionConfig, now: Instant) -> Outcome<'a> {
        if !self.is_open() {
            return Outcome::Ignored;
        }
        self.extend_pong_timeout(packet.kind, config, now);
        match (packet.kind, self.revision) {
            (PacketKind::Message, _) => Outcome::Message(packet.data),
            (PacketKind::Ping, Revision::V3) => {
                self.deadline = after(now, config.client_ping_timeout());
                Outcome::Pong
            }
            (PacketKind::Pong, Revision::V4) => {
                // Only one that was asked for: a client that never reads could live on pongs alone. (The official server puts
                // off its ping then.)
                if matches!(self.heartbeat, Heartbeat::PongTimeout { .. }) {
                    self.heartbeat = Heartbeat::PingInterval;
                    self.deadline = after(now, config.ping_interval);
                }
                Outcome::Ignored
            }
            // The wrong side of the heartbeat.
            (PacketKind::Ping, Revision::V4) | (PacketKind::Pong, Revision::V3) => {
                self.close_as(CloseReason::TransportError)
            }
            // The official server overlooks it on a WebSocket, but there too it says that the client is leaving.
            (PacketKind::Close, _) => self.close_as(CloseReason::TransportClose),
            (PacketKind::Open | PacketKind::Upgrade | PacketKind::Noop, _) => Outcome::Ignored,
        }
    }

    /// A WebSocket came for this session. From now on its packets go to
    /// [`handle_probe_packet`](Self::handle_probe_packet).
    ///
    /// # Errors
    /// The session cannot be upgraded now: close that WebSocket.
    pub fn handle_probe_start(&mut self, config: &SessionConfig, now: Instant) -> Result<(), ProbeRefused> {
        if !self.is_open() {
            return Err(ProbeRefused::Closed);
        }
        if self.is_upgrading() {
            return Err(ProbeRefused::Upgrading);
        }
        if self.transport == TransportKind::WebSocket {
            return Err(ProbeRefused::Upgraded);
        }
        self.probe = Some(Box::new(Probe { deadline: after(now, config.upgrade_timeout), noop: None }));
        Ok(())
    }

    /// A packet came on the probing transport.
    pub fn handle_probe_packet(&mut self, packet: Packet<'_>, config: &SessionConfig, now: Instant) -> ProbeOutcome {
        let Some(probe) = &mut self.probe else {
            return ProbeOutcome::Abort;
        };
        match packet {
            Packet { kind: PacketKind::Ping, data: Data::Text(text) } if text == PROBE => {
                probe.noop = Some(after(now, NOOP_INTERVAL));
                ProbeOutcome::Pong
            }
            // As in the official server, a client that is sure of its transport need not probe it first.
            Packet { kind: PacketKind::Upgrade, .. } => {
                self.upgrade(config, now);
                ProbeOutcome::Upgrade
            }
            _ => {
                self.probe = None;
                ProbeOutcome::Abort
            }
        }
    }

    /// The probing transport is gone, or no longer wanted; the session stays as it is.
    pub fn handle_probe_closed(&mut self) {
        self.probe = None;
    }

    /// What is due at this time; to be called until nothing more is.
    pub fn handle_timeout(&mut self, config: &SessionConfig, now: Instant) -> Timeout {
        if !self.is_open() {
            return Timeout::None;
        }
        if self.deadline <= now {
            return self.handle_heartbeat(config, now);
        }
        let Some(probe) = &mut self.probe else {
            return Timeout::None;
        };
        if probe.deadline <= now {
            self.probe = None;
            return Timeout::AbortProbe;
        }
        if probe.noop.is_some_and(|noop| noop <= now) {
            probe.noop = Some(after(now, NOOP_INTERVAL));
            return Timeout::Noop;
        }
        Timeout::None
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next; never once closed.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if !self.is_open() {
            return None;
        }
        let probe = self.probe.as_deref().map(|probe| probe.noop.map_or(probe.deadline, |at| at.min(probe.deadline)));
        Some(probe.map_or(self.deadline, |at| at.min(self.deadline)))
    }

    /// A time before which all was received that was sent before it, if that can be told now: the client has answered a ping
    /// since. Revision 4 only.
    pub fn received_until(&self, config: &SessionConfig) -> Option<Instant> {
        let is_answered = self.is_open() && self.heartbeat == Heartbeat::PingInterval;
        // The pong came when the next ping was set; its own ping had gone out no longer before than a client may be late.
        let pong = is_answered.then(|| self.deadline.checked_sub(config.ping_interval)).flatten()?;
        pong.checked_sub(config.ping_timeout.saturating_mul(2))
    }

    /// Closes the session. False where it was closed before; then the first reason stays.
    ///
    /// A probe goes on: a client that is just changing over fetches on its new transport what was sent before the close.
    /// Where the client is to get nothing any more, end it with [`handle_probe_closed`](Self::handle_probe_closed).
    pub fn close(&mut self, reason: CloseReason) -> bool {
        let first = self.is_open();
        if first {
            self.closed = Some(reason);
        }
        first
    }

    /// Closes it for what the client did, or did not do: it gets nothing any more.
    fn close_as(&mut self, reason: CloseReason) -> Outcome<'static> {
        self.close(reason);
        self.probe = None;
        Outcome::Closed(reason)
    }

    /// A client that is busy sending something large cannot put its pong in between: the first packet while a pong is
    /// due proves it alive, and restarts the timeout. Only the first, so that messages never stand in for pongs.
    fn extend_pong_timeout(&mut self, kind: PacketKind, config: &SessionConfig, now: Instant) {
        if self.heartbeat == (Heartbeat::PongTimeout { extended: false }) && kind != PacketKind::Pong {
            self.heartbeat = Heartbeat::PongTimeout { extended: true };
            self.deadline = after(now, config.ping_timeout);
        }
    }

    fn handle_heartbeat(&mut self, config: &SessionConfig, now: Instant) -> Timeout {
        match self.heartbeat {
            Heartbeat::PingInterval => {
                self.heartbeat = Heartbeat::PongTimeout { extended: false };
                // From when the ping was due, as the client's clock has it, so that what a timer is late does not add up. Where
                // it is very late, by the server's own fault, the client still has most of its time.
                let asked = now.checked_sub(config.ping_timeout / 4).map_or(self.deadline, |at| at.max(self.deadline));
                self.deadline = after(asked, config.ping_timeout);
                Timeout::Ping
            }
            Heartbeat::ClientPing | Heartbeat::PongTimeout { .. } => {
                self.close_as(CloseReason::PingTimeout);
                Timeout::Close(CloseReason::PingTimeout)
            }
        }
    }

    fn upgrade(&mut self, config: &SessionConfig, now: Instant) {
        self.probe = None;
        self.upgraded = true;
        self.transport = TransportKind::WebSocket;
        // The client is alive, and what was due may be lost between the transports: it has its full time again. (The
        // official server stops waiting here, and may then never notice that the client is gone.)
        match self.heartbeat {
            Heartbeat::PingInterval => {}
            Heartbeat::PongTimeout { .. } => self.deadline = after(now, config.ping_timeout),
            Heartbeat::ClientPing => self.deadline = after(now, config.client_ping_timeout()),
        }
    }
}

impl SessionConfig {
    const fn client_ping_timeout(&self) -> Duration {
        self.ping_interval.saturating_add(self.ping_timeout)
    }
}

/// `now + delay`, or a time that nobody waits for where the clock cannot show it.
fn after(now: Instant, delay: Duration) -> Instant {
    now.checked_add(delay).or_else(|| now.checked_add(NEVER)).unwrap_or(now)
}

/// What a client sends in a ping to probe a transport.
const PROBE: &str = "probe";
/// How often the waiting poll is ended while an upgrade is under way.
const NOOP_INTERVAL: Duration = Duration::from_millis(100);
/// Ten years.
const NEVER: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
