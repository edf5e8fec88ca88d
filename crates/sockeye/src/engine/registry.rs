//! The sessions of a server, by id.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashMap};
use parking_lot::RwLock;

use super::conn::Conn;
use super::id::Id;

const SHARDS: usize = 32;

/// Open sessions by id, in shards so that connects and look-ups on several threads do not wait for each other.
#[derive(Debug)]
pub(crate) struct Registry {
    hasher: DefaultHashBuilder,
    shards: [RwLock<HashMap<Id, Arc<Conn>>>; SHARDS],
}

impl Registry {
    pub(crate) fn new() -> Self {
        Self { hasher: DefaultHashBuilder::default(), shards: std::array::from_fn(|_| RwLock::default()) }
    }

    pub(crate) fn insert(&self, conn: Arc<Conn>) {
        self.shard(conn.id()).write().insert(conn.id().clone(), conn);
    }

    pub(crate) fn remove(&self, id: &str) -> Option<Arc<Conn>> {
        self.shard(id).write().remove(id)
    }

    pub(crate) fn find(&self, id: &str) -> Option<Arc<Conn>> {
        self.shard(id).read().get(id).cloned()
    }

    /// All sessions, as they are now.
    pub(crate) fn all(&self) -> Vec<Arc<Conn>> {
        self.shards.iter().flat_map(|shard| shard.read().values().cloned().collect::<Vec<_>>()).collect()
    }

    fn shard(&self, id: &str) -> &RwLock<HashMap<Id, Arc<Conn>>> {
        let hash = self.hasher.hash_one(id);
        // The top bits choose the shard; the table within uses the low ones.
        let at = usize::try_from(hash >> 59).unwrap_or(0);
        self.shards.get(at).unwrap_or(&self.shards[0])
    }
}
