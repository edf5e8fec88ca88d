//! Bytes that are ready to send: encoded once, framed once, shared by every recipient.
//!
//! The common form is WebSocket frames for an Engine.IO 4 client. A long-polling client takes slices of it; what differs
//! for Engine.IO 3 and for permessage-deflate is made when the first recipient needs it, once.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use smallvec::SmallVec;
use sockeye_protocol::engine::{Data, PacketKind, PayloadEncoder, Revision, encode_base64_message};
use sockeye_websocket::{Deflater, OpCode, Role, header_len, write_frame, write_header};

use crate::budget::{Account, Holder};

/// One or more Engine.IO packets, framed. A clone shares them.
#[derive(Clone, Debug)]
pub struct Encoded(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// WebSocket frames for an Engine.IO 4 client, back to back.
    wire: Vec<u8>,
    /// Where the payload of each frame lies in `wire`. A text payload starts with the packet's type.
    parts: SmallVec<[Part; 1]>,
    has_binary: bool,
    /// Whether the sender allows compression.
    compress: bool,
    others: OnceLock<Box<Others>>,
    /// Who is charged for it, once a client has not read it.
    charged: OnceLock<Arc<Account>>,
}

/// The forms that few connections need, each made for the first one that does.
#[derive(Debug, Default)]
struct Others {
    /// For Engine.IO 3: a binary payload starts with its type there.
    revision3: OnceLock<Vec<u8>>,
    /// For clients that read no binary.
    base64_revision3: OnceLock<Vec<u8>>,
    base64_revision4: OnceLock<Vec<u8>>,
    /// With permessage-deflate.
    deflated: OnceLock<Vec<u8>>,
}

#[derive(Clone, Debug)]
struct Part {
    binary: bool,
    payload: Range<usize>,
}

/// The bytes of an [`Encoded`] besides its frames, about, with the allocator's.
const OVERHEAD: usize = 128;

/// How a WebSocket peer wants its frames.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Variant {
    pub(crate) revision: Revision,
    /// It reads no binary.
    pub(crate) base64: bool,
    /// permessage-deflate was negotiated, and this is the size from which it is used.
    pub(crate) deflate: Option<usize>,
}

impl Encoded {
    /// The same message again: what an echo sends.
    pub fn of(data: &Data<'_>) -> Self {
        let mut encoder = Encoder::default();
        match data {
            Data::Text(text) => encoder.text(text.len(), |out| out.extend_from_slice(text.as_bytes())),
            Data::Binary(bytes) => encoder.binary(bytes),
        }
        encoder.finish(true)
    }

    /// A control packet, `ping` for example, with text behind its type.
    pub(crate) fn control(kind: PacketKind, data: &str) -> Self {
        let mut encoder = Encoder::default();
        encoder.packet(kind, data.len(), |out| out.extend_from_slice(data.as_bytes()));
        encoder.finish(false)
    }

    /// An Engine.IO text message.
    pub fn message(text: &str) -> Self {
        Self::control(PacketKind::Message, text)
    }

    /// WebSocket control frames, which no other transport carries.
    pub(crate) fn frames(wire: Vec<u8>) -> Self {
        Encoder { wire, parts: SmallVec::new() }.finish(false)
    }

    /// What counts against the bound of an outbox: the bytes, and what holding them costs. Small packets are mostly that.
    pub fn cost(&self) -> usize {
        self.0.wire.len() + OVERHEAD
    }

    /// Charges it to the first client that does not read it, which holds `held` already; false if that may not. It is charged
    /// once, however many clients it waits for, as its bytes are there once.
    pub(crate) fn charge(&self, account: &Arc<Account>, held: usize) -> bool {
        if self.0.charged.get().is_some() {
            return true;
        }
        if !account.take(Holder::Outboxes, held, self.cost()) {
            return false;
        }
        if self.0.charged.set(account.clone()).is_err() {
            account.give_back(Holder::Outboxes, self.cost());
        }
        true
    }

    /// Whether the sender allows compression.
    pub(crate) fn compress(&self) -> bool {
        self.0.compress
    }

    /// The bytes for a WebSocket peer.
    pub(crate) fn wire(&self, variant: Variant) -> &[u8] {
        let inner = &*self.0;
        let has_binary = inner.has_binary;
        if !has_binary && variant.deflate.is_none() {
            return &inner.wire;
        }
        match (has_binary, variant.base64, variant.revision) {
            (true, true, Revision::V3) => inner.others().base64_revision3.get_or_init(|| inner.in_base64(Revision::V3)),
            (true, true, Revision::V4) => inner.others().base64_revision4.get_or_init(|| inner.in_base64(Revision::V4)),
            (true, false, Revision::V3) => inner.others().revision3.get_or_init(|| inner.for_revision3()),
            _ => match variant.deflate {
                Some(threshold) if inner.compress && inner.parts.iter().any(|part| part.payload.len() >= threshold) => {
                    inner.others().deflated.get_or_init(|| inner.deflate(threshold))
                }
                _ => &inner.wire,
            },
        }
    }

