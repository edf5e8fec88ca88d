//! Tests of compression: the examples of RFC 7692, round trips and limits.

use proptest::prelude::*;

use super::*;
use crate::{Decoder, Error, Event, Input, Limits, OpCode, Role, write_header, write_masked_frame};

fn agreed(takeover: bool, bits: u8) -> Agreed {
    Agreed {
        server_no_context_takeover: !takeover,
        client_no_context_takeover: !takeover,
        server_max_window_bits: bits,
        client_max_window_bits: bits,
        level: 6,
    }
}

fn inflate(inflater: &mut Inflater, payload: &[u8]) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    inflater.inflate(payload, &mut out, 100_000).map(|()| out)
}

fn compress(deflater: &mut Deflater, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    deflater.compress(payload, &mut out).expect("the compressor works");
    out
}

#[test]
fn inflates_the_examples_of_the_rfc() {
    // RFC 7692, 7.2.3.1 to 7.2.3.5.
    for example in [
        &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..],
        &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00],
        &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
        &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
    ] {
        for takeover in [false, true] {
            let mut inflater = Inflater::new(&agreed(takeover, 15), Role::Server);
            for _ in 0..3 {
                assert_eq!(inflate(&mut inflater, example).as_deref(), Ok(&b"Hello"[..]), "{example:02x?}");
            }
        }
    }
    let mut keeps = Inflater::new(&agreed(true, 15), Role::Server);
    assert_eq!(inflate(&mut keeps, &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]).as_deref(), Ok(&b"Hello"[..]));
    assert_eq!(inflate(&mut keeps, &[0xf2, 0x00, 0x11, 0x00, 0x00]).as_deref(), Ok(&b"Hello"[..]));
    assert_eq!(inflate(&mut keeps, &[0x00]).as_deref(), Ok(&b""[..]));
}

#[test]
fn a_context_that_is_not_kept_cannot_be_referred_to() {
    let mut forgets = Inflater::new(&agreed(false, 15), Role::Server);
    assert_eq!(inflate(&mut forgets, &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]).as_deref(), Ok(&b"Hello"[..]));
    assert_eq!(inflate(&mut forgets, &[0xf2, 0x00, 0x11, 0x00, 0x00]), Err(Error::Inflate));
    // The failure leaves nothing behind for the next connection.
    assert_eq!(inflate(&mut forgets, &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]).as_deref(), Ok(&b"Hello"[..]));
}

#[test]
fn compresses_the_examples_of_the_rfc() {
    let mut deflater = Deflater::new(&agreed(true, 15), Role::Server);
    assert_eq!(compress(&mut deflater, b"Hello"), [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]);
    assert_eq!(compress(&mut deflater, b"Hello"), [0xf2, 0x00, 0x11, 0x00, 0x00]);
    assert_eq!(compress(&mut deflater, b""), [0x00]);
    let mut deflater = Deflater::new(&agreed(false, 15), Role::Server);
    for _ in 0..3 {
        assert_eq!(compress(&mut deflater, b"Hello"), [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]);
    }
}

#[test]
fn each_end_keeps_to_its_own_parameters() {
    let agreed = Agreed { server_no_context_takeover: false, ..agreed(false, 15) };
    let mut server = Deflater::new(&agreed, Role::Server);
    assert!(compress(&mut server, b"Hello").len() > compress(&mut server, b"Hello").len());
    let mut client = Deflater::new(&agreed, Role::Client);
    assert_eq!(compress(&mut client, b"Hello"), compress(&mut client, b"Hello"));
}

#[test]
fn a_small_window_is_kept_to() {
    // Random bytes twice, 600 apart: a window of 512 cannot see the first when it writes the second.
    let mut state = 1u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(600)
    .collect();
    let twice = [&noise[..], &noise].concat();
    let small = compress(&mut Deflater::new(&agreed(false, 9), Role::Server), &twice);
    let large = compress(&mut Deflater::new(&agreed(false, 15), Role::Server), &twice);
    assert!(large.len() < 700, "{}", large.len());
    assert!(small.len() > 1100, "{}", small.len());
}

