//! What the namespaces of one server and the tasks that serve them share.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock, Weak};

use async_nats::connection::State;
use async_nats::{Client, Subject};
use bytes::Bytes;
use bytestring::ByteString;
use parking_lot::{Mutex, RwLock};
use sockeye::adapter::Local;
use sockeye::peers::NodeTag;
use sockeye_cluster::link::{self, Health, Overflow, Presence, Queue, Unhealthy};
use sockeye_cluster::recovery::{Position, Recovery};
use sockeye_cluster::{BusError, ClusterMetrics, NodeId, Receiver};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::jetstream::{self, Kept};
use crate::metrics::NatsMetrics;
use crate::options::NatsOptions;
use crate::role::Role;
use crate::server::Server;
use crate::subject::Subjects;

/// What is shared with the tasks.
pub(crate) struct Link {
    pub(crate) options: NatsOptions,
    pub(crate) server: Server,
    pub(crate) node: NodeId,
    /// The connection, once there has been one. It connects again by itself.
    pub(crate) client: watch::Sender<Option<Client>>,
    pub(crate) outgoing: Queue<Outgoing>,
    pub(crate) incoming: Queue<Incoming>,
    /// By the token of the namespace.
    pub(crate) inboxes: RwLock<HashMap<String, Arc<Inbox>>>,
    pub(crate) metrics: NatsMetrics,
    pub(crate) health: Health<Role>,
    /// That the server refuses a subscription. It is none until another connection is made.
    pub(crate) refusal: Mutex<Option<String>>,
    pub(crate) announced: Mutex<Option<Announced>>,
    pub(crate) jetstream: jetstream::Shared,
    pub(crate) overflow: Overflow,
    pub(crate) presence: Presence,
}

/// That this node answers for its address.
pub(crate) struct Announced {
    pub(crate) node: NodeTag,
    pub(crate) address: Arc<str>,
    pub(crate) task: AbortHandle,
}

/// A message to NATS.
pub(crate) struct Outgoing {
    pub(crate) subject: Subject,
    pub(crate) payload: Bytes,
    pub(crate) is_volatile: bool,
    /// In what JetStream keeps it, if it does.
    pub(crate) kept: Option<Kept>,
}

impl Outgoing {
    /// One that JetStream keeps.
    pub(crate) fn kept(kept: Kept, subject: Subject, payload: Bytes) -> Self {
        Self { subject, payload, is_volatile: false, kept: Some(kept) }
    }
}

/// A message from NATS: the token of the room that it is for, of this length, and the payload behind it; or an entry of the stream.
pub(crate) struct Incoming {
    /// None if the namespace is not here.
    pub(crate) inbox: Option<Arc<Inbox>>,
    pub(crate) position: Option<Position>,
    pub(crate) room: usize,
    pub(crate) data: Bytes,
}

impl Incoming {
    /// An entry of the stream.
    pub(crate) fn entry(inbox: Option<Arc<Inbox>>, position: Position, payload: &[u8]) -> Self {
        Self { inbox, position: Some(position), room: 0, data: Bytes::copy_from_slice(payload) }
    }
}

/// A namespace, as what receives messages.
pub(crate) struct Inbox {
    pub(crate) namespace: ByteString,
    pub(crate) subjects: Subjects,
    /// Its sockets.
    pub(crate) local: Weak<Local>,
    /// None until the bus is opened.
    pub(crate) receiver: OnceLock<Arc<dyn Receiver>>,
    /// Its events and sessions, where these can be recovered.
    pub(crate) recovery: Option<Arc<Recovery>>,
    /// Whether the server has been told of the subscription.
    pub(crate) is_subscribed: AtomicBool,
}

/// The link of one server, and its tasks: they run while a namespace is open.
pub(crate) type Hub = link::Hub<Link>;

impl link::Link for Link {
    type Role = Role;

    fn health(&self) -> &Health<Role> {
        &self.health
    }

    fn cluster_metrics(&self) -> &ClusterMetrics {
        &self.options.cluster.metrics
    }
}

impl Link {
    pub(crate) fn new(options: NatsOptions, server: Server, node: NodeId) -> Arc<Self> {
        let presence = Presence::new(&node, options.settings());
        Arc::new(Self {
            client: watch::Sender::new(None),
            outgoing: Queue::new(options.max_outgoing_bytes),
            incoming: Queue::new(options.max_incoming_bytes),
            options,
            server,
            node,
            inboxes: RwLock::default(),
            metrics: NatsMetrics::default(),
            health: Health::new("NATS"),
            refusal: Mutex::default(),
            announced: Mutex::default(),
            jetstream: jetstream::Shared::default(),
            overflow: Overflow::new("NATS"),
            presence,
        })
    }

    /// Enters a message into the queue to NATS.
    ///
    /// # Errors
    ///
    /// There is no room, or it is larger than what JetStream keeps; it is dropped.
    pub(crate) fn send(&self, outgoing: Outgoing) -> Result<(), BusError> {
        let max = self.client.borrow().as_ref().map_or(usize::MAX, Client::max_payload);
        if outgoing.kept.is_some() && outgoing.payload.len() > max {
            let text = format!(
                "JetStream keeps messages of {max} bytes at most (max_payload), and it has {}",
                outgoing.payload.len()
            );
            tracing::warn!(error = text, "an event for other nodes was not sent");
            self.metrics.too_large.increment();
            return Err(BusError::Unwritable(text));
        }
        let bytes = outgoing.payload.len() + outgoing.subject.len();
        self.outgoing.push(outgoing, bytes).map_err(|_| {
            self.metrics.dropped_outgoing.increment();
            self.overflow.note_dropped();
            BusError::Full
        })
    }

    /// The connection, whether it works or not: waits for the first.
    pub(crate) async fn client(&self) -> Client {
        let mut clients = self.client.subscribe();
        loop {
            if let Some(client) = clients.borrow_and_update().clone() {
                return client;
            }
            // The sender is here.
            let _changed = clients.changed().await;
        }
    }

    /// The connection, when it is there.
    pub(crate) async fn connected(&self) -> Client {
        let client = self.client().await;
        self.health.wait_until(|| client.connection_state() == State::Connected).await;
        client
    }

    /// Whether this node hears the others and reaches them, as far as the connection goes.
    ///
    /// # Errors
    ///
    /// What is wrong.
    pub(crate) fn check(&self) -> Result<(), Unhealthy> {
        let is_connected =
            self.client.borrow().as_ref().is_some_and(|client| client.connection_state() == State::Connected);
        if !is_connected && self.health.is_working(Role::Connecting) {
            // The library has not told of it yet.
            self.health.set_working(Role::Connecting, false);
        }
        let is_followed = usize::from(self.options.jetstream.is_some());
        self.health.check(&[(Role::Connecting, 1), (Role::Following, is_followed)])?;
        if let Some(refusal) = &*self.refusal.lock() {
            return Err(Unhealthy::refused("NATS", refusal.clone()));
        }
        match self.jetstream.refusals.lock().values().next() {
            Some((refusal, _)) => Err(Unhealthy::refused("JetStream", refusal.clone())),
            None => Ok(()),
        }
    }

    /// Something works again: if all does, the outage is over.
    pub(crate) fn note_restored(&self) {
        if self.check().is_ok() {
            self.health.end_outage();
        }
    }

    /// Counts the end of a connection, or that there is none.
    pub(crate) fn note_lost(&self, reason: String) {
        self.metrics.disconnects.increment();
        tracing::warn!(reason, "no connection to NATS");
        self.health.begin_outage();
        self.health.note_failure(Role::Connecting, reason);
        self.health.set_working(Role::Connecting, false);
    }
}
