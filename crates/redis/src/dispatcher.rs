//! Brings what came from Redis to the namespaces: one task, so that each gets it in order.

use std::sync::{Arc, OnceLock, Weak};

use bytes::Bytes;
use redis::Value;
use sockeye::adapter::Local;
use sockeye::cluster::{Message, Receiver, Sender};

use crate::codec::CodecError;
use crate::link::Link;
use crate::options::Mode;
use crate::wire::Wire;

/// A namespace, as what receives messages.
pub(crate) struct Inbox {
    pub(crate) wire: Wire,
    /// Its sockets.
    pub(crate) local: Weak<Local>,
    /// None until the bus is opened.
    pub(crate) receiver: OnceLock<Arc<dyn Receiver>>,
}

/// What came from Redis.
pub(crate) enum Incoming {
    /// A message in a channel.
    Message { channel: Vec<u8>, payload: Vec<u8> },
    /// A message in a channel that this pattern fits.
    Matched { pattern: Vec<u8>, channel: Vec<u8>, payload: Vec<u8> },
    /// An entry of a stream: names and values of its fields.
    Entry(Vec<Value>),
}

impl Incoming {
    /// About how many bytes it has.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Message { channel, payload } => channel.len() + payload.len(),
            Self::Matched { pattern, channel, payload } => pattern.len() + channel.len() + payload.len(),
            Self::Entry(fields) => {
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
            Incoming::Entry(fields) => {
                let texts: Vec<&str> = fields.iter().map_while(text).collect();
                let pairs: Vec<(&str, &str)> =
                    texts.as_chunks::<2>().0.iter().map(|[name, value]| (*name, *value)).collect();
                let namespace = pairs.iter().find(|(name, _)| *name == "nsp").map(|(_, namespace)| *namespace);
                match namespace.and_then(|namespace| self.table.inbox_of(namespace)) {
                    Some(inbox) => inbox.handle(inbox.wire.read_entry(&pairs)),
                    None => self.metrics.skipped.increment(),
                }
            }
        }
    }
}

impl Inbox {
    fn handle(&self, read: Result<Option<(Sender, Message)>, CodecError>) {
        let Some(receiver) = self.receiver.get() else { return };
        match read {
            Ok(Some((sender, message))) => receiver.handle_message(sender, message),
            Ok(None) => {}
            Err(error) => receiver.handle_garbage(&error),
        }
    }
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
