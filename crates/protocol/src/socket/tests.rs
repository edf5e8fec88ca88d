//! Tests of the socket half: rules of the decoder, arguments, values, MessagePack.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{number::js_number, scan::plain_len, *};
use crate::Message;

fn decode(text: &str) -> Result<Option<Packet>, DecodeError> {
    Decoder::new(Parser::Json).decode_text(text, &Limits::default())
}

fn packet(text: &str) -> Packet {
    decode(text).expect(text).expect(text)
}

fn event(text: &str) -> (EventName, Args) {
    match packet(text).body {
        PacketBody::Event { name, args } => (name, args),
        other => panic!("{text}: {other:?}"),
    }
}

fn text_of(packet: &Packet) -> String {
    let mut out = Vec::new();
    packet.encode_json_into(&mut out);
    assert_eq!(out.len(), packet.json_len());
    let text = String::from_utf8(out).unwrap();
    assert_eq!(packet.encode(Parser::Json).head, Message::Text(text.as_str().into()));
    text
}

#[test]
fn sizes_stay_small() {
    assert!(size_of::<Decoder>() <= 16);
    assert_eq!(size_of::<EventName>(), 32);
    assert!(size_of::<Packet>() <= 184, "{}", size_of::<Packet>());
}

#[test]
fn packets_come_back_as_they_were() {
    for text in [
        "0",
        "0/admin,",
        r#"0/admin,{"token":"x"}"#,
        r#"0{"token":"x"}"#,
        "1",
        "1/admin,",
        r#"2["hello",1,"a",null,true,{"b":[]}]"#,
        r#"2/admin,456["project:delete",123]"#,
        r#"2["hello"]"#,
        "2[1,2]",
        "2[-1.5]",
        "3/admin,456[]",
        "31[1]",
        r#"4/admin,{"message":"Not authorized"}"#,
        r#"4"text""#,
        "4",
        r#"2["with \"quotes\" \\ and \n\u0001","x"]"#,
    ] {
        assert_eq!(text_of(&packet(text)), text);
    }
}

#[test]
fn forms_that_differ_mean_the_same() {
    for (text, canonical) in [
        ("40/random", None),
        ("0/random", Some("0/random,")),
        ("1/custom", Some("1/custom,")),
        ("007[]", None),
        ("2007[\"a\"]", Some("27[\"a\"]")),
        ("2[\"a\" , 1 ] ", Some("2[\"a\",1 ]")),
        ("2[\"\\u0061\"]", Some("2[\"a\"]")),
        ("2[1.0]", Some("2[1]")),
        ("2[1e400]", Some("2[1e999]")),
        ("2[-0]", Some("2[0]")),
        ("35", Some("35[]")),
        ("0{\"a\":1} ", Some("0{\"a\":1}")),
    ] {
        match canonical {
            Some(canonical) => assert_eq!(text_of(&packet(text)), canonical),
            None => assert!(decode(text).is_err(), "{text}"),
        }
    }
}

#[test]
fn illegal_packets_are_refused() {
    use DecodeError::*;
    for (text, error) in [
        ("", Empty),
        ("7", UnknownType),
        ("a", UnknownType),
        ("5", IllegalAttachmentCount),
        ("5-[\"a\"]", IllegalAttachmentCount),
        ("50-[\"a\"]", IllegalAttachmentCount),
        ("5a-[\"a\"]", IllegalAttachmentCount),
        ("51[\"a\"]", IllegalAttachmentCount),
        ("511-[\"a\"]", TooManyAttachments { limit: 10 }),
        ("599999999999999999999999999-[\"a\"]", TooManyAttachments { limit: 10 }),
        ("442[\"some\",\"data\"", InvalidJson),
        ("0/admin,\"invalid\"", InvalidPayload),
        ("0[]", InvalidPayload),
        ("0{", InvalidJson),
        ("1/admin,{}", InvalidPayload),
        ("2", InvalidEventName),
        ("2[]", InvalidEventName),
        ("2/admin,\"invalid", InvalidJson),
        ("2/admin,{}", InvalidPayload),
        ("2[{\"toString\":\"foo\"}]", InvalidEventName),
        ("2[true,\"foo\"]", InvalidEventName),
        ("2[null,\"bar\"]", InvalidEventName),
        ("2[\"connect\"]", ReservedEvent),
        ("2[\"disconn\\u0065ct\",\"123\"]", ReservedEvent),
        ("2[\"newListener\"]", ReservedEvent),
        ("2[\"a\"]x", InvalidJson),
        ("2[\"a\",]", InvalidJson),
        ("2[\"a\" 1]", InvalidJson),
        ("2[\"a\",01]", InvalidJson),
        ("2[\"a\",1.]", InvalidJson),
        ("2[\"a\",.5]", InvalidJson),
        ("2[\"a\",+1]", InvalidJson),
        ("2[\"a\",NaN]", InvalidJson),
        ("2[\"a\",\"\n\"]", InvalidJson),
        ("2[\"a\",\"\\x\"]", InvalidJson),
        ("2[\"a\",\"\\u12g4\"]", InvalidJson),
        ("2[\"a\",{a:1}]", InvalidJson),
        ("2[\"a\",{\"a\":1,}]", InvalidJson),
        ("2[\"a\",nul]", InvalidJson),
        ("2-1[\"a\"]", InvalidJson),
        ("2 [\"a\"]", InvalidId),
        ("3{}", InvalidPayload),
        ("4[]", InvalidPayload),
        ("51-[\"a\",{\"_placeholder\":true,\"num\":1}]", IllegalPlaceholder),
        ("51-[\"a\",{\"_placeholder\":true,\"num\":-1}]", IllegalPlaceholder),
        ("51-[\"a\",{\"_placeholder\":true,\"num\":0.5}]", IllegalPlaceholder),
        ("51-[\"a\",{\"_placeholder\":true,\"num\":\"splice\"}]", IllegalPlaceholder),
        ("51-[\"a\",{\"_placeholder\":true}]", IllegalPlaceholder),
        ("51-[\"a\",[{\"b\":{\"\\u005fplaceholder\":true,\"num\":1e9}}]]", IllegalPlaceholder),
        ("51-[{\"_placeholder\":true,\"num\":0}]", InvalidEventName),
    ] {
        assert_eq!(decode(text).map(|_| ()), Err(error), "{text}");
    }
}

