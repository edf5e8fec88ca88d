//! What the connection of every broker needs: queues with a bound in bytes, and the delivery of what comes.

mod delivery;
mod queue;

pub use self::delivery::deliver;
pub use self::queue::Queue;
