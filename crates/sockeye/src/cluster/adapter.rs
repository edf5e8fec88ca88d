//! The adapter of a namespace that is served by several nodes.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use smallvec::SmallVec;
use sockeye_protocol::socket::{Args, Packet};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::bus::{Bus, Receiver};
use super::interest;
use super::machine::{Effect, Machine, MachineOptions, Outcome, Question, UNKNOWN};
use super::message::{Destination, Message, NodeId, RequestId, Sender};
use super::metrics::ClusterMetrics;
use crate::adapter::{
    AckListener, Adapter, AdapterError, AdapterFuture, Answers, Local, RemoteSocketData, Room, ServerSideAnswers,
};
use crate::emit::Target;
use crate::error::{BroadcastAckError, JoinError};
use crate::socket::Socket;

/// Options of a [`ClusterAdapter`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClusterOptions {
    /// Time from one heartbeat to the next, where the bus does not count the nodes. Default: 5 s.
    pub heartbeat_interval: Duration,
    /// After which silence a node counts as gone. Default: 10 s.
    pub heartbeat_timeout: Duration,
    /// How long the other nodes may take to answer a question that has no time of its own. Default: 5 s.
    pub request_timeout: Duration,
    /// How many questions of this node may be open at once in a namespace, and how many of other nodes it works at. Default:
    /// 10,000.
    pub max_requests: usize,
    /// How many other nodes there may be. Default: 1,024.
    pub max_nodes: usize,
    /// The counters; a clone of the options shares them.
    pub metrics: Arc<ClusterMetrics>,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        let MachineOptions { heartbeat_timeout, max_requests, max_nodes, .. } = MachineOptions::default();
        Self {
            heartbeat_interval: Duration::from_secs(5),
            heartbeat_timeout,
            request_timeout: Duration::from_secs(5),
            max_requests,
            max_nodes,
            metrics: Arc::default(),
        }
    }
}

/// Serves a namespace together with other nodes, over a [`Bus`].
///
/// A node that does not answer takes nothing from what the others say: it is named as missing. One that leaves ends what it owes
/// at once; one that dies ends it with the question's time.
pub struct ClusterAdapter(Arc<Core>);

/// What the adapter, its driver and the bus share.
pub(super) struct Core {
    pub(super) namespace: String,
    pub(super) local: Arc<Local>,
    pub(super) options: ClusterOptions,
    /// Questions of other nodes that are being worked at.
    pub(super) served: AtomicUsize,
    bus: Arc<dyn Bus>,
    state: Mutex<State>,
    is_closed: AtomicBool,
    closed: Arc<Notify>,
}

struct State {
    machine: Machine,
    waiters: HashMap<RequestId, oneshot::Sender<Outcome>>,
}

impl fmt::Debug for ClusterAdapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterAdapter").field("bus", &self.0.bus).finish_non_exhaustive()
    }
}

impl ClusterAdapter {
    /// The adapter of the namespace that `local` belongs to, over the bus of that namespace.
    pub fn new(local: Arc<Local>, bus: impl Bus, options: ClusterOptions) -> Self {
        let bus: Arc<dyn Bus> = Arc::new(bus);
        let machine = MachineOptions {
            heartbeat_interval: (!bus.counts_nodes()).then_some(options.heartbeat_interval),
            heartbeat_timeout: options.heartbeat_timeout,
            max_requests: options.max_requests,
            max_nodes: options.max_nodes,
        };
        let machine = Machine::new(bus.node().clone(), machine, rand::random());
        if bus.routes_by_interest() {
            interest::follow(&local, bus.clone());
        }
        Self(Arc::new(Core {
            namespace: local.namespace(),
            local,
            options,
            served: AtomicUsize::new(0),
            bus,
            state: Mutex::new(State { machine, waiters: HashMap::new() }),
            is_closed: AtomicBool::new(false),
            closed: Arc::default(),
        }))
    }

    /// The other nodes that are known to be alive; none if the bus only counts them.
    pub fn nodes(&self) -> Vec<NodeId> {
        self.0.state.lock().machine.nodes().cloned().collect()
    }

    /// How many questions of this node are open.
    pub fn open_requests(&self) -> usize {
        self.0.state.lock().machine.open_requests()
    }
}

