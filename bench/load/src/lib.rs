//! The load generator behind `sockeye bench`: many Socket.IO clients in one process, and what they saw of a server.
//!
//! ```text
//!  options ─► Plan ─► run: connect all ─► start ─► warm-up ─► measure ─► drain ─► Report
//!                          │ a task per client: websocket or polling (bytes)
//!                          │                    └─► Session (packets, no I/O) ─► Stats (histogram, counters)
//!                          └ a thread that wakes senders in time, where a rate is given
//! ```

mod client;
mod error;
mod limits;
mod members;
mod message;
mod options;
mod pace;
mod payload;
mod plan;
mod process;
mod progress;
mod report;
mod run;
mod session;
mod shared;
mod stats;
mod target;
mod tls;

pub use error::Error;
pub use options::{Bench, Connection, Idle, Messages, Parser, Rooms, Scenario, Transport};
pub use report::{GeneratorReport, Latencies, MessagesReport, PaceReport, Report, ServerReport};
pub use run::run;
pub use target::Target;
