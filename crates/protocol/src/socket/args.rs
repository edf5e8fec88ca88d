//! The arguments of an event or acknowledgement.

use bytes::Bytes;
use bytestring::ByteString;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    json::{ReadError, Reader, write_value},
    scan::{MAX_DEPTH, ScanError, Scanner},
    value::Value,
};

mod de;
mod ser;

/// The arguments of an event or an acknowledgement: a JSON array's text and its attachments, parsed only when asked for.
///
/// Arguments that came from a client have been checked to be JSON. They nest at most 127 deep and every placeholder points
/// to an attachment. Clones share the bytes.
///
/// # Example
///
/// ```
/// use sockeye_protocol::socket::Args;
///
/// let args = Args::from_serialize(&("hello", 5))?;
/// assert_eq!(args.json_elements(), r#""hello",5"#);
/// let (text, count): (String, u32) = args.deserialize()?;
/// assert_eq!((text.as_str(), count), ("hello", 5));
/// # Ok::<(), sockeye_protocol::socket::ArgsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Args {
    /// A whole JSON array, brackets included.
    text: ByteString,
    /// Where in the text the first argument starts; the closing bracket's place if there is none.
    start: usize,
    /// How many elements the array has before the first argument: an event's name, and arguments that were skipped.
    before: usize,
    count: usize,
    attachments: Vec<Bytes>,
}

/// Arguments that could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArgsError {
    /// The values and the type that was asked for do not agree; or a type that JSON cannot say was to be written.
    #[error("{0}")]
    Serde(#[from] serde_json::Error),
    /// The text is not a JSON array.
    #[error("the arguments are not a JSON array")]
    Syntax,
    /// Arrays and objects nest deeper than 127.
    #[error("the arguments nest deeper than {MAX_DEPTH}")]
    TooDeep,
    /// A placeholder points to no attachment.
    #[error("a placeholder points to no attachment")]
    Placeholder,
}

impl From<ReadError> for ArgsError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Scan(ScanError::Syntax) => Self::Syntax,
            ReadError::Scan(ScanError::TooDeep) => Self::TooDeep,
            ReadError::Placeholder => Self::Placeholder,
        }
    }
}

impl From<ScanError> for ArgsError {
    fn from(error: ScanError) -> Self {
        ReadError::Scan(error).into()
    }
}

impl Default for Args {
    fn default() -> Self {
        Self::empty()
    }
}

impl Args {
    /// No arguments.
    pub fn empty() -> Self {
        Self { text: ByteString::from_static("[]"), start: 1, before: 0, count: 0, attachments: Vec::new() }
    }

    /// Writes arguments.
    ///
    /// A tuple is the list of the arguments, so that `()` is none, and `(x,)` is one. Anything else is one argument: a `Vec` or
    /// an array, a struct of whatever form, an `Option`, `null`. What is written with `serialize_bytes` ([`Bytes`],
    /// [`Value::Binary`], `serde_bytes`) becomes an attachment. Numbers that are not finite become `null`.
    ///
    /// # Errors
    ///
    /// When a `Serialize` implementation fails, a map has a key that is no string, or values nest deeper than 126.
    pub fn from_serialize<T: Serialize + ?Sized>(value: &T) -> Result<Self, ArgsError> {
        let written = ser::write_args(value, is_tuple::<T>())?;
        let text = text_of(written.text).ok_or(ArgsError::Syntax)?;
        Ok(Self { text, start: 1, before: 0, count: written.count, attachments: written.attachments })
    }

