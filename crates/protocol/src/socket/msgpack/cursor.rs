//! MessagePack values, one head at a time.

use std::borrow::Cow;

use bytes::Bytes;

use crate::socket::{
    error::DecodeError,
    limits::Limits,
    number::{as_safe_integer, js_number},
};

/// One value's head; what an array or a map holds comes after it.
#[derive(Debug)]
pub(super) enum Token<'a> {
    Nil,
    Undefined,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(&'a [u8]),
    Binary(&'a [u8]),
    Date(i64),
    Extension(i8, &'a [u8]),
    Array(usize),
    Map(usize),
}

impl Token<'_> {
    /// The number as JavaScript has it.
    #[expect(clippy::cast_precision_loss, reason = "JavaScript's numbers are doubles")]
    pub(super) fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Unsigned(number) => Some(*number as f64),
            Self::Signed(number) => Some(*number as f64),
            Self::Float(number) => Some(*number),
            _ => None,
        }
    }

    /// A whole number that is not negative.
    pub(super) fn as_index(&self) -> Option<u64> {
        match self {
            Self::Unsigned(number) => Some(*number),
            Self::Signed(number) => (*number).try_into().ok(),
            Self::Float(number) => as_safe_integer(*number)?.try_into().ok(),
            _ => None,
        }
    }
}

/// A key as the name of a JavaScript property.
pub(super) fn key_text<'a>(key: &Token<'a>) -> Result<Cow<'a, str>, DecodeError> {
    Ok(match key {
        Token::Text(text) => String::from_utf8_lossy(text),
        Token::Nil => Cow::Borrowed("null"),
        Token::Undefined => Cow::Borrowed("undefined"),
        Token::Bool(true) => Cow::Borrowed("true"),
        Token::Bool(false) => Cow::Borrowed("false"),
        number => Cow::Owned(js_number(number.as_f64().ok_or(DecodeError::InvalidMsgPack)?)),
    })
}

/// A place in a message.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'a> {
    /// The message.
    pub(super) source: &'a Bytes,
    /// The offset of the next byte.
    pub(super) at: usize,
}

impl<'a> Cursor<'a> {
    /// Whether a map is next.
    pub(super) fn is_map(&self) -> bool {
        matches!(self.source.get(self.at), Some(0x80..=0x8f | 0xde | 0xdf))
    }

    /// Whether a string is next.
    pub(super) fn is_string(&self) -> bool {
        matches!(self.source.get(self.at), Some(0xa0..=0xbf | 0xd9..=0xdb))
    }

    /// Whether `undefined` is next.
    pub(super) fn is_undefined(&self) -> bool {
        self.source.get(self.at..).is_some_and(|rest| rest.starts_with(&[0xd4, 0x00]))
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let end = self.at.checked_add(len).ok_or(DecodeError::InvalidMsgPack)?;
        let taken = self.source.get(self.at..end).ok_or(DecodeError::InvalidMsgPack)?;
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        self.take(N)?.try_into().map_err(|_| DecodeError::InvalidMsgPack)
    }

    fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    /// A length of one, two or four bytes.
    fn len(&mut self, width: u8) -> Result<usize, DecodeError> {
        Ok(match width {
            0 => self.u8()?.into(),
            1 => u16::from_be_bytes(self.array()?).into(),
            _ => usize::try_from(u32::from_be_bytes(self.array()?)).map_err(|_| DecodeError::InvalidMsgPack)?,
        })
    }

    /// A length that so many values follow: never more than there are bytes left.
    fn count(&mut self, width: u8) -> Result<usize, DecodeError> {
        let count = self.len(width)?;
        if count > self.source.len() - self.at { Err(DecodeError::InvalidMsgPack) } else { Ok(count) }
    }

    /// Consumes a value's head; all of it, if it is no array or map.
    pub(super) fn token(&mut self) -> Result<Token<'a>, DecodeError> {
        let prefix = self.u8()?;
        Ok(match prefix {
            0x00..=0x7f => Token::Unsigned(prefix.into()),
            0x80..=0x8f => Token::Map((prefix & 0x0f).into()),
            0x90..=0x9f => Token::Array((prefix & 0x0f).into()),
            0xa0..=0xbf => Token::Text(self.take((prefix & 0x1f).into())?),
            0xc0 => Token::Nil,
            0xc1 => return Err(DecodeError::InvalidMsgPack),
            0xc2 => Token::Bool(false),
            0xc3 => Token::Bool(true),
            0xc4..=0xc6 => {
                let len = self.len(prefix - 0xc4)?;
                Token::Binary(self.take(len)?)
            }
            0xc7..=0xc9 => {
                let len = self.len(prefix - 0xc7)?;
                match i8::from_be_bytes(self.array()?) {
                    0 => Token::Binary(self.take(len)?),
                    kind => Token::Extension(kind, self.take(len)?),
                }
            }
            0xca => Token::Float(f32::from_be_bytes(self.array()?).into()),
            0xcb => Token::Float(f64::from_be_bytes(self.array()?)),
            0xcc => Token::Unsigned(self.u8()?.into()),
            0xcd => Token::Unsigned(u16::from_be_bytes(self.array()?).into()),
            0xce => Token::Unsigned(u32::from_be_bytes(self.array()?).into()),
            0xcf => Token::Unsigned(u64::from_be_bytes(self.array()?)),
            0xd0 => Token::Signed(i8::from_be_bytes(self.array()?).into()),
            0xd1 => Token::Signed(i16::from_be_bytes(self.array()?).into()),
            0xd2 => Token::Signed(i32::from_be_bytes(self.array()?).into()),
            0xd3 => Token::Signed(i64::from_be_bytes(self.array()?)),
            0xd4..=0xd8 => {
                let kind = i8::from_be_bytes(self.array()?);
                let len = 1 << (prefix - 0xd4);
                match (kind, len) {
                    (0, 1) => {
                        self.take(1)?;
                        Token::Undefined
                    }
                    (0, 8) => Token::Date(i64::from_be_bytes(self.array()?)),
                    _ => Token::Extension(kind, self.take(len)?),
                }
            }
            0xd9..=0xdb => {
                let len = self.len(prefix - 0xd9)?;
                Token::Text(self.take(len)?)
            }
            0xdc | 0xdd => Token::Array(self.count(prefix - 0xdc + 1)?),
            0xde | 0xdf => Token::Map(self.count(prefix - 0xde + 1)?),
            0xe0..=0xff => Token::Signed(i8::from_be_bytes([prefix]).into()),
        })
    }

    /// Goes over one value, checking it; tells whether it is `undefined`. The recursion is bounded by `depth_left`.
    pub(super) fn skip(&mut self, depth_left: usize, limits: &Limits) -> Result<bool, DecodeError> {
        match self.token()? {
            Token::Undefined => return Ok(true),
            Token::Array(len) => {
                let depth_left = deeper(depth_left, limits)?;
                for _ in 0..len {
                    self.skip(depth_left, limits)?;
                }
            }
            Token::Map(len) => {
                let depth_left = deeper(depth_left, limits)?;
                for _ in 0..len {
                    key_text(&self.token()?)?;
                    self.skip(depth_left, limits)?;
                }
            }
            // An array of two, in place of a value.
            Token::Extension(..) => {
                deeper(depth_left, limits)?;
            }
            _ => {}
        }
        Ok(false)
    }
}

/// One level less.
pub(super) fn deeper(depth_left: usize, limits: &Limits) -> Result<usize, DecodeError> {
    depth_left.checked_sub(1).ok_or_else(|| DecodeError::TooDeep { limit: limits.depth() })
}
