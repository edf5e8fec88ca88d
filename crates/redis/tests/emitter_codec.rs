//! Messages of emitters. Those over pub/sub were written by the official package: `testing/vectors/redis_emitter.mjs`.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use bytes::Bytes;
use bytestring::ByteString;
use serde_json::Value as Json;
use sockeye::adapter::{Packet, PacketBody, Room};
use sockeye::{Args, Target, Value};
use sockeye_cluster::codec::cluster::decode_entry;
use sockeye_cluster::codec::{CodecError, native};
use sockeye_cluster::{Message, Sender};
use sockeye_redis::codec::classic::{Channel, Channels, Incoming, decode, encode};
use sockeye_redis::codec::emitter::{encode_classic, encode_entry};

/// How a message to all ends: of the emitter, and of a node.
const TAILS: [&[u8]; 2] =
    [b"\x83\xa5rooms\x90\xa5flags\x80\xa6except\x90", b"\x83\xa5rooms\x90\xa6except\x90\xa5flags\x80"];

fn vectors() -> Vec<Json> {
    serde_json::from_str(include_str!("data/emitter.json")).unwrap()
}

fn unhex(text: &str) -> Bytes {
    let digits = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

fn data(vector: &Json) -> Bytes {
    match vector.get("text") {
        Some(text) => Bytes::copy_from_slice(text.as_str().unwrap().as_bytes()),
        None => unhex(vector["hex"].as_str().unwrap()),
    }
}

fn value(described: &Json) -> Value {
    match described {
        Json::Array(items) => Value::Array(items.iter().map(value).collect()),
        Json::Object(members) => match members.get("binary") {
            Some(hex) => Value::Binary(unhex(hex.as_str().unwrap())),
            None => members.iter().map(|(key, member)| (key.as_str(), value(member))).collect(),
        },
        other => other.clone().into(),
    }
}

/// The members of objects in the order of their keys.
fn sorted(value: Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        Value::Object(mut members) => {
            members.sort_by(|(a, _), (b, _)| a.cmp(b));
            members.into_iter().map(|(key, member)| (key, sorted(member))).collect()
        }
        other => other,
    }
}

/// The message of a vector, and where it went.
fn read(vector: &Json) -> (Message, Option<Room>) {
    let name = vector["channel"].as_str().unwrap();
    let namespaces = [("socket.io", "/"), ("other", "/chat")];
    let mut found = namespaces.into_iter().filter_map(|(key, namespace)| {
        let channels = Channels::new(key, namespace);
        Some((channels.find(name)?, ByteString::from_static(namespace)))
    });
    let (channel, namespace) = found.next().unwrap();
    let (sender, incoming) = decode(channel, &data(vector), &namespace).unwrap();
    assert_eq!(sender, Sender::Unnamed);
    let Incoming::Message(message) = incoming else { panic!("{incoming:?}") };
    match channel {
        Channel::Broadcast(room) => (message, room.map(Room::from)),
        _ => (message, None),
    }
}

fn names(rooms: &[Room]) -> Vec<&str> {
    rooms.iter().map(|room| &**room).collect()
}

#[test]
fn events_arrive() {
    let vectors = vectors();
    let events = vectors.iter().filter(|vector| vector.get("event").is_some());
    for vector in events.clone() {
        let [name, args @ ..] = &vector["event"].as_array().unwrap()[..] else { panic!("a name") };
        let (Message::Broadcast { packet, .. }, None) = read(vector) else { panic!("a broadcast") };
        let PacketBody::Event { name: event, args: read } = packet.body else { panic!("an event") };
        assert_eq!(event.is_number(), name.is_number());
        assert_eq!(event.as_str(), name.as_str().map_or_else(|| name.to_string(), str::to_owned));
        let read: Vec<_> = read.to_values().unwrap().into_iter().map(sorted).collect();
        assert_eq!(read, args.iter().map(|arg| sorted(value(arg))).collect::<Vec<_>>(), "{name}");
    }
    assert_eq!(events.count(), 12);
}

#[test]
fn nodes_write_events_alike() {
    let mut alike = 0;
    for vector in vectors().iter().filter(|vector| vector.get("event").is_some()) {
        // Dates are texts once they have been read.
        if vector["event"][0].as_str().is_some_and(|name| name.contains("date")) {
            continue;
        }
        let written = data(vector);
        let again = encode(read(vector).0, &"emitter".into()).unwrap();
        assert_eq!(written.strip_suffix(TAILS[0]).unwrap(), again.strip_suffix(TAILS[1]).unwrap(), "{vector}");
        alike += 1;
    }
    assert_eq!(alike, 10);
}

#[test]
fn messages_of_emitters_are_written_to_the_byte() {
    let mut same = 0;
    for vector in vectors() {
        // Dates are texts once they have been read, the rooms of Rust have no numbers, and `compress(true)` is what there is without it.
        let described = vector.to_string();
        let is_elsewhere = described.contains("dated") || described.contains("dates") || described.contains("#7#");
        if is_elsewhere || data(&vector).windows(9).any(|end| end == b"compress\xc3") {
            continue;
        }
        assert_eq!(encode_classic(read(&vector).0).unwrap(), data(&vector), "{vector}");
        same += 1;
    }
    assert_eq!(same, 20);
    let asks = Message::FetchSockets { target: Target::default(), request: "q".into() };
    assert_eq!(encode_classic(asks).unwrap_err(), CodecError::Unwritable);
}

