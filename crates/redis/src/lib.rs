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
mod connection;
mod directory;
mod dispatcher;
mod link;
mod metrics;
mod node;
mod options;
mod publisher;
mod queue;
mod reader;
mod recovery;
mod subscriber;
mod table;
mod wire;

/// The page of the guide: its examples must compile.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/src/clusters.md")]
struct Guide;

pub use adapter::{RedisAdapter, UrlError};
pub use directory::RedisDirectory;
pub use metrics::RedisMetrics;
pub use node::NodeAdapter;
pub use options::{Mode, NameError, RedisOptions, StreamOptions, Subscription};