#[test]
fn limits_hold_at_their_edge() {
    let limits = Limits { max_namespace_len: 5, max_event_name_len: 4, max_depth: 3, ..Limits::default() };
    let decode = |text: &str| Decoder::new(Parser::Json).decode_text(text, &limits).map(|_| ());
    assert_eq!(decode("0/1234,"), Ok(()));
    assert_eq!(decode("0/1234"), Ok(()));
    assert_eq!(decode("0/12345,"), Err(DecodeError::NamespaceTooLong { limit: 5 }));
    assert_eq!(decode("0/12345"), Err(DecodeError::NamespaceTooLong { limit: 5 }));
    assert_eq!(decode("2[\"abcd\",[[]]]"), Ok(()));
    assert_eq!(decode("2[\"abcd\",[[[]]]]"), Err(DecodeError::TooDeep { limit: 3 }));
    assert_eq!(decode("2[\"abcde\"]"), Err(DecodeError::EventNameTooLong { limit: 4 }));
    assert_eq!(decode("2[\"\\u0061bcd\"]"), Ok(()));
}

#[test]
fn the_deepest_packet_can_be_read_in_every_way() {
    let depth = 126;
    let text = format!("2[\"a\",{}{}]", "[".repeat(depth), "]".repeat(depth));
    let (_, args) = event(&text);
    args.to_values().unwrap();
    args.deserialize::<Value>().unwrap();
    args.deserialize::<(serde_json::Value,)>().unwrap();
    let encoded = packet(&text).encode(Parser::MsgPack);
    let Message::Binary(data) = encoded.head else { panic!() };
    let back = Decoder::new(Parser::MsgPack).decode_binary(data, &Limits::default()).unwrap().unwrap();
    assert_eq!(text_of(&back), text);
    let deeper = format!("2[\"a\",{}{}]", "[".repeat(depth + 1), "]".repeat(depth + 1));
    assert_eq!(decode(&deeper).map(|_| ()), Err(DecodeError::TooDeep { limit: 127 }));
    assert_eq!(
        decode(&format!("2[\"a\",{}", "[".repeat(1_000_000))).map(|_| ()),
        Err(DecodeError::TooDeep { limit: 127 })
    );
}

