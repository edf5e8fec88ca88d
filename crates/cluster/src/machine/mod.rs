//! The state of the cluster as one node knows it: which nodes are alive, which questions are open, which answers came.

mod pending;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use pending::Pending;
pub(super) use pending::UNKNOWN;
pub use pending::{Outcome, Question};
use sockeye_protocol::socket::Args;
use thiserror::Error;

use super::message::{Destination, Message, NodeId, RequestId, Sender};

/// Options of a [`Machine`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct MachineOptions {
    /// Time from one heartbeat to the next; none if the bus knows how many nodes there are. Default: 5 s.
    pub heartbeat_interval: Option<Duration>,
    /// After which silence a node counts as gone. Default: 10 s.
    pub heartbeat_timeout: Duration,
    /// How many questions may be open at once. Default: 10,000.
    pub max_requests: usize,
    /// How many other nodes there may be; the messages of more are taken, but they are not waited for. Default: 1,024.
    pub max_nodes: usize,
}

impl Default for MachineOptions {
    fn default() -> Self {
        Self {
            heartbeat_interval: Some(Duration::from_secs(5)),
            heartbeat_timeout: Duration::from_secs(10),
            max_requests: 10_000,
            max_nodes: 1024,
        }
    }
}

/// Why a question is not asked.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// [`MachineOptions::max_requests`] are open.
    #[error("too many questions between nodes are open (max_requests)")]
    TooMany,
}

/// An action for the caller.
#[derive(Debug)]
#[non_exhaustive]
pub enum Effect {
    /// A message is to be sent.
    Publish(Message, Destination),
    /// A question has ended.
    Complete(RequestId, Outcome),
    /// A node has come.
    Joined(NodeId),
    /// A node has gone.
    Left {
        /// Which.
        node: NodeId,
        /// It was not heard of for too long; otherwise it said so.
        is_lost: bool,
    },
    /// A message that makes no sense was ignored.
    Garbage(&'static str),
}

/// The cluster protocol of one node in one namespace, without I/O, clock or randomness.
///
/// Every `handle_` method and [`start`](Self::start) may make effects: take them all with [`poll_effect`](Self::poll_effect)
/// after each, in order. Call [`handle_timeout`](Self::handle_timeout) when [`poll_timeout`](Self::poll_timeout) has come.
///
/// ```text
///               start                       all have answered, or left; or the deadline
/// question ───────────────► open (bounded) ─────────────────────────────────────────────► Effect::Complete
///
///               any message                 Close; or silent for heartbeat_timeout
/// node     ───────────────► alive         ──────────────────────────────────────────────► gone: missing in what it owes
/// ```
#[derive(Debug)]
pub struct Machine {
    me: NodeId,
    options: MachineOptions,
    /// The other nodes that are alive, and when each was last heard of. Empty if the bus counts them.
    nodes: HashMap<NodeId, Instant>,
    /// Nodes that said they go. Messages that they sent before may come after it, and must not bring them back.
    closed: VecDeque<NodeId>,
    next_heartbeat: Option<Instant>,
    pending: HashMap<RequestId, Pending>,
    deadlines: BTreeSet<(Instant, RequestId)>,
    next_request: u64,
    effects: VecDeque<Effect>,
}

impl Machine {
    /// The machine of this node. `seed` is a random number: the names of its questions come from it.
    pub fn new(me: NodeId, options: MachineOptions, seed: u64) -> Self {
        Self {
            me,
            options,
            nodes: HashMap::new(),
            closed: VecDeque::new(),
            next_heartbeat: None,
            pending: HashMap::new(),
            deadlines: BTreeSet::new(),
            next_request: seed,
            effects: VecDeque::new(),
        }
    }

    /// The other nodes that are known to be alive.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeId> {
        self.nodes.keys()
    }

    /// How many questions are open.
    pub fn open_requests(&self) -> usize {
        self.pending.len()
    }

    /// The bus is open.
    pub fn handle_open(&mut self, now: Instant) {
        if let Some(interval) = self.options.heartbeat_interval {
            self.next_heartbeat = Some(now + interval);
            self.effects.push_back(Effect::Publish(Message::InitialHeartbeat, Destination::All));
        }
    }

