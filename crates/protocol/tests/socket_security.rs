//! The holes that the official parsers had: each input is refused or bounded, and costs no more than its size.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::time::{Duration, Instant};

use bytes::Bytes;
use sockeye_protocol::socket::{Args, DecodeError, Decoder, Limits, Packet, PacketBody, Parser, Value};

fn decode(text: &str) -> Result<Option<Packet>, DecodeError> {
    Decoder::new(Parser::Json).decode_text(text, &Limits::default())
}

fn refused(text: &str) -> DecodeError {
    decode(text).map(|_| ()).expect_err(text)
}

/// Far more than a debug build needs for a megabyte in linear time, and far less than in quadratic time.
fn quickly<T>(work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    assert!(start.elapsed() < Duration::from_secs(20), "took {:?}", start.elapsed());
    result
}

/// CVE-2020-36049: memory out of quadratic building of strings in large packets.
#[test]
fn large_packets_cost_their_size() {
    let million = 1_000_000;
    for text in [
        format!("2{}", "1".repeat(million)),
        format!("5{}", "1".repeat(million)),
        format!("5{}-", "1".repeat(million)),
        format!("2/{}", "a".repeat(million)),
        format!("2/{},", "a".repeat(million)),
        format!("2[\"{}\"]", "a".repeat(million)),
        format!("2[\"{}\"]", "\\u0061".repeat(million / 6)),
        format!("2[\"a\"{}", ",".repeat(million)),
        format!("2[\"a\",{}", "[".repeat(million)),
        format!("2[\"a\",{}", "{\"a\":".repeat(million / 5)),
    ] {
        quickly(|| decode(&text).map(|_| ()).unwrap_err());
    }
    for text in [
        // An infinite name.
        format!("2[{}]", "1".repeat(million)),
        format!("2[\"a\"{}]", ",[]".repeat(million / 3)),
        format!("2[\"a\"{}]", ",\"\\\\\"".repeat(million / 5)),
        format!("2[\"a\",{{{}\"a\":0}}]", "\"a\":1,".repeat(million / 6)),
        format!("2[\"a\",{{{}\"z\":0}}]", (0..million / 10).map(|n| format!("\"{n}\":1,")).collect::<String>()),
        format!("2[\"a\",{}]", "9".repeat(million)),
        format!("2[\"a\",0.{}]", "9".repeat(million)),
    ] {
        let packet = quickly(|| decode(&text).unwrap().unwrap());
        let args = packet.args().unwrap();
        quickly(|| args.to_values().unwrap());
        quickly(|| args.deserialize::<Value>().unwrap());
        let encoded = quickly(|| packet.encode(Parser::MsgPack));
        let sockeye_protocol::Message::Binary(data) = encoded.head else { panic!("text") };
        quickly(|| Decoder::new(Parser::MsgPack).decode_binary(data, &Limits::default()).unwrap());
    }
}

/// CVE-2022-2421: a placeholder's `num` that is no index, `"splice"`, put a function in the place of an attachment.
#[test]
fn placeholders_point_to_attachments() {
    for num in
        ["\"splice\"", "\"0\"", "\"length\"", "\"__proto__\"", "-1", "1", "1e300", "0.5", "null", "true", "[0]", "{}"]
    {
        assert_eq!(
            refused(&format!("51-[\"a\",{{\"_placeholder\":true,\"num\":{num}}}]")),
            DecodeError::IllegalPlaceholder,
            "{num}"
        );
    }
    // What an application wrote itself is an error, not a panic.
    let forged: Value = [("_placeholder", Value::from(true)), ("num", 9.into())].into_iter().collect();
    let args = Args::from_values(vec![forged, Value::Binary(Bytes::new())]);
    args.to_values().unwrap_err();
    args.deserialize::<Value>().unwrap_err();
    Packet::event("/", "a", args).encode(Parser::MsgPack);
}

