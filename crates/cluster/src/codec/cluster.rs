//! The messages of `ClusterAdapter` in `socket.io-adapter` 2.5, as the sharded adapter and the one over streams send them.
//!
//! A message is `{type, data, uid, nsp}`, in JSON, or in MessagePack where it must carry binaries. In a stream the members are the
//! fields of the entry, and `data` is JSON, or MessagePack in base64.

use crate::{Message, NodeId, RequestId, Sender};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use bytestring::ByteString;
use sockeye::Value;

use super::parts::{
    answer, event, member, object, options, packet, read_answer, read_close, read_count, read_event, read_object,
    read_options, read_packet, read_rooms, read_sockets, rooms, sender, sockets, text, write_object,
};
use super::{CodecError, direct, json, msgpack};

/// How a message is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// JSON where it can be, MessagePack where it must: pub/sub of the sharded adapter.
    Smallest,
    /// Always MessagePack: pub/sub of the adapter over streams.
    MsgPack,
}

/// Writes a message of the node `me`.
///
/// # Errors
///
/// It cannot be written.
pub fn encode(message: Message, me: &NodeId, namespace: &str, form: Form) -> Result<Vec<u8>, CodecError> {
    if form == Form::Smallest
        && let Message::Broadcast { packet, target, request } = &message
        && let Some(written) = direct::write_message(packet, target, request.as_ref(), me, namespace)
    {
        return Ok(written);
    }
    let (kind, data) = parts(message)?;
    let mut members = vec![(ByteString::from_static("type"), Value::from(kind))];
    members.extend(data.map(|data| (ByteString::from_static("data"), data)));
    members.push((ByteString::from_static("uid"), Value::from(&**me)));
    members.push((ByteString::from_static("nsp"), Value::from(namespace)));
    let value = Value::Object(members);
    match form {
        Form::Smallest => write_object(&value),
        Form::MsgPack => Ok(msgpack::to_vec(&value)),
    }
}

/// How every message that [`encode`] writes in this form ends: it tells the own ones apart without reading them.
pub fn ending(me: &NodeId, namespace: &str, form: Form) -> Vec<u8> {
    // A message without data is its type, then the ending.
    let bare = encode(Message::Heartbeat, me, namespace, form).unwrap_or_default();
    let start = if form == Form::MsgPack { b"\x83\xa4type\x02".len() } else { br#"{"type":2"#.len() };
    bare.get(start..).unwrap_or_default().to_vec()
}

/// Reads a message of pub/sub.
///
/// # Errors
///
/// It is none, or not of this namespace.
pub fn decode(data: &Bytes, namespace: &ByteString) -> Result<(Sender, Message), CodecError> {
    if let Some(read) = direct::read_message(data, namespace) {
        return Ok(read);
    }
    let value = read_object(data)?;
    if text(&value, "nsp")? != **namespace {
        return Err(CodecError::OtherNamespace);
    }
    let kind = member(&value, "type")?.as_u64().ok_or(CodecError::Member("type"))?;
    let sender = sender(value.get("uid").and_then(Value::as_str));
    Ok((sender, read(kind, value.get("data").unwrap_or(&Value::Null), namespace)?))
}

/// Writes a message as the fields of an entry of a stream.
///
/// # Errors
///
/// It cannot be written.
pub fn encode_entry(message: Message, me: &NodeId, namespace: &str) -> Result<Vec<(&'static str, String)>, CodecError> {
    let direct = match &message {
        Message::Broadcast { packet, target, request } => direct::write_data(packet, target, request.as_ref()),
        _ => None,
    };
    let (kind, data) = match direct {
        Some(text) => (3, Some(text)),
        None => {
            let (kind, data) = parts(message)?;
            (kind, data.map(|data| entry_data(&data)).transpose()?)
        }
    };
    let mut fields = vec![("uid", me.to_string()), ("nsp", namespace.to_owned()), ("type", kind.to_string())];
    if let Some(text) = data {
        fields.push(("data", text));
    }
    Ok(fields)
}

/// JSON where it can be, and MessagePack in base64 where it must.
fn entry_data(data: &Value) -> Result<String, CodecError> {
    Ok(json::write(data)?.unwrap_or_else(|| STANDARD.encode(msgpack::to_vec(data))))
}

/// Reads the fields of an entry of a stream.
///
/// # Errors
///
/// They are no message, or not of this namespace.
pub fn decode_entry<'a>(
    fields: impl IntoIterator<Item = (&'a str, &'a str)>,
    namespace: &ByteString,
) -> Result<(Sender, Message), CodecError> {
    let (mut uid, mut nsp, mut kind, mut data) = (None, None, None, None);
    for (name, value) in fields {
        match name {
            "uid" => uid = Some(value),
            "nsp" => nsp = Some(value),
            "type" => kind = value.parse().ok(),
            "data" => data = Some(value),
            _ => {}
        }
    }
    if nsp != Some(&**namespace) {
        return Err(CodecError::OtherNamespace);
    }
    let kind = kind.ok_or(CodecError::Member("type"))?;
    if kind == 3
        && let Some(message) = data.and_then(|data| direct::read_data(data, namespace))
    {
        return Ok((sender(uid), message));
    }
    let data = match data {
        None => Value::Null,
        Some(text) if text.starts_with('{') => json::read(text)?,
        Some(text) => msgpack::read(&STANDARD.decode(text).map_err(|_| CodecError::Base64)?.into())?,
    };
    Ok((sender(uid), read(kind, &data, namespace)?))
}

