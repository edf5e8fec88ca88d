//! Sockets of all nodes: described, moved, disconnected.

use std::collections::BTreeSet;
use std::time::Duration;

use sockeye::Emit;
use sockeye::adapter::AdapterError;
use sockeye_cluster::ClusterOptions;
use tokio::time::Instant;

use crate::fleet::eventually;
use crate::{Cluster, Fleet};

async fn ids(emit: &Emit) -> BTreeSet<String> {
    let found = emit.fetch_sockets().await.unwrap();
    assert!(found.is_complete(), "{found:?}");
    found.iter().map(|socket| socket.id().to_owned()).collect()
}

/// With rooms, data and handshake.
pub async fn sockets_are_described<C: Cluster>() {
    let fleet = Fleet::<C>::of(3).await;
    fleet.socket(1).join(["a", "b"]).unwrap();
    fleet.socket(1).set_data("user", "ann");
    fleet.socket(2).join("a").unwrap();
    let all: BTreeSet<_> = fleet.clients.iter().map(|client| client.id.clone()).collect();
    for at in 0..3 {
        let everybody = fleet.server(at).fetch_sockets().await.unwrap();
        assert!(everybody.is_complete());
        assert_eq!(everybody.iter().map(|socket| socket.id().to_owned()).collect::<BTreeSet<_>>(), all);
    }
    let found = fleet.server(0).to("b").fetch_sockets().await.unwrap();
    assert_eq!(found.len(), 1);
    let socket = &found.answers[0];
    assert_eq!(socket.id(), fleet.clients[1].id);
    let rooms: BTreeSet<_> = socket.rooms().iter().map(|room| room.to_string()).collect();
    assert_eq!(rooms, BTreeSet::from([fleet.clients[1].id.clone(), "a".to_owned(), "b".to_owned()]));
    assert_eq!(socket.data()["user"], "ann");
    assert_eq!(socket.handshake()["query"]["transport"], "websocket");
    let handshake = socket.handshake();
    assert_eq!(handshake["headers"]["host"], "test");
    let fields: BTreeSet<_> = handshake.as_object().unwrap().keys().map(String::as_str).collect();
    // As of the official server; whoever joins it in a cluster reads them.
    let official = ["address", "auth", "headers", "issued", "query", "secure", "time", "url", "xdomain"];
    assert_eq!(fields, BTreeSet::from(official));
    assert!(handshake["time"].as_str().unwrap().ends_with(" GMT+0000 (Coordinated Universal Time)"), "{handshake}");
    assert_eq!(*handshake, fleet.socket(1).handshake());
    let found = ids(&fleet.server(0).to("a").except("b")).await;
    assert_eq!(found, BTreeSet::from([fleet.clients[2].id.clone()]));
}

/// By room, by id, and all.
pub async fn sockets_join_and_leave_rooms<C: Cluster>() {
    let fleet = Fleet::<C>::of(3).await;
    let server = fleet.server(0);
    let members = |room: &'static str, expected: &'static [usize]| {
        let emit = server.to(room);
        let expected: BTreeSet<_> = expected.iter().map(|at| fleet.clients[*at].id.clone()).collect();
        async move { eventually(room, || async { ids(&emit).await == expected }).await }
    };
    server.to(fleet.clients[1].id.as_str()).sockets_join(["one", "two"]);
    members("one", &[1]).await;
    members("two", &[1]).await;
    server.sockets_join("all");
    members("all", &[0, 1, 2]).await;
    server.except("one").sockets_leave("all");
    members("all", &[1]).await;
    server.to("one").sockets_leave(["one", "two"]);
    members("one", &[]).await;
    members("two", &[]).await;
    members("all", &[1]).await;
}

