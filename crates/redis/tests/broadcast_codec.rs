//! Broadcasts go a short way where they can: whatever way they go, and however they are spelled, they say the same.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use sockeye::adapter::{Packet, PacketBody};
use sockeye::{Args, EventName, Target, Value};
use sockeye_cluster::codec::CodecError;
use sockeye_cluster::codec::cluster::{self, Form};
use sockeye_cluster::{Message, NodeId, RequestId, Sender};
use sockeye_redis::codec::classic::{self, Channel, Incoming};

const PLAIN: &str = r#"{"type":3,"data":{"packet":{"type":2,"data":["event",1,"é"]},"opts":{"rooms":["7","b"],"except":["x"],"flags":{"compress":false,"volatile":true,"timeout":800}}},"uid":"n","nsp":"/a"}"#;

/// The same in other words: other orders, white space, escapes, numbers as rooms, unknown and repeated members.
const SPELLED: [&str; 6] = [
    r#"{"uid":"n","nsp":"/a","type":3,"data":{"packet":{"type":2,"data":["event",1,"é"]},"opts":{"rooms":["7","b"],"except":["x"],"flags":{"compress":false,"volatile":true,"timeout":800}}}}"#,
    r#"{"type":3,"data":{"opts":{"flags":{"volatile":true,"timeout":800,"compress":false},"except":["x"],"rooms":["7","b"]},"packet":{"nsp":"/a","data":["event",1,"é"],"type":2}},"uid":"n","nsp":"/a"}"#,
    r#"{"type":3,"data": { "packet" : { "type" : 2 , "data" : [ "event" , 1 , "é" ] } , "opts":{"rooms":["7","b"],"except":["x"],"flags":{"compress":false,"volatile":true,"timeout":800}}} , "uid":"n","nsp":"/a" } "#,
    r#"{"type":3,"data":{"packet":{"type":2,"data":["\u0065vent",1,"\u00e9"]},"opts":{"rooms":["7","\u0062"],"except":["x"],"flags":{"compress":false,"volatile":true,"timeout":800}}},"uid":"n","nsp":"\/a"}"#,
    r#"{"type":3,"data":{"packet":{"type":2,"data":["event",1.0,"é"]},"opts":{"rooms":[7,"b"],"except":["x"],"flags":{"compress":false,"volatile":true,"timeout":800}}},"uid":"n","nsp":"/a"}"#,
    r#"{"type":3,"data":{"packet":{"type":2,"data":["event",1,"é"],"options":{}},"opts":{"rooms":["a"],"rooms":["7","b"],"except":["x"],"flags":{"compress":false,"volatile":true,"timeout":800,"more":[1]}}},"uid":"n","nsp":"/a"}"#,
];

/// What a broadcast says.
#[derive(Debug, PartialEq)]
struct Said {
    namespace: String,
    name: (String, bool),
    args: Vec<Value>,
    rooms: Vec<String>,
    except: Vec<String>,
    flags: (bool, bool, Option<Duration>),
    request: Option<RequestId>,
}

fn said(message: Message) -> Said {
    let Message::Broadcast { packet, target, request } = message else { panic!("{message:?}") };
    let PacketBody::Event { name, args } = packet.body else { panic!("an event") };
    let names = |rooms: &[std::sync::Arc<str>]| rooms.iter().map(|room| room.to_string()).collect();
    Said {
        namespace: packet.namespace.to_string(),
        name: (name.as_str().to_owned(), name.is_number()),
        args: args.to_values().unwrap(),
        rooms: names(&target.rooms),
        except: names(&target.except),
        flags: (target.flags.compress, target.flags.volatile, target.flags.timeout),
        request,
    }
}

fn node() -> NodeId {
    "n".into()
}

fn read_json(text: &str) -> Said {
    let (sender, message) = cluster::decode(&Bytes::copy_from_slice(text.as_bytes()), &"/a".into()).unwrap();
    assert_eq!(sender, Sender::Node(node()));
    said(message)
}

/// What comes of an event with these arguments in each format, with and without a question.
fn through_all(name: &EventName, args: &Args) -> Vec<Said> {
    let namespace = ByteString::from_static("/a");
    let mut target = Target::default();
    target.rooms.push("say \"b\"".into());
    let mut all = Vec::new();
    for request in [None, Some(RequestId::from("r"))] {
        let packet = Packet::event("/a", name.clone(), args.clone());
        let message = Message::Broadcast { packet, target: target.clone(), request };
        let channel = if message.request().is_some() { Channel::Request } else { Channel::Broadcast(None) };
        let data = classic::encode(message.clone(), &node()).unwrap();
        let (_, Incoming::Message(read)) = classic::decode(channel, &data.into(), &namespace).unwrap() else {
            panic!("a message")
        };
        all.push(said(read));
        for form in [Form::Smallest, Form::MsgPack] {
            let data = cluster::encode(message.clone(), &node(), "/a", form).unwrap();
            all.push(said(cluster::decode(&data.into(), &namespace).unwrap().1));
        }
        let entry = cluster::encode_entry(message, &node(), "/a").unwrap();
        let entry = entry.iter().map(|(name, value)| (*name, value.as_str()));
        all.push(said(cluster::decode_entry(entry, &namespace).unwrap().1));
    }
    all
}

#[test]
fn the_spelling_does_not_matter() {
    let plain = read_json(PLAIN);
    assert_eq!((&plain.rooms[..], &plain.except[..]), (&["7".to_owned(), "b".to_owned()][..], &["x".to_owned()][..]));
    assert_eq!(plain.flags, (false, true, Some(Duration::from_millis(800))));
    assert_eq!(plain.args, [Value::from(1), Value::from("é")]);
    for text in SPELLED {
        assert_eq!(read_json(text), plain, "{text}");
    }
}

