//! What nodes write into Redis, and read, where it is of Redis only. What other brokers have, too, is in [`sockeye_cluster::codec`].
//!
//! [`classic`] has the messages of the classic adapter; [`emitter`] writes those of emitters.

pub mod classic;
pub mod emitter;
