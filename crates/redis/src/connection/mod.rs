//! Connections to Redis: where its servers are, which of them owns what, and how commands go there and answers come back.

pub(crate) mod commands;
mod connect;
mod evictions;
mod inspect;
pub(crate) mod map;
mod query;
pub(crate) mod resp;
mod role;
pub(crate) mod servers;
pub(crate) mod topology;
pub(crate) mod watcher;

pub(crate) use self::connect::{Backoff, Connection, Endpoint, RETRY, connect};
pub(crate) use self::evictions::Evictions;
pub(crate) use self::role::Role;
