//! Why a WebSocket connection or its handshake has failed, sorted by who is to blame.

/// What went wrong. Every error of a [`Decoder`](crate::Decoder) is final: send a close frame with
/// [`close_code`](Self::close_code) and end the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    // The peer broke the framing rules.
    /// A reserved bit is set that no extension gives a meaning to (RFC 6455, 5.2; RFC 7692, 6.1).
    #[error("a reserved bit is set")]
    ReservedBits,
    /// The opcode is one of those kept for the future (RFC 6455, 5.2).
    #[error("opcode {0:#x} is reserved")]
    ReservedOpCode(u8),
    /// A control frame has more than 125 bytes of payload (RFC 6455, 5.5).
    #[error("a control frame is longer than 125 bytes")]
    ControlTooLong,
    /// A control frame is one of several fragments (RFC 6455, 5.5).
    #[error("a control frame is fragmented")]
    ControlFragmented,
    /// A continuation frame came while no message was incomplete (RFC 6455, 5.4).
    #[error("a continuation frame continues nothing")]
    UnexpectedContinuation,
    /// A new message began before the last fragment of the one before it (RFC 6455, 5.4).
    #[error("a new message begins inside a fragmented one")]
    ExpectedContinuation,
    /// A client sent a frame that is not masked (RFC 6455, 5.1).
    #[error("a frame from a client is not masked")]
    MaskMissing,
    /// A server sent a masked frame (RFC 6455, 5.1).
    #[error("a frame from a server is masked")]
    MaskForbidden,
    /// The length of a payload is not written in the fewest bytes (RFC 6455, 5.2).
    #[error("a payload length is not written in the fewest bytes")]
    NonMinimalLength,
    /// The highest bit of a 64-bit payload length is set (RFC 6455, 5.2).
    #[error("a payload length has its highest bit set")]
    LengthOutOfRange,
    /// A close frame has one byte of payload, which is half a code (RFC 6455, 5.5.1).
    #[error("a close frame holds half a code")]
    CloseTruncated,
    /// A close frame bears a code that must not be sent (RFC 6455, 7.4).
    #[error("close code {0} must not be sent")]
    CloseCode(u16),

    // The peer sent something that is framed well and means nothing.
    /// A text message or a close reason is not UTF-8 (RFC 6455, 8.1).
    #[error("text is not valid UTF-8")]
    InvalidUtf8,
    /// A compressed message is not a DEFLATE stream (RFC 7692, 7.2.2).
    #[error("a compressed message cannot be inflated")]
    Inflate,

    // The peer wants more than the limits grant.
    /// A message is longer than [`Limits::max_message`](crate::Limits::max_message), as declared or after inflation.
    #[error("a message is longer than {limit} bytes")]
    MessageTooBig {
        /// The limit, in bytes.
        limit: usize,
    },
    /// A message has more fragments than [`Limits::max_fragments`](crate::Limits::max_fragments).
    #[error("a message has more than {limit} fragments")]
    TooManyFragments {
        /// The limit, in frames.
        limit: usize,
    },

    // The peer answered our offer with something else.
    /// A server's answer to an offer of permessage-deflate is malformed, was not offered or cannot be done
    /// (RFC 7692, 7.1). The client fails the connection.
    #[error("the server's Sec-WebSocket-Extensions does not fit the offer")]
    Extension,

    // We have failed.
    /// The compressor has failed; a bug of ours. Send the message uncompressed or end the connection.
    #[error("the compressor has failed")]
    Deflate,
}

impl Error {
    /// The code to put into the close frame that ends the connection (RFC 6455, 7.4.1).
    #[must_use]
    pub fn close_code(&self) -> u16 {
        match self {
            Self::ReservedBits
            | Self::ReservedOpCode(_)
            | Self::ControlTooLong
            | Self::ControlFragmented
            | Self::UnexpectedContinuation
            | Self::ExpectedContinuation
            | Self::MaskMissing
            | Self::MaskForbidden
            | Self::NonMinimalLength
            | Self::LengthOutOfRange
            | Self::CloseTruncated
            | Self::CloseCode(_) => 1002,
            Self::InvalidUtf8 | Self::Inflate => 1007,
            Self::TooManyFragments { .. } => 1008,
            Self::MessageTooBig { .. } => 1009,
            Self::Extension => 1010,
            Self::Deflate => 1011,
        }
    }
}
