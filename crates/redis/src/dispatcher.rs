//! Brings what came from Redis to the namespaces: one task, so that each gets it in order.

use std::sync::{Arc, OnceLock, Weak};

use bytes::Bytes;
use redis::Value;
use sockeye::adapter::Local;
use sockeye::cluster::{Message, Receiver, Sender};

use crate::codec::CodecError;
use crate::link::Link;
use crate::options::Mode;
use crate::recovery::{EntryId, Journal};
use crate::wire::Wire;

/// A namespace, as what receives messages.
pub(crate) struct Inbox {
    pub(crate) wire: Wire,
    /// Its sockets.
    pub(crate) local: Weak<Local>,
    /// None until the bus is opened.
    pub(crate) receiver: OnceLock<Arc<dyn Receiver>>,
    /// Its events, where sessions can be recovered.
    pub(crate) journal: Option<Journal>,
}

/// What came from Redis.
pub(crate) enum Incoming {
    /// A message in a channel.
    Message { channel: Vec<u8>, payload: Vec<u8> },
    /// A message in a channel that this pattern fits.
    Matched { pattern: Vec<u8>, channel: Vec<u8>, payload: Vec<u8> },
    /// An entry of a stream: the stream's number, and names and values of the fields.
    Entry { stream: usize, id: EntryId, fields: Vec<Value> },
}

impl Incoming {
    /// About how many bytes it has.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Message { channel, payload } => channel.len() + payload.len(),
            Self::Matched { pattern, channel, payload } => pattern.len() + channel.len() + payload.len(),
            Self::Entry { fields, .. } => {
                fields.iter().map(|field| if let Value::BulkString(text) = field { text.len() } else { 0 }).sum()
            }
        }
    }
}

/// Runs for as long as the adapter.
pub(crate) async fn run(link: Arc<Link>) {
    loop {
        for (number, incoming) in link.incoming.take(BATCH).await.into_iter().enumerate() {
            link.deliver(incoming);
            if number % TURN == TURN - 1 {
                tokio::task::yield_now().await;
            }
        }
        tokio::task::yield_now().await;
    }
}

impl Link {
    fn deliver(&self, incoming: Incoming) {
        match incoming {
            Incoming::Message { channel, payload } => match self.table.inbox(&channel) {
                Some(inbox) if self.options.mode == Mode::Classic => {
                    self.deliver_classic(&inbox, &channel, &payload.into());
                }
                Some(inbox) => inbox.handle(inbox.wire.read(&Bytes::from(payload))),
                // Whoever wanted it has left since.
                None => self.metrics.skipped.increment(),
            },
            Incoming::Matched { pattern, channel, payload } => match self.table.inbox(&pattern) {
                Some(inbox) => self.deliver_classic(&inbox, &channel, &payload.into()),
                None => self.metrics.skipped.increment(),
            },
            Incoming::Entry { stream, id, fields: values } => {
                let pairs = fields(&values);
                match field(&pairs, "nsp").and_then(|namespace| self.table.inbox_of(namespace)) {
                    Some(inbox) => match &inbox.journal {
                        None => inbox.handle(inbox.wire.read_entry(&pairs)),
                        Some(journal) => self.deliver_kept(&inbox, journal, id, &pairs),
                    },
                    None => self.metrics.skipped.increment(),
                }
                if self.recovery.is_used() {
                    self.recovery.places.advance(stream, id);
                }
            }
        }
    }
}

impl Inbox {
    pub(crate) fn handle(&self, read: Result<Option<(Sender, Message)>, CodecError>) {
        let Some(receiver) = self.receiver.get() else { return };
        match read {
            Ok(Some((sender, message))) => receiver.handle_message(sender, message),
            Ok(None) => {}
            Err(error) => receiver.handle_garbage(&error),
        }
    }
}

/// The fields of an entry.
pub(crate) fn fields(values: &[Value]) -> Vec<(&str, &str)> {
    let texts: Vec<&str> = values.iter().map_while(text).collect();
    texts.as_chunks::<2>().0.iter().map(|[name, value]| (*name, *value)).collect()
}

/// The value of a field.
pub(crate) fn field<'a>(fields: &[(&str, &'a str)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(each, _)| *each == name).map(|(_, value)| *value)
}

fn text(field: &Value) -> Option<&str> {
    match field {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}

/// About how many bytes are taken from the queue at once.
const BATCH: usize = 256 * 1024;

/// After how many messages other tasks get a turn.
const TURN: usize = 64;
