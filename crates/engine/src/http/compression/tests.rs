//! Negotiation, held against the answers of the npm modules `accepts` 1.3.8 and `negotiator` 0.6.3, and the encoders.

use std::io::Read as _;

use super::{
    Encoding::{Brotli, Deflate, Gzip},
    *,
};

/// A header, the answer to an offer of gzip and deflate, and the answer to an offer of br, gzip and deflate.
type Vector = (Option<&'static str>, Option<Encoding>, Option<Encoding>);

#[test]
fn answers_are_those_of_the_npm_module() {
    for (header, polling, files) in VECTORS {
        assert_eq!(choose(*header), *polling, "{header:?}");
        assert_eq!(negotiate(*header, &[Brotli, Gzip, Deflate]), *files, "{header:?}");
    }
}

fn decoded(encoding: Encoding, body: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    match encoding {
        Brotli => brotli::BrotliDecompress(&mut &*body, &mut decoded).unwrap(),
        Gzip => _ = flate2::read::GzDecoder::new(body).read_to_end(&mut decoded).unwrap(),
        Deflate => _ = flate2::read::ZlibDecoder::new(body).read_to_end(&mut decoded).unwrap(),
    }
    decoded
}

#[test]
fn bodies_come_back_whole_at_every_level() {
    let body: Vec<u8> = (0..50_000_u32).flat_map(|n| (n % 700).to_le_bytes()).collect();
    for encoding in [Brotli, Gzip, Deflate] {
        for level in 0..=9 {
            assert_eq!(decoded(encoding, &compress(encoding, level, &body)), body);
        }
        assert!(compress(encoding, 6, &body).len() < body.len() / 4);
        assert_eq!(decoded(encoding, &compress(encoding, 6, b"")), b"");
    }
}

#[test]
fn small_bodies_and_requests_without_the_header_stay_as_they_are() {
    let compression = HttpCompression::default();
    let mut headers = HeaderMap::new();
    assert_eq!(compression.encode(&headers, &[b'x'; 2000]), None);
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip;q=0"));
    headers.append(ACCEPT_ENCODING, HeaderValue::from_static("deflate"));
    assert_eq!(compression.encode(&headers, &[b'x'; 1023]), None);
    let (encoding, body) = compression.encode(&headers, &[b'x'; 1024]).unwrap();
    assert_eq!(encoding, Deflate);
    assert_eq!(encoding.header_value(), "deflate");
    assert_eq!(decoded(encoding, &body), [b'x'; 1024]);
    assert!(compression.threshold(10).level(99).encode(&headers, &[b'x'; 10]).is_some());
}

#[rustfmt::skip]
const VECTORS: &[Vector] = &[
    (None, None, None),
    (Some(""), None, None),
    (Some("gzip"), Some(Gzip), Some(Gzip)),
    (Some("deflate"), Some(Deflate), Some(Deflate)),
    (Some("GZIP"), Some(Gzip), Some(Gzip)),
    (Some("br"), None, Some(Brotli)),
    (Some("identity"), None, None),
    (Some("*"), Some(Gzip), Some(Brotli)),
    (Some("gzip, deflate"), Some(Gzip), Some(Gzip)),
    (Some("deflate, gzip"), Some(Deflate), Some(Deflate)),
    (Some("gzip, deflate, br"), Some(Gzip), Some(Gzip)),
    (Some("br, gzip, deflate"), Some(Gzip), Some(Brotli)),
    (Some("gzip;q=0"), None, None),
    (Some("gzip;q=0, *"), Some(Deflate), Some(Brotli)),
    (Some("*;q=0"), None, None),
    (Some("gzip;q=0.5, deflate;q=0.8"), Some(Deflate), Some(Deflate)),
    (Some("gzip;q=0.5, deflate"), Some(Deflate), Some(Deflate)),
    (Some("deflate;q=0.5, *"), Some(Gzip), Some(Brotli)),
    (Some("*, deflate;q=0.5"), Some(Gzip), Some(Brotli)),
    (Some("*, deflate"), Some(Deflate), Some(Deflate)),
    (Some("gzip;q=0.5, identity"), Some(Gzip), Some(Gzip)),
    (Some("identity;q=1, *;q=0"), None, None),
    (Some("gzip; q=0.2 , deflate ;q=0.3"), Some(Deflate), Some(Deflate)),
    (Some("gzip;Q=0, deflate"), Some(Gzip), Some(Gzip)),
    (Some("gzip;q =0"), Some(Gzip), Some(Gzip)),
    (Some("gzip;q= 0.5, deflate;q=0.6"), Some(Deflate), Some(Deflate)),
    (Some("gzip;x=1;q=0, deflate;q=0.1"), Some(Deflate), Some(Deflate)),
    (Some("gzip;q=abc"), None, None),
    (Some("gzip;q"), None, None),
    (Some("gzip;q="), None, None),
    (Some("gzip;q=abc, *"), Some(Deflate), Some(Brotli)),
    (Some("gzip;q=1.5, deflate;q=2"), Some(Deflate), Some(Deflate)),
    (Some("gzip;q=-1"), None, None),
    (Some("gzip;q=.5, deflate;q=.6"), Some(Deflate), Some(Deflate)),
    (Some("gzip;q=0.5x, deflate;q=0.4"), Some(Gzip), Some(Gzip)),
    (Some("gzip;q=1e-3, deflate;q=1e-2"), Some(Deflate), Some(Deflate)),
    (Some("gzip;q=0.5=1, deflate;q=0.4"), Some(Gzip), Some(Gzip)),
    (Some("gzip;q=0, gzip"), Some(Gzip), Some(Gzip)),
    (Some("gzip, gzip;q=0"), Some(Gzip), Some(Gzip)),
    (Some("gzip foo, deflate"), Some(Deflate), Some(Deflate)),
    (Some(";q=1, deflate"), Some(Deflate), Some(Deflate)),
    (Some(",,gzip"), Some(Gzip), Some(Gzip)),
    (Some(", deflate, gzip"), Some(Deflate), Some(Deflate)),
    (Some("gzip;q=0.0001"), Some(Gzip), Some(Gzip)),
    (Some("x-gzip"), None, None),
    (Some("\tgzip\t"), Some(Gzip), Some(Gzip)),
    (Some("gzip;q=5e, deflate;q=4"), Some(Gzip), Some(Gzip)),
    (Some("gzip;q=0x1"), None, None),
    (Some("*;q=0.3, gzip;q=0.2"), Some(Deflate), Some(Brotli)),
    (Some("*;q=abc"), None, None),
    (Some("gzip;q=+0.5, deflate;q=0.4"), Some(Gzip), Some(Gzip)),
    (Some("br;q=0.1, gzip;q=0.1, deflate;q=0.1"), Some(Gzip), Some(Brotli)),
    (Some("br;q=0.9, gzip;q=1.0"), Some(Gzip), Some(Gzip)),
];
