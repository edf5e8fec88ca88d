//! Recovery over streams of Redis: the event log is a stream, the session store is keys.

mod deliver;
pub(crate) mod entries;
mod flow;
mod log;
mod namespace;
pub(crate) mod reader;
mod shared;
mod store;

pub(crate) use self::namespace::of;
pub(crate) use self::shared::Shared;
