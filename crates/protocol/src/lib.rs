//! Engine.IO (revisions 3 and 4) and Socket.IO (revisions 4 and 5) without I/O, clock or randomness.
//!
//! The two halves share only [`Message`], what one carries for the other, and [`CloseReason`], why it ended:
//! [`engine`] moves messages over long-polling or WebSocket; [`socket`] gives them meaning.

pub mod engine;
pub mod socket;

mod close;
mod message;

pub use bytestring::ByteString;
pub use close::CloseReason;
pub use message::Message;
