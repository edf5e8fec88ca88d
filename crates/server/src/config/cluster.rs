//! The `[cluster]` table: checked, and made into the adapter that it asks for.

use sockeye_redis::{Mode, RedisAdapter, RedisOptions, Subscription};

use super::problems::Problems;
use super::raw::{ClusterMode, ClusterSection, SubscriptionMode};

/// The adapter; none where something is wrong, which is reported.
pub(super) fn cluster(raw: &ClusterSection, problems: &mut Problems) -> Option<RedisAdapter> {
    if raw.adapter.is_none() {
        problems
            .add("cluster.adapter", "is missing: \"redis\", \"redis-sharded\", \"redis-streams\" or \"redis-native\"");
    }
    if raw.url.is_none() {
        problems.add("cluster.url", "is missing: such as \"redis://127.0.0.1:6379\"");
    }
    if raw.request_timeout.is_zero() {
        problems.add("cluster.request_timeout", "must be more than nothing");
    }
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
    options.cluster.request_timeout = raw.request_timeout;
    // The url may have a password, and is not repeated.
    RedisAdapter::new(options).map_err(|error| problems.add("cluster.url", error.to_string())).ok()
}
