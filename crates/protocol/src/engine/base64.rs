//! Binary messages as text: `b` and base64, for transports that carry no binary.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::packet::{PacketKind, Revision};

/// A binary message as a text packet: `b<base64>` in revision 4, `b4<base64>` in revision 3.
///
/// It is the WebSocket text frame for clients that asked for `b64=1`, and a packet of a polling payload.
pub fn encode_base64_message(data: &[u8], revision: Revision) -> String {
    let mut packet = String::with_capacity(2 + data.len().div_ceil(3) * 4);
    packet.push('b');
    if revision == Revision::V3 {
        packet.push(char::from(PacketKind::Message.digit()));
    }
    STANDARD.encode_string(data, &mut packet);
    packet
}

/// Decodes as Node.js does, which never fails: both alphabets are read, other bytes are skipped, `=` ends the data.
pub(super) fn decode(text: &str) -> Vec<u8> {
    STANDARD.decode(text).unwrap_or_else(|_| decode_leniently(text.as_bytes()))
}

fn decode_leniently(text: &[u8]) -> Vec<u8> {
    let mut data = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0);
    for sextet in text.iter().take_while(|&&byte| byte != b'=').filter_map(|&byte| sextet(byte)) {
        bits = bits << 6 | u32::from(sextet);
        count += 6;
        if count >= 8 {
            count -= 8;
            // The mask leaves one byte.
            data.push((bits >> count & 0xff) as u8);
        }
    }
    data
}

const fn sextet(byte: u8) -> Option<u8> {
    Some(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_node_reads() {
        for (text, expected) in [
            ("", &b""[..]),
            ("YWJj", b"abc"),
            ("YWI=", b"ab"),
            ("YQ", b"a"),
            ("YQ=", b"a"),
            ("YQ==YQ==", b"a"),
            ("Y Q\n==", b"a"),
            ("YW=Jj", b"a"),
            ("Y*WJj", b"abc"),
            ("\u{e9}YWJj", b"abc"),
            ("=YWJj", b""),
            ("Y", b""),
            ("YWJjZ", b"abc"),
            ("YR==", b"a"),
            ("YWJ=", b"ab"),
            ("+/+/", b"\xfb\xff\xbf"),
            ("-_-_", b"\xfb\xff\xbf"),
        ] {
            assert_eq!(decode(text), expected, "{text:?}");
        }
    }

    #[test]
    fn writes_one_form_per_revision() {
        assert_eq!(encode_base64_message(b"\x01\x02\x03", Revision::V4), "bAQID");
        assert_eq!(encode_base64_message(b"\x01\x02\x03", Revision::V3), "b4AQID");
    }
}
