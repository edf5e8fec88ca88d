//! What Node.js servers with the sharded adapter and the one over streams were seen to send: read, and written alike.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use bytes::Bytes;
use bytestring::ByteString;
use sockeye::{Args, Value};
use sockeye_cluster::codec::CodecError;
use sockeye_cluster::codec::cluster::{Form, decode, decode_entry, encode, encode_entry};
use sockeye_cluster::{Message, NodeId, Sender};

/// In the main namespace, by this node.
const NODE: &str = "e9e8b44928da1447";

const JSON: [&str; 15] = [
    r#"{"type":3,"data":{"packet":{"type":2,"data":["hello",1,"2",{"a":[true,null]}]},"opts":{"rooms":[],"except":[],"flags":{}}},"uid":"e9e8b44928da1447","nsp":"/"}"#,
    r#"{"type":3,"data":{"packet":{"type":2,"data":["r",1]},"opts":{"rooms":["room1"],"except":[],"flags":{}}},"uid":"e9e8b44928da1447","nsp":"/"}"#,
    r#"{"type":3,"data":{"packet":{"type":2,"data":["r2"]},"opts":{"rooms":["room1","room2"],"except":["x"],"flags":{"compress":false,"volatile":true}}},"uid":"e9e8b44928da1447","nsp":"/"}"#,
    r#"{"type":3,"data":{"packet":{"type":2,"data":["q","p"]},"requestId":"1b38fc9b584dbed3","opts":{"rooms":[],"except":[],"flags":{"timeout":800}}},"uid":"e9e8b44928da1447","nsp":"/"}"#,
    r#"{"type":11,"data":{"requestId":"1b38fc9b584dbed3","clientCount":1},"uid":"e9e8b44928da1447","nsp":"/"}"#,
    r#"{"type":12,"data":{"requestId":"1b38fc9b584dbed3","packet":"reply-b"},"uid":"e9e8b44928da1447","nsp":"/"}"#,
    r#"{"type":7,"data":{"opts":{"rooms":[],"except":[],"flags":{}},"requestId":"81c817039f5d9638"},"uid":"e9e8b44928da1447","nsp":"/"}"#,
    r#"{"type":4,"data":{"opts":{"rooms":["room1"],"except":[],"flags":{}},"rooms":["r9"]},"uid":"e9e8b44928da1447","nsp":"/"}"#,
    r#"{"type":5,"data":{"opts":{"rooms":["room1"],"except":[],"flags":{}},"rooms":["r9"]},"uid":"e9e8b44928da1447","nsp":"/"}"#,
    r#"{"type":9,"data":{"packet":["sse",1]},"uid":"e9e8b44928da1447","nsp":"/"}"#,
    r#"{"type":9,"data":{"requestId":"f68171796228dda3","packet":["sse",2]},"uid":"e9e8b44928da1447","nsp":"/"}"#,
    r#"{"type":10,"data":{"requestId":"f68171796228dda3","packet":"pong"},"uid":"e9e8b44928da1447","nsp":"/"}"#,
    r#"{"type":6,"data":{"opts":{"rooms":[],"except":[],"flags":{}},"close":true},"uid":"e9e8b44928da1447","nsp":"/"}"#,
    r#"{"type":1,"uid":"e9e8b44928da1447","nsp":"/"}"#,
    r#"{"type":13,"uid":"e9e8b44928da1447","nsp":"/"}"#,
];

/// A broadcast with a binary of the sharded adapter, and an acknowledgement with one.
const MSGPACK: [&str; 2] = [
    "84a47479706503a46461746182a67061636b657482a47479706502a46461746192a362696ec403010203a46f70747383a5726f6f6d7390a665786365707490a5666c61677380a3756964b065396538623434393238646131343437a36e7370a12f",
    "84a4747970650ca46461746182a9726571756573744964b036353565303032396430346662633034a67061636b6574c40107a3756964b032313431353363326665306439656465a36e7370a12f",
];

