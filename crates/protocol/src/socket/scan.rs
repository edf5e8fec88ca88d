//! A scanner over JSON text that accepts what `JSON.parse` accepts, and nothing else.
//!
//! It builds nothing: it finds where values end, and checks the placeholders of attachments on the way. The
//! readers that do build something ([`json`](super::json), [`msgpack`](super::msgpack)) use its tokens.

use std::borrow::Cow;

/// How deep arrays and objects may nest, whatever the configuration says: `serde_json` stops at 128.
pub(crate) const MAX_DEPTH: usize = 127;

/// The key that marks an object as standing for an attachment.
pub(crate) const PLACEHOLDER: &str = "_placeholder";
/// The key with the attachment's index.
pub(crate) const PLACEHOLDER_INDEX: &str = "num";

/// What stopped the scanner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScanError {
    /// Not JSON.
    Syntax,
    /// JSON, but nested deeper than allowed.
    TooDeep,
}

/// The kind of a JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    True,
    False,
    Number,
    String,
    Array,
    Object,
}

/// A string as it is written, between its quotes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawStr<'a> {
    /// The text with its escapes.
    pub(crate) raw: &'a str,
    /// Whether there are escapes in it.
    pub(crate) escaped: bool,
}

impl<'a> RawStr<'a> {
    /// The text without escapes; half of a surrogate pair becomes U+FFFD.
    pub(crate) fn unescape(self) -> Cow<'a, str> {
        if self.escaped { Cow::Owned(unescape(self.raw)) } else { Cow::Borrowed(self.raw) }
    }

    /// Whether the text without escapes is `other`, which is ASCII.
    pub(crate) fn is(self, other: &str) -> bool {
        if self.escaped {
            // An escape is at most six characters long, so that a long string is never copied for this.
            self.raw.len() <= other.len() * 6 && unescape(self.raw) == other
        } else {
            self.raw == other
        }
    }
}

/// A position in a JSON text.
#[derive(Clone, Debug)]
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    depth_left: usize,
    /// How many attachments a placeholder may point to; 0 when objects are just objects.
    attachments: usize,
    /// Whether the value just scanned holds a placeholder that points to no attachment.
    illegal: bool,
}

impl<'a> Scanner<'a> {
    /// Starts at the beginning of `text`, which may nest `max_depth` deep.
    pub(crate) fn new(text: &'a str, max_depth: usize, attachments: usize) -> Self {
        Self { text, at: 0, depth_left: max_depth.min(MAX_DEPTH), attachments, illegal: false }
    }

    /// The offset of the next byte.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// Whether what has been scanned so far holds a placeholder that points to no attachment.
    pub(crate) fn has_illegal_placeholder(&self) -> bool {
        self.illegal
    }

    /// The next byte, which is not consumed.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Consumes `byte`.
    pub(crate) fn expect(&mut self, byte: u8) -> Result<(), ScanError> {
        if self.peek() == Some(byte) {
            self.at += 1;
            Ok(())
        } else {
            Err(ScanError::Syntax)
        }
    }

    /// Consumes the four characters that JSON counts as white space.
    pub(crate) fn skip_whitespace(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Fails unless only white space is left.
    pub(crate) fn end(&mut self) -> Result<(), ScanError> {
        self.skip_whitespace();
        if self.at == self.text.len() { Ok(()) } else { Err(ScanError::Syntax) }
    }

    /// Consumes the opening bracket of an array or object, and counts the level.
    pub(crate) fn open(&mut self, bracket: u8) -> Result<(), ScanError> {
        self.expect(bracket)?;
        self.depth_left = self.depth_left.checked_sub(1).ok_or(ScanError::TooDeep)?;
        Ok(())
    }

    /// Goes to the next item of an array or object, over the comma; `false` when `bracket` closed it.
    pub(crate) fn next_item(&mut self, first: bool, bracket: u8) -> Result<bool, ScanError> {
        self.skip_whitespace();
        if self.peek() == Some(bracket) {
            self.at += 1;
            self.depth_left += 1;
            return Ok(false);
        }
        if !first {
            self.expect(b',')?;
            self.skip_whitespace();
        }
        Ok(true)
    }

    /// Consumes a key and its colon.
    pub(crate) fn key(&mut self) -> Result<RawStr<'a>, ScanError> {
        let key = self.string()?;
        self.colon()?;
        Ok(key)
    }

