//! What a decoder keeps while a frame or a message is incomplete.

use crate::{
    encode::MAX_HEADER,
    error::Error,
    frame::{Header, OpCode, Role},
    input::Input,
    mask::apply_mask,
};

/// The incomplete things of one connection. It exists only while there is one, or while an event borrows from it.
#[derive(Debug, Default)]
pub(crate) struct Partial {
    /// The first bytes of a cut header.
    head: [u8; MAX_HEADER],
    head_len: usize,
    /// The frame whose payload is being received.
    pub(crate) frame: Option<Frame>,
    /// The payload of a control frame, so far; at most 125 bytes.
    pub(crate) control: Vec<u8>,
    /// The message whose fragments are being received.
    pub(crate) message: Option<Message>,
    /// What the last event was made of, to be freed before the next.
    spent: Option<Spent>,
}

/// What an event borrows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spent {
    Control,
    Message,
}

/// A frame whose header has been read and admitted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    pub(crate) fin: bool,
    pub(crate) opcode: OpCode,
    key: Option<[u8; 4]>,
    len: usize,
    received: usize,
}

/// A message, joined from its fragments.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) opcode: OpCode,
    pub(crate) compressed: bool,
    /// How many frames it has so far.
    pub(crate) fragments: usize,
    /// Its bytes so far, unmasked and, if it is compressed, not yet inflated.
    pub(crate) bytes: Vec<u8>,
    /// How many of `bytes` are known to be UTF-8.
    checked: usize,
}

impl Partial {
    /// Forgets what the last event was made of; says whether nothing is left.
    pub(crate) fn release(&mut self) -> bool {
        match self.spent.take() {
            Some(Spent::Control) => self.control = Vec::new(),
            Some(Spent::Message) => self.message = None,
            None => {}
        }
        self.head_len == 0 && self.frame.is_none() && self.message.is_none()
    }

    /// Notes what the event about to be given out borrows from.
    pub(crate) fn spend(&mut self, spent: Spent) {
        self.spent = Some(spent);
    }

    /// The heap memory held, in bytes.
    pub(crate) fn held(&self) -> usize {
        let message = self.message.as_ref().map_or(0, |message| message.bytes.capacity());
        size_of::<Self>() + self.control.capacity() + message
    }

    pub(crate) fn has_cut_header(&self) -> bool {
        self.head_len > 0
    }

    /// Completes a cut header, or keeps the first bytes of one, as far as `input` reaches.
    pub(crate) fn header(&mut self, input: &mut Input<'_>, role: Role) -> Result<Option<Header>, Error> {
        while let Some(slot) = self.head.get_mut(self.head_len) {
            let Some(byte) = input.next() else { return Ok(None) };
            *slot = byte;
            self.head_len += 1;
            if let Some((header, _)) = Header::parse(self.head.get(..self.head_len).unwrap_or_default(), role)? {
                self.head_len = 0;
                return Ok(Some(header));
            }
        }
        // Not reached: a header ends within MAX_HEADER bytes.
        Err(Error::LengthOutOfRange)
    }

    /// Begins to receive a frame of `len` bytes.
    pub(crate) fn begin(&mut self, header: &Header, len: usize) {
        let Header { fin, opcode, key, compressed, .. } = *header;
        self.frame = Some(Frame { fin, opcode, key, len, received: 0 });
        if opcode.is_control() {
            self.control.reserve_exact(len);
        } else {
            let message = self.message.get_or_insert_with(|| Message::new(opcode, compressed, Vec::new()));
            message.fragments = message.fragments.saturating_add(1);
        }
    }

    /// Moves payload of the current frame out of `input`; the frame is given back when it is complete.
    ///
    /// `limit` is the most the message may ever hold, in bytes.
    pub(crate) fn fill(&mut self, input: &mut Input<'_>, limit: usize) -> Result<Option<Frame>, Error> {
        let Some(frame) = &mut self.frame else { return Ok(None) };
        let missing = frame.len.saturating_sub(frame.received);
        let range = input.take(missing);
        let chunk = input.slice_mut(range);
        if let Some(key) = frame.key {
            apply_mask(chunk, key, frame.received);
        }
        frame.received = frame.received.saturating_add(chunk.len());
        if frame.opcode.is_control() {
            self.control.extend_from_slice(chunk);
        } else if let Some(message) = &mut self.message {
            let end = message.bytes.len().saturating_add(missing);
            message.append(chunk, if frame.fin { end } else { limit })?;
        }
        Ok(if frame.received == frame.len { self.frame.take() } else { None })
    }
}

impl Message {
    pub(crate) fn new(opcode: OpCode, compressed: bool, bytes: Vec<u8>) -> Self {
        Self { opcode, compressed, fragments: 0, bytes, checked: 0 }
    }

    /// Adds unmasked bytes; the message is not going to hold more than `end`.
    ///
    /// Memory follows what has been received, never what was declared: a buffer that is too small doubles.
    fn append(&mut self, chunk: &[u8], end: usize) -> Result<(), Error> {
        let held = self.bytes.len();
        let needed = held.saturating_add(chunk.len());
        if needed > self.bytes.capacity() {
            let room = needed.saturating_mul(2).min(end).max(needed);
            self.bytes.reserve_exact(room.saturating_sub(held));
        }
        self.bytes.extend_from_slice(chunk);
        if self.opcode == OpCode::Text && !self.compressed { self.check_utf8() } else { Ok(()) }
    }

    /// Fails on the first byte that cannot be UTF-8; a character cut at the end may still be completed.
    fn check_utf8(&mut self) -> Result<(), Error> {
        match std::str::from_utf8(self.bytes.get(self.checked..).unwrap_or_default()) {
            Ok(_) => self.checked = self.bytes.len(),
            Err(error) if error.error_len().is_some() => return Err(Error::InvalidUtf8),
            Err(error) => self.checked = self.checked.saturating_add(error.valid_up_to()),
        }
        Ok(())
    }
}
