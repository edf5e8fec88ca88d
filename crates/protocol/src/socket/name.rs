//! The name of an event.

use std::{
    borrow::Borrow,
    fmt,
    hash::{Hash, Hasher},
    ops::Deref,
};

use bytestring::ByteString;
use compact_str::CompactString;

use super::number::js_number;

/// The name of an event: a string, or (rarely) a number.
///
/// JavaScript listens to `1` and to `"1"` alike, so a number is kept as the text that `String(number)` gives, equality and
/// hash are those of the text, and [`is_number`](Self::is_number) only says how it is written on the wire.
///
/// Short names are held in place: decoding a packet does not allocate for them.
#[derive(Clone)]
pub struct EventName {
    text: CompactString,
    number: bool,
}

impl EventName {
    /// A name that is a number, as `String(number)` writes it.
    pub fn from_number(number: f64) -> Self {
        Self::new(&js_number(number), true)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the name is written as a number on the wire.
    pub fn is_number(&self) -> bool {
        self.number
    }

    fn new(text: &str, number: bool) -> Self {
        Self { text: text.into(), number }
    }
}

impl From<&str> for EventName {
    fn from(text: &str) -> Self {
        Self::new(text, false)
    }
}

impl From<ByteString> for EventName {
    fn from(text: ByteString) -> Self {
        Self::new(&text, false)
    }
}

impl From<&ByteString> for EventName {
    fn from(text: &ByteString) -> Self {
        Self::new(text, false)
    }
}

impl From<String> for EventName {
    fn from(text: String) -> Self {
        Self { text: text.into(), number: false }
    }
}

impl From<&String> for EventName {
    fn from(text: &String) -> Self {
        Self::new(text, false)
    }
}

impl From<EventName> for ByteString {
    fn from(name: EventName) -> Self {
        name.as_str().into()
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
