//! A position in an event log: the offset that a client remembers.

use std::fmt;
use std::str::FromStr;

/// A position, as `1700000000000-0`: the epoch, and the offset within it. Positions of one log are in order; what an epoch is, the log
/// knows: Redis has the milliseconds of the clock, JetStream the time at which its stream was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The epoch.
    pub epoch: u64,
    /// The offset within it.
    pub offset: u64,
}

impl Position {
    /// The first position that an entry after this one may have.
    pub const fn next(self) -> Self {
        match self.offset.checked_add(1) {
            Some(offset) => Self { epoch: self.epoch, offset },
            None => Self { epoch: self.epoch.saturating_add(1), offset: 0 },
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.offset)
    }
}

/// A text that is no position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a position is two numbers with a dash between them")]
pub struct NotAPosition;

/// What the official adapter for streams of Redis takes for an offset: digits, a dash, digits.
impl FromStr for Position {
    type Err = NotAPosition;

    fn from_str(text: &str) -> Result<Self, NotAPosition> {
        let number = |digits: &str| {
            let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| digits.parse().ok()).flatten().ok_or(NotAPosition)
        };
        let (epoch, offset) = text.split_once('-').ok_or(NotAPosition)?;
        Ok(Self { epoch: number(epoch)?, offset: number(offset)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_and_in_order() {
        let position = |text: &str| text.parse::<Position>();
        for text in ["", "1", "-", "1-", "-1", "+1-0", "1-+0", "1-0-0", " 1-0", "a-b", "99999999999999999999-0"] {
            assert!(position(text).is_err(), "{text}");
        }
        assert!(position("9-9").unwrap() < position("10-0").unwrap());
        assert_eq!(position("5-18446744073709551615").unwrap().next(), position("6-0").unwrap());
        assert_eq!(position("5-7").unwrap().next().to_string(), "5-8");
    }
}
