//! Nodes that come, go, die, and talk nonsense.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sockeye_cluster::ClusterOptions;
use tokio::time::Instant;

use crate::fleet::eventually;
use crate::{Cluster, Fleet};

fn quick() -> ClusterOptions {
    let mut options = ClusterOptions::default();
    options.heartbeat_interval = Duration::from_millis(200);
    options.heartbeat_timeout = Duration::from_secs(1);
    options
}

/// By each of them.
pub async fn nodes_are_counted<C: Cluster>() {
    let mut fleet = Fleet::<C>::of(4).await;
    fleet.server(3).close().await;
    fleet.nodes.truncate(3);
    for at in 0..3 {
        fleet.wait_for_count(at, 3).await;
    }
}

/// What was asked ends at once.
pub async fn a_node_that_leaves_is_not_waited_for<C: Cluster>() {
    let fleet = Fleet::<C>::of(3).await;
    let asked = Arc::new(AtomicBool::new(false));
    let note = asked.clone();
    fleet.server(1).main_namespace().on_server_event("q", move |_| {
        note.store(true, Ordering::Release);
        async { Some(sockeye::Args::empty()) }
    });
    let start = Instant::now();
    let server = fleet.server(0).clone();
    let asking = tokio::spawn(async move { server.server_side_emit_with_ack("q", (), LONG).await });
    eventually("it is asked", || async { asked.load(Ordering::Acquire) }).await;
    assert!(!asking.is_finished());
    fleet.server(2).close().await;
    let answers = asking.await.unwrap().unwrap();
    assert_eq!((answers.len(), &answers.missing[..]), (1, &[fleet.name(2).to_owned()][..]));
    assert!(start.elapsed() < LONG / 2, "{:?}", start.elapsed());
    let found = fleet.server(0).fetch_sockets().await.unwrap();
    assert_eq!((found.len(), found.is_complete()), (2, true));
}

/// Without a word: by its silence.
pub async fn a_node_that_dies_is_noticed<C: Cluster>() {
    let fleet = Fleet::<C>::with(3, quick()).await;
    fleet.cluster.cut(fleet.name(1));
    let server = fleet.server(0).clone();
    let asking = tokio::spawn(async move { server.timeout(LONG).fetch_sockets().await });
    let start = Instant::now();
    let found = asking.await.unwrap().unwrap();
    assert_eq!((found.len(), &found.missing[..]), (2, &[fleet.name(1).to_owned()][..]));
    assert!(start.elapsed() < LONG / 2, "{:?}", start.elapsed());
    assert_eq!(fleet.count(0).await, 2);
    // The answer comes first.
    eventually("it is counted", || async { fleet.nodes[0].metrics.nodes_lost.value() == 1 }).await;
    fleet.wait_for_count(2, 2).await;
}

/// And is a node like any other.
pub async fn a_node_that_was_cut_off_comes_back<C: Cluster>() {
    let mut fleet = Fleet::<C>::with(2, quick()).await;
    fleet.cluster.cut(fleet.name(1));
    fleet.wait_for_count(0, 1).await;
    fleet.wait_for_count(1, 1).await;
    fleet.cluster.heal(fleet.name(1));
    fleet.wait_for_count(0, 2).await;
    fleet.wait_for_count(1, 2).await;
    fleet.server(0).emit("e", 1);
    assert_eq!(fleet.received(&[1, 1]).await, vec![["42[\"e\",1]"]; 2]);
    assert!(fleet.server(1).fetch_sockets().await.unwrap().is_complete());
}

/// Nothing else happens.
pub async fn garbage_is_counted_and_ignored<C: Cluster>() {
    let mut fleet = Fleet::<C>::of(2).await;
    for _ in 0..5 {
        fleet.cluster.send_garbage();
    }
    let metrics: Vec<_> = fleet.nodes.iter().map(|node| node.metrics.clone()).collect();
    eventually("it is counted", || async { metrics.iter().all(|metrics| metrics.garbage.value() >= 5) }).await;
    fleet.server(1).emit("e", 1);
    assert_eq!(fleet.received(&[1, 1]).await, vec![["42[\"e\",1]"]; 2]);
    assert!(fleet.server(0).fetch_sockets().await.unwrap().is_complete());
}

const LONG: Duration = Duration::from_secs(20);
