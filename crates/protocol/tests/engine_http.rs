//! Requests before they reach a session: a recorded run of the official server, and every check and its order.

#![allow(clippy::unwrap_used, reason = "a failed test may panic in its helpers too")]

use std::collections::HashMap;
use std::time::Duration;

use sockeye_protocol::engine::{
    BadRequestContext, EngineRequest, HandshakeError, OpenPacket, PacketKind, PayloadEncoder, Query, Revision,
    SessionInfo, TransportKind, Verify, jsonp,
};

const BOTH: &[TransportKind] = &[TransportKind::Polling, TransportKind::WebSocket];

fn verify<'a>(method: &'a str, query: &'a Query<'a>) -> Verify<'a> {
    let (method, upgrade) = if method == "UPGRADE" { ("GET", true) } else { (method, false) };
    Verify { method, query, origin: None, upgrade, transports: BOTH, allow_eio3: true }
}

#[test]
fn the_recorded_run_is_answered_alike() {
    let mut sessions = HashMap::new();
    let (mut opened, mut refused) = (0, 0);
    for line in include_str!("data/engine_http.txt").lines().filter(|line| !line.starts_with('#')) {
        if let Some(sid) = line.strip_prefix("closed ") {
            assert!(sessions.remove(sid).is_some(), "{line}");
            continue;
        }
        let (request, answer) = line.split_once(" -> ").unwrap();
        let (method, target) = request.split_once(' ').unwrap();
        let (status, body) = answer.split_once(' ').unwrap();
        let body: String = serde_json::from_str(body).unwrap();
        let query = Query::parse(target.split_once('?').unwrap().1);
        let verify = verify(method, &query);
        match verify.check(|sid| sessions.get(sid).copied()) {
            Err(error) => {
                assert_eq!(error.status().to_string(), status, "{line}");
                assert_eq!(if verify.upgrade { error.message().to_owned() } else { error.to_json() }, body, "{line}");
                refused += 1;
            }
            Ok(EngineRequest::Handshake { revision, transport }) => {
                assert_eq!(verify.revision(), Ok(revision), "{line}");
                let sid = body.split(['"', '\\']).find(|part| part.len() == 20).expect("a session id");
                assert_eq!(open(sid, &query, revision, transport), body, "{line}");
                sessions.insert(sid.to_owned(), SessionInfo { transport, revision });
                opened += 1;
            }
            Ok(EngineRequest::Existing { sid, transport }) => {
                assert!(sessions.contains_key(sid) && transport == TransportKind::Polling, "{line}");
                // Whatever comes now comes from the session: nothing to do with the request.
                assert!(!body.contains("\"code\""), "{line}");
            }
        }
    }
    assert_eq!((opened, refused), (17, 12));
}

fn open(sid: &str, query: &Query<'_>, revision: Revision, transport: TransportKind) -> String {
    let open = OpenPacket {
        sid,
        upgrades: transport.upgrades(),
        ping_interval: Duration::from_secs(60),
        ping_timeout: Duration::from_secs(20),
        max_payload: 1000,
    }
    .to_json();
    if transport == TransportKind::WebSocket {
        return format!("0{open}");
    }
    let mut encoder = PayloadEncoder::new(revision, !query.b64 && query.j.is_none());
    encoder.push_text(PacketKind::Open, &open);
    let body = String::from_utf8(encoder.finish().bytes).unwrap();
    match query.j.as_deref() {
        Some(index) => jsonp::wrap(index, &body),
        None => body,
    }
}

/// One session on polling, one on a WebSocket, both of revision 4, and one of revision 3.
fn lookup(sid: &str) -> Option<SessionInfo> {
    let (transport, revision) = match sid {
        "poll" => (TransportKind::Polling, Revision::V4),
        "sock" => (TransportKind::WebSocket, Revision::V4),
        "old" => (TransportKind::Polling, Revision::V3),
        _ => return None,
    };
    Some(SessionInfo { transport, revision })
}

fn refusal(method: &str, query: &str) -> Option<HandshakeError> {
    let query = Query::parse(query);
    verify(method, &query).check(lookup).err()
}

