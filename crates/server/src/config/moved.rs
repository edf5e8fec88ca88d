//! Keys that have moved: whoever has an older configuration is told where each went.

/// Where a key is now; none if it has not moved.
pub(super) fn moved(path: &str) -> Option<&'static str> {
    MOVED.iter().find(|(old, _)| *old == path).map(|(_, new)| *new)
}

const MOVED: [(&str, &str); 11] = [
    ("cluster.url", "cluster.redis.url"),
    ("cluster.channel_prefix", "cluster.redis.channel_prefix"),
    ("cluster.subscription_mode", "cluster.redis.subscription_mode"),
    ("cluster.stream_name", "cluster.redis.stream_name"),
    ("cluster.stream_count", "cluster.redis.stream_count"),
    ("cluster.stream_max_len", "cluster.redis.stream_max_len"),
    ("cluster.stream_sharded_pubsub", "cluster.redis.stream_sharded_pubsub"),
    ("cluster.session_key_prefix", "cluster.redis.session_key_prefix"),
    ("cluster.addresses", "cluster.redis.addresses"),
    ("cluster.tls", "cluster.redis.tls"),
    ("cluster.sentinel", "cluster.redis.sentinel"),
];
