//! What emitters write, programs that send to a cluster from outside: the same bytes as `@socket.io/redis-emitter` 5.1 and
//! `@socket.io/redis-streams-emitter` 0.1.
//!
//! Emitters have a name in common, `emitter`, and get no answers. Orders to sockets have no name at all in the classic form: a node that
//! looked for its own would find none.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sockeye::adapter::{Packet, PacketBody};
use sockeye::{Target, Value};
use sockeye_cluster::Message;

use super::classic::{encode_broadcast, filter};
use sockeye_cluster::codec::parts::{EMITTER, event, flags, object, rooms};
use sockeye_cluster::codec::{CodecError, json, msgpack};

/// Writes a message for nodes with the classic adapter. [`Channels::of`](super::classic::Channels::of) says where it goes.
///
/// # Errors
///
/// It cannot be written, or asks for an answer.
pub fn encode_classic(message: Message) -> Result<Vec<u8>, CodecError> {
    let kind = |kind: u8| ("type", Value::from(kind));
    let order = match message {
        Message::Broadcast { packet, target, request: None } => {
            return encode_broadcast(packet, &options(&target), None, EMITTER);
        }
        Message::JoinSockets { target, rooms: joined } => {
            object([kind(2), ("opts", filter(&target)), ("rooms", rooms(&joined))])
        }
        Message::LeaveSockets { target, rooms: left } => {
            object([kind(3), ("opts", filter(&target)), ("rooms", rooms(&left))])
        }
        Message::DisconnectSockets { target, close } => {
            object([kind(4), ("opts", filter(&target)), ("close", close.into())])
        }
        Message::ServerSideEmit { event: name, args, request: None } => {
            object([("uid", EMITTER.into()), kind(6), ("data", event(&name.into(), &args)?)])
        }
        _ => return Err(CodecError::Unwritable),
    };
    json::stringify(&order).map(String::into_bytes)
}

/// Writes a message as the fields of an entry of a stream. Events for programs, too: nodes send those of their own by pub/sub.
///
/// # Errors
///
/// It cannot be written, or asks for an answer.
pub fn encode_entry(message: Message, namespace: &str) -> Result<Vec<(&'static str, String)>, CodecError> {
    let (kind, data) = match message {
        Message::Broadcast { packet, target, request: None } => {
            ("3", object([("packet", packet_in(&packet, namespace)?), ("opts", options(&target))]))
        }
        Message::JoinSockets { target, rooms: joined } => {
            ("4", object([("opts", without_flags(&target)), ("rooms", rooms(&joined))]))
        }
        Message::LeaveSockets { target, rooms: left } => {
            ("5", object([("opts", without_flags(&target)), ("rooms", rooms(&left))]))
        }
        Message::DisconnectSockets { target, close } => {
            ("6", object([("opts", without_flags(&target)), ("close", close.into())]))
        }
        Message::ServerSideEmit { event: name, args, request: None } => {
            ("9", object([("packet", event(&name.into(), &args)?)]))
        }
        _ => return Err(CodecError::Unwritable),
    };
    let data = json::write(&data)?.unwrap_or_else(|| STANDARD.encode(msgpack::to_vec(&data)));
    Ok(vec![("uid", EMITTER.to_owned()), ("nsp", namespace.to_owned()), ("type", kind.to_owned()), ("data", data)])
}

/// The packet of an event, with its namespace.
fn packet_in(packet: &Packet, namespace: &str) -> Result<Value, CodecError> {
    let PacketBody::Event { name, args } = &packet.body else { return Err(CodecError::Unwritable) };
    Ok(object([("type", 2.into()), ("data", event(name, args)?), ("nsp", namespace.into())]))
}

/// `opts`, in the order that emitters have.
fn options(target: &Target) -> Value {
    object([("rooms", rooms(&target.rooms)), ("flags", flags(target)), ("except", rooms(&target.except))])
}

/// `opts` of orders in a stream.
fn without_flags(target: &Target) -> Value {
    object([("rooms", rooms(&target.rooms)), ("except", rooms(&target.except)), ("flags", object([]))])
}
