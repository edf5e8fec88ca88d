//! Connections that are there and carry nothing, and a Redis that does not get to run.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sockeye::{Args, Server};
use sockeye_cluster_suite::Fleet;
use sockeye_redis::{Mode, RedisAdapter, RedisOptions};
use support::{
    Classic, Cut, Dynamic, Native, Over, Redis, Streams, Way, cluster_options, eventually, local, redis_options,
};

/// Two nodes; the second one's connections of a kind carry nothing, without a word. It finds out within 10 s, and hears again after.
async fn a_deaf_node_finds_out_and_heals<W: Way>(cut: Cut, says: &str) {
    let mut fleet = Fleet::<Over<W>>::of(2).await;
    let (name, adapter) = (fleet.name(1).to_owned(), fleet.cluster.adapter(fleet.name(1)));
    eventually("it is connected", || adapter.check().is_ok()).await;
    let since = Instant::now();
    fleet.cluster.cut_only(&name, cut);
    // Where all of them are cut, they find out one after the other. A reader misses an answer or its own entry, whichever is due first.
    let deaf = u64::from(cut != Cut::Reading);
    eventually("it finds out, and says so", || {
        adapter.check().is_err_and(|error| error.to_string().contains(says)) && adapter.metrics().deaf.value() >= deaf
    })
    .await;
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    fleet.server(1).emit("own", 1);
    assert_eq!(fleet.next(1).await, "42[\"own\",1]", "its own clients are served");
    fleet.cluster.cut_only(&name, Cut::None);
    eventually("it heals", || adapter.check().is_ok()).await;
    fleet.received(&[0, 0]).await;
    fleet.server(0).emit("e", 1);
    assert_eq!(fleet.received(&[0, 1]).await[1], ["42[\"e\",1]"]);
    assert_eq!(adapter.metrics().resubscribed.value(), deaf);
}

/// Another stream of the same name begins with lower ids: the reader would wait for higher ones for ever.
#[tokio::test]
async fn a_stream_that_begins_anew_is_found_out() {
    let mut fleet = Fleet::<Over<Streams>>::of(2).await;
    let adapters: Vec<_> = fleet.nodes.iter().map(|node| fleet.cluster.adapter(&node.name)).collect();
    eventually("both are connected", || adapters.iter().all(RedisAdapter::is_connected)).await;
    let redis = &fleet.cluster.redis;
    let read: Vec<_> = adapters.iter().map(|adapter| adapter.metrics().skipped.value()).collect();
    redis.command::<()>(&["XADD", "socket.io", "99999999999999-0", "uid", "x", "nsp", "/none", "type", "2"]);
    let is_read = |(adapter, before): (&RedisAdapter, &u64)| adapter.metrics().skipped.value() > *before;
    eventually("both have read it", || adapters.iter().zip(&read).all(is_read)).await;
    redis.command::<()>(&["DEL", "socket.io"]);
    let since = Instant::now();
    let lost = |adapter: &RedisAdapter| adapter.metrics().disconnects.value() > 0;
    eventually("both find out", || adapters.iter().all(lost)).await;
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    eventually("both read again", || adapters.iter().all(RedisAdapter::is_connected)).await;
    fleet.received(&[0, 0]).await;
    fleet.server(0).emit("e", 1);
    assert_eq!(fleet.received(&[1, 1]).await[1], ["42[\"e\",1]"]);
}

#[tokio::test]
async fn a_subscriber_that_hears_nothing_finds_out_native() {
    a_deaf_node_finds_out_and_heals::<Native>(Cut::Listening, "subscribing: ").await;
}

#[tokio::test]
async fn a_subscriber_that_hears_nothing_finds_out_sharded() {
    a_deaf_node_finds_out_and_heals::<Dynamic>(Cut::Listening, "subscribing: ").await;
}

#[tokio::test]
async fn a_subscriber_that_hears_nothing_finds_out_classic() {
    a_deaf_node_finds_out_and_heals::<Classic>(Cut::Listening, "subscribing: ").await;
}

#[tokio::test]
async fn a_reader_that_hears_nothing_finds_out() {
    a_deaf_node_finds_out_and_heals::<Streams>(Cut::Reading, "reading streams: ").await;
}

