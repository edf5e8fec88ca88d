//! Joins Sockeye servers over NATS.
//!
//! Core NATS carries what nodes tell one another. One [`NatsAdapter`] serves all namespaces of a server, over one connection.
//! With [`JetStreamOptions`] events are kept in a stream, and clients are recovered on any node.
//!
//! # Example
//!
//! ```
//! use sockeye::Server;
//! use sockeye_nats::{NatsAdapter, NatsOptions};
//!
//! let nats = NatsAdapter::new(NatsOptions::new("nats://127.0.0.1"))?;
//! let io = Server::builder().adapter(nats.factory()).build();
//! # let _ = io;
//! # Ok::<(), sockeye_nats::OptionsError>(())
//! ```

mod adapter;
mod bus;
mod connection;
mod directory;
mod dispatcher;
mod jetstream;
mod link;
mod metrics;
mod options;
mod parts;
mod presence;
mod publisher;
mod role;
mod server;
mod subject;
mod tasks;

/// Pages of the guide: their examples must compile.
#[cfg(doctest)]
mod guide {
    #[doc = include_str!("../README.md")]
    struct Readme;

    #[doc = include_str!("../../../docs/src/nats.md")]
    struct Nats;
}

pub use adapter::NatsAdapter;
pub use directory::NatsDirectory;
pub use metrics::NatsMetrics;
pub use options::{JetStreamOptions, Login, NatsOptions};
pub use server::OptionsError;
pub use sockeye_cluster::link::{TlsOptions, Unhealthy};
