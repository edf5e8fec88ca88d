//! The messages of a sender: a packet is written once, and what changes from one to the next is put into it.

use bytes::Bytes;
use sockeye_protocol::Message;
use sockeye_protocol::engine::PacketKind;
use sockeye_protocol::socket::{Args, PacketBody, Parser, Value};

use crate::payload::{Stamp, padding};
use crate::plan::{Kind, Plan, Traffic, room_name};
use crate::session::Outgoing;

/// The event of a sender, with places for what changes.
#[derive(Debug)]
pub(crate) struct Template {
    parser: Parser,
    /// The packet, without the number of an acknowledgement.
    head: Vec<u8>,
    /// The payload, where it is an attachment.
    attachment: Option<Vec<u8>>,
    /// Where the stamp is: in the attachment if there is one, else in the packet.
    stamp_at: usize,
    /// Where the room's name is, where there are rooms. Names are all of one length.
    room_at: Option<usize>,
    /// Where the number of an acknowledgement belongs, if one is wanted.
    id_at: Option<usize>,
    /// The packet with the number.
    numbered: Vec<u8>,
}

impl Template {
    /// The message that a client sends.
    pub(crate) fn new(plan: &Plan, traffic: &Traffic, client: u32) -> Self {
        let mut payload = Stamp::MARK.to_bytes().to_vec();
        payload.extend(padding(traffic.payload - Stamp::LEN));
        let room = match &traffic.kind {
            Kind::Rooms { rooms, .. } => Some(room_name(0, *rooms)),
            _ => None,
        };
        let mut args: Vec<_> = room.iter().map(|room| Value::String(room.as_str().into())).collect();
        args.push(match traffic.binary {
            true => Value::Binary(Bytes::from(payload)),
            false => Value::String(String::from_utf8_lossy(&payload).as_ref().into()),
        });
        let body = PacketBody::Event { name: traffic.event.as_str().into(), args: Args::from_values(args) };
        let id = matches!(traffic.kind, Kind::Ack).then_some(ID_MARK);
        let encoded = plan.packet(client, body, id).encode(plan.parser);
        let mut head = match encoded.head {
            Message::Text(text) => text.as_bytes().to_vec(),
            Message::Binary(bytes) => bytes.to_vec(),
        };
        let id_at = id.and_then(|_| {
            let mark = written_id(plan.parser, ID_MARK);
            let at = last(&head, &mark)?;
            head.drain(at..at + mark.len());
            Some(at)
        });
        let attachment = encoded.attachments.first().map(|bytes| bytes.to_vec());
        let stamp_at = last(attachment.as_ref().unwrap_or(&head), &Stamp::MARK.to_bytes()).unwrap_or_default();
        // MessagePack has the namespace behind the arguments; it may be called like the room.
        let before = if attachment.is_some() { head.len() } else { stamp_at };
        let room_at = room.and_then(|name| last(&head[..before], name.as_bytes()));
        Self { parser: plan.parser, head, attachment, stamp_at, room_at, id_at, numbered: Vec::new() }
    }

    /// Sends the message: to this room, and with this number for its acknowledgement, where the scenario has them.
    pub(crate) fn send(&mut self, stamp: Stamp, room: Option<&str>, id: u64, out: &mut impl Outgoing) {
        let Self { parser, head, attachment, stamp_at, room_at, id_at, numbered } = self;
        let stamped = attachment.as_mut().unwrap_or(head);
        stamped[*stamp_at..*stamp_at + Stamp::LEN].copy_from_slice(&stamp.to_bytes());
        if let (Some(at), Some(name)) = (room_at, room) {
            head[*at..*at + name.len()].copy_from_slice(name.as_bytes());
        }
        let packet = match id_at {
            None => head,
            Some(at) => {
                numbered.clear();
                numbered.extend_from_slice(&head[..*at]);
                numbered.extend_from_slice(&written_id(*parser, id));
                numbered.extend_from_slice(&head[*at..]);
                numbered
            }
        };
        match parser {
            Parser::Json => out.push(PacketKind::Message, std::str::from_utf8(packet).unwrap_or_default()),
            Parser::MsgPack => out.push_binary(packet),
        }
        if let Some(attachment) = attachment {
            out.push_binary(attachment);
        }
    }
}

/// How a number is written in a packet. In MessagePack always as long as this: it has shorter forms, and need not use them.
fn written_id(parser: Parser, id: u64) -> Vec<u8> {
    match parser {
        Parser::Json => id.to_string().into_bytes(),
        Parser::MsgPack => [&[MSGPACK_U64], id.to_be_bytes().as_slice()].concat(),
    }
}

/// Where `part` is for the last time.
fn last(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).rposition(|window| window == part)
}

/// Stands for the number of an acknowledgement until it is known: the highest that there may be.
const ID_MARK: u64 = (1 << 53) - 1;
const MSGPACK_U64: u8 = 0xcf;
