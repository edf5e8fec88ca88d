//! What is written of sessions in Redis, as the official adapter writes it, and a little more, which it does not look at.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use redis::{Cmd, cmd};
use sockeye::adapter::{Room, SavedSession};
use sockeye_cluster::NodeId;

use super::floor::Floor;
use crate::codec::session::{self, Session};
use crate::link::Link;
use crate::map;
use crate::wire::{Outgoing, Wire};

/// How a session is written over what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// Whatever it is: the session is new, or was just taken over.
    Anything,
    /// Only what this node has written, or nothing: what was written may be lost.
    OwnOrNothing,
    /// Only what this node has written. Where nothing is, another has taken it.
    Own,
}

/// The key of a session. None for what is no secret of a session: clients say it.
pub(super) fn key(link: &Link, private_id: &str) -> Option<String> {
    let is_secret = (1..=64).contains(&private_id.len())
        && private_id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    is_secret.then(|| format!("{}{private_id}", link.options.stream.session_key_prefix))
}

/// Writes a session.
pub(super) fn write(link: &Link, wire: &Wire, session: SavedSession, keep: Duration, over: Over) -> Option<Outgoing> {
    let key = key(link, &session.private_id)?;
    let text = STANDARD.encode(session::encode(session, &link.node, wire.namespace()));
    let bytes = key.len() + text.len() + 64;
    let millis = millis(keep);
    let command = match over {
        Over::Anything => cmd("SET").arg(key).arg(text).arg("PX").arg(millis).take(),
        Over::Own | Over::OwnOrNothing => {
            let script = if over == Over::Own { WRITE_OWN } else { WRITE_OWN_OR_NOTHING };
            cmd("EVAL").arg(script).arg(1).arg(key).arg(owner(&link.node)).arg(text).arg(millis).take()
        }
    };
    Some(Outgoing { command, bytes })
}

/// Removes what this node has written of a session.
pub(super) fn remove(link: &Link, private_id: &str) -> Option<Outgoing> {
    let key = key(link, private_id)?;
    let bytes = key.len() + 64;
    let command = cmd("EVAL").arg(REMOVE_OWN).arg(1).arg(key).arg(owner(&link.node)).take();
    Some(Outgoing { command, bytes })
}

/// Takes a session, if what is written is still this.
pub(super) fn claim(key: &str, text: &[u8]) -> Cmd {
    cmd("EVAL").arg(CLAIM).arg(1).arg(key).arg(text).take()
}

/// Reads what is written of a session.
pub(super) fn read(text: &[u8]) -> Option<Session> {
    session::decode(&STANDARD.decode(text).ok()?.into()).ok()
}

/// Where it is written from where on the offsets of a node's clients are good: in a Redis Cluster at the owner of the stream, so that
/// it is there before the events that are sent after it.
pub(super) fn floor_key(link: &Link, wire: &Wire, node: &NodeId) -> String {
    let stream = wire.stream();
    let tag = String::from_utf8_lossy(map::tag(stream.as_bytes()));
    // No secret has a colon.
    format!("{}floor:{{{tag}}}:{node}:{}", link.options.stream.session_key_prefix, wire.namespace())
}

pub(super) fn write_floor(link: &Link, wire: &Wire, floor: Floor, keep: Duration) -> Outgoing {
    let (key, text) = (floor_key(link, wire, &link.node), floor.to_text());
    let bytes = key.len() + text.len() + 32;
    Outgoing { command: cmd("SET").arg(key).arg(text).arg("PX").arg(millis(keep)).take(), bytes }
}

/// How what this node writes begins.
fn owner(node: &NodeId) -> String {
    STANDARD.encode(session::beginning(node))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}

/// The rooms of a session.
pub(super) fn rooms(session: &Session) -> &[Room] {
    &session.saved.rooms
}

const WRITE_OWN: &str = "local v=redis.call('GET',KEYS[1]) \
    if v and string.sub(v,1,#ARGV[1])==ARGV[1] then redis.call('SET',KEYS[1],ARGV[2],'PX',ARGV[3]) end";

const WRITE_OWN_OR_NOTHING: &str = "local v=redis.call('GET',KEYS[1]) \
    if not v or string.sub(v,1,#ARGV[1])==ARGV[1] then redis.call('SET',KEYS[1],ARGV[2],'PX',ARGV[3]) end";

const REMOVE_OWN: &str = "local v=redis.call('GET',KEYS[1]) \
    if v and string.sub(v,1,#ARGV[1])==ARGV[1] then redis.call('DEL',KEYS[1]) end";

const CLAIM: &str = "if redis.call('GET',KEYS[1])==ARGV[1] then return redis.call('DEL',KEYS[1]) end return 0";
