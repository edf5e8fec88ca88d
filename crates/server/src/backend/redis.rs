//! Redis: the official adapters' modes, and the native one.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sockeye::adapter::Local;
use sockeye::peers::Directory;
use sockeye_cluster::recovery::RecoveryMetrics;
use sockeye_cluster::{ClusterAdapter, ClusterMetrics, NodeId};
use sockeye_redis::{EmitterError, Mode, RedisAdapter, RedisEmitter, RedisOptions, Subscription, TlsOptions};

use super::api::{Backend, EmitFuture, Emitter, Health, Order, Sent, read_file};
use super::redis_section::{RedisTlsSection, SubscriptionMode};
use super::section::{AdapterName, ClusterSection};
use crate::config::problems::Problems;
use crate::exposition::Page;

/// The adapter; none where something is wrong, which is reported.
pub(super) fn backend(
    name: AdapterName,
    section: &ClusterSection,
    problems: &mut Problems,
) -> Option<Arc<dyn Backend>> {
    let options = options(name, section, problems)?;
    // Without the certificates first, to tell which of both is wrong. The url may have a password, and is not repeated.
    let mut plain = options.clone();
    plain.tls = TlsOptions::default();
    RedisAdapter::new(plain).map_err(|error| problems.add("cluster.redis.url", error.to_string())).ok()?;
    let adapter =
        RedisAdapter::new(options).map_err(|error| problems.add("cluster.redis.tls", error.to_string())).ok()?;
    Some(Arc::new(adapter))
}

/// What sends from outside; none where something is wrong, which is reported.
pub(super) fn emitter(
    name: AdapterName,
    section: &ClusterSection,
    problems: &mut Problems,
) -> Option<Box<dyn Emitter>> {
    let options = options(name, section, problems)?;
    let mode = options.mode;
    let emitter = RedisEmitter::new(options);
    let emitter = emitter.map_err(|error| problems.add("cluster.redis.url", error.to_string())).ok()?;
    Some(Box::new(Sending { mode, emitter }))
}

/// The adapter's options; none where something is wrong, which is reported.
fn options(name: AdapterName, section: &ClusterSection, problems: &mut Problems) -> Option<RedisOptions> {
    let Some(raw) = &section.redis else {
        problems.add("cluster.redis.url", URL_IS_MISSING);
        return None;
    };
    if raw.url.is_none() {
        problems.add("cluster.redis.url", URL_IS_MISSING);
    }
    if raw.stream_max_len == 0 {
        problems.add("cluster.redis.stream_max_len", "must be greater than zero");
    }
    if raw.stream_name.is_empty() {
        problems.add("cluster.redis.stream_name", "must not be empty");
    }
    if raw.stream_count == 0 {
        problems.add("cluster.redis.stream_count", "must be greater than zero");
    }
    let addresses = addresses(&raw.addresses, problems);
    let mode = match name {
        AdapterName::RedisClassic => Mode::Classic,
        AdapterName::RedisSharded => Mode::Sharded {
            subscription: match raw.subscription_mode {
                SubscriptionMode::Dynamic => Subscription::Dynamic,
                SubscriptionMode::DynamicPrivate => Subscription::DynamicPrivate,
                SubscriptionMode::Static => Subscription::Static,
            },
        },
        AdapterName::RedisStreams => Mode::Streams,
        _ => Mode::Native,
    };
    let mut options = RedisOptions::new(raw.url.clone()?, mode);
    if let Some(prefix) = &raw.channel_prefix {
        options.channel_prefix.clone_from(prefix);
    }
    options.stream.name.clone_from(&raw.stream_name);
    options.stream.count = raw.stream_count;
    options.stream.max_len = raw.stream_max_len;
    options.stream.sharded_pubsub = raw.stream_sharded_pubsub;
    options.stream.session_key_prefix.clone_from(&raw.session_key_prefix);
    options.addresses = addresses;
    options.max_outgoing_bytes = section.max_outgoing_bytes.0;
    options.max_incoming_bytes = section.max_incoming_bytes.0;
    options.cluster.request_timeout = section.request_timeout;
    options.max_backoff = section.reconnect_interval;
    options.max_message_age = raw.max_message_age;
    if let Some(sentinel) = &raw.sentinel {
        options.sentinel.user.clone_from(&sentinel.user);
        options.sentinel.password.clone_from(&sentinel.password);
    }
    if let Some(section) = &raw.tls {
        options.tls = tls(section, problems)?;
    }
    Some(options)
}

const URL_IS_MISSING: &str = "is missing: such as \"redis://127.0.0.1:6379\"";

/// Where servers are reached that call themselves otherwise.
fn addresses(raw: &[String], problems: &mut Problems) -> HashMap<String, String> {
    let is_address =
        |text: &str| text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    let mut addresses = HashMap::new();
    for each in raw {
        match each.split_once('=') {
            Some((theirs, ours)) if is_address(theirs) && is_address(ours) => {
                addresses.insert(theirs.to_owned(), ours.to_owned());
            }
            _ => {
                problems.add("cluster.redis.addresses", format!("{each:?} is not of the form \"host:port=host:port\""));
            }
        }
    }
    addresses
}

/// The certificates; none where something is wrong, which is reported.
fn tls(raw: &RedisTlsSection, problems: &mut Problems) -> Option<TlsOptions> {
    let ca = read_file("cluster.redis.tls.ca", raw.ca.as_ref(), problems);
    let certificate = read_file("cluster.redis.tls.cert", raw.cert.as_ref(), problems);
    let key = read_file("cluster.redis.tls.key", raw.key.as_ref(), problems);
    let mut tls = TlsOptions::default();
    (tls.ca, tls.certificate, tls.key) = (ca?, certificate?, key?);
    Some(tls)
}

