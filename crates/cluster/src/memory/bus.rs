//! A bus within one process.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use sockeye::adapter::{AdapterFuture, Local, Room};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::hub::{Member, MemoryHub};
use super::inbox::{self, Inbox, Recovering};
use super::log::MemoryLog;
use super::sessions::MemorySessions;
use crate::ClusterMetrics;
use crate::bus::{Bus, BusError, Confirmation, Receiver};
use crate::message::{Destination, Message, NodeId, Sender};
use crate::recovery::{EventLog as _, Recovery, RecoveryDriver, RecoveryOptions};
use crate::supervise::supervise_until_done;

/// The bus of one node in one namespace, see [`MemoryHub`].
#[derive(Debug)]
pub struct MemoryBus {
    hub: MemoryHub,
    node: NodeId,
    namespace: String,
    recovering: Option<Recovering>,
    /// Brings the messages, while it is open.
    task: Mutex<JoinSet<()>>,
    /// Changes of subscriptions that have not reached the hub yet.
    changes: Arc<Mutex<VecDeque<Change>>>,
}

/// A change of a subscription.
#[derive(Debug)]
struct Change {
    at: Instant,
    room: Room,
    subscribed: Option<Confirmation>,
}

impl Change {
    fn apply(self, member: &mut Member) {
        match self.subscribed {
            Some(_) => drop(member.rooms.insert(self.room)),
            None => drop(member.rooms.remove(&self.room)),
        }
    }
}

impl MemoryHub {
    /// The bus of a node in a namespace.
    pub fn bus(&self, node: &str, namespace: &str) -> MemoryBus {
        MemoryBus {
            hub: self.clone(),
            node: node.into(),
            namespace: namespace.to_owned(),
            recovering: None,
            task: Mutex::default(),
            changes: Arc::default(),
        }
    }
}

impl MemoryBus {
    /// From now on the hub keeps the events of the namespace, and its sessions: for
    /// [`ClusterAdapter::with_recovery`](crate::ClusterAdapter::with_recovery). None if the server does not recover sessions.
    pub fn recover(&mut self, local: &Arc<Local>, options: RecoveryOptions) -> Option<Arc<Recovery>> {
        let (log, store, driver) = (self.log(), self.sessions(), Arc::<RecoveryDriver>::default());
        let (node, shared) = (self.node.clone(), options.clone());
        let recovery = Recovery::new(local, node, Arc::new(log.clone()), Arc::new(store), &driver, shared)?;
        self.recovering = Some(Recovering { recovery: recovery.clone(), driver, log, options });
        Some(recovery)
    }

    /// The event log of this node and namespace, with a cursor of its own.
    pub fn log(&self) -> MemoryLog {
        MemoryLog::new(self.hub.clone(), self.node.clone(), self.namespace.clone())
    }

    /// The session store of this node and namespace.
    pub fn sessions(&self) -> MemorySessions {
        MemorySessions::new(self.hub.clone(), self.node.clone(), self.namespace.clone())
    }

    /// The node subscribes to a room, if something waits for the confirmation, or unsubscribes.
    fn change_interest(&self, room: &Room, subscribed: Option<Confirmation>) {
        let delay = self.hub.state().faults.delay_of_subscriptions;
        let change = Change { at: Instant::now() + delay, room: room.clone(), subscribed };
        if delay.is_zero() {
            return self.with_member(|member| change.apply(member));
        }
        self.changes.lock().push_back(change);
        let (hub, changes) = (self.hub.clone(), self.changes.clone());
        let (namespace, node) = (self.namespace.clone(), self.node.clone());
        let _detached = tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            let mut changes = changes.lock();
            while let Some(change) = changes.pop_front_if(|change| change.at <= Instant::now()) {
                if let Some(member) = hub.state().members.get_mut(&namespace).and_then(|members| members.get_mut(&node))
                {
                    change.apply(member);
                }
            }
        });
    }

    fn with_member<T>(&self, change: impl FnOnce(&mut Member) -> T) -> T {
        let mut state = self.hub.state();
        change(state.members.entry(self.namespace.clone()).or_default().entry(self.node.clone()).or_default())
    }
}

impl Bus for MemoryBus {
    fn node(&self) -> &NodeId {
        &self.node
    }

    fn open(&self, receiver: Arc<dyn Receiver>) -> AdapterFuture<'_, Result<(), BusError>> {
        Box::pin(async {
            let (sender, queue) = tokio::sync::mpsc::channel(QUEUE);
            let recovery = self.recovering.clone();
            let metrics = match &recovery {
                Some(recovering) => recovering.options.cluster_metrics.clone(),
                None => Arc::<ClusterMetrics>::default(),
            };
            if let Some(Recovering { recovery, driver, log, .. }) = &recovery {
                let end = self.hub.state().logs.entry(self.namespace.clone()).or_default().last();
                log.cursor().begin(end);
                recovery.begin();
                driver.note_available();
            }
            self.with_member(|member| member.queue = Some(sender));
            let (hub, node, namespace) = (self.hub.clone(), self.node.clone(), self.namespace.clone());
            let inbox = Inbox { hub, node, namespace, receiver, queue: queue.into(), recovery, metrics };
            let inbox = Arc::new(inbox);
            self.task.lock().spawn(async move {
                supervise_until_done("messages", &inbox.metrics, |_| {}, || inbox::run(inbox.clone())).await;
            });
            Ok(())
        })
    }

    fn publish(&self, message: Message, to: &Destination) -> Result<(), BusError> {
        if self.with_member(|member| member.queue.is_none()) {
            return Err(BusError::Closed);
        }
        if let Some(recovering) = &self.recovering
            && !matches!(to, Destination::Node(_))
            && message.is_in_order_with_events()
        {
            return recovering.log.append(message, 0).then_some(()).ok_or(BusError::Full);
        }
        let from = Sender::Node(self.node.clone());
        self.hub.state().deliver(&self.namespace, &from, &message, to)
    }

    fn routes_by_interest(&self) -> bool {
        true
    }

    fn subscribe(&self, room: &Room, confirmation: Confirmation) {
        self.change_interest(room, Some(confirmation));
    }

    fn unsubscribe(&self, room: &Room) {
        self.change_interest(room, None);
    }

    fn counts_nodes(&self) -> bool {
        self.hub.counts_nodes()
    }

    fn count_nodes(&self) -> AdapterFuture<'_, Result<usize, BusError>> {
        let state = self.hub.state();
        let members = state.members.get(&self.namespace).into_iter().flat_map(HashMap::values);
        let count = members.filter(|member| member.queue.is_some()).count();
        Box::pin(std::future::ready(Ok(count)))
    }

    /// The task ends when it has brought what waits.
    fn close(&self) -> AdapterFuture<'_, ()> {
        if let Some(members) = self.hub.state().members.get_mut(&self.namespace) {
            members.remove(&self.node);
        }
        Box::pin(std::future::ready(()))
    }
}

/// How many messages may wait for one node in one namespace.
const QUEUE: usize = 65_536;
