//! What the namespaces of one server and the tasks that serve them share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{Client, RedisError};
use sockeye::cluster::NodeId;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::dispatcher::{self, Incoming};
use crate::health::{Health, Role};
use crate::metrics::RedisMetrics;
use crate::options::{Mode, RedisOptions};
use crate::probe::Probe;
use crate::queue::Queue;
use crate::table::Table;
use crate::wire::Outgoing;
use crate::{publisher, reader, subscriber};

/// What is shared with the tasks.
pub(crate) struct Link {
    pub(crate) options: RedisOptions,
    pub(crate) client: Client,
    pub(crate) node: NodeId,
    pub(crate) outgoing: Queue<Sending>,
    pub(crate) incoming: Queue<Incoming>,
    pub(crate) table: Table,
    pub(crate) metrics: RedisMetrics,
    /// The connection that publishes, while there is one.
    pub(crate) commands: Mutex<Option<MultiplexedConnection>>,
    pub(crate) health: Health,
    pub(crate) probe: Probe,
    /// Whether the queue to Redis was full since it was emptied last, and how many messages found it so.
    is_full: AtomicBool,
    unsent: AtomicU64,
}

/// What waits to be sent.
pub(crate) enum Sending {
    /// A message.
    Message(redis::Cmd),
    /// Tells when all before it has been sent.
    Mark(oneshot::Sender<()>),
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
    pub(crate) fn new(options: RedisOptions, client: Client, node: NodeId) -> Self {
        let link = Link {
            outgoing: Queue::new(options.max_outgoing_bytes),
            incoming: Queue::new(options.max_incoming_bytes),
            health: Health::new(options.mode),
            probe: Probe::new(&options.channel_prefix, &node),
            is_full: AtomicBool::new(false),
            unsent: AtomicU64::new(0),
            options,
            client,
            node,
            table: Table::default(),
            metrics: RedisMetrics::default(),
            commands: Mutex::default(),
        };
        Self { link: Arc::new(link), running: Mutex::default() }
    }

    /// A namespace opens.
    pub(crate) fn enter(&self) {
        let mut running = self.running.lock();
        running.namespaces += 1;
        if running.namespaces > 1 {
            return;
        }
        running.tasks.spawn(dispatcher::run(self.link.clone()));
        running.tasks.spawn(publisher::run(self.link.clone()));
        running.tasks.spawn(subscriber::run(self.link.clone()));
        if self.link.options.mode == Mode::Streams {
            running.tasks.spawn(reader::run(self.link.clone()));
        }
    }

    /// A namespace has closed.
    pub(crate) fn leave(&self) {
        let mut running = self.running.lock();
        running.namespaces = running.namespaces.saturating_sub(1);
        if running.namespaces == 0 {
            running.tasks = JoinSet::new();
            *self.link.commands.lock() = None;
        }
    }
}

impl Link {
    /// Enters a message into the queue to Redis; false if there is no room, and it is dropped.
    pub(crate) fn send(&self, outgoing: Outgoing) -> bool {
        let is_sent = self.outgoing.push(Sending::Message(outgoing.command), outgoing.bytes).is_ok();
        if !is_sent {
            self.metrics.dropped_outgoing.increment();
            self.unsent.fetch_add(1, Ordering::Relaxed);
            if !self.is_full.swap(true, Ordering::Relaxed) {
                tracing::warn!("the queue to Redis is full (max_outgoing_bytes); messages to other nodes are dropped");
            }
        }
        is_sent
    }

    /// There is room in the queue to Redis again.
    pub(crate) fn note_room(&self) {
        if self.is_full.load(Ordering::Relaxed) && self.is_full.swap(false, Ordering::Relaxed) {
            let dropped = self.unsent.swap(0, Ordering::Relaxed);
            tracing::warn!(dropped, "the queue to Redis has room again");
        }
    }

    /// Waits until something is so that connections bring about.
    pub(crate) async fn wait_until(&self, is_so: impl Fn() -> bool) {
        loop {
            let progress = self.health.progress.notified();
            if is_so() {
                return;
            }
            progress.await;
        }
    }

    /// Counts the end of a connection, or that there is none.
    pub(crate) fn note_lost(&self, role: Role, error: &RedisError) {
        self.metrics.disconnects.increment();
        self.health.lost(role, error);
        tracing::warn!(what = %role, %error, "no connection to Redis");
    }
}
