//! The native mode's broadcasts: written, read alike, and refused when they are not whole.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use bytes::Bytes;
use bytestring::ByteString;
use sockeye::adapter::{Packet, PacketBody, Room};
use sockeye::{Args, EventName, Target, Value};
use sockeye_cluster::codec::CodecError;
use sockeye_cluster::codec::native::{decode, encode, is_own};
use sockeye_cluster::{Message, NodeId, Sender};

const NAMESPACE: ByteString = ByteString::from_static("/chat");

fn broadcast(name: EventName, args: Args, target: &Target) -> Bytes {
    let packet = Packet::event(NAMESPACE, name, args);
    let message = Message::Broadcast { packet, target: target.clone(), request: None };
    encode(message, &NodeId::from("first"), &NAMESPACE).unwrap().into()
}

fn target() -> Target {
    let mut target = Target::default();
    target.rooms = ["r", "rouge à lèvres"].map(Room::from).into_iter().collect();
    target.except = std::iter::once(Room::from("x".repeat(300))).collect();
    target.flags.volatile = true;
    target.flags.compress = false;
    target
}

#[test]
fn what_is_written_is_read() {
    let values = vec![Value::from("text"), Value::Binary(Bytes::from_static(&[0, 255])), Value::Binary(Bytes::new())];
    let long = Args::from_values(vec![Value::from("x".repeat(100_000))]);
    for args in [Args::from_values(values), Args::empty(), long] {
        for name in [EventName::from("event"), EventName::from_number(1.5)] {
            let data = broadcast(name.clone(), args.clone(), &target());
            let (sender, message) = decode(&data, &NAMESPACE).unwrap();
            assert_eq!(sender, Sender::Node("first".into()));
            let Message::Broadcast { packet, target: read, request: None } = message else { panic!("{message:?}") };
            assert_eq!((read.rooms, read.except), (target().rooms, target().except));
            assert!(read.flags.volatile && !read.flags.compress);
            assert_eq!(packet.namespace, NAMESPACE);
            let PacketBody::Event { name: read, args: got } = packet.body else { panic!() };
            assert_eq!((read.as_str(), read.is_number()), (name.as_str(), name.is_number()));
            assert_eq!((got.json_elements(), got.attachments()), (args.json_elements(), args.attachments()));
        }
    }
}

#[test]
fn own_broadcasts_are_told_apart_unread() {
    let data = broadcast("e".into(), Args::empty(), &target());
    assert!(is_own(&data, &"first".into()));
    for other in ["firs", "first_", "second", ""] {
        assert!(!is_own(&data, &other.into()), "{other}");
    }
    for end in 0..8 {
        assert!(!is_own(&data[..end], &"first".into()), "{end}");
    }
}

#[test]
fn other_messages_are_those_of_the_cluster() {
    let message = Message::ClientCount { request: "q".into(), clients: 3 };
    let data = encode(message, &"first".into(), &NAMESPACE).unwrap().into();
    let (_, message) = decode(&data, &NAMESPACE).unwrap();
    assert!(matches!(message, Message::ClientCount { clients: 3, .. }));
    let other = ByteString::from_static("/other");
    assert_eq!(decode(&data, &other).unwrap_err(), CodecError::OtherNamespace);
}

#[test]
fn what_is_not_whole_is_refused() {
    let args = Args::from_values(vec![Value::from(1), Value::Binary(Bytes::from_static(&[1, 2, 3]))]);
    let data = broadcast("e".into(), args, &target());
    for end in 0..data.len() {
        assert!(decode(&data.slice(..end), &NAMESPACE).is_err(), "{end}");
    }
    let longer = [&data[..], b"x"].concat().into();
    assert_eq!(decode(&longer, &NAMESPACE).unwrap_err(), CodecError::Native);
    // Lists that claim to be long, and arguments that are no JSON.
    let claims = Bytes::from_static(&[1, 0, 1, b'n', 0xff, 0xff, 0xff, 0xff, 0x7f]);
    assert_eq!(decode(&claims, &NAMESPACE).unwrap_err(), CodecError::Native);
    let no_json = Bytes::from_static(&[1, 0, 1, b'n', 0, 0, 1, b'e', 2, b'[', b'x', 0]);
    assert_eq!(decode(&no_json, &NAMESPACE).unwrap_err(), CodecError::Json);
}
