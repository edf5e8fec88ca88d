//! Tests of the decoder, rule by rule, and of what it holds in memory.

use proptest::prelude::*;

use super::*;
use crate::{
    encode::{Head, write_head, write_masked, write_masked_close, write_masked_frame},
    fuzz,
};

const LIMITS: Limits = Limits { max_message: 1000, max_fragments: 4 };
const KEY: [u8; 4] = [0xa5, 0x01, 0xfe, 0x70];

fn server() -> Decoder {
    Decoder::new(Role::Server, LIMITS)
}

/// One masked frame.
fn frame(fin: bool, opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_masked(&mut out, Head { fin, compressed: false, opcode, masked: true }, payload, KEY);
    out
}

/// The events in `wire`, in a form to compare, up to an error.
fn events(decoder: &mut Decoder, wire: &mut [u8]) -> Vec<String> {
    let mut input = Input::new(wire);
    let mut found = Vec::new();
    loop {
        match decoder.decode(&mut input) {
            Ok(Some(event)) => found.push(format!("{event:?}")),
            Ok(None) => return found,
            Err(error) => {
                found.push(format!("{error:?}"));
                return found;
            }
        }
    }
}

fn decode(frames: &[Vec<u8>]) -> Vec<String> {
    events(&mut server(), &mut frames.concat())
}

#[test]
fn a_whole_frame_is_borrowed() {
    let mut wire = frame(true, OpCode::Text, b"hello");
    let place = wire.as_ptr_range();
    let mut decoder = server();
    let mut input = Input::new(&mut wire);
    assert_eq!(input.remaining(), 11);
    let Ok(Some(Event::Text(text))) = decoder.decode(&mut input) else { panic!("a text message") };
    assert_eq!(text, "hello");
    assert!(place.contains(&text.as_ptr()));
    assert_eq!(decoder.decode(&mut input), Ok(None));
    assert!(input.is_empty());
    assert_eq!(decoder.held(), 0);
}

#[test]
fn a_client_takes_unmasked_frames() {
    let mut wire = b"\x81\x02hi\x82\x00\x8a\x01x".to_vec();
    let mut decoder = Decoder::new(Role::Client, LIMITS);
    assert_eq!(events(&mut decoder, &mut wire), ["Text(\"hi\")", "Binary([])", "Pong([120])"]);
    let mut masked = frame(true, OpCode::Text, b"hi");
    assert_eq!(events(&mut decoder, &mut masked), ["MaskForbidden"]);
}

#[test]
fn fragments_are_joined_around_control_frames() {
    let wire = [
        frame(false, OpCode::Text, b"ab"),
        frame(true, OpCode::Ping, b"p"),
        frame(false, OpCode::Continuation, b""),
        frame(true, OpCode::Pong, b""),
        frame(true, OpCode::Continuation, b"c"),
        frame(true, OpCode::Binary, b"d"),
    ];
    assert_eq!(decode(&wire), ["Ping([112])", "Pong([])", "Text(\"abc\")", "Binary([100])"]);
}

#[test]
fn a_frame_cut_anywhere_is_completed_and_its_memory_freed() {
    let wire = [frame(true, OpCode::Text, "grün".as_bytes()), frame(true, OpCode::Ping, &[7; 125])].concat();
    for cut in 0..wire.len() {
        let mut decoder = server();
        let (mut head, mut tail) = (wire[..cut].to_vec(), wire[cut..].to_vec());
        let mut found = events(&mut decoder, &mut head);
        found.extend(events(&mut decoder, &mut tail));
        assert_eq!(found.len(), 2, "cut at {cut}");
        assert_eq!(found[0], "Text(\"grün\")", "cut at {cut}");
        assert_eq!(decoder.held(), 0, "cut at {cut}");
    }
}

#[test]
fn sequences_against_the_rules_are_refused() {
    let text = |fin| frame(fin, OpCode::Text, b"");
    let next = |fin| frame(fin, OpCode::Continuation, b"");
    assert_eq!(decode(&[next(true)]), ["UnexpectedContinuation"]);
    assert_eq!(decode(&[next(false)]), ["UnexpectedContinuation"]);
    assert_eq!(decode(&[text(true), next(true)]), ["Text(\"\")", "UnexpectedContinuation"]);
    assert_eq!(decode(&[text(false), text(true)]), ["ExpectedContinuation"]);
    assert_eq!(decode(&[text(false), frame(false, OpCode::Binary, b"")]), ["ExpectedContinuation"]);
}

