//! What Node.js servers with the classic adapter were seen to send: read, and written alike.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use bytes::Bytes;
use bytestring::ByteString;
use sockeye::adapter::Packet;
use sockeye::{Args, Target, Value};
use sockeye_cluster::codec::CodecError;
use sockeye_cluster::{Destination, Message, NodeId, RequestId, Sender};
use sockeye_redis::codec::classic::{
    Channel, Channels, Incoming, decode, encode, encode_done, encode_rooms, encode_sockets,
};

/// One message of the recording.
struct Recorded {
    /// The node; none if it was the emitter.
    node: Option<NodeId>,
    channel: &'static str,
    data: Bytes,
}

fn recorded() -> Vec<Recorded> {
    let lines = include_str!("data/classic.txt").lines().filter(|line| !line.starts_with('#'));
    let read = |line: &'static str| {
        let [who, channel, data] = line.splitn(3, ' ').collect::<Vec<_>>().try_into().unwrap();
        Recorded {
            node: match who {
                "A" => Some("hq_Roy".into()),
                "B" => Some("zNWNoy".into()),
                _ => None,
            },
            channel,
            data: if data.starts_with('{') { Bytes::from_static(data.as_bytes()) } else { unhex(data) },
        }
    };
    lines.map(read).collect()
}

fn unhex(text: &str) -> Bytes {
    let digits = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

fn main_namespace() -> ByteString {
    ByteString::from_static("/")
}

fn channels() -> Channels {
    Channels::new("socket.io", "/")
}

/// The message that a request of the main namespace is.
fn request(text: &str) -> Result<(Sender, Incoming), CodecError> {
    decode(Channel::Request, &Bytes::copy_from_slice(text.as_bytes()), &main_namespace())
}

fn response(text: &str) -> Result<Incoming, CodecError> {
    decode(Channel::Response, &Bytes::copy_from_slice(text.as_bytes()), &main_namespace()).map(|(_, incoming)| incoming)
}

fn names<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> Vec<String> {
    names.into_iter().map(|name| name.as_ref().to_owned()).collect()
}

#[test]
fn messages_are_written_as_they_were() {
    let (mut written, mut of_emitters) = (0, 0);
    for Recorded { node, channel, data } in recorded() {
        let kind = channels().find(channel).unwrap();
        let (sender, incoming) = decode(kind, &data, &main_namespace()).unwrap();
        let Some(node) = node else {
            // Emitters write some things in another order.
            assert_eq!(sender, Sender::Unnamed);
            assert!(matches!(incoming, Incoming::Message(_)));
            of_emitters += 1;
            continue;
        };
        assert_eq!(sender, if kind == Channel::Response { Sender::Unnamed } else { Sender::Node(node.clone()) });
        let again = match incoming {
            Incoming::Message(message) => {
                assert_eq!(channels().of(&message, &Destination::Node("hq_Roy".into())), channel);
                encode(message, &node).unwrap()
            }
            Incoming::AllRooms { request } => {
                assert_eq!(data, format!(r#"{{"uid":"{node}","requestId":"{request}","type":1}}"#));
                continue;
            }
            Incoming::OtherAnswer => encode_rooms(&"OhkQjF".into(), ["fm2PqkDzCaGZ7dn9AAAB", "room1"]).unwrap(),
            other => panic!("{other:?}"),
        };
        written += 1;
        if data.starts_with(br#"{"requestId":"kjZZa2","sockets""#) {
            // The members of a handshake have no order here.
            let [again, data] =
                [&again[..], &data].map(|text| serde_json::from_slice::<serde_json::Value>(text).unwrap());
            assert_eq!(again, data);
        } else {
            assert_eq!(again, data, "{}", String::from_utf8_lossy(&data));
        }
    }
    assert_eq!((written, of_emitters), (21, 5));
}

#[test]
fn what_a_broadcast_says() {
    let all = recorded();
    let broadcast = |index: usize| match decode(Channel::Broadcast(None), &all[index].data, &main_namespace()) {
        Ok((_, Incoming::Message(Message::Broadcast { packet, target, request: None }))) => (packet, target),
        other => panic!("{other:?}"),
    };
    let (packet, target) = broadcast(2);
    assert_eq!((&*packet.namespace, packet.args().unwrap().len()), ("/", 0));
    assert_eq!((names(&target.rooms), names(&target.except)), (names(["room1", "room2"]), names(["x"])));
    assert_eq!((target.flags.volatile, target.flags.compress), (true, false));
    let (packet, target) = broadcast(4);
    assert_eq!(packet.args().unwrap().attachments(), [Bytes::from_static(&[1, 2, 3])]);
    assert_eq!((target.rooms.len(), target.flags.volatile, target.flags.compress), (0, false, true));
}

#[test]
fn questions_that_only_official_nodes_ask() {
    let (sender, asked) = request(r#"{"uid":"hq_Roy","requestId":"r","type":0,"rooms":["a",7]}"#).unwrap();
    let Incoming::Sockets { rooms, request: id } = asked else { panic!("{asked:?}") };
    assert_eq!((sender, &*id, names(&rooms)), (Sender::Node("hq_Roy".into()), "r", names(["a", "7"])));
    assert_eq!(encode_sockets(&id, ["x", "y"]).unwrap(), br#"{"requestId":"r","sockets":["x","y"]}"#);
    assert_eq!(encode_sockets(&id, []).unwrap(), br#"{"requestId":"r","sockets":[]}"#);
    assert!(matches!(response(r#"{"requestId":"r","sockets":["x","y"]}"#).unwrap(), Incoming::OtherAnswer));
    assert!(matches!(response(r#"{"requestId":"r"}"#).unwrap(), Incoming::OtherAnswer));
    // No sockets answer either question.
    let none = response(r#"{"requestId":"r","sockets":[]}"#).unwrap();
    assert!(matches!(none, Incoming::Message(Message::FetchSocketsResponse { sockets, .. }) if sockets.is_empty()));
}

#[test]
fn orders_to_one_socket() {
    let one = |text: &str| match request(text).unwrap() {
        (sender, Incoming::OneSocket { socket, message, request }) => {
            assert_eq!((sender, &*socket), (Sender::Unnamed, "s"));
            (message, request)
        }
        other => panic!("{other:?}"),
    };
    let (message, id) = one(r#"{"requestId":"r","type":2,"sid":"s","room":"a"}"#);
    let Message::JoinSockets { target, rooms } = message else { panic!("{message:?}") };
    assert_eq!((names(&target.rooms), names(&rooms)), (names(["s"]), names(["a"])));
    assert_eq!(encode_done(&id.unwrap()).unwrap(), br#"{"requestId":"r"}"#);
    let (message, id) = one(r#"{"type":3,"sid":"s","room":"a"}"#);
    assert!(matches!(message, Message::LeaveSockets { .. }) && id.is_none());
    let (message, _) = one(r#"{"requestId":"r","type":4,"sid":"s","close":true}"#);
    assert!(matches!(message, Message::DisconnectSockets { close: true, .. }));
    assert_eq!(request(r#"{"type":2,"room":"a"}"#).unwrap_err(), CodecError::Member("sid"));
    assert_eq!(request(r#"{"type":2,"sid":"s"}"#).unwrap_err(), CodecError::Member("room"));
}

/// As `JSON.stringify` of Node.js has it, so that a program gets from one kind of server what it gets from the other.
#[test]
fn binaries_between_programs_become_objects() {
    let value = [("b", Value::Binary(Bytes::from_static(&[0, 7, 255])))].into_iter().collect();
    let args = Args::from_values(vec![Value::from(1.5), value]);
    let message = Message::ServerSideEmit { event: "e".to_owned(), args, request: Some("r".into()) };
    let data = encode(message, &"n".into()).unwrap();
    let expected = r#"{"uid":"n","requestId":"r","type":6,"data":["e",1.5,{"b":{"type":"Buffer","data":[0,7,255]}}]}"#;
    assert_eq!(std::str::from_utf8(&data).unwrap(), expected);
    let answer = Args::from_values(vec![Value::Binary(Bytes::new())]);
    let data = encode(Message::ServerSideEmitResponse { request: "r".into(), args: answer }, &"n".into()).unwrap();
    assert_eq!(data, br#"{"type":6,"requestId":"r","data":{"type":"Buffer","data":[]}}"#);
}

/// Whoever writes MessagePack is understood all the same.
#[test]
fn binaries_between_programs_are_read() {
    let data = b"\x84\xa3uid\xa1n\xa9requestId\xa1r\xa4type\x06\xa4data\x92\xa1e\xc4\x01\x07";
    let (_, read) = decode(Channel::Request, &Bytes::from_static(data), &main_namespace()).unwrap();
    let Incoming::Message(Message::ServerSideEmit { args, .. }) = read else { panic!("{read:?}") };
    assert_eq!(args.attachments(), [Bytes::from_static(&[7])]);
}

/// Emitters of other languages have no rooms in several ways, all of which the official nodes take.
#[test]
fn no_rooms_may_be_nothing_or_an_empty_text() {
    let packet = b"\x83\xa4type\x02\xa4data\x91\xa1e\xa3nsp\xa1/";
    for options in [&b"\x82\xa5flags\xa0\xa5rooms\xa0"[..], b"\x83\xa5rooms\xc0\xa5flags\xc0\xa6except\xc0", b"\x80"] {
        let data = [b"\x93\xa7emitter", &packet[..], options].concat();
        let (sender, read) = decode(Channel::Broadcast(None), &data.into(), &main_namespace()).unwrap();
        let Incoming::Message(Message::Broadcast { target, .. }) = read else { panic!("{read:?}") };
        assert!(sender == Sender::Unnamed && target.rooms.is_empty() && target.except.is_empty());
        assert!(target.flags.compress && !target.flags.volatile);
    }
}

#[test]
fn an_answer_may_be_nothing() {
    let answer = Message::ServerSideEmitResponse { request: "r".into(), args: Args::empty() };
    let data = encode(answer, &"n".into()).unwrap();
    assert_eq!(data, br#"{"type":6,"requestId":"r"}"#);
    let read = response(std::str::from_utf8(&data).unwrap()).unwrap();
    assert!(matches!(read, Incoming::Message(Message::ServerSideEmitResponse { args, .. }) if args.is_empty()));
    let acknowledged = Message::Acknowledgement { request: "r".into(), args: Args::empty() };
    assert_eq!(encode(acknowledged, &"n".into()).unwrap(), b"\x82\xa4type\x09\xa9requestId\xa1r");
}

#[test]
fn names_of_channels() {
    let me = NodeId::from("me");
    let main = channels();
    assert_eq!(main.pattern(), "socket.io#/#*");
    assert_eq!(main.names(&me), ["socket.io-request#/#", "socket.io-response#/#", "socket.io-response#/#me#"]);
    assert_eq!(main.counted(), "socket.io-request#/#");
    assert_eq!(main.find("socket.io#/#"), Some(Channel::Broadcast(None)));
    assert_eq!(main.find("socket.io#/#a#b#"), Some(Channel::Broadcast(Some("a#b"))));
    assert_eq!(main.find("socket.io-response#/#me#"), Some(Channel::Response));
    for other in ["socket.io#/chat#", "socket.io-request#/chat#", "socket.io-response#/chat#", "socket.io#/#x", ""] {
        assert_eq!(main.find(other), None, "{other}");
    }
    assert_eq!(Channels::new("k", "/a*[b]?\\").pattern(), "k#/a\\*\\[b\\]\\?\\\\#*");
}

#[test]
fn where_messages_go() {
    let to = Destination::Node("asker".into());
    let request = || RequestId::from("r");
    let count = Message::ClientCount { request: request(), clients: 1 };
    let program = Message::ServerSideEmitResponse { request: request(), args: Args::empty() };
    let apart = channels().answers_apart(true);
    assert_eq!(channels().of(&count, &to), "socket.io-response#/#");
    assert_eq!(apart.of(&count, &to), "socket.io-response#/#asker#");
    assert_eq!(apart.of(&program, &to), "socket.io-response#/#");
    assert_eq!(apart.answer(&Destination::All), "socket.io-response#/#");
    let mut target = Target::default();
    target.rooms.push("a".into());
    let packet = Packet::event("/", "e", Args::empty());
    let broadcast = |request| Message::Broadcast { packet: packet.clone(), target: target.clone(), request };
    assert_eq!(channels().of(&broadcast(None), &Destination::All), "socket.io#/#a#");
    assert_eq!(channels().of(&broadcast(Some(request())), &Destination::All), "socket.io-request#/#");
}

#[test]
fn namespaces_are_told_apart() {
    let chat = ByteString::from_static("/chat");
    let read = |packet: &[u8], namespace: &ByteString| {
        let data = [b"\x93\xa1n", packet, b"\x82\xa5rooms\x90\xa5flags\x80"].concat();
        decode(Channel::Broadcast(None), &data.into(), namespace).map(drop)
    };
    let of_chat = b"\x83\xa4type\x02\xa4data\x91\xa1e\xa3nsp\xa5/chat";
    assert_eq!(read(of_chat, &chat), Ok(()));
    assert_eq!(read(of_chat, &main_namespace()), Err(CodecError::OtherNamespace));
    let of_none = b"\x82\xa4type\x02\xa4data\x91\xa1e";
    assert_eq!(read(of_none, &main_namespace()), Ok(()));
    assert_eq!(read(of_none, &chat), Err(CodecError::OtherNamespace));
}

#[test]
fn what_is_no_message_is_an_error_and_nothing_worse() {
    assert_eq!(request(r#"{"type":10}"#).unwrap_err(), CodecError::UnknownType);
    assert_eq!(request(r#"{"uid":"n"}"#).unwrap_err(), CodecError::Member("type"));
    assert_eq!(request(r#"{"type":5,"opts":{"rooms":[]}}"#).unwrap_err(), CodecError::Member("requestId"));
    assert_eq!(response(r#"{"type":8,"requestId":"r"}"#).unwrap_err(), CodecError::Member("clientCount"));
    assert_eq!(response("[]").unwrap_err(), CodecError::MsgPack);
    for message in [Message::InitialHeartbeat, Message::Heartbeat, Message::Close] {
        assert_eq!(encode(message, &"n".into()).unwrap_err(), CodecError::Unwritable);
    }
    for Recorded { channel, data, .. } in recorded() {
        let kind = channels().find(channel).unwrap();
        for end in 0..data.len() {
            assert!(decode(kind, &data.slice(..end), &main_namespace()).is_err());
            for flip in [0x01, 0x20, 0x80, 0xff] {
                let mut changed = data.to_vec();
                changed[end] ^= flip;
                // Whatever it says now, it is read or refused.
                drop(decode(kind, &changed.into(), &main_namespace()));
            }
        }
    }
}
