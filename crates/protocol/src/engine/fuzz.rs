//! Entry points for fuzzing: bytes drive a part of this module, and what must always hold is asserted.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use super::{
    Data, EngineRequest, Outcome, Packet, PacketKind, PayloadEncoder, ProbeOutcome, ProbeRefused, Query, Revision,
    Session, SessionConfig, SessionInfo, Timeout, TransportKind, Verify, decode_payload, jsonp,
};
use crate::CloseReason;

/// Reads a polling body: the first byte chooses the revision and the content type. What was read is written and read
/// again.
pub fn fuzz_payload(input: &[u8]) {
    let Some((&options, body)) = input.split_first() else {
        return;
    };
    let revision = revision_of(options);
    let binary = options & 2 != 0;
    let mut packets = Vec::new();
    for packet in decode_payload(body, binary, revision) {
        match packet {
            Ok(packet) => packets.push(packet),
            Err(_) => break,
        }
    }
    let read: usize = packets.iter().map(|packet| packet.data.len()).sum();
    // A byte that is no UTF-8 becomes three.
    assert!(read <= 3 * body.len(), "more was read than there is");
    assert!(packets.len() <= body.len(), "more packets than bytes");
    write_and_read_again(packets, revision, options & 4 != 0);
}

/// Drives a session: the bytes are operations. After each one the rules that always hold are checked.
pub fn fuzz_session(input: &[u8]) {
    let mut bytes = input.iter().copied();
    let Some(options) = bytes.next() else {
        return;
    };
    let mut driver = Driver::new(options);
    while let Some(operation) = Operation::read(&mut bytes) {
        driver.apply(operation);
        driver.check();
    }
}

/// Reads a query, verifies a request with it, and reads and writes JSONP.
pub fn fuzz_request(input: &[u8]) {
    let Some((&options, rest)) = input.split_first() else {
        return;
    };
    let text = String::from_utf8_lossy(rest);
    let query = Query::parse(&text);
    assert!(query.sid.as_deref() != Some(""), "an empty session id counts as none");
    verify(options, &query, rest);
    if let Ok(payload) = jsonp::unwrap_form(rest) {
        assert!(payload.len() <= 3 * rest.len(), "a form grew");
    }
    let script = jsonp::wrap(query.j.as_deref().unwrap_or_default(), &text);
    assert!(script.starts_with("___eio[") && script.ends_with("\");"), "a script of another form");
    assert!(!script.contains(['\n', '\u{2028}', '\u{2029}']), "a line end in a string");
}

fn verify(options: u8, query: &Query<'_>, origin: &[u8]) {
    let transports = [TransportKind::Polling, TransportKind::WebSocket];
    let session = SessionInfo { transport: transport_of(options), revision: revision_of(options) };
    let request = Verify {
        method: if options & 4 != 0 { "GET" } else { "POST" },
        query,
        origin: (options & 8 != 0).then_some(origin),
        upgrade: options & 16 != 0,
        transports: &transports,
        allow_eio3: options & 32 != 0,
    };
    match request.check(|_| (options & 64 != 0).then_some(session)) {
        Ok(EngineRequest::Handshake { revision, transport }) => {
            assert!(query.sid.is_none() && request.method == "GET", "a handshake is a GET without a session");
            assert_eq!(revision, query.revision());
            assert!(transport == TransportKind::Polling || request.upgrade, "a WebSocket needs an upgrade");
        }
        Ok(EngineRequest::Existing { sid, transport }) => {
            assert_eq!(query.sid.as_deref(), Some(sid));
            assert!(request.upgrade || transport == session.transport, "a request reached another transport");
            assert_eq!(query.revision(), session.revision);
        }
        Err(error) => {
            assert!(error.code() <= 5 && matches!(error.status(), 400 | 403));
            assert!(error.to_json().starts_with("{\"code\":"), "another key comes first");
        }
    }
}

