//! The hub: what the nodes of one process share.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use sockeye::adapter::Room;
use tokio::sync::{mpsc, watch};

use super::delivery::Delivery;
use super::entries::Entries;
use super::faults::Faults;
use super::session_table::SessionTable;
use crate::bus::BusError;
use crate::message::{Destination, Message, NodeId, Sender};

/// Joins the nodes of one process, as a broker joins those of many. For tests.
///
/// It routes by interest, and keeps events and sessions for [recovery](super::MemoryBus::recover). With the feature `test-util` it loses and
/// delays messages, cuts nodes off, and refuses. A clone is another handle to the same hub.
#[derive(Clone, Default)]
pub struct MemoryHub(Arc<Hub>);

#[derive(Default)]
struct Hub {
    counts_nodes: bool,
    state: Mutex<State>,
    /// Is sent something when there may be more to read in a log.
    changed: watch::Sender<()>,
}

#[derive(Default)]
pub(super) struct State {
    /// By namespace and node.
    pub(super) members: HashMap<String, HashMap<NodeId, Member>>,
    /// By namespace.
    pub(super) logs: HashMap<String, Entries>,
    pub(super) sessions: SessionTable,
    pub(super) faults: Faults,
    /// How many messages each node got.
    pub(super) delivered: HashMap<NodeId, u64>,
}

/// A node in a namespace.
#[derive(Default)]
pub(super) struct Member {
    /// Where its messages go, while it is open.
    pub(super) queue: Option<mpsc::Sender<Delivery>>,
    pub(super) rooms: HashSet<Room>,
}

impl fmt::Debug for MemoryHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryHub").finish_non_exhaustive()
    }
}

impl MemoryHub {
    /// A hub that counts its nodes, so that they send no heartbeats.
    pub fn counting() -> Self {
        Self(Arc::new(Hub { counts_nodes: true, ..Hub::default() }))
    }

    pub(super) fn counts_nodes(&self) -> bool {
        self.0.counts_nodes
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock()
    }

    pub(super) fn note_changed(&self) {
        self.0.changed.send_replace(());
    }

    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.0.changed.subscribe()
    }
}

impl State {
    pub(super) fn deliver(
        &mut self,
        namespace: &str,
        from: &Sender,
        message: &Message,
        to: &Destination,
    ) -> Result<(), BusError> {
        let Self { members, faults, delivered, .. } = self;
        if let Sender::Node(node) = from {
            if faults.refuses_messages_of(node) {
                return Err(BusError::Full);
            }
            if faults.is_cut(node) {
                return Ok(());
            }
        }
        let mut result = Ok(());
        for (node, member) in members.get(namespace).into_iter().flatten() {
            let is_meant = match to {
                Destination::All => message.room().is_none_or(|room| member.rooms.contains(room)),
                Destination::AllNodes => true,
                Destination::Node(one) => one == node,
            };
            if !is_meant || faults.is_cut(node) || matches!(from, Sender::Node(from) if from == node) {
                continue;
            }
            let Some(queue) = &member.queue else { continue };
            if faults.loses() {
                continue;
            }
            let delivery = Delivery::Message(from.clone(), Box::new(message.clone()), faults.arrival());
            match faults.send(queue, delivery, to) {
                Ok(()) => *delivered.entry(node.clone()).or_default() += 1,
                Err(_) => result = Err(BusError::Full),
            }
        }
        result
    }
}