    /// Adds the packets to the payload of a long-polling response.
    pub(crate) fn write_payload(&self, payload: &mut PayloadEncoder) {
        for part in &self.0.parts {
            let bytes = self.0.payload(part);
            if part.binary {
                payload.push_binary_message(bytes);
            } else if let Some((&digit, text)) = bytes.split_first()
                && let (Some(kind), Ok(text)) = (PacketKind::from_digit(digit), std::str::from_utf8(text))
            {
                payload.push_text(kind, text);
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(account) = self.charged.get() {
            account.give_back(Holder::Outboxes, self.wire.len() + OVERHEAD);
        }
    }
}

impl Inner {
    fn payload(&self, part: &Part) -> &[u8] {
        self.wire.get(part.payload.clone()).unwrap_or_default()
    }

    fn for_revision3(&self) -> Vec<u8> {
        let mut wire = Vec::with_capacity(self.wire.len() + self.parts.len() * 8);
        for part in &self.parts {
            let payload = self.payload(part);
            if part.binary {
                write_header(&mut wire, OpCode::Binary, false, payload.len() + 1);
                // In a binary frame the type is a number and not a digit.
                wire.push(PacketKind::Message.number());
            } else {
                write_header(&mut wire, OpCode::Text, false, payload.len());
            }
            wire.extend_from_slice(payload);
        }
        wire
    }

    fn in_base64(&self, revision: Revision) -> Vec<u8> {
        let mut wire = Vec::with_capacity(self.wire.len() * 3 / 2);
        for part in &self.parts {
            let payload = self.payload(part);
            if part.binary {
                write_frame(&mut wire, OpCode::Text, encode_base64_message(payload, revision).as_bytes());
            } else {
                write_frame(&mut wire, OpCode::Text, payload);
            }
        }
        wire
    }

    fn deflate(&self, threshold: usize) -> Vec<u8> {
        let mut deflater = Deflater::new(&super::deflate::shared(), Role::Server);
        let mut wire = Vec::with_capacity(self.wire.len() / 2);
        let mut packed = Vec::new();
        for part in &self.parts {
            let payload = self.payload(part);
            let opcode = if part.binary { OpCode::Binary } else { OpCode::Text };
            packed.clear();
            if payload.len() >= threshold && deflater.compress(payload, &mut packed).is_ok() {
                write_header(&mut wire, opcode, true, packed.len());
                wire.extend_from_slice(&packed);
            } else {
                write_frame(&mut wire, opcode, payload);
            }
        }
        wire
    }

    fn others(&self) -> &Others {
        self.others.get_or_init(Box::default)
    }
}

/// Makes an [`Encoded`] of one or more messages, which go out together.
#[derive(Debug, Default)]
pub struct Encoder {
    wire: Vec<u8>,
    parts: SmallVec<[Part; 1]>,
}

impl Encoder {
    /// Adds a text message of `len` bytes of UTF-8, which `write` appends: exactly so many.
    #[inline]
    pub fn text(&mut self, len: usize, write: impl FnOnce(&mut Vec<u8>)) {
        self.packet(PacketKind::Message, len, write);
    }

    fn packet(&mut self, kind: PacketKind, len: usize, write: impl FnOnce(&mut Vec<u8>)) {
        let len = len + 1;
        self.wire.reserve_exact(header_len(len) + len);
        write_header(&mut self.wire, OpCode::Text, false, len);
        let start = self.wire.len();
        self.wire.push(kind.digit());
        write(&mut self.wire);
        debug_assert_eq!(self.wire.len() - start, len, "the header tells another length");
        self.parts.push(Part { binary: false, payload: start..self.wire.len() });
    }

    /// Adds a binary message.
    pub fn binary(&mut self, payload: &[u8]) {
        self.wire.reserve(header_len(payload.len()) + payload.len());
        write_header(&mut self.wire, OpCode::Binary, false, payload.len());
        let start = self.wire.len();
        self.wire.extend_from_slice(payload);
        self.parts.push(Part { binary: true, payload: start..self.wire.len() });
    }

    /// What can be sent. `compress` says whether it may be compressed.
    pub fn finish(self, compress: bool) -> Encoded {
        let Self { wire, parts } = self;
        let has_binary = parts.iter().any(|part| part.binary);
        Encoded(Arc::new(Inner {
            wire,
            parts,
            has_binary,
            compress,
            others: OnceLock::new(),
            charged: OnceLock::new(),
        }))
    }
}
