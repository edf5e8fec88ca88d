//! What the namespaces of one server and the tasks that serve them share.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use redis::RedisError;
use sockeye_cluster::link::Queue;
use sockeye_cluster::{NodeId, supervise};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::bus::dispatcher::{self, Incoming};
use crate::bus::refusals::Refusals;
use crate::bus::send_queues::SendQueues;
use crate::bus::subscribers::Replicas;
use crate::bus::table::Table;
use crate::bus::wire::{self, Outgoing};
use crate::bus::{publisher, subscriber};
use crate::connection::health::{Health, Role, Unhealthy, Working};
use crate::connection::map::{Address, Map};
use crate::connection::servers::Servers;
use crate::connection::watcher;
use crate::metrics::RedisMetrics;
use crate::options::{Mode, RedisOptions};
use crate::recovery::{self, reader};

/// What is shared with the tasks.
pub(crate) struct Link {
    pub(crate) options: RedisOptions,
    pub(crate) servers: Arc<Servers>,
    /// Who owns what, once that is known.
    pub(crate) map: Mutex<Option<Arc<Map>>>,
    /// Is notified when it may be another.
    pub(crate) map_stale: Notify,
    /// The server that failed last.
    pub(crate) suspect: Mutex<Option<Address>>,
    pub(crate) replicas: Arc<Replicas>,
    pub(crate) node: NodeId,
    pub(crate) outgoing: SendQueues,
    pub(crate) incoming: Queue<Incoming>,
    pub(crate) table: Table,
    pub(crate) metrics: RedisMetrics,
    pub(crate) recovery: recovery::Shared,
    pub(crate) health: Health,
    pub(crate) refusals: Refusals,
    /// Whether the queue to Redis was full since it was emptied last, and how many messages found it so.
    is_full: AtomicBool,
    unsent: AtomicU64,
    /// Changes when the server is found to be no master any more.
    pub(crate) demoted: watch::Sender<()>,
    /// How many nodes listened when all was well.
    pub(crate) listeners: AtomicUsize,
    /// Is notified when a connection works, or hears channels.
    pub(crate) progress: Notify,
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
    pub(crate) fn new(options: RedisOptions, servers: Servers, node: NodeId) -> Self {
        let link = Link {
            recovery: recovery::Shared::new(wire::streams(&options.stream).len()),
            map: Mutex::default(),
            map_stale: Notify::new(),
            suspect: Mutex::default(),
            replicas: Arc::default(),
            outgoing: SendQueues::new(options.max_outgoing_bytes, options.max_message_age.is_some()),
            incoming: Queue::new(options.max_incoming_bytes),
            table: Table::new(options.is_sharded()),
            options,
            servers: Arc::new(servers),
            node,
            metrics: RedisMetrics::default(),
            health: Health::default(),
            refusals: Refusals::default(),
            is_full: AtomicBool::new(false),
            unsent: AtomicU64::new(0),
            demoted: watch::Sender::new(()),
            listeners: AtomicUsize::new(0),
            progress: Notify::new(),
        };
        if let Some(map) = link.servers.fixed() {
            link.adopt(map);
        }
        Self { link: Arc::new(link), running: Mutex::default() }
    }

    /// A namespace opens.
    pub(crate) fn enter(&self) {
        let mut running = self.running.lock();
        running.namespaces += 1;
        if running.namespaces > 1 {
            return;
        }
        let tasks = &mut running.tasks;
        self.start(tasks, Role::Delivering, dispatcher::run);
        if self.link.servers.fixed().is_none() {
            self.start(tasks, Role::Asking, watcher::run);
        }
        self.start(tasks, Role::Publishing, publisher::run);
        self.start(tasks, Role::Subscribing, subscriber::run);
        if self.link.options.mode == Mode::Streams {
            self.start(tasks, Role::Reading, reader::run);
            if self.link.recovery.is_used() {
                self.start(tasks, Role::Recovering, |link| async move { link.recovery.driver.run().await });
            }
        }
    }

    /// Starts a task that is supervised.
    fn start<F: Future<Output = ()> + Send + 'static>(
        &self,
        tasks: &mut JoinSet<()>,
        role: Role,
        run: fn(Arc<Link>) -> F,
    ) {
        let link = self.link.clone();
        tasks.spawn(async move { link.supervise(role, || run(link.clone())).await });
    }

    /// A namespace has closed.
    pub(crate) fn leave(&self) {
        let mut running = self.running.lock();
        running.namespaces = running.namespaces.saturating_sub(1);
        if running.namespaces == 0 {
            running.tasks = JoinSet::new();
            // What nobody handles any more does not keep its namespace.
            drop(self.link.incoming.drain());
            self.link.outgoing.disconnect();
            self.link.replicas.lock().clear();
        }
    }
}

impl Link {
    /// A connection works, for as long as what is given back lives.
    pub(crate) fn working(&self, role: Role) -> Working<'_> {
        let working = self.health.works(role);
        self.progress.notify_waiters();
        self.recovery.driver.note_available();
        working
    }

    /// Runs a task of this role, and starts it again when it panics. Meanwhile [`check`](Self::check) says so.
    pub(crate) async fn supervise<F: Future<Output = ()> + Send + 'static>(
        &self,
        role: Role,
        start: impl FnMut() -> F,
    ) {
        let panicked = |reason: &str| self.health.lost(role, format!("a panic: {reason}"));
        supervise(&role.to_string(), &self.options.cluster.metrics, panicked, start).await;
    }

    /// Whether all connections work, and Redis takes what is sent.
    ///
    /// # Errors
    ///
    /// What is wrong.
    pub(crate) fn check(&self) -> Result<(), Unhealthy> {
        self.check_connections()?;
        self.refusals.recent().map_or(Ok(()), |reason| Err(Unhealthy::refused(&reason)))
    }

    /// Whether all connections work.
    ///
    /// # Errors
    ///
    /// What is wrong.
    pub(crate) fn check_connections(&self) -> Result<(), Unhealthy> {
        let Some(map) = self.map.lock().clone() else { return self.health.check(&[(Role::Asking, 1)]) };
        let readers = if self.options.mode == Mode::Streams { reader::groups(self).len() } else { 0 };
        self.health.check(&[
            (Role::Publishing, map.owners().len()),
            (Role::Subscribing, self.table.servers().len()),
            (Role::Reading, readers),
            (Role::Delivering, 1),
        ])
    }

    /// The same, in a word.
    pub(crate) fn is_connected(&self) -> bool {
        self.check().is_ok()
    }

    /// Enters a message into the queue to Redis; false if there is no room, and it is dropped.
    pub(crate) fn send(&self, outgoing: Outgoing) -> bool {
        let is_sent = self.outgoing.push(outgoing.command, outgoing.bytes).is_ok();
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
            let progress = self.progress.notified();
            if is_so() {
                return;
            }
            progress.await;
        }
    }

    /// Counts the end of a connection to this server, or that there is none.
    pub(crate) fn note_lost(&self, role: Role, server: Option<&Address>, error: &RedisError) {
        self.metrics.disconnects.increment();
        let name = server.map(Address::to_string).unwrap_or_default();
        tracing::warn!(what = %role, server = name, %error, "no connection to Redis");
        self.health.lost(role, server.map_or_else(|| error.to_string(), |server| format!("{server}: {error}")));
        self.refresh_map(server);
    }
}
