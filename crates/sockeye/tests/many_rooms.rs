//! Clients in very many rooms: joining, leaving and disconnecting cost the same for each room, and hold up nobody.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic, and tells what it measured")]

mod support;

use std::time::{Duration, Instant};

use sockeye::{Ack, Data, Emit, Server, Socket};
use support::WebSocket;
use tokio::net::{TcpListener, TcpStream};

const CLIENTS: usize = 20;
const ROOMS: usize = 10_000;
/// For all together, on a machine that is busy with other things. When each room was looked for in a list it took longer.
const LIMIT: Duration = Duration::from_secs(90);

async fn serve() -> (Server, u16) {
    let server = Server::new();
    server.on("join", |socket: Socket, Data(room): Data<u32>| socket.join(room.to_string()));
    server.on("leave", |socket: Socket, Data(room): Data<u32>| socket.leave(room.to_string()));
    server.on("echo", |ack: Ack| ack.send(()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn({
        let server = server.clone();
        async move { server.serve(listener, sockeye::NotFound).await }
    });
    (server, port)
}

async fn connect(port: u16) -> WebSocket {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let mut client = WebSocket::open_on(stream, "EIO=4&transport=websocket", "").await.unwrap();
    client.text().await;
    client.send("40").await;
    assert!(client.text().await.starts_with("40"));
    client
}

async fn echo(client: &mut WebSocket) {
    client.send("421[\"echo\"]").await;
    assert_eq!(client.text().await, "431[]");
}

/// An event for each room, from each client at once; all have been handled when this is done.
async fn each_room(clients: Vec<WebSocket>, event: &'static str) -> Vec<WebSocket> {
    let tasks: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            tokio::spawn(async move {
                for room in 0..ROOMS {
                    client.send(&format!("42[\"{event}\",{room}]")).await;
                }
                echo(&mut client).await;
                client
            })
        })
        .collect();
    let mut clients = Vec::new();
    for task in tasks {
        clients.push(task.await.unwrap());
    }
    clients
}

/// The median and the 99th percentile of a neighbour's echoes, for as long as `work` takes.
async fn beside<T>(port: u16, what: &str, work: impl Future<Output = T>) -> T {
    let neighbour = tokio::spawn(async move {
        let (mut client, mut times) = (connect(port).await, Vec::new());
        loop {
            let begun = Instant::now();
            echo(&mut client).await;
            times.push(begun.elapsed());
            if times.len() == 100_000 {
                return times;
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(5)) => {}
                () = STOP.notified() => return times,
            }
        }
    });
    let begun = Instant::now();
    let result = work.await;
    let took = begun.elapsed();
    STOP.notify_one();
    let mut times = neighbour.await.unwrap();
    times.sort_unstable();
    let at = |part: usize| times[(times.len() - 1) * part / 100];
    println!("{what}: {took:?}; a neighbour: median {:?}, p99 {:?}, most {:?}", at(50), at(99), at(100));
    result
}

static STOP: tokio::sync::Notify = tokio::sync::Notify::const_new();

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joining_leaving_and_disconnecting_with_ten_thousand_rooms_each() {
    let all = async {
        let (server, port) = serve().await;
        let count = |server: &Server| server.main_namespace().sockets().rooms().len();
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            clients.push(connect(port).await);
        }
        clients = beside(port, "joining", each_room(clients, "join")).await;
        assert_eq!(count(&server), ROOMS);
        clients = beside(port, "leaving", each_room(clients, "leave")).await;
        assert_eq!(count(&server), 0);
        clients = each_room(clients, "join").await;
        let to_all: Emit = server.to("5");
        beside(port, "disconnecting", async {
            drop(clients);
            while count(&server) > 0 {
                // Who is gone gets nothing and is counted nowhere, even while it is still in rooms.
                let sockets = server.main_namespace().sockets().sockets(&sockeye::Target::default());
                to_all.emit("e", ());
                assert!(sockets.len() <= CLIENTS + 1);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    };
    tokio::time::timeout(LIMIT, all).await.expect("it takes the same time for each room");
}

#[tokio::test]
async fn one_that_is_gone_is_found_in_no_room() {
    let server = Server::new();
    let (mut client, id) = WebSocket::joined(&server).await;
    let socket = server.main_namespace().sockets().socket(&id).unwrap();
    let rooms: Vec<_> = (0..ROOMS).map(|room| room.to_string()).collect();
    socket.join(rooms).unwrap();
    let sockets = || {
        let mut target = sockeye::Target::default();
        target.rooms.extend((0..ROOMS).map(|room| room.to_string().into()));
        server.main_namespace().sockets().sockets(&target).len()
    };
    assert_eq!(sockets(), 1);
    client.send("41").await;
    let gone = async {
        while socket.is_connected() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gone).await.unwrap();
    assert!(socket.rooms().is_empty());
    assert_eq!(sockets(), 0, "though it has not left all rooms yet");
    assert!(!server.main_namespace().sockets().rooms().is_empty(), "it leaves some at a time");
    let left = async {
        while !server.main_namespace().sockets().rooms().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), left).await.unwrap();
}
