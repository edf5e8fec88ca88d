//! The server on TCP sockets, by its public API: it and its clients share one thread.

use std::net::SocketAddr;
use std::time::Duration;

use sockeye::{Ack, Args, NotFound, Server, Socket};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::client::{Client, frame, frame_len};
use crate::{Operation, Path, TEXT};

pub(crate) const PATHS: &[Path] = &[
    Path { name: "server/connect", runs: 200, per_run: 1, open: connect },
    Path { name: "server/echo", runs: 500, per_run: 1, open: || echo(1) },
    Path { name: "server/echo-100-clients", runs: 50, per_run: 100, open: || echo(100) },
    Path { name: "server/acknowledged-event", runs: 500, per_run: 1, open: acknowledged_event },
    Path { name: "server/broadcast-delivery-100", runs: 400, per_run: 100, open: || deliver(100) },
    Path { name: "server/room-delivery-10-of-100", runs: 2_000, per_run: 10, open: || deliver(10) },
];

/// A server that listens, its clients, and the runtime that they run in.
struct Place {
    runtime: Runtime,
    io: Server,
    address: SocketAddr,
    clients: Vec<Client>,
}

impl Place {
    fn open(clients: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        // No heartbeat comes while something else is measured.
        let io = Server::builder().ping_interval(Duration::from_secs(3600)).build();
        io.on("echo", |socket: Socket, args: Args| socket.emit("echo", args));
        io.on("ack", |args: Args, ack: Ack| ack.send(args));
        io.on("join", |socket: Socket, ack: Ack| {
            let joined = socket.join("room");
            ack.send(());
            joined
        });
        let serving = io.clone();
        let (address, clients) = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let address = listener.local_addr().expect("it is bound");
            tokio::spawn(async move { serving.serve(listener, NotFound).await });
            let mut joined = Vec::new();
            for _ in 0..clients {
                joined.push(Client::join(address).await);
            }
            (address, joined)
        });
        Self { runtime, io, address, clients }
    }

    /// The operation that `run` is, in the runtime.
    fn repeat(self, run: impl AsyncFn(&Server, &mut [Client]) + 'static) -> Operation {
        let Self { runtime, io, mut clients, .. } = self;
        Box::new(move |runs| {
            runtime.block_on(async {
                for _ in 0..runs {
                    run(&io, &mut clients).await;
                }
            });
        })
    }
}

/// Up to the namespace's answer. The connections stay until the operation is run again.
fn connect() -> Operation {
    let Place { runtime, io, address, mut clients } = Place::open(0);
    Box::new(move |runs| {
        let _serving = &io;
        clients.clear();
        runtime.block_on(async {
            for _ in 0..runs {
                clients.push(Client::join(address).await);
            }
        });
    })
}

fn echo(clients: usize) -> Operation {
    let packet = format!("42[\"echo\",\"{TEXT}\"]");
    exchange(clients, &packet, &packet)
}

fn acknowledged_event() -> Operation {
    exchange(1, &format!("427[\"ack\",\"{TEXT}\"]"), &format!("437[\"{TEXT}\"]"))
}

/// Each client sends a packet, all at once, and gets another.
fn exchange(clients: usize, packet: &str, answer: &str) -> Operation {
    let (packet, answer) = (frame(packet), frame_len(answer));
    Place::open(clients).repeat(async move |_, clients| {
        for client in &mut *clients {
            client.send(&packet);
        }
        for client in clients {
            client.receive(answer).await;
        }
    })
}

/// The program emits to this many of a hundred sockets.
fn deliver(recipients: usize) -> Operation {
    let mut place = Place::open(100);
    let (join, joined) = (frame("420[\"join\"]"), frame_len("430[]"));
    let news = frame_len(&format!("42[\"news\",\"{TEXT}\"]"));
    place.runtime.block_on(async {
        for client in &mut place.clients[..recipients] {
            client.send(&join);
            client.receive(joined).await;
        }
    });
    place.repeat(async move |io, clients| {
        match recipients == clients.len() {
            true => io.emit("news", TEXT),
            false => io.to("room").emit("news", TEXT),
        }
        for client in &mut clients[..recipients] {
            client.receive(news).await;
        }
    })
}
