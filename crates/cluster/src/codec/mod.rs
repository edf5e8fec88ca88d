//! Messages as bytes: what nodes write into a broker, and read.
//!
//! [`cluster`] has the messages of the official adapters that share the cluster adapter's format, [`native`] those between nodes of
//! Sockeye, the cheaper ones. Both read the messages of emitters, too. [`session`] has the sessions of clients that come back.

pub mod cluster;
#[doc(hidden)]
pub mod direct;
#[doc(hidden)]
pub mod json;
#[doc(hidden)]
pub mod msgpack;
pub mod native;
#[doc(hidden)]
pub mod parts;
pub mod session;

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
    /// There are binaries, and an object that is none but looks like the placeholder of one: clients would take it for one.
    #[error("an object looks like a binary's placeholder")]
    Placeholder,
    /// It cannot be said in this format: the broker's nodes have no such message, or the arguments are not valid.
    #[error("it cannot be written")]
    Unwritable,
}
