//! What the namespaces of one server and the tasks that serve them share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{Client, RedisError};
use sockeye::cluster::NodeId;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;

use crate::dispatcher::{self, Incoming};
use crate::metrics::RedisMetrics;
use crate::options::{Mode, RedisOptions};
use crate::queue::Queue;
use crate::table::Table;
use crate::wire::{self, Outgoing};
use crate::{publisher, reader, recovery, subscriber};

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
    pub(crate) recovery: recovery::Shared,
    /// How many connections work.
    working: AtomicUsize,
    /// Is notified when a connection works, or hears channels.
    pub(crate) progress: Notify,
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
            recovery: recovery::Shared::new(wire::streams(&options.stream).len()),
            outgoing: Queue::new(options.max_outgoing_bytes),
            incoming: Queue::new(options.max_incoming_bytes),
            options,
            client,
            node,
            table: Table::default(),
            metrics: RedisMetrics::default(),
            commands: Mutex::default(),
            working: AtomicUsize::new(0),
            progress: Notify::new(),
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
            if self.link.recovery.is_used() {
                running.tasks.spawn(recovery::run(self.link.clone()));
            }
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
    /// Enters a command into the queue to Redis; false if there is no room.
    pub(crate) fn send(&self, outgoing: Outgoing) -> bool {
        self.outgoing.push(Sending::Message(outgoing.command), outgoing.bytes).is_ok()
    }

    /// Counts a message to other nodes.
    pub(crate) fn note_published(&self, is_sent: bool) {
        let metrics = &self.options.cluster.metrics;
        if is_sent { metrics.published.increment() } else { metrics.publish_errors.increment() }
    }

    /// A connection works, for as long as what is given back lives.
    pub(crate) fn working(&self) -> Working<'_> {
        self.working.fetch_add(1, Ordering::AcqRel);
        self.progress.notify_waiters();
        Working(self)
    }

    /// Whether all connections work.
    pub(crate) fn is_connected(&self) -> bool {
        let needed = if self.options.mode == Mode::Streams { 3 } else { 2 };
        self.working.load(Ordering::Acquire) >= needed
    }

    /// Waits until something is so that connections bring about.
    pub(crate) async fn wait_until(&self, is_so: impl Fn() -> bool) {
        loop {
            let progress = self.progress.notified();
            if is_so() {
                return;
            }
            progress.await;
        }
    }

    /// Counts the end of a connection, or that there is none.
    pub(crate) fn note_lost(&self, what: &'static str, error: &RedisError) {
        self.metrics.disconnects.increment();
        tracing::warn!(what, %error, "no connection to Redis");
    }
}

/// A connection that works.
pub(crate) struct Working<'a>(&'a Link);

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.working.fetch_sub(1, Ordering::AcqRel);
    }
}
