//! Where the requests of an HTTP/1.1 connection begin and end, read alongside the HTTP library.
//!
//! The library accepts two things that the official server refuses, because proxies read them in different ways: lines of a head
//! that end in a bare line feed, and a head with both `Transfer-Encoding` and `Content-Length`. It also tells nobody whether
//! the head of the next request has begun. Whatever is not understood here ends the tracking, never the connection: the
//! library decides about that.

use memchr::memchr;

#[cfg(test)]
mod tests;

/// Follows the bytes that a client sends.
#[derive(Debug)]
pub(crate) struct Framing {
    stage: Stage,
    /// What has come of the line that is not complete.
    line: Line,
    head: Head,
    is_first: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Before a head. Empty lines are ignored there (RFC 9112, section 2.2).
    Between,
    Head,
    /// So many bytes of a body, or of a chunk and the line end behind it, are still to come.
    Body {
        left: u64,
        is_chunk: bool,
    },
    ChunkSize,
    Trailers,
    /// HTTP/2 has begun.
    Http2,
    /// What follows cannot be told: an upgrade, or a request that the library refuses.
    Unknown,
}

/// What is known of the head that is being read.
#[derive(Clone, Copy, Debug, Default)]
struct Head {
    has_request_line: bool,
    length: Option<u64>,
    is_chunked: bool,
    is_upgrade: bool,
    is_invalid: bool,
}

impl Framing {
    pub(crate) fn new() -> Self {
        Self { stage: Stage::Between, line: Line::EMPTY, head: Head::default(), is_first: true }
    }

    /// Whether the head of a request has begun and is not complete.
    pub(crate) fn is_in_head(&self) -> bool {
        self.stage == Stage::Head
    }

    /// Whether it is HTTP/2.
    pub(crate) fn is_http2(&self) -> bool {
        self.stage == Stage::Http2
    }

    /// Whether the client may be in the middle of sending something.
    pub(crate) fn is_unfinished(&self) -> bool {
        self.stage != Stage::Between
    }

    /// Takes what the client has sent. Gives back the position of a line feed that makes a head invalid; nothing behind it may
    /// reach the library.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut rest = bytes;
        while let Some(&first) = rest.first() {
            rest = match self.stage {
                Stage::Unknown | Stage::Http2 => return None,
                Stage::Between if matches!(first, b'\r' | b'\n') => rest.get(1..)?,
                Stage::Between => {
                    (self.stage, self.head) = (Stage::Head, Head::default());
                    rest
                }
                Stage::Body { left, is_chunk } => self.skip_body(rest, left, is_chunk)?,
                Stage::Head | Stage::ChunkSize | Stage::Trailers => {
                    let Some(end) = memchr(b'\n', rest) else {
                        self.line.push(rest);
                        return None;
                    };
                    let (line, behind) = (rest.get(..end)?, rest.get(end + 1..)?);
                    if !self.read_line(line) {
                        // It stays within the head: the client may send on.
                        self.stage = Stage::Head;
                        return Some(bytes.len() - behind.len() - 1);
                    }
                    behind
                }
            };
        }
        None
    }

    fn skip_body<'a>(&mut self, rest: &'a [u8], left: u64, is_chunk: bool) -> Option<&'a [u8]> {
        let available = u64::try_from(rest.len()).unwrap_or(u64::MAX);
        if available < left {
            self.stage = Stage::Body { left: left - available, is_chunk };
            return None;
        }
        self.stage = if is_chunk { Stage::ChunkSize } else { Stage::Between };
        rest.get(usize::try_from(left).ok()?..)
    }

    /// Takes the rest of a line, without its line feed. False: the head is invalid.
    fn read_line(&mut self, rest: &[u8]) -> bool {
        let cut;
        let line = if self.line.is_empty() {
            Start::of(rest)
        } else {
            self.line.push(rest);
            cut = std::mem::replace(&mut self.line, Line::EMPTY);
            cut.start()
        };
        match self.stage {
            Stage::Head if !line.is_complete => return false,
            Stage::Head if line.text.is_empty() => return self.end_head(),
            Stage::Head => self.head.read_line(&line),
            Stage::ChunkSize => self.stage = chunk(line.text),
            Stage::Trailers if line.text.is_empty() => self.stage = Stage::Between,
            _ => {}
        }
        if self.is_first && self.head.has_request_line {
            self.is_first = false;
            if line.text == b"PRI * HTTP/2.0" {
                self.stage = Stage::Http2;
            }
        }
        true
    }

    /// The empty line at the end of a head has come.
    fn end_head(&mut self) -> bool {
        let head = self.head;
        if head.is_chunked && (head.length.is_some() || head.is_invalid) {
            return false;
        }
        self.stage = match head.length {
            _ if head.is_upgrade || head.is_invalid => Stage::Unknown,
            _ if head.is_chunked => Stage::ChunkSize,
            Some(left) if left > 0 => Stage::Body { left, is_chunk: false },
            _ => Stage::Between,
        };
        true
    }
}