fn unknown(transport: &str) -> Option<HandshakeError> {
    Some(HandshakeError::TransportUnknown { transport: Some(transport.to_owned()) })
}

#[test]
fn each_check_has_its_error() {
    use BadRequestContext::*;
    use HandshakeError::*;
    use Revision::{V3, V4};
    use TransportKind::{Polling, WebSocket};
    for (method, query, expected) in [
        ("GET", "", Some(TransportUnknown { transport: None })),
        ("GET", "EIO=4&transport=", unknown("")),
        ("GET", "EIO=4&transport=Polling", unknown("Polling")),
        ("GET", "EIO=4&transport=webtransport", unknown("webtransport")),
        ("GET", "EIO=4&transport=__proto__", unknown("__proto__")),
        ("UPGRADE", "EIO=4&transport=constructor", unknown("constructor")),
        ("GET", "EIO=4&transport=polling&sid=__proto__", Some(SessionUnknown)),
        ("GET", "EIO=4&transport=polling&sid=constructor", Some(SessionUnknown)),
        ("UPGRADE", "EIO=4&transport=websocket&sid=gone", Some(SessionUnknown)),
        (
            "GET",
            "EIO=4&transport=polling&sid=sock",
            Some(BadRequest(TransportMismatch { transport: Polling, previous: WebSocket })),
        ),
        (
            "GET",
            "EIO=4&transport=websocket&sid=poll",
            Some(BadRequest(TransportMismatch { transport: WebSocket, previous: Polling })),
        ),
        ("GET", "EIO=4&transport=websocket&sid=sock", Some(BadRequest(TransportHandshakeError))),
        ("POST", "EIO=3&transport=polling&sid=poll", Some(BadRequest(ProtocolMismatch { revision: V3, previous: V4 }))),
        ("POST", "EIO=4&transport=polling&sid=old", Some(BadRequest(ProtocolMismatch { revision: V4, previous: V3 }))),
        ("UPGRADE", "transport=websocket&sid=poll", Some(BadRequest(ProtocolMismatch { revision: V3, previous: V4 }))),
        ("POST", "EIO=4&transport=polling", Some(BadMethod)),
        ("get", "EIO=4&transport=polling", Some(BadMethod)),
        ("GET", "EIO=4&transport=websocket", Some(BadRequest(TransportHandshakeError))),
        ("GET", "EIO=4&transport=polling", None),
        ("GET", "EIO=4&transport=polling&sid=", None),
        ("UPGRADE", "EIO=4&transport=websocket", None),
        ("UPGRADE", "EIO=4&transport=polling", None),
        ("PUT", "EIO=4&transport=polling&sid=poll", None),
        ("UPGRADE", "EIO=4&transport=websocket&sid=poll", None),
        ("UPGRADE", "EIO=4&transport=websocket&sid=sock", None),
    ] {
        assert_eq!(refusal(method, query), expected, "{method} {query}");
    }
}

#[test]
fn the_first_check_that_fails_names_the_error() {
    let query = Query::parse("transport=x&sid=gone");
    let mut request = Verify { method: "PUT", origin: Some(b"\x00"), allow_eio3: false, ..verify("GET", &query) };
    assert_eq!(request.check(lookup).unwrap_err().code(), 0);

    let query = Query::parse("transport=polling&sid=gone");
    request.query = &query;
    let origin = HandshakeError::BadRequest(BadRequestContext::InvalidOrigin);
    assert_eq!(request.check(lookup), Err(origin));

    request.origin = None;
    assert_eq!(request.check(lookup), Err(HandshakeError::SessionUnknown));

    // The revision of a new session is checked last, after the program's own check.
    let query = Query::parse("transport=polling");
    request.query = &query;
    assert_eq!(request.check(lookup), Err(HandshakeError::BadMethod));
    request.method = "GET";
    let handshake = EngineRequest::Handshake { revision: Revision::V3, transport: TransportKind::Polling };
    assert_eq!(request.check(lookup), Ok(handshake));
    assert_eq!(request.revision(), Err(HandshakeError::UnsupportedVersion));
    request.allow_eio3 = true;
    assert_eq!(request.revision(), Ok(Revision::V3));
}

