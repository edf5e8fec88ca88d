//! Values as MessagePack, in the dialects of the adapters' libraries.
//!
//! They share `nil` and `bin`. A date is the timestamp of MessagePack, extension -1, since notepack 3; notepack 2, which servers with
//! older adapters and emitters have, writes a date as `d7 00` and `undefined` as `d4 00 00`.

use bytes::Bytes;
use bytestring::ByteString;
use sockeye::Value;
use sockeye_protocol::socket::iso_string;
use sockeye_protocol::socket::msgpack_primitives::{
    ARRAY, MAP, write_binary, write_f64, write_head, write_i64, write_text, write_u64,
};

use super::CodecError;

/// How deep arrays and maps may nest.
const MAX_DEPTH: usize = 128;

/// Reads the value that `data` is, to its last byte. Binaries are slices of it.
pub fn read(data: &Bytes) -> Result<Value, CodecError> {
    let mut reader = Reader { data, at: 0 };
    let value = reader.value(MAX_DEPTH)?;
    if reader.at == data.len() { Ok(value) } else { Err(CodecError::MsgPack) }
}

/// A value as it is written.
#[derive(Debug)]
pub struct Raw {
    pub data: Bytes,
    /// Whether there are extensions in it: they mean one thing in this dialect and another elsewhere.
    pub has_extension: bool,
}

/// Divides an array of three values.
pub fn read_three(data: &Bytes) -> Result<[Raw; 3], CodecError> {
    let mut reader = Reader { data, at: 0 };
    if reader.array()? != [0x93] {
        return Err(CodecError::MsgPack);
    }
    let three = [reader.raw()?, reader.raw()?, reader.raw()?];
    if reader.at == data.len() { Ok(three) } else { Err(CodecError::MsgPack) }
}

