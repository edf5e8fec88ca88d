//! A server in this process that serves the load contract, and the generator on it.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]
#![allow(dead_code, reason = "each file of tests uses some of it")]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use clap::Parser;
use sockeye::{Ack, Args, ConnectError, Data, JoinError, Namespace, NotFound, Server, Socket, Value};
use sockeye_load::{Bench, Error, Report};
use tokio_rustls::TlsAcceptor;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    bench: Bench,
}

/// Runs `sockeye bench` with these arguments.
pub(crate) fn bench(arguments: &str) -> Result<Report, Error> {
    let command = Command::parse_from(["bench"].into_iter().chain(arguments.split(' ')));
    sockeye_load::run(&command.bench)
}

/// Serves the contract until the tests end, on one thread.
pub(crate) fn serve() -> SocketAddr {
    serve_with(Server::new(), None, |io| {
        contract(&io.main_namespace());
        let load = io.of("/load");
        contract(&load);
        load.on("call", |socket: Socket, args: Args| socket.emit("reply", args));
        io.of("/closed").middleware(|_: Socket| async { Err(ConnectError::new("members only")) });
        io.of("/strict").on("echo", |socket: Socket| socket.disconnect());
        // Swallows every second message.
        let count = AtomicU32::new(0);
        io.of("/lossy").on("echo", move |socket: Socket, args: Args| {
            if count.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) {
                socket.emit("echo", args);
            }
        });
    })
}

/// Serves the echo, and stands still for `pause` at the message with this number.
pub(crate) fn serve_with_pause(number: u32, pause: Duration) -> SocketAddr {
    serve_with(Server::new(), None, move |io| {
        let count = AtomicU32::new(0);
        io.on("echo", move |socket: Socket, args: Args| {
            if count.fetch_add(1, Ordering::Relaxed) == number {
                std::thread::sleep(pause);
            }
            socket.emit("echo", args);
        });
    })
}

/// Serves the contract in `/`, `/ns-1` and `/ns-2`, by a server with other options and perhaps TLS.
pub(crate) fn serve_variant(io: Server, acceptor: Option<TlsAcceptor>) -> SocketAddr {
    serve_with(io, acceptor, |io| {
        for namespace in ["/", "/ns-1", "/ns-2"] {
            contract(&io.of(namespace));
        }
    })
}

fn serve_with(io: Server, tls: Option<TlsAcceptor>, register: impl FnOnce(&Server) + Send + 'static) -> SocketAddr {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            register(&io);
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            let Some(acceptor) = tls else { return io.serve(listener, NotFound).await };
            while let Some((stream, remote)) = io.accept(&listener).await {
                let (io, acceptor) = (io.clone(), acceptor.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        io.serve_connection(stream, Some(remote), true, NotFound).await;
                    }
                });
            }
        });
    });
    told.recv().unwrap()
}

fn contract(namespace: &Namespace) {
    namespace.on("echo", |socket: Socket, args: Args| socket.emit("echo", args));
    namespace.on("ack", |args: Args, ack: Ack| ack.send(args));
    namespace.on("broadcast", |namespace: Namespace, args: Args| namespace.emit("broadcast", args));
    namespace.on("join", |socket: Socket, Data(room): Data<String>, ack: Ack| -> Result<(), JoinError> {
        socket.join(room)?;
        ack.send(());
        Ok(())
    });
    namespace.on("room", |namespace: Namespace, Data((room, x)): Data<(String, Value)>| {
        namespace.to(room).emit("room", x);
    });
}
