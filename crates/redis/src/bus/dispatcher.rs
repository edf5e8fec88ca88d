//! Brings what came from Redis to the namespaces: one task, so that each gets it in order.

use std::sync::Arc;

use bytes::Bytes;
use sockeye_cluster::link::deliver;

use crate::bus::inbox::{Incoming, field};
use crate::connection::Role;
use crate::link::Link;
use crate::options::Mode;

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
