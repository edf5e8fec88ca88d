//! A broker within one process, for tests: it carries messages, and keeps events and sessions. Its faults are a feature.

mod bus;
mod delivery;
mod entries;
mod faults;
mod hub;
mod inbox;
mod log;
mod session_table;
mod sessions;
#[cfg(any(test, feature = "test-util"))]
mod test_util;

pub use self::bus::MemoryBus;
pub use self::hub::MemoryHub;
pub use self::log::MemoryLog;
pub use self::sessions::MemorySessions;