#[test]
fn a_transport_has_to_be_enabled() {
    for (transports, name) in [(&BOTH[..1], "websocket"), (&BOTH[1..], "polling"), (&[], "polling")] {
        let query = format!("EIO=4&transport={name}");
        let query = Query::parse(&query);
        let request = Verify { transports, ..verify("UPGRADE", &query) };
        assert_eq!(request.check(lookup).err(), unknown(name));
    }
}

#[test]
fn an_origin_may_have_any_byte_that_a_header_may_have() {
    let query = Query::parse("EIO=4&transport=polling");
    for byte in 0..=255_u8 {
        let origin = [b'h', byte];
        let request = Verify { origin: Some(&origin), ..verify("GET", &query) };
        let valid = byte == b'\t' || (byte >= b' ' && byte != 0x7f);
        assert_eq!(request.check(lookup).is_ok(), valid, "{byte:#04x}");
    }
    let request = Verify { origin: Some(b""), ..verify("GET", &query) };
    assert!(request.check(lookup).is_ok());
}

#[test]
fn queries_are_read_as_the_official_server_reads_them() {
    let query = Query::parse("EIO=4&transport=poll%69ng&sid=a%2Bb+c&t=xyz&j=12&b64=1");
    assert_eq!(query.eio.as_deref(), Some("4"));
    assert_eq!(query.transport.as_deref(), Some("polling"));
    assert_eq!(query.sid.as_deref(), Some("a+b c"));
    assert_eq!(query.j.as_deref(), Some("12"));
    assert!(query.b64);

    assert_eq!(Query::parse(""), Query::default());
    assert_eq!(Query::parse("&&=&=x&__proto__=1&constructor=2&eio=4&SID=x"), Query::default());
    // Of a repeated name the last value counts, an empty one too.
    let query = Query::parse("EIO=4&EIO=3&transport=a&transport=b&sid=x&sid=&b64=1&b64=");
    assert_eq!(query.eio.as_deref(), Some("3"));
    assert_eq!(query.transport.as_deref(), Some("b"));
    assert_eq!((query.sid, query.b64), (None, false));
    // An empty `j` still makes it JSONP; names are decoded too; a broken escape stays; bad UTF-8 is replaced.
    assert_eq!(Query::parse("j").j.as_deref(), Some(""));
    assert_eq!(Query::parse("%45IO=4").eio.as_deref(), Some("4"));
    assert_eq!(Query::parse("sid=%zz%").sid.as_deref(), Some("%zz%"));
    assert_eq!(Query::parse("sid=%ff").sid.as_deref(), Some("\u{fffd}"));
}

#[test]
fn whatever_is_not_4_is_revision_3() {
    for query in ["", "EIO", "EIO=", "EIO=3", "EIO=5", "EIO=04", "EIO=4.0", "EIO=4&EIO=x"] {
        assert_eq!(Query::parse(query).revision(), Revision::V3, "{query}");
    }
    assert_eq!(Query::parse("EIO=4").revision(), Revision::V4);
}

#[test]
fn errors_on_the_wire() {
    let bad = HandshakeError::BadRequest(BadRequestContext::MiddlewareFailure);
    for (error, status, json) in [
        (HandshakeError::TransportUnknown { transport: None }, 400, r#"{"code":0,"message":"Transport unknown"}"#),
        (HandshakeError::SessionUnknown, 400, r#"{"code":1,"message":"Session ID unknown"}"#),
        (HandshakeError::BadMethod, 400, r#"{"code":2,"message":"Bad handshake method"}"#),
        (bad, 400, r#"{"code":3,"message":"Bad request"}"#),
        (HandshakeError::Forbidden(String::new()), 403, r#"{"code":4,"message":"Forbidden"}"#),
        (HandshakeError::Forbidden("no \"x\"".to_owned()), 403, r#"{"code":4,"message":"no \"x\""}"#),
        (HandshakeError::UnsupportedVersion, 400, r#"{"code":5,"message":"Unsupported protocol version"}"#),
    ] {
        assert_eq!((error.status(), error.to_json().as_str()), (status, json));
        assert_eq!(error.to_string(), error.message());
    }
    assert_eq!(BadRequestContext::MiddlewareFailure.name(), "MIDDLEWARE_FAILURE");
}
