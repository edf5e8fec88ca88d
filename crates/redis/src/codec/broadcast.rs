//! Broadcasts in JSON, by far the most frequent of all messages: written and read without making values of their arguments.
//!
//! What is out of the ordinary (binaries, names that are numbers, escapes in names of rooms) is left to the way that all messages
//! take.

use std::time::Duration;

use bytestring::ByteString;
use serde::Deserialize;
use serde_json::value::RawValue;
use sockeye::adapter::{Packet, PacketBody, Room};
use sockeye::cluster::Message;
use sockeye::{Args, EventName, Target};

use super::json;
use super::parts::options;

/// A whole message.
#[derive(Deserialize)]
pub(super) struct Envelope<'a> {
    #[serde(rename = "type")]
    pub(super) kind: u8,
    #[serde(borrow)]
    pub(super) data: Data<'a>,
    pub(super) uid: Option<&'a str>,
    pub(super) nsp: &'a str,
}

/// The data of a broadcast.
#[derive(Deserialize)]
pub(super) struct Data<'a> {
    #[serde(borrow)]
    packet: EventPacket<'a>,
    opts: Options<'a>,
    #[serde(rename = "requestId")]
    request: Option<&'a str>,
}

#[derive(Deserialize)]
struct EventPacket<'a> {
    #[serde(rename = "type")]
    kind: u8,
    #[serde(borrow)]
    data: &'a RawValue,
    nsp: Option<&'a str>,
}

#[derive(Deserialize)]
struct Options<'a> {
    #[serde(borrow)]
    rooms: Vec<&'a str>,
    #[serde(default)]
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

/// Writes the data of a broadcast; nothing if it is out of the ordinary.
pub(super) fn write(packet: &Packet, target: &Target) -> Option<String> {
    let PacketBody::Event { name, args } = &packet.body else { return None };
    if args.has_binary() || name.is_number() {
        return None;
    }
    let name = serde_json::to_string(name.as_str()).ok()?;
    let options = json::write(&options(target)).ok()?;
    let comma = if args.is_empty() { "" } else { "," };
    Some(format!(r#"{{"packet":{{"type":2,"data":[{name}{comma}{}]}},"opts":{options}}}"#, args.json_elements()))
}

/// Makes the message; nothing if it is out of the ordinary.
pub(super) fn message(data: &Data<'_>, namespace: &ByteString) -> Option<Message> {
    let Data { packet, opts, request: None } = data else { return None };
    if packet.kind != 2 || packet.nsp.is_some_and(|other| other != &**namespace) {
        return None;
    }
    let array = packet.data.get().strip_prefix('[')?;
    let mut names = serde_json::Deserializer::from_str(array).into_iter::<&str>();
    let name = EventName::from(names.next()?.ok()?);
    let rest = array.get(names.byte_offset()..)?.trim_start();
    let args = match rest.strip_prefix(',') {
        None => Args::empty(),
        Some(rest) => Args::from_json_array(&format!("[{rest}").into(), Vec::new()).ok()?,
    };
    let rooms = |rooms: &[&str]| rooms.iter().map(|room| Room::from(*room)).collect();
    let mut target = Target::default();
    (target.rooms, target.except) = (rooms(&opts.rooms), rooms(&opts.except));
    target.flags.compress = opts.flags.compress.unwrap_or(true);
    target.flags.volatile = opts.flags.volatile.unwrap_or(false);
    target.flags.timeout = opts.flags.timeout.map(Duration::from_millis);
    Some(Message::Broadcast { packet: Packet::event(namespace.clone(), name, args), target, request: None })
}
