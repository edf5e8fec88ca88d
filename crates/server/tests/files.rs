//! What happens when the process may open no more files.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::time::Duration;

use serde_json::json;
use support::{Client, Process};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

async fn connect(server: &Process, from: u8) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, from], 0).into()).unwrap();
    socket.connect(server.address).await.unwrap()
}

/// Opens a WebSocket that joins no namespace.
async fn open(server: &Process, from: u8) -> TcpStream {
    let mut stream = connect(server, from).await;
    let request = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// Nobody is served at all if one address can hold every file that the process may open: each of its sessions for 45 s.
#[tokio::test]
async fn one_address_that_holds_all_files_gives_some_back() {
    let server = Process::start([]);
    let mut welcome = Client::connect(server.address, json!({})).await;
    let pid = i32::try_from(server.pid()).unwrap();
    let open_now = u64::try_from(std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()).unwrap();
    let most = open_now + 40;
    rlimit::prlimit(pid, rlimit::Resource::NOFILE, Some((most, most)), None).unwrap();
    let mut greedy = Vec::new();
    for _ in 0..20 {
        let mut stream = open(&server, 2).await;
        assert!(stream.read(&mut [0; 64]).await.unwrap() > 0);
        greedy.push(stream);
    }
    for _ in 0..60 {
        greedy.push(connect(&server, 2).await);
    }
    for _ in 0..60 {
        greedy.push(open(&server, 2).await);
    }
    // Well before their time is over.
    let served = async {
        let mut clients = Vec::new();
        for _ in 0..10 {
            clients.push(Client::connect(server.address, json!({})).await);
        }
        welcome.assert_quiet().await;
        clients
    };
    tokio::time::timeout(Duration::from_secs(9), served).await.expect("others are served");
}
