//! Locks, atomics and what else the hand-made concurrent protocols are built on.
//!
//! With `--cfg sockeye_loom` these are Loom's, which runs a model of such a protocol in every order in which its threads can take their
//! steps, with a few preemptions. The models are files named `models.rs` beside the protocols, and run the protocols' own code.
//! `--cfg loom` would leave tokio without its network. Loom explores a switch only between steps that depend on each other, so what
//! stands in for something here must tell it of them: see the model's `Arc`.

#[cfg(sockeye_loom)]
mod model;
mod wakers;

#[cfg(not(sockeye_loom))]
pub use std::collections::hash_map::RandomState;
#[cfg(not(sockeye_loom))]
pub use std::sync::{Arc, OnceLock, Weak, atomic};

#[cfg(not(sockeye_loom))]
pub use mio::Waker as PollWaker;
#[cfg(not(sockeye_loom))]
pub use parking_lot::Mutex;

pub use self::wakers::Wakers;

#[cfg(sockeye_loom)]
pub use self::model::{Arc, Mutex, OnceLock, PollWaker, RandomState, Weak, atomic, block_on, check, thread};
