//! The addresses of nodes that forward requests to one another.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::time::Duration;

use sockeye::peers::{Directory, DirectoryFuture, NodeTag, PeerOptions};
use sockeye_nats::{NatsDirectory, NatsOptions};
use support::Joined;
use support::server::Server as Nats;
use tokio::sync::mpsc;

/// A directory that tells which node is entered.
#[derive(Debug)]
struct Overheard(NatsDirectory, mpsc::Sender<(NodeTag, String)>);

impl Directory for Overheard {
    fn announce<'a>(&'a self, node: NodeTag, address: &'a str, time_to_live: Duration) -> DirectoryFuture<'a, ()> {
        Box::pin(async move {
            self.0.announce(node, address, time_to_live).await?;
            drop(self.1.send((node, address.to_owned())).await);
            Ok(())
        })
    }

    fn find(&self, node: NodeTag) -> DirectoryFuture<'_, Option<String>> {
        self.0.find(node)
    }

    fn withdraw(&self, node: NodeTag) -> DirectoryFuture<'_, ()> {
        self.0.withdraw(node)
    }
}

/// Whoever is there answers for itself, also after NATS has been away.
#[tokio::test]
async fn addresses_of_nodes_are_found() {
    let nats = Nats::start("");
    let first = Joined::opened(NatsOptions::new(nats.url())).await;
    let second = Joined::opened(NatsOptions::new(nats.url())).await;
    let (overheard, mut entered) = mpsc::channel(10);
    let options = PeerOptions::new("a secret of this test");
    first.server.join_peers(options, Overheard(first.nats.directory(), overheard)).await.unwrap();
    let (node, address) = entered.recv().await.unwrap();
    let directory = second.nats.directory();
    assert_eq!(directory.find(node).await.unwrap(), Some(address.clone()));
    nats.kill();
    first.becomes_unhealthy().await;
    second.becomes_unhealthy().await;
    nats.run();
    first.becomes_healthy().await;
    assert_eq!(directory.find(node).await.unwrap(), Some(address));
    first.nats.directory().withdraw(node).await.unwrap();
    assert_eq!(directory.find(node).await.unwrap(), None);
}
