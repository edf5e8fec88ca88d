//! The id of an entry of a stream: its place in it, and the offset that a client remembers.

use std::fmt;
use std::str::FromStr;

/// An id, as `1700000000000-0`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EntryId {
    millis: u64,
    number: u64,
}

impl EntryId {
    /// The first id that an entry after this one may have.
    pub(super) const fn next(self) -> Self {
        match self.number.checked_add(1) {
            Some(number) => Self { millis: self.millis, number },
            None => Self { millis: self.millis.saturating_add(1), number: 0 },
        }
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.millis, self.number)
    }
}

/// A text that is the id of no entry.
#[derive(Debug)]
pub(crate) struct NotAnId;

/// What the official adapter takes for an offset: digits, a dash, digits.
impl FromStr for EntryId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let number = |digits: &str| {
            let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| digits.parse().ok()).flatten().ok_or(NotAnId)
        };
        let (millis, rest) = text.split_once('-').ok_or(NotAnId)?;
        Ok(Self { millis: number(millis)?, number: number(rest)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_and_in_order() {
        let id = |text: &str| text.parse::<EntryId>();
        for text in ["", "1", "-", "1-", "-1", "+1-0", "1-+0", "1-0-0", " 1-0", "a-b", "99999999999999999999-0"] {
            assert!(id(text).is_err(), "{text}");
        }
        assert!(id("9-9").unwrap() < id("10-0").unwrap());
        assert_eq!(id("5-18446744073709551615").unwrap().next(), id("6-0").unwrap());
        assert_eq!(id("5-7").unwrap().next().to_string(), "5-8");
    }
}
