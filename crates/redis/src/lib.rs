//! Sockeye and Redis: the wire formats of the official adapters, as functions without input or output.

pub mod codec;
