//! What is above the engine: the protocol that its sessions carry.

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use sockeye_protocol::CloseReason;
use sockeye_protocol::engine::{Data, Packet};

use crate::conn::Conn;
use crate::engine::Engine;

/// Whether an [`Application`] takes more messages of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It has handled all that came.
    Ready,
    /// It keeps some messages for later, and takes more.
    Behind,
    /// It keeps as many as it may: the client is not read until it has handled some.
    Full,
}

/// A protocol above Engine.IO, or a program that needs none. It owns its [`Engine`], and a [`Server`](crate::Server) serves it.
///
/// The engine calls these functions from the tasks that read its connections, so they must not block. Messages of one connection come in
/// order. Two tasks may read for it for a moment: a POST from before an upgrade, and the WebSocket after it.
/// [`handle_close`](Self::handle_close) may come at any time, once.
///
/// # Example
///
/// A server that sends back each message:
///
/// ```no_run
/// use std::sync::Arc;
/// use sockeye_engine::{Application, CloseReason, Conn, Data, Encoded, Engine, Limits, Options, Server};
///
/// struct Echo(Engine<Conn<Self>>);
///
/// impl Application for Echo {
///     type Session = ();
///
///     fn engine(&self) -> &Engine<Conn<Self>> {
///         &self.0
///     }
///
///     fn new_session(&self) {}
///
///     fn handle_open(conn: &Arc<Conn<Self>>) {
///         conn.joined();
///     }
///
///     fn handle_message(conn: &Arc<Conn<Self>>, message: Data<'_>) {
///         conn.send(Encoded::of(&message), false);
///     }
///
///     fn handle_close(_: &Arc<Conn<Self>>, _: CloseReason) {}
/// }
///
/// # async fn run() -> std::io::Result<()> {
/// let server = Server::new(Echo(Engine::new(Options::default(), Limits::default())));
/// server.listen("127.0.0.1:3000").await
/// # }
/// ```
pub trait Application: Sized + Send + Sync + 'static {
    /// What the application keeps of each connection. It lies within the connection, and costs no allocation of its own.
    type Session: Send + Sync + 'static;

    /// The engine that the application owns.
    fn engine(&self) -> &Engine<Conn<Self>>;

    /// What is kept of a connection that is about to open.
    fn new_session(&self) -> Self::Session;

    /// A session was opened. One that the application has not taken with [`Conn::joined`] within
    /// [`Options::connect_timeout`](crate::Options::connect_timeout) is closed.
    fn handle_open(conn: &Arc<Conn<Self>>);

    /// A message has come. What is sent to the same connection meanwhile is written when all that was read has been handled.
    fn handle_message(conn: &Arc<Conn<Self>>, message: Data<'_>);

    /// The session is closed. Messages that are being handled may still come to an end.
    fn handle_close(conn: &Arc<Conn<Self>>, reason: CloseReason);

    /// Whether the application takes more messages of a connection. It is asked after each message.
    fn readiness(_conn: &Conn<Self>) -> Readiness {
        Readiness::Ready
    }

    /// Handles messages that the application keeps, as far as it can, where it was not [`Ready`](Readiness::Ready). Ready when it takes
    /// more; if it keeps some nevertheless, it wakes the task by [`Conn::resume`] when these can be handled. See
    /// [`Conn::wake_on_resume`].
    fn poll_ready(_conn: &Arc<Conn<Self>>, _context: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    /// Whether a packet in a POST is handed on although the application is [`Full`](Readiness::Full): what others wait for.
    fn passes(_packet: &Packet<'_>) -> bool {
        false
    }

    /// The time of [`Conn::set_deadline`] has come.
    fn handle_deadline(_conn: &Arc<Conn<Self>>) {}

    /// The answer to a request below the server's path that is none of Engine.IO. It is asked first.
    fn respond(&self, _request: &Parts) -> Option<Response<Bytes>> {
        None
    }

    /// The server starts, in the runtime that it runs in.
    fn handle_start(self: &Arc<Self>) {}

    /// The server stops, and all its sessions are closed. [`Server::close`](crate::Server::close) waits for it, for as long as
    /// [`Limits::close_timeout`](crate::Limits::close_timeout) says.
    fn handle_stop(self: &Arc<Self>) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}
