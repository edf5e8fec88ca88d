//! The attempts of a client to join namespaces, from their CONNECT until the middlewares have decided.
//!
//! A client may change its mind meanwhile: it disconnects, or connects anew, which a page does that renders twice. Then only the
//! last attempt counts. What runs for an earlier one may run to its end, but lets nobody in and tells nobody. Until that end it
//! counts against [`Limits::max_namespaces`](crate::Limits::max_namespaces), for it holds memory.

use std::sync::Arc;

use bytestring::ByteString;

use crate::server::Conn;
use crate::socket::{Socket, WeakSocket};

/// The attempts of one connection, in the order of their numbers.
#[derive(Default)]
pub(super) struct Attempts(Vec<Pending>);

struct Pending {
    number: u32,
    namespace: ByteString,
    /// The socket that would enter, once there is one.
    socket: Option<WeakSocket>,
    /// The client still wants it.
    is_current: bool,
}

impl Attempts {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Enters an attempt, and gives its number.
    pub(super) fn begin(&mut self, namespace: ByteString) -> u32 {
        // Another may have had the number, but is over.
        let number = self.0.last().map_or(0, |last| last.number.wrapping_add(1));
        self.0.push(Pending { number, namespace, socket: None, is_current: true });
        number
    }

    /// The client no longer wants what it tried, if it did.
    pub(super) fn give_up(&mut self, namespace: &str) -> Option<GivenUp> {
        let pending = self.0.iter_mut().find(|each| each.is_current && each.namespace == *namespace)?;
        pending.is_current = false;
        Some(GivenUp(pending.socket.take()))
    }

    /// Keeps the socket that would enter. False if it is not to.
    fn set_socket(&mut self, number: u32, socket: &Socket) -> bool {
        let pending = self.0.iter_mut().find(|each| each.number == number && each.is_current);
        pending.map(|pending| pending.socket = Some(socket.downgrade())).is_some()
    }

    /// The attempt is over. True if the client waited for it.
    pub(super) fn end(&mut self, number: u32) -> bool {
        let at = self.0.iter().position(|each| each.number == number);
        let was_current = at.is_some_and(|at| self.0.remove(at).is_current);
        if self.0.is_empty() {
            // An idle connection keeps no room for it.
            self.0 = Vec::new();
        }
        was_current
    }
}

/// An attempt that the client no longer wants, and its socket.
#[must_use = "its socket may be in rooms"]
pub(super) struct GivenUp(Option<WeakSocket>);

impl GivenUp {
    /// Lets go of the socket: it leaves the rooms that a middleware has put it into. Without the lock of the client, for the
    /// program hears of that.
    pub(super) fn settle(self) {
        if let Some(socket) = self.0.as_ref().and_then(WeakSocket::upgrade) {
            socket.abandon();
        }
    }
}

/// An attempt at work. However it ends, by a panic too, it is entered no longer.
pub(super) struct Attempt {
    pub(super) conn: Arc<Conn>,
    pub(super) number: u32,
}

impl Attempt {
    /// Tells which socket would enter. False if it is not to: the client has changed its mind.
    pub(super) fn set_socket(&self, socket: &Socket) -> bool {
        self.conn.session().state.lock().attempts.set_socket(self.number, socket)
    }

    /// The attempt is over. True if the client is to be told, false if it has changed its mind.
    pub(super) fn end(&self) -> bool {
        self.conn.session().state.lock().attempts.end(self.number)
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.end();
    }
}
