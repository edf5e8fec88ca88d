//! Writing frames.
//!
//! A server's frames are the same for every recipient, so a broadcast is written once and shared. A client masks each frame
//! with a fresh random key, which the caller supplies.

use crate::{
    frame::{FIN, MASKED, MAX_CONTROL, OpCode, RSV1, SHORT_16, SHORT_64},
    mask::apply_mask,
};

/// The longest frame header there is, in bytes: a client's, with a 64-bit length.
pub const MAX_HEADER: usize = 14;

/// How many bytes the header of an unmasked frame takes before `payload` bytes.
#[must_use]
pub fn header_len(payload: usize) -> usize {
    if payload <= usize::from(MAX_CONTROL) {
        2
    } else if payload <= usize::from(u16::MAX) {
        4
    } else {
        10
    }
}

/// Appends the header of a final, unmasked frame, as a server sends it; `payload_len` bytes must follow.
///
/// `compressed` says that the payload is the work of a [`Deflater`](crate::Deflater).
pub fn write_header(out: &mut Vec<u8>, opcode: OpCode, compressed: bool, payload_len: usize) {
    write_head(out, Head { fin: true, compressed, opcode, masked: false }, payload_len);
}

/// Appends a final, unmasked frame, as a server sends it.
///
/// The payload of a control frame must have at most 125 bytes, that of a text frame must be UTF-8.
pub fn write_frame(out: &mut Vec<u8>, opcode: OpCode, payload: &[u8]) {
    out.reserve(header_len(payload.len()).saturating_add(payload.len()));
    write_header(out, opcode, false, payload.len());
    out.extend_from_slice(payload);
}

/// Appends a final, masked frame, as a client sends it. `key` must be random and new for each frame (RFC 6455, 10.3).
pub fn write_masked_frame(out: &mut Vec<u8>, opcode: OpCode, compressed: bool, payload: &[u8], key: [u8; 4]) {
    write_masked(out, Head { fin: true, compressed, opcode, masked: true }, payload, key);
}

/// Appends an unmasked close frame, as a server sends it.
///
/// Without a code the frame has no payload and `reason` is left out. A reason longer than 123 bytes is cut at the end of a
/// character.
pub fn write_close(out: &mut Vec<u8>, code: Option<u16>, reason: &str) {
    write_frame(out, OpCode::Close, &close_payload(code, reason));
}

/// Appends a masked close frame, as a client sends it; see [`write_close`] and [`write_masked_frame`].
pub fn write_masked_close(out: &mut Vec<u8>, code: Option<u16>, reason: &str, key: [u8; 4]) {
    write_masked_frame(out, OpCode::Close, false, &close_payload(code, reason), key);
}

/// What the first two bytes say apart from the length.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    pub(crate) fin: bool,
    pub(crate) compressed: bool,
    pub(crate) opcode: OpCode,
    pub(crate) masked: bool,
}

pub(crate) fn write_masked(out: &mut Vec<u8>, head: Head, payload: &[u8], key: [u8; 4]) {
    out.reserve(MAX_HEADER.saturating_add(payload.len()));
    write_head(out, head, payload.len());
    out.extend_from_slice(&key);
    let start = out.len();
    out.extend_from_slice(payload);
    apply_mask(out.get_mut(start..).unwrap_or_default(), key, 0);
}

pub(crate) fn write_head(out: &mut Vec<u8>, head: Head, payload_len: usize) {
    let first = if head.fin { FIN } else { 0 } | if head.compressed { RSV1 } else { 0 } | head.opcode.bits();
    let masked = if head.masked { MASKED } else { 0 };
    match (u8::try_from(payload_len), u16::try_from(payload_len)) {
        (Ok(len), _) if len <= MAX_CONTROL => out.extend_from_slice(&[first, masked | len]),
        (_, Ok(len)) => {
            let [high, low] = len.to_be_bytes();
            out.extend_from_slice(&[first, masked | SHORT_16, high, low]);
        }
        _ => {
            out.extend_from_slice(&[first, masked | SHORT_64]);
            out.extend_from_slice(&(payload_len as u64).to_be_bytes());
        }
    }
}

fn close_payload(code: Option<u16>, reason: &str) -> Vec<u8> {
    let Some(code) = code else { return Vec::new() };
    let cut = reason.floor_char_boundary(MAX_REASON);
    let reason = reason.as_bytes().get(..cut).unwrap_or_default();
    [&code.to_be_bytes()[..], reason].concat()
}

/// The longest close reason, in bytes: a control frame's payload less the code.
const MAX_REASON: usize = MAX_CONTROL as usize - 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_as_long_as_foretold() {
        for len in [0, 1, 125, 126, 127, 255, 256, 65_535, 65_536, 1 << 24] {
            let mut out = Vec::new();
            write_header(&mut out, OpCode::Binary, false, len);
            assert_eq!(out.len(), header_len(len), "{len} bytes");
        }
    }

    #[test]
    fn writes_the_examples_of_the_rfc() {
        // RFC 6455, 5.7.
        let mut out = Vec::new();
        write_frame(&mut out, OpCode::Text, b"Hello");
        assert_eq!(out, b"\x81\x05\x48\x65\x6c\x6c\x6f");
        out.clear();
        write_masked_frame(&mut out, OpCode::Text, false, b"Hello", [0x37, 0xfa, 0x21, 0x3d]);
        assert_eq!(out, b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
        out.clear();
        write_header(&mut out, OpCode::Binary, false, 256);
        assert_eq!(out, b"\x82\x7e\x01\x00");
        out.clear();
        write_header(&mut out, OpCode::Binary, true, 65_536);
        assert_eq!(out, b"\xc2\x7f\x00\x00\x00\x00\x00\x01\x00\x00");
    }

    #[test]
    fn a_close_reason_is_cut_between_characters() {
        let mut out = Vec::new();
        write_close(&mut out, Some(4000), &"ü".repeat(100));
        assert_eq!(out.len(), 2 + 2 + 122);
        assert_eq!(&out[..4], b"\x88\x7c\x0f\xa0");
        out.clear();
        write_close(&mut out, None, "left out");
        assert_eq!(out, b"\x88\x00");
        out.clear();
        write_masked_close(&mut out, Some(1000), "", [0; 4]);
        assert_eq!(out, b"\x88\x82\0\0\0\0\x03\xe8");
    }
}
