//! A broker within one process, for tests: it carries messages, keeps events and sessions, and does harm when it is told to.

mod bus;
mod faults;
mod hub;
mod inbox;
mod log;
mod sessions;

pub use self::bus::MemoryBus;
pub use self::hub::MemoryHub;
pub use self::log::MemoryLog;
pub use self::sessions::MemorySessions;
