//! A session as `@socket.io/redis-streams-adapter` keeps it: `{sid, pid, rooms, data}` in MessagePack.
//!
//! Sockeye adds who wrote it, in which namespace, and where the log stood when the client had all. The official adapter does not
//! look at it.

use crate::NodeId;
use bytes::Bytes;
use sockeye::Value;
use sockeye::adapter::SavedSession;

use sockeye_protocol::socket::msgpack_primitives::write_text;

use super::parts::{member, object, read_rooms, rooms, text};
use super::{CodecError, msgpack};

/// A session, and what is known of where it comes from.
#[derive(Clone, Debug)]
pub struct Session {
    /// The session. Its `log_start` is empty if a Node.js server has written it.
    pub saved: SavedSession,
    /// The node of Sockeye that has written it; none for a Node.js server.
    pub node: Option<NodeId>,
    /// The namespace; none for a Node.js server.
    pub namespace: Option<String>,
}

/// Writes a session of the node `me`.
pub fn encode(session: SavedSession, me: &NodeId, namespace: &str) -> Vec<u8> {
    let SavedSession { id, private_id, rooms: joined, data, log_start } = session;
    // The node comes first: by what it begins with, a node recognizes what it has written.
    msgpack::to_vec(&object([
        ("node", padded(me).into()),
        ("sid", id.into()),
        ("pid", private_id.into()),
        ("rooms", rooms(&joined)),
        ("data", serde_json::Value::Object(data).into()),
        ("nsp", namespace.into()),
        ("start", log_start.into()),
    ]))
}

/// How all begins that [`encode`] writes for this node: a multiple of three bytes, so that it can be told in base64, too.
pub fn beginning(me: &NodeId) -> Vec<u8> {
    let mut text = vec![0x87];
    write_text(&mut text, "node");
    write_text(&mut text, &padded(me));
    text
}

/// The name with as many spaces as it takes.
fn padded(me: &NodeId) -> String {
    let head = |len: usize| 1 + 5 + if len < 32 { 1 } else { 2 } + len;
    let mut name = me.to_string();
    while !head(name.len()).is_multiple_of(3) {
        name.push(' ');
    }
    name
}

/// Reads a session.
///
/// # Errors
///
/// It is none.
pub fn decode(data: &Bytes) -> Result<Session, CodecError> {
    let value = msgpack::read(data)?;
    let optional = |name: &str| value.get(name).and_then(Value::as_str);
    let data = match member(&value, "data").ok().map(Value::to_json) {
        Some(serde_json::Value::Object(data)) => data,
        _ => serde_json::Map::new(),
    };
    Ok(Session {
        saved: SavedSession {
            id: text(&value, "sid")?,
            private_id: text(&value, "pid")?,
            rooms: read_rooms(&value, "rooms")?,
            data,
            log_start: optional("start").unwrap_or_default().to_owned(),
        },
        node: optional("node").map(|name| NodeId::from(name.trim_end())),
        namespace: optional("nsp").map(str::to_owned),
    })
}