/// The type and the data of a message.
fn parts(message: Message) -> Result<(u8, Option<Value>), CodecError> {
    let text = |request: RequestId| Value::from(&*request);
    Ok(match message {
        Message::InitialHeartbeat => (1, None),
        Message::Heartbeat => (2, None),
        Message::Broadcast { packet: sent, target, request } => {
            let (packet, options) = (packet(&sent)?, options(&target));
            let data = match request {
                None => object([("packet", packet), ("opts", options)]),
                Some(request) => object([("packet", packet), ("requestId", text(request)), ("opts", options)]),
            };
            (3, Some(data))
        }
        Message::JoinSockets { target, rooms: joined } => {
            (4, Some(object([("opts", options(&target)), ("rooms", rooms(&joined))])))
        }
        Message::LeaveSockets { target, rooms: left } => {
            (5, Some(object([("opts", options(&target)), ("rooms", rooms(&left))])))
        }
        Message::DisconnectSockets { target, close } => {
            (6, Some(object([("opts", options(&target)), ("close", close.into())])))
        }
        Message::FetchSockets { target, request } => {
            (7, Some(object([("opts", options(&target)), ("requestId", text(request))])))
        }
        Message::FetchSocketsResponse { request, sockets: found } => {
            (8, Some(object([("requestId", text(request)), ("sockets", sockets(found))])))
        }
        Message::ServerSideEmit { event: name, args, request } => {
            let packet = event(&name.into(), &args)?;
            let data = match request {
                None => object([("packet", packet)]),
                Some(request) => object([("requestId", text(request)), ("packet", packet)]),
            };
            (9, Some(data))
        }
        Message::ServerSideEmitResponse { request, args } => (10, Some(answered(text(request), answer(&args)?))),
        Message::ClientCount { request, clients } => {
            (11, Some(object([("requestId", text(request)), ("clientCount", clients.into())])))
        }
        Message::Acknowledgement { request, args } => (12, Some(answered(text(request), answer(&args)?))),
        Message::Close => (13, None),
    })
}

fn answered(request: Value, answer: Option<Value>) -> Value {
    match answer {
        None => object([("requestId", request)]),
        Some(answer) => object([("requestId", request), ("packet", answer)]),
    }
}

fn read(kind: u64, data: &Value, namespace: &ByteString) -> Result<Message, CodecError> {
    let request = || Ok(RequestId::from(text(data, "requestId")?));
    let target = || read_options(member(data, "opts")?);
    let asked = || data.get("requestId").and_then(Value::as_str).map(RequestId::from);
    Ok(match kind {
        1 => Message::InitialHeartbeat,
        2 => Message::Heartbeat,
        3 => {
            let packet = read_packet(member(data, "packet")?, namespace)?;
            Message::Broadcast { packet, target: target()?, request: asked() }
        }
        4 => Message::JoinSockets { target: target()?, rooms: read_rooms(data, "rooms")? },
        5 => Message::LeaveSockets { target: target()?, rooms: read_rooms(data, "rooms")? },
        6 => Message::DisconnectSockets { target: target()?, close: read_close(data) },
        7 => Message::FetchSockets { target: target()?, request: request()? },
        8 => Message::FetchSocketsResponse { request: request()?, sockets: read_sockets(data)? },
        9 => {
            let (event, args) = read_event(data, "packet")?;
            Message::ServerSideEmit { event: event.as_str().to_owned(), args, request: asked() }
        }
        10 => Message::ServerSideEmitResponse { request: request()?, args: read_answer(data, "packet")? },
        11 => Message::ClientCount { request: request()?, clients: read_count(data)? },
        12 => Message::Acknowledgement { request: request()?, args: read_answer(data, "packet")? },
        13 => Message::Close,
        _ => return Err(CodecError::UnknownType),
    })
}
