//! A Socket.IO server for Rust programs: every official client works with it unchanged.
//!
//! # Example
//!
//! ```no_run
//! use sockeye::{Ack, Cors, Data, Reason, Server, Socket};
//!
//! #[tokio::main]
//! async fn main() -> std::io::Result<()> {
//!     let io = Server::builder().cors(Cors::origin("http://localhost:3000")).build();
//!
//!     io.on_connection(|socket: Socket| println!("{} connected", socket.id()));
//!
//!     io.on("chat message", |socket: Socket, Data(text): Data<String>, ack: Ack| {
//!         socket.server().emit("chat message", text);
//!         ack.send("delivered");
//!     });
//!
//!     io.on("join", |socket: Socket, Data(room): Data<String>| socket.join(room));
//!
//!     io.on_disconnect(|socket: Socket, Reason(reason): Reason| println!("{} left: {reason}", socket.id()));
//!
//!     io.listen("0.0.0.0:3001").await
//! }
//! ```
//!
//! A message goes one way: transport, connection, client, namespace, socket, handler; the way back is an emit.
//!
//! - [`Server`], [`Namespace`] and [`ParentNamespace`] register handlers, and emit to many.
//! - [`Socket`] is a client in a namespace. [`Handler`] says what a handler may look like.
//! - [`Options`] and [`Limits`] have what can be set, with defaults.
//! - [`SockeyeLayer`] puts the server into a program that has an HTTP server, axum for example;
//!   [`Server::listen`] serves without one.
//! - [`adapter`] is where clusters come in: the crate `sockeye-cluster` joins nodes over a broker. [`peers`] makes sticky sessions unnecessary.

mod ack;
pub mod adapter;
mod builder;
mod client;
mod client_files;
mod emit;
mod encode;
mod error;
mod handler;
mod namespace;
mod options;
mod reserved;
mod room;
mod room_set;
mod server;
mod service;
mod socket;
mod target;
mod telemetry;

pub use ack::Ack;
pub use builder::ServerBuilder;
pub use client_files::ClientFiles;
pub use emit::{BroadcastError, Emit, RemoteSocket, ServerSideError};
pub use error::{AckError, BroadcastAckError, ConnectError, EmitError, JoinError};
pub use handler::{Auth, Data, Event, EventContext, FromEvent, Handler, HandlerOutput, Reason, Rejection};
pub use namespace::{Namespace, ParentNamespace};
pub use options::{ConnectionStateRecovery, EngineLimits, EngineOptions, Limits, Options};
pub use room::IntoRooms;
pub use server::Server;
pub use service::{SockeyeLayer, SockeyeService};
pub use socket::{Socket, SocketEmit};
pub use sockeye_engine::{
    AddressRange, AddressRangeError, Budgets, Cookie, Cors, Counter, Gauge, Holder, HttpCompression, Ledger, NotFound,
    OriginPattern, PerMessageDeflate, RemoteAddr, RequestInfo, ResponseBody, SameSite, Secure, TlsHandshake,
    TransportKind, peers,
};
pub use sockeye_protocol::socket::{Args, ArgsError, EventName, FromArgs, IntoArgs, Parser, Value};
pub use sockeye_protocol::{ByteString, CloseReason};
pub use target::{Flags, Target};
pub use telemetry::{Bound, Metrics};

/// The README and the guide: their examples must compile.
#[cfg(doctest)]
mod guide {
    macro_rules! pages {
        ($($name:ident: $path:literal,)*) => {$(
            #[doc = include_str!(concat!("../../../", $path))]
            struct $name;
        )*};
    }
    pages! {
        Readme: "README.md",
        CrateReadme: "crates/sockeye/README.md",
        GettingStarted: "docs/src/getting-started.md",
        Handlers: "docs/src/handlers.md",
        Rooms: "docs/src/rooms.md",
        Acknowledgements: "docs/src/acknowledgements.md",
        Middleware: "docs/src/middleware.md",
        Namespaces: "docs/src/namespaces.md",
        Recovery: "docs/src/recovery.md",
        Emit: "docs/src/emit.md",
        Bounds: "docs/src/bounds.md",
        Deployment: "docs/src/deployment.md",
        Testing: "docs/src/testing.md",
    }
}
