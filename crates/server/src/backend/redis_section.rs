//! The table of Redis in the configuration.

use std::path::PathBuf;
use std::time::Duration;

use sockeye_redis::StreamOptions;

use crate::config::section::{choices, section};

section! {
    /// Redis.
    struct RedisSection {
        /// Where Redis is. One server: "redis://user:password@host:6379"; with sentinels, and the name of their service:
        /// "redis+sentinel://user:password@host:26379,host:26379/main"; some servers of a Redis Cluster:
        /// "redis+cluster://user:password@host:6379,host:6379". With TLS it begins with "rediss". Required.
        url: Option<String> = None, example "\"redis://127.0.0.1:6379\"";
        /// What the names of channels begin with. Unset: as in the official adapters, and "sockeye" with "redis-native".
        channel_prefix: Option<String> = None, example "\"socket.io\"";
        /// Which channels a node with "redis-sharded" subscribes to. "dynamic": one for each room that has members on it;
        /// "dynamic-private": also one for each of its clients; "static": one for all. The same on all nodes.
        subscription_mode: SubscriptionMode = SubscriptionMode::Dynamic;
        /// The stream of "redis-streams"; of several, what their names begin with. The same on all nodes.
        stream_name: String = StreamOptions::default().name;
        /// How many streams the namespaces of "redis-streams" are spread over. The same on all nodes.
        stream_count: u16 = StreamOptions::default().count;
        /// About how many entries a stream of "redis-streams" keeps: all that the nodes say to one another. A client that was
        /// away while more were written is not recovered.
        stream_max_len: usize = StreamOptions::default().max_len;
        /// Whether what "redis-streams" does not keep in a stream goes by sharded channels. The same on all nodes.
        stream_sharded_pubsub: bool = StreamOptions::default().sharded_pubsub;
        /// What the keys of sessions begin with, where "redis-streams" recovers them. The same on all nodes.
        session_key_prefix: String = StreamOptions::default().session_key_prefix;
        /// How old a message may be when it is sent: one that has waited for longer, because Redis was away, is dropped and counted.
        /// Unset: any age.
        max_message_age: Option<Duration> = None, example "\"30s\"";
        /// Where servers are reached from here that sentinels, or the servers of a Redis Cluster, call otherwise, as they do behind
        /// a NAT or in containers: "theirs=ours", both host:port.
        addresses: Vec<String> = Vec::new(), example "[\"10.0.0.7:6379=redis.example.com:7007\"]";
        /// Certificates for a url that begins with "rediss". Without this table the server's must be one that the system trusts.
        tls: Option<RedisTlsSection> = None;
        /// How to log in to sentinels that want it. User and password in the url are the servers' ones.
        sentinel: Option<SentinelSection> = None;
    }
}

section! {
    /// Encryption of the connections to Redis and its sentinels.
    struct RedisTlsSection {
        /// Certificates of the authorities that are trusted instead of the system's, a PEM file.
        ca: Option<PathBuf> = None, example "\"redis-ca.pem\"";
        /// The certificate that this node shows, where Redis asks for one, a PEM file.
        cert: Option<PathBuf> = None, example "\"node.pem\"";
        /// Its private key, a PEM file.
        key: Option<PathBuf> = None, example "\"node-key.pem\"";
    }
}

section! {
    /// How to log in to sentinels.
    struct SentinelSection {
        /// The user. Unset: the default one.
        user: Option<String> = None, example "\"sockeye\"";
        /// The password.
        password: Option<String> = None, example "\"secret\"";
    }
}

choices! {
    /// Which channels a node subscribes to.
    enum SubscriptionMode {
        /// Those of rooms.
        Dynamic = "dynamic",
        /// Those of rooms and of clients.
        DynamicPrivate = "dynamic-private",
        /// None besides the main one.
        Static = "static",
    }
}
