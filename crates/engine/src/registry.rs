//! Tables of what has an id: sessions, and the sockets of a namespace.

use std::fmt;
use std::hash::BuildHasher as _;

use hashbrown::hash_table::Entry;
use hashbrown::{DefaultHashBuilder, HashTable};
use parking_lot::RwLock;

const SHARDS: usize = 32;

/// What has an id of its own.
pub trait Identified: Clone {
    /// The id.
    fn id(&self) -> &str;
}

/// Handles by the ids of what they lead to, in shards so that several threads do not wait for each other.
///
/// The id is not stored again: a place in the table costs nine bytes.
pub struct Registry<T> {
    hasher: DefaultHashBuilder,
    shards: [RwLock<HashTable<T>>; SHARDS],
}

impl<T> Default for Registry<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Registry<T> {
    /// An empty table.
    pub fn new() -> Self {
        Self { hasher: DefaultHashBuilder::default(), shards: std::array::from_fn(|_| RwLock::default()) }
    }
}

impl<T: Identified> Registry<T> {
    /// Enters a handle, in the place of one with the same id.
    pub fn insert(&self, item: T) {
        let hash = self.hasher.hash_one(item.id());
        let mut shard = self.shard(hash).write();
        let replaced = match shard.entry(hash, |each| each.id() == item.id(), |each| self.hasher.hash_one(each.id())) {
            Entry::Occupied(mut entry) => Some(std::mem::replace(entry.get_mut(), item)),
            Entry::Vacant(entry) => {
                entry.insert(item);
                None
            }
        };
        drop(shard);
        // Without the lock: it may be the last handle.
        drop(replaced);
    }

    /// Takes out the handle with this id.
    pub fn remove(&self, id: &str) -> Option<T> {
        self.remove_if(id, |_| true)
    }

    /// Takes out the handle with this id, if it is one that `condition` wants out.
    pub fn remove_if(&self, id: &str, condition: impl FnOnce(&T) -> bool) -> Option<T> {
        let hash = self.hasher.hash_one(id);
        let mut shard = self.shard(hash).write();
        let entry = shard.find_entry(hash, |each| each.id() == id).ok()?;
        condition(entry.get()).then(|| entry.remove().0)
    }

    /// The handle with this id.
    pub fn find(&self, id: &str) -> Option<T> {
        let hash = self.hasher.hash_one(id);
        self.shard(hash).read().find(hash, |each| each.id() == id).cloned()
    }

    /// All handles, as they are now.
    pub fn all(&self) -> Vec<T> {
        let mut all = Vec::with_capacity(self.len());
        for shard in &self.shards {
            all.extend(shard.read().iter().cloned());
        }
        all
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().len()).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.shards.iter().all(|shard| shard.read().is_empty())
    }

    fn shard(&self, hash: u64) -> &RwLock<HashTable<T>> {
        // The top bits choose the shard; the table within uses the low ones, and seven of the top for its tags.
        let at = usize::try_from(hash >> 52).unwrap_or(0) % SHARDS;
        self.shards.get(at).unwrap_or(&self.shards[0])
    }
}

impl<T: Identified> fmt::Debug for Registry<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("len", &self.len()).finish()
    }
}
