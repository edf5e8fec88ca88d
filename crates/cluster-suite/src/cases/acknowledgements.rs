//! Broadcasts that clients acknowledge.

use std::time::Duration;

use sockeye::{Args, BroadcastAckError, BroadcastError, Server, Value};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::{Cluster, Fleet};

type Asking = JoinHandle<Result<Vec<u32>, BroadcastError>>;

fn ask(server: &Server, timeout: Duration) -> Asking {
    let server = server.clone();
    tokio::spawn(async move { server.timeout(timeout).emit_with_ack::<u32>("q", "x").await })
}

async fn incomplete(asking: Asking) -> BroadcastAckError {
    match asking.await.unwrap() {
        Err(BroadcastError::Incomplete(error)) => error,
        other => panic!("expected an incomplete broadcast, got {other:?}"),
    }
}

fn numbers(responses: &[Args]) -> Vec<u32> {
    let mut numbers: Vec<u32> = responses.iter().map(|args| args.deserialize().unwrap()).collect();
    numbers.sort_unstable();
    numbers
}

/// Several on each node.
pub async fn all_clients_acknowledge<C: Cluster>() {
    let mut fleet = Fleet::<C>::of(3).await;
    let mut more = fleet.client(1).await;
    let asking = ask(fleet.server(0), LONG);
    for at in [2, 0, 1] {
        assert_eq!(fleet.clients[at].answer(&at.to_string()).await, "[\"q\",\"x\"]");
    }
    more.answer("3").await;
    let mut responses = asking.await.unwrap().unwrap();
    responses.sort_unstable();
    assert_eq!(responses, [0, 1, 2, 3]);
}

/// An attachment in an answer.
pub async fn binary_acknowledgements<C: Cluster>() {
    let mut fleet = Fleet::<C>::of(2).await;
    let server = fleet.server(0).clone();
    let id = fleet.clients[1].id.clone();
    let asking = tokio::spawn(async move { server.to(id).timeout(LONG).emit_with_ack::<Value>("q", ()).await });
    let (id, _) = fleet.clients[1].question().await;
    fleet.clients[1].socket.send(&format!("461-{id}[{{\"_placeholder\":true,\"num\":0}}]")).await;
    fleet.clients[1].socket.send_binary(&[7, 8]).await;
    let responses = asking.await.unwrap().unwrap();
    assert!(matches!(&responses[..], [Value::Binary(data)] if data[..] == [7, 8]), "{responses:?}");
}

/// What the others said is there.
pub async fn a_silent_client_is_counted<C: Cluster>() {
    let mut fleet = Fleet::<C>::of(3).await;
    let asking = ask(fleet.server(0), SHORT);
    fleet.clients[0].answer("0").await;
    fleet.clients[1].answer("1").await;
    let error = incomplete(asking).await;
    assert_eq!((numbers(&error.responses), error.expected, error.missing), (vec![0, 1], 3, Vec::new()));
}

/// The others' answers are there, and its name.
pub async fn a_node_that_is_cut_off_is_named<C: Cluster>() {
    let mut fleet = Fleet::<C>::of(3).await;
    fleet.cluster.cut(fleet.name(2));
    let asking = ask(fleet.server(0), SHORT);
    fleet.clients[0].answer("0").await;
    fleet.clients[1].answer("1").await;
    let error = incomplete(asking).await;
    assert_eq!((numbers(&error.responses), error.expected), (vec![0, 1], 2));
    assert_eq!(error.missing.len(), 1);
    if fleet.cluster.names_nodes() {
        assert_eq!(error.missing, [fleet.name(2)]);
    }
}

/// Only this node's clients hear it.
pub async fn a_local_broadcast_asks_nobody_else<C: Cluster>() {
    let mut fleet = Fleet::<C>::of(2).await;
    let server = fleet.server(0).clone();
    let asking = tokio::spawn(async move { server.local().timeout(LONG).emit_with_ack::<u32>("q", ()).await });
    fleet.clients[0].answer("4").await;
    assert_eq!(asking.await.unwrap().unwrap(), [4]);
    assert!(fleet.received(&[0, 0]).await[1].is_empty());
}

/// A socket that was found on another node.
pub async fn one_socket_elsewhere_answers<C: Cluster>() {
    let mut fleet = Fleet::<C>::of(3).await;
    let id = fleet.clients[2].id.clone();
    let found = fleet.server(0).to(id.as_str()).fetch_sockets().await.unwrap();
    let socket = found.answers.into_iter().next().unwrap();
    assert_eq!(socket.id(), id);
    let asking = tokio::spawn(async move { socket.emit_with_ack::<u32>(LONG, "q", 1).await });
    assert_eq!(fleet.clients[2].answer("9").await, "[\"q\",1]");
    assert_eq!(asking.await.unwrap().unwrap(), 9);
}

/// At once, and it is named.
pub async fn a_node_that_leaves_ends_what_it_owes<C: Cluster>() {
    let mut fleet = Fleet::<C>::of(3).await;
    let start = Instant::now();
    let asking = ask(fleet.server(0), LONG);
    fleet.clients[0].answer("0").await;
    fleet.clients[1].answer("1").await;
    fleet.clients[2].question().await;
    fleet.server(2).close().await;
    let error = incomplete(asking).await;
    assert_eq!(numbers(&error.responses), [0, 1]);
    // Its leave, which is for all, may arrive before its count, which is for one node.
    assert!((2..=3).contains(&error.expected), "{}", error.expected);
    assert_eq!(error.missing, [fleet.name(2)]);
    assert!(start.elapsed() < LONG / 2, "{:?}", start.elapsed());
}

/// This node knows that they are gone.
pub async fn local_clients_that_leave_are_not_waited_for<C: Cluster>() {
    let mut fleet = Fleet::<C>::of(2).await;
    let start = Instant::now();
    let asking = ask(fleet.server(0), LONG);
    fleet.clients[1].answer("1").await;
    fleet.clients[0].question().await;
    fleet.clients[0].socket.send("41").await;
    let error = incomplete(asking).await;
    assert_eq!((numbers(&error.responses), error.expected), (vec![1], 2));
    assert!(start.elapsed() < LONG / 2, "{:?}", start.elapsed());
}

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_secs(1);