    /// This node goes: the others are told, and the open questions end with what has come.
    pub fn handle_close(&mut self) {
        self.next_heartbeat = None;
        self.nodes.clear();
        self.effects.push_back(Effect::Publish(Message::Close, Destination::All));
        let all: Vec<_> = self.pending.keys().cloned().collect();
        for request in all {
            self.complete(&request);
        }
    }

    /// Opens a question; the caller sends it, with the name that is given back. `others` is how many other nodes there are, if the
    /// bus counts them.
    ///
    /// # Errors
    ///
    /// Too many are open.
    pub fn start(
        &mut self,
        question: Question,
        others: Option<usize>,
        deadline: Instant,
    ) -> Result<RequestId, Refusal> {
        if self.pending.len() >= self.options.max_requests {
            return Err(Refusal::TooMany);
        }
        // An odd step visits every number before it comes back to the first.
        self.next_request = self.next_request.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let request = RequestId::from(format!("{:016x}", self.next_request));
        let waiting: HashSet<_> = match others {
            None => self.nodes.keys().cloned().collect(),
            Some(_) => HashSet::new(),
        };
        let pending = Pending::new(question, waiting, others.unwrap_or(0), deadline);
        self.deadlines.insert((deadline, request.clone()));
        self.pending.insert(request.clone(), pending);
        self.complete_if_all_came(&request);
        Ok(request)
    }

    /// Nobody waits for the answers any more.
    pub fn cancel(&mut self, request: &RequestId) {
        if let Some(pending) = self.pending.remove(request) {
            self.deadlines.remove(&(pending.deadline, request.clone()));
        }
    }

    /// A question could not be sent: the other nodes' answers are missing.
    pub fn handle_unsent(&mut self, request: &RequestId) {
        if let Some(pending) = self.pending.get_mut(request) {
            pending.handle_unsent();
            self.complete_if_all_came(request);
        }
    }

    /// This node's own clients that get a broadcast have been counted.
    pub fn handle_local_count(&mut self, request: &RequestId, clients: usize) {
        self.update_local(request, |local| local.handle_count(clients));
    }

    /// A client of this node has acknowledged a broadcast.
    pub fn handle_local_ack(&mut self, request: &RequestId, args: Args) {
        self.update_local(request, |local| local.handle_ack(args));
    }

    /// A client of this node will not acknowledge a broadcast.
    pub fn handle_local_loss(&mut self, request: &RequestId) {
        self.update_local(request, pending::Clients::handle_loss);
    }

    /// A message has come. What it asks for is given back, to be carried out for the local sockets or program after the effects; with
    /// a node, the answer goes there.
    pub fn handle_message(
        &mut self,
        sender: Sender,
        message: Message,
        now: Instant,
    ) -> Option<(Message, Option<NodeId>)> {
        if let Sender::Node(node) = &sender {
            if *node == self.me {
                return None;
            }
            if matches!(message, Message::Close) {
                self.handle_departure(node);
                return None;
            }
            if matches!(message, Message::InitialHeartbeat) {
                // It was made anew under the same name, such as for a namespace that comes and goes.
                self.closed.retain(|closed| closed != node);
            }
            self.note_alive(node, now);
        }
        match message {
            Message::Heartbeat | Message::Close => {}
            Message::InitialHeartbeat => {
                if let Sender::Node(node) = sender {
                    self.effects.push_back(Effect::Publish(Message::Heartbeat, Destination::Node(node)));
                }
            }
            Message::FetchSocketsResponse { request, sockets } => {
                self.update(&request, |pending| pending.handle_sockets(&sender, sockets));
            }
            Message::ServerSideEmitResponse { request, args } => {
                self.update(&request, |pending| pending.handle_program(&sender, args));
            }
            Message::ClientCount { request, clients } => {
                let has_left = matches!(&sender, Sender::Node(node) if self.closed.contains(node));
                self.update(&request, |pending| pending.handle_count(&sender, clients, has_left));
            }
            Message::Acknowledgement { request, args } => {
                self.update(&request, |pending| pending.handle_ack(&sender, args));
            }
            _ => match (message.request().is_some(), sender) {
                (false, _) => return Some((message, None)),
                (true, Sender::Node(node)) => return Some((message, Some(node))),
                (true, Sender::Unnamed) => self.effects.push_back(Effect::Garbage("a question of nobody")),
            },
        }
        None
    }

