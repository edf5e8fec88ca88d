//! Sessions that are kept in memory: a session store.

use std::collections::HashMap;
use std::time::Duration;

use sockeye::adapter::{AdapterFuture, SavedSession};
use tokio::time::Instant;

use super::hub::MemoryHub;
use crate::message::NodeId;
use crate::recovery::{LogError, LowWatermark, PutIf, SessionStore, StoredSession};

/// The session store of a namespace in a [`MemoryHub`], for one node. For tests.
#[derive(Clone, Debug)]
pub struct MemorySessions {
    hub: MemoryHub,
    node: NodeId,
    namespace: String,
}

/// The sessions of all namespaces.
#[derive(Default)]
pub(super) struct Sessions {
    by_secret: HashMap<String, Session>,
    watermarks: HashMap<(String, NodeId), (LowWatermark, Instant)>,
    /// Grows with each session that is written.
    revision: u64,
}

struct Session {
    saved: SavedSession,
    node: NodeId,
    namespace: String,
    revision: u64,
    expires: Instant,
}

impl Sessions {
    fn get(&self, private_id: &str) -> Option<&Session> {
        self.by_secret.get(private_id).filter(|session| session.expires > Instant::now())
    }

    fn put(&mut self, node: &NodeId, namespace: &str, saved: SavedSession, keep: Duration, condition: PutIf) -> bool {
        let owner = self.get(&saved.private_id).map(|session| &session.node);
        let is_put = match condition {
            PutIf::Always => true,
            PutIf::OwnOrAbsent => owner.is_none_or(|owner| owner == node),
            PutIf::Own => owner == Some(node),
        };
        if !is_put {
            // Another node has it now: there was room.
            return true;
        }
        let now = Instant::now();
        if self.by_secret.len() >= MAX_SESSIONS {
            self.by_secret.retain(|_, session| session.expires > now);
        }
        if self.by_secret.len() >= MAX_SESSIONS {
            return false;
        }
        self.revision += 1;
        let session = Session {
            node: node.clone(),
            namespace: namespace.to_owned(),
            revision: self.revision,
            expires: now + keep,
            saved,
        };
        self.by_secret.insert(session.saved.private_id.clone(), session);
        true
    }

    fn claim(&mut self, session: &StoredSession) -> bool {
        let private_id = &session.saved.private_id;
        let is_same = self.get(private_id).is_some_and(|found| found.revision.to_be_bytes() == *session.revision);
        is_same && self.by_secret.remove(private_id).is_some()
    }
}

impl MemorySessions {
    pub(super) fn new(hub: MemoryHub, node: NodeId, namespace: String) -> Self {
        Self { hub, node, namespace }
    }

    /// Reads or changes the sessions, if the hub is reached.
    fn ask<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Sessions) -> T,
    ) -> AdapterFuture<'static, Result<T, LogError>> {
        let mut state = self.hub.state();
        let is_reached = !state.faults.is_cut(&self.node) && !state.faults.refuses_to_keep();
        let result = if is_reached { Ok(act(&mut state.sessions)) } else { Err(LogError::Unavailable) };
        Box::pin(std::future::ready(result))
    }

    /// Writes something. A node that is cut off is not told.
    fn write(&self, act: impl FnOnce(&mut Sessions) -> bool) -> bool {
        let mut state = self.hub.state();
        !state.faults.refuses_to_keep() && (state.faults.is_cut(&self.node) || act(&mut state.sessions))
    }
}

impl SessionStore for MemorySessions {
    fn put(&self, session: SavedSession, keep: Duration, condition: PutIf) -> bool {
        self.write(|sessions| sessions.put(&self.node, &self.namespace, session, keep, condition))
    }

    fn remove(&self, private_id: &str) -> bool {
        self.write(|sessions| {
            if sessions.get(private_id).is_some_and(|session| session.node == self.node) {
                sessions.by_secret.remove(private_id);
            }
            true
        })
    }

    fn get<'a>(&'a self, private_id: &'a str) -> AdapterFuture<'a, Result<Option<StoredSession>, LogError>> {
        self.ask(|sessions| {
            sessions.get(private_id).map(|session| StoredSession {
                saved: session.saved.clone(),
                node: Some(session.node.clone()),
                namespace: Some(session.namespace.clone()),
                revision: session.revision.to_be_bytes().to_vec(),
            })
        })
    }

    fn claim<'a>(&'a self, session: &'a StoredSession) -> AdapterFuture<'a, Result<bool, LogError>> {
        self.ask(|sessions| sessions.claim(session))
    }

    fn put_watermark(&self, watermark: LowWatermark, keep: Duration) -> bool {
        self.write(|sessions| {
            let now = Instant::now();
            sessions.watermarks.retain(|_, (_, expires)| *expires > now);
            sessions.watermarks.insert((self.namespace.clone(), self.node.clone()), (watermark, now + keep));
            true
        })
    }

    fn watermark<'a>(&'a self, node: &'a NodeId) -> AdapterFuture<'a, Result<LowWatermark, LogError>> {
        self.ask(|sessions| {
            let found = sessions.watermarks.get(&(self.namespace.clone(), node.clone()));
            found.filter(|(_, expires)| *expires > Instant::now()).map_or(LowWatermark::Unknown, |(at, _)| *at)
        })
    }

    fn generation(&self) -> u64 {
        self.hub.state().faults.healed()
    }
}

/// How many sessions are kept.
const MAX_SESSIONS: usize = 65_536;
