//! What the control namespace tells of the others, and what is counted for each socket.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use serde::Serialize;
use sockeye::{CloseReason, Socket, Value};

/// What happened since the start. A clone is another handle to the same.
#[derive(Clone, Default)]
pub(crate) struct Report(Arc<Inner>);

#[derive(Default)]
struct Inner {
    disconnects: Mutex<Vec<Disconnect>>,
    sequences: Mutex<HashMap<String, Vec<Value>>>,
    connects: AtomicU64,
    middleware: AtomicU64,
}

/// The end of a socket.
#[derive(Clone, Serialize)]
pub(crate) struct Disconnect {
    nsp: String,
    id: String,
    reason: &'static str,
    rooms: Vec<String>,
}

/// How often catch-all listeners ran for one socket.
#[derive(Default)]
pub(crate) struct Seen {
    any: AtomicU64,
    outgoing: AtomicU64,
}

/// The rooms of a socket while it was disconnecting.
struct LastRooms(Vec<String>);

impl Report {
    pub(crate) fn connected(&self, socket: &Socket) {
        self.0.connects.fetch_add(1, Ordering::Relaxed);
        socket.set_extension(Seen::default());
    }

    pub(crate) fn disconnecting(socket: &Socket) {
        socket.set_extension(LastRooms(sorted_rooms(socket)));
    }

    pub(crate) fn disconnected(&self, socket: &Socket, reason: CloseReason) {
        self.0.disconnects.lock().push(Disconnect {
            nsp: socket.namespace().name().to_owned(),
            id: socket.id().to_owned(),
            reason: reason.as_str(),
            rooms: socket.extension::<LastRooms>().map(|last| last.0.clone()).unwrap_or_default(),
        });
    }

    pub(crate) fn count_middleware(&self) {
        self.0.middleware.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn append(&self, key: &str, value: Value) {
        self.0.sequences.lock().entry(key.to_owned()).or_default().push(value);
    }

    pub(crate) fn sequence(&self, key: &str) -> Vec<Value> {
        self.0.sequences.lock().get(key).cloned().unwrap_or_default()
    }

    pub(crate) fn disconnects(&self) -> Vec<Disconnect> {
        self.0.disconnects.lock().clone()
    }

    /// Sockets ever connected, and calls of the middleware of `/csr`.
    pub(crate) fn counters(&self) -> (u64, u64) {
        (self.0.connects.load(Ordering::Relaxed), self.0.middleware.load(Ordering::Relaxed))
    }
}

impl Seen {
    pub(crate) fn incoming(socket: &Socket) {
        if let Some(seen) = socket.extension::<Self>() {
            seen.any.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn outgoing(socket: &Socket) {
        if let Some(seen) = socket.extension::<Self>() {
            seen.outgoing.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn to_json(socket: &Socket) -> serde_json::Value {
        let seen = socket.extension::<Self>().unwrap_or_default();
        serde_json::json!({
            "any": seen.any.load(Ordering::Relaxed),
            "outgoing": seen.outgoing.load(Ordering::Relaxed),
        })
    }
}

/// The socket's rooms in order.
pub(crate) fn sorted_rooms(socket: &Socket) -> Vec<String> {
    sorted(&socket.rooms())
}

/// Names of rooms in order.
pub(crate) fn sorted(rooms: &[impl AsRef<str>]) -> Vec<String> {
    let mut rooms: Vec<_> = rooms.iter().map(|room| room.as_ref().to_owned()).collect();
    rooms.sort();
    rooms
}
