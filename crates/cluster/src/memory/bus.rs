//! A bus within one process, with faults to order: for tests.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::bus::{Bus, BusError, Receiver};
use crate::message::{Destination, Message, NodeId, Sender};
use sockeye::adapter::{AdapterFuture, Room};

/// Joins the nodes of one process: what a broker is to the nodes of many. For tests.
///
/// It routes by interest. Messages can be delayed or lost, and nodes cut off. A clone is another handle to the same.
#[derive(Clone, Default)]
pub struct MemoryHub(Arc<Hub>);

#[derive(Default)]
struct Hub {
    counts_nodes: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By namespace and node.
    members: HashMap<String, HashMap<NodeId, Member>>,
    /// Nodes that nothing comes from, nor reaches.
    cut: HashSet<NodeId>,
    /// How many of the next messages are lost.
    to_drop: usize,
    delay: Duration,
    /// How many messages each node got.
    delivered: HashMap<NodeId, u64>,
}

/// A node in a namespace.
#[derive(Default)]
struct Member {
    /// Where its messages go, while it is open.
    queue: Option<mpsc::Sender<Delivery>>,
    rooms: HashSet<Room>,
}

enum Delivery {
    Message(Sender, Box<Message>, Instant),
    Garbage,
}

impl fmt::Debug for MemoryHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryHub").finish_non_exhaustive()
    }
}

impl MemoryHub {
    /// A hub that counts its nodes, so that they send no heartbeats.
    pub fn counting() -> Self {
        Self(Arc::new(Hub { counts_nodes: true, state: Mutex::default() }))
    }

    /// The bus of a node in a namespace.
    pub fn bus(&self, node: &str, namespace: &str) -> MemoryBus {
        MemoryBus { hub: self.clone(), node: node.into(), namespace: namespace.to_owned() }
    }

    /// Nothing comes from this node, nor reaches it, until it is [healed](Self::heal).
    pub fn cut(&self, node: &str) {
        self.0.state.lock().cut.insert(node.into());
    }

    /// Takes a [cut](Self::cut) back.
    pub fn heal(&self, node: &str) {
        self.0.state.lock().cut.remove(&NodeId::from(node));
    }

    /// The next `count` deliveries are lost.
    pub fn lose(&self, count: usize) {
        self.0.state.lock().to_drop = count;
    }

    /// Messages sent from now on arrive after this time.
    pub fn delay(&self, delay: Duration) {
        self.0.state.lock().delay = delay;
    }

    /// How many messages a node got, over all namespaces.
    pub fn delivered(&self, node: &str) -> u64 {
        self.0.state.lock().delivered.get(&NodeId::from(node)).copied().unwrap_or(0)
    }

    /// Every node of the namespace gets something that is no message.
    pub fn send_garbage(&self, namespace: &str) {
        let state = self.0.state.lock();
        for member in state.members.get(namespace).into_iter().flat_map(HashMap::values) {
            if let Some(queue) = &member.queue {
                let _full = queue.try_send(Delivery::Garbage);
            }
        }
    }

    /// Every node of the namespace gets this message, as if a program that is no node had sent it.
    ///
    /// # Errors
    ///
    /// One of the nodes did not get it.
    pub fn send(&self, namespace: &str, message: &Message) -> Result<(), BusError> {
        self.0.state.lock().deliver(namespace, &Sender::Unnamed, message, &Destination::All)
    }
}

impl State {
    fn deliver(&mut self, namespace: &str, from: &Sender, message: &Message, to: &Destination) -> Result<(), BusError> {
        let Self { members, cut, to_drop, delay, delivered } = self;
        let is_cut = |node: &NodeId| cut.contains(node);
        if matches!(from, Sender::Node(node) if is_cut(node)) {
            return Ok(());
        }
        let at = Instant::now() + *delay;
        let mut result = Ok(());
        for (node, member) in members.get(namespace).into_iter().flatten() {
            let is_meant = match to {
                Destination::All => message.room().is_none_or(|room| member.rooms.contains(room)),
                Destination::AllNodes => true,
                Destination::Node(one) => one == node,
            };
            if !is_meant || is_cut(node) || matches!(from, Sender::Node(from) if from == node) {
                continue;
            }
            let Some(queue) = &member.queue else { continue };
            if *to_drop > 0 {
                *to_drop -= 1;
                continue;
            }
            match queue.try_send(Delivery::Message(from.clone(), Box::new(message.clone()), at)) {
                Ok(()) => *delivered.entry(node.clone()).or_default() += 1,
                Err(_) => result = Err(BusError::Full),
            }
        }
        result
    }
}

/// The bus of one node in one namespace, see [`MemoryHub`].
#[derive(Debug)]
pub struct MemoryBus {
    hub: MemoryHub,
    node: NodeId,
    namespace: String,
}

impl MemoryBus {
    fn with_member<T>(&self, change: impl FnOnce(&mut Member) -> T) -> T {
        let mut state = self.hub.0.state.lock();
        change(state.members.entry(self.namespace.clone()).or_default().entry(self.node.clone()).or_default())
    }
}

impl Bus for MemoryBus {
    fn node(&self) -> &NodeId {
        &self.node
    }

    fn open(&self, receiver: Arc<dyn Receiver>) -> AdapterFuture<'_, Result<(), BusError>> {
        Box::pin(async {
            let (sender, mut queue) = mpsc::channel(QUEUE);
            self.with_member(|member| member.queue = Some(sender));
            let _detached = tokio::spawn(async move {
                while let Some(delivery) = queue.recv().await {
                    match delivery {
                        Delivery::Message(sender, message, at) => {
                            if at > Instant::now() {
                                tokio::time::sleep_until(at).await;
                            }
                            receiver.handle_message(sender, *message);
                        }
                        Delivery::Garbage => receiver.handle_garbage(&"garbage"),
                    }
                }
            });
            Ok(())
        })
    }

    fn publish(&self, message: Message, to: &Destination) -> Result<(), BusError> {
        if self.with_member(|member| member.queue.is_none()) {
            return Err(BusError::Closed);
        }
        let from = Sender::Node(self.node.clone());
        self.hub.0.state.lock().deliver(&self.namespace, &from, &message, to)
    }

    fn routes_by_interest(&self) -> bool {
        true
    }

    fn subscribe(&self, room: &Room) {
        self.with_member(|member| member.rooms.insert(room.clone()));
    }

    fn unsubscribe(&self, room: &Room) {
        self.with_member(|member| member.rooms.remove(room));
    }

    fn counts_nodes(&self) -> bool {
        self.hub.0.counts_nodes
    }

    fn count_nodes(&self) -> AdapterFuture<'_, Result<usize, BusError>> {
        let state = self.hub.0.state.lock();
        let members = state.members.get(&self.namespace).into_iter().flat_map(HashMap::values);
        let count = members.filter(|member| member.queue.is_some()).count();
        Box::pin(std::future::ready(Ok(count)))
    }

    fn close(&self) -> AdapterFuture<'_, ()> {
        let mut state = self.hub.0.state.lock();
        if let Some(members) = state.members.get_mut(&self.namespace) {
            members.remove(&self.node);
        }
        Box::pin(std::future::ready(()))
    }
}

/// How many messages may wait for one node in one namespace.
const QUEUE: usize = 65_536;
