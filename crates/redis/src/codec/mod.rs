//! What nodes write into Redis, and read.
//!
//! [`cluster`] has the messages of the official sharded adapter and of the one over streams, [`native`] those between nodes of
//! Sockeye.

mod broadcast;
pub mod cluster;
mod json;
mod msgpack;
pub mod native;
mod parts;

use thiserror::Error;

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CodecError {
    /// Not JSON.
    #[error("not JSON")]
    Json,
    /// Not MessagePack.
    #[error("not MessagePack")]
    MsgPack,
    /// Not in the form of the native mode.
    #[error("not in the form of the native mode")]
    Native,
    /// Not base64.
    #[error("not base64")]
    Base64,
    /// Arrays and maps nest too deep.
    #[error("nested too deep")]
    TooDeep,
    /// This member is missing, or is not what it should be.
    #[error("the member \"{0}\" is missing or wrong")]
    Member(&'static str),
    /// A type of message that is not known.
    #[error("an unknown type of message")]
    UnknownType,
    /// It belongs to another namespace.
    #[error("a message of another namespace")]
    OtherNamespace,
    /// It cannot be said in this format: the broker's nodes have no such message, or the arguments are not valid.
    #[error("it cannot be written")]
    Unwritable,
}
