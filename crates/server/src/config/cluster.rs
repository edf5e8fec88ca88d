//! The `[cluster]` table: checked, and made into the adapter that it asks for.

use std::collections::HashMap;
use std::path::PathBuf;

use sockeye::peers::PeerOptions;
use sockeye_redis::{Mode, RedisAdapter, RedisOptions, Subscription, TlsOptions};

use super::problems::Problems;
use super::raw::{ClusterMode, ClusterSection, PeersSection, RedisTlsSection, SubscriptionMode};

/// The adapter; none where something is wrong, which is reported.
pub(super) fn cluster(raw: &ClusterSection, problems: &mut Problems) -> Option<RedisAdapter> {
    let options = options(raw, problems)?;
    // Without the certificates first, to tell which of both is wrong. The url may have a password, and is not repeated.
    let mut plain = options.clone();
    plain.tls = TlsOptions::default();
    RedisAdapter::new(plain).map_err(|error| problems.add("cluster.url", error.to_string())).ok()?;
    RedisAdapter::new(options).map_err(|error| problems.add("cluster.tls", error.to_string())).ok()
}

/// The adapter's options; none where something is wrong, which is reported.
pub(super) fn options(raw: &ClusterSection, problems: &mut Problems) -> Option<RedisOptions> {
    if raw.adapter.is_none() {
        problems
            .add("cluster.adapter", "is missing: \"redis\", \"redis-sharded\", \"redis-streams\" or \"redis-native\"");
    }
    if raw.url.is_none() {
        problems.add("cluster.url", "is missing: such as \"redis://127.0.0.1:6379\"");
    }
    if raw.request_timeout.is_zero() {
        problems.add("cluster.request_timeout", "must be greater than zero");
    }
    if raw.stream_max_len == 0 {
        problems.add("cluster.stream_max_len", "must be greater than zero");
    }
    if raw.stream_name.is_empty() {
        problems.add("cluster.stream_name", "must not be empty");
    }
    if raw.stream_count == 0 {
        problems.add("cluster.stream_count", "must be greater than zero");
    }
    let addresses = addresses(&raw.addresses, problems);
    let mode = match raw.adapter? {
        ClusterMode::Sharded => Mode::Sharded {
            subscription: match raw.subscription_mode {
                SubscriptionMode::Dynamic => Subscription::Dynamic,
                SubscriptionMode::DynamicPrivate => Subscription::DynamicPrivate,
                SubscriptionMode::Static => Subscription::Static,
            },
        },
        ClusterMode::Classic => Mode::Classic,
        ClusterMode::Streams => Mode::Streams,
        ClusterMode::Native => Mode::Native,
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
    options.max_outgoing_bytes = raw.max_outgoing_bytes.0;
    options.max_incoming_bytes = raw.max_incoming_bytes.0;
    options.cluster.request_timeout = raw.request_timeout;
    if let Some(sentinel) = &raw.sentinel {
        options.sentinel.user.clone_from(&sentinel.user);
        options.sentinel.password.clone_from(&sentinel.password);
    }
    if let Some(section) = &raw.tls {
        options.tls = tls(section, problems)?;
    }
    Some(options)
}

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
            _ => problems.add("cluster.addresses", format!("{each:?} is not of the form \"host:port=host:port\"")),
        }
    }
    addresses
}

/// The certificates; none where something is wrong, which is reported.
fn tls(raw: &RedisTlsSection, problems: &mut Problems) -> Option<TlsOptions> {
    let mut read = |key: &str, path: &Option<PathBuf>| match path {
        None => Some(None),
        Some(path) => {
            let read = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
            read.map(Some).map_err(|error| problems.add(&format!("cluster.tls.{key}"), error)).ok()
        }
    };
    let (ca, certificate, key) = (read("ca", &raw.ca), read("cert", &raw.cert), read("key", &raw.key));
    let mut tls = TlsOptions::default();
    (tls.ca, tls.certificate, tls.key) = (ca?, certificate?, key?);
    Some(tls)
}

/// Forwarding between the nodes; none where something is wrong, which is reported.
pub(super) fn peers(raw: &PeersSection, problems: &mut Problems) -> Option<PeerOptions> {
    let before = problems.len();
    let secret = raw.secret.as_deref().unwrap_or_default();
    if secret.len() < PeerOptions::MIN_SECRET {
        let least = PeerOptions::MIN_SECRET;
        let text = format!(
            "must be a secret of at least {least} bytes, the same on all nodes: `openssl rand -hex 32` makes one"
        );
        problems.add("cluster.peers.secret", text);
    }
    let is_address = |address: &str| {
        let port = address.rsplit_once(':').map(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
        port.unwrap_or(false)
    };
    match &raw.advertise {
        Some(address) if !is_address(address) => {
            problems.add("cluster.peers.advertise", "must be a host and a port, such as \"10.0.0.7:3001\"");
        }
        None if raw.listen.ip().is_unspecified() => {
            let text =
                "is missing: with listen on all addresses, the host and port by which other nodes reach this one";
            problems.add("cluster.peers.advertise", text);
        }
        _ => {}
    }
    if problems.len() > before {
        return None;
    }
    let mut options = PeerOptions::new(secret);
    options.listen = raw.listen;
    options.advertise.clone_from(&raw.advertise);
    Some(options)
}
