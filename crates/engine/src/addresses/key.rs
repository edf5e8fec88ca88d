//! Whose share of a bound something is.

use std::net::{IpAddr, SocketAddr};

/// Whose share something is: an IPv4 address, or a network of 64 bits of IPv6, which is what one customer gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key(pub(crate) u64);

impl Key {
    /// A proxy that is trusted: it speaks for many, and has no share that would limit it. No IPv6 network has this prefix.
    pub(crate) const TRUSTED: Self = Self(u64::MAX);
    /// Whoever has no address that is known, such as the peers of a Unix socket: all together are one.
    pub(crate) const UNKNOWN: Self = Self(u64::MAX - 1);

    /// The key of an address.
    pub fn of(address: Option<SocketAddr>) -> Self {
        match address.map(|address| address.ip().to_canonical()) {
            // No client is in the IPv6 networks that begin with 32 zeros.
            Some(IpAddr::V4(address)) => Self(address.to_bits().into()),
            Some(IpAddr::V6(address)) => Self(u64::try_from(address.to_bits() >> 64).unwrap_or(0)),
            None => Self::UNKNOWN,
        }
    }
}
