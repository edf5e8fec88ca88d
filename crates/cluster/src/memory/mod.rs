//! A broker within one process, for tests.

mod bus;

pub use self::bus::{MemoryBus, MemoryHub};