#[test]
fn every_format_says_the_same() {
    let nested = format!("[{}1{}]", "[".repeat(100), "]".repeat(100));
    let texts = [
        "[]",
        r#"[null,true,false,"",{},[]]"#,
        r#"[ 1 , 1.5 , -0.25 , 1e21 , 9007199254740991 , -129 ]"#,
        r#"["\"\\\n\u0000 é 日本 😀",{"a\"b":{"":1}}]"#,
        // What clients of the JSON parser would take for an attachment, if there were one.
        r#"[{"_placeholder":true,"num":0}]"#,
        &nested,
    ];
    for name in [EventName::from("e"), EventName::from("say \"é\"\n"), EventName::from_number(1.5)] {
        for text in texts {
            let args = Args::from_json_array(&text.into(), Vec::new()).unwrap();
            let all = through_all(&name, &args);
            for read in &all {
                assert_eq!(read.args, args.to_values().unwrap(), "{text}");
                assert_eq!(read.name, (name.as_str().to_owned(), name.is_number()));
                assert_eq!((&*read.namespace, &read.rooms[..]), ("/a", &["say \"b\"".to_owned()][..]));
            }
            assert_eq!(all.iter().filter(|read| read.request.is_some()).count(), 4);
        }
        let args = Args::from_values(vec![Value::Binary(Bytes::from_static(b"ab")), Value::Binary(Bytes::new())]);
        for read in through_all(&name, &args) {
            assert_eq!(read.args, args.to_values().unwrap());
        }
    }
}

#[test]
fn text_is_passed_on_as_it_is() {
    // Half of a surrogate pair is no character; JavaScript passes it on all the same.
    let text = r#"["\ud800", 1.0]"#;
    let args = Args::from_json_array(&text.into(), Vec::new()).unwrap();
    let packet = Packet::event("/a", "e", args);
    let message = Message::Broadcast { packet, target: Target::default(), request: None };
    let entry = cluster::encode_entry(message.clone(), &node(), "/a").unwrap();
    assert!(entry[3].1.contains(r#"["e","\ud800", 1.0]"#));
    let data = cluster::encode(message, &node(), "/a", Form::Smallest).unwrap();
    assert!(String::from_utf8(data.clone()).unwrap().contains(r#"["e","\ud800", 1.0]"#));
    let (_, Message::Broadcast { packet, .. }) = cluster::decode(&data.into(), &"/a".into()).unwrap() else {
        panic!("a broadcast")
    };
    assert_eq!(packet.args().unwrap().json_elements(), r#""\ud800", 1.0"#);
}

#[test]
fn a_node_knows_its_own() {
    let args = Args::from_serialize(&(r#"","uid":"m","nsp":"/a"}"#,)).unwrap();
    let packet = Packet::event("/a", "e", args);
    let message = Message::Broadcast { packet, target: Target::default(), request: None };
    let json = cluster::encode(message.clone(), &node(), "/a", Form::Smallest).unwrap();
    let msgpack = classic::encode(message, &node()).unwrap();
    for (name, namespace, own) in [("n", "/a", true), ("m", "/a", false), ("nn", "/a", false), ("n", "/b", false)] {
        let ending = cluster::ending(&name.into(), namespace, Form::Smallest);
        assert_eq!(json.ends_with(&ending), own, "{name} {namespace}");
        assert_eq!(classic::is_own(&msgpack, &name.into()), name == "n");
    }
    assert!(!classic::is_own(b"\x93", &node()));
}

#[test]
fn dates_are_texts() {
    let date = [&b"\xd6\xff"[..], &1_795_512_600_u32.to_be_bytes()].concat();
    let data = [
        &b"\x93\xa1n\x83\xa4type\x02\xa4data\x93\xa1e"[..],
        &date,
        b"\xc4\x01\x07\xa3nsp\xa2/a\x83\xa5rooms\x90\xa6except\x90\xa5flags\x80",
    ]
    .concat();
    let (_, Incoming::Message(message)) =
        classic::decode(Channel::Broadcast(None), &data.into(), &"/a".into()).unwrap()
    else {
        panic!("a message")
    };
    let binary = Value::Binary(Bytes::from_static(&[7]));
    assert_eq!(said(message).args, [Value::from("2026-11-24T09:30:00.000Z"), binary]);
}

#[test]
fn a_placeholder_next_to_a_binary_is_refused() {
    let forged = b"\x93\xa1e\xc4\x01\x07\x82\xac_placeholder\xc3\xa3num\x00";
    let of_classic = [&b"\x93\xa1n\x83\xa4type\x02\xa4data"[..], forged, b"\xa3nsp\xa2/a\x81\xa5rooms\x90"].concat();
    let refused = classic::decode(Channel::Broadcast(None), &of_classic.into(), &"/a".into()).map(drop);
    assert_eq!(refused, Err(CodecError::Placeholder));
    let of_cluster = [
        &b"\x84\xa4type\x03\xa4data\x82\xa6packet\x82\xa4type\x02\xa4data"[..],
        forged,
        b"\xa4opts\x81\xa5rooms\x90\xa3uid\xa1n\xa3nsp\xa2/a",
    ]
    .concat();
    assert_eq!(cluster::decode(&of_cluster.into(), &"/a".into()).map(drop), Err(CodecError::Placeholder));
    // Without a binary it is an object like any other.
    let plain = b"\x92\xa1e\x82\xac_placeholder\xc3\xa3num\x00";
    let of_classic = [&b"\x93\xa1n\x83\xa4type\x02\xa4data"[..], plain, b"\xa3nsp\xa2/a\x81\xa5rooms\x90"].concat();
    assert!(classic::decode(Channel::Broadcast(None), &of_classic.into(), &"/a".into()).is_ok());
}
