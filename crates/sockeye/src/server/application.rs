//! Socket.IO as the application of the engine.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use sockeye_engine::{Application, CloseReason, Data, Engine, Readiness};
use sockeye_protocol::engine::Packet;

use super::{Conn, ServerInner};
use crate::client::{self, Client};
use crate::client_files;

impl Application for ServerInner {
    type Session = Client;

    #[inline]
    fn engine(&self) -> &Engine<Conn> {
        &self.engine
    }

    fn new_session(&self) -> Client {
        Client::new(self.options.parser)
    }

    fn handle_open(conn: &Arc<Conn>) {
        client::handle_open(conn);
    }

    #[inline]
    fn handle_message(conn: &Arc<Conn>, message: Data<'_>) {
        client::handle_message(conn, message);
    }

    fn handle_close(conn: &Arc<Conn>, reason: CloseReason) {
        client::handle_close(conn, reason);
    }

    #[inline]
    fn readiness(conn: &Conn) -> Readiness {
        client::readiness(conn)
    }

    fn poll_ready(conn: &Arc<Conn>, context: &mut Context<'_>) -> Poll<()> {
        client::poll_ready(conn, context)
    }

    fn passes(packet: &Packet<'_>) -> bool {
        client::passes(packet)
    }

    fn handle_deadline(conn: &Arc<Conn>) {
        client::handle_deadline(conn);
    }

    fn respond(&self, request: &Parts) -> Option<Response<Bytes>> {
        let name = request.uri.path().strip_prefix(self.engine.mount_path())?;
        match &self.options.serve_client {
            Some(files) => files.respond(name, &request.method, &request.headers),
            None => client_files::missing(name, &request.method),
        }
    }

    fn handle_start(self: &Arc<Self>) {
        self.init_adapters();
    }

    async fn handle_stop(self: &Arc<Self>) {
        // What disconnect handlers emit still reaches the other nodes.
        for namespace in self.all_namespaces() {
            namespace.adapter().close().await;
        }
    }
}