    fn colon(&mut self) -> Result<(), ScanError> {
        self.skip_whitespace();
        self.expect(b':')?;
        self.skip_whitespace();
        Ok(())
    }

    /// Consumes a string.
    pub(crate) fn string(&mut self) -> Result<RawStr<'a>, ScanError> {
        let start = self.at + 1;
        let escaped = self.skip_string()?;
        self.raw(start, self.at - 1, escaped)
    }

    /// The string between these places.
    fn raw(&self, start: usize, end: usize, escaped: bool) -> Result<RawStr<'a>, ScanError> {
        let raw = self.text.get(start..end).ok_or(ScanError::Syntax)?;
        Ok(RawStr { raw, escaped })
    }

    /// Consumes a string; whether there are escapes in it.
    fn skip_string(&mut self) -> Result<bool, ScanError> {
        self.expect(b'"')?;
        let mut escaped = false;
        loop {
            self.at += plain_len(self.text.as_bytes().get(self.at..).unwrap_or_default());
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.at += 1;
                    self.escape()?;
                }
                // The end, or a control character.
                _ => return Err(ScanError::Syntax),
            }
        }
    }

    /// Consumes a number and gives its text.
    pub(crate) fn number(&mut self) -> Result<&'a str, ScanError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        self.slice(start)
    }

    /// Consumes `null`, `true` or `false`.
    pub(crate) fn literal(&mut self) -> Result<Kind, ScanError> {
        let (word, kind) = match self.peek() {
            Some(b'n') => ("null", Kind::Null),
            Some(b't') => ("true", Kind::True),
            Some(b'f') => ("false", Kind::False),
            _ => return Err(ScanError::Syntax),
        };
        let end = self.at + word.len();
        if self.text.as_bytes().get(self.at..end) != Some(word.as_bytes()) {
            return Err(ScanError::Syntax);
        }
        self.at = end;
        Ok(kind)
    }

    /// Consumes any value, checking it. The recursion is bounded by the depth.
    pub(crate) fn value(&mut self) -> Result<Kind, ScanError> {
        match self.peek() {
            Some(b'"') => self.skip_string().map(|_| Kind::String),
            Some(b'-' | b'0'..=b'9') => self.number().map(|_| Kind::Number),
            Some(b'[') => self.array(),
            Some(b'{') => self.object(),
            _ => self.literal(),
        }
    }

    fn array(&mut self) -> Result<Kind, ScanError> {
        self.open(b'[')?;
        let mut first = true;
        while self.next_item(first, b']')? {
            first = false;
            self.value()?;
        }
        Ok(Kind::Array)
    }

    fn object(&mut self) -> Result<Kind, ScanError> {
        self.open(b'{')?;
        let mut placeholder = PlaceholderState::default();
        let mut first = true;
        while self.next_item(first, b'}')? {
            first = false;
            // The key is put together only where it matters.
            let key_start = self.at + 1;
            let escaped = self.skip_string()?;
            let key_end = self.at - 1;
            self.colon()?;
            let start = self.at;
            let kind = self.value()?;
            if self.attachments > 0 {
                let number = if kind == Kind::Number { self.slice(start)? } else { "" };
                placeholder.see(self.raw(key_start, key_end, escaped)?, kind, number);
            }
        }
        if placeholder.is_placeholder() {
            self.illegal |= placeholder.index(self.attachments).is_none();
        }
        Ok(Kind::Object)
    }

    /// The text from `start` up to here.
    pub(crate) fn slice(&self, start: usize) -> Result<&'a str, ScanError> {
        self.text.get(start..self.at).ok_or(ScanError::Syntax)
    }

    fn digits(&mut self) -> Result<(), ScanError> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(ScanError::Syntax) }
    }

    fn escape(&mut self) -> Result<(), ScanError> {
        let escape = self.peek().ok_or(ScanError::Syntax)?;
        self.at += 1;
        match escape {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(()),
            b'u' => {
                let digits = self.text.as_bytes().get(self.at..self.at + 4).ok_or(ScanError::Syntax)?;
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    return Err(ScanError::Syntax);
                }
                self.at += 4;
                Ok(())
            }
            _ => Err(ScanError::Syntax),
        }
    }
}