fn write_and_read_again(packets: Vec<Packet<'_>>, revision: Revision, supports_binary: bool) {
    // Bytes are written as messages, whatever kind they were read with.
    let packets: Vec<_> = packets
        .into_iter()
        .map(|packet| match packet.data {
            Data::Binary(data) => Packet { kind: PacketKind::Message, data: Data::Binary(data) },
            // A counted packet may hold the separator of revision 4, which counts nothing.
            Data::Text(_) => packet,
        })
        .collect();
    if packets.is_empty() {
        return;
    }
    let mut encoder = PayloadEncoder::new(revision, supports_binary);
    for packet in &packets {
        match &packet.data {
            Data::Text(text) => encoder.push_text(packet.kind, text),
            Data::Binary(data) => encoder.push_binary_message(data),
        }
    }
    let body = encoder.finish();
    let again: Result<Vec<_>, _> = decode_payload(&body.bytes, body.binary, revision).collect();
    assert_eq!(again, Ok(packets));
}

/// One thing that may happen to a session.
#[derive(Clone, Copy, Debug)]
enum Operation {
    Packet(PacketKind, Body),
    ProbeStart,
    ProbePacket(PacketKind, Body),
    ProbeClosed,
    /// Time passes without a call, so that timers come late.
    Advance(Duration),
    /// Time passes until the next timer.
    Timer,
    Close(CloseReason),
}

#[derive(Clone, Copy, Debug)]
enum Body {
    Empty,
    Probe,
    Binary,
}

impl Operation {
    fn read(bytes: &mut impl Iterator<Item = u8>) -> Option<Self> {
        let operation = bytes.next()?;
        Some(match operation % 8 {
            0 | 1 => Self::Packet(kind_of(operation), body_of(operation)),
            2 => Self::ProbeStart,
            3 => Self::ProbePacket(kind_of(operation), body_of(operation)),
            4 if operation & 8 != 0 => Self::ProbeClosed,
            4 | 5 => Self::Timer,
            6 => Self::Advance(Duration::from_millis(u64::from(bytes.next()?).pow(2))),
            _ if operation == u8::MAX => {
                let index = usize::from(bytes.next()?) % CloseReason::ALL.len();
                Self::Close(*CloseReason::ALL.get(index)?)
            }
            _ => Self::Timer,
        })
    }
}

/// A session, and what is known of it from outside.
struct Driver {
    session: Session,
    config: SessionConfig,
    now: Instant,
    closed: Option<CloseReason>,
    transport: TransportKind,
}

impl Driver {
    fn new(options: u8) -> Self {
        let time = |shift: u8| Duration::from_secs(4 * u64::from(options >> shift & 3));
        let config = SessionConfig { ping_interval: time(2), ping_timeout: time(4), upgrade_timeout: time(6) };
        let now = Instant::now();
        let transport = transport_of(options);
        let session = Session::new(revision_of(options), transport, &config, now);
        Self { session, config, now, closed: None, transport }
    }

    fn apply(&mut self, operation: Operation) {
        match operation {
            Operation::Packet(kind, body) => self.packet(kind, body),
            Operation::ProbeStart => self.probe_start(),
            Operation::ProbePacket(kind, body) => self.probe_packet(kind, body),
            Operation::ProbeClosed => {
                self.session.handle_probe_closed();
                assert!(!self.session.is_upgrading());
            }
            Operation::Advance(time) => self.now += time,
            Operation::Timer => {
                self.now = self.session.poll_timeout().unwrap_or(self.now).max(self.now);
                self.drain();
            }
            Operation::Close(reason) => {
                assert_eq!(self.session.close(reason), self.closed.is_none());
                self.closed = self.closed.or(Some(reason));
            }
        }
    }

    fn packet(&mut self, kind: PacketKind, body: Body) {
        let was_closed = self.closed.is_some();
        match self.session.handle_packet(packet(kind, body), &self.config, self.now) {
            Outcome::Ignored => {}
            Outcome::Message(data) => assert!(kind == PacketKind::Message && data == packet(kind, body).data),
            Outcome::Pong => assert!(kind == PacketKind::Ping && self.session.revision() == Revision::V3),
            Outcome::Closed(reason) => {
                assert!(!was_closed, "closed twice");
                self.closed = Some(reason);
                return;
            }
        }
        assert!(!was_closed || self.session.close_reason() == self.closed, "a closed session changed");
    }

    fn probe_start(&mut self) {
        let upgrading = self.session.is_upgrading();
        let expected = match self.transport {
            _ if self.closed.is_some() => Err(ProbeRefused::Closed),
            _ if upgrading => Err(ProbeRefused::Upgrading),
            TransportKind::WebSocket => Err(ProbeRefused::Upgraded),
            TransportKind::Polling => Ok(()),
        };
        assert_eq!(self.session.handle_probe_start(&self.config, self.now), expected);
    }

