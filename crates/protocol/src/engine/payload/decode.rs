//! A polling body, read packet by packet.

use std::borrow::Cow;
use std::iter::FusedIterator;
use std::str;

use memchr::memchr;

use super::frame::{split_binary, split_text};
use crate::engine::{Packet, PacketError, Revision};

/// Reads a polling body; `binary` where its content type is `application/octet-stream`.
///
/// Invalid UTF-8 in a text body is read as U+FFFD. The body is not checked up front: the packets before an error come
/// out, then the error, then nothing.
///
/// ```
/// # use sockeye_protocol::engine::{Packet, PacketError, PacketKind, Revision, decode_payload};
/// let mut payload = decode_payload(b"4hello\x1e2\x1e!", false, Revision::V4);
/// assert_eq!(payload.next(), Some(Ok(Packet::text(PacketKind::Message, "hello"))));
/// assert_eq!(payload.next(), Some(Ok(Packet::text(PacketKind::Ping, ""))));
/// assert_eq!(payload.next(), Some(Err(PacketError::UnknownKind(b'!'))));
/// assert_eq!(payload.next(), None);
/// ```
pub fn decode_payload(body: &[u8], binary: bool, revision: Revision) -> Payload<'_> {
    let format = match (revision, binary) {
        (Revision::V4, false) => Format::Separated,
        (Revision::V4, true) => Format::Refused,
        (Revision::V3, false) => Format::Counted,
        (Revision::V3, true) => Format::Binary,
    };
    // A binary body of no bytes holds no packet; a text body of none is an error.
    let rest = if body.is_empty() && format == Format::Binary { None } else { Some(body) };
    Payload { rest, format }
}

/// The packets of a polling body, up to the first error. Made by [`decode_payload`].
#[derive(Clone, Debug)]
pub struct Payload<'a> {
    /// What is not read yet; none after the last packet or an error.
    rest: Option<&'a [u8]>,
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Separated,
    Counted,
    Binary,
    Refused,
}

impl<'a> Payload<'a> {
    fn next_separated(&mut self, body: &'a [u8]) -> Result<Packet<'a>, PacketError> {
        let packet = match memchr(SEPARATOR, body).and_then(|at| body.split_at_checked(at)) {
            Some((packet, rest)) => {
                self.rest = rest.get(1..);
                packet
            }
            None => body,
        };
        decode_lossy(packet, Revision::V4)
    }

    fn next_counted(&mut self, mut body: &'a [u8]) -> Option<Result<Packet<'a>, PacketError>> {
        if body.is_empty() {
            return Some(Err(PacketError::Empty));
        }
        loop {
            let (packet, rest) = match split_text(body) {
                Ok(split) => split,
                Err(error) => return Some(Err(error)),
            };
            if !packet.is_empty() {
                self.rest = (!rest.is_empty()).then_some(rest);
                return Some(decode_lossy(packet, Revision::V3));
            }
            // `0:` stands for no packet.
            if rest.is_empty() {
                return None;
            }
            body = rest;
        }
    }

    fn next_binary(&mut self, body: &'a [u8]) -> Result<Packet<'a>, PacketError> {
        let (is_text, packet, rest) = split_binary(body)?;
        self.rest = (!rest.is_empty()).then_some(rest);
        if is_text {
            let text = str::from_utf8(packet).map_err(|_| PacketError::InvalidUtf8)?;
            Packet::decode_text(text, Revision::V3)
        } else {
            Packet::decode_binary(packet, Revision::V3)
        }
    }
}

impl<'a> Iterator for Payload<'a> {
    type Item = Result<Packet<'a>, PacketError>;

    fn next(&mut self) -> Option<Self::Item> {
        let body = self.rest.take()?;
        let item = match self.format {
            Format::Separated => self.next_separated(body),
            Format::Counted => self.next_counted(body)?,
            Format::Binary => self.next_binary(body),
            Format::Refused => Err(PacketError::InvalidBinaryPayload),
        };
        if item.is_err() {
            self.rest = None;
        }
        Some(item)
    }
}

impl FusedIterator for Payload<'_> {}

fn decode_lossy(packet: &[u8], revision: Revision) -> Result<Packet<'_>, PacketError> {
    match String::from_utf8_lossy(packet) {
        Cow::Borrowed(text) => Packet::decode_text(text, revision),
        Cow::Owned(text) => Packet::decode_text(&text, revision).map(Packet::into_owned),
    }
}

/// Separates the packets of a payload of revision 4.
pub(super) const SEPARATOR: u8 = 0x1e;
