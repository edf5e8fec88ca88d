//! Acknowledgements: sent to a client, and awaited from one or from many.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sockeye_protocol::socket::{Args, IntoArgs, PacketBody};
use tokio::sync::oneshot;

use crate::error::{AckError, BroadcastAckError};
use crate::socket::{Socket, WeakSocket};
use crate::telemetry::Bound;

/// The answer to an event whose sender asked for one.
///
/// Only the first [`send`](Self::send) counts, of whichever clone; where the client asked for no answer it does nothing.
#[derive(Clone, Default)]
pub struct Ack(Option<Arc<Request>>);

struct Request {
    id: u64,
    socket: Mutex<Option<Socket>>,
}

impl Ack {
    pub(crate) fn new(socket: &Socket, id: u64) -> Self {
        Self(Some(Arc::new(Request { id, socket: Mutex::new(Some(socket.clone())) })))
    }

    /// Whether the client asked for an answer.
    pub fn is_wanted(&self) -> bool {
        self.0.is_some()
    }

    /// Answers. A tuple becomes several arguments, `()` none, anything else one.
    pub fn send(&self, args: impl IntoArgs) {
        let Some(request) = &self.0 else { return };
        let Some(socket) = request.socket.lock().take() else { return };
        match args.into_args() {
            Ok(args) => socket.send_packet(Some(request.id), PacketBody::Ack(args)),
            Err(error) => socket.conn().app().metrics.emit_failed("acknowledgement", &error),
        }
    }
}

impl fmt::Debug for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ack").field(&self.0.as_ref().map(|request| request.id)).finish()
    }
}

/// The acknowledgements that one socket owes.
#[derive(Default)]
pub(crate) struct PendingAcks(HashMap<u64, Waiter>);

/// Who waits for an acknowledgement.
pub(crate) enum Waiter {
    One(oneshot::Sender<Args>),
    Many(Member),
}

impl PendingAcks {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn insert(&mut self, id: u64, waiter: Waiter) {
        self.0.insert(id, waiter);
    }

    pub(crate) fn remove(&mut self, id: u64) -> Option<Waiter> {
        self.0.remove(&id)
    }
}

impl Waiter {
    pub(crate) fn resolve(self, args: Args) {
        match self {
            // The program may have given up waiting.
            Self::One(sender) => drop(sender.send(args)),
            Self::Many(mut member) => {
                if let Some(listener) = member.0.take() {
                    listener.handle_ack(args);
                }
            }
        }
    }
}

/// Waits for the acknowledgement with `id` of one socket. The entry goes away with the future.
pub(crate) async fn wait_for(
    socket: &Socket,
    id: u64,
    receiver: oneshot::Receiver<Args>,
    timeout: Option<Duration>,
) -> Result<Args, AckError> {
    let _entry = Entry { socket: socket.downgrade(), id };
    match timeout {
        None => receiver.await.map_err(|_| AckError::Disconnected),
        Some(timeout) => match tokio::time::timeout(timeout, receiver).await {
            Err(_) => Err(AckError::Timeout),
            Ok(result) => result.map_err(|_| AckError::Disconnected),
        },
    }
}

struct Entry {
    socket: WeakSocket,
    id: u64,
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(socket) = self.socket.upgrade() {
            socket.forget_ack(self.id);
        }
    }
}

/// Hears how the clients of this node acknowledge a broadcast, see
/// [`Local::start_broadcast_with_ack`](crate::adapter::Local::start_broadcast_with_ack).
///
/// Its methods are called where the clients' packets are read: they must not wait.
pub trait AckListener: Send + Sync + 'static {
    /// How many clients get the event. Called once, before anything else.
    fn handle_count(&self, clients: usize);

    /// A client has acknowledged.
    fn handle_ack(&self, args: Args);

    /// A client will not acknowledge: it has left, or owes too many acknowledgements.
    fn handle_loss(&self) {}
}

/// One of those that a broadcast waits for. When it goes away unanswered, nobody waits for it any more.
pub(crate) struct Member(Option<Arc<dyn AckListener>>);

impl Member {
    pub(crate) fn of(listener: &Arc<dyn AckListener>) -> Self {
        Self(Some(listener.clone()))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Some(listener) = &self.0 {
            listener.handle_loss();
        }
    }
}

/// Collects the acknowledgements of a broadcast.
pub(crate) struct Collector {
    state: Mutex<Collected>,
    done: tokio::sync::Notify,
}

struct Collected {
    responses: Vec<Args>,
    /// How many went away before they answered.
    lost: usize,
    /// How many clients get the event; none until that is known.
    expected: Option<usize>,
}

impl Collector {
    pub(crate) fn new() -> Arc<Self> {
        let state = Collected { responses: Vec::new(), lost: 0, expected: None };
        Arc::new(Self { state: Mutex::new(state), done: tokio::sync::Notify::new() })
    }

    fn update(&self, change: impl FnOnce(&mut Collected)) {
        let mut state = self.state.lock();
        change(&mut state);
        if state.is_complete() {
            self.done.notify_one();
        }
    }

    /// Waits until all have answered.
    ///
    /// # Errors
    ///
    /// Not all did in time: who did is in the error.
    pub(crate) async fn wait(&self, timeout: Duration) -> Result<Vec<Args>, BroadcastAckError> {
        // Late or complete: what counts is who has answered.
        let _late = tokio::time::timeout(timeout, self.done.notified()).await;
        let mut state = self.state.lock();
        let responses = std::mem::take(&mut state.responses);
        let expected = state.expected.unwrap_or_default();
        if responses.len() < expected {
            return Err(BroadcastAckError::new(responses, expected, Vec::new()));
        }
        Ok(responses)
    }
}

impl AckListener for Collector {
    fn handle_count(&self, clients: usize) {
        self.update(|state| state.expected = Some(clients));
    }

    fn handle_ack(&self, args: Args) {
        self.update(|state| state.responses.push(args));
    }

    fn handle_loss(&self) {
        self.update(|state| state.lost += 1);
    }
}

impl Collected {
    fn is_complete(&self) -> bool {
        self.expected.is_some_and(|expected| self.responses.len() + self.lost >= expected)
    }
}

/// Enters a waiter for `id` on a socket.
///
/// # Errors
///
/// The socket owes too many already, or will not answer.
pub(crate) fn try_enter(socket: &Socket, id: u64, waiter: Waiter) -> Result<(), AckError> {
    let server = socket.conn().app();
    let entered = socket.enter_ack(id, waiter, server.options.limits.max_pending_acks);
    if let Err(AckError::TooMany) = entered {
        server.metrics.bound_reached(Bound::PendingAcks, socket.conn().id());
    }
    entered
}

/// [`try_enter`], where it does not matter why one cannot.
pub(crate) fn enter(socket: &Socket, id: u64, waiter: Waiter) -> bool {
    try_enter(socket, id, waiter).is_ok()
}
