//! A polling body, written packet by packet.

use super::decode::SEPARATOR;
use super::frame::{push_binary_header, push_text_header, split_text};
use crate::engine::{PacketKind, Revision, encode_base64_message};

/// Collects the packets of one poll response.
///
/// The caller bounds it: [`len`](Self::len) is what has been collected so far.
#[derive(Clone, Debug)]
pub struct PayloadEncoder {
    revision: Revision,
    supports_binary: bool,
    /// Whether `body` is in the binary framing of revision 3.
    binary: bool,
    body: Vec<u8>,
}

/// A body that is ready to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayloadBody {
    /// The bytes. UTF-8 unless [`binary`](Self::binary).
    pub bytes: Vec<u8>,
    /// Whether the content type is `application/octet-stream`, else `text/plain; charset=UTF-8`.
    pub binary: bool,
}

impl PayloadEncoder {
    /// An empty payload. `supports_binary` where the client reads binary bodies: revision 3 without `b64` and without
    /// JSONP; revision 4 has none.
    pub const fn new(revision: Revision, supports_binary: bool) -> Self {
        Self { revision, supports_binary, binary: false, body: Vec::new() }
    }

    /// Adds a packet with text.
    pub fn push_text(&mut self, kind: PacketKind, text: &str) {
        match self.revision {
            Revision::V4 => self.separate(),
            Revision::V3 if self.binary => push_binary_header(&mut self.body, true, 1 + text.len()),
            Revision::V3 => push_text_header(&mut self.body, 1 + text.encode_utf16().count()),
        }
        self.body.push(kind.digit());
        self.body.extend_from_slice(text.as_bytes());
    }

    /// Adds a binary message.
    pub fn push_binary_message(&mut self, data: &[u8]) {
        if self.revision == Revision::V3 && self.supports_binary {
            self.change_to_binary();
            push_binary_header(&mut self.body, false, 1 + data.len());
            self.body.push(PacketKind::Message.number());
            self.body.extend_from_slice(data);
            return;
        }
        let packet = encode_base64_message(data, self.revision);
        match self.revision {
            Revision::V4 => self.separate(),
            Revision::V3 => push_text_header(&mut self.body, packet.len()),
        }
        self.body.extend_from_slice(packet.as_bytes());
    }

    /// The number of bytes so far.
    pub const fn len(&self) -> usize {
        self.body.len()
    }

    /// Whether no packet was added.
    pub const fn is_empty(&self) -> bool {
        self.body.is_empty()
    }

    /// The body.
    pub fn finish(self) -> PayloadBody {
        PayloadBody { bytes: self.body, binary: self.binary }
    }

    fn separate(&mut self) {
        if !self.body.is_empty() {
            self.body.push(SEPARATOR);
        }
    }

    /// One binary packet puts the whole body in the binary framing: the packets so far are framed anew.
    fn change_to_binary(&mut self) {
        if self.binary {
            return;
        }
        self.binary = true;
        let text = std::mem::take(&mut self.body);
        let mut rest = text.as_slice();
        while let Ok((packet, after)) = split_text(rest) {
            push_binary_header(&mut self.body, true, packet.len());
            self.body.extend_from_slice(packet);
            rest = after;
        }
    }
}