impl Head {
    fn read_line(&mut self, line: &Start<'_>) {
        if !self.has_request_line {
            self.has_request_line = true;
            self.is_upgrade = line.text.starts_with(b"CONNECT ");
            return;
        }
        let value_of = |name: &[u8]| {
            let (start, value) = line.text.split_at_checked(name.len())?;
            start.eq_ignore_ascii_case(name).then_some(value)
        };
        match line.text.first().map(u8::to_ascii_lowercase) {
            Some(b'c') => {
                if let Some(value) = value_of(b"content-length:") {
                    match number(value.trim_ascii(), 10).filter(|_| !line.is_cut) {
                        Some(length) => self.length = Some(length),
                        None => self.is_invalid = true,
                    }
                }
            }
            Some(b't') => self.is_chunked |= value_of(b"transfer-encoding:").is_some(),
            Some(b'u') => self.is_upgrade |= value_of(b"upgrade:").is_some(),
            _ => {}
        }
    }
}

/// What follows the line with the size of a chunk.
fn chunk(line: &[u8]) -> Stage {
    let end = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
    match line.get(..end).and_then(|digits| number(digits, 16)) {
        Some(0) => Stage::Trailers,
        Some(size) => Stage::Body { left: size.saturating_add(2), is_chunk: true },
        None => Stage::Unknown,
    }
}

fn number(digits: &[u8], radix: u32) -> Option<u64> {
    let text = std::str::from_utf8(digits).ok().filter(|text| !text.starts_with('+'))?;
    u64::from_str_radix(text, radix).ok()
}

/// The start of a line that came in pieces: as much as the names and values above need.
#[derive(Debug)]
struct Line {
    start: [u8; LINE_START],
    len: usize,
    last: u8,
}

impl Line {
    const EMPTY: Self = Self { start: [0; LINE_START], len: 0, last: 0 };

    fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn push(&mut self, bytes: &[u8]) {
        if let Some(free) = self.start.get_mut(self.len..) {
            for (free, byte) in free.iter_mut().zip(bytes) {
                *free = *byte;
            }
        }
        if let Some(last) = bytes.last() {
            self.last = *last;
        }
        self.len += bytes.len();
    }

    fn start(&self) -> Start<'_> {
        let is_complete = self.last == b'\r';
        let len = self.len - usize::from(is_complete);
        Start { text: self.start.get(..len).unwrap_or(&self.start), is_complete, is_cut: len > LINE_START }
    }
}

/// A line, or as much of it as is needed.
struct Start<'a> {
    /// Without the line end.
    text: &'a [u8],
    /// Whether there is a carriage return before the line feed.
    is_complete: bool,
    /// Whether `text` is not the whole line.
    is_cut: bool,
}

impl<'a> Start<'a> {
    fn of(line: &'a [u8]) -> Self {
        let text = line.strip_suffix(b"\r");
        Self { text: text.unwrap_or(line), is_complete: text.is_some(), is_cut: false }
    }
}

const LINE_START: usize = 48;
