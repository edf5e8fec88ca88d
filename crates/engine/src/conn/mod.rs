//! A live connection: one Engine.IO session, its outbox, and the transport that carries it now.
//!
//! ```text
//!   Open ──close()──► Closing ──all written, or the close timeout──► Closed
//!     └──────────the transport is gone──────────────────────────────►┘
//! ```
//! Whoever has something for the client pushes it into the outbox and marks the connection dirty, and the flusher writes. What
//! the connection's own reader pushes in its turn is written by whoever gave it the turn. Lock order: the state is the innermost
//! lock, and no code of the program runs under it.

mod closing;
mod deadlines;
mod hold;
mod incoming;
mod outgoing;
mod polling;
pub mod pressure;
mod recipient;
mod state;
mod upgrade;

use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::{Arc, Weak};
use std::time::Instant;

use mio::net::TcpStream;
use parking_lot::Mutex;
use sockeye_protocol::CloseReason;
use sockeye_protocol::engine::{PacketKind, Revision, Session, SessionInfo, TransportKind};

pub use self::hold::Hold;
pub use self::outgoing::Queued;
pub(crate) use self::state::PollReply;
use self::state::{Lane, Phase, State};
use crate::addresses::{Age, Key, Unjoined};
use crate::application::Application;
use crate::budget::{Account, Holder};
use crate::encoded::Encoded;
use crate::engine::Engine;
use crate::id::Id;
use crate::outbox::Outbox;
use crate::registry::Identified;
use crate::request::RequestInfo;
use crate::shard::{Entered, Entry};
use crate::websocket::TcpReader;

/// A connection. Shared by its reader, the registry, the flusher and the application.
pub struct Conn<A: Application> {
    id: Id,
    app: Arc<A>,
    request: RequestInfo,
    revision: Revision,
    shard: u16,
    /// A bit for each of the flusher's queues that it is in, and some for the turn that it waits for.
    entered: Entered,
    /// Reading is paused because the application takes no more.
    paused: AtomicBool,
    /// The session is closed, or about to be: its client has not read, and the outbox is full. Follows the state, for those who
    /// only want to know this.
    ended: AtomicBool,
    /// The transport is no longer wanted. Follows the state.
    finished: AtomicBool,
    /// The recipients of its events cannot follow: see [`pressure`].
    held_back: AtomicBool,
    /// What the account is charged with for messages that have not ended.
    incoming: AtomicU32,
    state: Mutex<State>,
    /// The reader of a plain socket that carries the session. Locked for its whole turn, before every other lock.
    pub(crate) tcp: Mutex<Option<Box<TcpReader>>>,
    session: A::Session,
}

/// What becomes of the transport when a session closes.
#[derive(Clone, Copy, Debug)]
pub enum Ending {
    /// It takes what is queued, and then a close without a status.
    Graceful,
    /// The same, with a WebSocket close code.
    Code(u16),
    /// The same, because the peer broke the WebSocket protocol: our side ends behind the close frame. The peer's own close frame
    /// could not be told from what else it is still sending.
    Broken(u16),
    /// It is gone, or not worth waiting for.
    Gone,
}

/// A WebSocket's stream.
pub(crate) enum Carrier {
    /// A plain socket, and its place in the poller.
    Tcp(TcpStream, Entry),
    /// A stream that only its own task can write to.
    Stream,
}

/// How a WebSocket comes to carry a session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handover {
    /// It takes over from long-polling.
    pub(crate) is_upgrade: bool,
    /// permessage-deflate was negotiated: the size from which it is used.
    pub(crate) deflate: Option<usize>,
}

/// A second GET, or a GET on a session that is not long-polling.
#[derive(Debug)]
pub(crate) struct PollRefused;

impl<A: Application> std::fmt::Debug for Conn<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conn").field("id", &self.id).finish_non_exhaustive()
    }
}

