//! Brings what came from Redis to the namespaces: one task, so that each gets it in order.

use std::sync::{Arc, OnceLock, Weak};

use bytes::Bytes;
use sockeye::adapter::Local;
use sockeye_cluster::link::deliver;
use sockeye_cluster::recovery::{Position, Recovery};
use sockeye_cluster::{Message, Receiver, Sender};

use crate::bus::wire::Wire;
use crate::connection::Role;
use crate::link::Link;
use crate::options::Mode;
use crate::recovery::entries::Fields;
use sockeye_cluster::codec::CodecError;

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

/// Runs for as long as the adapter.
pub(crate) async fn run(link: Arc<Link>) {
    let _working = link.working(Role::Delivering);
    deliver(&link.incoming, &link.options.cluster.metrics, |incoming| link.deliver(incoming)).await;
}

impl Link {
    fn deliver(&self, incoming: Incoming) {
        match incoming {
            Incoming::Message { inbox, channel: len, data } => {
                let mut payload = Bytes::from(data);
                let channel = payload.split_to(len.min(payload.len()));
                match self.options.mode {
                    Mode::Classic => self.deliver_classic(&inbox, &channel, &payload),
                    _ => inbox.handle(inbox.wire.read(&payload)),
                }
            }
            Incoming::Entry { stream, id, fields } => {
                let pairs = fields.pairs();
                match field(&pairs, "nsp").and_then(|namespace| self.table.inbox_of(namespace)) {
                    Some(inbox) => match &inbox.recovery {
                        None => inbox.handle(inbox.wire.read_entry(&pairs)),
                        Some(recovery) => self.deliver_kept(&inbox, recovery, id, &pairs),
                    },
                    None => self.metrics.skipped.increment(),
                }
                if let Some(cursor) = self.recovery.cursor(stream).filter(|_| self.recovery.is_used()) {
                    cursor.advance(id);
                }
            }
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
