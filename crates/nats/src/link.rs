//! What the namespaces of one server and the tasks that serve them share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, Subject};
use bytes::Bytes;
use bytestring::ByteString;
use parking_lot::{Mutex, RwLock};
use sockeye::adapter::Local;
use sockeye_cluster::link::Queue;
use sockeye_cluster::recovery::{Position, Recovery};
use sockeye_cluster::{BusError, NodeId, Receiver, supervise};
use thiserror::Error;
use tokio::sync::{Notify, watch};
use tokio::task::{AbortHandle, JoinSet};

use crate::connection::{self, Server};
use crate::directory::Announced;
use crate::jetstream::{self, Kept};
use crate::metrics::NatsMetrics;
use crate::options::NatsOptions;
use crate::subject::Subjects;
use crate::{dispatcher, publisher};

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
    pub(crate) health: Mutex<Health>,
    /// Tasks that have panicked and are about to be started again, and why.
    pub(crate) panicked: Mutex<HashMap<&'static str, String>>,
    pub(crate) announced: Mutex<Option<Announced>>,
    pub(crate) jetstream: jetstream::Shared,
    /// Is notified when the connection may work, or not any more.
    pub(crate) changed: Notify,
    /// Whether the queue to NATS was full since it was emptied last, and how many messages found it so.
    is_full: AtomicBool,
    unsent: AtomicU64,
}

/// What is known of the connection.
#[derive(Default)]
pub(crate) struct Health {
    /// Whether the last probe was answered.
    pub(crate) is_answered: bool,
    /// What the last answered one took.
    pub(crate) round_trip: Option<Duration>,
    /// What went wrong last.
    pub(crate) failure: Option<String>,
    /// That the server refuses a subscription. It is none until another connection is made.
    pub(crate) refusal: Option<String>,
}

/// Why a node cannot hear the others, or not reach them.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("no connection to NATS: {0}")]
pub struct Unhealthy(String);

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
pub(crate) struct Hub {
    pub(crate) link: Arc<Link>,
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    namespaces: usize,
    /// They end when it is dropped.
    tasks: JoinSet<()>,
}

impl Hub {
    pub(crate) fn new(options: NatsOptions, server: Server, node: NodeId) -> Self {
        let link = Link {
            client: watch::Sender::new(None),
            outgoing: Queue::new(options.max_outgoing_bytes),
            incoming: Queue::new(options.max_incoming_bytes),
            options,
            server,
            node,
            inboxes: RwLock::default(),
            metrics: NatsMetrics::default(),
            health: Mutex::default(),
            panicked: Mutex::default(),
            announced: Mutex::default(),
            jetstream: jetstream::Shared::default(),
            changed: Notify::new(),
            is_full: AtomicBool::new(false),
            unsent: AtomicU64::new(0),
        };
        Self { link: Arc::new(link), running: Mutex::default() }
    }

    /// A namespace opens: its messages are taken from now on, until the task that is given back is ended.
    pub(crate) fn enter(&self, inbox: &Arc<Inbox>) -> AbortHandle {
        let link = &self.link;
        let mut running = self.running.lock();
        running.namespaces += 1;
        if running.namespaces == 1 {
            running.start(link, "connection", connection::run);
            running.start(link, "probe", connection::probe);
            running.start(link, "publishing", publisher::run);
            running.start(link, "delivering", dispatcher::run);
            running.start(link, "listening for answers", dispatcher::take_answers);
            if let Some(options) = link.options.jetstream.clone() {
                running.start(link, "following the stream", move |link| jetstream::run(link, options.clone()));
                running.start(link, "recovery", |link| async move { link.jetstream.driver.run().await });
            }
        }
        link.inboxes.write().insert(inbox.subjects.namespace().to_owned(), inbox.clone());
        let inbox = inbox.clone();
        running.start(link, "listening", move |link| dispatcher::take_messages(link, inbox.clone()))
    }

