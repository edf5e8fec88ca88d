//! The cases, by what they are about.

pub mod acknowledgements;
pub mod broadcasts;
pub mod interest;
pub mod nodes;
pub mod programs;
pub mod recovery;
pub mod sockets;
