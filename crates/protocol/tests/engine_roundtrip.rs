//! Whatever is written is read back: payloads of any packets, forms of any text.

use std::borrow::Cow;

use proptest::prelude::*;
use sockeye_protocol::engine::{
    Data, Packet, PacketKind, PayloadEncoder, Revision, decode_payload, encode_base64_message, jsonp,
};

fn packet() -> impl Strategy<Value = Packet<'static>> {
    let kind = proptest::sample::select(PacketKind::ALL.to_vec());
    prop_oneof![
        // Revision 4 joins packets with U+001E: whoever sends it as text has it escaped (JSON does).
        (kind, "[^\u{1e}]{0,40}").prop_map(|(kind, text)| Packet { kind, data: Data::Text(Cow::Owned(text)) }),
        proptest::collection::vec(any::<u8>(), 0..40)
            .prop_map(|data| Packet { kind: PacketKind::Message, data: Data::Binary(Cow::Owned(data)) }),
    ]
}

fn revision() -> impl Strategy<Value = Revision> {
    prop_oneof![Just(Revision::V3), Just(Revision::V4)]
}

proptest! {
    #[test]
    fn payloads(
        packets in proptest::collection::vec(packet(), 1..12),
        revision in revision(),
        supports_binary: bool,
    ) {
        let mut encoder = PayloadEncoder::new(revision, supports_binary);
        for packet in &packets {
            match &packet.data {
                Data::Text(text) => encoder.push_text(packet.kind, text),
                Data::Binary(data) => encoder.push_binary_message(data),
            }
        }
        let body = encoder.finish();
        let has_binary = packets.iter().any(|packet| matches!(packet.data, Data::Binary(_)));
        prop_assert_eq!(body.binary, revision == Revision::V3 && supports_binary && has_binary);
        prop_assert!(body.binary || std::str::from_utf8(&body.bytes).is_ok());
        let read: Result<Vec<_>, _> = decode_payload(&body.bytes, body.binary, revision).collect();
        prop_assert_eq!(read, Ok(packets));
    }

    #[test]
    fn base64_messages(data: Vec<u8>, revision in revision()) {
        let text = encode_base64_message(&data, revision);
        prop_assert_eq!(Packet::decode_text(&text, revision), Ok(Packet::binary(PacketKind::Message, &data)));
    }

    #[test]
    fn jsonp_scripts_hold_one_string(index: String, payload: String) {
        let script = jsonp::wrap(&index, &payload);
        let (head, rest) = script.split_once("](").expect("an index");
        prop_assert!(head.strip_prefix("___eio[").expect("the callbacks").bytes().all(|byte| byte.is_ascii_digit()));
        let string = rest.strip_suffix(");").expect("the end");
        prop_assert_eq!(serde_json::from_str::<String>(string).expect("a string"), payload);
        let has_line_end = string.contains(['\u{2028}', '\u{2029}', '\n']);
        prop_assert!(!has_line_end);
    }

    /// What the official client does to a payload before it posts it.
    #[test]
    fn jsonp_forms(payload in r"(\\|n|\n|[a-z+%&=é€😀])*") {
        let escaped = payload.replace("\\n", "\\\\n").replace('\n', "\\n");
        let encoded: String = escaped.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let form = format!("d={encoded}");
        // Backslashes that stand before an `n` lose their meaning already in the client; all else comes back.
        prop_assume!(!payload.contains("\\\\n") && !payload.contains("\\\n"));
        prop_assert_eq!(jsonp::unwrap_form(form.as_bytes()), Ok(payload));
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(body: Vec<u8>, binary: bool, revision in revision()) {
        let packets = decode_payload(&body, binary, revision).count();
        prop_assert!(packets <= body.len() + 1);
        // U+FFFD takes three bytes where one was wrong.
        prop_assert!(jsonp::unwrap_form(&body).map_or(0, |payload| payload.len()) <= 3 * body.len());
    }
}
