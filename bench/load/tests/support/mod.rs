//! A server in this process that serves the load contract, and the generator on it.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use clap::Parser;
use sockeye::{Ack, Args, ConnectError, Data, JoinError, Namespace, NotFound, Server, Socket, Value};
use sockeye_load::{Bench, Error, Report};

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
    serve_with(|io| {
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
    serve_with(move |io| {
        let count = AtomicU32::new(0);
        io.on("echo", move |socket: Socket, args: Args| {
            if count.fetch_add(1, Ordering::Relaxed) == number {
                std::thread::sleep(pause);
            }
            socket.emit("echo", args);
        });
    })
}

fn serve_with(register: impl FnOnce(&Server) + Send + 'static) -> SocketAddr {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let io = Server::new();
            register(&io);
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            io.serve(listener, NotFound).await;
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
