//! Numbers as JavaScript writes them.

use std::io;

use serde_json::ser::{CompactFormatter, Formatter as _};

/// The number as an integer, if it is a whole one that JavaScript counts exactly.
#[expect(clippy::cast_possible_truncation, reason = "checked to be whole and below 2^53")]
pub(crate) fn as_safe_integer(value: f64) -> Option<i64> {
    (value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_991.0).then_some(value as i64)
}

/// Writes what `String(value)` gives; the value is finite.
///
/// Shortest digits that read back as the same number, with an exponent from 1e21 and below 1e-6.
pub(crate) fn js_number(value: f64) -> String {
    if let Some(integer) = as_safe_integer(value) {
        return integer.to_string();
    }
    if !value.is_finite() {
        return if value.is_nan() {
            "NaN".to_owned()
        } else if value > 0.0 {
            "Infinity".to_owned()
        } else {
            "-Infinity".to_owned()
        };
    }
    let scientific = format!("{:e}", value.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    // The decimal point stands after this many digits.
    let point = exponent + 1;
    let sign = if value < 0.0 { "-" } else { "" };
    let zeros = |n: i32| "0".repeat(usize::try_from(n).unwrap_or(0));
    if count <= point && point <= 21 {
        format!("{sign}{digits}{}", zeros(point - count))
    } else if 0 < point && point <= 21 {
        let (whole, fraction) = digits.split_at_checked(usize::try_from(point).unwrap_or(0)).unwrap_or((&digits, ""));
        format!("{sign}{whole}.{fraction}")
    } else if -6 < point && point <= 0 {
        format!("{sign}0.{}{digits}", zeros(-point))
    } else {
        let (first, others) = digits.split_at_checked(1).unwrap_or((&digits, ""));
        let dot = if others.is_empty() { "" } else { "." };
        let plus = if exponent > 0 { "+" } else { "" };
        format!("{sign}{first}{dot}{others}e{plus}{exponent}")
    }
}

/// Writes what `JSON.stringify(value)` gives: `null` if it is not finite.
pub(crate) fn write_f64<W: io::Write + ?Sized>(out: &mut W, value: f64) -> io::Result<()> {
    if !value.is_finite() {
        out.write_all(b"null")
    } else if let Some(integer) = as_safe_integer(value) {
        write_integer(out, integer)
    } else if (1e-4..1e15).contains(&value.abs()) {
        // Between these, serde_json writes what JavaScript does, and fast.
        CompactFormatter.write_f64(out, value)
    } else {
        out.write_all(js_number(value).as_bytes())
    }
}

fn write_integer<W: io::Write + ?Sized>(out: &mut W, value: i64) -> io::Result<()> {
    if value < 0 {
        out.write_all(b"-")?;
    }
    out.write_all(Digits::default().format(value.unsigned_abs()).as_bytes())
}

/// Appends what `JSON.stringify(value)` gives.
pub(crate) fn push_f64(out: &mut Vec<u8>, value: f64) {
    // Writing to memory does not fail.
    write_f64(out, value).unwrap_or_default();
}

/// Appends a whole number.
pub(crate) fn push_i64(out: &mut Vec<u8>, value: i64) {
    // Writing to memory does not fail.
    write_integer(out, value).unwrap_or_default();
}

/// Appends a whole number.
pub(crate) fn push_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(Digits::default().format(value).as_bytes());
}

/// Room for the digits of a number, so that none of them is on the heap.
#[derive(Debug, Default)]
pub(crate) struct Digits([u8; 20]);

impl Digits {
    /// The number in decimal.
    pub(crate) fn format(&mut self, value: u64) -> &str {
        let mut left = value;
        let mut start = self.0.len();
        // A u64 has at most 20 digits.
        for digit in self.0.iter_mut().rev() {
            *digit = b'0' + (left % 10) as u8;
            left /= 10;
            start -= 1;
            if left == 0 {
                break;
            }
        }
        self.0.get(start..).and_then(|digits| str::from_utf8(digits).ok()).unwrap_or_default()
    }
}
