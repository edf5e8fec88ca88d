//! What the fuzz targets and the property tests check of any input whatsoever.

use crate::{
    Decoder, Deflater, Error, Event, Inflater, Input, Limits, Role,
    deflate::{Agreed, DeflateConfig, negotiate},
};

/// Decodes `data`, whose first two bytes choose a configuration, in one chunk, byte by byte and in pieces: the events must
/// be the same, and the memory held must stay below the limits.
///
/// # Panics
///
/// If they are not, or it does not.
pub fn fuzz_decoder(data: &[u8]) {
    let [config, piece, wire @ ..] = data else { return };
    let setup = Setup::new(*config);
    let whole = setup.decode(wire, wire.len().max(1));
    let bytes = setup.decode(wire, 1);
    assert_eq!(whole, bytes, "in one chunk and byte by byte");
    let pieces = setup.decode(wire, usize::from(*piece).max(2));
    assert_eq!(whole, pieces, "in one chunk and in pieces");
}

/// Inflates `data`, whose first two bytes choose a limit: the output must stay within it, must not depend on whether a
/// context is kept, and must survive compression.
///
/// # Panics
///
/// If it does not.
pub fn fuzz_inflate(data: &[u8]) {
    let [low, high, payload @ ..] = data else { return };
    let limit = usize::from(u16::from_le_bytes([*low, *high]));
    let mut results = [false, true].map(|takeover| {
        let mut out = b"before".to_vec();
        let result = Inflater::new(&agreed(takeover), Role::Server).inflate(payload, &mut out, limit);
        assert!(out.capacity() <= out.len() * 2 + 32 * 1024, "{} bytes held", out.capacity());
        match result {
            Ok(()) => Ok(out.split_off(6)),
            Err(error) => Err(error),
        }
    });
    assert_eq!(results[0], results[1], "with and without context takeover");
    let Ok(message) = &mut results[0] else { return };
    assert!(message.len() <= limit);
    for takeover in [false, true] {
        let mut deflater = Deflater::new(&agreed(takeover), Role::Client);
        let mut inflater = Inflater::new(&agreed(takeover), Role::Server);
        for _ in 0..2 {
            let (mut packed, mut again) = (Vec::new(), Vec::new());
            assert_eq!(deflater.compress(message, &mut packed), Ok(()));
            assert_eq!(inflater.inflate(&packed, &mut again, limit), Ok(()));
            assert_eq!(&again, message);
        }
    }
}

/// Negotiates with `data` as a request's header: what is granted must be within what was configured.
///
/// # Panics
///
/// If it is not.
pub fn fuzz_negotiate(data: &str) {
    let config = DeflateConfig { server_max_window_bits: 12, ..DeflateConfig::default() };
    if let Some((agreed, answer)) = negotiate(data, &config) {
        assert!((9..=12).contains(&agreed.server_max_window_bits));
        assert!((8..=15).contains(&agreed.client_max_window_bits));
        assert!(answer.starts_with("permessage-deflate; server_no_context_takeover; client_no_context_takeover"));
    }
}

/// An event that outlives the input.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Owned {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
    Failed(Error),
}

impl From<Event<'_>> for Owned {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Text(text) => Self::Text(text.to_owned()),
            Event::Binary(bytes) => Self::Binary(bytes.to_vec()),
            Event::Ping(bytes) => Self::Ping(bytes.to_vec()),
            Event::Pong(bytes) => Self::Pong(bytes.to_vec()),
            Event::Close { code, reason } => Self::Close(code, reason.to_owned()),
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Setup {
    role: Role,
    limits: Limits,
    deflate: Option<Agreed>,
}

impl Setup {
    fn new(config: u8) -> Self {
        let role = if config & 1 == 0 { Role::Server } else { Role::Client };
        let max_message = if config & 2 == 0 { 64 } else { 4096 };
        let deflate = (config & 4 != 0).then(|| agreed(config & 8 != 0));
        Self { role, limits: Limits { max_message, max_fragments: 5 }, deflate }
    }

    fn decode(&self, wire: &[u8], piece: usize) -> Vec<Owned> {
        let mut decoder = Decoder::new(self.role, self.limits);
        if let Some(agreed) = &self.deflate {
            decoder = decoder.with_deflate(Inflater::new(agreed, self.role));
        }
        let mut events = Vec::new();
        let mut wire = wire.to_vec();
        for chunk in wire.chunks_mut(piece) {
            let mut input = Input::new(chunk);
            loop {
                match decoder.decode(&mut input) {
                    Ok(Some(event)) => events.push(event.into()),
                    Ok(None) => break,
                    Err(error) => {
                        events.push(Owned::Failed(error));
                        assert_eq!(decoder.decode(&mut input), Err(error));
                        assert_eq!(decoder.held(), 0, "after a failure");
                        return events;
                    }
                }
                self.check(&decoder);
            }
            assert!(input.is_empty());
            self.check(&decoder);
        }
        events
    }

    fn check(&self, decoder: &Decoder) {
        // The longest compressed message, or the longest message with the byte that tells it is not too long; the longest
        // control frame; and what describes them.
        let most = self.limits.max_message + self.limits.max_message / 4 + 64 + 125 + 256;
        assert!(decoder.held() <= most, "{} bytes held", decoder.held());
    }
}

fn agreed(takeover: bool) -> Agreed {
    Agreed {
        server_no_context_takeover: !takeover,
        client_no_context_takeover: !takeover,
        server_max_window_bits: 15,
        client_max_window_bits: 15,
        level: 1,
    }
}
