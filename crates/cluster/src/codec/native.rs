//! The broadcasts of the native mode. All other messages, which are rare, are those of [`cluster`] in MessagePack.
//!
//! A broadcast is `version flags sender rooms except name arguments attachments`. Texts and binaries have their length in front, lists
//! their count; both are numbers in groups of seven bits, the lowest first, with the high bit set in all but the last. The
//! arguments are the text of a JSON array, which is neither parsed by the sender nor, beyond a check, by the receiver.

use std::ops::Range;

use crate::{Message, NodeId, Sender};
use bytes::{BufMut, Bytes};
use bytestring::ByteString;
use sockeye::adapter::{Packet, PacketBody, Room};
use sockeye::{Args, EventName, Target};

use super::cluster::{self, Form};
use super::{CodecError, parts};

/// The first byte of a broadcast. No MessagePack map begins with it.
const VERSION: u8 = 1;
const VOLATILE: u8 = 1;
const UNCOMPRESSED: u8 = 2;
const NUMBER_NAME: u8 = 4;

/// Writes a message of the node `me`.
///
/// # Errors
///
/// It cannot be written.
pub fn encode(message: Message, me: &NodeId, namespace: &str) -> Result<Vec<u8>, CodecError> {
    match &message {
        Message::Broadcast { packet, target, request: None } => {
            let PacketBody::Event { name, args } = &packet.body else { return Err(CodecError::Unwritable) };
            Ok(write(name, args, target, me))
        }
        _ => cluster::encode(message, me, namespace, Form::MsgPack),
    }
}

/// Reads a message.
///
/// # Errors
///
/// It is none, or not of this namespace.
pub fn decode(data: &Bytes, namespace: &ByteString) -> Result<(Sender, Message), CodecError> {
    if data.first() == Some(&VERSION) {
        return read(data, namespace);
    }
    cluster::decode(data, namespace)
}

/// Whether the node `me` has written a broadcast itself: Redis brings it back. This is told without reading it.
pub fn is_own(data: &[u8], me: &NodeId) -> bool {
    match data {
        // The length of a name that is short enough for one byte.
        [VERSION, _, len @ ..=0x7f, rest @ ..] => usize::from(*len) == me.len() && rest.starts_with(me.as_bytes()),
        _ => false,
    }
}

fn write(name: &EventName, args: &Args, target: &Target, me: &NodeId) -> Vec<u8> {
    let text = args.json_elements();
    let mut out = Vec::with_capacity(text.len() + 64);
    let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
    out.push(VERSION);
    out.push(
        flag(target.flags.volatile, VOLATILE)
            | flag(!target.flags.compress, UNCOMPRESSED)
            | flag(name.is_number(), NUMBER_NAME),
    );
    put_bytes(me.as_bytes(), &mut out);
    for rooms in [&target.rooms, &target.except] {
        put_len(rooms.len(), &mut out);
        rooms.iter().for_each(|room| put_bytes(room.as_bytes(), &mut out));
    }
    put_bytes(name.as_str().as_bytes(), &mut out);
    put_len(text.len() + 2, &mut out);
    out.push(b'[');
    out.extend_from_slice(text.as_bytes());
    out.push(b']');
    put_len(args.attachments().len(), &mut out);
    args.attachments().iter().for_each(|data| put_bytes(data, &mut out));
    out
}

fn read(data: &Bytes, namespace: &ByteString) -> Result<(Sender, Message), CodecError> {
    let mut reader = Reader { data, at: 1 };
    let flags = reader.byte()?;
    let sender = reader.text()?;
    let mut target = Target::default();
    target.flags.volatile = flags & VOLATILE != 0;
    target.flags.compress = flags & UNCOMPRESSED == 0;
    for rooms in [&mut target.rooms, &mut target.except] {
        for _ in 0..reader.len()? {
            rooms.push(Room::from(reader.text()?));
        }
    }
    let name = reader.text()?;
    let name = match flags & NUMBER_NAME {
        0 => EventName::from(name),
        _ => EventName::from_number(name.parse().map_err(|_| CodecError::Native)?),
    };
    let text = ByteString::try_from(reader.bytes()?).map_err(|_| CodecError::Native)?;
    let mut attachments = Vec::new();
    for _ in 0..reader.len()? {
        attachments.push(reader.bytes()?);
    }
    if reader.at != data.len() {
        return Err(CodecError::Native);
    }
    let args = Args::from_json_array(&text, attachments).map_err(|_| CodecError::Json)?;
    let packet = Packet::event(namespace.clone(), name, args);
    Ok((parts::sender(Some(sender)), Message::Broadcast { packet, target, request: None }))
}

fn put_len(len: usize, out: &mut Vec<u8>) {
    let mut rest = len;
    while let 0x80.. = rest {
        // The lowest seven bits fit.
        out.put_u8(u8::try_from(rest & 0x7f).unwrap_or_default() | 0x80);
        rest >>= 7;
    }
    out.put_u8(u8::try_from(rest).unwrap_or_default());
}

fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_len(bytes.len(), out);
    out.extend_from_slice(bytes);
}

struct Reader<'a> {
    data: &'a Bytes,
    at: usize,
}

impl<'a> Reader<'a> {
    /// A text, to look at.
    fn text(&mut self) -> Result<&'a str, CodecError> {
        let (data, range) = (self.data, self.range()?);
        std::str::from_utf8(data.get(range).unwrap_or_default()).map_err(|_| CodecError::Native)
    }

    fn byte(&mut self) -> Result<u8, CodecError> {
        let byte = self.data.get(self.at).copied().ok_or(CodecError::Native)?;
        self.at += 1;
        Ok(byte)
    }

    /// A length, of at most 35 bits. A list that claims more items than there are bytes ends with an error, too.
    fn len(&mut self) -> Result<usize, CodecError> {
        let mut len = 0;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.byte()?;
            len |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(len);
            }
        }
        Err(CodecError::Native)
    }

    /// The place of bytes that have their length in front.
    fn range(&mut self) -> Result<Range<usize>, CodecError> {
        let len = self.len()?;
        let start = self.at;
        self.at = start.checked_add(len).filter(|end| *end <= self.data.len()).ok_or(CodecError::Native)?;
        Ok(start..self.at)
    }

    /// A slice of the message, to keep.
    fn bytes(&mut self) -> Result<Bytes, CodecError> {
        Ok(self.data.slice(self.range()?))
    }
}
