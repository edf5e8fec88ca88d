//! When too many handlers wait: what passes by, what waits, and that nothing is stuck or lost.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::time::Duration;

use sockeye::{Ack, Bound, CloseReason, Data, Limits, Server, Socket};
use support::{Got, Polling, WebSocket};

fn server(max_handlers: usize) -> Server {
    let mut limits = Limits::default();
    limits.max_handlers = max_handlers;
    let server = Server::builder().limits(limits).build();
    server.on("work", |Data(seconds): Data<u64>, ack: Ack| async move {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        ack.send(seconds);
    });
    server.on("ask", |socket: Socket, ack: Ack| async move {
        let answer: Result<u8, _> = socket.emit_with_ack("question", ()).await;
        ack.send(answer.unwrap_or(0));
    });
    server
}

#[tokio::test(start_paused = true)]
async fn heartbeats_go_on_after_a_pause() {
    let server = server(1);
    let (mut client, _) = WebSocket::joined(&server).await;
    client.answers_pings = false;
    client.send("421[\"work\",1]").await;
    client.send("422[\"work\",1]").await;
    assert_eq!(client.text().await, "431[1]");
    assert_eq!(client.text().await, "432[1]");
    assert_eq!(server.metrics().reached(Bound::Handlers), 1);
    assert_eq!(client.text().await, "2", "it is pinged");
    assert_eq!(client.closed().await, None, "and missed, when it does not answer");
    assert_eq!(server.metrics().closed(CloseReason::PingTimeout), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_is_pinged_during_a_pause_and_not_missed() {
    let server = server(1);
    let (mut client, _) = WebSocket::joined(&server).await;
    for n in 1..=3 {
        client.send(&format!("42{n}[\"work\",100]")).await;
    }
    client.answers_pings = false;
    let mut pings = 0;
    loop {
        match client.next().await {
            Got::Text(text) if text == "2" => {
                pings += 1;
                client.send("3").await;
            }
            Got::Text(text) if text == "433[100]" => break,
            Got::Text(text) => assert!(text.starts_with("43"), "{text}"),
            got => panic!("{got:?}"),
        }
    }
    assert!(pings >= 6, "{pings} pings in 300 s");
}

#[tokio::test(start_paused = true)]
async fn acknowledgements_pass_by_events_that_wait() {
    let server = server(2);
    let (mut client, _) = WebSocket::joined(&server).await;
    // Two handlers wait for an answer of the client; the third event waits behind them, and the answers come after it.
    client.send("421[\"ask\"]").await;
    client.send("422[\"ask\"]").await;
    client.send("423[\"work\",0]").await;
    assert_eq!(client.text().await, "420[\"question\"]");
    assert_eq!(client.text().await, "421[\"question\"]");
    client.send("430[7]").await;
    client.send("431[8]").await;
    let mut answers = [client.text().await, client.text().await, client.text().await];
    answers.sort();
    assert_eq!(answers, ["431[7]", "432[8]", "433[0]"]);
}

#[tokio::test(start_paused = true)]
async fn events_keep_their_order_through_the_backlog() {
    let server = server(2);
    server.on("note", |socket: Socket, Data(n): Data<u32>| socket.emit("noted", n));
    let (mut client, _) = WebSocket::joined(&server).await;
    client.send("421[\"work\",1]").await;
    client.send("422[\"work\",1]").await;
    for n in 0..20 {
        client.send(&format!("42[\"note\",{n}]")).await;
    }
    client.send("41").await;
    client.send("40").await;
    let mut noted = Vec::new();
    loop {
        let text = client.text().await;
        if text.starts_with("40{") {
            break;
        }
        if let Some(n) = text.strip_prefix("42[\"noted\",") {
            noted.push(n.trim_end_matches(']').parse::<u32>().unwrap());
        }
    }
    assert_eq!(noted, (0..20).collect::<Vec<_>>(), "the disconnect waits behind the events");
}

#[tokio::test(start_paused = true)]
async fn a_post_is_answered_while_its_events_wait() {
    let server = server(1);
    let polling = Polling::joined(&server).await;
    assert_eq!(polling.post("421[\"ask\"]\u{1e}422[\"work\",0]").await, (200, "ok".to_owned()));
    assert_eq!(polling.get().await, (200, "420[\"question\"]".to_owned()));
    assert_eq!(polling.post("430[5]").await, (200, "ok".to_owned()));
    let mut answers = Vec::new();
    while answers.len() < 2 {
        answers.extend(polling.get().await.1.split('\u{1e}').map(str::to_owned));
    }
    assert_eq!(answers, ["431[5]", "432[0]"]);
}

#[tokio::test(start_paused = true)]
async fn attachments_of_a_client_in_no_namespace_are_not_held() {
    let server = server(1);
    let mut client = WebSocket::open(&server, "EIO=4&transport=websocket").await;
    client.text().await;
    client.send("451-[\"x\",{\"_placeholder\":true,\"num\":0}]").await;
    assert_eq!(client.closed().await, None);
    assert_eq!(server.metrics().closed(CloseReason::ForcedServerClose), 1);
}

/// On real sockets: only there does the operating system hold back what is written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_while_it_is_written_to_leaves_nothing_behind() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let server = server(10);
    server.on("flood", |socket: Socket| {
        for _ in 0..60 {
            socket.emit("data", "x".repeat(50_000));
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn({
        let server = server.clone();
        async move { server.serve(listener, sockeye::NotFound).await }
    });
    for _ in 0..10 {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream
            .write_all(
                b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\n\
                  Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            )
            .await
            .unwrap();
        let mut buffer = [0; 1024];
        let _head = stream.read(&mut buffer).await.unwrap();
        // `40`, `42["flood"]` and a close frame, masked with zeros.
        stream.write_all(b"\x81\x82\0\0\0\0\x34\x30\x81\x8b\0\0\0\0").await.unwrap();
        stream.write_all(b"42[\"flood\"]").await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        stream.write_all(b"\x88\x80\0\0\0\0").await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let start = std::time::Instant::now();
    server.close().await;
    assert!(start.elapsed() < Duration::from_secs(3), "tasks were left behind: {:?}", start.elapsed());
    assert_eq!(server.metrics().connections.value(), 0);
    serving.await.unwrap();
}
