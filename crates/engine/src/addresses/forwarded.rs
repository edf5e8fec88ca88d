//! Whom a proxy speaks for: `X-Forwarded-For`, and `Forwarded` (RFC 7239).

use std::net::{IpAddr, SocketAddr};

use http::header::{self, HeaderMap, HeaderName};

use super::AddressRange;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client that a request comes from: its peer, or the one that trusted proxies have passed it on for.
///
/// Each proxy appends whom it got the request from, so the headers are read from the right for as long as a trusted proxy speaks.
/// What stands further left is anybody's word.
pub(crate) fn client(peer: SocketAddr, headers: &HeaderMap, trusted: &[AddressRange]) -> SocketAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|range| range.contains(address));
    let mut client = peer;
    if !is_trusted(peer.ip()) {
        return client;
    }
    let is_plain = headers.contains_key(&X_FORWARDED_FOR);
    let name = if is_plain { X_FORWARDED_FOR } else { header::FORWARDED };
    // The lines of a header are one list.
    let lines: Vec<_> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        let named = if is_plain { Some(hop) } else { forwarded_for(hop) };
        // A proxy that does not say whom it speaks for, speaks for itself.
        let Some(address) = named.and_then(parse) else { return client };
        client = address;
        if !is_trusted(address.ip()) {
            return client;
        }
    }
    client
}

/// The parameter `for` of an element of `Forwarded`.
fn forwarded_for(element: &str) -> Option<&str> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then_some(value)
    })
}

/// An address as it stands in these headers: with or without a port, an IPv6 one mostly in brackets. The port is 0 if there is none.
fn parse(text: &str) -> Option<SocketAddr> {
    let text = text.trim().trim_matches('"');
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().map(|address| SocketAddr::new(address, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(peer: &str, lines: &[(&'static str, &str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        let trusted = ["10.0.0.0/8", "fd00::/8"].map(|range| range.parse().unwrap());
        client(format!("{peer}:1").parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn the_word_of_a_peer_that_is_not_trusted_is_not_taken() {
        assert_eq!(of("1.2.3.4", &[("x-forwarded-for", "5.6.7.8")]), "1.2.3.4:1");
        assert_eq!(of("10.0.0.1", &[]), "10.0.0.1:1");
    }

    #[test]
    fn the_first_from_the_right_that_is_no_trusted_proxy_is_the_client() {
        for (value, client) in [
            ("5.6.7.8", "5.6.7.8:0"),
            ("6.6.6.6, 5.6.7.8", "5.6.7.8:0"),
            ("6.6.6.6, 5.6.7.8, 10.0.0.2,10.0.0.3", "5.6.7.8:0"),
            ("10.0.0.9, 10.0.0.2", "10.0.0.9:0"),
            ("5.6.7.8:443", "5.6.7.8:443"),
            ("2001:db8::1", "[2001:db8::1]:0"),
            ("[2001:db8::1]:80", "[2001:db8::1]:80"),
            ("6.6.6.6, unknown", "10.0.0.1:1"),
            ("5.6.7.8, unknown, 10.0.0.2", "10.0.0.2:0"),
            ("", "10.0.0.1:1"),
        ] {
            assert_eq!(of("10.0.0.1", &[("x-forwarded-for", value)]), client, "{value}");
        }
    }

    #[test]
    fn several_lines_are_one_list() {
        let lines = [("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "5.6.7.8, 10.0.0.2")];
        assert_eq!(of("10.0.0.1", &lines), "5.6.7.8:0");
        let lines = [("x-forwarded-for", "5.6.7.8"), ("x-forwarded-for", "10.0.0.2")];
        assert_eq!(of("10.0.0.1", &lines), "5.6.7.8:0");
    }

    #[test]
    fn the_standard_header_is_read_where_the_usual_one_is_missing() {
        for (value, client) in [
            ("for=5.6.7.8;proto=https;by=10.0.0.1", "5.6.7.8:0"),
            ("for=6.6.6.6, proto=http;For=\"[2001:db8::1]:4711\"", "[2001:db8::1]:4711"),
            ("for=\"[2001:db8::1]\", for=10.0.0.7", "[2001:db8::1]:0"),
            ("for=_hidden", "10.0.0.1:1"),
            ("proto=https", "10.0.0.1:1"),
        ] {
            assert_eq!(of("10.0.0.1", &[("forwarded", value)]), client, "{value}");
        }
        let both = [("forwarded", "for=6.6.6.6"), ("x-forwarded-for", "5.6.7.8")];
        assert_eq!(of("10.0.0.1", &both), "5.6.7.8:0");
    }
}
