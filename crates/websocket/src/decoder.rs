//! From received bytes to messages.

use std::ops::Range;

use crate::{
    close,
    deflate::Inflater,
    error::Error,
    frame::{Header, OpCode, Role},
    input::Input,
    mask::apply_mask,
    partial::{Message, Partial, Spent},
};

/// What a peer may ask of a [`Decoder`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest message, in bytes, after inflation.
    pub max_message: usize,
    /// The most frames a message may come in. Fragments are joined as they arrive, so their number costs time, not memory.
    pub max_fragments: usize,
}

impl Default for Limits {
    /// One megabyte, as Engine.IO has it, in at most 4096 frames.
    fn default() -> Self {
        Self { max_message: 1_000_000, max_fragments: 4096 }
    }
}

/// What the peer has sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// A text message.
    Text(&'a str),
    /// A binary message.
    Binary(&'a [u8]),
    /// A ping, to be answered by a pong with the same payload.
    Ping(&'a [u8]),
    /// A pong, asked for or not.
    Pong(&'a [u8]),
    /// The peer ends the connection, and nothing follows. To be answered by a close frame unless one has been sent.
    Close {
        /// The close code, one of those that may be sent; `None` if the frame has no payload.
        code: Option<u16>,
        /// The reason; empty if none is given.
        reason: &'a str,
    },
}

/// Turns the bytes received on one connection into [`Event`]s.
///
/// Call [`decode`](Self::decode) with each chunk that arrives, until it answers `Ok(None)`:
///
/// ```text
///            ┌────────── None: next chunk ──────────┐
///            ▼                                      │
///   Input::new(chunk) ──► decode ──► Some(event) ───┴─► decode ...
///                           │
///                           └──► Err(error): send a close frame with error.close_code(), end the connection
/// ```
///
/// An idle decoder owns no heap memory, apart from its [`Inflater`] if it has one. The buffer of an incomplete frame or
/// message grows with what has been received, up to the limits, and is freed by the call after the one that gave the
/// message out.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    inflater: Option<Box<Inflater>>,
    partial: Option<Box<Partial>>,
    state: State,
    role: Role,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Open,
    /// A close frame has come.
    Closed,
    Failed(Error),
}

/// A complete message or control frame and where its payload lies.
#[derive(Debug)]
struct Found {
    opcode: OpCode,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Input(Range<usize>),
    Control,
    Message,
}

impl Decoder {
    /// A decoder for the end of the connection that has `role`: a server's takes masked frames, a client's unmasked ones.
    #[must_use]
    pub fn new(role: Role, limits: Limits) -> Self {
        Self { limits, inflater: None, partial: None, state: State::Open, role }
    }

    /// Accepts compressed messages as well, once permessage-deflate has been agreed on.
    #[must_use]
    pub fn with_deflate(mut self, inflater: Inflater) -> Self {
        self.inflater = Some(Box::new(inflater));
        self
    }

    /// Takes the next event out of `input`. `Ok(None)` means that `input` is used up; what it holds of a frame without an
    /// end has been copied.
    ///
    /// After a [`Event::Close`] all input is passed over.
    ///
    /// # Errors
    ///
    /// The peer has broken the protocol or a limit; see [`Error`]. The connection is lost, and every later call returns the
    /// same error.
    pub fn decode<'a>(&'a mut self, input: &'a mut Input<'_>) -> Result<Option<Event<'a>>, Error> {
        if self.partial.as_mut().is_some_and(|partial| partial.release()) {
            self.partial = None;
        }
        match self.state {
            State::Open => {}
            State::Closed => {
                self.partial = None;
                input.take(input.remaining());
                return Ok(None);
            }
            State::Failed(error) => {
                self.partial = None;
                return Err(error);
            }
        }
        let found = match self.find(input) {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(None),
            Err(error) => {
                self.partial = None;
                self.state = State::Failed(error);
                return Err(error);
            }
        };
        let partial = self.partial.as_deref();
        let payload = match found.place {
            Place::Input(range) => input.slice(range),
            Place::Control => partial.map_or(&[][..], |partial| &partial.control),
            Place::Message => partial.and_then(|partial| partial.message.as_ref()).map_or(&[][..], |it| &it.bytes),
        };
        match Event::new(found.opcode, payload) {
            Ok(event) => {
                if found.opcode == OpCode::Close {
                    self.state = State::Closed;
                }
                Ok(Some(event))
            }
            Err(error) => {
                self.state = State::Failed(error);
                Err(error)
            }
        }
    }

    /// The heap memory held at this moment, in bytes: incomplete frames and messages, or the message last given out.
    /// The state of the decompressor, at most about 50 KiB, is not counted.
    #[must_use]
    pub fn held(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| partial.held())
    }

    fn find(&mut self, input: &mut Input<'_>) -> Result<Option<Found>, Error> {
        loop {
            if let Some(partial) = &mut self.partial
                && let Some(frame) = &partial.frame
            {
                let opcode = frame.opcode;
                let compressed = partial.message.as_ref().is_some_and(|message| message.compressed);
                let Some(frame) = partial.fill(input, self.limits.max_received(compressed))? else { return Ok(None) };
                if opcode.is_control() {
                    partial.spend(Spent::Control);
                    return Ok(Some(Found { opcode, place: Place::Control }));
                }
                if frame.fin {
                    return self.finish().map(Some);
                }
            }
            let Some(header) = self.header(input)? else { return Ok(None) };
            let len = self.admit(&header)?;
            if header.fin && header.opcode != OpCode::Continuation && len <= input.remaining() {
                return self.whole(&header, len, input).map(Some);
            }
            self.partial.get_or_insert_default().begin(&header, len);
        }
    }

    fn header(&mut self, input: &mut Input<'_>) -> Result<Option<Header>, Error> {
        match &mut self.partial {
            Some(partial) if partial.has_cut_header() => partial.header(input, self.role),
            partial => {
                if let Some((header, len)) = Header::parse(input.rest(), self.role)? {
                    input.take(len);
                    return Ok(Some(header));
                }
                if input.is_empty() {
                    return Ok(None);
                }
                partial.get_or_insert_default().header(input, self.role)
            }
        }
    }

    /// Checks a header against what came before it and against the limits; gives the length of the payload.
    fn admit(&self, header: &Header) -> Result<usize, Error> {
        let continues = header.opcode == OpCode::Continuation;
        let control = header.opcode.is_control();
        if header.compressed && (self.inflater.is_none() || control || continues) {
            return Err(Error::ReservedBits);
        }
        let (held, compressed) = match self.partial.as_ref().and_then(|partial| partial.message.as_ref()) {
            _ if control => (0, false),
            None if continues => return Err(Error::UnexpectedContinuation),
            None => (0, header.compressed),
            Some(_) if !continues => return Err(Error::ExpectedContinuation),
            Some(message) if message.fragments >= self.limits.max_fragments => {
                return Err(Error::TooManyFragments { limit: self.limits.max_fragments });
            }
            Some(message) => (message.bytes.len(), message.compressed),
        };
        let too_big = Error::MessageTooBig { limit: self.limits.max_message };
        let len = usize::try_from(header.len).map_err(|_| too_big)?;
        let fits = control || held.saturating_add(len) <= self.limits.max_received(compressed);
        if fits { Ok(len) } else { Err(too_big) }
    }

    /// Takes a message or control frame that lies whole in `input`.
    fn whole(&mut self, header: &Header, len: usize, input: &mut Input<'_>) -> Result<Found, Error> {
        let opcode = header.opcode;
        let range = input.take(len);
        if let Some(key) = header.key {
            apply_mask(input.slice_mut(range.clone()), key, 0);
        }
        if !header.compressed {
            return Ok(Found { opcode, place: Place::Input(range) });
        }
        let bytes = self.inflate(input.slice(range))?;
        let partial = self.partial.get_or_insert_default();
        partial.message = Some(Message::new(opcode, false, bytes));
        partial.spend(Spent::Message);
        Ok(Found { opcode, place: Place::Message })
    }

    /// Completes the message whose last fragment has been received.
    fn finish(&mut self) -> Result<Found, Error> {
        let mut message =
            self.partial.as_mut().and_then(|it| it.message.take()).ok_or(Error::UnexpectedContinuation)?;
        let opcode = message.opcode;
        if message.compressed {
            message.bytes = self.inflate(&message.bytes)?;
        }
        let partial = self.partial.get_or_insert_default();
        partial.message = Some(message);
        partial.spend(Spent::Message);
        Ok(Found { opcode, place: Place::Message })
    }

    fn inflate(&mut self, payload: &[u8]) -> Result<Vec<u8>, Error> {
        // `admit` lets no compressed message pass without an inflater.
        let inflater = self.inflater.as_mut().ok_or(Error::ReservedBits)?;
        let mut bytes = Vec::new();
        inflater.inflate(payload, &mut bytes, self.limits.max_message)?;
        Ok(bytes)
    }
}