/// What the keys of an object say about it being a placeholder; of equal keys the last one counts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PlaceholderState {
    marked: bool,
    index: Option<f64>,
}

impl PlaceholderState {
    /// Notes one member; `number` is the value's text if it is a number.
    pub(crate) fn see(&mut self, key: RawStr<'_>, kind: Kind, number: &str) {
        if key.is(PLACEHOLDER) {
            self.marked = kind == Kind::True;
        } else if key.is(PLACEHOLDER_INDEX) {
            self.index = if kind == Kind::Number { number.parse().ok() } else { None };
        }
    }

    /// Whether the object stands for an attachment.
    pub(crate) fn is_placeholder(&self) -> bool {
        self.marked
    }

    /// The index, when it is that of one of `attachments` attachments.
    pub(crate) fn index(&self, attachments: usize) -> Option<usize> {
        placeholder_index(self.index?, attachments)
    }
}

/// The number as an index into so many attachments, when it is one.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be a small whole number")]
pub(crate) fn placeholder_index(number: f64, attachments: usize) -> Option<usize> {
    // -0 is 0, as in JavaScript.
    if !(number.fract() == 0.0 && (0.0..=1e9).contains(&number)) {
        return None;
    }
    let index = number as usize;
    (index < attachments).then_some(index)
}

/// How many bytes come before a quote, a backslash or a control character: those that a string is written with as they are.
pub(crate) fn plain_len(bytes: &[u8]) -> usize {
    let is_special = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    // Without a branch for each byte the compiler looks at all of a chunk at once.
    let (chunks, _) = bytes.as_chunks::<16>();
    let is_plain = |chunk: &&[u8; 16]| !chunk.iter().fold(false, |found, byte| found | is_special(*byte));
    let start = chunks.iter().take_while(is_plain).count() * 16;
    let rest = bytes.get(start..).unwrap_or_default();
    start + rest.iter().position(|byte| is_special(*byte)).unwrap_or(rest.len())
}

/// Resolves the escapes of a string that has been scanned.
fn unescape(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let mut chars = after.chars();
        match chars.next() {
            Some('b') => out.push('\u{8}'),
            Some('f') => out.push('\u{c}'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('u') => {
                let (c, left) = unescape_unicode(chars.as_str());
                out.push(c);
                rest = left;
                continue;
            }
            Some(c) => out.push(c),
            None => {}
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
    out
}

/// Reads what follows a `\u`: a character, and the text after it.
fn unescape_unicode(text: &str) -> (char, &str) {
    let Some((high, after)) = hex4(text) else { return (char::REPLACEMENT_CHARACTER, text) };
    if let Some(c) = char::from_u32(high) {
        return (c, after);
    }
    if high < 0xdc00
        && let Some((low, after_low)) = after.strip_prefix("\\u").and_then(hex4)
        && (0xdc00..0xe000).contains(&low)
    {
        let code = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
        return (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), after_low);
    }
    (char::REPLACEMENT_CHARACTER, after)
}

fn hex4(text: &str) -> Option<(u32, &str)> {
    let (digits, after) = text.split_at_checked(4)?;
    Some((u32::from_str_radix(digits, 16).ok()?, after))
}
