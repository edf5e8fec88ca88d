//! Engine.IO as a server of its own: sessions over long-polling and WebSocket, with heartbeats, upgrades and back-pressure.
//!
//! The crate `sockeye` is Socket.IO on top of it. Alone it serves clients of `engine.io-client`: an [`Application`] gets the messages
//! of each connection, and sends others.
//!
//! ```text
//!   socket ─► WebSocket frames ─► Engine.IO session ─► Application::handle_message
//!   socket ◄─ one vectored write ◄─ outbox ◄─ Conn::send
//! ```
//!
//! - [`Application`] is what is above the engine; it owns an [`Engine`], and a [`Server`] serves it.
//! - [`Conn`] is a connection: one session, its outbox, and the transport that carries it now.
//! - [`Options`] and [`Limits`] have what can be set, with defaults. What is held for all clients is bounded by [`Budgets`].
//! - [`peers`] makes sticky sessions unnecessary.

mod addresses;
mod application;
mod budget;
mod conn;
mod deflate;
mod driver;
mod encoded;
mod engine;
mod http;
mod id;
mod listen;
mod metrics;
mod options;
mod outbox;
mod panic;
pub mod peers;
mod plain;
mod registry;
mod request;
mod server;
mod shard;
mod share;
#[doc(hidden)]
pub mod sync;
mod unread;
mod websocket;
mod work;

pub use addresses::{AddressRange, AddressRangeError};
pub use application::{Application, Readiness};
pub use budget::{Budgets, Holder, Ledger};
pub use conn::{Conn, Ending, Hold};
pub use encoded::{Encoded, Encoder};
pub use engine::Engine;
pub use http::{Cookie, Cors, HttpCompression, Layer, NotFound, OriginPattern, ResponseBody, SameSite, Service};
pub use id::{Id, generate};
pub use listen::TlsHandshake;
pub use metrics::{Bound, Counter, Gauge, Metrics};
pub use options::{Limits, Options, PerMessageDeflate};
pub use request::{RemoteAddr, RequestInfo, Secure};
pub use server::Server;
pub use sockeye_protocol::CloseReason;
pub use sockeye_protocol::engine::{Data, Revision, TransportKind};

/// For the crate `sockeye` alone: it may change in any release.
#[doc(hidden)]
pub mod internal {
    pub use crate::addresses::{Key, may_enter};
    pub use crate::budget::{Account, Accounts, Charge};
    pub use crate::conn::{Queued, pressure};
    pub use crate::http::content;
    pub use crate::metrics::{LogGate, millis};
    pub use crate::panic::panic_text;
    pub use crate::registry::{Identified, Registry};
    pub use crate::shard::{AHEAD, Driven, Queue};
    pub use crate::sync;
}

/// The time, as the runtime sees it: in tests it can be virtual.
pub fn now() -> std::time::Instant {
    tokio::time::Instant::now().into_std()
}

/// The README: its example must compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
