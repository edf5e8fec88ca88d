//! TLS handshakes, for whoever accepts encrypted connections.

use std::net::SocketAddr;

use crate::addresses::{Kind, Place};
use crate::application::Application;
use crate::metrics::Bound;
use crate::server::Server;

/// A TLS handshake that is going on, until this is dropped. See [`Server::begin_tls_handshake`].
#[derive(Debug)]
#[must_use = "the handshake counts for as long as this lives"]
pub struct TlsHandshake {
    _place: Place,
}

impl<A: Application> Server<A> {
    /// Counts a TLS handshake of a program that accepts encrypted connections itself, against
    /// [`Limits::max_handshakes`](crate::Limits::max_handshakes) and the share of the peer's address: a peer that is silent takes
    /// nothing from others. Afterwards the stream goes to [`serve_connection`](Self::serve_connection).
    ///
    /// None: there are too many, which has been counted and logged, and the connection should be closed.
    pub fn begin_tls_handshake(&self, peer: SocketAddr) -> Option<TlsHandshake> {
        let engine = self.app().engine();
        let addresses = &engine.addresses;
        let key = addresses.key_of_peer(Some(peer));
        let place = addresses.place(key, Kind::Encryption, engine.limits.max_handshakes);
        if place.is_none() {
            engine.metrics.bound_reached(Bound::Handshakes, "a TLS handshake");
        }
        Some(TlsHandshake { _place: place? })
    }
}