    /// Time has passed: ends the questions that are due, finds out who is silent, and tells that this node is alive.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((_, request)) = self.deadlines.first().filter(|(deadline, _)| *deadline <= now).cloned() {
            self.complete(&request);
        }
        let (Some(interval), Some(due)) = (self.options.heartbeat_interval, self.next_heartbeat) else { return };
        if due <= now {
            self.next_heartbeat = Some(now + interval);
            self.effects.push_back(Effect::Publish(Message::Heartbeat, Destination::All));
        }
        let timeout = self.options.heartbeat_timeout;
        let silent: Vec<_> =
            self.nodes.iter().filter(|(_, seen)| **seen + timeout <= now).map(|(node, _)| node.clone()).collect();
        for node in silent {
            self.remove(&node, true);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let silence = self.nodes.values().min().map(|seen| *seen + self.options.heartbeat_timeout);
        let deadline = self.deadlines.first().map(|(deadline, _)| *deadline);
        [self.next_heartbeat, silence.filter(|_| self.next_heartbeat.is_some()), deadline].into_iter().flatten().min()
    }

    /// The next effect.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    fn note_alive(&mut self, node: &NodeId, now: Instant) {
        if self.options.heartbeat_interval.is_none() {
            return;
        }
        let count = self.nodes.len();
        match self.nodes.get_mut(node) {
            Some(seen) => *seen = now,
            None if self.closed.contains(node) => {}
            None if count >= self.options.max_nodes => self.effects.push_back(Effect::Garbage("too many nodes")),
            None => {
                self.nodes.insert(node.clone(), now);
                self.effects.push_back(Effect::Joined(node.clone()));
            }
        }
    }

    fn handle_departure(&mut self, node: &NodeId) {
        if self.closed.len() >= MAX_CLOSED {
            self.closed.pop_front();
        }
        self.closed.push_back(node.clone());
        self.remove(node, false);
    }

    fn remove(&mut self, node: &NodeId, is_lost: bool) {
        if self.nodes.remove(node).is_some() {
            self.effects.push_back(Effect::Left { node: node.clone(), is_lost });
        }
        let mut ended = Vec::new();
        for (request, pending) in &mut self.pending {
            pending.handle_leave(node);
            if pending.is_complete() {
                ended.push(request.clone());
            }
        }
        for request in ended {
            self.complete(&request);
        }
    }

    /// Takes an answer in. One to a question that has ended is late, which is nobody's fault.
    fn update(&mut self, request: &RequestId, take: impl FnOnce(&mut Pending) -> bool) {
        let Some(pending) = self.pending.get_mut(request) else { return };
        if take(pending) {
            self.complete_if_all_came(request);
        } else {
            self.effects.push_back(Effect::Garbage("an answer that was not asked for"));
        }
    }

    fn update_local(&mut self, request: &RequestId, change: impl FnOnce(&mut pending::Clients)) {
        if let Some(local) = self.pending.get_mut(request).and_then(Pending::local) {
            change(local);
            self.complete_if_all_came(request);
        }
    }

    fn complete_if_all_came(&mut self, request: &RequestId) {
        if self.pending.get(request).is_some_and(Pending::is_complete) {
            self.complete(request);
        }
    }

    fn complete(&mut self, request: &RequestId) {
        if let Some(pending) = self.pending.remove(request) {
            self.deadlines.remove(&(pending.deadline, request.clone()));
            self.effects.push_back(Effect::Complete(request.clone(), pending.into_outcome()));
        }
    }
}

/// How many nodes that have gone are remembered.
const MAX_CLOSED: usize = 64;
