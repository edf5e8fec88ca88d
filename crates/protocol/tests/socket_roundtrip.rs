//! What is written is read back as it was, whatever it is; and nothing that is read makes the decoder panic.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use bytes::Bytes;
use proptest::{collection::vec, prelude::*};
use sockeye_protocol::{
    Message,
    socket::{Args, Decoder, EventName, Limits, Packet, PacketBody, Parser, Value},
};

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i8>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (any::<i32>(), 0..12_i32).prop_map(|(digits, places)| (f64::from(digits) / 10_f64.powi(places)).into()),
    ]
    // -0 is written as 0.
    .prop_filter("-0", |value| value.as_f64().is_none_or(|number| number != 0.0 || number.is_sign_positive()))
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number(),
        any::<String>().prop_map(Value::from),
        "[a-z\"\\\\\u{0}-\u{1f}]{0,8}".prop_map(Value::from),
        vec(any::<u8>(), 0..300).prop_map(|data| Value::Binary(data.into())),
    ];
    leaf.prop_recursive(5, 60, 20, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..20).prop_map(Value::Array),
            proptest::collection::btree_map("[a-z_\"é😀]{0,4}", inner, 0..20)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}

fn name() -> impl Strategy<Value = EventName> {
    prop_oneof![
        any::<String>().prop_map(EventName::from),
        "[a-z]{1,60}".prop_map(EventName::from),
        (-1e12..1e30_f64).prop_map(EventName::from_number),
        any::<u32>().prop_map(|number| EventName::from_number(number.into())),
    ]
    .prop_filter("too long", |name| name.len() < 500)
}

fn packet() -> impl Strategy<Value = Packet> {
    let body = prop_oneof![
        1 => Just(PacketBody::Disconnect),
        1 => Just(PacketBody::Connect(None)),
        1 => value().prop_map(|value| {
            let data: Value = [("token", without_binary(value))].into_iter().collect();
            PacketBody::Connect(Some(Args::from_values(vec![data]).json_elements().into()))
        }),
        1 => any::<String>().prop_map(|text| {
            PacketBody::ConnectError(Args::from_values(vec![text.into()]).json_elements().into())
        }),
        3 => vec(value(), 0..20).prop_map(|args| PacketBody::Ack(Args::from_values(args))),
        5 => (name(), vec(value(), 0..20)).prop_map(|(name, args)| {
            PacketBody::Event { name, args: Args::from_values(args) }
        }),
    ];
    let namespace = prop_oneof![Just("/".to_owned()), "/[^,]{0,20}"];
    let id = prop::option::of(prop_oneof![0..1000_u64, 0..(1_u64 << 53)]);
    (namespace, id, body).prop_map(|(namespace, id, body)| Packet { id, ..Packet::new(namespace, body) })
}

fn without_binary(value: Value) -> Value {
    match value {
        Value::Binary(_) => Value::Null,
        Value::Array(items) => Value::Array(items.into_iter().map(without_binary).collect()),
        Value::Object(members) => members.into_iter().map(|(key, value)| (key, without_binary(value))).collect(),
        other => other,
    }
}

/// Numbers that JavaScript does not count exactly as it has them: a large float may be read as an integer, rounded alike.
fn rounded(value: &Value) -> Value {
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(number) if number.abs() > 9e15 => {
                serde_json::Number::from_f64(number).map_or(Value::Null, Value::Number)
            }
            _ => value.clone(),
        },
        Value::Array(items) => Value::Array(items.iter().map(rounded).collect()),
        Value::Object(members) => members.iter().map(|(key, value)| (key.clone(), rounded(value))).collect(),
        other => other.clone(),
    }
}

fn values(args: &Args) -> Vec<Value> {
    args.to_values().unwrap().iter().map(rounded).collect()
}

fn limits() -> Limits {
    Limits { max_attachments: usize::MAX, max_attachment_bytes: usize::MAX, ..Limits::default() }
}

fn decode(packet: &Packet, parser: Parser) -> Packet {
    let mut decoder = Decoder::new(parser);
    let encoded = packet.encode(parser);
    let mut decoded = match encoded.head {
        Message::Text(text) => decoder.decode_text(&text, &limits()),
        Message::Binary(data) => decoder.decode_binary(data, &limits()),
    }
    .unwrap();
    for data in encoded.attachments {
        assert!(decoded.is_none() && decoder.is_pending());
        decoded = decoder.decode_binary(data, &limits()).unwrap();
    }
    assert!(!decoder.is_pending());
    decoded.unwrap()
}