    /// Writes values as arguments. Binaries are shared, not copied. What nests deeper than 126 becomes `null`.
    #[expect(clippy::needless_pass_by_value, reason = "the arguments own them from here on")]
    pub fn from_values(values: Vec<Value>) -> Self {
        let mut text = vec![b'['];
        let mut attachments = Vec::new();
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                text.push(b',');
            }
            write_value(&mut text, value, &mut attachments, 1);
        }
        text.push(b']');
        let count = values.len();
        text_of(text).map_or_else(Self::empty, |text| Self { text, start: 1, before: 0, count, attachments })
    }

    /// Takes the text of a JSON array and the attachments that its placeholders point to.
    ///
    /// # Errors
    ///
    /// When the text is not a JSON array, nests deeper than 127, or a placeholder points to no attachment.
    pub fn from_json_array(text: &ByteString, attachments: Vec<Bytes>) -> Result<Self, ArgsError> {
        let mut scanner = Scanner::new(text, MAX_DEPTH, attachments.len());
        scanner.skip_whitespace();
        let open = scanner.position();
        scanner.open(b'[')?;
        let shape = scan_elements(&mut scanner, true)?;
        scanner.end()?;
        if scanner.has_illegal_placeholder() {
            return Err(ArgsError::Placeholder);
        }
        let array = text.get(open..shape.end).ok_or(ArgsError::Syntax)?;
        Ok(Self { text: text.slice_ref(array), start: shape.start - open, before: 0, count: shape.count, attachments })
    }

    /// Arguments that have been scanned: `text` is the whole array and `start` where its first argument is, with so many elements
    /// `before` it.
    pub(crate) fn from_scanned(text: ByteString, start: usize, before: usize, count: usize) -> Self {
        Self { text, start, before, count, attachments: Vec::new() }
    }

    /// The same with the attachments that its placeholders point to.
    pub(crate) fn with_attachments(self, attachments: Vec<Bytes>) -> Self {
        Self { attachments, ..self }
    }

    /// Adds an attachment that a placeholder already points to.
    pub(crate) fn push_attachment(&mut self, data: Bytes) {
        self.attachments.push(data);
    }

    /// The arguments as values, attachments in their places.
    ///
    /// # Errors
    ///
    /// Never for arguments that a [`Decoder`](super::Decoder) made. When a value that was written contains what looks like a
    /// placeholder and points to no attachment.
    pub fn to_values(&self) -> Result<Vec<Value>, ArgsError> {
        let mut reader = Reader::new(&self.text, &self.attachments);
        reader.scanner.open(b'[')?;
        let mut values = reader.items()?;
        values.drain(..self.before.min(values.len()));
        Ok(values)
    }

    /// Reads the arguments as a type.
    ///
    /// A tuple gets the arguments in their order: those that are missing as `null`, those that are too many not at all.
    /// `()` ignores them all. Any other type, an array `[T; N]` too, is read from the first argument, or from `null` when there
    /// is none, so that an `Option` or a [`Value`] can be asked for.
    ///
    /// Without attachments this reads the text directly. Only when the text has what JavaScript allows and serde_json does
    /// not, it is read by way of [`Value`]: half of a surrogate pair in a string becomes U+FFFD, and a number out of range
    /// is `null`.
    ///
    /// # Errors
    ///
    /// When the arguments are not of this type.
    pub fn deserialize<T: DeserializeOwned>(&self) -> Result<T, ArgsError> {
        if self.attachments.is_empty() {
            let text = de::TextArgs {
                array: &self.text,
                first: if self.count > 0 { self.text.get(self.start..).unwrap_or("null") } else { "null" },
                before: self.before,
                is_list: is_tuple::<T>(),
            };
            match T::deserialize(text) {
                // The text is JSON, so what serde_json calls a syntax error is one that JavaScript would not see.
                Err(error) if error.is_syntax() => {}
                result => return Ok(result?),
            }
        }
        Ok(T::deserialize(de::ValueArgs { values: self.to_values()?, is_list: is_tuple::<T>() })?)
    }

    /// The number of arguments.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are no arguments.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether there are attachments.
    pub fn has_binary(&self) -> bool {
        !self.attachments.is_empty()
    }

    /// The attachments, in the order of their placeholders' numbers.
    pub fn attachments(&self) -> &[Bytes] {
        &self.attachments
    }

    /// The bytes of the arguments: of their JSON text, and of the attachments.
    pub fn bytes(&self) -> usize {
        self.json_elements().len() + self.attachments.iter().map(Bytes::len).sum::<usize>()
    }

    /// The arguments' JSON text, without the brackets around and without the event's name: `1,"a"`. A placeholder of an
    /// attachment is `{"_placeholder":true,"num":0}`.
    pub fn json_elements(&self) -> &str {
        self.text.len().checked_sub(1).and_then(|end| self.text.get(self.start..end)).unwrap_or_default()
    }

    /// The arguments without the first ones. What is passed on this way, such as all but the name of a room, is not parsed, unless
    /// there are attachments: these get other numbers.
    ///
    /// # Errors
    ///
    /// As [`to_values`](Self::to_values).
    ///
    /// # Example
    ///
    /// ```
    /// use sockeye_protocol::socket::Args;
    ///
    /// let args = Args::from_serialize(&("lobby", 1, 2))?;
    /// assert_eq!(args.skip(1)?.json_elements(), "1,2");
    /// # Ok::<(), sockeye_protocol::socket::ArgsError>(())
    /// ```
    pub fn skip(&self, count: usize) -> Result<Self, ArgsError> {
        if count >= self.count {
            return Ok(Self::empty());
        }
        if self.has_binary() {
            return Ok(Self::from_values(self.to_values()?.split_off(count)));
        }
        let mut scanner = Scanner::new(self.text.get(self.start..).unwrap_or_default(), MAX_DEPTH, 0);
        for index in 0..count {
            scanner.next_item(index == 0, b']')?;
            scanner.value()?;
        }
        scanner.next_item(count == 0, b']')?;
        let start = self.start + scanner.position();
        Ok(Self { start, before: self.before + count, count: self.count - count, ..self.clone() })
    }

    /// Whether the last of the event's name and its arguments is a string. The official client takes that for the offset that its
    /// session is recovered from.
    pub fn ends_with_string(&self) -> bool {
        self.is_empty() || self.json_elements().trim_end().ends_with('"')
    }

    /// Appends one argument; a tuple is one, too.
    ///
    /// # Errors
    ///
    /// As [`from_serialize`](Self::from_serialize); the arguments are then unchanged.
    pub fn push<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), ArgsError> {
        let known = self.attachments.len();
        let result = ser::write_one(value, self.opened(), &mut self.attachments);
        if result.is_err() {
            self.attachments.truncate(known);
        }
        self.close(result?)
    }

    /// Appends one argument that is a string.
    pub fn push_str(&mut self, value: &str) {
        let mut text = self.opened();
        super::json::write_string(&mut text, value);
        // What was appended is text.
        self.close(text).unwrap_or_default();
    }

    /// A copy of the text that one more argument can be appended to.
    fn opened(&self) -> Vec<u8> {
        let elements = self.json_elements();
        let mut text = Vec::with_capacity(elements.len() + 32);
        text.push(b'[');
        text.extend_from_slice(elements.as_bytes());
        if self.count > 0 {
            text.push(b',');
        }
        text
    }

    fn close(&mut self, mut text: Vec<u8>) -> Result<(), ArgsError> {
        text.push(b']');
        self.text = text_of(text).ok_or(ArgsError::Syntax)?;
        self.start = 1;
        self.before = 0;
        self.count += 1;
        Ok(())
    }
}