impl Limits {
    /// The most bytes of a message that are received. A compressed message may be longer than what it holds; the allowance
    /// is zlib's own bound for its poorest settings.
    fn max_received(&self, compressed: bool) -> usize {
        let max = self.max_message;
        if compressed {
            max.saturating_add(max / 8).saturating_add(max / 64).saturating_add(DEFLATE_SLACK)
        } else {
            max
        }
    }
}

impl<'a> Event<'a> {
    fn new(opcode: OpCode, payload: &'a [u8]) -> Result<Self, Error> {
        Ok(match opcode {
            OpCode::Text => Self::Text(std::str::from_utf8(payload).map_err(|_| Error::InvalidUtf8)?),
            OpCode::Binary => Self::Binary(payload),
            OpCode::Ping => Self::Ping(payload),
            OpCode::Pong => Self::Pong(payload),
            OpCode::Close => {
                let (code, reason) = close::parse(payload)?;
                Self::Close { code, reason }
            }
            OpCode::Continuation => return Err(Error::UnexpectedContinuation),
        })
    }
}

/// What a compressed message of no length may take, in bytes: a few empty blocks.
const DEFLATE_SLACK: usize = 64;

/// One decoder per connection: it must stay small.
const _: () = assert!(size_of::<Decoder>() <= 64);

#[cfg(test)]
mod tests;
