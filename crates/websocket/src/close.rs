//! The payload of close frames (RFC 6455, 5.5.1 and 7.4).

use crate::error::Error;

/// Whether an endpoint may send `code` in a close frame: those defined by RFC 6455, those registered since (1012 to 1014),
/// and the ranges for libraries (3000 to 3999) and applications (4000 to 4999).
#[must_use]
pub fn is_valid_close_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// Splits the payload of a close frame into code and reason.
pub(crate) fn parse(payload: &[u8]) -> Result<(Option<u16>, &str), Error> {
    match payload {
        [] => Ok((None, "")),
        [_] => Err(Error::CloseTruncated),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            if !is_valid_close_code(code) {
                return Err(Error::CloseCode(code));
            }
            let reason = std::str::from_utf8(reason).map_err(|_| Error::InvalidUtf8)?;
            Ok((Some(code), reason))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_code_and_reason() {
        assert_eq!(parse(b""), Ok((None, "")));
        assert_eq!(parse(b"\x03\xe8"), Ok((Some(1000), "")));
        assert_eq!(parse(b"\x0f\xa0bye"), Ok((Some(4000), "bye")));
    }

    #[test]
    fn refuses_what_must_not_be_sent() {
        assert_eq!(parse(b"\x03"), Err(Error::CloseTruncated));
        assert_eq!(parse(b"\x03\xe8\xff"), Err(Error::InvalidUtf8));
        for code in [0u16, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, u16::MAX] {
            assert_eq!(parse(&code.to_be_bytes()), Err(Error::CloseCode(code)));
        }
        for code in [1000u16, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]
        {
            assert_eq!(parse(&code.to_be_bytes()), Ok((Some(code), "")));
        }
    }
}
