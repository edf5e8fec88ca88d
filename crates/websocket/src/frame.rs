//! Frame headers (RFC 6455, 5.2): the rules that concern one frame alone.

use crate::error::Error;

/// Which end of the connection this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Sends frames unmasked and wants the peer's masked.
    Server,
    /// Sends frames masked and wants the peer's unmasked.
    Client,
}

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OpCode {
    /// A fragment after the first.
    Continuation,
    /// UTF-8 text, or its first fragment.
    Text,
    /// Bytes, or their first fragment.
    Binary,
    /// The end of the connection.
    Close,
    /// A question whether the peer is alive.
    Ping,
    /// The answer to a ping.
    Pong,
}

impl OpCode {
    /// Whether this is a control frame, which may come between the fragments of a message.
    #[must_use]
    pub fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }

    /// The four bits that stand for it on the wire.
    pub(crate) fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xA,
        }
    }

    fn parse(bits: u8) -> Result<Self, Error> {
        match bits {
            0x0 => Ok(Self::Continuation),
            0x1 => Ok(Self::Text),
            0x2 => Ok(Self::Binary),
            0x8 => Ok(Self::Close),
            0x9 => Ok(Self::Ping),
            0xA => Ok(Self::Pong),
            bits => Err(Error::ReservedOpCode(bits)),
        }
    }
}

/// A frame header as it came from the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) fin: bool,
    /// RSV1, which marks the first frame of a compressed message.
    pub(crate) compressed: bool,
    pub(crate) opcode: OpCode,
    pub(crate) key: Option<[u8; 4]>,
    /// Length of the payload; at most `i64::MAX`.
    pub(crate) len: u64,
}

impl Header {
    /// Reads the header at the start of `bytes` and says how long it is; `Ok(None)` if its end is not there yet.
    pub(crate) fn parse(bytes: &[u8], role: Role) -> Result<Option<(Self, usize)>, Error> {
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        if first & (RSV2 | RSV3) != 0 {
            return Err(Error::ReservedBits);
        }
        let opcode = OpCode::parse(first & OPCODE)?;
        let fin = first & FIN != 0;
        let masked = second & MASKED != 0;
        let short = second & LENGTH;
        if opcode.is_control() {
            if !fin {
                return Err(Error::ControlFragmented);
            }
            if short > MAX_CONTROL {
                return Err(Error::ControlTooLong);
            }
        }
        match (role, masked) {
            (Role::Server, false) => return Err(Error::MaskMissing),
            (Role::Client, true) => return Err(Error::MaskForbidden),
            _ => {}
        }
        let Some((len, rest)) = parse_len(short, rest)? else { return Ok(None) };
        let (key, rest) = if masked {
            let Some((key, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
            (Some(*key), rest)
        } else {
            (None, rest)
        };
        let header = Self { fin, compressed: first & RSV1 != 0, opcode, key, len };
        Ok(Some((header, bytes.len().saturating_sub(rest.len()))))
    }
}

/// Reads the length, `short` being the seven bits of the second byte, and gives back the bytes after it.
fn parse_len(short: u8, rest: &[u8]) -> Result<Option<(u64, &[u8])>, Error> {
    let (len, least, rest) = match short {
        SHORT_16 => {
            let Some((len, rest)) = rest.split_first_chunk() else { return Ok(None) };
            (u64::from(u16::from_be_bytes(*len)), u64::from(SHORT_16), rest)
        }
        SHORT_64 => {
            let Some((len, rest)) = rest.split_first_chunk() else { return Ok(None) };
            (u64::from_be_bytes(*len), u64::from(u16::MAX) + 1, rest)
        }
        short => (u64::from(short), 0, rest),
    };
    if len < least {
        return Err(Error::NonMinimalLength);
    }
    if len > i64::MAX as u64 {
        return Err(Error::LengthOutOfRange);
    }
    Ok(Some((len, rest)))
}

pub(crate) const FIN: u8 = 0x80;
pub(crate) const RSV1: u8 = 0x40;
const RSV2: u8 = 0x20;
const RSV3: u8 = 0x10;
const OPCODE: u8 = 0x0F;
pub(crate) const MASKED: u8 = 0x80;
const LENGTH: u8 = 0x7F;
/// The longest payload of a control frame, and of any frame whose length fits the second byte.
pub(crate) const MAX_CONTROL: u8 = 125;
/// The length follows in two bytes.
pub(crate) const SHORT_16: u8 = 126;
/// The length follows in eight bytes.
pub(crate) const SHORT_64: u8 = 127;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_each_length_form() {
        let header = |opcode, len| Header { fin: true, compressed: false, opcode, key: None, len };
        let parse = |bytes: &[u8]| Header::parse(bytes, Role::Client);
        assert_eq!(parse(b"\x81\x05hello"), Ok(Some((header(OpCode::Text, 5), 2))));
        assert_eq!(parse(b"\x82\x7e\x00\x7e"), Ok(Some((header(OpCode::Binary, 126), 4))));
        assert_eq!(parse(b"\x82\x7f\0\0\0\0\0\x01\0\0"), Ok(Some((header(OpCode::Binary, 65_536), 10))));
    }

    #[test]
    fn waits_for_the_rest_of_a_cut_header() {
        let whole = b"\x82\xff\0\0\0\0\0\x01\0\0abcd";
        for cut in 0..whole.len() {
            assert_eq!(Header::parse(&whole[..cut], Role::Server), Ok(None), "{cut} bytes");
        }
        let header = Header { fin: true, compressed: false, opcode: OpCode::Binary, key: Some(*b"abcd"), len: 65_536 };
        assert_eq!(Header::parse(whole, Role::Server), Ok(Some((header, 14))));
    }

    #[test]
    fn refuses_broken_headers() {
        for (bytes, error) in [
            (&b"\xa1\0"[..], Error::ReservedBits),
            (b"\x91\0", Error::ReservedBits),
            (b"\x83\0", Error::ReservedOpCode(3)),
            (b"\x87\0", Error::ReservedOpCode(7)),
            (b"\x8b\0", Error::ReservedOpCode(11)),
            (b"\x8f\0", Error::ReservedOpCode(15)),
            (b"\x09\0", Error::ControlFragmented),
            (b"\x89\x7e\0\x7e", Error::ControlTooLong),
            (b"\x88\x7f", Error::ControlTooLong),
            (b"\x81\x80", Error::MaskForbidden),
            (b"\x81\x7e\0\x7d", Error::NonMinimalLength),
            (b"\x81\x7f\0\0\0\0\0\0\xff\xff", Error::NonMinimalLength),
            (b"\x81\x7f\x80\0\0\0\0\0\0\0", Error::LengthOutOfRange),
        ] {
            assert_eq!(Header::parse(bytes, Role::Client), Err(error), "{bytes:02x?}");
        }
        assert_eq!(Header::parse(b"\x81\x05", Role::Server), Err(Error::MaskMissing));
    }
}