/// From the namespace, or altogether.
pub async fn sockets_are_disconnected<C: Cluster>() {
    let mut fleet = Fleet::<C>::of(3).await;
    fleet.socket(1).join("out").unwrap();
    fleet.server(0).to("out").disconnect_sockets(false);
    assert_eq!(fleet.clients[1].text().await, "41");
    fleet.server(0).to(fleet.clients[2].id.as_str()).disconnect_sockets(true);
    assert_eq!(fleet.clients[2].text().await, "41");
    fleet.clients[2].socket.closed().await;
    let server = fleet.server(0).clone();
    let left = BTreeSet::from([fleet.clients[0].id.clone()]);
    eventually("one is left", || async { ids(&server.to([] as [&str; 0])).await == left }).await;
}

/// Nothing of it is told to other nodes.
pub async fn what_is_local_stays_local<C: Cluster>() {
    let mut fleet = Fleet::<C>::of(2).await;
    let server = fleet.server(0);
    assert_eq!(ids(&server.local()).await, BTreeSet::from([fleet.clients[0].id.clone()]));
    server.local().sockets_join("r");
    server.sockets_join("s");
    eventually("both are in the room", || async { ids(&server.to("s")).await.len() == 2 }).await;
    assert_eq!(ids(&server.to("r")).await, BTreeSet::from([fleet.clients[0].id.clone()]));
    server.local().sockets_leave("s");
    server.local().disconnect_sockets(false);
    assert_eq!(fleet.clients[0].text().await, "41");
    fleet.server(0).to(fleet.clients[1].id.as_str()).emit("last", ());
    assert_eq!(fleet.clients[1].text().await, "42[\"last\"]", "it was not disconnected");
    assert_eq!(ids(&fleet.server(1).to("s")).await, BTreeSet::from([fleet.clients[1].id.clone()]));
}

/// The others' sockets are found.
pub async fn a_node_that_is_cut_off_is_missing<C: Cluster>() {
    let mut options = ClusterOptions::default();
    options.request_timeout = Duration::from_secs(60);
    let fleet = Fleet::<C>::with(3, options).await;
    fleet.cluster.cut(fleet.name(1));
    let start = Instant::now();
    let found = fleet.server(0).timeout(Duration::from_secs(2)).fetch_sockets().await.unwrap();
    assert_eq!((found.len(), found.missing.len()), (2, 1));
    if fleet.cluster.names_nodes() {
        assert_eq!(found.missing, [fleet.name(1)]);
    }
    assert!(start.elapsed() < Duration::from_secs(30), "the question's own time holds: {:?}", start.elapsed());
    assert_eq!(fleet.nodes[0].metrics.requests_incomplete.value(), 1);
}

/// A thousand at once, where a hundred are allowed.
pub async fn questions_stay_within_their_bound<C: Cluster>() {
    let mut options = ClusterOptions::default();
    options.max_requests = 100;
    let fleet = Fleet::<C>::with(2, options).await;
    let asking: Vec<_> = (0..1000)
        .map(|_| {
            let server = fleet.server(0).clone();
            tokio::spawn(async move { server.fetch_sockets().await })
        })
        .collect();
    let (mut answered, mut refused) = (0, 0);
    for result in asking {
        match result.await.unwrap() {
            Ok(found) => {
                assert_eq!((found.len(), found.is_complete()), (2, true));
                answered += 1;
            }
            Err(AdapterError::Busy(_)) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(answered >= 100, "{answered}");
    assert_eq!(answered + refused, 1000);
    assert_eq!(fleet.nodes[0].metrics.requests_refused.value(), refused);
    assert!(fleet.server(0).fetch_sockets().await.unwrap().is_complete(), "there is room again");
}

/// They take no room.
pub async fn questions_that_nobody_waits_for_are_forgotten<C: Cluster>() {
    let mut options = ClusterOptions::default();
    options.max_requests = 10;
    let fleet = Fleet::<C>::with(2, options).await;
    fleet.cluster.cut(fleet.name(1));
    for _ in 0..20 {
        let asking = fleet.server(0).timeout(Duration::from_secs(60));
        assert!(tokio::time::timeout(Duration::from_millis(1), asking.fetch_sockets()).await.is_err());
    }
    assert_eq!(fleet.nodes[0].metrics.requests_refused.value(), 0);
}
