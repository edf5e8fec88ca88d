//! The brokers that join nodes: the one place of the program that names them. Each has a file here, and a feature of the crate.

mod api;
#[cfg(not(all(feature = "redis", feature = "nats")))]
mod left_out;
#[cfg(feature = "nats")]
mod nats;
#[cfg(feature = "nats")]
mod nats_section;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "redis")]
mod redis_section;
mod section;

use std::sync::Arc;

pub(crate) use self::api::{Backend, Emitter, Health, Order, Sent};
pub(crate) use self::section::{AdapterName, ClusterSection, PeersSection};
use crate::config::problems::Problems;

/// What joins the server to other nodes, as the configuration says; none where something is wrong, which is reported.
pub(crate) fn backend(section: &ClusterSection, problems: &mut Problems) -> Option<Arc<dyn Backend>> {
    if section.request_timeout.is_zero() {
        problems.add("cluster.request_timeout", "must be greater than zero");
    }
    if section.reconnect_interval.is_zero() {
        problems.add("cluster.reconnect_interval", "must be greater than zero");
    }
    match name(section, problems)? {
        #[cfg(feature = "redis")]
        name @ (AdapterName::RedisClassic
        | AdapterName::RedisSharded
        | AdapterName::RedisStreams
        | AdapterName::RedisNative) => redis::backend(name, section, problems),
        #[cfg(feature = "nats")]
        name @ (AdapterName::Nats | AdapterName::NatsJetStream) => nats::backend(name, section, problems),
        #[cfg(not(all(feature = "redis", feature = "nats")))]
        left_out => {
            left_out.report_left_out(problems);
            None
        }
    }
}

/// Which adapter the configuration names; none if it names none, which is reported.
fn name(section: &ClusterSection, problems: &mut Problems) -> Option<AdapterName> {
    if section.adapter.is_none() {
        let text = "is missing: \"redis\", \"redis-sharded\", \"redis-streams\", \"redis-native\", \"nats\" or \"nats-jetstream\"; see docs/src/clusters.md";
        problems.add("cluster.adapter", text);
    }
    section.adapter
}

/// What sends to the cluster of a configuration; none where something is wrong, which is reported.
pub(crate) fn emitter(section: &ClusterSection, problems: &mut Problems) -> Option<Box<dyn Emitter>> {
    match name(section, problems)? {
        #[cfg(feature = "redis")]
        name @ (AdapterName::RedisClassic
        | AdapterName::RedisSharded
        | AdapterName::RedisStreams
        | AdapterName::RedisNative) => redis::emitter(name, section, problems),
        AdapterName::Nats | AdapterName::NatsJetStream => {
            problems.add(
                "cluster.adapter",
                "`sockeye emit` does not send over \"nats\" yet: a program with sockeye-nats can",
            );
            None
        }
        #[cfg(not(feature = "redis"))]
        left_out => {
            left_out.report_left_out(problems);
            None
        }
    }
}
