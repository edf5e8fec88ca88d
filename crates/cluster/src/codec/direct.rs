//! The short way for broadcasts, by far the most frequent messages: their arguments stay text, and no tree of values is made.
//!
//! It knows what Sockeye and the official nodes write. Whatever else may be a broadcast, one with binaries in JSON's place or a name
//! with escapes, is `None` here, and goes the long way.

use std::time::Duration;

use crate::{Message, NodeId, RequestId, Sender};
use bytes::Bytes;
use bytestring::ByteString;
use serde::Deserialize;
use serde_json::value::RawValue;
use sockeye::adapter::{Packet, PacketBody, Room};
use sockeye::{Args, EventName, Target};
use sockeye_protocol::socket::{Decoder, Limits, Parser};

use super::parts::{flags, sender};

/// How a broadcast begins that a node has written as JSON.
const START: &str = r#"{"type":3,"data":"#;

/// A broadcast as JSON: `{type, data, uid, nsp}`.
pub fn write_message(
    packet: &Packet,
    target: &Target,
    request: Option<&RequestId>,
    me: &NodeId,
    namespace: &str,
) -> Option<Vec<u8>> {
    let mut out = with_room_for(packet)?;
    out.extend_from_slice(START.as_bytes());
    push_data(packet, target, request, &mut out)?;
    out.extend_from_slice(br#","uid":"#);
    push_text(me, &mut out);
    out.extend_from_slice(br#","nsp":"#);
    push_text(namespace, &mut out);
    out.push(b'}');
    Some(out)
}

/// The data of a broadcast as JSON: `{packet, requestId?, opts}`.
pub fn write_data(packet: &Packet, target: &Target, request: Option<&RequestId>) -> Option<String> {
    let mut out = with_room_for(packet)?;
    push_data(packet, target, request, &mut out)?;
    String::from_utf8(out).ok()
}

fn with_room_for(packet: &Packet) -> Option<Vec<u8>> {
    Some(Vec::with_capacity(packet.args()?.json_elements().len() + 192))
}

fn push_data(packet: &Packet, target: &Target, request: Option<&RequestId>, out: &mut Vec<u8>) -> Option<()> {
    let PacketBody::Event { name, args } = &packet.body else { return None };
    if name.is_number() || args.has_binary() {
        return None;
    }
    out.extend_from_slice(br#"{"packet":{"type":2,"data":["#);
    push_text(name, out);
    if !args.is_empty() {
        out.push(b',');
        out.extend_from_slice(args.json_elements().as_bytes());
    }
    out.extend_from_slice(b"]}");
    if let Some(request) = request {
        out.extend_from_slice(br#","requestId":"#);
        push_text(request, out);
    }
    out.extend_from_slice(br#","opts":{"rooms":"#);
    push_rooms(&target.rooms, out);
    out.extend_from_slice(br#","except":"#);
    push_rooms(&target.except, out);
    out.extend_from_slice(br#","flags":"#);
    // Writing to memory does not fail.
    serde_json::to_writer(&mut *out, &flags(target)).unwrap_or_default();
    out.extend_from_slice(b"}}");
    Some(())
}

fn push_rooms(rooms: &[Room], out: &mut Vec<u8>) {
    out.push(b'[');
    for (index, room) in rooms.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_text(room, out);
    }
    out.push(b']');
}

fn push_text(text: &str, out: &mut Vec<u8>) {
    // Writing to memory does not fail.
    serde_json::to_writer(out, text).unwrap_or_default();
}

/// A broadcast of pub/sub.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    data: Data<'a>,
    uid: Option<&'a str>,
    nsp: &'a str,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    packet: Event<'a>,
    #[serde(rename = "requestId")]
    request: Option<&'a str>,
    opts: Options<'a>,
}

#[derive(Deserialize)]
struct Event<'a> {
    r#type: u8,
    #[serde(borrow)]
    data: &'a RawValue,
    nsp: Option<&'a str>,
}

#[derive(Deserialize)]
struct Options<'a> {
    #[serde(borrow)]
    rooms: Vec<&'a str>,
    #[serde(borrow, default)]
    except: Vec<&'a str>,
    #[serde(default)]
    flags: Flags,
}

#[derive(Default, Deserialize)]
struct Flags {
    compress: Option<bool>,
    volatile: Option<bool>,
    timeout: Option<u64>,
}

/// Reads what [`write_message`] writes.
pub fn read_message(data: &[u8], namespace: &ByteString) -> Option<(Sender, Message)> {
    if !data.starts_with(START.as_bytes()) {
        return None;
    }
    let envelope: Envelope<'_> = serde_json::from_slice(data).ok()?;
    if envelope.nsp != &**namespace {
        return None;
    }
    Some((sender(envelope.uid), envelope.data.into_message(namespace)?))
}

/// Reads what [`write_data`] writes.
pub fn read_data(text: &str, namespace: &ByteString) -> Option<Message> {
    serde_json::from_str::<Data<'_>>(text).ok()?.into_message(namespace)
}

impl Data<'_> {
    fn into_message(self, namespace: &ByteString) -> Option<Message> {
        let Self { packet, request, opts } = self;
        if packet.r#type != 2 || packet.nsp.is_some_and(|other| other != &**namespace) {
            return None;
        }
        let (name, args) = name_and_args(packet.data.get())?;
        let mut target = Target::default();
        target.rooms = opts.rooms.into_iter().map(Room::from).collect();
        target.except = opts.except.into_iter().map(Room::from).collect();
        target.flags.compress = opts.flags.compress.unwrap_or(true);
        target.flags.volatile = opts.flags.volatile.unwrap_or(false);
        target.flags.timeout = opts.flags.timeout.map(Duration::from_millis);
        let packet = Packet::event(namespace.clone(), name, args);
        Some(Message::Broadcast { packet, target, request: request.map(RequestId::from) })
    }
}

/// Divides `["name",…]`. The arguments get a text of their own, so that they do not keep the message alive.
fn name_and_args(data: &str) -> Option<(EventName, Args)> {
    let data = data.strip_prefix("[\"")?;
    let (name, rest) = data.split_at_checked(data.find(['"', '\\'])?)?;
    let args = match rest.strip_prefix('"')? {
        "]" => Args::empty(),
        rest => {
            let array = format!("[{}", rest.strip_prefix(',')?);
            Args::from_json_array(&array.into(), Vec::new()).ok()?
        }
    };
    Some((name.into(), args))
}

/// Reads a packet in MessagePack that has no extensions: without them it is the same in the dialect that clients speak.
pub fn read_packet(data: Bytes, namespace: &ByteString) -> Option<Packet> {
    let limits = Limits { max_namespace_len: usize::MAX, max_event_name_len: usize::MAX, ..Limits::default() };
    let packet = Decoder::new(Parser::MsgPack).decode_binary(data, &limits).ok()??;
    let is_broadcast = matches!(packet.body, PacketBody::Event { .. }) && packet.id.is_none();
    (is_broadcast && packet.namespace == *namespace).then_some(packet)
}
