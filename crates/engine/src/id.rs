//! Session and socket ids: 20 characters of `[A-Za-z0-9_-]`, 88 random bits and a 32-bit sequence.
//!
//! The length is part of the protocol: sticky load balancers and the official cluster adapters look for 20 characters. Where
//! nodes forward requests to one another, session ids are made in `peers/secret.rs`: with 80 random bits, and the owner.

use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use compact_str::CompactString;
use rand::RngCore as _;

/// An id: short enough to live inline in a [`CompactString`], without an allocation.
pub type Id = CompactString;

/// What an id is before it is text.
pub(crate) type IdBytes = [u8; 15];

/// A fresh id, unguessable and, within a process, unique.
pub fn generate() -> Id {
    static SEQUENCE: AtomicU32 = AtomicU32::new(0);
    let mut bytes = IdBytes::default();
    rand::rng().fill_bytes(&mut bytes);
    bytes[11..].copy_from_slice(&SEQUENCE.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    encode_id(&bytes)
}

/// The text of an id.
pub(crate) fn encode_id(bytes: &IdBytes) -> Id {
    let mut text = [0u8; 20];
    // 15 bytes are exactly 20 characters, so neither step can fail.
    let written = URL_SAFE_NO_PAD.encode_slice(bytes, &mut text).unwrap_or(0);
    CompactString::from_utf8(&text[..written]).unwrap_or_default()
}

/// What an id says, if it has the form of one.
pub(crate) fn decode_id(text: &str) -> Option<IdBytes> {
    if text.len() != 20 {
        return None;
    }
    let mut bytes = IdBytes::default();
    let written = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
    (written == bytes.len()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_twenty_characters_and_differ() {
        let ids: std::collections::HashSet<_> = (0..1000).map(|_| generate()).collect();
        assert_eq!(ids.len(), 1000);
        for id in ids {
            assert_eq!(id.len(), 20);
            assert!(id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{id}");
            assert!(!id.is_heap_allocated());
            assert_eq!(decode_id(&id).map(|bytes| encode_id(&bytes)), Some(id));
        }
    }

    #[test]
    fn what_is_no_id_is_none() {
        for text in
            ["", "short", "19-characters-of-it", "exactly+20+character", "exactly-20-é-bytes-", "twenty-one-characters"]
        {
            assert_eq!(decode_id(text), None, "{text}");
        }
    }
}