impl Adapter for ClusterAdapter {
    fn init(&self) -> AdapterFuture<'_, Result<(), AdapterError>> {
        Box::pin(async {
            let receiver = Arc::new(Inbound(Arc::downgrade(&self.0)));
            self.0.bus.open(receiver).await.map_err(|error| AdapterError::Unreachable(error.to_string()))?;
            self.0.with_machine(|machine| machine.handle_open(Instant::now().into_std()));
            if !self.0.bus.counts_nodes() {
                let _detached = tokio::spawn(drive(Arc::downgrade(&self.0)));
            }
            Ok(())
        })
    }

    fn close(&self) -> AdapterFuture<'_, ()> {
        Box::pin(async {
            if self.0.is_closed.swap(true, Ordering::AcqRel) {
                return;
            }
            self.0.with_machine(Machine::handle_close);
            self.0.closed.notify_one();
            self.0.bus.close().await;
        })
    }

    fn server_count(&self) -> AdapterFuture<'_, Result<usize, AdapterError>> {
        Box::pin(async {
            let others = self.0.count_others().await?;
            Ok(1 + others.unwrap_or_else(|| self.0.state.lock().machine.nodes().count()))
        })
    }

    fn add(&self, socket: &Socket, rooms: &[Room]) -> Result<(), JoinError> {
        self.0.local.add(socket, rooms)
    }

    fn remove(&self, socket: &Socket, rooms: &[Room]) {
        self.0.local.remove(socket, rooms);
    }

    fn remove_all(&self, socket: &Socket) {
        self.0.local.remove_all(socket);
    }

    fn broadcast(&self, packet: Packet, target: &Target) {
        if !target.flags.local {
            let message = Message::Broadcast { packet: packet.clone(), target: target.clone(), request: None };
            self.0.publish(message, &Destination::All);
        }
        self.0.local.broadcast(&packet, target);
    }

    fn broadcast_with_ack(
        &self,
        packet: Packet,
        target: Target,
        timeout: Duration,
    ) -> AdapterFuture<'_, Result<Vec<Args>, BroadcastAckError>> {
        Box::pin(async move {
            match target.flags.local {
                true => self.0.local.broadcast_with_ack(packet, &target, timeout).await,
                false => self.0.ask_clients(packet, target, timeout).await,
            }
        })
    }

    fn fetch_sockets(&self, target: Target) -> AdapterFuture<'_, Result<Answers<RemoteSocketData>, AdapterError>> {
        Box::pin(async move {
            let mut found = Answers::complete(self.0.local.fetch_sockets(&target));
            if target.flags.local {
                return Ok(found);
            }
            let timeout = target.flags.timeout.unwrap_or(self.0.options.request_timeout);
            let message = |request| Message::FetchSockets { target, request };
            if let Outcome::Sockets(others) = self.0.ask(Question::Sockets, timeout, message).await? {
                found.answers.extend(others.answers);
                found.missing = others.missing;
            }
            Ok(found)
        })
    }

    fn add_sockets(&self, target: &Target, rooms: &[Room]) {
        self.0.tell(target, || Message::JoinSockets { target: target.clone(), rooms: rooms.to_vec() });
        self.0.local.add_sockets(target, rooms);
    }

    fn del_sockets(&self, target: &Target, rooms: &[Room]) {
        self.0.tell(target, || Message::LeaveSockets { target: target.clone(), rooms: rooms.to_vec() });
        self.0.local.del_sockets(target, rooms);
    }

    fn disconnect_sockets(&self, target: &Target, close: bool) {
        self.0.tell(target, || Message::DisconnectSockets { target: target.clone(), close });
        self.0.local.disconnect_sockets(target, close);
    }

    fn server_side_emit(&self, event: &str, args: Args) {
        let message = Message::ServerSideEmit { event: event.to_owned(), args, request: None };
        self.0.publish(message, &Destination::All);
    }

    fn server_side_emit_with_ack(
        &self,
        event: &str,
        args: Args,
        timeout: Duration,
    ) -> AdapterFuture<'_, ServerSideAnswers> {
        let event = event.to_owned();
        Box::pin(async move {
            let message = |request| Message::ServerSideEmit { event, args, request: Some(request) };
            match self.0.ask(Question::Programs, timeout, message).await? {
                Outcome::Programs(answers) => Ok(answers),
                _ => Ok(Answers::default()),
            }
        })
    }
}

impl Core {
    /// Sends a message; a failure is counted.
    pub(super) fn publish(&self, message: Message, to: &Destination) -> bool {
        match self.bus.publish(message, to) {
            Ok(()) => {
                self.options.metrics.published.increment();
                true
            }
            Err(error) => {
                self.options.metrics.publish_failed(&self.namespace, &error);
                false
            }
        }
    }

