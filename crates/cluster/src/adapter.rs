//! The adapter of a namespace that is served by several nodes.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use sockeye::adapter::{
    Adapter, AdapterError, AdapterFuture, Answers, Attachment, Local, RecoveredSession, RemoteSocketData, Room,
    SavedSession, ServerSideAnswers, SessionRecovery,
};
use sockeye::{BroadcastAckError, JoinError, Socket, Target};
use sockeye_protocol::socket::{Args, Packet};
use tokio::time::Instant;

use super::bus::Bus;
use super::confirmations::{self, Confirmations};
use super::core::{Core, Inbound, State, drive};
use super::interest;
use super::machine::{Machine, MachineOptions, Outcome, Question};
use super::message::{Destination, Message, NodeId};
use super::metrics::ClusterMetrics;
use super::recent_joins::RecentJoins;
use super::recovery::Recovery;
use super::supervise::supervise_until_done;

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

impl fmt::Debug for ClusterAdapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterAdapter").field("bus", &self.0.bus).finish_non_exhaustive()
    }
}

impl ClusterAdapter {
    /// The adapter of the namespace that `local` belongs to, over the bus of that namespace.
    pub fn new(local: Arc<Local>, bus: impl Bus, options: ClusterOptions) -> Self {
        Self::with_recovery(local, bus, options, None)
    }

    /// The same, and clients are recovered on whichever node they come back to.
    pub fn with_recovery(
        local: Arc<Local>,
        bus: impl Bus,
        options: ClusterOptions,
        recovery: Option<Arc<Recovery>>,
    ) -> Self {
        let bus: Arc<dyn Bus> = Arc::new(bus);
        let machine = MachineOptions {
            heartbeat_interval: (!bus.counts_nodes()).then_some(options.heartbeat_interval),
            heartbeat_timeout: options.heartbeat_timeout,
            max_requests: options.max_requests,
            max_nodes: options.max_nodes,
        };
        let machine = Machine::new(bus.node().clone(), machine, rand::random());
        let confirmations = bus.routes_by_interest().then(|| {
            let confirmations = Confirmations::new(local.namespace(), options.metrics.clone());
            interest::follow(&local, bus.clone(), confirmations.clone());
            confirmations
        });
        Self(Arc::new(Core {
            namespace: local.namespace(),
            local,
            options,
            served: AtomicUsize::new(0),
            confirmations,
            recent_joins: bus.routes_by_interest().then(RecentJoins::default),
            bus,
            recovery,
            state: Mutex::new(State { machine, waiters: HashMap::new() }),
            is_closed: AtomicBool::new(false),
            closed: Arc::default(),
        }))
    }

    /// The other nodes that are known to be alive; none if the bus only counts them.
    pub fn nodes(&self) -> Vec<NodeId> {
        self.0.state.lock().machine.nodes().cloned().collect()
    }

    /// The session of a socket has changed.
    fn note_session(&self, socket: &Socket) {
        if let Some(recovery) = self.0.recovery() {
            recovery.note(&self.0.local, socket);
        }
    }

    /// Sends an event that is not kept: to the other nodes as ever, and to the own sockets behind what waits for the log.
    fn broadcast_unkept(&self, recovery: &Recovery, packet: Packet, target: &Target) {
        if !target.flags.local && recovery.is_open() {
            let message = Message::Broadcast { packet: packet.clone(), target: target.clone(), request: None };
            self.0.publish(message, &Destination::All);
        }
        recovery.deliver_unkept(packet, target);
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
            self.0.note_nodes();
            if !self.0.bus.counts_nodes() {
                let (core, metrics) = (Arc::downgrade(&self.0), self.0.options.metrics.clone());
                let _detached = tokio::spawn(async move {
                    supervise_until_done("heartbeats", &metrics, |_| {}, || drive(core.clone())).await;
                });
            }
            if let Some(confirmations) = &self.0.confirmations {
                let (confirmations, metrics) = (Arc::downgrade(confirmations), self.0.options.metrics.clone());
                let _detached = tokio::spawn(async move {
                    let run = || confirmations::run(confirmations.clone());
                    supervise_until_done("confirmations", &metrics, |_| {}, run).await;
                });
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
            if let Some(confirmations) = &self.0.confirmations {
                confirmations.close();
            }
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
        self.0.local.add(socket, rooms)?;
        self.note_session(socket);
        Ok(())
    }

    fn remove(&self, socket: &Socket, rooms: &[Room]) {
        self.0.local.remove(socket, rooms);
        self.note_session(socket);
    }

    fn remove_all(&self, socket: &Socket) {
        self.0.local.remove_all(socket);
        if let Some(recovery) = self.0.recovery() {
            recovery.forget(&self.0.local, socket);
        }
    }

    fn broadcast(&self, packet: Packet, target: &Target) {
        if let Some(recovery) = self.0.recovery() {
            let is_kept = packet.id.is_none() && !target.flags.volatile && !target.flags.local;
            return match is_kept && recovery.is_open() {
                true => recovery.emit(packet, target),
                false => self.broadcast_unkept(recovery, packet, target),
            };
        }
        if !target.flags.local {
            let message = Message::Broadcast { packet: packet.clone(), target: target.clone(), request: None };
            let joins = self.0.recent_joins.as_ref();
            let is_recent = message.room().zip(joins).is_some_and(|(room, joins)| joins.has(room));
            self.0.publish(message, if is_recent { &Destination::AllNodes } else { &Destination::All });
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
            if let Some(recovery) = self.0.recovery() {
                recovery.drained().await;
            }
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
        if let Some(joins) = self.0.recent_joins.as_ref().filter(|_| !target.flags.local) {
            joins.note(rooms);
        }
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

    fn recovery(&self) -> Option<&dyn SessionRecovery> {
        self.0.recovery.is_some().then_some(self)
    }
}

impl SessionRecovery for ClusterAdapter {
    fn attach(&self, session: Option<&RecoveredSession>, enter: &mut dyn FnMut(Attachment)) {
        match self.0.recovery() {
            None => enter(Attachment::default()),
            Some(recovery) => recovery.attach(session, enter),
        }
    }

    fn session_began(&self, socket: &Socket) {
        if let Some(recovery) = self.0.recovery() {
            recovery.enter(&self.0.local, socket);
        }
    }

    fn session_changed(&self, socket: &Socket) {
        self.note_session(socket);
    }

    fn flush_pending(&self, socket: &Socket) {
        if let Some(recovery) = self.0.recovery() {
            recovery.flush_pending_for(socket);
        }
    }

    fn drained(&self) -> Option<AdapterFuture<'_, ()>> {
        let recovery = self.0.recovery().filter(|recovery| !recovery.is_drained())?;
        Some(Box::pin(recovery.drained()))
    }

    fn persist_session(&self, session: SavedSession) {
        if let Some(recovery) = self.0.recovery() {
            recovery.persist(session);
        }
    }

    fn restore_session(&self, private_id: &str, offset: Option<&str>) -> AdapterFuture<'_, Option<RecoveredSession>> {
        let (private_id, offset) = (private_id.to_owned(), offset.map(str::to_owned));
        Box::pin(async move {
            let publish = |message| {
                self.0.publish(message, &Destination::All);
            };
            self.0.recovery()?.restore(&private_id, offset.as_deref(), publish).await
        })
    }
}
