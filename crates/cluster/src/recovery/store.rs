//! The session store: where sessions outlive their nodes.

use std::time::Duration;

use sockeye::adapter::{AdapterFuture, SavedSession};

use super::{LogError, LowWatermark};
use crate::NodeId;

/// Keeps the sessions of a namespace for all nodes, and the [low watermark](LowWatermark) of each node.
///
/// What is put goes by a bounded queue and does not wait. Where the log is of the same broker, what is put before an append should
/// be there before the entry is.
pub trait SessionStore: Send + Sync + 'static {
    /// Writes a session, to be kept for so long; false if there is no room in the queue.
    fn put(&self, session: SavedSession, keep: Duration, condition: PutIf) -> bool;

    /// Removes what this node has written of a session; false if there is no room in the queue.
    fn remove(&self, private_id: &str) -> bool;

    /// Reads a session. None also for a text that can be no secret of a session: clients say it.
    fn get<'a>(&'a self, private_id: &'a str) -> AdapterFuture<'a, Result<Option<StoredSession>, LogError>>;

    /// Takes the session out, if it is still as it was read: of several nodes that try, one gets it.
    fn claim<'a>(&'a self, session: &'a StoredSession) -> AdapterFuture<'a, Result<bool, LogError>>;

    /// Writes this node's low watermark, to be kept for so long; false if there is no room in the queue.
    fn put_watermark(&self, watermark: LowWatermark, keep: Duration) -> bool;

    /// Reads a node's low watermark. What is not there is [unknown](LowWatermark::Unknown).
    fn watermark<'a>(&'a self, node: &'a NodeId) -> AdapterFuture<'a, Result<LowWatermark, LogError>>;

    /// Another number each time that what was put may have been lost: a connection has ended, for example.
    fn generation(&self) -> u64;
}

/// When a session is written over what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutIf {
    /// Always: the session is new, or was just taken over.
    Always,
    /// If this node wrote what is there, or nothing is there: what it wrote may have been lost.
    OwnOrAbsent,
    /// If this node wrote what is there. Where nothing is, another node has claimed it.
    Own,
}

/// A session as it was read.
#[derive(Clone, Debug)]
pub struct StoredSession {
    /// The session. Its `log_start` is empty if it was written by a server that does not know it.
    pub saved: SavedSession,
    /// The node that wrote it; none if it was no node of Sockeye.
    pub node: Option<NodeId>,
    /// The namespace, if that is written.
    pub namespace: Option<String>,
    /// What the store needs to [claim](SessionStore::claim) it: its revision, for example.
    pub revision: Vec<u8>,
}
