//! Packets, and how they are written.

use bytes::Bytes;
use bytestring::ByteString;

use super::{
    args::Args,
    json::{Sink, write_string},
    msgpack,
    name::EventName,
    number::Digits,
};
use crate::Message;

/// How packets are written on a connection. Both sides must be set to the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Parser {
    /// Text, with binary values as attachments: the default of every client.
    #[default]
    Json,
    /// One binary message a packet, as `socket.io-msgpack-parser` has it.
    MsgPack,
}

/// One Socket.IO packet.
#[derive(Clone, Debug)]
pub struct Packet {
    /// The namespace, with its leading `/`. Of a client of Socket.IO 2 it may carry a query: [`take_query`](Self::take_query).
    pub namespace: ByteString,
    /// Of an event: the number that its acknowledgement shall carry. Of an acknowledgement: that number.
    ///
    /// A client of JavaScript knows no more than 2^53 - 1 of them. An id that is too large for this field is none.
    pub id: Option<u64>,
    /// What the packet says.
    pub body: PacketBody,
}

/// What a packet says.
#[derive(Clone, Debug)]
pub enum PacketBody {
    /// Joins the namespace, or confirms it; with a JSON object's text.
    Connect(Option<ByteString>),
    /// Leaves the namespace.
    Disconnect,
    /// An event.
    Event {
        /// Its name.
        name: EventName,
        /// Its arguments.
        args: Args,
    },
    /// An acknowledgement.
    Ack(Args),
    /// The namespace was refused; with the text of a JSON string or object. Empty when there was none.
    ConnectError(ByteString),
}

/// A packet as it goes out: a message, and binary messages that must follow it at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The packet.
    pub head: Message,
    /// Its attachments, in order.
    pub attachments: Vec<Bytes>,
}

impl Packet {
    /// A packet without id.
    pub fn new(namespace: impl Into<ByteString>, body: PacketBody) -> Self {
        Self { namespace: namespace.into(), id: None, body }
    }

    /// An event without id.
    pub fn event(namespace: impl Into<ByteString>, name: impl Into<EventName>, args: Args) -> Self {
        Self::new(namespace, PacketBody::Event { name: name.into(), args })
    }

    /// The acknowledgement with this number.
    pub fn ack(namespace: impl Into<ByteString>, id: u64, args: Args) -> Self {
        Self { id: Some(id), ..Self::new(namespace, PacketBody::Ack(args)) }
    }

    /// Cuts the query off the namespace, `/admin?token=1`, and gives it without its question mark.
    ///
    /// Clients of Socket.IO 2 join namespaces with it. For later ones a question mark is a character like any other.
    pub fn take_query(&mut self) -> Option<ByteString> {
        let (path, query) = self.namespace.split_once('?')?;
        let (path, query) = (self.namespace.slice_ref(path), self.namespace.slice_ref(query));
        self.namespace = path;
        Some(query)
    }

    /// Writes the packet. The attachments are shared with the packet.
    pub fn encode(&self, parser: Parser) -> Encoded {
        match parser {
            Parser::Json => {
                let mut text = String::with_capacity(self.json_len());
                self.write_json(&mut text);
                let attachments = self.args().map_or_else(Vec::new, |args| args.attachments().to_vec());
                Encoded { head: Message::Text(text.into()), attachments }
            }
            Parser::MsgPack => {
                let mut data = Vec::with_capacity(self.msgpack_len_hint());
                self.encode_msgpack_into(&mut data);
                Encoded { head: Message::Binary(data.into()), attachments: Vec::new() }
            }
        }
    }

    /// Appends the packet's text, `2/chat,7["event",1]`. Its attachments follow as messages of their own.
    pub fn encode_json_into(&self, out: &mut Vec<u8>) {
        self.write_json(out);
    }

    /// How many bytes [`encode_json_into`](Self::encode_json_into) appends. Allocates nothing.
    pub fn json_len(&self) -> usize {
        let mut len = 0_usize;
        self.write_json(&mut len);
        len
    }

    /// Appends the packet in MessagePack, attachments included.
    pub fn encode_msgpack_into(&self, out: &mut Vec<u8>) {
        msgpack::write_packet(self, out);
    }

    /// The arguments, of an event or acknowledgement.
    pub fn args(&self) -> Option<&Args> {
        match &self.body {
            PacketBody::Event { args, .. } | PacketBody::Ack(args) => Some(args),
            _ => None,
        }
    }

    pub(crate) fn args_mut(&mut self) -> Option<&mut Args> {
        match &mut self.body {
            PacketBody::Event { args, .. } | PacketBody::Ack(args) => Some(args),
            _ => None,
        }
    }

    fn msgpack_len_hint(&self) -> usize {
        let attachments = self.args().map_or(&[][..], Args::attachments);
        self.json_len() + 32 + attachments.iter().map(Bytes::len).sum::<usize>()
    }

    /// `<type>[<attachments>-][<namespace>,][<id>][JSON]`
    fn write_json(&self, out: &mut impl Sink) {
        let attachments = self.args().map_or(0, |args| args.attachments().len());
        out.push_text(match (&self.body, attachments) {
            (PacketBody::Connect(_), _) => "0",
            (PacketBody::Disconnect, _) => "1",
            (PacketBody::Event { .. }, 0) => "2",
            (PacketBody::Ack(_), 0) => "3",
            (PacketBody::ConnectError(_), _) => "4",
            (PacketBody::Event { .. }, _) => "5",
            (PacketBody::Ack(_), _) => "6",
        });
        if attachments > 0 {
            out.push_text(Digits::default().format(attachments as u64));
            out.push_text("-");
        }
        if !self.namespace.is_empty() && self.namespace != "/" {
            out.push_text(&self.namespace);
            out.push_text(",");
        }
        if let Some(id) = self.id {
            out.push_text(Digits::default().format(id));
        }
        match &self.body {
            PacketBody::Connect(Some(data)) | PacketBody::ConnectError(data) => out.push_text(data),
            PacketBody::Connect(None) | PacketBody::Disconnect => {}
            PacketBody::Event { name, args } => {
                out.push_text("[");
                if name.is_number() {
                    out.push_text(number_text(name));
                } else {
                    write_string(out, name);
                }
                if !args.is_empty() {
                    out.push_text(",");
                    out.push_text(args.json_elements());
                }
                out.push_text("]");
            }
            PacketBody::Ack(args) => {
                out.push_text("[");
                out.push_text(args.json_elements());
                out.push_text("]");
            }
        }
    }
}

/// A numeric name as JSON: there, infinity is a number that is too large.
pub(crate) fn number_text(name: &str) -> &str {
    match name {
        "Infinity" => "1e999",
        "-Infinity" => "-1e999",
        "NaN" => "null",
        finite => finite,
    }
}
