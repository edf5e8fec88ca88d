//! A client that an adapter holds is told nothing, over whatever transport, and then everything in order.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::time::Duration;

use sockeye::adapter::Hold;
use sockeye::{CloseReason, Limits, NotFound, Server, Socket};
use support::{Got, Polling, WebSocket};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// How long it is looked that nothing comes: what is wrong is found mostly, what is right always.
const SILENCE: Duration = Duration::from_millis(50);

fn socket(server: &Server, id: &str) -> Socket {
    server.main_namespace().sockets().socket(id).unwrap()
}

/// A client over a plain socket, which its shard reads and writes.
async fn plain(server: &Server) -> (WebSocket, Socket) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = server.clone();
    tokio::spawn(async move { serving.serve(listener, NotFound).await });
    let stream = TcpStream::connect(address).await.unwrap();
    let mut client = WebSocket::open_on(stream, "EIO=4&transport=websocket", "").await.unwrap();
    assert!(client.text().await.starts_with('0'));
    client.send("40").await;
    let reply = client.text().await;
    let id = reply.strip_prefix("40{\"sid\":\"").and_then(|rest| rest.split('"').next()).unwrap().to_owned();
    (client, socket(server, &id))
}

/// A client over a stream that its own task writes to.
async fn streamed(server: &Server) -> (WebSocket, Socket) {
    let (client, id) = WebSocket::joined(server).await;
    (client, socket(server, &id))
}

/// Emits while two hold the client; all comes when both have let go of it.
async fn what_is_held_comes_in_order((mut client, socket): (WebSocket, Socket)) {
    let holds: [Hold; 2] = [socket.hold(), socket.hold()];
    for number in 0..10 {
        socket.emit("e", number);
    }
    // A client that reads is one that volatile events reach.
    socket.volatile().emit("e", 10);
    for hold in holds {
        assert!(timeout(SILENCE, client.next()).await.is_err(), "it is held");
        drop(hold);
    }
    for number in 0..=10 {
        assert_eq!(client.text().await, format!("42[\"e\",{number}]"));
    }
    socket.emit("e", 11);
    assert_eq!(client.text().await, "42[\"e\",11]");
}

#[tokio::test]
async fn a_plain_socket_is_held() {
    what_is_held_comes_in_order(plain(&Server::new()).await).await;
}

#[tokio::test]
async fn a_stream_is_held() {
    what_is_held_comes_in_order(streamed(&Server::new()).await).await;
}

#[tokio::test(start_paused = true)]
async fn a_get_waits() {
    let server = Server::new();
    let client = Polling::joined(&server).await;
    let sockets = server.main_namespace().adapter().fetch_sockets(sockeye::Target::default()).await.unwrap();
    let socket = socket(&server, &sockets.answers[0].id);
    let hold = socket.hold();
    socket.emit("e", 1);
    let mut get = std::pin::pin!(client.get());
    assert!(timeout(SILENCE, &mut get).await.is_err(), "it is held");
    drop(hold);
    assert_eq!(get.await, (200, "42[\"e\",1]".to_owned()));
}

/// A session that ends says everything first.
async fn the_end_is_not_held((mut client, socket): (WebSocket, Socket)) {
    let hold = socket.hold();
    socket.emit("last", ());
    socket.disconnect_connection();
    assert_eq!(client.text().await, "42[\"last\"]");
    loop {
        match client.next().await {
            Got::Text(text) => assert_eq!(text, "41"),
            Got::Close(_) | Got::End => break,
            Got::Binary(_) => panic!("nothing else was sent"),
        }
    }
    drop(hold);
}

#[tokio::test]
async fn the_end_of_a_plain_socket_is_not_held() {
    the_end_is_not_held(plain(&Server::new()).await).await;
}

#[tokio::test]
async fn the_end_of_a_stream_is_not_held() {
    the_end_is_not_held(streamed(&Server::new()).await).await;
}

#[tokio::test]
async fn the_outbox_keeps_its_bound() {
    let mut limits = Limits::default();
    limits.max_outbox_bytes = 10_000;
    let server = Server::builder().limits(limits).build();
    for (mut client, socket) in [plain(&server).await, streamed(&server).await] {
        let _hold = socket.hold();
        for number in 0..1_000 {
            socket.emit("e", number);
        }
        while !matches!(client.next().await, Got::End) {}
    }
    assert_eq!(server.metrics().closed(CloseReason::SlowConsumer), 2);
}
