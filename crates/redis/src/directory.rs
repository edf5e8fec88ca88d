//! Where the nodes of a cluster leave their addresses for one another: a key for each, that expires.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, FromRedisValue, cmd};
use sockeye::peers::{Directory, DirectoryError, DirectoryFuture, NodeTag};

use crate::link::Link;

/// The addresses of nodes that forward requests to one another, in the Redis of an adapter: see
/// [`Server::join_peers`](sockeye::Server::join_peers). [`RedisAdapter::directory`](crate::RedisAdapter::directory) makes it.
///
/// The keys begin as the channels do, so that clusters with different prefixes are apart.
#[derive(Clone)]
pub struct RedisDirectory(pub(crate) Arc<Link>);

impl fmt::Debug for RedisDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisDirectory").finish_non_exhaustive()
    }
}

impl RedisDirectory {
    fn key(&self, node: NodeTag) -> String {
        format!("{}:node:{node}", self.0.options.channel_prefix)
    }

    /// Asks Redis; while there is no connection it waits for one.
    fn ask<T: FromRedisValue>(&self, command: Cmd) -> DirectoryFuture<'_, T> {
        Box::pin(async move {
            self.0.wait_for_connection(&command).await;
            self.0.query(&command).await.map_err(|error| DirectoryError(error.to_string()))
        })
    }
}

impl Directory for RedisDirectory {
    fn announce<'a>(&'a self, node: NodeTag, address: &'a str, time_to_live: Duration) -> DirectoryFuture<'a, ()> {
        let millis = u64::try_from(time_to_live.as_millis()).unwrap_or(u64::MAX).max(1);
        let mut set = cmd("SET");
        set.arg(self.key(node)).arg(address).arg("PX").arg(millis);
        self.ask(set)
    }

    fn find(&self, node: NodeTag) -> DirectoryFuture<'_, Option<String>> {
        let mut get = cmd("GET");
        get.arg(self.key(node));
        self.ask(get)
    }

    fn withdraw(&self, node: NodeTag) -> DirectoryFuture<'_, ()> {
        let mut delete = cmd("DEL");
        delete.arg(self.key(node));
        self.ask(delete)
    }
}
