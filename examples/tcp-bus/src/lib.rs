//! A bus over a small broker of its own. The guide leads through it: docs/src/writing-a-bus.md.

mod bus;
mod frame;
mod hub;

pub use bus::TcpBus;
pub use hub::Hub;
