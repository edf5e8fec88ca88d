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
pub mod codec;
mod connection;
mod directory;
mod emitter;
mod link;
mod metrics;
mod options;
mod recovery;
mod tasks;

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

pub use adapter::RedisAdapter;
pub use directory::RedisDirectory;
pub use emitter::{EmitterError, Receipt, RedisEmit, RedisEmitter};
pub use metrics::RedisMetrics;
pub use options::{Mode, NameError, RedisOptions, SentinelOptions, StreamOptions, Subscription, UrlError};
pub use sockeye_cluster::link::{TlsOptions, Unhealthy};
