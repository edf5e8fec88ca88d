//! What a decoder accepts from its peer.

use super::{
    error::DecodeError,
    name::EventName,
    scan::{MAX_DEPTH, ScanError},
};

/// What a decoder accepts from its peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many attachments a packet may announce. The official parser's limit is 10.
    pub max_attachments: usize,
    /// How many bytes the attachments of a packet may have together, while the last is waited for.
    pub max_attachment_bytes: usize,
    /// How many binary values a MessagePack packet may hold. They are slices of the message, but each costs some memory.
    pub max_inline_binaries: usize,
    /// How long a namespace may be, in bytes, its query included.
    pub max_namespace_len: usize,
    /// How long an event's name may be, in bytes.
    pub max_event_name_len: usize,
    /// How deep arrays and objects may nest, the array of arguments included. 127 if more than that.
    pub max_depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_attachments: 10,
            max_attachment_bytes: 1_000_000,
            max_inline_binaries: 1_000,
            max_namespace_len: 512,
            max_event_name_len: 512,
            max_depth: 127,
        }
    }
}

impl Limits {
    pub(crate) fn depth(&self) -> usize {
        self.max_depth.min(MAX_DEPTH)
    }

    /// Fails unless a client may send events with this name.
    pub(crate) fn check_event_name(&self, name: &EventName) -> Result<(), DecodeError> {
        if name.len() > self.max_event_name_len {
            return Err(DecodeError::EventNameTooLong { limit: self.max_event_name_len });
        }
        if !name.is_number() && RESERVED_EVENTS.contains(&name.as_str()) {
            return Err(DecodeError::ReservedEvent);
        }
        Ok(())
    }

    /// The error for what stopped the scanner.
    pub(crate) fn scan_error(&self, error: ScanError) -> DecodeError {
        match error {
            ScanError::Syntax => DecodeError::InvalidJson,
            ScanError::TooDeep => DecodeError::TooDeep { limit: self.depth() },
        }
    }
}

/// Names that mean something else to the official clients and servers, so that no peer may send them as events.
const RESERVED_EVENTS: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];
