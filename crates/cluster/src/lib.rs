//! Several nodes as one server: the protocol between them, over a [`Bus`].
//!
//! The [`ClusterAdapter`] does for the local sockets what an adapter does, and tells the other nodes. What it knows of them (who
//! is alive, which questions are open, what was answered) is in the [`Machine`], which does no I/O. A crate for a broker supplies
//! a [`Bus`]; the [`MemoryBus`] joins several servers in one process, for tests.
//!
//! # Example
//!
//! ```
//! use sockeye::Server;
//! use sockeye_cluster::{ClusterAdapter, ClusterOptions, MemoryHub};
//!
//! let hub = MemoryHub::default();
//! let node = |name: &'static str| {
//!     let (hub, options) = (hub.clone(), ClusterOptions::default());
//!     Server::builder()
//!         .adapter(move |local| {
//!             let bus = hub.bus(name, &local.namespace());
//!             ClusterAdapter::new(local, bus, options.clone())
//!         })
//!         .build()
//! };
//! let (first, second) = (node("first"), node("second"));
//! # let _ = (first, second);
//! ```

mod adapter;
mod bus;
pub mod codec;
mod confirmations;
mod core;
mod interest;
pub mod link;
mod machine;
mod memory;
mod message;
mod metrics;
mod questions;
mod recent_joins;
pub mod recovery;
mod serve;
mod supervise;

pub use adapter::{ClusterAdapter, ClusterOptions};
pub use bus::{Bus, BusError, Confirmation, Receiver};
pub use machine::{Effect, Machine, MachineOptions, Outcome, Question, Refusal};
pub use memory::{MemoryBus, MemoryHub, MemoryLog, MemorySessions};
pub use message::{Destination, Message, NodeId, RequestId, Sender};
pub use metrics::ClusterMetrics;
pub use supervise::{contain, supervise, supervise_until_done};

#[cfg(doctest)]
mod guide {
    #[doc = include_str!("../../../docs/src/writing-a-bus.md")]
    struct WritingABus;
}
