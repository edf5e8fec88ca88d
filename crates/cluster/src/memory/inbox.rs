//! Brings a node the messages and the events of one namespace.

use std::sync::Arc;

use tokio::sync::{Mutex, mpsc};
use tokio::time::Instant;

use super::delivery::Delivery;
use super::entries::Entry;
use super::hub::MemoryHub;
use super::log::MemoryLog;
use crate::ClusterMetrics;
use crate::bus::Receiver;
use crate::message::{Message, NodeId, Sender};
use crate::recovery::{EventLog as _, Recovery, RecoveryDriver, RecoveryOptions};
use crate::supervise::contain;

/// The state of the task that serves a node in a namespace.
pub(super) struct Inbox {
    pub(super) hub: MemoryHub,
    pub(super) node: NodeId,
    pub(super) namespace: String,
    pub(super) receiver: Arc<dyn Receiver>,
    /// Outlives a task that panics.
    pub(super) queue: Mutex<mpsc::Receiver<Delivery>>,
    pub(super) recovery: Option<Recovering>,
    pub(super) metrics: Arc<ClusterMetrics>,
}

/// Recovery in a namespace.
#[derive(Clone, Debug)]
pub(super) struct Recovering {
    pub(super) recovery: Arc<Recovery>,
    pub(super) driver: Arc<RecoveryDriver>,
    pub(super) log: MemoryLog,
    pub(super) options: RecoveryOptions,
}

/// Runs until the bus is closed.
pub(super) async fn run(inbox: Arc<Inbox>) {
    match &inbox.recovery {
        None => bring_all(&inbox).await,
        Some(recovering) => tokio::select! {
            () = bring_all(&inbox) => {}
            () = recovering.driver.run() => {}
        },
    }
}

/// One task brings messages and events, one after the other.
async fn bring_all(inbox: &Inbox) {
    let mut queue = inbox.queue.lock().await;
    let mut changes = inbox.hub.changes();
    loop {
        if let Some(recovering) = &inbox.recovery {
            while inbox.follow(recovering) {}
        }
        let delivery = tokio::select! {
            delivery = queue.recv() => delivery,
            _ = changes.changed(), if inbox.recovery.is_some() => continue,
        };
        match delivery {
            Some(Delivery::Message(sender, message, at)) => {
                if at > Instant::now() {
                    tokio::time::sleep_until(at).await;
                }
                inbox.bring(sender, *message);
            }
            #[cfg(any(test, feature = "test-util"))]
            Some(Delivery::Garbage) => inbox.receiver.handle_garbage(&"garbage"),
            #[cfg(any(test, feature = "test-util"))]
            Some(Delivery::Panic) => panic!("on purpose"),
            None => return,
        }
    }
}

impl Inbox {
    fn bring(&self, sender: Sender, message: Message) {
        contain("a message", &self.metrics, || self.receiver.handle_message(sender, message));
    }

    /// Brings the next entries of the log, up to where it is read; false if there are none.
    fn follow(&self, recovering: &Recovering) -> bool {
        let cursor = recovering.log.cursor();
        let Some(read) = cursor.position() else { return false };
        let mut state = self.hub.state();
        if state.faults.is_cut(&self.node) {
            return false;
        }
        let Some(log) = state.logs.get(&self.namespace) else { return false };
        let (before, entries) = (log.before_first(), log.after(read).cloned().collect::<Vec<_>>());
        *state.delivered.entry(self.node.clone()).or_default() += entries.len() as u64;
        drop(state);
        if read < before {
            recovering.options.metrics.gaps.increment();
            recovering.driver.handle_gap(cursor, before, true);
            cursor.advance(before);
        }
        for entry in &entries {
            contain("an entry", &self.metrics, || self.bring_entry(recovering, entry));
            cursor.advance(entry.position);
        }
        !entries.is_empty()
    }

    fn bring_entry(&self, recovering: &Recovering, entry: &Entry) {
        let recovery = &recovering.recovery;
        if entry.writer == self.node {
            if entry.number > 0 {
                recovery.handle_own(entry.position, entry.number, || entry.event());
            }
        } else if let Some((packet, target)) = entry.event() {
            self.metrics.received.increment();
            recovery.handle_event(entry.position, packet, &target);
        } else {
            self.receiver.handle_message(Sender::Node(entry.writer.clone()), entry.message.clone());
        }
    }
}
