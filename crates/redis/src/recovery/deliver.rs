//! Takes an entry of the stream to the recovery of its namespace, or, if it is no event, to whoever takes all else.

use sockeye_cluster::Message;
use sockeye_cluster::recovery::{Position, Recovery};

use crate::bus::inbox::{Inbox, field};
use crate::link::Link;

impl Link {
    /// An entry for a namespace with recovery.
    pub(crate) fn deliver_kept(&self, inbox: &Inbox, recovery: &Recovery, id: Position, fields: &[(&str, &str)]) {
        let wire = &inbox.wire;
        if field(fields, "uid") == Some(&**wire.node()) {
            if let Some(number) = field(fields, "n").and_then(|number| number.parse().ok()) {
                recovery.handle_own(id, number, || wire.read_kept(fields));
            }
            return;
        }
        match wire.read_entry(fields) {
            Ok((_, Message::Broadcast { packet, target, request: None })) if wire.is_event(&packet) => {
                self.options.cluster.metrics.received.increment();
                recovery.handle_event(id, packet, &target);
            }
            other => inbox.handle(other),
        }
    }
}
