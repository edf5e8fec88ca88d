//! Where handlers run: in the runtime, or on threads of the shards, as many as the runtime has workers.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fs;
use std::time::{Duration, Instant};

use sockeye::{NotFound, Server, Socket};
use support::WebSocket;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

/// The threads of shards. There is one test here, so they are its own.
fn shard_threads() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap().filter_map(Result::ok);
    let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| name.starts_with("sockeye-shard")).count()
}

fn until_threads(count: usize) {
    let limit = Instant::now() + Duration::from_secs(20);
    while shard_threads() != count {
        assert!(Instant::now() < limit, "there are {} threads of shards, not {count}", shard_threads());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Serves in the runtime, and a client has an event handled: on the thread whose name is given back.
fn serve(runtime: &Runtime, dedicated: bool) -> (Server, String) {
    let io = Server::builder().dedicated_threads(dedicated).build();
    io.on("where", |socket: Socket| {
        let name = std::thread::current().name().unwrap_or_default().to_owned();
        let timer = tokio::time::sleep(Duration::from_millis(1));
        socket.emit("here", &name);
        async move {
            timer.await;
            socket.emit("there", name);
        }
    });
    let served = io.clone();
    let handled_on = runtime.block_on(async move {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { served.serve(listener, NotFound).await });
        let stream = TcpStream::connect(address).await.unwrap();
        let mut client = WebSocket::open_on(stream, "EIO=4&transport=websocket", "").await.unwrap();
        assert!(client.text().await.starts_with('0'));
        client.send("40").await;
        assert!(client.text().await.starts_with("40"));
        client.send(r#"42["where"]"#).await;
        let here = client.text().await;
        assert_eq!(client.text().await, here.replace("here", "there"));
        here
    });
    (io, handled_on)
}

#[test]
fn each_shard_has_a_thread_until_its_server_or_its_runtime_is_gone() {
    let single = Builder::new_current_thread().enable_all().build().unwrap();
    let runtime = Builder::new_multi_thread().worker_threads(3).enable_all().build().unwrap();
    for (runtime, dedicated) in [(&single, true), (&runtime, false)] {
        let (_io, handled_on) = serve(runtime, dedicated);
        assert!(!handled_on.contains("sockeye-shard"), "{handled_on}");
        assert_eq!(shard_threads(), 0);
    }

    let (io, handled_on) = serve(&runtime, true);
    assert!(handled_on.contains("sockeye-shard-"), "{handled_on}");
    assert_eq!(shard_threads(), 3);
    runtime.block_on(io.close());
    drop(io);
    until_threads(0);

    let (_io, _) = serve(&runtime, true);
    assert_eq!(shard_threads(), 3);
    drop(runtime);
    until_threads(0);
}
