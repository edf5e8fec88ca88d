//! Packets in MessagePack, in the dialect of `socket.io-msgpack-parser` 3 (notepack.io 2.2).
//!
//! A packet is one map, `{type, data?, nsp, id?, options?}`, with types 0 to 4 and binary values in place. Its data become
//! JSON text with attachments on the way in, and MessagePack again on the way out, so that a packet can be relayed between
//! clients of both parsers. On the way in:
//!
//! - `undefined` (`d4 00 00`) is `null` in an array and no member in an object, as `JSON.stringify` has it;
//! - a date (`d7 00`) is its ISO 8601 text;
//! - `bin` and extension type 0 (an `ArrayBuffer`) are attachments; any other extension is an array of its type and its
//!   bytes, as in notepack;
//! - floats that are whole are integers, and those that are not finite are `null`;
//! - text that is not UTF-8 has U+FFFD where it is not.
//!
//! On the way out whole numbers take the smallest integer form and others are doubles; an absent key is not written.

mod cursor;
pub mod primitives;
mod read;
mod write;

pub(crate) use read::read_packet;
pub(crate) use write::write_packet;