    /// Sends what the other nodes shall do, unless it is for this node only.
    fn tell(&self, target: &Target, message: impl FnOnce() -> Message) {
        if !target.flags.local {
            self.publish(message(), &Destination::All);
        }
    }

    /// Lets `change` change the machine, then does what it says.
    pub(super) fn with_machine<T>(self: &Arc<Self>, change: impl FnOnce(&mut Machine) -> T) -> T {
        let mut effects = SmallVec::<[Effect; 1]>::new();
        let mut state = self.state.lock();
        let result = change(&mut state.machine);
        state.take_effects(&mut effects);
        drop(state);
        self.perform(effects);
        result
    }

    fn perform(self: &Arc<Self>, effects: SmallVec<[Effect; 1]>) {
        let metrics = &self.options.metrics;
        for effect in effects {
            match effect {
                Effect::Publish(message, to) => drop(self.publish(message, &to)),
                Effect::Apply(message, reply_to) => self.apply(message, reply_to),
                Effect::Joined(node) => tracing::info!(namespace = self.namespace, %node, "a node has come"),
                Effect::Left(node, true) => metrics.node_lost(&self.namespace, &node),
                Effect::Left(node, false) => tracing::info!(namespace = self.namespace, %node, "a node has gone"),
                Effect::Garbage(reason) => metrics.garbage_received(&self.namespace, &reason),
                // The waiter got it under the lock.
                Effect::Complete(..) => {}
            }
        }
    }

    /// How many other nodes there are, if the bus counts them.
    async fn count_others(&self) -> Result<Option<usize>, AdapterError> {
        if !self.bus.counts_nodes() {
            return Ok(None);
        }
        let count = self.bus.count_nodes().await.map_err(|error| AdapterError::Unreachable(error.to_string()))?;
        Ok(Some(count.saturating_sub(1)))
    }

    /// Opens a question.
    fn open(
        self: &Arc<Self>,
        question: Question,
        others: Option<usize>,
        timeout: Duration,
    ) -> Result<Open, AdapterError> {
        let deadline = Instant::now() + timeout;
        let (sender, receiver) = oneshot::channel();
        let mut state = self.state.lock();
        let request = state.machine.start(question, others, deadline.into_std()).map_err(|refusal| {
            self.options.metrics.request_refused(&self.namespace);
            AdapterError::Busy(refusal.to_string())
        })?;
        state.waiters.insert(request.clone(), sender);
        // It may be answered already, if there is nobody to ask.
        let mut effects = SmallVec::new();
        state.take_effects(&mut effects);
        drop(state);
        self.perform(effects);
        Ok(Open { core: self.clone(), request, deadline, receiver })
    }

    /// Asks the other nodes, and waits for what comes in time.
    async fn ask(
        self: &Arc<Self>,
        question: Question,
        timeout: Duration,
        message: impl FnOnce(RequestId) -> Message,
    ) -> Result<Outcome, AdapterError> {
        let others = self.count_others().await?;
        let open = self.open(question, others, timeout)?;
        if !self.publish(message(open.request.clone()), &Destination::All) {
            self.with_machine(|machine| machine.handle_unsent(&open.request));
        }
        open.outcome().await
    }

    /// Asks the target's clients, here and elsewhere, to acknowledge a packet.
    async fn ask_clients(
        self: &Arc<Self>,
        packet: Packet,
        mut target: Target,
        timeout: Duration,
    ) -> Result<Vec<Args>, BroadcastAckError> {
        // The other nodes are to wait as long.
        target.flags.timeout = Some(timeout);
        let others = self.count_others().await;
        let is_reached = others.is_ok();
        let Ok(open) = self.open(Question::Clients, others.unwrap_or(Some(1)), timeout) else {
            return self.ask_local_clients(packet, &target, timeout).await;
        };
        let request = open.request.clone();
        let message =
            Message::Broadcast { packet: packet.clone(), target: target.clone(), request: Some(request.clone()) };
        if !self.publish(message, &Destination::All) || !is_reached {
            self.with_machine(|machine| machine.handle_unsent(&request));
        }
        let listener: Arc<dyn AckListener> = Arc::new(LocalClients { core: Arc::downgrade(self), request });
        let _open = self.local.start_broadcast_with_ack(packet, &target, &listener);
        match open.outcome().await {
            Ok(Outcome::Clients(result)) => result,
            _ => Err(BroadcastAckError::new(Vec::new(), 0, Vec::new())),
        }
    }

