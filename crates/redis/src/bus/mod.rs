//! The bus over Redis: what goes out waits in queues, what comes in goes to the namespaces, and each mode has its channels.

mod classic;
pub(crate) mod dispatcher;
pub(crate) mod inbox;
mod namespace;
mod probe;
pub(crate) mod publisher;
pub(crate) mod refusals;
pub(crate) mod send_queues;
pub(crate) mod subscriber;
pub(crate) mod subscribers;
pub(crate) mod table;
pub(crate) mod wire;

pub(crate) use self::namespace::RedisBus;