/// In JSON they are objects.
#[test]
fn binaries_nest_like_objects() {
    #[derive(Serialize)]
    struct Nested(#[serde(serialize_with = "nested")] usize);
    fn nested<S: serde::Serializer>(depth: &usize, serializer: S) -> Result<S::Ok, S::Error> {
        match depth {
            0 => serializer.serialize_bytes(b"x"),
            depth => [Nested(depth - 1)].serialize(serializer),
        }
    }
    for (depth, fits) in [(124, true), (125, true), (126, false)] {
        let mut value = Value::Binary(Bytes::from_static(b"x"));
        for _ in 0..depth {
            value = Value::Array(vec![value]);
        }
        let mut args = Args::from_values(vec![value.clone()]);
        assert_eq!(args.attachments().len(), usize::from(fits), "too deep it is null");
        assert_eq!(args.to_values().unwrap() == [value], fits);
        assert_eq!(args.push(&Nested(depth)).is_ok(), fits);
        args.to_values().unwrap();

        let message = [b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x92\xa1a", &*vec![0x91; depth], b"\xc4\x01x"].concat();
        let read = Decoder::new(Parser::MsgPack).decode_binary(message.into(), &Limits::default());
        match read {
            Ok(packet) => assert!(fits && packet.unwrap().args().unwrap().to_values().is_ok()),
            Err(error) => assert!(!fits && error == DecodeError::TooDeep { limit: 127 }),
        }
    }
}

#[test]
fn attachments_are_waited_for() {
    let limits = Limits { max_attachment_bytes: 10, ..Limits::default() };
    let mut decoder = Decoder::new(Parser::Json);
    let text = r#"52-/cool,23["a",{"_placeholder":true,"num":1},[{"num":0,"_placeholder":true}]]"#;
    assert!(decoder.decode_text(text, &limits).unwrap().is_none());
    assert!(decoder.is_pending());
    assert!(decoder.decode_binary(Bytes::from_static(b"first"), &limits).unwrap().is_none());
    let packet = decoder.decode_binary(Bytes::from_static(b"2nd"), &limits).unwrap().unwrap();
    assert!(!decoder.is_pending());
    assert_eq!((&*packet.namespace, packet.id), ("/cool", Some(23)));
    assert_eq!(text_of(&packet), text);
    let args = packet.args().unwrap();
    assert_eq!(
        args.to_values().unwrap(),
        [Bytes::from_static(b"2nd").into(), Value::Array(vec![Bytes::from_static(b"first").into()])]
    );
    let (second, first): (Bytes, Vec<Bytes>) = args.deserialize().unwrap();
    assert_eq!((&second[..], &first[0][..]), (&b"2nd"[..], &b"first"[..]));

    let missing = decoder.decode_binary(Bytes::new(), &limits);
    assert_eq!(missing.map(|_| ()), Err(DecodeError::UnexpectedBinary));
    decoder.decode_text(text, &limits).unwrap();
    let text_between = decoder.decode_text("2[\"a\"]", &limits);
    assert_eq!(text_between.map(|_| ()), Err(DecodeError::UnexpectedText));
    assert!(!decoder.is_pending());
    decoder.decode_text(text, &limits).unwrap();
    let large = decoder.decode_binary(Bytes::from_static(b"eleven byte"), &limits);
    assert_eq!(large.map(|_| ()), Err(DecodeError::AttachmentsTooLarge { limit: 10 }));
}

#[test]
fn without_attachments_a_placeholder_is_an_object() {
    let (_, args) = event(r#"2["a",{"_placeholder":true,"num":7}]"#);
    assert_eq!(args.to_values().unwrap()[0].get("num").and_then(Value::as_u64), Some(7));
    assert!(!args.has_binary());
}

#[test]
fn a_query_is_cut_off_when_asked_for() {
    let mut packet = packet("0/admin?token=1&x=%20,");
    assert_eq!(packet.namespace, "/admin?token=1&x=%20");
    assert_eq!(packet.take_query().as_deref(), Some("token=1&x=%20"));
    assert_eq!(packet.namespace, "/admin");
    assert_eq!(packet.take_query(), None);
}

#[test]
fn numeric_names_are_what_javascript_calls_them() {
    for (text, name) in [("2[1]", "1"), ("2[1.50]", "1.5"), ("2[1e21]", "1e+21"), ("2[-1e400]", "-Infinity")] {
        let (event, _) = event(text);
        assert_eq!(event.as_str(), name);
        assert!(event.is_number());
    }
    assert_eq!(event("2[\"1\"]").0, event("2[1]").0);
    assert!(!event("2[\"1\"]").0.is_number());
}

#[test]
fn numbers_are_written_as_in_javascript() {
    for (number, text) in [
        (0.0, "0"),
        (-0.0, "0"),
        (0.1, "0.1"),
        (1e21, "1e+21"),
        (-1e21, "-1e+21"),
        (1.5e300, "1.5e+300"),
        (1e20, "100000000000000000000"),
        (123_456_789_012_345_680_000.0, "123456789012345680000"),
        (9_007_199_254_740_993.0, "9007199254740992"),
        (1_152_921_504_606_846_976.0, "1152921504606847000"),
        (0.000_001, "0.000001"),
        (0.000_000_1, "1e-7"),
        (1.25e-7, "1.25e-7"),
        (5e-324, "5e-324"),
        (1.797_693_134_862_315_7e308, "1.7976931348623157e+308"),
        (123.456, "123.456"),
        (f64::NAN, "NaN"),
        (f64::NEG_INFINITY, "-Infinity"),
    ] {
        assert_eq!(js_number(number), text);
        if number.is_finite() {
            assert_eq!(Args::from_serialize(&number).unwrap().json_elements(), text);
        }
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Point {
    x: f64,
    label: Option<String>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Empty,
    Circle(u32),
    Line(u32, u32),
    Named { name: String },
}

#[test]
fn tuples_are_spread_and_anything_else_is_one_argument() {
    let text = |args: Result<Args, ArgsError>| {
        let args = args.unwrap();
        (args.json_elements().to_owned(), args.len())
    };
    assert_eq!(text(Args::from_serialize(&())), (String::new(), 0));
    assert_eq!(text(Args::from_serialize("a")), ("\"a\"".into(), 1));
    assert_eq!(text(Args::from_serialize(&("a", 1, None::<u8>))), ("\"a\",1,null".into(), 3));
    assert_eq!(text(Args::from_serialize(&vec![1, 2])), ("[1,2]".into(), 1));
    assert_eq!(text(Args::from_serialize(&[1, 2])), ("[1,2]".into(), 1));
    assert_eq!(text(Args::from_serialize(&([1, 2],))), ("[1,2]".into(), 1));
    assert_eq!(text(Args::from_serialize(&Point { x: 1.0, label: None })), (r#"{"x":1,"label":null}"#.into(), 1));
    assert_eq!(text(Args::from_serialize(&(f64::NAN, f64::INFINITY, 0.1_f32))), ("null,null,0.1".into(), 3));
    assert_eq!(text(Args::from_serialize(&Shape::Line(1, 2))), (r#"{"Line":[1,2]}"#.into(), 1));
}

#[test]
#[expect(clippy::needless_borrows_for_generic_args, reason = "a reference is another type")]
fn only_a_tuple_is_a_list_of_arguments() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Pair(u8, u8);
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Wrapped((u8, u8));
    #[derive(Serialize)]
    struct Unit;

    fn written<T: IntoArgs>(value: T) -> String {
        format!("[{}]", value.into_args().unwrap().json_elements())
    }
    assert_eq!(written(()), "[]");
    assert_eq!(written(&()), "[]");
    assert_eq!(written(((),)), "[null]");
    assert_eq!(written(&(1, "two")), "[1,\"two\"]");
    assert_eq!(written(&mut (1, [2])), "[1,[2]]");
    for null in [written(Value::Null), written(serde_json::Value::Null), written(None::<u8>), written(Unit)] {
        assert_eq!(null, "[null]");
    }
    assert_eq!(written(&Value::Null), "[null]");
    assert_eq!(written(Some((1, 2))), "[[1,2]]");
    for list in [written([1, 2]), written(&[1, 2]), written(vec![1, 2]), written(Pair(1, 2)), written(Wrapped((1, 2)))]
    {
        assert_eq!(list, "[[1,2]]");
    }
    assert_eq!(written([0_u8; 0]), "[[]]");
    assert_eq!(written([[1], [2]]), "[[[1],[2]]]");

    // They are read as they are written.
    let (_, list) = event(r#"2["a",[1,2],3]"#);
    assert_eq!(list.deserialize::<[u8; 2]>().unwrap(), [1, 2]);
    assert_eq!(list.deserialize::<Pair>().unwrap(), Pair(1, 2));
    assert_eq!(list.deserialize::<Wrapped>().unwrap(), Wrapped((1, 2)));
    assert_eq!(list.deserialize::<(Pair, u8)>().unwrap(), (Pair(1, 2), 3));
    let data = Bytes::from_static(b"x");
    let with_binary = Args::from_serialize(&([1, 2], &data)).unwrap();
    assert_eq!(with_binary.deserialize::<[u8; 2]>().unwrap(), [1, 2]);
    assert_eq!(with_binary.deserialize::<Pair>().unwrap(), Pair(1, 2));
    assert_eq!(with_binary.deserialize::<(Wrapped, Bytes)>().unwrap(), (Wrapped((1, 2)), data));
}

/// The official parser takes any digits for the id.
#[test]
fn an_id_beyond_all_numbers_is_none_and_the_event_counts() {
    for (digits, id) in [
        ("9007199254740991", Some(9_007_199_254_740_991)),
        ("9007199254740993", Some(9_007_199_254_740_993)),
        ("18446744073709551615", Some(u64::MAX)),
        ("18446744073709551616", None),
        ("99999999999999999999999999", None),
    ] {
        let packet = packet(&format!("2/n,{digits}[\"a\",1]"));
        assert_eq!(packet.id, id, "{digits}");
        assert_eq!(packet.args().unwrap().json_elements(), "1");
        assert_eq!(decode(&format!("3{digits}[]")).unwrap().unwrap().id, id);
        // An id with attachments.
        assert!(decode(&format!("51-{digits}[\"a\",{{\"_placeholder\":true,\"num\":0}}]")).unwrap().is_none());
    }
    assert_eq!(
        decode("518446744073709551616-[\"a\"]").map(|_| ()),
        Err(DecodeError::TooManyAttachments { limit: Limits::default().max_attachments })
    );
    for (id, expected) in [
        (&b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff"[..], Some(u64::MAX)),
        (b"\xcb\x40\x1c\0\0\0\0\0\0", Some(7)),
        (b"\xcb\x7e\x37\xe4\x3c\x88\x00\x75\x9c", None), // 1e300
        (b"\xff", None),
    ] {
        let message = [b"\x84\xa4type\x02\xa3nsp\xa1/\xa4data\x91\xa1a\xa2id", id].concat();
        let packet = Decoder::new(Parser::MsgPack).decode_binary(message.into(), &Limits::default()).unwrap().unwrap();
        assert_eq!(packet.id, expected);
    }
}

#[test]
fn text_of_a_client_is_read_as_javascript_reads_it() {
    assert_eq!(from_json::<String>(r#" "Zoë \ud83c" "#).unwrap(), "Zoë \u{fffd}");
    let text = r#"{"label":"\udf89\ud83c","x":1e400,"\ud800":{"":["\ud83c\udf89"]}}"#;
    let value: serde_json::Value = from_json(text).unwrap();
    assert_eq!(value, serde_json::json!({"label": "\u{fffd}\u{fffd}", "x": null, "\u{fffd}": {"": ["\u{1f389}"]}}));
    let point: Point = from_json(r#"{"x":1,"label":"\ud83c"}"#).unwrap();
    assert_eq!(point, Point { x: 1.0, label: Some("\u{fffd}".into()) });
    for wrong in ["", "{", r#""\ud83c" 1"#, r#"{"x":"\ud83c"}"#, r#""\ud83""#] {
        assert!(from_json::<Point>(wrong).is_err(), "{wrong}");
    }
    // By MessagePack, half of a pair is bytes that are no UTF-8.
    let message = b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x92\xa1a\xa4x\xed\xa0\xbc";
    let read = Decoder::new(Parser::MsgPack).decode_binary(Bytes::from_static(message), &Limits::default());
    let text: String = read.unwrap().unwrap().args().unwrap().deserialize().unwrap();
    assert_eq!(text, "x\u{fffd}\u{fffd}\u{fffd}", "as Node.js reads it");
}

#[test]
fn dates_are_written_as_in_javascript() {
    let utc = |text: &str| format!("{text} GMT+0000 (Coordinated Universal Time)");
    assert_eq!(date_string(0), utc("Thu Jan 01 1970 00:00:00"));
    assert_eq!(date_string(1_795_488_835_960), utc("Tue Nov 24 2026 02:53:55"), "of a capture of the official server");
    assert_eq!(date_string(951_782_399_999), utc("Mon Feb 28 2000 23:59:59"));
    assert_eq!(date_string(951_782_400_000), utc("Tue Feb 29 2000 00:00:00"));
    assert_eq!(date_string(-1), utc("Wed Dec 31 1969 23:59:59"));
    assert_eq!(date_string(-62_198_755_200_001), utc("Thu Dec 31 -0002 23:59:59"));
    assert_eq!(date_string(i64::MAX), "Invalid Date");
}

#[test]
fn bytes_become_attachments() {
    let one = Bytes::from_static(b"one");
    let args = Args::from_serialize(&("a", &one, vec![Bytes::from_static(b"two")])).unwrap();
    assert_eq!(args.json_elements(), r#""a",{"_placeholder":true,"num":0},[{"_placeholder":true,"num":1}]"#);
    assert_eq!(args.attachments(), [one.clone(), Bytes::from_static(b"two")]);
    let packet = Packet::event("/", "x", args.clone());
    assert!(text_of(&packet).starts_with(r#"52-["x","a",{"#));
    assert_eq!(packet.encode(Parser::Json).attachments, args.attachments());
    let (text, data, list): (String, Bytes, Vec<Vec<u8>>) = args.deserialize().unwrap();
    assert_eq!((text.as_str(), data, list[0].as_slice()), ("a", one, &b"two"[..]));
    assert_eq!(Args::from_values(args.to_values().unwrap()).json_elements(), args.json_elements());
}

#[test]
fn arguments_are_read_by_type() {
    let (_, args) = event(r#"2["a",{"x":1.5,"label":"p"},"Empty",{"Circle":3}]"#);
    assert_eq!(args.len(), 3);
    assert_eq!(args.deserialize::<Point>().unwrap(), Point { x: 1.5, label: Some("p".into()) });
    let all: (Point, Shape, Shape, Option<u8>, Value, ()) = args.deserialize().unwrap();
    assert_eq!((&all.1, &all.2, all.3, &all.4), (&Shape::Empty, &Shape::Circle(3), None, &Value::Null));
    assert!(args.deserialize::<(Point,)>().is_ok());
    args.deserialize::<()>().unwrap();
    assert!(args.deserialize::<String>().is_err());
    assert!(args.deserialize::<Box<serde_json::value::RawValue>>().is_ok());

    let (_, none) = event(r#"2["a"]"#);
    assert_eq!(none.deserialize::<Option<u8>>().unwrap(), None);
    assert_eq!(none.deserialize::<Value>().unwrap(), Value::Null);
    assert!(none.deserialize::<u8>().is_err());
    assert!(none.deserialize::<(u8,)>().is_err());

    let (_, list) = event(r#"2["a",[1,2],3]"#);
    assert_eq!(list.deserialize::<Vec<u8>>().unwrap(), [1, 2]);
    assert_eq!(list.deserialize::<([u8; 2], u8)>().unwrap(), ([1, 2], 3));
}

#[test]
fn values_with_attachments_are_read_by_type() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Upload {
        name: String,
        data: Bytes,
        sizes: std::collections::BTreeMap<u32, Shape>,
    }
    let text = r#"51-["a",{"name":"f","data":{"_placeholder":true,"num":0},"sizes":{"7":{"Line":[1,2]},"8":"Empty","9":{"Named":{"name":"n"}}}},5]"#;
    let mut decoder = Decoder::new(Parser::Json);
    decoder.decode_text(text, &Limits::default()).unwrap();
    let packet = decoder.decode_binary(Bytes::from_static(b"data"), &Limits::default()).unwrap().unwrap();
    let (upload, five, missing): (Upload, u8, Option<u8>) = packet.args().unwrap().deserialize().unwrap();
    assert_eq!(upload.data, "data");
    assert_eq!(upload.sizes[&7], Shape::Line(1, 2));
    assert_eq!(upload.sizes[&9], Shape::Named { name: "n".into() });
    assert_eq!((five, missing), (5, None));
}

#[test]
fn what_only_javascript_reads_is_read_by_way_of_values() {
    let (_, args) = event(r#"2["a","x\ud800y","\ud83d\ude00"]"#);
    assert_eq!(args.deserialize::<(String, String)>().unwrap(), ("x\u{fffd}y".into(), "\u{1f600}".into()));
    let (_, args) = event(r#"2["a",[1e400,1]]"#);
    assert_eq!(args.deserialize::<Vec<Option<f64>>>().unwrap(), [None, Some(1.0)]);
    assert_eq!(args.json_elements(), "[1e400,1]");
}

#[test]
fn of_equal_keys_the_last_counts() {
    let (_, args) = event(r#"2["a",{"k":1,"l":2,"k":3,"__proto__":{"p":1}}]"#);
    let value = args.deserialize::<Value>().unwrap();
    let keys: Vec<_> = value.as_object().unwrap().iter().map(|(key, _)| key.to_string()).collect();
    assert_eq!(keys, ["k", "l", "__proto__"]);
    assert_eq!(value.get("k").and_then(Value::as_u64), Some(3));
    let many: String = (0..100_000).map(|n| format!("\"{}\":{n},", n % 50_000)).collect();
    let (_, args) = event(&format!("2[\"a\",{{{many}\"z\":0}}]"));
    assert_eq!(args.to_values().unwrap()[0].as_object().unwrap().len(), 50_001);
}

#[test]
fn arguments_can_be_appended() {
    let mut args = Args::empty();
    args.push(&(1, 2)).unwrap();
    args.push_str("a\"b");
    args.push(&Bytes::from_static(b"x")).unwrap();
    assert_eq!(args.json_elements(), r#"[1,2],"a\"b",{"_placeholder":true,"num":0}"#);
    assert_eq!((args.len(), args.attachments().len()), (3, 1));
    let (_, mut args) = event(r#"2["a",1]"#);
    args.push("offset").unwrap();
    assert_eq!(args.deserialize::<(u8, String)>().unwrap(), (1, "offset".into()));
    assert_eq!(args.to_values().unwrap().len(), 2);
}

#[test]
fn arguments_can_be_made_of_text() {
    let args = Args::from_json_array(&r#" [ 1 , {"_placeholder":true,"num":0} ] "#.into(), vec![Bytes::new()]).unwrap();
    assert_eq!(args.to_values().unwrap(), [1.into(), Bytes::new().into()]);
    assert_eq!(args.deserialize::<(u8, Bytes)>().unwrap(), (1, Bytes::new()));
    for text in ["", "{}", "[1", "[1]]", "[1] 2"] {
        assert!(matches!(Args::from_json_array(&text.into(), Vec::new()), Err(ArgsError::Syntax)), "{text}");
    }
    let bad = Args::from_json_array(&r#"[{"_placeholder":true,"num":1}]"#.into(), vec![Bytes::new()]);
    assert!(matches!(bad, Err(ArgsError::Placeholder)));
}

#[test]
fn values_nested_too_deep_are_refused_or_null() {
    let mut value = Value::Null;
    for _ in 0..200 {
        value = Value::Array(vec![value]);
    }
    assert!(matches!(Args::from_serialize(&value), Err(ArgsError::TooDeep)));
    Args::from_values(vec![value]).deserialize::<serde_json::Value>().unwrap();
}

fn msgpack(bytes: &[u8]) -> Result<Packet, DecodeError> {
    let packet = Decoder::new(Parser::MsgPack).decode_binary(Bytes::copy_from_slice(bytes), &Limits::default());
    packet.map(Option::unwrap)
}

/// `{type: 2, nsp: "/", data: …}`
fn msgpack_event(data: &[u8]) -> Result<Packet, DecodeError> {
    msgpack(&[b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data".as_slice(), data].concat())
}

#[test]
fn msgpack_packets_become_json_text_and_attachments() {
    let packet = msgpack_event(b"\x98\xa1x\xc4\x02hi\xd4\x00\x00\x82\xa1u\xd4\x00\x00\x01\xc3\xcb\x3f\xf0\0\0\0\0\0\0\xc7\x01\x00z\xd7\x00\0\0\0\0\0\0\0\x01\xd5\x07ab").unwrap();
    assert_eq!(
        text_of(&packet),
        concat!(
            r#"53-["x",{"_placeholder":true,"num":0},null,{"1":true},1,{"_placeholder":true,"num":1},"#,
            r#""1970-01-01T00:00:00.001Z",[7,{"_placeholder":true,"num":2}]]"#
        )
    );
    assert_eq!(packet.args().unwrap().attachments(), [&b"hi"[..], b"z", b"ab"]);
    let again = packet.encode(Parser::MsgPack);
    let Message::Binary(data) = &again.head else { panic!() };
    assert_eq!(text_of(&msgpack(data).unwrap()), text_of(&packet));
}

#[test]
fn msgpack_packets_are_checked() {
    use DecodeError::*;
    for (bytes, error) in [
        (&b""[..], Empty),
        (b"\x80", InvalidNamespace),
        (b"\xc0", InvalidPayload),
        (b"\x81\xa3nsp\xa1/", UnknownType),
        (b"\x82\xa4type\x05\xa3nsp\xa1/", UnknownType),
        (b"\x82\xa4type\xa11\xa3nsp\xa1/", UnknownType),
        (b"\x82\xa4type\x00\xa3nsp\x01", InvalidNamespace),
        (b"\x82\xa4type\x02\xa3nsp\xa1/", InvalidPayload),
        (b"\x83\xa4type\x01\xa3nsp\xa1/\xa4data\xc0", InvalidPayload),
        (b"\x83\xa4type\x00\xa3nsp\xa1/\xa4data\x90", InvalidPayload),
        (b"\x83\xa4type\x04\xa3nsp\xa1/\xa4data\xc0", InvalidPayload),
        (b"\x83\xa4type\x00\xa3nsp\xa1/\xa2id\xc0", InvalidId),
        (b"\x83\xa4type\x00\xa3nsp\xa1/\xa2id\xcb\x3f\xe0\0\0\0\0\0\0", InvalidId),
        (b"\x82\xa4type\x00\xa3nsp\xa1/\x00", InvalidMsgPack),
        (b"\x82\xa4type\x00\xa3nsp\xa2/", InvalidMsgPack),
        (b"\x83\xa4type\x00\xa3nsp\xa1/\xa1x\xdd\xff\xff\xff\xff", InvalidMsgPack),
        (b"\x83\xa4type\x00\xa3nsp\xa1/\xa1x\xc6\xff\xff\xff\xff", InvalidMsgPack),
        (b"\x83\xa4type\x00\xa3nsp\xa1/\xa1x\xc1", InvalidMsgPack),
    ] {
        assert_eq!(msgpack(bytes).map(|_| ()), Err(error), "{bytes:x?}");
    }
    for (data, error) in [
        (&b"\x90"[..], InvalidEventName),
        (b"\x91\xc0", InvalidEventName),
        (b"\x91\xa7connect", ReservedEvent),
        (b"\x93\xa1a\xc4\x00\x81\xac_placeholder\xc3", IllegalPlaceholder),
    ] {
        assert_eq!(msgpack_event(data).map(|_| ()), Err(error), "{data:x?}");
    }
    assert!(msgpack_event(b"\x92\xa1a\x81\xac_placeholder\xc3").is_ok());
    let deep = [vec![0x92, 0xa1, b'a'], vec![0x91; 100_000], vec![0xc0]].concat();
    assert_eq!(msgpack_event(&deep).map(|_| ()), Err(TooDeep { limit: 127 }));
    let many = [vec![0xdd, 0, 0, 4, 0, 0xa1, b'a'], [0xc4, 0].repeat(1023)].concat();
    assert_eq!(msgpack_event(&many).map(|_| ()), Err(TooManyAttachments { limit: 1000 }));
    let text = Decoder::new(Parser::MsgPack).decode_text("2[\"a\"]", &Limits::default());
    assert_eq!(text.map(|_| ()), Err(UnexpectedText));
}

#[test]
fn msgpack_leaves_absent_members_out() {
    let encode = |packet: &Packet| match packet.encode(Parser::MsgPack).head {
        Message::Binary(data) => data,
        Message::Text(_) => panic!("text"),
    };
    assert_eq!(encode(&packet("0")), &b"\x82\xa4type\x00\xa3nsp\xa1/"[..]);
    assert_eq!(encode(&packet("1/a,")), &b"\x82\xa4type\x01\xa3nsp\xa2/a"[..]);
    assert_eq!(encode(&packet("0{\"a\":1.0}")), &b"\x83\xa4type\x00\xa4data\x81\xa1a\x01\xa3nsp\xa1/"[..]);
    assert_eq!(
        encode(&packet("35[-1,0.5]")),
        &b"\x84\xa4type\x03\xa4data\x92\xff\xcb\x3f\xe0\0\0\0\0\0\0\xa3nsp\xa1/\xa2id\x05"[..]
    );
}

/// A fixed walk through the fuzz targets, so that they are run without a fuzzer too.
#[test]
fn fuzz_targets_hold_on_changed_packets() {
    let seeds: [&[u8]; 6] = [
        br#"2/admin,456["project:delete",123,{"a":[1.5,null,"\u00e9\ud83d"]}]"#,
        b"52-/cool,23[\"a\",{\"_placeholder\":true,\"num\":1},[{\"num\":0,\"_placeholder\":true}]]\x1e\xfffirst\x1e\xff2nd",
        b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x98\xa1x\xc4\x02hi\xd4\x00\x00\x82\xa1u\xd4\x00\x00\x01\xc3\xcb\x3f\xf0\0\0\0\0\0\0\xc7\x01\x00z\xd7\x00\0\0\0\0\0\0\0\x01\xd5\x07ab",
        b"\x92\xa1a\xde\x00\x02\xa1b\xd9\x01c\xa1d\xdc\x00\x01\xca\x3d\xcc\xcc\xcd",
        b"\x01[ 1 , {\"_placeholder\" : true, \"num\":0},\"\\n\\u0000\",-0,1e5 ]",
        b"4/a,{\"message\":\"x\"}\x1e0{\"token\":1}\x1e1/a,\x1e3/a,7[]",
    ];
    let mut state = 0x2545_f491_u32;
    let mut next = |limit: usize| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as usize % limit
    };
    for _ in 0..3_000 {
        let mut input = seeds[next(seeds.len())].to_vec();
        for _ in 0..next(4) {
            let at = next(input.len());
            match next(4) {
                0 => input.truncate(at.max(1)),
                1 => input[at] = u8::try_from(next(256)).unwrap(),
                2 => input.insert(at, b"0123456789[]{}\",:\\\xc0\xc4\x90\x80\xa1"[next(22)]),
                _ => drop(input.remove(at)),
            }
            if input.is_empty() {
                break;
            }
        }
        fuzz::fuzz_json(&input);
        fuzz::fuzz_msgpack(&input);
        fuzz::fuzz_args(&input);
    }
}

#[test]
fn what_a_client_takes_for_an_offset() {
    let ends = |text: &str| Args::from_json_array(&text.to_owned().into(), Vec::new()).unwrap().ends_with_string();
    assert!(ends("[]") && ends(r#"["a"]"#) && ends(r#"[1,"\"" ]"#));
    assert!(!ends("[1]") && !ends(r#"["a",{"b":"c"}]"#) && !ends(r#"[["a"]]"#));
}

#[test]
fn plain_text_is_measured_to_the_byte() {
    for fill in [b'a', 0x7f, 0x80, 0xff, b'!', b'#', b'[', b']', 0x20] {
        for len in 0..20 {
            for at in 0..len {
                for byte in 0..=255_u8 {
                    let mut bytes = vec![fill; len];
                    bytes[at] = byte;
                    let special = byte < 0x20 || byte == b'"' || byte == b'\\';
                    assert_eq!(plain_len(&bytes), if special { at } else { len }, "{bytes:x?}");
                }
            }
        }
    }
}
