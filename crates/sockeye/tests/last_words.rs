//! What was said to a client of a plain socket reaches it before the socket is closed, however many have their turn at once.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::net::Shutdown;

use sockeye::{Ack, Args, NotFound, Server, Socket};
use sockeye_websocket::{OpCode, write_masked_close, write_masked_frame};
use support::{Got, WebSocket};
use tokio::net::{TcpListener, TcpStream};

/// More than have their turn before anything is written.
const CLIENTS: usize = 40;

/// Clients of a server, and a second handle of the socket of each.
async fn clients() -> Vec<(WebSocket, std::net::TcpStream)> {
    let io = Server::new();
    io.on("echo", |args: Args, ack: Ack| ack.send(args));
    io.on("leave", |socket: Socket| {
        socket.emit("goodbye", ());
        socket.disconnect_connection();
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { io.serve(listener, NotFound).await });
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let stream = TcpStream::connect(address).await.unwrap().into_std().unwrap();
        let handle = stream.try_clone().unwrap();
        let stream = TcpStream::from_std(stream).unwrap();
        let mut client = WebSocket::open_on(stream, "EIO=4&transport=websocket", "").await.unwrap();
        assert!(client.text().await.starts_with('0'));
        client.send("40").await;
        assert!(client.text().await.starts_with("40"));
        clients.push((client, handle));
    }
    clients
}

fn frame(text: &str) -> Vec<u8> {
    let mut frame = Vec::new();
    write_masked_frame(&mut frame, OpCode::Text, false, text.as_bytes(), [1, 2, 3, 4]);
    frame
}

#[tokio::test]
async fn an_answer_comes_before_the_close_frame() {
    let mut clients = clients().await;
    for (client, _) in &mut clients {
        let mut bytes = frame("421[\"echo\",1]");
        write_masked_close(&mut bytes, Some(1000), "", [1, 2, 3, 4]);
        client.write(&bytes).await;
    }
    for (client, _) in &mut clients {
        assert_eq!(client.text().await, "431[1]");
        assert!(matches!(client.next().await, Got::Close(Some(1000))));
        assert!(matches!(client.next().await, Got::End));
    }
}

#[tokio::test]
async fn an_answer_comes_although_the_client_says_no_more() {
    let mut clients = clients().await;
    for (client, handle) in &mut clients {
        client.write(&frame("421[\"echo\",1]")).await;
        handle.shutdown(Shutdown::Write).unwrap();
    }
    for (client, _) in &mut clients {
        assert_eq!(client.text().await, "431[1]");
        assert!(matches!(client.next().await, Got::End));
    }
}

#[tokio::test]
async fn what_a_handler_says_comes_before_the_end_that_it_makes() {
    let mut clients = clients().await;
    for (client, _) in &mut clients {
        client.write(&[frame("421[\"echo\",1]"), frame("42[\"leave\"]")].concat()).await;
    }
    for (client, _) in &mut clients {
        assert_eq!(client.text().await, "431[1]");
        assert_eq!(client.text().await, "42[\"goodbye\"]");
        assert_eq!(client.text().await, "41");
        client.closed().await;
    }
}
