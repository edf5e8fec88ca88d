//! The sessions of all namespaces, and the low watermarks of their nodes.

use std::collections::HashMap;
use std::time::Duration;

use sockeye::adapter::SavedSession;
use tokio::time::Instant;

use crate::message::NodeId;
use crate::recovery::{LowWatermark, PutIf, StoredSession};

/// The sessions of all namespaces.
#[derive(Default)]
pub(super) struct SessionTable {
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

impl SessionTable {
    fn find(&self, private_id: &str) -> Option<&Session> {
        self.by_secret.get(private_id).filter(|session| session.expires > Instant::now())
    }

    pub(super) fn get(&self, private_id: &str) -> Option<StoredSession> {
        let Session { saved, node, namespace, revision, .. } = self.find(private_id)?;
        Some(StoredSession {
            saved: saved.clone(),
            node: Some(node.clone()),
            namespace: Some(namespace.clone()),
            revision: revision.to_be_bytes().to_vec(),
        })
    }

    /// Removes a session, if this node has it.
    pub(super) fn remove(&mut self, node: &NodeId, private_id: &str) {
        if self.find(private_id).is_some_and(|session| session.node == *node) {
            self.by_secret.remove(private_id);
        }
    }

    pub(super) fn put_watermark(&mut self, namespace: &str, node: &NodeId, watermark: LowWatermark, keep: Duration) {
        let now = Instant::now();
        self.watermarks.retain(|_, (_, expires)| *expires > now);
        self.watermarks.insert((namespace.to_owned(), node.clone()), (watermark, now + keep));
    }

    pub(super) fn watermark(&self, namespace: &str, node: &NodeId) -> LowWatermark {
        let found = self.watermarks.get(&(namespace.to_owned(), node.clone()));
        found.filter(|(_, expires)| *expires > Instant::now()).map_or(LowWatermark::Unknown, |(at, _)| *at)
    }

    pub(super) fn put(
        &mut self,
        node: &NodeId,
        namespace: &str,
        saved: SavedSession,
        keep: Duration,
        condition: PutIf,
    ) -> bool {
        let owner = self.find(&saved.private_id).map(|session| &session.node);
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

    pub(super) fn claim(&mut self, session: &StoredSession) -> bool {
        let private_id = &session.saved.private_id;
        let is_same = self.find(private_id).is_some_and(|found| found.revision.to_be_bytes() == *session.revision);
        is_same && self.by_secret.remove(private_id).is_some()
    }
}

/// How many sessions are kept.
const MAX_SESSIONS: usize = 65_536;
