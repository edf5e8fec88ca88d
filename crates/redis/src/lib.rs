//! Joins Sockeye servers over Redis: with Node.js servers that use an official adapter, or among themselves.
//!
//! [`Mode`] says how the nodes talk to one another. One [`RedisAdapter`] serves all namespaces of a server, over one connection
//! that publishes and one that subscribes.
//!
//! # Example
//!
//! ```
//! use sockeye::Server;
//! use sockeye_redis::{Mode, RedisAdapter, RedisOptions};
//!
//! let redis = RedisAdapter::new(RedisOptions::new("redis://127.0.0.1/", Mode::Native))?;
//! let io = Server::builder().adapter(redis.factory()).build();
//! # let _ = io;
//! # Ok::<(), sockeye_redis::UrlError>(())
//! ```

mod adapter;
mod bus;
mod classic;
pub mod codec;
mod commands;
mod connection;
mod directory;
mod dispatcher;
mod emitter;
mod entries;
mod health;
mod link;
mod map;
mod metrics;
mod options;
mod probe;
mod publisher;
mod query;
mod reader;
mod recovery;
mod refusals;
mod resp;
mod send_queues;
mod servers;
mod subscriber;
mod subscribers;
mod table;
mod topology;
mod watcher;
mod wire;

/// Pages of the guide: their examples must compile.
#[cfg(doctest)]
mod guide {
    #[doc = include_str!("../README.md")]
    struct Readme;

    #[doc = include_str!("../../../docs/src/clusters.md")]
    struct Clusters;

    #[doc = include_str!("../../../docs/src/scaling.md")]
    struct Scaling;
}

pub use adapter::{RedisAdapter, UrlError};
pub use directory::RedisDirectory;
pub use emitter::{EmitterError, Receipt, RedisEmit, RedisEmitter};
pub use health::Unhealthy;
pub use metrics::RedisMetrics;
pub use options::{Mode, NameError, RedisOptions, SentinelOptions, StreamOptions, Subscription};
pub use sockeye_cluster::link::TlsOptions;
