//! The Engine.IO packet: a kind and its data.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use bytestring::ByteString;
use thiserror::Error;

use super::base64;
use crate::Message;

/// The revision of Engine.IO that a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Revision {
    /// Revision 3, of Socket.IO 2 clients: the client pings.
    V3,
    /// Revision 4, of Socket.IO 3 and 4 clients: the server pings.
    V4,
}

impl Revision {
    /// The number of the revision, as logs and error contexts name it.
    pub const fn number(self) -> u8 {
        match self {
            Self::V3 => 3,
            Self::V4 => 4,
        }
    }
}

/// How packets move between a client and the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransportKind {
    /// HTTP long-polling, by fetch, XHR or JSONP.
    Polling,
    /// A WebSocket.
    WebSocket,
}

impl TransportKind {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Polling => "polling",
            Self::WebSocket => "websocket",
        }
    }

    /// The transport of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "polling" => Some(Self::Polling),
            "websocket" => Some(Self::WebSocket),
            _ => None,
        }
    }

    /// The transports that a session on this one may change to.
    pub const fn upgrades(self) -> &'static [Self] {
        match self {
            Self::Polling => &[Self::WebSocket],
            Self::WebSocket => &[],
        }
    }
}

impl fmt::Display for TransportKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a packet is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PacketKind {
    /// `0`: the parameters of a new session.
    Open,
    /// `1`: the sender closes the session.
    Close,
    /// `2`: asks for a pong, or (with `probe`) whether a transport works.
    Ping,
    /// `3`: answers a ping.
    Pong,
    /// `4`: carries a message.
    Message,
    /// `5`: the session changes to the transport that this came on.
    Upgrade,
    /// `6`: nothing; ends a poll that waits.
    Noop,
}

impl PacketKind {
    /// Every kind, in the order of its digit.
    pub const ALL: [Self; 7] =
        [Self::Open, Self::Close, Self::Ping, Self::Pong, Self::Message, Self::Upgrade, Self::Noop];

    /// The ASCII digit that begins a text packet of this kind.
    pub const fn digit(self) -> u8 {
        b'0' + self.number()
    }

    /// The kind that an ASCII digit names.
    pub const fn from_digit(digit: u8) -> Option<Self> {
        Self::from_number(digit.wrapping_sub(b'0'))
    }

    /// The number of the kind: the byte that begins a binary packet of revision 3.
    pub const fn number(self) -> u8 {
        match self {
            Self::Open => 0,
            Self::Close => 1,
            Self::Ping => 2,
            Self::Pong => 3,
            Self::Message => 4,
            Self::Upgrade => 5,
            Self::Noop => 6,
        }
    }

    const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Open,
            1 => Self::Close,
            2 => Self::Ping,
            3 => Self::Pong,
            4 => Self::Message,
            5 => Self::Upgrade,
            6 => Self::Noop,
            _ => return None,
        })
    }
}

/// The data of a packet, borrowed from what arrived unless it had to be decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data<'a> {
    /// Text; empty where the packet has none.
    Text(Cow<'a, str>),
    /// Bytes.
    Binary(Cow<'a, [u8]>),
}

impl Data<'_> {
    /// The number of bytes of the data.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(data) => data.len(),
        }
    }

    /// Whether there is no data.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The data as a message: owned, so copied where it was borrowed.
    pub fn into_message(self) -> Message {
        match self {
            Self::Text(text) => Message::Text(ByteString::from(text.into_owned())),
            Self::Binary(data) => Message::Binary(Bytes::from(data.into_owned())),
        }
    }

    /// The same data, borrowing nothing.
    pub fn into_owned(self) -> Data<'static> {
        match self {
            Self::Text(text) => Data::Text(Cow::Owned(text.into_owned())),
            Self::Binary(data) => Data::Binary(Cow::Owned(data.into_owned())),
        }
    }
}

/// One Engine.IO packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// What it is for.
    pub kind: PacketKind,
    /// What it carries.
    pub data: Data<'a>,
}

impl<'a> Packet<'a> {
    /// A packet with text.
    pub const fn text(kind: PacketKind, text: &'a str) -> Self {
        Self { kind, data: Data::Text(Cow::Borrowed(text)) }
    }

    /// A packet with bytes.
    pub const fn binary(kind: PacketKind, data: &'a [u8]) -> Self {
        Self { kind, data: Data::Binary(Cow::Borrowed(data)) }
    }

    /// Reads a text packet: one WebSocket text frame, or one packet of a payload.
    ///
    /// A packet that begins with `b` is a binary one in base64; clients that cannot or will not send binary frames
    /// use it on every transport.
    ///
    /// # Errors
    /// The packet is empty, or its kind is unknown: the session closes with [`ParseError`](crate::CloseReason::ParseError).
    pub fn decode_text(text: &'a str, revision: Revision) -> Result<Self, PacketError> {
        let first = *text.as_bytes().first().ok_or(PacketError::Empty)?;
        let rest = text.get(1..).unwrap_or_default();
        if first == b'b' {
            return Self::decode_base64(rest, revision);
        }
        let kind = PacketKind::from_digit(first).ok_or(PacketError::UnknownKind(first))?;
        Ok(Self::text(kind, rest))
    }

