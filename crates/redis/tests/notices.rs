//! What a node tells of its Redis and of the nodes there: lines and gauges.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::time::Duration;

use sockeye::{ConnectionStateRecovery, Server};
use sockeye_redis::{Mode, RedisAdapter, RedisOptions, Subscription};
use support::redis_cluster::RedisCluster;
use support::{Redis, cluster_options, eventually, lines, local, redis_options};

const SHARDED: Mode = Mode::Sharded { subscription: Subscription::Dynamic };

/// A node that is about to join.
fn join(options: RedisOptions) -> (Server, RedisAdapter) {
    lines::record();
    let adapter = RedisAdapter::new(options).unwrap();
    let recovery = ConnectionStateRecovery::within(Duration::from_secs(20));
    let server = Server::builder().adapter(adapter.factory()).connection_state_recovery(recovery).build();
    server.start();
    (server, adapter)
}

fn options(redis: &Redis, mode: Mode) -> RedisOptions {
    redis_options(local(redis.port), mode, cluster_options().0)
}

#[tokio::test]
async fn nodes_are_counted_and_a_probe_is_timed() {
    for mode in [Mode::Native, SHARDED, Mode::Classic, Mode::Streams] {
        let redis = Redis::started();
        let (_server, first) = join(options(&redis, mode));
        eventually("one is there", || first.cluster_metrics().nodes() == 1).await;
        let (server, second) = join(options(&redis, mode));
        eventually("two are there", || first.cluster_metrics().nodes() == 2 && second.cluster_metrics().nodes() == 2)
            .await;
        let time = first.round_trip().unwrap();
        assert!(time > Duration::ZERO && time < Duration::from_secs(5), "{mode:?}: {time:?}");
        server.close().await;
        eventually("one is there again", || first.cluster_metrics().nodes() == 1).await;
    }
}

#[tokio::test]
async fn nodes_of_a_redis_cluster_are_counted() {
    let redis = tokio::task::spawn_blocking(|| RedisCluster::start(5_000, false, None)).await.unwrap();
    let url = format!("redis+cluster://127.0.0.1:{}", redis.servers[0].port);
    for mode in [SHARDED, Mode::Classic] {
        let (_server, first) = join(RedisOptions::new(&url, mode));
        let (_other, second) = join(RedisOptions::new(&url, mode));
        eventually("two are there", || first.cluster_metrics().nodes() == 2 && second.cluster_metrics().nodes() == 2)
            .await;
    }
}

#[tokio::test]
async fn nodes_with_other_settings_are_told_of() {
    let redis = Redis::started();
    let (_server, native) = join(options(&redis, Mode::Native));
    let (_same, same) = join(options(&redis, Mode::Native));
    let mut other = options(&redis, Mode::Native);
    other.url = format!("redis://127.0.0.1:{}/7", redis.port);
    other.channel_prefix = "elsewhere".to_owned();
    eventually("both are connected", || native.is_connected() && same.is_connected()).await;
    let (_other, _adapter) = join(other);
    let (_sharded, _adapter) = join(options(&redis, SHARDED));
    for adapter in [native, same] {
        eventually("two differences are counted", || adapter.cluster_metrics().mismatches.value() == 2).await;
    }
    let words =
        ["channel_prefix is \"sockeye\" here and \"elsewhere\" there", "database is \"0\" here and \"7\" there"];
    assert_eq!(lines::count(&["WARN", words[0], words[1]]), 2, "one line of each node");
    assert!(lines::count(&["WARN", "adapter is \"redis-native\" here and \"redis-sharded\" there"]) >= 2);
}

#[tokio::test]
async fn an_outage_ends_with_a_line() {
    let redis = Redis::started();
    let (_server, adapter) = join(options(&redis, Mode::Native));
    eventually("it is connected", || adapter.is_connected()).await;
    assert_eq!(lines::count(&["Redis is there again"]), 0);
    redis.stop();
    eventually("it is noticed", || !adapter.is_connected()).await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    redis.start();
    eventually("it is told", || lines::count(&["INFO", "Redis is there again", "away="]) == 1).await;
    assert!(adapter.is_connected());
    assert_eq!(lines::count(&["Redis is there again", "away=0."]), 0, "it was away for more than a second");
}

#[tokio::test]
async fn a_policy_that_removes_sessions_is_told_of() {
    let redis = Redis::started();
    redis.command::<()>(&["CONFIG", "SET", "maxmemory", "100mb"]);
    redis.command::<()>(&["CONFIG", "SET", "maxmemory-policy", "volatile-ttl"]);
    let (_server, _adapter) = join(options(&redis, Mode::Streams));
    eventually("it is told", || lines::count(&["WARN", "maxmemory-policy", "volatile-ttl"]) == 1).await;
}

#[tokio::test]
async fn the_url_of_one_server_does_not_do_for_a_redis_cluster() {
    let redis = tokio::task::spawn_blocking(|| RedisCluster::start(5_000, false, None)).await.unwrap();
    let joined: Vec<_> = redis
        .servers
        .iter()
        .map(|server| join(redis_options(local(server.port), SHARDED, cluster_options().0)))
        .collect();
    let is_named = |text: String| text.contains("the url must begin with redis+cluster://");
    eventually("at least two of three are told why", || {
        let reasons = joined.iter().filter_map(|(_, adapter)| adapter.check().err());
        reasons.filter(|error| is_named(error.to_string())).count() >= 2
    })
    .await;
    eventually("all have a line", || lines::count(&["WARN", "message=the server is one of a Redis Cluster"]) == 3)
        .await;
}
