//! Entry points for fuzzing: bytes become packets, and what must always hold is asserted.

use bytes::Bytes;

use super::{Args, DecodeError, Decoder, Limits, Packet, PacketBody, Parser, Value};
use crate::Message;

/// Drives a JSON decoder: the input is messages separated by `0x1e`, a binary one after `0xff`.
pub fn fuzz_json(input: &[u8]) {
    let limits = small_limits();
    let mut decoder = Decoder::new(Parser::Json);
    for message in input.split(|byte| *byte == 0x1e) {
        let result = match message.split_first() {
            Some((0xff, data)) => decoder.decode_binary(Bytes::copy_from_slice(data), &limits),
            _ => decoder.decode_text(&String::from_utf8_lossy(message), &limits),
        };
        check(&decoder, result, &limits);
    }
}

/// Reads the input as one MessagePack packet, and again as the data of an event.
pub fn fuzz_msgpack(input: &[u8]) {
    let limits = small_limits();
    let event = [b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data", input].concat();
    for message in [input, &event] {
        let mut decoder = Decoder::new(Parser::MsgPack);
        let result = decoder.decode_binary(Bytes::copy_from_slice(message), &limits);
        if let Ok(Some(packet)) = &result {
            assert!(
                packet.json_len() <= 64 + 6 * message.len() + 64 * limits.max_inline_binaries,
                "text out of proportion"
            );
        }
        check(&decoder, result, &limits);
    }
}

/// Reads the input as the text of arguments, in every way that arguments can be read. The first byte is the number of
/// attachments.
pub fn fuzz_args(input: &[u8]) {
    let Some((&count, text)) = input.split_first() else {
        return;
    };
    let attachments = vec![Bytes::from_static(b"attachment"); usize::from(count % 4)];
    let text = String::from_utf8_lossy(text).into_owned();
    let json = serde_json::from_str::<serde::de::IgnoredAny>(&text);
    match Args::from_json_array(&text.as_str().into(), attachments) {
        Ok(args) => {
            assert!(json.is_ok(), "this is no JSON: {text}");
            read_in_every_way(&args);
            let mut longer = args.clone();
            longer.push_str(&text);
            assert_eq!(longer.len(), args.len() + 1);
            read_in_every_way(&longer);
        }
        Err(super::ArgsError::Syntax) => {
            assert!(json.is_err() || !text.trim_start().starts_with('['), "this is a JSON array: {text}");
        }
        Err(_) => {}
    }
}

fn small_limits() -> Limits {
    Limits {
        max_attachment_bytes: 100,
        max_inline_binaries: 20,
        max_namespace_len: 50,
        max_event_name_len: 50,
        ..Limits::default()
    }
}

fn check(decoder: &Decoder, result: Result<Option<Packet>, DecodeError>, limits: &Limits) {
    match result {
        Ok(Some(packet)) => {
            assert!(!decoder.is_pending());
            assert!(packet.namespace.len() <= 3 * limits.max_namespace_len, "a namespace beyond its limit");
            if let PacketBody::Event { name, .. } = &packet.body {
                assert!(name.len() <= limits.max_event_name_len, "a name beyond its limit");
            }
            if let Some(args) = packet.args() {
                read_in_every_way(args);
            }
            assert_comes_back(&packet);
        }
        Ok(None) => assert!(decoder.is_pending()),
        Err(error) => {
            assert!(!decoder.is_pending());
            assert!(!error.to_string().is_empty());
        }
    }
}

fn read_in_every_way(args: &Args) {
    let values = args.to_values().expect("checked arguments can be read");
    assert_eq!(values.len(), args.len());
    let first: Value = args.deserialize().expect("any value can be read");
    assert_eq!(first, values.first().cloned().unwrap_or_default());
    let (one, two): (Value, Option<Value>) = args.deserialize().expect("any values can be read");
    assert_eq!(one, first);
    assert_eq!(two.unwrap_or_default(), values.get(1).cloned().unwrap_or_default());
    let array = format!("[{}]", args.json_elements());
    let again =
        Args::from_json_array(&array.as_str().into(), args.attachments().to_vec()).expect("the text is an array");
    assert_eq!(again.to_values().expect("and can be read"), values);
    assert_eq!(
        Args::from_values(values.clone()).to_values().map(|values| values.len()).unwrap_or(values.len()),
        values.len()
    );
}

/// Written by either parser, a packet is read as it was.
fn assert_comes_back(packet: &Packet) {
    let mut text = Vec::new();
    packet.encode_json_into(&mut text);
    assert_eq!(text.len(), packet.json_len());
    for parser in [Parser::Json, Parser::MsgPack] {
        if matches!(&packet.body, PacketBody::ConnectError(data) if data.is_empty()) && parser == Parser::MsgPack {
            // It has no form there.
            continue;
        }
        let encoded = packet.encode(parser);
        let limits = Limits {
            max_attachments: usize::MAX,
            max_attachment_bytes: usize::MAX,
            max_namespace_len: usize::MAX,
            max_event_name_len: usize::MAX,
            ..Limits::default()
        };
        let mut decoder = Decoder::new(parser);
        let mut read = match encoded.head {
            Message::Text(text) => decoder.decode_text(&text, &limits),
            Message::Binary(data) => decoder.decode_binary(data, &limits),
        };
        for data in encoded.attachments {
            read = decoder.decode_binary(data, &limits);
        }
        let read = read.expect("what was written can be read").expect("all of it was written");
        assert_eq!((&read.namespace, read.id), (&packet.namespace, packet.id));
        match (&read.body, &packet.body) {
            (PacketBody::Event { name, .. }, PacketBody::Event { name: written, .. }) => assert_eq!(name, written),
            (PacketBody::Ack(_), PacketBody::Ack(_))
            | (PacketBody::Connect(_), PacketBody::Connect(_))
            | (PacketBody::Disconnect, PacketBody::Disconnect)
            | (PacketBody::ConnectError(_), PacketBody::ConnectError(_)) => {}
            (read, written) => panic!("{read:?} for {written:?}"),
        }
        if let (Some(read), Some(written)) = (read.args(), packet.args()) {
            let (read, written) = (read.to_values(), written.to_values());
            let (read, written) = (read.expect("checked"), written.expect("checked"));
            assert_eq!(as_in_javascript(read), as_in_javascript(written));
        }
    }
}

/// Numbers rounded as JavaScript has them. MessagePack writes -0 as 0, like any whole number.
fn as_in_javascript(values: Vec<Value>) -> Vec<Value> {
    values
        .into_iter()
        .map(|value| match value {
            Value::Number(number) if number.as_f64() == Some(0.0) => 0.into(),
            Value::Number(number) if number.as_f64().is_some_and(|number| number.abs() > 9e15) => {
                number.as_f64().and_then(serde_json::Number::from_f64).map_or(Value::Null, Value::Number)
            }
            Value::Array(items) => Value::Array(as_in_javascript(items)),
            Value::Object(members) => {
                let (keys, values): (Vec<_>, Vec<_>) = members.into_iter().unzip();
                keys.into_iter().zip(as_in_javascript(values)).collect()
            }
            other => other,
        })
        .collect()
}
