//! A namespace as what receives messages, and what comes for it.

use std::sync::{Arc, OnceLock, Weak};

use sockeye::adapter::Local;
use sockeye_cluster::codec::CodecError;
use sockeye_cluster::recovery::{Position, Recovery};
use sockeye_cluster::{Message, Receiver, Sender};

use crate::bus::wire::Wire;
use crate::recovery::entries::Fields;

/// A namespace, as what receives messages.
pub(crate) struct Inbox {
    pub(crate) wire: Arc<Wire>,
    /// Its sockets.
    pub(crate) local: Weak<Local>,
    /// None until the bus is opened.
    pub(crate) receiver: OnceLock<Arc<dyn Receiver>>,
    /// Its events, where sessions can be recovered.
    pub(crate) recovery: Option<Arc<Recovery>>,
}

/// What came from Redis.
pub(crate) enum Incoming {
    /// A message of another node in a channel of this namespace: the channel's name, so many bytes, and the message.
    Message { inbox: Arc<Inbox>, channel: usize, data: Vec<u8> },
    /// An entry of a stream: the stream's number, and the fields.
    Entry { stream: usize, id: Position, fields: Fields },
}

impl Incoming {
    /// About how many bytes it has.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Message { data, .. } => data.len(),
            Self::Entry { fields, .. } => fields.len(),
        }
    }
}

impl Inbox {
    pub(crate) fn handle(&self, read: Result<(Sender, Message), CodecError>) {
        let Some(receiver) = self.receiver.get() else { return };
        match read {
            Ok((sender, message)) => receiver.handle_message(sender, message),
            Err(error) => receiver.handle_garbage(&error),
        }
    }
}

/// The value of a field.
pub(crate) fn field<'a>(fields: &[(&str, &'a str)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(each, _)| *each == name).map(|(_, value)| *value)
}