    /// Asks this node's clients only, as there are too many questions: the other nodes are missing.
    async fn ask_local_clients(
        &self,
        packet: Packet,
        target: &Target,
        timeout: Duration,
    ) -> Result<Vec<Args>, BroadcastAckError> {
        let mut missing: Vec<_> = self.state.lock().machine.nodes().map(|node| node.to_string()).collect();
        if self.bus.counts_nodes() {
            missing.push(UNKNOWN.to_owned());
        }
        let result = self.local.broadcast_with_ack(packet, target, timeout).await;
        match result {
            Ok(responses) if missing.is_empty() => Ok(responses),
            Ok(responses) => {
                let expected = responses.len();
                Err(BroadcastAckError::new(responses, expected, missing))
            }
            Err(error) => Err(BroadcastAckError { missing, ..error }),
        }
    }
}

impl State {
    /// Takes the machine's effects; who waits for an answer gets it.
    fn take_effects(&mut self, effects: &mut SmallVec<[Effect; 1]>) {
        while let Some(effect) = self.machine.poll_effect() {
            match effect {
                Effect::Complete(request, outcome) => {
                    if let Some(waiter) = self.waiters.remove(&request) {
                        // Who asked may have given up.
                        drop(waiter.send(outcome));
                    }
                }
                effect => effects.push(effect),
            }
        }
    }
}

/// A question that is open, for as long as this lives.
struct Open {
    core: Arc<Core>,
    request: RequestId,
    deadline: Instant,
    receiver: oneshot::Receiver<Outcome>,
}

impl Open {
    /// Waits until it ends.
    async fn outcome(mut self) -> Result<Outcome, AdapterError> {
        let gone = || AdapterError::Unreachable("the question was given up".to_owned());
        let outcome = match tokio::time::timeout_at(self.deadline, &mut self.receiver).await {
            Ok(outcome) => outcome.map_err(|_| gone())?,
            Err(_) => {
                self.core.with_machine(|machine| machine.handle_timeout(Instant::now().into_std()));
                self.receiver.try_recv().map_err(|_| gone())?
            }
        };
        if !outcome.missing().is_empty() {
            self.core.options.metrics.request_incomplete(&self.core.namespace, outcome.missing());
        }
        Ok(outcome)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut state = self.core.state.lock();
        state.machine.cancel(&self.request);
        state.waiters.remove(&self.request);
    }
}

/// Tells the machine what this node's clients acknowledge.
struct LocalClients {
    core: Weak<Core>,
    request: RequestId,
}

impl LocalClients {
    fn update(&self, change: impl FnOnce(&mut Machine, &RequestId)) {
        if let Some(core) = self.core.upgrade() {
            core.with_machine(|machine| change(machine, &self.request));
        }
    }
}

impl AckListener for LocalClients {
    fn handle_count(&self, clients: usize) {
        self.update(|machine, request| machine.handle_local_count(request, clients));
    }

    fn handle_ack(&self, args: Args) {
        self.update(|machine, request| machine.handle_local_ack(request, args));
    }

    fn handle_loss(&self) {
        self.update(Machine::handle_local_loss);
    }
}

/// What the bus brings.
struct Inbound(Weak<Core>);

impl Receiver for Inbound {
    fn handle_message(&self, sender: Sender, message: Message) {
        let Some(core) = self.0.upgrade() else { return };
        core.options.metrics.received.increment();
        core.with_machine(|machine| machine.handle_message(sender, message, Instant::now().into_std()));
    }

    fn handle_garbage(&self, reason: &dyn fmt::Display) {
        if let Some(core) = self.0.upgrade() {
            core.options.metrics.garbage_received(&core.namespace, reason);
        }
    }
}

/// Sends heartbeats and finds out who is silent, until the adapter is closed. Questions keep their deadlines themselves.
async fn drive(core: Weak<Core>) {
    loop {
        let Some(strong) = core.upgrade().filter(|core| !core.is_closed.load(Ordering::Acquire)) else { return };
        strong.with_machine(|machine| machine.handle_timeout(Instant::now().into_std()));
        let Some(next) = strong.state.lock().machine.poll_timeout() else { return };
        // A namespace that is let go of does not stay for its driver.
        let closed = strong.closed.clone();
        drop(strong);
        tokio::select! {
            () = tokio::time::sleep_until(next.into()) => {}
            () = closed.notified() => return,
        }
    }
}