impl<A: Application> Conn<A> {
    /// Opens a session and enters it into the registry. The open packet is in the outbox. Its address has a place for it, as one that
    /// is in no namespace too.
    pub(crate) fn open(
        app: &Arc<A>,
        id: Id,
        request: RequestInfo,
        revision: Revision,
        transport: TransportKind,
    ) -> Arc<Self> {
        let now = crate::now();
        let engine = app.engine();
        let options = &engine.options;
        let phase_deadline = now.checked_add(options.connect_timeout);
        let base64 = request.query("b64").is_some_and(|value| !value.is_empty());
        let conn = Arc::new(Self {
            id,
            app: app.clone(),
            request,
            revision,
            shard: engine.next_shard(),
            entered: Entered::default(),
            paused: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            finished: AtomicBool::new(false),
            held_back: AtomicBool::new(false),
            incoming: AtomicU32::new(0),
            state: Mutex::new(State {
                session: Session::new(revision, transport, &engine.session, now),
                outbox: Outbox::default(),
                lane: match transport {
                    TransportKind::Polling => Lane::Polling(None),
                    TransportKind::WebSocket => Lane::Awaited,
                },
                phase: Phase::Unjoined,
                deflate: None,
                base64,
                posting: false,
                draining: false,
                owes_close: false,
                ends_writing: false,
                overflowed: false,
                holds: 0,
                given_up: false,
                armed: None,
                phase_deadline,
                rare: None,
            }),
            tcp: Mutex::new(None),
            session: app.new_session(),
        });
        conn.queue(Encoded::control(PacketKind::Open, &engine.open_packet(&conn.id, transport)));
        if let Some(text) = &options.initial_packet {
            conn.queue(Encoded::message(text));
        }
        engine.metrics.opened.increment();
        engine.metrics.connections.add(1);
        engine.metrics.unjoined.add(1);
        let session: Weak<Self> = Arc::downgrade(&conn);
        engine.addresses.enter_unjoined(conn.key(), conn.age(phase_deadline), session);
        engine.registry.insert(conn.clone());
        conn.arm();
        conn
    }

    /// The id of the session.
    pub fn id(&self) -> &Id {
        &self.id
    }

    /// The application.
    #[inline]
    pub fn app(&self) -> &Arc<A> {
        &self.app
    }

    /// The engine of the application.
    #[inline]
    pub fn engine(&self) -> &Engine<Self> {
        self.app.engine()
    }

    /// What the application keeps of the connection.
    #[inline]
    pub fn session(&self) -> &A::Session {
        &self.session
    }

    /// The request that opened it.
    pub fn request(&self) -> &RequestInfo {
        &self.request
    }

    /// Who is charged for what the connection holds.
    pub fn account(&self) -> &Arc<Account> {
        self.request.account()
    }

    /// Whose share the session is.
    pub fn key(&self) -> Key {
        Key::of(self.request.address())
    }

    /// How old it is among the sessions that have joined no namespace; a later `deadline` is younger.
    fn age(&self, deadline: Option<Instant>) -> Age {
        (deadline, std::ptr::from_ref(self).addr())
    }

    /// Whether it has joined no namespace yet.
    pub fn is_unjoined(&self) -> bool {
        self.state.lock().phase == Phase::Unjoined
    }

    pub(crate) fn shard(&self) -> usize {
        usize::from(self.shard)
    }

    /// Its transport and revision.
    pub(crate) fn info(&self) -> SessionInfo {
        let state = self.state.lock();
        SessionInfo { transport: state.session.transport(), revision: self.revision }
    }

    /// The revision of Engine.IO that its client speaks.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The transport that carries it now.
    pub fn transport(&self) -> TransportKind {
        self.state.lock().session.transport()
    }
}

impl<A: Application> Identified for Arc<Conn<A>> {
    fn id(&self) -> &str {
        Conn::id(self)
    }
}

impl<A: Application> Unjoined for Conn<A> {
    fn id(&self) -> &str {
        Self::id(self)
    }

    fn give_way(self: Arc<Self>, detail: &str) {
        // Not for its client to fetch, for then it would stay.
        self.close(CloseReason::ForcedServerClose, Ending::Gone, detail);
    }
}

impl<A: Application> Drop for Conn<A> {
    fn drop(&mut self) {
        let bytes = |charged: u32| usize::try_from(charged).unwrap_or(0);
        self.request.account().give_back(Holder::Outboxes, bytes(self.state.get_mut().outbox.charged));
        self.request.account().give_back(Holder::Incoming, bytes(*self.incoming.get_mut()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every connection pays for it; what few need goes into [`Rare`](state::Rare).
    #[test]
    fn the_state_stays_small() {
        assert!(size_of::<State>() <= 176, "{}", size_of::<State>());
    }
}