#[test]
fn the_compressed_bit_needs_an_agreement_and_a_first_frame() {
    let compressed = |fin, opcode| {
        let mut out = Vec::new();
        write_masked(&mut out, Head { fin, compressed: true, opcode, masked: true }, b"\0", KEY);
        out
    };
    assert_eq!(decode(&[compressed(true, OpCode::Text)]), ["ReservedBits"]);
    let agreed = crate::deflate::negotiate("permessage-deflate", &crate::deflate::DeflateConfig::default());
    let agreed = agreed.expect("a good offer").0;
    let with_deflate = || server().with_deflate(Inflater::new(&agreed, Role::Server));
    assert_eq!(events(&mut with_deflate(), &mut compressed(true, OpCode::Text)), ["Text(\"\")"]);
    assert_eq!(events(&mut with_deflate(), &mut compressed(true, OpCode::Ping)), ["ReservedBits"]);
    let mut wire = [compressed(false, OpCode::Text), compressed(true, OpCode::Continuation)].concat();
    assert_eq!(events(&mut with_deflate(), &mut wire), ["ReservedBits"]);
    let mut wire = [compressed(false, OpCode::Text), frame(true, OpCode::Continuation, b"")].concat();
    assert_eq!(events(&mut with_deflate(), &mut wire), ["Text(\"\")"]);
}

#[test]
fn nothing_follows_a_close_or_an_error() {
    let mut decoder = server();
    let mut wire = Vec::new();
    write_masked_close(&mut wire, Some(1000), "done", KEY);
    write_masked_frame(&mut wire, OpCode::Text, false, b"late", KEY);
    assert_eq!(events(&mut decoder, &mut wire), ["Close { code: Some(1000), reason: \"done\" }"]);
    assert_eq!(events(&mut decoder, &mut frame(true, OpCode::Text, b"later")), [""; 0]);

    let mut decoder = server();
    assert_eq!(events(&mut decoder, &mut [0x83, 0x80]), ["ReservedOpCode(3)"]);
    assert_eq!(events(&mut decoder, &mut frame(true, OpCode::Text, b"late")), ["ReservedOpCode(3)"]);
}

#[test]
fn close_frames_are_checked() {
    assert_eq!(decode(&[frame(true, OpCode::Close, b"")]), ["Close { code: None, reason: \"\" }"]);
    assert_eq!(decode(&[frame(true, OpCode::Close, b"\x03")]), ["CloseTruncated"]);
    assert_eq!(decode(&[frame(true, OpCode::Close, b"\x03\xec")]), ["CloseCode(1004)"]);
    assert_eq!(decode(&[frame(true, OpCode::Close, b"\x03\xe8\xce")]), ["InvalidUtf8"]);
}

#[test]
fn text_that_cannot_become_valid_fails_at_once() {
    assert_eq!(decode(&[frame(true, OpCode::Text, b"\xce")]), ["InvalidUtf8"]);
    // A character may be cut between fragments, but not at the end.
    let cut = frame(false, OpCode::Text, b"\xce");
    assert_eq!(decode(&[cut.clone(), frame(true, OpCode::Continuation, b"\xba")]), ["Text(\"κ\")"]);
    assert_eq!(decode(&[cut.clone(), frame(true, OpCode::Continuation, b"")]), ["InvalidUtf8"]);
    assert_eq!(decode(&[cut, frame(false, OpCode::Continuation, b"x")]), ["InvalidUtf8"]);
    // The rest of the frame has not even arrived: U+110000 and above do not exist.
    let mut long = frame(true, OpCode::Text, b"\xf4\x90\x80\x80 and much more");
    assert_eq!(events(&mut server(), &mut long[..8]), ["InvalidUtf8"]);
    // Bytes are no text.
    assert_eq!(decode(&[frame(true, OpCode::Binary, b"\xff")]), ["Binary([255])"]);
}

