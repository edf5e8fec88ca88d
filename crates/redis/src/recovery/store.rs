//! Keys as a session store: as the official adapter writes sessions, and a little more, which it does not look at.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use redis::cmd;
use sockeye::adapter::{AdapterFuture, SavedSession};
use sockeye_cluster::NodeId;
use sockeye_cluster::codec::session::{self, Session};
use sockeye_cluster::recovery::{LogError, LowWatermark, PutIf, SessionStore, StoredSession};

use super::log::unavailable;
use crate::bus::wire::{Outgoing, Wire};
use crate::connection::map;
use crate::link::Link;

/// The keys of a namespace's sessions.
pub(super) struct KeyStore {
    pub(super) link: Arc<Link>,
    pub(super) wire: Arc<Wire>,
}

impl KeyStore {
    /// The key of a session. None for what is no secret of a session: clients say it.
    fn key(&self, private_id: &str) -> Option<String> {
        let is_secret = (1..=64).contains(&private_id.len())
            && private_id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        is_secret.then(|| format!("{}{private_id}", self.link.options.stream.session_key_prefix))
    }

    /// Where a node's low watermark is written: in a Redis Cluster at the owner of the stream, so that it is there before the events
    /// that are sent after it.
    fn watermark_key(&self, node: &NodeId) -> String {
        let stream = self.wire.stream();
        let tag = String::from_utf8_lossy(map::tag(stream.as_bytes()));
        // No secret has a colon. The word in the name is what older nodes write and read.
        format!("{}floor:{{{tag}}}:{node}:{}", self.link.options.stream.session_key_prefix, self.wire.namespace())
    }
}

impl SessionStore for KeyStore {
    fn put(&self, session: SavedSession, keep: Duration, condition: PutIf) -> bool {
        // What is no secret of ours is not written, and not tried again.
        let Some(key) = self.key(&session.private_id) else { return true };
        let node = &self.link.node;
        let text = STANDARD.encode(session::encode(session, node, self.wire.namespace()));
        let bytes = key.len() + text.len() + 64;
        let millis = millis(keep);
        let command = match condition {
            PutIf::Always => cmd("SET").arg(key).arg(text).arg("PX").arg(millis).take(),
            PutIf::Own | PutIf::OwnOrAbsent => {
                let script = if condition == PutIf::Own { WRITE_OWN } else { WRITE_OWN_OR_NOTHING };
                cmd("EVAL").arg(script).arg(1).arg(key).arg(owner(node)).arg(text).arg(millis).take()
            }
        };
        self.link.send(Outgoing { command, bytes })
    }

    fn remove(&self, private_id: &str) -> bool {
        let Some(key) = self.key(private_id) else { return true };
        let bytes = key.len() + 64;
        let command = cmd("EVAL").arg(REMOVE_OWN).arg(1).arg(key).arg(owner(&self.link.node)).take();
        self.link.send(Outgoing { command, bytes })
    }

    fn get<'a>(&'a self, private_id: &'a str) -> AdapterFuture<'a, Result<Option<StoredSession>, LogError>> {
        Box::pin(async move {
            let Some(key) = self.key(private_id) else { return Ok(None) };
            let text: Option<Vec<u8>> =
                self.link.query(cmd("GET").arg(key)).await.map_err(|error| unavailable(&error))?;
            Ok(text.and_then(|text| {
                let Session { saved, node, namespace } = session::decode(&STANDARD.decode(&text).ok()?.into()).ok()?;
                Some(StoredSession { saved, node, namespace, revision: text })
            }))
        })
    }

    fn claim<'a>(&'a self, session: &'a StoredSession) -> AdapterFuture<'a, Result<bool, LogError>> {
        Box::pin(async move {
            let Some(key) = self.key(&session.saved.private_id) else { return Ok(false) };
            let claim = cmd("EVAL").arg(CLAIM).arg(1).arg(key).arg(&session.revision).take();
            let taken: u64 = self.link.query(&claim).await.map_err(|error| unavailable(&error))?;
            Ok(taken == 1)
        })
    }

    fn put_watermark(&self, watermark: LowWatermark, keep: Duration) -> bool {
        let (key, text) = (self.watermark_key(&self.link.node), watermark.to_text());
        let bytes = key.len() + text.len() + 32;
        let command = match watermark {
            // A Redis without memory refuses to write, but removes. A watermark that is not there is unknown.
            LowWatermark::Unknown => cmd("DEL").arg(key).take(),
            LowWatermark::At(_) => cmd("SET").arg(key).arg(text).arg("PX").arg(millis(keep)).take(),
        };
        self.link.send(Outgoing { command, bytes })
    }

    fn watermark<'a>(&'a self, node: &'a NodeId) -> AdapterFuture<'a, Result<LowWatermark, LogError>> {
        Box::pin(async move {
            let text: Option<String> =
                self.link.query(cmd("GET").arg(self.watermark_key(node))).await.map_err(|error| unavailable(&error))?;
            Ok(LowWatermark::from_text(&text.unwrap_or_default()))
        })
    }

    fn generation(&self) -> u64 {
        self.link.metrics.disconnects.value() + self.link.recovery.evictions.value()
    }
}

/// How what this node writes begins.
fn owner(node: &NodeId) -> String {
    STANDARD.encode(session::beginning(node))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}

const WRITE_OWN: &str = "local v=redis.call('GET',KEYS[1]) \
    if v and string.sub(v,1,#ARGV[1])==ARGV[1] then redis.call('SET',KEYS[1],ARGV[2],'PX',ARGV[3]) end";

const WRITE_OWN_OR_NOTHING: &str = "local v=redis.call('GET',KEYS[1]) \
    if not v or string.sub(v,1,#ARGV[1])==ARGV[1] then redis.call('SET',KEYS[1],ARGV[2],'PX',ARGV[3]) end";

const REMOVE_OWN: &str = "local v=redis.call('GET',KEYS[1]) \
    if v and string.sub(v,1,#ARGV[1])==ARGV[1] then redis.call('DEL',KEYS[1]) end";

const CLAIM: &str = "if redis.call('GET',KEYS[1])==ARGV[1] then return redis.call('DEL',KEYS[1]) end return 0";
