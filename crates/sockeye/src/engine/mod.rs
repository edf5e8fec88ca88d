//! The Engine.IO runtime: sessions, their transports, their timers and their outboxes.

mod conn;
mod deflate;
mod encoded;
mod flusher;
mod id;
mod outbox;
mod plain;
mod poller;
mod readable;
mod registry;
pub(crate) mod shard;
mod turn;
mod unread;
mod waker;
mod websocket;
mod wheel;

pub(crate) use conn::{AHEAD, Conn, Ending, PollReply, Queued, Readiness, prefetch, pressure};
pub(crate) use deflate::{Agreement, agree};
pub(crate) use encoded::Encoded;
pub(crate) use flusher::{Flusher, Queue};
pub(crate) use id::{Id, IdBytes, decode_id, encode_id, generate};
pub(crate) use poller::Poller;
pub(crate) use registry::{Identified, Registry};
pub(crate) use turn::{Quantum, Undecoded};
pub(crate) use unread::Response;
pub(crate) use websocket::{Io, Stream, refuse, run, run_probe};
pub(crate) use wheel::Wheel;

/// The time, as the runtime sees it: in tests it can be virtual.
pub(crate) fn now() -> std::time::Instant {
    tokio::time::Instant::now().into_std()
}