#[tokio::test]
async fn a_node_that_is_cut_off_finds_out() {
    a_deaf_node_finds_out_and_heals::<Native>(Cut::All, "publishing: ").await;
}

/// Redis answers nobody, and channels are there.
#[tokio::test]
async fn a_paused_redis_is_found_out() {
    let fleet = Fleet::<Over<Native>>::of(1).await;
    let adapter = fleet.cluster.adapter(fleet.name(0));
    eventually("it is connected", || adapter.check().is_ok()).await;
    fleet.cluster.redis.command::<()>(&["CLIENT", "PAUSE", "9500", "ALL"]);
    eventually("it is noticed", || adapter.metrics().deaf.value() == 1 && adapter.check().is_err()).await;
    eventually("it heals", || adapter.check().is_ok()).await;
}

/// A Redis that stands still: what waits is bounded, what is dropped or lost is counted, clients here never wait, and afterwards
/// messages come through as ever: in order, and none twice.
async fn a_slow_redis_costs_only_what_is_counted(mode: Mode, pause: Duration) {
    const MAX: usize = 50_000;
    const COUNT: u64 = 2_000;
    let redis = Redis::started();
    let join = || {
        let mut options: RedisOptions = redis_options(local(redis.port), mode, cluster_options().0);
        options.max_outgoing_bytes = MAX;
        options.timeout = Duration::from_secs(1);
        options.probe_interval = Duration::from_millis(300);
        let adapter = RedisAdapter::new(options).unwrap();
        (Server::builder().adapter(adapter.factory()).build(), adapter)
    };
    let ((here, adapter), (there, other)) = (join(), join());
    let heard = Arc::new(Mutex::new(Vec::new()));
    let to = heard.clone();
    there.main_namespace().on_server_event("e", move |args: Args| {
        to.lock().push(args.deserialize::<(u64, String)>().unwrap().0);
        async { None }
    });
    for server in [&here, &there] {
        server.main_namespace().adapter().init().await.unwrap();
    }
    let say = |number: u64| here.server_side_emit("e", (number, "x".repeat(100))).unwrap();
    redis.freeze(true);
    let started = Instant::now();
    for number in 0..COUNT {
        say(number);
        assert!(adapter.outgoing_bytes() <= MAX);
    }
    // If each waited as long as an answer may take, it would be a second for each.
    assert!(started.elapsed() < Duration::from_secs(10), "no emit waits: {:?}", started.elapsed());
    let metrics = adapter.metrics();
    let dropped = metrics.dropped_outgoing.value();
    assert!((COUNT / 2..COUNT).contains(&dropped), "{dropped}");
    tokio::time::sleep(pause).await;
    redis.freeze(false);
    eventually("both work", || adapter.check().is_ok() && other.check().is_ok()).await;
    eventually("nothing waits", || adapter.outgoing_bytes() == 0).await;
    say(COUNT);
    eventually("it is heard again", || heard.lock().last() == Some(&COUNT)).await;
    assert_eq!(metrics.dropped_outgoing.value(), dropped);
    let heard = heard.lock().clone();
    assert!(heard.is_sorted_by(|one, next| one < next), "in order, and none twice");
    let missing = COUNT + 1 - heard.len() as u64;
    let lost = metrics.lost.value();
    assert!(missing >= dropped, "{missing}, and {dropped} were dropped");
    // What was sent while the other node had no connection, it does not know of.
    let is_known = other.metrics().disconnects.value() == 0;
    assert!(missing <= dropped + lost || !is_known, "{missing}, but {dropped} were dropped and {lost} lost");
}

#[tokio::test]
async fn a_redis_that_stops_for_a_moment_loses_only_what_was_dropped() {
    a_slow_redis_costs_only_what_is_counted(Mode::Native, Duration::from_millis(400)).await;
    a_slow_redis_costs_only_what_is_counted(Mode::Classic, Duration::from_millis(400)).await;
}

#[tokio::test]
async fn a_redis_that_stops_for_long_is_given_up_and_comes_back() {
    a_slow_redis_costs_only_what_is_counted(Mode::Native, Duration::from_secs(3)).await;
}