impl Backend for RedisAdapter {
    fn node(&self) -> &NodeId {
        self.node()
    }

    fn adapter(&self, local: Arc<Local>) -> ClusterAdapter {
        self.factory()(local)
    }

    fn health(&self) -> Health {
        match self.check() {
            Ok(()) => Health::Well,
            Err(error) if error.is_alone() => Health::Deaf(error.to_string()),
            Err(error) => Health::BrokerAway(error.to_string()),
        }
    }

    fn directory(&self) -> Arc<dyn Directory> {
        Arc::new(self.directory())
    }

    fn cluster_metrics(&self) -> &ClusterMetrics {
        self.cluster_metrics()
    }

    fn round_trip(&self) -> Option<Duration> {
        self.round_trip()
    }

    fn recovery_metrics(&self) -> Option<&RecoveryMetrics> {
        Some(&self.metrics().recovery)
    }

    fn collect(&self, page: &mut Page<'_>) -> fmt::Result {
        let redis = self.metrics();
        page.size("redis_outgoing_bytes", "What waits to be sent to Redis.", self.outgoing_bytes())?;
        page.size("redis_incoming_bytes", "What came from Redis and waits.", self.incoming_bytes())?;
        page.counters(&[
            ("redis_disconnects", "Connections that were lost, or could not be made.", &redis.disconnects),
            ("redis_deaf", "Connections given up because nothing was heard on them.", &redis.deaf),
            ("redis_resubscribed", "Times that all channels were subscribed to again.", &redis.resubscribed),
            ("redis_owner_changes", "Times that other servers own the keys.", &redis.owner_changes),
            ("redis_published", "Messages that Redis took.", &redis.published),
            ("redis_received", "Messages that came from Redis.", &redis.received),
            ("redis_dropped_outgoing", "Messages that found the queue to Redis full.", &redis.dropped_outgoing),
            ("redis_dropped_incoming", "Messages from Redis that found the queue full.", &redis.dropped_incoming),
            ("redis_dropped_volatile", "Volatile messages dropped: no connection.", &redis.dropped_volatile),
            ("redis_dropped_old", "Messages that waited too long and were dropped.", &redis.dropped_old),
            ("redis_lost", "Messages on their way when the connection was lost.", &redis.lost),
            ("redis_refused", "Messages that Redis refused.", &redis.refused),
            ("redis_skipped", "Messages that concern nobody here.", &redis.skipped),
        ])
    }
}

/// Sends to the servers of one mode.
struct Sending {
    mode: Mode,
    emitter: RedisEmitter,
}

impl Emitter for Sending {
    fn cannot_tell_recipients(&self) -> Option<&'static str> {
        let text = "with redis-streams the servers fetch what is sent, and Redis does not know who does";
        (self.mode == Mode::Streams).then_some(text)
    }

    fn send<'a>(&'a self, order: &'a Order) -> EmitFuture<'a> {
        Box::pin(async {
            match self.receipts(order).await {
                Ok(listeners) => {
                    let is_unheard = listeners.contains(&Some(0));
                    Ok(Sent { unheard: is_unheard.then(|| self.unheard(order)) })
                }
                Err(error) => Err(advice(&error)),
            }
        })
    }
}

impl Sending {
    /// Sends what was ordered: for each message, how many connections Redis passed it on to.
    async fn receipts(&self, order: &Order) -> Result<Vec<Option<u64>>, EmitterError> {
        let emitter = self.emitter.of(&order.namespace);
        let to = emitter.to(&order.rooms[..]).except(&order.except[..]);
        let mut receipts = Vec::new();
        match order.event.clone() {
            Some((event, args)) if order.to_servers => receipts.push(emitter.server_side_emit(&event, args).await?),
            Some((event, args)) if order.volatile => receipts.push(to.clone().volatile().emit(&event, args).await?),
            Some((event, args)) => receipts.push(to.emit(&event, args).await?),
            None => {}
        }
        if !order.join.is_empty() {
            receipts.push(to.sockets_join(&order.join[..]).await?);
        }
        if !order.leave.is_empty() {
            receipts.push(to.sockets_leave(&order.leave[..]).await?);
        }
        if let Some(close) = order.disconnect {
            receipts.push(to.disconnect_sockets(close).await?);
        }
        Ok(receipts.into_iter().map(|receipt| receipt.listeners).collect())
    }

    /// What it may mean that Redis knows of nobody who listens.
    fn unheard(&self, order: &Order) -> String {
        let has_channels = match self.mode {
            Mode::Sharded { subscription } => subscription != Subscription::Static,
            mode => mode == Mode::Native,
        };
        let cause = "no server runs, or its adapter, channel prefix or namespace is another";
        match &order.rooms[..] {
            [room] if has_channels && order.event.is_some() => {
                format!("nobody got it: the room {room:?} is empty; or {cause}")
            }
            _ => format!("nobody got it: {cause}"),
        }
    }
}

/// What went wrong, and what to do.
fn advice(error: &EmitterError) -> String {
    match error {
        EmitterError::Unreachable(_) => {
            format!("{error}\nNothing was sent. Does Redis run at this url, and accept this user and password?")
        }
        EmitterError::Refused(text) if text.contains("unknown command") => {
            format!("{error}\nNothing was sent. redis-sharded needs Redis 7")
        }
        EmitterError::Refused(_) => format!("{error}\nNothing was sent"),
        _ => error.to_string(),
    }
}
