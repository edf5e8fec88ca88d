//! JSON text to [`Value`] and back.

use bytes::Bytes;
use bytestring::ByteString;
use serde::de::DeserializeOwned;

use super::{
    number::{push_f64, push_i64, push_u64},
    scan::{Kind, MAX_DEPTH, PLACEHOLDER, PLACEHOLDER_INDEX, ScanError, Scanner, placeholder_index, plain_len},
    value::Value,
};

/// Where text goes: into a buffer, or only into a count of its bytes.
pub(crate) trait Sink {
    /// Appends `text`.
    fn push_text(&mut self, text: &str);
}

impl Sink for Vec<u8> {
    fn push_text(&mut self, text: &str) {
        self.extend_from_slice(text.as_bytes());
    }
}

impl Sink for String {
    fn push_text(&mut self, text: &str) {
        self.push_str(text);
    }
}

/// Counts bytes.
impl Sink for usize {
    fn push_text(&mut self, text: &str) {
        *self = self.saturating_add(text.len());
    }
}

/// Appends a string with its quotes, escaped as `JSON.stringify` does it.
pub(crate) fn write_string(out: &mut impl Sink, text: &str) {
    const HEX: [&str; 16] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "a", "b", "c", "d", "e", "f"];
    out.push_text("\"");
    let mut rest = text;
    loop {
        let (before, after) = rest.split_at_checked(plain_len(rest.as_bytes())).unwrap_or((rest, ""));
        out.push_text(before);
        let mut chars = after.chars();
        match chars.next() {
            Some('"') => out.push_text("\\\""),
            Some('\\') => out.push_text("\\\\"),
            Some('\u{8}') => out.push_text("\\b"),
            Some('\u{c}') => out.push_text("\\f"),
            Some('\n') => out.push_text("\\n"),
            Some('\r') => out.push_text("\\r"),
            Some('\t') => out.push_text("\\t"),
            Some(control) => {
                out.push_text(if control < '\u{10}' { "\\u000" } else { "\\u001" });
                out.push_text(HEX.get(control as usize & 0xf).copied().unwrap_or_default());
            }
            None => break,
        }
        rest = chars.as_str();
    }
    out.push_text("\"");
}

/// Appends the placeholder of the attachment with this index.
pub(crate) fn write_placeholder(out: &mut Vec<u8>, index: usize) {
    out.extend_from_slice(b"{\"_placeholder\":true,\"num\":");
    push_u64(out, index as u64);
    out.push(b'}');
}

/// Appends a value, and its binaries to `attachments`. What is nested deeper than any reader goes becomes `null`.
pub(crate) fn write_value(out: &mut Vec<u8>, value: &Value, attachments: &mut Vec<Bytes>, depth: usize) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => {
            if let Some(integer) = number.as_u64() {
                push_u64(out, integer);
            } else if let Some(integer) = number.as_i64() {
                push_i64(out, integer);
            } else {
                push_f64(out, number.as_f64().unwrap_or(f64::NAN));
            }
        }
        Value::String(text) => write_string(out, text),
        Value::Array(_) | Value::Object(_) | Value::Binary(_) if depth >= MAX_DEPTH => out.extend_from_slice(b"null"),
        Value::Binary(data) => {
            write_placeholder(out, attachments.len());
            attachments.push(data.clone());
        }
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_value(out, item, attachments, depth + 1);
            }
            out.push(b']');
        }
        Value::Object(members) => {
            out.push(b'{');
            for (index, (key, member)) in members.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_string(out, key);
                out.push(b':');
                write_value(out, member, attachments, depth + 1);
            }
            out.push(b'}');
        }
    }
}

/// Why a value could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadError {
    /// The text is not JSON, or nested too deep.
    Scan(ScanError),
    /// A placeholder points to no attachment.
    Placeholder,
}

impl From<ScanError> for ReadError {
    fn from(error: ScanError) -> Self {
        Self::Scan(error)
    }
}

/// Builds values; strings are slices of `source`.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    /// Where in the text to read.
    pub(crate) scanner: Scanner<'a>,
    source: &'a ByteString,
    attachments: &'a [Bytes],
}

impl<'a> Reader<'a> {
    /// Reads `source` from its start, with these attachments in place of placeholders.
    pub(crate) fn new(source: &'a ByteString, attachments: &'a [Bytes]) -> Self {
        Self { scanner: Scanner::new(source, MAX_DEPTH, attachments.len()), source, attachments }
    }

    /// Reads one value. The recursion is bounded by the scanner's depth.
    pub(crate) fn value(&mut self) -> Result<Value, ReadError> {
        match self.scanner.peek() {
            Some(b'"') => self.string().map(Value::String),
            Some(b'-' | b'0'..=b'9') => Ok(number(self.scanner.number()?)),
            Some(b'[') => {
                self.scanner.open(b'[')?;
                self.items().map(Value::Array)
            }
            Some(b'{') => self.object(),
            _ => Ok(match self.scanner.literal()? {
                Kind::True => Value::Bool(true),
                Kind::False => Value::Bool(false),
                _ => Value::Null,
            }),
        }
    }

