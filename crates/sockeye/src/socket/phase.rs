//! The phases of a socket: from its middlewares over its connection handlers to its end.
//!
//! ```text
//! CONNECTING ── middlewares ──▶ ENTERING ── connection handlers ──▶ CONNECTED ── end ──▶ DISCONNECTED
//!      │                           └── disconnected by the program ──▶ LEAVING ──┘            ▲
//!      └── refused, or the client has gone or changed its mind ─────────────────────────────┘
//! ```
//!
//! A client may send events, leave or vanish as soon as it has been let in, on another thread than that of its connection
//! handlers. All that waits until these have been called, so that the program sees things in the order of their causes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use sockeye_protocol::CloseReason;
use sockeye_protocol::socket::{Args, EventName};

use super::Socket;
use crate::ack::Ack;
use crate::handler::{EventContext, Kind, Waiting, run_all};
use crate::server::Conn;

/// In a connection middleware.
pub(super) const CONNECTING: u8 = 0;
/// Connected, but its connection handlers have not all been called: its events wait, and so does its end.
pub(super) const ENTERING: u8 = 1;
pub(super) const CONNECTED: u8 = 2;
/// Disconnected by the program while it was entering: only the consequences wait.
const LEAVING: u8 = 3;
pub(super) const DISCONNECTED: u8 = 4;

impl Socket {
    pub(super) fn phase(&self) -> u8 {
        self.0.phase.load(Ordering::Acquire)
    }

    /// Whether its end is decided.
    pub(crate) fn is_leaving(&self) -> bool {
        self.0.is_leaving.load(Ordering::Acquire)
    }

    /// Whether it is disconnected: it was, and is no more, or it never came to be.
    pub(crate) fn has_ended(&self) -> bool {
        self.phase() == DISCONNECTED
    }

    /// The middlewares have let it in. Until [`handle_entered`](Self::handle_entered), its events and its end wait.
    ///
    /// False if it was let go of meanwhile.
    pub(crate) fn set_entering(&self) -> bool {
        let _state = self.0.state.lock();
        let is_expected = self.phase() == CONNECTING;
        if is_expected {
            self.0.phase.store(ENTERING, Ordering::Release);
        }
        is_expected
    }

    /// Its connection handlers have been called: what waited for them is done now, in order.
    pub(crate) fn handle_entered(&self) {
        let leaving = loop {
            let early = {
                let mut state = self.0.state.lock();
                if !matches!(self.phase(), ENTERING | LEAVING) {
                    return;
                }
                let Some(early) = state.rare.as_mut().and_then(|rare| rare.early.pop_front()) else {
                    if self.phase() == ENTERING {
                        self.0.phase.store(CONNECTED, Ordering::Release);
                    }
                    break state.leaving.take();
                };
                early
            };
            let (context, _waiting) = early;
            if self.is_connected() {
                crate::namespace::dispatch(&self.0.conn, context);
            }
        };
        if let Some(reason) = leaving {
            self.perform_end(reason);
        }
    }

    /// Leaves no state that only its joining would have ended.
    pub(crate) fn settle(&self) {
        match self.phase() {
            CONNECTING => self.abandon(),
            ENTERING | LEAVING => self.handle_entered(),
            _ => {}
        }
    }

    /// Lets go of a socket that never entered its namespace.
    pub(crate) fn abandon(&self) {
        let rooms: Vec<_> = self.0.state.lock().rooms.iter().cloned().collect();
        if !rooms.is_empty() {
            self.0.namespace.adapter().remove(self, &rooms);
        }
        let was_joined_meanwhile = {
            let mut state = self.0.state.lock();
            self.0.phase.store(DISCONNECTED, Ordering::Release);
            state.rooms_closed = true;
            !state.rooms.is_empty()
        };
        if was_joined_meanwhile {
            self.0.namespace.remove(self);
        }
        self.close_acks();
    }

    /// An event of the client. Nobody else's handle of the socket is needed for it, so it takes this one.
    pub(crate) fn handle_event(self, conn: &Arc<Conn>, id: Option<u64>, event: EventName, args: Args) {
        let ack = id.map_or_else(Ack::default, |id| Ack::new(&self, id));
        if self.phase() != CONNECTED {
            let mut state = self.0.state.lock();
            match self.phase() {
                ENTERING => {
                    // It counts as a handler that waits, so that there is a bound.
                    let context = EventContext { socket: self.clone(), event, args, ack, reason: None };
                    let waiting = Waiting::begin(conn, context.bytes());
                    return state.rare().early.push_back((context, waiting));
                }
                CONNECTED => {}
                // The client could not know.
                _ => return,
            }
        }
        crate::namespace::dispatch(conn, EventContext { socket: self, event, args, ack, reason: None });
    }

    /// An acknowledgement of the client. False if nobody waits for it.
    pub(crate) fn handle_ack(&self, id: u64, args: Args) -> bool {
        self.take_ack(id).map(|waiter| waiter.resolve(args)).is_some()
    }

    /// Ends the socket: its listeners hear of it, its rooms forget it. Only the first call counts.
    pub(crate) fn close(&self, reason: CloseReason) {
        self.end(reason, || ());
    }

    /// Ends the socket, if it has not ended. `announce` is called once the end is decided and before anybody hears of it.
    pub(super) fn end(&self, reason: CloseReason, announce: impl FnOnce()) {
        let is_entering = {
            let mut state = self.0.state.lock();
            if !self.is_connected() || self.is_leaving() {
                return;
            }
            self.0.is_leaving.store(true, Ordering::Release);
            let is_entering = self.phase() == ENTERING;
            if is_entering {
                state.leaving = Some(reason);
                if is_ours(reason) {
                    // Events that wait are dropped. A client that left by itself sent them before, and they still count.
                    self.0.phase.store(LEAVING, Ordering::Release);
                }
            }
            is_entering
        };
        announce();
        if !is_entering {
            self.perform_end(reason);
        }
    }

    fn perform_end(&self, reason: CloseReason) {
        let inner = &*self.0;
        let listeners = inner.namespace.listeners();
        let context = EventContext {
            socket: self.clone(),
            event: EventName::from("disconnect"),
            args: Args::empty(),
            ack: Ack::default(),
            reason: Some(reason),
        };
        // These still see the rooms, so the phase changes only after them.
        run_all(&listeners.of(Kind::Disconnecting), &inner.conn, context.clone());
        if reason.is_recoverable()
            && let Some(session) = self.saved_session()
            && let Some(recovery) = inner.namespace.adapter().recovery()
        {
            recovery.persist_session(session);
        }
        inner.namespace.remove(self);
        let line = {
            let mut state = inner.state.lock();
            inner.phase.store(DISCONNECTED, Ordering::Release);
            state.rare.as_mut().map(|rare| std::mem::take(&mut rare.line))
        };
        drop(line);
        crate::client::forget(&inner.conn, self);
        self.close_acks();
        inner.conn.app().metrics.sockets.add(-1);
        run_all(&listeners.of(Kind::Disconnect), &inner.conn, context);
        inner.namespace.cleanup_if_empty();
    }
}

/// Whether the program ended it, or a fault of the program.
fn is_ours(reason: CloseReason) -> bool {
    matches!(
        reason,
        CloseReason::ServerNamespaceDisconnect | CloseReason::ForcedServerClose | CloseReason::HandlerPanic
    )
}
