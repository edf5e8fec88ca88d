//! Panics of the program's code where many connections depend on the task that runs it.

mod support;

use std::time::Duration;

use sockeye::adapter::RoomEvent;
use sockeye::{Limits, Server, Socket};
use support::{Polling, WebSocket};

#[tokio::test]
async fn a_room_listener_that_panics_stops_no_timer_and_no_flusher() {
    let mut limits = Limits::default();
    limits.max_outbox_bytes = 64 * 1024;
    // Enough for all to have joined, on a machine that has other things to do.
    let timeout = Duration::from_secs(1);
    let io = Server::builder().ping_interval(timeout).ping_timeout(timeout).limits(limits).build();
    io.main_namespace().sockets().on_room_event(|event| {
        assert!(!matches!(event, RoomEvent::Left(..)), "a mistake of the program");
    });
    io.on("flood", |socket: Socket| {
        tokio::spawn(async move {
            for _ in 0..100 {
                socket.emit("drop", "x".repeat(1000));
            }
        });
    });
    io.on("later", |socket: Socket| async move {
        tokio::time::sleep(Duration::from_millis(1)).await;
        socket.emit("later", ());
    });

    // The timer ends the first, the flusher the others: one on each of its shards at least.
    let _silent = Polling::joined(&io).await;
    for _ in 0..8 {
        let mut slow = WebSocket::open_with(&io, "EIO=4&transport=websocket", "", 4096).await.expect("accepted");
        slow.send("40").await;
        assert!(slow.text().await.starts_with('0'));
        assert!(slow.text().await.starts_with("40"));
        slow.send("42[\"flood\"]").await;
    }
    tokio::time::timeout(Duration::from_secs(30), async {
        while io.metrics().sockets.value() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("all have ended");
    assert!(io.metrics().handler_panics.value() >= 9);

    for _ in 0..8 {
        let (mut client, _) = WebSocket::joined(&io).await;
        client.send("42[\"later\"]").await;
        assert_eq!(client.text_soon().await.as_deref(), Some("42[\"later\"]"));
    }
}
