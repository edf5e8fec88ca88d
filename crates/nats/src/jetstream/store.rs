//! The sessions, in a bucket of JetStream's key-value store.
//!
//! A session has a key for each node that has owned it, `SECRET.TERM`, and the highest term counts. Its owner writes its own term without
//! asking, in the same queue as the events that come after it. Who claims a session makes the key of the next term, which only one
//! can: what the owner before it may still write is not looked at any more. A value that is empty means that there is no session.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use sockeye::adapter::{AdapterFuture, SavedSession};
use sockeye_cluster::NodeId;
use sockeye_cluster::codec::session;
use sockeye_cluster::recovery::{LogError, LowWatermark, PutIf, SessionStore, StoredSession};
use tokio::time::Instant;

use super::Kept;
use super::stream::{JetStream, name};
use crate::link::{Link, Outgoing};

/// The sessions of one namespace.
pub(crate) struct NatsStore {
    link: Arc<Link>,
    namespace: String,
    /// What the keys of the bucket begin with.
    subject: String,
    /// The terms of sessions that this node has claimed, and when they were needed last; all others are of the first.
    terms: Mutex<HashMap<String, (u64, Instant)>>,
}

impl NatsStore {
    pub(crate) fn new(link: Arc<Link>, namespace: &str) -> Self {
        let subject = format!("$KV.{}", name(&link.options.prefix));
        Self { link, namespace: namespace.to_owned(), subject, terms: Mutex::default() }
    }

    async fn jetstream(&self) -> JetStream {
        JetStream::new(self.link.connected().await, &self.link.options)
    }

    fn write(&self, key: &str, value: Vec<u8>) -> bool {
        let subject = format!("{}.{key}", self.subject).into();
        self.link.send(Outgoing::kept(Kept::Sessions, subject, value.into())).is_ok()
    }

    fn term(&self, private_id: &str) -> u64 {
        let mut terms = self.terms.lock();
        terms.get_mut(private_id).map_or(0, |(term, used)| {
            *used = Instant::now();
            *term
        })
    }

    fn watermark_key(&self, node: &str) -> String {
        let namespace: String = self.namespace.bytes().map(|byte| format!("{byte:02x}")).collect();
        format!("watermark-{node}.{namespace}")
    }

    async fn get(&self, private_id: &str) -> Result<Option<StoredSession>, LogError> {
        if !is_secret(private_id) {
            return Ok(None);
        }
        let jetstream = self.jetstream().await;
        let mut found = jetstream.value(&format!("{private_id}.*")).await?;
        let mut term = 0;
        while let Some((subject, _)) = &found {
            term = subject.rsplit('.').next().and_then(|term| term.parse().ok()).ok_or(LogError::Unavailable)?;
            // What was written last need not have the highest term.
            match jetstream.value(&format!("{private_id}.{}", term + 1)).await? {
                Some(newer) => found = Some(newer),
                None => break,
            }
        }
        let Some((_, value)) = found.filter(|(_, value)| !value.is_empty()) else { return Ok(None) };
        let Ok(session) = session::decode(&value) else { return Ok(None) };
        let session::Session { saved, node, namespace } = session;
        Ok(Some(StoredSession { saved, node, namespace, revision: u64::to_be_bytes(term).to_vec() }))
    }

    async fn claim(&self, session: &StoredSession) -> Result<bool, LogError> {
        let term = session.revision.as_slice().try_into().map_or(0, u64::from_be_bytes) + 1;
        let private_id = &session.saved.private_id;
        let is_claimed = self.jetstream().await.create_key(&format!("{private_id}.{term}")).await?;
        if is_claimed {
            let now = Instant::now();
            let mut terms = self.terms.lock();
            // Live sessions are written again and again.
            let keep = self.link.options.jetstream.as_ref().map_or(Duration::ZERO, |options| options.max_age);
            terms.retain(|_, (_, used)| now.duration_since(*used) < keep);
            terms.insert(private_id.clone(), (term, now));
        }
        Ok(is_claimed)
    }
}

impl SessionStore for NatsStore {
    fn put(&self, session: SavedSession, _keep: Duration, _condition: PutIf) -> bool {
        if !is_secret(&session.private_id) {
            // It is not tried again.
            return true;
        }
        let key = format!("{}.{}", session.private_id, self.term(&session.private_id));
        self.write(&key, session::encode(session, &self.link.node, &self.namespace))
    }

    fn remove(&self, private_id: &str) -> bool {
        let term = self.term(private_id);
        self.terms.lock().remove(private_id);
        is_secret(private_id) && self.write(&format!("{private_id}.{term}"), Vec::new())
    }

    fn get<'a>(&'a self, private_id: &'a str) -> AdapterFuture<'a, Result<Option<StoredSession>, LogError>> {
        Box::pin(self.get(private_id))
    }

    fn claim<'a>(&'a self, session: &'a StoredSession) -> AdapterFuture<'a, Result<bool, LogError>> {
        Box::pin(self.claim(session))
    }

    fn put_watermark(&self, watermark: LowWatermark, _keep: Duration) -> bool {
        self.write(&self.watermark_key(&self.link.node), watermark.to_text().into_bytes())
    }

    fn watermark<'a>(&'a self, node: &'a NodeId) -> AdapterFuture<'a, Result<LowWatermark, LogError>> {
        Box::pin(async move {
            let key = self.watermark_key(node);
            let value: Option<(_, Bytes)> = self.jetstream().await.value(&key).await?;
            let text = value.map(|(_, value)| String::from_utf8_lossy(&value).into_owned());
            Ok(LowWatermark::from_text(&text.unwrap_or_default()))
        })
    }

    fn generation(&self) -> u64 {
        self.link.metrics.disconnects.value()
    }
}

/// Whether it can be the secret of a session: clients say it.
fn is_secret(private_id: &str) -> bool {
    (1..=64).contains(&private_id.len())
        && private_id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}
