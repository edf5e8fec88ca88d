//! The name of an event.

use std::{
    borrow::Borrow,
    fmt,
    hash::{Hash, Hasher},
    ops::Deref,
};

use bytestring::ByteString;

use super::number::js_number;

/// The name of an event: a string, or (rarely) a number.
///
/// JavaScript listens to `1` and to `"1"` alike, so a number is kept as the text that `String(number)` gives, equality and
/// hash are those of the text, and [`is_number`](Self::is_number) only says how it is written on the wire.
///
/// Short names are held in place: decoding a packet does not allocate for them.
#[derive(Clone)]
pub struct EventName(Repr);

#[derive(Clone)]
enum Repr {
    Inline { len: u8, number: bool, bytes: [u8; INLINE] },
    Shared { text: ByteString, number: bool },
}

const INLINE: usize = 30;

impl EventName {
    /// A name that is a number, as `String(number)` writes it.
    pub fn from_number(number: f64) -> Self {
        Self::new(&js_number(number), true)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            // Copied from a str, whole; checking a few bytes is cheaper than sharing a buffer.
            Repr::Inline { len, bytes, .. } => {
                bytes.get(..usize::from(*len)).and_then(|bytes| str::from_utf8(bytes).ok()).unwrap_or_default()
            }
            Repr::Shared { text, .. } => text,
        }
    }

    /// Whether the name is written as a number on the wire.
    pub fn is_number(&self) -> bool {
        match self.0 {
            Repr::Inline { number, .. } | Repr::Shared { number, .. } => number,
        }
    }

    fn new(text: &str, number: bool) -> Self {
        Self::inline(text, number).unwrap_or_else(|| Self(Repr::Shared { text: text.into(), number }))
    }

    fn inline(text: &str, number: bool) -> Option<Self> {
        let mut bytes = [0; INLINE];
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Some(Self(Repr::Inline { len: u8::try_from(text.len()).ok()?, number, bytes }))
    }
}

impl From<&str> for EventName {
    fn from(text: &str) -> Self {
        Self::new(text, false)
    }
}

impl From<ByteString> for EventName {
    fn from(text: ByteString) -> Self {
        Self::inline(&text, false).unwrap_or(Self(Repr::Shared { text, number: false }))
    }
}

impl From<&ByteString> for EventName {
    fn from(text: &ByteString) -> Self {
        Self::inline(text, false).unwrap_or_else(|| Self(Repr::Shared { text: text.clone(), number: false }))
    }
}

impl From<String> for EventName {
    fn from(text: String) -> Self {
        Self::inline(&text, false).unwrap_or_else(|| Self(Repr::Shared { text: text.into(), number: false }))
    }
}

impl From<&String> for EventName {
    fn from(text: &String) -> Self {
        Self::new(text, false)
    }
}

impl From<EventName> for ByteString {
    fn from(name: EventName) -> Self {
        match name.0 {
            Repr::Inline { .. } => name.as_str().into(),
            Repr::Shared { text, .. } => text,
        }
    }
}

impl Deref for EventName {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for EventName {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for EventName {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq for EventName {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for EventName {}

impl PartialEq<str> for EventName {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for EventName {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl Hash for EventName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_number() { f.write_str(self.as_str()) } else { fmt::Debug::fmt(self.as_str(), f) }
    }
}
