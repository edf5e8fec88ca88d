//! The two computed values of the opening handshake (RFC 6455, 4.1 and 4.2.2).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha1::{Digest, Sha1};

/// The value of `Sec-WebSocket-Accept` that answers a `Sec-WebSocket-Key`; `None` if the key is not the base64 form of
/// 16 bytes, in which case the request is answered with status 400.
#[must_use]
pub fn accept_key(key: &str) -> Option<String> {
    let mut nonce = [0; NONCE_ROOM];
    if STANDARD.decode_slice(key, &mut nonce).ok()? != NONCE_LEN {
        return None;
    }
    let mut hash = Sha1::new();
    hash.update(key.as_bytes());
    hash.update(GUID);
    Some(STANDARD.encode(hash.finalize()))
}

/// The value of `Sec-WebSocket-Key` made from 16 `random` bytes, fresh for each connection.
#[must_use]
pub fn client_key(random: [u8; NONCE_LEN]) -> String {
    STANDARD.encode(random)
}

/// Appended to every key before it is hashed.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// How many random bytes a key stands for.
const NONCE_LEN: usize = 16;
/// What the decoder may fill: 24 characters of base64 without padding would be 18 bytes.
const NONCE_ROOM: usize = 18;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_the_example_of_the_rfc() {
        let answer = Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".to_owned());
        assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), answer);
        assert_eq!(client_key(*b"the sample nonce"), "dGhlIHNhbXBsZSBub25jZQ==");
    }

    #[test]
    fn refuses_keys_that_are_not_sixteen_bytes() {
        for key in
            ["", "dGhlIHNhbXBsZQ==", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZSE=", "!!!!IHNhbXBsZSBub25jZQ=="]
        {
            assert_eq!(accept_key(key), None, "{key:?}");
        }
        assert_eq!(accept_key(&"A".repeat(10_000)), None);
    }
}