#[test]
fn a_message_has_a_longest_length() {
    let too_big = ["MessageTooBig { limit: 1000 }"];
    assert_eq!(decode(&[frame(true, OpCode::Binary, &[0; 1000])]).len(), 1);
    assert_eq!(decode(&[frame(true, OpCode::Binary, &[0; 1001])]), too_big);
    let first = frame(false, OpCode::Binary, &[0; 600]);
    assert_eq!(decode(&[first.clone(), frame(true, OpCode::Continuation, &[0; 401])]), too_big);
    // The header alone decides, and nothing is allocated for what it promises.
    let mut decoder = server();
    assert_eq!(events(&mut decoder, &mut b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xffkey!".to_vec()), too_big);
    assert_eq!(decoder.held(), 0);
    // A control frame counts for itself.
    assert_eq!(decode(&[first, frame(true, OpCode::Ping, &[0; 125])]).len(), 1);
}

#[test]
fn memory_follows_what_was_received() {
    let limits = Limits { max_message: 1 << 30, max_fragments: 4 };
    let mut decoder = Decoder::new(Role::Client, limits);
    let mut head = Vec::new();
    write_head(&mut head, Head { fin: true, compressed: false, opcode: OpCode::Binary, masked: false }, 1 << 30);
    head.extend_from_slice(&[0; 100]);
    assert_eq!(events(&mut decoder, &mut head), [""; 0]);
    assert!(decoder.held() < 1024, "{} bytes held", decoder.held());
    assert_eq!(events(&mut decoder, &mut [0; 10_000]), [""; 0]);
    assert!(decoder.held() < 32 * 1024, "{} bytes held", decoder.held());
}

#[test]
fn tiny_fragments_are_bounded() {
    let first = frame(false, OpCode::Text, b"a");
    let next = frame(false, OpCode::Continuation, b"");
    let last = frame(true, OpCode::Continuation, b"");
    assert_eq!(decode(&[first.clone(), next.clone(), next.clone(), last.clone()]), ["Text(\"a\")"]);
    let wire = [first, next.clone(), next.clone(), next, last];
    assert_eq!(decode(&wire), ["TooManyFragments { limit: 4 }"]);
}

#[test]
fn each_error_has_its_close_code() {
    assert_eq!(Error::ReservedOpCode(3).close_code(), 1002);
    assert_eq!(Error::InvalidUtf8.close_code(), 1007);
    assert_eq!(Error::Inflate.close_code(), 1007);
    assert_eq!(Error::TooManyFragments { limit: 1 }.close_code(), 1008);
    assert_eq!(Error::MessageTooBig { limit: 1 }.close_code(), 1009);
}

/// Frames that are mostly right, so that the rules behind the first are reached.
fn likely_wire() -> impl Strategy<Value = Vec<u8>> {
    let opcode = prop_oneof![
        4 => Just(OpCode::Continuation),
        4 => Just(OpCode::Text),
        2 => Just(OpCode::Binary),
        1 => Just(OpCode::Ping),
        1 => Just(OpCode::Pong),
    ];
    let payload = prop_oneof![
        4 => "[a-zü€😀]{0,20}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..200),
    ];
    let frame = (prop::bool::weighted(0.6), prop::bool::weighted(0.2), opcode, payload, any::<[u8; 4]>());
    prop::collection::vec(frame, 0..8).prop_map(|frames| {
        let mut out = Vec::new();
        for (fin, compressed, opcode, payload, key) in frames {
            let fin = fin || opcode.is_control();
            write_masked(&mut out, Head { fin, compressed, opcode, masked: true }, &payload, key);
        }
        out
    })
}

proptest! {
    #[test]
    fn the_way_the_bytes_are_cut_changes_nothing(config in 0u8..16, piece: u8, wire in likely_wire()) {
        fuzz::fuzz_decoder(&[&[config & !1, piece], &wire[..]].concat());
    }

    #[test]
    fn any_bytes_do_no_harm(data: Vec<u8>) {
        fuzz::fuzz_decoder(&data);
        fuzz::fuzz_inflate(&data);
    }

    #[test]
    fn a_message_comes_through_in_any_fragments(
        text in "\\PC{0,200}",
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..3),
        chunk in 1usize..50,
    ) {
        let bytes = text.as_bytes();
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        at.extend([0, bytes.len()]);
        at.sort_unstable();
        let mut wire = Vec::new();
        for (i, ends) in at.windows(2).enumerate() {
            let opcode = if i == 0 { OpCode::Text } else { OpCode::Continuation };
            wire.extend(frame(i + 2 == at.len(), opcode, &bytes[ends[0]..ends[1]]));
        }
        let mut decoder = server();
        let mut found = Vec::new();
        for chunk in wire.chunks_mut(chunk) {
            found.extend(events(&mut decoder, chunk));
        }
        prop_assert_eq!(found, [format!("{:?}", Event::Text(&text))]);
        prop_assert_eq!(decoder.held(), 0);
    }
}
