//! Reading arguments: a tuple gets all of them, any other type the first.

use std::fmt;

use serde::{
    Deserializer,
    de::{
        DeserializeSeed, IgnoredAny, IntoDeserializer, SeqAccess, Visitor,
        value::{SeqDeserializer, UnitDeserializer},
    },
};
use serde_json::Error;

use crate::socket::value::Value;

/// Arguments without attachments, read from their text.
#[derive(Clone, Copy)]
pub(super) struct TextArgs<'a> {
    /// The whole array.
    pub(super) array: &'a str,
    /// The text that starts with the first argument; `null` if there is none.
    pub(super) first: &'a str,
    /// How many elements come before the first argument.
    pub(super) before: usize,
    /// Whether all of them are asked for.
    pub(super) is_list: bool,
}

/// Arguments as values.
pub(super) struct ValueArgs {
    pub(super) values: Vec<Value>,
    /// Whether all of them are asked for.
    pub(super) is_list: bool,
}

impl ValueArgs {
    fn first(self) -> Value {
        self.values.into_iter().next().unwrap_or_default()
    }
}

macro_rules! args_deserializer {
    ($self:ident, $first:expr, [$($method:ident($($arg:ident: $ty:ty),*);)*]) => {
        $(
            fn $method<V: Visitor<'de>>($self, $($arg: $ty,)* visitor: V) -> Result<V::Value, Error> {
                $first.$method($($arg,)* visitor)
            }
        )*

        fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            visitor.visit_unit()
        }

        fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
            visitor.visit_unit()
        }

        fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            visitor.visit_unit()
        }

    };
    ($self:ident, $first:expr) => {
        args_deserializer! { $self, $first, [
            deserialize_any();
            deserialize_bool();
            deserialize_i8();
            deserialize_i16();
            deserialize_i32();
            deserialize_i64();
            deserialize_i128();
            deserialize_u8();
            deserialize_u16();
            deserialize_u32();
            deserialize_u64();
            deserialize_u128();
            deserialize_f32();
            deserialize_f64();
            deserialize_char();
            deserialize_str();
            deserialize_string();
            deserialize_bytes();
            deserialize_byte_buf();
            deserialize_option();
            deserialize_seq();
            deserialize_newtype_struct(name: &'static str);
            deserialize_tuple_struct(name: &'static str, len: usize);
            deserialize_map();
            deserialize_struct(name: &'static str, fields: &'static [&'static str]);
            deserialize_enum(name: &'static str, variants: &'static [&'static str]);
            deserialize_identifier();
        ] }
    };
}

impl<'de> Deserializer<'de> for TextArgs<'de> {
    type Error = Error;

    args_deserializer!(self, &mut serde_json::Deserializer::from_str(self.first));

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        if !self.is_list {
            return (&mut serde_json::Deserializer::from_str(self.first)).deserialize_tuple(len, visitor);
        }
        let spread = Spread { visitor, before: self.before, len };
        (&mut serde_json::Deserializer::from_str(self.array)).deserialize_seq(spread)
    }
}

impl<'de> Deserializer<'de> for ValueArgs {
    type Error = Error;

    args_deserializer!(self, self.first());

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        if !self.is_list {
            return self.first().deserialize_tuple(len, visitor);
        }
        let mut seq = SeqDeserializer::new(self.values.into_iter());
        Spread { visitor, before: 0, len }.visit_seq(&mut seq)
    }
}

/// Gives a tuple's visitor the arguments: without what comes before them, filled up with `null`, and no more than it takes.
struct Spread<V> {
    visitor: V,
    before: usize,
    len: usize,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Spread<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<V::Value, A::Error> {
        for _ in 0..self.before {
            seq.next_element::<IgnoredAny>()?;
        }
        let value = self.visitor.visit_seq(Padded { seq: &mut seq, left: self.len })?;
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(value)
    }
}

/// So many elements of a sequence; `null` in place of those it has not.
struct Padded<'a, A> {
    seq: &'a mut A,
    left: usize,
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Padded<'_, A> {
    type Error = A::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, A::Error> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        let mut seed = Some(seed);
        if let Some(value) = self.seq.next_element_seed(Once(&mut seed))? {
            return Ok(Some(value));
        }
        match seed {
            Some(seed) => {
                let null: UnitDeserializer<A::Error> = ().into_deserializer();
                seed.deserialize(null).map(Some)
            }
            None => Ok(None),
        }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// A seed that is still there when the sequence had no element for it.
struct Once<'a, T>(&'a mut Option<T>);

impl<'de, T: DeserializeSeed<'de>> DeserializeSeed<'de> for Once<'_, T> {
    type Value = T::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T::Value, D::Error> {
        match self.0.take() {
            Some(seed) => seed.deserialize(deserializer),
            None => Err(serde::de::Error::custom("a value was read twice")),
        }
    }
}
