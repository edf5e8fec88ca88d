//! The hot paths of Sockeye, each as an operation that can be run as often as one likes: for `check`, which counts
//! instructions, and for the micro benchmarks, which take the time.

mod client;
mod protocol;
mod server;
mod websocket;

pub use client::{Client, frame_len};

/// Runs a path this many times.
pub type Operation = Box<dyn FnMut(u64)>;

/// One hot path.
#[derive(Debug, Clone, Copy)]
pub struct Path {
    /// `crate/what`.
    pub name: &'static str,
    /// How often to run it so that what varies from run to run is small against the count.
    pub runs: u64,
    /// What one run does of the thing that is counted: a broadcast to 100 sockets makes 100 deliveries.
    pub per_run: u64,
    /// Prepares it.
    pub open: fn() -> Operation,
}

/// Every path.
pub fn paths() -> impl Iterator<Item = &'static Path> {
    [websocket::PATHS, protocol::PATHS, server::PATHS].into_iter().flatten()
}

/// The text of 64 bytes that events carry.
pub const TEXT: &str = "the quick brown fox jumps over the lazy dog, 64 bytes in all now";

/// Runs `once` as often as asked.
fn repeat(mut once: impl FnMut() + 'static) -> Operation {
    Box::new(move |runs| (0..runs).for_each(|_| once()))
}
