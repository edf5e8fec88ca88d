//! The state that all namespaces of a server share with the tasks that serve them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use redis::RedisError;
use sockeye_cluster::link::{self, Health, Overflow, Presence, Queue, Unhealthy, Working};
use sockeye_cluster::{ClusterMetrics, NodeId};
use tokio::sync::{Notify, watch};

use crate::bus::inbox::Incoming;
use crate::bus::refusals::Refusals;
use crate::bus::send_queues::SendQueues;
use crate::bus::table::Table;
use crate::bus::wire::{self, Outgoing};
use crate::connection::Role;
use crate::connection::commands::Commands;
use crate::connection::map::{Address, Map};
use crate::connection::servers::Servers;
use crate::metrics::RedisMetrics;
use crate::options::{Mode, RedisOptions, StreamOptions};
use crate::recovery;

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
    pub(crate) health: Health<Role>,
    pub(crate) refusals: Refusals,
    pub(crate) overflow: Overflow,
    pub(crate) presence: Presence,
    /// Whether it was looked at what the server is like.
    pub(crate) is_inspected: AtomicBool,
    /// Changes when the server is found to be no master any more.
    pub(crate) demoted: watch::Sender<()>,
    /// How many nodes listened when all was well.
    pub(crate) listeners: AtomicUsize,
}

/// Connections to replicas, which clients may listen to as well: nodes of other makers do.
pub(crate) type Replicas = Mutex<HashMap<Address, Commands>>;

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
    pub(crate) fn new(options: RedisOptions, servers: Servers, node: NodeId) -> Arc<Self> {
        let presence = Presence::new(&node, settings(&options, servers.database()));
        let link = Self {
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
            health: Health::new("Redis"),
            refusals: Refusals::default(),
            overflow: Overflow::new("Redis"),
            presence,
            is_inspected: AtomicBool::new(false),
            demoted: watch::Sender::new(()),
            listeners: AtomicUsize::new(0),
        };
        if let Some(map) = link.servers.fixed() {
            link.adopt(map);
        }
        Arc::new(link)
    }

    /// All namespaces have closed, and the tasks have ended.
    pub(crate) fn end(&self) {
        // What nobody handles any more does not keep its namespace.
        drop(self.incoming.drain());
        self.outgoing.disconnect();
        self.replicas.lock().clear();
    }

    /// A connection works, for as long as what is given back lives.
    pub(crate) fn working(&self, role: Role) -> Working<'_, Role> {
        let working = self.health.works(role);
        self.recovery.driver.note_available();
        self.note_restored();
        working
    }

    /// Something works again: if all does, the outage is over.
    pub(crate) fn note_restored(&self) {
        if self.check_connections().is_ok() {
            self.health.end_outage();
        }
    }

    /// Whether all connections work, and Redis takes what is sent.
    ///
    /// # Errors
    ///
    /// What is wrong.
    pub(crate) fn check(&self) -> Result<(), Unhealthy> {
        self.check_connections()?;
        self.refusals.recent().map_or(Ok(()), |reason| Err(Unhealthy::refused("Redis", reason)))
    }

    /// Whether all connections work.
    ///
    /// # Errors
    ///
    /// What is wrong.
    pub(crate) fn check_connections(&self) -> Result<(), Unhealthy> {
        let Some(map) = self.map.lock().clone() else { return self.health.check(&[(Role::Asking, 1)]) };
        let readers = if self.options.mode == Mode::Streams { self.stream_groups().len() } else { 0 };
        self.health.check(&[
            (Role::Publishing, map.owners().len()),
            (Role::Subscribing, self.table.servers().len()),
            (Role::Reading, readers),
            (Role::Delivering, 1),
        ])
    }

    /// So many nodes listen.
    pub(crate) fn note_nodes(&self, count: usize) {
        self.listeners.store(count, Ordering::Relaxed);
        if self.options.mode != Mode::Native {
            // There nodes know one another.
            self.options.cluster.metrics.set_nodes(count);
        }
    }

    /// The streams that are read together: in a Redis Cluster each has an owner of its own.
    pub(crate) fn stream_groups(&self) -> Vec<Vec<String>> {
        let streams = wire::streams(&self.options.stream);
        match self.servers.is_cluster() {
            true => streams.into_iter().map(|stream| vec![stream]).collect(),
            false => vec![streams],
        }
    }

    /// Whether all works, in a word.
    pub(crate) fn is_connected(&self) -> bool {
        self.check().is_ok()
    }

    /// Enters a message into the queue to Redis; false if there is no room, and it is dropped.
    pub(crate) fn send(&self, outgoing: Outgoing) -> bool {
        let is_sent = self.outgoing.push(outgoing.command, outgoing.bytes).is_ok();
        if !is_sent {
            self.metrics.dropped_outgoing.increment();
            self.overflow.note_dropped();
        }
        is_sent
    }

    /// Counts the end of a connection to this server, or that there is none.
    pub(crate) fn note_lost(&self, role: Role, server: Option<&Address>, error: &RedisError) {
        self.metrics.disconnects.increment();
        let name = server.map(Address::to_string).unwrap_or_default();
        tracing::warn!(what = %role, server = name, %error, "no connection to Redis");
        self.health.begin_outage();
        self.health.note_failure(role, server.map_or_else(|| error.to_string(), |server| format!("{server}: {error}")));
        self.refresh_map(server);
    }
}

/// What must be the same on all nodes of a cluster, by the names that the standalone server has for it.
fn settings(options: &RedisOptions, database: i64) -> Vec<(&'static str, String)> {
    let mut settings = vec![("channel_prefix", options.channel_prefix.clone()), ("database", database.to_string())];
    let adapter = match options.mode {
        Mode::Classic => "redis",
        Mode::Sharded { subscription } => {
            settings.push(("subscription_mode", format!("{subscription:?}")));
            "redis-sharded"
        }
        Mode::Streams => {
            let StreamOptions { name, count, sharded_pubsub, session_key_prefix, .. } = &options.stream;
            settings.extend([
                ("stream_name", name.clone()),
                ("stream_count", count.to_string()),
                ("stream_sharded_pubsub", sharded_pubsub.to_string()),
                ("session_key_prefix", session_key_prefix.clone()),
            ]);
            "redis-streams"
        }
        Mode::Native => "redis-native",
    };
    settings.insert(0, ("adapter", adapter.to_owned()));
    settings
}
