//! JetStream: the events in a stream, which any node reads again, and the sessions in a bucket of its key-value store.
//!
//! ```text
//!  emit ─► NatsLog::append ─► PREFIX.log.NAMESPACE ─► the stream ─► PREFIX.out.NAMESPACE ─► reader ─► dispatcher of every node
//!                                                        └─ what the reader has missed ─────┘
//!  session ─► NatsStore::put ─► the bucket ─► any node
//! ```
//!
//! The stream publishes each entry again, with its number: so a node follows it by a subscription, needs no consumer, and sees at
//! once which it has missed. Those it reads out of the stream.

mod entry;
mod log;
mod namespace;
mod reader;
mod shared;
mod store;
mod stream;

pub(crate) use self::entry::{goes_to_log, write};
pub(crate) use self::namespace::recovery;
pub(crate) use self::reader::run;
pub(crate) use self::shared::{Kept, Shared};