/// Of the adapter over streams: a broadcast that asks, a count, an answer, questions, an event.
const STREAMS: [&str; 7] = [
    "84a47479706503a46461746183a67061636b657482a47479706502a46461746192a171a170a9726571756573744964b063303266626566663935663436306535a46f70747383a5726f6f6d7390a665786365707490a5666c61677381a774696d656f7574cd0320a3756964b032643631376630376662633435616166a36e7370a12f",
    "84a4747970650ba46461746182a9726571756573744964b063303266626566663935663436306535ab636c69656e74436f756e7401a3756964b035363839656530373238616639353064a36e7370a12f",
    "84a4747970650ca46461746182a9726571756573744964b063303266626566663935663436306535a67061636b6574a77265706c792d62a3756964b035363839656530373238616639353064a36e7370a12f",
    "84a47479706507a46461746182a46f70747383a5726f6f6d7390a665786365707490a5666c61677380a9726571756573744964b062363137306532376366353663353637a3756964b032643631376630376662633435616166a36e7370a12f",
    "84a47479706509a46461746181a67061636b657492a373736501a3756964b032643631376630376662633435616166a36e7370a12f",
    "84a47479706509a46461746182a9726571756573744964b035363331363532383864633234386432a67061636b657492a373736502a3756964b032643631376630376662633435616166a36e7370a12f",
    "84a4747970650aa46461746182a9726571756573744964b035363331363532383864633234386432a67061636b6574a4706f6e67a3756964b035363839656530373238616639353064a36e7370a12f",
];

