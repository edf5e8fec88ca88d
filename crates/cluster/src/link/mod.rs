//! What the connection of every broker needs: queues with a bound in bytes, the delivery of what comes, and encryption.

mod delivery;
mod queue;
mod tls;

pub use self::delivery::deliver;
pub use self::queue::Queue;
pub use self::tls::{TlsError, TlsOptions};