    /// Reads a WebSocket binary frame: in revision 4 all of it is a message, in revision 3 the first byte is the kind.
    ///
    /// # Errors
    /// A revision 3 frame is empty, or its kind is unknown.
    pub fn decode_binary(frame: &'a [u8], revision: Revision) -> Result<Self, PacketError> {
        if revision == Revision::V4 {
            return Ok(Self::binary(PacketKind::Message, frame));
        }
        let (&first, data) = frame.split_first().ok_or(PacketError::Empty)?;
        let kind = PacketKind::from_number(first).ok_or(PacketError::UnknownKind(first))?;
        Ok(Self::binary(kind, data))
    }

    /// The same packet, borrowing nothing.
    pub fn into_owned(self) -> Packet<'static> {
        Packet { kind: self.kind, data: self.data.into_owned() }
    }

    fn decode_base64(rest: &str, revision: Revision) -> Result<Self, PacketError> {
        let (kind, base64) = match revision {
            Revision::V4 => (PacketKind::Message, rest),
            Revision::V3 => {
                let digit = *rest.as_bytes().first().ok_or(PacketError::Empty)?;
                let kind = PacketKind::from_digit(digit).ok_or(PacketError::UnknownKind(digit))?;
                (kind, rest.get(1..).unwrap_or_default())
            }
        };
        Ok(Self { kind, data: Data::Binary(Cow::Owned(base64::decode(base64))) })
    }
}

/// Why a packet or a payload could not be read. Whoever sent it broke the protocol: the session closes with
/// [`ParseError`](crate::CloseReason::ParseError).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PacketError {
    /// A packet, or a payload, of no bytes.
    #[error("empty packet")]
    Empty,
    /// The first byte names no kind of packet.
    #[error("unknown packet kind (byte {0:#04x})")]
    UnknownKind(u8),
    /// The length in front of a packet (revision 3) is no number.
    #[error("invalid packet length")]
    InvalidLength,
    /// A packet is longer than what is left of its payload.
    #[error("packet longer than its payload")]
    Truncated,
    /// Text in a binary payload is not UTF-8.
    #[error("invalid UTF-8 in a packet")]
    InvalidUtf8,
    /// A binary payload that the revision does not have (revision 4), or with an unknown packet marker.
    #[error("invalid binary payload")]
    InvalidBinaryPayload,
    /// A JSONP form with no field `d`, or with several.
    #[error("a JSONP form needs one field `d`")]
    InvalidForm,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_and_kinds_are_one_to_one() {
        for (number, kind) in PacketKind::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(kind.number()), number);
            assert_eq!(PacketKind::from_digit(kind.digit()), Some(kind));
        }
        let known = (0..=255).filter(|&byte| PacketKind::from_digit(byte).is_some()).count();
        assert_eq!(known, PacketKind::ALL.len());
    }

    #[test]
    fn text_packets() {
        assert_eq!(Packet::decode_text("4hello", Revision::V4), Ok(Packet::text(PacketKind::Message, "hello")));
        assert_eq!(Packet::decode_text("2probe", Revision::V4), Ok(Packet::text(PacketKind::Ping, "probe")));
        assert_eq!(Packet::decode_text("3", Revision::V3), Ok(Packet::text(PacketKind::Pong, "")));
        assert_eq!(Packet::decode_text("", Revision::V4), Err(PacketError::Empty));
        assert_eq!(Packet::decode_text("7", Revision::V4), Err(PacketError::UnknownKind(b'7')));
        assert_eq!(Packet::decode_text("\u{e9}4", Revision::V4), Err(PacketError::UnknownKind(0xc3)));
    }

    #[test]
    fn base64_packets_name_their_kind_in_revision_3_only() {
        let message = Packet::binary(PacketKind::Message, b"\x01\x02\x03");
        assert_eq!(Packet::decode_text("bAQID", Revision::V4), Ok(message.clone()));
        assert_eq!(Packet::decode_text("b4AQID", Revision::V3), Ok(message));
        assert_eq!(Packet::decode_text("bAQID", Revision::V3), Err(PacketError::UnknownKind(b'A')));
        assert_eq!(Packet::decode_text("b", Revision::V3), Err(PacketError::Empty));
        assert_eq!(Packet::decode_text("b", Revision::V4), Ok(Packet::binary(PacketKind::Message, b"")));
    }

    #[test]
    fn binary_frames() {
        assert_eq!(Packet::decode_binary(&[4, 9], Revision::V4), Ok(Packet::binary(PacketKind::Message, &[4, 9])));
        assert_eq!(Packet::decode_binary(&[4, 9], Revision::V3), Ok(Packet::binary(PacketKind::Message, &[9])));
        assert_eq!(Packet::decode_binary(&[], Revision::V4), Ok(Packet::binary(PacketKind::Message, &[])));
        assert_eq!(Packet::decode_binary(&[], Revision::V3), Err(PacketError::Empty));
        assert_eq!(Packet::decode_binary(&[7], Revision::V3), Err(PacketError::UnknownKind(7)));
    }
}
