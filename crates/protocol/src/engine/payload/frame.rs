//! The two ways of revision 3 to mark where a packet ends.

use memchr::memchr;

use crate::engine::PacketError;

/// Takes the next `<length>:<packet>` off a text body; the length counts UTF-16 units.
pub(super) fn split_text(body: &[u8]) -> Result<(&[u8], &[u8]), PacketError> {
    let colon = memchr(b':', head(body)).ok_or(PacketError::InvalidLength)?;
    let (digits, rest) = body.split_at_checked(colon).ok_or(PacketError::InvalidLength)?;
    let units = parse_length(digits.iter().map(|digit| digit.wrapping_sub(b'0')))?;
    let rest = rest.get(1..).unwrap_or_default();
    let end = utf16_prefix(rest, units).ok_or(PacketError::Truncated)?;
    rest.split_at_checked(end).ok_or(PacketError::Truncated)
}

/// Takes the next packet off a binary body; true where it is text.
pub(super) fn split_binary(body: &[u8]) -> Result<(bool, &[u8], &[u8]), PacketError> {
    let (&marker, rest) = body.split_first().ok_or(PacketError::Empty)?;
    let is_text = match marker {
        TEXT => true,
        BINARY => false,
        _ => return Err(PacketError::InvalidBinaryPayload),
    };
    let end = memchr(END_OF_LENGTH, head(rest)).ok_or(PacketError::InvalidLength)?;
    let (digits, rest) = rest.split_at_checked(end).ok_or(PacketError::InvalidLength)?;
    let length = parse_length(digits.iter().copied())?;
    let rest = rest.get(1..).unwrap_or_default();
    let (packet, rest) = rest.split_at_checked(length).ok_or(PacketError::Truncated)?;
    Ok((is_text, packet, rest))
}

/// Writes `<length>:`, with the number of UTF-16 units of the packet.
pub(super) fn push_text_header(body: &mut Vec<u8>, units: usize) {
    body.extend_from_slice(units.to_string().as_bytes());
    body.push(b':');
}

/// Writes the header of a packet in a binary body; `length` in bytes.
pub(super) fn push_binary_header(body: &mut Vec<u8>, is_text: bool, length: usize) {
    body.push(if is_text { TEXT } else { BINARY });
    body.extend(length.to_string().bytes().map(|digit| digit.wrapping_sub(b'0')));
    body.push(END_OF_LENGTH);
}

fn head(body: &[u8]) -> &[u8] {
    body.get(..=MAX_LENGTH_DIGITS).unwrap_or(body)
}

fn parse_length(digits: impl ExactSizeIterator<Item = u8>) -> Result<usize, PacketError> {
    if digits.len() == 0 {
        return Err(PacketError::InvalidLength);
    }
    digits.into_iter().try_fold(0_usize, |length, digit| {
        if digit > 9 {
            return Err(PacketError::InvalidLength);
        }
        // Whatever does not fit a usize is longer than any body.
        Ok(length.saturating_mul(10).saturating_add(usize::from(digit)))
    })
}

/// The number of bytes that the first `units` UTF-16 units of the body take, where invalid UTF-8 counts as U+FFFD.
/// None where the body is shorter, or the units end inside a character.
fn utf16_prefix(body: &[u8], units: usize) -> Option<usize> {
    // A unit takes three bytes at most. Looking no further keeps a body of many small packets linear; the one byte more
    // keeps a character of four bytes in one piece.
    let window = body.get(..units.saturating_mul(3).saturating_add(1)).unwrap_or(body);
    let (mut left, mut end) = (units, 0);
    for chunk in window.utf8_chunks() {
        for character in chunk.valid().chars() {
            if left == 0 {
                return Some(end);
            }
            left = left.checked_sub(character.len_utf16())?;
            end += character.len_utf8();
        }
        if left == 0 {
            return Some(end);
        }
        if !chunk.invalid().is_empty() {
            left -= 1;
            end += chunk.invalid().len();
        }
    }
    (left == 0).then_some(end)
}

/// Marks a text packet in a binary body.
const TEXT: u8 = 0;
/// Marks a binary packet in a binary body.
const BINARY: u8 = 1;
/// Ends the digits of a length in a binary body.
const END_OF_LENGTH: u8 = 0xff;
/// The digits that a length may have: those of the largest number of JavaScript, as in the official server.
const MAX_LENGTH_DIGITS: usize = 310;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utf16_units_are_counted() {
        assert_eq!(utf16_prefix(b"abc", 2), Some(2));
        assert_eq!(utf16_prefix(b"abc", 0), Some(0));
        assert_eq!(utf16_prefix(b"abc", 4), None);
        assert_eq!(utf16_prefix("€uro".as_bytes(), 2), Some(4));
        assert_eq!(utf16_prefix("😀!".as_bytes(), 2), Some(4));
        assert_eq!(utf16_prefix("😀!".as_bytes(), 1), None);
        assert_eq!(utf16_prefix("a😀".as_bytes(), 2), None);
        assert_eq!(utf16_prefix(b"\xff\xfeab", 3), Some(3));
        assert_eq!(utf16_prefix(b"", 0), Some(0));
        assert_eq!(utf16_prefix(b"a", usize::MAX), None);
    }

    #[test]
    fn lengths_are_bounded() {
        let zeros = |count: usize| [vec![b'0'; count], b"1:6".to_vec()].concat();
        assert_eq!(split_text(&zeros(309)), Ok((&b"6"[..], &b""[..])));
        assert_eq!(split_text(&zeros(310)), Err(PacketError::InvalidLength));
        assert_eq!(split_text(&[vec![b'9'; 310], b":6".to_vec()].concat()), Err(PacketError::Truncated));
        assert_eq!(split_binary(&[vec![0; 320], vec![0xff]].concat()), Err(PacketError::InvalidLength));
    }
}
