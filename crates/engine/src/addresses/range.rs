//! Ranges of addresses, as they are written: `10.0.0.0/8`, `::1`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A range of IP addresses: those that begin with the same bits. Made from text such as `10.0.0.0/8`, `fd00::/8` or `127.0.0.1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRange {
    first: IpAddr,
    /// How many bits all have in common.
    bits: u32,
}

/// A text is no range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an IP address, or the first address of a range and its number of bits, such as \"10.0.0.0/8\"")]
#[non_exhaustive]
pub struct AddressRangeError;

impl AddressRange {
    /// Whether the address is in it. An IPv4 address that is written as one of IPv6 is an IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.first, address.to_canonical()) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                let differing = first.to_bits() ^ address.to_bits();
                differing.leading_zeros() >= self.bits
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => {
                let differing = first.to_bits() ^ address.to_bits();
                differing.leading_zeros() >= self.bits
            }
            _ => false,
        }
    }
}

impl FromStr for AddressRange {
    type Err = AddressRangeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (first, bits) = match text.split_once('/') {
            Some((first, bits)) => (first, Some(bits)),
            None => (text, None),
        };
        let first: IpAddr = first.parse().map_err(|_| AddressRangeError)?;
        let most = if first.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            // `parse` would take a sign.
            Some(bits) if bits.bytes().all(|byte| byte.is_ascii_digit()) => {
                bits.parse().map_err(|_| AddressRangeError)?
            }
            Some(_) => return Err(AddressRangeError),
            None => most,
        };
        let range = Self { first, bits };
        // With bits set behind the common ones something else was meant.
        let is_first = match first {
            IpAddr::V4(first) => first.to_bits().checked_shl(bits).unwrap_or(0) == 0,
            IpAddr::V6(first) => first.to_bits().checked_shl(bits).unwrap_or(0) == 0,
        };
        (bits <= most && is_first).then_some(range).ok_or(AddressRangeError)
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_contain_what_begins_with_the_same_bits() {
        for (range, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("192.168.4.0/22", "192.168.7.255", "192.168.8.0"),
            ("127.0.0.1", "127.0.0.1", "127.0.0.2"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("fd00::/8", "fdff::1", "fe00::"),
            ("::1", "::1", "::2"),
            ("::/0", "ffff::", "1.2.3.4"),
        ] {
            let parsed: AddressRange = range.parse().unwrap();
            assert!(parsed.contains(inside.parse().unwrap()), "{range} {inside}");
            assert!(!parsed.contains(outside.parse().unwrap()), "{range} {outside}");
            assert_eq!(parsed.to_string().parse(), Ok(parsed));
        }
        let range: AddressRange = "10.0.0.0/8".parse().unwrap();
        assert!(range.contains("::ffff:10.1.2.3".parse().unwrap()), "a listener on :: sees IPv4 clients so");
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in [
            "",
            "a",
            "10.0.0.0/33",
            "10.0.0.1/8",
            "::/129",
            "fd00::1/8",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10/8",
            "1.2.3.4/8/8",
        ] {
            assert_eq!(text.parse::<AddressRange>(), Err(AddressRangeError), "{text}");
        }
    }
}
