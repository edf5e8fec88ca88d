//! Why a message is not a packet.

/// Why a message is not a packet. The connection cannot go on after it: its decoder no longer knows what belongs together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// A message without content.
    #[error("empty message")]
    Empty,
    /// A packet type that does not exist.
    #[error("unknown packet type")]
    UnknownType,
    /// A number of attachments that is missing, zero or no number.
    #[error("illegal number of attachments")]
    IllegalAttachmentCount,
    /// More attachments announced than allowed.
    #[error("more than {limit} attachments")]
    TooManyAttachments {
        /// [`Limits::max_attachments`](super::Limits::max_attachments), or [`Limits::max_inline_binaries`](super::Limits::max_inline_binaries) of a MessagePack packet.
        limit: usize,
    },
    /// The attachments are too large together.
    #[error("attachments larger than {limit} bytes together")]
    AttachmentsTooLarge {
        /// [`Limits::max_attachment_bytes`](super::Limits::max_attachment_bytes).
        limit: usize,
    },
    /// A placeholder that points to no attachment.
    #[error("a placeholder points to no attachment")]
    IllegalPlaceholder,
    /// A namespace that is too long.
    #[error("namespace longer than {limit} bytes")]
    NamespaceTooLong {
        /// [`Limits::max_namespace_len`](super::Limits::max_namespace_len).
        limit: usize,
    },
    /// A packet without namespace, or with one that does not start with `/` or has a comma in it. MessagePack only.
    #[error("invalid namespace")]
    InvalidNamespace,
    /// A packet id that is no whole number.
    #[error("invalid packet id")]
    InvalidId,
    /// Data that is not JSON.
    #[error("the packet's data is not JSON")]
    InvalidJson,
    /// Data that is not MessagePack, or has bytes left over.
    #[error("the message is not one MessagePack value")]
    InvalidMsgPack,
    /// Data of a type that the packet's type does not allow.
    #[error("the packet's type does not allow this data")]
    InvalidPayload,
    /// Data that nests too deep.
    #[error("data nests deeper than {limit}")]
    TooDeep {
        /// [`Limits::max_depth`](super::Limits::max_depth), at most 127.
        limit: usize,
    },
    /// An event whose name is missing, or neither a string nor a number.
    #[error("event without a name")]
    InvalidEventName,
    /// An event's name that is too long.
    #[error("event name longer than {limit} bytes")]
    EventNameTooLong {
        /// [`Limits::max_event_name_len`](super::Limits::max_event_name_len).
        limit: usize,
    },
    /// An event with a name that is not for users.
    #[error("reserved event name")]
    ReservedEvent,
    /// A text message where an attachment is due; or any to a MessagePack decoder.
    #[error("text message where a binary one is due")]
    UnexpectedText,
    /// A binary message that no packet announced.
    #[error("binary message that no packet announced")]
    UnexpectedBinary,
}