#[test]
fn targets() {
    let targets: Vec<(Target, Option<Room>)> = vectors()
        .iter()
        .filter(|vector| vector.get("event").is_none())
        .filter_map(|vector| match read(vector) {
            (Message::Broadcast { target, .. }, room) => Some((target, room)),
            _ => None,
        })
        .collect();
    let [one, several, number, compressed, chat] = &targets[..] else { panic!("{targets:?}") };
    assert_eq!((names(&one.0.rooms), one.1.as_deref()), (vec!["a"], Some("a")));
    assert_eq!((names(&several.0.rooms), names(&several.0.except)), (vec!["a", "b", "c"], vec!["x", "y"]));
    assert_eq!(several.1, None);
    assert_eq!((names(&number.0.rooms), number.1.as_deref()), (vec!["7"], Some("7")));
    assert!(number.0.flags.volatile && !number.0.flags.compress);
    assert!(!compressed.0.flags.volatile && compressed.0.flags.compress);
    assert_eq!((names(&chat.0.rooms), chat.1.as_deref()), (vec!["a b#"], Some("a b#")));
}

#[test]
fn orders_and_events_for_servers() {
    let vectors = vectors();
    let orders: Vec<_> = vectors
        .iter()
        .map(|vector| read(vector).0)
        .filter(|message| !matches!(message, Message::Broadcast { .. }))
        .collect();
    let said: Vec<_> = orders
        .iter()
        .map(|message| match message {
            Message::JoinSockets { target, rooms } => {
                format!("join {:?} {:?} {:?}", target.rooms, target.except, rooms)
            }
            Message::LeaveSockets { target, rooms } => format!("leave {:?} {:?}", target.rooms, rooms),
            Message::DisconnectSockets { target, close } => format!("disconnect {:?} {close}", target.rooms),
            Message::ServerSideEmit { event, args, request: None } => format!("{event} {}", args.json_elements()),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = [
        r#"join [] [] ["z"]"#,
        r#"join ["a"] ["b"] ["y", "z"]"#,
        r#"leave ["a", "b"] ["z"]"#,
        "disconnect [] false",
        r#"disconnect ["a"] true"#,
        "e ",
        r#"e 1,{"a":[null]}"#,
    ];
    assert_eq!(said, expected);
}

/// As the official emitter for streams writes them: the namespace is in the packet, too, and events for programs are in the stream.
#[test]
fn entries_of_emitters() {
    let mut target = Target::default();
    target.rooms.push("a".into());
    target.except.push("b".into());
    target.flags.volatile = true;
    let args = Args::from_serialize(&(1, "x")).unwrap();
    let packet = Packet::event("/", "e", args.clone());
    let binary = Packet::event("/", "e", Args::from_values(vec![Value::Binary(Bytes::from_static(&[7]))]));
    let broadcast = |packet| Message::Broadcast { packet, target: target.clone(), request: None };
    let rooms = || vec![Room::from("z")];
    for (message, kind, data) in [
        (
            broadcast(packet),
            "3",
            r#"{"packet":{"type":2,"data":["e",1,"x"],"nsp":"/"},"opts":{"rooms":["a"],"flags":{"volatile":true},"except":["b"]}}"#,
        ),
        (
            broadcast(binary),
            "3",
            // MessagePack of {packet: {type: 2, data: ["e", <07>], nsp: "/"}, opts: {…}}.
            "gqZwYWNrZXSDpHR5cGUCpGRhdGGSoWXEAQejbnNwoS+kb3B0c4Olcm9vbXORoWGlZmxhZ3OBqHZvbGF0aWxlw6ZleGNlcHSRoWI=",
        ),
        (
            Message::JoinSockets { target: target.clone(), rooms: rooms() },
            "4",
            r#"{"opts":{"rooms":["a"],"except":["b"],"flags":{}},"rooms":["z"]}"#,
        ),
        (
            Message::LeaveSockets { target: target.clone(), rooms: rooms() },
            "5",
            r#"{"opts":{"rooms":["a"],"except":["b"],"flags":{}},"rooms":["z"]}"#,
        ),
        (
            Message::DisconnectSockets { target: target.clone(), close: true },
            "6",
            r#"{"opts":{"rooms":["a"],"except":["b"],"flags":{}},"close":true}"#,
        ),
        (Message::ServerSideEmit { event: "e".to_owned(), args, request: None }, "9", r#"{"packet":["e",1,"x"]}"#),
    ] {
        let expected = [("uid", "emitter"), ("nsp", "/"), ("type", kind), ("data", data)];
        let fields = encode_entry(message.clone(), "/").unwrap();
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, &**value)).collect();
        assert_eq!(fields, expected);
        let (sender, again) = decode_entry(fields, &ByteString::from_static("/")).unwrap();
        assert_eq!(sender, Sender::Unnamed);
        assert_eq!(encode_entry(again, "/").unwrap()[3].1, data);
    }
}

/// It is no node that one would wait for.
#[test]
fn the_native_mode_does_not_take_it_for_a_node() {
    let namespace = ByteString::from_static("/");
    let packet = Packet::event("/", "e", Args::empty());
    let messages = [
        Message::Broadcast { packet, target: Target::default(), request: None },
        Message::JoinSockets { target: Target::default(), rooms: Vec::new() },
    ];
    for message in messages {
        let data = native::encode(message, &"emitter".into(), &namespace).unwrap();
        let (sender, _) = native::decode(&data.into(), &namespace).unwrap();
        assert_eq!(sender, Sender::Unnamed);
    }
}