    /// A namespace has closed.
    pub(crate) fn leave(&self, inbox: &Arc<Inbox>) {
        let mut inboxes = self.link.inboxes.write();
        if inboxes.get(inbox.subjects.namespace()).is_some_and(|entered| Arc::ptr_eq(entered, inbox)) {
            inboxes.remove(inbox.subjects.namespace());
        }
        drop(inboxes);
        let mut running = self.running.lock();
        running.namespaces = running.namespaces.saturating_sub(1);
        if running.namespaces == 0 {
            running.tasks = JoinSet::new();
            // The last handle: the library ends the connection.
            self.link.client.send_replace(None);
        }
    }

    /// Runs a task for as long as a namespace is open; a panic of it costs one question.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        self.running.lock().tasks.spawn(task)
    }
}

impl Running {
    /// Starts a task that is supervised: the node says so while it does not run.
    fn start<F>(
        &mut self,
        link: &Arc<Link>,
        name: &'static str,
        run: impl Fn(Arc<Link>) -> F + Send + Sync + 'static,
    ) -> AbortHandle
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let link = link.clone();
        self.tasks.spawn(async move {
            let panicked = |reason: &str| drop(link.panicked.lock().insert(name, reason.to_owned()));
            let start = || {
                link.panicked.lock().remove(name);
                run(link.clone())
            };
            supervise(name, &link.options.cluster.metrics, panicked, start).await;
        })
    }
}

impl Link {
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
            self.unsent.fetch_add(1, Ordering::Relaxed);
            if !self.is_full.swap(true, Ordering::Relaxed) {
                tracing::warn!("the queue to NATS is full (max_outgoing_bytes); messages to other nodes are dropped");
            }
            BusError::Full
        })
    }

    /// There is room in the queue to NATS again.
    pub(crate) fn note_room(&self) {
        if self.is_full.load(Ordering::Relaxed) && self.is_full.swap(false, Ordering::Relaxed) {
            let dropped = self.unsent.swap(0, Ordering::Relaxed);
            tracing::warn!(dropped, "the queue to NATS has room again");
        }
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
        loop {
            let changed = self.changed.notified();
            if client.connection_state() == State::Connected {
                return client;
            }
            // The library may leave an event out when there are many.
            let _later = tokio::time::timeout(EVENTS_MAY_BE_MISSED, changed).await;
        }
    }

    /// Whether the connection works.
    ///
    /// # Errors
    ///
    /// What is wrong.
    pub(crate) fn check(&self) -> Result<(), Unhealthy> {
        let is_connected =
            self.client.borrow().as_ref().is_some_and(|client| client.connection_state() == State::Connected);
        if let Some((name, reason)) = self.panicked.lock().iter().next() {
            return Err(Unhealthy(format!("{name}: panicked: {reason}")));
        }
        let health = self.health.lock();
        match &health.refusal {
            Some(refusal) => Err(Unhealthy(refusal.clone())),
            None if is_connected && health.is_answered => self.check_jetstream(),
            None => Err(Unhealthy(health.failure.clone().unwrap_or_else(|| "not yet".to_owned()))),
        }
    }

    fn check_jetstream(&self) -> Result<(), Unhealthy> {
        if let Some((refusal, _)) = self.jetstream.refusals.lock().values().next() {
            return Err(Unhealthy(format!("JetStream refuses: {refusal}")));
        }
        match self.options.jetstream.is_none() || self.jetstream.is_followed.load(Ordering::Acquire) {
            true => Ok(()),
            false => Err(Unhealthy("JetStream: the stream of events is not followed".to_owned())),
        }
    }

    /// Counts the end of a connection, or that there is none.
    pub(crate) fn note_lost(&self, reason: String) {
        self.metrics.disconnects.increment();
        tracing::warn!(reason, "no connection to NATS");
        let mut health = self.health.lock();
        health.is_answered = false;
        health.failure = Some(reason);
        drop(health);
        self.changed.notify_waiters();
    }

    /// Waits until something is so that the connection brings about.
    pub(crate) async fn wait_until(&self, is_so: impl Fn() -> bool) {
        loop {
            let changed = self.changed.notified();
            if is_so() {
                return;
            }
            let _later = tokio::time::timeout(EVENTS_MAY_BE_MISSED, changed).await;
        }
    }
}

/// How often the connection is looked at whose events may be left out.
const EVENTS_MAY_BE_MISSED: Duration = Duration::from_millis(100);
