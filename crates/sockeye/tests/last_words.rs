//! What was said to a client of a plain socket reaches it before the socket is closed, however many have their turn at once.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sockeye::{Ack, Args, Limits, NotFound, Server, Socket};
use sockeye_websocket::{OpCode, write_masked_close, write_masked_frame};
use support::{Got, WebSocket};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// More than have their turn before anything is written.
const CLIENTS: usize = 40;

/// Clients of a server, and a second handle of the socket of each.
async fn clients() -> Vec<(WebSocket, std::net::TcpStream)> {
    clients_of(Server::new()).await
}

async fn clients_of(io: Server) -> Vec<(WebSocket, std::net::TcpStream)> {
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

/// A client that is still sending when it is told that its message is too large: it sees the code, and not a reset, and has not to
/// wait for the end.
#[tokio::test]
async fn who_breaks_the_protocol_sees_the_code_at_once() {
    let mut clients = clients().await;
    let mut too_large = vec![0x81, 0xff, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 1, 2, 3, 4];
    too_large.resize(300_000, 0);
    for (bytes, code) in [(&too_large[..], 1009), (&[0x83, 0x80, 1, 2, 3, 4][..], 1002)] {
        for (client, _) in clients.drain(..20) {
            let (mut client, started) = (client, Instant::now());
            client.write(bytes).await;
            assert_eq!(client.next().await, Got::Close(Some(code)));
            assert_eq!(client.next().await, Got::End, "our side ends behind the close frame");
            client.write(&vec![0; 100_000]).await;
            client.close().await;
            assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        }
    }
}

/// One that never closes is let go of after a while.
#[tokio::test]
async fn the_connection_of_who_breaks_the_protocol_ends_with_the_client() {
    let mut limits = Limits::default();
    limits.close_timeout = Duration::from_secs(60);
    let io = Server::builder().limits(limits).build();
    let mut clients = clients_of(io.clone()).await;
    for (client, _) in &mut clients {
        client.write(&[0x83, 0x80, 1, 2, 3, 4]).await;
        assert_eq!(client.next().await, Got::Close(Some(1002)));
    }
    drop(clients);
    // The close would wait for the sockets of clients that have not gone.
    tokio::time::timeout(Duration::from_secs(30), io.close()).await.expect("all have ended");
}

/// A stop tells a long-polling client that asks on a connection of its own.
#[tokio::test]
async fn a_stop_is_told_to_who_comes_for_it() {
    let io = Server::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn({
        let io = io.clone();
        async move { io.serve(listener, NotFound).await }
    });
    let get = |query: String| async move {
        let mut stream = TcpStream::connect(address).await?;
        let request =
            format!("GET /socket.io/?EIO=4&transport=polling{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut response = String::new();
        stream.read_to_string(&mut response).await?;
        std::io::Result::Ok(response)
    };
    let opened = get(String::new()).await.unwrap();
    let sid = opened.split("\"sid\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap().to_owned();
    let closing = tokio::spawn({
        let io = io.clone();
        async move { io.close().await }
    });
    io.closing().await;
    let told = get(format!("&sid={sid}")).await.unwrap();
    assert!(told.ends_with("6\u{1e}1"), "{told}");
    tokio::time::timeout(Duration::from_secs(30), closing).await.expect("it ends").unwrap();
    tokio::time::timeout(Duration::from_secs(30), serving).await.expect("it ends").unwrap();
    assert!(get(String::new()).await.is_err(), "nobody listens");
}

/// A client that sends without a pause does not keep its neighbour waiting. The time is far more than it takes, and far less than it
/// took when the turns of one piled up.
#[tokio::test]
async fn a_flood_leaves_its_neighbour_its_turns() {
    let mut clients = clients().await;
    let (mut neighbour, _) = clients.pop().unwrap();
    let (_reader, mut flooder) = clients.pop().unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let until = over.clone();
    let flooding = std::thread::spawn(move || {
        flooder.set_nonblocking(false).unwrap();
        let events = frame("42[\"none\"]").repeat(1_000);
        let mut count = 0;
        while !until.load(Ordering::Relaxed) && std::io::Write::write_all(&mut flooder, &events).is_ok() {
            count += 1_000;
        }
        count
    });
    let calls = async {
        for _ in 0..100 {
            neighbour.send("421[\"echo\",1]").await;
            assert_eq!(neighbour.text().await, "431[1]");
        }
    };
    let done = tokio::time::timeout(Duration::from_secs(30), calls).await;
    over.store(true, Ordering::Relaxed);
    let sent = tokio::task::spawn_blocking(move || flooding.join().unwrap()).await.unwrap();
    assert!(sent > 0);
    done.expect("the neighbour has its turns");
}

/// A program whose `main` ends with `listen` delivers what it sent before the close.
#[tokio::test]
async fn serving_ends_when_the_close_is_over() {
    let timeout = Duration::from_millis(500);
    let mut limits = Limits::default();
    limits.close_timeout = timeout;
    let io = Server::builder().limits(limits).build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn({
        let io = io.clone();
        async move { io.serve(listener, NotFound).await }
    });
    let stream = TcpStream::connect(address).await.unwrap();
    let mut client = WebSocket::open_on(stream, "EIO=4&transport=websocket", "").await.unwrap();
    assert!(client.text().await.starts_with('0'));
    client.send("40").await;
    assert!(client.text().await.starts_with("40"));
    let begun = Instant::now();
    io.emit("last", 1);
    // The client does not read, nor answer the close: it is waited for.
    io.close().await;
    serving.await.unwrap();
    assert!(begun.elapsed() >= timeout, "{:?}", begun.elapsed());
    assert_eq!(client.text().await, "42[\"last\",1]");
}

/// Also when nobody waits for the close any more.
#[tokio::test]
async fn a_close_that_is_dropped_ends_the_serving() {
    let io = Server::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let serving = tokio::spawn({
        let io = io.clone();
        async move { io.serve(listener, NotFound).await }
    });
    io.start();
    tokio::select! {
        biased;
        () = io.close() => {}
        () = std::future::ready(()) => {}
    }
    tokio::time::timeout(Duration::from_secs(20), serving).await.unwrap().unwrap();
}
