//! The masking of payloads (RFC 6455, 5.3).

/// Masks or unmasks `bytes`, whose first byte lies `offset` bytes into the payload.
pub fn apply_mask(bytes: &mut [u8], key: [u8; 4], offset: usize) {
    let mut key = key;
    key.rotate_left(offset % 4);
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, tail) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in tail.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn masks_as_the_rfc_says(bytes: Vec<u8>, key: [u8; 4], offset in 0usize..9) {
            let mut fast = bytes.clone();
            apply_mask(&mut fast, key, offset);
            let slow: Vec<u8> = bytes.iter().enumerate().map(|(i, byte)| byte ^ key[(i + offset) % 4]).collect();
            prop_assert_eq!(fast, slow);
        }

        #[test]
        fn a_payload_can_be_unmasked_in_pieces(bytes: Vec<u8>, key: [u8; 4], cut: prop::sample::Index) {
            let mut pieces = bytes.clone();
            let cut = cut.index(bytes.len() + 1);
            let (head, tail) = pieces.split_at_mut(cut);
            apply_mask(head, key, 0);
            apply_mask(tail, key, cut);
            apply_mask(&mut pieces, key, 0);
            prop_assert_eq!(pieces, bytes);
        }
    }
}
