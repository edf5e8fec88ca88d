//! Serves the load contract with nothing but the library's public API: the neutral load generator is run against it.

use clap::Parser;
use sockeye::{Ack, Args, Data, Namespace, Server, Socket};

/// Serves `echo`, `ack`, `broadcast`, `join` and `room` for load generators.
#[derive(Parser)]
struct Options {
    /// The port to listen on.
    #[arg(long, default_value_t = 3000)]
    port: u16,
    /// Threads that serve.
    #[arg(long, default_value_t = 1)]
    workers: usize,
}

fn main() -> std::io::Result<()> {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(options.workers).enable_all().build()?;
    runtime.block_on(async {
        let io = Server::new();
        serve_contract(&io);
        // In a task: the main thread is not one of the workers.
        let serving = tokio::spawn(async move { io.listen(("127.0.0.1", options.port)).await });
        serving.await.map_err(std::io::Error::other)?
    })
}

fn serve_contract(io: &Server) {
    io.on("echo", |socket: Socket, args: Args| socket.emit("echo", args));
    io.on("ack", |args: Args, ack: Ack| ack.send(args));
    io.on("broadcast", |namespace: Namespace, args: Args| namespace.emit("broadcast", args));
    io.on("join", |socket: Socket, Data(room): Data<String>, ack: Ack| {
        let joined = socket.join(room);
        ack.send(());
        joined
    });
    io.on("room", |namespace: Namespace, Data((room, x)): Data<(String, sockeye::Value)>| {
        namespace.to(room).emit("room", x);
    });
}
