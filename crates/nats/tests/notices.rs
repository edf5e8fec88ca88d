//! What a node knows of the others at its NATS.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use sockeye_nats::NatsOptions;
use support::server::Server as Nats;
use support::{Joined, eventually};

#[tokio::test]
async fn nodes_are_counted_and_others_told_of() {
    let nats = Nats::start("");
    let first = Joined::opened(NatsOptions::new(nats.url())).await;
    let second = Joined::opened(NatsOptions::new(nats.url())).await;
    let nodes = |joined: &Joined| joined.nats.cluster_metrics().nodes();
    eventually("both are counted", || nodes(&first) == 2 && nodes(&second) == 2).await;
    let mismatches = |joined: &Joined| joined.nats.cluster_metrics().mismatches.value();
    assert_eq!((mismatches(&first), mismatches(&second)), (0, 0));
    let mut other = NatsOptions::new(nats.url());
    other.prefix = "elsewhere".to_owned();
    let other = Joined::opened(other).await;
    eventually("it is told", || mismatches(&first) == 1 && mismatches(&second) == 1).await;
    assert_eq!((nodes(&first), nodes(&other)), (2, 1));
    second.server.close().await;
    eventually("one is there", || nodes(&first) == 1).await;
}
