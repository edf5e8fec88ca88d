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
mod incoming;
mod outgoing;
mod polling;
pub(crate) mod pressure;
mod state;
mod upgrade;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32};

use mio::net::TcpStream;
use parking_lot::Mutex;
use sockeye_protocol::engine::{PacketKind, PayloadBody, Revision, Session, SessionInfo, TransportKind};

pub(crate) use self::outgoing::{AHEAD, Queued, prefetch};
use self::state::{Lane, Phase, State};
use super::encoded::Encoded;
use super::id::Id;
use super::outbox::Outbox;
use super::poller::Entry;
use super::unread::Response;
use super::websocket::TcpReader;
use crate::addresses::Key;
use crate::budget::{Account, Holder};
use crate::client::Client;
use crate::request::RequestInfo;
use crate::server::ServerInner;

/// A connection. Shared by its reader, the registry, the flusher and its sockets.
pub(crate) struct Conn {
    id: Id,
    server: Arc<ServerInner>,
    request: RequestInfo,
    revision: Revision,
    shard: u16,
    /// A bit for each of the flusher's queues that it is in, and some for the turn that it waits for.
    queued: AtomicU8,
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
    pub(crate) client: Client,
}

/// The body of a long-polling response.
pub(crate) struct PollReply {
    pub(crate) body: PayloadBody,
    pub(crate) compress: bool,
    /// Of a large one: counts it until it is read.
    pub(crate) unread: Option<Response>,
}

/// What becomes of the transport when a session closes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ending {
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

/// Whether the application takes more messages of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// It has handled all that came.
    Ready,
    /// It keeps some for later, and takes more.
    Behind,
    /// It keeps as much as it may: the client is not read until it has handled some.
    Full,
}

/// A second GET, or a GET on a session that is not long-polling.
#[derive(Debug)]
pub(crate) struct PollRefused;

impl std::fmt::Debug for Conn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conn").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Conn {
    /// Opens a session and enters it into the registry. The open packet is in the outbox. Its address has a place for it, as one that
    /// is in no namespace too.
    pub(crate) fn open(
        server: &Arc<ServerInner>,
        id: Id,
        request: RequestInfo,
        revision: Revision,
        transport: TransportKind,
    ) -> Arc<Self> {
        let now = super::now();
        let options = &server.options;
        let phase_deadline = now.checked_add(options.connect_timeout);
        let base64 = request.query("b64").is_some_and(|value| !value.is_empty());
        let conn = Arc::new(Self {
            id,
            server: server.clone(),
            request,
            revision,
            shard: server.next_shard(),
            queued: AtomicU8::new(0),
            paused: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            finished: AtomicBool::new(false),
            held_back: AtomicBool::new(false),
            incoming: AtomicU32::new(0),
            state: Mutex::new(State {
                session: Session::new(revision, transport, &server.session, now),
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
                given_up: false,
                armed: None,
                phase_deadline,
                rare: None,
            }),
            tcp: Mutex::new(None),
            client: Client::new(options.parser),
        });
        conn.queue(Encoded::control(PacketKind::Open, &server.open_packet(&conn.id, transport)));
        if let Some(text) = &options.initial_packet {
            conn.queue(Encoded::message(text));
        }
        server.metrics.opened.increment();
        server.metrics.connections.add(1);
        server.metrics.unjoined.add(1);
        server.addresses.enter_unjoined(&conn, phase_deadline);
        server.registry.insert(conn.clone());
        conn.arm();
        conn
    }

    pub(crate) fn id(&self) -> &Id {
        &self.id
    }

    pub(crate) fn server(&self) -> &Arc<ServerInner> {
        &self.server
    }

    pub(crate) fn request(&self) -> &RequestInfo {
        &self.request
    }

    /// Who is charged for what the connection holds.
    pub(crate) fn account(&self) -> &Arc<Account> {
        self.request.account()
    }

    /// Whose share the session is.
    pub(crate) fn key(&self) -> Key {
        Key::of(self.request.address())
    }

    /// Whether it has joined no namespace yet.
    pub(crate) fn is_unjoined(&self) -> bool {
        self.state.lock().phase == Phase::Unjoined
    }

    pub(crate) fn shard(&self) -> usize {
        usize::from(self.shard)
    }

    pub(crate) fn info(&self) -> SessionInfo {
        let state = self.state.lock();
        SessionInfo { transport: state.session.transport(), revision: self.revision }
    }

    pub(crate) fn revision(&self) -> Revision {
        self.revision
    }

    pub(crate) fn transport(&self) -> TransportKind {
        self.state.lock().session.transport()
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        let bytes = |charged: u32| usize::try_from(charged).unwrap_or(0);
        self.request.account().give_back(Holder::Outboxes, bytes(self.state.get_mut().outbox.charged));
        self.request.account().give_back(Holder::Incoming, bytes(*self.incoming.get_mut()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every connection pays for these; what few need goes into [`Rare`].
    #[test]
    fn a_connection_stays_small() {
        assert!(size_of::<State>() <= 176, "{}", size_of::<State>());
        // With the two counts of its `Arc` it is 384 bytes: a size that allocators have.
        assert!(size_of::<Conn>() <= 368, "{}", size_of::<Conn>());
    }
}