#[test]
fn a_bomb_is_stopped_at_the_limit() {
    let bomb = compress(&mut Deflater::new(&agreed(false, 15), Role::Client), &vec![0; 10_000_000]);
    assert!(bomb.len() < 20_000);
    for takeover in [false, true] {
        let mut out = Vec::new();
        let mut inflater = Inflater::new(&agreed(takeover, 15), Role::Server);
        assert_eq!(inflater.inflate(&bomb, &mut out, 50_000), Err(Error::MessageTooBig { limit: 50_000 }));
        assert!(out.capacity() <= 50_001, "{} bytes held", out.capacity());
    }
}

#[test]
fn the_limit_is_exact() {
    let packed = compress(&mut Deflater::new(&agreed(false, 15), Role::Client), &[7; 5000]);
    let mut inflater = Inflater::new(&agreed(false, 15), Role::Server);
    let mut out = Vec::new();
    assert_eq!(inflater.inflate(&packed, &mut out, 5000), Ok(()));
    assert_eq!(out, [7; 5000]);
    assert_eq!(inflater.inflate(&packed, &mut Vec::new(), 4999), Err(Error::MessageTooBig { limit: 4999 }));
}

#[test]
fn an_idle_connection_holds_no_state() {
    let mut inflater = Inflater::new(&agreed(false, 15), Role::Server);
    assert_eq!(inflate(&mut inflater, &[0x00]).as_deref(), Ok(&b""[..]));
    assert!(!inflater.holds_state());
    assert!(size_of::<Inflater>() <= 24);
    assert!(size_of::<Deflater>() <= 32);
}

#[test]
fn a_decoder_stops_a_bomb_and_checks_inflated_text() {
    let limits = Limits { max_message: 1000, max_fragments: 4 };
    let mut deflater = Deflater::new(&agreed(false, 15), Role::Client);
    for (payload, error) in
        [(vec![b'a'; 100_000], Error::MessageTooBig { limit: 1000 }), (b"ab\xff".to_vec(), Error::InvalidUtf8)]
    {
        let mut wire = Vec::new();
        write_masked_frame(&mut wire, OpCode::Text, true, &compress(&mut deflater, &payload), [1, 2, 3, 4]);
        let mut decoder =
            Decoder::new(Role::Server, limits).with_deflate(Inflater::new(&agreed(false, 15), Role::Server));
        assert_eq!(decoder.decode(&mut Input::new(&mut wire)), Err(error));
    }
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..3000),
        ("[a-e]{1,9}", 0usize..3000).prop_map(|(word, times)| word.repeat(times).into_bytes()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn messages_come_through(
        payloads in prop::collection::vec(payload(), 1..5),
        takeover: bool,
        bits in 9u8..=15,
        level in 0u32..=9,
        chunk in 1usize..5000,
    ) {
        let agreed = Agreed { level, ..agreed(takeover, bits) };
        for (sender, receiver) in [(Role::Server, Role::Client), (Role::Client, Role::Server)] {
            let mut deflater = Deflater::new(&agreed, sender);
            let mut wire = Vec::new();
            for payload in &payloads {
                let packed = compress(&mut deflater, payload);
                // The allowance of `Limits` holds.
                prop_assert!(packed.len() <= payload.len() + payload.len() / 8 + payload.len() / 64 + 64);
                if sender == Role::Client {
                    write_masked_frame(&mut wire, OpCode::Binary, true, &packed, [1, 2, 3, 4]);
                } else {
                    write_header(&mut wire, OpCode::Binary, true, packed.len());
                    wire.extend_from_slice(&packed);
                }
            }
            let limits = Limits { max_message: 30_000, max_fragments: 4 };
            let mut decoder = Decoder::new(receiver, limits).with_deflate(Inflater::new(&agreed, receiver));
            let mut found = Vec::new();
            for chunk in wire.chunks_mut(chunk) {
                let mut input = Input::new(chunk);
                while let Some(event) = decoder.decode(&mut input).expect("well-formed") {
                    let Event::Binary(bytes) = event else { panic!("a binary message, not {event:?}") };
                    found.push(bytes.to_vec());
                }
            }
            prop_assert_eq!(&found, &payloads);
            prop_assert_eq!(decoder.held(), 0);
        }
    }
}
