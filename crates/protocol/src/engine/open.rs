//! The first packet of a session.

use std::time::Duration;

use serde::Serialize;

use super::TransportKind;

/// What the server tells a client of its new session, as the data of an [`Open`](super::PacketKind::Open) packet.
#[derive(Clone, Copy, Debug)]
pub struct OpenPacket<'a> {
    /// The id of the session.
    pub sid: &'a str,
    /// The transports that the session may change to.
    pub upgrades: &'a [TransportKind],
    /// How long after a pong the next ping comes; whole milliseconds count.
    pub ping_interval: Duration,
    /// How long a pong may take; whole milliseconds count.
    pub ping_timeout: Duration,
    /// The most bytes of one WebSocket message or polling body.
    pub max_payload: usize,
}

impl OpenPacket<'_> {
    /// The JSON on the wire: these five keys in this order.
    pub fn to_json(&self) -> String {
        let open = Json {
            sid: self.sid,
            upgrades: self.upgrades,
            ping_interval: self.ping_interval.as_millis(),
            ping_timeout: self.ping_timeout.as_millis(),
            max_payload: self.max_payload,
        };
        // Text and numbers always serialize.
        serde_json::to_string(&open).unwrap_or_default()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Json<'a> {
    sid: &'a str,
    upgrades: &'a [TransportKind],
    ping_interval: u128,
    ping_timeout: u128,
    max_payload: usize,
}

impl Serialize for TransportKind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