struct Reader<'a> {
    data: &'a Bytes,
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], CodecError> {
        let end = self.at.checked_add(len).ok_or(CodecError::MsgPack)?;
        let taken = self.data.get(self.at..end).ok_or(CodecError::MsgPack)?;
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        self.take(N)?.try_into().map_err(|_| CodecError::MsgPack)
    }

    /// A number of one, two or four bytes: a length.
    fn len(&mut self, width: u8) -> Result<usize, CodecError> {
        Ok(match width {
            0 => u8::from_be_bytes(self.array()?).into(),
            1 => u16::from_be_bytes(self.array()?).into(),
            _ => usize::try_from(u32::from_be_bytes(self.array()?)).map_err(|_| CodecError::MsgPack)?,
        })
    }

    /// One value. The recursion is bounded by `depth_left`.
    fn value(&mut self, depth_left: usize) -> Result<Value, CodecError> {
        let [prefix] = self.array()?;
        Ok(match prefix {
            0x00..=0x7f => prefix.into(),
            0x80..=0x8f => self.map((prefix & 0x0f).into(), depth_left)?,
            0x90..=0x9f => self.items((prefix & 0x0f).into(), depth_left)?,
            0xa0..=0xbf => self.text((prefix & 0x1f).into())?,
            0xc0 => Value::Null,
            0xc1 => return Err(CodecError::MsgPack),
            0xc2 => false.into(),
            0xc3 => true.into(),
            0xc4..=0xc6 => {
                let len = self.len(prefix - 0xc4)?;
                self.binary(len)?
            }
            0xc7..=0xc9 => {
                let len = self.len(prefix - 0xc7)?;
                self.extension(len)?
            }
            0xca => f64::from(f32::from_be_bytes(self.array()?)).into(),
            0xcb => f64::from_be_bytes(self.array()?).into(),
            0xcc => u8::from_be_bytes(self.array()?).into(),
            0xcd => u16::from_be_bytes(self.array()?).into(),
            0xce => u32::from_be_bytes(self.array()?).into(),
            0xcf => u64::from_be_bytes(self.array()?).into(),
            0xd0 => i8::from_be_bytes(self.array()?).into(),
            0xd1 => i16::from_be_bytes(self.array()?).into(),
            0xd2 => i32::from_be_bytes(self.array()?).into(),
            0xd3 => i64::from_be_bytes(self.array()?).into(),
            0xd4 if self.next_is(&UNDEFINED[1..]) => {
                self.take(2)?;
                Value::Null
            }
            0xd7 if self.next_is(&[0x00]) => {
                self.take(1)?;
                date(i64::from_be_bytes(self.array()?))
            }
            0xd4..=0xd8 => self.extension(1 << (prefix - 0xd4))?,
            0xd9..=0xdb => {
                let len = self.len(prefix - 0xd9)?;
                self.text(len)?
            }
            0xdc | 0xdd => {
                let len = self.len(prefix - 0xdc + 1)?;
                self.items(len, depth_left)?
            }
            0xde | 0xdf => {
                let len = self.len(prefix - 0xde + 1)?;
                self.map(len, depth_left)?
            }
            0xe0..=0xff => i8::from_be_bytes([prefix]).into(),
        })
    }

    /// Goes over one value.
    fn raw(&mut self) -> Result<Raw, CodecError> {
        let start = self.at;
        let mut has_extension = false;
        let mut values_left = 1_usize;
        while let Some(left) = values_left.checked_sub(1) {
            let [prefix] = self.array()?;
            let (len, values) = match prefix {
                0x00..=0x7f | 0xc0 | 0xc2 | 0xc3 | 0xe0..=0xff => (0, 0),
                0x80..=0x8f => (0, 2 * usize::from(prefix & 0x0f)),
                0x90..=0x9f => (0, (prefix & 0x0f).into()),
                0xa0..=0xbf => ((prefix & 0x1f).into(), 0),
                0xc1 => return Err(CodecError::MsgPack),
                0xc4..=0xc6 => (self.len(prefix - 0xc4)?, 0),
                0xc7..=0xc9 => (self.len(prefix - 0xc7)?.saturating_add(1), 0),
                0xcc | 0xd0 => (1, 0),
                0xcd | 0xd1 => (2, 0),
                0xca | 0xce | 0xd2 => (4, 0),
                0xcb | 0xcf | 0xd3 => (8, 0),
                0xd4..=0xd8 => (1 + (1 << (prefix - 0xd4)), 0),
                0xd9..=0xdb => (self.len(prefix - 0xd9)?, 0),
                0xdc | 0xdd => (0, self.len(prefix - 0xdc + 1)?),
                0xde | 0xdf => (0, self.len(prefix - 0xde + 1)?.saturating_mul(2)),
            };
            has_extension |= matches!(prefix, 0xc7..=0xc9 | 0xd4..=0xd8);
            self.take(len)?;
            values_left = left.saturating_add(values);
        }
        Ok(Raw { data: self.data.slice(start..self.at), has_extension })
    }

    fn next_is(&self, bytes: &[u8]) -> bool {
        self.data.get(self.at..).is_some_and(|rest| rest.starts_with(bytes))
    }

    fn text(&mut self, len: usize) -> Result<Value, CodecError> {
        Ok(Value::String(String::from_utf8_lossy(self.take(len)?).into_owned().into()))
    }

    fn binary(&mut self, len: usize) -> Result<Value, CodecError> {
        let taken = self.take(len)?;
        // An empty slice of the message has no place in it.
        Ok(Value::Binary(if taken.is_empty() { Bytes::new() } else { self.data.slice_ref(taken) }))
    }

    /// A date is its ISO 8601 text, as JSON has it; any other extension is its bytes.
    fn extension(&mut self, len: usize) -> Result<Value, CodecError> {
        let kind = i8::from_be_bytes(self.array()?);
        if kind != -1 {
            return self.binary(len);
        }
        let millis = match len {
            4 => i64::from(u32::from_be_bytes(self.array()?)) * 1000,
            8 => {
                let both = u64::from_be_bytes(self.array()?);
                let seconds = i64::try_from(both & 0x3_ffff_ffff).map_err(|_| CodecError::MsgPack)?;
                seconds * 1000 + i64::try_from((both >> 34) / 1_000_000).map_err(|_| CodecError::MsgPack)?
            }
            12 => {
                let nanos = u32::from_be_bytes(self.array()?);
                let seconds = i64::from_be_bytes(self.array()?);
                seconds.checked_mul(1000).ok_or(CodecError::MsgPack)?.saturating_add((nanos / 1_000_000).into())
            }
            _ => return Err(CodecError::MsgPack),
        };
        Ok(date(millis))
    }

    fn items(&mut self, len: usize, depth_left: usize) -> Result<Value, CodecError> {
        let depth_left = depth_left.checked_sub(1).ok_or(CodecError::TooDeep)?;
        // What it claims is not believed: a value has a byte at least.
        let mut items = Vec::with_capacity(len.min(self.data.len() - self.at).min(64));
        for _ in 0..len {
            items.push(self.value(depth_left)?);
        }
        Ok(Value::Array(items))
    }

    fn map(&mut self, len: usize, depth_left: usize) -> Result<Value, CodecError> {
        let depth_left = depth_left.checked_sub(1).ok_or(CodecError::TooDeep)?;
        let mut members: Vec<(ByteString, Value)> = Vec::new();
        for _ in 0..len {
            let key = match self.value(0)? {
                Value::String(key) => key,
                Value::Number(number) => number.to_string().into(),
                _ => return Err(CodecError::MsgPack),
            };
            // As in JSON, a member that is undefined is none.
            let is_undefined = self.next_is(UNDEFINED);
            let value = self.value(depth_left)?;
            if !is_undefined {
                members.push((key, value));
            }
        }
        Ok(Value::Object(members))
    }
}

