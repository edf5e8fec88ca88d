//! Writing arguments: JSON through serde_json, with bytes put aside as attachments.

use std::io;

use bytes::Bytes;
use serde::{Serialize, Serializer, ser::SerializeTuple};
use serde_json::{
    Error,
    ser::{CompactFormatter, Formatter},
};

use super::ArgsError;
use crate::socket::{json::write_placeholder, number::write_f64, scan::MAX_DEPTH};

/// Arguments in their written form.
pub(super) struct Written {
    /// A JSON array.
    pub(super) text: Vec<u8>,
    /// How many elements it has.
    pub(super) count: usize,
    /// What its placeholders point to.
    pub(super) attachments: Vec<Bytes>,
}

/// Writes an array of arguments: the elements of a tuple (a unit has none), if the value `is_list`; else the value is the only one.
pub(super) fn write_args<T: Serialize + ?Sized>(value: &T, is_list: bool) -> Result<Written, ArgsError> {
    let mut attachments = Vec::new();
    let mut text = Vec::with_capacity(128);
    text.push(b'[');
    let formatter = AttachmentFormatter::new(&mut attachments);
    let mut inner = serde_json::Serializer::with_formatter(&mut text, formatter);
    let count = match value.serialize(Spread { inner: &mut inner, is_list }).map_err(told_apart)? {
        // The tuple was written with brackets of its own.
        Shape::Tuple(count) => {
            text.remove(0);
            count
        }
        Shape::Nothing => {
            text.push(b']');
            0
        }
        Shape::One => {
            text.push(b']');
            1
        }
    };
    Ok(Written { text, count, attachments })
}

/// Appends one value to `text`.
pub(super) fn write_one<T: Serialize + ?Sized>(
    value: &T,
    mut text: Vec<u8>,
    attachments: &mut Vec<Bytes>,
) -> Result<Vec<u8>, ArgsError> {
    let formatter = AttachmentFormatter::new(attachments);
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut text, formatter)).map_err(told_apart)?;
    Ok(text)
}

/// The formatter has one error: that values nest too deep.
fn told_apart(error: Error) -> ArgsError {
    if error.is_io() { ArgsError::TooDeep } else { error.into() }
}

/// Compact JSON with numbers as JavaScript writes them, bytes as placeholders, and a bounded depth.
struct AttachmentFormatter<'a> {
    attachments: &'a mut Vec<Bytes>,
    depth: usize,
}

impl<'a> AttachmentFormatter<'a> {
    fn new(attachments: &'a mut Vec<Bytes>) -> Self {
        // The array of all arguments is the first level.
        Self { attachments, depth: 1 }
    }

    fn open<W: io::Write + ?Sized>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        writer.write_all(bracket)
    }

    fn close<W: io::Write + ?Sized>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth -= 1;
        writer.write_all(bracket)
    }
}

impl Formatter for AttachmentFormatter<'_> {
    fn write_byte_array<W: io::Write + ?Sized>(&mut self, writer: &mut W, value: &[u8]) -> io::Result<()> {
        // A placeholder is an object.
        if self.depth >= MAX_DEPTH {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut placeholder = Vec::with_capacity(32);
        write_placeholder(&mut placeholder, self.attachments.len());
        self.attachments.push(Bytes::copy_from_slice(value));
        writer.write_all(&placeholder)
    }

    fn write_f64<W: io::Write + ?Sized>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        write_f64(writer, value)
    }

    fn write_f32<W: io::Write + ?Sized>(&mut self, writer: &mut W, value: f32) -> io::Result<()> {
        if value.fract() == 0.0 {
            return self.write_f64(writer, value.into());
        }
        // As an f64 it would get the digits of the error that an f32 has.
        CompactFormatter.write_f32(writer, value)
    }

    fn begin_array<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open(writer, b"[")
    }

    fn end_array<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close(writer, b"]")
    }

    fn begin_object<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open(writer, b"{")
    }

    fn end_object<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close(writer, b"}")
    }
}

type Inner<'a, 'b> = &'b mut serde_json::Serializer<&'a mut Vec<u8>, AttachmentFormatter<'a>>;

/// What the outermost value was.
enum Shape {
    Nothing,
    One,
    Tuple(usize),
}

/// The serializer of the outermost value: it counts what a tuple holds, and passes all on.
struct Spread<'a, 'b> {
    inner: Inner<'a, 'b>,
    is_list: bool,
}

macro_rules! one {
    ($($method:ident($($arg:ident: $ty:ty),*);)*) => {$(
        fn $method(self, $($arg: $ty),*) -> Result<Shape, Error> {
            self.inner.$method($($arg),*).map(|()| Shape::One)
        }
    )*};
}

