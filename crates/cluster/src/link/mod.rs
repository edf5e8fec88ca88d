//! What the adapter of every broker needs: the tasks behind it, and how its connections are, by their role; queues with a bound in bytes;
//! the delivery of what comes; which other nodes are at the
//! broker; encryption.

mod delivery;
mod health;
mod hub;
mod overflow;
mod presence;
mod queue;
mod tls;

pub use self::delivery::deliver;
pub use self::health::{Health, Role, Stopped, Unhealthy, Working};
pub use self::hub::{Hub, Link, Tasks, supervised, supervised_until_done};
pub use self::overflow::Overflow;
pub use self::presence::Presence;
pub use self::queue::Queue;
pub use self::tls::{TlsError, TlsOptions};
