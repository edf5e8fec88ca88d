//! Packets, payloads and the session, without I/O.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sockeye_protocol::engine::{
    self, Outcome, PacketKind, PayloadEncoder, Revision, Session, SessionConfig, Timeout, TransportKind, decode_payload,
};
use sockeye_protocol::socket::{Args, Decoder, Limits, Packet, Parser};
use sockeye_protocol::{ByteString, Message};

use crate::{Operation, Path, TEXT, repeat};

pub(crate) const PATHS: &[Path] = &[
    Path { name: "json/decode-event", runs: 2_000, per_run: 1, open: || decode(None, Parser::Json) },
    Path { name: "json/decode-event-with-ack", runs: 2_000, per_run: 1, open: || decode(Some(7), Parser::Json) },
    Path { name: "json/encode-event", runs: 2_000, per_run: 1, open: || encode(None, Parser::Json) },
    Path { name: "json/encode-event-with-ack", runs: 2_000, per_run: 1, open: || encode(Some(7), Parser::Json) },
    Path { name: "msgpack/decode-event", runs: 2_000, per_run: 1, open: || decode(None, Parser::MsgPack) },
    Path { name: "msgpack/encode-event", runs: 2_000, per_run: 1, open: || encode(None, Parser::MsgPack) },
    Path { name: "engine/decode-payload-10", runs: 1_000, per_run: 1, open: decode_payload_of_ten },
    Path { name: "engine/encode-payload-10", runs: 1_000, per_run: 1, open: encode_payload_of_ten },
    Path { name: "engine/heartbeat", runs: 10_000, per_run: 1, open: heartbeat },
];

/// `2["echo","..."]`, or with an id.
fn event(id: Option<u64>) -> Packet {
    let mut packet = Packet::event("/", "echo", Args::from_serialize(&(TEXT,)).expect("a text"));
    packet.id = id;
    packet
}

fn decode(id: Option<u64>, parser: Parser) -> Operation {
    let limits = Limits::default();
    let mut decoder = Decoder::new(parser);
    match event(id).encode(parser).head {
        Message::Text(text) => repeat(move || {
            let packet = decoder.decode_text(black_box(&text), &limits).expect("a packet");
            assert!(black_box(packet).is_some());
        }),
        Message::Binary(data) => repeat(move || {
            let packet = decoder.decode_binary(black_box(data.clone()), &limits).expect("a packet");
            assert!(black_box(packet).is_some());
        }),
    }
}

fn encode(id: Option<u64>, parser: Parser) -> Operation {
    let packet = event(id);
    repeat(move || drop(black_box(black_box(&packet).encode(parser))))
}

fn encoded_payload() -> Vec<u8> {
    let mut encoder = PayloadEncoder::new(Revision::V4, false);
    let packet: ByteString = format!("2[\"echo\",\"{TEXT}\"]").into();
    for _ in 0..10 {
        encoder.push_text(PacketKind::Message, black_box(&packet));
    }
    encoder.finish().bytes
}

fn encode_payload_of_ten() -> Operation {
    repeat(|| drop(black_box(encoded_payload())))
}

fn decode_payload_of_ten() -> Operation {
    let body = Bytes::from(encoded_payload());
    repeat(move || {
        let packets =
            decode_payload(black_box(&body), false, Revision::V4).map(black_box).filter(Result::is_ok).count();
        assert_eq!(packets, 10);
    })
}

/// The ping falls due, and the pong comes.
fn heartbeat() -> Operation {
    let config = SessionConfig {
        ping_interval: Duration::from_secs(25),
        ping_timeout: Duration::from_secs(20),
        upgrade_timeout: Duration::from_secs(10),
    };
    let mut now = Instant::now();
    let mut session = Session::new(Revision::V4, TransportKind::WebSocket, &config, now);
    repeat(move || {
        now += config.ping_interval;
        assert_eq!(session.handle_timeout(black_box(&config), now), Timeout::Ping);
        let pong = engine::Packet::decode_text(black_box("3"), Revision::V4).expect("a pong");
        assert_eq!(session.handle_packet(pong, &config, now), Outcome::Ignored);
        black_box(session.poll_timeout());
    })
}
