//! Keys that have moved: whoever has an older configuration is told where each went.

use std::borrow::Cow;

/// Where a key is now; none if it has not moved.
pub(super) fn moved(path: &str) -> Option<&'static str> {
    let path = without_indices(path);
    MOVED.iter().find(|(old, _)| *old == path).map(|(_, new)| *new)
}

/// How a text is written now at a key that holds a table; none if the key has always held a table.
pub(super) fn moved_text(path: &str, text: &str) -> Option<String> {
    (without_indices(path) == "namespace.event.route")
        .then(|| format!("is now a table with the keys of its kind in it: route = {{ kind = {text:?}, … }}"))
}

/// `namespace.event.room` for `namespace[0].event[1].room`.
fn without_indices(path: &str) -> Cow<'_, str> {
    if !path.contains('[') {
        return path.into();
    }
    path.split('[').map(|part| part.split_once(']').map_or(part, |(_, rest)| rest)).collect::<String>().into()
}

const MOVED: [(&str, &str); 18] = [
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
    ("namespace.event.room", "namespace.event.route.room"),
    ("namespace.event.exclude_sender", "namespace.event.route.exclude_sender"),
    ("namespace.event.require_membership", "namespace.event.route.require_membership"),
    ("namespace.event.volatile", "namespace.event.route.volatile"),
    ("namespace.event.append_sender", "namespace.event.route.append_sender"),
    ("namespace.event.max_members", "namespace.event.route.max_members"),
    ("namespace.event.reply", "namespace.event.route.reply"),
];
