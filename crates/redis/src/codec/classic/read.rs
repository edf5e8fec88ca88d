//! Reading the messages of the classic adapter.

use bytes::Bytes;
use bytestring::ByteString;
use sockeye::adapter::{Packet, Room};
use sockeye::{Target, Value};
use sockeye_cluster::{Message, RequestId, Sender};

use super::Channel;
use sockeye_cluster::codec::parts::{
    member, read_answer, read_close, read_count, read_event, read_object, read_options, read_packet, read_rooms,
    read_sockets, sender, text,
};
use sockeye_cluster::codec::{CodecError, direct, msgpack};

/// What has come.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Incoming {
    /// A message that all adapters have.
    Message(Message),
    /// Asks for the ids of the sockets in these rooms, or of all sockets if there are none. [`encode_sockets`](super::encode_sockets)
    /// writes the answer.
    Sockets {
        /// The rooms.
        rooms: Vec<Room>,
        /// The question.
        request: RequestId,
    },
    /// Asks which rooms have members. [`encode_rooms`](super::encode_rooms) writes the answer.
    AllRooms {
        /// The question.
        request: RequestId,
    },
    /// An order to one socket, as nodes up to version 7.2 may write it. Only the node that has the socket carries it out, and answers
    /// with [`encode_done`](super::encode_done).
    OneSocket {
        /// The socket's id.
        socket: String,
        /// The order, with the socket as its target.
        message: Message,
        /// The question, if an answer is wanted.
        request: Option<RequestId>,
    },
    /// An answer to a question that this node never asks.
    OtherAnswer,
}

/// Reads what came by a channel.
///
/// # Errors
///
/// It is no message, or not of this namespace.
pub fn decode(channel: Channel<'_>, data: &Bytes, namespace: &ByteString) -> Result<(Sender, Incoming), CodecError> {
    match channel {
        Channel::Broadcast(_) => read_broadcast(data, namespace),
        Channel::Request => read_request(&read_object(data)?, namespace),
        Channel::Response => Ok((Sender::Unnamed, read_response(&read_object(data)?)?)),
    }
}

fn read_broadcast(data: &Bytes, namespace: &ByteString) -> Result<(Sender, Incoming), CodecError> {
    let [uid, packet, options] = msgpack::read_three(data)?;
    let direct = if packet.has_extension { None } else { direct::read_packet(packet.data.clone(), namespace) };
    let packet = match direct {
        Some(packet) => packet,
        None => read_broadcast_packet(&msgpack::read(&packet.data)?, namespace)?,
    };
    let target = read_options(&msgpack::read(&options.data)?)?;
    let message = Message::Broadcast { packet, target, request: None };
    Ok((sender(msgpack::read(&uid.data)?.as_str()), Incoming::Message(message)))
}

/// In a broadcast, a packet that does not say where it belongs is for the main namespace.
fn read_broadcast_packet(packet: &Value, namespace: &ByteString) -> Result<Packet, CodecError> {
    if packet.get("nsp").is_none() && &**namespace != "/" {
        return Err(CodecError::OtherNamespace);
    }
    read_packet(packet, namespace)
}

fn read_request(value: &Value, namespace: &ByteString) -> Result<(Sender, Incoming), CodecError> {
    let target = || read_options(member(value, "opts")?);
    let incoming = match member(value, "type")?.as_u64() {
        Some(0) => Incoming::Sockets { rooms: read_rooms(value, "rooms")?, request: request(value)? },
        Some(1) => Incoming::AllRooms { request: request(value)? },
        Some(kind @ 2..=4) if value.get("opts").is_none() => {
            let socket = text(value, "sid")?;
            let mut target = Target::default();
            target.rooms.push(Room::from(&*socket));
            let message = order(kind, target, value, || Ok(vec![text(value, "room")?.into()]))?;
            Incoming::OneSocket { socket, message, request: request(value).ok() }
        }
        Some(kind @ 2..=4) => Incoming::Message(order(kind, target()?, value, || read_rooms(value, "rooms"))?),
        Some(5) => Incoming::Message(Message::FetchSockets { target: target()?, request: request(value)? }),
        Some(6) => {
            let (event, args) = read_event(value, "data")?;
            let event = event.as_str().to_owned();
            Incoming::Message(Message::ServerSideEmit { event, args, request: request(value).ok() })
        }
        Some(7) => {
            let packet = read_packet(member(value, "packet")?, namespace)?;
            let request = Some(request(value)?);
            Incoming::Message(Message::Broadcast { packet, target: target()?, request })
        }
        _ => return Err(CodecError::UnknownType),
    };
    Ok((sender(value.get("uid").and_then(Value::as_str)), incoming))
}

/// An order to sockets; it has rooms if it is to join or to leave some.
fn order(
    kind: u64,
    target: Target,
    value: &Value,
    rooms: impl FnOnce() -> Result<Vec<Room>, CodecError>,
) -> Result<Message, CodecError> {
    Ok(match kind {
        2 => Message::JoinSockets { target, rooms: rooms()? },
        3 => Message::LeaveSockets { target, rooms: rooms()? },
        _ => Message::DisconnectSockets { target, close: read_close(value) },
    })
}

/// An answer; those without a type are told by what they have.
fn read_response(value: &Value) -> Result<Incoming, CodecError> {
    let request = request(value)?;
    Ok(Incoming::Message(match value.get("type").and_then(Value::as_u64) {
        Some(6) => Message::ServerSideEmitResponse { request, args: read_answer(value, "data")? },
        Some(8) => Message::ClientCount { request, clients: read_count(value)? },
        Some(9) => Message::Acknowledgement { request, args: read_answer(value, "packet")? },
        _ => match value.get("sockets").and_then(Value::as_array) {
            // Ids alone answer what only official nodes ask.
            Some([Value::String(_), ..]) | None => return Ok(Incoming::OtherAnswer),
            Some(_) => Message::FetchSocketsResponse { request, sockets: read_sockets(value)? },
        },
    }))
}

fn request(value: &Value) -> Result<RequestId, CodecError> {
    Ok(text(value, "requestId")?.into())
}