/// What [`scan_elements`] found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Elements {
    /// Where the first element starts; where the closing bracket is if there is none.
    pub(crate) start: usize,
    /// The place after the closing bracket.
    pub(crate) end: usize,
    /// How many elements there are.
    pub(crate) count: usize,
}

/// Scans the elements of an array up to its end; `first` says whether none came before.
pub(crate) fn scan_elements(scanner: &mut Scanner<'_>, first: bool) -> Result<Elements, ScanError> {
    let mut first = first;
    let mut start: Option<usize> = None;
    let mut count = 0;
    while scanner.next_item(first, b']')? {
        let at = scanner.position();
        start.get_or_insert(at);
        first = false;
        scanner.value()?;
        count += 1;
    }
    let end = scanner.position();
    Ok(Elements { start: start.unwrap_or(end - 1), end, count })
}

/// Whether a type is a tuple, or a reference to one.
///
/// serde cannot tell: to it an array is a tuple, and `()` is `null`. There is no trait of tuples either that a type could be asked
/// for. What is left is how the compiler writes the type: only tuples begin with a parenthesis. It is a constant by the time that
/// the program runs.
fn is_tuple<T: ?Sized>() -> bool {
    let name = std::any::type_name::<T>();
    name.trim_start_matches('&').trim_start_matches("mut ").trim_start_matches('&').starts_with('(')
}

/// Text that this crate wrote.
fn text_of(text: Vec<u8>) -> Option<ByteString> {
    ByteString::try_from(text).ok()
}