    /// Reads the items of an array whose bracket has been consumed.
    pub(crate) fn items(&mut self) -> Result<Vec<Value>, ReadError> {
        let mut items = Vec::new();
        while self.scanner.next_item(items.is_empty(), b']')? {
            items.push(self.value()?);
        }
        Ok(items)
    }

    fn object(&mut self) -> Result<Value, ReadError> {
        self.scanner.open(b'{')?;
        let mut members = Vec::new();
        while self.scanner.next_item(members.is_empty(), b'}')? {
            let key = self.scanner.key()?;
            let key = self.share(key.raw, key.escaped.then(|| key.unescape().into_owned()));
            members.push((key, self.value()?));
        }
        keep_last(&mut members);
        if self.attachments.is_empty() {
            return Ok(Value::Object(members));
        }
        let member = |name: &str| members.iter().find(|(key, _)| key == name).map(|(_, value)| value);
        if member(PLACEHOLDER) != Some(&Value::Bool(true)) {
            return Ok(Value::Object(members));
        }
        let index = member(PLACEHOLDER_INDEX).and_then(Value::as_f64);
        let index = index.and_then(|index| placeholder_index(index, self.attachments.len()));
        let data = index.and_then(|index| self.attachments.get(index)).ok_or(ReadError::Placeholder)?;
        Ok(Value::Binary(data.clone()))
    }

    fn string(&mut self) -> Result<ByteString, ReadError> {
        let text = self.scanner.string()?;
        Ok(self.share(text.raw, text.escaped.then(|| text.unescape().into_owned())))
    }

    fn share(&self, raw: &str, unescaped: Option<String>) -> ByteString {
        // `raw` is a part of the scanner's text, which is `source`.
        unescaped.map_or_else(|| self.source.slice_ref(raw), ByteString::from)
    }
}

/// Reads a type from the JSON text of a client.
///
/// What JavaScript allows and serde_json does not is read by way of [`Value`], as [`Args::deserialize`](super::Args::deserialize)
/// does it: half of a surrogate pair in a string becomes U+FFFD, and a number out of range is `null`.
///
/// # Errors
///
/// When the text is not JSON, or not of this type.
pub fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    match serde_json::from_str(text) {
        Err(error) if error.is_syntax() => match read_all(text) {
            Ok(value) => T::deserialize(value),
            Err(_) => Err(error),
        },
        result => result,
    }
}

/// Reads a text that is one value.
fn read_all(text: &str) -> Result<Value, ReadError> {
    let source = ByteString::from(text);
    let mut reader = Reader::new(&source, &[]);
    reader.scanner.skip_whitespace();
    let value = reader.value()?;
    reader.scanner.end()?;
    Ok(value)
}

/// The value of a number's text.
pub(crate) fn number(text: &str) -> Value {
    if let Ok(integer) = text.parse::<u64>() {
        return integer.into();
    }
    match text.parse::<i64>() {
        // "-0" is not 0.
        Ok(integer) if integer != 0 => integer.into(),
        _ => Value::from_number(text.parse().unwrap_or(f64::NAN)),
    }
}

/// Of members with equal keys keeps the value of the last at the place of the first, as `JSON.parse` does.
///
/// Never quadratic: a few are compared one by one, more are sorted.
pub(crate) fn keep_last(members: &mut Vec<(ByteString, Value)>) {
    const FEW: usize = 12;
    if members.len() <= FEW && members.iter().enumerate().all(|(index, (key, _))| !has_key(members, index, key)) {
        return;
    }
    let mut order: Vec<(&str, usize)> = members.iter().enumerate().map(|(index, (key, _))| (&**key, index)).collect();
    order.sort_unstable();
    // For the first of each run of equal keys: where the last one is.
    let runs = order.chunk_by(|(a, _), (b, _)| a == b);
    let mut last_of: Vec<Option<usize>> = vec![None; members.len()];
    let mut repeated = false;
    for run in runs {
        repeated |= run.len() > 1;
        if let (Some((_, first)), Some((_, last))) = (run.first(), run.last())
            && let Some(place) = last_of.get_mut(*first)
        {
            *place = Some(*last);
        }
    }
    if !repeated {
        return;
    }
    let (keys, mut values): (Vec<ByteString>, Vec<Value>) = members.drain(..).unzip();
    let kept = keys.into_iter().zip(last_of).filter_map(|(key, last)| {
        let value = values.get_mut(last?)?;
        Some((key, std::mem::take(value)))
    });
    members.extend(kept);
}

fn has_key(members: &[(ByteString, Value)], before: usize, key: &str) -> bool {
    members.iter().take(before).any(|(earlier, _)| earlier == key)
}
