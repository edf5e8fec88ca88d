//! The messages of `ClusterAdapter` in `socket.io-adapter` 2.5, as the sharded adapter and the one over streams send them.
//!
//! A message is `{type, data, uid, nsp}`, in JSON, or in MessagePack where it must carry binaries. In a stream the members are the
//! fields of the entry, and `data` is JSON, or MessagePack in base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use bytestring::ByteString;
use sockeye::Value;
use sockeye::cluster::{Message, NodeId, RequestId, Sender};

use super::broadcast::{self, Envelope};
use super::parts::{
    answer, event, member, object, options, packet, read_answer, read_event, read_options, read_packet, read_rooms,
    read_sockets, rooms, sockets, text,
};
use super::{CodecError, json, msgpack};

/// The name that emitters go by.
const EMITTER: &str = "emitter";

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
    if let (Form::Smallest, Message::Broadcast { packet, target, request: None }) = (form, &message)
        && let Some(data) = broadcast::write(packet, target)
    {
        let quoted = |text: &str| serde_json::to_string(text).map_err(|_| CodecError::Unwritable);
        return Ok(format!(r#"{{"type":3,"data":{data},"uid":{},"nsp":{}}}"#, quoted(me)?, quoted(namespace)?).into());
    }
    let (kind, data) = parts(message)?;
    let mut members = vec![(ByteString::from_static("type"), Value::from(kind))];
    members.extend(data.map(|data| (ByteString::from_static("data"), data)));
    members.push((ByteString::from_static("uid"), Value::from(&**me)));
    members.push((ByteString::from_static("nsp"), Value::from(namespace)));
    let value = Value::Object(members);
    if form == Form::Smallest && !json::has_binary(&value) {
        return Ok(json::write(&value)?.into_bytes());
    }
    let mut out = Vec::new();
    msgpack::write(&value, &mut out);
    Ok(out)
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
    let value = match data.first() {
        Some(b'{') => {
            let text = std::str::from_utf8(data).map_err(|_| CodecError::Json)?;
            if let Ok(Envelope { kind: 3, data, uid, nsp }) = serde_json::from_str(text)
                && nsp == &**namespace
                && let Some(message) = broadcast::message(&data, namespace)
            {
                return Ok((sender(uid), message));
            }
            json::read(text)?
        }
        _ => msgpack::read(data)?,
    };
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
    if let Message::Broadcast { packet, target, request: None } = &message
        && let Some(data) = broadcast::write(packet, target)
    {
        return Ok(vec![
            ("uid", me.to_string()),
            ("nsp", namespace.to_owned()),
            ("type", "3".to_owned()),
            ("data", data),
        ]);
    }
    let (kind, data) = parts(message)?;
    let mut fields = vec![("uid", me.to_string()), ("nsp", namespace.to_owned()), ("type", kind.to_string())];
    if let Some(data) = data {
        fields.push((
            "data",
            match json::has_binary(&data) {
                false => json::write(&data)?,
                true => {
                    let mut out = Vec::new();
                    msgpack::write(&data, &mut out);
                    STANDARD.encode(out)
                }
            },
        ));
    }
    Ok(fields)
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
    if let (Some(3), Some(data)) = (kind, data)
        && let Ok(data) = serde_json::from_str(data)
        && let Some(message) = broadcast::message(&data, namespace)
    {
        return Ok((sender(uid), message));
    }
    let data = match data {
        None => Value::Null,
        Some(text) if text.starts_with('{') => json::read(text)?,
        Some(text) => msgpack::read(&STANDARD.decode(text).map_err(|_| CodecError::Base64)?.into())?,
    };
    Ok((sender(uid), read(kind.ok_or(CodecError::Member("type"))?, &data, namespace)?))
}

fn sender(uid: Option<&str>) -> Sender {
    match uid {
        None | Some(EMITTER) => Sender::Unnamed,
        Some(node) => Sender::Node(node.into()),
    }
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
        _ => return Err(CodecError::Unwritable),
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
    let asked = || data.get("requestId").and_then(Value::as_str).map(RequestId::from);
    Ok(match kind {
        1 => Message::InitialHeartbeat,
        2 => Message::Heartbeat,
        3 => {
            Message::Broadcast { packet: read_packet(data, namespace)?, target: read_options(data)?, request: asked() }
        }
        4 => Message::JoinSockets { target: read_options(data)?, rooms: read_rooms(data, "rooms")? },
        5 => Message::LeaveSockets { target: read_options(data)?, rooms: read_rooms(data, "rooms")? },
        6 => Message::DisconnectSockets {
            target: read_options(data)?,
            close: data.get("close").and_then(Value::as_bool).unwrap_or(false),
        },
        7 => Message::FetchSockets { target: read_options(data)?, request: request()? },
        8 => Message::FetchSocketsResponse { request: request()?, sockets: read_sockets(data)? },
        9 => {
            let (event, args) = read_event(data, "packet")?;
            Message::ServerSideEmit { event: event.as_str().to_owned(), args, request: asked() }
        }
        10 => Message::ServerSideEmitResponse { request: request()?, args: read_answer(data, "packet") },
        11 => {
            let count = member(data, "clientCount")?.as_u64().and_then(|count| usize::try_from(count).ok());
            Message::ClientCount { request: request()?, clients: count.ok_or(CodecError::Member("clientCount"))? }
        }
        12 => Message::Acknowledgement { request: request()?, args: read_answer(data, "packet") },
        13 => Message::Close,
        _ => return Err(CodecError::UnknownType),
    })
}