    fn probe_packet(&mut self, kind: PacketKind, body: Body) {
        let upgrading = self.session.is_upgrading();
        match self.session.handle_probe_packet(packet(kind, body), &self.config, self.now) {
            ProbeOutcome::Pong => assert!(upgrading && kind == PacketKind::Ping && matches!(body, Body::Probe)),
            ProbeOutcome::Upgrade => {
                assert!(upgrading && kind == PacketKind::Upgrade);
                self.transport = TransportKind::WebSocket;
                assert!(self.session.is_upgraded());
            }
            ProbeOutcome::Abort => assert!(!self.session.is_upgrading()),
        }
    }

    fn drain(&mut self) {
        for _ in 0..MAX_TIMEOUTS_AT_ONCE {
            match self.session.handle_timeout(&self.config, self.now) {
                Timeout::None => {
                    let late = self.session.poll_timeout().is_some_and(|due| due <= self.now);
                    assert!(!late, "a timeout is left over");
                    return;
                }
                Timeout::Ping => assert_eq!(self.session.revision(), Revision::V4),
                Timeout::Noop => assert!(self.session.is_upgrading()),
                Timeout::AbortProbe => assert!(!self.session.is_upgrading()),
                Timeout::Close(reason) => {
                    assert!(self.closed.is_none() && reason == CloseReason::PingTimeout);
                    self.closed = Some(reason);
                }
            }
        }
        panic!("timeouts without end");
    }

    fn check(&mut self) {
        let session = &self.session;
        assert_eq!(session.close_reason(), self.closed, "the first reason stays");
        assert_eq!(session.is_open(), self.closed.is_none());
        assert_eq!(session.transport(), self.transport, "the transport changes by an upgrade only");
        assert_eq!(session.poll_timeout().is_some(), session.is_open(), "a session has a timer until it closes");
        if session.is_upgrading() {
            assert_eq!(self.transport, TransportKind::Polling);
        }
        if session.is_upgraded() {
            assert_eq!(self.transport, TransportKind::WebSocket);
        }
        if !session.is_open() {
            let far = self.now + Duration::from_secs(1_000_000);
            assert_eq!(self.session.handle_timeout(&self.config, far), Timeout::None);
        }
    }
}

fn packet(kind: PacketKind, body: Body) -> Packet<'static> {
    let data = match body {
        Body::Empty => Data::Text(Cow::Borrowed("")),
        Body::Probe => Data::Text(Cow::Borrowed("probe")),
        Body::Binary => Data::Binary(Cow::Borrowed(b"probe")),
    };
    Packet { kind, data }
}

fn kind_of(byte: u8) -> PacketKind {
    let index = usize::from(byte >> 3) % PacketKind::ALL.len();
    PacketKind::ALL.get(index).copied().unwrap_or(PacketKind::Noop)
}

const fn body_of(byte: u8) -> Body {
    match byte >> 6 {
        0 | 1 => Body::Probe,
        2 => Body::Empty,
        _ => Body::Binary,
    }
}

const fn revision_of(options: u8) -> Revision {
    if options & 1 == 0 { Revision::V4 } else { Revision::V3 }
}

const fn transport_of(options: u8) -> TransportKind {
    if options & 2 == 0 { TransportKind::Polling } else { TransportKind::WebSocket }
}

/// A ping, its timeout where that is zero, the end of a probe or a noop, and the end of the timeouts.
const MAX_TIMEOUTS_AT_ONCE: usize = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn sessions(input in proptest::collection::vec(any::<u8>(), 0..200)) {
            fuzz_session(&input);
        }

        #[test]
        fn payloads(input in proptest::collection::vec(any::<u8>(), 0..60)) {
            fuzz_payload(&input);
        }

        #[test]
        fn payloads_of_likely_bytes(options: u8, body in "[0-7:b4=\u{1e}é€]{0,30}") {
            fuzz_payload(&[&[options], body.as_bytes()].concat());
        }

        #[test]
        fn requests(
            options: u8,
            query in "((EIO|transport|sid|j|b64|d)=(4|3|polling|websocket|[a-z%+&=\\\\]{0,8})&){0,6}",
        ) {
            fuzz_request(&[&[options], query.as_bytes()].concat());
        }
    }
}
