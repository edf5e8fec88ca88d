//! Several nodes without sticky sessions: a request for a session of another node is forwarded to it.
//!
//! A long-polling session, and the WebSocket that takes over from it, lives on the node that opened it: the owner. Its id names the
//! owner, hidden by a keyed hash, so that only nodes with the [secret](PeerOptions::new) can read it, and can tell most forged
//! ids from real ones without asking anybody. A [`Directory`] says at which address the owner listens for other nodes. It gets
//! the client's own request over a connection that is kept open, with the client's address and a proof that a node sent it, and
//! its answer is the client's answer. A forwarded request is never forwarded again.
//!
//! Requests for an owner that is gone are answered at once as those for any unknown session (400, code 1), and the client connects
//! anew. A session that begins with WebSocket is never forwarded; one that upgrades to it passes through the node that
//! the upgrade came to, for as long as it lives.
//!
//! What goes between the nodes is not encrypted: keep it in a network of their own.
//!
//! # Example
//!
//! ```
//! use sockeye_engine::peers::{MemoryDirectory, PeerError, PeerOptions};
//! use sockeye_engine::{Application, Server};
//!
//! async fn join<A: Application>(nodes: &[Server<A>]) -> Result<(), PeerError> {
//!     let directory = MemoryDirectory::default();
//!     let secret = "32 random bytes, the same on all nodes";
//!     for node in nodes {
//!         node.join_peers(PeerOptions::new(secret), directory.clone()).await?;
//!     }
//!     Ok(())
//! }
//! ```

mod directory;
mod listener;
mod metrics;
mod node;
mod options;
mod owners;
mod secret;

pub use directory::{Directory, DirectoryError, DirectoryFuture, MemoryDirectory, NodeTag};
pub use listener::PeerError;
pub use metrics::{ForwardFailure, PeerMetrics};
pub(crate) use node::{ForwardBody, Peers};
pub use options::PeerOptions;
