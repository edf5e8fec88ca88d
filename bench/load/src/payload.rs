//! The string that a message carries: a stamp that says whose it is and when it was to be sent, then padding.

/// Who sent a message, and when it should have left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Marks the messages of one run, so that those of another are not taken for its own.
    pub(crate) run: u16,
    /// The number of the client that sent it.
    pub(crate) sender: u32,
    /// When it should have been sent, in nanoseconds since the run began.
    pub(crate) intended: u64,
}

impl Stamp {
    /// How many bytes a stamp takes.
    pub(crate) const LEN: usize = RUN + SENDER + INTENDED;
    /// Where [`run`](Self::run) must end.
    pub(crate) const RUNS: u16 = 1 << (6 * RUN);
    /// Stands for a stamp until there is one.
    pub(crate) const MARK: Self = Self { run: Self::RUNS - 1, sender: (1 << 24) - 1, intended: (1 << 48) - 1 };

    pub(crate) fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        let (run, rest) = bytes.split_at_mut(RUN);
        let (sender, intended) = rest.split_at_mut(SENDER);
        write(u64::from(self.run), run);
        write(u64::from(self.sender), sender);
        write(self.intended, intended);
        bytes
    }

    /// The stamp at the start of the JSON of an event's arguments, if the first of them is a string with one.
    pub(crate) fn of_json(elements: &str) -> Option<Self> {
        Self::of_bytes(elements.as_bytes().strip_prefix(b"\"")?)
    }

    /// The stamp that these bytes begin with, if they do.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let stamp = bytes.get(..Self::LEN)?;
        let (run, rest) = stamp.split_at(RUN);
        let (sender, intended) = rest.split_at(SENDER);
        Some(Self {
            run: u16::try_from(read(run)?).ok()?,
            sender: u32::try_from(read(sender)?).ok()?,
            intended: read(intended)?,
        })
    }
}

/// What follows a stamp: letters of an alphabet of sixteen, in no order but always the same. Compressed, it becomes little more
/// than half as long, as text does; a row of one letter would become nothing.
pub(crate) fn padding(length: usize) -> impl Iterator<Item = u8> {
    let numbers =
        std::iter::successors(Some(1_u32), |last| Some(last.wrapping_mul(1_664_525).wrapping_add(1_013_904_223)));
    numbers.map(|number| b'A' + (number >> 28) as u8).take(length)
}

/// How many digits each part has. 48 bits of nanoseconds are three days.
const RUN: usize = 2;
const SENDER: usize = 4;
const INTENDED: usize = 8;
/// The digits are 64 characters in a row, from `0` to `o`, but for the one that JSON escapes.
const ZERO: u8 = b'0';
const BACKSLASH: u8 = b'\\';

fn write(mut value: u64, out: &mut [u8]) {
    for byte in out.iter_mut().rev() {
        let digit = ZERO + (value & 63) as u8;
        *byte = if digit == BACKSLASH { b'!' } else { digit };
        value >>= 6;
    }
}

fn read(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |value, &byte| {
        let byte = if byte == b'!' { BACKSLASH } else { byte };
        let digit = byte.checked_sub(ZERO).filter(|&digit| digit < 64)?;
        Some(value << 6 | u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_comes_back_out_of_json() {
        for intended in (0..200).chain([u64::from(u32::MAX), (1 << 48) - 1]) {
            let stamp = Stamp { run: Stamp::RUNS - 1, sender: 999_999, intended };
            let text = format!("{}padding", std::str::from_utf8(&stamp.to_bytes()).unwrap());
            let json = serde_json::to_string(&text).unwrap();
            assert_eq!(json.len(), text.len() + 2, "nothing is escaped in {json}");
            assert_eq!(Stamp::of_json(&json), Some(stamp));
        }
        for other in ["", "1", "\"short\"", "\"no stamp, but quite long enough\"", "{\"a\":\"00000000000000\"}"] {
            assert_eq!(Stamp::of_json(other), None, "{other}");
        }
    }
}
