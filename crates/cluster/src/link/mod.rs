//! Parts for the connection to a broker: the tasks behind an adapter, the health of its connections by their role, queues with a bound in
//! bytes, delivery to the namespaces, the other nodes at the broker, and encryption.

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
