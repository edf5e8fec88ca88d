//! Packets written by the official encoders (`testing/vectors/socket.mjs`): read alike, and written to the same bytes.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde_json::Value as Json;
use sockeye_protocol::{
    Message,
    socket::{Args, Decoder, EventName, Limits, Packet, PacketBody, Parser, Value},
};

fn vectors() -> Vec<Json> {
    serde_json::from_str(include_str!("data/socket_packets.json")).unwrap()
}

fn value(tagged: &Json) -> Value {
    match tagged {
        Json::Object(tag) => match tag.iter().next().map(|(kind, content)| (kind.as_str(), content)).unwrap() {
            ("n", number) => number.as_str().unwrap().parse::<f64>().unwrap().into(),
            ("s", text) => text.as_str().unwrap().into(),
            ("b", data) => Value::Binary(binary(data)),
            ("a", items) => Value::Array(items.as_array().unwrap().iter().map(value).collect()),
            ("o", members) => members
                .as_array()
                .unwrap()
                .iter()
                .map(|member| (member[0].as_str().unwrap(), value(&member[1])))
                .collect(),
            (other, _) => panic!("unknown tag {other}"),
        },
        plain => plain.clone().into(),
    }
}

fn binary(data: &Json) -> Bytes {
    STANDARD.decode(data.as_str().unwrap()).unwrap().into()
}

/// The text that a value has as the only argument.
fn json_text(tagged: &Json) -> String {
    Args::from_values(vec![value(tagged)]).json_elements().to_owned()
}

fn packet(described: &Json) -> Packet {
    let data = described.get("data");
    let body = match described["type"].as_u64().unwrap() {
        0 => PacketBody::Connect(data.map(|data| json_text(data).into())),
        1 => PacketBody::Disconnect,
        2 => {
            let Some(Value::Array(mut args)) = data.map(value) else { panic!("no array") };
            let name = match args.remove(0) {
                Value::String(name) => EventName::from(name),
                Value::Number(number) => EventName::from_number(number.as_f64().unwrap()),
                other => panic!("{other:?} is no name"),
            };
            PacketBody::Event { name, args: Args::from_values(args) }
        }
        3 => {
            let Some(Value::Array(args)) = data.map(value) else { panic!("no array") };
            PacketBody::Ack(Args::from_values(args))
        }
        _ => PacketBody::ConnectError(json_text(data.unwrap()).into()),
    };
    Packet { id: described["id"].as_u64(), ..Packet::new(described["nsp"].as_str().unwrap(), body) }
}

fn message(vector: &Json) -> Message {
    match vector.as_str() {
        Some(text) => Message::Text(text.into()),
        None => Message::Binary(binary(&vector["b"])),
    }
}

fn decode(parser: Parser, messages: impl IntoIterator<Item = Message>) -> Packet {
    let (mut decoder, limits) = (Decoder::new(parser), Limits::default());
    let mut packet = None;
    for message in messages {
        assert!(packet.is_none(), "a packet came early");
        packet = match message {
            Message::Text(text) => decoder.decode_text(&text, &limits),
            Message::Binary(data) => decoder.decode_binary(data, &limits),
        }
        .unwrap();
    }
    packet.unwrap()
}

fn assert_same(ours: &Packet, theirs: &Packet) {
    assert_eq!((&ours.namespace, ours.id), (&theirs.namespace, theirs.id));
    match (&ours.body, &theirs.body) {
        (PacketBody::Connect(ours), PacketBody::Connect(theirs)) => assert_eq!(ours, theirs),
        (PacketBody::ConnectError(ours), PacketBody::ConnectError(theirs)) => assert_eq!(ours, theirs),
        (PacketBody::Disconnect, PacketBody::Disconnect) => {}
        (PacketBody::Ack(ours), PacketBody::Ack(theirs)) => {
            assert_eq!(ours.to_values().unwrap(), theirs.to_values().unwrap());
        }
        (PacketBody::Event { name, args }, PacketBody::Event { name: their_name, args: their_args }) => {
            assert_eq!((name, name.is_number()), (their_name, their_name.is_number()));
            assert_eq!(args.to_values().unwrap(), their_args.to_values().unwrap());
        }
        _ => panic!("{ours:?} and {theirs:?}"),
    }
}

#[test]
fn json_is_that_of_the_official_parser() {
    for vector in vectors() {
        let packet = packet(&vector["packet"]);
        let messages: Vec<Message> = vector["json"].as_array().unwrap().iter().map(message).collect();
        let encoded = packet.encode(Parser::Json);
        let ours: Vec<Message> =
            std::iter::once(encoded.head).chain(encoded.attachments.into_iter().map(Message::Binary)).collect();
        assert_eq!(ours, messages);
        assert_same(&decode(Parser::Json, messages), &packet);
    }
}

#[test]
fn msgpack_is_that_of_the_official_parser() {
    let mut seen = 0;
    for vector in vectors() {
        let Some(theirs) = vector.get("msgpack").map(message) else { continue };
        let packet = packet(&vector["packet"]);
        assert_eq!(packet.encode(Parser::MsgPack).head, theirs, "{packet:?}");
        assert_same(&decode(Parser::MsgPack, [theirs]), &packet);
        seen += 1;
    }
    assert!(seen > 30, "the vectors are missing");
}
