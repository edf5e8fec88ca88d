//! What an idle connection costs: live heap bytes, counted by the allocator, so that it is the same on every machine.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::alloc::System;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use cap::Cap;
use sockeye::Server;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

const CONNECTIONS: usize = 500;
/// What the allocator adds, and the room that tables keep to grow, comes on top of these.
const MOST: usize = 900;

fn connect(port: u16) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream
        .write_all(
            b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
              Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .unwrap();
    read_until(&mut stream, b"maxPayload");
    // A text frame `40`, masked with zeros.
    stream.write_all(&[0x81, 0x82, 0, 0, 0, 0, b'4', b'0']).unwrap();
    read_until(&mut stream, b"40{\"sid\"");
    stream
}

fn read_until(stream: &mut TcpStream, text: &[u8]) {
    let mut seen = Vec::new();
    let mut buffer = [0; 1024];
    while !seen.windows(text.len()).any(|window| window == text) {
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "closed after {:?}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&buffer[..count]);
    }
}

#[test]
fn an_idle_websocket_connection_is_small() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let port = listener.local_addr().unwrap().port();
    let io = Server::new();
    io.on("echo", |socket: sockeye::Socket, args: sockeye::Args| socket.emit("echo", args));
    runtime.spawn(async move { io.serve(listener, sockeye::NotFound).await });

    // The first ones pay for what all share.
    let mut connections: Vec<_> = (0..CONNECTIONS).map(|_| connect(port)).collect();
    std::thread::sleep(Duration::from_millis(300));
    let before = ALLOCATOR.allocated();
    connections.reserve(CONNECTIONS);
    let reserved = ALLOCATOR.allocated() - before;
    connections.extend((0..CONNECTIONS).map(|_| connect(port)));
    std::thread::sleep(Duration::from_millis(300));
    let each = (ALLOCATOR.allocated() - before - reserved) / CONNECTIONS;
    println!("live heap bytes per idle connection: {each}");
    assert!(each <= MOST, "an idle connection holds {each} bytes, more than {MOST}");
}