fn assert_same(read: &Packet, written: &Packet) {
    assert_eq!((&read.namespace, read.id), (&written.namespace, written.id));
    match (&read.body, &written.body) {
        (PacketBody::Event { name, args }, PacketBody::Event { name: written_name, args: written_args }) => {
            assert_eq!((name, name.is_number()), (written_name, written_name.is_number()));
            assert_eq!(values(args), values(written_args));
            assert_eq!(args.len(), written_args.len());
        }
        (PacketBody::Ack(args), PacketBody::Ack(written)) => {
            assert_eq!(values(args), values(written));
        }
        (PacketBody::Connect(data), PacketBody::Connect(written)) => assert_eq!(data, written),
        (PacketBody::ConnectError(data), PacketBody::ConnectError(written)) => assert_eq!(data, written),
        (PacketBody::Disconnect, PacketBody::Disconnect) => {}
        (read, written) => panic!("{read:?} for {written:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn packets_survive_json(packet in packet()) {
        let mut text = Vec::new();
        packet.encode_json_into(&mut text);
        prop_assert_eq!(text.len(), packet.json_len());
        assert_same(&decode(&packet, Parser::Json), &packet);
    }

    #[test]
    fn packets_survive_msgpack(packet in packet()) {
        let read = decode(&packet, Parser::MsgPack);
        assert_same(&read, &packet);
        // From one parser to the other and back.
        assert_same(&decode(&decode(&read, Parser::Json), Parser::MsgPack), &packet);
    }

    #[test]
    fn values_survive_serde(value in value()) {
        let args = Args::from_serialize(&(&value,)).unwrap();
        prop_assert_eq!(rounded(&args.deserialize::<(Value,)>().unwrap().0), rounded(&value));
        prop_assert_eq!(&values(&args)[0], &rounded(&value));
        let shared = Args::from_values(vec![value]);
        prop_assert_eq!(args.json_elements(), shared.json_elements());
    }

    #[test]
    fn skipped_arguments_are_gone(packet in packet(), count in 0_usize..4) {
        let packet = decode(&packet, Parser::Json);
        let args = packet.args().cloned().unwrap_or_default();
        let rest = args.skip(count).unwrap();
        let expected = values(&args).split_off(count.min(args.len()));
        prop_assert_eq!(rest.len(), expected.len());
        prop_assert_eq!(&values(&rest), &expected);
        prop_assert_eq!(&values(&rest.skip(1).unwrap()), &expected[1.min(expected.len())..]);
        let first: Value = rest.deserialize().unwrap();
        prop_assert_eq!(rounded(&first), expected.first().cloned().unwrap_or_default());
        let (first, second): (Value, Value) = rest.deserialize().unwrap();
        prop_assert_eq!(rounded(&first), expected.first().cloned().unwrap_or_default());
        prop_assert_eq!(rounded(&second), expected.get(1).cloned().unwrap_or_default());
    }

    #[test]
    fn text_is_read_as_serde_json_reads_it(text in "[\\[\\]{}:,\"0-9a-f\\\\ u.eE+-]{0,24}|(\\[|\\{\"a\":|1|,|\\]|\\}|\"x\"|null|true|-1\\.5e3| ){0,12}") {
        let array = format!("[\"a\",{text}]");
        let theirs = serde_json::from_str::<serde_json::Value>(&array);
        let ours = Decoder::new(Parser::Json).decode_text(&format!("2{array}"), &limits());
        // What only JavaScript reads: halves of surrogate pairs, numbers out of range.
        let only_ours = array.contains("\\u") || array.contains(['e', 'E']);
        match (theirs, ours) {
            (Ok(theirs), Ok(Some(packet))) => {
                let values = packet.args().unwrap().to_values().unwrap();
                let ours: serde_json::Value = values.iter().map(Value::to_json).collect();
                let (ours, theirs) = (ours.as_array().unwrap().clone(), theirs.as_array().unwrap()[1..].to_vec());
                prop_assert_eq!(ours.len(), theirs.len());
                for (ours, theirs) in ours.iter().zip(&theirs) {
                    if !only_ours && !array.contains('.') {
                        prop_assert_eq!(ours, theirs);
                    }
                }
            }
            (Err(_), Err(_)) => {}
            (theirs, ours) => prop_assert!(only_ours && ours.is_ok(), "{:?} {:?}", theirs, ours),
        }
    }

    #[test]
    fn any_text_is_decoded_or_refused(text in "[0-6][0-9]{0,2}-?(/[a-z?,]{0,4})?[0-9]{0,3}\\PC{0,30}") {
        if let Ok(Some(packet)) = Decoder::new(Parser::Json).decode_text(&text, &limits()) {
            assert_same(&decode(&packet, Parser::Json), &packet);
        }
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(data in vec(any::<u8>(), 0..60)) {
        let mut message = b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x92\xa1a".to_vec();
        message.extend_from_slice(&data);
        if let Ok(Some(packet)) = Decoder::new(Parser::MsgPack).decode_binary(Bytes::from(message), &limits()) {
            assert_same(&decode(&packet, Parser::MsgPack), &packet);
        }
    }
}
