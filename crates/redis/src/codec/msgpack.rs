//! Values as MessagePack, in the dialect that the adapters' libraries share: `nil`, `bin`, timestamps as extension -1.

use bytes::Bytes;
use bytestring::ByteString;
use sockeye::Value;

use super::CodecError;

/// How deep arrays and maps may nest.
const MAX_DEPTH: usize = 128;

/// Reads the value that `data` is, to its last byte. Binaries are slices of it.
pub(super) fn read(data: &Bytes) -> Result<Value, CodecError> {
    let mut reader = Reader { data, at: 0 };
    let value = reader.value(MAX_DEPTH)?;
    if reader.at == data.len() { Ok(value) } else { Err(CodecError::MsgPack) }
}

/// A value as it is written.
pub(super) struct Raw {
    pub(super) data: Bytes,
    /// Whether there are extensions in it: they mean one thing in this dialect and another elsewhere.
    pub(super) has_extension: bool,
}

/// Divides an array of three values.
pub(super) fn read_three(data: &Bytes) -> Result<[Raw; 3], CodecError> {
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
        Ok(millis_text(millis).map_or(Value::Null, Value::from))
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
            members.push((key, self.value(depth_left)?));
        }
        Ok(Value::Object(members))
    }
}

/// A date as JavaScript writes it, `2026-11-24T09:30:00.000Z`; none out of its years 0 to 9999.
fn millis_text(millis: i64) -> Option<String> {
    let (days, rest) = (millis.div_euclid(86_400_000), millis.rem_euclid(86_400_000));
    // Days to a date of the Gregorian calendar, counted from 1 March of the year 0.
    let shifted = days.checked_add(719_468)?;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    if !(0..=9999).contains(&year) {
        return None;
    }
    let (seconds, millis) = (rest / 1000, rest % 1000);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    Some(format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{millis:03}Z"))
}

/// Writes a value.
pub(super) fn to_vec(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    write(value, &mut out);
    out
}

/// Appends a value.
pub(super) fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(0xc0),
        Value::Bool(value) => out.push(0xc2 + u8::from(*value)),
        Value::Number(number) => {
            if let Some(number) = number.as_u64() {
                write_u64(number, out);
            } else if let Some(number) = number.as_i64() {
                write_i64(number, out);
            } else {
                out.push(0xcb);
                out.extend_from_slice(&number.as_f64().unwrap_or_default().to_be_bytes());
            }
        }
        Value::String(text) => write_text(text, out),
        Value::Binary(data) => {
            write_len(data.len(), [None, Some((0xc4, 0xff))], 0xc5, out);
            out.extend_from_slice(data);
        }
        Value::Array(items) => {
            write_len(items.len(), [Some((0x90, 15)), None], 0xdc, out);
            items.iter().for_each(|item| write(item, out));
        }
        Value::Object(members) => {
            write_len(members.len(), [Some((0x80, 15)), None], 0xde, out);
            for (key, value) in members {
                write_text(key, out);
                write(value, out);
            }
        }
    }
}

/// Appends a string.
pub(super) fn write_text(text: &str, out: &mut Vec<u8>) {
    write_len(text.len(), [Some((0xa0, 31)), Some((0xd9, 0xff))], 0xda, out);
    out.extend_from_slice(text.as_bytes());
}

/// A length in its smallest form: within the first byte, in one byte, in two from `wide` on, or in four.
fn write_len(len: usize, [fixed, narrow]: [Option<(u8, u8)>; 2], wide: u8, out: &mut Vec<u8>) {
    let fits = |form: Option<(u8, u8)>| form.and_then(|(prefix, max)| Some((prefix, u8::try_from(len).ok()?, max)));
    match (fits(fixed), fits(narrow), u16::try_from(len)) {
        (Some((prefix, len, max)), ..) if len <= max => out.push(prefix | len),
        (_, Some((prefix, len, _)), _) => out.extend_from_slice(&[prefix, len]),
        (_, _, Ok(len)) => {
            out.push(wide);
            out.extend_from_slice(&len.to_be_bytes());
        }
        _ => {
            out.push(wide + 1);
            // No message is as large as four gigabytes.
            out.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
        }
    }
}

fn write_u64(number: u64, out: &mut Vec<u8>) {
    match (u8::try_from(number), u16::try_from(number), u32::try_from(number)) {
        (Ok(number @ 0..=0x7f), ..) => out.push(number),
        (Ok(number), ..) => out.extend_from_slice(&[0xcc, number]),
        (_, Ok(number), _) => {
            out.push(0xcd);
            out.extend_from_slice(&number.to_be_bytes());
        }
        (_, _, Ok(number)) => {
            out.push(0xce);
            out.extend_from_slice(&number.to_be_bytes());
        }
        _ => {
            out.push(0xcf);
            out.extend_from_slice(&number.to_be_bytes());
        }
    }
}

fn write_i64(number: i64, out: &mut Vec<u8>) {
    match (i8::try_from(number), i16::try_from(number), i32::try_from(number)) {
        (Ok(number @ -32..), ..) => out.extend_from_slice(&number.to_be_bytes()),
        (Ok(number), ..) => {
            out.push(0xd0);
            out.extend_from_slice(&number.to_be_bytes());
        }
        (_, Ok(number), _) => {
            out.push(0xd1);
            out.extend_from_slice(&number.to_be_bytes());
        }
        (_, _, Ok(number)) => {
            out.push(0xd2);
            out.extend_from_slice(&number.to_be_bytes());
        }
        _ => {
            out.push(0xd3);
            out.extend_from_slice(&number.to_be_bytes());
        }
    }
}
