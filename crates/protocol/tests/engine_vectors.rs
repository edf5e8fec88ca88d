//! Polling bodies that the official parsers wrote and read: `testing/vectors/engine.mjs` makes them.

#![allow(clippy::unwrap_used, reason = "a failed test may panic in its helpers too")]

use std::borrow::Cow;

use serde_json::Value;
use sockeye_protocol::engine::{
    Data, Packet, PacketError, PacketKind, PayloadEncoder, Revision, decode_payload, encode_base64_message,
};

#[test]
fn bodies_are_written_as_the_official_parser_writes_them() {
    let mut count = 0;
    for (revision, case) in cases("encode") {
        let mut encoder = PayloadEncoder::new(revision, case["supports_binary"] == true);
        assert!(encoder.is_empty());
        for packet in packets(&case) {
            match &packet.data {
                Data::Text(text) => encoder.push_text(packet.kind, text),
                Data::Binary(data) => encoder.push_binary_message(data),
            }
        }
        let length = encoder.len();
        let body = encoder.finish();
        assert_eq!(body.bytes.len(), length);
        assert_eq!(body.binary, case.get("hex").is_some(), "{case}");
        assert_eq!(body.bytes, bytes(&case), "{case}");
        count += 1;
    }
    assert_eq!(count, 66);
}

#[test]
fn what_is_written_is_read_back() {
    for (revision, case) in cases("encode") {
        let body = bytes(&case);
        let read: Vec<_> =
            decode_payload(&body, case.get("hex").is_some(), revision).collect::<Result<_, _>>().unwrap();
        // The binary framing has text as text and bytes as bytes, so nothing is lost in any framing.
        assert_eq!(read, packets(&case), "{case}");
    }
}

#[test]
fn bodies_are_read_as_the_official_parser_reads_them() {
    let mut count = 0;
    for (revision, case) in cases("decode") {
        let body = bytes(&case);
        let mut payload = decode_payload(&body, case.get("hex").is_some(), revision);
        let read: Vec<_> = payload.by_ref().map_while(Result::ok).collect();
        let failed = decode_payload(&body, case.get("hex").is_some(), revision).any(|packet| packet.is_err());
        assert_eq!(read, packets(&case), "{case}");
        assert_eq!(failed, case["error"] == true, "{case}");
        assert!(payload.next().is_none(), "nothing comes after the end or an error: {case}");
        count += 1;
    }
    assert_eq!(count, 74);
}

#[test]
fn websocket_frames_are_the_packets_without_a_framing() {
    for (revision, case) in cases("encode").filter(|(_, case)| case["packets"].as_array().unwrap().len() == 1) {
        let [packet] = &packets(&case)[..] else { panic!("one packet") };
        let frame = match &packet.data {
            Data::Text(text) => format!("{}{text}", char::from(packet.kind.digit())),
            Data::Binary(data) => encode_base64_message(data, revision),
        };
        assert_eq!(Packet::decode_text(&frame, revision).as_ref(), Ok(packet), "{case}");
    }
}

/// Where this server is stricter than the official parser, which reads any number that JavaScript reads, cuts a packet
/// short, or gives out a packet without a kind.
#[test]
fn sloppy_framing_of_revision_3_is_refused() {
    for body in ["1e0:6", "0x1:6", " 1:6", "+1:6", "1 :6", "\u{663}:4ab", "4:bAAA", "1:b"] {
        let first = decode_payload(body.as_bytes(), false, Revision::V3).next();
        assert!(matches!(first, Some(Err(_))), "{body}: {first:?}");
    }
    for (body, error) in [
        (&[1, 9, 0xff, 4, 1][..], PacketError::Truncated),
        (&[0, 9, 0xff, b'4', b'a'], PacketError::Truncated),
        (&[1, 12, 0xff, 4], PacketError::InvalidLength),
        (&[1, 0xff, 4], PacketError::InvalidLength),
        (&[2, 1, 0xff, 4], PacketError::InvalidBinaryPayload),
        (&[1, 1, 0xff, 7], PacketError::UnknownKind(7)),
        (&[1, 0, 0xff], PacketError::Empty),
        (&[0, 0, 0xff], PacketError::Empty),
        (&[0, 4, 0xff, b'4', 0xed, 0xa0, 0x80], PacketError::InvalidUtf8),
    ] {
        let first = decode_payload(body, true, Revision::V3).next();
        assert_eq!(first, Some(Err(error)), "{body:?}");
    }
}

#[test]
fn revision_4_has_no_binary_bodies() {
    let mut payload = decode_payload(b"4a", true, Revision::V4);
    assert_eq!(payload.next(), Some(Err(PacketError::InvalidBinaryPayload)));
    assert_eq!(payload.next(), None);
}

#[test]
fn invalid_utf8_in_a_text_body_is_replaced() {
    let replaced = Packet::text(PacketKind::Message, "\u{fffd}b\u{fffd}");
    let read: Vec<_> = decode_payload(b"4\xffb\xc3\x1e4ok", false, Revision::V4).map(Result::unwrap).collect();
    assert_eq!(read, [replaced.clone(), Packet::text(PacketKind::Message, "ok")]);
    // Each replacement counts as one UTF-16 unit.
    let read: Vec<_> = decode_payload(b"4:4\xffb\xc33:4ok", false, Revision::V3).map(Result::unwrap).collect();
    assert_eq!(read, [replaced, Packet::text(PacketKind::Message, "ok")]);
}

#[test]
fn a_body_of_many_small_packets_is_read_in_linear_time() {
    let body = b"1:6".repeat(300_000);
    assert_eq!(decode_payload(&body, false, Revision::V3).filter(Result::is_ok).count(), 300_000);
    let body = b"0:".repeat(500_000);
    assert_eq!(decode_payload(&body, false, Revision::V3).count(), 0);
}

fn cases(part: &str) -> impl Iterator<Item = (Revision, Value)> {
    let vectors: Value = serde_json::from_str(include_str!("data/engine_payloads.json")).unwrap();
    [("v3", Revision::V3), ("v4", Revision::V4)].into_iter().flat_map(move |(name, revision)| {
        let cases = vectors[name][part].as_array().unwrap().clone();
        cases.into_iter().map(move |case| (revision, case))
    })
}

fn packets(case: &Value) -> Vec<Packet<'static>> {
    let packet = |packet: &Value| {
        let kind = PacketKind::ALL
            .into_iter()
            .find(|kind| packet["kind"] == format!("{kind:?}").to_lowercase())
            .expect("a kind of packet");
        let data = match packet["text"].as_str() {
            Some(text) => Data::Text(Cow::Owned(text.to_owned())),
            None => Data::Binary(Cow::Owned(bytes(packet))),
        };
        Packet { kind, data }
    };
    case["packets"].as_array().unwrap().iter().map(packet).collect()
}

fn bytes(value: &Value) -> Vec<u8> {
    match value["text"].as_str() {
        Some(text) => text.as_bytes().to_vec(),
        None => unhex(value["hex"].as_str().expect("text or hex")),
    }
}

fn unhex(hex: &str) -> Vec<u8> {
    assert!(hex.len().is_multiple_of(2), "{hex}");
    let digits = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}
