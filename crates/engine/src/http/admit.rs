//! Handshakes: which sessions may be opened.

use std::sync::Arc;

use http::request::Parts;
use sockeye_protocol::CloseReason;
use sockeye_protocol::engine::{HandshakeError, Revision, TransportKind, Verify};

use crate::addresses::{Key, Kind, Opener, Place};
use crate::application::Application;
use crate::conn::{Conn, Ending};
use crate::id::{Id, generate};
use crate::metrics::Bound;
use crate::request::{RemoteAddr, RequestInfo};

/// A session that may be opened. It counts as a handshake until it is open.
pub(crate) struct Admitted<A: Application> {
    pub(crate) id: Id,
    pub(crate) request: RequestInfo,
    pub(crate) revision: Revision,
    handshake: Handshaking<A>,
    /// For a session, and for one that is in no namespace.
    places: [Place; 2],
    opener: Option<Opener>,
}

struct Handshaking<A: Application> {
    app: Arc<A>,
    _place: Place,
}

impl<A: Application> Handshaking<A> {
    fn begin(app: &Arc<A>, key: Key) -> Option<Self> {
        let place = app.engine().addresses.place(key, Kind::Handshakes, app.engine().limits.max_handshakes)?;
        app.engine().metrics.handshakes.add(1);
        Some(Self { app: app.clone(), _place: place })
    }
}

impl<A: Application> Drop for Handshaking<A> {
    fn drop(&mut self) {
        self.app.engine().metrics.handshakes.add(-1);
    }
}

impl<A: Application> Admitted<A> {
    /// Opens the session.
    pub(crate) fn open(self, transport: TransportKind) -> Arc<Conn<A>> {
        let app = &self.handshake.app;
        let engine = app.engine();
        let conn = Conn::open(app, self.id, self.request, self.revision, transport);
        // From now on they are the session's, which gives them back when it closes.
        self.places.into_iter().for_each(Place::keep);
        if let Some(Opener(connection)) = self.opener {
            let limit = engine.limits.max_unjoined_per_tcp_connection;
            let is_unjoined = |id: &Id| engine.registry.find(id).is_some_and(|conn| conn.is_unjoined());
            let oldest = connection.note_session(conn.id(), limit, is_unjoined);
            if let Some(oldest) = oldest.and_then(|id| engine.registry.find(&id)) {
                engine.metrics.bound_reached(Bound::Unjoined, oldest.id());
                let detail = "its TCP connection opens too many sessions";
                oldest.close(CloseReason::ForcedServerClose, Ending::Gone, detail);
            }
        }
        if app.engine().is_closing() {
            // It came in while the server told the others to go.
            conn.close(CloseReason::ServerShuttingDown, Ending::Graceful, "the server stops");
        }
        conn
    }
}

/// Why a session may not be opened.
pub(crate) enum Refusal {
    Engine(HandshakeError),
    Busy(Bound),
    /// A budget is used up.
    Overload,
    /// The server stops; it only still tells the clients that it has.
    Closing,
}

/// Decides on a handshake: the bounds, the program, the revision.
pub(crate) async fn admit<A: Application>(
    app: &Arc<A>,
    parts: &Parts,
    verify: &Verify<'_>,
) -> Result<Admitted<A>, Refusal> {
    let engine = app.engine();
    let limits = &app.engine().limits;
    if app.engine().is_closing() {
        return Err(Refusal::Closing);
    }
    let addresses = &app.engine().addresses;
    let key = Key::of(parts.extensions.get::<RemoteAddr>().map(|remote| remote.0));
    let handshake = Handshaking::begin(app, key).ok_or(Refusal::Busy(Bound::Handshakes))?;
    let session = addresses.place(key, Kind::Sessions, limits.max_connections);
    let session = session.ok_or(Refusal::Busy(Bound::Connections))?;
    let note = |sid: &str| engine.metrics.bound_reached(Bound::Unjoined, sid);
    let unjoined = addresses.place_unjoined(key, limits.max_unjoined, note).ok_or(Refusal::Busy(Bound::Unjoined))?;
    let request = RequestInfo::new(parts, &app.engine().interner, &app.engine().accounts).ok_or(Refusal::Overload)?;
    let hooks = &app.engine().options.hooks;
    hooks.allow(&request).await.map_err(|message| Refusal::Engine(HandshakeError::Forbidden(message)))?;
    let revision = verify.revision().map_err(Refusal::Engine)?;
    let id = match (hooks.generate_id(&request), app.engine().peers.get()) {
        (Some(id), _) => Id::from(id),
        (None, Some(peers)) => peers.session_id(),
        (None, None) => generate(),
    };
    let opener = parts.extensions.get().cloned();
    Ok(Admitted { id, request, revision, handshake, places: [session, unjoined], opener })
}