impl<'a, 'b> Serializer for Spread<'a, 'b> {
    type Ok = Shape;
    type Error = Error;
    type SerializeSeq = One<<Inner<'a, 'b> as Serializer>::SerializeSeq>;
    type SerializeTuple = Counted<<Inner<'a, 'b> as Serializer>::SerializeTuple>;
    type SerializeTupleStruct = One<<Inner<'a, 'b> as Serializer>::SerializeTupleStruct>;
    type SerializeTupleVariant = One<<Inner<'a, 'b> as Serializer>::SerializeTupleVariant>;
    type SerializeMap = One<<Inner<'a, 'b> as Serializer>::SerializeMap>;
    type SerializeStruct = One<<Inner<'a, 'b> as Serializer>::SerializeStruct>;
    type SerializeStructVariant = One<<Inner<'a, 'b> as Serializer>::SerializeStructVariant>;

    one! {
        serialize_bool(value: bool);
        serialize_i8(value: i8);
        serialize_i16(value: i16);
        serialize_i32(value: i32);
        serialize_i64(value: i64);
        serialize_i128(value: i128);
        serialize_u8(value: u8);
        serialize_u16(value: u16);
        serialize_u32(value: u32);
        serialize_u64(value: u64);
        serialize_u128(value: u128);
        serialize_f32(value: f32);
        serialize_f64(value: f64);
        serialize_char(value: char);
        serialize_str(value: &str);
        serialize_bytes(value: &[u8]);
        serialize_none();
        serialize_unit_struct(name: &'static str);
        serialize_unit_variant(name: &'static str, index: u32, variant: &'static str);
    }

    fn serialize_unit(self) -> Result<Shape, Error> {
        if self.is_list { Ok(Shape::Nothing) } else { self.inner.serialize_unit().map(|()| Shape::One) }
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Shape, Error> {
        value.serialize(self.inner).map(|()| Shape::One)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result<Shape, Error> {
        self.inner.serialize_newtype_struct(name, value).map(|()| Shape::One)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Shape, Error> {
        self.inner.serialize_newtype_variant(name, index, variant, value).map(|()| Shape::One)
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq, Error> {
        self.inner.serialize_seq(len).map(One)
    }

    fn serialize_tuple(self, len: usize) -> Result<Self::SerializeTuple, Error> {
        Ok(Counted { is_list: self.is_list, inner: self.inner.serialize_tuple(len)?, count: 0 })
    }

    fn serialize_tuple_struct(self, name: &'static str, len: usize) -> Result<Self::SerializeTupleStruct, Error> {
        self.inner.serialize_tuple_struct(name, len).map(One)
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant, Error> {
        self.inner.serialize_tuple_variant(name, index, variant, len).map(One)
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap, Error> {
        self.inner.serialize_map(len).map(One)
    }

    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Self::SerializeStruct, Error> {
        self.inner.serialize_struct(name, len).map(One)
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStructVariant, Error> {
        self.inner.serialize_struct_variant(name, index, variant, len).map(One)
    }
}

/// A compound value that is one argument.
struct One<S>(S);

macro_rules! one_compound {
    ($($trait:ident { $($method:ident($($key:ident: $ty:ty)?)),+ })*) => {$(
        impl<S: serde::ser::$trait<Ok = (), Error = Error>> serde::ser::$trait for One<S> {
            type Ok = Shape;
            type Error = Error;

            $(
                fn $method<T: Serialize + ?Sized>(&mut self, $($key: $ty,)? value: &T) -> Result<(), Error> {
                    self.0.$method($($key,)? value)
                }
            )+

            fn end(self) -> Result<Shape, Error> {
                self.0.end().map(|()| Shape::One)
            }
        }
    )*};
}

one_compound! {
    SerializeSeq { serialize_element() }
    SerializeTupleStruct { serialize_field() }
    SerializeTupleVariant { serialize_field() }
    SerializeMap { serialize_key(), serialize_value() }
    SerializeStruct { serialize_field(key: &'static str) }
    SerializeStructVariant { serialize_field(key: &'static str) }
}

/// A tuple, whose elements are the arguments; or, to serde the same, an array.
struct Counted<S> {
    is_list: bool,
    inner: S,
    count: usize,
}

impl<S: SerializeTuple<Ok = (), Error = Error>> SerializeTuple for Counted<S> {
    type Ok = Shape;
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.count += 1;
        self.inner.serialize_element(value)
    }

    fn end(self) -> Result<Shape, Error> {
        self.inner.end().map(|()| if self.is_list { Shape::Tuple(self.count) } else { Shape::One })
    }
}
