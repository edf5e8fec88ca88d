//! Compression of HTTP bodies: which encoding a request accepts best, and the encoders.

use std::io::{self, Write as _};

use ::http::{HeaderMap, HeaderValue, header::ACCEPT_ENCODING};
use bytes::Bytes;
use flate2::{
    Compression,
    write::{GzEncoder, ZlibEncoder},
};

use super::cors::joined;

#[cfg(test)]
mod tests;

/// When and how hard the responses of long-polling are compressed.
///
/// # Example
///
/// ```
/// use sockeye_engine::HttpCompression;
///
/// let compression = HttpCompression::new().threshold(4096).level(1);
/// # let _ = compression;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpCompression {
    threshold: usize,
    level: u32,
}

impl HttpCompression {
    /// Bodies of at least 1024 bytes, at level 6.
    pub fn new() -> Self {
        Self { threshold: 1024, level: 6 }
    }

    /// The size in bytes from which a body is compressed. Default: 1024.
    pub fn threshold(mut self, threshold: usize) -> Self {
        self.threshold = threshold;
        self
    }

    /// The effort, from 0 (none) to 9 (smallest body, slowest); more counts as 9. Default: 6.
    pub fn level(mut self, level: u32) -> Self {
        self.level = level.min(9);
        self
    }

    /// The body as the response to this request should carry it; `None` to send it as it is.
    pub(crate) fn encode(&self, request_headers: &HeaderMap, body: &[u8]) -> Option<(Encoding, Bytes)> {
        if body.len() < self.threshold {
            return None;
        }
        let accept_encoding = joined(request_headers, &ACCEPT_ENCODING)?;
        let encoding = choose(accept_encoding.to_str().ok())?;
        Some((encoding, compress(encoding, self.level, body)))
    }
}

impl Default for HttpCompression {
    fn default() -> Self {
        Self::new()
    }
}

/// A content encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Brotli (RFC 7932).
    Brotli,
    /// Gzip (RFC 1952).
    Gzip,
    /// The zlib format, as the standard says, not a bare deflate stream.
    Deflate,
}

impl Encoding {
    /// The value of the `Content-Encoding` header.
    pub fn header_value(self) -> HeaderValue {
        HeaderValue::from_static(self.name())
    }

    fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }
}

/// The encoding for a polling response, given the request's `Accept-Encoding`.
pub(crate) fn choose(accept_encoding: Option<&str>) -> Option<Encoding> {
    negotiate(accept_encoding, &[Encoding::Gzip, Encoding::Deflate])
}

/// The one of `offered` that the request likes best, by the rules of the npm module `accepts`: the higher quality;
/// then the one named over the one meant by `*`; then the order of the request; then the order of the offer.
pub fn negotiate(accept_encoding: Option<&str>, offered: &[Encoding]) -> Option<Encoding> {
    let accepted = accept_encoding?;
    let mut best: Option<(Encoding, Preference)> = None;
    for &encoding in offered {
        let preference = Preference::of(encoding, accepted);
        let better = best.is_none_or(|(_, best)| {
            let by_quality = preference.quality.total_cmp(&best.quality);
            by_quality.then(preference.named.cmp(&best.named)).then(best.position.cmp(&preference.position)).is_gt()
        });
        if preference.quality > 0.0 && better {
            best = Some((encoding, preference));
        }
    }
    best.map(|(encoding, _)| encoding)
}

/// The whole body in one encoding. `level` goes from 0 to 9, whichever the encoding.
pub fn compress(encoding: Encoding, level: u32, body: &[u8]) -> Bytes {
    let compressed = match encoding {
        Encoding::Brotli => brotli(level, body),
        Encoding::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
            encoder.write_all(body).and_then(|()| encoder.finish())
        }
        Encoding::Deflate => {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::new(level));
            encoder.write_all(body).and_then(|()| encoder.finish())
        }
    };
    compressed.expect("writing to memory cannot fail").into()
}

fn brotli(level: u32, body: &[u8]) -> io::Result<Vec<u8>> {
    let parameters = brotli::enc::BrotliEncoderParams {
        quality: i32::try_from(level).unwrap_or(9),
        size_hint: body.len(),
        ..Default::default()
    };
    let mut compressed = Vec::new();
    brotli::BrotliCompress(&mut &*body, &mut compressed, &parameters)?;
    Ok(compressed)
}

/// How much a request likes one encoding.
#[derive(Clone, Copy)]
struct Preference {
    quality: f64,
    /// Named itself, not only meant by `*`.
    named: bool,
    position: usize,
}

impl Preference {
    fn of(encoding: Encoding, accepted: &str) -> Self {
        let mut best: Option<Self> = None;
        for (position, item) in accepted.split(',').enumerate() {
            let Some((name, quality)) = parse_item(item) else { continue };
            let named = name.eq_ignore_ascii_case(encoding.name());
            if !named && name != "*" {
                continue;
            }
            let candidate = Self { quality, named, position };
            // The same encoding named twice: the higher quality holds, of equal ones the later.
            if best.is_none_or(|best| (named, quality) >= (best.named, best.quality)) {
                best = Some(candidate);
            }
        }
        best.unwrap_or(Self { quality: 0.0, named: false, position: 0 })
    }
}

/// One item of `Accept-Encoding`: its name and quality. A quality that is not a number counts as 0.
fn parse_item(item: &str) -> Option<(&str, f64)> {
    let (name, parameters) = match item.split_once(';') {
        Some((name, parameters)) => (name, Some(parameters)),
        None => (item, None),
    };
    let name = name.trim();
    if name.is_empty() || name.contains(char::is_whitespace) {
        return None;
    }
    let quality = parameters.into_iter().flat_map(|parameters| parameters.split(';')).find_map(|parameter| {
        let mut parts = parameter.trim().split('=');
        (parts.next() == Some("q")).then(|| parts.next().map_or(0.0, leading_number))
    });
    Some((name, quality.unwrap_or(1.0)))
}

/// The number that a text begins with, as JavaScript's `parseFloat` reads it, without a reading of `Infinity`.
fn leading_number(text: &str) -> f64 {
    let text = text.trim_start();
    let number = |end: usize| text.get(..end).and_then(|prefix| prefix.parse().ok());
    let end = text.bytes().take_while(|byte| byte.is_ascii_digit() || b"+-.eE".contains(byte)).count();
    (1..=end.min(MAX_NUMBER)).rev().find_map(number).unwrap_or(0.0)
}

/// Digits of a quality that are looked at; the standard allows five.
const MAX_NUMBER: usize = 16;
