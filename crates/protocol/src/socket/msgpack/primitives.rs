//! The primitives of MessagePack, each in its smallest form.

/// The first bytes of arrays or maps: with up to 15 items, and with more.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    pub(crate) fixed: u8,
    pub(crate) wide: u8,
}

/// Of an array.
pub const ARRAY: Form = Form { fixed: 0x90, wide: 0xdc };
/// Of a map: the count is that of its pairs.
pub const MAP: Form = Form { fixed: 0x80, wide: 0xde };

/// Appends the head of an array or map of so many items.
pub fn write_head(out: &mut Vec<u8>, count: usize, form: Form) {
    match (u8::try_from(count), u16::try_from(count)) {
        (Ok(count @ 0..=15), _) => out.push(form.fixed | count),
        (_, Ok(count)) => {
            out.push(form.wide);
            out.extend_from_slice(&count.to_be_bytes());
        }
        _ => {
            out.push(form.wide + 1);
            out.extend_from_slice(&len_u32(count).to_be_bytes());
        }
    }
}

/// A length; no message is as large as four gigabytes.
fn len_u32(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// Appends a string.
pub fn write_text(out: &mut Vec<u8>, text: &str) {
    match (u8::try_from(text.len()), u16::try_from(text.len())) {
        (Ok(len @ 0..=31), _) => out.push(0xa0 | len),
        (Ok(len), _) => out.extend_from_slice(&[0xd9, len]),
        (_, Ok(len)) => {
            out.push(0xda);
            out.extend_from_slice(&len.to_be_bytes());
        }
        _ => {
            out.push(0xdb);
            out.extend_from_slice(&len_u32(text.len()).to_be_bytes());
        }
    }
    out.extend_from_slice(text.as_bytes());
}

/// Appends bytes.
pub fn write_binary(out: &mut Vec<u8>, data: &[u8]) {
    match (u8::try_from(data.len()), u16::try_from(data.len())) {
        (Ok(len), _) => out.extend_from_slice(&[0xc4, len]),
        (_, Ok(len)) => {
            out.push(0xc5);
            out.extend_from_slice(&len.to_be_bytes());
        }
        _ => {
            out.push(0xc6);
            out.extend_from_slice(&len_u32(data.len()).to_be_bytes());
        }
    }
    out.extend_from_slice(data);
}

/// Appends a whole number.
pub fn write_u64(out: &mut Vec<u8>, number: u64) {
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

/// Appends a whole number that may be negative.
pub fn write_i64(out: &mut Vec<u8>, number: i64) {
    if let Ok(number) = u64::try_from(number) {
        return write_u64(out, number);
    }
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

/// Appends a double.
pub fn write_f64(out: &mut Vec<u8>, number: f64) {
    out.push(0xcb);
    out.extend_from_slice(&number.to_be_bytes());
}