/// CVE-2023-32695: an event's name that is an object with a `toString` crashed the server.
#[test]
fn names_are_strings_or_numbers() {
    for name in ["{\"toString\":\"foo\"}", "[]", "null", "true", "{}"] {
        assert_eq!(refused(&format!("2[{name}]")), DecodeError::InvalidEventName);
        assert_eq!(refused(&format!("51-[{name}]")), DecodeError::InvalidEventName);
    }
    for name in [&b"\x80"[..], b"\x90", b"\xc0", b"\xc3", b"\xc4\x01a", b"\xd4\x00\x00", b"\xcb\x7f\xf8\0\0\0\0\0\0"] {
        let message = [b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x91", name].concat();
        let result = Decoder::new(Parser::MsgPack).decode_binary(message.into(), &Limits::default());
        assert_eq!(result.map(|_| ()), Err(DecodeError::InvalidEventName), "{name:x?}");
    }
}

/// CVE-2024-38355 was an event named `error` that nobody listened to: here it is a name as any other.
#[test]
fn error_is_an_ordinary_name() {
    let packet = decode("2[\"error\",1]").unwrap().unwrap();
    assert!(matches!(packet.body, PacketBody::Event { name, .. } if name == "error"));
}

/// CVE-2026-33151: attachments without number were buffered without end.
#[test]
fn attachments_are_bounded() {
    let limits = Limits { max_attachment_bytes: 100, ..Limits::default() };
    assert_eq!(refused("511-[\"a\"]"), DecodeError::TooManyAttachments { limit: 10 });
    assert_eq!(refused("518446744073709551617-[\"a\"]"), DecodeError::TooManyAttachments { limit: 10 });
    let mut decoder = Decoder::new(Parser::Json);
    assert!(decoder.decode_text("510-[\"a\"]", &limits).unwrap().is_none());
    for _ in 0..9 {
        assert!(decoder.decode_binary(Bytes::from_static(&[0; 11]), &limits).unwrap().is_none());
    }
    let last = decoder.decode_binary(Bytes::from_static(&[0; 11]), &limits);
    assert_eq!(last.map(|_| ()), Err(DecodeError::AttachmentsTooLarge { limit: 100 }));
    assert!(!decoder.is_pending());
}

/// `0-` attachments were accepted before 4.2.7, and left a decoder that waited for nothing.
#[test]
fn no_attachments_are_illegal() {
    assert_eq!(refused("50-[\"a\"]"), DecodeError::IllegalAttachmentCount);
    assert_eq!(refused("60-[]"), DecodeError::IllegalAttachmentCount);
}

/// Clients could send the server's own events.
#[test]
fn reserved_names_are_refused() {
    for name in ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"] {
        assert_eq!(refused(&format!("2[\"{name}\"]")), DecodeError::ReservedEvent);
        assert_eq!(refused(&format!("51-[\"{name}\"]")), DecodeError::ReservedEvent);
    }
    assert_eq!(refused("2[\"\\u0064isconnect\"]"), DecodeError::ReservedEvent);
}

/// Keys that mean something to JavaScript objects mean nothing here.
#[test]
fn prototypes_are_keys_as_any_other() {
    let packet = decode(r#"2["a",{"__proto__":{"admin":true},"constructor":1}]"#).unwrap().unwrap();
    let value: Value = packet.args().unwrap().deserialize().unwrap();
    assert_eq!(value.get("admin"), None);
    assert_eq!(value.get("__proto__").and_then(|value| value.get("admin")), Some(&Value::Bool(true)));
    let message = b"\x82\xa9__proto__\x82\xa4type\x02\xa3nsp\xa1/\xa4data\x91\xa1a";
    Decoder::new(Parser::MsgPack).decode_binary(Bytes::from_static(message), &Limits::default()).unwrap_err();
}

/// Lengths that are claimed and not there allocate nothing.
#[test]
fn claimed_lengths_are_not_believed() {
    for head in [0xc6_u8, 0xc9, 0xdb, 0xdd, 0xdf] {
        let message =
            [b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x92\xa1a".as_slice(), &[head, 0xff, 0xff, 0xff, 0xff, 0]].concat();
        let result = quickly(|| Decoder::new(Parser::MsgPack).decode_binary(message.into(), &Limits::default()));
        assert_eq!(result.map(|_| ()), Err(DecodeError::InvalidMsgPack));
    }
}
