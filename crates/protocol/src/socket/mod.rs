//! Socket.IO: packets, arguments, the JSON and MessagePack parsers.
//!
//! A [`Decoder`] turns the messages of one connection into [`Packet`]s, and [`Packet::encode`] is the way back. The
//! [`Args`] of an event stay text until somebody asks for values, so that a packet that is only relayed is never parsed.
//!
//! ```text
//!  Message ─► Decoder ─► Packet { namespace, id, body: Event { name, args } } ─► args.deserialize::<(String, u32)>()
//!  Encoded ◄─ encode ◄── Packet                                    ▲ Args::from_serialize(&("text", 5))
//! ```
//!
//! Wire formats: <https://socket.io/docs/v4/socket-io-protocol/>; the MessagePack one is that of
//! `socket.io-msgpack-parser` 3. Where the official parsers accept what means nothing (an event without a name, a reserved
//! name by way of MessagePack), this one refuses; `testing/differential` holds the list, with reasons.

mod args;
mod date;
mod decode;
mod error;
#[cfg(any(test, fuzzing, feature = "fuzz"))]
pub mod fuzz;
mod into_args;
mod json;
mod limits;
mod msgpack;
mod name;
mod number;
mod packet;
mod scan;
mod value;

pub use args::{Args, ArgsError};
pub use date::{date_string, iso_string};
pub use decode::Decoder;
pub use error::DecodeError;
pub use into_args::{FromArgs, IntoArgs};
pub use json::from_json;
pub use limits::Limits;
pub use msgpack::primitives as msgpack_primitives;
pub use name::EventName;
pub use packet::{Encoded, Packet, PacketBody, Parser};
pub use value::Value;

#[cfg(test)]
mod tests;
