//! The parts that the formats have in common: senders, targets, packets, descriptions of sockets.

use std::time::Duration;

use crate::Sender;
use bytes::Bytes;
use bytestring::ByteString;
use sockeye::adapter::{Packet, PacketBody, RemoteSocketData, Room};
use sockeye::{Args, EventName, Target, Value};

use super::{CodecError, json, msgpack};

/// The name that emitters go by: programs that are no nodes.
pub const EMITTER: &str = "emitter";

/// Reads JSON or MessagePack: a message is an object, so the first byte tells.
pub fn read_object(data: &Bytes) -> Result<Value, CodecError> {
    match data.first() {
        Some(b'{') => json::read(std::str::from_utf8(data).map_err(|_| CodecError::Json)?),
        _ => msgpack::read(data),
    }
}

/// Writes JSON where it can be, and MessagePack where there are binaries.
pub fn write_object(value: &Value) -> Result<Vec<u8>, CodecError> {
    Ok(match json::write(value)? {
        Some(text) => text.into_bytes(),
        None => msgpack::to_vec(value),
    })
}

pub fn sender(uid: Option<&str>) -> Sender {
    match uid {
        None | Some(EMITTER) => Sender::Unnamed,
        Some(node) => Sender::Node(node.into()),
    }
}

pub fn object<const N: usize>(members: [(&'static str, Value); N]) -> Value {
    Value::Object(members.into_iter().map(|(key, value)| (ByteString::from_static(key), value)).collect())
}

pub fn member<'a>(value: &'a Value, name: &'static str) -> Result<&'a Value, CodecError> {
    value.get(name).ok_or(CodecError::Member(name))
}

pub fn text(value: &Value, name: &'static str) -> Result<String, CodecError> {
    member(value, name)?.as_str().map(str::to_owned).ok_or(CodecError::Member(name))
}

pub fn rooms(rooms: &[Room]) -> Value {
    rooms.iter().map(|room| &**room).collect::<Vec<&str>>().into()
}

/// Rooms are text; those of JavaScript programs may be numbers.
pub fn read_rooms(value: &Value, name: &'static str) -> Result<Vec<Room>, CodecError> {
    let items = member(value, name)?.as_array().ok_or(CodecError::Member(name))?;
    let room = |item: &Value| match item {
        Value::String(room) => Ok(Room::from(&**room)),
        Value::Number(room) => Ok(Room::from(room.to_string())),
        _ => Err(CodecError::Member(name)),
    };
    items.iter().map(room).collect()
}

/// `opts`: rooms, exceptions and flags. Flags are always there, for some nodes read them without looking.
pub fn options(target: &Target) -> Value {
    object([("rooms", rooms(&target.rooms)), ("except", rooms(&target.except)), ("flags", flags(target))])
}

pub fn flags(target: &Target) -> Value {
    let mut flags = Vec::new();
    if !target.flags.compress {
        flags.push((ByteString::from_static("compress"), false.into()));
    }
    if target.flags.volatile {
        flags.push((ByteString::from_static("volatile"), true.into()));
    }
    if let Some(timeout) = target.flags.timeout {
        let millis = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        flags.push((ByteString::from_static("timeout"), millis.into()));
    }
    Value::Object(flags)
}

pub fn read_options(options: &Value) -> Result<Target, CodecError> {
    // Official nodes make a `Set` of what is there, and emitters of other languages send an empty text for no rooms, or nothing.
    let rooms = |name| match options.get(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::String(text)) if text.is_empty() => Ok(Vec::new()),
        Some(_) => read_rooms(options, name),
    };
    let mut target = Target::default();
    target.rooms = rooms("rooms")?.into();
    target.except = rooms("except")?.into();
    let flag = |name| options.get("flags").and_then(|flags| flags.get(name));
    target.flags.compress = flag("compress").and_then(Value::as_bool).unwrap_or(true);
    target.flags.volatile = flag("volatile").and_then(Value::as_bool).unwrap_or(false);
    target.flags.timeout = flag("timeout").and_then(Value::as_u64).map(Duration::from_millis);
    Ok(target)
}

/// The name of an event and its arguments, in one array.
pub fn event(name: &EventName, args: &Args) -> Result<Value, CodecError> {
    let name = match name.is_number() {
        true => name.as_str().parse::<f64>().map_or(Value::Null, Value::from),
        false => name.as_str().into(),
    };
    let mut items = vec![name];
    items.extend(args.to_values().map_err(|_| CodecError::Unwritable)?);
    Ok(Value::Array(items))
}

pub fn read_event(value: &Value, name: &'static str) -> Result<(EventName, Args), CodecError> {
    let [event, args @ ..] = member(value, name)?.as_array().ok_or(CodecError::Member(name))? else {
        return Err(CodecError::Member(name));
    };
    let event = match event {
        Value::String(event) => EventName::from(event),
        Value::Number(number) => EventName::from_number(number.as_f64().unwrap_or_default()),
        _ => return Err(CodecError::Member(name)),
    };
    Ok((event, read_args(args.to_vec())?))
}

/// Values that have come. Next to binaries, nothing may look like the placeholder of one: it would become one at the clients.
fn read_args(values: Vec<Value>) -> Result<Args, CodecError> {
    fn is_forged(value: &Value) -> bool {
        match value {
            Value::Array(items) => items.iter().any(is_forged),
            Value::Object(members) => members
                .iter()
                .any(|(key, value)| (key == "_placeholder" && *value == Value::Bool(true)) || is_forged(value)),
            _ => false,
        }
    }
    let forged = values.iter().any(is_forged);
    let args = Args::from_values(values);
    if forged && args.has_binary() { Err(CodecError::Placeholder) } else { Ok(args) }
}

/// An event's packet, `{type: 2, data}`.
pub fn packet(packet: &Packet) -> Result<Value, CodecError> {
    let PacketBody::Event { name, args } = &packet.body else { return Err(CodecError::Unwritable) };
    Ok(object([("type", 2.into()), ("data", event(name, args)?)]))
}

pub fn read_packet(packet: &Value, namespace: &ByteString) -> Result<Packet, CodecError> {
    if member(packet, "type")?.as_u64() != Some(2) {
        return Err(CodecError::Member("type"));
    }
    if packet.get("nsp").and_then(Value::as_str).is_some_and(|other| other != &**namespace) {
        return Err(CodecError::OtherNamespace);
    }
    let (name, args) = read_event(packet, "data")?;
    Ok(Packet::event(namespace.clone(), name, args))
}

/// An answer: what a callback was called with, of which only the first counts; none if there was nothing.
pub fn answer(args: &Args) -> Result<Option<Value>, CodecError> {
    Ok(args.to_values().map_err(|_| CodecError::Unwritable)?.into_iter().next())
}

pub fn read_answer(value: &Value, name: &str) -> Result<Args, CodecError> {
    value.get(name).map_or_else(|| Ok(Args::empty()), |answer| read_args(vec![answer.clone()]))
}

pub fn read_count(value: &Value) -> Result<usize, CodecError> {
    let count = member(value, "clientCount")?.as_u64().and_then(|count| usize::try_from(count).ok());
    count.ok_or(CodecError::Member("clientCount"))
}

pub fn read_close(value: &Value) -> bool {
    value.get("close").and_then(Value::as_bool).unwrap_or(false)
}

pub fn sockets(sockets: Vec<RemoteSocketData>) -> Value {
    let describe = |socket: RemoteSocketData| {
        object([
            ("id", socket.id.into()),
            ("handshake", socket.handshake.into()),
            ("rooms", rooms(&socket.rooms)),
            ("data", serde_json::Value::Object(socket.data).into()),
        ])
    };
    Value::Array(sockets.into_iter().map(describe).collect())
}

pub fn read_sockets(value: &Value) -> Result<Vec<RemoteSocketData>, CodecError> {
    let read = |socket: &Value| {
        let data = match socket.get("data").map(Value::to_json) {
            Some(serde_json::Value::Object(data)) => data,
            _ => serde_json::Map::new(),
        };
        Ok(RemoteSocketData {
            id: text(socket, "id")?,
            rooms: read_rooms(socket, "rooms")?,
            data,
            handshake: member(socket, "handshake")?.to_json(),
        })
    };
    member(value, "sockets")?.as_array().ok_or(CodecError::Member("sockets"))?.iter().map(read).collect()
}