/// A date is its text, as JSON has it; null beyond what JavaScript has.
fn date(millis: i64) -> Value {
    iso_string(millis).map_or(Value::Null, Value::from)
}

/// `undefined` of notepack 2.
const UNDEFINED: &[u8] = &[0xd4, 0x00, 0x00];

/// Writes a value.
pub fn to_vec(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    write(value, &mut out);
    out
}

/// Appends a value.
pub fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(0xc0),
        Value::Bool(value) => out.push(0xc2 + u8::from(*value)),
        Value::Number(number) => {
            if let Some(number) = number.as_u64() {
                write_u64(out, number);
            } else if let Some(number) = number.as_i64() {
                write_i64(out, number);
            } else {
                write_f64(out, number.as_f64().unwrap_or_default());
            }
        }
        Value::String(text) => write_text(out, text),
        Value::Binary(data) => write_binary(out, data),
        Value::Array(items) => {
            write_head(out, items.len(), ARRAY);
            items.iter().for_each(|item| write(item, out));
        }
        Value::Object(members) => {
            write_head(out, members.len(), MAP);
            for (key, value) in members {
                write_text(out, key);
                write(value, out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_both_dialects() {
        let date = "2026-11-24T09:30:00.123Z";
        let millis: u64 = 1_795_512_600_123;
        let mut notepack_2 = vec![0xd7, 0x00];
        notepack_2.extend_from_slice(&millis.to_be_bytes());
        let mut notepack_3 = vec![0xd7, 0xff];
        notepack_3.extend_from_slice(&(((millis % 1000 * 1_000_000) << 34) | (millis / 1000)).to_be_bytes());
        for data in [notepack_2, notepack_3] {
            assert_eq!(read(&data.into()), Ok(Value::from(date)));
        }
        // Before 1970, and beyond what JavaScript has.
        let of = |millis: i64| [&[0xd7, 0x00][..], &millis.to_be_bytes()].concat().into();
        assert_eq!(read(&of(-1)), Ok(Value::from("1969-12-31T23:59:59.999Z")));
        assert_eq!(read(&of(i64::MAX)), Ok(Value::Null));
    }

    #[test]
    fn undefined_is_null_in_an_array_and_no_member() {
        assert_eq!(read(&vec![0x92, 0xd4, 0x00, 0x00, 0x01].into()), Ok(Value::Array(vec![Value::Null, 1.into()])));
        let object = [0x82, 0xa1, b'a', 0xd4, 0x00, 0x00, 0xa1, b'b', 0x02];
        assert_eq!(read(&object.to_vec().into()), Ok(Value::Object(vec![("b".into(), 2.into())])));
    }

    #[test]
    fn an_array_buffer_of_eight_bytes_is_no_date() {
        let data = [0xc7, 8, 0, 1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(read(&data.to_vec().into()), Ok(Value::Binary(Bytes::from_static(&[1, 2, 3, 4, 5, 6, 7, 8]))));
    }

    #[test]
    fn what_is_cut_is_refused() {
        for data in [&[0xd4][..], &[0xd4, 0x00], &[0xd7, 0x00, 1, 2], &[0xd7], &[0x91]] {
            assert_eq!(read(&data.to_vec().into()), Err(CodecError::MsgPack), "{data:?}");
        }
    }
}