/// The type and the data of entries in a stream.
const ENTRIES: [(&str, &str); 6] = [
    (
        "3",
        r#"{"packet":{"type":2,"data":["hello",1,"2",{"a":[true,null]}]},"opts":{"rooms":[],"except":[],"flags":{}}}"#,
    ),
    ("3", r#"{"packet":{"type":2,"data":["bc"]},"opts":{"rooms":[],"except":["vZP_7R7napVEsB3qAAAA"],"flags":{}}}"#),
    ("3", "gqZwYWNrZXSCpHR5cGUCpGRhdGGSo2JpbsQDAQIDpG9wdHODpXJvb21zkKZleGNlcHSQpWZsYWdzgA=="),
    ("4", r#"{"opts":{"rooms":["room1"],"except":[],"flags":{}},"rooms":["r9"]}"#),
    ("5", r#"{"opts":{"rooms":["room1"],"except":[],"flags":{}},"rooms":["r9"]}"#),
    ("6", r#"{"opts":{"rooms":[],"except":[],"flags":{}},"close":true}"#),
];

fn main_namespace() -> ByteString {
    ByteString::from_static("/")
}

fn unhex(text: &str) -> Bytes {
    let digits = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

/// Reads a message and writes it again, as its sender would.
fn again(data: &Bytes, form: Form) -> Vec<u8> {
    let (sender, message) = decode(data, &main_namespace()).unwrap();
    let Sender::Node(node) = sender else { panic!("a node sent it") };
    encode(message, &node, "/", form).unwrap()
}

#[test]
fn messages_are_written_as_they_were() {
    for text in JSON {
        let written = again(&Bytes::from_static(text.as_bytes()), Form::Smallest);
        assert_eq!(String::from_utf8(written).unwrap(), text);
    }
    for hex in MSGPACK {
        assert_eq!(again(&unhex(hex), Form::Smallest), unhex(hex));
    }
    for hex in STREAMS {
        assert_eq!(again(&unhex(hex), Form::MsgPack), unhex(hex));
    }
}

#[test]
fn entries_are_written_as_they_were() {
    for (kind, data) in ENTRIES {
        let fields = [("uid", NODE), ("nsp", "/"), ("type", kind), ("data", data)];
        let (sender, message) = decode_entry(fields, &main_namespace()).unwrap();
        assert_eq!(sender, Sender::Node(NODE.into()));
        let written = encode_entry(message, &NODE.into(), "/").unwrap();
        assert_eq!(written, fields.map(|(name, value)| (name, value.to_owned())));
    }
}

#[test]
fn what_a_broadcast_says() {
    let (sender, message) = decode(&Bytes::from_static(JSON[2].as_bytes()), &main_namespace()).unwrap();
    assert_eq!(sender, Sender::Node(NODE.into()));
    let Message::Broadcast { packet, target, request: None } = message else { panic!("a broadcast") };
    assert_eq!((&*packet.namespace, packet.args().unwrap().len()), ("/", 0));
    assert_eq!(target.rooms.iter().map(|room| &**room).collect::<Vec<_>>(), ["room1", "room2"]);
    assert_eq!(&*target.except[0], "x");
    assert_eq!((target.flags.volatile, target.flags.compress), (true, false));
    let (_, message) = decode(&unhex(MSGPACK[0]), &main_namespace()).unwrap();
    let Message::Broadcast { packet, .. } = message else { panic!("a broadcast") };
    assert_eq!(packet.args().unwrap().attachments(), [Bytes::from_static(&[1, 2, 3])]);
}

#[test]
fn sockets_are_described() {
    let text = r#"{"type":8,"data":{"requestId":"81c8","sockets":[{"id":"Xj2Q","handshake":{"headers":{"host":"localhost"},"time":"x","address":"::1","xdomain":false,"secure":false,"issued":1795488835960,"url":"/","query":{"EIO":"4"},"auth":{}},"rooms":["Xj2Q","room1",7],"data":{"user":"bob"}}]},"uid":"e9e8b44928da1447","nsp":"/"}"#;
    let data = Bytes::from_static(text.as_bytes());
    let (_, message) = decode(&data, &main_namespace()).unwrap();
    let Message::FetchSocketsResponse { request, sockets } = message else { panic!("a description") };
    assert_eq!((&*request, &*sockets[0].id), ("81c8", "Xj2Q"));
    assert_eq!(sockets[0].rooms.iter().map(|room| &**room).collect::<Vec<_>>(), ["Xj2Q", "room1", "7"]);
    assert_eq!(sockets[0].data["user"], "bob");
    assert_eq!(sockets[0].handshake["issued"], 1_795_488_835_960_u64);
    let parse = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).unwrap();
    // The order of the members may be another, and a room is text now.
    let written = again(&data, Form::Smallest);
    assert_eq!(parse(&written), parse(text.replace(",7]", ",\"7\"]").as_bytes()));
}

#[test]
fn an_emitter_is_nobody_and_answers_may_be_empty() {
    let text = r#"{"type":9,"data":{"packet":["sse",5]},"uid":"emitter","nsp":"/"}"#;
    assert_eq!(decode(&Bytes::from_static(text.as_bytes()), &main_namespace()).unwrap().0, Sender::Unnamed);
    let me = NodeId::from("me");
    let empty = Message::Acknowledgement { request: "r".into(), args: Args::empty() };
    let written = encode(empty, &me, "/", Form::Smallest).unwrap();
    assert_eq!(written, br#"{"type":12,"data":{"requestId":"r"},"uid":"me","nsp":"/"}"#);
    let (_, message) = decode(&written.into(), &main_namespace()).unwrap();
    let Message::Acknowledgement { args, .. } = message else { panic!("an answer") };
    assert!(args.is_empty());
}

#[test]
fn dates_and_halves_of_characters_are_read() {
    // [name, date of 2026-11-24T09:30:00Z in 4 bytes, the same with 500 ms in 8 bytes]
    let seconds = 1_795_512_600_u64;
    let mut data = vec![0x84, 0xa4];
    data.extend_from_slice(b"type\x09\xa4data\x81\xa6packet\x93\xa1e\xd6\xff");
    data.extend_from_slice(&u32::try_from(seconds).unwrap().to_be_bytes());
    data.extend_from_slice(b"\xd7\xff");
    data.extend_from_slice(&(500_000_000_u64 << 34 | seconds).to_be_bytes());
    data.extend_from_slice(b"\xa3uid\xa1n\xa3nsp\xa1/");
    let (_, message) = decode(&data.into(), &main_namespace()).unwrap();
    let Message::ServerSideEmit { args, .. } = message else { panic!("an event") };
    let expected = [Value::from("2026-11-24T09:30:00.000Z"), Value::from("2026-11-24T09:30:00.500Z")];
    assert_eq!(args.to_values().unwrap(), expected);
    let text = r#"{"type":9,"data":{"packet":["e","\ud800"]},"uid":"n","nsp":"/"}"#;
    assert!(decode(&Bytes::from_static(text.as_bytes()), &main_namespace()).is_ok());
}

#[test]
fn what_is_no_message_is_an_error_and_nothing_worse() {
    let refused = |text: &'static str| decode(&Bytes::from_static(text.as_bytes()), &main_namespace()).unwrap_err();
    assert_eq!(refused(r#"{"type":2,"uid":"n","nsp":"/other"}"#), CodecError::OtherNamespace);
    assert_eq!(refused(r#"{"type":99,"uid":"n","nsp":"/"}"#), CodecError::UnknownType);
    assert_eq!(refused(r#"{"type":3,"data":{},"uid":"n","nsp":"/"}"#), CodecError::Member("packet"));
    assert_eq!(refused("{"), CodecError::Json);
    assert_eq!(refused(""), CodecError::MsgPack);
    let deep = vec![0x91; 10_000];
    assert_eq!(decode(&deep.into(), &main_namespace()).unwrap_err(), CodecError::TooDeep);
    // Claims more than there is.
    assert_eq!(decode(&vec![0xdd, 0xff, 0xff, 0xff, 0xff].into(), &main_namespace()).unwrap_err(), CodecError::MsgPack);
    let all = JSON.iter().map(|text| Bytes::from_static(text.as_bytes()));
    for data in all.chain(MSGPACK.iter().chain(&STREAMS).map(|hex| unhex(hex))) {
        for end in 0..data.len() {
            assert!(decode(&data.slice(..end), &main_namespace()).is_err());
            for flip in [0x01, 0x20, 0x80, 0xff] {
                let mut changed = data.to_vec();
                changed[end] ^= flip;
                // Whatever it says now, it is read or refused.
                drop(decode(&changed.into(), &main_namespace()));
            }
        }
    }
}

/// What is read by the short way, and what is not, says the same.
#[test]
fn broadcasts_are_read_in_every_spelling() {
    let usual = r#"{"type":3,"data":{"packet":{"type":2,"data":["e",1,{"a":[true]}]},"opts":{"rooms":["r"],"except":["x"],"flags":{"volatile":true,"timeout":800}}},"uid":"other","nsp":"/"}"#;
    let unusual = [
        usual.replace("\"e\"", r#""\u0065""#),
        usual.replace("[\"r\"]", r#"["\u0072"]"#),
        usual.replace("\"other\"", r#""\u006fther""#),
        usual.replace("\"type\":2,", r#""type":2,"nsp":"/","id":null,"#),
        usual.replace(",1,", " , 1 , ").replace("[\"e\"", "[ \"e\""),
        r#"{"nsp":"/","uid":"other","data":{"opts":{"flags":{"timeout":800,"volatile":true},"except":["x"],"rooms":["r"]},"packet":{"data":["e",1,{"a":[true]}],"type":2}},"type":3}"#.to_owned(),
    ];
    let read = |text: &str| {
        let (sender, message) =
            decode(&Bytes::copy_from_slice(text.as_bytes()), &ByteString::from_static("/")).unwrap();
        let Message::Broadcast { packet, target, request: None } = message else { panic!("{message:?}") };
        let sockeye::adapter::PacketBody::Event { name, args } = packet.body else { panic!() };
        format!("{sender:?} {name:?} {:?} {target:?}", args.to_values().unwrap())
    };
    for text in unusual {
        assert_eq!(read(&text), read(usual), "{text}");
    }
    let none = usual.replace(",1,{\"a\":[true]}", "");
    assert!(read(&none).contains(" [] "), "{}", read(&none));
    for wrong in ["[\"e\",1", "[]", "[{}]", "\"e\""] {
        let text = usual.replace("[\"e\",1,{\"a\":[true]}]", wrong);
        assert!(decode(&text.into(), &ByteString::from_static("/")).is_err(), "{wrong}");
    }
}
